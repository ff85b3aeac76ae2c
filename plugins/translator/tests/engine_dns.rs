//! Where clients ask: sockets on the interfaces that the section means, and the addresses that others are told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod lab;

use core::time::Duration;

use lab::*;
use portreeve_translator::engine::{Event, HOLD, MAX_LISTENING};

const LAN: u32 = 3;

/// An engine with a LAN that has a link-local and a global address.
fn on_lan() -> Lab {
    let mut lab = Lab::new(DNS);
    lab.link(1, "lo", true);
    lab.link(LAN, "lan0", true);
    lab.address(LAN, "fe80::1/64", true);
    lab.address(LAN, "2001:db8:60::1/64", true);
    lab
}

#[test]
fn sockets_are_opened_on_every_interface_that_is_meant_and_up() {
    let mut lab = Lab::new(DNS);
    assert_eq!(lab.begin(), ["apply", "open nat64", "publish nat64/nat64 64:ff9b::/96"]);
    assert_eq!(lab.link(1, "lo", true), ["listen lo udp 53", "listen lo tcp 53", "ready"]);
    assert_eq!(lab.link(LAN, "lan0", false), Vec::<String>::new());
    assert_eq!(lab.link(4, "wan0", true), Vec::<String>::new());
    assert_eq!(lab.link(LAN, "lan0", true), ["listen lan0 udp 53", "listen lan0 tcp 53"]);
    assert_eq!(lab.link(LAN, "lan0", false), ["unlisten lan0 udp 53", "unlisten lan0 tcp 53"]);
    // Another interface of the same name has sockets of its own.
    lab.link(LAN, "lan0", true);
    lab.unlink(LAN);
    assert_eq!(lab.link(7, "lan0", true), ["listen lan0 udp 53", "listen lan0 tcp 53"]);
    assert_eq!(lab.listening.iter().map(|socket| socket.index).collect::<Vec<_>>(), [1, 1, 7, 7]);
    assert_eq!(lab.link(7, "wan1", true), ["unlisten lan0 udp 53", "unlisten lan0 tcp 53"]);
}

#[test]
fn the_translators_own_devices_are_not_asked_on() {
    let mut lab = Lab::started(&DNS.replace("\"lan*\", \"lo\"", "\"*\""));
    assert_eq!(lab.listening, []);
    lab.link(LAN, "lan0", true);
    assert_eq!(lab.listening.len(), 2);
}

#[test]
fn others_are_told_a_global_address_before_a_unique_local_one_and_no_link_local_one() {
    let mut lab = Lab::new(DNS);
    lab.link(LAN, "lan0", true);
    assert_eq!(lab.address(LAN, "fe80::1/64", true), Vec::<String>::new());
    assert_eq!(lab.address(LAN, "192.0.2.1/24", true), Vec::<String>::new());
    assert_eq!(lab.address(LAN, "2001:db8:60::1/64", false), Vec::<String>::new());
    assert_eq!(lab.address(LAN, "fd00::1/64", true), ["publish dns/lan0 fd00::1"]);
    // What was told stays as long as it is there.
    assert_eq!(lab.address(LAN, "2001:db8:60::1/64", true), Vec::<String>::new());
    assert_eq!(lab.no_address(LAN, "fd00::1/64"), ["publish dns/lan0 2001:db8:60::1"]);
    assert_eq!(lab.address(LAN, "fd00::2/64", true), Vec::<String>::new());
    assert_eq!(lab.address(LAN, "2001:db8:60::1/64", false), ["publish dns/lan0 fd00::2"]);
    assert_eq!(lab.no_address(LAN, "fd00::2/64"), ["withdraw dns/lan0"]);
    let mut lab = on_lan();
    assert_eq!(lab.facts.get("dns/lan0").map(String::as_str), Some("2001:db8:60::1"));
    assert!(!lab.facts.contains_key("dns/lo"));
    lab.address(1, "2001:db8::1/128", true);
    assert!(!lab.facts.contains_key("dns/lo"));
    assert_eq!(lab.link(LAN, "lan0", false), ["unlisten lan0 udp 53", "unlisten lan0 tcp 53", "withdraw dns/lan0"]);
}

#[test]
fn an_address_is_told_only_when_questions_are_taken_there_on_the_usual_port() {
    let mut lab = Lab::new(DNS);
    lab.opens = false;
    lab.link(LAN, "lan0", true);
    assert_eq!(lab.address(LAN, "2001:db8::1/64", true), Vec::<String>::new());
    assert_eq!(lab.listener("lan0", "tcp", Event::Open), Vec::<String>::new());
    assert_eq!(lab.listener("lan0", "udp", Event::Open), ["publish dns/lan0 2001:db8::1"]);
    let moved = DNS.replace("resolvers", "port: 5300, resolvers");
    let done = lab.reconfigure(&moved);
    assert!(
        done.contains(&"withdraw dns/lan0".to_owned()) && done.contains(&"listen lan0 udp 5300".to_owned()),
        "{done:?}"
    );
    lab.opens = true;
    lab.reconfigure(DNS);
    assert!(lab.facts.contains_key("dns/lan0"));
    let done = lab.reconfigure(&DNS.replace("resolvers", "advertise: false, resolvers"));
    assert_eq!(done, ["withdraw dns/lan0"]);
    let done = lab.reconfigure(NAT64);
    assert_eq!(done.iter().filter(|what| what.starts_with("unlisten")).count(), 2);
}

#[test]
fn a_socket_that_breaks_is_opened_again_and_told_of_for_a_while() {
    let mut lab = on_lan();
    lab.begin();
    lab.opens = false;
    let done = lab.listener("lan0", "udp", Event::Failed("address in use".into()));
    assert_eq!(done, ["unlisten lan0 udp 53", "degraded dns64: udp port 53 on lan0: address in use"]);
    let row = lab.engine.listeners().into_iter().find(|row| row.interface == "lan0" && row.transport == "udp").unwrap();
    assert_eq!((row.open, row.last_error.as_deref()), (false, Some("address in use")));
    let done = lab.pass(HOLD * 2);
    assert_eq!(done, [(SECOND, "listen lan0 udp 53".to_owned()), (HOLD, "withdraw dns/lan0".to_owned())]);
    assert_eq!(lab.listener("lan0", "udp", Event::Open), ["publish dns/lan0 2001:db8:60::1", "ready"]);
}

#[test]
fn an_interface_that_is_named_and_does_not_come_is_a_problem_after_a_while() {
    let section = DNS.replace("\"lan*\", \"lo\"", "\"lan0\", \"guest*\"");
    let mut lab = Lab::started(&section);
    let done = lab.pass(Duration::from_secs(20));
    assert_eq!(done, [(Duration::from_secs(10), "degraded dns64: lan0 is not there, or down".to_owned())]);
    assert_eq!(lab.link(LAN, "lan0", true).last().unwrap(), "ready");
    let mut lab = Lab::started(&DNS.replace("\"lan*\", \"lo\"", "\"guest*\""));
    let done = lab.pass(Duration::from_secs(20));
    assert_eq!(done.last().unwrap().1, "degraded dns64: none of its interfaces is there and up");
}

#[test]
fn interfaces_beyond_the_bound_have_no_sockets_and_are_counted() {
    let mut lab = Lab::started(DNS);
    for index in 0..100_u32 {
        lab.link(100 + index, &format!("lan{index}"), true);
    }
    assert_eq!(lab.listening.len(), 2 * MAX_LISTENING);
    lab.pass(SECOND);
    let text = "dns64: 36 interfaces more than the 64 that fit";
    assert!(lab.link(100, "lan0", false).iter().any(|what| what.contains("dns64: 35 interfaces")), "{text}");
}
