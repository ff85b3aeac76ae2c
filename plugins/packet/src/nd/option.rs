//! The options of Neighbor Discovery messages (RFC 4861 section 4.6): framing and the enum of those we know.
//!
//! An option is a kind, a length in units of eight bytes, and content. [`NdOptions`] walks the frames,
//! [`NdOption`] is one option's meaning. What has no meaning here — an unknown kind, or a known kind whose content
//! does not fit its format — becomes [`NdOption::Unknown`] and is emitted again byte for byte. Options that repeat
//! stay a list in the order of the packet.

use super::ParseError;
use super::dns::{Dnssl, Rdnss};
use super::prefix::{Pref64, PrefixInformation, RouteInformation};
use crate::cursor::{EmitError, Reader, Writer};

/// Option kinds by their RFC names.
pub mod kind {
    /// Source Link-layer Address (RFC 4861 section 4.6.1).
    pub const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
    /// Prefix Information (RFC 4861 section 4.6.2).
    pub const PREFIX_INFORMATION: u8 = 3;
    /// MTU (RFC 4861 section 4.6.4).
    pub const MTU: u8 = 5;
    /// Advertisement Interval (RFC 6275 section 7.3).
    pub const ADVERTISEMENT_INTERVAL: u8 = 7;
    /// Route Information (RFC 4191 section 2.3).
    pub const ROUTE_INFORMATION: u8 = 24;
    /// Recursive DNS Server (RFC 8106 section 5.1).
    pub const RECURSIVE_DNS_SERVER: u8 = 25;
    /// DNS Search List (RFC 8106 section 5.2).
    pub const DNS_SEARCH_LIST: u8 = 31;
    /// Captive-Portal (RFC 8910 section 2.3).
    pub const CAPTIVE_PORTAL: u8 = 37;
    /// PREF64 (RFC 8781 section 4).
    pub const PREF64: u8 = 38;
}

/// The longest option in bytes, kind and length included: 255 units of eight.
pub const MAX_OPTION_LENGTH: usize = 255 * 8;

/// One option of a Neighbor Discovery message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NdOption {
    /// The sender's link-layer address. Longer or shorter than six bytes modulo eight, it is padded with zeros
    /// on the wire and reads back with its padding, since the format does not say how long it was.
    SourceLinkLayerAddress(Vec<u8>),
    /// A prefix that is on the link or gives addresses.
    PrefixInformation(PrefixInformation),
    /// The MTU of the link in bytes.
    Mtu(u32),
    /// Milliseconds between unsolicited multicast advertisements.
    AdvertisementInterval(u32),
    /// A more specific route.
    RouteInformation(RouteInformation),
    /// Recursive DNS servers.
    Rdnss(Rdnss),
    /// DNS search domains.
    Dnssl(Dnssl),
    /// The URI of the captive portal API.
    CaptivePortal(String),
    /// The NAT64 prefix.
    Pref64(Pref64),
    /// Anything else; `data` is what follows the length byte, padding included.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// Everything after the length byte.
        data: Vec<u8>,
    },
}

impl NdOption {
    /// The meaning of one framed option; never fails (see the head of this file).
    pub fn from_raw(raw: RawOption<'_>) -> Self {
        Self::known(raw).unwrap_or_else(|| Self::Unknown { kind: raw.kind, data: raw.data.to_vec() })
    }

    fn known(raw: RawOption<'_>) -> Option<Self> {
        let mut reader = Reader::new(raw.data);
        let option = match raw.kind {
            kind::SOURCE_LINK_LAYER_ADDRESS => Self::SourceLinkLayerAddress(reader.take_rest().to_vec()),
            kind::PREFIX_INFORMATION => Self::PrefixInformation(PrefixInformation::parse(&mut reader)?),
            kind::MTU => {
                reader.u16()?;
                Self::Mtu(reader.u32()?)
            }
            kind::ADVERTISEMENT_INTERVAL => {
                reader.u16()?;
                Self::AdvertisementInterval(reader.u32()?)
            }
            kind::ROUTE_INFORMATION => Self::RouteInformation(RouteInformation::parse(&mut reader)?),
            kind::RECURSIVE_DNS_SERVER => Self::Rdnss(Rdnss::parse(&mut reader)?),
            kind::DNS_SEARCH_LIST => Self::Dnssl(Dnssl::parse(&mut reader)?),
            kind::CAPTIVE_PORTAL => Self::CaptivePortal(parse_uri(reader.take_rest())?),
            kind::PREF64 => Self::Pref64(Pref64::parse(&mut reader)?),
            _ => return None,
        };
        reader.is_empty().then_some(option)
    }

    /// How many bytes the option takes on the wire, padding included.
    pub fn buffer_len(&self) -> usize {
        (2 + self.content_len()).next_multiple_of(8)
    }

    /// Writes the option; what cannot be written is remembered by `writer`.
    pub fn emit(&self, writer: &mut Writer<'_>) {
        let length = self.buffer_len();
        let Ok(units) = u8::try_from(length / 8) else {
            writer.fail(EmitError::OptionTooLong);
            return;
        };
        let start = writer.position();
        writer.bytes(&[self.kind(), units]);
        match self {
            Self::SourceLinkLayerAddress(data) | Self::Unknown { data, .. } => writer.bytes(data),
            Self::PrefixInformation(prefix) => prefix.emit(writer),
            Self::Mtu(value) | Self::AdvertisementInterval(value) => {
                writer.u16(0);
                writer.u32(*value);
            }
            Self::RouteInformation(route) => route.emit(writer),
            Self::Rdnss(rdnss) => rdnss.emit(writer),
            Self::Dnssl(dnssl) => dnssl.emit(writer),
            Self::CaptivePortal(uri) => writer.bytes(uri.as_bytes()),
            Self::Pref64(pref64) => pref64.emit(writer),
        }
        let written = writer.position().saturating_sub(start);
        writer.zeros(length.saturating_sub(written));
    }

    /// The kind byte.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::SourceLinkLayerAddress(_) => kind::SOURCE_LINK_LAYER_ADDRESS,
            Self::PrefixInformation(_) => kind::PREFIX_INFORMATION,
            Self::Mtu(_) => kind::MTU,
            Self::AdvertisementInterval(_) => kind::ADVERTISEMENT_INTERVAL,
            Self::RouteInformation(_) => kind::ROUTE_INFORMATION,
            Self::Rdnss(_) => kind::RECURSIVE_DNS_SERVER,
            Self::Dnssl(_) => kind::DNS_SEARCH_LIST,
            Self::CaptivePortal(_) => kind::CAPTIVE_PORTAL,
            Self::Pref64(_) => kind::PREF64,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Bytes between the length byte and the padding.
    fn content_len(&self) -> usize {
        match self {
            Self::SourceLinkLayerAddress(data) | Self::Unknown { data, .. } => data.len(),
            Self::PrefixInformation(_) => PrefixInformation::CONTENT_LENGTH,
            Self::Mtu(_) | Self::AdvertisementInterval(_) => 6,
            Self::RouteInformation(route) => route.content_len(),
            Self::Rdnss(rdnss) => rdnss.content_len(),
            Self::Dnssl(dnssl) => dnssl.content_len(),
            Self::CaptivePortal(uri) => uri.len(),
            Self::Pref64(_) => Pref64::CONTENT_LENGTH,
        }
    }
}

/// RFC 8910 section 2.3: the URI, padded with zero bytes.
fn parse_uri(data: &[u8]) -> Option<String> {
    let end = data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    // More than one unit of padding would not be emitted the same way again.
    if data.len() - end >= 8 || data[..end].contains(&0) {
        return None;
    }
    core::str::from_utf8(&data[..end]).ok().map(str::to_owned)
}

/// One framed option whose content was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// The kind byte.
    pub kind: u8,
    /// Everything after the length byte.
    pub data: &'a [u8],
}

/// Iterates over the options of a message; after an error it ends.
#[derive(Debug, Clone)]
pub struct NdOptions<'a> {
    reader: Reader<'a>,
}

impl<'a> NdOptions<'a> {
    /// Over `bytes`, which start at the first option.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }

    /// Every option of `bytes` with its meaning.
    ///
    /// # Errors
    /// When one of them has length zero or is longer than what is left.
    pub fn parse_all(bytes: &'a [u8]) -> Result<Vec<NdOption>, ParseError> {
        Self::new(bytes).map(|raw| raw.map(NdOption::from_raw)).collect()
    }

    fn next_option(&mut self) -> Result<RawOption<'a>, ParseError> {
        let [kind, units] = self.reader.array().ok_or(ParseError::TruncatedOption)?;
        let length = (usize::from(units) * 8).checked_sub(2).ok_or(ParseError::ZeroLengthOption)?;
        let data = self.reader.take(length).ok_or(ParseError::TruncatedOption)?;
        Ok(RawOption { kind, data })
    }
}

impl<'a> Iterator for NdOptions<'a> {
    type Item = Result<RawOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let option = self.next_option();
        if option.is_err() {
            self.reader.take_rest();
        }
        Some(option)
    }
}
