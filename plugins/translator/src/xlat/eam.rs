//! Explicit address mappings (RFC 7757): which IPv4 prefix stands for which IPv6 one, the longest match first.
//!
//! Two tables, sorted by length and then by address; a lookup is one binary search per length in use.

use core::fmt;
use core::ops::Range;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Mappings a table holds at most; more are an error of the configuration.
pub const MAX_MAPPINGS: usize = 1 << 16;

/// One explicit address mapping (RFC 7757 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Eam {
    bits4: u32,
    length4: u8,
    bits6: u128,
    length6: u8,
}

/// Why mappings are no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EamError {
    /// A prefix longer than an address.
    Length,
    /// The IPv4 suffix is longer than the IPv6 one (RFC 7757 section 3.1).
    Suffix,
    /// Two mappings of the same prefix.
    Duplicate,
    /// More than [`MAX_MAPPINGS`].
    TooMany,
}

impl fmt::Display for EamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "prefix longer than an address",
            Self::Suffix => "IPv4 suffix longer than the IPv6 suffix",
            Self::Duplicate => "two mappings of one prefix",
            Self::TooMany => "too many mappings",
        })
    }
}

impl core::error::Error for EamError {}

impl Eam {
    /// A mapping of two prefixes; bits after the lengths are ignored.
    ///
    /// # Errors
    /// [`EamError::Length`] or [`EamError::Suffix`].
    pub fn new(address4: Ipv4Addr, length4: u8, address6: Ipv6Addr, length6: u8) -> Result<Self, EamError> {
        if length4 > 32 || length6 > 128 {
            return Err(EamError::Length);
        }
        if 32 - length4 > 128 - length6 {
            return Err(EamError::Suffix);
        }
        let bits4 = address4.to_bits() & mask4(length4);
        let bits6 = address6.to_bits() & mask6(length6);
        Ok(Self { bits4, length4, bits6, length6 })
    }

    /// The IPv6 address of `address`, which is in the IPv4 prefix (RFC 7757 section 3.3.1).
    fn to6(self, address: u32) -> u128 {
        let suffix = u128::from(address & !mask4(self.length4));
        self.bits6 | suffix << self.shift()
    }

    /// The IPv4 address of `address`, which is in the IPv6 prefix (RFC 7757 section 3.3.2).
    fn to4(self, address: u128) -> u32 {
        self.bits4 | (address >> self.shift()) as u32 & !mask4(self.length4)
    }

    /// How far the IPv4 suffix, which follows the IPv6 prefix, is from the end of the address.
    fn shift(self) -> u32 {
        // At most 128, and that only with an empty suffix at ::/0, where nothing is to be shifted.
        (u32::from(128 - self.length6) - u32::from(32 - self.length4)).min(127)
    }
}

/// A table of mappings.
#[derive(Debug, Clone, Default)]
pub struct AddressMap {
    by4: Vec<Eam>,
    lengths4: Vec<(u32, Range<usize>)>,
    by6: Vec<Eam>,
    lengths6: Vec<(u128, Range<usize>)>,
}

impl AddressMap {
    /// A table of `mappings`.
    ///
    /// # Errors
    /// [`EamError::Duplicate`] or [`EamError::TooMany`].
    pub fn new(mappings: impl IntoIterator<Item = Eam>) -> Result<Self, EamError> {
        let mut by4: Vec<Eam> = mappings.into_iter().take(MAX_MAPPINGS + 1).collect();
        if by4.len() > MAX_MAPPINGS {
            return Err(EamError::TooMany);
        }
        let mut by6 = by4.clone();
        let key4 = |eam: &Eam| (32 - eam.length4, eam.bits4);
        let key6 = |eam: &Eam| (128 - eam.length6, eam.bits6);
        by4.sort_unstable_by_key(key4);
        by6.sort_unstable_by_key(key6);
        let twice4 = by4.iter().zip(by4.iter().skip(1)).any(|(a, b)| key4(a) == key4(b));
        let twice6 = by6.iter().zip(by6.iter().skip(1)).any(|(a, b)| key6(a) == key6(b));
        if twice4 || twice6 {
            return Err(EamError::Duplicate);
        }
        let lengths4 = runs(&by4, |eam| eam.length4).map(|(length, range)| (mask4(length), range)).collect();
        let lengths6 = runs(&by6, |eam| eam.length6).map(|(length, range)| (mask6(length), range)).collect();
        Ok(Self { by4, lengths4, by6, lengths6 })
    }

    /// Whether there is no mapping.
    pub const fn is_empty(&self) -> bool {
        self.by4.is_empty()
    }

    /// The IPv6 address `address` is mapped to (RFC 7757 section 3.3.1).
    pub fn to6(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        let bits = address.to_bits();
        self.lengths4.iter().find_map(|(mask, range)| {
            let group = self.by4.get(range.clone())?;
            let at = group.binary_search_by_key(&(bits & mask), |eam| eam.bits4).ok()?;
            Some(Ipv6Addr::from_bits(group.get(at)?.to6(bits)))
        })
    }

    /// The IPv4 address `address` is mapped to (RFC 7757 section 3.3.2).
    pub fn to4(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let bits = address.to_bits();
        self.lengths6.iter().find_map(|(mask, range)| {
            let group = self.by6.get(range.clone())?;
            let at = group.binary_search_by_key(&(bits & mask), |eam| eam.bits6).ok()?;
            Some(Ipv4Addr::from_bits(group.get(at)?.to4(bits)))
        })
    }
}

/// The runs of equal lengths in a sorted table.
fn runs(table: &[Eam], length: impl Fn(&Eam) -> u8 + Copy) -> impl Iterator<Item = (u8, Range<usize>)> {
    let mut end = 0;
    table.chunk_by(move |a, b| length(a) == length(b)).filter_map(move |run| {
        let start = end;
        end += run.len();
        Some((length(run.first()?), start..end))
    })
}

fn mask4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eam(v4: &str, length4: u8, v6: &str, length6: u8) -> Eam {
        Eam::new(v4.parse().unwrap(), length4, v6.parse().unwrap(), length6).unwrap()
    }

    /// The table of RFC 7757 section 3.4 (figure 1), with one longer prefix.
    fn table() -> AddressMap {
        AddressMap::new([
            eam("192.0.2.1", 32, "2001:db8:aaaa::", 128),
            eam("192.0.2.2", 32, "2001:db8:bbbb::b", 128),
            eam("192.0.2.16", 28, "2001:db8:cccc::", 124),
            eam("192.0.2.128", 26, "2001:db8:dddd::", 64),
            eam("192.0.2.192", 29, "2001:db8:eeee:8::", 62),
            eam("192.0.2.224", 31, "64:ff9b::", 127),
        ])
        .unwrap()
    }

    #[test]
    fn addresses_are_mapped_both_ways_as_rfc_7757_section_3_tells() {
        let pairs = [
            ("192.0.2.1", "2001:db8:aaaa::"),
            ("192.0.2.2", "2001:db8:bbbb::b"),
            ("192.0.2.16", "2001:db8:cccc::"),
            ("192.0.2.24", "2001:db8:cccc::8"),
            ("192.0.2.31", "2001:db8:cccc::f"),
            ("192.0.2.128", "2001:db8:dddd::"),
            ("192.0.2.152", "2001:db8:dddd:0:6000::"),
            ("192.0.2.183", "2001:db8:dddd:0:dc00::"),
            ("192.0.2.191", "2001:db8:dddd:0:fc00::"),
            ("192.0.2.193", "2001:db8:eeee:8:8000::"),
            ("192.0.2.199", "2001:db8:eeee:b:8000::"),
            ("192.0.2.225", "64:ff9b::1"),
        ];
        let table = table();
        for (v4, v6) in pairs {
            let (v4, v6): (Ipv4Addr, Ipv6Addr) = (v4.parse().unwrap(), v6.parse().unwrap());
            assert_eq!(table.to6(v4), Some(v6), "{v4}");
            assert_eq!(table.to4(v6), Some(v4), "{v6}");
        }
        assert_eq!(table.to6(Ipv4Addr::new(192, 0, 2, 3)), None);
        assert_eq!(table.to4(Ipv6Addr::LOCALHOST), None);
        // RFC 7757 section 3.3.2: what follows the suffix is ignored.
        assert_eq!(table.to4("2001:db8:dddd:0:6000::1".parse().unwrap()), Some(Ipv4Addr::new(192, 0, 2, 152)));
    }

    #[test]
    fn the_longest_prefix_wins() {
        let table = AddressMap::new([
            eam("0.0.0.0", 0, "2001:db8::", 96),
            eam("10.0.0.0", 8, "2001:db8:1::", 104),
            eam("10.1.0.0", 16, "2001:db8:2::", 112),
        ])
        .unwrap();
        let to6 = |address: [u8; 4]| table.to6(address.into()).unwrap().to_string();
        assert_eq!(to6([10, 1, 2, 3]), "2001:db8:2::203");
        assert_eq!(to6([10, 2, 2, 3]), "2001:db8:1::2:203");
        assert_eq!(to6([11, 2, 2, 3]), "2001:db8::b02:203");
    }

    #[test]
    fn impossible_mappings_are_refused() {
        let address6 = Ipv6Addr::LOCALHOST;
        assert_eq!(Eam::new(Ipv4Addr::LOCALHOST, 33, address6, 128), Err(EamError::Length));
        assert_eq!(Eam::new(Ipv4Addr::LOCALHOST, 32, address6, 129), Err(EamError::Length));
        assert_eq!(Eam::new(Ipv4Addr::LOCALHOST, 24, address6, 121), Err(EamError::Suffix));
        let one = eam("192.0.2.0", 24, "2001:db8::", 64);
        let other = eam("192.0.2.0", 24, "2001:db9::", 64);
        assert_eq!(AddressMap::new([one, other]).err(), Some(EamError::Duplicate));
        assert!(Eam::new(Ipv4Addr::UNSPECIFIED, 32, Ipv6Addr::UNSPECIFIED, 0).is_ok());
    }
}
