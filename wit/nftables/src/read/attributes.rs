//! Attributes, one after the other.

use crate::{Endian, attribute::HEADER, constants::NLA_TYPE_MASK};

/// An attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, without the flags.
    pub kind: u16,
    /// What follows its header, without padding.
    pub value: &'a [u8],
    /// Of its header, from where the attributes begin.
    pub offset: usize,
    endian: Endian,
}

/// Goes through attributes; ends at the first that is cut off, with [`Attributes::rest`] telling what is left.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    offset: usize,
    endian: Endian,
}

impl<'a> Attributes<'a> {
    /// Those in `bytes`.
    #[must_use]
    pub const fn new(endian: Endian, bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, endian }
    }

    /// What was not gone through: after the end, bytes that are no attribute.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first of this number.
    pub(crate) fn get(&self, kind: u16) -> Option<Attribute<'a>> {
        self.clone().find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let [l0, l1, k0, k1] = *self.bytes.first_chunk::<HEADER>()?;
        let length = usize::from(self.endian.read_u16([l0, l1]));
        let kind = self.endian.read_u16([k0, k1]) & NLA_TYPE_MASK;
        let value = self.bytes.get(HEADER..length)?;
        let attribute = Attribute { kind, value, offset: self.offset, endian: self.endian };
        let step = length.next_multiple_of(4).min(self.bytes.len());
        self.bytes = self.bytes.get(step..).unwrap_or_default();
        self.offset += step;
        Some(attribute)
    }
}

impl<'a> Attribute<'a> {
    /// The attributes that it holds.
    #[must_use]
    pub const fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.endian, self.value)
    }

    /// A text up to its zero; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(self.value.get(..end).unwrap_or_default()).into_owned()
    }

    /// One byte.
    #[must_use]
    pub fn u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// Two bytes, big-endian.
    #[must_use]
    pub fn u16(&self) -> Option<u16> {
        self.value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Four bytes, big-endian.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Eight bytes, big-endian.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        self.value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Four bytes in the host's order, as netlink's own attributes have them.
    #[must_use]
    pub fn host_u32(&self) -> Option<u32> {
        self.value.first_chunk().map(|bytes| self.endian.read_u32(*bytes))
    }
}
