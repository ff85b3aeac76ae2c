//! Entries under small numbers, in chunks: it grows a chunk at a time and never moves what it holds, so that no growth
//! needs twice the memory or a long copy. Freed places are linked through themselves and taken again first.

/// Entries in a chunk.
const CHUNK: usize = 1024;
/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// What a [`Slab`] can hold: an entry whose vacant form can carry the number of the next vacant one.
pub(super) trait Slot: Copy {
    /// A vacant entry, before `next` in the list of vacant ones.
    fn vacant(next: u32) -> Self;
    /// `Some(next)` for a vacant entry.
    fn next_vacant(&self) -> Option<u32>;
}

/// The entries.
pub(super) struct Slab<T> {
    chunks: Vec<Box<[T]>>,
    free: u32,
    high: u32,
    len: u32,
}

impl<T: Slot> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, high: 0, len: 0 }
    }

    /// How many entries it holds.
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// One more than the highest number ever given.
    pub(super) const fn high(&self) -> u32 {
        self.high
    }

    /// The entry under `id`.
    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        let entry = self.chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)?;
        entry.next_vacant().is_none().then_some(entry)
    }

    /// The entry under `id`.
    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let entry = self.chunks.get_mut(id as usize / CHUNK)?.get_mut(id as usize % CHUNK)?;
        entry.next_vacant().is_none().then_some(entry)
    }

    /// Takes `entry` in and gives its number.
    pub(super) fn insert(&mut self, entry: T) -> u32 {
        let id = if self.free == NONE { self.high } else { self.free };
        if id as usize / CHUNK >= self.chunks.len() {
            self.chunks.push(vec![T::vacant(NONE); CHUNK].into_boxed_slice());
        }
        if let Some(place) = self.chunks.get_mut(id as usize / CHUNK).and_then(|c| c.get_mut(id as usize % CHUNK)) {
            if self.free == NONE {
                self.high += 1;
            } else {
                self.free = place.next_vacant().unwrap_or(NONE);
            }
            *place = entry;
            self.len += 1;
        }
        id
    }

    /// Takes the entry under `id` out.
    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let free = self.free;
        let place = self.get_mut(id)?;
        let entry = *place;
        *place = T::vacant(free);
        self.free = id;
        self.len -= 1;
        Some(entry)
    }

    /// All entries with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..)
            .zip(self.chunks.iter().flat_map(|chunk| chunk.iter()))
            .filter(|(_, entry)| entry.next_vacant().is_none())
    }

    /// Calls `f` with each entry.
    pub(super) fn for_each(&mut self, f: impl FnMut(&mut T)) {
        self.chunks
            .iter_mut()
            .flat_map(|chunk| chunk.iter_mut())
            .filter(|entry| entry.next_vacant().is_none())
            .for_each(f);
    }

    /// Bytes of heap it holds.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>() + self.chunks.capacity() * size_of::<Box<[T]>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Cell {
        Vacant(u32),
        Full(u32),
    }

    impl Slot for Cell {
        fn vacant(next: u32) -> Self {
            Self::Vacant(next)
        }
        fn next_vacant(&self) -> Option<u32> {
            match self {
                Self::Vacant(next) => Some(*next),
                Self::Full(_) => None,
            }
        }
    }

    #[test]
    fn freed_places_are_taken_again_before_it_grows() {
        let mut slab = Slab::new();
        for n in 0..3000 {
            assert_eq!(slab.insert(Cell::Full(n)), n);
        }
        assert_eq!(slab.remove(5), Some(Cell::Full(5)));
        assert_eq!(slab.remove(5), None);
        assert_eq!(slab.remove(2000), Some(Cell::Full(2000)));
        assert_eq!(slab.get(2000), None);
        assert_eq!((slab.len(), slab.high()), (2998, 3000));
        assert_eq!(slab.insert(Cell::Full(1)), 2000);
        assert_eq!(slab.insert(Cell::Full(1)), 5);
        assert_eq!(slab.insert(Cell::Full(1)), 3000);
        assert_eq!(slab.iter().count(), 3001);
        assert_eq!(slab.get(99_999), None);
    }
}
