//! What shall be advertised on an interface now: its configuration and its link, resolved against each other.
//!
//! Here `::/64` becomes the interface's own prefixes, `::` its own address, `Auto` what other plugins publish, a
//! lifetime the shorter of what is configured and what the kernel grants. A [`Content`] has no time of its own:
//! lifetimes that run are kept as the [`Instant`] they end, so the same content can be turned into bytes again and
//! again.

use super::published::Offer;
use super::types::{InterfaceAddress, LinkState};
use crate::config::{
    DnsslConfig, InterfaceConfig, Lifetime, Origin, Pref64Config, PrefixConfig, RdnssConfig, RouteConfig,
};
use crate::time::Instant;
use core::time::Duration;
use portreeve_config::Ipv6Prefix;
use portreeve_packet::nd::{Preference, PrefixFlags, RouterAdvertisement, is_link_local};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// A lifetime that may also run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    /// At most this is advertised.
    pub(super) most: Lifetime,
    /// And never more than up to here.
    pub(super) ends: Option<Instant>,
}

impl Running {
    pub(super) const fn fixed(most: Lifetime) -> Self {
        Self { most, ends: None }
    }

    pub(super) fn at(self, now: Instant) -> Lifetime {
        match self.ends {
            Some(ends) => self.most.min(Lifetime::from_secs(ends.since(now).as_secs())),
            None => self.most,
        }
    }

    fn ending(self, ends: Option<Instant>) -> Self {
        let ends = match (self.ends, ends) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { ends, ..self }
    }
}

/// One prefix as advertised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdvertisedPrefix {
    pub(super) prefix: Ipv6Prefix,
    /// What goes into the prefix field: the prefix, or our whole address with the R flag.
    pub(super) address: Ipv6Addr,
    pub(super) flags: PrefixFlags,
    pub(super) valid: Running,
    pub(super) preferred: Running,
    pub(super) deprecate_on_removal: bool,
}

/// Everything one interface advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The header; it has no options.
    pub(super) header: RouterAdvertisement,
    pub(super) link_layer_address: Option<Vec<u8>>,
    pub(super) mtu: Option<u32>,
    /// Milliseconds, for the advertisement interval option.
    pub(super) interval: Option<u32>,
    pub(super) prefixes: Vec<AdvertisedPrefix>,
    pub(super) routes: Vec<RouteConfig>,
    pub(super) rdnss: Vec<RdnssConfig>,
    pub(super) dnssl: Vec<DnsslConfig>,
    pub(super) pref64: Vec<Pref64Config>,
    pub(super) captive_portal: Option<String>,
}

/// When the lifetimes of decrementing prefixes began to run, and from which values.
pub(super) type Anchors = BTreeMap<Ipv6Prefix, (Lifetime, Lifetime, Instant)>;

impl Content {
    /// Resolves `config` on `link`, whose address lifetimes count from `link_at`, with what is published for it.
    pub(super) fn resolve(
        config: &InterfaceConfig,
        link: &LinkState,
        link_at: Instant,
        offer: &Offer,
        anchors: &mut Anchors,
        now: Instant,
    ) -> Self {
        let prefixes = resolve_prefixes(config, link, link_at, anchors, now);
        anchors.retain(|prefix, _| prefixes.iter().any(|p| p.prefix == *prefix));
        Self {
            header: RouterAdvertisement {
                hop_limit: config.hop_limit,
                managed: config.managed,
                other_config: config.other_config,
                // RFC 4191 section 2.2: medium when this is no default router
                preference: if config.router_lifetime == 0 { Preference::Medium } else { config.preference },
                router_lifetime: config.router_lifetime,
                reachable_time: config.reachable_time,
                retrans_timer: config.retrans_timer,
                ..RouterAdvertisement::default()
            },
            link_layer_address: link.mac.clone().filter(|mac| config.source_link_layer_address && !mac.is_empty()),
            mtu: config.mtu.filter(|mtu| *mtu <= link.mtu),
            interval: config.advertisement_interval_option.then(|| saturating_millis(config.max_interval)),
            prefixes,
            routes: config.routes.clone(),
            rdnss: resolve_rdnss(config, link, offer),
            dnssl: config.dnssl.clone(),
            pref64: resolve_pref64(config, offer),
            captive_portal: config.captive_portal.clone(),
        }
    }

    /// Whether a host would learn nothing new from `other`: only lifetimes that run were refreshed.
    pub(super) fn says_the_same(&self, other: &Self, now: Instant) -> bool {
        self.shape(now) == other.shape(now)
    }

    /// The content without the moments at which lifetimes end, but with whether they are over.
    fn shape(&self, now: Instant) -> Self {
        let mut shape = self.clone();
        for prefix in &mut shape.prefixes {
            prefix.deprecate_on_removal = false; // not on the wire
            for running in [&mut prefix.valid, &mut prefix.preferred] {
                let over = running.ends.is_some() && running.at(now) == Lifetime::from_secs(0);
                running.ends = over.then_some(Instant::ZERO);
            }
        }
        shape
    }

    /// Whether its bytes change as time goes by.
    pub(super) fn runs(&self) -> bool {
        self.prefixes.iter().any(|prefix| prefix.valid.ends.is_some() || prefix.preferred.ends.is_some())
    }
}

fn saturating_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The address advertisements are sent from: the one used so far if it can still be used, else the first link-local
/// one that is not tentative (RFC 4861 section 4.2).
pub(super) fn source(link: &LinkState, used: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
    let usable = || link.addresses.iter().filter(|a| !a.tentative && is_link_local(a.address));
    let kept = usable().find(|a| Some(a.address) == used);
    kept.or_else(|| usable().find(|a| !a.deprecated)).or_else(|| usable().next()).map(|a| a.address)
}

fn resolve_prefixes(
    config: &InterfaceConfig,
    link: &LinkState,
    link_at: Instant,
    anchors: &mut Anchors,
    now: Instant,
) -> Vec<AdvertisedPrefix> {
    let mut prefixes: Vec<AdvertisedPrefix> = Vec::new();
    for prefix in config.prefixes.iter().filter(|p| !p.is_own()) {
        prefixes.push(advertised(prefix, prefix.prefix, link, anchors, now));
    }
    if let Some(template) = config.prefixes.iter().find(|p| p.is_own()) {
        for (prefix, (valid, preferred)) in own_prefixes(link, link_at) {
            // A prefix that is written out wins.
            if prefixes.iter().all(|p| p.prefix != prefix) {
                let mut own = advertised(template, prefix, link, anchors, now);
                own.valid = own.valid.ending(valid);
                own.preferred = own.preferred.ending(preferred);
                prefixes.push(own);
            }
        }
    }
    prefixes
}

fn advertised(
    config: &PrefixConfig,
    prefix: Ipv6Prefix,
    link: &LinkState,
    anchors: &mut Anchors,
    now: Instant,
) -> AdvertisedPrefix {
    // RFC 6275 section 7.2: the R flag says that the field holds an address of ours; without one it stays clear.
    let ours = link.addresses.iter().find(|a| !a.tentative && prefix.contains(a.address)).map(|a| a.address);
    let router_address = ours.filter(|_| config.router_address);
    let flags = PrefixFlags::default()
        .with(PrefixFlags::ON_LINK, config.on_link)
        .with(PrefixFlags::AUTONOMOUS, config.autonomous)
        .with(PrefixFlags::DHCPV6_PD_PREFERRED, config.dhcpv6_pd_preferred)
        .with(PrefixFlags::ROUTER_ADDRESS, router_address.is_some());
    let (valid, preferred) = (config.valid_lifetime, config.preferred_lifetime);
    let mut began = None;
    if config.decrement {
        let anchor = anchors.entry(prefix).or_insert((valid, preferred, now));
        if (anchor.0, anchor.1) != (valid, preferred) {
            *anchor = (valid, preferred, now);
        }
        began = Some(anchor.2);
    } else {
        anchors.remove(&prefix);
    }
    let running = |lifetime: Lifetime| {
        let ends = began.filter(|_| !lifetime.is_infinite()).map(|b| b + Duration::from_secs(lifetime.wire().into()));
        Running { most: lifetime, ends }
    };
    AdvertisedPrefix {
        prefix,
        address: router_address.unwrap_or(prefix.address()),
        flags,
        valid: running(valid),
        preferred: running(preferred),
        deprecate_on_removal: config.deprecate_on_removal,
    }
}

/// The interface's global /64 prefixes, those it has addresses in and those it was given, with the moments they stop to be
/// valid and preferred; of several the longest counts.
fn own_prefixes(link: &LinkState, link_at: Instant) -> BTreeMap<Ipv6Prefix, (Option<Instant>, Option<Instant>)> {
    let ends = |lifetime: Option<u32>| lifetime.map(|s| link_at + Duration::from_secs(s.into()));
    let held = link.addresses.iter().filter(|a| a.prefix_length == 64 && !a.tentative && is_global(a.address));
    let held = held.map(|address| {
        let preferred = if address.deprecated { Some(Instant::ZERO) } else { ends(address.preferred_lifetime) };
        (Ipv6Prefix::containing(address.address, 64), ends(address.valid_lifetime), preferred)
    });
    let given = link.delegated.iter().filter(|d| d.prefix.length() == 64 && is_global(d.prefix.address()));
    let given = given.map(|d| (d.prefix, ends(d.valid_lifetime), ends(d.preferred_lifetime)));
    let mut own = BTreeMap::new();
    for (prefix, valid, preferred) in held.chain(given) {
        own.entry(prefix)
            .and_modify(|(v, p)| {
                *v = later(*v, valid);
                *p = later(*p, preferred);
            })
            .or_insert((valid, preferred));
    }
    own
}

/// The later of two ends, where `None` is never.
fn later(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.zip(b).map(|(a, b)| a.max(b))
}

/// Unicast and usable beyond the link; unique local addresses (RFC 4193) count.
fn is_global(address: Ipv6Addr) -> bool {
    !is_link_local(address)
        && !address.is_multicast()
        && !address.is_loopback()
        && !address.is_unspecified()
        && address.to_ipv4_mapped().is_none()
}

fn resolve_pref64(config: &InterfaceConfig, offer: &Offer) -> Vec<Pref64Config> {
    match &config.pref64 {
        Origin::Written(list) => list.clone(),
        Origin::Published { lifetime } => {
            let published = |prefix: &Ipv6Prefix| Pref64Config { prefix: *prefix, lifetime: *lifetime };
            offer.nat64_prefixes.iter().map(published).collect()
        }
    }
}

fn resolve_rdnss(config: &InterfaceConfig, link: &LinkState, offer: &Offer) -> Vec<RdnssConfig> {
    let mut seen = Vec::new();
    let mut resolved = Vec::new();
    if let Origin::Published { lifetime } = config.rdnss
        && !offer.servers.is_empty()
    {
        resolved.push(RdnssConfig { servers: offer.servers.clone(), lifetime });
    }
    for entry in config.rdnss.written() {
        let mut servers = Vec::new();
        for server in &entry.servers {
            let address = if server.is_unspecified() { own_server(link) } else { Some(*server) };
            if let Some(address) = address.filter(|a| !seen.contains(a)) {
                seen.push(address);
                servers.push(address);
            }
        }
        if !servers.is_empty() {
            resolved.push(RdnssConfig { servers, lifetime: entry.lifetime });
        }
    }
    resolved
}

/// The address hosts should ask when the router itself is the name server: what lasts longest first, so a unique local
/// address before a global one before a link-local one, and never a deprecated one while there is another.
fn own_server(link: &LinkState) -> Option<Ipv6Addr> {
    let rank = |a: &&InterfaceAddress| {
        let scope = if a.address.is_unique_local() {
            0
        } else if is_global(a.address) {
            1
        } else {
            2
        };
        (a.deprecated, scope, a.address)
    };
    let usable = link.addresses.iter().filter(|a| !a.tentative && (is_global(a.address) || is_link_local(a.address)));
    usable.min_by_key(rank).map(|a| a.address)
}
