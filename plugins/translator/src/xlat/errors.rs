//! ICMP errors of our own to the senders of packets that go no further (RFC 7915 sections 4.4 and 5.4).
//!
//! Rate-limited for each family, never about an error, never to or about what is not one host (RFC 1122 section 3.2.2,
//! RFC 4443 section 2.4).

use super::counters::Reason;
use super::headers::{Head4, Head6, LEN4, LEN6, New4, New6};
use super::packet::Packet;
use super::transport::{Layer, word};
use super::{Beside, DataPath, Mode};
use crate::flow::Sessions;
use portreeve_packet::checksum::Delta;
use portreeve_packet::segment::put;
use portreeve_packet::{icmpv4, icmpv6, ipv6};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The largest ICMPv4 error (RFC 1812 section 4.3.2.3).
pub(super) const MAX_ERROR4: usize = 576;
/// The largest ICMPv6 error (RFC 4443 section 2.4(c)).
pub(super) const MAX_ERROR6: usize = ipv6::MINIMUM_MTU as usize;
/// Bytes of an ICMP error before the packet it is about.
pub(super) const ERROR_HEAD: usize = 8;
/// Hop limit and time to live of errors.
const HOPS: u8 = 64;

/// Destination Unreachable: administratively prohibited (RFC 4443 section 3.1).
const PROHIBITED6: u8 = 1;
/// Destination Unreachable: address unreachable.
const ADDRESS_UNREACHABLE6: u8 = 3;
/// Destination Unreachable: port unreachable.
const PORT_UNREACHABLE6: u8 = 4;
/// Destination Unreachable: host unreachable (RFC 792).
const HOST_UNREACHABLE4: u8 = 1;
/// Destination Unreachable: protocol unreachable.
const PROTOCOL_UNREACHABLE4: u8 = 2;
/// Destination Unreachable: communication administratively prohibited (RFC 1812 section 5.2.7.1).
const PROHIBITED4: u8 = 13;

impl<S: Sessions> DataPath<S> {
    /// Tells an IPv6 host that its packet was refused, where it may know (RFC 6146 section 3.5, RFC 7915 section 5.4).
    #[cold]
    pub(super) fn refused6(
        &mut self,
        packet: &Packet<'_>,
        head: &Head6,
        layer: Layer,
        reason: Reason,
        beside: &mut Beside<'_>,
    ) {
        let code = match reason {
            Reason::TableFull | Reason::PortsExhausted | Reason::Quota | Reason::NoMapping => ADDRESS_UNREACHABLE6,
            Reason::Prohibited | Reason::Filtered | Reason::Denied | Reason::Untranslatable => PROHIBITED6,
            Reason::Protocol => PORT_UNREACHABLE6,
            _ => return,
        };
        self.error6(packet, head, layer, (icmpv6::DESTINATION_UNREACHABLE, code, 0), beside);
    }

    /// Tells an IPv4 host that its packet was refused, where it may know (RFC 6146 section 3.5, RFC 7915 section 4.4).
    #[cold]
    pub(super) fn refused4(
        &mut self,
        packet: &Packet<'_>,
        head: &Head4,
        layer: Layer,
        reason: Reason,
        beside: &mut Beside<'_>,
    ) {
        // Nothing is said to a SYN that may not come in: it may cross one of ours (RFC 5382 REQ-4).
        if layer == Layer::Tcp && matches!(reason, Reason::NoMapping | Reason::Filtered) {
            self.counters.icmp_errors_withheld += 1;
            return;
        }
        let code = match reason {
            Reason::NoMapping => HOST_UNREACHABLE4,
            Reason::Filtered | Reason::Denied | Reason::Untranslatable | Reason::UdpZero => PROHIBITED4,
            Reason::Protocol => PROTOCOL_UNREACHABLE4,
            _ => return,
        };
        self.error4(packet, head, layer, (icmpv4::DESTINATION_UNREACHABLE, code, 0), beside);
    }

    /// Sends an ICMPv6 error about `packet` to its sender, if the rules and the rate limit allow.
    #[cold]
    pub(super) fn error6(
        &mut self,
        packet: &Packet<'_>,
        head: &Head6,
        layer: Layer,
        (kind, code, rest): (u8, u8, u32),
        beside: &mut Beside<'_>,
    ) {
        let is_redirect = packet.behind(head.transport).first() == Some(&icmpv6::REDIRECT);
        let may_not = matches!(layer, Layer::Error | Layer::Later) || layer == Layer::Message && is_redirect;
        let (false, Some(source)) = (may_not, self.settings.source6) else {
            self.counters.icmp_errors_withheld += 1;
            return;
        };
        let bucket = if kind == icmpv6::PACKET_TOO_BIG { &mut self.sizes6 } else { &mut self.limit6 };
        if !bucket.take(beside.now) {
            self.counters.icmp_errors_limited += 1;
            return;
        }
        let (segment, _) = packet.segments(head.transport, layer);
        let quote = packet.bytes().get(..segment).unwrap_or(packet.bytes());
        let quote = quote.get(..MAX_ERROR6 - LEN6 - ERROR_HEAD).unwrap_or(quote);
        let header = New6 {
            class: 0,
            payload: (ERROR_HEAD + quote.len()) as u16,
            protocol: icmpv6::NEXT_HEADER,
            hops: HOPS,
            source,
            destination: head.source,
        };
        let mut bytes = Vec::with_capacity(MAX_ERROR6);
        bytes.extend_from_slice(&header.bytes());
        message(&mut bytes, kind, code, rest, quote);
        if let Some(inner) = bytes.get_mut(LEN6 + ERROR_HEAD..) {
            put(inner, 4, (segment - LEN6) as u16);
        }
        if let Some(message) = bytes.get_mut(LEN6..) {
            let _ = icmpv6::fill_checksum(header.source, header.destination, message);
        }
        self.counters.icmp_errors_sent += 1;
        self.push_packet(beside, &bytes);
    }

    /// Sends an ICMPv4 error about `packet` to its sender, if the rules and the rate limit allow.
    #[cold]
    pub(super) fn error4(
        &mut self,
        packet: &Packet<'_>,
        head: &Head4,
        layer: Layer,
        (kind, code, rest): (u8, u8, u32),
        beside: &mut Beside<'_>,
    ) {
        let source = self.source4(None);
        let (false, Some(source)) = (matches!(layer, Layer::Error | Layer::Later), source) else {
            self.counters.icmp_errors_withheld += 1;
            return;
        };
        let is_size = (kind, code) == (icmpv4::DESTINATION_UNREACHABLE, icmpv4::FRAGMENTATION_NEEDED);
        let bucket = if is_size { &mut self.sizes4 } else { &mut self.limit4 };
        if !bucket.take(beside.now) {
            self.counters.icmp_errors_limited += 1;
            return;
        }
        let (segment, _) = packet.segments(head.transport, layer);
        let quote = packet.bytes().get(..segment).unwrap_or(packet.bytes());
        let quote = quote.get(..MAX_ERROR4 - LEN4 - ERROR_HEAD).unwrap_or(quote);
        let header = New4 {
            tos: 0,
            length: (LEN4 + ERROR_HEAD + quote.len()) as u16,
            id: self.next_id,
            flags: 0,
            ttl: HOPS,
            protocol: icmpv4::PROTOCOL,
            source,
            destination: head.source,
        };
        self.next_id = self.next_id.wrapping_add(1);
        let mut bytes = Vec::with_capacity(MAX_ERROR4);
        bytes.extend_from_slice(&header.bytes());
        message(&mut bytes, kind, code, rest, quote);
        if let Some(inner) = bytes.get_mut(LEN4 + ERROR_HEAD..).filter(|_| segment != head.length) {
            let length = Delta::new().without(head.length as u32).with(segment as u32);
            let field = length.field(word(inner, 10));
            put(inner, 2, segment as u16);
            put(inner, 10, field);
        }
        if let Some(message) = bytes.get_mut(LEN4..) {
            let _ = icmpv4::fill_checksum(message);
        }
        self.counters.icmp_errors_sent += 1;
        self.push_packet(beside, &bytes);
    }

    /// Who ICMPv4 errors come from that have no better source: for one IPv6 source always the same one (RFC 6791), for
    /// us the first.
    pub(super) fn source4(&self, speaker: Option<Ipv6Addr>) -> Option<Ipv4Addr> {
        let sources = &self.settings.sources4;
        let at = speaker.map_or(0, |speaker| spread(speaker) % sources.len().max(1));
        sources.get(at).copied().or(match &self.mode {
            Mode::Stateful(sessions) => Some(sessions.icmp_source()),
            Mode::Stateless(_) => None,
        })
    }
}

/// A number that differs from address to address as far as it can.
fn spread(address: Ipv6Addr) -> usize {
    let bits = address.to_bits();
    let folded = ((bits >> 64) as u64).wrapping_mul(31) ^ bits as u64;
    // 2^64 over the golden ratio: its products with numbers in a row have upper bits far apart.
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

/// Appends an ICMP message of either family, without its checksum.
pub(super) fn message(bytes: &mut Vec<u8>, kind: u8, code: u8, rest: u32, quote: &[u8]) {
    let [a, b, c, d] = rest.to_be_bytes();
    bytes.extend_from_slice(&[kind, code, 0, 0, a, b, c, d]);
    bytes.extend_from_slice(quote);
}
