//! Attributes of netlink, written one after the other into one buffer.
//!
//! A nested attribute's length is put in when its end is known, so nothing is copied. Lengths are 16 bits: an attribute
//! beyond them is remembered, and the batch as a whole is refused.

use crate::{Endian, constants::NLA_F_NESTED};

/// Bytes before an attribute's value.
pub(crate) const HEADER: usize = 4;
/// Longest attribute with its header.
pub(crate) const MAX_ATTRIBUTE: usize = u16::MAX as usize;

/// Most bytes that room is made for at once.
const MAX_RESERVE: usize = 64 << 20;

/// Where a message's attributes are written.
#[derive(Clone, Debug)]
pub struct Writer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) endian: Endian,
    pub(crate) oversized: bool,
}

impl Writer {
    pub(crate) const fn new(endian: Endian) -> Self {
        Self { bytes: Vec::new(), endian, oversized: false }
    }

    /// The host's byte order.
    #[must_use]
    pub const fn endian(&self) -> Endian {
        self.endian
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes.min(MAX_RESERVE));
    }

    /// Any bytes.
    pub fn data(&mut self, kind: u16, value: &[u8]) {
        self.head(kind, value.len());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A text with its zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.head(kind, value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// One byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.data(kind, &[value]);
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.data(kind, &value.to_be_bytes());
    }

    /// Four bytes, big-endian. Most attributes of rules are these.
    pub fn u32(&mut self, kind: u16, value: u32) {
        let ([a, b], [c, d]) = (self.endian.u16(8), self.endian.u16(kind));
        let [e, f, g, h] = value.to_be_bytes();
        self.bytes.extend_from_slice(&[a, b, c, d, e, f, g, h]);
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, kind: u16, value: u64) {
        self.data(kind, &value.to_be_bytes());
    }

    /// A nested attribute with a single one in it, which has these bytes.
    pub(crate) fn wrapped(&mut self, outer: u16, inner: u16, value: &[u8]) {
        self.head(outer | NLA_F_NESTED, HEADER + value.len().next_multiple_of(4));
        self.data(inner, value);
    }

    /// Further attributes, which `fill` writes.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.open(kind);
        fill(self);
        self.close(start);
    }

    /// Begins a nested attribute; [`Writer::close`] ends it.
    pub(crate) fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.head(kind | NLA_F_NESTED, 0);
        start
    }

    pub(crate) fn close(&mut self, start: usize) {
        let length = self.bytes.len().saturating_sub(start);
        let length = self.length(length);
        self.put(start, &length);
    }

    /// Bytes that are whole attributes already.
    pub(crate) fn raw(&mut self, attributes: &[u8]) {
        self.bytes.extend_from_slice(attributes);
        self.pad();
    }

    /// Overwrites what is at `at`, as far as there is something.
    pub(crate) fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }

    fn head(&mut self, kind: u16, length: usize) {
        let ([a, b], [c, d]) = (self.length(HEADER + length), self.endian.u16(kind));
        self.bytes.extend_from_slice(&[a, b, c, d]);
    }

    fn length(&mut self, length: usize) -> [u8; 2] {
        let fitting = u16::try_from(length).unwrap_or_else(|_| {
            self.oversized = true;
            u16::MAX
        });
        self.endian.u16(fitting)
    }

    fn pad(&mut self) {
        let zeros: &[u8] = match self.bytes.len() & 3 {
            0 => return,
            1 => &[0; 3],
            2 => &[0; 2],
            _ => &[0],
        };
        self.bytes.extend_from_slice(zeros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(endian: Endian, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new(endian);
        fill(&mut writer);
        assert!(!writer.oversized);
        writer.bytes
    }

    #[test]
    fn attributes_are_padded_and_headers_are_in_the_hosts_order() {
        let fill = |w: &mut Writer| {
            w.text(1, "ab");
            w.nested(4, |w| w.u32(2, 0x0102_0304));
            w.u8(3, 9);
        };
        assert_eq!(
            written(Endian::Little, fill),
            [7, 0, 1, 0, b'a', b'b', 0, 0, 12, 0, 4, 0x80, 8, 0, 2, 0, 1, 2, 3, 4, 5, 0, 3, 0, 9, 0, 0, 0]
        );
        assert_eq!(
            written(Endian::Big, fill),
            [0, 7, 0, 1, b'a', b'b', 0, 0, 0, 12, 0x80, 4, 0, 8, 0, 2, 1, 2, 3, 4, 0, 5, 0, 3, 9, 0, 0, 0]
        );
    }

    #[test]
    fn wider_numbers_are_big_endian() {
        let fill = |w: &mut Writer| {
            w.u16(1, 0x0102);
            w.u64(2, 3);
        };
        assert_eq!(written(Endian::Little, fill), [6, 0, 1, 0, 1, 2, 0, 0, 12, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    }

    #[test]
    fn an_attribute_beyond_16_bits_of_length_is_remembered() {
        let mut writer = Writer::new(Endian::Little);
        writer.data(1, &vec![0; MAX_ATTRIBUTE - HEADER]);
        assert!(!writer.oversized);
        writer.data(1, &vec![0; MAX_ATTRIBUTE - HEADER + 1]);
        assert!(writer.oversized);
        let mut writer = Writer::new(Endian::Little);
        writer.nested(1, |w| (0..2).for_each(|_| w.data(1, &[0; 40_000])));
        assert!(writer.oversized);
    }
}
