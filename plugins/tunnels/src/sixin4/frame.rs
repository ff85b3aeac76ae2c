//! Frames in a batch and the virtio header in front of a tun frame.
//!
//! The virtio header is the ten bytes a tun device with `IFF_VNET_HDR` speaks by default (virtio 1.1 section 5.1.6,
//! without `num_buffers`), all fields little endian.

/// Complete the checksum: the field holds the partial sum of the pseudo header.
pub(super) const NEEDS_CSUM: u8 = 1;
/// No segmentation.
pub(super) const GSO_NONE: u8 = 0;
/// TCP over IPv6 of many segments.
pub(super) const GSO_TCPV6: u8 = 4;
/// UDP of many datagrams.
pub(super) const GSO_UDP_L4: u8 = 5;
/// Beside a TCP type: ECN is in use.
pub(super) const GSO_ECN: u8 = 0x80;

/// The frames of a batch.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    batch: &'a [u8],
    at: usize,
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where its bytes begin in the batch, after the length.
    pub start: usize,
    /// Its bytes without the length.
    pub bytes: &'a [u8],
}

impl<'a> Frames<'a> {
    /// The frames of `batch`.
    pub const fn new(batch: &'a [u8]) -> Self {
        Self { batch, at: 0 }
    }

    /// Whether the batch was cut off; to be asked after the last frame.
    pub const fn is_cut_off(&self) -> bool {
        self.at < self.batch.len()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let (length, rest) = self.batch.get(self.at..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let bytes = rest.get(..length)?;
        let start = self.at + 4;
        self.at = start + length;
        Some(Frame { start, bytes })
    }
}

/// A `virtio_net_hdr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vnet {
    /// 1: the checksum is to be completed.
    pub flags: u8,
    /// 0 none, 4 TCP over IPv6, 5 UDP; 0x80 beside TCP: ECN.
    pub gso_type: u8,
    /// Bytes of all headers, a hint.
    pub hdr_len: u16,
    /// Payload bytes of each segment.
    pub gso_size: u16,
    /// Where the summed bytes begin.
    pub csum_start: u16,
    /// Where the checksum stands after `csum_start`.
    pub csum_offset: u16,
}

impl Vnet {
    /// Bytes of the header.
    pub const LEN: usize = 10;

    /// The header of `frame` and the packet after it; `None` when the frame is too short.
    pub fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1], packet) = frame.split_first_chunk::<10>()?;
        let header = Self {
            flags: *flags,
            gso_type: *gso_type,
            hdr_len: u16::from_le_bytes([*h0, *h1]),
            gso_size: u16::from_le_bytes([*g0, *g1]),
            csum_start: u16::from_le_bytes([*s0, *s1]),
            csum_offset: u16::from_le_bytes([*o0, *o1]),
        };
        Some((header, packet))
    }

    /// The header's bytes.
    pub const fn bytes(&self) -> [u8; Self::LEN] {
        let [h0, h1] = self.hdr_len.to_le_bytes();
        let [g0, g1] = self.gso_size.to_le_bytes();
        let [s0, s1] = self.csum_start.to_le_bytes();
        let [o0, o1] = self.csum_offset.to_le_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }

    /// Whether the checksum is to be completed.
    pub const fn needs_csum(&self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }
}

/// Appends a tun frame of `packet` to `batch`.
pub fn push_tun_frame(batch: &mut Vec<u8>, vnet: &Vnet, packet: &[u8]) {
    begin_tun_frame(batch, vnet, packet.len());
    batch.extend_from_slice(packet);
}

/// Appends an IPv4 frame to `batch`.
pub fn push_ipv4_frame(batch: &mut Vec<u8>, packet: &[u8]) {
    batch.extend_from_slice(&length_bytes(packet.len()));
    batch.extend_from_slice(packet);
}

/// Appends what precedes a packet of `length` bytes; the caller appends exactly that many.
pub(super) fn begin_tun_frame(batch: &mut Vec<u8>, vnet: &Vnet, length: usize) {
    let mut head = [0; 4 + Vnet::LEN];
    let (prefix, header) = head.split_at_mut(4);
    prefix.copy_from_slice(&length_bytes(length + Vnet::LEN));
    header.copy_from_slice(&vnet.bytes());
    batch.extend_from_slice(&head);
}

/// The length before a frame. A packet is far below 4 GiB; saturating keeps the function total.
fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_a_cut_batch_is_told() {
        let mut batch = Vec::new();
        push_ipv4_frame(&mut batch, &[1, 2, 3]);
        push_ipv4_frame(&mut batch, &[]);
        push_ipv4_frame(&mut batch, &[4]);
        let frames: Vec<&[u8]> = Frames::new(&batch).map(|frame| frame.bytes).collect();
        assert_eq!(frames, [&[1, 2, 3][..], &[], &[4]]);
        for length in 0..batch.len() {
            let mut frames = Frames::new(&batch[..length]);
            let count = frames.by_ref().count();
            assert_eq!(frames.is_cut_off(), ![0, 7, 11].contains(&length), "{length}");
            assert!(count < 3);
        }
    }

    #[test]
    fn a_virtio_header_is_little_endian_both_ways() {
        let vnet = Vnet { flags: 1, gso_type: 4, hdr_len: 72, gso_size: 1400, csum_start: 40, csum_offset: 16 };
        let bytes = [1, 4, 72, 0, 0x78, 0x05, 40, 0, 16, 0];
        assert_eq!(vnet.bytes(), bytes);
        assert_eq!(Vnet::parse(&bytes), Some((vnet, &[][..])));
        assert_eq!(Vnet::parse(&bytes[..9]), None);
    }
}
