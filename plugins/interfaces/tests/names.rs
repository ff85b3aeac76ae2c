//! Which link has which name and settings: hardware that is renamed, patterns, the order of links.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Lab, link};
use portreeve_interfaces::engine::{Action, Hardware, Link};
use portreeve_network::Kind;

#[test]
fn hardware_is_renamed_by_mac_driver_or_place() {
    let text = "(interfaces: { \"a\": (match: (mac: \"02:00:5e:10:00:01\")), \"b\": (match: (driver: \"e1000*\")), \
                \"c\": (match: (path: \"pci-0000:03:00.0*\")), \"d\": (match: (mac: \"02:00:00:00:00:04\")) })";
    let mut lab = Lab::new(text);
    for index in 1..=4 {
        lab.engine.handle_link(link(index, &format!("eth{index}")));
    }
    // A VLAN has the address of the hardware below.
    lab.engine.handle_link(Link { index: 5, kind: Some("vlan".into()), name: "eth4.1".into(), ..link(4, "") });
    let hardware = |index, mac: &[u8], driver: &str, path: &str| Hardware {
        index,
        permanent_mac: mac.to_vec(),
        driver: Some(driver.into()),
        path: Some(path.into()),
    };
    lab.engine.handle_hardware(vec![
        hardware(1, &[2, 0, 0x5e, 0x10, 0, 1], "r8169", "/devices/pci0000:00/0000:01:00.0"),
        hardware(2, &[], "e1000e", "/devices/pci0000:00/0000:02:00.0"),
        hardware(3, &[], "virtio_net", "/devices/pci0000:00/0000:03:00.0/virtio2"),
    ]);
    assert_eq!(lab.settle(), [Action::Ready]);
    let links: Vec<_> = lab.state().links.iter().map(|link| (link.name.as_str(), link.index)).collect();
    assert_eq!(links, [("a", Some(1)), ("b", Some(2)), ("c", Some(3)), ("d", Some(4))]);
}

#[test]
fn a_name_is_not_given_to_the_wrong_hardware() {
    let mut lab =
        Lab::new("(interfaces: {\"lan0\": (match: (mac: \"02:00:00:00:00:09\"), addresses: [\"192.0.2.1/24\"])})");
    lab.engine.handle_link(link(2, "lan0"));
    assert_eq!(lab.settle(), []);
    assert_eq!((lab.state().links.len(), lab.state().addresses.len()), (0, 0));
    assert_eq!(lab.pass(10), [Action::Degraded("lan0 is absent".into())]);
    lab.engine.handle_link(link(9, "eth0"));
    assert_eq!(lab.settle(), [Action::Ready]);
    assert_eq!(lab.state().links[0].index, Some(9));
}

#[test]
fn hardware_that_is_not_one_of_a_kind_is_a_problem() {
    let mut lab = Lab::new("(interfaces: {\"lan0\": (match: (driver: \"e1000e\"))})");
    let hardware = |index| Hardware { index, driver: Some("e1000e".into()), ..Hardware::default() };
    lab.engine.handle_link(link(2, "eth0"));
    lab.engine.handle_link(link(3, "eth1"));
    lab.engine.handle_hardware(vec![hardware(2), hardware(3)]);
    let expected = "interface lan0: several links match: eth0, eth1; the first one counts";
    assert_eq!(lab.settle(), [Action::Degraded(expected.into())]);
    assert_eq!(lab.state().links[0].index, Some(2));
}

#[test]
fn patterns_stand_for_links_that_are_there_and_the_most_specific_counts() {
    let text = "(interfaces: { \"lan*\": (mtu: 1400), \"lan1*\": (mtu: 1410), \"lan2\": (mtu: 1420), \
                \"br0\": (kind: Bridge(ports: [\"*\"])), \"lan0.1\": (kind: Vlan(parent: \"lan0\", id: 1)) })";
    let mut lab = Lab::new(text);
    lab.settle();
    assert_eq!(lab.names(), ["br0", "lan0", "lan0.1", "lan2"]);
    for (index, name) in [(1, "lo"), (2, "lan0"), (3, "lan11"), (4, "lan2"), (5, "other")] {
        lab.engine.handle_link(link(index, name));
    }
    lab.settle();
    let links: Vec<_> =
        lab.state().links.iter().map(|it| (it.name.as_str(), it.mtu, it.controller.as_deref())).collect();
    let br0 = Some("br0");
    assert_eq!(
        links,
        [
            ("br0", None, None),
            ("lan0", Some(1400), br0),
            ("lan0.1", None, None),
            ("lan11", Some(1410), br0),
            ("lan2", Some(1420), br0),
            ("other", None, br0)
        ]
    );
}

#[test]
fn makers_come_before_what_stands_on_them() {
    let text = "(interfaces: { \"a.5\": (kind: Vlan(parent: \"z\", id: 5)), \"z\": (kind: Bridge(ports: [\"b\", \"m\"])), \
                \"m\": (kind: Bond(members: [\"c\"])), \"b\": (), \"p0\": (), \"p1\": (kind: Veth(peer: \"p0\")) })";
    let mut lab = Lab::new(text);
    lab.settle();
    let names = lab.names();
    let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
    assert!(at("z") < at("a.5") && at("z") < at("b") && at("z") < at("m") && at("m") < at("c") && at("p1") < at("p0"));
    assert_eq!(names.len(), 7);
    assert!(matches!(lab.state().links[at("m")].make, Some(Kind::Bond(_))));
}

#[test]
fn ports_of_switches_and_modems_are_hardware() {
    let text = "(interfaces: { \"lan1\": (match: (mac: \"02:00:00:00:00:01\")), \"wwan\": (match: (mac: \"02:00:00:00:00:02\")) })";
    let mut lab = Lab::new(text);
    for (index, name, kind) in [(1, "eth1", "dsa"), (2, "wwan0", "wwan")] {
        lab.engine.handle_link(Link { kind: Some(kind.into()), ..link(index, name) });
    }
    assert_eq!(lab.settle(), [Action::Ready]);
    let links: Vec<_> = lab.state().links.iter().map(|link| (link.name.as_str(), link.index)).collect();
    assert_eq!(links, [("lan1", Some(1)), ("wwan", Some(2))]);
}
