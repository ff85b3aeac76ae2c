//! IPv4 addresses inside IPv6 prefixes (RFC 6052 section 2), and the names both have in `arpa`.
//!
//! Bits 64 to 71 of the IPv6 address stay zero; an address that has them set embeds nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A prefix whose addresses stand for IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pref64 {
    network: Ipv6Addr,
    length: u8,
}

impl Pref64 {
    /// The well-known prefix (RFC 6052 section 2.1).
    pub const WELL_KNOWN: Self = Self { network: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), length: 96 };

    /// A prefix of 32, 40, 48, 56, 64 or 96 bits without bits behind its length, and for 96 with zero bits 64 to 71.
    #[must_use]
    pub fn new(network: Ipv6Addr, length: u8) -> Option<Self> {
        let legal = matches!(length, 32 | 40 | 48 | 56 | 64 | 96);
        let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let octets = network.octets();
        (legal && network.to_bits() & host == 0 && octets[8] == 0).then_some(Self { network, length })
    }

    /// Its first address.
    #[must_use]
    pub const fn network(&self) -> Ipv6Addr {
        self.network
    }

    /// Its length in bits.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Where the four octets of the IPv4 address go (RFC 6052 section 2.2).
    const fn places(self) -> [usize; 4] {
        match self.length {
            32 => [4, 5, 6, 7],
            40 => [5, 6, 7, 9],
            48 => [6, 7, 9, 10],
            56 => [7, 9, 10, 11],
            64 => [9, 10, 11, 12],
            _ => [12, 13, 14, 15],
        }
    }

    /// The IPv6 address that stands for `address`.
    #[must_use]
    pub fn embed(&self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.network.octets();
        for (place, octet) in self.places().into_iter().zip(address.octets()) {
            if let Some(byte) = octets.get_mut(place) {
                *byte = octet;
            }
        }
        octets.into()
    }

    /// The IPv4 address that `address` stands for; the suffix is not looked at (RFC 6052 section 2.3).
    #[must_use]
    pub fn extract(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        let differ = self.network.to_bits() ^ address.to_bits();
        if differ.checked_shr(128 - u32::from(self.length)).unwrap_or(0) != 0 || octets[8] != 0 {
            return None;
        }
        Some(Ipv4Addr::from(self.places().map(|place| octets.get(place).copied().unwrap_or(0))))
    }
}

/// The address whose name under `ip6.arpa` this is, in wire form and lower case (RFC 3596 section 2.5).
pub(super) fn ip6_arpa(name: &[u8]) -> Option<Ipv6Addr> {
    let nibbles = name.strip_suffix(b"\x03ip6\x04arpa\x00")?;
    if nibbles.len() != 64 {
        return None;
    }
    nibbles
        .rchunks_exact(2)
        .try_fold(0_u128, |bits, label| match label {
            [1, digit @ b'0'..=b'9'] => Some(bits << 4 | u128::from(digit - b'0')),
            [1, digit @ b'a'..=b'f'] => Some(bits << 4 | u128::from(digit - b'a' + 10)),
            _ => None,
        })
        .map(Ipv6Addr::from_bits)
}

/// The name of an address under `in-addr.arpa`, in wire form (RFC 1035 section 3.5).
pub(super) fn in_addr_arpa(address: Ipv4Addr) -> Vec<u8> {
    let mut name = Vec::with_capacity(30);
    for octet in address.octets().into_iter().rev() {
        let digits = octet.to_string();
        name.push(u8::try_from(digits.len()).unwrap_or(0));
        name.extend_from_slice(digits.as_bytes());
    }
    name.extend_from_slice(b"\x07in-addr\x04arpa\x00");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6052 section 2.4.
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
        ] {
            let prefix = Pref64::new(network.parse().unwrap(), length).unwrap();
            let whole: Ipv6Addr = whole.parse().unwrap();
            assert_eq!(prefix.embed(address), whole, "/{length}");
            assert_eq!(prefix.extract(whole), Some(address), "/{length}");
            let u = Ipv6Addr::from_bits(whole.to_bits() | 1 << 56);
            assert_eq!(prefix.extract(u), None, "/{length} with a u bit");
        }
        assert_eq!(Pref64::WELL_KNOWN.embed(address), "64:ff9b::c000:221".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn other_lengths_and_host_bits_are_no_prefix() {
        assert!(Pref64::new("2001:db8::".parse().unwrap(), 33).is_none());
        assert!(Pref64::new("2001:db8::1".parse().unwrap(), 96).is_none());
        assert!(Pref64::new("2001:db8:0:0:100::".parse().unwrap(), 96).is_none());
    }

    #[test]
    fn arpa_names_go_both_ways() {
        let mut name = Vec::new();
        for digit in "1200000c0000000000000000b9ff4600".bytes() {
            name.extend_from_slice(&[1, digit]);
        }
        name.extend_from_slice(b"\x03ip6\x04arpa\x00");
        assert_eq!(ip6_arpa(&name), Some("64:ff9b::c000:21".parse().unwrap()));
        name[1] = b'g';
        assert_eq!(ip6_arpa(&name), None);
        assert_eq!(ip6_arpa(&name[2..]), None);
        assert_eq!(in_addr_arpa(Ipv4Addr::new(192, 0, 2, 33)), b"\x0233\x012\x010\x03192\x07in-addr\x04arpa\x00");
    }
}
