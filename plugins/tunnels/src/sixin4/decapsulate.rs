//! From the tunnel to the tun device (RFC 4213 section 3.6): nothing is believed before it is checked.

use super::counters::Reason;
use super::encapsulate::inner_packet;
use super::frame::{Frame, Frames, Vnet, push_tun_frame};
use super::{DataPath, ecn, filter, mss, outer};
use crate::time::Instant;
use portreeve_packet::{ipv4, ipv6};
use std::ops::Range;

/// A packet that may come in.
struct Received {
    /// Where it is in the batch.
    range: Range<usize>,
    /// Its second byte, with the ECN field it is to have.
    class: u8,
}

impl DataPath {
    /// Unwraps the IPv4 frames of the batch `frames`; tun frames are appended to `out`.
    ///
    /// Packets of one TCP flow keep their order; those of different flows may change places within the batch.
    pub fn decapsulate(&mut self, frames: &[u8], out: &mut Vec<u8>, now: Instant) {
        let mtu = self.paths.narrowest(self.settings.effective_mtu(), now);
        let mut walk = Frames::new(frames);
        for frame in walk.by_ref() {
            match self.receive(frame) {
                Ok(Some(received)) => self.deliver(frames, received, mtu, out),
                Ok(None) => {}
                Err(reason) => self.counters.dropped(reason),
            }
        }
        if walk.is_cut_off() {
            self.counters.dropped(Reason::Malformed);
        }
        self.counters.rx_coalesced += self.coalescer.flush(frames, out);
    }

    /// Checks a frame; `None` when the packet was for us.
    fn receive(&mut self, frame: Frame<'_>) -> Result<Option<Received>, Reason> {
        let header = ipv4::Header::parse(frame.bytes).map_err(|error| match error {
            ipv4::ParseError::Truncated => Reason::Truncated,
            _ => Reason::Malformed,
        })?;
        let payload =
            frame.bytes.get(header.buffer_len()..usize::from(header.total_length)).ok_or(Reason::Truncated)?;
        self.check_outer(&header)?;
        let (inner, packet) = inner_packet(payload)?;
        self.check_inner(&header, &inner)?;
        if filter::is_nested_too_deep(packet) {
            return Err(Reason::Nested);
        }
        let ecn = ecn::decapsulated(inner.traffic_class, header.tos).ok_or(Reason::Ecn)?;
        self.counters.rx_packets += 1;
        self.counters.rx_bytes += packet.len() as u64;
        if self.is_echo_reply(&inner, packet) {
            return Ok(None);
        }
        let start = frame.start + header.buffer_len();
        let class = packet.get(1).copied().unwrap_or(0) & !(ecn::MASK << 4) | ecn << 4;
        Ok(Some(Received { range: start..start + packet.len(), class }))
    }

    fn check_outer(&self, header: &ipv4::Header<'_>) -> Result<(), Reason> {
        if header.protocol != outer::PROTOCOL {
            return Err(Reason::OtherProtocol);
        }
        if header.is_fragment() {
            return Err(Reason::Fragment);
        }
        if self.settings.local.is_some_and(|local| local != header.destination) {
            return Err(Reason::OtherDestination);
        }
        if filter::is_outer_martian(header.source) {
            return Err(Reason::Martian);
        }
        Ok(())
    }

    fn check_inner(&self, outer: &ipv4::Header<'_>, inner: &ipv6::Header) -> Result<(), Reason> {
        if !self.settings.remote.accepts(outer.source, inner.source) {
            return Err(Reason::Spoofed);
        }
        if self.settings.filter && filter::is_inner_martian(inner.source, inner.destination) {
            return Err(Reason::Martian);
        }
        if self.settings.is_own(inner.source) {
            return Err(Reason::OwnPrefix);
        }
        Ok(())
    }

    /// Appends the packet to `out`, or keeps it to be joined with others.
    fn deliver(&mut self, batch: &[u8], received: Received, mtu: u16, out: &mut Vec<u8>) {
        let Received { range, class } = received;
        if self.settings.coalesce {
            let (taken, coalesced) = self.coalescer.offer(batch, range.clone(), class, out);
            self.counters.rx_coalesced += coalesced;
            if taken {
                return;
            }
        }
        let Some(packet) = batch.get(range) else { return };
        push_tun_frame(out, &Vnet::default(), packet);
        let start = out.len() - packet.len();
        let Some(copy) = out.get_mut(start..) else { return };
        if let Some(byte) = copy.get_mut(1) {
            *byte = class;
        }
        if self.settings.mss_clamp {
            mss::clamp(copy, mtu, false);
        }
    }
}
