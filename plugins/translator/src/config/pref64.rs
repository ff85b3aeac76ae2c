//! Prefixes with IPv4 addresses inside as the section and the kernel have them, why one is none, and how one is found
//! out (RFC 7050). What such a prefix does is in `pref64.rs` of the crate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network::Prefix;

pub use crate::pref64::Pref64;

/// The name that has IPv4 addresses only (RFC 7050 section 3).
pub const IPV4ONLY: &str = "ipv4only.arpa";

/// The well-known addresses of [`IPV4ONLY`] (RFC 7050 section 8.2).
const WELL_KNOWN_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

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
        if !Self::LENGTHS.contains(&prefix.length) {
            return Err(Pref64Error::Length);
        }
        let found = Self::new(address, prefix.length).ok_or(Pref64Error::Bits)?;
        let first = address.segments()[0];
        let unusable = address.is_multicast() || first & 0xffc0 == 0xfe80 || (first == 0 && prefix.length < 96);
        // ::/96 holds the unspecified and the loopback address, ::ffff:0:0/96 never appears in packets.
        if unusable || address.is_unspecified() || address.to_ipv4_mapped().is_some() {
            return Err(Pref64Error::Unusable);
        }
        Ok(found)
    }
}

impl Pref64 {
    /// As any other prefix.
    #[must_use]
    pub const fn prefix(self) -> Prefix {
        Prefix { address: IpAddr::V6(self.address()), length: self.length() }
    }

    /// The prefix of all addresses that `prefix`, an IPv4 one, has within. None if that is no prefix of the family.
    #[must_use]
    pub fn embed_prefix(self, prefix: Prefix) -> Option<Prefix> {
        let IpAddr::V4(address) = prefix.address else { return None };
        // The reserved octet is zero in all of them, so a length that reaches beyond counts it.
        let end = self.length().saturating_add(prefix.length);
        let length = if self.length() < 96 && end > 64 { end.saturating_add(8) } else { end };
        Some(Prefix::new(self.embed(address).into(), length))
    }
}

fn network(address: Ipv6Addr, length: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0))
}

/// The prefixes that the IPv6 addresses of [`IPV4ONLY`] were made with (RFC 7050 section 3), in their order, each once.
/// An address in which a well-known one is found at two places says nothing: the other one decides.
#[must_use]
pub fn discover(answers: &[IpAddr]) -> Vec<Pref64> {
    let mut found = Vec::new();
    for answer in answers {
        let IpAddr::V6(answer) = answer else { continue };
        let of_length = |length: &u8| Pref64::new(network(*answer, *length), *length);
        let known = |prefix: &Pref64| prefix.extract(*answer).is_some_and(|a| WELL_KNOWN_ADDRESSES.contains(&a));
        let mut prefixes = Pref64::LENGTHS.iter().filter_map(of_length).filter(known);
        let (Some(prefix), None) = (prefixes.next(), prefixes.next()) else { continue };
        let Ok(prefix) = Pref64::try_from(prefix.prefix()) else { continue };
        if !found.contains(&prefix) {
            found.push(prefix);
        }
    }
    found
}

#[cfg(test)]
mod tests;
