//! The part of the comparison on addresses and neighbours.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use portreeve_network::Address;

use super::{Diff, Input, Links, Place};
use crate::sys::network::{Change, FoundAddress, FoundLink, PROTOCOL, Prefix};

impl Input<'_> {
    pub(super) fn addresses(&self, links: &Links<'_>, diff: &mut Diff) {
        let found: HashMap<(u32, Prefix), &FoundAddress> =
            self.found.addresses.iter().map(|a| ((a.index, a.address), a)).collect();
        let recorded: HashMap<(&str, Prefix), &Address> =
            self.record.addresses.iter().map(|a| ((a.interface.as_str(), a.address), a)).collect();
        let is_ours = |address: &FoundAddress, recorded: Option<&&Address>| {
            if self.found.addresses_are_tagged { address.protocol == PROTOCOL } else { recorded.is_some() }
        };
        let is_shared = |a: &Address| self.others.addresses.contains(&(a.interface.clone(), a.address));
        let (mut wanted, mut kept) = (HashSet::new(), HashSet::new());
        for address in &self.wanted.addresses {
            let key = (address.interface.as_str(), address.address);
            if !wanted.insert(key) {
                diff.stated_twice(&Change::SetAddress(address.clone()));
                continue;
            }
            if is_shared(address) {
                diff.is_anothers(&Change::SetAddress(address.clone()));
                continue;
            }
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
            kept.extend(links.present(&address.interface).map(|link| (link.index, address.address)));
            if let Some(there) = there {
                let differs = known != Some(&address) || runs_out(there, address);
                if !is_ours(there, known) || !differs {
                    continue;
                }
                // The kernel does not change these of an IPv4 address that is there.
                if let Some(known) = known.filter(|known| is_rigidly_different(known, address)) {
                    diff.changes.push(Change::RemoveAddress { index: there.index, address: (*known).clone() });
                }
            }
            diff.changes.push(Change::SetAddress(address.clone()));
        }
        let first = diff.changes.len();
        let mut gone = HashSet::new();
        for address in self.record.addresses.iter().filter(|a| !wanted.contains(&(a.interface.as_str(), a.address))) {
            let key = (address.interface.as_str(), address.address);
            let link = links.present(&address.interface);
            let there = link.and_then(|link| found.get(&(link.index, address.address)));
            // Under another name of the same interface it may well be stated.
            let goes = |there: &&&FoundAddress| {
                is_ours(there, recorded.get(&key))
                    && !is_shared(address)
                    && !kept.contains(&(there.index, there.address))
            };
            match there.filter(goes) {
                Some(there) => {
                    diff.changes.push(Change::RemoveAddress { index: there.index, address: address.clone() });
                }
                None => drop(gone.insert((address.interface.clone(), address.address))),
            }
        }
        if !gone.is_empty() {
            diff.note(move |record| {
                record.addresses.retain(|a| !gone.contains(&(a.interface.clone(), a.address)));
            });
        }
        self.keep_secondaries(first, diff);
    }

    /// With the first IPv4 address of a network the kernel removes the others of that network, unless it is told to promote
    /// one of them. It is, around the removals that begin at `first`.
    fn keep_secondaries(&self, first: usize, diff: &mut Diff) {
        let interface = |change: &Change| match change {
            Change::RemoveAddress { address: a, .. } if a.address.address.is_ipv4() => Some(a.interface.clone()),
            _ => None,
        };
        let mut removals = diff.changes.split_off(first);
        // The last ones first: then most go without a promotion.
        removals.reverse();
        let names: BTreeSet<String> = removals.iter().filter_map(interface).collect();
        let parameter = |name: &String| format!("ipv4/conf/{name}/promote_secondaries");
        let off: Vec<String> =
            names.iter().map(parameter).filter(|name| (self.sysctl)(name).as_deref() == Some("0")).collect();
        let set = |value: &'static str| {
            move |name: &String| Change::SetSysctl { name: name.clone(), value: value.to_owned() }
        };
        diff.changes.extend(off.iter().map(set("1")));
        diff.changes.extend(removals);
        diff.changes.extend(off.iter().map(set("0")));
    }

    pub(super) fn neighbours(&self, links: &Links<'_>, diff: &mut Diff) {
        let held: HashSet<(u32, IpAddr, Option<&[u8]>)> =
            self.found.neighbours.iter().map(|n| (n.index, n.address, n.mac.as_deref())).collect();
        let key = |n: &portreeve_network::Neighbour| (n.interface.clone(), n.address, n.mac.is_none());
        let is_shared =
            |n: &portreeve_network::Neighbour| self.others.neighbours.contains(&(n.interface.clone(), n.address));
        let mut wanted = HashSet::new();
        for neighbour in &self.wanted.neighbours {
            if !wanted.insert(key(neighbour)) {
                diff.stated_twice(&Change::SetNeighbour(neighbour.clone()));
                continue;
            }
            if is_shared(neighbour) {
                diff.is_anothers(&Change::SetNeighbour(neighbour.clone()));
                continue;
            }
            let there = match links.place(&neighbour.interface) {
                Place::There(link) => held.contains(&(link.index, neighbour.address, neighbour.mac.as_deref())),
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
        let mut gone = HashSet::new();
        for neighbour in self.record.neighbours.iter().filter(|n| !wanted.contains(&key(n))) {
            // Only as it was set: what somebody changed since is theirs.
            let is_as_set =
                |link: &FoundLink| held.contains(&(link.index, neighbour.address, neighbour.mac.as_deref()));
            match links.place(&neighbour.interface) {
                Place::There(link) if is_as_set(link) && !is_shared(neighbour) => {
                    diff.changes.push(Change::RemoveNeighbour(neighbour.clone()));
                }
                _ => drop(gone.insert(neighbour.clone())),
            }
        }
        if !gone.is_empty() {
            diff.note(move |record| record.neighbours.retain(|n| !gone.contains(n)));
        }
    }
}

/// Whether an address that shall stay valid or preferred for a while has used up a good part of that.
fn runs_out(there: &FoundAddress, wanted: &Address) -> bool {
    let low = |left: Option<u32>, wanted: Option<u32>| {
        wanted.is_some_and(|wanted| wanted > 0 && left.unwrap_or(u32::MAX) < wanted - wanted / 4)
    };
    low(there.valid_lifetime, wanted.valid_lifetime) || low(there.preferred_lifetime, wanted.preferred_lifetime)
}

/// Whether an IPv4 address would have to be made anew to become the other.
fn is_rigidly_different(known: &Address, wanted: &Address) -> bool {
    let makes_route = |address: &Address| address.prefix_metric != Some(0);
    wanted.address.address.is_ipv4() && (known.peer != wanted.peer || makes_route(known) != makes_route(wanted))
}
