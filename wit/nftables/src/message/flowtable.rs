//! Flowtables: connections that pass by the rules.

use crate::{
    Encode, Family, Writer,
    constants::{NF_NETDEV_INGRESS, NFT_MSG_NEWFLOWTABLE, NLM_F_CREATE},
    message::{devices, naming},
};

const TABLE: u16 = 1;
const NAME: u16 = 2;
const HOOK: u16 = 3;
const FLAGS: u16 = 7;
/// NFTA_FLOWTABLE_HOOK_*.
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICES: u16 = 3;

/// Makes a flowtable at the ingress of some interfaces, or adds interfaces to the one of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFlowtable<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// At most 255 bytes.
    pub name: &'a str,
    /// Lower is earlier.
    pub priority: i32,
    /// Interfaces that are there; the kernel refuses others.
    pub devices: &'a [&'a str],
    /// NFT_FLOWTABLE_*.
    pub flags: u32,
}

impl Encode for NewFlowtable<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_NEWFLOWTABLE
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
        writer.nested(HOOK, |w| {
            w.u32(HOOK_NUMBER, NF_NETDEV_INGRESS);
            w.data(HOOK_PRIORITY, &self.priority.to_be_bytes());
            devices(w, HOOK_DEVICES, self.devices);
        });
        if self.flags != 0 {
            writer.u32(FLAGS, self.flags);
        }
    }
}

naming! {
    /// Removes a flowtable, which no rule may use.
    DeleteFlowtable, NFT_MSG_DELFLOWTABLE, 1, 2
}
