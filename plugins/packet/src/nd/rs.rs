//! Router Solicitation (RFC 4861 section 4.1).
//!
//! [`RouterSolicitation::parse`] reads the format, [`validate_rs`] adds what section 6.1.1 demands of a received one.
//! The checksum is the kernel's work (see [`crate::icmpv6`]), so it is neither read nor checked here.

use super::{HOP_LIMIT, NdOption, NdOptions, ParseError};
use crate::cursor::{EmitError, Reader, Writer};
use crate::icmpv6::ROUTER_SOLICITATION;
use core::fmt;
use std::net::Ipv6Addr;

/// A host asks the routers of its link to advertise now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouterSolicitation {
    /// The options, in order.
    pub options: Vec<NdOption>,
}

/// Why a received solicitation must be dropped (RFC 4861 section 6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsError {
    /// Not a well-formed solicitation.
    Malformed(ParseError),
    /// The hop limit was not 255: it may have been forwarded.
    HopLimit(u8),
    /// The ICMPv6 code was not 0.
    Code(u8),
    /// A source link-layer address although the source is `::`.
    LinkLayerAddressFromUnspecified,
}

impl fmt::Display for RsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::HopLimit(found) => write!(f, "hop limit {found} instead of 255"),
            Self::Code(found) => write!(f, "code {found} instead of 0"),
            Self::LinkLayerAddressFromUnspecified => f.write_str("source link-layer address from ::"),
        }
    }
}

impl core::error::Error for RsError {}

impl From<ParseError> for RsError {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl RouterSolicitation {
    /// Reads an ICMPv6 message; the code and the checksum are not looked at.
    ///
    /// # Errors
    /// When the bytes are not a solicitation with well-framed options.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let [kind, _code, _, _] = reader.array::<4>().ok_or(ParseError::TooShort)?;
        reader.u32().ok_or(ParseError::TooShort)?; // reserved
        if kind != ROUTER_SOLICITATION {
            return Err(ParseError::Type(kind));
        }
        let options = NdOptions::parse_all(reader.take_rest())?;
        Ok(Self { options })
    }

    /// How many bytes [`Self::emit`] writes.
    pub fn buffer_len(&self) -> usize {
        8 + self.options.iter().map(NdOption::buffer_len).sum::<usize>()
    }

    /// Writes the ICMPv6 message with a checksum of zero and returns its length.
    ///
    /// # Errors
    /// When `buffer` is shorter than [`Self::buffer_len`] or an option is too long for its format.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        writer.bytes(&[ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
        for option in &self.options {
            option.emit(&mut writer);
        }
        writer.finish()
    }
}

/// Reads a received solicitation and checks everything RFC 4861 section 6.1.1 demands.
///
/// # Errors
/// The first demand that is not met; such a message must be dropped in silence.
pub fn validate_rs(bytes: &[u8], hop_limit: u8, source: Ipv6Addr) -> Result<RouterSolicitation, RsError> {
    if hop_limit != HOP_LIMIT {
        return Err(RsError::HopLimit(hop_limit));
    }
    let solicitation = RouterSolicitation::parse(bytes)?;
    if let Some(&code @ 1..) = bytes.get(1) {
        return Err(RsError::Code(code));
    }
    let has_address = solicitation.options.iter().any(|o| matches!(o, NdOption::SourceLinkLayerAddress(_)));
    if source.is_unspecified() && has_address {
        return Err(RsError::LinkLayerAddressFromUnspecified);
    }
    Ok(solicitation)
}
