//! ICMPv4 errors about our own IPv4 packets, passed on to the IPv6 senders (RFC 4213 section 3.4).

use super::icmp::ADDRESS_UNREACHABLE;
use super::{DataPath, Event, Remote, filter, outer};
use crate::time::Instant;
use portreeve_packet::icmpv6::{DESTINATION_UNREACHABLE, PACKET_TOO_BIG};
use portreeve_packet::{ipv4, ipv6};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Destination Unreachable (RFC 792).
const UNREACHABLE: u8 = 3;
/// Its code "protocol unreachable".
const PROTOCOL_UNREACHABLE: u8 = 2;
/// Its code "port unreachable".
const PORT_UNREACHABLE: u8 = 3;
/// Its code "fragmentation needed and DF set".
const FRAGMENTATION_NEEDED: u8 = 4;
/// Its code "source route failed".
const SOURCE_ROUTE_FAILED: u8 = 5;
/// Time Exceeded (RFC 792); code 0 is "in transit".
const TIME_EXCEEDED: u8 = 11;

/// An ICMPv4 error, as a raw socket's error queue or an ICMP socket tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError<'a> {
    /// The ICMPv4 type.
    pub kind: u8,
    /// The ICMPv4 code.
    pub code: u8,
    /// The next hop's MTU in a "fragmentation needed"; `None` or 0 from routers before RFC 1191.
    pub mtu: Option<u32>,
    /// Who sent the error.
    pub from: Ipv4Addr,
    /// To whom the packet had been sent.
    pub destination: Ipv4Addr,
    /// Our own kernel says so: the packet never left. It quotes nothing, and does not fragment whole packets that it is
    /// handed even where DF is not set.
    pub local: bool,
    /// The quoted IPv4 packet from its header on, or only its payload, the IPv6 header on; of a local error nothing.
    pub original: &'a [u8],
}

impl DataPath {
    /// Takes an ICMPv4 error; tun frames for the IPv6 sender are appended to `back`.
    ///
    /// A quote that is not of a packet of ours changes nothing. One too short to hold the IPv6 header still lowers
    /// the path MTU: the next large packet is then answered by ourselves.
    pub fn handle_icmp_error(&mut self, error: &IcmpError<'_>, back: &mut Vec<u8>, now: Instant) {
        self.counters.icmp_in += 1;
        if self.relay(error, back, now).is_none() {
            self.counters.icmp_ignored += 1;
        }
    }

    fn relay(&mut self, error: &IcmpError<'_>, back: &mut Vec<u8>, now: Instant) -> Option<()> {
        let (destination, inner) = if error.local && error.original.is_empty() {
            (self.is_far_end(error.destination).then_some(error.destination)?, error.original)
        } else {
            self.quoted(error.original)?
        };
        match (error.kind, error.code) {
            (UNREACHABLE, FRAGMENTATION_NEEDED) => {
                (self.settings.dont_fragment || error.local).then_some(())?;
                // Without a value only the smallest MTU is safe.
                let ipv4_mtu =
                    error.mtu.filter(|mtu| *mtu > 0).unwrap_or(u32::from(super::MIN_MTU) + outer::LEN as u32);
                let limit = self.settings.effective_mtu();
                let news = self.paths.narrow(destination, ipv4_mtu, limit, now);
                let mtu = self.paths.get(destination, limit, now).mtu;
                if news {
                    self.echo.event(Event::PathMtu { remote: destination, mtu });
                }
                // A quote of what fits now was sent before the path was known to be narrow.
                let quoted_length =
                    ipv6::Header::parse(inner).ok().map(|header| usize::from(header.payload_length) + 40);
                let told = quoted_length.is_some_and(|length| length > usize::from(mtu))
                    && self.send_error(back, (PACKET_TOO_BIG, 0, u32::from(mtu)), inner, now);
                (news || told).then_some(())
            }
            // A kernel whose own tunnels listen to the protocol answers that none of them is meant, although the raw
            // socket of a far end like ours got the packet.
            (UNREACHABLE, PROTOCOL_UNREACHABLE | PORT_UNREACHABLE | SOURCE_ROUTE_FAILED) => None,
            (UNREACHABLE, _) | (TIME_EXCEEDED, 0) => {
                let error = (DESTINATION_UNREACHABLE, ADDRESS_UNREACHABLE, 0);
                self.send_error(back, error, inner, now).then_some(())
            }
            _ => None,
        }
    }

    /// Whether we send packets there.
    fn is_far_end(&self, outer: Ipv4Addr) -> bool {
        match &self.settings.remote {
            Remote::Address(address) => *address == outer,
            Remote::SixRd(_) => !filter::is_outer_martian(outer),
        }
    }

    /// The outer destination and the inner bytes of the quote `original`; `None` when it is not of a packet of ours.
    fn quoted<'a>(&self, original: &'a [u8]) -> Option<(Ipv4Addr, &'a [u8])> {
        if original.first()? >> 4 == 6 {
            let destination = destination(original);
            let outer = match (&self.settings.remote, destination) {
                (Remote::Address(address), _) => *address,
                (remote, Some(destination)) => remote.outer(destination),
                (Remote::SixRd(_), None) => return None,
            };
            return Some((outer, original));
        }
        let header = ipv4::Header::parse(original).ok().filter(|header| header.protocol == outer::PROTOCOL)?;
        let inner = original.get(header.buffer_len()..usize::from(header.total_length).min(original.len()))?;
        if self.settings.local.is_some_and(|local| local != header.source) {
            return None;
        }
        let ours = match (&self.settings.remote, destination(inner)) {
            (Remote::Address(address), _) => *address == header.destination,
            (remote, Some(inner)) => remote.outer(inner) == header.destination,
            (Remote::SixRd(rule), None) => rule.border_relay == header.destination,
        };
        ours.then_some((header.destination, inner))
    }
}

/// The destination of a quoted IPv6 packet, where the quote reaches that far.
fn destination(inner: &[u8]) -> Option<Ipv6Addr> {
    ipv6::Header::parse(inner).ok().map(|header| header.destination)
}
