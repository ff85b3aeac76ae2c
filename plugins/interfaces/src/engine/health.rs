//! What came of the applies: when to try again, how long to wait for interfaces, whether all is well.
//!
//! Problems are tried again after 1 s, 2 s, 4 s and so on up to a minute. An interface that is not there gets ten
//! seconds, since at boot hardware comes when it comes; only then is the plugin degraded by it. In these ten seconds
//! nothing is said, so the plugin is ready only when nothing is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::types::{Action, Outcome, Problem};
use crate::Instant;

/// How long an interface may be absent before anybody is told.
const GRACE: Duration = Duration::from_secs(10);
/// The longest time between two tries.
const MAX_BACKOFF: u64 = 60;
/// Causes that the one line of a degraded plugin names.
const NAMED: usize = 3;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Health {
    outcome: Outcome,
    /// Since when each interface is missed.
    missed: BTreeMap<String, Instant>,
    failures: u32,
    retry_at: Option<Instant>,
    said: Option<Action>,
}

impl Health {
    /// Takes the answer to an apply.
    pub(super) fn applied(&mut self, outcome: Outcome, now: Instant) {
        if outcome.problems.is_empty() {
            self.failures = 0;
            self.retry_at = None;
        } else {
            let seconds = 1_u64.checked_shl(self.failures).unwrap_or(MAX_BACKOFF).min(MAX_BACKOFF);
            self.failures = self.failures.saturating_add(1).min(63);
            self.retry_at = Some(now + Duration::from_secs(seconds));
        }
        self.outcome = outcome;
    }

    /// Another section: what failed before says nothing about it.
    pub(super) const fn forgive(&mut self) {
        self.failures = 0;
    }

    /// What could not be done the last time.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.outcome.problems
    }

    /// Interfaces that were absent the last time.
    pub(super) fn waiting(&self) -> &[String] {
        &self.outcome.waiting
    }

    /// Whether it is time to try again; asks once.
    pub(super) fn take_retry(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    /// When something is to be done or said next; `now` is the time up to which all is said.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let grace = self.missed.values().map(|since| *since + GRACE).filter(|at| *at > now);
        grace.chain(self.retry_at).min()
    }

    /// Judges anew; an answer only where it is another than the last.
    pub(super) fn judge(&mut self, missing: Vec<String>, problems: &[Problem], now: Instant) -> Option<Action> {
        let before = std::mem::take(&mut self.missed);
        for name in missing {
            let since = before.get(&name).copied().unwrap_or(now);
            self.missed.insert(name, since);
        }
        let overdue = self.missed.iter().filter(|(_, since)| **since + GRACE <= now);
        let mut causes: Vec<String> = overdue.map(|(name, _)| format!("{name} is absent")).collect();
        causes.extend(problems.iter().map(|problem| format!("{}: {}", problem.object, problem.message)));
        let verdict = match causes.len() {
            0 if self.missed.is_empty() => Action::Ready,
            // Whoever was told of something else hears no false all-clear.
            0 => return None,
            count if count > NAMED => {
                causes.truncate(NAMED);
                Action::Degraded(format!("{}; {} more", causes.join("; "), count - NAMED))
            }
            _ => Action::Degraded(causes.join("; ")),
        };
        let new = self.said.as_ref() != Some(&verdict);
        if new {
            self.said = Some(verdict.clone());
        }
        new.then_some(verdict)
    }
}
