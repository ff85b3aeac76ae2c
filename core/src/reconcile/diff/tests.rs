//! Comparisons without a kernel.

use portreeve_network::{IpTunnel, Kind, Link, Neighbour, Route, Rule, RuleAction, Veth};

use super::super::record::Before;
use std::collections::BTreeMap;

use portreeve_network::{Address, Sysctl};

use super::*;
use crate::sys::network::{Family, FoundAddress, FoundNeighbour, PROTOCOL};

const OWNER: &str = "interfaces";

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

fn address(interface: &str, text: &str) -> Address {
    Address::new(interface, prefix(text))
}

fn route(to: &str, interface: &str) -> Route {
    Route { interface: Some(interface.to_owned()), ..Route::new(prefix(to)) }
}

fn link(index: u32, name: &str) -> FoundLink {
    FoundLink { index, name: name.to_owned(), up: true, mtu: 1500, mac: vec![2, 0, 0, 0, 0, 1], ..FoundLink::default() }
}

fn made(index: u32, name: &str, kind: &str) -> FoundLink {
    FoundLink { alias: Some(tag(OWNER)), kind: Some(kind.to_owned()), ..link(index, name) }
}

fn held(index: u32, text: &str, protocol: u8) -> FoundAddress {
    FoundAddress { index, address: prefix(text), protocol, valid_lifetime: None, preferred_lifetime: None }
}

fn sit(remote: [u8; 4]) -> Kind {
    Kind::Sit(IpTunnel { remote: Some(remote.into()), ..IpTunnel::default() })
}

/// A kernel that has what it is told, and nothing of anybody else.
#[derive(Default)]
struct Bench {
    wanted: State,
    record: Record,
    found: Found,
    sysctls: BTreeMap<String, String>,
    others: Others,
    permit: Permit,
}

impl Bench {
    fn new() -> Self {
        let found = Found { links: vec![link(2, "lan0")], addresses_are_tagged: true, ..Found::default() };
        Self { found, ..Self::default() }
    }

    fn diff(&self) -> Diff {
        let sysctl = |name: &str| self.sysctls.get(name).cloned();
        Input {
            owner: OWNER,
            wanted: &self.wanted,
            record: &self.record,
            found: &self.found,
            sysctl: &sysctl,
            others: &self.others,
            permit: &self.permit,
        }
        .diff()
    }

    /// The changes; those that must not be there are those that are not listed.
    fn changes(&self) -> Vec<Change> {
        self.diff().changes
    }

    /// What the record says once all changes are made.
    fn noted(&self) -> Record {
        let diff = self.diff();
        let mut record = self.record.clone();
        diff.bookkeeping.into_iter().for_each(|note| note(&mut record));
        record.note(diff.changes);
        record
    }
}

#[test]
fn what_is_there_and_recorded_is_left_alone() {
    let mut bench = Bench::new();
    bench.wanted.addresses = vec![address("lan0", "2001:db8::1/64")];
    bench.wanted.routes = vec![route("2001:db8:1::/48", "lan0")];
    assert_eq!(bench.changes().len(), 2);
    bench.record = bench.noted();
    bench.found.addresses = vec![held(2, "2001:db8::1/64", PROTOCOL)];
    bench.found.routes = vec![RouteKey::of(&bench.wanted.routes[0])];
    assert_eq!(bench.changes(), []);
    assert_eq!(bench.noted(), bench.record);
}

#[test]
fn of_ten_addresses_only_the_one_that_differs_is_sent() {
    let mut bench = Bench::new();
    let all: Vec<_> = (1..=10).map(|n| address("lan0", &format!("2001:db8::{n}/64"))).collect();
    bench.record.addresses.clone_from(&all);
    bench.found.addresses = (1..=10).map(|n| held(2, &format!("2001:db8::{n}/64"), PROTOCOL)).collect();
    bench.wanted.addresses = all[1..].to_vec();
    bench.wanted.addresses.push(address("lan0", "2001:db8::b/64"));
    assert_eq!(
        bench.changes(),
        [
            Change::SetAddress(address("lan0", "2001:db8::b/64")),
            Change::RemoveAddress { index: 2, address: address("lan0", "2001:db8::1/64") },
        ]
    );
}

#[test]
fn what_others_made_is_neither_changed_nor_removed() {
    let mut bench = Bench::new();
    bench.found.addresses = vec![held(2, "2001:db8::1/64", 0), held(2, "2001:db8::2/64", 0)];
    bench.wanted.addresses = vec![address("lan0", "2001:db8::1/64")];
    // Recorded once, removed by hand, and made again by hand.
    bench.record.addresses = vec![address("lan0", "2001:db8::2/64")];
    assert_eq!(bench.changes(), []);
    assert_eq!(bench.noted().addresses, []);
}

#[test]
fn where_addresses_are_not_tagged_the_record_decides() {
    let mut bench = Bench::new();
    bench.found.addresses_are_tagged = false;
    bench.found.addresses = vec![held(2, "2001:db8::1/64", 0), held(2, "2001:db8::2/64", 0)];
    bench.record.addresses = vec![address("lan0", "2001:db8::2/64")];
    let gone = Change::RemoveAddress { index: 2, address: address("lan0", "2001:db8::2/64") };
    assert_eq!(bench.changes(), [gone]);
}

#[test]
fn a_lost_record_leads_to_setting_anew_and_not_to_a_flap() {
    let mut bench = Bench::new();
    bench.wanted.addresses = vec![address("lan0", "2001:db8::1/64")];
    bench.wanted.routes = vec![route("2001:db8:1::/48", "lan0")];
    bench.found.addresses = vec![held(2, "2001:db8::1/64", PROTOCOL)];
    bench.found.routes = vec![RouteKey::of(&bench.wanted.routes[0])];
    let again = [
        Change::SetAddress(address("lan0", "2001:db8::1/64")),
        Change::SetRoute { route: bench.wanted.routes[0].clone(), replace: true },
    ];
    assert_eq!(bench.changes(), again);
}

#[test]
fn an_address_that_runs_out_is_renewed() {
    let mut bench = Bench::new();
    let wanted = Address { valid_lifetime: Some(1000), ..address("lan0", "2001:db8::1/64") };
    bench.wanted.addresses = vec![wanted.clone()];
    bench.record.addresses = vec![wanted.clone()];
    bench.found.addresses = vec![FoundAddress { valid_lifetime: Some(900), ..held(2, "2001:db8::1/64", PROTOCOL) }];
    assert_eq!(bench.changes(), []);
    bench.found.addresses[0].valid_lifetime = Some(500);
    assert_eq!(bench.changes(), [Change::SetAddress(wanted)]);
}

#[test]
fn what_belongs_to_an_absent_interface_waits() {
    let mut bench = Bench::new();
    bench.wanted.links = vec![Link { name: "usb0".into(), up: Some(true), ..Link::default() }];
    bench.wanted.addresses = vec![address("usb0", "2001:db8::1/64")];
    bench.wanted.routes = vec![route("::/0", "usb0")];
    bench.wanted.sysctls = vec![Sysctl { name: "ipv6/conf/usb0/accept_ra".into(), value: "0".into() }];
    let diff = bench.diff();
    assert_eq!(diff.changes, []);
    assert_eq!(diff.waiting, ["usb0".to_owned()].into());
}

#[test]
fn a_made_link_comes_before_what_is_on_it_and_goes_when_it_is_no_longer_stated() {
    let mut bench = Bench::new();
    let kind = sit([192, 0, 2, 1]);
    bench.wanted.links =
        vec![Link { name: "sixbone".into(), make: Some(kind.clone()), up: Some(true), ..Link::default() }];
    bench.wanted.addresses = vec![address("sixbone", "2001:db8:1::2/127")];
    bench.wanted.sysctls = vec![Sysctl { name: "ipv6/conf/sixbone/accept_ra".into(), value: "0".into() }];
    let changes = bench.changes();
    assert!(matches!(&changes[0], Change::MakeLink { name, alias, .. } if name == "sixbone" && *alias == tag(OWNER)));
    assert!(matches!(&changes[1], Change::SetSysctl { .. }));
    assert!(matches!(&changes[2], Change::SetLink { up: Some(true), .. }));
    assert!(matches!(&changes[3], Change::SetAddress(_)));
    bench.record = bench.noted();
    bench.found.links.push(made(7, "sixbone", "sit"));
    bench.found.addresses = vec![held(7, "2001:db8:1::2/127", PROTOCOL)];
    bench.wanted = State::default();
    // The address goes with the link; nothing else is sent but its removal.
    assert_eq!(bench.changes(), [Change::RemoveLink { index: 7, name: "sixbone".into() }]);
    assert_eq!(bench.noted().links, BTreeMap::new());
}

#[test]
fn a_link_of_the_name_that_is_not_ours_is_a_problem_and_nothing_is_done_on_it() {
    let mut bench = Bench::new();
    bench.found.links.push(FoundLink { kind: Some("sit".into()), ..link(7, "sixbone") });
    let kind = sit([192, 0, 2, 1]);
    bench.wanted.links = vec![Link { name: "sixbone".into(), make: Some(kind), up: Some(false), ..Link::default() }];
    bench.wanted.addresses = vec![address("sixbone", "2001:db8:1::2/127")];
    let diff = bench.diff();
    assert_eq!(diff.changes, []);
    assert_eq!(diff.problems.len(), 1);
    assert!(diff.problems[0].1.message.as_ref().unwrap().contains("did not make"));
}

#[test]
fn a_tunnel_with_another_remote_is_changed_and_another_kind_made_anew() {
    let mut bench = Bench::new();
    bench.found.links.push(made(7, "sixbone", "sit"));
    bench.record.links.insert("sixbone".into(), sit([192, 0, 2, 1]));
    let wanted = |kind: Kind| vec![Link { name: "sixbone".into(), make: Some(kind), ..Link::default() }];
    bench.wanted.links = wanted(sit([192, 0, 2, 9]));
    assert_eq!(bench.changes(), [Change::ChangeLink { name: "sixbone".into(), kind: sit([192, 0, 2, 9]) }]);
    bench.wanted.links = wanted(Kind::Tun);
    bench.wanted.addresses = vec![address("sixbone", "2001:db8:1::2/127")];
    bench.record.addresses.clone_from(&bench.wanted.addresses);
    bench.found.addresses = vec![held(7, "2001:db8:1::2/127", PROTOCOL)];
    let changes = bench.changes();
    assert_eq!(changes[0], Change::RemoveLink { index: 7, name: "sixbone".into() });
    assert!(matches!(changes[1], Change::MakeLink { .. }));
    // It was on the old link.
    assert_eq!(changes[2], Change::SetAddress(bench.wanted.addresses[0].clone()));
}

#[test]
fn both_ends_of_a_pair_come_and_go_together() {
    let mut bench = Bench::new();
    let pair = Kind::Veth(Veth { peer: "b".into() });
    bench.wanted.links = vec![
        Link { name: "a".into(), make: Some(pair.clone()), ..Link::default() },
        Link { name: "b".into(), up: Some(true), ..Link::default() },
    ];
    let diff = bench.diff();
    assert_eq!(diff.waiting, BTreeSet::new());
    assert!(diff.changes.iter().any(|c| matches!(c, Change::SetLink { name, up: Some(true), .. } if name == "b")));
}

#[test]
fn a_parameter_is_put_back_unless_somebody_else_changed_it() {
    let mut bench = Bench::new();
    let name = "ipv6/conf/all/forwarding".to_owned();
    bench.sysctls.insert(name.clone(), "0".into());
    bench.wanted.sysctls = vec![Sysctl { name: name.clone(), value: "1".into() }];
    assert_eq!(bench.changes(), [Change::SetSysctl { name: name.clone(), value: "1".into() }]);
    bench.record = bench.noted();
    bench.sysctls.insert(name.clone(), "1".into());
    assert_eq!(bench.changes(), []);
    bench.wanted = State::default();
    assert_eq!(bench.changes(), [Change::SetSysctl { name: name.clone(), value: "0".into() }]);
    assert_eq!(bench.noted().sysctls, BTreeMap::new());
    bench.sysctls.insert(name, "2".into());
    assert_eq!(bench.changes(), []);
}

#[test]
fn a_parameter_that_two_plugins_state_is_put_back_when_the_last_of_them_does_not() {
    let name = "ipv6/conf/all/forwarding".to_owned();
    let mut first = Bench::new();
    first.sysctls.insert(name.clone(), "0".into());
    first.wanted.sysctls = vec![Sysctl { name: name.clone(), value: "1".into() }];
    first.record = first.noted();
    // The second finds it as it is to be.
    let mut second = Bench::new();
    second.sysctls.insert(name.clone(), "1".into());
    second.wanted.sysctls.clone_from(&first.wanted.sysctls);
    second.others = Others::of([&first.record].into_iter());
    assert_eq!(second.changes(), []);
    second.record = second.noted();
    assert_eq!(second.noted(), second.record);
    for (leaves, stays) in [(&first, &second), (&second, &first)] {
        let mut bench = Bench::new();
        bench.sysctls.insert(name.clone(), "1".into());
        bench.record = leaves.record.clone();
        bench.others = Others::of([&stays.record].into_iter());
        assert_eq!(bench.changes(), [], "the other one wants it still");
        assert_eq!(bench.noted().sysctls, BTreeMap::new());
        bench.record = stays.record.clone();
        bench.others = Others::default();
        assert_eq!(bench.changes(), [Change::SetSysctl { name: name.clone(), value: "0".into() }]);
    }
}

#[test]
fn a_link_of_others_gets_its_mtu_back_and_leaves_the_bridge() {
    let mut bench = Bench::new();
    bench.found.links.push(made(9, "br0", "bridge"));
    bench.record.links.insert("br0".into(), Kind::Bridge(portreeve_network::Bridge::default()));
    let bridge = Link { name: "br0".into(), make: bench.record.links.get("br0").cloned(), ..Link::default() };
    let port = Link { name: "lan0".into(), mtu: Some(1400), controller: Some("br0".into()), ..Link::default() };
    bench.wanted.links = vec![bridge.clone(), port];
    let joined = Change::SetLink {
        name: "lan0".into(),
        up: None,
        mtu: Some(1400),
        mac: None,
        controller: Some(Some("br0".into())),
    };
    assert_eq!(bench.changes(), [joined]);
    bench.record = bench.noted();
    let before =
        Before { mtu: Some(1500), set_mtu: Some(1400), given_controller: Some("br0".into()), ..Before::default() };
    assert_eq!(bench.record.before.get("lan0"), Some(&before));
    bench.found.links[0] = FoundLink { mtu: 1400, controller: Some(9), ..link(2, "lan0") };
    assert_eq!(bench.changes(), []);
    bench.wanted.links = vec![bridge];
    let left = Change::SetLink { name: "lan0".into(), up: None, mtu: Some(1500), mac: None, controller: Some(None) };
    assert_eq!(bench.changes(), [left]);
    assert_eq!(bench.noted().before, BTreeMap::new());
}

#[test]
fn a_renamed_link_goes_down_and_comes_up_again_under_its_new_name() {
    let mut bench = Bench::new();
    bench.wanted.links = vec![Link { name: "wan0".into(), index: Some(2), up: Some(true), ..Link::default() }];
    bench.wanted.addresses = vec![address("wan0", "192.0.2.2/30")];
    assert_eq!(
        bench.changes(),
        [
            Change::RenameLink { index: 2, name: "wan0".into(), up: true },
            Change::SetLink { name: "wan0".into(), up: Some(true), mtu: None, mac: None, controller: None },
            Change::SetAddress(address("wan0", "192.0.2.2/30")),
        ]
    );
}

#[test]
fn a_route_of_another_plugin_is_a_problem() {
    let mut bench = Bench::new();
    bench.wanted.routes = vec![route("::/0", "lan0")];
    let mut theirs = Record::default();
    theirs.routes.clone_from(&bench.wanted.routes);
    bench.others = Others::of([&theirs].into_iter());
    let diff = bench.diff();
    assert_eq!(diff.changes, []);
    assert_eq!(diff.problems.len(), 1);
}

#[test]
fn rules_and_neighbours_come_and_go() {
    let mut bench = Bench::new();
    let rule = Rule {
        priority: 1000,
        family: Family::Ipv6,
        source: Some(prefix("2001:db8:60::/60")),
        destination: None,
        incoming: None,
        outgoing: None,
        mark: None,
        action: RuleAction::Lookup(100),
        suppress_prefix_length: None,
    };
    let neighbour = Neighbour {
        interface: "lan0".into(),
        address: "2001:db8::9".parse().unwrap(),
        mac: Some(vec![2, 0, 0, 0, 0, 9]),
    };
    bench.wanted.rules = vec![rule.clone()];
    bench.wanted.neighbours = vec![neighbour.clone()];
    assert_eq!(bench.changes(), [Change::SetNeighbour(neighbour.clone()), Change::AddRule(rule.clone())]);
    bench.record = bench.noted();
    bench.found.rules = vec![rule.clone()];
    bench.found.neighbours = vec![FoundNeighbour { index: 2, address: neighbour.address, mac: neighbour.mac.clone() }];
    assert_eq!(bench.changes(), []);
    bench.wanted = State::default();
    assert_eq!(bench.changes(), [Change::RemoveNeighbour(neighbour), Change::RemoveRule(rule)]);
}

#[test]
fn what_is_set_for_all_interfaces_is_set_back_for_the_one_that_shall_differ() {
    let mut bench = Bench::new();
    let sysctl = |name: &str, value: &str| Sysctl { name: name.into(), value: value.into() };
    bench.sysctls.insert("ipv6/conf/all/forwarding".into(), "0".into());
    bench.sysctls.insert("ipv6/conf/lan0/forwarding".into(), "0".into());
    bench.wanted.sysctls = vec![sysctl("ipv6/conf/lan0/forwarding", "0"), sysctl("ipv6/conf/all/forwarding", "1")];
    let set = |name: &str, value: &str| Change::SetSysctl { name: name.into(), value: value.into() };
    assert_eq!(bench.changes(), [set("ipv6/conf/all/forwarding", "1"), set("ipv6/conf/lan0/forwarding", "0")]);
}

#[test]
fn the_first_ipv4_address_of_a_network_goes_and_the_kernel_is_told_to_keep_the_others() {
    let mut bench = Bench::new();
    bench.record.addresses = vec![address("lan0", "192.0.2.1/24"), address("lan0", "192.0.2.2/24")];
    bench.found.addresses = vec![held(2, "192.0.2.1/24", PROTOCOL), held(2, "192.0.2.2/24", PROTOCOL)];
    bench.wanted.addresses = vec![address("lan0", "192.0.2.2/24")];
    bench.sysctls.insert("ipv4/conf/lan0/promote_secondaries".into(), "0".into());
    let set =
        |value: &str| Change::SetSysctl { name: "ipv4/conf/lan0/promote_secondaries".into(), value: value.into() };
    let gone = Change::RemoveAddress { index: 2, address: address("lan0", "192.0.2.1/24") };
    assert_eq!(bench.changes(), [set("1"), gone, set("0")]);
}

#[test]
fn what_is_stated_twice_is_made_once_and_told() {
    let mut bench = Bench::new();
    bench.wanted.routes =
        vec![route("::/0", "lan0"), Route { gateway: "fe80::1".parse().ok(), ..route("::/0", "lan0") }];
    bench.wanted.addresses = vec![address("lan0", "2001:db8::1/64"), address("lan0", "2001:db8::1/64")];
    let diff = bench.diff();
    assert_eq!((diff.changes.len(), diff.problems.len()), (2, 2));
}

#[test]
fn two_links_that_change_names_pass_each_other() {
    let mut bench = Bench::new();
    bench.found.links = vec![link(2, "eth0"), link(3, "eth1")];
    let named = |name: &str, index| Link { name: name.into(), index: Some(index), ..Link::default() };
    bench.wanted.links = vec![named("eth1", 2), named("eth0", 3)];
    let rename = |index, name: &str| Change::RenameLink { index, name: name.into(), up: true };
    assert_eq!(bench.changes()[..3], [rename(3, "ptr3"), rename(2, "eth1"), rename(3, "eth0")]);
}

#[test]
fn a_tagged_link_without_a_record_goes_when_nobody_states_it_and_one_that_may_not_be_renamed_stays() {
    let mut bench = Bench::new();
    bench.found.links.push(made(7, "old0", "bridge"));
    assert_eq!(bench.changes(), [Change::RemoveLink { index: 7, name: "old0".into() }]);
    bench.permit.configure = std::sync::Arc::new(|name| name != "lan0");
    bench.wanted.links = vec![Link { name: "wan0".into(), index: Some(2), ..Link::default() }];
    let diff = bench.diff();
    assert_eq!((diff.changes.len(), diff.problems.len()), (1, 1));
}
