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

    fn pop(&mut self) -> Option<&'a [Node]> {
        let (own, rest) = self.nodes.split_at_checked(self.nodes.first()?.count())?;
        self.nodes = rest;
        Some(own)
    }

    fn length(mut self) -> usize {
        let mut length = 0;
        while self.pop().is_some() {
            length += 1;
        }
        length
    }

    fn key(&self, own: &'a [Node]) -> Option<&'a str> {
        own.first().and_then(Node::key).and_then(|range| self.whole.get(range))
    }

    fn member(&mut self) -> Option<Member<'a>> {
        let own = self.pop()?;
        let value = Value::indexed(self.whole, own);
        Some((value.place_of(self.key(own)?), value))
    }
}

impl<'a> Iterator for Indexed<'a> {
    type Item = Part<'a>;

    #[inline]
    fn next(&mut self) -> Option<Part<'a>> {
        let own = self.pop()?;
        Some(Part { key: self.key(own), value: Value::indexed(self.whole, own) })
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
            Some(parts) => Self { kind: ItemsKind::Indexed(parts), left: parts.length() },
            None => Self::found(split::parts(list.text).map(|part| list.inner(part.value)).collect()),
        }
    }

    pub(super) fn found(items: Vec<Value<'a>>) -> Self {
        Self { left: items.len(), kind: ItemsKind::Found(items.into_iter()) }
    }

    /// Leaves out those behind the first `most`.
    pub fn truncate(&mut self, most: usize) {
        self.left = self.left.min(most);
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        match &mut self.kind {
            ItemsKind::Indexed(parts) => parts.pop().map(|own| Value::indexed(parts.whole, own)),
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
        let mut rest = parts;
        let mut at = 0;
        while let Some(own) = rest.pop() {
            let name = parts.key(own)?;
            let bit = 1 << (usize::from(name.bytes().next().unwrap_or(0)).wrapping_add(name.len() << 2) & 63);
            if seen & bit != 0 && parts.take(at).any(|before| before.key == Some(name)) {
                return None;
            }
            seen |= bit;
            at += 1;
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
        match &self.kind {
            MembersKind::Indexed(parts) => {
                let mut rest = *parts;
                while let Some(own) = rest.pop() {
                    if parts.key(own) == Some(name) {
                        return Some(Value::indexed(parts.whole, own));
                    }
                }
                None
            }
            MembersKind::Found(found) => found.iter().find(|(field, _)| field.value == name).map(|(_, value)| *value),
        }
    }

    /// All.
    #[must_use]
    pub fn iter(&self) -> MembersIter<'_, 'a> {
        let kind = match &self.kind {
            MembersKind::Indexed(parts) => IterKind::Indexed(*parts),
            MembersKind::Found(found) => IterKind::Found(found.iter()),
        };
        MembersIter { kind }
    }
}

/// See [`Members::iter`].
#[derive(Debug)]
pub struct MembersIter<'m, 'a> {
    kind: IterKind<'m, 'a>,
}

#[derive(Debug)]
enum IterKind<'m, 'a> {
    Indexed(Indexed<'a>),
    Found(core::slice::Iter<'m, Member<'a>>),
}

impl<'a> Iterator for MembersIter<'_, 'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        match &mut self.kind {
            IterKind::Indexed(parts) => parts.member(),
            IterKind::Found(found) => found.next().copied(),
        }
    }
}

/// From the bracket on. What may stand before it, or behind its other, is a comment.
fn without_comments(text: &str) -> &str {
    if text.starts_with(['(', '[', '{']) && text.ends_with([')', ']', '}']) { text } else { split::only(text) }
}
