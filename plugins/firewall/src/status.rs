//! What there is to see: `portreeve status firewall [counters | sets [NAME] | connections [ADDRESS] | trace …]`.
//!
//! Rows and numbers as plain data. What follows from the section and its compiled form is taken by [`Status::of`]
//! (`status/derive.rs`), what only the kernel knows is filled in by the guest, and `status/tables.rs` lays it out.

mod derive;
mod tables;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub use tables::{connections, counters, overview, sets, traced};

/// Rows of one table that are shown.
pub const MAX_ROWS: usize = 1000;
/// Rules in a row without a look-up that are told.
pub const LINEAR_RUN: usize = 32;

/// Numbers and tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names and values.
    pub values: Vec<(String, String)>,
    /// In the order they are shown.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What its rows are.
    pub title: String,
    /// Names of its columns.
    pub columns: Vec<String>,
    /// As many cells in each as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// All in short.
    Overview,
    /// Every counter.
    Counters,
    /// The named sets, or what is in this one.
    Sets(Option<String>),
    /// Connections, or those of this address.
    Connections(Option<IpAddr>),
    /// What becomes of a packet, in the words of [`crate::trace::parse_request`].
    Trace(Vec<String>),
}

impl Ask {
    /// The words behind `status firewall`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        if let Some((first, rest)) = words.split_first()
            && first == "trace"
        {
            return Ok(Self::Trace(rest.to_vec()));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match *words {
            [] => Ok(Self::Overview),
            ["counters"] => Ok(Self::Counters),
            ["sets"] => Ok(Self::Sets(None)),
            ["sets", name] => Ok(Self::Sets(Some(name.to_owned()))),
            ["connections"] => Ok(Self::Connections(None)),
            ["connections", text] => match text.parse() {
                Ok(address) => Ok(Self::Connections(Some(address))),
                Err(_) => Err(format!("{text} is no address")),
            },
            _ => Err(format!(
                "no `{}` here; there is: counters, sets [NAME], connections [ADDRESS], trace KEY=VALUE …",
                words.join(" ")
            )),
        }
    }
}

/// All that the tables are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// In the order of the section.
    pub zones: Vec<Zone>,
    /// Zones and this machine, each to each.
    pub pairs: Vec<Pair>,
    /// The named ones.
    pub sets: Vec<Set>,
    /// Rules of address translation, in order.
    pub nat: Vec<Translation>,
    /// Rules with a name, a counter or a log.
    pub rules: Vec<Rule>,
    /// Long runs of rules that are asked one by one.
    pub linear: Vec<Run>,
    /// Counters of the compiled form.
    pub counter_names: Vec<String>,
    /// How many chains, rules and elements there are.
    pub size: Size,
    /// By name; the guest's.
    pub counts: BTreeMap<String, Count>,
    /// Elements there are now of sets, by the kernel's name; the guest's. Without it the compiled number is shown.
    pub elements: BTreeMap<String, u64>,
    /// The guest's.
    pub load: Load,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// As they were written.
    pub interfaces: Vec<String>,
    /// How sources are checked.
    pub anti_spoofing: &'static str,
}

/// Two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// A zone or `router`.
    pub from: String,
    /// A zone or `router`.
    pub to: String,
    /// What becomes of what no rule decides.
    pub policy: String,
    /// It is the hook's, no policy fits.
    pub by_hook: bool,
    /// Under which name the policy counts.
    pub counter: Option<String>,
}

/// A set of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The operator's name.
    pub name: String,
    /// Addresses or ports.
    pub kind: &'static str,
    /// Rules add to it.
    pub dynamic: bool,
    /// Of each element.
    pub timeout: Option<Duration>,
    /// Most elements; 0 for none.
    pub size: u32,
    /// Its names in the kernel and how many elements each has from the section and its file.
    pub parts: Vec<(String, u64)>,
}

/// A rule of address translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Its name, if it has one.
    pub name: String,
    /// Line and column.
    pub at: String,
    /// From where or to where.
    pub between: String,
    /// What it does.
    pub action: String,
    /// Under which name it counts.
    pub counter: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, else what it is logged under, if it has either.
    pub name: String,
    /// Line and column.
    pub at: String,
    /// Where it stands: `rules`, `input`, a chain.
    pub list: String,
    /// Its first line, shortened.
    pub text: String,
    /// Under which name it counts.
    pub counter: Option<String>,
}

/// Rules that are asked one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The chain.
    pub chain: String,
    /// So many.
    pub rules: usize,
    /// Line and column of the first.
    pub at: String,
    /// Its first line, shortened.
    pub text: String,
}

/// Of the compiled form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Chains.
    pub chains: usize,
    /// Rules in all chains.
    pub rules: usize,
    /// Sets and maps.
    pub sets: usize,
    /// Elements of all sets and maps.
    pub elements: usize,
}

/// A counter's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How it came to be in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The last installation; none before the first.
    pub took: Option<Duration>,
    /// Of nf_tables, after it.
    pub generation: Option<u32>,
    /// So often others touched the table and it was made whole.
    pub restored: u64,
    /// Batches the kernel refused.
    pub refused: u64,
    /// How long the core keeps the router closed: until the rules stand, or not at all.
    pub guard: String,
    /// Why not all is as it should be.
    pub condition: Option<String>,
}
