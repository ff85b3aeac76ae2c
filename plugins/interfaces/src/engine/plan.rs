//! What should be now: the section, the links that are there and the pools' prefixes put together.
//!
//! A [`Plan`] says ends as points in time and keeps the number of every link that hardware was found for, so that two
//! plans are equal exactly when nothing new has to be done: lifetimes that run down and a rename that was carried out
//! make no difference. [`Plan::state`] makes seconds and open renames of them.

use std::collections::{BTreeMap, BTreeSet};

use portreeve_network::{Address, Kind, Link, Prefix, Route, RouteKind, State, Sysctl};

use super::names::Names;
use super::order;
use super::pools::{FACT_PREFIX, Lease, Pools};
use super::types::{Problem, SubnetFact};
use crate::Instant;
use crate::config::{Config, InterfaceConfig, Pool};

/// Behind every other route to the same prefix; the kernel keeps 2^32 - 1 for itself.
const UNREACHABLE_METRIC: u32 = 0x7fff_ffff;

/// When an address ends: its place in the list, then preferred and valid.
type End = (usize, Option<Instant>, Option<Instant>);

/// See the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    state: State,
    ends: Vec<End>,
    /// What other plugins are told.
    pub(super) facts: BTreeMap<String, SubnetFact>,
    /// What cannot be.
    pub(super) problems: Vec<Problem>,
    /// Interfaces whose hardware is not there, while another link bears the name.
    pub(super) missing: BTreeSet<String>,
    /// The shortest lifetime of a static pool in use or of an address that is written down, in seconds.
    pub(super) shortest: Option<u32>,
}

impl Plan {
    pub(super) fn new(config: &Config, names: &Names<'_>, pools: &Pools) -> Self {
        let mut plan = Self { problems: names.problems.clone(), ..Self::default() };
        plan.state.sysctls.clone_from(&config.sysctls);
        let sections = sections(config, names, &mut plan);
        plan.links(config, names, &sections);
        for (name, section) in &sections {
            plan.interface(name, section, config, pools);
        }
        plan.state.routes.extend_from_slice(&config.routes);
        plan.state.rules.extend_from_slice(&config.rules);
        for (name, pool) in config.pools.iter().filter(|(_, pool)| pool.unreachable) {
            let prefixes = pools.lease(name, pool).map(|lease| lease.prefix);
            let retired = pools.retired(name).iter().map(|retired| retired.prefix);
            plan.state.routes.extend(prefixes.into_iter().chain(retired).map(unreachable));
        }
        plan
    }

    /// Whether the same has to be done.
    pub(super) fn is_same_work(&self, other: &Self) -> bool {
        self.state == other.state && self.ends == other.ends
    }

    /// Addresses as they are known to the kernel: by interface and prefix.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.state.addresses.iter()
    }

    /// The links as they should be.
    pub(super) fn link_list(&self) -> &[Link] {
        &self.state.links
    }

    /// With ends as seconds from `now`, and renames only where they are still to be done.
    pub(super) fn state(&self, is_named: impl Fn(&str, u32) -> bool, now: Instant) -> State {
        let mut state = self.state.clone();
        for link in &mut state.links {
            link.index = link.index.filter(|index| !is_named(&link.name, *index));
        }
        // Rounded up: what has a moment left is not over.
        let left = |until: Option<Instant>| {
            until
                .map(|until| u32::try_from(until.since(now).as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX - 1))
        };
        for (at, preferred, valid) in &self.ends {
            if let Some(address) = state.addresses.get_mut(*at) {
                address.valid_lifetime = left(*valid);
                // Never longer than valid; none is for ever.
                address.preferred_lifetime = [left(*preferred), address.valid_lifetime].into_iter().flatten().min();
            }
        }
        state.addresses.retain(|address| address.valid_lifetime != Some(0));
        state
    }

    fn links(&mut self, config: &Config, names: &Names<'_>, sections: &BTreeMap<&str, &InterfaceConfig>) {
        let controllers = controllers(config, names);
        let mut links: BTreeMap<&str, Link> = BTreeMap::new();
        let plain = |name: &str| Link { name: name.to_owned(), up: Some(true), ..Link::default() };
        for (&name, section) in sections {
            let mut link = plain(name);
            link.index = section.hardware.as_ref().and_then(|_| names.link(name)).map(|link| link.index);
            link.make.clone_from(&section.make);
            link.up = Some(section.up);
            link.mtu = section.mtu;
            link.mac.clone_from(&section.mac);
            links.insert(name, link);
        }
        // What others stand on or belong to works only if it is up.
        for section in sections.values() {
            let other = match &section.make {
                Some(Kind::Vlan(vlan)) => Some(vlan.parent.as_str()),
                Some(Kind::Macvlan(macvlan)) => Some(macvlan.parent.as_str()),
                Some(Kind::Veth(veth)) => Some(veth.peer.as_str()),
                _ => None,
            };
            if let Some(other) = other.filter(|other| !names.is_taken(other)) {
                links.entry(other).or_insert_with(|| plain(other));
            }
        }
        for (member, controller) in controllers {
            links.entry(member).or_insert_with(|| plain(member)).controller = Some(controller.to_owned());
        }
        self.state.links = order::sort(links.into_values().collect());
    }

    fn interface(&mut self, name: &str, section: &InterfaceConfig, config: &Config, pools: &Pools) {
        let state = &mut self.state;
        for (family, parameter, value) in &section.sysctls {
            let sysctl = Sysctl { name: format!("{family}/conf/{name}/{parameter}"), value: value.clone() };
            if sysctl.is_legal() {
                state.sysctls.push(sysctl);
            } else {
                // Only a pattern can stand for such a name; names that are written down are checked there.
                let message = "the kernel's parameters cannot be named for this interface".to_owned();
                self.problems.push(Problem { object: format!("{parameter} of {name}"), message });
            }
        }
        let lifetimes = section.addresses.iter().flat_map(|it| [it.preferred_lifetime, it.valid_lifetime]);
        self.shortest = lifetimes.chain([self.shortest]).flatten().filter(|seconds| *seconds > 0).min();
        // Sections of patterns have the pattern where the name goes.
        state.addresses.extend(section.addresses.iter().cloned().map(|mut address| {
            name.clone_into(&mut address.interface);
            address
        }));
        state.routes.extend(section.routes.iter().cloned().map(|mut route| {
            route.interface = Some(name.to_owned());
            route
        }));
        state.neighbours.extend(section.neighbours.iter().cloned().map(|mut neighbour| {
            name.clone_into(&mut neighbour.interface);
            neighbour
        }));
        for subnet in &section.subnets {
            let Some(pool) = config.pools.get(&subnet.pool) else { continue };
            for retired in pools.retired(&subnet.pool) {
                if let Some(network) = subnet.network(retired.prefix) {
                    let end = Some((Some(Instant::ZERO), Some(retired.until)));
                    self.subnet_address(name, subnet.address(network), subnet.dad, pool, end);
                }
            }
            let Some(lease) = pools.lease(&subnet.pool, pool) else { continue };
            let Some(network) = subnet.network(lease.prefix) else {
                self.problems.push(Problem {
                    object: format!("subnet {} of pool {} on {name}", subnet.number, subnet.pool),
                    message: format!("{} is too small for this number", lease.prefix),
                });
                continue;
            };
            let Lease { preferred_until, valid_until, .. } = lease;
            let end = (preferred_until.is_some() || valid_until.is_some()).then_some((preferred_until, valid_until));
            self.subnet_address(name, subnet.address(network), subnet.dad, pool, end);
            // A static pool that is never preferred says so; other lifetimes of its are counted anew again and again.
            let deprecated = pool.preferred_lifetime == Some(0);
            let preferred_until = if deprecated { Some(Instant::ZERO) } else { preferred_until };
            self.facts.insert(
                format!("{FACT_PREFIX}{}/{}", subnet.pool, subnet.number),
                SubnetFact { prefix: network, preferred_until, valid_until, interface: name.to_owned() },
            );
        }
    }

    fn subnet_address(
        &mut self,
        interface: &str,
        prefix: Prefix,
        dad: bool,
        pool: &Pool,
        end: Option<(Option<Instant>, Option<Instant>)>,
    ) {
        let mut address = Address::new(interface, prefix);
        address.dad = dad;
        match end {
            Some((preferred, valid)) => self.ends.push((self.state.addresses.len(), preferred, valid)),
            None => {
                address.preferred_lifetime = pool.preferred_lifetime;
                address.valid_lifetime = pool.valid_lifetime;
                let lifetimes = [pool.preferred_lifetime, pool.valid_lifetime, self.shortest];
                self.shortest = lifetimes.into_iter().flatten().filter(|seconds| *seconds > 0).min();
            }
        }
        self.state.addresses.push(address);
    }
}

/// The sections by the names of links: those named, there or not, and of patterns those that are there.
fn sections<'a>(config: &'a Config, names: &Names<'a>, plan: &mut Plan) -> BTreeMap<&'a str, &'a InterfaceConfig> {
    let mut sections: BTreeMap<&str, &InterfaceConfig> = BTreeMap::new();
    for (name, section) in &config.exact {
        if names.is_taken(name) {
            plan.missing.insert(name.clone());
        } else {
            sections.insert(name, section);
        }
    }
    if !config.globs.is_empty() {
        for (name, _) in names.iter().filter(|(name, _)| *name != "lo" && !config.exact.contains_key(*name)) {
            if let Some(section) = config.for_interface(name) {
                sections.insert(name, section);
            }
        }
    }
    sections
}

/// From members to their controllers. Names count before patterns, and patterns stand for links that others made.
fn controllers<'a>(config: &'a Config, names: &Names<'a>) -> BTreeMap<&'a str, &'a str> {
    let mut controllers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut patterns = Vec::new();
    for (name, section) in &config.exact {
        for member in &section.members {
            if !member.is_exact() {
                patterns.push((member, name.as_str()));
            } else if !names.is_taken(member.as_str()) {
                controllers.insert(member.as_str(), name.as_str());
            }
        }
    }
    if patterns.is_empty() {
        return controllers;
    }
    let made = config.makes();
    for (name, _) in names.iter().filter(|(name, _)| *name != "lo" && !made.contains_key(name)) {
        if !controllers.contains_key(name)
            && let Some((_, controller)) = patterns.iter().find(|(pattern, _)| pattern.matches(name))
        {
            controllers.insert(name, controller);
        }
    }
    controllers
}

fn unreachable(prefix: Prefix) -> Route {
    let mut route = Route::new(prefix);
    route.kind = RouteKind::Unreachable;
    route.metric = Some(UNREACHABLE_METRIC);
    route
}
