//! What follows from changes: of the configuration, of addresses, of lifetimes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use portreeve_packet::nd::NdOption;
use portreeve_radvd::engine::{Delegated, Event, LinkState};
use std::time::Duration;

const PREFIX: &str = "prefixes: {\"2001:db8:60::/64\": (), \"2001:db8:61::/64\": ()}";
const ONE_PREFIX: &str = "prefixes: {\"2001:db8:61::/64\": ()}";

fn with_addresses(addresses: &[&str]) -> LinkState {
    let mut state = link("lan0", 2);
    state.addresses.extend(addresses.iter().map(|text| address(text)));
    state
}

#[test]
fn an_interface_that_does_not_forward_is_told_of_and_advertised_all_the_same() {
    let mut lab = Lab::new(lan0(""));
    lab.link(LinkState { forwarding_off: true, ..link("lan0", 2) });
    assert_eq!(lab.take().len(), 1);
    assert!(lab.events.iter().any(|e| matches!(e, Event::NotForwarding { name } if name == "lan0")));
    assert!(lab.status("lan0").forwarding_off);
}

#[test]
fn a_prefix_that_the_interface_was_given_is_advertised_before_it_has_an_address_and_with_its_lifetimes() {
    let own = "prefixes: {\"::/64\": ()}, rdnss: [(servers: [\"::\"])]";
    let mut lab = Lab::new(lan0(own));
    let prefix = portreeve_config::Ipv6Prefix::containing("2001:db8:60:1::".parse().unwrap(), 64);
    let given = Delegated { prefix, valid_lifetime: Some(1000), preferred_lifetime: Some(500) };
    lab.link(LinkState { delegated: vec![given], ..link("lan0", 2) });
    let sent = lab.take();
    let prefixes = |sent: &Sent| -> Vec<_> {
        let options = sent.parse().options;
        let of = |option: &NdOption| match option {
            NdOption::PrefixInformation(p) => Some((p.prefix, p.valid_lifetime, p.preferred_lifetime)),
            _ => None,
        };
        options.iter().filter_map(of).collect()
    };
    assert_eq!(prefixes(&sent[0]), [("2001:db8:60:1::".parse().unwrap(), 1000, 500)]);
    // A prefix is no address: no server is made of it.
    assert!(
        !sent[0]
            .parse()
            .options
            .iter()
            .any(|o| matches!(o, NdOption::Rdnss(r) if r.servers.iter().any(|s| s.segments()[0] == 0x2001)))
    );
    lab.link(link("lan0", 2));
    lab.advance(Duration::from_secs(3));
    let gone = lab.take();
    assert!(gone.iter().flat_map(prefixes).all(|(_, _, preferred)| preferred == 0), "deprecated once it is taken back");
}

#[test]
fn reconfiguring_leaves_untouched_interfaces_alone() {
    let before = "(interfaces: {\"lan0\": (), \"lan1\": (hop_limit: 1), \"lan2\": ()})";
    let after = "(interfaces: {\"lan0\": (), \"lan1\": (hop_limit: 2)})";
    let mut lab = Lab::new(config(before));
    for index in 0..3 {
        lab.link(link(&format!("lan{index}"), index));
    }
    let mut lab = lab.settled();
    let next = lab.status("lan0").next_advertisement_in;
    lab.reconfigure(config(after));
    assert_eq!(lab.status("lan0").next_advertisement_in, next);
    lab.advance(Duration::from_millis(450));
    let sent = lab.take();
    assert!(sent.iter().all(|s| s.transmit.interface_index != 0));
    let lan1: Vec<_> = sent.iter().filter(|s| s.transmit.interface_index == 1).collect();
    assert_eq!((lan1.len(), lan1[0].parse().hop_limit), (1, 2), "changed: advertised at once");
    let lan2: Vec<_> = sent.iter().filter(|s| s.transmit.interface_index == 2).collect();
    assert!(lan2.len() == 3 && lan2.iter().all(|s| s.parse().router_lifetime == 0), "taken out: final ones");
    assert!(!lab.open.contains(&2) && lab.open.contains(&0));
}

#[test]
fn reconfiguring_with_the_same_text_sends_nothing() {
    let mut lab = Lab::up(lan0(PREFIX)).settled();
    let due = lab.engine.poll_timeout();
    lab.reconfigure(lan0(PREFIX));
    assert!(lab.take().is_empty());
    assert_eq!(lab.engine.poll_timeout(), due);
}

#[test]
fn a_removed_prefix_is_deprecated_for_its_former_valid_lifetime() {
    let mut lab = Lab::up(lan0(PREFIX)).settled();
    lab.reconfigure(lan0(ONE_PREFIX));
    let stale = lab.one().prefix("2001:db8:60::").unwrap();
    assert_eq!((stale.preferred_lifetime, stale.valid_lifetime, stale.flags.0), (0, 7200, 0xc0));
    lab.advance(seconds(3600));
    let later = lab.take().last().unwrap().prefix("2001:db8:60::").unwrap();
    assert!(later.valid_lifetime < 7200 && later.valid_lifetime > 2800, "it counts down");
    lab.advance(seconds(80_000));
    assert!(lab.take().last().unwrap().prefix("2001:db8:60::").is_some(), "a sleeper may wake up");
    lab.advance(seconds(5000));
    assert!(lab.take().last().unwrap().prefix("2001:db8:60::").is_none(), "86,400 s are over");
}

#[test]
fn a_prefix_that_comes_back_is_no_longer_deprecated() {
    let mut lab = Lab::up(lan0(PREFIX)).settled();
    lab.reconfigure(lan0(ONE_PREFIX));
    lab.reconfigure(lan0(PREFIX));
    lab.advance(seconds(4));
    let sent = lab.take();
    assert_eq!(sent.last().unwrap().prefix("2001:db8:60::").unwrap().preferred_lifetime, 14_400);
    assert_eq!(lab.status("lan0").prefixes.len(), 2);
}

#[test]
fn a_prefix_without_deprecation_just_vanishes() {
    let mut lab = Lab::up(lan0("prefixes: {\"2001:db8:60::/64\": (deprecate_on_removal: false)}")).settled();
    lab.reconfigure(lan0(""));
    assert!(lab.one().prefix("2001:db8:60::").is_none());
}

#[test]
fn an_interface_taken_out_deprecates_its_prefixes() {
    let mut lab = Lab::up(lan0(PREFIX)).settled();
    lab.reconfigure(config("(interfaces: {\"other\": ()})"));
    let prefix = lab.one().prefix("2001:db8:60::").unwrap();
    assert_eq!((prefix.preferred_lifetime, prefix.valid_lifetime), (0, 7200));
}

#[test]
fn removed_routes_servers_domains_and_pref64_are_taken_back_three_times() {
    let fields = "max_interval: \"10s\", routes: {\"2001:db8::/32\": ()}, rdnss: [(servers: [\"2001:db8::53\"])], \
                  dnssl: [(domains: [\"example.org\"])], pref64: [(prefix: \"64:ff9b::/96\")]";
    let mut lab = Lab::up(lan0(fields)).settled();
    lab.reconfigure(lan0("max_interval: \"10s\""));
    lab.advance(seconds(60));
    let gone = |sent: &Sent| {
        [
            sent.has(|o| matches!(o, NdOption::RouteInformation(r) if r.lifetime == 0)),
            sent.has(|o| matches!(o, NdOption::Rdnss(r) if r.lifetime == 0)),
            sent.has(|o| matches!(o, NdOption::Dnssl(r) if r.lifetime == 0)),
            sent.has(|o| matches!(o, NdOption::Pref64(r) if r.lifetime == 0)),
        ]
    };
    let sent = lab.take();
    assert!(sent[..3].iter().all(|s| gone(s) == [true; 4]));
    assert!(sent[3..].iter().all(|s| gone(s) == [false; 4]) && sent.len() > 4);
}

#[test]
fn own_prefixes_follow_the_addresses_of_the_interface() {
    let mut lab = Lab::new(lan0("prefixes: {\"::/64\": ()}"));
    lab.link(with_addresses(&["2001:db8:7::1/64", "2001:db8:8::1/48", "fd00::1/64"]));
    let sent = lab.one();
    assert!(sent.prefix("2001:db8:7::").is_some() && sent.prefix("fd00::").is_some());
    assert!(sent.prefix("2001:db8:8::").is_none() && sent.prefix("fe80::").is_none());
    lab.advance(seconds(40));
    lab.take();
    lab.link(with_addresses(&["2001:db8:9::1/64", "fd00::1/64"]));
    let sent = lab.one();
    assert_eq!(sent.at, lab.now);
    assert_eq!(sent.prefix("2001:db8:9::").unwrap().preferred_lifetime, 14_400);
    assert_eq!(sent.prefix("2001:db8:7::").unwrap().preferred_lifetime, 0);
    assert!(lab.events.iter().any(|e| matches!(e, Event::PrefixRemoved { .. })));
}

#[test]
fn own_prefixes_never_outlive_the_kernels_address_and_a_refresh_is_no_news() {
    let mut lab = Lab::new(lan0("prefixes: {\"::/64\": ()}"));
    let mut state = with_addresses(&["2001:db8:7::1/64"]);
    (state.addresses[1].valid_lifetime, state.addresses[1].preferred_lifetime) = (Some(600), Some(300));
    lab.link(state.clone());
    let prefix = lab.one().prefix("2001:db8:7::").unwrap();
    assert_eq!((prefix.valid_lifetime, prefix.preferred_lifetime), (600, 300));
    lab.advance(seconds(100));
    lab.take();
    lab.solicit(HOST);
    let prefix = lab.one().prefix("2001:db8:7::").unwrap();
    assert_eq!((prefix.valid_lifetime, prefix.preferred_lifetime), (500, 200));
    let due = lab.engine.poll_timeout();
    lab.link(state.clone());
    assert!(lab.take().is_empty() && lab.engine.poll_timeout() == due);
    lab.solicit(HOST);
    assert_eq!(lab.one().prefix("2001:db8:7::").unwrap().valid_lifetime, 600);
    state.addresses[1].deprecated = true;
    lab.link(state);
    lab.advance(seconds(3));
    assert_eq!(lab.one().prefix("2001:db8:7::").unwrap().preferred_lifetime, 0);
}

#[test]
fn decrementing_lifetimes_count_down_to_zero_and_a_new_lifetime_starts_again() {
    let prefix = |valid: &str| {
        let fields = format!("valid_lifetime: \"{valid}\", preferred_lifetime: \"10m\", decrement: true");
        lan0(&format!("prefixes: {{\"2001:db8:60::/64\": ({fields})}}"))
    };
    let mut lab = Lab::up(prefix("20m"));
    lab.advance(seconds(100));
    lab.take();
    lab.solicit(HOST);
    let found = lab.one().prefix("2001:db8:60::").unwrap();
    assert_eq!((found.valid_lifetime, found.preferred_lifetime), (1100, 500));
    lab.advance(seconds(2000));
    lab.take();
    lab.solicit(HOST);
    let found = lab.one().prefix("2001:db8:60::").unwrap();
    assert_eq!((found.valid_lifetime, found.preferred_lifetime), (0, 0));
    lab.reconfigure(prefix("30m"));
    lab.advance(seconds(3));
    lab.take();
    lab.solicit(HOST);
    assert!(lab.one().prefix("2001:db8:60::").unwrap().valid_lifetime >= 1797);
}

#[test]
fn the_r_flag_carries_the_routers_own_address() {
    let mut lab = Lab::new(lan0("prefixes: {\"::/64\": (router_address: true)}"));
    lab.link(with_addresses(&["2001:db8:7::1/64"]));
    assert_eq!(lab.one().prefix("2001:db8:7::1").unwrap().flags.0, 0xe0);
}

#[test]
fn the_unspecified_name_server_becomes_the_interfaces_own_address() {
    let servers = |sent: &Sent| {
        sent.parse().options.into_iter().find_map(|o| match o {
            NdOption::Rdnss(rdnss) if rdnss.lifetime > 0 => Some(rdnss.servers[0].to_string()),
            _ => None,
        })
    };
    let mut lab = Lab::new(lan0("rdnss: [(servers: [\"::\"])]"));
    lab.link(link("lan0", 2));
    assert_eq!(servers(&lab.one()).as_deref(), Some("fe80::1"));
    let mut lab = Lab::new(lan0("rdnss: [(servers: [\"::\"])]"));
    lab.link(with_addresses(&["2001:db8:7::1/64", "fd00::1/64"]));
    assert_eq!(servers(&lab.one()).as_deref(), Some("fd00::1"));
    lab.advance(seconds(40));
    lab.take();
    lab.link(with_addresses(&["2001:db8:7::1/64"]));
    let sent = lab.one();
    assert_eq!(servers(&sent).as_deref(), Some("2001:db8:7::1"));
    assert!(sent.has(|o| matches!(o, NdOption::Rdnss(r) if r.lifetime == 0)), "the old one is taken back");
}

#[test]
fn a_new_link_local_address_is_announced_and_a_second_one_changes_nothing() {
    let mut lab = Lab::up(lan0("")).settled();
    lab.link(with_addresses(&["fe80::2/64"]));
    assert!(lab.take().is_empty());
    let mut state = with_addresses(&["fe80::2/64"]);
    state.addresses.remove(0);
    lab.link(state);
    assert_eq!(lab.one().transmit.source.to_string(), "fe80::2");
}
