//! Parameters of connection tracking: set one list at a time, told of while they are not what they should be, and tried
//! again after growing pauses.

use core::time::Duration;

use super::backoff::Backoff;
use crate::time::Instant;

/// Before they are tried again: at most.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// See the file.
pub(super) struct Parameters {
    /// A list is being set.
    under_way: bool,
    /// Another is to follow it.
    again: bool,
    problem: Option<String>,
    retry: Backoff,
}

impl Parameters {
    pub(super) const fn new() -> Self {
        Self { under_way: false, again: false, problem: None, retry: Backoff::new(MAX_PAUSE) }
    }

    /// Why they are not what they should be.
    pub(super) const fn problem(&self) -> Option<&String> {
        self.problem.as_ref()
    }

    /// Others may be wanted. True: set them now; else it is asked for when the answer is there.
    pub(super) const fn want(&mut self) -> bool {
        self.retry.forgive();
        self.ask()
    }

    /// Whether it is time to try again; asks once.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.retry.take_due(now) && self.ask()
    }

    /// When that is.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.retry.due()
    }

    /// How setting them went; true: set them now, other ones were wanted meanwhile.
    pub(super) fn handle_answer(&mut self, problem: Option<String>, now: Instant) -> bool {
        self.under_way = false;
        self.problem = problem;
        if core::mem::take(&mut self.again) {
            return self.ask();
        }
        match &self.problem {
            Some(_) => self.retry.failed(now),
            None => self.retry.forgive(),
        }
        false
    }

    const fn ask(&mut self) -> bool {
        self.again = self.under_way;
        !core::mem::replace(&mut self.under_way, true)
    }
}
