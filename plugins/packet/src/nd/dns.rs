//! The DNS options of router advertisements (RFC 8106) and the domain names inside them.
//!
//! A [`DomainName`] is kept in its uncompressed wire form (RFC 1035 section 3.1), so that whatever bytes a peer uses
//! as labels survive; text comes in through [`FromStr`] with the stricter rules of host names.

use crate::cursor::{Reader, Writer};
use core::fmt;
use core::str::FromStr;
use std::net::Ipv6Addr;

/// Recursive DNS servers (RFC 8106 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdnss {
    /// Seconds the servers may be used; 0: no longer; all ones: for ever.
    pub lifetime: u32,
    /// At least one and at most 127 servers.
    pub servers: Vec<Ipv6Addr>,
}

impl Rdnss {
    /// More servers do not fit into one option.
    pub const MAX_SERVERS: usize = 127;

    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        reader.u16()?; // reserved
        let lifetime = reader.u32()?;
        let mut servers = Vec::with_capacity(reader.remaining() / 16);
        while let Some(octets) = reader.array::<16>() {
            servers.push(Ipv6Addr::from(octets));
        }
        (!servers.is_empty()).then_some(Self { lifetime, servers })
    }

    pub(super) fn emit(&self, writer: &mut Writer<'_>) {
        writer.u16(0);
        writer.u32(self.lifetime);
        for server in &self.servers {
            writer.bytes(&server.octets());
        }
    }

    pub(super) const fn content_len(&self) -> usize {
        6 + 16 * self.servers.len()
    }
}

/// The DNS search list (RFC 8106 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnssl {
    /// Seconds the domains may be used; 0: no longer; all ones: for ever.
    pub lifetime: u32,
    /// At least one domain.
    pub domains: Vec<DomainName>,
}

impl Dnssl {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        reader.u16()?; // reserved
        let lifetime = reader.u32()?;
        let mut domains = Vec::new();
        loop {
            let rest = reader.clone().take_rest();
            if rest.iter().all(|byte| *byte == 0) {
                reader.take_rest();
                // A whole unit of padding or more would not be emitted the same way again.
                return (rest.len() < 8 && !domains.is_empty()).then_some(Self { lifetime, domains });
            }
            domains.push(DomainName::parse(reader)?);
        }
    }

    pub(super) fn emit(&self, writer: &mut Writer<'_>) {
        writer.u16(0);
        writer.u32(self.lifetime);
        for domain in &self.domains {
            writer.bytes(&domain.wire);
        }
    }

    pub(super) fn content_len(&self) -> usize {
        6 + self.domains.iter().map(|domain| domain.wire.len()).sum::<usize>()
    }
}

/// A domain name other than the root, in wire form without compression.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName {
    wire: Vec<u8>,
}

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainNameError {
    /// No label at all.
    Empty,
    /// Two dots in a row, or one at the start.
    EmptyLabel,
    /// A label of more than 63 bytes (RFC 1035 section 2.3.4).
    LabelTooLong,
    /// More than 255 bytes in wire form (RFC 1035 section 2.3.4).
    TooLong,
    /// A character that is neither letter, digit, hyphen nor underscore.
    Character(char),
    /// A label starts or ends with a hyphen (RFC 1123 section 2.1).
    Hyphen,
}

impl fmt::Display for DomainNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty domain name"),
            Self::EmptyLabel => f.write_str("empty label between two dots"),
            Self::LabelTooLong => f.write_str("label longer than 63 bytes"),
            Self::TooLong => f.write_str("domain name longer than 253 characters"),
            Self::Character(found) => write!(f, "character {found:?} is not allowed in a domain name"),
            Self::Hyphen => f.write_str("label starts or ends with a hyphen"),
        }
    }
}

impl core::error::Error for DomainNameError {}

const MAX_LABEL: usize = 63;
const MAX_WIRE: usize = 255;

impl DomainName {
    /// How many bytes the name takes on the wire.
    pub const fn wire_len(&self) -> usize {
        self.wire.len()
    }

    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let mut wire = Vec::new();
        loop {
            let length = reader.u8()?;
            wire.push(length);
            if length == 0 {
                return (wire.len() > 1).then_some(Self { wire });
            }
            wire.extend_from_slice(reader.take(usize::from(length))?);
            if usize::from(length) > MAX_LABEL || wire.len() >= MAX_WIRE {
                return None;
            }
        }
    }
}

impl FromStr for DomainName {
    type Err = DomainNameError;

    /// Letters, digits, hyphens and underscores between dots; one dot at the end is allowed. Upper case becomes
    /// lower case, so that equal names compare equal.
    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(DomainNameError::Empty);
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            check_label(label)?;
            let length = u8::try_from(label.len()).map_err(|_| DomainNameError::LabelTooLong)?;
            wire.push(length);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        if wire.len() > MAX_WIRE { Err(DomainNameError::TooLong) } else { Ok(Self { wire }) }
    }
}

fn check_label(label: &str) -> Result<(), DomainNameError> {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if label.is_empty() {
        return Err(DomainNameError::EmptyLabel);
    }
    if let Some(found) = label.chars().find(|c| !allowed(c)) {
        return Err(DomainNameError::Character(found));
    }
    if label.len() > MAX_LABEL {
        return Err(DomainNameError::LabelTooLong);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(DomainNameError::Hyphen);
    }
    Ok(())
}

impl fmt::Display for DomainName {
    /// The labels with dots between them; what is not a plain character is shown as `\DDD` (RFC 1035 section 5.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reader = Reader::new(&self.wire);
        let mut first = true;
        while let Some(length @ 1..) = reader.u8() {
            if !core::mem::take(&mut first) {
                f.write_str(".")?;
            }
            for byte in reader.take(usize::from(length)).unwrap_or_default() {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                    0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainName({self})")
    }
}
