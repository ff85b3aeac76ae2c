//! What the rules do to a packet: `portreeve status firewall trace …`.
//!
//! An interpreter of the compiled form ([`crate::ruleset`]), rule by rule as the kernel would: the base chains of each
//! hook by priority, jumps and returns, verdict maps, sets, translation of addresses. What a packet alone cannot say is
//! taken for granted and said in the step: limits are not exceeded, connections few, dynamic sets as they begin, routes
//! as [`Assumptions`] has them. It needs no kernel, so it also serves to compare two compilations of a section.
//!
//! | file | owns |
//! |---|---|
//! | `packet.rs` | the packet and its fields at each hook |
//! | `walk.rs` | hooks, base chains, jumps |
//! | `statement.rs` | one rule, statement by statement |
//! | `evaluate.rs` | tests, sets and maps |
//! | `nat.rs` | translation |
//! | `request.rs` | the operator's words to packets |
//! | `explain.rs` | everything in words |
//!
//! Nothing here panics, whatever the ruleset; a walk ends after [`MAX_WORK`] comparisons.

mod evaluate;
mod explain;
mod nat;
mod packet;
mod request;
mod statement;
#[cfg(test)]
mod tests;
mod walk;

use portreeve_config::Span;

pub(crate) use explain::place;
pub use explain::{COLUMNS, missed, outcome, report};
pub use packet::{Assumptions, Packet, Path, protocol};
pub use request::{Request, parse_request};
pub use walk::trace;

use crate::ruleset::{CounterId, Label, RejectWith, SetId};

/// Rules and elements that are looked at before a walk is given up.
pub const MAX_WORK: usize = 5_000_000;
/// Steps that are kept; later ones are left out but those that decide.
pub const MAX_STEPS: usize = 1_000;
/// Rules passed by that are kept.
pub const MAX_MISSED: usize = 200;
/// Chains that may wait for another to return (NFT_JUMP_STACK_SIZE).
pub const MAX_DEPTH: usize = 16;

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passes every hook of its way.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone and its sender hears of it.
    Reject(RejectWith),
    /// The ruleset cannot be followed: an unknown chain or set, too many jumps, or [`MAX_WORK`].
    Unfinished,
}

/// A rule that held, or that did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The chain's name.
    pub chain: String,
    /// The rule, from 0; none for the end of the chain.
    pub rule: Option<usize>,
    /// What it is called; none for the end of the chain.
    pub label: Option<Label>,
    /// Where it comes from.
    pub span: Span,
    /// What it did.
    pub what: String,
}

/// A packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// In the end.
    pub verdict: Outcome,
    /// In order.
    pub steps: Vec<Step>,
    /// Rules of the section that were reached and did not hold, and why.
    pub missed: Vec<Step>,
    /// The step that decides. Of an accepted packet: what let it through the last of input, forward or output.
    pub decided_by: Option<usize>,
    /// Counters that counted it, in order.
    pub counted: Vec<CounterId>,
    /// What it added to dynamic sets.
    pub added: Vec<(SetId, Vec<u8>)>,
    /// As it was when it was decided: translated, marked.
    pub packet: Packet,
    /// There was more than [`MAX_STEPS`] or [`MAX_MISSED`].
    pub truncated: bool,
}
