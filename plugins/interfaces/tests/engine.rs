//! Links that come and go: when an apply is asked for, when it is tried again, what is said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Lab, config, held, link, prefix};
use portreeve_interfaces::Instant;
use portreeve_interfaces::engine::{Action, InterfaceState, Link};

const PLAIN: &str = "(interfaces: {\"lan0\": (addresses: [\"192.0.2.1/24\"])})";

#[test]
fn a_link_that_is_there_is_set_up_and_ready_is_said_once() {
    let mut lab = Lab::new(PLAIN);
    lab.engine.handle_link(link(2, "lan0"));
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.applies.len(), 1);
    assert_eq!(lab.state().links[0].up, Some(true));
    assert_eq!(lab.state().addresses[0].interface, "lan0");
    assert_eq!(lab.pass(3600), []);
    assert_eq!(lab.applies.len(), 1);
}

#[test]
fn late_hardware_degrades_after_ten_seconds_and_is_ready_when_it_comes() {
    let mut lab = Lab::new(PLAIN);
    lab.outcome.waiting = vec!["lan0".into()];
    assert_eq!(lab.settle(), []);
    assert_eq!(lab.names(), ["lan0"], "the host knows what waits");
    assert_eq!(lab.pass(9), []);
    assert_eq!(lab.pass(1), [Action::Degraded("lan0 is absent".into())]);
    lab.outcome.waiting.clear();
    lab.engine.handle_link(link(2, "lan0"));
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.applies.len(), 2);
}

#[test]
fn an_optional_interface_may_be_absent_and_so_may_what_only_it_needs() {
    let text =
        "(interfaces: {\"usb0\": (optional: true), \"usb0.5\": (kind: Vlan(parent: \"usb1\", id: 5), optional: true)})";
    let mut lab = Lab::new(text);
    lab.outcome.waiting = vec!["usb0".into(), "usb1".into()];
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.pass(60), []);
}

#[test]
fn an_interface_that_is_unplugged_and_plugged_in_again_is_set_up_again() {
    let mut lab = Lab::new(PLAIN);
    lab.engine.handle_link(link(2, "lan0"));
    lab.settle();
    lab.engine.handle_link_gone(2);
    lab.outcome.waiting = vec!["lan0".into()];
    assert_eq!(lab.pass(10), [Action::Degraded("lan0 is absent".into())]);
    lab.outcome.waiting.clear();
    lab.engine.handle_link(link(7, "lan0"));
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.applies.len(), 3);
}

#[test]
fn what_does_not_concern_the_section_asks_for_nothing() {
    let mut lab = Lab::new(PLAIN);
    lab.engine.handle_link(link(2, "lan0"));
    lab.settle();
    for index in 10..200 {
        lab.engine.handle_link(link(index, &format!("veth{index}")));
        lab.engine.handle_address(held(index, "2001:db8::1/64"));
        lab.engine.handle_address_gone(index, prefix("2001:db8::1/64"));
        lab.engine.handle_link(Link { up: false, ..link(index, &format!("veth{index}")) });
        lab.engine.handle_link(link(index, &format!("veth{index}")));
        lab.engine.handle_link_gone(index);
        lab.engine.handle_link(Link { mtu: 1400 + index, ..link(2, "lan0") });
        lab.engine.handle_address_gone(2, prefix("fe80::1/64"));
        assert_eq!(lab.settle(), []);
    }
    lab.engine.reconfigure(config(PLAIN));
    assert_eq!(lab.applies_to_settle(), 0);
    assert_eq!(lab.applies.len(), 1);
}

#[test]
fn what_the_kernel_forgot_is_asked_for_again() {
    let text = "(interfaces: {\"lan0\": (addresses: [\"192.0.2.1/24\"]), \"br0\": (kind: Bridge(ports: [\"eth1\"]))})";
    let mut lab = Lab::new(text);
    let port = Link { controller: Some(4), ..link(3, "eth1") };
    for link in [link(2, "lan0"), port, Link { kind: Some("bridge".into()), ..link(4, "br0") }] {
        lab.engine.handle_link(link);
    }
    lab.settle();
    lab.engine.handle_address_gone(2, prefix("192.0.2.1/24"));
    assert_eq!(lab.applies_to_settle(), 1, "an address of ours");
    lab.engine.handle_link(Link { up: false, ..link(2, "lan0") });
    assert_eq!(lab.applies_to_settle(), 0, "somebody set it down, and will have his reasons");
    lab.engine.handle_link(link(2, "lan0"));
    assert_eq!(lab.applies_to_settle(), 1, "up again");
    lab.engine.handle_link(link(3, "eth1"));
    assert_eq!(lab.applies_to_settle(), 1, "a port that left");
    lab.engine.handle_link_gone(4);
    assert_eq!(lab.applies_to_settle(), 1, "a link we made");
}

#[test]
fn what_an_apply_brings_about_asks_for_no_other() {
    let mut lab = Lab::new(
        "(interfaces: {\"br0\": (kind: Bridge(ports: [\"eth1\"])), \"lan0\": (match: (mac: \"02:00:00:00:00:02\"))})",
    );
    lab.engine.handle_link(Link { up: false, ..link(2, "eth0") });
    lab.engine.handle_link(Link { up: false, ..link(3, "eth1") });
    assert_eq!(lab.applies_to_settle(), 1);
    let bridge = Link { kind: Some("bridge".into()), ..link(9, "br0") };
    lab.engine.handle_link(Link { up: false, ..bridge.clone() });
    lab.engine.handle_link(Link { controller: Some(9), up: false, ..link(3, "eth1") });
    lab.engine.handle_link(Link { controller: Some(9), ..link(3, "eth1") });
    lab.engine.handle_link(bridge);
    lab.engine.handle_link(Link { up: false, ..link(2, "lan0") });
    lab.engine.handle_link(link(2, "lan0"));
    assert_eq!(lab.applies_to_settle(), 0);
    assert_eq!(lab.engine.state().links.iter().find(|link| link.name == "lan0").unwrap().index, None);
}

#[test]
fn problems_are_tried_again_after_one_two_four_and_at_most_sixty_seconds() {
    let mut lab = Lab::new(PLAIN);
    lab.engine.handle_link(link(2, "lan0"));
    lab.fail("address 192.0.2.1/24 on lan0");
    let said = lab.settle();
    assert_eq!(said, [Action::Degraded("address 192.0.2.1/24 on lan0: permission denied".into())]);
    assert_eq!(lab.pass(300), [], "the same is said once");
    let times: Vec<u64> = lab.applies.windows(2).map(|two| two[1].0.since(two[0].0).as_secs()).collect();
    assert_eq!(times, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    lab.outcome.problems.clear();
    assert_eq!(lab.pass(60), [Action::Ready]);
    assert_eq!(lab.engine.poll_timeout(), None);
}

#[test]
fn an_address_with_lifetimes_is_given_new_ones_at_half_time() {
    let address = "(address: \"2001:db8::1/64\", preferred_lifetime: \"1h\", valid_lifetime: \"2h\")";
    let mut lab = Lab::new(&format!("(interfaces: {{\"lan0\": (addresses: [{address}])}})"));
    lab.engine.handle_link(link(2, "lan0"));
    assert_eq!(lab.pass(3600), [Action::Ready]);
    let times: Vec<u64> = lab.applies.windows(2).map(|two| two[1].0.since(two[0].0).as_secs()).collect();
    assert_eq!(times, [1800, 1800]);
    // One that is never preferred has nothing to renew but what ends.
    let mut lab = Lab::new(&format!("(interfaces: {{\"lan0\": (addresses: [{}])}})", address.replace("1h", "0s")));
    lab.engine.handle_link(link(2, "lan0"));
    lab.pass(3600);
    assert_eq!(lab.applies.len(), 2);
}

#[test]
fn an_address_that_somebody_else_has_is_told() {
    let mut lab = Lab::new("(interfaces: {\"lan0\": (addresses: [\"2001:db8::1/64\"])})");
    lab.engine.handle_link(link(2, "lan0"));
    lab.settle();
    let mut address = held(2, "2001:db8::1/64");
    address.tentative = true;
    lab.engine.handle_address(address);
    assert_eq!(lab.engine.status().interfaces[0].state, InterfaceState::Tentative);
    address.duplicate = true;
    lab.engine.handle_address(address);
    let expected = "address 2001:db8::1/64 on lan0: another machine on the link has it, too";
    assert_eq!(lab.settle(), [Action::Degraded(expected.into())]);
    assert_eq!(lab.engine.status().interfaces[0].state, InterfaceState::Duplicate);
    lab.engine.handle_address(held(2, "2001:db8::1/64"));
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.applies.len(), 1);
}

#[test]
fn another_section_takes_the_place_of_the_old_one() {
    let mut lab = Lab::new(PLAIN);
    lab.engine.handle_link(link(2, "lan0"));
    lab.settle();
    lab.engine.reconfigure(config("(interfaces: {\"lan1\": (up: false)})"));
    lab.settle();
    assert_eq!(lab.names(), ["lan1"]);
    assert!(lab.state().addresses.is_empty());
}

#[test]
fn parameters_have_slashes_and_forwarding_comes_first() {
    let text = "(forwarding: (ipv6: true, ipv4: true), sysctls: {\"ipv4.tcp_ecn\": \"1\"}, interfaces: { \"eth0.5\": \
                (accept_ra: Always, sysctls: {\"ipv4.arp_ignore\": \"2\"}, proxy: [\"2001:db8::5\"]) })";
    let mut lab = Lab::new(text);
    lab.settle();
    let all: Vec<_> = lab.state().sysctls.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
    assert_eq!(
        all,
        [
            "ipv4/ip_forward=1",
            "ipv6/conf/all/forwarding=1",
            "ipv4/tcp_ecn=1",
            "ipv6/conf/eth0.5/accept_ra=2",
            "ipv6/conf/eth0.5/proxy_ndp=1",
            "ipv4/conf/eth0.5/arp_ignore=2"
        ]
    );
    assert!(lab.state().sysctls.iter().all(portreeve_network::Sysctl::is_legal));
}

#[test]
fn the_status_tells_how_far_each_interface_is() {
    let text = "(interfaces: { \"a\": (), \"b\": (optional: true), \"c\": (), \"d*\": (), \"e\": (kind: Dummy) })";
    let mut lab = Lab::new(text);
    lab.engine.handle_link(Link { up: false, running: false, ..link(3, "c") });
    lab.engine.handle_link(Link { running: false, ..link(4, "d0") });
    lab.settle();
    let rows: Vec<_> = lab.engine.status().interfaces.into_iter().map(|row| (row.name, row.kind, row.state)).collect();
    let row = |name: &str, kind: &str, state| (name.to_owned(), kind.to_owned(), state);
    assert_eq!(
        rows,
        [
            row("a", "hardware", InterfaceState::Waiting),
            row("b", "hardware", InterfaceState::Absent),
            row("c", "hardware", InterfaceState::Down),
            row("e", "dummy", InterfaceState::Waiting),
            row("d0", "hardware", InterfaceState::NoCarrier)
        ]
    );
}

#[test]
fn an_earlier_time_than_before_harms_nothing() {
    let mut lab = Lab::new(PLAIN);
    lab.outcome.waiting = vec!["lan0".into()];
    lab.settle();
    lab.engine.handle_timeout(Instant::ZERO);
    assert_eq!(lab.settle(), []);
}

#[test]
fn a_link_whose_name_cannot_be_stated_spoils_nothing_for_those_that_a_pattern_stands_for() {
    let mut lab = Lab::new("(interfaces: {\"*\": (mtu: 1400)})");
    lab.engine.handle_link(link(2, "lan0"));
    lab.engine.handle_link(link(3, "lan+\n"));
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.names(), ["lan0"]);
}
