//! The guard: what the router lets through until its firewall stands.
//!
//! Nothing is forwarded. This machine hears itself, answers to what it asked, its neighbours (RFC 4861, with the hop limit
//! that proves them near) and the answers of DHCP; it sends what it likes. The table is always the same and stands beside
//! all others: what it drops is gone, what it lets through the others still see.

use portreeve_nftables::constants::{
    NF_INET_FORWARD, NF_INET_LOCAL_IN, NFT_CMP_NEQ, NFT_CT_STATE, NFT_META_IIFNAME, NFT_META_L4PROTO,
    NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER,
};
use portreeve_nftables::{
    BaseChain, Batch, DeleteTable, Endian, Expression, Family, NewChain, NewRule, NewTable, Register, Verdict,
};

use super::nftables;
use crate::sys::network::Changed;

const TABLE: &str = "portreeve-guard";
const COMMENT: &str = "kept by portreeve: closed until the firewall stands";
/// Before chains at the usual priority 0.
const PRIORITY: i32 = -10;
/// Bits of conntrack's states: established, related.
const ANSWERS: u32 = 2 | 4;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Puts the guard up, or takes it away; as often as wanted.
pub fn set(closed: bool) -> Changed {
    nftables::carry_out(batch(Endian::NATIVE, closed))
}

fn batch(endian: Endian, closed: bool) -> Batch {
    let family = Family::Inet;
    let mut batch = Batch::new(endian);
    batch.begin(None);
    // Made first, so that removing it works whether or not it was there.
    batch.push(&NewTable { family, name: TABLE, flags: 0, comment: Some(COMMENT) }, 0);
    batch.push(&DeleteTable { family, name: TABLE }, 0);
    if closed {
        batch.push(&NewTable { family, name: TABLE, flags: 0, comment: Some(COMMENT) }, 0);
        for (name, hook) in [("input", NF_INET_LOCAL_IN), ("forward", NF_INET_FORWARD)] {
            let base = BaseChain { hook, priority: PRIORITY, kind: "filter", accept: Some(false), devices: &[] };
            batch.push(&NewChain { family, table: TABLE, name, base: Some(base), comment: None }, 0);
        }
        for expressions in rules(endian) {
            let rule = NewRule {
                family,
                table: TABLE,
                chain: "input",
                expressions: &expressions,
                comment: None,
                handle: None,
                position: None,
            };
            batch.push(&rule, 0);
        }
    }
    batch.end(0);
    batch
}

/// What comes in all the same.
fn rules(endian: Endian) -> Vec<Vec<Expression<'static>>> {
    let register = Register::R1;
    let meta =
        |key, value: Vec<u8>| [Expression::Meta { destination: register, key }, Expression::equal(register, value)];
    let payload = |base, offset, value: Vec<u8>| {
        let length = u32::try_from(value.len()).unwrap_or(0);
        [Expression::Payload { destination: register, base, offset, length }, Expression::equal(register, value)]
    };
    let mut loopback = b"lo".to_vec();
    loopback.resize(16, 0);
    let answers = vec![
        Expression::Ct { destination: register, key: NFT_CT_STATE, direction: None },
        Expression::Bitwise {
            source: register,
            destination: register,
            mask: endian.u32(ANSWERS).to_vec().into(),
            xor: vec![0; 4].into(),
        },
        Expression::Compare { source: register, operation: NFT_CMP_NEQ, data: vec![0; 4].into() },
    ];
    let neighbours = [133_u8, 134, 135, 136].into_iter().map(|kind| {
        let mut rule = Vec::from(meta(NFT_META_L4PROTO, vec![ICMPV6]));
        rule.extend(payload(NFT_PAYLOAD_NETWORK_HEADER, 7, vec![255]));
        rule.extend(payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, vec![kind]));
        rule
    });
    let dhcp = [(67_u16, 68_u16), (547, 546)].into_iter().map(|(server, client)| {
        let mut rule = Vec::from(meta(NFT_META_L4PROTO, vec![UDP]));
        let ports = [server.to_be_bytes(), client.to_be_bytes()].concat();
        rule.extend(payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, ports));
        rule
    });
    let mut rules = vec![Vec::from(meta(NFT_META_IIFNAME, loopback)), answers];
    rules.extend(neighbours);
    rules.extend(dhcp);
    for rule in &mut rules {
        rule.push(Expression::Verdict(Verdict::Accept));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use portreeve_nftables::inspect;

    #[test]
    fn the_guard_is_replaced_whole_and_removed_whole() {
        let kinds = |closed| {
            let bytes = batch(Endian::Little, closed).into_bytes().unwrap();
            inspect(Endian::Little, &bytes).map(|message| message.unwrap().kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(false), [0x10, 0, 2, 0x11]);
        assert_eq!(kinds(true), [&[0x10, 0, 2, 0, 3, 3][..], &[6; 8], &[0x11]].concat());
    }

    #[test]
    fn a_neighbour_proves_itself_by_its_hop_limit() {
        for rule in rules(Endian::Little).iter().skip(2).take(4) {
            let hop_limit = Expression::equal(Register::R1, vec![255]);
            let at = rule.iter().position(|expression| *expression == hop_limit).unwrap();
            assert!(matches!(rule[at - 1], Expression::Payload { base: 1, offset: 7, length: 1, .. }));
        }
    }
}
