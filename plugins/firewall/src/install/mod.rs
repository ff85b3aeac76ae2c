//! A compiled ruleset as messages of nf_tables, and the kernel's answers as words.
//!
//! [`batch`] writes the one transaction that brings the table from what [`Existing`] found to a
//! [`Ruleset`](crate::ruleset::Ruleset); [`explain`] leads the kernel's errors back to the section. Nothing here has a
//! socket: requests go out as bytes, datagrams come in as bytes.
//!
//! Map: `load` (what packets have, into registers), `test` (what is asked of it), `statement` (rules), `answer` (chains for
//! rejections that one expression cannot say), `set` (sets and their elements), `fingerprint` (how an unchanged set is
//! known), `existing`, `batch`, `explain`, `status`.

mod answer;
mod batch;
mod existing;
mod explain;
mod fingerprint;
mod load;
mod set;
mod statement;
mod status;
mod test;

pub use batch::{Built, Refusal, batch, remove, stamp};
pub use existing::{Existing, ReadError, requests};
pub use explain::{cannot_defragment, explain, is_stale};
pub use status::{CounterValue, Elements, MAX_SHOWN, Shown, counters, counters_request, elements_request};

/// The table's name; its family is inet.
pub const TABLE: &str = "portreeve-firewall";

/// The table's comment, by which it is known as ours.
pub const COMMENT: &str = "kept by portreeve: firewall";

/// The flowtable's name.
pub const FLOWTABLE: &str = "flows";

#[cfg(test)]
mod tests;
