//! When what failed is tried again: after a second, then after pauses that double up to a limit.

use core::time::Duration;

use crate::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// See the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    /// Before the last try.
    pause: Duration,
    max: Duration,
    due: Option<Instant>,
}

impl Backoff {
    /// With pauses of at most `max`.
    pub(super) const fn new(max: Duration) -> Self {
        Self { pause: Duration::ZERO, max, due: None }
    }

    /// It failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, self.max);
        self.due = Some(now + self.pause);
    }

    /// It worked, or something else is wanted, of which earlier failures say nothing.
    pub(super) const fn forgive(&mut self) {
        self.pause = Duration::ZERO;
        self.due = None;
    }

    /// Whether it is time to try again; asks once.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|at| *at <= now).is_some()
    }

    /// When that is.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }
}
