//! Address prefixes as configuration writes them: an address, a slash, a length, and no bits behind it.
//!
//! A prefix with host bits set is nearly always a mistake (an interface address where a network was
//! meant), so it is refused with the right prefix in the error rather than masked in silence.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Why a text or a pair is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not `address/length`.
    #[error("not a prefix: an address, a slash and a length are expected")]
    Syntax,
    /// The length is beyond the address family's.
    #[error("prefix length {length} is more than {max}")]
    Length {
        /// What was written.
        length: u16,
        /// 32 or 128.
        max: u8,
    },
    /// Bits behind the length are set; `meant` is the prefix without them.
    #[error("bits behind the prefix length are set; the prefix is {meant}")]
    HostBits {
        /// The prefix that was probably meant.
        meant: String,
    },
}

macro_rules! prefix {
    ($name:ident, $addr:ty, $bits:ty, $max:literal, $family:literal) => {
        #[doc = concat!("A legal ", $family, " prefix: no bit behind `length` is set.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            address: $addr,
            length: u8,
        }

        impl $name {
            #[doc = concat!("The prefix of `length` (0..=", stringify!($max), ") bits at `address`.")]
            ///
            /// # Errors
            /// The length is out of range, or `address` has bits behind it.
            pub fn new(address: $addr, length: u8) -> Result<Self, PrefixError> {
                if length > $max {
                    return Err(PrefixError::Length { length: length.into(), max: $max });
                }
                let masked = Self::containing(address, length);
                if masked.address == address {
                    Ok(masked)
                } else {
                    Err(PrefixError::HostBits { meant: masked.to_string() })
                }
            }

            /// The prefix of `length` bits that holds `address`; longer lengths count as the longest.
            #[must_use]
            pub fn containing(address: $addr, length: u8) -> Self {
                let length = length.min($max);
                let mask = <$bits>::MAX.checked_shl(u32::from($max - length)).unwrap_or(0);
                Self { address: <$addr>::from(<$bits>::from(address) & mask), length }
            }

            /// The first address.
            #[must_use]
            pub const fn address(&self) -> $addr {
                self.address
            }

            /// How many leading bits are fixed.
            #[must_use]
            pub const fn length(&self) -> u8 {
                self.length
            }

            /// Whether `address` lies inside.
            #[must_use]
            pub fn contains(&self, address: $addr) -> bool {
                Self::containing(address, self.length) == *self
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.address, self.length)
            }
        }

        impl FromStr for $name {
            type Err = PrefixError;

            fn from_str(text: &str) -> Result<Self, PrefixError> {
                let (address, length) = text.split_once('/').ok_or(PrefixError::Syntax)?;
                let address = address.parse().map_err(|_| PrefixError::Syntax)?;
                if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(PrefixError::Syntax);
                }
                let length: u16 = length.parse().map_err(|_| PrefixError::Syntax)?;
                let short = u8::try_from(length).map_err(|_| PrefixError::Length { length, max: $max })?;
                Self::new(address, short)
            }
        }
    };
}

prefix!(Ipv4Prefix, Ipv4Addr, u32, 32, "IPv4");
prefix!(Ipv6Prefix, Ipv6Addr, u128, 128, "IPv6");

/// A legal prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpPrefix {
    /// An IPv4 prefix.
    V4(Ipv4Prefix),
    /// An IPv6 prefix.
    V6(Ipv6Prefix),
}

impl IpPrefix {
    /// Whether `address` is of the same family and lies inside.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(p), IpAddr::V4(a)) => p.contains(a),
            (Self::V6(p), IpAddr::V6(a)) => p.contains(a),
            _ => false,
        }
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(p) => p.fmt(f),
            Self::V6(p) => p.fmt(f),
        }
    }
}

impl FromStr for IpPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text.contains(':') { text.parse().map(Self::V6) } else { text.parse().map(Self::V4) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_refused_with_the_prefix_that_was_meant() {
        assert_eq!(
            "2001:db8::1/64".parse::<Ipv6Prefix>(),
            Err(PrefixError::HostBits { meant: "2001:db8::/64".into() })
        );
        assert_eq!("::/0".parse::<Ipv6Prefix>().map(|p| p.to_string()), Ok("::/0".into()));
        assert_eq!("10.0.0.0/33".parse::<IpPrefix>(), Err(PrefixError::Length { length: 33, max: 32 }));
    }

    #[test]
    fn odd_lengths_are_syntax_errors() {
        for text in ["::1", "::/", "::/+4", "::/ 4", "::/0004", "x/4"] {
            assert_eq!(text.parse::<Ipv6Prefix>(), Err(PrefixError::Syntax), "{text}");
        }
    }
}
