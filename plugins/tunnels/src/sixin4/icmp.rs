//! ICMPv6 errors to the senders of packets that go no further (RFC 4443).

use super::frame::{Vnet, begin_tun_frame};
use super::{DataPath, MIN_MTU};
use crate::time::Instant;
use portreeve_packet::icmpv6::{self, PACKET_TOO_BIG};
use portreeve_packet::ipv6;
use std::net::Ipv6Addr;

/// Errors sent at once (RFC 4443 section 2.4(f)): a few dozen hosts may learn a new MTU together.
pub const ERROR_BURST: u32 = 50;
/// Errors sent per second afterwards.
pub const ERRORS_PER_SECOND: u32 = 100;

/// Destination Unreachable: no route to destination.
pub(super) const NO_ROUTE: u8 = 0;
/// Destination Unreachable: address unreachable.
pub(super) const ADDRESS_UNREACHABLE: u8 = 3;

/// Bytes before the invoking packet: the IPv6 header and the message's own (RFC 4443 section 3).
const HEADERS: usize = ipv6::Header::LEN + 8;
const HOP_LIMIT: u8 = 64;

impl DataPath {
    /// Sends an error about `invoking` to its sender, if the rules and the rate limit allow; whether it did.
    ///
    /// `invoking` may be cut off after its IPv6 header, as an ICMPv4 error quotes it.
    pub(super) fn send_error(
        &mut self,
        back: &mut Vec<u8>,
        (kind, code, argument): (u8, u8, u32),
        invoking: &[u8],
        now: Instant,
    ) -> bool {
        let Some((from, to)) = ends(invoking, kind, self.settings.icmp_source) else { return false };
        if !self.limit.take(now) {
            self.counters.icmp_errors_limited += 1;
            return false;
        }
        write(back, from, to, (kind, code, argument), invoking);
        self.counters.icmp_errors_sent += 1;
        true
    }
}

/// Whom an error comes from and goes to; `None` where RFC 4443 section 2.4(e) forbids it.
fn ends(invoking: &[u8], kind: u8, source: Option<Ipv6Addr>) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let header = ipv6::Header::parse(invoking).ok()?;
    let to = header.source;
    if to.is_unspecified() || to.is_multicast() || to.is_loopback() {
        return None;
    }
    if header.destination.is_multicast() && kind != PACKET_TOO_BIG {
        return None;
    }
    // Cut off before the upper layer it cannot be told from an error. Of a later fragment no more is asked.
    let upper = ipv6::upper_layer(invoking)?;
    let is_error = |kind: &u8| *kind < 128 || *kind == icmpv6::REDIRECT;
    if upper.next_header == icmpv6::NEXT_HEADER && invoking.get(upper.offset).is_none_or(is_error) {
        return None;
    }
    let from = source.or_else(|| (!header.destination.is_multicast()).then_some(header.destination))?;
    Some((from, to))
}

fn write(back: &mut Vec<u8>, from: Ipv6Addr, to: Ipv6Addr, (kind, code, argument): (u8, u8, u32), invoking: &[u8]) {
    let quote = invoking.get(..usize::from(MIN_MTU) - HEADERS).unwrap_or(invoking);
    let header = ipv6::Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: (8 + quote.len()) as u16,
        next_header: icmpv6::NEXT_HEADER,
        hop_limit: HOP_LIMIT,
        source: from,
        destination: to,
    };
    begin_tun_frame(back, &Vnet::default(), HEADERS + quote.len());
    let start = back.len();
    let mut bytes = [0; HEADERS];
    // The buffer is the header's size and the message has a checksum field: neither can fail.
    let _ = header.emit(&mut bytes);
    if let Some(message) = bytes.get_mut(ipv6::Header::LEN..).and_then(|rest| rest.first_chunk_mut::<8>()) {
        let [a, b, c, d] = argument.to_be_bytes();
        *message = [kind, code, 0, 0, a, b, c, d];
    }
    back.extend_from_slice(&bytes);
    back.extend_from_slice(quote);
    if let Some(message) = back.get_mut(start + ipv6::Header::LEN..) {
        let _ = icmpv6::fill_checksum(from, to, message);
    }
}
