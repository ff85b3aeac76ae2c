//! Prefixes of IPv4 addresses, and which addresses travel at all.

use std::net::Ipv4Addr;

/// A prefix of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix4 {
    bits: u32,
    mask: u32,
}

impl Prefix4 {
    /// The first `length` bits of `address`; `None` above 32.
    pub fn new(address: Ipv4Addr, length: u8) -> Option<Self> {
        let mask = u32::MAX.checked_shl(32_u32.checked_sub(u32::from(length))?).unwrap_or(0);
        Some(Self { bits: address.to_bits() & mask, mask })
    }

    /// Whether `address` begins with it.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.bits
    }
}

/// Whether `address` never travels as a unicast address beyond a link: 0/8, 127/8, 169.254/16, 224/4 and 240/4
/// (RFC 6890).
pub(super) const fn is_never_translated(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0 | 127 | 224..=255, ..] | [169, 254, ..])
}

/// Whether `address` is not global, so that the well-known prefix may not carry it (RFC 6052 section 3.1, RFC 6890).
pub(super) const fn is_private(address: Ipv4Addr) -> bool {
    match address.octets() {
        [10, ..] | [192, 168, ..] | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] => true,
        [172, second, ..] => second & 0xf0 == 16,
        [100, second, ..] => second & 0xc0 == 64,
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_begins_with_it() {
        for (length, held, other) in
            [(0, "203.0.113.1", None), (9, "10.127.0.1", Some("10.128.0.0")), (32, "10.0.0.1", Some("10.0.0.2"))]
        {
            let prefix = Prefix4::new(if length == 32 { [10, 0, 0, 1] } else { [10, 0, 0, 0] }.into(), length).unwrap();
            assert!(prefix.contains(held.parse().unwrap()), "/{length}");
            assert!(other.is_none_or(|other: &str| !prefix.contains(other.parse().unwrap())), "/{length}");
        }
        assert_eq!(Prefix4::new(Ipv4Addr::UNSPECIFIED, 33), None);
    }
}
