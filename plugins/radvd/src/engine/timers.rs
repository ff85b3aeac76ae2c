//! The timers of one interface: an enum and a table (quinn-proto's shape), never tasks.

use crate::time::Instant;

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The next multicast advertisement, periodic or solicited (RFC 4861 sections 6.2.4 and 6.2.6).
    Multicast,
    /// The next delayed unicast answer (`strict_rs_delay`).
    Unicast,
    /// The next final advertisement, or the end of them (RFC 4861 section 6.2.5).
    Final,
}

impl Timer {
    const ALL: [Self; 3] = [Self::Multicast, Self::Unicast, Self::Final];
}

/// When each of them is due.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    due: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    pub(super) const fn get(&self, timer: Timer) -> Option<Instant> {
        self.due[timer as usize]
    }

    pub(super) const fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.due[timer as usize] = at;
    }

    /// Moves the timer to `at` unless it is due before that anyway.
    pub(super) fn set_earlier(&mut self, timer: Timer, at: Instant) {
        let at = self.get(timer).map_or(at, |due| due.min(at));
        self.set(timer, Some(at));
    }

    pub(super) const fn clear(&mut self) {
        self.due = [None; Timer::ALL.len()];
    }

    /// When the first of them is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }

    /// A timer that is due, taken out of the table.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().find(|timer| self.get(*timer).is_some_and(|at| at <= now))?;
        self.set(timer, None);
        Some(timer)
    }
}
