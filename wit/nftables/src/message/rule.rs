//! Rules.

use crate::{
    Encode, Expression, Family, Writer,
    constants::{NFT_MSG_DELRULE, NFT_MSG_NEWRULE, NLM_F_APPEND, NLM_F_CREATE},
    expression::encode,
    userdata,
};

const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const EXPRESSIONS: u16 = 4;
const POSITION: u16 = 6;
const USERDATA: u16 = 7;

/// Appends a rule to a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewRule<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// The chain.
    pub chain: &'a str,
    /// At most 128; evaluated in order.
    pub expressions: &'a [Expression<'a>],
    /// At most 220 bytes, the rest is cut.
    pub comment: Option<&'a str>,
    /// Takes the place of this rule, if pushed with NLM_F_REPLACE.
    pub handle: Option<u64>,
    /// After this rule instead of at the end.
    pub position: Option<u64>,
}

impl Encode for NewRule<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_NEWRULE
    }

    fn flags(&self) -> u16 {
        if self.handle.is_some() { 0 } else { NLM_F_CREATE | NLM_F_APPEND }
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        writer.text(TABLE, self.table);
        writer.text(CHAIN, self.chain);
        if let Some(handle) = self.handle {
            writer.u64(HANDLE, handle);
        }
        if let Some(position) = self.position {
            writer.u64(POSITION, position);
        }
        writer.nested(EXPRESSIONS, |w| encode::list(w, self.expressions));
        if let Some(comment) = self.comment {
            writer.data(USERDATA, &userdata::comment(userdata::COMMENT, comment));
        }
    }
}

/// Removes a rule, or all of a chain, or all of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteRule<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// Only of this chain.
    pub chain: Option<&'a str>,
    /// Only this one.
    pub handle: Option<u64>,
}

impl Encode for DeleteRule<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_DELRULE
    }

    fn flags(&self) -> u16 {
        0
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        writer.text(TABLE, self.table);
        if let Some(chain) = self.chain {
            writer.text(CHAIN, chain);
        }
        if let Some(handle) = self.handle {
            writer.u64(HANDLE, handle);
        }
    }
}
