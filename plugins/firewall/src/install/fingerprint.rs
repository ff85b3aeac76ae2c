//! How an unchanged set is known: a hash of all that it is, kept in its comment in the kernel.
//!
//! It protects from nothing but work: whoever can write a comment can write the set.

use core::fmt;

use super::set::{expressions_of, key_types};
use crate::ruleset::{Elements, Ruleset, Set, SetId, Statement, Verdict};

/// Begins the comment.
const MARK: &str = "portreeve ";
/// Of how sets are written; another makes all sets new.
const LAYOUT: u64 = 1;

/// A hash of 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64, u64);

impl Fingerprint {
    /// The part that stands in names.
    pub(super) fn short(&self) -> String {
        format!("{:08x}", self.0 >> 32)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{:016x}{:016x}", self.0, self.1)
    }
}

/// Two multiplicative hashes with different odd factors, 8 bytes a step.
struct Hasher(u64, u64);

impl Hasher {
    const fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
        self.1 = (self.1.rotate_left(27) ^ word).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        self.1 ^= self.1 >> 33;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(last));
        }
    }

    fn verdict(&mut self, ruleset: &Ruleset, verdict: Verdict) {
        let (kind, chain) = match verdict {
            Verdict::Accept => (0, None),
            Verdict::Drop => (1, None),
            Verdict::Return => (2, None),
            Verdict::Jump(chain) => (3, Some(chain)),
            Verdict::Goto(chain) => (4, Some(chain)),
        };
        self.word(kind);
        if let Some(chain) = chain {
            self.bytes(ruleset.chains.get(chain).map_or(b"", |chain| chain.name.as_bytes()));
        }
    }
}

/// Of a set: its definition, what rules keep with its elements, its elements, and when they were put in if that matters.
pub(super) fn of(ruleset: &Ruleset, id: SetId, set: &Set, rules: &[&Statement]) -> Fingerprint {
    let mut hasher = Hasher(0x5851_f42d_4c95_7f2d, 0x1405_7b7e_f767_814f);
    hasher.word(LAYOUT);
    for kind in key_types(set) {
        hasher.word(u64::from(kind.number) << 32 | u64::from(kind.length));
    }
    let flags =
        [set.map, set.interval, set.dynamic, set.stateful].into_iter().fold(0, |all, one| all << 1 | u64::from(one));
    hasher.word(flags);
    hasher.word(set.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)));
    hasher.word(u64::from(set.size));
    for words in expressions_of(id, rules) {
        words.into_iter().for_each(|word| hasher.word(word));
    }
    match &set.elements {
        Elements::Points(keys) => {
            hasher.word(1);
            hasher.bytes(keys);
        }
        Elements::Ranges(ranges) => {
            hasher.word(2);
            hasher.bytes(ranges);
        }
        Elements::Verdicts(entries) => {
            hasher.word(3);
            for entry in entries {
                hasher.bytes(&entry.key);
                hasher.bytes(entry.last.as_deref().unwrap_or(&[]));
                hasher.verdict(ruleset, entry.verdict);
            }
        }
    }
    hasher.word(set.filled_at);
    Fingerprint(hasher.0, hasher.1)
}
