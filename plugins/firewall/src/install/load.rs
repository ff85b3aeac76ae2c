//! What packets have, loaded into registers.
//!
//! Marks and conntrack's bits are in the host's order in registers, everything else as it stands in the packet; a value
//! of less than 4 bytes is followed by zeros.

use portreeve_nftables::{
    Endian, Expression, Register,
    constants::{
        NFT_BYTEORDER_HTON, NFT_CT_STATE, NFT_CT_STATUS, NFT_FIB_RESULT_ADDRTYPE, NFT_FIB_RESULT_OIF, NFT_META_IIFNAME,
        NFT_META_IIFTYPE, NFT_META_L4PROTO, NFT_META_MARK, NFT_META_NFPROTO, NFT_META_OIFNAME, NFT_PAYLOAD_LL_HEADER,
        NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER, NFTA_FIB_F_DADDR, NFTA_FIB_F_IIF, NFTA_FIB_F_PRESENT,
        NFTA_FIB_F_SADDR,
    },
};

use crate::ruleset::Selector;

/// ARPHRD_ETHER (linux/if_arp.h).
const ETHERNET: u16 = 1;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Of the packet's bytes.
    Payload { base: u32, offset: u32 },
    /// About the packet.
    Meta(u32),
    /// Of its connection.
    Ct(u32),
    /// Of the routing table.
    Fib { result: u32, flags: u32 },
}

/// Where a selector's value comes from, and its bytes.
pub(super) const fn source(selector: Selector) -> (Source, usize) {
    const fn network(offset: u32) -> Source {
        Source::Payload { base: NFT_PAYLOAD_NETWORK_HEADER, offset }
    }
    const fn transport(offset: u32) -> Source {
        Source::Payload { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset }
    }
    const fn fib(result: u32, flags: u32) -> Source {
        Source::Fib { result, flags }
    }
    match selector {
        Selector::InputInterface => (Source::Meta(NFT_META_IIFNAME), 16),
        Selector::OutputInterface => (Source::Meta(NFT_META_OIFNAME), 16),
        Selector::Family => (Source::Meta(NFT_META_NFPROTO), 1),
        Selector::Protocol => (Source::Meta(NFT_META_L4PROTO), 1),
        Selector::Source4 => (network(12), 4),
        Selector::Destination4 => (network(16), 4),
        Selector::Source6 => (network(8), 16),
        Selector::Destination6 => (network(24), 16),
        Selector::Source6Network => (network(8), 8),
        Selector::Source6Embedded4 => (network(10), 4),
        Selector::Destination6Embedded4 => (network(26), 4),
        Selector::SourcePort => (transport(0), 2),
        Selector::DestinationPort => (transport(2), 2),
        Selector::IcmpType => (transport(0), 1),
        Selector::IcmpCode => (transport(1), 1),
        Selector::TcpFlags => (transport(13), 1),
        Selector::TimeToLive => (network(8), 1),
        Selector::HopLimit => (network(7), 1),
        Selector::FragmentOffset => (network(6), 2),
        Selector::SourceMac => (Source::Payload { base: NFT_PAYLOAD_LL_HEADER, offset: 6 }, 6),
        Selector::CtState => (Source::Ct(NFT_CT_STATE), 4),
        Selector::CtStatus => (Source::Ct(NFT_CT_STATUS), 4),
        Selector::Mark => (Source::Meta(NFT_META_MARK), 4),
        Selector::DestinationType => (fib(NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR), 4),
        Selector::SourceType => (fib(NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_SADDR), 4),
        Selector::DestinationTypeHere => (fib(NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR | NFTA_FIB_F_IIF), 4),
        Selector::SourceRoutesBack => {
            (fib(NFT_FIB_RESULT_OIF, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT), 1)
        }
        Selector::SourceHasRoute => (fib(NFT_FIB_RESULT_OIF, NFTA_FIB_F_SADDR | NFTA_FIB_F_PRESENT), 1),
    }
}

/// Its value is a number of the host in the register.
pub(super) const fn host_order(selector: Selector) -> bool {
    matches!(
        selector,
        Selector::CtState
            | Selector::CtStatus
            | Selector::Mark
            | Selector::DestinationType
            | Selector::DestinationTypeHere
            | Selector::SourceType
    )
}

/// A big-endian number of 4 bytes as the host has it; other bytes as they are.
pub(super) fn to_host(endian: Endian, bytes: &[u8]) -> Vec<u8> {
    match <[u8; 4]>::try_from(bytes) {
        Ok(number) => endian.u32(u32::from_be_bytes(number)).to_vec(),
        Err(_) => bytes.to_vec(),
    }
}

/// Loads `length` bytes of the value, at most all, into registers from `word` on, with what must be asked before.
pub(super) fn load(
    endian: Endian,
    selector: Selector,
    word: u32,
    length: usize,
    expressions: &mut Vec<Expression<'_>>,
) {
    let destination = Register::word(word);
    let (source, width) = source(selector);
    if selector == Selector::SourceMac {
        expressions.push(Expression::Meta { destination, key: NFT_META_IIFTYPE });
        expressions.push(Expression::equal(destination, endian.u16(ETHERNET).to_vec()));
    }
    let length = u32::try_from(length.min(width)).unwrap_or(0);
    expressions.push(match source {
        Source::Payload { base, offset } => Expression::Payload { destination, base, offset, length },
        Source::Meta(key) => Expression::Meta { destination, key },
        Source::Ct(key) => Expression::Ct { destination, key, direction: None },
        Source::Fib { result, flags } => Expression::Fib { destination, result, flags },
    });
}

/// Turns a number of the host in a register into a big-endian one, which compares byte by byte.
pub(super) fn to_network(word: u32, expressions: &mut Vec<Expression<'_>>) {
    let register = Register::word(word);
    expressions.push(Expression::ByteOrder {
        source: register,
        destination: register,
        operation: NFT_BYTEORDER_HTON,
        length: 4,
        size: 4,
    });
}

/// Loads the values of a key one after the other, each from a register of its own on, as the set of these selectors
/// has them. `ordered`: it is one of ranges, whose numbers are big-endian.
pub(super) fn load_key(endian: Endian, key: &[Selector], ordered: bool, expressions: &mut Vec<Expression<'_>>) {
    let mut word = 0_u32;
    for &selector in key {
        let (_, width) = source(selector);
        if selector == Selector::Source6Network {
            // In sets an IPv6 address whose other half is zero, so that it reads as one.
            load(endian, Selector::Source6, word, 16, expressions);
            let mut mask = vec![0xff; 8];
            mask.resize(16, 0);
            let register = Register::word(word);
            expressions.push(Expression::Bitwise {
                source: register,
                destination: register,
                mask: mask.into(),
                xor: vec![0; 16].into(),
            });
            word = word.saturating_add(4);
            continue;
        }
        load(endian, selector, word, width, expressions);
        if ordered && host_order(selector) {
            to_network(word, expressions);
        }
        word = word.saturating_add(u32::try_from(width.div_ceil(4)).unwrap_or(4));
    }
}
