//! Sets and maps; their elements are [`crate::Element`].

use crate::{
    DataType, Encode, Expression, Family, Writer,
    constants::{
        NFT_DATA_VERDICT, NFT_MSG_NEWSET, NFT_SET_CONCAT, NFT_SET_EXPR, NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_OBJECT,
        NFT_SET_TIMEOUT, NLM_F_CREATE,
    },
    expression::encode,
    message::naming,
    userdata,
};

const TABLE: u16 = 1;
const NAME: u16 = 2;
const FLAGS: u16 = 3;
const KEY_TYPE: u16 = 4;
const KEY_LENGTH: u16 = 5;
const DATA_TYPE: u16 = 6;
const DATA_LENGTH: u16 = 7;
const POLICY: u16 = 8;
const DESCRIPTION: u16 = 9;
const ID: u16 = 10;
const TIMEOUT: u16 = 11;
const GC_INTERVAL: u16 = 12;
const USERDATA: u16 = 13;
const OBJECT_TYPE: u16 = 15;
const EXPRESSION: u16 = 17;
const EXPRESSIONS: u16 = 18;
/// NFTA_SET_DESC_SIZE, NFTA_SET_DESC_CONCAT, NFTA_SET_FIELD_LEN, NFTA_LIST_ELEM.
const SIZE: u16 = 1;
const CONCAT: u16 = 2;
const FIELD_LENGTH: u16 = 1;
const LIST_ELEMENT: u16 = 1;

/// Makes a set or a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewSet<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// At most 255 bytes; `__set%d` lets the kernel find one for an anonymous set.
    pub name: &'a str,
    /// A number by which messages of the same batch refer to it, unique in the batch.
    pub id: u32,
    /// What its keys are made of; several are a concatenation.
    pub key: &'a [DataType],
    /// NFT_SET_*. MAP, OBJECT, CONCAT, TIMEOUT and EXPR are added where the rest of the values ask for them.
    pub flags: u32,
    /// What a key leads to.
    pub data: SetData,
    /// Most elements.
    pub size: Option<u32>,
    /// Of elements that have none of their own.
    pub timeout_ms: Option<u64>,
    /// Between looks for elements that timed out.
    pub gc_ms: Option<u32>,
    /// NFT_SET_POL_*.
    pub policy: Option<u32>,
    /// Each element has its own of these.
    pub expressions: &'a [Expression<'a>],
    /// At most 220 bytes, the rest is cut.
    pub comment: Option<&'a str>,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetData {
    /// Nothing: a set.
    None,
    /// A verdict.
    Verdict,
    /// A value.
    Value(DataType),
    /// An object: NFT_OBJECT_*.
    Object(u32),
}

impl<'a> NewSet<'a> {
    /// A set without flags, data or limits.
    #[must_use]
    pub const fn new(family: Family, table: &'a str, name: &'a str, id: u32, key: &'a [DataType]) -> Self {
        Self {
            family,
            table,
            name,
            id,
            key,
            flags: 0,
            data: SetData::None,
            size: None,
            timeout_ms: None,
            gc_ms: None,
            policy: None,
            expressions: &[],
            comment: None,
        }
    }

    /// The flags that it comes to.
    #[must_use]
    pub const fn all_flags(&self) -> u32 {
        let mut flags = self.flags;
        flags |= match self.data {
            SetData::None => 0,
            SetData::Verdict | SetData::Value(_) => NFT_SET_MAP,
            SetData::Object(_) => NFT_SET_OBJECT,
        };
        if self.key.len() > 1 && flags & NFT_SET_INTERVAL != 0 {
            flags |= NFT_SET_CONCAT;
        }
        if self.timeout_ms.is_some() {
            flags |= NFT_SET_TIMEOUT;
        }
        if self.expressions.len() > 1 {
            flags |= NFT_SET_EXPR;
        }
        flags
    }

    fn describe(&self, writer: &mut Writer) {
        let fields = if self.all_flags() & NFT_SET_CONCAT != 0 { self.key } else { &[] };
        if self.size.is_none() && fields.is_empty() {
            return;
        }
        writer.nested(DESCRIPTION, |w| {
            if let Some(size) = self.size {
                w.u32(SIZE, size);
            }
            if !fields.is_empty() {
                w.nested(CONCAT, |w| {
                    for field in fields {
                        w.nested(LIST_ELEMENT, |w| w.u32(FIELD_LENGTH, field.length));
                    }
                });
            }
        });
    }
}

impl Encode for NewSet<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_NEWSET
    }

    fn flags(&self) -> u16 {
        NLM_F_CREATE
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        let (kind, length) = DataType::concatenated(self.key);
        let flags = self.all_flags();
        writer.text(TABLE, self.table);
        writer.text(NAME, self.name);
        writer.u32(FLAGS, flags);
        writer.u32(KEY_TYPE, kind);
        writer.u32(KEY_LENGTH, length);
        match self.data {
            SetData::None => {}
            SetData::Verdict => {
                writer.u32(DATA_TYPE, NFT_DATA_VERDICT);
                writer.u32(DATA_LENGTH, 0);
            }
            SetData::Value(value) => {
                writer.u32(DATA_TYPE, value.number);
                writer.u32(DATA_LENGTH, value.length);
            }
            SetData::Object(kind) => writer.u32(OBJECT_TYPE, kind),
        }
        writer.u32(ID, self.id);
        if let Some(policy) = self.policy {
            writer.u32(POLICY, policy);
        }
        self.describe(writer);
        if let Some(timeout) = self.timeout_ms {
            writer.u64(TIMEOUT, timeout);
        }
        if let Some(interval) = self.gc_ms {
            writer.u32(GC_INTERVAL, interval);
        }
        let data = match self.data {
            SetData::None | SetData::Object(_) => None,
            SetData::Verdict => Some(DataType::noted_order(&[DataType::VERDICT])),
            SetData::Value(value) => Some(DataType::noted_order(&[value])),
        };
        let intervals = flags & NFT_SET_INTERVAL != 0;
        let order = DataType::noted_order(self.key);
        writer.data(USERDATA, &userdata::set(writer.endian(), order, data, intervals, self.comment));
        match self.expressions {
            [] => {}
            [one] => encode::one(writer, EXPRESSION, one),
            several => writer.nested(EXPRESSIONS, |w| encode::list(w, several)),
        }
    }
}

naming! {
    /// Removes a set, which no rule may use.
    DeleteSet, NFT_MSG_DELSET, 1, 2
}

naming! {
    /// Removes all elements of a set.
    FlushSet, NFT_MSG_DELSETELEM, 1, 2
}
