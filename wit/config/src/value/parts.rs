//! What a value is made of: its parts by the index of the text if it has one, and by `split` otherwise.

use super::index::Node;
use super::{Value, split};
use crate::span::Spanned;

/// One part of a struct, a map or a list.
pub(super) struct Part<'a> {
    /// What stands before the colon.
    pub(super) key: Option<&'a str>,
    /// What stands behind it, or all.
    pub(super) value: Value<'a>,
}

/// The parts that stand in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed<'a> {
    whole: &'a str,
    nodes: &'a [Node],
}

impl<'a> Indexed<'a> {
    /// Of the value that the first node is; the others are within it.
    pub(super) fn within(whole: &'a str, nodes: &'a [Node]) -> Option<Self> {
        nodes.split_first().map(|(_, nodes)| Self { whole, nodes })
    }
}

impl<'a> Iterator for Indexed<'a> {
    type Item = Part<'a>;

    #[inline]
    fn next(&mut self) -> Option<Part<'a>> {
        let node = self.nodes.first()?;
        let (own, rest) = self.nodes.split_at_checked(node.count())?;
        self.nodes = rest;
        let key = node.key().and_then(|range| self.whole.get(range));
        Some(Part { key, value: Value::indexed(self.whole, own) })
    }
}

/// The parts of a value either way.
pub(super) enum Parts<'a, S> {
    Indexed(Indexed<'a>),
    Split(Value<'a>, S),
}

impl<'a> Value<'a> {
    /// The parts between brackets. `text` begins with the first of them, or with a comment before it.
    pub(super) fn parts(&self, text: &'a str) -> Parts<'a, impl Iterator<Item = split::Part<'a>>> {
        match Indexed::within(self.whole, self.nodes) {
            Some(indexed) => Parts::Indexed(indexed),
            None => Parts::Split(*self, split::parts(without_comments(text))),
        }
    }
}

impl<'a, S: Iterator<Item = split::Part<'a>>> Iterator for Parts<'a, S> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        match self {
            Self::Indexed(parts) => parts.next(),
            Self::Split(owner, parts) => {
                let part = parts.next()?;
                Some(Part { key: part.key, value: owner.inner(part.value) })
            }
        }
    }
}

/// The entries of a list, one after the other.
#[derive(Debug)]
pub struct Items<'a> {
    kind: ItemsKind<'a>,
    left: usize,
}

#[derive(Debug)]
enum ItemsKind<'a> {
    Indexed(Indexed<'a>),
    Found(std::vec::IntoIter<Value<'a>>),
}

impl<'a> Items<'a> {
    /// Those of `list`, which begins with a bracket.
    pub(super) fn new(list: &Value<'a>) -> Self {
        match Indexed::within(list.whole, list.nodes) {
            Some(parts) => Self { kind: ItemsKind::Indexed(parts), left: parts.count() },
            None => Self::found(split::parts(list.text).map(|part| list.inner(part.value)).collect()),
        }
    }

    pub(super) fn found(items: Vec<Value<'a>>) -> Self {
        Self { left: items.len(), kind: ItemsKind::Found(items.into_iter()) }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.saturating_sub(1);
        match &mut self.kind {
            ItemsKind::Indexed(parts) => parts.next().map(|part| part.value),
            ItemsKind::Found(items) => items.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_> {}

/// A field's name and its value.
pub type Member<'a> = (Spanned<&'a str>, Value<'a>);

/// The fields of a struct in the order of the text, each name once.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    kind: MembersKind<'a>,
}

#[derive(Clone, Debug)]
enum MembersKind<'a> {
    Indexed(Indexed<'a>),
    Found(Vec<Member<'a>>),
}

impl<'a> Members<'a> {
    /// Those that are in the index, if all have names and none is there twice.
    pub(super) fn indexed(parts: Indexed<'a>) -> Option<Self> {
        // Where two names share a bit, all before are looked at.
        let mut seen = 0u64;
        for (at, part) in parts.enumerate() {
            let name = part.key?;
            let bit = 1 << (name.bytes().next().unwrap_or(0).wrapping_add(name.len().to_le_bytes()[0] << 2) & 63);
            if seen & bit != 0 && parts.take(at).any(|before| before.key == Some(name)) {
                return None;
            }
            seen |= bit;
        }
        Some(Self { kind: MembersKind::Indexed(parts) })
    }

    pub(super) fn found(found: Vec<Member<'a>>) -> Self {
        Self { kind: MembersKind::Found(found) }
    }

    pub(super) fn into_vec(self) -> Vec<Member<'a>> {
        match self.kind {
            MembersKind::Indexed(_) => self.iter().collect(),
            MembersKind::Found(found) => found,
        }
    }

    /// The value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(field, _)| field.value == name).map(|(_, value)| value)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = Member<'a>> {
        let (indexed, found) = match &self.kind {
            MembersKind::Indexed(parts) => (Some(*parts), None),
            MembersKind::Found(found) => (None, Some(found)),
        };
        let indexed = indexed.into_iter().flatten().filter_map(|part| Some((part.value.place_of(part.key?), part.value)));
        indexed.chain(found.into_iter().flatten().copied())
    }
}

/// From the bracket on. What may stand before it, or behind its other, is a comment.
fn without_comments(text: &str) -> &str {
    if text.starts_with(['(', '[', '{']) && text.ends_with([')', ']', '}']) { text } else { split::only(text) }
}
