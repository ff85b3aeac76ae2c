//! The Internet checksum of RFC 1071 and the IPv6 pseudo header of RFC 8200 section 8.1.
//!
//! A [`Checksum`] is a running one's-complement sum: feed it the pseudo header and then the packet, in any number of
//! pieces (odd ones too), and take [`Checksum::finish`]. Whether a field of zero means "absent" (UDP over IPv4) is
//! the caller's business, not this file's.

use std::net::Ipv6Addr;

/// A running one's-complement sum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum {
    // Cannot overflow: each byte adds less than 2^16, so 2^48 bytes would be needed.
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
        let (pairs, last) = rest.as_chunks::<2>();
        for pair in pairs {
            self.sum += u64::from(u16::from_be_bytes(*pair));
        }
        if let [byte] = last {
            self.sum += u64::from(*byte) << 8;
            self.odd = true;
        }
    }

    /// The value of the checksum field; over a packet with a right checksum in place it is 0.
    pub const fn finish(self) -> u16 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
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
}
