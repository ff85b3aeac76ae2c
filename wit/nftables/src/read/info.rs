//! What a dump of nf_tables tells, as values. What a message does not say is none, empty or zero.

mod decode;

pub use decode::decode;

use crate::Quota;

/// A message of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// NFT_MSG_NEWTABLE.
    Table(TableInfo),
    /// NFT_MSG_NEWCHAIN.
    Chain(ChainInfo),
    /// NFT_MSG_NEWRULE.
    Rule(RuleInfo),
    /// NFT_MSG_NEWSET.
    Set(SetInfo),
    /// NFT_MSG_NEWSETELEM.
    Elements(ElementsInfo),
    /// NFT_MSG_NEWOBJ.
    Object(ObjectInfo),
    /// NFT_MSG_NEWFLOWTABLE.
    Flowtable(FlowtableInfo),
    /// NFT_MSG_NEWGEN.
    Generation(GenerationInfo),
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Its name.
    pub name: String,
    /// NFT_TABLE_F_*.
    pub flags: u32,
    /// Its number while it is there.
    pub handle: u64,
    /// Things in it.
    pub uses: u32,
    /// As nft keeps it.
    pub comment: Option<String>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Where it is.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its number while it is there.
    pub handle: u64,
    /// Hook and priority of a base chain.
    pub hook: Option<(u32, i32)>,
    /// Type of a base chain.
    pub kind: Option<String>,
    /// NF_ACCEPT or NF_DROP, of a base chain.
    pub policy: Option<u32>,
    /// Rules in it and jumps to it.
    pub uses: u32,
    /// As nft keeps it.
    pub comment: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Where it is.
    pub table: String,
    /// Where it is.
    pub chain: String,
    /// Its number while it is there.
    pub handle: u64,
    /// The handle of the rule before it.
    pub position: Option<u64>,
    /// As nft keeps it.
    pub comment: Option<String>,
    /// Names of its expressions.
    pub expressions: Vec<String>,
}

/// A set or map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Where it is.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its number while it is there.
    pub handle: u64,
    /// NFT_SET_*.
    pub flags: u32,
    /// nft's number of the type.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_length: u32,
    /// NFT_DATA_VERDICT or nft's number of the type.
    pub data_type: Option<u32>,
    /// Of elements that have none of their own.
    pub timeout_ms: Option<u64>,
    /// Most elements.
    pub size: Option<u32>,
    /// As nft keeps it.
    pub comment: Option<String>,
}

/// Some elements of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementsInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Where they are.
    pub table: String,
    /// Where they are.
    pub set: String,
    /// In the order of the kernel.
    pub elements: Vec<ElementInfo>,
}

/// An element of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementInfo {
    /// As registers hold it.
    pub key: Vec<u8>,
    /// Of a range in a concatenation.
    pub key_end: Option<Vec<u8>>,
    /// NFT_SET_ELEM_*.
    pub flags: u32,
    /// From when it was refreshed.
    pub timeout_ms: Option<u64>,
    /// What is left of it.
    pub expiration_ms: Option<u64>,
    /// Packets and bytes, if it counts.
    pub counter: Option<(u64, u64)>,
    /// NF_* or NFT_* code and chain, if it leads to a verdict.
    pub verdict: Option<(i32, Option<String>)>,
    /// As nft keeps it.
    pub comment: Option<String>,
}

/// An object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Where it is.
    pub table: String,
    /// Its name.
    pub name: String,
    /// NFT_OBJECT_*.
    pub kind: u32,
    /// Its number while it is there.
    pub handle: u64,
    /// Rules and elements that use it.
    pub uses: u32,
    /// Packets and bytes of a counter.
    pub counter: Option<(u64, u64)>,
    /// Of a quota.
    pub quota: Option<Quota>,
}

/// A flowtable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowtableInfo {
    /// NFPROTO_*.
    pub family: u8,
    /// Where it is.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its number while it is there.
    pub handle: u64,
    /// Names of interfaces.
    pub devices: Vec<String>,
    /// NFT_FLOWTABLE_*.
    pub flags: u32,
}

/// The last transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its number.
    pub id: u32,
    /// Who did it.
    pub pid: Option<u32>,
    /// Its name.
    pub process: Option<String>,
}

#[cfg(test)]
mod tests;
