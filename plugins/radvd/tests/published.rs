//! `pref64: Auto` and `rdnss: Auto`: what other plugins publish comes, changes and goes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use portreeve_packet::nd::NdOption;
use portreeve_radvd::engine::{Event, LinkState, MAX_PUBLISHED_NAT64_PREFIXES, MAX_PUBLISHED_SERVERS};
use std::time::Duration;

/// Lifetimes are three times the interval: 30 s, for PREF64 rounded up to 32 s.
const AUTO: &str = "max_interval: \"10s\", pref64: Auto, rdnss: Auto";
const WELL_KNOWN: &str = "64:ff9b::/96";

fn nat64(prefix: &str, lifetime: u16) -> (String, u16) {
    (prefix.to_owned(), lifetime)
}

fn server(address: &str, lifetime: u32) -> (String, u32) {
    (address.to_owned(), lifetime)
}

#[test]
fn nothing_is_advertised_while_nothing_is_published_and_nothing_published_without_auto() {
    let mut lab = Lab::up(lan0(AUTO));
    let sent = lab.one();
    assert!(sent.nat64().is_empty() && sent.servers().is_empty());
    let mut lab = Lab::up(lan0("max_interval: \"10s\"")).settled();
    let due = lab.engine.poll_timeout();
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    assert!(lab.take().is_empty());
    assert_eq!(lab.engine.poll_timeout(), due);
    lab.advance(seconds(10));
    let sent = lab.take();
    assert!(!sent.is_empty() && sent.iter().all(|s| s.nat64().is_empty() && s.servers().is_empty()));
    assert!(!lab.events.iter().any(|e| matches!(e, Event::Published { .. })));
}

#[test]
fn what_is_published_before_the_link_is_up_is_in_the_first_advertisement() {
    let mut lab = Lab::new(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    lab.link(LinkState { running: false, ..link("lan0", 2) });
    lab.link(link("lan0", 2));
    let sent = lab.one();
    assert_eq!(sent.nat64(), [nat64(WELL_KNOWN, 32)]);
    assert_eq!(sent.servers(), [server("2001:db8::1", 30)]);
}

#[test]
fn the_option_has_the_bytes_of_rfc_8781() {
    let mut lab = Lab::new(lan0("max_interval: \"10m\", pref64: Auto"));
    lab.publish_nat64(&["2001:db8:64::/48"]);
    lab.link(LinkState { mac: None, ..link("lan0", 2) });
    // Type 38, two units, 1800 s with code 3 for a /48, the first 96 bits.
    let expected = [38, 2, 0x07, 0x0b, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x64, 0, 0, 0, 0, 0, 0];
    assert_eq!(lab.one().transmit.bytes[16..], expected);
}

#[test]
fn a_fact_that_comes_later_is_advertised_after_the_minimum_delay_and_takes_nothing_back() {
    let mut lab = Lab::up(lan0(AUTO));
    lab.take();
    lab.advance(seconds(1));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    assert!(lab.take().is_empty(), "three seconds lie between two advertisements to all");
    lab.advance(seconds(2));
    let sent = lab.one();
    assert_eq!(sent.at, lab.now);
    assert_eq!((sent.nat64(), sent.servers()), (vec![nat64(WELL_KNOWN, 32)], vec![server("2001:db8::1", 30)]));
    let reported = lab.events.iter().filter(|e| matches!(e, Event::Published { .. })).count();
    assert_eq!(reported, 2, "each change once");
    assert!(matches!(lab.events.last(), Some(Event::Published { name, nat64_prefixes, servers })
        if name == "lan0" && nat64_prefixes.len() == 1 && servers.len() == 1));
}

#[test]
fn a_fact_that_comes_when_all_is_quiet_is_advertised_at_once_and_the_same_once_more_is_no_news() {
    let mut lab = Lab::up(lan0("pref64: Auto, rdnss: Auto")).settled();
    lab.publish_nat64(&[WELL_KNOWN]);
    assert_eq!(lab.one().nat64(), [nat64(WELL_KNOWN, 1800)]);
    lab.advance(seconds(60));
    lab.take();
    let due = lab.engine.poll_timeout();
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[]);
    assert!(lab.take().is_empty());
    assert_eq!(lab.engine.poll_timeout(), due);
    lab.solicit(HOST);
    assert_eq!(lab.one().nat64(), [nat64(WELL_KNOWN, 1800)]);
}

#[test]
fn a_fact_that_changes_takes_the_old_value_back_three_times() {
    let mut lab = Lab::up(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    let mut lab = lab.settled();
    lab.advance(seconds(3));
    lab.take();
    lab.publish_nat64(&["2001:db8:64::/96"]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::2")]);
    lab.advance(seconds(60));
    let sent = lab.take();
    for (n, sent) in sent.iter().enumerate().skip(1) {
        let (mut prefixes, mut servers) = (vec![nat64("2001:db8:64::/96", 32)], vec![server("2001:db8::2", 30)]);
        if n < 3 {
            prefixes.push(nat64(WELL_KNOWN, 0));
            servers.push(server("2001:db8::1", 0));
        }
        assert_eq!((sent.nat64(), sent.servers()), (prefixes, servers), "advertisement {n}");
    }
    assert!(sent.len() > 4);
}

#[test]
fn a_fact_that_goes_is_taken_back_three_times_and_then_never_again() {
    let mut lab = Lab::up(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    let mut lab = lab.settled();
    lab.publish_nat64(&[]);
    lab.publish_servers(&[]);
    lab.advance(seconds(60));
    let sent = lab.take();
    assert!(sent.len() > 4);
    let gone = |sent: &Sent| sent.nat64() == [nat64(WELL_KNOWN, 0)];
    assert!(sent[..3].iter().all(gone) && sent[3..].iter().all(|s| s.nat64().is_empty()));
    let count = sent.iter().filter(|s| s.servers() == [server("2001:db8::1", 0)]).count();
    assert!(count == 3 && sent.last().unwrap().servers().is_empty());
    let reported = Event::Published { name: "lan0".to_owned(), nat64_prefixes: vec![], servers: vec![] };
    assert_eq!(lab.events.last(), Some(&reported));
}

#[test]
fn a_fact_that_comes_back_is_no_longer_taken_back() {
    let mut lab = Lab::up(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    let mut lab = lab.settled();
    lab.publish_nat64(&[]);
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.advance(seconds(20));
    let sent = lab.take();
    assert!(sent.len() > 1 && sent.last().unwrap().nat64() == [nat64(WELL_KNOWN, 32)]);
}

#[test]
fn a_fact_that_goes_while_the_link_is_down_is_taken_back_when_it_is_up_again() {
    let mut lab = Lab::up(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    let mut lab = lab.settled();
    lab.link(LinkState { running: false, ..link("lan0", 2) });
    lab.publish_nat64(&[]);
    lab.advance(seconds(10));
    lab.link(link("lan0", 2));
    lab.advance(seconds(3));
    assert_eq!(lab.take()[0].nat64(), [nat64(WELL_KNOWN, 0)]);
}

#[test]
fn a_server_under_the_key_of_an_interface_is_for_that_one_alone_and_comes_before_those_for_all() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": (rdnss: Auto)})"));
    lab.publish_servers(&[
        ("anycast", "2001:db8::53"),
        ("dns/lan0", "2001:db8:0::1"),
        ("dns/lan1", "2001:db8:1::1"),
        ("dns/lan1", "fe80::1"),
        ("dns/", "2001:db8::54"),
        ("dns/a/b", "2001:db8::55"),
        ("dns/lan*", "2001:db8::56"),
    ]);
    for index in 0..3 {
        lab.link(link(&format!("lan{index}"), index));
    }
    let everywhere = ["2001:db8::53", "2001:db8::54", "2001:db8::55", "2001:db8::56"];
    for (sent, here) in lab.take().iter().zip([&["2001:db8::1"][..], &["2001:db8:1::1", "fe80::1"], &[]]) {
        let expected: Vec<_> = here.iter().chain(&everywhere).map(|address| server(address, 1800)).collect();
        assert_eq!(sent.servers(), expected, "on {}", sent.transmit.interface_index);
    }
}

#[test]
fn a_change_for_one_interface_leaves_the_others_alone() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": (rdnss: Auto)})"));
    lab.link(link("lan0", 2));
    lab.link(link("lan1", 3));
    let mut lab = lab.settled();
    let next = lab.status("lan0").next_advertisement_in;
    lab.publish_servers(&[("dns/lan1", "2001:db8:1::1")]);
    let sent = lab.one();
    assert_eq!((sent.transmit.interface_index, sent.servers()), (3, vec![server("2001:db8:1::1", 1800)]));
    assert_eq!(lab.status("lan0").next_advertisement_in, next);
}

#[test]
fn an_interface_that_takes_another_name_takes_the_servers_of_that_name() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": (rdnss: Auto)})"));
    lab.publish_servers(&[("dns/lan1", "2001:db8:1::1"), ("dns/lan0", "2001:db8:0::1")]);
    lab.link(link("lan0", 2));
    lab = lab.settled();
    lab.link(link("lan1", 2));
    assert_eq!(lab.one().servers(), [server("2001:db8:1::1", 1800), server("2001:db8::1", 0)]);
}

#[test]
fn an_interface_that_is_configured_later_or_anew_advertises_and_reports_what_was_published_before() {
    let mut lab = Lab::new(config("(interfaces: {\"other\": ()})"));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.link(link("lan0", 2));
    for _ in 0..2 {
        lab.events.clear();
        lab.reconfigure(lan0(AUTO));
        assert_eq!(lab.one().nat64(), [nat64(WELL_KNOWN, 32)]);
        assert_eq!(lab.events.iter().filter(|e| matches!(e, Event::Published { .. })).count(), 1);
        lab.reconfigure(config("(interfaces: {\"other\": ()})"));
        lab.advance(seconds(10));
        assert_eq!(lab.take().len(), 3, "final ones");
    }
}

#[test]
fn what_no_host_could_use_is_passed_over() {
    let mut lab = Lab::new(lan0(AUTO));
    lab.publish_nat64(&["64:ff9b::/95", "2001:db8::/31", "::/96", "fe80::/64", "ff0e::/96", "64:ff9b:1::/48"]);
    let servers = ["::", "::1", "ff02::fb", "::ffff:192.0.2.1", "fe80::53", "2001:db8::53"];
    lab.publish_servers(&servers.map(|address| ("resolver", address)));
    lab.link(link("lan0", 2));
    let sent = lab.one();
    assert_eq!(sent.nat64(), [nat64("64:ff9b:1::/48", 32)]);
    assert_eq!(sent.servers(), [server("2001:db8::53", 30)]);
}

#[test]
fn however_much_is_published_an_interface_advertises_only_so_much_and_nothing_twice() {
    let prefixes: Vec<_> = (0..200).map(|n| format!("2001:db8:{:x}::/96", n / 2)).collect();
    let servers: Vec<_> = (0..200).map(|n| format!("2001:db8::{:x}", n / 2 + 1)).collect();
    let mut lab = Lab::new(lan0(AUTO));
    lab.publish_nat64(&prefixes.iter().map(String::as_str).collect::<Vec<_>>());
    lab.publish_servers(&servers.iter().map(|address| ("any", address.as_str())).collect::<Vec<_>>());
    lab.link(link("lan0", 2));
    let sent = lab.one();
    let every_other = |list: &[String], most: usize| list.iter().step_by(2).take(most).cloned().collect::<Vec<_>>();
    let found: Vec<_> =
        sent.nat64().into_iter().map(|(prefix, _)| prefix.replace("2001:db8::/", "2001:db8:0::/")).collect();
    assert_eq!(found, every_other(&prefixes, MAX_PUBLISHED_NAT64_PREFIXES));
    let found: Vec<_> = sent.servers().into_iter().map(|(address, _)| address).collect();
    assert_eq!(found, every_other(&servers, MAX_PUBLISHED_SERVERS));
}

#[test]
fn written_lifetimes_hold_and_the_default_is_bounded_by_the_field() {
    let sent = |fields: &str| {
        let mut lab = Lab::new(lan0(fields));
        lab.publish_nat64(&[WELL_KNOWN]);
        lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
        lab.link(link("lan0", 2));
        let sent = lab.one();
        (sent.nat64()[0].1, sent.servers()[0].1)
    };
    assert_eq!(sent("pref64: Auto, rdnss: Auto"), (1800, 1800));
    assert_eq!(sent("pref64: Auto(lifetime: \"1h1s\"), rdnss: Auto(lifetime: \"infinity\")"), (3608, u32::MAX));
    assert_eq!(sent("max_interval: \"9h\", pref64: Auto, rdnss: Auto"), (65_528, 97_200));
}

#[test]
fn from_written_to_published_and_back_with_the_same_values_takes_nothing_back() {
    let written = "pref64: [(prefix: \"64:ff9b::/96\")], rdnss: [(servers: [\"2001:db8::1\"])]";
    let mut lab = Lab::up(lan0(written)).settled();
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    lab.reconfigure(lan0("pref64: Auto, rdnss: Auto"));
    lab.reconfigure(lan0(written));
    lab.advance(seconds(700));
    let sent = lab.take();
    assert!(!sent.is_empty());
    for sent in sent {
        assert_eq!((sent.nat64(), sent.servers()), (vec![nat64(WELL_KNOWN, 1800)], vec![server("2001:db8::1", 1800)]));
    }
}

#[test]
fn when_the_router_stops_what_is_published_is_taken_back_too() {
    let mut lab = Lab::up(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1")]);
    let mut lab = lab.settled();
    lab.stop();
    let sent = lab.one();
    assert_eq!((sent.nat64(), sent.servers()), (vec![nat64(WELL_KNOWN, 0)], vec![server("2001:db8::1", 0)]));
    lab.publish_nat64(&[]);
    lab.advance(Duration::from_millis(450));
    assert!(lab.engine.is_drained());
}

#[test]
fn status_shows_what_is_advertised_and_what_is_taken_back() {
    let mut lab = Lab::new(lan0(AUTO));
    lab.publish_nat64(&[WELL_KNOWN]);
    lab.publish_servers(&[("dns/lan0", "2001:db8::1"), ("any", "2001:db8::2")]);
    lab.link(link("lan0", 2));
    let shown = |lab: &Lab| {
        let status = lab.status("lan0");
        let prefixes: Vec<_> =
            status.nat64_prefixes.iter().map(|p| (p.prefix.to_string(), p.lifetime, p.withdrawn)).collect();
        let servers: Vec<_> = status.servers.iter().map(|s| (s.address.to_string(), s.lifetime, s.withdrawn)).collect();
        (prefixes, servers)
    };
    let (first, second) = ("2001:db8::1".to_owned(), "2001:db8::2".to_owned());
    let expected = vec![(first.clone(), 30, false), (second.clone(), 30, false)];
    assert_eq!(shown(&lab), (vec![(WELL_KNOWN.to_owned(), 32, false)], expected));
    lab.publish_nat64(&[]);
    lab.publish_servers(&[("any", "2001:db8::2")]);
    assert_eq!(
        shown(&lab),
        (vec![(WELL_KNOWN.to_owned(), 0, true)], vec![(second.clone(), 30, false), (first, 0, true)])
    );
    lab.advance(seconds(60));
    assert_eq!(shown(&lab), (vec![], vec![(second, 30, false)]));
}

#[test]
fn published_servers_share_one_option() {
    let mut lab = Lab::new(lan0(AUTO));
    lab.publish_servers(&[("a", "2001:db8::1"), ("b", "2001:db8::2")]);
    lab.link(link("lan0", 2));
    let options = lab.one().parse().options;
    assert_eq!(options.iter().filter(|o| matches!(o, NdOption::Rdnss(r) if r.servers.len() == 2)).count(), 1);
}
