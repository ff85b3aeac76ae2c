//! Parameters of connection tracking: whether they could be set, and when to try again.

use core::time::Duration;

use crate::time::Instant;

/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    problem: Option<String>,
    /// Before the next try.
    pause: Duration,
    retry_at: Option<Instant>,
}

impl Parameters {
    /// Others are wanted: what failed before says nothing about them.
    pub(super) const fn forgive(&mut self) {
        self.pause = Duration::ZERO;
        self.retry_at = None;
    }

    /// What came of a try.
    pub(super) fn answered(&mut self, problem: Option<String>, now: Instant) {
        self.retry_at = problem.is_some().then(|| {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
            now + self.pause
        });
        self.problem = problem;
    }

    /// Whether it is time to try again; asks once.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    /// When to try again.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Why not all of them are set.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}
