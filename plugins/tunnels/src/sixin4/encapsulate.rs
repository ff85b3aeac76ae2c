//! From the tun device into the tunnel (RFC 4213 section 3).
//!
//! The kernel has routed the packet and counted down its hop limit; here it is checked, made to fit and wrapped.

use super::counters::Reason;
use super::frame::{Frames, GSO_NONE, Vnet};
use super::icmp::NO_ROUTE;
use super::outer::Outer;
use super::path::Path;
use super::{DataPath, Remote, filter, mss, segment};
use crate::time::Instant;
use portreeve_packet::icmpv6::{DESTINATION_UNREACHABLE, PACKET_TOO_BIG};
use portreeve_packet::ipv6;
use std::net::Ipv4Addr;

impl DataPath {
    /// Wraps the tun frames of the batch `frames`.
    ///
    /// IPv4 frames are appended to `out`, and tun frames with ICMPv6 errors for local senders to `back`.
    pub fn encapsulate(&mut self, frames: &[u8], out: &mut Vec<u8>, back: &mut Vec<u8>, now: Instant) {
        let mut frames = Frames::new(frames);
        for frame in frames.by_ref() {
            if let Err(reason) = self.encapsulate_frame(frame.bytes, out, back, now) {
                self.counters.dropped(reason);
            }
        }
        if frames.is_cut_off() {
            self.counters.dropped(Reason::Malformed);
        }
    }

    fn encapsulate_frame(
        &mut self,
        frame: &[u8],
        out: &mut Vec<u8>,
        back: &mut Vec<u8>,
        now: Instant,
    ) -> Result<(), Reason> {
        let (vnet, bytes) = Vnet::parse(frame).ok_or(Reason::Malformed)?;
        let (header, packet) = inner_packet(bytes)?;
        let (to, path) = match self.way(&header, packet, now) {
            Err(Reason::Looped) => {
                self.send_error(back, (DESTINATION_UNREACHABLE, NO_ROUTE, 0), packet, now);
                return Err(Reason::Looped);
            }
            way => way?,
        };
        let dont_fragment = self.settings.dont_fragment && !path.fragment;
        let outer = Outer::new(&self.settings, to, dont_fragment, header.traffic_class, header.hop_limit);
        let sent = if vnet.gso_type == GSO_NONE {
            self.write_one(packet, &vnet, path.mtu, &outer, out)
        } else {
            segment::plan(packet, &vnet, path.mtu).map(|plan| {
                self.counters.tx_segmented += 1;
                segment::write(&plan, &outer, out)
            })
        };
        if sent == Err(Reason::TooBig) {
            self.send_error(back, (PACKET_TOO_BIG, 0, u32::from(path.mtu)), packet, now);
        }
        let (packets, bytes) = sent?;
        self.counters.tx_packets += packets;
        self.counters.tx_bytes += bytes;
        Ok(())
    }

    /// The outer destination of a packet and its path.
    fn way(&self, header: &ipv6::Header, packet: &[u8], now: Instant) -> Result<(Ipv4Addr, Path), Reason> {
        if self.settings.is_own(header.destination) {
            return Err(Reason::Looped);
        }
        if filter::is_nested_too_deep(packet) {
            return Err(Reason::Nested);
        }
        let to = self.settings.remote.outer(header.destination);
        if let Remote::SixRd(rule) = &self.settings.remote {
            // RFC 6324 section 3: a packet to ourselves would come straight back.
            if to == rule.ipv4 {
                return Err(Reason::Looped);
            }
            if filter::is_outer_martian(to) {
                return Err(Reason::Martian);
            }
        }
        Ok((to, self.paths.get(to, self.settings.effective_mtu(), now)))
    }

    /// Wraps a packet that needs no cutting; how many packets and bytes that made.
    fn write_one(
        &self,
        packet: &[u8],
        vnet: &Vnet,
        mtu: u16,
        outer: &Outer,
        out: &mut Vec<u8>,
    ) -> Result<(u64, u64), Reason> {
        if packet.len() > usize::from(mtu) {
            return Err(Reason::TooBig);
        }
        let begin = out.len();
        outer.begin(out, packet.len());
        let start = out.len();
        out.extend_from_slice(packet);
        let Some(copy) = out.get_mut(start..) else { return Err(Reason::Malformed) };
        if self.settings.mss_clamp {
            mss::clamp(copy, mtu, vnet.needs_csum());
        }
        if vnet.needs_csum() && segment::complete(copy, vnet).is_none() {
            out.truncate(begin);
            return Err(Reason::Malformed);
        }
        Ok((1, packet.len() as u64))
    }
}

/// The header and the bytes of the IPv6 packet at the front of `bytes`, without what follows it.
pub(super) fn inner_packet(bytes: &[u8]) -> Result<(ipv6::Header, &[u8]), Reason> {
    let header = ipv6::Header::parse(bytes).map_err(|error| match error {
        ipv6::ParseError::Version => Reason::NotIpv6,
        ipv6::ParseError::Truncated => Reason::Truncated,
    })?;
    let packet = bytes.get(..ipv6::Header::LEN + usize::from(header.payload_length)).ok_or(Reason::Truncated)?;
    Ok((header, packet))
}
