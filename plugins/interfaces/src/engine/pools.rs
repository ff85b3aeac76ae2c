//! The pools' prefixes now: those that are written down, those that other plugins were given, and those that are
//! being taken back.
//!
//! When a delegated prefix goes away before its time (the provider renumbers, the plugin stops), hosts and connections
//! still use it. Its addresses therefore stay, deprecated, for as long as they were promised, two hours at most, in
//! the spirit of RFC 9096 section 3.5 (requirement L-13); then they go. Lifetimes are kept as points in time, so that
//! their running down is no difference.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use portreeve_network::Prefix;

use super::types::Delegated;
use crate::Instant;
use crate::config::{Config, Pool, PoolSource};

/// The longest that a prefix stays after it was taken away (RFC 9096 section 3.5; RFC 4862 section 5.5.3 has it, too).
const LONGEST_FAREWELL: Duration = Duration::from_secs(2 * 60 * 60);
/// Former prefixes of one pool that are remembered; of more the oldest go at once.
const MAX_RETIRED: usize = 8;
/// Facts that this plugin publishes itself start so, and are not its own to take.
pub(super) const FACT_PREFIX: &str = "subnet/";

/// A prefix and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) prefix: Prefix,
    pub(super) preferred_until: Option<Instant>,
    pub(super) valid_until: Option<Instant>,
}

/// A prefix that was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retired {
    pub(super) prefix: Prefix,
    pub(super) until: Instant,
}

/// What all delegated pools have.
#[derive(Debug, Default)]
pub(super) struct Pools {
    offers: Vec<Delegated>,
    leases: BTreeMap<String, Lease>,
    retired: BTreeMap<String, Vec<Retired>>,
}

impl Pools {
    /// All prefixes that other plugins have now. Gives whether anything is different.
    pub(super) fn offer(&mut self, mut offers: Vec<Delegated>, config: &Config, now: Instant) -> bool {
        offers.retain(|offer| {
            let address = matches!(offer.prefix.address, IpAddr::V6(_));
            address && offer.prefix.length <= 64 && !offer.key.starts_with(FACT_PREFIX)
        });
        offers.sort_by(|a, b| (&a.publisher, &a.key).cmp(&(&b.publisher, &b.key)));
        self.offers = offers;
        self.update(config, now)
    }

    /// Chooses again, and lets go what has ended. Gives whether anything is different.
    pub(super) fn update(&mut self, config: &Config, now: Instant) -> bool {
        let mut changed = false;
        for (name, pool) in &config.pools {
            let PoolSource::Delegated { from } = &pool.source else { continue };
            let old = self.leases.get(name).copied();
            let new = self.choose(from.as_deref(), old, now);
            if old == new {
                continue;
            }
            changed = true;
            if let Some(old) = old.filter(|old| new.is_none_or(|new| new.prefix != old.prefix)) {
                self.retire(name, old, now);
            }
            match new {
                Some(new) => {
                    self.leases.insert(name.clone(), new);
                    // What comes back is no longer taken away.
                    if let Some(list) = self.retired.get_mut(name) {
                        list.retain(|retired| retired.prefix != new.prefix);
                    }
                }
                None => {
                    self.leases.remove(name);
                }
            }
        }
        let delegated =
            |name: &String| matches!(config.pools.get(name), Some(Pool { source: PoolSource::Delegated { .. }, .. }));
        self.leases.retain(|name, _| delegated(name));
        self.retired.retain(|name, list| {
            let before = list.len();
            list.retain(|retired| retired.until > now);
            changed |= list.len() != before;
            delegated(name) && !list.is_empty()
        });
        changed
    }

    /// Of what is offered one that is still preferred, if there is one; the present one if it is as good as another.
    fn choose(&self, from: Option<&str>, present: Option<Lease>, now: Instant) -> Option<Lease> {
        let meant = |offer: &&Delegated| {
            from.is_none_or(|from| {
                let both = from.split_once('/');
                from == offer.publisher
                    || from == offer.key
                    || both.is_some_and(|(publisher, key)| publisher == offer.publisher && key == offer.key)
            })
        };
        let valid = |offer: &&Delegated| offer.valid_until.is_none_or(|until| until > now);
        let is_present = |prefix: Prefix| present.is_some_and(|lease| lease.prefix == prefix);
        let rank = |offer: &&Delegated| {
            let deprecated = offer.preferred_until.is_some_and(|until| until <= now);
            (deprecated, !is_present(offer.prefix.network()))
        };
        // Of equals the first.
        let offer = self.offers.iter().filter(meant).filter(valid).min_by_key(rank)?;
        Some(Lease {
            prefix: offer.prefix.network(),
            preferred_until: offer.preferred_until,
            valid_until: offer.valid_until,
        })
    }

    fn retire(&mut self, name: &str, old: Lease, now: Instant) {
        let longest = now + LONGEST_FAREWELL;
        let until = old.valid_until.map_or(longest, |until| until.min(longest));
        if until <= now {
            return;
        }
        let list = self.retired.entry(name.to_owned()).or_default();
        if list.len() >= MAX_RETIRED {
            list.remove(0);
        }
        list.push(Retired { prefix: old.prefix, until });
    }

    /// What the pool `name` has now.
    pub(super) fn lease(&self, name: &str, pool: &Pool) -> Option<Lease> {
        match pool.source {
            // Its lifetimes are counted anew whenever they are set, so they have no end.
            PoolSource::Static(prefix) => Some(Lease { prefix, preferred_until: None, valid_until: None }),
            PoolSource::Delegated { .. } => self.leases.get(name).copied(),
        }
    }

    /// What the pool `name` had until lately.
    pub(super) fn retired(&self, name: &str) -> &[Retired] {
        self.retired.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a delegated pool of this name has nothing yet.
    pub(super) fn is_empty(&self, name: &str) -> bool {
        !self.leases.contains_key(name)
    }

    /// When something ends next, or may be chosen anew; what is told up to `now` is done.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let preferred = |lease: &Lease| lease.preferred_until.filter(|until| *until > now);
        let leases = self.leases.values().flat_map(|lease| [lease.valid_until, preferred(lease)]).flatten();
        let retired = self.retired.values().flatten().map(|retired| retired.until);
        leases.chain(retired).min()
    }
}
