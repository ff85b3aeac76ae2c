//! Neighbor Discovery messages of routers (RFC 4861) and their options.
//!
//! | file | owns |
//! |---|---|
//! | `rs.rs` | Router Solicitation, and what makes a received one valid (section 6.1.1) |
//! | `ra.rs` | Router Advertisement, and what makes a received one valid (section 6.1.2) |
//! | `option.rs` | the list of options: iteration, the [`NdOption`] enum, padding |
//! | `prefix.rs` | the options that carry a prefix: Prefix Information, Route Information, PREF64 |
//! | `dns.rs` | the options of RFC 8106 and the [`DomainName`] inside them |
//!
//! Parsing is strict about the frame (a zero-length or truncated option makes the whole message invalid, as the RFC
//! demands) and lenient about content: an option we know whose content does not fit its format is kept as
//! [`NdOption::Unknown`]. Reserved fields are ignored on receipt and sent as zero.

mod dns;
mod option;
mod prefix;
mod ra;
mod rs;

pub use dns::{Dnssl, DomainName, DomainNameError, Rdnss};
pub use option::{MAX_OPTION_LENGTH, NdOption, NdOptions, RawOption, kind};
pub use prefix::{
    Pref64, Preference, PrefixFlags, PrefixInformation, RouteInformation, is_pref64_length, mask_prefix,
    saturating_pref64_lifetime,
};
pub use ra::{RaError, RouterAdvertisement, validate_ra};
pub use rs::{RouterSolicitation, RsError, validate_rs};

use core::fmt;
use std::net::Ipv6Addr;

/// The all-nodes multicast address of a link (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The all-routers multicast address of a link (RFC 4291 section 2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The hop limit of every valid message: it proves that no router forwarded it (RFC 4861 section 3.1).
pub const HOP_LIMIT: u8 = 255;
/// A lifetime that never ends, in the options that have 32-bit lifetimes (RFC 4861 section 4.6.2).
pub const INFINITY: u32 = u32::MAX;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than the fixed part of the message.
    TooShort,
    /// Another ICMPv6 type than the one asked for.
    Type(u8),
    /// An option of length zero; the message must be dropped (RFC 4861 section 4.6).
    ZeroLengthOption,
    /// An option longer than what is left of the message.
    TruncatedOption,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("message too short"),
            Self::Type(found) => write!(f, "unexpected icmpv6 type {found}"),
            Self::ZeroLengthOption => f.write_str("option of length zero"),
            Self::TruncatedOption => f.write_str("option longer than the message"),
        }
    }
}

impl core::error::Error for ParseError {}

/// Whether `address` is link-local unicast, `fe80::/10` (RFC 4291 section 2.5.6).
pub fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
