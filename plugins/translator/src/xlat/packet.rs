//! A packet where it lies in a buffer, with room in front of it.

use super::counters::Reason;
use super::transport::{Layer, word};
use portreeve_packet::segment;
use portreeve_packet::vnet::{GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, Vnet};

/// A packet in a buffer.
pub(super) struct Packet<'a> {
    buffer: &'a mut [u8],
    /// Before this the packet may not begin.
    floor: usize,
    /// Where it begins.
    pub(super) start: usize,
    end: usize,
    /// Its virtio header.
    pub(super) vnet: Vnet,
}

impl<'a> Packet<'a> {
    /// The packet at `start..end` of `buffer`, which may grow down to `floor`.
    #[inline]
    pub(super) const fn new(buffer: &'a mut [u8], floor: usize, start: usize, end: usize, vnet: Vnet) -> Self {
        Self { buffer, floor, start, end, vnet }
    }

    /// Its bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Its bytes from `at` on.
    #[inline]
    pub(super) fn behind(&self, at: usize) -> &[u8] {
        self.buffer.get(self.start + at..self.end).unwrap_or_default()
    }

    /// Its bytes from `at` on.
    #[inline]
    pub(super) fn behind_mut(&mut self, at: usize) -> &mut [u8] {
        self.buffer.get_mut(self.start + at..self.end).unwrap_or_default()
    }

    /// How many bytes it has.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it is IPv6.
    #[inline]
    pub(super) fn is_v6(&self) -> bool {
        self.buffer.get(self.start).is_some_and(|first| first >> 4 == 6)
    }

    /// Puts `header`, which is of the other family, in the place of the first `old` bytes.
    #[inline]
    pub(super) fn replace(&mut self, old: usize, header: &[u8]) -> Result<(), Reason> {
        let start = (self.start + old).checked_sub(header.len()).filter(|start| *start >= self.floor);
        let start = start.ok_or(Reason::Malformed)?;
        let place = self.buffer.get_mut(start..start + header.len()).ok_or(Reason::Malformed)?;
        place.copy_from_slice(header);
        self.start = start;
        let shifted = |at: u16| at.saturating_sub(old as u16).saturating_add(header.len() as u16);
        if self.vnet.needs_csum() {
            self.vnet.csum_start = shifted(self.vnet.csum_start);
        }
        if self.vnet.hdr_len != 0 {
            self.vnet.hdr_len = shifted(self.vnet.hdr_len);
        }
        self.vnet.gso_type = match self.vnet.gso_type & !GSO_ECN {
            GSO_TCPV4 => GSO_TCPV6 | self.vnet.gso_type & GSO_ECN,
            GSO_TCPV6 => GSO_TCPV4 | self.vnet.gso_type & GSO_ECN,
            _ => self.vnet.gso_type,
        };
        Ok(())
    }

    /// Checks the virtio header against the transport header `layer` at `transport`; a checksum that is not that of a TCP
    /// or UDP header is completed here.
    #[inline]
    pub(super) fn check_offload(&mut self, transport: usize, layer: Layer) -> Result<(), Reason> {
        if self.vnet.is_gso() {
            let fits = match self.vnet.gso_type & !GSO_ECN {
                GSO_TCPV4 => layer == Layer::Tcp && !self.is_v6(),
                GSO_TCPV6 => layer == Layer::Tcp && self.is_v6(),
                GSO_UDP_L4 => layer == Layer::Udp,
                _ => false,
            };
            if !fits || self.vnet.gso_size == 0 || self.payload(transport, layer) == 0 {
                return Err(Reason::Malformed);
            }
        }
        if self.vnet.needs_csum() {
            let plain = usize::from(self.vnet.csum_start) == transport
                && layer.checksum_at() == Some(usize::from(self.vnet.csum_offset));
            if !plain {
                if self.vnet.is_gso() {
                    return Err(Reason::Malformed);
                }
                self.complete_checksum()?;
            }
        }
        Ok(())
    }

    /// Completes the checksum, where the virtio header asks for it.
    pub(super) fn complete_checksum(&mut self) -> Result<(), Reason> {
        if self.vnet.needs_csum() {
            let packet = self.buffer.get_mut(self.start..self.end).unwrap_or_default();
            segment::complete(packet, &self.vnet).ok_or(Reason::Malformed)?;
            self.vnet.flags &= !NEEDS_CSUM;
            self.vnet.csum_start = 0;
            self.vnet.csum_offset = 0;
        }
        Ok(())
    }

    /// Bytes of the largest packet on the wire, and how many there are.
    #[inline]
    pub(super) fn segments(&self, transport: usize, layer: Layer) -> (usize, u64) {
        if !self.vnet.is_gso() {
            return (self.len(), 1);
        }
        let payload = self.payload(transport, layer);
        let size = usize::from(self.vnet.gso_size).max(1);
        (self.len() - payload + payload.min(size), payload.div_ceil(size) as u64)
    }

    /// Bytes after the transport header.
    fn payload(&self, transport: usize, layer: Layer) -> usize {
        let header = match layer {
            Layer::Tcp => usize::from(self.behind(transport).get(12).copied().unwrap_or(0) >> 4) * 4,
            _ => 8,
        };
        self.len().saturating_sub(transport + header)
    }
}

/// How many bytes the IP header at the front of `bytes` says that there are; `None` when it is none.
#[inline]
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? >> 4 {
        4 => Some(usize::from(word(bytes, 2))),
        6 => Some(super::headers::LEN6 + usize::from(word(bytes, 4))),
        _ => None,
    }
}
