//! Trying again: how long to wait behind failures, and when a stated network is handed over once more. What an engine
//! states is its own business; here is only the schedule.

use core::time::Duration;

use crate::time::Instant;

/// The wait behind a first failure.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait behind a failure.
pub const LAST_RETRY: Duration = Duration::from_secs(60);

/// [`FIRST_RETRY`], doubled with each failure up to [`LAST_RETRY`].
#[must_use]
pub fn back_off(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(LAST_RETRY)
}

/// What was handed to the host, a state of type `S`, and when again.
#[derive(Debug)]
pub struct Applies<S> {
    /// The state of the last apply.
    pub sent: Option<S>,
    /// One waits to be polled, or for its outcome.
    pub running: bool,
    /// There was an outcome.
    pub done: bool,
    /// The same again at that time, though nothing changed.
    pub again: Option<Instant>,
    /// Interfaces that were named and not there.
    pub waiting: Vec<String>,
    /// What failed and belongs to nothing in particular.
    pub problems: Vec<String>,
    failures: u32,
}

impl<S> Default for Applies<S> {
    /// Nothing was handed over.
    fn default() -> Self {
        Self {
            sent: None,
            running: false,
            done: false,
            again: None,
            waiting: Vec::new(),
            problems: Vec::new(),
            failures: 0,
        }
    }
}

impl<S: PartialEq> Applies<S> {
    /// Again soon, since what was made is gone or what was missing is there.
    pub fn soon(&mut self, at: Instant) {
        self.again = Some(self.again.map_or(at, |planned| planned.min(at)));
    }

    /// Whether `state` is to be handed over at `now`: it is another one than last time, or it is time for the same again.
    /// If so, it counts as handed over.
    pub fn begins(&mut self, state: S, now: Instant) -> bool {
        let again = self.again.is_some_and(|at| at <= now);
        let begins = again || self.sent.as_ref() != Some(&state);
        if begins {
            self.running = true;
            self.again = None;
            self.sent = Some(state);
        }
        begins
    }

    /// An outcome came. Again if it did not succeed, later each time.
    pub fn finished(&mut self, failed: bool, problems: Vec<String>, now: Instant) {
        self.running = false;
        self.done = true;
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        if self.failures > 0 {
            // Not before 4 s: the kernel does not change its mind at once.
            self.soon(now + back_off(self.failures.saturating_add(2)));
        }
        self.problems = problems;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_a_second_to_a_minute() {
        let waits: Vec<u64> = (0..9).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(u32::MAX), LAST_RETRY);
    }

    #[test]
    fn a_state_is_handed_over_when_it_is_new_and_again_behind_a_failure() {
        let mut applies = Applies::default();
        let at = Instant::from_secs;
        assert!(applies.begins(1, at(0)));
        assert!(!applies.begins(1, at(1)), "the same");
        applies.finished(true, vec!["why".to_owned()], at(1));
        assert_eq!((applies.running, applies.again), (false, Some(at(5))));
        assert!(!applies.begins(1, at(4)));
        assert!(applies.begins(1, at(5)));
        applies.finished(true, Vec::new(), at(5));
        assert_eq!(applies.again, Some(at(13)), "later each time");
        assert!(applies.begins(2, at(6)), "another one at once");
        applies.finished(false, Vec::new(), at(6));
        assert_eq!(applies.again, None);
        applies.soon(at(9));
        applies.soon(at(20));
        assert_eq!(applies.again, Some(at(9)), "the earliest");
    }
}
