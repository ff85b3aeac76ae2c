//! Prefixes under which IPv4 addresses are seen as IPv6 ones (RFC 6052), and how one is found out (RFC 7050).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network::Prefix;

/// The well-known prefix, 64:ff9b::/96 (RFC 6052 section 2.1).
pub const WELL_KNOWN: Pref64 = Pref64 { address: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), length: 96 };
/// The name that has IPv4 addresses only (RFC 7050 section 3).
pub const IPV4ONLY: &str = "ipv4only.arpa";

/// The lengths of RFC 6052 section 2.2.
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];
/// The well-known addresses of [`IPV4ONLY`] (RFC 7050 section 8.2).
const WELL_KNOWN_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// The octet that stays zero, bits 64 to 71 (RFC 6052 section 2.2).
const RESERVED_OCTET: usize = 8;

/// A prefix of RFC 6052: of a length that has a place for IPv4 addresses, no bits behind it, bits 64 to 71 zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pref64 {
    address: Ipv6Addr,
    length: u8,
}

/// Why a prefix is none of RFC 6052.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pref64Error {
    /// It is an IPv4 one.
    Family,
    /// Its length is none of 32, 40, 48, 56, 64 and 96.
    Length,
    /// Bits behind its length, or bits 64 to 71, are not zero.
    Bits,
    /// No host can have such addresses: multicast, link-local, loopback, unspecified.
    Unusable,
}

impl fmt::Display for Pref64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Family => "IPv4 addresses are embedded in an IPv6 prefix",
            Self::Length => "a prefix with IPv4 addresses in it has 32, 40, 48, 56, 64 or 96 bits (RFC 6052)",
            Self::Bits => "bits 64 to 71 of such a prefix are zero (RFC 6052 section 2.2)",
            Self::Unusable => "no host can have addresses of this prefix",
        })
    }
}

impl core::error::Error for Pref64Error {}

impl TryFrom<Prefix> for Pref64 {
    type Error = Pref64Error;

    fn try_from(prefix: Prefix) -> Result<Self, Pref64Error> {
        let IpAddr::V6(address) = prefix.address else { return Err(Pref64Error::Family) };
        if !LENGTHS.contains(&prefix.length) {
            return Err(Pref64Error::Length);
        }
        if prefix.network() != prefix || address.octets().get(RESERVED_OCTET) != Some(&0) {
            return Err(Pref64Error::Bits);
        }
        let first = address.segments()[0];
        let unusable = address.is_multicast() || first & 0xffc0 == 0xfe80 || (first == 0 && prefix.length < 96);
        // ::/96 holds the unspecified and the loopback address, ::ffff:0:0/96 never appears in packets.
        if unusable || address.is_unspecified() || address.to_ipv4_mapped().is_some() {
            return Err(Pref64Error::Unusable);
        }
        Ok(Self { address, length: prefix.length })
    }
}

impl fmt::Display for Pref64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Pref64 {
    /// Its first address.
    #[must_use]
    pub const fn address(self) -> Ipv6Addr {
        self.address
    }

    /// 32, 40, 48, 56, 64 or 96.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// As any other prefix.
    #[must_use]
    pub const fn prefix(self) -> Prefix {
        Prefix { address: IpAddr::V6(self.address), length: self.length }
    }

    /// Whether `address` lies within.
    #[must_use]
    pub fn contains(self, address: Ipv6Addr) -> bool {
        self.prefix().contains(Prefix::new(address.into(), 128))
    }

    /// The IPv4-embedded address (RFC 6052 section 2.2); its suffix is zero.
    #[must_use]
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.address.octets();
        for (at, octet) in places(self.length).zip(address.octets()) {
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
        }
        octets.into()
    }

    /// The IPv4 address in `address`, if that lies within; whatever its suffix is.
    #[must_use]
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        self.contains(address).then(|| embedded(address, self.length)).flatten()
    }

    /// The prefix of all addresses that `prefix`, an IPv4 one, has within. None if that is no prefix of the family.
    #[must_use]
    pub fn embed_prefix(self, prefix: Prefix) -> Option<Prefix> {
        let IpAddr::V4(address) = prefix.address else { return None };
        // The reserved octet is zero in all of them, so a length that reaches beyond counts it.
        let end = self.length.saturating_add(prefix.length);
        let length = if self.length < 96 && end > 64 { end.saturating_add(8) } else { end };
        Some(Prefix::new(self.embed(address).into(), length))
    }
}

/// Where the four octets stand, by the length of the prefix.
fn places(length: u8) -> impl Iterator<Item = usize> {
    let first = usize::from(length / 8);
    (first..).filter(move |at| *at != RESERVED_OCTET || first > RESERVED_OCTET).take(4)
}

fn embedded(address: Ipv6Addr, length: u8) -> Option<Ipv4Addr> {
    let octets = address.octets();
    if octets.get(RESERVED_OCTET) != Some(&0) {
        return None;
    }
    let mut found = [0_u8; 4];
    for (place, at) in found.iter_mut().zip(places(length)) {
        *place = *octets.get(at)?;
    }
    Some(found.into())
}

/// The prefixes that the IPv6 addresses of [`IPV4ONLY`] were made with (RFC 7050 section 3), in their order, each once.
/// An address in which a well-known one is found at two places says nothing: the other one decides.
#[must_use]
pub fn discover(answers: &[IpAddr]) -> Vec<Pref64> {
    let mut found = Vec::new();
    for answer in answers {
        let IpAddr::V6(answer) = answer else { continue };
        let known = |length: &u8| embedded(*answer, *length).is_some_and(|a| WELL_KNOWN_ADDRESSES.contains(&a));
        let mut lengths = LENGTHS.iter().copied().filter(known);
        let (Some(length), None) = (lengths.next(), lengths.next()) else { continue };
        let Ok(prefix) = Pref64::try_from(Prefix::new((*answer).into(), length).network()) else { continue };
        if !found.contains(&prefix) {
            found.push(prefix);
        }
    }
    found
}

#[cfg(test)]
mod tests;
