//! The keepalive: ICMPv6 echo through the tunnel, its reply taken out before it reaches the kernel.

use super::DataPath;
use super::outer::Outer;
use crate::time::Instant;
use portreeve_packet::{icmpv6, ipv6};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Events kept until they are polled; the oldest is dropped for a new one.
pub const MAX_EVENTS: usize = 16;

const HOP_LIMIT: u8 = 64;

/// Something the caller may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The far side answered a keepalive.
    EchoReply {
        /// Who answered.
        source: Ipv6Addr,
        /// The request's identifier.
        identifier: u16,
        /// The request's sequence number.
        sequence: u16,
    },
    /// A path became narrower than the tunnel MTU.
    PathMtu {
        /// The outer destination.
        remote: Ipv4Addr,
        /// The largest IPv6 packet it takes.
        mtu: u16,
    },
}

/// What the keepalive remembers.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// The source and identifier of the last request: whose replies are ours.
    awaited: Option<(Ipv6Addr, u16)>,
    pub(super) events: VecDeque<Event>,
}

impl Echo {
    /// Keeps an event.
    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl DataPath {
    /// Appends an echo request as an IPv4 frame to `out`. From now on replies to `source` with this `identifier` are
    /// consumed and come out of [`DataPath::poll_event`].
    pub fn echo_request(
        &mut self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        identifier: u16,
        sequence: u16,
        out: &mut Vec<u8>,
        now: Instant,
    ) {
        self.echo.awaited = Some((source, identifier));
        let [i0, i1] = identifier.to_be_bytes();
        let [s0, s1] = sequence.to_be_bytes();
        let mut message = [icmpv6::ECHO_REQUEST, 0, 0, 0, i0, i1, s0, s1];
        let header = ipv6::Header {
            traffic_class: 0,
            flow_label: 0,
            payload_length: message.len() as u16,
            next_header: icmpv6::NEXT_HEADER,
            hop_limit: HOP_LIMIT,
            source,
            destination,
        };
        let mut bytes = [0; ipv6::Header::LEN];
        // Both buffers are of the size asked for: neither call can fail.
        let _ = icmpv6::fill_checksum(source, destination, &mut message);
        let _ = header.emit(&mut bytes);
        let to = self.settings.remote.outer(destination);
        let path = self.paths.get(to, self.settings.effective_mtu(), now);
        let dont_fragment = self.settings.dont_fragment && !path.fragment;
        Outer::new(&self.settings, to, dont_fragment, 0, HOP_LIMIT).begin(out, bytes.len() + message.len());
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&message);
        self.counters.echo_requests += 1;
        self.counters.tx_packets += 1;
        self.counters.tx_bytes += (bytes.len() + message.len()) as u64;
    }

    /// Ends the keepalive: replies reach the kernel again.
    pub const fn forget_echo(&mut self) {
        self.echo.awaited = None;
    }

    /// Whether the whole packet `packet` is a reply to our keepalive; it is consumed then.
    pub(super) fn is_echo_reply(&mut self, header: &ipv6::Header, packet: &[u8]) -> bool {
        let Some((source, identifier)) = self.echo.awaited else { return false };
        if header.next_header != icmpv6::NEXT_HEADER || header.destination != source {
            return false;
        }
        let Some(message) = packet.get(ipv6::Header::LEN..) else { return false };
        let Some([kind, code, _, _, i0, i1, s0, s1]) = message.first_chunk::<8>() else { return false };
        let is_ours = (*kind, *code, u16::from_be_bytes([*i0, *i1])) == (icmpv6::ECHO_REPLY, 0, identifier)
            && icmpv6::verify_checksum(header.source, header.destination, message);
        if is_ours {
            let sequence = u16::from_be_bytes([*s0, *s1]);
            self.echo.event(Event::EchoReply { source: header.source, identifier, sequence });
            self.counters.echo_replies += 1;
        }
        is_ours
    }
}
