//! Batches of packets as they cross to plugins: `[u32 length][bytes]` one after the other, little endian.

use std::io;

/// Bytes of the length before each frame.
pub const LENGTH: usize = 4;

/// Puts frames one after the other into a buffer that is kept: clearing a fresh one for each batch would cost more than
/// the packets in it.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    /// Nothing yet. The buffer grows to `size` bytes if it is smaller.
    pub fn new(buffer: &'a mut Vec<u8>, size: usize) -> Self {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        Self { buffer: &mut buffer[..size], used: 0 }
    }

    /// Whether a frame of `max` bytes still fits.
    #[must_use]
    pub fn has_room(&self, max: usize) -> bool {
        self.buffer.len().saturating_sub(self.used) >= LENGTH + max
    }

    /// Adds a frame that `fill` writes; it is given all the room there is and tells how many bytes it wrote. Nothing is added
    /// when it fails.
    ///
    /// # Errors
    /// Those of `fill`; ENOBUFS without any room.
    pub fn push(&mut self, fill: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        let rest = self.buffer.get_mut(self.used..).unwrap_or_default();
        let Some((length, body)) = rest.split_first_chunk_mut::<LENGTH>() else {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        };
        let filled = fill(body)?.min(body.len());
        *length = u32::try_from(filled).unwrap_or(0).to_le_bytes();
        self.used += LENGTH + filled;
        Ok(())
    }

    /// The batch so far.
    #[must_use]
    pub fn batch(&self) -> &[u8] {
        self.buffer.get(..self.used).unwrap_or_default()
    }
}

/// The frames of a batch; an error ends it where a frame is longer than what is left.
pub fn iter(batch: &[u8]) -> impl Iterator<Item = io::Result<&[u8]>> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest.split_first_chunk::<LENGTH>().and_then(|(length, behind)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            behind.split_at_checked(length)
        });
        match cut {
            Some((frame, behind)) => {
                rest = behind;
                Some(Ok(frame))
            }
            None => {
                rest = &[];
                Some(Err(io::Error::from_raw_os_error(libc::EINVAL)))
            }
        }
    })
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
}
