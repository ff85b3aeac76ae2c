//! Batches of packets as they cross to plugins: `[u32 length][bytes]` one after the other, little endian. A length with
//! its top bit set is that of padding, which is skipped.

use std::io;

/// Bytes of the length before each frame.
pub const LENGTH: usize = 4;
/// Beside the length: padding.
const PADDING: u32 = 1 << 31;

/// Puts frames one after the other into a buffer.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    used: usize,
    headroom: usize,
}

impl<'a> Writer<'a> {
    /// Nothing yet. The buffer, which is kept since clearing a fresh one for each batch would cost more than the packets in
    /// it, grows to `size` bytes if it is smaller.
    pub fn new(buffer: &'a mut Vec<u8>, size: usize) -> Self {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        Self::over(&mut buffer[..size], 0)
    }

    /// Nothing yet. Each frame will have `headroom` bytes of padding in front: none, or at least [`LENGTH`].
    pub const fn over(buffer: &'a mut [u8], headroom: usize) -> Self {
        Self { buffer, used: 0, headroom }
    }

    /// Whether a frame of `max` bytes still fits.
    #[must_use]
    pub fn has_room(&self, max: usize) -> bool {
        self.buffer.len().saturating_sub(self.used) >= self.headroom + LENGTH + max
    }

    /// Adds a frame that `fill` writes; it is given all the room there is and tells how many bytes it wrote. Nothing is added
    /// when it fails.
    ///
    /// # Errors
    /// Those of `fill`; ENOBUFS without any room.
    pub fn push(&mut self, fill: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        let full = || io::Error::from_raw_os_error(libc::ENOBUFS);
        let rest = self.buffer.get_mut(self.used..).unwrap_or_default();
        let (padding, rest) = rest.split_at_mut_checked(self.headroom).ok_or_else(full)?;
        let (length, body) = rest.split_first_chunk_mut::<LENGTH>().ok_or_else(full)?;
        let filled = fill(body)?.min(body.len());
        *length = u32::try_from(filled).unwrap_or(0).to_le_bytes();
        if let Some((word, skipped)) = padding.split_first_chunk_mut::<LENGTH>() {
            *word = (PADDING | u32::try_from(skipped.len()).unwrap_or(0)).to_le_bytes();
        }
        self.used += self.headroom + LENGTH + filled;
        Ok(())
    }

    /// The batch so far.
    #[must_use]
    pub fn batch(&self) -> &[u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }
}

/// The first frame of a batch and what is behind it; none where it is longer than what is left.
fn cut(batch: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (length, behind) = batch.split_first_chunk::<LENGTH>()?;
    let length = u32::from_le_bytes(*length);
    let (body, behind) = behind.split_at_checked(usize::try_from(length & !PADDING).ok()?)?;
    Some((length & PADDING != 0, body, behind))
}

/// The frames of a batch without its padding; an error ends it where a frame is longer than what is left.
pub fn iter(batch: &[u8]) -> impl Iterator<Item = io::Result<&[u8]>> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let Some((is_padding, body, behind)) = cut(rest) else {
                rest = &[];
                return Some(Err(io::Error::from_raw_os_error(libc::EINVAL)));
            };
            rest = behind;
            if !is_padding {
                return Some(Ok(body));
            }
        }
        None
    })
}

/// The beginning of a batch: whole frames, padding among them, as many as are within `frames` and `bytes`, but the first in
/// any case. All of the batch if it begins with what is no frame.
pub fn beginning(batch: &[u8], bytes: usize, frames: usize) -> &[u8] {
    let (mut rest, mut used) = (batch, 0);
    for _ in 0..frames {
        let Some((_, _, behind)) = cut(rest).filter(|_| !rest.is_empty()) else { break };
        let next = batch.len() - behind.len();
        if used > 0 && next > bytes {
            break;
        }
        (rest, used) = (behind, next);
    }
    if used == 0 { batch } else { batch.get(..used).unwrap_or(batch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_a_cut_one_is_an_error() {
        let mut buffer = Vec::new();
        let mut writer = Writer::new(&mut buffer, 100);
        for frame in [&b"abc"[..], b"", b"defgh"] {
            writer
                .push(|buffer| {
                    buffer[..frame.len()].copy_from_slice(frame);
                    Ok(frame.len())
                })
                .unwrap();
        }
        assert!(writer.has_room(76) && !writer.has_room(77));
        assert!(writer.push(|_| Err(io::ErrorKind::WouldBlock.into())).is_err());
        let batch = writer.batch().to_vec();
        let whole: Vec<_> = iter(&batch).collect::<io::Result<_>>().unwrap();
        assert_eq!(whole, [&b"abc"[..], b"", b"defgh"]);
        for cut in 1..batch.len() {
            let frames: Vec<_> = iter(&batch[..cut]).collect();
            assert_eq!(frames.last().unwrap().is_err(), ![7, 11].contains(&cut), "{cut}");
        }
    }

    #[test]
    fn padding_stands_in_front_of_each_frame_and_is_skipped() {
        let mut buffer = [0xa5; 40];
        let mut writer = Writer::over(&mut buffer, 8);
        for frame in [&b"abc"[..], b"defgh"] {
            let fill = |buffer: &mut [u8]| {
                buffer[..frame.len()].copy_from_slice(frame);
                Ok(frame.len())
            };
            writer.push(fill).unwrap();
        }
        assert!(!writer.has_room(1), "8 + 4 + 3 + 8 + 4 + 5 of 40 are used");
        let batch = writer.batch().to_vec();
        assert_eq!(batch[..8], [4, 0, 0, 0x80, 0xa5, 0xa5, 0xa5, 0xa5]);
        let whole: Vec<_> = iter(&batch).collect::<io::Result<_>>().unwrap();
        assert_eq!(whole, [&b"abc"[..], b"defgh"]);
        assert!(iter(&batch[..6]).next().unwrap().is_err(), "cut within padding");
    }

    #[test]
    fn a_beginning_ends_between_frames_and_is_never_empty() {
        let mut batch = Vec::new();
        for length in [3u32, 5, 0] {
            batch.extend_from_slice(&length.to_le_bytes());
            batch.resize(batch.len() + length as usize, 7);
        }
        let ends = [7, 16, 20];
        for bytes in 0..=batch.len() {
            let expected = ends.into_iter().rfind(|end| *end <= bytes.max(7)).unwrap();
            assert_eq!(beginning(&batch, bytes, 9).len(), expected, "{bytes}");
        }
        assert_eq!(beginning(&batch, 99, 2).len(), 16);
        assert_eq!(beginning(&batch[..19], 99, 9).len(), 16, "what is cut off comes next");
        assert_eq!(beginning(&batch[16..19], 99, 9).len(), 3, "and is taken whole");
        assert_eq!(beginning(&[0xff; 99], 10, 9).len(), 99, "padding longer than what there is");
        assert!(beginning(&[], 99, 9).is_empty());
        let nothing = vec![0; 4 * 5000];
        assert_eq!(beginning(&nothing, 1 << 20, 4096).len(), 4 * 4096);
    }
}
