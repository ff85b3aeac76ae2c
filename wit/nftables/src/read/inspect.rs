//! What a transaction touches, told before it is sent, as the kernel would understand it.
//!
//! Stricter than the kernel where it is lenient: an attribute that is cut off, a table named twice (the kernel takes
//! the last), a name with a zero within (the kernel cuts it there when it makes a table) are errors.

use crate::{
    Endian, Malformed, Message, Messages,
    batch::{FAMILY_HEADER, MESSAGE_HEADER},
    constants::{
        NFNL_SUBSYS_NFTABLES, NFPROTO_INET, NFT_MSG_DELTABLE, NFT_MSG_DESTROYTABLE, NFT_MSG_GETGEN, NFT_MSG_GETTABLE,
        NFT_MSG_NEWGEN,
    },
    messages,
};

/// NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and so on are all the first attribute.
const TABLE: u16 = 1;
const TABLE_HANDLE: u16 = 4;

/// A message of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected<'a> {
    /// Its sequence number.
    pub sequence: u32,
    /// NFNL_SUBSYS_*; none for the beginning and the end.
    pub subsystem: u16,
    /// NFT_MSG_*, or NFNL_MSG_BATCH_*.
    pub kind: u16,
    /// NLM_F_*.
    pub flags: u16,
    /// NFPROTO_*.
    pub family: u8,
    /// Of the beginning and the end the subsystem.
    pub resource: u16,
    /// The table that it is about. None if it names none, or the kernel would not go by the name: it removes a table
    /// by handle if there is one, and all of them if the family is unspecified.
    pub table: Option<&'a str>,
    /// Of the message in the transaction.
    pub offset: usize,
}

/// Goes through a transaction; ends after an error.
#[derive(Clone, Debug)]
pub struct Inspect<'a> {
    messages: Messages<'a>,
    failed: bool,
}

/// What the messages in `bytes` are about.
#[must_use]
pub const fn inspect(endian: Endian, bytes: &[u8]) -> Inspect<'_> {
    Inspect { messages: messages(endian, bytes), failed: false }
}

impl<'a> Iterator for Inspect<'a> {
    type Item = Result<Inspected<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let inspected = self.messages.next()?.and_then(|message| one(&message));
        self.failed = inspected.is_err();
        Some(inspected)
    }
}

fn one<'a>(message: &Message<'a>) -> Result<Inspected<'a>, Malformed> {
    let fail = |offset: usize, what| Err(Malformed { offset: message.offset + offset, what });
    if message.body().len() < FAMILY_HEADER {
        return fail(MESSAGE_HEADER, "a message without a header of netfilter");
    }
    let attributes_at = MESSAGE_HEADER + FAMILY_HEADER;
    let nf_tables = message.subsystem() == NFNL_SUBSYS_NFTABLES;
    let mut attributes = message.attributes();
    let (mut table, mut handle) = (None, false);
    for attribute in attributes.by_ref() {
        match attribute.kind {
            TABLE if nf_tables && !matches!(message.operation(), NFT_MSG_NEWGEN | NFT_MSG_GETGEN) => {
                let name = attribute.value.strip_suffix(&[0]).unwrap_or(attribute.value);
                match core::str::from_utf8(name) {
                    Ok(name) if !name.contains('\0') => {
                        if table.replace(name).is_some() {
                            return fail(attributes_at + attribute.offset, "a second name of a table");
                        }
                    }
                    _ => return fail(attributes_at + attribute.offset, "a name of a table that is no text"),
                }
            }
            TABLE_HANDLE => handle = true,
            _ => {}
        }
    }
    if !attributes.rest().is_empty() {
        let rest = attributes.rest().len();
        return fail(message.bytes.len().saturating_sub(rest), "a cut off attribute");
    }
    let family = message.family();
    if nf_tables
        && matches!(message.operation(), NFT_MSG_GETTABLE | NFT_MSG_DELTABLE | NFT_MSG_DESTROYTABLE)
        && (handle || family < NFPROTO_INET)
    {
        table = None;
    }
    Ok(Inspected {
        sequence: message.sequence,
        subsystem: message.subsystem(),
        kind: message.operation(),
        flags: message.flags,
        family,
        resource: message.resource(),
        table,
        offset: message.offset,
    })
}

#[cfg(test)]
mod tests;
