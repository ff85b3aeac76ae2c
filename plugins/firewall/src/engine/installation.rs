//! An installation that goes on, and the transactions of it.

use std::sync::Arc;

use crate::config::Config;
use crate::install::Built;
use crate::ruleset::Ruleset;

/// Why an installation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A section was given.
    Section,
    /// A file or an interface changed, or somebody touched the table.
    Upkeep,
}

/// An installation.
pub(super) struct Install {
    pub(super) reason: Reason,
    pub(super) config: Arc<Config>,
    pub(super) ruleset: Ruleset,
    pub(super) tries: u32,
    /// Readings that came to nothing.
    pub(super) looks: u32,
    /// Somebody touched the table: sets of the right name may have lost their elements.
    pub(super) distrust: bool,
    /// What was sent.
    pub(super) sent: Option<Sent>,
}

/// Transactions that are being sent.
pub(super) struct Sent {
    pub(super) built: Built,
    /// The generation that the first is bound to.
    pub(super) bound: Option<u32>,
    /// Which one is under way.
    pub(super) stage: usize,
}

impl Sent {
    /// The one that is under way; none when all were sent. Each is asked for once.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.built.stages.get(self.stage).cloned()
    }

    /// The generation that it makes.
    pub(super) fn made(&self) -> Option<u32> {
        let stages = u32::try_from(self.stage).unwrap_or(u32::MAX).wrapping_add(1);
        self.bound.map(|generation| generation.wrapping_add(stages))
    }
}
