//! The section of router.ron: every bound is held, every mistake is found at its place, defaults are the RFCs'.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::lan0;
use portreeve_config::{Diagnostic, Severity};
use portreeve_radvd::Config;
use portreeve_radvd::config::summary;
use proptest::prelude::*;

/// Everything the section can say.
const FULL: &str = r#"(
  interfaces: {
    "lan0": (
      max_interval: "10m", min_interval: "3m20s", min_delay_between_ras: "3s",
      router_lifetime: "30m", preference: Medium, hop_limit: 64, managed: false, other_config: false,
      reachable_time: "0s", retrans_timer: "0s", mtu: 1480,
      source_link_layer_address: true, unicast_only: false, solicited_unicast: true,
      strict_rs_delay: false, final_advertisements: true,
      prefixes: {
        "2001:db8:60::/64": (on_link: true, autonomous: true, dhcpv6_pd_preferred: false, router_address: false,
          valid_lifetime: "1d", preferred_lifetime: "4h", decrement: false, deprecate_on_removal: true),
        "::/64": (), // its own
      },
      routes: { "2001:db8::/32": (preference: Low, lifetime: "30m"), "::/0": (lifetime: "infinity") },
      rdnss: [ (servers: ["2001:db8::53", "::"], lifetime: "30m") ],
      dnssl: [ (domains: ["example.org"], lifetime: "30m") ],
      pref64: [ (prefix: "64:ff9b::/96", lifetime: "30m") ],
      captive_portal: "https://portal.example/api",
      advertisement_interval_option: false,
    ),
    "lan*": (),
  },
)"#;

/// What is complained about in one interface with these fields: severity, the text under the span, the hint.
fn complaints(fields: &str) -> Vec<(Severity, String, String)> {
    let text = format!("(interfaces: {{\"lan0\": ({fields})}})");
    let list = match Config::parse(&text) {
        Ok((_, warnings)) => warnings,
        Err(list) => list,
    };
    list.into_iter().map(|d| shown(d, &text)).collect()
}

fn shown(d: Diagnostic, text: &str) -> (Severity, String, String) {
    (d.severity, d.span.slice(text).to_owned(), d.hint.unwrap_or_default())
}

/// That `fields` has exactly one error, at `place`, with `hint` in its hint.
#[track_caller]
fn refused(fields: &str, place: &str, hint: &str) {
    let list = complaints(fields);
    assert_eq!(list.len(), 1, "{fields}: {list:?}");
    assert_eq!((list[0].0, list[0].1.as_str()), (Severity::Error, place), "{fields}");
    assert!(list[0].2.contains(hint), "{fields}: {:?}", list[0].2);
}

#[track_caller]
fn accepted(fields: &str) {
    assert_eq!(complaints(fields), [], "{fields}");
}

#[track_caller]
fn warned(fields: &str, place: &str) {
    let list = complaints(fields);
    assert!(matches!(&list[..], [(Severity::Warning, found, _)] if found == place), "{fields}: {list:?}");
}

#[test]
fn the_whole_section_is_read_without_a_complaint_and_summed_up() {
    let (config, warnings) = Config::parse(FULL).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.patterns().collect::<Vec<_>>(), ["lan0", "lan*"]);
    assert_eq!(
        summary(&config),
        "lan0: default router for 30m; every 3m20s to 10m; prefixes 2001:db8:60::/64, its own /64s; 2 routes; \
         2 DNS servers; 1 search domain; 1 NAT64 prefix\n\
         lan*: default router for 30m; every 3m18s to 10m\n"
    );
}

#[test]
fn an_empty_interface_is_the_default() {
    let written = "max_interval: \"10m\", min_interval: \"198s\", min_delay_between_ras: \"3s\", \
                   router_lifetime: \"30m\", hop_limit: 64, solicited_unicast: true, final_advertisements: true";
    assert_eq!(lan0(""), lan0(written));
}

#[test]
fn intervals_and_the_router_lifetime_have_their_bounds() {
    refused("max_interval: \"3s\"", "\"3s\"", "\"4s\" to \"18h12m15s\"");
    refused("max_interval: \"65536s\"", "\"65536s\"", "18h12m15s");
    refused("max_interval: 600", "600", "\"600s\"");
    accepted("max_interval: \"4s\"");
    accepted("max_interval: \"65535s\"");
    refused("min_interval: \"2s\"", "\"2s\"", "\"3s\" to \"7m30s\" (0.75 of max_interval)");
    refused("max_interval: \"60s\", min_interval: \"46s\"", "\"46s\"", "\"3s\" to \"45s\"");
    refused("min_delay_between_ras: \"2999ms\"", "\"2999ms\"", "\"3s\"");
    refused("min_delay_between_ras: \"1h\"", "\"1h\"", "min_interval");
    accepted("router_lifetime: \"0s\"");
    accepted("router_lifetime: \"65535s\"");
    refused("router_lifetime: \"599s\"", "\"599s\"", "\"10m\" (max_interval)");
    refused("router_lifetime: \"65536s\"", "\"65536s\"", "18h12m15s");
    // A wrong value is not held against what depends on it.
    refused("max_interval: \"1s\", min_interval: \"7h\", router_lifetime: \"1m\"", "\"1s\"", "");
}

#[test]
fn scalar_values_have_their_bounds() {
    refused("hop_limit: 256", "256", "");
    refused("mtu: 1279", "1279", "1280");
    accepted("mtu: 1280");
    refused("reachable_time: \"3600001ms\"", "\"3600001ms\"", "\"1h\"");
    accepted("reachable_time: \"1h\"");
    refused("retrans_timer: \"50d\"", "\"50d\"", "at most");
    refused("preference: Hgih", "Hgih", "`High`");
    refused("managed: yes", "yes", "");
    refused("unicast_only: true, solicited_unicast: false", "(unicast_only: true, solicited_unicast: false)", "remove");
    refused("hop_limits: 3", "hop_limits", "`hop_limit`");
    refused("captive_portal: \"portal\"", "\"portal\"", "https://");
    refused("captive_portal: \"https://a b\"", "\"https://a b\"", "https://");
    let long = format!("\"https://{}\"", "a".repeat(1215));
    refused(&format!("captive_portal: {long}"), &long, "");
    warned("captive_portal: \"http://portal.example\"", "\"http://portal.example\"");
    accepted("captive_portal: \"urn:ietf:params:capport:unrestricted\"");
}

#[test]
fn prefixes_are_checked_and_the_right_one_is_named() {
    let one = |prefix: &str, fields: &str| format!("prefixes: {{\"{prefix}\": ({fields})}}");
    refused(&one("2001:db8::1/64", ""), "\"2001:db8::1/64\"", "\"2001:db8::/64\"");
    refused(&one("2001:db8::/129", ""), "\"2001:db8::/129\"", "such as");
    refused(&one("2001:db8::", ""), "\"2001:db8::\"", "such as");
    refused(&one("10.0.0.0/8", ""), "\"10.0.0.0/8\"", "such as");
    refused(&one("fe80::/64", ""), "\"fe80::/64\"", "");
    refused(&one("ff02::/64", ""), "\"ff02::/64\"", "");
    refused(&one("::/48", "autonomous: false"), "\"::/48\"", "\"::/64\"");
    refused(&one("::/0", "autonomous: false"), "\"::/0\"", "\"::/64\"");
    warned(&one("2001:db8::/56", ""), "\"2001:db8::/56\"");
    accepted(&one("2001:db8::/56", "autonomous: false"));
    let twice = "prefixes: {\"2001:db8:0::/64\": (), \"2001:db8::/64\": ()}";
    refused(twice, "\"2001:db8::/64\"", "keep one");
    refused(&one("2001:db8::/64", "valid_lifetime: \"1h\", preferred_lifetime: \"2h\""), "\"2h\"", "at most \"1h\"");
    refused(&one("2001:db8::/64", "preferred_lifetime: \"infinity\""), "\"infinity\"", "at most \"1d\"");
    refused(&one("2001:db8::/64", "valid_lifetime: \"1500ms\""), "\"1500ms\"", "\"2s\"");
    refused(&one("2001:db8::/64", "valid_lifetime: \"8000w\""), "\"8000w\"", "infinity");
    accepted(&one("2001:db8::/64", "valid_lifetime: \"1h\""));
    accepted(&one("2001:db8::/64", "valid_lifetime: \"infinity\", preferred_lifetime: \"infinity\""));
    warned(&one("2001:db8::/64", "valid_lifetime: \"infinity\", decrement: true"), "\"infinity\"");
}

#[test]
fn routes_are_checked() {
    let one = |prefix: &str, fields: &str| format!("routes: {{\"{prefix}\": ({fields})}}");
    accepted(&one("::/0", ""));
    accepted(&one("2001:db8::/32", "lifetime: \"0s\""));
    refused(&one("2001:db8::1/32", ""), "\"2001:db8::1/32\"", "\"2001:db8::/32\"");
    refused(&one("ff00::/8", ""), "\"ff00::/8\"", "");
    refused(&one("2001:db8::/32", "preference: low"), "low", "`Low`");
    warned(&one("2001:db8::/32", "lifetime: \"1m\""), "\"1m\"");
    refused("routes: {\"2001:db8::/32\": (), \"2001:db8:0::/32\": ()}", "\"2001:db8:0::/32\"", "keep one");
}

#[test]
fn servers_and_domains_are_checked() {
    refused("rdnss: [()]", "()", "add `servers");
    refused("rdnss: [(servers: [])]", "[]", "");
    refused("rdnss: [(servers: [\"ff02::1\"])]", "\"ff02::1\"", "");
    refused("rdnss: [(servers: [\"9.9.9.9\"])]", "\"9.9.9.9\"", "IPv6 address");
    refused("rdnss: [(servers: [\"fd00::1\", \"fd00:0::1\"])]", "\"fd00:0::1\"", "keep one");
    let servers: Vec<_> = (1..=128).map(|n| format!("\"fd00::{n:x}\"")).collect();
    let list = format!("[{}]", servers.join(", "));
    refused(&format!("rdnss: [(servers: {list})]"), &list, "another entry");
    accepted(&format!("rdnss: [(servers: [{}])]", servers[1..].join(", ")));
    refused("dnssl: [(domains: [])]", "[]", "");
    refused("dnssl: [(domains: [\"a..b\"])]", "\"a..b\"", "example.org");
    let label = format!("\"{}.org\"", "a".repeat(64));
    refused(&format!("dnssl: [(domains: [{label}])]"), &label, "example.org");
    let name = format!("\"{}\"", ["abcdefg"; 33].join("."));
    refused(&format!("dnssl: [(domains: [{name}])]"), &name, "example.org");
    refused("dnssl: [(domains: [\"a.b\", \"A.b.\"])]", "\"A.b.\"", "keep one");
}

#[test]
fn nat64_prefixes_are_checked() {
    let one = |fields: &str| format!("pref64: [({fields})]");
    accepted(&one("prefix: \"64:ff9b::/96\", lifetime: \"65528s\""));
    refused(&one("prefix: \"64:ff9b::/96\", lifetime: \"65529s\""), "\"65529s\"", "18h12m8s");
    refused(&one("prefix: \"64:ff9b::/95\""), "\"64:ff9b::/95\"", "RFC 6052");
    refused(&one("prefix: \"64:ff9b::1/96\""), "\"64:ff9b::1/96\"", "\"64:ff9b::/96\"");
    refused(&one("lifetime: \"30m\""), "(lifetime: \"30m\")", "add `prefix");
    accepted(&format!("max_interval: \"65535s\", {}", one("prefix: \"2001:db8::/32\"")));
}

#[test]
fn auto_stands_for_what_is_published_and_is_followed_only_where_it_is_written() {
    accepted("pref64: Auto, rdnss: Auto");
    accepted("pref64: Auto(lifetime: \"65528s\"), rdnss: Auto(lifetime: \"infinity\")");
    accepted("max_interval: \"65535s\", pref64: Auto");
    refused("pref64: Auto(lifetime: \"65529s\")", "\"65529s\"", "18h12m8s");
    refused("rdnss: Auto(lifetime: \"1500ms\")", "\"1500ms\"", "\"2s\"");
    refused("rdnss: Auto(lifetim: \"1h\")", "lifetim", "`lifetime`");
    refused("rdnss: Auto(servers: [\"::\"])", "servers", "");
    warned("pref64: Auto(lifetime: \"1m\")", "\"1m\"");
    warned("rdnss: Auto(lifetime: \"1m\")", "\"1m\"");
    for field in ["pref64", "rdnss"] {
        for wrong in ["auto", "\"Auto\"", "(lifetime: \"1h\")", "{}"] {
            refused(&format!("{field}: {wrong}"), wrong, "`Auto`");
        }
        refused(&format!("{field}: [Auto]"), "Auto", "");
    }
    let follows = |fields: &str| (lan0(fields).follows_nat64_prefixes(), lan0(fields).follows_servers());
    assert_eq!(follows("pref64: [(prefix: \"64:ff9b::/96\")], rdnss: [(servers: [\"::\"])]"), (false, false));
    assert_eq!(follows(""), (false, false));
    assert_eq!(follows("pref64: Auto"), (true, false));
    assert_eq!(follows("rdnss: Auto"), (false, true));
    assert_eq!(
        summary(&lan0("pref64: Auto, rdnss: Auto")),
        "lan0: default router for 30m; every 3m18s to 10m; published DNS servers; published NAT64 prefixes\n"
    );
}

#[test]
fn the_example_of_the_manifest_is_legal() {
    let (config, warnings) = Config::parse(include_str!("../src/guest/example.ron")).unwrap();
    assert_eq!(warnings, []);
    assert!(config.follows_nat64_prefixes() && config.follows_servers() && config.follows_own_prefixes());
}

#[test]
fn many_mistakes_are_reported_at_once_in_the_order_of_the_text() {
    let text = r#"(
  interfaces: {
    "lan 0": (mtu: 12),
    "lan1": (
      hop_limit: 300,
      prefixes: { "2001:db8::7/64": (valid_lifetime: 30), "fe80::/64": () },
      rdnss: [ (servers: ["nine"], lifetim: "1h") ],
      preference: Medum,
    ),
  },
  interface: {},
)"#;
    let list = Config::parse(text).unwrap_err();
    let found: Vec<_> = list.iter().map(|d| d.span.slice(text)).collect();
    let expected = [
        "\"lan 0\"",
        "12",
        "300",
        "\"2001:db8::7/64\"",
        "30",
        "\"fe80::/64\"",
        "\"nine\"",
        "lifetim",
        "Medum",
        "interface",
    ];
    assert_eq!(found, expected);
}

#[test]
fn no_interface_at_all_is_an_error_or_a_warning() {
    assert!(Config::parse("()").is_err());
    let (config, warnings) = Config::parse("(interfaces: {})").unwrap();
    assert_eq!((config.patterns().count(), warnings.len()), (0, 1));
}

#[test]
fn the_most_specific_pattern_wins() {
    let text = "(interfaces: {\"*\": (hop_limit: 1), \"lan*\": (hop_limit: 2), \"lan*7\": (hop_limit: 3), \
                \"lan07\": (hop_limit: 4)})";
    let (config, _) = Config::parse(text).unwrap();
    let same = |name: &str, other: &str| config.for_interface(name) == config.for_interface(other);
    assert!(same("wan", "x") && same("lan0", "lan") && same("lan17", "lan27"));
    assert!(!same("lan07", "lan17") && !same("lan17", "lan1") && !same("lan1", "wan"));
    assert_eq!(config.exact_names().collect::<Vec<_>>(), ["lan07"]);
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
