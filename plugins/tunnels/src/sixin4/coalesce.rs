//! Joins TCP segments of one batch into large frames, as generic receive offload does in Linux.
//!
//! A flow holds ranges of the batch, not bytes; when it is flushed the payloads are copied once, behind the first
//! segment's headers. Joined are segments that a sender's segmentation could have cut from one frame, so that cutting
//! the frame again gives the segments back: same headers but for length, sequence and checksum, sizes equal but for a
//! shorter last one, PSH only on the last. The kernel believes a joined frame's checksum, so each segment's is
//! verified here; the first one's only when a second arrives.

use super::ecn;
use super::frame::{GSO_TCPV6, NEEDS_CSUM, Vnet, begin_tun_frame};
use super::segment::{pseudo_header, put};
use portreeve_packet::checksum::Checksum;
use portreeve_packet::tcp::{ACK, PSH};
use portreeve_packet::{icmpv6, ipv6, tcp};
use std::ops::Range;

/// Flows of a batch that are joined at the same time; one more flushes the oldest.
const MAX_FLOWS: usize = 8;
/// Bytes of a joined packet, its IPv6 header included.
const MAX_PACKET: usize = 65535;
/// Where the TCP header is; segments behind extension headers are not joined.
const TRANSPORT: usize = ipv6::Header::LEN;

/// Addresses and ports, as they stand in the packet from byte 8 on.
type Key = [u8; 36];

/// The flows of the batch at hand.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    flows: [Flow; MAX_FLOWS],
    /// Which slot is taken next when all are in use.
    oldest: usize,
    active: usize,
}

#[derive(Debug)]
struct Flow {
    active: bool,
    key: Key,
    /// The first packet.
    first: Range<usize>,
    /// The second byte of the IPv6 header, ECN already as it is to leave.
    class: u8,
    headers: usize,
    size: usize,
    next_sequence: u32,
    length: usize,
    /// Payloads after the first; its capacity outlives the batch.
    more: Vec<Range<usize>>,
    verified: bool,
    /// A short or pushed segment was the last.
    closed: bool,
    pushed: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            active: false,
            key: [0; 36],
            first: 0..0,
            class: 0,
            headers: 0,
            size: 0,
            next_sequence: 0,
            length: 0,
            more: Vec::new(),
            verified: false,
            closed: false,
            pushed: false,
        }
    }
}

/// A packet that can be part of a joined frame.
struct Segment<'a> {
    packet: &'a [u8],
    class: u8,
    headers: usize,
    payload: usize,
    sequence: u32,
    pushed: bool,
}

impl Coalescer {
    /// Offers the packet at `range` of `batch`, whose second byte is to be `class`: whether it was taken, and how
    /// many joined frames went to `out` meanwhile.
    ///
    /// One that is not taken may be written to `out` at once: what must precede it is there.
    pub(super) fn offer(&mut self, batch: &[u8], range: Range<usize>, class: u8, out: &mut Vec<u8>) -> (bool, u64) {
        let Some(packet) = batch.get(range.clone()) else { return (false, 0) };
        match packet.get(6) {
            Some(&ipv6::TCP) => {}
            Some(&(ipv6::UDP | icmpv6::NEXT_HEADER)) => return (false, 0),
            _ => return (false, self.flush_addresses(packet, batch, out)),
        }
        let Some(key) = packet.get(8..).and_then(|rest| rest.first_chunk()) else {
            return (false, self.flush_addresses(packet, batch, out));
        };
        let segment = Segment::parse(packet, class);
        let known =
            if self.active == 0 { None } else { self.flows.iter_mut().find(|flow| flow.active && flow.key == *key) };
        match (known, segment) {
            (None, None) => (false, 0),
            (None, Some(segment)) => {
                let (slot, coalesced) = self.free_slot(batch, out);
                if let Some(flow) = self.flows.get_mut(slot) {
                    flow.start(key, range, &segment);
                    self.active += 1;
                }
                (true, coalesced)
            }
            (Some(flow), segment) => {
                if let Some(segment) = &segment
                    && flow.continues(batch, segment)
                {
                    flow.append(range, segment);
                    return (true, 0);
                }
                let coalesced = flow.flush(batch, out);
                match segment {
                    Some(segment) => {
                        flow.start(key, range, &segment);
                        (true, coalesced)
                    }
                    None => {
                        self.active -= 1;
                        (false, coalesced)
                    }
                }
            }
        }
    }

    /// Writes everything that is kept to `out`; how many joined frames that made.
    pub(super) fn flush(&mut self, batch: &[u8], out: &mut Vec<u8>) -> u64 {
        if self.active == 0 {
            return 0;
        }
        self.active = 0;
        // The oldest flow first: from the slot that would be taken next on.
        let (newer, older) = self.flows.split_at_mut(self.oldest.min(MAX_FLOWS));
        older.iter_mut().chain(newer).map(|flow| flow.flush(batch, out)).sum()
    }

    /// Flushes the flows between the addresses of a packet that may belong to any of them.
    fn flush_addresses(&mut self, packet: &[u8], batch: &[u8], out: &mut Vec<u8>) -> u64 {
        let Some(addresses) = packet.get(8..ipv6::Header::LEN) else { return 0 };
        let mut coalesced = 0;
        for flow in self.flows.iter_mut().filter(|flow| flow.active && flow.key.starts_with(addresses)) {
            coalesced += flow.flush(batch, out);
            self.active -= 1;
        }
        coalesced
    }

    /// A slot without a flow, made free if need be.
    fn free_slot(&mut self, batch: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        if let Some(slot) = self.flows.iter().position(|flow| !flow.active) {
            return (slot, 0);
        }
        let slot = self.oldest;
        self.oldest = (slot + 1) % MAX_FLOWS;
        self.active -= 1;
        (slot, self.flows.get_mut(slot).map_or(0, |flow| flow.flush(batch, out)))
    }
}

impl Flow {
    fn start(&mut self, key: &Key, first: Range<usize>, segment: &Segment<'_>) {
        self.active = true;
        self.key = *key;
        self.first = first;
        self.class = segment.class;
        self.headers = segment.headers;
        self.size = segment.payload;
        self.next_sequence = segment.sequence.wrapping_add(segment.payload as u32);
        self.length = segment.packet.len();
        self.more.clear();
        self.verified = false;
        self.closed = segment.pushed;
        self.pushed = segment.pushed;
    }

    /// Whether `segment` follows and may be joined.
    fn continues(&mut self, batch: &[u8], segment: &Segment<'_>) -> bool {
        let Some(first) = batch.get(self.first.clone()) else { return false };
        if self.closed
            || segment.sequence != self.next_sequence
            || segment.payload > self.size
            || self.length + segment.payload > MAX_PACKET
            || self.headers != segment.headers
            || self.class != segment.class
            || !same_headers(first, segment.packet, self.headers)
        {
            return false;
        }
        if !self.verified {
            self.verified = has_right_checksum(first);
        }
        self.verified && has_right_checksum(segment.packet)
    }

    fn append(&mut self, range: Range<usize>, segment: &Segment<'_>) {
        self.more.push(range.start + segment.headers..range.end);
        self.next_sequence = self.next_sequence.wrapping_add(segment.payload as u32);
        self.length += segment.payload;
        self.pushed = segment.pushed;
        self.closed = segment.pushed || segment.payload < self.size;
    }

    /// Writes the flow to `out` and frees it; 1 when segments were joined.
    fn flush(&mut self, batch: &[u8], out: &mut Vec<u8>) -> u64 {
        if !core::mem::take(&mut self.active) {
            return 0;
        }
        let Some(first) = batch.get(self.first.clone()) else { return 0 };
        let joined = !self.more.is_empty();
        let vnet = if joined {
            Vnet {
                flags: NEEDS_CSUM,
                gso_type: GSO_TCPV6,
                hdr_len: self.headers as u16,
                gso_size: self.size as u16,
                csum_start: TRANSPORT as u16,
                csum_offset: 16,
            }
        } else {
            Vnet::default()
        };
        begin_tun_frame(out, &vnet, self.length);
        let start = out.len();
        out.extend_from_slice(first);
        for payload in &self.more {
            out.extend_from_slice(batch.get(payload.clone()).unwrap_or_default());
        }
        let Some(packet) = out.get_mut(start..) else { return 0 };
        if let Some(byte) = packet.get_mut(1) {
            *byte = self.class;
        }
        if joined {
            let length = self.length - TRANSPORT;
            put(packet, 4, length as u16);
            if let Some(flags) = packet.get_mut(TRANSPORT + 13) {
                *flags = if self.pushed { ACK | PSH } else { ACK };
            }
            let partial = pseudo_header(packet, ipv6::TCP, length).unwrap_or(0);
            put(packet, TRANSPORT + 16, partial);
        }
        u64::from(joined)
    }
}

impl<'a> Segment<'a> {
    /// The segment in the whole packet `packet`; `None` for one that has to stay alone.
    fn parse(packet: &'a [u8], class: u8) -> Option<Self> {
        let header = tcp::Header::parse(packet.get(TRANSPORT..)?).ok()?;
        let headers = TRANSPORT + header.buffer_len();
        let payload = packet.len().checked_sub(headers).filter(|payload| *payload > 0)?;
        let plain = header.flags & !PSH == ACK && header.reserved == 0;
        plain.then_some(Self {
            packet,
            class,
            headers,
            payload,
            sequence: header.sequence,
            pushed: header.flags & PSH != 0,
        })
    }
}

/// Whether all header fields agree that joining does not change. The key has been compared, and the class.
fn same_headers(first: &[u8], packet: &[u8], headers: usize) -> bool {
    let masked = |bytes: &[u8]| {
        // Version and the upper class bits; of the second byte the flow label's part, its class part is `class`.
        let [a, b, c, d] = *bytes.first_chunk::<4>()?;
        Some(([a, b & !(ecn::MASK << 4), c, d], *bytes.get(7)?))
    };
    let same = |range: Range<usize>| {
        let (first, packet) = (first.get(range.clone()), packet.get(range));
        first.is_some() && first == packet
    };
    masked(first) == masked(packet)
        // acknowledgment and data offset; window; urgent pointer and options
        && same(TRANSPORT + 8..TRANSPORT + 13)
        && same(TRANSPORT + 14..TRANSPORT + 16)
        && same(TRANSPORT + 18..headers)
}

fn has_right_checksum(packet: &[u8]) -> bool {
    let Some(covered) = packet.get(8..) else { return false };
    let length = packet.len().saturating_sub(TRANSPORT);
    let mut checksum = Checksum::new();
    checksum.add(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    checksum.add(&[0, ipv6::TCP]);
    // Addresses and segment stand side by side.
    checksum.add(covered);
    checksum.finish() == 0
}
