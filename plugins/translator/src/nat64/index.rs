//! From a hash to the number of an entry: flat, open-addressed, four bytes a slot.
//!
//! A slot holds the entry's number and nine bits of its hash, so that a lookup touches hardly any entry but the right one.
//! The slots lie in segments of a fixed size, chosen by the top bits of the hash; a segment that is full is split in two
//! (extendible hashing). So growth sorts a few hundred entries at a time: no long pause, and never the whole index twice.
//! The segment size is such that tables of 2^n entries fill about three quarters of the slots.

/// Slots in a segment.
const SLOTS: usize = 672;
/// Slots taken (also by removed entries) at which a segment is cleaned or split.
const FULL: u16 = 588;
/// Entries in a full segment from which on it is split rather than cleaned.
const SPLIT: u16 = 551;
/// Top bits of the hash that choose the segment, at most. 2^16 segments hold 32 Mi entries.
const MAX_DEPTH: u8 = 16;
/// Bits of a slot for the entry's number plus one; the others are the tag.
const ID_BITS: u32 = 23;
const ID_MASK: u32 = (1 << ID_BITS) - 1;
/// Never used.
const EMPTY: u32 = 0;
/// Used once: lookups go on behind it.
const REMOVED: u32 = 1 << ID_BITS;
/// Largest number that a slot can hold.
pub(super) const MAX_ID: u32 = ID_MASK - 1;

struct Segment {
    slots: Box<[u32]>,
    live: u16,
    removed: u16,
    depth: u8,
}

impl Segment {
    fn new(depth: u8) -> Self {
        Self { slots: vec![EMPTY; SLOTS].into_boxed_slice(), live: 0, removed: 0, depth }
    }

    /// Puts `slot` into the first free place; false when there is none.
    fn place(&mut self, home: usize, slot: u32) -> bool {
        let (before, after) = self.slots.split_at_mut_checked(home).unwrap_or_default();
        for place in after.iter_mut().chain(before) {
            if *place & ID_MASK == 0 {
                if *place == REMOVED {
                    self.removed -= 1;
                }
                *place = slot;
                self.live += 1;
                return true;
            }
        }
        false
    }
}

/// An index.
pub(super) struct Index {
    directory: Vec<u16>,
    segments: Vec<Segment>,
    depth: u8,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { directory: vec![0], segments: vec![Segment::new(0)], depth: 0 }
    }

    /// The entry with this hash for which `is_it` says so.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = self.segment(hash)?;
        let (before, after) = segment.slots.split_at_checked(home(hash))?;
        let tag = tag(hash);
        for part in [after, before] {
            for &slot in part {
                if slot == EMPTY {
                    return None;
                }
                if slot & !ID_MASK == tag && slot & ID_MASK != 0 && is_it((slot & ID_MASK) - 1) {
                    return Some((slot & ID_MASK) - 1);
                }
            }
        }
        None
    }

    /// Adds `id`, which is not in it. `hash_of` gives the hashes of the other entries when a segment must be sorted anew.
    /// False when there is no room, which takes 2^16 full segments or a number above [`MAX_ID`].
    #[must_use]
    pub(super) fn insert(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        if id > MAX_ID {
            return false;
        }
        loop {
            let number = self.segment_number(hash);
            let Some(segment) = self.segments.get_mut(number) else { return false };
            let may_split = segment.depth < MAX_DEPTH;
            if segment.live + segment.removed < FULL || (segment.removed == 0 && !may_split) {
                return segment.place(home(hash), tag(hash) | (id + 1));
            }
            if segment.live >= SPLIT && may_split {
                self.split(number, &hash_of);
            } else {
                self.clean(number, &hash_of);
            }
        }
    }

    /// Takes `id` out, if it is there.
    pub(super) fn remove(&mut self, hash: u64, id: u32) {
        let number = self.segment_number(hash);
        let Some(segment) = self.segments.get_mut(number) else { return };
        let wanted = tag(hash) | id.wrapping_add(1);
        let mut at = home(hash);
        for _ in 0..SLOTS {
            let next = if at + 1 == SLOTS { 0 } else { at + 1 };
            let next_is_empty = segment.slots.get(next) == Some(&EMPTY);
            let Some(slot) = segment.slots.get_mut(at) else { return };
            if *slot == EMPTY {
                return;
            }
            if *slot == wanted {
                // Nothing is looked for behind an empty place, so the one before it may be empty, too.
                *slot = if next_is_empty { EMPTY } else { REMOVED };
                segment.live -= 1;
                segment.removed += u16::from(!next_is_empty);
                return;
            }
            at = next;
        }
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Bytes of heap it holds.
    pub(super) fn bytes(&self) -> usize {
        self.segments.len() * SLOTS * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.directory.capacity() * size_of::<u16>()
    }

    fn segment(&self, hash: u64) -> Option<&Segment> {
        self.segments.get(self.segment_number(hash))
    }

    fn segment_number(&self, hash: u64) -> usize {
        let at = if self.depth == 0 { 0 } else { hash >> (64 - u32::from(self.depth)) };
        self.directory.get(at as usize).map_or(0, |&n| usize::from(n))
    }

    /// Drops the marks of removed entries.
    fn clean(&mut self, number: usize, hash_of: &impl Fn(u32) -> u64) {
        let Some(segment) = self.segments.get_mut(number) else { return };
        let old = std::mem::replace(segment, Segment::new(segment.depth));
        for id in ids(&old.slots) {
            let hash = hash_of(id);
            segment.place(home(hash), tag(hash) | (id + 1));
        }
    }

    /// Makes two segments of one, by the next bit of the hash.
    fn split(&mut self, number: usize, hash_of: &impl Fn(u32) -> u64) {
        let Some(segment) = self.segments.get_mut(number) else { return };
        if segment.depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&n| [n, n]).collect();
            self.depth += 1;
        }
        let depth = segment.depth + 1;
        let old = std::mem::replace(segment, Segment::new(depth));
        let mut upper = Segment::new(depth);
        for id in ids(&old.slots) {
            let hash = hash_of(id);
            let half = if hash >> (64 - u32::from(depth)) & 1 == 1 { &mut upper } else { &mut *segment };
            half.place(home(hash), tag(hash) | (id + 1));
        }
        let new = self.segments.len();
        self.segments.push(upper);
        let bit = self.depth - depth;
        for (at, entry) in self.directory.iter_mut().enumerate() {
            if usize::from(*entry) == number && at >> bit & 1 == 1 {
                *entry = new as u16;
            }
        }
    }
}

/// Where a lookup begins: by the low half of the hash.
fn home(hash: u64) -> usize {
    (((hash & 0xffff_ffff) * SLOTS as u64) >> 32) as usize
}

/// The bits that tell entries of one segment apart: neither those of the home nor those of the segment.
fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32) << ID_BITS
}

fn ids(slots: &[u32]) -> impl Iterator<Item = u32> {
    slots.iter().filter(|&slot| slot & ID_MASK != 0).map(|slot| (slot & ID_MASK) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat64::hash::{Hasher, Random};

    fn hasher() -> Hasher {
        Hasher::new(&mut Random::new(9))
    }

    #[test]
    fn what_was_put_in_is_found_and_what_was_taken_out_is_not_through_growth_and_churn() {
        let hasher = hasher();
        let hash = |id: u32| hasher.prefix(u64::from(id));
        let mut index = Index::new();
        for id in 0..20_000 {
            assert!(index.insert(hash(id), id, hash));
        }
        for round in 0..5 {
            for id in (round..20_000).step_by(5) {
                index.remove(hash(id), id);
                assert_eq!(index.find(hash(id), |found| found == id), None);
                assert!(index.insert(hash(id + 100_000), id + 100_000, hash));
            }
        }
        for id in 0..20_000 {
            assert_eq!(index.find(hash(id), |found| found == id), None);
            assert_eq!(index.find(hash(id + 100_000), |found| found == id + 100_000), Some(id + 100_000));
        }
        assert!(!index.insert(hash(1), MAX_ID + 1, hash));
    }

    #[test]
    fn a_lookup_asks_about_few_entries_that_are_not_it() {
        let hasher = hasher();
        let hash = |id: u32| hasher.prefix(u64::from(id));
        let mut index = Index::new();
        for id in 0..65_536 {
            assert!(index.insert(hash(id), id, hash));
        }
        let mut asked = 0;
        for id in 0..65_536 {
            index.find(hash(id), |found| {
                asked += 1;
                found == id
            });
        }
        assert!(asked < 65_536 * 102 / 100, "{asked}");
        assert!(index.bytes() < 65_536 * 6, "{}", index.bytes());
    }

    #[test]
    fn entries_of_one_hash_fill_a_segment_and_then_are_refused() {
        let mut index = Index::new();
        let taken = (0..2000).filter(|&id| index.insert(7, id, |_| 7)).count();
        assert_eq!(taken, SLOTS);
        assert_eq!(index.find(7, |id| id == 600), Some(600));
        assert!(index.segments.len() <= usize::from(MAX_DEPTH) + 1);
    }
}
