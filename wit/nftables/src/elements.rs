//! Elements of sets, in as many messages as they need.
//!
//! A message's list of elements is one attribute, so 65,535 bytes long at most; what comes after goes into another
//! message. Plain keys and ranges have a way of their own (`bulk`), which copies a template for each.

mod bulk;

use std::borrow::Cow;

use crate::{
    Batch, Endian, Expression, Family, Verdict, Writer,
    attribute::MAX_ATTRIBUTE,
    constants::{
        NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM, NFT_SET_ELEM_CATCHALL, NFT_SET_ELEM_INTERVAL_END, NLM_F_CREATE,
        NLM_F_REQUEST, nft_type,
    },
    expression::encode,
    userdata,
};

/// NFTA_SET_ELEM_LIST_*.
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_SET_ID: u16 = 4;
/// NFTA_LIST_ELEM.
pub(crate) const LIST_ELEMENT: u16 = 1;
/// NFTA_SET_ELEM_*.
const KEY: u16 = 1;
const DATA: u16 = 2;
const FLAGS: u16 = 3;
const TIMEOUT: u16 = 4;
const EXPIRATION: u16 = 5;
const USERDATA: u16 = 6;
const EXPRESSION: u16 = 7;
const OBJECT: u16 = 9;
const KEY_END: u16 = 10;
const EXPRESSIONS: u16 = 11;

/// The set whose elements change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetRef<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its number, if it is made in the same batch.
    pub id: Option<u32>,
}

/// What becomes of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They come; those that are there are not an error.
    Add,
    /// They go; those that are not there are an error.
    Delete,
}

/// Which elements a message carries: from `first` on up to the next part's, counted as they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of the message.
    pub sequence: u32,
    /// Index; a range counts as one.
    pub first: usize,
}

/// An element of a set or a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Element<'a> {
    /// As the registers hold it; fields of a concatenation are padded to 4 bytes.
    pub key: Cow<'a, [u8]>,
    /// Of a range in a concatenation: the last key, field by field.
    pub key_end: Option<Cow<'a, [u8]>>,
    /// NFT_SET_ELEM_*.
    pub flags: u32,
    /// What the key leads to.
    pub data: Option<ElementData<'a>>,
    /// It goes so long after it was last refreshed.
    pub timeout_ms: Option<u64>,
    /// So much of that is left.
    pub expiration_ms: Option<u64>,
    /// Its own: counters, limits.
    pub expressions: Cow<'a, [Expression<'a>]>,
    /// At most 220 bytes, the rest is cut.
    pub comment: Option<&'a str>,
}

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementData<'a> {
    /// A verdict.
    Verdict(Verdict<'a>),
    /// As a register is to hold it.
    Value(Cow<'a, [u8]>),
    /// An object, by its name.
    Object(Cow<'a, str>),
}

impl<'a> Element<'a> {
    /// A key and no more.
    #[must_use]
    pub fn new(key: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            key: key.into(),
            key_end: None,
            flags: 0,
            data: None,
            timeout_ms: None,
            expiration_ms: None,
            expressions: Cow::Borrowed(&[]),
            comment: None,
        }
    }

    /// With what it leads to.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict<'a>) -> Self {
        self.data = Some(ElementData::Verdict(verdict));
        self
    }

    /// The two elements of a range in an interval set of one field: its first key, and what comes after its last. None
    /// comes after the last key there is. What the range leads to belongs to the first.
    #[must_use]
    pub fn range_of(first: impl Into<Cow<'a, [u8]>>, last: &[u8]) -> (Self, Option<Self>) {
        let mut end = last.to_vec();
        let end = bulk::increment(&mut end).then(|| Self { flags: NFT_SET_ELEM_INTERVAL_END, ..Self::new(end) });
        (Self::new(first), end)
    }

    fn attributes(&self, w: &mut Writer) {
        if self.flags & NFT_SET_ELEM_CATCHALL == 0 {
            encode::value(w, KEY, &self.key);
        }
        if let Some(end) = &self.key_end {
            encode::value(w, KEY_END, end);
        }
        match &self.data {
            Some(ElementData::Verdict(verdict)) => encode::verdict(w, DATA, verdict),
            Some(ElementData::Value(value)) => encode::value(w, DATA, value),
            Some(ElementData::Object(name)) => w.text(OBJECT, name),
            None => {}
        }
        if self.flags != 0 {
            w.u32(FLAGS, self.flags);
        }
        self.timeout_ms.iter().for_each(|timeout| w.u64(TIMEOUT, *timeout));
        self.expiration_ms.iter().for_each(|left| w.u64(EXPIRATION, *left));
        match &*self.expressions {
            [] => {}
            [one] => encode::one(w, EXPRESSION, one),
            several => w.nested(EXPRESSIONS, |w| encode::list(w, several)),
        }
        if let Some(comment) = self.comment {
            w.data(USERDATA, &userdata::comment(userdata::COMMENT, comment));
        }
    }
}

/// A message of elements that is being written.
struct Open {
    message: usize,
    list: usize,
}

impl Batch {
    /// Appends messages that change these elements.
    pub fn push_elements<'a>(
        &mut self,
        set: &SetRef<'_>,
        change: Change,
        elements: impl IntoIterator<Item = Element<'a>>,
    ) -> Vec<Part> {
        self.push_each(set, change, elements.into_iter(), |writer, element| {
            writer.nested(LIST_ELEMENT, |w| element.attributes(w));
        })
    }

    /// Has `write` write each item as one or two elements, and begins another message where one is full.
    fn push_each<T>(
        &mut self,
        set: &SetRef<'_>,
        change: Change,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Writer, T),
    ) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut open: Option<Open> = None;
        for (index, item) in items.enumerate() {
            let current = match open.take() {
                Some(current) => current,
                None => self.open_elements(set, change, &mut parts, index),
            };
            let start = self.writer.bytes.len();
            let before = core::mem::take(&mut self.writer.oversized);
            write(&mut self.writer, item);
            let full = self.writer.bytes.len() - current.list > MAX_ATTRIBUTE;
            let first = parts.last().is_some_and(|part: &Part| part.first == index);
            open = Some(if full && !first {
                let item = self.writer.bytes.split_off(start);
                // An item that is too long by itself is the next message's.
                let after = core::mem::replace(&mut self.writer.oversized, before);
                self.close_elements(&current);
                self.writer.oversized = after;
                let next = self.open_elements(set, change, &mut parts, index);
                self.writer.bytes.extend_from_slice(&item);
                next
            } else {
                self.writer.oversized |= before;
                current
            });
        }
        if let Some(current) = open {
            self.close_elements(&current);
        }
        parts
    }

    fn open_elements(&mut self, set: &SetRef<'_>, change: Change, parts: &mut Vec<Part>, first: usize) -> Open {
        parts.push(Part { sequence: self.sequence(), first });
        let (kind, flags) = match change {
            Change::Add => (NFT_MSG_NEWSETELEM, NLM_F_CREATE),
            Change::Delete => (NFT_MSG_DELSETELEM, 0),
        };
        let message = self.open(nft_type(kind), NLM_F_REQUEST | flags, set.family, 0);
        self.writer.text(LIST_TABLE, set.table);
        self.writer.text(LIST_SET, set.name);
        if let Some(id) = set.id {
            self.writer.u32(LIST_SET_ID, id);
        }
        Open { message, list: self.writer.open(LIST_ELEMENTS) }
    }

    fn close_elements(&mut self, open: &Open) {
        self.writer.close(open.list);
        self.close(open.message);
    }
}

/// Userdata of a range without an end.
fn open_userdata(endian: Endian) -> Vec<u8> {
    userdata::open_interval(endian)
}

#[cfg(test)]
mod tests;
