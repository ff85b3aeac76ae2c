//! Host names: when each is looked up again, and its last good answer.
//!
//! Every five minutes while it goes well; after a failure from one second on, twice as long each time, at most a
//! minute. A failure does not forget what was known.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use portreeve_packet::retry::back_off;

use crate::time::Instant;

/// Between two lookups that go well.
pub const REFRESH: Duration = Duration::from_secs(300);
/// A lookup without an end is given up, and another one is made.
const PATIENCE: Duration = Duration::from_secs(60);
/// Addresses of one name that count; the rest is not looked at.
const MAX_ANSWERS: usize = 64;

#[derive(Debug)]
struct Name {
    answers: Vec<IpAddr>,
    /// When to ask; while `asking`, when to give up.
    due: Instant,
    asking: bool,
    failures: u32,
    error: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Name>);

impl Names {
    /// These are the names that matter; new ones are due at once.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<String>, now: Instant) {
        self.0.retain(|name, _| wanted.contains(name));
        for name in wanted {
            self.0.entry(name.clone()).or_insert_with(|| Name {
                answers: Vec::new(),
                due: now,
                asking: false,
                failures: 0,
                error: None,
            });
        }
    }

    /// Whether any of `names` never had a good answer.
    pub(super) fn unanswered(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.0.get(name).is_some_and(|name| name.answers.is_empty()))
    }

    /// The last good answer.
    pub(super) fn answers(&self, name: &str) -> &[IpAddr] {
        self.0.get(name).map_or(&[], |name| &name.answers)
    }

    /// Why the last lookup failed, if it did.
    pub(super) fn error(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.error.as_deref()
    }

    /// Asks at the next occasion, whatever was planned.
    pub(super) fn hurry(&mut self, names: &[String], now: Instant) {
        for name in names {
            if let Some(name) = self.0.get_mut(name).filter(|name| !name.asking) {
                name.due = name.due.min(now);
            }
        }
    }

    /// The names to ask now; they count as asked.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (text, name) in self.0.iter_mut().filter(|(_, name)| name.due <= now) {
            if name.asking {
                name.fail("no answer".to_owned(), now);
            } else {
                name.asking = true;
                name.due = now + PATIENCE;
                due.push(text.clone());
            }
        }
        due
    }

    /// What a lookup came to. Answers to what was not asked, or no longer matters, are not looked at.
    pub(super) fn answered(&mut self, name: &str, result: Result<Vec<IpAddr>, String>, now: Instant) {
        let Some(name) = self.0.get_mut(name).filter(|name| name.asking) else { return };
        match result {
            Ok(answers) if answers.is_empty() => name.fail("it has no address".to_owned(), now),
            Ok(mut answers) => {
                answers.truncate(MAX_ANSWERS);
                name.answers = answers;
                name.asking = false;
                name.failures = 0;
                name.error = None;
                name.due = now + REFRESH;
            }
            Err(why) => name.fail(why, now),
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.0.values().map(|name| name.due).min()
    }
}

impl Name {
    fn fail(&mut self, why: String, now: Instant) {
        self.asking = false;
        self.failures = self.failures.saturating_add(1);
        self.error = Some(why);
        self.due = now + back_off(self.failures);
    }
}
