//! Interfaces and their addresses, as far as the kernel was asked to tell: which are there, and what an end that is
//! given as an interface comes to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use portreeve_network::{Family, Prefix};

use super::types::Link;

#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<u32, Link>,
    /// In the order they came, each with whether it may be used.
    addresses: BTreeMap<u32, Vec<(Prefix, bool)>>,
}

impl Links {
    /// Takes a link as it is now. Gives whether one of this name was not there before.
    pub(super) fn set(&mut self, link: Link) -> bool {
        let known = self.links.get(&link.index).is_some_and(|old| old.name == link.name);
        self.links.insert(link.index, link);
        !known
    }

    /// Gives the name of what was there.
    pub(super) fn remove(&mut self, index: u32) -> Option<String> {
        self.addresses.remove(&index);
        self.links.remove(&index).map(|link| link.name)
    }

    pub(super) fn set_address(&mut self, index: u32, prefix: Prefix, usable: bool) {
        let list = self.addresses.entry(index).or_default();
        match list.iter_mut().find(|(known, _)| *known == prefix) {
            Some(known) => known.1 = usable,
            None => list.push((prefix, usable)),
        }
    }

    pub(super) fn remove_address(&mut self, index: u32, prefix: Prefix) {
        if let Some(list) = self.addresses.get_mut(&index) {
            list.retain(|(known, _)| *known != prefix);
        }
    }

    pub(super) fn name(&self, index: u32) -> Option<String> {
        self.links.get(&index).map(|link| link.name.clone())
    }

    pub(super) fn named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The address of an interface to send from: `present` if it is still there, otherwise the first global one;
    /// unique local ones (RFC 4193) only where there is no other.
    pub(super) fn source(&self, name: &str, family: Family, present: Option<IpAddr>) -> Option<IpAddr> {
        let list = self.addresses.get(&self.named(name)?.index)?;
        let usable = || {
            let all = list.iter().filter(|(_, usable)| *usable).map(|(prefix, _)| prefix.address);
            all.filter(|address| Family::of(*address) == family && is_global(*address))
        };
        let local = |address: &IpAddr| matches!(address, IpAddr::V6(a) if a.is_unique_local());
        usable()
            .find(|address| Some(*address) == present)
            .or_else(|| usable().find(|address| !local(address)))
            .or_else(|| usable().next())
    }
}

/// Good for other links, too; private IPv4 addresses are, behind a NAT.
fn is_global(address: IpAddr) -> bool {
    let on_link = match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    };
    !on_link && crate::config::unusable(address).is_none()
}
