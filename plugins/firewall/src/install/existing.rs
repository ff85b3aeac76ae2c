//! What the kernel has in our table.

use std::collections::{BTreeMap, BTreeSet};

use portreeve_nftables::{
    Answer, Decoded, Endian, Family, Malformed, Message, Query, answer,
    constants::{NFT_OBJECT_COUNTER, NFT_SET_ANONYMOUS, NLM_F_DUMP_INTR},
    decode, messages, request,
};

use super::{COMMENT, FLOWTABLE, TABLE};
use crate::ruleset::Ruleset;

/// errno of linux: no such thing; interrupted.
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
/// Begins the names of chains that belong to a rule.
const BOUND_CHAIN: &str = "__chain";
/// What one table may hold so that it is read: chains, sets, objects together.
const MAX_READ: usize = 1 << 20;

/// What the kernel has in our table, as far as it matters to what comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// Comment of the table, if it is there.
    table: Option<Option<String>>,
    /// By name: base chains with hook, priority, type.
    pub(super) chains: BTreeMap<String, Option<(u32, i32, String)>>,
    /// By name: their comment.
    pub(super) sets: BTreeMap<String, Option<String>>,
    pub(super) counters: BTreeSet<String>,
    /// Other objects: name, kind.
    pub(super) objects: BTreeSet<(String, u32)>,
    /// By name: devices in alphabetical order, flags.
    pub(super) flowtables: BTreeMap<String, (Vec<String>, u32)>,
}

/// Why a datagram cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It is no netlink.
    Malformed(Malformed),
    /// Something changed while it was read out: ask again.
    Interrupted,
    /// The kernel's errno, positive.
    Kernel(i32),
}

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed(what) => {
                write!(f, "the kernel's answer cannot be read at byte {}: {}", what.offset, what.what)
            }
            Self::Interrupted => f.write_str("the kernel's rules changed while they were read"),
            Self::Kernel(errno) => write!(f, "the kernel did not say what rules it has (errno {errno})"),
        }
    }
}

impl core::error::Error for ReadError {}

/// The questions whose answers [`Existing::absorb`] takes, one message each: a next one after the end of the answer to the
/// one before. Their sequence numbers count up from `first`.
#[must_use]
pub fn requests(endian: Endian, first: u32) -> Vec<Vec<u8>> {
    let family = Family::Inet;
    // Without a table where the kernel calls a table that is not there an error.
    [
        Query::Tables { family },
        Query::Chains { family, table: None },
        Query::Sets { family, table: None },
        Query::Objects { family, table: Some(TABLE), kind: None },
        Query::Flowtables { family, table: None },
    ]
    .iter()
    .zip(first..)
    .map(|(query, sequence)| request(endian, sequence, query))
    .collect()
}

/// Goes through the messages of a datagram that are neither acknowledgement nor end.
pub(super) fn each<'a>(
    endian: Endian,
    datagram: &'a [u8],
    mut take: impl FnMut(&Message<'a>),
) -> Result<(), ReadError> {
    for message in messages(endian, datagram) {
        let message = message.map_err(ReadError::Malformed)?;
        if message.flags & NLM_F_DUMP_INTR != 0 {
            return Err(ReadError::Interrupted);
        }
        match answer(&message) {
            Answer::Acknowledged(told) | Answer::Done(told) => match told.errno.saturating_abs() {
                0 | ENOENT => {}
                EINTR => return Err(ReadError::Interrupted),
                errno => return Err(ReadError::Kernel(errno)),
            },
            Answer::Message => take(&message),
        }
    }
    Ok(())
}

impl Existing {
    /// Takes a datagram of the kernel's answers to [`requests`], in whatever order they come. What belongs to other tables
    /// is passed over.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn absorb(&mut self, endian: Endian, datagram: &[u8]) -> Result<(), ReadError> {
        each(endian, datagram, |message| {
            if let Some(decoded) = decode(message)
                && self.len() < MAX_READ
            {
                self.add(decoded);
            }
        })
    }

    fn len(&self) -> usize {
        self.chains.len().saturating_add(self.sets.len()).saturating_add(self.counters.len())
    }

    fn add(&mut self, decoded: Decoded) {
        let ours = |family: u8, table: &str| family == Family::Inet.number() && table == TABLE;
        match decoded {
            Decoded::Table(table) if ours(table.family, &table.name) => self.table = Some(table.comment),
            Decoded::Chain(chain) if ours(chain.family, &chain.table) && !chain.name.starts_with(BOUND_CHAIN) => {
                let base = chain.hook.map(|(hook, priority)| (hook, priority, chain.kind.unwrap_or_default()));
                self.chains.insert(chain.name, base);
            }
            Decoded::Set(set) if ours(set.family, &set.table) && set.flags & NFT_SET_ANONYMOUS == 0 => {
                self.sets.insert(set.name, set.comment);
            }
            Decoded::Object(object) if ours(object.family, &object.table) => {
                if object.kind == NFT_OBJECT_COUNTER {
                    self.counters.insert(object.name);
                } else {
                    self.objects.insert((object.name, object.kind));
                }
            }
            Decoded::Flowtable(mut table) if ours(table.family, &table.table) => {
                table.devices.sort();
                self.flowtables.insert(table.name, (table.devices, table.flags));
            }
            _ => {}
        }
    }

    /// The table is there.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// A table of the name is there that is not ours.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.table.as_ref().is_some_and(|comment| comment.as_deref() != Some(COMMENT))
    }

    /// Forgets what is in sets, but for those that packets add to: somebody may have taken elements out.
    pub fn distrust(&mut self, ruleset: &Ruleset) {
        let kept = |name: &str| ruleset.sets.iter().any(|set| set.name == name && set.dynamic);
        for (_, comment) in self.sets.iter_mut().filter(|(name, _)| !kept(name)) {
            *comment = None;
        }
    }

    /// Our flowtable is there as wanted.
    pub(super) fn has_flowtable(&self, devices: &[String], flags: u32) -> bool {
        let mut devices = devices.to_vec();
        devices.sort();
        self.flowtables.get(FLOWTABLE).is_some_and(|(there, has)| *there == devices && *has == flags)
    }
}
