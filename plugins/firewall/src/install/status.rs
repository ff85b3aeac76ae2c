//! What is shown of the kernel's state: counters, and the elements of sets.

use core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_nftables::{
    Decoded, ElementInfo, Endian, Family, Query,
    constants::{NFT_OBJECT_COUNTER, NFT_SET_ELEM_CATCHALL, NFT_SET_ELEM_INTERVAL_END},
    decode, request,
};

use super::{
    TABLE,
    existing::{ReadError, each},
    set::Layout,
};
use crate::ruleset::KeyType;

/// Most elements that are kept for showing; the rest is counted.
pub const MAX_SHOWN: usize = 1 << 17;

/// A counter of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterValue {
    /// Its name.
    pub name: String,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Asks for all counters with their values.
#[must_use]
pub fn counters_request(endian: Endian, sequence: u32) -> Vec<u8> {
    let kind = Some(NFT_OBJECT_COUNTER);
    request(endian, sequence, &Query::Objects { family: Family::Inet, table: Some(TABLE), kind })
}

/// The counters of a datagram that answers [`counters_request`].
///
/// # Errors
/// See [`ReadError`].
pub fn counters(endian: Endian, datagram: &[u8]) -> Result<Vec<CounterValue>, ReadError> {
    let mut found = Vec::new();
    each(endian, datagram, |message| {
        let Some(Decoded::Object(object)) = decode(message) else { return };
        if let (TABLE, Some((packets, bytes))) = (object.table.as_str(), object.counter) {
            found.push(CounterValue { name: object.name, packets, bytes });
        }
    })?;
    Ok(found)
}

/// Asks for the elements of a set, by its name in the kernel.
#[must_use]
pub fn elements_request(endian: Endian, sequence: u32, set: &str) -> Vec<u8> {
    request(endian, sequence, &Query::Elements { family: Family::Inet, table: TABLE, set })
}

/// An element for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The key, or the first of a range; parts are divided by ` . `.
    pub first: String,
    /// The last of a range.
    pub last: Option<String>,
    /// How long it lives.
    pub timeout: Option<Duration>,
    /// How long it still lives.
    pub expires: Option<Duration>,
}

impl core::fmt::Display for Shown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.first)?;
        if let Some(last) = &self.last {
            write!(f, "-{last}")?;
        }
        if let Some(expires) = self.expires {
            write!(f, " for {} s more", expires.as_secs())?;
        }
        Ok(())
    }
}

/// Elements of one set, out of the datagrams that answer [`elements_request`].
#[derive(Clone, Debug)]
pub struct Elements {
    key: Vec<KeyType>,
    endian: Endian,
    found: Vec<ElementInfo>,
    /// Those beyond `MAX_SHOWN`.
    beyond: usize,
}

impl Elements {
    /// None yet, of a set with this key.
    #[must_use]
    pub fn new(key: &[KeyType], endian: Endian) -> Self {
        Self { key: key.to_vec(), endian, found: Vec::new(), beyond: 0 }
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn absorb(&mut self, datagram: &[u8]) -> Result<(), ReadError> {
        each(self.endian, datagram, |message| {
            let Some(Decoded::Elements(elements)) = decode(message) else { return };
            for element in elements.elements {
                if element.flags & NFT_SET_ELEM_CATCHALL != 0 {
                } else if self.found.len() < MAX_SHOWN {
                    self.found.push(element);
                } else {
                    self.beyond = self.beyond.saturating_add(1);
                }
            }
        })
    }

    /// How many there are; both ends of a range count.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.len().saturating_add(self.beyond)
    }

    /// Those that were not kept, as the kernel counts them.
    #[must_use]
    pub const fn beyond(&self) -> usize {
        self.beyond
    }

    /// In the order of their keys; ranges are one, and those that adjoin are merged.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let end = |element: &ElementInfo| element.flags & NFT_SET_ELEM_INTERVAL_END != 0;
        let mut sorted: Vec<&ElementInfo> = self.found.iter().collect();
        // Where one range ends another may begin: the end first.
        sorted.sort_by(|a, b| a.key.cmp(&b.key).then(end(b).cmp(&end(a))));
        let ranges = sorted.iter().any(|element| end(element));
        if !ranges {
            let fields = sorted.iter().any(|element| element.key_end.is_some());
            return sorted.iter().map(|element| self.one(element, element.key_end.as_deref(), fields)).collect();
        }
        let mut shown = Vec::new();
        let mut open: Option<&ElementInfo> = None;
        let mut elements = sorted.into_iter().peekable();
        while let Some(element) = elements.next() {
            if !end(element) {
                open = open.or(Some(element));
                continue;
            }
            let goes_on = elements.peek().is_some_and(|next| !end(next) && next.key == element.key);
            if let (false, Some(first)) = (goes_on, open) {
                shown.push(self.one(first, Some(&before(&element.key)), true));
                open = None;
            }
        }
        if let Some(first) = open {
            shown.push(self.one(first, Some(&vec![0xff; first.key.len()]), true));
        }
        shown
    }

    fn one(&self, element: &ElementInfo, last: Option<&[u8]>, ranges: bool) -> Shown {
        let time = |milliseconds: Option<u64>| milliseconds.map(Duration::from_millis);
        Shown {
            first: self.text(&element.key, ranges),
            last: last.filter(|last| **last != *element.key).map(|last| self.text(last, ranges)),
            timeout: time(element.timeout_ms),
            expires: time(element.expiration_ms),
        }
    }

    /// A key for people.
    fn text(&self, key: &[u8], ranges: bool) -> String {
        let several = self.key.len() > 1;
        // Numbers of sets with ranges are big-endian.
        let endian = if ranges { Endian::Big } else { self.endian };
        let mut rest = key;
        let mut parts = Vec::with_capacity(self.key.len());
        for kind in &self.key {
            let width = Layout::of(&[*kind], false, self.endian).kernel_width;
            let padded = if several { width.next_multiple_of(4) } else { width };
            let (field, behind) = rest.split_at_checked(padded).unwrap_or((rest, &[]));
            rest = behind;
            parts.push(field_text(*kind, field.get(..width).unwrap_or(field), endian));
        }
        parts.join(" . ")
    }
}

/// The number before.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let borrowed = *byte == 0;
        *byte = byte.wrapping_sub(1);
        if !borrowed {
            break;
        }
    }
    key
}

fn field_text(kind: KeyType, field: &[u8], endian: Endian) -> String {
    let hexadecimal = || {
        let bytes: Vec<String> = field.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(":")
    };
    let text = match kind {
        KeyType::Ipv4 => <[u8; 4]>::try_from(field).map(|bytes| Ipv4Addr::from(bytes).to_string()).ok(),
        KeyType::Ipv6 => <[u8; 16]>::try_from(field).map(|bytes| Ipv6Addr::from(bytes).to_string()).ok(),
        KeyType::Ipv6Network => <[u8; 16]>::try_from(field).map(|bytes| format!("{}/64", Ipv6Addr::from(bytes))).ok(),
        KeyType::Port => <[u8; 2]>::try_from(field).map(|bytes| u16::from_be_bytes(bytes).to_string()).ok(),
        KeyType::Protocol | KeyType::IcmpType | KeyType::Icmpv6Type | KeyType::IcmpCode => {
            <[u8; 1]>::try_from(field).map(|[number]| number.to_string()).ok()
        }
        KeyType::Mark | KeyType::CtState => {
            <[u8; 4]>::try_from(field).map(|bytes| format!("{:#x}", endian.read_u32(bytes))).ok()
        }
        KeyType::Interface => {
            let name: Vec<u8> = field.iter().copied().take_while(|byte| *byte != 0).collect();
            Some(String::from_utf8_lossy(&name).into_owned())
        }
        KeyType::Ether => None,
    };
    text.unwrap_or_else(hexadecimal)
}
