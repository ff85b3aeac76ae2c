//! Questions: messages that have the kernel tell what is there.

use crate::{
    Batch, Endian, Family,
    constants::{
        NFT_MSG_GETCHAIN, NFT_MSG_GETFLOWTABLE, NFT_MSG_GETGEN, NFT_MSG_GETOBJ, NFT_MSG_GETRULE, NFT_MSG_GETSET,
        NFT_MSG_GETSETELEM, NFT_MSG_GETTABLE, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, nft_type,
    },
};

/// NFTA_*_TABLE; NFTA_RULE_CHAIN and NFTA_SET_ELEM_LIST_SET; NFTA_OBJ_TYPE.
const TABLE: u16 = 1;
const SECOND: u16 = 2;
const OBJECT_TYPE: u16 = 3;

/// What is asked. Answers are read by [`crate::decode`]; all but the generation's end with NLMSG_DONE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields say what the answer is limited to")]
pub enum Query<'a> {
    /// Tables, of all families if unspecified.
    Tables { family: Family },
    /// Chains. The kernel gives those of all tables; older ones do not look at `table`.
    Chains { family: Family, table: Option<&'a str> },
    /// Rules.
    Rules { family: Family, table: Option<&'a str>, chain: Option<&'a str> },
    /// Sets, without elements.
    Sets { family: Family, table: Option<&'a str> },
    /// Elements of a set.
    Elements { family: Family, table: &'a str, set: &'a str },
    /// Objects, of one kind or all.
    Objects { family: Family, table: Option<&'a str>, kind: Option<u32> },
    /// Flowtables.
    Flowtables { family: Family, table: Option<&'a str> },
    /// The number of the last transaction: one message, then an acknowledgement.
    Generation,
}

/// The message that asks it.
#[must_use]
pub fn request(endian: Endian, sequence: u32, query: &Query<'_>) -> Vec<u8> {
    let (kind, family, table, second, object) = match *query {
        Query::Tables { family } => (NFT_MSG_GETTABLE, family, None, None, None),
        Query::Chains { family, table } => (NFT_MSG_GETCHAIN, family, table, None, None),
        Query::Rules { family, table, chain } => (NFT_MSG_GETRULE, family, table, chain, None),
        Query::Sets { family, table } => (NFT_MSG_GETSET, family, table, None, None),
        Query::Elements { family, table, set } => (NFT_MSG_GETSETELEM, family, Some(table), Some(set), None),
        Query::Objects { family, table, kind } => (NFT_MSG_GETOBJ, family, table, None, kind),
        Query::Flowtables { family, table } => (NFT_MSG_GETFLOWTABLE, family, table, None, None),
        Query::Generation => (NFT_MSG_GETGEN, Family::Unspec, None, None, None),
    };
    let flags = if matches!(query, Query::Generation) { NLM_F_ACK } else { NLM_F_DUMP };
    let mut batch = Batch::starting_at(endian, sequence);
    let start = batch.open(nft_type(kind), NLM_F_REQUEST | flags, family, 0);
    if let Some(table) = table {
        batch.writer.text(TABLE, table);
    }
    if let Some(name) = second {
        batch.writer.text(SECOND, name);
    }
    if let Some(kind) = object {
        batch.writer.u32(OBJECT_TYPE, kind);
    }
    batch.close(start);
    batch.writer.bytes
}
