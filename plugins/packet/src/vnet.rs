//! Frames in a batch and the virtio header in front of a tun frame.
//!
//! A batch is frames one after the other, each led by its length as a little endian `u32`. A frame whose length word
//! has its top bit set is **padding**: the remaining bits say how many bytes follow, and whoever reads the batch skips
//! them. A host that is asked to puts [`HEADROOM`] bytes of padding in front of every packet, so that a packet can grow
//! where it lies.
//!
//! The virtio header is the ten bytes a tun device with `IFF_VNET_HDR` speaks by default (virtio 1.1 section 5.1.6,
//! without `num_buffers`), all fields little endian.

/// Complete the checksum: the field holds the partial sum of the pseudo header.
pub const NEEDS_CSUM: u8 = 1;
/// The checksum was verified by whoever handed the packet over.
pub const DATA_VALID: u8 = 2;
/// No segmentation.
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4 of many segments.
pub const GSO_TCPV4: u8 = 1;
/// TCP over IPv6 of many segments.
pub const GSO_TCPV6: u8 = 4;
/// UDP of many datagrams.
pub const GSO_UDP_L4: u8 = 5;
/// Beside a TCP type: ECN is in use.
pub const GSO_ECN: u8 = 0x80;

/// Set in the length word of a frame that is to be skipped.
pub const PADDING: u32 = 0x8000_0000;
/// Bytes of padding in front of a packet frame, the length word included.
pub const HEADROOM: usize = 64;

/// The frames of a batch, without the padding.
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
        loop {
            let (word, rest) = self.batch.get(self.at..)?.split_first_chunk::<4>()?;
            let word = u32::from_le_bytes(*word);
            let bytes = rest.get(..(word & !PADDING) as usize)?;
            let start = self.at + 4;
            self.at = start + bytes.len();
            if word & PADDING == 0 {
                return Some(Frame { start, bytes });
            }
        }
    }
}

/// A `virtio_net_hdr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vnet {
    /// 1: the checksum is to be completed. 2: it was verified.
    pub flags: u8,
    /// 0 none, 1 TCP over IPv4, 4 TCP over IPv6, 5 UDP; 0x80 beside TCP: ECN.
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
        let (bytes, packet) = frame.split_first_chunk::<{ Self::LEN }>()?;
        Some((Self::from_bytes(*bytes), packet))
    }

    /// The header from its bytes.
    pub const fn from_bytes([flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1]: [u8; Self::LEN]) -> Self {
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_le_bytes([h0, h1]),
            gso_size: u16::from_le_bytes([g0, g1]),
            csum_start: u16::from_le_bytes([s0, s1]),
            csum_offset: u16::from_le_bytes([o0, o1]),
        }
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

    /// Whether the frame is to become many packets.
    pub const fn is_gso(&self) -> bool {
        self.gso_type & !GSO_ECN != GSO_NONE
    }
}

/// Appends a frame of `bytes` to `batch`.
pub fn push_frame(batch: &mut Vec<u8>, bytes: &[u8]) {
    batch.extend_from_slice(&length_bytes(bytes.len()));
    batch.extend_from_slice(bytes);
}

/// Appends a tun frame of `packet` to `batch`.
pub fn push_tun_frame(batch: &mut Vec<u8>, vnet: &Vnet, packet: &[u8]) {
    begin_tun_frame(batch, vnet, packet.len());
    batch.extend_from_slice(packet);
}

/// Appends what precedes a packet of `length` bytes; the caller appends exactly that many.
pub fn begin_tun_frame(batch: &mut Vec<u8>, vnet: &Vnet, length: usize) {
    let mut head = [0; 4 + Vnet::LEN];
    let (prefix, header) = head.split_at_mut(4);
    prefix.copy_from_slice(&length_bytes(length + Vnet::LEN));
    header.copy_from_slice(&vnet.bytes());
    batch.extend_from_slice(&head);
}

/// Appends [`HEADROOM`] bytes of padding to `batch`.
pub fn push_headroom(batch: &mut Vec<u8>) {
    batch.extend_from_slice(&padding_word(HEADROOM).to_le_bytes());
    batch.resize(batch.len() + HEADROOM - 4, 0);
}

/// The length word of `length` bytes of padding, four or more, the word included.
pub const fn padding_word(length: usize) -> u32 {
    PADDING | (length.saturating_sub(4) as u32 & !PADDING)
}

/// The length before a frame. A packet is far below 2 GiB; saturating keeps the function total.
fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).min(!PADDING).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_a_cut_batch_is_told() {
        let mut batch = Vec::new();
        push_frame(&mut batch, &[1, 2, 3]);
        push_frame(&mut batch, &[]);
        push_frame(&mut batch, &[4]);
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
    fn padding_is_skipped_wherever_it_stands() {
        let mut batch = vec![0, 0, 0, 0x80];
        push_headroom(&mut batch);
        assert_eq!(batch[4..8], [0x3c, 0, 0, 0x80]);
        assert_eq!(batch.len(), 4 + HEADROOM);
        push_frame(&mut batch, &[7, 8]);
        push_headroom(&mut batch);
        let mut frames = Frames::new(&batch);
        assert_eq!(frames.next(), Some(Frame { start: 4 + HEADROOM + 4, bytes: &[7, 8] }));
        assert_eq!(frames.next(), None);
        assert!(!frames.is_cut_off());
        let mut frames = Frames::new(&batch[..batch.len() - 1]);
        assert_eq!(frames.by_ref().count(), 1);
        assert!(frames.is_cut_off());
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
