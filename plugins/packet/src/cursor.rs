//! A bounds-safe reader and writer over byte slices.
//!
//! Every format in this crate goes through these two, so that no length check is ever kept by hand beside an
//! index. A read past the end is `None`; a write past the end is remembered and reported once by
//! [`Writer::finish`], which keeps `emit` functions free of error plumbing. All integers are big endian.

use core::fmt;

/// Why a value could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmitError {
    /// The buffer is shorter than `buffer_len()`; its first bytes may have been written.
    BufferTooSmall,
    /// An option would be longer than 255 units of eight bytes (RFC 4861 section 4.6).
    OptionTooLong,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferTooSmall => "buffer too small for the packet",
            Self::OptionTooLong => "option longer than 2040 bytes",
        })
    }
}

impl core::error::Error for EmitError {}

/// Reads from the front of a byte slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes; `None`, and nothing consumed, when fewer are left.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes, big endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes, big endian.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}

/// Writes to the front of a byte slice.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
    error: Option<EmitError>,
}

impl<'a> Writer<'a> {
    /// A writer at the first byte of `buffer`.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, at: 0, error: None }
    }

    /// How many bytes were written so far.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Writes `bytes`, or remembers that they did not fit.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        match self.buffer.get_mut(self.at..end) {
            Some(target) if self.error.is_none() => {
                target.copy_from_slice(bytes);
                self.at = end;
            }
            _ => self.fail(EmitError::BufferTooSmall),
        }
    }

    /// Writes `n` zero bytes.
    pub fn zeros(&mut self, n: usize) {
        let end = self.at.saturating_add(n);
        match self.buffer.get_mut(self.at..end) {
            Some(target) if self.error.is_none() => {
                target.fill(0);
                self.at = end;
            }
            _ => self.fail(EmitError::BufferTooSmall),
        }
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Writes two bytes, big endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes four bytes, big endian.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Remembers an error; the first one wins and later writes do nothing.
    pub fn fail(&mut self, error: EmitError) {
        self.error.get_or_insert(error);
    }

    /// How many bytes were written, or the first error.
    pub const fn finish(self) -> Result<usize, EmitError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_is_none_and_consumes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32(), None);
        assert_eq!(reader.take(4), None);
        assert_eq!(reader.u16(), Some(0x0102));
        assert_eq!(reader.take_rest(), &[3]);
        assert!(reader.is_empty());
    }

    #[test]
    fn a_write_past_the_end_is_reported_once_and_later_writes_do_nothing() {
        let mut buffer = [0xa5; 3];
        let mut writer = Writer::new(&mut buffer);
        writer.u16(0x0102);
        writer.u16(0x0304);
        writer.u8(5);
        assert_eq!(writer.finish(), Err(EmitError::BufferTooSmall));
        assert_eq!(buffer, [1, 2, 0xa5]);
    }
}
