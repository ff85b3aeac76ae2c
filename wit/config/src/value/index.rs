//! The index of a text: where each of its values stands and how many are in it, found while the text is checked.

use core::ops::Range;

/// A value of the text. In the index it stands before the values within it, which follow in the order of the text.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    start: u32,
    end: u32,
    key: Key,
    /// Twice the number of nodes from this one to the last within it, and 1 for a string with escapes.
    count: u32,
}

/// What stands before a value and a colon. None is empty.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    start: u32,
    end: u32,
}

/// Texts with longer ones have no index.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn range(start: u32, end: u32) -> Range<usize> {
    usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX)
}

impl Key {
    pub const NONE: Self = Self { start: 0, end: 0 };

    pub fn new(start: usize, end: usize) -> Self {
        Self { start: place(start), end: place(end) }
    }
}

impl Node {
    /// A value that none is in, or not yet.
    pub fn leaf(range: Range<usize>, key: Key, escapes: bool) -> Self {
        Self { start: place(range.start), end: place(range.end), key, count: 2 | u32::from(escapes) }
    }

    /// It ends there, and has so many nodes, its own among them.
    pub fn close(&mut self, end: usize, count: usize) {
        self.end = place(end);
        self.count = place(count) << 1;
    }

    /// Bytes of the text.
    pub fn range(&self) -> Range<usize> {
        range(self.start, self.end)
    }

    /// Of its key, with the quotes of a string.
    pub fn key(&self) -> Option<Range<usize>> {
        (self.key.end > self.key.start).then(|| range(self.key.start, self.key.end))
    }

    /// How many nodes it has, its own among them.
    pub fn count(&self) -> usize {
        usize::try_from(self.count >> 1).unwrap_or(usize::MAX)
    }

    /// Whether it is a string with escapes.
    pub const fn has_escapes(&self) -> bool {
        self.count & 1 == 1
    }
}
