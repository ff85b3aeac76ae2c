//! Keys of one width in one buffer, each there once: what a run of rules comes to before it is a map.
//!
//! A table of numbers with open addressing finds a key again; a key of its own costs no allocation.

/// See the module.
pub struct Keys {
    width: usize,
    bytes: Vec<u8>,
    /// Index of a key by its hash, [`FREE`] for none; twice as many as keys at least, a power of two.
    table: Vec<u32>,
}

const FREE: u32 = u32::MAX;
const LEAST: usize = 16;

impl Keys {
    /// Of so many bytes each, at least one; about so many.
    pub fn new(width: usize, count: usize) -> Self {
        let width = width.max(1);
        let room = count.saturating_mul(2).max(LEAST).checked_next_power_of_two().unwrap_or(LEAST);
        Self { width, bytes: Vec::with_capacity(count.saturating_mul(width)), table: vec![FREE; room] }
    }

    pub const fn width(&self) -> usize {
        self.width
    }

    pub const fn len(&self) -> usize {
        self.bytes.len().div_euclid(self.width)
    }

    /// Bytes and numbers that there is room for.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.table.capacity()
    }

    /// In the order in which they came.
    pub fn iter(&self) -> core::slice::ChunksExact<'_, u8> {
        self.bytes.chunks_exact(self.width)
    }

    /// The number of the key.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.place(key).ok()
    }

    /// Takes it in, unless it is there or of another width.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        let number = self.len();
        let (Err(place), Ok(short)) = (self.place(key), u32::try_from(number)) else { return false };
        if key.len() != self.width || short == FREE {
            return false;
        }
        self.bytes.extend_from_slice(key);
        if let Some(free) = self.table.get_mut(place) {
            *free = short;
        }
        if (number + 1) * 2 > self.table.len() {
            self.grow();
        }
        true
    }

    /// The key's number, or where in the table it belongs.
    fn place(&self, key: &[u8]) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut at = hash(key) & mask;
        // At least half of the table is free.
        loop {
            match self.table.get(at) {
                Some(&number) if number != FREE => {
                    let number = number as usize;
                    if self.bytes.get(number * self.width..(number + 1) * self.width) == Some(key) {
                        return Ok(number);
                    }
                }
                _ => return Err(at),
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        let mut table = vec![FREE; mask + 1];
        for (number, key) in self.bytes.chunks_exact(self.width).enumerate() {
            let mut at = hash(key) & mask;
            while table.get(at).is_some_and(|number| *number != FREE) {
                at = (at + 1) & mask;
            }
            if let (Some(free), Ok(number)) = (table.get_mut(at), u32::try_from(number)) {
                *free = number;
            }
        }
        self.table = table;
    }
}

/// Eight bytes a step; the upper bits, which all bytes reach, come last.
fn hash(key: &[u8]) -> usize {
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = key.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    let hash = mix(hash, last);
    usize::try_from((hash ^ hash >> 32) & 0x7fff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_there_once_and_keep_their_order() {
        for width in [1_usize, 2, 8, 20, 64] {
            let mut keys = Keys::new(width, 0);
            let key = |number: u16| {
                let mut key = vec![0xa5; width];
                key.iter_mut().rev().zip(number.to_le_bytes()).for_each(|(to, byte)| *to = byte);
                key
            };
            let count = if width == 1 { 256 } else { 5000 };
            for number in 0..count {
                assert_eq!(keys.find(&key(number)), None, "{number} of {width}");
                assert!(keys.insert(&key(number)));
                assert!(!keys.insert(&key(number / 2)));
            }
            assert_eq!(keys.len(), usize::from(count));
            assert!(keys.iter().enumerate().all(|(number, found)| keys.find(found) == Some(number)));
            assert_eq!(keys.iter().nth(77), Some(&key(77)[..]));
            assert!(!keys.insert(&vec![0; width + 1]));
        }
    }
}
