//! What two places of the section say about each other: the same address, route, subnet, port or hardware twice, links
//! that stand upon themselves.
//!
//! [`Checks`] gathers while the section is read, one set for each question, and answers the rest at the end, so that
//! all of it stays linear but for sorting.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use portreeve_config::{Diagnostics, Span, Spanned};
use portreeve_network::read::{RouteKey, route_key};
use portreeve_network::{Address, Kind, Route};

use super::kind::Made;
use super::{Config, HardwareMatch, Pool, PoolSource, Subnet};

/// Subnets of one section: each is a fact, and a plugin has at most so many (`facts.publish`).
const MAX_SUBNETS: usize = 256;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Checks {
    addresses: HashMap<IpAddr, String>,
    routes: HashSet<RouteKey>,
    /// By pool: first and last address as offsets from its start.
    subnets: BTreeMap<String, Vec<(u128, u128, Span)>>,
    subnet_count: usize,
    hardware: HashSet<HardwareMatch>,
    /// Member to controller.
    members: HashMap<String, (String, Span)>,
    /// From a link to those that it stands upon.
    below: HashMap<String, Vec<(String, Span)>>,
    /// Other ends of pairs.
    peers: HashMap<String, Span>,
    tables: HashMap<u32, String>,
}

impl Checks {
    /// Addresses of one interface; `key` is its name or pattern.
    pub(super) fn addresses(&mut self, key: &Spanned<String>, list: &[Spanned<Address>], d: &mut Diagnostics) {
        for found in list {
            let address = found.value.address.address;
            let shared = match address {
                IpAddr::V4(address) => address.is_link_local() || address.is_loopback(),
                IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
            };
            if shared {
                continue;
            }
            if key.value.contains('*') {
                let message = format!("every interface that \"{}\" stands for gets {address}", key.value);
                d.warning_with_hint(found.span, message, "write it under the name of one interface");
            }
            self.address(&key.value, address, found.span, d);
        }
    }

    fn address(&mut self, interface: &str, address: IpAddr, span: Span, d: &mut Diagnostics) {
        if let Some(other) = self.addresses.get(&address).filter(|other| *other != interface) {
            let message = format!("address {address} is on {other}, too");
            d.warning_with_hint(span, message, "give each interface an address of its own");
        } else {
            self.addresses.insert(address, interface.to_owned());
        }
    }

    /// Subnets of one interface, and the addresses that they bring.
    pub(super) fn subnets(
        &mut self,
        interface: &str,
        list: &[Spanned<Subnet>],
        pools: &BTreeMap<String, Pool>,
        addresses: &[Spanned<Address>],
        d: &mut Diagnostics,
    ) {
        let own: HashSet<IpAddr> = addresses.iter().map(|address| address.value.address.address).collect();
        for Spanned { value: subnet, span } in list {
            self.subnet_count += 1;
            if self.subnet_count == MAX_SUBNETS + 1 {
                d.error_with_hint(*span, format!("more than {MAX_SUBNETS} subnets"), "write the rest as `addresses`");
            }
            let shift = u32::from(128 - subnet.length);
            let first = u128::from(subnet.number).checked_shl(shift).unwrap_or(0);
            let last = first | 1_u128.checked_shl(shift).unwrap_or(0).wrapping_sub(1);
            self.subnets.entry(subnet.pool.clone()).or_default().push((first, last, *span));
            let Some(Pool { source: PoolSource::Static(prefix), .. }) = pools.get(&subnet.pool) else { continue };
            let Some(address) = subnet.network(*prefix).map(|network| subnet.address(network).address) else {
                continue;
            };
            if own.contains(&address) {
                let message = format!("the subnet brings address {address}, which {interface} has already");
                d.error_with_hint(*span, message, "remove it from `addresses`");
            } else {
                self.address(interface, address, *span, d);
            }
        }
    }

    /// Routes of one list; those of one list are told apart already.
    pub(super) fn routes(&mut self, list: &[Spanned<Route>], d: &mut Diagnostics) {
        for found in list {
            if !self.routes.insert(route_key(&found.value)) {
                let what = if found.value.destination.is_default() { "default route" } else { "route" };
                let message = format!("{what} {} is given elsewhere with the same metric", found.value.destination);
                d.error_with_hint(found.span, message, "keep one of the two, or give one of them another metric");
            }
        }
    }

    /// Hardware that gets a name.
    pub(super) fn hardware(&mut self, found: Option<&HardwareMatch>, span: Option<Span>, d: &mut Diagnostics) {
        if let (Some(found), Some(span)) = (found, span)
            && !self.hardware.insert(found.clone())
        {
            d.error_with_hint(span, "the same hardware cannot have two names", "keep one of the two");
        }
    }

    /// A link that is made.
    pub(super) fn made(&mut self, key: &Spanned<String>, made: &Made, d: &mut Diagnostics) {
        let below = self.below.entry(key.value.clone()).or_default();
        for member in &made.members {
            let name = member.value.as_str();
            match self.members.get(name) {
                Some((other, _)) => {
                    let message = format!("\"{name}\" belongs to {other} already");
                    d.error_with_hint(member.span, message, "a link has one controller: keep one of the two");
                }
                None => {
                    self.members.insert(name.to_owned(), (key.value.clone(), member.span));
                    below.push((name.to_owned(), member.span));
                }
            }
        }
        match (&made.kind, &made.other) {
            (Kind::Veth(_), Some(peer)) => {
                if peer.value == key.value {
                    d.error_with_hint(peer.span, "a link cannot be its own peer", "write another name");
                } else if self.peers.insert(peer.value.clone(), peer.span).is_some() {
                    d.error_with_hint(peer.span, format!("{} is a peer already", peer.value), "write another name");
                }
            }
            (_, Some(parent)) => below.push((parent.value.clone(), parent.span)),
            (Kind::Vrf { table }, None) => {
                if let Some(other) = self.tables.insert(*table, key.value.clone()) {
                    let message = format!("{other} has table {table} already");
                    d.error_with_hint(made.span, message, "write another table");
                }
            }
            _ => {}
        }
    }

    /// What only the whole section tells.
    pub(super) fn finish(mut self, config: &Config, d: &mut Diagnostics) {
        for (pool, list) in &mut self.subnets {
            overlaps(pool, list, d);
        }
        for (peer, span) in &self.peers {
            if config.exact.get(peer).is_some_and(|other| other.make.is_some() || other.hardware.is_some()) {
                let message = format!("{peer} is made as the other end of this pair and otherwise, too");
                d.error_with_hint(*span, message, format!("remove `kind` and `match` from \"{peer}\""));
            }
        }
        for (member, (controller, span)) in &self.members {
            let bridged = config.exact.get(controller).is_some_and(|it| !matches!(it.make, Some(Kind::Vrf { .. })));
            let used = config.exact.get(member).is_some_and(|it| !it.addresses.is_empty() || !it.subnets.is_empty());
            if bridged && used {
                let message = format!("{member} has addresses, which nobody reaches while it belongs to {controller}");
                d.warning_with_hint(*span, message, format!("move them to \"{controller}\""));
            }
        }
        cycles(&self.below, d);
    }
}

/// Sorted by its start a subnet overlaps another only if it starts before one ends that reaches furthest.
fn overlaps(pool: &str, list: &mut [(u128, u128, Span)], d: &mut Diagnostics) {
    list.sort_unstable();
    let mut reached: Option<(u128, u128)> = None;
    for (first, last, span) in list.iter() {
        match reached {
            Some(before) if before == (*first, *last) => {
                let message = format!("this number of pool \"{pool}\" is used twice");
                d.error_with_hint(*span, message, "write another number");
            }
            Some((_, end)) if *first <= end => {
                let message = format!("this subnet of pool \"{pool}\" overlaps another");
                d.error_with_hint(*span, message, "numbers count networks of the same length from the pool's start");
            }
            _ => {}
        }
        if reached.is_none_or(|(_, end)| *last > end) {
            reached = Some((*first, *last));
        }
    }
}

/// Walks down from every link; one that is met while it is being walked stands upon itself.
fn cycles(below: &HashMap<String, Vec<(String, Span)>>, d: &mut Diagnostics) {
    let mut done: HashSet<&str> = HashSet::new();
    let mut names: Vec<&str> = below.keys().map(String::as_str).collect();
    names.sort_unstable();
    for start in names {
        // The way down: a link, and how many of those below it were walked.
        let mut way: Vec<(&str, usize)> = vec![(start, 0)];
        let mut open: HashSet<&str> = HashSet::from([start]);
        while let Some((name, next)) = way.last_mut() {
            let step = if done.contains(name) { None } else { below.get(*name).and_then(|list| list.get(*next)) };
            *next += 1;
            match step {
                None => {
                    done.insert(name);
                    open.remove(name);
                    way.pop();
                }
                Some((lower, span)) if open.contains(lower.as_str()) => {
                    d.error_with_hint(*span, format!("{lower} would stand upon itself"), "write another link");
                }
                Some((lower, _)) => {
                    open.insert(lower);
                    way.push((lower, 0));
                }
            }
        }
    }
}
