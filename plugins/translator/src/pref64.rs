//! IPv4 addresses inside of IPv6 ones (RFC 6052): the prefixes that have a place for them, there and back.

use core::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The octet that is zero in every address with an IPv4 address inside: bits 64 to 71 (RFC 6052 section 2.2).
const U_OCTET: u128 = 0xff << 56;

/// A prefix of which the addresses carry an IPv4 address (RFC 6052 section 2.2): of a length that has a place for it, no
/// bits behind it, bits 64 to 71 zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pref64 {
    bits: u128,
    length: u8,
}

impl Pref64 {
    /// The lengths there are (RFC 6052 section 2.2).
    pub const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
    /// 64:ff9b::/96 (RFC 6052 section 2.1).
    pub const WELL_KNOWN: Self = Self { bits: 0x0064_ff9b << 96, length: 96 };

    /// A prefix; `None` when there is no such length, or bits behind it or bits 64 to 71 are not zero.
    #[must_use]
    pub fn new(address: Ipv6Addr, length: u8) -> Option<Self> {
        Self::LENGTHS.contains(&length).then_some(())?;
        let bits = address.to_bits();
        (bits & (!network_mask(length) | U_OCTET) == 0).then_some(Self { bits, length })
    }

    /// Its first address.
    #[must_use]
    pub const fn address(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.bits)
    }

    /// How many bits it has.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether it is 64:ff9b::/96, which may not stand for addresses that are not global (RFC 6052 section 3.1).
    #[must_use]
    pub const fn is_well_known(self) -> bool {
        self.bits == Self::WELL_KNOWN.bits && self.length == 96
    }

    /// The address that carries `address`; its suffix is zero.
    #[must_use]
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

    /// The address carried by `address`, whatever its suffix; `None` when it is not of this prefix or bits 64 to 71 are not
    /// zero.
    #[must_use]
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
    #[must_use]
    pub const fn contains(self, address: Ipv6Addr) -> bool {
        address.to_bits() & network_mask(self.length) == self.bits
    }

    /// How many bits of the IPv4 address stand behind bits 64 to 71.
    const fn bits_behind_u(self) -> u32 {
        // The length is at least 32 here and at most 64.
        self.length as u32 - 32
    }
}

impl fmt::Display for Pref64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.length)
    }
}

/// A mask of `length` leading ones, 1 to 128.
const fn network_mask(length: u8) -> u128 {
    u128::MAX << (128 - length as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_embeds_and_extracts_as_in_rfc_6052_section_2_4() {
        let address = Ipv4Addr::new(192, 0, 2, 33);
        for (network, length, whole) in [
            ("2001:db8::", 32, "2001:db8:c000:221::"),
            ("2001:db8:100::", 40, "2001:db8:1c0:2:21::"),
            ("2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::", 96, "64:ff9b::192.0.2.33"),
        ] {
            let prefix = Pref64::new(network.parse().unwrap(), length).unwrap();
            let whole: Ipv6Addr = whole.parse().unwrap();
            assert_eq!(prefix.embed(address), whole, "/{length}");
            assert_eq!(prefix.extract(whole), Some(address), "/{length}");
            assert!(prefix.contains(whole));
            let suffixed = Ipv6Addr::from_bits(whole.to_bits() | u128::from(length < 64));
            assert_eq!(prefix.extract(suffixed), Some(address), "/{length}: the suffix is not looked at");
            if length < 96 {
                let u = Ipv6Addr::from_bits(whole.to_bits() | 1 << 56);
                assert_eq!(prefix.extract(u), None, "/{length} with a bit in the reserved octet");
            }
            let other = Ipv6Addr::from_bits(whole.to_bits() ^ 1 << (128 - u32::from(length)));
            assert_eq!(prefix.extract(other), None, "/{length}: another prefix");
        }
        assert!(Pref64::WELL_KNOWN.is_well_known());
    }

    #[test]
    fn every_bit_comes_back_and_the_suffix_is_ignored() {
        for length in Pref64::LENGTHS {
            let bits = Ipv6Addr::new(0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0, 0, 0, 0).to_bits() & network_mask(length);
            let prefix = Pref64::new(Ipv6Addr::from_bits(bits), length).unwrap();
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
    fn other_lengths_bits_behind_and_the_reserved_octet_are_no_prefix() {
        for length in (0..=128).filter(|length| !Pref64::LENGTHS.contains(length)) {
            assert_eq!(Pref64::new("2001:db8::".parse().unwrap(), length), None, "/{length}");
        }
        assert_eq!(Pref64::new("2001:db8::1".parse().unwrap(), 64), None);
        assert_eq!(Pref64::new("2001:db8:0:0:100::".parse().unwrap(), 96), None);
        assert!(Pref64::new("2001:db8:0:0:1::".parse().unwrap(), 96).is_some());
    }
}
