//! Links, addresses, routes and neighbours as plain values, and the table of the first two.
//!
//! The table is a state, not a history: whoever follows it compares the last table it saw with the present
//! one ([`LinkTable::changes_since`]), so a burst of kernel events costs one comparison and nothing is lost
//! to a full queue.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge` …; none for hardware.
    pub kind: Option<String>,
    /// Link-layer address, 0 to 32 bytes.
    pub mac: Vec<u8>,
    /// The link-layer address it was made with; empty if it has none.
    pub permanent_mac: Vec<u8>,
    /// Bytes.
    pub mtu: u32,
    /// IFF_UP.
    pub up: bool,
    /// IFF_RUNNING and IFF_LOWER_UP.
    pub running: bool,
    /// IFF_LOOPBACK.
    pub loopback: bool,
    /// IFF_POINTOPOINT.
    pub point_to_point: bool,
    /// IFF_MULTICAST.
    pub multicast: bool,
    /// Index of the bridge, bond or VRF it belongs to.
    pub controller: Option<u32>,
    /// The alias text.
    pub alias: Option<String>,
    /// net.ipv6.conf.NAME.forwarding.
    pub ipv6_forwarding: Option<bool>,
}

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Bits of its prefix.
    pub prefix_length: u8,
    /// Duplicate address detection has not ended.
    pub tentative: bool,
    /// Duplicate address detection failed.
    pub duplicate: bool,
    /// No longer preferred.
    pub deprecated: bool,
    /// RFC 8981.
    pub temporary: bool,
    /// Seconds left when it was read; none for ever.
    pub preferred_lifetime: Option<u32>,
    /// Seconds left when it was read; none for ever.
    pub valid_lifetime: Option<u32>,
}

impl Address {
    /// An address that lasts and can be used.
    #[must_use]
    pub const fn permanent(index: u32, address: IpAddr, prefix_length: u8) -> Self {
        Self {
            index,
            address,
            prefix_length,
            tentative: false,
            duplicate: false,
            deprecated: false,
            temporary: false,
            preferred_lifetime: None,
            valid_lifetime: None,
        }
    }

    /// What identifies an address: interface, address, prefix length.
    #[must_use]
    pub const fn key(&self) -> AddressKey {
        (self.index, self.address, self.prefix_length)
    }
}

/// Interface, address, prefix length.
pub type AddressKey = (u32, IpAddr, u8);

/// One route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination prefix.
    pub destination: (IpAddr, u8),
    /// Next router.
    pub gateway: Option<IpAddr>,
    /// Interface.
    pub index: Option<u32>,
    /// Smaller is better.
    pub metric: u32,
    /// rtm_protocol.
    pub protocol: u8,
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Interface.
    pub index: u32,
    /// Address.
    pub address: IpAddr,
    /// Link-layer address.
    pub mac: Vec<u8>,
    /// Neither incomplete nor failed.
    pub usable: bool,
    /// Has said that it is a router.
    pub router: bool,
}

/// All links and addresses at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkTable {
    /// By index.
    pub links: BTreeMap<u32, Link>,
    /// By interface, address and prefix length.
    pub addresses: BTreeMap<AddressKey, Address>,
}

/// One difference between two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New or different.
    Link(Link),
    /// Gone, with all its addresses.
    LinkGone(u32),
    /// New or different.
    Address(Address),
    /// Gone while its link stays.
    AddressGone(AddressKey),
}

impl LinkTable {
    /// Removes a link and what belongs to it.
    pub fn remove_link(&mut self, index: u32) {
        self.links.remove(&index);
        self.addresses.retain(|key, _| key.0 != index);
    }

    /// The link of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// What became different since `old`, for someone who then saw the links that `before` accepts and now
    /// sees those that `now` accepts: links that went first, then links, then addresses.
    #[must_use]
    pub fn changes_since(&self, old: &Self, before: impl Fn(&str) -> bool, now: impl Fn(&str) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        let was_seen = |index: u32| old.links.get(&index).is_some_and(|l| before(&l.name));
        let is_seen = |index: u32| self.links.get(&index).is_some_and(|l| now(&l.name));
        for &index in old.links.keys() {
            if was_seen(index) && !is_seen(index) {
                changes.push(Change::LinkGone(index));
            }
        }
        for (&index, link) in &self.links {
            if is_seen(index) && !(was_seen(index) && old.links.get(&index) == Some(link)) {
                changes.push(Change::Link(link.clone()));
            }
        }
        for key in old.addresses.keys() {
            if was_seen(key.0) && is_seen(key.0) && !self.addresses.contains_key(key) {
                changes.push(Change::AddressGone(*key));
            }
        }
        for (key, address) in &self.addresses {
            if is_seen(key.0) && !(was_seen(key.0) && old.addresses.get(key) == Some(address)) {
                changes.push(Change::Address(address.clone()));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link { index, name: name.into(), ..Link::default() }
    }

    fn address(index: u32, text: &str) -> Address {
        Address::permanent(index, text.parse().unwrap(), 64)
    }

    fn table(links: &[Link], addresses: &[Address]) -> LinkTable {
        LinkTable {
            links: links.iter().map(|l| (l.index, l.clone())).collect(),
            addresses: addresses.iter().map(|a| (a.key(), a.clone())).collect(),
        }
    }

    #[test]
    fn only_differences_of_visible_links_are_told() {
        let old = table(&[link(1, "lo"), link(2, "lan0")], &[address(2, "fe80::1"), address(1, "::1")]);
        let new = table(&[link(2, "lan0"), link(3, "lan1"), link(4, "wan0")], &[address(3, "fe80::3")]);
        let lan = |name: &str| name.starts_with("lan");
        let changes = new.changes_since(&old, lan, lan);
        assert_eq!(
            changes,
            [
                Change::Link(link(3, "lan1")),
                Change::AddressGone(address(2, "fe80::1").key()),
                Change::Address(address(3, "fe80::3")),
            ]
        );
        assert!(new.changes_since(&new, |_| true, |_| true).is_empty());
    }

    #[test]
    fn a_renamed_link_comes_and_goes_with_the_pattern() {
        let old = table(&[link(2, "eth0")], &[address(2, "fe80::1")]);
        let new = table(&[link(2, "lan0")], &[address(2, "fe80::1")]);
        let lan = |name: &str| name.starts_with("lan");
        assert_eq!(
            new.changes_since(&old, lan, lan),
            [Change::Link(link(2, "lan0")), Change::Address(address(2, "fe80::1"))]
        );
        assert_eq!(old.changes_since(&new, lan, lan), [Change::LinkGone(2)]);
    }

    #[test]
    fn a_wider_grant_shows_what_was_there_all_along() {
        let t = table(&[link(2, "lan0"), link(3, "lan1")], &[address(3, "fe80::3")]);
        let changes = t.changes_since(&t, |n| n == "lan0", |_| true);
        assert_eq!(changes, [Change::Link(link(3, "lan1")), Change::Address(address(3, "fe80::3"))]);
        assert_eq!(t.changes_since(&t, |_| true, |n| n == "lan0"), [Change::LinkGone(3)]);
    }
}
