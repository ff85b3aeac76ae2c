//! The Internet checksum of RFC 1071 and the IPv6 pseudo header of RFC 8200 section 8.1.
//!
//! A [`Checksum`] is a running one's-complement sum: feed it the pseudo header and then the packet, in any number of
//! pieces (odd ones too), and take [`Checksum::finish`]. Whether a field of zero means "absent" (UDP over IPv4) is
//! the caller's business, not this file's.
//!
//! The sum runs over four-byte words in the machine's own byte order, which RFC 1071 section 2(B) allows: only the
//! folded sixteen bits are turned around. It is plain code that the compiler can make vector code of.

use std::net::Ipv6Addr;

/// A running one's-complement sum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum {
    // Cannot overflow: each call of `add` adds less than 2^18, so 2^46 calls would be needed.
    sum: u64,
    odd: bool,
}

impl Checksum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self { sum: 0, odd: false }
    }

    /// The pseudo header of an upper-layer packet of `length` bytes (RFC 8200 section 8.1).
    pub fn ipv6_pseudo_header(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, length: u32) -> Self {
        let mut checksum = Self::new();
        checksum.add(&source.octets());
        checksum.add(&destination.octets());
        checksum.add(&length.to_be_bytes());
        checksum.add(&[0, 0, 0, next_header]);
        checksum
    }

    /// Adds the next bytes of the packet.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.odd
            && let Some((first, tail)) = rest.split_first()
        {
            self.sum += u64::from(*first);
            self.odd = false;
            rest = tail;
        }
        let (words, tail) = rest.as_chunks::<4>();
        let (pairs, last) = tail.as_chunks::<2>();
        self.sum += u64::from(sum_words(words));
        for pair in pairs {
            self.sum += u64::from(u16::from_be_bytes(*pair));
        }
        if let [byte] = last {
            self.sum += u64::from(*byte) << 8;
            self.odd = true;
        }
    }

    /// A sum that starts from `partial`, what [`Checksum::partial`] gave.
    pub const fn from_partial(partial: u16) -> Self {
        Self { sum: partial as u64, odd: false }
    }

    /// The folded sum itself, not inverted: what a checksum field holds while a later stage is to finish it
    /// (CHECKSUM_PARTIAL in Linux, `NEEDS_CSUM` in virtio 1.1 section 5.1.6.2).
    pub const fn partial(self) -> u16 {
        fold(self.sum)
    }

    /// The value of the checksum field; over a packet with a right checksum in place it is 0.
    pub const fn finish(self) -> u16 {
        !fold(self.sum)
    }
}

/// The checksum field after one 16-bit word under it changed from `old` to `new` (RFC 1624 section 3, equation 3).
///
/// A word at an odd distance from the start of the summed bytes is given with its bytes swapped, both times.
pub const fn update(field: u16, old: u16, new: u16) -> u16 {
    !fold(!field as u64 + !old as u64 + new as u64)
}

/// What changes under a checksum: words that go and words that come (RFC 1624), to be applied in one go.
///
/// A word stands at an even distance from the start of the summed bytes; two bytes are given as a `u32` below 2^16.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delta {
    // Cannot overflow: each word adds less than 2^32.
    sum: u64,
}

impl Delta {
    /// No change.
    pub const fn new() -> Self {
        Self { sum: 0 }
    }

    /// `word` goes.
    #[must_use]
    pub const fn without(self, word: u32) -> Self {
        Self { sum: self.sum + !word as u64 }
    }

    /// `word` comes.
    #[must_use]
    pub const fn with(self, word: u32) -> Self {
        Self { sum: self.sum + word as u64 }
    }

    /// Both changes.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum }
    }

    /// The checksum field after the change, from that before it.
    pub const fn field(self, field: u16) -> u16 {
        !fold(self.sum + !field as u64)
    }

    /// The sum of a pseudo header after the change, from that before it ([`Checksum::partial`]).
    pub const fn partial(self, partial: u16) -> u16 {
        fold(self.sum + partial as u64)
    }
}

/// The words' sum folded to sixteen bits, as if they had been read as pairs of big endian bytes.
fn sum_words(words: &[[u8; 4]]) -> u16 {
    // Two to the 32 words would be needed to overflow; a slice of sixteen gigabytes is no packet.
    let (blocks, rest) = words.as_chunks::<8>();
    let mut sums = [0_u64; 4];
    for [a, b, c, d, e, f, g, h] in blocks {
        let [w, x, y, z] = &mut sums;
        *w += u64::from(u32::from_ne_bytes(*a)) + u64::from(u32::from_ne_bytes(*e));
        *x += u64::from(u32::from_ne_bytes(*b)) + u64::from(u32::from_ne_bytes(*f));
        *y += u64::from(u32::from_ne_bytes(*c)) + u64::from(u32::from_ne_bytes(*g));
        *z += u64::from(u32::from_ne_bytes(*d)) + u64::from(u32::from_ne_bytes(*h));
    }
    let blocks_sum = sums.iter().fold(0_u64, |sum, part| sum.wrapping_add(*part));
    let sum = rest.iter().fold(blocks_sum, |sum, word| sum + u64::from(u32::from_ne_bytes(*word)));
    u16::from_be(fold(sum))
}

/// Folds the carries back in; never 0 unless `sum` is.
const fn fold(sum: u64) -> u16 {
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3_sums_to_ddf2() {
        let mut checksum = Checksum::new();
        checksum.add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(checksum.finish(), !0xddf2);
    }

    #[test]
    fn pieces_of_odd_length_give_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..=254).collect();
        let mut whole = Checksum::new();
        whole.add(&bytes);
        for cut in 0..bytes.len() {
            let mut pieces = Checksum::new();
            pieces.add(&bytes[..cut]);
            pieces.add(&[]);
            pieces.add(&bytes[cut..]);
            assert_eq!(pieces.finish(), whole.finish(), "cut at {cut}");
        }
    }

    #[test]
    fn every_length_and_start_gives_the_sum_of_the_plain_loop() {
        let bytes: Vec<u8> = (0..400_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for start in 0..9 {
            for end in start..bytes.len() {
                let piece = &bytes[start..end];
                let mut plain: u32 =
                    piece.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum();
                while plain > 0xffff {
                    plain = (plain & 0xffff) + (plain >> 16);
                }
                let mut checksum = Checksum::new();
                checksum.add(piece);
                assert_eq!(checksum.finish(), !(plain as u16), "{start}..{end}");
            }
        }
    }

    #[test]
    fn an_updated_field_is_the_one_of_the_changed_bytes() {
        let mut bytes = [0x60, 0x12, 0xab, 0xcd, 0xff, 0xff, 0x00, 0x07];
        let mut before = Checksum::new();
        before.add(&bytes);
        bytes[2..4].copy_from_slice(&[0x05, 0xa0]);
        let mut after = Checksum::new();
        after.add(&bytes);
        assert_eq!(update(before.finish(), 0xabcd, 0x05a0), after.finish());
    }

    #[test]
    fn a_delta_is_all_its_updates_at_once() {
        let mut bytes = [0x60, 0x12, 0xab, 0xcd, 0xff, 0xff, 0x00, 0x07];
        let sum = |bytes: &[u8]| {
            let mut checksum = Checksum::new();
            checksum.add(bytes);
            checksum
        };
        let before = sum(&bytes);
        bytes[0..4].copy_from_slice(&[1, 2, 3, 4]);
        bytes[6..8].copy_from_slice(&[0, 9]);
        let delta = Delta::new().without(0x6012_abcd).with(0x0102_0304).and(Delta::new().without(7).with(9));
        assert_eq!(delta.field(before.finish()), sum(&bytes).finish());
        assert_eq!(delta.partial(before.partial()), sum(&bytes).partial());
    }

    #[test]
    fn a_partial_sum_can_be_continued() {
        let mut whole = Checksum::new();
        whole.add(&[1, 2, 3, 4, 5, 6]);
        let mut first = Checksum::new();
        first.add(&[1, 2, 3, 4]);
        let mut second = Checksum::from_partial(first.partial());
        second.add(&[5, 6]);
        assert_eq!(second.finish(), whole.finish());
    }
}
