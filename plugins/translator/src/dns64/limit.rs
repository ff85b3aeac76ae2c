//! Fairness between clients: a rate for each /64 or IPv4 address, and a share of the places where one waits.
//!
//! Rates are kept in a table of fixed size, the eight places of a key's row shared by whoever falls there; the least busy
//! one makes room, so a new prefix begins with its whole burst. Waiting is bounded by a threshold that moves (Choudhury
//! and Hahne): a prefix may wait with as many questions as there are places left, so that one that takes all it can get
//! leaves half to others, two a third, and a newcomer finds a place.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;

use portreeve_packet::time::Instant;

use super::random::Keys;
use super::settings::Rate;

/// Rows of the table of rates.
const ROWS: usize = 512;
/// Prefixes per row.
const WAYS: usize = 8;
/// Prefixes whose rate is known at the same time.
pub const MAX_RATES: usize = ROWS * WAYS;

/// A client's /64, or its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prefix(u64);

impl Prefix {
    pub(super) fn of(address: IpAddr) -> Self {
        // Behind the first 32 bits of multicast, where no client is.
        let of_v4 = |address: std::net::Ipv4Addr| u64::from(u32::MAX) << 32 | u64::from(address.to_bits());
        match address {
            IpAddr::V4(address) => Self(of_v4(address)),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => Self(of_v4(address)),
                None => Self(u64::try_from(address.to_bits() >> 64).unwrap_or(0)),
            },
        }
    }
}

/// One prefix's rate: the time at which it has its whole burst again (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    key: u64,
    full_at: u64,
}

/// Rates and shares.
#[derive(Debug)]
pub(super) struct Limits {
    rates: Box<[[Cell; WAYS]]>,
    waiting: HashMap<Prefix, usize, Keys>,
    total: usize,
    keys: Keys,
}

impl Limits {
    pub(super) fn new(keys: Keys) -> Self {
        Self { rates: vec![[Cell::default(); WAYS]; ROWS].into(), waiting: HashMap::with_hasher(keys), total: 0, keys }
    }

    /// Whether one more question of `prefix` is within its rate.
    pub(super) fn take(&mut self, prefix: Prefix, rate: Rate, now: Instant) -> bool {
        let now = now.nanos();
        let step = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let burst = step.saturating_mul(rate.burst.max(1).into());
        let row = usize::try_from(self.keys.hash_one(prefix) % ROWS as u64).unwrap_or(0);
        let Some(row) = self.rates.get_mut(row) else { return true };
        let known = row.iter().position(|cell| cell.key == prefix.0 && cell.full_at > now);
        let place = known.or_else(|| row.iter().enumerate().min_by_key(|(_, cell)| cell.full_at).map(|(at, _)| at));
        let Some(cell) = place.and_then(|at| row.get_mut(at)) else { return true };
        if known.is_none() {
            *cell = Cell { key: prefix.0, full_at: now };
        }
        let full_at = cell.full_at.saturating_add(step);
        if full_at - now > burst {
            return false;
        }
        cell.full_at = full_at;
        true
    }

    /// Whether one more client of `prefix` may wait when `max` may in all and `share` in one prefix; takes the place if so.
    pub(super) fn enter(&mut self, prefix: Prefix, max: usize, share: usize) -> bool {
        let mine = self.waiting.get(&prefix).copied().unwrap_or(0);
        if self.total >= max || mine >= share.min(max - self.total) {
            return false;
        }
        self.waiting.insert(prefix, mine + 1);
        self.total += 1;
        true
    }

    /// A client of `prefix` waits no more.
    pub(super) fn leave(&mut self, prefix: Prefix) {
        let Some(mine) = self.waiting.get_mut(&prefix) else { return };
        *mine = mine.saturating_sub(1);
        if *mine == 0 {
            self.waiting.remove(&prefix);
        }
        self.total = self.total.saturating_sub(1);
    }

    /// Clients that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns64::random::Random;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    fn limits() -> Limits {
        Limits::new(Random::new([3, 4]).keys())
    }

    fn prefix(number: u16) -> Prefix {
        Prefix::of(IpAddr::V6([0x2001, 0xdb8, 0, number, 0, 0, 0, 1].into()))
    }

    #[test]
    fn hosts_of_a_64_share_and_ipv4_hosts_do_not() {
        let of = |text: &str| Prefix::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
    }

    #[test]
    fn a_prefix_has_its_burst_and_then_its_rate() {
        let mut limits = limits();
        let now = Instant::from_secs(1);
        assert_eq!((0..20).filter(|_| limits.take(prefix(1), RATE, now)).count(), 5);
        assert!(limits.take(prefix(2), RATE, now));
        let later = Instant::from_millis(1300);
        assert_eq!((0..20).filter(|_| limits.take(prefix(1), RATE, later)).count(), 3);
    }

    #[test]
    fn a_prefix_that_takes_all_it_can_get_leaves_places_for_others() {
        let mut limits = limits();
        assert_eq!((0..100).filter(|_| limits.enter(prefix(1), 100, 100)).count(), 50);
        assert_eq!((0..100).filter(|_| limits.enter(prefix(2), 100, 100)).count(), 25);
        assert!(limits.enter(prefix(3), 100, 100));
        assert_eq!(limits.waiting(), 76);
        for _ in 0..50 {
            limits.leave(prefix(1));
        }
        assert_eq!(limits.waiting(), 26);
        assert_eq!((0..100).filter(|_| limits.enter(prefix(4), 100, 10)).count(), 10);
        assert_eq!(limits.waiting.len(), 3);
    }
}
