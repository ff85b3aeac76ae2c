//! The section of router.ron: every mistake is found at its place; what tunnels share, and what they may not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod section;

use portreeve_network::{Family, Prefix};
use portreeve_tunnels::Config;
use portreeve_tunnels::config::{Tos, summary};
use proptest::prelude::*;
use section::*;

const EXAMPLE: &str = include_str!("../src/guest/example.ron");

#[test]
fn the_whole_section_is_read_without_a_complaint_and_summed_up() {
    let (config, warnings) = Config::parse(FULL).unwrap();
    assert_eq!(warnings, []);
    let lines = summary(&config);
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(
        lines,
        [
            "gre4: gre to 192.0.2.9; by the kernel, mss not clamped; down; mtu 1472",
            "gre6: gre to name.example from 2001:db8::9; by the kernel, mss not clamped; mtu 1456",
            "rd: 6rd of 2001:db8::/32 by 10.0.0.1 from 10.100.100.1, ours is 2001:db8:6464:100::/56; by the kernel, mss not \
             clamped; mtu 1480",
            "six: ip6tnl to six.example.net; by the kernel, mss not clamped; mtu 1000; addresses 10.1.0.1/30",
            "sixbone: 6in4 to 192.0.2.1 from wan0; by the plugin; mtu 1472; addresses 2001:db8:1::2/127; routes ::/0; \
             out for 2001:db8:60::/60; asks 2001:db8:1::1 every 5s, down after 20s, then without routes",
            "wg: wireguard with key \"wg0\" and 1 peer; by the kernel, mss not clamped; mtu 1420",
        ]
    );
    let tunnel = config.tunnel("sixbone").unwrap();
    assert_eq!((tunnel.ttl, tunnel.tos, tunnel.dont_fragment), (255, Tos::Fixed(0), false));
}

#[test]
fn the_example_is_legal() {
    let (config, warnings) = Config::parse(EXAMPLE).unwrap();
    assert_eq!((config.tunnels().count(), warnings), (2, vec![]));
}

#[test]
fn kinds_paths_and_names_have_their_words() {
    refused(&of("up: true"), "(up: true)", "add `kind");
    refused(&kind("SixInFuor(remote: \"192.0.2.1\")"), "SixInFuor", "`SixInFour`");
    refused(&kind("SixInFour(remote: \"192.0.2.1\", path: Kernal)"), "Kernal", "`Kernel`");
    refused(
        &kind("SixInFour(remot: \"192.0.2.1\")").replace("remot:", "remote: \"192.0.2.1\", remot:"),
        "remot",
        "`remote`",
    );
    refused(&kind("Gre(remote: \"192.0.2.1\", path: Kernel)"), "path", "known fields");
    refused(&kind("Ip6Tunnel(remote: \"2001:db8::1\", mode: Ipv5)"), "Ipv5", "`Ipv4`");
    for (name, hint) in
        [("a/b", "such as"), ("", "such as"), ("sixteen-letters0", "such as"), ("six*", "such as"), ("sit0", "another")]
    {
        let text = format!("(tunnels: {{\"{name}\": (kind: SixInFour(remote: \"192.0.2.1\"))}})");
        refused(&text, &format!("\"{name}\""), hint);
    }
    let twice = "(tunnels: {\"a\": (kind: Gre(remote: \"192.0.2.1\")), \"a\": (kind: Gre(remote: \"192.0.2.2\"))})";
    refused(twice, "\"a\"", "keep one");
    warned("(tunnels: {})", "{}", "");
    assert!(Config::parse("()").is_err());
}

#[test]
fn clamping_is_only_promised_where_the_plugin_carries_the_packets() {
    let kernel = |fields: &str| of(&format!("kind: SixInFour(remote: \"192.0.2.1\", path: Kernel), {fields}"));
    warned(&kernel("mss_clamp: true"), "true", "firewall");
    warned(&sit("mss_clamp: true"), "true", "firewall");
    accepted(&kernel("mss_clamp: false"));
    accepted(&of("kind: SixInFour(remote: \"192.0.2.1\", path: Userspace), mss_clamp: true"));
    let (config, _) = Config::parse(&sit("up: true")).unwrap();
    assert!(summary(&config).contains("by the kernel if it can, then mss not clamped, by the plugin otherwise"));
    let (config, _) = Config::parse(&sit("mss_clamp: false")).unwrap();
    assert!(!summary(&config).contains("clamped"));
}

#[test]
fn own_prefixes_are_ipv6_and_not_everything() {
    accepted(&sit("own_prefixes: [\"2001:db8::/48\"]"));
    refused(&sit("own_prefixes: [\"::/0\"]"), "\"::/0\"", "such as");
    refused(&sit("own_prefixes: [\"10.0.0.0/8\"]"), "\"10.0.0.0/8\"", "such as");
}

#[test]
fn keepalive_and_failover_fit_together() {
    let alive = |fields: &str| sit(&format!("addresses: [\"2001:db8:1::2/127\"], {fields}"));
    accepted(&alive("keepalive: (target: \"2001:db8:1::1\"), failover: true"));
    accepted(&alive("keepalive: (target: \"fe80::1\")"));
    refused(&alive("failover: true"), "true", "keepalive");
    refused(&alive("keepalive: (target: \"192.0.2.1\")"), "\"192.0.2.1\"", "IPv6");
    refused(&alive("keepalive: (target: \"ff02::1\")"), "\"ff02::1\"", "IPv6");
    refused(&alive("keepalive: (target: \"2001:db8:1::1\", interval: \"30s\", timeout: \"29s\")"), "\"29s\"", "\"1m\"");
    let twice = "keepalive: (target: \"2001:db8:1::1\", interval: \"30s\", timeout: \"59s\")";
    refused(&alive(twice), "\"59s\"", "\"1m\"");
    accepted(&alive(&twice.replace("59s", "1m")));
    refused(&alive("keepalive: (target: \"2001:db8:1::1\", interval: \"500ms\")"), "\"500ms\"", "\"1s\"");
    let own = "(target: \"2001:db8:1::2\")";
    refused(&alive(&format!("keepalive: {own}")), own, "other end");
    refused(&sit(&format!("keepalive: {own}")), own, "addresses");
    let inside = "own_prefixes: [\"2001:db8:1::/48\"], keepalive: (target: \"2001:db8:1::1\")";
    refused(&alive(inside), "[\"2001:db8:1::/48\"]", "leave");
    refused(
        &of("kind: Ip6Tunnel(remote: \"2001:db8::1\", mode: Ipv4), keepalive: (target: \"2001:db8:1::1\")"),
        "(target: \"2001:db8:1::1\")",
        "kind",
    );
}

#[test]
fn two_tunnels_that_are_one_to_the_kernel_are_refused() {
    let sit = |ends: &str| format!("kind: SixInFour({ends})");
    refused(&two(&sit("remote: \"192.0.2.1\""), &sit("remote: \"192.0.2.1\"")), "SixInFour", "another remote");
    accepted(&two(&sit("remote: \"192.0.2.1\""), &sit("remote: \"192.0.2.3\"")));
    accepted(&two(&sit("remote: \"192.0.2.1\""), &sit("remote: \"192.0.2.1\", local: Address(\"192.0.2.2\")")));
    let gre = |key: &str| format!("kind: Gre(remote: \"192.0.2.1\"{key})");
    accepted(&two(&gre(", key: 1"), &gre(", key: 2")));
    refused(&two(&gre(", key: 1"), &gre(", key: 1")), "Gre", "another remote");
    accepted(&two(&gre(""), &sit("remote: \"192.0.2.1\"")));
    let route = |remote: &str, metric: &str| format!("{}, routes: [(to: \"::/0\"{metric})]", sit(remote));
    let both = two(&route("remote: \"192.0.2.1\"", ""), &route("remote: \"192.0.2.3\"", ""));
    refused(&both, "\"::/0\"", "metric");
    accepted(&two(&route("remote: \"192.0.2.1\"", ""), &route("remote: \"192.0.2.3\"", ", metric: 2048")));
}

#[test]
fn source_routes_have_tables_of_their_own() {
    let source = |from: &str, more: &str| format!("source_routes: [(from: \"{from}\", {more})]");
    accepted(&sit(&source("2001:db8:60::/60", "table: 100")));
    refused(&sit(&source("2001:db8:60::/60", "table: 254")), "254", "of its own");
    refused(&sit(&source("2001:db8:60::/60", "table: 0")), "0", "1 to");
    refused(&sit(&source("2001:db8:60::/60", "table: 100, priority: 32766")), "32766", "1 to 32765");
    refused(&sit(&source("2001:db8:60::1/60", "table: 100")), "\"2001:db8:60::1/60\"", "2001:db8:60::/60");
    let pair = |a: &str, b: &str| {
        two(
            &format!("kind: SixInFour(remote: \"192.0.2.1\"), {a}"),
            &format!("kind: SixInFour(remote: \"192.0.2.3\"), {b}"),
        )
    };
    let first = source("2001:db8:60::/60", "table: 100");
    refused(&pair(&first, &source("2001:db8:60::/60", "table: 101")), "\"2001:db8:60::/60\"", "priority");
    refused(&pair(&first, &source("2001:db8:70::/60", "table: 100")), "\"2001:db8:70::/60\"", "each tunnel");
    accepted(&pair(&first, &source("2001:db8:70::/60", "table: 101")));
    let own = format!("{first}, routes: [(to: \"::/0\", table: 100)]");
    refused(&sit(&own), "\"2001:db8:60::/60\"", "brings its own");
}

#[test]
fn the_needs_of_a_tunnel_are_no_more_than_it_takes() {
    let (config, _) = Config::parse(FULL).unwrap();
    let needs = |name: &str| config.needs().into_iter().find(|needs| needs.interface == name).unwrap();
    let sixbone = needs("sixbone");
    assert_eq!((sixbone.kinds, sixbone.modules, sixbone.userspace), (vec!["tun"], vec!["tun"], true));
    assert_eq!(sixbone.remotes, [Prefix::new("192.0.2.1".parse().unwrap(), 32)]);
    assert_eq!((sixbone.follows.as_deref(), sixbone.tables, sixbone.echo), (Some("wan0"), vec![100], false));
    // ::1 is not within ::2/127: the keepalive has a route of its own.
    let target = Prefix::new("2001:db8:1::1".parse().unwrap(), 128);
    assert_eq!(sixbone.destinations, [Prefix::new("::".parse().unwrap(), 0), target]);
    assert_eq!((needs("six").names, needs("six").modules), (vec!["six.example.net".to_owned()], vec!["ip6_tunnel"]));
    assert_eq!((needs("gre6").kinds, config.tunnel("gre6").unwrap().outer()), (vec!["ip6gre"], Some(Family::Ipv6)));
    assert_eq!(needs("wg").keys, ["psk", "wg0"]);
    assert!(!needs("rd").userspace && needs("rd").remotes.is_empty());
    let (config, _) = Config::parse(&kind("SixInFour(remote: \"a.example\")")).unwrap();
    let needs = config.needs().remove(0);
    assert_eq!((needs.kinds, needs.remotes[0].length), (vec!["sit", "tun"], 0));
}

#[test]
fn every_route_is_a_need_whatever_its_table() {
    let needs = |fields: &str| Config::parse(&sit(fields)).unwrap().0.needs().remove(0);
    let shown = |list: &[Prefix]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let found = needs("routes: [(to: \"2001:db8:5::/48\", table: 7)]");
    assert_eq!((shown(&found.destinations), found.tables), (vec!["2001:db8:5::/48".to_owned()], vec![7]));
    let found = needs("source_routes: [(from: \"2001:db8:60::/60\", table: 100)]");
    assert_eq!((shown(&found.destinations), found.tables), (vec!["::/0".to_owned()], vec![100]));
    let gre = "kind: Gre(remote: \"192.0.2.1\"), source_routes: [(from: \"10.0.0.0/8\", table: 100)]";
    assert_eq!(shown(&Config::parse(&of(gre)).unwrap().0.needs()[0].destinations), ["0.0.0.0/0"]);
    // Rules that drop look into no table.
    assert_eq!(needs("own_prefixes: [\"2001:db8:60::/60\"]").tables, [0]);
}

#[test]
fn a_6rd_tunnel_publishes_a_prefix_out_of_the_providers() {
    let (config, _) = Config::parse(FULL).unwrap();
    let needs = config.needs();
    let publishing: Vec<_> = needs.iter().filter(|needs| needs.publishes_prefix).collect();
    assert_eq!(publishing.len(), 1);
    assert_eq!(publishing[0].interface, "rd");
    assert_eq!(publishing[0].destinations, [Prefix::new("2001:db8::".parse().unwrap(), 32)]);
}

#[test]
fn the_keepalive_has_a_route_of_its_own_where_nothing_else_leads_to_its_target() {
    let route = |fields: &str| {
        let fields = format!("addresses: [\"2001:db8:1::2/127\"], keepalive: (target: \"2001:db8:9::1\"), {fields}");
        let (config, _) = Config::parse(&sit(&fields)).unwrap();
        config.tunnel("sixbone").unwrap().keepalive_route().map(|prefix| prefix.to_string())
    };
    let target = Some("2001:db8:9::1/128".to_owned());
    assert_eq!(route("up: true"), target);
    assert_eq!(route("routes: [(to: \"::/0\")]"), None);
    assert_eq!(route("routes: [(to: \"::/0\", table: 7)]"), target);
    assert_eq!(route("routes: [(to: \"2001:db8:8::/48\")]"), target);
    assert_eq!(route("failover: true, routes: [(to: \"::/0\")]"), target);
    assert_eq!(route("failover: true, routes: [(to: \"2001:db8:9::1/128\")]"), None);
}

#[test]
fn two_tunnels_do_not_ask_one_target_by_two_routes() {
    let one = |address: &str, remote: &str, target: &str| {
        format!("kind: SixInFour(remote: \"{remote}\"), addresses: [\"{address}\"], keepalive: (target: \"{target}\")")
    };
    let first = one("2001:db8:1::2/64", "192.0.2.1", "2001:db8:9::1");
    let place = "(target: \"2001:db8:9::1\")";
    refused(&two(&first, &one("2001:db8:2::2/64", "192.0.2.3", "2001:db8:9::1")), place, "a target of its own");
    accepted(&two(&first, &one("2001:db8:2::2/64", "192.0.2.3", "2001:db8:9::2")));
    // On the link nobody needs a route.
    let near = |address: &str, remote: &str| one(address, remote, "fe80::1");
    accepted(&two(&near("2001:db8:1::2/64", "192.0.2.1"), &near("2001:db8:2::2/64", "192.0.2.3")));
}

#[test]
fn addresses_of_a_tunnel_have_no_end() {
    let address = |fields: &str| format!("(address: \"2001:db8:1::2/64\", {fields})");
    accepted(&sit(&format!("addresses: [{}]", address("preferred_lifetime: \"0s\""))));
    for bad in
        ["valid_lifetime: \"1d\"", "preferred_lifetime: \"1h\"", "preferred_lifetime: \"0s\", valid_lifetime: \"1d\""]
    {
        let list = complaints(&sit(&format!("addresses: [{}]", address(bad))));
        assert!(matches!(&list[..], [(_, _, hint)] if hint.contains("preferred_lifetime: \"0s\"")), "{bad}: {list:?}");
    }
}

#[test]
fn many_mistakes_are_reported_at_once_in_the_order_of_the_text() {
    let text = r#"(
  tunnels: {
    "six bone": (kind: SixInFour(remote: "127.0.0.1", local: Wan, path: Slow), mtu: 12, failover: true),
    "b": (kind: WireGuard(key: "a b", peers: [(public_key: "x", endpoint: "y", allowed_ips: ["z"])])),
  },
  tunnel: {},
)"#;
    let list = Config::parse(text).unwrap_err();
    let found: Vec<_> = list.iter().map(|d| d.span.slice(text)).collect();
    let expected =
        ["\"six bone\"", "\"127.0.0.1\"", "Wan", "Slow", "true", "\"a b\"", "\"x\"", "\"y\"", "\"z\"", "tunnel"];
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}", at in 0..FULL.len(), cut in 0..30_usize) {
        let _ = Config::parse(&text);
        let mut damaged = FULL.to_owned();
        let end = (at + cut).min(FULL.len());
        damaged.replace_range(at..end, text.get(..cut).unwrap_or("\""));
        if let Err(list) = Config::parse(&damaged) {
            prop_assert!(!list.is_empty());
            for d in list {
                prop_assert!(d.span.start <= d.span.end && d.span.end <= damaged.len());
            }
        }
    }
}
