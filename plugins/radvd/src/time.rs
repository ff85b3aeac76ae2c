//! Time as the caller gives it: microseconds since an arbitrary start.
//!
//! The engine never reads a clock. Every `handle_*` takes `now`; an earlier `now` than before is tolerated (nothing
//! panics, timers simply wait). Differences and sums saturate, so no arithmetic on time can overflow.

use core::ops::Add;
use core::time::Duration;

/// A point in time of a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self { micros: 0 };

    /// From microseconds since the start of the clock.
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// From milliseconds since the start of the clock.
    pub const fn from_millis(millis: u64) -> Self {
        Self { micros: millis.saturating_mul(1000) }
    }

    /// Microseconds since the start of the clock.
    pub const fn micros(self) -> u64 {
        self.micros
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self { micros: self.micros.saturating_add(micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_sums_saturate() {
        let late = Instant::from_micros(u64::MAX);
        assert_eq!(late + Duration::MAX, late);
        assert_eq!(Instant::ZERO.since(late), Duration::ZERO);
        assert_eq!(Instant::from_millis(3).since(Instant::from_millis(1)), Duration::from_millis(2));
    }
}
