//! A token bucket (RFC 4443 section 2.4(f)): so many at once, so many per second.

use crate::time::Instant;
use core::time::Duration;

/// The bucket; full at the start.
#[derive(Debug)]
pub struct TokenBucket {
    interval: Duration,
    burst: u64,
    tokens: u64,
    filled: Option<Instant>,
}

impl TokenBucket {
    /// `per_second` tokens each second, at most `burst` kept; with 0 per second there is never one.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let (per_second, burst) = if per_second == 0 { (1, 0) } else { (per_second, burst) };
        let interval = Duration::from_nanos(1_000_000_000 / per_second as u64);
        Self { interval, burst: burst as u64, tokens: burst as u64, filled: None }
    }

    /// Takes a token; false when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let interval = self.interval.as_nanos().max(1);
        let elapsed = now.since(filled).as_nanos();
        let due = elapsed / interval;
        if due > 0 {
            self.tokens = self.tokens.saturating_add(u64::try_from(due).unwrap_or(u64::MAX)).min(self.burst);
            // What is left over counts towards the next token.
            let left_over = u64::try_from(elapsed % interval).unwrap_or(0);
            self.filled = Some(Instant::from_nanos(now.nanos().saturating_sub(left_over)));
        }
        let taken = self.tokens > 0;
        self.tokens -= u64::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_per_interval() {
        let mut bucket = TokenBucket::new(10, 3);
        let start = Instant::from_nanos(5);
        let passed = (0..100).filter(|_| bucket.take(start)).count();
        assert_eq!(passed, 3);
        let passed = (1..=1000).filter(|ms| bucket.take(start + Duration::from_millis(*ms))).count();
        assert_eq!(passed, 10);
        let passed = (0..100).filter(|_| bucket.take(start + Duration::from_secs(3600))).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn none_per_second_is_none_at_all() {
        let mut bucket = TokenBucket::new(0, 50);
        assert!(!bucket.take(Instant::ZERO));
        assert!(!bucket.take(Instant::from_secs(86_400)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_tokens() {
        let mut bucket = TokenBucket::new(10, 1);
        assert!(bucket.take(Instant::from_nanos(10_000_000_000)));
        assert!(!bucket.take(Instant::from_nanos(0)));
        assert!(!bucket.take(Instant::from_nanos(10_099_999_999)));
    }
}
