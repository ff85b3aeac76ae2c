//! Chains.

use crate::{
    Encode, Family, Writer,
    constants::{NF_ACCEPT, NF_DROP, NFT_MSG_NEWCHAIN, NLM_F_CREATE},
    message::{devices, naming},
    userdata,
};

const TABLE: u16 = 1;
const NAME: u16 = 3;
const HOOK: u16 = 4;
const POLICY: u16 = 5;
const TYPE: u16 = 7;
const USERDATA: u16 = 12;
/// NFTA_HOOK_*.
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICE: u16 = 3;
const HOOK_DEVICES: u16 = 4;

/// Makes a chain, or changes the policy of the one of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewChain<'a> {
    /// Of the table.
    pub family: Family,
    /// The table.
    pub table: &'a str,
    /// At most 255 bytes.
    pub name: &'a str,
    /// Where packets enter it; none for those that are jumped to.
    pub base: Option<BaseChain<'a>>,
    /// At most 220 bytes, the rest is cut.
    pub comment: Option<&'a str>,
}

/// Where packets enter a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseChain<'a> {
    /// NF_INET_* or NF_NETDEV_*.
    pub hook: u32,
    /// Lower is earlier.
    pub priority: i32,
    /// `filter`, `nat` or `route`.
    pub kind: &'a str,
    /// What becomes of what comes to its end; none leaves what is there, and is to accept in a new one.
    pub accept: Option<bool>,
    /// Only of these interfaces, at the hooks that are of an interface.
    pub devices: &'a [&'a str],
}

impl Encode for NewChain<'_> {
    fn kind(&self) -> u16 {
        NFT_MSG_NEWCHAIN
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
        if let Some(base) = &self.base {
            writer.nested(HOOK, |w| {
                w.u32(HOOK_NUMBER, base.hook);
                w.data(HOOK_PRIORITY, &base.priority.to_be_bytes());
                match base.devices {
                    [] => {}
                    [one] => w.text(HOOK_DEVICE, one),
                    several => devices(w, HOOK_DEVICES, several),
                }
            });
            if let Some(accept) = base.accept {
                writer.data(POLICY, &if accept { NF_ACCEPT } else { NF_DROP }.to_be_bytes());
            }
            writer.text(TYPE, base.kind);
        }
        if let Some(comment) = self.comment {
            writer.data(USERDATA, &userdata::comment(userdata::COMMENT, comment));
        }
    }
}

naming! {
    /// Removes a chain, which nothing may jump to, with its rules.
    DeleteChain, NFT_MSG_DELCHAIN, 1, 3
}
