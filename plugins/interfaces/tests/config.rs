//! The section of router.ron: every mistake is found at its place, with what to do about it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::shown;
use portreeve_config::Severity;

/// That the section has exactly one complaint: of this severity, at this place, with these words.
#[track_caller]
fn complains(severity: Severity, text: &str, place: &str, words: &str) {
    let list = shown(text);
    assert_eq!(list.len(), 1, "{text}: {list:?}");
    assert_eq!((list[0].0, list[0].1.as_str()), (severity, place), "{text}: {list:?}");
    assert!(list[0].2.contains(words), "{text}: {:?}", list[0].2);
}

#[track_caller]
fn refused(fields: &str, place: &str, words: &str) {
    complains(Severity::Error, &format!("({fields})"), place, words);
}

#[track_caller]
fn warned(fields: &str, place: &str, words: &str) {
    complains(Severity::Warning, &format!("({fields})"), place, words);
}

/// The same within the interface lan0, with a pool beside.
#[track_caller]
fn lan0(fields: &str, place: &str, words: &str) {
    refused(
        &format!("pools: {{\"isp\": (prefix: \"2001:db8:60::/60\")}}, interfaces: {{\"lan0\": ({fields})}}"),
        place,
        words,
    );
}

#[track_caller]
fn accepted(fields: &str) {
    assert_eq!(shown(&format!("({fields})")), [], "{fields}");
}

#[test]
fn names_and_patterns_have_their_bounds() {
    refused("interfaces: {\"a/b\": ()}", "\"a/b\"", "interface name");
    refused("interfaces: {\"a123456789012345\": ()}", "\"a123456789012345\"", "15 characters");
    refused("interfaces: {\"all\": ()}", "\"all\"", "all of them");
    refused("interfaces: {\"lan0\": (mtuu: 1500)}", "mtuu", "did you mean `mtu`");
    refused("interfacse: {}", "interfacse", "did you mean `interfaces`");
    refused("interfaces: {\"lan*\": (kind: Dummy)}", "Dummy", "one interface");
    refused("interfaces: {\"lan*\": (mac: \"02:00:00:00:00:01\")}", "\"02:00:00:00:00:01\"", "one interface");
    let routes = "[(to: \"2001:db8:9::/48\", via: \"fe80::1\")]";
    refused(&format!("interfaces: {{\"lan*\": (routes: {routes})}}"), routes, "one interface");
    refused("interfaces: {\"lo\": (up: false)}", "false", "always up");
    refused("interfaces: {\"lo\": (match: (driver: \"x\"))}", "(driver: \"x\")", "remove this");
    warned("", "()", "nothing");
}

#[test]
fn link_settings_have_their_bounds() {
    lan0("mtu: 67", "67", "write 68 to 65535");
    lan0("mtu: 65536", "65536", "write 68 to 65535");
    lan0("mtu: 1279, addresses: [\"2001:db8::1/64\"]", "1279", "1280 or more");
    lan0("mtu: 1279, subnets: [(pool: \"isp\", number: 1)]", "1279", "1280 or more");
    accepted("interfaces: {\"lan0\": (mtu: 576, addresses: [\"192.0.2.1/24\"])}");
    lan0("mac: \"03:00:00:00:00:01\"", "\"03:00:00:00:00:01\"", "even");
    lan0("mac: \"02:00:00:00:00\"", "\"02:00:00:00:00\"", "not a MAC address");
    lan0("match: ()", "()", "add `mac`, `driver` or `path`");
    lan0("match: (driver: \"\")", "\"\"", "printable");
    lan0("match: (driver: \"e\"), kind: Dummy", "Dummy", "keep `match` or `kind`");
    refused(
        "interfaces: {\"a\": (match: (driver: \"x\")), \"b\": (match: (driver: \"x\"))}",
        "(driver: \"x\")",
        "two names",
    );
    lan0("accept_ra: Sometimes", "Sometimes", "Off, WhenHost, Always");
    lan0("dad_transmits: 256", "256", "write 0 to 255");
    lan0("ipv6: false, addresses: [\"2001:db8::1/64\"]", "false", "IPv6 is off here");
}

#[test]
fn kinds_have_their_bounds() {
    lan0("kind: Brigde()", "Brigde", "did you mean `Bridge`");
    lan0("kind: WireGuard(key: \"x\")", "WireGuard", "the plugin `tunnels`");
    lan0("kind: Vlan(parent: \"eth0\", id: 0)", "0", "write 1 to 4094");
    lan0("kind: Vlan(parent: \"eth0\", id: 4095)", "4095", "write 1 to 4094");
    lan0("kind: Vlan(id: 5)", "Vlan(id: 5)", "`parent` is missing");
    lan0("kind: Vlan(parent: \"lan0\", id: 5)", "\"lan0\"", "stand upon itself");
    lan0("kind: Bridge(ports: [\"lo\"])", "\"lo\"", "lo cannot");
    lan0("kind: Bridge(stp: true, forward_delay: \"1s\")", "\"1s\"", "\"2s\" to \"30s\"");
    lan0("kind: Bond(mode: Fast)", "Fast", "ActiveBackup");
    lan0("kind: Bond(miimon: \"2m\")", "\"2m\"", "1ms");
    lan0("kind: Veth(peer: \"lan0\")", "\"lan0\"", "its own peer");
    lan0("kind: Vrf(table: 255)", "255", "the kernel's own");
    let two = "interfaces: {\"a\": (kind: Bridge(ports: [\"eth1\"])), \"b\": (kind: Bridge(ports: [\"eth1\"]))}";
    refused(two, "\"eth1\"", "belongs to a already");
    let circle = "interfaces: {\"a\": (kind: Bridge(ports: [\"b\"])), \"b\": (kind: Vlan(parent: \"a\", id: 1))}";
    refused(circle, "\"a\"", "stand upon itself");
    let tables = "interfaces: {\"a\": (kind: Vrf(table: 9)), \"b\": (kind: Vrf(table: 9))}";
    refused(tables, "Vrf(table: 9)", "a has table 9 already");
    let pair = "interfaces: {\"a\": (kind: Veth(peer: \"b\")), \"b\": (kind: Dummy)}";
    refused(pair, "\"b\"", "otherwise, too");
    let port = "interfaces: {\"a\": (kind: Bridge(ports: [\"b\"])), \"b\": (addresses: [\"192.0.2.1/24\"])}";
    warned(port, "\"b\"", "move them to \"a\"");
}

#[test]
fn addresses_are_legal_and_of_one_interface() {
    lan0("addresses: [\"2001:db8::1\"]", "\"2001:db8::1\"", "write \"2001:db8::1/64\"");
    lan0("addresses: [\"192.0.2.1/33\"]", "\"192.0.2.1/33\"", "0 to 32");
    lan0("addresses: [\"ff02::1/64\"]", "\"ff02::1/64\"", "cannot be the address");
    lan0("addresses: [\"192.0.2.1/24\", \"192.0.2.1/25\"]", "\"192.0.2.1/25\"", "given twice on lan0");
    lan0("addresses: [(address: \"192.0.2.1/24\", peer: \"::1\")]", "\"::1\"", "write an IPv4 address");
    lan0("addresses: [(address: \"2001:db8::1/64\", valid_lifetime: \"0s\")]", "\"0s\"", "leave the address out");
    lan0(
        "addresses: [(address: \"2001:db8::1/64\", preferred_lifetime: \"2h\", valid_lifetime: \"1h\")]",
        "\"2h\"",
        "longer than valid_lifetime",
    );
    let two = "interfaces: {\"a\": (addresses: [\"192.0.2.1/24\"]), \"b\": (addresses: [\"192.0.2.1/24\"])}";
    warned(two, "\"192.0.2.1/24\"", "is on a, too");
    accepted("interfaces: {\"a\": (addresses: [\"fe80::1/64\"]), \"b\": (addresses: [\"fe80::1/64\"])}");
    warned("interfaces: {\"lan*\": (addresses: [\"192.0.2.1/24\"])}", "\"192.0.2.1/24\"", "every interface");
    warned("interfaces: {\"a\": (addresses: [\"192.0.2.0/24\"])}", "\"192.0.2.0/24\"", "network itself");
    lan0("proxy: [\"2001:db8::5\", \"2001:db8::5\"]", "\"2001:db8::5\"", "given twice");
    lan0("neighbours: [(address: \"2001:db8::5\")]", "(address: \"2001:db8::5\")", "`mac` is missing");
}

#[test]
fn pools_and_subnets_fit_into_each_other() {
    refused("pools: {\"p\": (prefix: \"2001:db8::/65\")}", "\"2001:db8::/65\"", "/64 or shorter");
    refused("pools: {\"p\": (prefix: \"192.0.2.0/24\")}", "\"192.0.2.0/24\"", "IPv6");
    refused("pools: {\"p\": (prefix: \"2001:db8::1/48\")}", "\"2001:db8::1/48\"", "write \"2001:db8::/48\"");
    refused("pools: {\"p\": ()}", "()", "`prefix` is missing");
    refused("pools: {\"p\": (delegated: true, prefix: \"2001:db8::/48\")}", "\"2001:db8::/48\"", "another plugin");
    refused("pools: {\"p\": (delegated: true, valid_lifetime: \"1h\")}", "\"1h\"", "come with its prefix");
    refused("pools: {\"p\": (prefix: \"2001:db8::/48\", from: \"x\")}", "\"x\"", "another plugin fills");
    refused("pools: {\"p\": (prefix: \"2001:db8::/48\", valid_lifetime: \"5s\")}", "\"5s\"", "1m");
    refused("pools: {\"a b\": (prefix: \"2001:db8::/48\")}", "\"a b\"", "1 to 32");
    let nested = "pools: {\"a\": (prefix: \"2001:db8::/48\"), \"b\": (prefix: \"2001:db8:0:10::/60\")}";
    refused(nested, "\"2001:db8:0:10::/60\"", "overlaps 2001:db8::/48 of pool \"a\"");
    refused("pools: {\"a\": (delegated: true, from: \"x\"), \"b\": (delegated: true)}", "\"b\"", "add `from:");
    lan0("subnets: [(pool: \"isq\", number: 1)]", "\"isq\"", "did you mean \"isp\"");
    lan0("subnets: [(pool: \"isp\", number: 16)]", "16", "write 0 to 15");
    lan0("subnets: [(pool: \"isp\", number: 0, length: 56)]", "56", "larger than the pool");
    lan0("subnets: [(pool: \"isp\", number: 1, host: \"1::1\")]", "\"1::1\"", "behind a /64");
    lan0("subnets: [(pool: \"isp\", number: 1), (pool: \"isp\", number: 1)]", "1", "used twice");
    lan0("subnets: [(pool: \"isp\", number: 1), (pool: \"isp\", number: 0, length: 62)]", "1", "overlaps another");
    lan0("addresses: [\"2001:db8:60:1::1/64\"], subnets: [(pool: \"isp\", number: 1)]", "1", "has already");
    let (one, two) = ("(pool: \"p\", number: 3)", "(pool: \"p\", number: 3, host: \"::2\")");
    refused(
        &format!(
            "pools: {{\"p\": (delegated: true)}}, interfaces: {{\"a\": (subnets: [{one}]), \"b\": (subnets: [{two}])}}"
        ),
        "3",
        "write another number",
    );
}

#[test]
fn routes_and_rules_lead_somewhere_once() {
    refused("routes: [(to: \"::/0\")]", "\"::/0\"", "add `via: \"…\",`");
    refused("routes: [(to: \"default\", via: \"::1\")]", "\"default\"", "\"::/0\" for all of IPv6");
    refused("routes: [(to: \"::/0\", via: \"192.0.2.1\")]", "\"192.0.2.1\"", "write an IPv6 address");
    refused("routes: [(to: \"::/0\", via: \"fe80::1\")]", "\"fe80::1\"", "add `interface:");
    refused("routes: [(to: \"::/0\", via: \"2001:db8::1\", kind: Throw)]", "\"2001:db8::1\"", "only unicast");
    lan0("routes: [(to: \"::/0\", kind: Unreachable)]", "Unreachable", "whole section");
    lan0("routes: [(to: \"0.0.0.0/0\", from: \"192.0.2.0/24\")]", "\"192.0.2.0/24\"", "write a rule");
    lan0("routes: [(to: \"::/0\", on_link: true)]", "true", "remove it");
    lan0("routes: [(to: \"::/0\", mtu: 1279)]", "1279", "1280");
    lan0("routes: [(to: \"::/0\", metric: 4294967295)]", "4294967295", "out of range");
    lan0("routes: [(to: \"::/0\"), (to: \"::/0\", metric: 1024)]", "\"::/0\"", "another metric");
    let two = "interfaces: {\"a\": (routes: [(to: \"::/0\")]), \"b\": (routes: [(to: \"::/0\")])}";
    refused(two, "\"::/0\"", "default route ::/0 is given elsewhere");
    accepted("interfaces: {\"a\": (routes: [(to: \"::/0\")]), \"b\": (routes: [(to: \"::/0\", metric: 2000)])}");
    refused("rules: [(priority: 1, table: 9)]", "(priority: 1, table: 9)", "add `family: Ipv6,`");
    refused("rules: [(priority: 0, family: Ipv6, table: 9)]", "0", "write 1 to");
    refused("rules: [(priority: 1, family: Ipv6)]", "(priority: 1, family: Ipv6)", "add `table: 100,`");
    refused("rules: [(priority: 1, family: Ipv6, table: 9, action: Prohibit)]", "Prohibit", "keep one");
    refused(
        "rules: [(priority: 1, family: Ipv6, from: \"192.0.2.0/24\", table: 9)]",
        "\"192.0.2.0/24\"",
        "each family",
    );
    refused("rules: [(priority: 1, family: Ipv6, mark: \"0x100/0xff\", table: 9)]", "\"0x100/0xff\"", "0x1ff");
    let rule = "(priority: 1, family: Ipv6, table: 9)";
    refused(&format!("rules: [{rule}, {rule}]"), rule, "given twice");
}

#[test]
fn kernel_parameters_have_legal_names_and_stand_once() {
    refused("sysctls: {\"net.ipv4.tcp_ecn\": \"1\"}", "\"net.ipv4.tcp_ecn\"", "write \"ipv4.tcp_ecn\"");
    refused("sysctls: {\"ipv6.conf.lan0.accept_ra\": \"1\"}", "\"ipv6.conf.lan0.accept_ra\"", "the interface \"lan0\"");
    refused("sysctls: {\"ipv4/../kernel\": \"1\"}", "\"ipv4/../kernel\"", "not the name");
    refused("sysctls: {\"ipv4.tcp_ecn\": 1}", "1", "double quotes");
    refused("sysctls: {\"ipv4.tcp_ecn\": \"1\\n2\"}", "\"1\\n2\"", "one line");
    refused("forwarding: (ipv4: true), sysctls: {\"ipv4.ip_forward\": \"0\"}", "\"ipv4.ip_forward\"", "given twice");
    lan0("sysctls: {\"arp_ignore\": \"1\"}", "\"arp_ignore\"", "FAMILY.NAME");
    lan0("accept_ra: Off, sysctls: {\"ipv6.accept_ra\": \"1\"}", "\"ipv6.accept_ra\"", "given twice");
    refused("interfaces: {\"a+b\": (accept_ra: Off)}", "\"a+b\"", "write another name");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_text() {
    let text = "(interfaces: {\"a\": (mtu: 1, mac: \"x\")}, routes: [(to: \"y\")], bogus: 1)";
    let places: Vec<_> = shown(text).into_iter().map(|(_, place, _)| place).collect();
    assert_eq!(places, ["1", "\"x\"", "\"y\"", "bogus"]);
}

#[test]
fn a_network_that_is_wider_than_any_that_is_assigned_is_a_destination_to_be_granted() {
    let text = "(interfaces: {\"lan0\": (addresses: [\"192.0.2.1/24\", \"10.0.0.1/7\"])})";
    let (config, _) = portreeve_interfaces::Config::parse(text).unwrap();
    let destinations: Vec<String> = config.destinations().iter().map(ToString::to_string).collect();
    assert_eq!(destinations, ["10.0.0.0/7"]);
}
