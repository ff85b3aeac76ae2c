//! Tables.

use crate::{
    Encode, Family, Writer,
    constants::{NFT_MSG_DELTABLE, NFT_MSG_NEWTABLE, NLM_F_CREATE},
    userdata,
};

const NAME: u16 = 1;
const FLAGS: u16 = 2;
const USERDATA: u16 = 6;

/// Makes a table, or leaves the one of this name (its comment too).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTable<'a> {
    /// What packets it sees.
    pub family: Family,
    /// At most 255 bytes.
    pub name: &'a str,
    /// NFT_TABLE_F_*.
    pub flags: u32,
    /// At most 220 bytes, the rest is cut.
    pub comment: Option<&'a str>,
}

impl Encode for NewTable<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_NEWTABLE
    }

    fn flags(&self) -> u16 {
        NLM_F_CREATE
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        writer.text(NAME, self.name);
        writer.u32(FLAGS, self.flags);
        if let Some(comment) = self.comment {
            writer.data(USERDATA, &userdata::comment(userdata::COMMENT, comment));
        }
    }
}

/// Removes a table and all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteTable<'a> {
    /// Its.
    pub family: Family,
    /// Its.
    pub name: &'a str,
}

impl Encode for DeleteTable<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_DELTABLE
    }

    fn flags(&self) -> u16 {
        0
    }

    fn family(&self) -> Family {
        self.family
    }

    fn attributes(&self, writer: &mut Writer) {
        writer.text(NAME, self.name);
    }
}
