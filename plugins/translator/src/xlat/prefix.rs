//! IPv4 addresses inside of IPv6 ones (RFC 6052) and prefixes of IPv4 addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The octet that is zero in every address with an IPv4 address inside: bits 64 to 71 (RFC 6052 section 2.2).
const U_OCTET: u128 = 0xff << 56;
/// 64:ff9b::/96 (RFC 6052 section 2.1).
const WELL_KNOWN: u128 = 0x0064_ff9b << 96;

/// A prefix of which the addresses carry an IPv4 address (RFC 6052 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix6052 {
    bits: u128,
    length: u8,
}

impl Prefix6052 {
    /// The lengths there are (RFC 6052 section 2.2).
    pub const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
    /// 64:ff9b::/96 (RFC 6052 section 2.1).
    pub const WELL_KNOWN: Self = Self { bits: WELL_KNOWN, length: 96 };

    /// The first `length` bits of `address`; `None` when there is no such length or bits 64 to 71 are not zero.
    pub fn new(address: Ipv6Addr, length: u8) -> Option<Self> {
        Self::LENGTHS.contains(&length).then_some(())?;
        let bits = address.to_bits() & network_mask(length);
        (bits & U_OCTET == 0).then_some(Self { bits, length })
    }

    /// The prefix as an address.
    pub const fn address(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.bits)
    }

    /// How many bits it has.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether it is 64:ff9b::/96, which may not stand for addresses that are not global (RFC 6052 section 3.1).
    pub const fn is_well_known(self) -> bool {
        self.bits == WELL_KNOWN && self.length == 96
    }

    /// The address that carries `address`; its suffix is zero.
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let value = u128::from(address.to_bits());
        if self.length == 96 {
            return Ipv6Addr::from_bits(self.bits | value);
        }
        let behind = self.bits_behind_u();
        let front = value >> behind << 64;
        let back = (value & ((1 << behind) - 1)) << (56 - behind);
        Ipv6Addr::from_bits(self.bits | front | back)
    }

    /// The address carried by `address`; `None` when it is not of this prefix or bits 64 to 71 are not zero.
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let value = address.to_bits();
        if self.length == 96 {
            return (value >> 32 == self.bits >> 32).then_some(Ipv4Addr::from_bits(value as u32));
        }
        if value & (network_mask(self.length) | U_OCTET) != self.bits {
            return None;
        }
        let behind = self.bits_behind_u();
        let front = (value >> 64 << behind) as u32;
        let back = (value >> (56 - behind)) as u32 & ((1_u64 << behind) - 1) as u32;
        Some(Ipv4Addr::from_bits(front | back))
    }

    /// Whether `address` begins with this prefix.
    pub const fn contains(self, address: Ipv6Addr) -> bool {
        address.to_bits() & network_mask(self.length) == self.bits
    }

    /// How many bits of the IPv4 address stand behind bits 64 to 71.
    const fn bits_behind_u(self) -> u32 {
        // The length is at least 32 here and at most 64.
        self.length as u32 - 32
    }
}

/// A mask of `length` leading ones, 1 to 128.
const fn network_mask(length: u8) -> u128 {
    u128::MAX << (128 - length as u32)
}

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

    /// RFC 6052 section 2.4, table 1 and 2.
    #[test]
    fn addresses_are_those_of_rfc_6052_section_2_4() {
        let examples = [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::", 96, "64:ff9b::192.0.2.33"),
        ];
        let inside = Ipv4Addr::new(192, 0, 2, 33);
        for (prefix, length, whole) in examples {
            let prefix = Prefix6052::new(prefix.parse().unwrap(), length).unwrap();
            let whole: Ipv6Addr = whole.parse().unwrap();
            assert_eq!(prefix.embed(inside), whole, "{length}");
            assert_eq!(prefix.extract(whole), Some(inside), "{length}");
            assert!(prefix.contains(whole));
        }
    }

    #[test]
    fn every_bit_comes_back_and_the_suffix_is_ignored() {
        for length in Prefix6052::LENGTHS {
            let prefix = Prefix6052::new(Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0, 0, 0, 0), length).unwrap();
            for bit in 0..32 {
                let address = Ipv4Addr::from_bits(1 << bit);
                let whole = prefix.embed(address);
                assert_eq!(prefix.extract(whole), Some(address));
                assert_eq!(whole.octets()[8], 0);
                let dirty = Ipv6Addr::from_bits(whole.to_bits() | u128::from(length < 96));
                assert_eq!(prefix.extract(dirty), Some(address));
                let wrong = Ipv6Addr::from_bits(whole.to_bits() | 1 << 60);
                assert_eq!(prefix.extract(wrong), None);
            }
        }
    }

    #[test]
    fn a_prefix_has_one_of_six_lengths_and_a_zero_octet() {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0x0100, 0, 0, 0);
        assert_eq!(Prefix6052::new(address, 96), None);
        assert_eq!(Prefix6052::new(address, 63), None);
        assert!(Prefix6052::new(address, 64).is_some());
        assert!(Prefix6052::WELL_KNOWN.is_well_known());
        assert_eq!(Prefix6052::new("64:ff9b::".parse().unwrap(), 96), Some(Prefix6052::WELL_KNOWN));
    }
}
