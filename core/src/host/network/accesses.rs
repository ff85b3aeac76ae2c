//! What a stated network touches, as accesses to ask of the grant.

use std::collections::BTreeSet;

use portreeve_network::{Kind, MAIN_TABLE, RuleAction, State as Wanted};

use crate::grants::Access;
use crate::sys::LinkTable;

/// The number in `tables` that stands for rules that lead to no table.
const NO_TABLE: u32 = 0;

/// Everything in it, each interface once. `table` knows the present names of links.
pub(super) fn accesses<'a>(wanted: &'a Wanted, table: &'a LinkTable) -> impl Iterator<Item = Access<'a>> {
    let mut accesses = Vec::new();
    let mut interfaces = BTreeSet::new();
    for link in &wanted.links {
        interfaces.insert(link.name.as_str());
        interfaces.extend(link.controller.as_deref());
        interfaces.extend(link.index.and_then(|index| table.links.get(&index)).map(|there| there.name.as_str()));
        if let Some(kind) = &link.make {
            accesses.push(Access::Create(&link.name, kind.name()));
            accesses.extend(of_kind(kind));
            interfaces.extend(lies_on(kind));
            accesses.extend(keys(kind).map(Access::Key));
        }
    }
    for address in &wanted.addresses {
        interfaces.insert(address.interface.as_str());
        accesses.extend(address.wide_route().map(Access::Route));
    }
    interfaces.extend(wanted.neighbours.iter().map(|n| n.interface.as_str()));
    for route in &wanted.routes {
        interfaces.extend(route.interface.as_deref());
        accesses.push(Access::Route(route.destination));
        accesses.extend((route.table != MAIN_TABLE).then_some(Access::Table(route.table)));
    }
    for rule in &wanted.rules {
        accesses.push(Access::Table(match rule.action {
            RuleAction::Lookup(table) => table,
            _ => NO_TABLE,
        }));
    }
    accesses.extend(wanted.masquerades.iter().map(|masquerade| Access::Masquerade(masquerade.source)));
    for sysctl in &wanted.sysctls {
        match sysctl.interface() {
            Some(interface) => drop(interfaces.insert(interface)),
            None => accesses.push(Access::Sysctl(&sysctl.name)),
        }
    }
    interfaces.into_iter().map(Access::Configure).chain(accesses)
}

/// The other end of a pair is made as well; a routing domain has its table.
fn of_kind(kind: &Kind) -> Option<Access<'_>> {
    match kind {
        Kind::Veth(veth) => Some(Access::Create(&veth.peer, "veth")),
        Kind::Vrf { table } => Some(Access::Table(*table)),
        _ => None,
    }
}

fn lies_on(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Vlan(vlan) => Some(&vlan.parent),
        Kind::Macvlan(macvlan) => Some(&macvlan.parent),
        _ => None,
    }
}

fn keys(kind: &Kind) -> impl Iterator<Item = &str> {
    let wireguard = match kind {
        Kind::WireGuard(wireguard) => Some(wireguard),
        _ => None,
    };
    wireguard.into_iter().flat_map(|w| {
        std::iter::once(w.key.as_str()).chain(w.peers.iter().filter_map(|peer| peer.preshared_key.as_deref()))
    })
}

#[cfg(test)]
mod tests {
    use portreeve_network::{Address, Family, Link, Prefix, Rule};

    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap())
    }

    fn address(text: &str) -> Address {
        Address {
            interface: "lan0".to_owned(),
            address: prefix(text),
            peer: None,
            preferred_lifetime: None,
            valid_lifetime: None,
            dad: true,
            prefix_metric: None,
        }
    }

    #[test]
    fn an_address_with_a_very_short_prefix_needs_its_route() {
        for ordinary in ["10.1.2.3/8", "192.0.2.1/32", "2001:db8::1/32", "fe80::1/64"] {
            assert_eq!(address(ordinary).wide_route(), None, "{ordinary}");
        }
        assert_eq!(address("10.1.2.3/7").wide_route(), Some(prefix("10.0.0.0/7")));
        assert_eq!(address("192.0.2.1/1").wide_route(), Some(prefix("128.0.0.0/1")));
        assert_eq!(address("2001:db8::1/3").wide_route(), Some(prefix("2000::/3")));
        assert_eq!(address("2001:db8::1/0").wide_route(), Some(prefix("::/0")));
    }

    #[test]
    fn no_route_of_an_address_needs_none_and_with_a_peer_it_is_the_peers() {
        assert_eq!((Address { prefix_metric: Some(0), ..address("10.1.2.3/1") }).wide_route(), None);
        let peer = Some("192.0.2.1".parse().unwrap());
        assert_eq!((Address { peer, ..address("10.1.2.3/1") }).wide_route(), Some(prefix("128.0.0.0/1")));
        assert_eq!((Address { peer, ..address("10.1.2.3/32") }).wide_route(), None);
    }

    #[test]
    fn a_routing_domain_needs_its_table_and_a_rule_where_it_leads() {
        let make = Some(Kind::Vrf { table: 7 });
        let links = vec![Link { name: "red".to_owned(), make, ..Link::default() }];
        let rule = |action| Rule {
            priority: 1,
            family: Family::Ipv4,
            source: None,
            destination: None,
            incoming: None,
            outgoing: None,
            mark: None,
            action,
            suppress_prefix_length: None,
        };
        let rules = vec![rule(RuleAction::Lookup(8)), rule(RuleAction::Blackhole)];
        let wanted = Wanted { links, rules, ..Wanted::default() };
        let table = LinkTable::default();
        let found: Vec<_> = accesses(&wanted, &table).collect();
        let expected = [
            Access::Configure("red"),
            Access::Create("red", "vrf"),
            Access::Table(7),
            Access::Table(8),
            Access::Table(NO_TABLE),
        ];
        assert_eq!(found, expected);
    }
}
