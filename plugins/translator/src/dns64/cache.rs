//! Answers that are kept: bounded by count and by bytes, found by what was asked, given up by a clock hand.
//!
//! Entries lie dense in one array. The hand passes over what was used since it came by, so a flood of names that are
//! asked once replaces itself and not what is in use; per insertion it looks at [`HAND_STEPS`] entries at most.

use std::collections::HashMap;
use std::sync::Arc;

use portreeve_packet::time::Instant;

use super::random::Keys;
use super::stored::Stored;

/// Entries the hand passes over at most before it takes the next one.
pub const HAND_STEPS: usize = 32;
/// Bytes an entry takes beside its key and its answer, about.
pub const ENTRY_OVERHEAD: usize = 96;

/// What an answer is kept under: the name in lower case, the type, and the flags that change the answer.
pub(super) type Key = Arc<[u8]>;

#[derive(Debug)]
struct Entry {
    key: Key,
    stored: Stored,
    since: Instant,
    used: bool,
}

impl Entry {
    fn weight(&self) -> usize {
        weight(&self.key, &self.stored)
    }

    /// Whole seconds since it was stored, unless it is over.
    fn age(&self, now: Instant) -> Option<u32> {
        let age = u32::try_from(now.since(self.since).as_secs()).unwrap_or(u32::MAX);
        (age < self.stored.lifetime).then_some(age)
    }
}

fn weight(key: &[u8], stored: &Stored) -> usize {
    2 * key.len() + stored.weight() + ENTRY_OVERHEAD
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    places: HashMap<Key, usize, Keys>,
    entries: Vec<Entry>,
    hand: usize,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
    evicted: u64,
}

impl Cache {
    pub(super) fn new(max_entries: usize, max_bytes: usize, keys: Keys) -> Self {
        let places = HashMap::with_hasher(keys);
        Self { places, entries: Vec::new(), hand: 0, bytes: 0, max_entries, max_bytes, evicted: 0 }
    }

    /// The answer kept under `key` and its age in seconds.
    pub(super) fn get(&mut self, key: &[u8], now: Instant) -> Option<(&Stored, u32)> {
        let place = *self.places.get(key)?;
        let entry = self.entries.get_mut(place)?;
        let age = entry.age(now)?;
        entry.used = true;
        Some((&entry.stored, age))
    }

    /// Keeps an answer, unless it may not be kept or is too large a share of the cache.
    pub(super) fn insert(&mut self, key: &Key, stored: Stored, now: Instant) {
        let weight = weight(key, &stored);
        self.remove(key);
        if stored.lifetime == 0 || self.max_entries == 0 || weight > self.max_bytes / 8 {
            return;
        }
        while self.entries.len() >= self.max_entries || self.bytes + weight > self.max_bytes {
            if !self.evict(now) {
                return;
            }
        }
        self.bytes += weight;
        self.places.insert(Arc::clone(key), self.entries.len());
        self.entries.push(Entry { key: Arc::clone(key), stored, since: now, used: false });
    }

    /// Other bounds; what is too much goes.
    pub(super) fn resize(&mut self, max_entries: usize, max_bytes: usize, now: Instant) {
        (self.max_entries, self.max_bytes) = (max_entries, max_bytes);
        while (self.entries.len() > max_entries || self.bytes > max_bytes) && self.evict(now) {}
    }

    /// Forgets everything.
    pub(super) fn flush(&mut self) {
        self.places.clear();
        self.entries.clear();
        (self.hand, self.bytes) = (0, 0);
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What is kept: key, answer, and the seconds left.
    pub(super) fn iter(&self, now: Instant) -> impl Iterator<Item = (&[u8], &Stored, u32)> {
        self.entries.iter().filter_map(move |entry| {
            let age = entry.age(now)?;
            Some((&*entry.key, &entry.stored, entry.stored.lifetime - age))
        })
    }

    fn remove(&mut self, key: &[u8]) {
        let Some(&place) = self.places.get(key) else { return };
        self.take(place);
    }

    /// Takes out the entry at `place`; the last one comes there.
    fn take(&mut self, place: usize) {
        if place >= self.entries.len() {
            return;
        }
        let entry = self.entries.swap_remove(place);
        self.places.remove(&entry.key);
        self.bytes -= entry.weight();
        if let Some(moved) = self.entries.get(place)
            && let Some(known) = self.places.get_mut(&moved.key)
        {
            *known = place;
        }
    }

    /// Gives up one entry; false if there is none.
    fn evict(&mut self, now: Instant) -> bool {
        for _ in 0..HAND_STEPS {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            match self.entries.get_mut(self.hand) {
                None => return false,
                Some(entry) if entry.used && entry.age(now).is_some() => entry.used = false,
                Some(_) => break,
            }
            self.hand += 1;
        }
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        self.take(self.hand);
        // What came from the end is new: it is looked at last.
        self.hand += 1;
        self.evicted += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns64::random::Random;

    fn stored(lifetime: u32, length: usize) -> Stored {
        Stored {
            bytes: vec![0; length].into(),
            ttls: Box::new([]),
            counts: [0; 3],
            ends: [length; 3],
            rcode: 0,
            authentic: false,
            lifetime,
        }
    }

    fn key(number: u32) -> Key {
        Arc::from(number.to_be_bytes().as_slice())
    }

    fn cache(entries: usize, bytes: usize) -> Cache {
        Cache::new(entries, bytes, Random::new([1, 2]).keys())
    }

    #[test]
    fn an_answer_is_found_until_its_lifetime_is_over() {
        let mut cache = cache(10, 100_000);
        cache.insert(&key(1), stored(10, 50), Instant::from_secs(100));
        assert_eq!(cache.get(&key(1), Instant::from_secs(100)).map(|(_, age)| age), Some(0));
        assert_eq!(cache.get(&key(1), Instant::from_millis(109_999)).map(|(_, age)| age), Some(9));
        assert!(cache.get(&key(1), Instant::from_secs(110)).is_none());
        assert!(cache.get(&key(2), Instant::from_secs(100)).is_none());
    }

    #[test]
    fn entries_and_bytes_stay_within_their_bounds() {
        let mut cache = cache(100, 40_000);
        for number in 0..10_000 {
            cache.insert(&key(number), stored(60, usize::try_from(number % 700).unwrap()), Instant::ZERO);
            assert!(cache.len() <= 100 && cache.bytes() <= 40_000);
            assert_eq!(cache.places.len(), cache.entries.len());
        }
        assert_eq!(cache.bytes(), cache.entries.iter().map(Entry::weight).sum::<usize>());
        for (place, entry) in cache.entries.iter().enumerate() {
            assert_eq!(cache.places.get(&entry.key), Some(&place));
        }
        cache.resize(10, 40_000, Instant::ZERO);
        assert_eq!(cache.len(), 10);
        cache.flush();
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }

    #[test]
    fn a_flood_of_names_asked_once_does_not_push_out_what_is_used() {
        let mut cache = cache(100, 1_000_000);
        for number in 0..20 {
            cache.insert(&key(number), stored(60, 50), Instant::ZERO);
        }
        for number in 20..5000 {
            cache.insert(&key(number), stored(60, 50), Instant::ZERO);
            for used in 0..20 {
                assert!(cache.get(&key(used), Instant::ZERO).is_some(), "{used} after {number}");
            }
        }
    }

    #[test]
    fn what_may_not_be_kept_or_is_too_large_is_not() {
        let mut cache = cache(10, 8000);
        cache.insert(&key(1), stored(0, 50), Instant::ZERO);
        cache.insert(&key(2), stored(60, 1000), Instant::ZERO);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn an_answer_replaces_the_one_before_it() {
        let mut cache = cache(10, 8000);
        cache.insert(&key(1), stored(60, 50), Instant::ZERO);
        cache.insert(&key(1), stored(60, 70), Instant::ZERO);
        assert_eq!(cache.len(), 1);
        assert_eq!(cache.get(&key(1), Instant::ZERO).unwrap().0.bytes.len(), 70);
    }
}
