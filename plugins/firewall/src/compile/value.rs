//! Values of at most 16 bytes as they stand in packets, sorted disjoint ranges of them, and the hash that names are made of.
//!
//! All ranges of the compiler are here in one form, whatever they are of: addresses, ports, names of interfaces. Values of
//! one list have the same length, so comparing bytes compares numbers.

use std::net::IpAddr;

use crate::config::{Interface, IpRange};

/// Bytes of a name of an interface in a key.
pub const NAME: usize = 16;

/// A value of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    bytes: [u8; 16],
    len: u8,
}

/// First and last.
pub type Span = (Value, Value);

impl Value {
    /// Of at most 16 bytes; more are cut off.
    #[must_use]
    pub fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let len = from.len().min(16);
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = *from;
        }
        Self { bytes, len: u8::try_from(len).unwrap_or(16) }
    }

    /// A byte.
    #[must_use]
    pub fn byte(value: u8) -> Self {
        Self::new(&[value])
    }

    /// A port.
    #[must_use]
    pub fn port(value: u16) -> Self {
        Self::new(&value.to_be_bytes())
    }

    /// A number of 4 bytes.
    #[must_use]
    pub fn word(value: u32) -> Self {
        Self::new(&value.to_be_bytes())
    }

    /// An address.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::new(&address.octets()),
            IpAddr::V6(address) => Self::new(&address.octets()),
        }
    }

    /// A whole name of an interface.
    #[must_use]
    pub fn name(name: &str) -> Self {
        let mut value = Self::new(name.as_bytes());
        value.len = 16;
        value
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    fn number(self) -> u128 {
        u128::from_be_bytes(self.bytes) >> (8 * (16 - u32::from(self.len.min(16))).min(15))
    }

    fn with(self, number: u128) -> Self {
        let shift = 8 * (16 - u32::from(self.len.min(16))).min(15);
        Self { bytes: (number << shift).to_be_bytes(), len: self.len }
    }

    /// The one behind it, unless it is the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let next = self.with(self.number().checked_add(1)?);
        (next > self).then_some(next)
    }

    /// The one before it, unless it is the first.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        Some(self.with(self.number().checked_sub(1)?))
    }
}

/// First and last of an [`IpRange`].
#[must_use]
pub fn addresses(range: &IpRange) -> Span {
    match *range {
        IpRange::V4(first, last) => (Value::address(first.into()), Value::address(last.into())),
        IpRange::V6(first, last) => (Value::address(first.into()), Value::address(last.into())),
    }
}

/// The names that an interface of the section means.
#[must_use]
pub fn names(interface: &Interface) -> Span {
    let first = Value::name(&interface.name);
    if !interface.prefix {
        return (first, first);
    }
    let mut last = first;
    for byte in last.bytes.iter_mut().skip(interface.name.len()) {
        *byte = 0xff;
    }
    (first, last)
}

/// If the range is all names with the same beginning: the beginning.
#[must_use]
pub fn beginning(range: &Span) -> Option<&[u8]> {
    let same = range.0.bytes.iter().zip(&range.1.bytes).take_while(|(a, b)| a == b).count();
    let all = range.0.bytes.iter().skip(same).all(|byte| *byte == 0)
        && range.1.bytes.iter().skip(same).all(|byte| *byte == 0xff);
    (all && same > 0 && same < NAME && range.0.bytes.iter().take(same).all(|byte| *byte != 0))
        .then(|| range.0.bytes.get(..same))
        .flatten()
}

/// Sorts and joins what overlaps or touches. Those whose last is before their first are left out.
#[must_use]
pub fn merge(mut ranges: Vec<Span>) -> Vec<Span> {
    ranges.retain(|range| range.0 <= range.1);
    ranges.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(before) if range.0 <= before.1 || before.1.next() == Some(range.0) => before.1 = before.1.max(range.1),
            _ => merged.push(range),
        }
    }
    merged
}

/// Sorts and drops what is there twice; points that touch stay points.
#[must_use]
pub fn points(mut ranges: Vec<Span>) -> Vec<Span> {
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// All are points.
#[must_use]
pub fn are_points(ranges: &[Span]) -> bool {
    ranges.iter().all(|range| range.0 == range.1)
}

/// What of `from` is not in `what`; both sorted and disjoint.
#[must_use]
pub fn without(from: &[Span], what: &[Span]) -> Vec<Span> {
    let mut left = Vec::new();
    for range in from {
        let mut first = Some(range.0);
        for cut in what.iter().filter(|cut| cut.1 >= range.0 && cut.0 <= range.1) {
            let Some(start) = first else { break };
            if let Some(before) = cut.0.previous().filter(|before| *before >= start && cut.0 > start) {
                left.push((start, before));
            }
            first = cut.1.next().filter(|next| *next <= range.1).map(|next| next.max(start));
        }
        if let Some(start) = first.filter(|start| *start <= range.1) {
            left.push((start, range.1));
        }
    }
    left
}

/// Appends the value and what fills it up to 4 bytes.
pub fn pad(key: &mut Vec<u8>, value: &[u8], concatenated: bool) {
    key.extend_from_slice(value);
    if concatenated {
        let missing = value.len().next_multiple_of(4) - value.len();
        key.extend(core::iter::repeat_n(0, missing));
    }
}

/// FNV-1a of 64 bits: for names that have to be the same each time, and for tables.
#[derive(Clone, Copy, Debug)]
pub struct Stable(u64);

impl Default for Stable {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl core::hash::Hasher for Stable {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// See [`Stable`].
pub type BuildStable = core::hash::BuildHasherDefault<Stable>;
