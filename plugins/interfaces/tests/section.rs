//! The section of router.ron: every field is read, summed up, and turned into needs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::shown;
use portreeve_interfaces::Config;
use portreeve_interfaces::config::summary;
use proptest::prelude::*;

/// Everything the section can say.
const FULL: &str = r#"(
  forwarding: (ipv6: true, ipv4: false),
  pools: {
    "isp": (prefix: "2001:db8:60::/60", unreachable: true, preferred_lifetime: "4h", valid_lifetime: "1d"),
    "dhcp": (delegated: true, from: "dhcp6c/wan0", unreachable: false),
  },
  interfaces: {
    "lan0": (
      match: (mac: "02:00:5e:10:00:01", driver: "e1000e", path: "pci-0000:01:00.0*"),
      up: true, mtu: 1500, mac: "02:00:5e:10:00:02",
      addresses: ["192.0.2.1/24", (address: "2001:db8::1/64", preferred_lifetime: "0s", valid_lifetime: "1d",
        dad: false, prefix_metric: 0), (address: "198.51.100.1/32", peer: "198.51.100.2")],
      subnets: [(pool: "isp", number: 1, host: "::2", length: 64, dad: true), (pool: "dhcp", number: 7)],
      routes: [(to: "::/0", via: "fe80::1", from: "2001:db8:60::/60", metric: 10, table: 100, kind: Unicast,
        preferred_source: "2001:db8::1", mtu: 1480, on_link: true)],
      neighbours: [(address: "192.0.2.9", mac: "02:00:5e:10:00:09")], proxy: ["2001:db8::5"],
      forwarding: (ipv6: true, ipv4: true), accept_ra: WhenHost, autoconf: true, privacy: Preferred,
      rp_filter: Loose, dad_transmits: 2, ipv6: true, proxy_arp: false,
      sysctls: {"ipv4.arp_ignore": "1", "ipv6.keep_addr_on_down": "1"},
      optional: true,
    ),
    "br0": (kind: Bridge(ports: ["eth1", "eth*"], stp: true, vlan_filtering: true, forward_delay: "4s",
      multicast_snooping: false)),
    "br0.5": (kind: Vlan(parent: "br0", id: 5, protocol: Ieee8021Ad)),
    "ve0": (kind: Veth(peer: "ve1")),
    "ve1": (),
    "dummy0": (kind: Dummy, up: false),
    "mac0": (kind: Macvlan(parent: "wan0", mode: Private)),
    "bond0": (kind: Bond(mode: Ieee8023Ad, members: ["sfp0", "sfp1"], miimon: "100ms")),
    "red": (kind: Vrf(table: 10, members: ["red*"])),
    "usb*": (optional: true, addresses: ["fe80::1/64"]),
    "lo": (addresses: ["2001:db8:ffff::1/128"]),
  },
  routes: [(to: "2001:db8:f::/48", kind: Blackhole), (to: "198.51.100.64/26", interface: "wan0")],
  rules: [(priority: 1000, from: "2001:db8:60::/60", to: "::/0", incoming: "lan0", outgoing: "wan0", mark: "0x1/0xff",
    table: 100, suppress_prefix_length: 0), (priority: 1001, family: Ipv4, action: Prohibit)],
  sysctls: {"ipv4.tcp_ecn": "1", "ipv6.conf.default.accept_ra": "0"},
)"#;

#[test]
fn the_whole_section_is_read_without_a_complaint() {
    assert_eq!(shown(FULL), []);
    let (config, _) = Config::parse(FULL).unwrap();
    let made: Vec<_> = config.makes().into_iter().collect();
    assert_eq!(
        made,
        [
            ("bond0", "bond"),
            ("br0", "bridge"),
            ("br0.5", "vlan"),
            ("dummy0", "dummy"),
            ("mac0", "macvlan"),
            ("red", "vrf"),
            ("ve0", "veth"),
            ("ve1", "veth")
        ]
    );
    assert!(config.modules().contains("8021q") && config.modules().contains("bonding"));
    assert!(config.interfaces().contains("usb*") && config.interfaces().contains("eth*"));
    assert!(config.interfaces().contains("wan0") && config.interfaces().contains("sfp1"));
    assert!(config.route_interfaces().is_empty());
    assert_eq!(config.tables().into_iter().collect::<Vec<_>>(), [10, 100, 254]);
    let destinations: Vec<_> = config.destinations().iter().map(ToString::to_string).collect();
    assert_eq!(destinations, ["198.51.100.64/26", "::/0", "2001:db8:f::/48", "2001:db8:60::/60"]);
    let names: Vec<_> = config.global_sysctls().iter().map(|s| format!("{}={}", s.name, s.value)).collect();
    let expected =
        ["ipv4/ip_forward=0", "ipv6/conf/all/forwarding=1", "ipv4/tcp_ecn=1", "ipv6/conf/default/accept_ra=0"];
    assert_eq!(names, expected);
    assert!(config.follows_delegations() && config.publishes_subnets());
    assert!(config.sees_all_links() && config.has_patterns());
    assert_eq!(config.rules().len(), 2);
}

#[test]
fn the_example_is_legal_and_summed_up() {
    let (config, warnings) = Config::parse(include_str!("../src/guest/example.ron")).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(
        summary(&config),
        "pool isp: 2001:db8:60::/60; what is not used is unreachable\n\
         lan0: bridge of eth*; 198.51.100.1/24; subnets isp#1\n\
         lan0.5: vlan 5 of lan0; 203.0.113.1/24; subnets isp#5\n\
         wan0: hardware 02:00:5e:10:00:01; 192.0.2.2/24, 2001:db8:1::2/127; routes 0.0.0.0/0 via 192.0.2.1, \
         ::/0 via 2001:db8:1::1; 1 kernel parameter\n\
         kernel: ipv4/ip_forward = 1, ipv6/conf/all/forwarding = 1\n"
    );
}

proptest! {
    #[test]
    fn no_change_of_one_character_panics(at in 0..FULL.len(), with in any::<char>()) {
        let mut text = FULL.to_owned();
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..=at, &with.to_string());
            let _ = Config::parse(&text);
        }
    }
}
