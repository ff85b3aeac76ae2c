//! Why the first apply may wait: what is not stated is removed, and after a start of the whole core the plugin that
//! publishes a delegated prefix may speak later than this one. Where an interface still has the address that a pool
//! gave it before, the first apply waits for the pool's prefix, ten seconds at most. Where there is none, as after a
//! boot, nothing would be lost, and the publisher may need what the apply sets up: nobody waits.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use portreeve_network::Prefix;

use super::Engine;
use crate::Instant;
use crate::config::{Config, PoolSource, Subnet};

/// How long the first apply waits at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was there before the first apply, and since when that waits.
#[derive(Debug, Default)]
pub(super) struct Hold {
    since: Option<Instant>,
    /// Global IPv6 addresses by their link's number.
    found: BTreeSet<(u32, Prefix)>,
}

impl Hold {
    /// The clock runs from the first time that is told.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// An address that was there before.
    pub(super) fn note(&mut self, index: u32, address: Prefix) {
        if matches!(address.address, IpAddr::V6(a) if !a.is_unicast_link_local()) {
            self.found.insert((index, address));
        }
    }

    /// One that is there no longer.
    pub(super) fn forget(&mut self, index: u32, address: Prefix) {
        self.found.remove(&(index, address));
    }

    /// The first apply was made: what was there before is of no use any more.
    pub(super) fn end(&mut self) {
        self.found.clear();
    }
}

impl Engine {
    /// Whether the first apply is to wait now.
    pub(super) fn is_held(&self) -> bool {
        let over = self.hold.since.is_some_and(|since| self.now.since(since) >= PATIENCE);
        self.asked.is_none() && !over && self.would_lose_an_address()
    }

    /// When the first apply waits no longer; with no clock yet, at once, to learn what time it is.
    pub(super) fn hold_end(&self) -> Option<Instant> {
        self.is_held().then(|| self.hold.since.map_or(self.now, |since| since + PATIENCE))
    }

    fn would_lose_an_address(&self) -> bool {
        let left = |link: u32, subnet: &Subnet| {
            self.hold.found.iter().any(|(index, address)| *index == link && could_be(*address, subnet))
        };
        let waits = |subnet: &&Subnet| is_delegated(&self.config, &subnet.pool) && self.pools.is_empty(&subnet.pool);
        self.links.values().any(|link| {
            let section = self.config.exact.get(&link.name);
            section.is_some_and(|it| it.subnets.iter().filter(waits).any(|subnet| left(link.index, subnet)))
        })
    }
}

fn is_delegated(config: &Config, pool: &str) -> bool {
    config.pools.get(pool).is_some_and(|pool| matches!(pool.source, PoolSource::Delegated { .. }))
}

/// Whether `address` has the length and the host bits of our address in `subnet`, whatever the network.
fn could_be(address: Prefix, subnet: &Subnet) -> bool {
    let IpAddr::V6(whole) = address.address else { return false };
    let host = u128::MAX.checked_shr(u32::from(subnet.length)).unwrap_or(0);
    address.length == subnet.length && Ipv6Addr::from(u128::from(whole) & host) == subnet.host
}
