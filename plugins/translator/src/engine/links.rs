//! Interfaces and their addresses, as far as the kernel was asked to tell.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use portreeve_network::Prefix;

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

    pub(super) fn name(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|link| link.name.as_str())
    }

    pub(super) fn named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The address that clients on a link reach us under: `present` if it is still there, otherwise the first global
    /// one, otherwise the first unique local one (RFC 4193).
    pub(super) fn service_address(&self, index: u32, present: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let list = self.addresses.get(&index)?;
        let all = || list.iter().filter(|(_, usable)| *usable).filter_map(|(prefix, _)| routable(prefix.address));
        all()
            .find(|address| Some(*address) == present)
            .or_else(|| all().find(|address| !address.is_unique_local()))
            .or_else(|| all().next())
    }
}

/// An IPv6 address that is good for more than its own link.
fn routable(address: IpAddr) -> Option<Ipv6Addr> {
    let IpAddr::V6(address) = address else { return None };
    let local = address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local();
    (!local && !address.is_multicast() && address.to_ipv4_mapped().is_none()).then_some(address)
}
