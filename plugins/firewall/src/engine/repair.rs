//! When to mend what others did to our table: at once the first time, then after growing pauses, so that two programs that
//! undo each other's work do not keep the kernel busy.

use core::time::Duration;

use crate::time::Instant;

/// Between two repairs: at first, and at most.
pub(super) const REPAIR_PAUSE: Duration = Duration::from_secs(1);
const MAX_REPAIR_PAUSE: Duration = Duration::from_secs(5);
/// So long without a foreign change: the next repair is made at once.
pub(super) const REPAIR_QUIET: Duration = Duration::from_secs(120);

/// See the file.
#[derive(Default)]
pub(super) struct Repair {
    due: Option<Instant>,
    last: Option<Instant>,
    pause: Duration,
}

impl Repair {
    /// Somebody touched the table.
    pub(super) fn touched(&mut self, now: Instant) {
        let quiet = self.last.is_none_or(|last| now.since(last) > REPAIR_QUIET);
        self.pause = if quiet { Duration::ZERO } else { (self.pause * 2).clamp(REPAIR_PAUSE, MAX_REPAIR_PAUSE) };
        let due = self.last.map_or(now, |last| (last + self.pause).max(now));
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Whether it is time; asks once.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due.take_if(|at| *at <= now).is_some();
        if due {
            self.last = Some(now);
        }
        due
    }

    /// When that is.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }
}
