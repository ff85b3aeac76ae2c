//! Token buckets against floods of solicitations.
//!
//! RFC 4861 rate-limits only multicast answers; unicast ones need our own limits, since any host of the link can ask
//! at wire speed. Each source has a bucket, so that one host that floods is cut off alone; all of an interface share
//! a second one against forged sources. Above that second limit the caller answers by one multicast advertisement
//! for all, which is rate-limited by itself, so no honest host starves.
//!
//! Buckets live in a set-associative table of fixed size: no search, no growth. A forged source can push out the
//! bucket of another, which at worst gives that one a full bucket again, under the interface's limit.

use crate::time::Instant;
use core::time::Duration;
use std::net::Ipv6Addr;

/// Answers one source gets in a row.
pub const SOURCE_BURST: u32 = 16;
/// After that, one answer to one source per this time.
pub const SOURCE_REFILL: Duration = Duration::from_millis(100);
/// Unicast answers one interface gives in a row.
pub const INTERFACE_BURST: u32 = 1024;
/// After that, one per this time.
pub const INTERFACE_REFILL: Duration = Duration::from_micros(500);

const WAYS: usize = 4;
const SETS: usize = 32;
/// Sources whose buckets an interface remembers; the least recently used of a set gives way.
pub const MAX_SOURCES: usize = WAYS * SETS;

/// Tokens that come back with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u32,
    /// When `tokens` was right.
    at: Instant,
}

impl Bucket {
    const fn full(burst: u32, now: Instant) -> Self {
        Self { tokens: burst, at: now }
    }

    /// Takes a token if there is one.
    fn take(&mut self, burst: u32, refill: Duration, now: Instant) -> bool {
        let elapsed = now.since(self.at).as_micros();
        let period = refill.as_micros().max(1);
        let came = u32::try_from(elapsed / period).unwrap_or(u32::MAX);
        if self.tokens.saturating_add(came) >= burst {
            *self = Self::full(burst, now);
        } else {
            self.tokens += came;
            self.at = self.at + refill * came;
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

/// Whether a unicast answer may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// This source asks too often.
    SourceLimited,
    /// All sources together ask too often.
    InterfaceLimited,
}

/// The buckets of one interface. The table is made at the first solicitation: most interfaces of a big router hear none.
#[derive(Debug, Clone)]
pub(super) struct Limiter {
    interface: Bucket,
    sets: Vec<[Option<(Ipv6Addr, Bucket)>; WAYS]>,
    key: u64,
}

impl Limiter {
    /// `key` is random, so that a peer cannot choose addresses of one set.
    pub(super) fn new(key: u64, now: Instant) -> Self {
        Self { interface: Bucket::full(INTERFACE_BURST, now), sets: vec![[None; WAYS]; SETS], key }
    }

    pub(super) fn ask(&mut self, source: Ipv6Addr, now: Instant) -> Verdict {
        if !self.bucket(source, now).is_none_or(|bucket| bucket.take(SOURCE_BURST, SOURCE_REFILL, now)) {
            Verdict::SourceLimited
        } else if self.interface.take(INTERFACE_BURST, INTERFACE_REFILL, now) {
            Verdict::Allowed
        } else {
            Verdict::InterfaceLimited
        }
    }

    fn bucket(&mut self, source: Ipv6Addr, now: Instant) -> Option<&mut Bucket> {
        let index = usize::try_from(self.hash(source) % SETS as u64).unwrap_or(0);
        let set = self.sets.get_mut(index)?;
        let known = set.iter().position(|slot| slot.is_some_and(|(address, _)| address == source));
        let way = known.unwrap_or_else(|| {
            let ages = set.iter().enumerate().map(|(way, slot)| (slot.map(|(_, bucket)| bucket.at), way));
            ages.min().map_or(0, |(_, way)| way)
        });
        let slot = set.get_mut(way)?;
        if known.is_none() {
            *slot = None;
        }
        Some(&mut slot.get_or_insert((source, Bucket::full(SOURCE_BURST, now))).1)
    }

    /// A keyed mix of the address: two rounds of multiply and xorshift (splitmix64's finalizer).
    fn hash(&self, source: Ipv6Addr) -> u64 {
        let bits = source.to_bits();
        let mut hash = self.key;
        for half in [(bits >> 64) as u64, bits as u64] {
            hash = (hash ^ half).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash ^= hash >> 31;
            hash = hash.wrapping_mul(0x94d0_49bb_1331_11eb);
            hash ^= hash >> 29;
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n)
    }

    #[test]
    fn a_source_gets_its_burst_and_then_one_per_refill() {
        let mut limiter = Limiter::new(7, Instant::ZERO);
        let mut allowed = 0;
        for millis in 0..10_000 {
            allowed += u64::from(limiter.ask(host(1), Instant::from_millis(millis)) == Verdict::Allowed);
        }
        assert_eq!(allowed, u64::from(SOURCE_BURST) + 99);
    }

    #[test]
    fn forged_sources_meet_the_limit_of_the_interface() {
        let mut limiter = Limiter::new(7, Instant::ZERO);
        let verdicts: Vec<_> = (0..5000).map(|n| limiter.ask(host(n), Instant::ZERO)).collect();
        let allowed = verdicts.iter().filter(|v| **v == Verdict::Allowed).count();
        assert_eq!(allowed, INTERFACE_BURST as usize);
        assert!(verdicts.contains(&Verdict::InterfaceLimited));
        assert_eq!(limiter.sets.len() * WAYS, MAX_SOURCES);
    }
}
