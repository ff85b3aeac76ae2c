//! The options that carry a prefix: Prefix Information, Route Information and PREF64.
//!
//! Bits of the prefix beyond its length are kept as received and zeroed on emit where the RFC demands it. Flag bits
//! without a name survive in [`PrefixFlags`]. A content that violates its format (a length over 128, a reserved
//! preference, a reserved PREF64 length code) makes `parse` answer `None`; the caller keeps the bytes as unknown.

use crate::cursor::{Reader, Writer};
use std::net::Ipv6Addr;

/// How a host should rank a router or a route (RFC 4191 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub enum Preference {
    /// Below the others: 11.
    Low,
    /// The default: 00.
    #[default]
    Medium,
    /// Above the others: 01.
    High,
}

impl Preference {
    /// From the low two bits; `None` for the reserved value 10.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0b11 {
            0b00 => Some(Self::Medium),
            0b01 => Some(Self::High),
            0b11 => Some(Self::Low),
            _ => None,
        }
    }

    /// The two bits; never the reserved value.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Medium => 0b00,
            Self::High => 0b01,
            Self::Low => 0b11,
        }
    }
}

/// The flag byte of a Prefix Information option; unnamed bits survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct PrefixFlags(pub u8);

impl PrefixFlags {
    /// L: addresses of the prefix are on this link (RFC 4861 section 4.6.2).
    pub const ON_LINK: Self = Self(0x80);
    /// A: hosts may form addresses by themselves (RFC 4862 section 5.5.3).
    pub const AUTONOMOUS: Self = Self(0x40);
    /// R: the prefix field holds the router's whole address (RFC 6275 section 7.2).
    pub const ROUTER_ADDRESS: Self = Self(0x20);
    /// P: hosts should ask for a prefix of their own by DHCPv6 (RFC 9762 section 4).
    pub const DHCPV6_PD_PREFERRED: Self = Self(0x10);

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and, if `set`, those of `other`.
    #[must_use]
    pub const fn with(self, other: Self, set: bool) -> Self {
        if set { Self(self.0 | other.0) } else { self }
    }
}

/// A prefix of the link (RFC 4861 section 4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixInformation {
    /// Leading bits of `prefix` that count; over 128 is never emitted by us but survives.
    pub prefix_length: u8,
    /// L, A, R, P and the bits without a name.
    pub flags: PrefixFlags,
    /// Seconds until the prefix is no longer on-link; all ones: for ever.
    pub valid_lifetime: u32,
    /// Seconds until addresses of the prefix are deprecated; all ones: for ever.
    pub preferred_lifetime: u32,
    /// The prefix, or the router's whole address when the R flag is set.
    pub prefix: Ipv6Addr,
}

impl PrefixInformation {
    pub(super) const CONTENT_LENGTH: usize = 30;

    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let [prefix_length, flags] = reader.array()?;
        let valid_lifetime = reader.u32()?;
        let preferred_lifetime = reader.u32()?;
        reader.u32()?; // reserved
        let prefix = Ipv6Addr::from(reader.array::<16>()?);
        Some(Self { prefix_length, flags: PrefixFlags(flags), valid_lifetime, preferred_lifetime, prefix })
    }

    pub(super) fn emit(&self, writer: &mut Writer<'_>) {
        writer.bytes(&[self.prefix_length, self.flags.0]);
        writer.u32(self.valid_lifetime);
        writer.u32(self.preferred_lifetime);
        writer.u32(0);
        writer.bytes(&self.prefix.octets());
    }
}

/// A route more specific than the default route (RFC 4191 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInformation {
    /// The destination.
    pub prefix: Ipv6Addr,
    /// Leading bits of `prefix` that count, 0 to 128.
    pub prefix_length: u8,
    /// Against the same route by other routers.
    pub preference: Preference,
    /// Seconds the route is valid; all ones: for ever.
    pub lifetime: u32,
}

impl RouteInformation {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let [prefix_length, flags] = reader.array()?;
        let lifetime = reader.u32()?;
        let sent = reader.take_rest();
        let mut octets = [0; 16];
        octets.get_mut(..sent.len())?.copy_from_slice(sent);
        let route = Self {
            prefix: Ipv6Addr::from(octets),
            prefix_length,
            preference: Preference::from_bits(flags >> 3)?,
            lifetime,
        };
        // A longer option than needed is legal (section 2.3) but would not be emitted the same way again.
        (prefix_length <= 128 && route.prefix_bytes() == sent.len()).then_some(route)
    }

    pub(super) fn emit(&self, writer: &mut Writer<'_>) {
        writer.bytes(&[self.prefix_length.min(128), self.preference.bits() << 3]);
        writer.u32(self.lifetime);
        let octets = self.prefix.octets();
        writer.bytes(octets.get(..self.prefix_bytes()).unwrap_or(&octets));
    }

    pub(super) const fn content_len(&self) -> usize {
        6 + self.prefix_bytes()
    }

    /// 0, 8 or 16 bytes of prefix: the option is 1, 2 or 3 units long.
    const fn prefix_bytes(&self) -> usize {
        match self.prefix_length {
            0 => 0,
            1..=64 => 8,
            _ => 16,
        }
    }
}

/// The NAT64 prefix (RFC 8781 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pref64 {
    /// Seconds the prefix is valid; a multiple of 8, at most [`Self::MAX_LIFETIME`] (emit rounds up and saturates).
    pub lifetime: u16,
    /// The prefix; only its first 96 bits are sent.
    pub prefix: Ipv6Addr,
    /// 96, 64, 56, 48, 40 or 32; any other is emitted as 96.
    pub prefix_length: u8,
}

/// Prefix lengths by their code (RFC 8781 section 4, table 1).
const PREF64_LENGTHS: [u8; 6] = [96, 64, 56, 48, 40, 32];

/// Whether a NAT64 prefix can have this length (RFC 6052 section 2.2).
pub fn is_pref64_length(length: u8) -> bool {
    PREF64_LENGTHS.contains(&length)
}

/// A lifetime in seconds as the PREF64 option can carry it: rounded up to units of eight, at most 65,528
/// (RFC 8781 section 4.1).
pub fn saturating_pref64_lifetime(seconds: u64) -> u16 {
    let limited = seconds.min(u64::from(Pref64::MAX_LIFETIME));
    u16::try_from(limited.next_multiple_of(8)).unwrap_or(Pref64::MAX_LIFETIME)
}

impl Pref64 {
    /// The longest lifetime the option can carry, in seconds.
    pub const MAX_LIFETIME: u16 = 65_528;
    pub(super) const CONTENT_LENGTH: usize = 14;

    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let scaled = reader.u16()?;
        let prefix_length = *PREF64_LENGTHS.get(usize::from(scaled & 0b111))?;
        let mut octets = [0; 16];
        octets[..12].copy_from_slice(&reader.array::<12>()?);
        Some(Self { lifetime: scaled & !0b111, prefix: Ipv6Addr::from(octets), prefix_length })
    }

    pub(super) fn emit(&self, writer: &mut Writer<'_>) {
        let code = PREF64_LENGTHS.iter().zip(0_u16..).find(|(length, _)| **length == self.prefix_length);
        writer.u16(saturating_pref64_lifetime(u64::from(self.lifetime)) | code.map_or(0, |(_, code)| code));
        let [high @ .., _, _, _, _] = self.prefix.octets();
        writer.bytes(&high);
    }
}

/// `prefix` with every bit beyond the first `length` set to zero.
pub const fn mask_prefix(prefix: Ipv6Addr, length: u8) -> Ipv6Addr {
    let mask = match length {
        0 => 0,
        1..=127 => u128::MAX << (128 - length as u32),
        _ => u128::MAX,
    };
    Ipv6Addr::from_bits(prefix.to_bits() & mask)
}
