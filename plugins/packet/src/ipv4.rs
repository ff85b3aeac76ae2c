//! The IPv4 header (RFC 791 section 3.1) with its options as they stand.
//!
//! The checksum field is content here: parse does not verify it and emit does not compute it, for a raw socket's
//! kernel does both. [`Header::parse`] checks the header against the bytes given, not the total length against them.

use crate::checksum::Checksum;
use crate::cursor::{EmitError, Reader, Writer};
use core::fmt;
use std::net::Ipv4Addr;

/// Why bytes are no IPv4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// Fewer bytes than the header has.
    Truncated,
    /// The version is not 4.
    Version,
    /// The header length is below twenty bytes.
    HeaderLength,
    /// The total length is below the header length.
    TotalLength,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "shorter than its IPv4 header",
            Self::Version => "not IP version 4",
            Self::HeaderLength => "IPv4 header length below twenty bytes",
            Self::TotalLength => "IPv4 total length below the header length",
        })
    }
}

impl core::error::Error for ParseError {}

/// The header of an IPv4 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub tos: u8,
    /// Header and payload, in bytes.
    pub total_length: u16,
    /// Groups fragments.
    pub identification: u16,
    /// The reserved bit of the flags.
    pub reserved: bool,
    /// DF.
    pub dont_fragment: bool,
    /// MF.
    pub more_fragments: bool,
    /// In units of eight bytes, thirteen bits; higher ones are not emitted.
    pub fragment_offset: u16,
    /// Routers left to pass.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: u8,
    /// As it stands.
    pub checksum: u16,
    /// Who sent it.
    pub source: Ipv4Addr,
    /// Who is to receive it.
    pub destination: Ipv4Addr,
    /// At most forty bytes, a multiple of four.
    pub options: &'a [u8],
}

impl<'a> Header<'a> {
    /// Bytes of a header without options.
    pub const MIN_LEN: usize = 20;

    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] says what is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let first = *bytes.first().ok_or(ParseError::Truncated)?;
        if first >> 4 != 4 {
            return Err(ParseError::Version);
        }
        let options = (usize::from(first & 0xf) * 4).checked_sub(Self::MIN_LEN).ok_or(ParseError::HeaderLength)?;
        let mut reader = Reader::new(bytes);
        let header = (|| {
            reader.u8()?;
            let tos = reader.u8()?;
            let total_length = reader.u16()?;
            let identification = reader.u16()?;
            let fragment = reader.u16()?;
            Some(Self {
                tos,
                total_length,
                identification,
                reserved: fragment & 0x8000 != 0,
                dont_fragment: fragment & 0x4000 != 0,
                more_fragments: fragment & 0x2000 != 0,
                fragment_offset: fragment & 0x1fff,
                ttl: reader.u8()?,
                protocol: reader.u8()?,
                checksum: reader.u16()?,
                source: Ipv4Addr::from(reader.array::<4>()?),
                destination: Ipv4Addr::from(reader.array::<4>()?),
                options: reader.take(options)?,
            })
        })()
        .ok_or(ParseError::Truncated)?;
        if usize::from(header.total_length) < header.buffer_len() {
            return Err(ParseError::TotalLength);
        }
        Ok(header)
    }

    /// How many bytes the header has.
    pub const fn buffer_len(&self) -> usize {
        Self::MIN_LEN + self.options.len()
    }

    /// Whether this is a piece of a packet.
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Writes the header to the front of `buffer`.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`], or [`EmitError::OptionTooLong`] for options no header length can say.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        if self.options.len() > 40 || !self.options.len().is_multiple_of(4) {
            return Err(EmitError::OptionTooLong);
        }
        let mut writer = Writer::new(buffer);
        writer.u8(0x40 | (self.buffer_len() / 4) as u8);
        writer.u8(self.tos);
        writer.u16(self.total_length);
        writer.u16(self.identification);
        let flags =
            u16::from(self.reserved) << 15 | u16::from(self.dont_fragment) << 14 | u16::from(self.more_fragments) << 13;
        writer.u16(flags | self.fragment_offset & 0x1fff);
        writer.u8(self.ttl);
        writer.u8(self.protocol);
        writer.u16(self.checksum);
        writer.bytes(&self.source.octets());
        writer.bytes(&self.destination.octets());
        writer.bytes(self.options);
        writer.finish()
    }
}

/// Whether the checksum of the header bytes `header`, options included, is right.
pub fn verify_checksum(header: &[u8]) -> bool {
    let mut checksum = Checksum::new();
    checksum.add(header);
    header.len() >= Header::MIN_LEN && checksum.finish() == 0
}
