//! What is no longer advertised and must be taken back from the hosts that heard it.
//!
//! A removed prefix is advertised with preferred lifetime 0 for as long as hosts may have learned it to be valid
//! (RFC 9096 section 3.5), since hosts that sleep miss a single notice; its valid lifetime is at most two hours, the
//! least a host accepts (RFC 4862 section 5.5.3 e). Routes, servers, domains and NAT64 prefixes are advertised with
//! lifetime 0 a few times, which removes them at once.
//!
//! This knowledge lives in memory only: after a restart of the plugin nothing is taken back.

use super::content::{AdvertisedPrefix, Content, Running};
use crate::config::{Lifetime, Pref64Config, RouteConfig};
use crate::time::Instant;
use core::time::Duration;
use portreeve_config::Ipv6Prefix;
use portreeve_packet::nd::{DomainName, PrefixFlags};
use std::net::Ipv6Addr;

/// The valid lifetime of a removed prefix (RFC 4862 section 5.5.3 e).
pub const STALE_VALID_LIFETIME: Duration = Duration::from_secs(7200);
/// A removed prefix is advertised no longer than this, even if it was valid for ever.
pub const MAX_STALE_TIME: Duration = Duration::from_secs(30 * 86_400);
/// How many removed prefixes an interface remembers; the oldest gives way.
pub const MAX_STALE_PREFIXES: usize = 16;
/// How many multicast advertisements carry lifetime 0 for what was removed.
pub const WITHDRAWAL_ADVERTISEMENTS: u8 = 3;
/// How many removed routes, servers, domains and NAT64 prefixes each an interface remembers; the oldest gives way.
pub const MAX_WITHDRAWN: usize = 64;

/// A removed prefix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stale {
    pub(super) prefix: AdvertisedPrefix,
    until: Instant,
}

/// Something removed that needs lifetime 0.
#[derive(Debug, Clone)]
struct Gone<T> {
    item: T,
    left: u8,
    until: Instant,
}

/// Everything that was removed from one interface.
#[derive(Debug, Clone, Default)]
pub(super) struct Withdrawn {
    prefixes: Vec<Stale>,
    routes: Vec<Gone<RouteConfig>>,
    servers: Vec<Gone<Ipv6Addr>>,
    domains: Vec<Gone<DomainName>>,
    pref64: Vec<Gone<Pref64Config>>,
}

impl Withdrawn {
    /// Learns what `old` advertised and `new` does not, and forgets what has come back.
    pub(super) fn update(&mut self, old: &Content, new: &Content, now: Instant) {
        self.prefixes.retain(|stale| new.prefixes.iter().all(|p| p.prefix != stale.prefix.prefix));
        for prefix in &old.prefixes {
            if new.prefixes.iter().all(|p| p.prefix != prefix.prefix) {
                self.add_prefix(prefix, now);
            }
        }
        let routes = |c: &Content| c.routes.iter().map(|r| (*r, r.lifetime)).collect::<Vec<_>>();
        update(&mut self.routes, routes(old), &routes(new), |a, b| a.prefix == b.prefix, now);
        let servers = |c: &Content| {
            let all = c.rdnss.iter().flat_map(|r| r.servers.iter().map(|s| (*s, r.lifetime)));
            all.collect::<Vec<_>>()
        };
        update(&mut self.servers, servers(old), &servers(new), PartialEq::eq, now);
        let domains = |c: &Content| {
            let all = c.dnssl.iter().flat_map(|r| r.domains.iter().map(|s| (s.clone(), r.lifetime)));
            all.collect::<Vec<_>>()
        };
        update(&mut self.domains, domains(old), &domains(new), PartialEq::eq, now);
        let pref64 = |c: &Content| {
            let all = c.pref64.iter().map(|p| (*p, Lifetime::from_secs(p.lifetime.into())));
            all.collect::<Vec<_>>()
        };
        update(&mut self.pref64, pref64(old), &pref64(new), |a, b| a.prefix == b.prefix, now);
    }

    fn add_prefix(&mut self, prefix: &AdvertisedPrefix, now: Instant) {
        if !prefix.deprecate_on_removal {
            return;
        }
        let former = duration(prefix.valid.at(now)).min(MAX_STALE_TIME);
        if former.is_zero() {
            return;
        }
        if self.prefixes.len() >= MAX_STALE_PREFIXES {
            self.prefixes.remove(0);
        }
        self.prefixes.push(Stale { prefix: deprecated(prefix, now), until: now + former });
    }

    /// One multicast advertisement has carried everything. Whether anything is over now, so that the next
    /// advertisement differs.
    pub(super) fn advertised(&mut self, now: Instant) -> bool {
        let before = self.len();
        self.prefixes.retain(|stale| stale.until > now);
        pass(&mut self.routes, now);
        pass(&mut self.servers, now);
        pass(&mut self.domains, now);
        pass(&mut self.pref64, now);
        self.len() != before
    }

    const fn len(&self) -> usize {
        self.prefixes.len() + self.routes.len() + self.servers.len() + self.domains.len() + self.pref64.len()
    }

    /// Whether the bytes it adds change as time goes by.
    pub(super) const fn runs(&self) -> bool {
        self.len() != 0
    }

    pub(super) fn prefixes(&self, now: Instant) -> impl Iterator<Item = &AdvertisedPrefix> {
        self.prefixes.iter().filter(move |stale| stale.until > now).map(|stale| &stale.prefix)
    }

    pub(super) fn routes(&self, now: Instant) -> impl Iterator<Item = &RouteConfig> {
        alive(&self.routes, now)
    }

    pub(super) fn servers(&self, now: Instant) -> impl Iterator<Item = &Ipv6Addr> {
        alive(&self.servers, now)
    }

    pub(super) fn domains(&self, now: Instant) -> impl Iterator<Item = &DomainName> {
        alive(&self.domains, now)
    }

    pub(super) fn pref64(&self, now: Instant) -> impl Iterator<Item = &Ipv6Prefix> {
        alive(&self.pref64, now).map(|p| &p.prefix)
    }
}

/// `prefix` as a removed one: L, A and P as they were, not preferred, valid for two hours at most.
pub(super) fn deprecated(prefix: &AdvertisedPrefix, now: Instant) -> AdvertisedPrefix {
    let valid = duration(prefix.valid.at(now)).min(STALE_VALID_LIFETIME);
    let most = Lifetime::from_secs(valid.as_secs());
    AdvertisedPrefix {
        // The address of ours that the R flag speaks of may be gone too.
        address: prefix.prefix.address(),
        flags: PrefixFlags(prefix.flags.0 & !PrefixFlags::ROUTER_ADDRESS.0),
        valid: Running { most, ends: Some(now + valid) },
        preferred: Running::fixed(Lifetime::from_secs(0)),
        ..*prefix
    }
}

fn duration(lifetime: Lifetime) -> Duration {
    if lifetime.is_infinite() { Duration::MAX } else { Duration::from_secs(lifetime.wire().into()) }
}

fn alive<T>(list: &[Gone<T>], now: Instant) -> impl Iterator<Item = &T> {
    list.iter().filter(move |gone| gone.until > now).map(|gone| &gone.item)
}

fn pass<T>(list: &mut Vec<Gone<T>>, now: Instant) {
    for gone in list.iter_mut() {
        gone.left = gone.left.saturating_sub(1);
    }
    list.retain(|gone| gone.left > 0 && gone.until > now);
}

fn update<T: Clone>(
    list: &mut Vec<Gone<T>>,
    old: Vec<(T, Lifetime)>,
    new: &[(T, Lifetime)],
    same: impl Fn(&T, &T) -> bool,
    now: Instant,
) {
    list.retain(|gone| new.iter().all(|(item, _)| !same(item, &gone.item)));
    for (item, lifetime) in old {
        if lifetime.wire() == 0 || new.iter().any(|(other, _)| same(other, &item)) {
            continue;
        }
        if list.len() >= MAX_WITHDRAWN {
            list.remove(0);
        }
        let until = now + duration(lifetime).min(MAX_STALE_TIME);
        list.push(Gone { item, left: WITHDRAWAL_ADVERTISEMENTS, until });
    }
}
