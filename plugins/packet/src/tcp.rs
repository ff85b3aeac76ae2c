//! The TCP header (RFC 9293 section 3.1) with its options as they stand.
//!
//! The checksum field is content here: what it covers lies outside the header. The panic contract of the crate holds.

use crate::cursor::{EmitError, Reader, Writer};
use core::fmt;

/// FIN: no more data from the sender.
pub const FIN: u8 = 0x01;
/// SYN: synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// RST: reset the connection.
pub const RST: u8 = 0x04;
/// PSH: push function.
pub const PSH: u8 = 0x08;
/// ACK: the acknowledgment field is significant.
pub const ACK: u8 = 0x10;
/// URG: the urgent pointer is significant.
pub const URG: u8 = 0x20;
/// ECE: ECN echo (RFC 3168).
pub const ECE: u8 = 0x40;
/// CWR: congestion window reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// End of option list (RFC 9293 section 3.2).
pub const OPTION_END: u8 = 0;
/// No-operation (RFC 9293 section 3.2).
pub const OPTION_NOP: u8 = 1;
/// Maximum segment size, four bytes (RFC 9293 section 3.2).
pub const OPTION_MSS: u8 = 2;

/// Why bytes are no TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// Fewer bytes than the header has.
    Truncated,
    /// The data offset is below twenty bytes.
    DataOffset,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "shorter than its TCP header",
            Self::DataOffset => "TCP data offset below twenty bytes",
        })
    }
}

impl core::error::Error for ParseError {}

/// The header of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgment number.
    pub acknowledgment: u32,
    /// The four reserved bits beside the data offset.
    pub reserved: u8,
    /// CWR to FIN.
    pub flags: u8,
    /// The receive window, not scaled.
    pub window: u16,
    /// As it stands.
    pub checksum: u16,
    /// The urgent pointer.
    pub urgent: u16,
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
        let offset = *bytes.get(12).ok_or(ParseError::Truncated)?;
        let options = (usize::from(offset >> 4) * 4).checked_sub(Self::MIN_LEN).ok_or(ParseError::DataOffset)?;
        let mut reader = Reader::new(bytes);
        (|| {
            let source_port = reader.u16()?;
            let destination_port = reader.u16()?;
            let sequence = reader.u32()?;
            let acknowledgment = reader.u32()?;
            reader.u8()?;
            Some(Self {
                source_port,
                destination_port,
                sequence,
                acknowledgment,
                reserved: offset & 0xf,
                flags: reader.u8()?,
                window: reader.u16()?,
                checksum: reader.u16()?,
                urgent: reader.u16()?,
                options: reader.take(options)?,
            })
        })()
        .ok_or(ParseError::Truncated)
    }

    /// How many bytes the header has.
    pub const fn buffer_len(&self) -> usize {
        Self::MIN_LEN + self.options.len()
    }

    /// Writes the header to the front of `buffer`.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`], or [`EmitError::OptionTooLong`] for options no data offset can say.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        if self.options.len() > 40 || !self.options.len().is_multiple_of(4) {
            return Err(EmitError::OptionTooLong);
        }
        let mut writer = Writer::new(buffer);
        writer.u16(self.source_port);
        writer.u16(self.destination_port);
        writer.u32(self.sequence);
        writer.u32(self.acknowledgment);
        writer.u8(((self.buffer_len() / 4) << 4) as u8 | self.reserved & 0xf);
        writer.u8(self.flags);
        writer.u16(self.window);
        writer.u16(self.checksum);
        writer.u16(self.urgent);
        writer.bytes(self.options);
        writer.finish()
    }
}
