//! The provider's prefix out of the DNS (RFC 7050): when it is looked up again, and the last good answer.
//!
//! Every five minutes while it goes well; after a failure from one second on, twice as long each time, at most a
//! minute. A failure does not forget what was known.

use core::time::Duration;
use std::net::IpAddr;

use super::types::Action;
use crate::config::{IPV4ONLY, Pref64, discover};
use crate::time::Instant;
use portreeve_packet::retry::back_off;

/// Between two lookups that go well.
pub const REFRESH: Duration = Duration::from_secs(300);
/// A lookup without an end is given up, and another one is made.
const PATIENCE: Duration = Duration::from_secs(60);
/// Addresses that count; the rest is not looked at.
const MAX_ANSWERS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// None while nobody needs it.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    prefixes: Vec<Pref64>,
    /// When to ask; while `asking`, when to give up.
    due: Instant,
    asking: bool,
    answered: bool,
    failures: u32,
    error: Option<String>,
}

impl Lookup {
    /// Asks if it is time.
    pub(super) fn run(&mut self, wanted: bool, now: Instant, actions: &mut Vec<Action>) {
        if !wanted {
            self.running = None;
            return;
        }
        let running = self.running.get_or_insert_with(|| Running {
            prefixes: Vec::new(),
            due: now,
            asking: false,
            answered: false,
            failures: 0,
            error: None,
        });
        if running.due > now {
            return;
        }
        if running.asking {
            running.fail("no answer".to_owned(), now);
        } else {
            running.asking = true;
            running.due = now + PATIENCE;
            actions.push(Action::Resolve(IPV4ONLY));
        }
    }

    /// What a lookup came to. Answers to what was not asked, or no longer matters, are not looked at.
    pub(super) fn answered(&mut self, result: Result<Vec<IpAddr>, String>, now: Instant) {
        let Some(running) = self.running.as_mut().filter(|running| running.asking) else { return };
        match result {
            Ok(mut answers) => {
                answers.truncate(MAX_ANSWERS);
                let prefixes = discover(&answers);
                if prefixes.is_empty() {
                    running.fail(format!("{IPV4ONLY} has no address of a provider's prefix"), now);
                    return;
                }
                *running =
                    Running { prefixes, due: now + REFRESH, asking: false, answered: true, failures: 0, error: None };
            }
            Err(why) => running.fail(format!("cannot look up {IPV4ONLY}: {why}"), now),
        }
    }

    /// Asks at the next occasion, whatever was planned.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(running) = self.running.as_mut().filter(|running| !running.asking) {
            running.due = running.due.min(now);
        }
    }

    /// The last good answer.
    pub(super) fn prefixes(&self) -> &[Pref64] {
        self.running.as_ref().map_or(&[], |running| &running.prefixes)
    }

    /// Whether there was an answer of any kind.
    pub(super) fn is_decided(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.answered)
    }

    /// Why the last lookup failed, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        self.running.as_ref()?.error.as_deref()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.due)
    }
}

impl Running {
    fn fail(&mut self, why: String, now: Instant) {
        self.asking = false;
        self.answered = true;
        self.failures = self.failures.saturating_add(1);
        self.error = Some(why);
        self.due = now + back_off(self.failures);
    }
}
