//! Something that is opened and may break: when to try again. Paths and listeners are both such.
//!
//! From one second on, twice as long after each failure, at most a minute. One that opens and dies at once is not to do
//! so every second, so what failed before is only forgotten once it was open for a minute.

use core::time::Duration;

use portreeve_packet::retry::back_off;

use super::types::Event;
use crate::time::Instant;

/// What was open for so long works.
const PROVEN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Closed,
    Opening,
    Open,
}

#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) stage: Stage,
    pub(super) error: Option<String>,
    opened: Option<Instant>,
    retry: Option<Instant>,
    failures: u32,
}

impl Attempt {
    /// Whether it is to be opened now, if it is wanted.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.stage == Stage::Closed && self.retry.is_none_or(|at| at <= now)
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(super) fn start(&mut self) {
        self.stage = Stage::Opening;
        self.retry = None;
    }

    /// What became of it. Gives whether there was something that ended.
    pub(super) fn handle(&mut self, event: Event, now: Instant) -> bool {
        match (self.stage, event) {
            (Stage::Opening, Event::Open) => {
                self.stage = Stage::Open;
                self.opened = Some(now);
                self.error = None;
                false
            }
            (Stage::Opening | Stage::Open, Event::Failed(why)) => self.fail(why, now),
            (Stage::Opening | Stage::Open, Event::Closed) => self.fail("it ended".to_owned(), now),
            (Stage::Open, Event::Open) | (Stage::Closed, _) => false,
        }
    }

    fn fail(&mut self, why: String, now: Instant) -> bool {
        self.close(now);
        self.failures = self.failures.saturating_add(1);
        self.retry = Some(now + back_off(self.failures));
        self.error = Some(why);
        true
    }

    /// It is no longer wanted, or its ground is gone. Gives whether there was something to close.
    pub(super) fn stop(&mut self, now: Instant) -> bool {
        let was_there = self.stage != Stage::Closed;
        self.close(now);
        (self.retry, self.error) = (None, None);
        was_there
    }

    fn close(&mut self, now: Instant) {
        self.stage = Stage::Closed;
        if self.opened.take().is_some_and(|at| now.since(at) >= PROVEN) {
            self.failures = 0;
        }
    }

    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.retry
    }
}
