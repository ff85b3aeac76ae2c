//! Objects that rules share by name: counters, quotas, limits.

use crate::{
    Encode, Family, Limit, Quota, Writer,
    constants::{NFT_MSG_DELOBJ, NFT_MSG_NEWOBJ, NFT_OBJECT_COUNTER, NFT_OBJECT_LIMIT, NFT_OBJECT_QUOTA, NLM_F_CREATE},
    expression::encode,
    userdata,
};

const TABLE: u16 = 1;
const NAME: u16 = 2;
const TYPE: u16 = 3;
const DATA: u16 = 4;
const USERDATA: u16 = 8;

/// Makes an object, or leaves a counter of this name as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewObject<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// At most 255 bytes.
    pub name: &'a str,
    /// What it is.
    pub object: Object,
    /// At most 220 bytes, the rest is cut.
    pub comment: Option<&'a str>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// Counts from these numbers on.
    Counter {
        /// So far.
        packets: u64,
        /// So far.
        bytes: u64,
    },
    /// An amount of bytes.
    Quota(Quota),
    /// A rate.
    Limit(Limit),
}

impl Object {
    /// NFT_OBJECT_*.
    #[must_use]
    pub const fn kind(&self) -> u32 {
        match self {
            Self::Counter { .. } => NFT_OBJECT_COUNTER,
            Self::Quota(_) => NFT_OBJECT_QUOTA,
            Self::Limit(_) => NFT_OBJECT_LIMIT,
        }
    }
}

impl Encode for NewObject<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_NEWOBJ
    }

    fn flags(&self) -> u16 {
        NLM_F_CREATE
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        writer.text(TABLE, self.table);
        writer.text(NAME, self.name);
        writer.u32(TYPE, self.object.kind());
        writer.nested(DATA, |w| match &self.object {
            Object::Counter { packets, bytes } => encode::counter(w, *packets, *bytes),
            Object::Quota(quota) => encode::quota(w, quota),
            Object::Limit(limit) => encode::limit(w, limit),
        });
        if let Some(comment) = self.comment {
            writer.data(USERDATA, &userdata::comment(userdata::COMMENT, comment));
        }
    }
}

/// Removes an object, which no rule may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteObject<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// Its name.
    pub name: &'a str,
    /// NFT_OBJECT_*.
    pub kind: u32,
}

impl Encode for DeleteObject<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_DELOBJ
    }

    fn flags(&self) -> u16 {
        0
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        writer.text(TABLE, self.table);
        writer.text(NAME, self.name);
        writer.u32(TYPE, self.kind);
    }
}
