//! The IPv6 header (RFC 8200 section 3) and the walk over its extension headers (section 4).
//!
//! [`Header::parse`] looks at the forty bytes only: whether the payload length fits what arrived is a question to the
//! caller, who alone knows whether bytes were cut off or padded. The panic contract of the crate holds.

use crate::cursor::{EmitError, Reader, Writer};
use core::fmt;
use std::net::Ipv6Addr;

/// Hop-by-Hop Options (RFC 8200 section 4.3).
pub const HOP_BY_HOP: u8 = 0;
/// IPv4 inside (RFC 2473 section 3).
pub const IPV4: u8 = 4;
/// TCP (RFC 9293).
pub const TCP: u8 = 6;
/// UDP (RFC 768).
pub const UDP: u8 = 17;
/// IPv6 inside (RFC 4213 section 3).
pub const IPV6: u8 = 41;
/// Routing (RFC 8200 section 4.4).
pub const ROUTING: u8 = 43;
/// Fragment (RFC 8200 section 4.5).
pub const FRAGMENT: u8 = 44;
/// Destination Options (RFC 8200 section 4.6).
pub const DESTINATION_OPTIONS: u8 = 60;

/// The smallest MTU an IPv6 link may have (RFC 8200 section 5).
pub const MINIMUM_MTU: u16 = 1280;

/// How many extension headers [`upper_layer`] steps over; a longer chain ends the walk at the header reached.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Why bytes are no IPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// Fewer than forty bytes.
    Truncated,
    /// The version is not 6.
    Version,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "shorter than an IPv6 header",
            Self::Version => "not IP version 6",
        })
    }
}

impl core::error::Error for ParseError {}

/// The fixed header of an IPv6 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub traffic_class: u8,
    /// Twenty bits; higher ones are not emitted.
    pub flow_label: u32,
    /// Bytes after the header.
    pub payload_length: u16,
    /// What the payload begins with.
    pub next_header: u8,
    /// Routers left to pass.
    pub hop_limit: u8,
    /// Who sent it.
    pub source: Ipv6Addr,
    /// Who is to receive it.
    pub destination: Ipv6Addr,
}

impl Header {
    /// Bytes of every header.
    pub const LEN: usize = 40;

    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        // The version first: an IPv4 packet of 28 bytes is not a truncated IPv6 packet.
        if bytes.first().is_some_and(|first| first >> 4 != 6) {
            return Err(ParseError::Version);
        }
        (|| {
            let word = reader.u32()?;
            Some(Self {
                traffic_class: (word >> 20) as u8,
                flow_label: word & 0xf_ffff,
                payload_length: reader.u16()?,
                next_header: reader.u8()?,
                hop_limit: reader.u8()?,
                source: Ipv6Addr::from(reader.array::<16>()?),
                destination: Ipv6Addr::from(reader.array::<16>()?),
            })
        })()
        .ok_or(ParseError::Truncated)
    }

    /// How many bytes [`Header::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        Self::LEN
    }

    /// Writes the header to the front of `buffer`.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] below forty bytes.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = Writer::new(buffer);
        writer.u32(6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff);
        writer.u16(self.payload_length);
        writer.u8(self.next_header);
        writer.u8(self.hop_limit);
        writer.bytes(&self.source.octets());
        writer.bytes(&self.destination.octets());
        writer.finish()
    }
}

/// Where a packet's extension headers end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpperLayer {
    /// The number of the header found there; an extension header's own when the walk could not pass it.
    pub next_header: u8,
    /// Its distance from the start of the IPv6 header.
    pub offset: usize,
    /// Whether a fragment header was passed or stopped the walk.
    pub fragment: bool,
}

/// Steps over the extension headers of the whole packet `packet`; `None` when one is cut off.
///
/// A later fragment ends the walk at its fragment header, for what follows is not a header.
pub fn upper_layer(packet: &[u8]) -> Option<UpperLayer> {
    let mut found = UpperLayer { next_header: *packet.get(6)?, offset: Header::LEN, fragment: false };
    for _ in 0..MAX_EXTENSION_HEADERS {
        let mut reader = Reader::new(packet.get(found.offset..)?);
        let length = match found.next_header {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                let next_header = reader.u8()?;
                let length = (usize::from(reader.u8()?) + 1) * 8;
                found.next_header = next_header;
                length
            }
            FRAGMENT => {
                let next_header = reader.u8()?;
                reader.u8()?;
                found.fragment = true;
                if reader.u16()? >> 3 != 0 {
                    return Some(found);
                }
                found.next_header = next_header;
                8
            }
            _ => return Some(found),
        };
        found.offset += length;
        if found.offset > packet.len() {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; Header::LEN];
        let header = Header {
            traffic_class: 0,
            flow_label: 0,
            payload_length: payload.len() as u16,
            next_header,
            hop_limit: 64,
            source: Ipv6Addr::LOCALHOST,
            destination: Ipv6Addr::LOCALHOST,
        };
        header.emit(&mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn the_walk_passes_options_routing_and_a_first_fragment() {
        let mut payload = vec![ROUTING, 0, 1, 4, 0, 0, 0, 0];
        payload.extend([FRAGMENT, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([TCP, 0, 0, 1, 0, 0, 0, 9]);
        payload.extend([0; 20]);
        let bytes = packet(HOP_BY_HOP, &payload);
        assert_eq!(upper_layer(&bytes), Some(UpperLayer { next_header: TCP, offset: 72, fragment: true }));
        for length in 0..72 {
            assert_eq!(upper_layer(&bytes[..length]), None, "length {length}");
        }
    }

    #[test]
    fn a_later_fragment_ends_the_walk() {
        let bytes = packet(FRAGMENT, &[TCP, 0, 0, 9, 0, 0, 0, 9, 1, 2, 3, 4]);
        assert_eq!(upper_layer(&bytes), Some(UpperLayer { next_header: FRAGMENT, offset: 40, fragment: true }));
    }

    #[test]
    fn an_endless_chain_ends_the_walk() {
        let bytes = packet(DESTINATION_OPTIONS, &[DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(100));
        assert_eq!(upper_layer(&bytes).map(|found| found.next_header), Some(DESTINATION_OPTIONS));
    }
}
