//! Router Advertisement (RFC 4861 section 4.2, with the bits of RFC 4191, 6275, 4389 and RFC 5175).
//!
//! [`RouterAdvertisement::parse`] reads the format, [`validate_ra`] adds what section 6.1.2 demands of a received
//! one. The checksum is the kernel's work (see [`crate::icmpv6`]); it is emitted as zero.

use super::{HOP_LIMIT, NdOption, NdOptions, ParseError, Preference, is_link_local};
use crate::cursor::{EmitError, Reader, Writer};
use crate::icmpv6::ROUTER_ADVERTISEMENT;
use core::fmt;
use std::net::Ipv6Addr;

const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const HOME_AGENT: u8 = 0x20;
const UNNAMED_FLAGS: u8 = 0x07;

/// What a router tells the hosts of its link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterAdvertisement {
    /// The hop limit hosts should use; 0: unspecified.
    pub hop_limit: u8,
    /// M: addresses are available by DHCPv6.
    pub managed: bool,
    /// O: other configuration is available by DHCPv6.
    pub other_config: bool,
    /// H: the router is a Mobile IPv6 home agent (RFC 6275 section 7.1).
    pub home_agent: bool,
    /// Prf: the preference as a default router (RFC 4191 section 2.2); the reserved value reads as `Medium`.
    pub preference: Preference,
    /// The three flag bits this type has no name for (proxy, SNAC, reserved), in place; they survive.
    pub other_flags: u8,
    /// Seconds for which this is a default router; 0: it is none.
    pub router_lifetime: u16,
    /// Milliseconds a neighbour counts as reachable after a confirmation; 0: unspecified.
    pub reachable_time: u32,
    /// Milliseconds between neighbour solicitations; 0: unspecified.
    pub retrans_timer: u32,
    /// The options, in order.
    pub options: Vec<NdOption>,
}

/// Why a received advertisement must be dropped (RFC 4861 section 6.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaError {
    /// Not a well-formed advertisement.
    Malformed(ParseError),
    /// The hop limit was not 255: it may have been forwarded.
    HopLimit(u8),
    /// The ICMPv6 code was not 0.
    Code(u8),
    /// The source is not a link-local address.
    SourceNotLinkLocal,
}

impl fmt::Display for RaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::HopLimit(found) => write!(f, "hop limit {found} instead of 255"),
            Self::Code(found) => write!(f, "code {found} instead of 0"),
            Self::SourceNotLinkLocal => f.write_str("source address is not link-local"),
        }
    }
}

impl core::error::Error for RaError {}

impl From<ParseError> for RaError {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl RouterAdvertisement {
    /// Bytes before the first option.
    pub const HEADER_LENGTH: usize = 16;

    /// Reads an ICMPv6 message; the code and the checksum are not looked at.
    ///
    /// # Errors
    /// When the bytes are not an advertisement with well-framed options.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let mut advertisement = Self::parse_header(&mut reader).ok_or(ParseError::TooShort)?;
        match bytes.first() {
            Some(&ROUTER_ADVERTISEMENT) => {}
            Some(&other) => return Err(ParseError::Type(other)),
            None => return Err(ParseError::TooShort),
        }
        advertisement.options = NdOptions::parse_all(reader.take_rest())?;
        Ok(advertisement)
    }

    fn parse_header(reader: &mut Reader<'_>) -> Option<Self> {
        let [_kind, _code, _, _, hop_limit, flags] = reader.array()?;
        Some(Self {
            hop_limit,
            managed: flags & MANAGED != 0,
            other_config: flags & OTHER != 0,
            home_agent: flags & HOME_AGENT != 0,
            preference: Preference::from_bits(flags >> 3).unwrap_or_default(),
            other_flags: flags & UNNAMED_FLAGS,
            router_lifetime: reader.u16()?,
            reachable_time: reader.u32()?,
            retrans_timer: reader.u32()?,
            options: Vec::new(),
        })
    }

    /// How many bytes [`Self::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        Self::HEADER_LENGTH + self.options.iter().map(NdOption::buffer_len).sum::<usize>()
    }

    /// Writes the ICMPv6 message with a checksum of zero and returns its length.
    ///
    /// # Errors
    /// When `buffer` is shorter than [`Self::buffer_len`] or an option is too long for its format.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.managed, MANAGED)
            | flag(self.other_config, OTHER)
            | flag(self.home_agent, HOME_AGENT)
            | (self.preference.bits() << 3)
            | (self.other_flags & UNNAMED_FLAGS);
        let mut writer = Writer::new(buffer);
        writer.bytes(&[ROUTER_ADVERTISEMENT, 0, 0, 0, self.hop_limit, flags]);
        writer.u16(self.router_lifetime);
        writer.u32(self.reachable_time);
        writer.u32(self.retrans_timer);
        for option in &self.options {
            option.emit(&mut writer);
        }
        writer.finish()
    }
}

/// Reads a received advertisement and checks everything RFC 4861 section 6.1.2 demands.
///
/// # Errors
/// The first demand that is not met; such a message must be dropped in silence.
pub fn validate_ra(bytes: &[u8], hop_limit: u8, source: Ipv6Addr) -> Result<RouterAdvertisement, RaError> {
    if !is_link_local(source) {
        return Err(RaError::SourceNotLinkLocal);
    }
    if hop_limit != HOP_LIMIT {
        return Err(RaError::HopLimit(hop_limit));
    }
    let advertisement = RouterAdvertisement::parse(bytes)?;
    if let Some(&code @ 1..) = bytes.get(1) {
        return Err(RaError::Code(code));
    }
    Ok(advertisement)
}
