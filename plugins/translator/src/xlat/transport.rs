//! Ports and checksums of TCP and UDP, types and identifiers of ICMP echo, the MSS of SYNs.
//!
//! A checksum is changed by what changed (RFC 1624), so it is right afterwards where it was right before and wrong where
//! it was wrong. One that the host is to complete holds the sum of the pseudo header and changes by the addresses only.

use super::headers::{Fragment, Head4, Head6};
use crate::flow::{Protocol, TcpFlags};
use portreeve_packet::checksum::{Checksum, Delta};
use portreeve_packet::ipv6::{TCP, UDP};
use portreeve_packet::segment::put;
use portreeve_packet::{icmpv4, icmpv6, tcp};
use std::net::{Ipv4Addr, Ipv6Addr};

/// DCCP (RFC 4340) and UDP-Lite (RFC 3828): their checksums cover the pseudo header, too.
const DCCP: u8 = 33;
const UDP_LITE: u8 = 136;

/// What is after the IP headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// A TCP header.
    Tcp,
    /// A UDP header.
    Udp,
    /// An ICMP echo request or reply.
    Echo,
    /// An ICMP error.
    Error,
    /// Another ICMP message.
    Message,
    /// Another protocol; the place of a checksum over the pseudo header, where it has one.
    Other(Option<usize>),
    /// A later fragment.
    Later,
    /// Fewer bytes than the transport header has.
    Short,
}

/// What there is after the headers of an IPv6 packet.
#[inline]
pub(super) fn layer6(head: &Head6, behind: &[u8]) -> Layer {
    if head.protocol == icmpv6::NEXT_HEADER && !is_later(head.fragment) {
        return match behind {
            [icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY, _, _, _, _, _, _, _, ..] => Layer::Echo,
            [0..128, _, _, _, _, _, _, _, ..] => Layer::Error,
            [_, _, _, _, _, _, _, _, ..] => Layer::Message,
            _ => Layer::Short,
        };
    }
    layer(head.protocol, head.fragment, behind)
}

/// What there is after the header of an IPv4 packet.
#[inline]
pub(super) fn layer4(head: &Head4, behind: &[u8]) -> Layer {
    if head.protocol == icmpv4::PROTOCOL && !is_later(head.fragment) {
        return match behind {
            [icmpv4::ECHO | icmpv4::ECHO_REPLY, _, _, _, _, _, _, _, ..] => Layer::Echo,
            [
                icmpv4::DESTINATION_UNREACHABLE
                | 4
                | icmpv4::REDIRECT
                | icmpv4::TIME_EXCEEDED
                | icmpv4::PARAMETER_PROBLEM,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                ..,
            ] => Layer::Error,
            [_, _, _, _, _, _, _, _, ..] => Layer::Message,
            _ => Layer::Short,
        };
    }
    layer(head.protocol, head.fragment, behind)
}

#[inline]
fn layer(protocol: u8, fragment: Option<Fragment>, behind: &[u8]) -> Layer {
    match protocol {
        _ if is_later(fragment) => Layer::Later,
        TCP if behind.len() >= tcp::Header::MIN_LEN => Layer::Tcp,
        UDP if behind.len() >= 8 => Layer::Udp,
        TCP | UDP => Layer::Short,
        DCCP | UDP_LITE if behind.len() >= 8 => Layer::Other(Some(6)),
        _ => Layer::Other(None),
    }
}

fn is_later(fragment: Option<Fragment>) -> bool {
    fragment.is_some_and(|fragment| fragment.offset != 0)
}

impl Layer {
    /// The protocol with sessions it is of.
    pub(super) const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Tcp => Some(Protocol::Tcp),
            Self::Udp => Some(Protocol::Udp),
            Self::Echo => Some(Protocol::Icmp),
            _ => None,
        }
    }

    /// Where the checksum is whose completion a virtio header may ask for.
    pub(super) const fn checksum_at(self) -> Option<usize> {
        match self {
            Self::Tcp => Some(16),
            Self::Udp => Some(6),
            _ => None,
        }
    }
}

/// The ports of a TCP or UDP header.
#[inline]
pub(super) fn ports(behind: &[u8]) -> (u16, u16) {
    let [a, b, c, d] = behind.first_chunk::<4>().copied().unwrap_or_default();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// The identifier of an ICMP echo message.
#[inline]
pub(super) fn identifier(behind: &[u8]) -> u16 {
    word(behind, 4)
}

/// The flags of a TCP header that move sessions.
#[inline]
pub(super) fn tcp_flags(behind: &[u8]) -> TcpFlags {
    let flags = behind.get(13).copied().unwrap_or(0);
    TcpFlags {
        syn: flags & tcp::SYN != 0,
        ack: flags & tcp::ACK != 0,
        fin: flags & tcp::FIN != 0,
        rst: flags & tcp::RST != 0,
    }
}

/// Two bytes; 0 where there are none.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u16::from_be_bytes(*field))
}

/// What changes in a transport header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// The addresses of the pseudo header.
    pub(super) addresses: Delta,
    /// The new source port, or identifier.
    pub(super) source_port: Option<u16>,
    /// The new destination port, or identifier.
    pub(super) destination_port: Option<u16>,
    /// Whether the checksum field holds the sum of the pseudo header.
    pub(super) partial: bool,
}

impl Change {
    /// Rewrites the TCP header `behind`; a checksum that was cut off is left alone.
    #[inline]
    pub(super) fn tcp(&self, behind: &mut [u8]) {
        let ports = self.ports(behind);
        self.checksum(behind, 16, ports);
    }

    /// Rewrites the UDP header `behind`; a checksum of zero stays (RFC 768).
    #[inline]
    pub(super) fn udp(&self, behind: &mut [u8]) {
        let ports = self.ports(behind);
        if word(behind, 6) == 0 {
            return;
        }
        self.checksum(behind, 6, ports);
        if !self.partial && word(behind, 6) == 0 {
            put(behind, 6, 0xffff);
        }
    }

    /// Changes the checksum at `at` of another protocol by the addresses.
    pub(super) fn other(&self, behind: &mut [u8], at: usize) {
        let field = word(behind, at);
        if field != 0 {
            put(behind, at, self.addresses.field(field));
        }
    }

    #[inline]
    fn checksum(&self, behind: &mut [u8], at: usize, ports: Delta) {
        if let Some(field) = behind.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
            let old = u16::from_be_bytes(*field);
            let new = if self.partial { self.addresses.partial(old) } else { self.addresses.and(ports).field(old) };
            *field = new.to_be_bytes();
        }
    }

    #[inline]
    fn ports(&self, behind: &mut [u8]) -> Delta {
        let Some([a, b, c, d]) = behind.first_chunk_mut::<4>() else { return Delta::new() };
        let old = u32::from_be_bytes([*a, *b, *c, *d]);
        if let Some(port) = self.source_port {
            [*a, *b] = port.to_be_bytes();
        }
        if let Some(port) = self.destination_port {
            [*c, *d] = port.to_be_bytes();
        }
        Delta::new().without(old).with(u32::from_be_bytes([*a, *b, *c, *d]))
    }

    /// Turns the echo message `behind` into one of the other family, with the pseudo header `pseudo` coming or going.
    pub(super) fn echo(&self, behind: &mut [u8], pseudo: Delta) {
        let Some([kind, code, c0, c1, i0, i1, _, _]) = behind.first_chunk_mut::<8>() else { return };
        let old = [*kind, *code, *i0, *i1];
        *kind = match *kind {
            icmpv6::ECHO_REQUEST => icmpv4::ECHO,
            icmpv6::ECHO_REPLY => icmpv4::ECHO_REPLY,
            icmpv4::ECHO => icmpv6::ECHO_REQUEST,
            _ => icmpv6::ECHO_REPLY,
        };
        self.identifier(i0, i1);
        let change = Delta::new().without(u32::from_be_bytes(old)).with(u32::from_be_bytes([*kind, *code, *i0, *i1]));
        [*c0, *c1] = self.addresses.and(pseudo).and(change).field(u16::from_be_bytes([*c0, *c1])).to_be_bytes();
        if *kind == icmpv4::ECHO_REPLY && [*c0, *c1] == [0, 0] {
            // A message of zeros only has a checksum of ones; of any other both zeros are right. The sum itself cannot be
            // taken here: of a fragment or a quote only a part is there.
            [*c0, *c1] = [0xff, 0xff];
        }
    }

    /// Changes the addresses and the identifier of an echo message that stays in its family.
    pub(super) fn echo_same_family(&self, behind: &mut [u8]) {
        let Some([_, _, c0, c1, i0, i1, _, _]) = behind.first_chunk_mut::<8>() else { return };
        let old = u16::from_be_bytes([*i0, *i1]);
        self.identifier(i0, i1);
        let change = Delta::new().without(u32::from(old)).with(u32::from(u16::from_be_bytes([*i0, *i1])));
        [*c0, *c1] = self.addresses.and(change).field(u16::from_be_bytes([*c0, *c1])).to_be_bytes();
    }

    fn identifier(&self, i0: &mut u8, i1: &mut u8) {
        if let Some(id) = self.source_port.or(self.destination_port) {
            [*i0, *i1] = id.to_be_bytes();
        }
    }
}

/// The addresses of an IPv6 pseudo header.
#[inline]
pub(super) fn words6(source: Ipv6Addr, destination: Ipv6Addr) -> [u32; 8] {
    let (s, d) = (source.to_bits(), destination.to_bits());
    let part = |bits: u128, shift: u32| (bits >> shift) as u32;
    [part(s, 96), part(s, 64), part(s, 32), part(s, 0), part(d, 96), part(d, 64), part(d, 32), part(d, 0)]
}

/// The addresses of an IPv4 pseudo header.
#[inline]
pub(super) fn words4(source: Ipv4Addr, destination: Ipv4Addr) -> [u32; 2] {
    [source.to_bits(), destination.to_bits()]
}

/// `old` goes, `new` comes.
#[inline]
pub(super) fn delta(old: &[u32], new: &[u32]) -> Delta {
    let delta = old.iter().fold(Delta::new(), |delta, word| delta.without(*word));
    new.iter().fold(delta, |delta, word| delta.with(*word))
}

/// Gives the UDP datagram `behind` over IPv6 a checksum; `None` when its length field is impossible.
pub(super) fn fill_udp6(source: Ipv6Addr, destination: Ipv6Addr, behind: &mut [u8]) -> Option<()> {
    let length = usize::from(word(behind, 4));
    let datagram = behind.get(..length).filter(|datagram| datagram.len() >= 8)?;
    let mut checksum = Checksum::ipv6_pseudo_header(source, destination, UDP, length as u32);
    checksum.add(datagram);
    let value = match checksum.finish() {
        0 => 0xffff,
        value => value,
    };
    put(behind, 6, value);
    Some(())
}

/// Lowers the MSS of the TCP header `behind`, where it is a SYN that has one, to `limit`; whether it did.
pub(super) fn clamp_mss(behind: &mut [u8], limit: u16, partial: bool) -> bool {
    let Some((at, old)) = mss(behind).filter(|(_, old)| *old > limit) else { return false };
    put(behind, at, limit);
    if !partial {
        // RFC 1624 wants the words as the sum sees them: swapped where the option stands at an odd place.
        let (old, new) = if at % 2 == 0 { (old, limit) } else { (old.swap_bytes(), limit.swap_bytes()) };
        let field = Delta::new().without(u32::from(old)).with(u32::from(new)).field(word(behind, 16));
        put(behind, 16, field);
    }
    true
}

/// Where the MSS option's value is, and the value.
fn mss(behind: &[u8]) -> Option<(usize, u16)> {
    let end = usize::from(behind.get(12)? >> 4) * 4;
    let mut at = tcp::Header::MIN_LEN;
    while at < end {
        at += match *behind.get(at)? {
            tcp::OPTION_END => return None,
            tcp::OPTION_NOP => 1,
            kind => {
                let length = usize::from(*behind.get(at + 1)?);
                if kind == tcp::OPTION_MSS && length == 4 && at + 4 <= end {
                    let value = behind.get(at + 2..)?.first_chunk::<2>()?;
                    return Some((at + 2, u16::from_be_bytes(*value)));
                }
                // An option shorter than its own head would never end the walk.
                if length < 2 {
                    return None;
                }
                length
            }
        };
    }
    None
}
