//! Randomness and hash keys from one seed: SipHash-2-4 over a counter, and as the hasher of the tables.
//!
//! An attacker off the path must not foresee identifiers (RFC 5452 section 4.3), and clients choose the names that are
//! hashed; so both are keyed by bits that nobody else knows.

use std::hash::{BuildHasher, Hasher};

/// SipHash with two rounds per word and four at the end; each write is padded to whole words.
#[derive(Clone, Debug)]
pub(super) struct SipHasher([u64; 4], u64);

impl SipHasher {
    const fn new([first, second]: [u64; 2]) -> Self {
        Self(
            [
                first ^ 0x736f_6d65_7073_6575,
                second ^ 0x646f_7261_6e64_6f6d,
                first ^ 0x6c79_6765_6e65_7261,
                second ^ 0x7465_6462_7974_6573,
            ],
            0,
        )
    }

    const fn round(&mut self) {
        let [a, b, c, d] = self.0;
        let a = a.wrapping_add(b);
        let b = b.rotate_left(13) ^ a;
        let a = a.rotate_left(32);
        let c = c.wrapping_add(d);
        let d = d.rotate_left(16) ^ c;
        let a = a.wrapping_add(d);
        let d = d.rotate_left(21) ^ a;
        let c = c.wrapping_add(b);
        let b = b.rotate_left(17) ^ c;
        let c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }

    const fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }
}

impl Hasher for SipHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            self.word(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            self.word(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        }
        self.1 = self.1.wrapping_add(bytes.len() as u64);
    }

    fn finish(&self) -> u64 {
        let mut last = self.clone();
        last.word(self.1 << 56);
        last.0[2] ^= 0xff;
        for _ in 0..4 {
            last.round();
        }
        last.0[0] ^ last.0[1] ^ last.0[2] ^ last.0[3]
    }
}

/// Makes the hashers of tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys([u64; 2]);

impl BuildHasher for Keys {
    type Hasher = SipHasher;

    fn build_hasher(&self) -> SipHasher {
        SipHasher::new(self.0)
    }
}

/// A stream of numbers that cannot be foretold without the seed.
#[derive(Clone, Debug)]
pub(super) struct Random {
    seed: [u64; 2],
    counter: u64,
}

impl Random {
    pub(super) const fn new(seed: [u64; 2]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        let mut hasher = SipHasher::new(self.seed);
        hasher.write(&self.counter.to_le_bytes());
        self.counter = self.counter.wrapping_add(1);
        hasher.finish()
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((u128::from(self.next()) * bound as u128) >> 64).unwrap_or(0)
    }

    /// 16 bits.
    pub(super) fn id(&mut self) -> u16 {
        u16::try_from(self.next() >> 48).unwrap_or(0)
    }

    /// Keys for one table.
    pub(super) fn keys(&mut self) -> Keys {
        Keys([self.next(), self.next()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vectors of the reference: key 00..0f, messages of 0 and 8 bytes.
    #[test]
    fn siphash_gives_the_reference_values() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(SipHasher::new(key).finish(), 0x726f_db47_dd0e_0e31);
        let mut hasher = SipHasher::new(key);
        hasher.write(&[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(hasher.finish(), 0x93f5_f579_9a93_2462);
    }

    #[test]
    fn numbers_differ_by_seed_and_stay_below_their_bound() {
        let (mut one, mut other) = (Random::new([1, 2]), Random::new([1, 3]));
        assert_ne!(one.next(), other.next());
        assert_ne!(one.next(), one.next());
        let mut seen = [false; 8];
        for _ in 0..1000 {
            seen[one.below(8)] = true;
        }
        assert_eq!(seen, [true; 8]);
        assert_eq!(one.below(0), 0);
    }
}
