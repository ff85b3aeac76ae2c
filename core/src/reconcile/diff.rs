//! What is to be changed: a pure comparison of what is stated, what was made before, and what the kernel has.
//!
//! Order of the changes: parameters of the whole namespace, links that go, links that come, parameters of interfaces (before
//! they go up), link settings, addresses, neighbours, routes, rules; what is no longer stated goes after what
//! takes its place. `links.rs` has the part on links.

mod links;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use portreeve_network::{Address, State, Sysctl};

use super::record::{Parameter, Record};
use crate::sys::network::{Change, Found, FoundAddress, FoundLink, PROTOCOL, Prefix, Refusal, RouteKey};

/// The alias of links that were made for a plugin.
#[must_use]
pub fn tag(owner: &str) -> String {
    format!("portreeve:{owner}")
}

/// What is compared.
pub struct Input<'a> {
    /// The plugin.
    pub owner: &'a str,
    /// What it states.
    pub wanted: &'a State,
    /// What was made for it.
    pub record: &'a Record,
    /// What the kernel has.
    pub found: &'a Found,
    /// Reads a parameter; none if there is none.
    pub sysctl: &'a dyn Fn(&str) -> Option<String>,
    /// Routes that were made for other plugins.
    pub routes_of_others: &'a BTreeSet<RouteKey>,
}

/// Something to note in the record whatever the kernel answers.
pub type Note = Box<dyn FnOnce(&mut Record) + Send>;

/// What is to be done.
#[derive(Default)]
pub struct Diff {
    /// In this order.
    pub changes: Vec<Change>,
    /// Interfaces that are not there.
    pub waiting: BTreeSet<String>,
    /// What cannot be done.
    pub problems: Vec<(String, Refusal)>,
    /// For the record.
    pub bookkeeping: Vec<Note>,
}

/// The interfaces during a comparison: those that are there, by the names they will have.
struct Links<'a> {
    by_name: HashMap<&'a str, &'a FoundLink>,
    /// Made by this very diff: nothing is on them yet.
    fresh: HashSet<&'a str>,
    /// Not ours although they should be: nothing is done on them.
    blocked: HashSet<&'a str>,
}

/// What an interface is good for.
enum Place<'a> {
    There(&'a FoundLink),
    Fresh,
    Absent,
    Blocked,
}

impl<'a> Links<'a> {
    fn place(&self, name: &str) -> Place<'a> {
        if self.blocked.contains(name) {
            Place::Blocked
        } else if self.fresh.contains(name) {
            Place::Fresh
        } else {
            self.by_name.get(name).map_or(Place::Absent, |link| Place::There(link))
        }
    }
}

impl<'a> Input<'a> {
    /// Compares.
    #[must_use]
    pub fn diff(&self) -> Diff {
        let mut diff = Diff::default();
        self.global_sysctls(&mut diff);
        let links = self.links(&mut diff);
        self.sysctls_of_interfaces(&links, &mut diff);
        self.link_settings(&links, &mut diff);
        self.addresses(&links, &mut diff);
        self.neighbours(&links, &mut diff);
        self.routes_and_rules(&links, &mut diff);
        self.restore_sysctls(&mut diff);
        diff
    }

    fn global_sysctls(&self, diff: &mut Diff) {
        let mut global: Vec<_> = self.wanted.sysctls.iter().filter(|s| s.interface().is_none()).collect();
        // Setting `all` sets each interface: it comes before `default`, which is for those to come.
        global.sort_by_key(|s| !s.name.contains("/all/"));
        for sysctl in global {
            match (self.sysctl)(&sysctl.name) {
                Some(now) => self.set_sysctl(sysctl, Some(now), diff),
                None => diff.problems.push((
                    format!("sysctl net/{}", sysctl.name),
                    Refusal {
                        error: io::Error::from_raw_os_error(libc::ENOENT),
                        message: Some("this kernel has no such parameter".to_owned()),
                    },
                )),
            }
        }
    }

    fn sysctls_of_interfaces(&self, links: &Links<'_>, diff: &mut Diff) {
        for sysctl in &self.wanted.sysctls {
            let Some(interface) = sysctl.interface() else { continue };
            match links.place(interface) {
                // Under its old name it may have another value: it is read under the name that it has.
                Place::There(link) if link.name == interface => {
                    self.set_sysctl(sysctl, (self.sysctl)(&sysctl.name), diff);
                }
                Place::There(_) | Place::Fresh => self.set_sysctl(sysctl, None, diff),
                Place::Absent => drop(diff.waiting.insert(interface.to_owned())),
                Place::Blocked => {}
            }
        }
    }

    fn set_sysctl(&self, sysctl: &Sysctl, now: Option<String>, diff: &mut Diff) {
        if now.as_deref().is_some_and(|now| same_value(now, &sysctl.value)) {
            return;
        }
        let (name, value) = (sysctl.name.clone(), sysctl.value.clone());
        diff.changes.push(Change::SetSysctl { name: name.clone(), value: value.clone() });
        diff.bookkeeping.push(Box::new(move |record| {
            let known = record.sysctls.get(&name).and_then(|parameter| parameter.before.clone());
            record.sysctls.insert(name, Parameter { before: known.or(now), value });
        }));
    }

    /// Puts back what is no longer stated, where it is still as it was set.
    fn restore_sysctls(&self, diff: &mut Diff) {
        let wanted: HashSet<&str> = self.wanted.sysctls.iter().map(|s| s.name.as_str()).collect();
        for (name, parameter) in self.record.sysctls.iter().filter(|(name, _)| !wanted.contains(name.as_str())) {
            let now = (self.sysctl)(name);
            let untouched = now.is_some_and(|now| same_value(&now, &parameter.value));
            if let Some(before) = parameter.before.clone().filter(|_| untouched) {
                diff.changes.push(Change::SetSysctl { name: name.clone(), value: before });
            }
            let name = name.clone();
            diff.bookkeeping.push(Box::new(move |record| drop(record.sysctls.remove(&name))));
        }
    }

    fn addresses(&self, links: &Links<'_>, diff: &mut Diff) {
        let found: HashMap<(u32, Prefix), &FoundAddress> =
            self.found.addresses.iter().map(|a| ((a.index, a.address), a)).collect();
        let recorded: HashMap<(&str, Prefix), &Address> =
            self.record.addresses.iter().map(|a| ((a.interface.as_str(), a.address), a)).collect();
        let is_ours = |address: &FoundAddress, recorded: Option<&&Address>| {
            if self.found.addresses_are_tagged { address.protocol == PROTOCOL } else { recorded.is_some() }
        };
        let mut wanted = HashSet::new();
        for address in &self.wanted.addresses {
            let key = (address.interface.as_str(), address.address);
            wanted.insert(key);
            let there = match links.place(&address.interface) {
                Place::There(link) => found.get(&(link.index, address.address)),
                Place::Fresh => None,
                Place::Absent => {
                    diff.waiting.insert(address.interface.clone());
                    continue;
                }
                Place::Blocked => continue,
            };
            let known = recorded.get(&key);
            let differs = |there: &FoundAddress| known != Some(&address) || runs_out(there, address);
            let set = there.is_none_or(|there| is_ours(there, known) && differs(there));
            if set {
                diff.changes.push(Change::SetAddress(address.clone()));
            }
        }
        for address in self.record.addresses.iter().filter(|a| !wanted.contains(&(a.interface.as_str(), a.address))) {
            let key = (address.interface.as_str(), address.address);
            let there = match links.place(&address.interface) {
                Place::There(link) => found.get(&(link.index, address.address)).map(|there| (link.index, there)),
                _ => None,
            };
            match there {
                Some((index, there)) if is_ours(there, recorded.get(&key)) => {
                    diff.changes.push(Change::RemoveAddress {
                        index,
                        interface: address.interface.clone(),
                        address: address.address,
                    })
                }
                _ => {
                    let gone = (address.interface.clone(), address.address);
                    diff.bookkeeping.push(Box::new(move |record| {
                        record.addresses.retain(|a| (&a.interface, a.address) != (&gone.0, gone.1));
                    }));
                }
            }
        }
    }

    fn neighbours(&self, links: &Links<'_>, diff: &mut Diff) {
        let mut wanted = HashSet::new();
        for neighbour in &self.wanted.neighbours {
            wanted.insert((&neighbour.interface, neighbour.address));
            let there = match links.place(&neighbour.interface) {
                Place::There(link) => {
                    let same = |n: &&crate::sys::network::FoundNeighbour| {
                        n.index == link.index && n.address == neighbour.address && n.mac == neighbour.mac
                    };
                    self.found.neighbours.iter().any(|n| same(&n))
                }
                Place::Fresh => false,
                Place::Absent => {
                    diff.waiting.insert(neighbour.interface.clone());
                    continue;
                }
                Place::Blocked => continue,
            };
            if !there {
                diff.changes.push(Change::SetNeighbour(neighbour.clone()));
            }
        }
        for neighbour in self.record.neighbours.iter().filter(|n| !wanted.contains(&(&n.interface, n.address))) {
            match links.place(&neighbour.interface) {
                Place::There(_) => diff.changes.push(Change::RemoveNeighbour(neighbour.clone())),
                _ => {
                    let gone = neighbour.clone();
                    diff.bookkeeping.push(Box::new(move |record| record.neighbours.retain(|n| *n != gone)));
                }
            }
        }
    }

    fn routes_and_rules(&self, links: &Links<'_>, diff: &mut Diff) {
        let found: HashSet<RouteKey> = self.found.routes.iter().copied().collect();
        let recorded: BTreeMap<RouteKey, &portreeve_network::Route> =
            self.record.routes.iter().map(|r| (RouteKey::of(r), r)).collect();
        let mut wanted = HashSet::new();
        for route in &self.wanted.routes {
            let key = RouteKey::of(route);
            wanted.insert(key);
            let mut lost = false;
            match route.interface.as_deref().map(|name| (name, links.place(name))) {
                None | Some((_, Place::There(_))) => {}
                // Its routes went with the link that is made anew, so ours is not there, whatever the kernel had.
                Some((_, Place::Fresh)) => lost = true,
                Some((name, Place::Absent)) => {
                    diff.waiting.insert(name.to_owned());
                    continue;
                }
                Some((_, Place::Blocked)) => continue,
            }
            if self.routes_of_others.contains(&key) {
                let refusal = Refusal {
                    error: io::Error::from_raw_os_error(libc::EEXIST),
                    message: Some("another plugin states the same route".to_owned()),
                };
                diff.problems.push((Change::RemoveRoute(key).object(), refusal));
                continue;
            }
            let there = found.contains(&key);
            if !there || lost || recorded.get(&key) != Some(&route) {
                diff.changes.push(Change::SetRoute { route: route.clone(), replace: there });
            }
        }
        for rule in &self.record.rules {
            if !self.wanted.rules.contains(rule) {
                if self.found.rules.contains(rule) {
                    diff.changes.push(Change::RemoveRule(rule.clone()));
                } else {
                    let gone = rule.clone();
                    diff.bookkeeping.push(Box::new(move |record| record.rules.retain(|r| *r != gone)));
                }
            }
        }
        for key in recorded.keys().filter(|key| !wanted.contains(*key)) {
            if found.contains(key) {
                diff.changes.push(Change::RemoveRoute(*key));
            } else {
                let gone = *key;
                diff.bookkeeping.push(Box::new(move |record| record.routes.retain(|r| RouteKey::of(r) != gone)));
            }
        }
        for rule in &self.wanted.rules {
            if !self.found.rules.contains(rule) {
                diff.changes.push(Change::AddRule(rule.clone()));
                let again = rule.clone();
                diff.bookkeeping.push(Box::new(move |record| record.rules.retain(|r| *r != again)));
            }
        }
    }
}

/// Whether an address that shall stay valid for a while has used up a good part of that.
fn runs_out(there: &FoundAddress, wanted: &Address) -> bool {
    let left = there.valid_lifetime.unwrap_or(u32::MAX);
    wanted.valid_lifetime.is_some_and(|wanted| left < wanted - wanted / 4)
}

/// Whether two values of a parameter are the same but for blanks.
fn same_value(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

#[cfg(test)]
mod tests;
