//! The engine on a clock of its own: devices, routes and paths of the instances, what becomes of them when something
//! breaks, what another configuration changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod lab;

use core::time::Duration;

use lab::*;
use portreeve_network::{Kind, Masquerade};
use portreeve_translator::engine::{Action, Event, HOLD, Link, Outcome, Problem};
use proptest::prelude::*;

#[test]
fn an_empty_section_makes_the_device_routes_forwarding_and_masquerade_and_publishes_the_prefix() {
    let mut lab = Lab::new(NAT64);
    assert_eq!(lab.begin(), ["apply", "open nat64", "publish nat64/nat64 64:ff9b::/96", "ready"]);
    let state = lab.state();
    assert_eq!(
        (&state.links[0].make, state.links[0].up, state.links[0].mtu),
        (&Some(Kind::Tun), Some(true), Some(1500))
    );
    assert_eq!(lab.routes(), ["192.0.0.4/30 nat64", "64:ff9b::/96 nat64"]);
    let sysctls: Vec<_> = state.sysctls.iter().map(|s| (s.name.as_str(), s.value.as_str())).collect();
    assert_eq!(sysctls, [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]);
    assert_eq!(state.masquerades, [Masquerade { source: prefix("192.0.0.4/30"), out: None }]);
    assert_eq!((lab.row("nat64").state, lab.row("nat64").advertised), ("up", true));
    assert_eq!(lab.pass(Duration::from_secs(86_400)), []);
}

#[test]
fn the_path_is_opened_with_all_that_it_takes() {
    let section = r#"(instances: {"n": Nat64(prefix: "2001:db8:64::/96", pool: Addresses(["198.51.100.8/30"]))})"#;
    let mut lab = Lab::new(section);
    lab.engine.handle_timeout(lab.now);
    let actions = lab.actions();
    let settings = opened(&actions).unwrap();
    assert_eq!(settings.prefix.unwrap().to_string(), "2001:db8:64::/96");
    assert_eq!(settings.instance.name, "n");
    assert!(settings.allow_private);
    assert_eq!(settings.icmp_source, "2001:db8:64::198.51.100.8".parse().ok());
    assert_eq!(settings.icmp_sources4, [std::net::Ipv4Addr::new(198, 51, 100, 8)]);
    assert_eq!(lab.state().masquerades, []);
}

#[test]
fn forwarding_is_left_alone_where_the_section_says_so() {
    assert_eq!(Lab::started("(forwarding: false)").state().sysctls, []);
    let section =
        r#"(instances: {}, dns64: (interfaces: ["lo"], resolvers: ["192.0.2.53"], prefixes: ["64:ff9b::/96"]))"#;
    assert_eq!(Lab::started(section).state(), Default::default());
}

#[test]
fn one_instance_that_fails_takes_nothing_from_the_others() {
    let section = r#"(instances: {"a": Nat64(), "b": Siit(prefix: "2001:db8:64::/96")})"#;
    let mut lab = Lab::new(section);
    lab.refuses = vec!["b"];
    let done = lab.begin();
    assert!(done.contains(&"publish nat64/a 64:ff9b::/96".to_owned()), "{done:?}");
    assert!(done.contains(&"degraded b: link b: operation not supported".to_owned()), "{done:?}");
    assert_eq!((lab.row("a").state, lab.row("b").state), ("up", "down"));
    lab.refuses.clear();
    let done = lab.pass(Duration::from_secs(10));
    assert_eq!(done[0], (Duration::from_secs(4), "apply".into()));
    assert_eq!(done.last().unwrap().1, "ready");
}

#[test]
fn a_problem_is_told_with_the_instance_that_it_belongs_to() {
    let mut lab = Lab::started(NAT64);
    let problem = |object: &str| Problem { object: object.into(), message: "file exists".into() };
    let outcome = |object: &str| Outcome { waiting: vec![], problems: vec![problem(object)] };
    for (object, text) in [
        ("route 64:ff9b::/96", "degraded nat64: route 64:ff9b::/96: file exists"),
        ("sysctl net/ipv4/ip_forward", "degraded sysctl net/ipv4/ip_forward: file exists"),
    ] {
        lab.engine.handle_applied(outcome(object), lab.now);
        assert_eq!(lab.run(), [text]);
        lab.engine.handle_applied(Outcome::default(), lab.now);
        assert_eq!(lab.run(), ["ready"]);
    }
}

#[test]
fn a_path_that_breaks_is_opened_again_later_and_later() {
    let mut lab = Lab::started(NAT64);
    lab.opens = false;
    let mut waits = Vec::new();
    for _ in 0..7 {
        lab.path("nat64", Event::Failed("device busy".into()));
        let done = lab.pass(Duration::from_secs(60));
        waits.push(done.iter().find(|(_, what)| what == "open nat64").unwrap().0.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60]);
    assert_eq!(lab.row("nat64").last_error.as_deref(), Some("device busy"));
    assert_eq!(lab.path("nat64", Event::Open), ["publish nat64/nat64 64:ff9b::/96", "ready"]);
}

#[test]
fn a_path_that_ends_is_closed_once_and_its_prefix_is_held_for_a_while() {
    let mut lab = Lab::started(NAT64);
    lab.pass(Duration::from_secs(100));
    lab.opens = false;
    assert_eq!(lab.path("nat64", Event::Closed), ["close nat64", "degraded nat64: it ended"]);
    assert_eq!(lab.path("nat64", Event::Closed), Vec::<String>::new());
    assert_eq!(lab.path("nat64", Event::Failed("x".into())), Vec::<String>::new());
    let done = lab.pass(HOLD * 2);
    assert_eq!(done, [(SECOND, "open nat64".to_owned()), (HOLD, "withdraw nat64/nat64".to_owned())]);
    // Back before that time, nobody hears of it.
    let mut lab = Lab::started(NAT64);
    lab.path("nat64", Event::Closed);
    let done = lab.pass(HOLD * 2);
    assert_eq!(done, [(SECOND, "open nat64".to_owned())]);
}

#[test]
fn a_device_that_is_taken_away_is_made_again() {
    let mut lab = Lab::started(NAT64);
    assert_eq!(lab.remove_device("nat64"), ["close nat64"]);
    let done: Vec<_> = lab.pass(Duration::from_secs(5)).into_iter().map(|(_, what)| what).collect();
    assert_eq!(done, ["apply", "open nat64"]);
    assert_eq!((lab.row("nat64").state, lab.facts.len()), ("up", 1));
}

#[test]
fn a_device_that_is_down_has_no_path_and_gets_its_routes_back() {
    let mut lab = Lab::started(NAT64);
    let index = lab.index("nat64");
    let device = |up| Link { index, name: "nat64".into(), kind: "tun".into(), up };
    lab.engine.handle_link(device(false), lab.now);
    assert_eq!(lab.run(), ["close nat64"]);
    lab.engine.handle_link(device(true), lab.now);
    assert_eq!(lab.run(), ["open nat64", "apply"]);
}

#[test]
fn a_link_of_another_kind_is_not_taken_for_the_device() {
    let mut lab = Lab::new(NAT64);
    lab.engine.handle_link(Link { index: 3, name: "nat64".into(), kind: "dummy".into(), up: true }, lab.now);
    let Some(Action::Apply) = lab.engine.poll_action() else { panic!() };
    assert_eq!(lab.engine.poll_action(), None);
    lab.engine.handle_applied(Outcome::default(), lab.now);
    let done = lab.pass(Duration::from_secs(10));
    assert_eq!(done.last().unwrap().1, "degraded nat64: its device is not up");
}

#[test]
fn another_configuration_changes_only_what_it_says() {
    let mut lab = Lab::started(NAT64);
    assert_eq!(lab.reconfigure(NAT64), Vec::<String>::new());
    let more = r#"(instances: {"nat64": Nat64(), "b": Siit(prefix: "2001:db8:64::/96")})"#;
    assert_eq!(lab.reconfigure(more), ["apply", "open b"]);
    let quota = r#"(instances: {"nat64": Nat64(per_prefix: 5), "b": Siit(prefix: "2001:db8:64::/96")})"#;
    assert_eq!(lab.reconfigure(quota), ["update nat64"]);
    let moved = r#"(instances: {"nat64": Nat64(prefix: "2001:db8:46::/96")})"#;
    assert_eq!(lab.reconfigure(moved), ["forget b", "update nat64", "publish nat64/nat64 2001:db8:46::/96", "apply"]);
    assert_eq!(lab.routes(), ["192.0.0.4/30 nat64", "2001:db8:46::/96 nat64"]);
    let silent = r#"(instances: {"nat64": Nat64(prefix: "2001:db8:46::/96", advertise: false)})"#;
    assert_eq!(lab.reconfigure(silent), ["update nat64", "withdraw nat64/nat64"]);
    assert_eq!(lab.reconfigure(NAT64)[..2], ["update nat64", "publish nat64/nat64 64:ff9b::/96"]);
    let other = r#"(instances: {"nat64": Siit(prefix: "2001:db8:64::/96")})"#;
    let done = lab.reconfigure(other);
    assert_eq!(done, ["forget nat64", "open nat64", "withdraw nat64/nat64", "apply"]);
    assert_eq!(lab.reconfigure("(instances: {})"), ["forget nat64", "apply"]);
    assert_eq!(lab.state(), Default::default());
}

#[test]
fn sessions_of_a_path_that_is_closed_are_dropped_once_the_instance_is_gone_or_of_another_kind() {
    let other = r#"(instances: {"nat64": Siit(prefix: "2001:db8:64::/96")})"#;
    for section in ["(instances: {})", other] {
        let mut lab = Lab::started(NAT64);
        let index = lab.index("nat64");
        let device = |up| Link { index, name: "nat64".into(), kind: "tun".into(), up };
        lab.engine.handle_link(device(false), lab.now);
        assert_eq!(lab.run(), ["close nat64"], "for a while only");
        assert_eq!(lab.reconfigure(section)[0], "forget nat64");
    }
    // Nothing was ever opened, so there is nothing to drop.
    let mut lab = Lab::new(NAT64);
    lab.refuses = vec!["nat64"];
    lab.begin();
    assert_eq!(lab.reconfigure("(instances: {})"), ["apply", "ready"]);
}

#[test]
fn a_prefix_that_was_written_is_forgotten_where_it_is_to_be_found_out() {
    let written = CLAT.replace("Clat(", "Clat(prefix: \"2001:db8:64::/96\", ");
    let mut lab = Lab::started(&written);
    assert_eq!(lab.row("clat").state, "up");
    assert_eq!(lab.reconfigure(CLAT), ["resolve ipv4only.arpa", "close clat", "apply"]);
    assert_eq!((lab.row("clat").prefix, lab.routes()), (None, vec!["2001:db8:f::464/128 clat".to_owned()]));
    assert_eq!(lab.resolved(addresses(&["64:ff9b::c000:aa"])), ["open clat", "apply"]);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "64:ff9b::/96");
    // What was found is kept over changes of other settings.
    assert_eq!(lab.reconfigure(&CLAT.replace("Clat(", "Clat(metric: 5, ")), ["update clat", "apply"]);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "64:ff9b::/96");
}

#[test]
fn a_clat_waits_for_the_prefix_that_the_dns_tells_rfc_7050() {
    let mut lab = Lab::new(CLAT);
    assert_eq!(lab.begin(), ["resolve ipv4only.arpa"]);
    let answer = addresses(&["2001:db8:64::c000:aa", "2001:db8:64::c000:ab"]);
    assert_eq!(lab.resolved(answer.clone()), ["apply", "open clat", "ready"]);
    let state = lab.state();
    assert_eq!(lab.routes(), ["2001:db8:f::464/128 clat", "0.0.0.0/0 clat"]);
    let default = &state.routes[1];
    assert_eq!(
        (default.metric, default.mtu, default.preferred_source),
        (Some(2048), Some(1480), "192.0.0.1".parse().ok())
    );
    assert_eq!((state.addresses[0].interface.as_str(), state.addresses[0].address), ("clat", prefix("192.0.0.1/32")));
    assert_eq!(state.masquerades, [Masquerade { source: prefix("192.168.1.0/24"), out: Some("clat".into()) }]);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "2001:db8:64::/96");
    // It is asked again from time to time; an error takes nothing away, another prefix is taken over.
    let done = lab.pass(Duration::from_secs(300));
    assert_eq!(done, [(Duration::from_secs(300), "resolve ipv4only.arpa".to_owned())]);
    assert_eq!(lab.resolved(Err("timed out".into())), Vec::<String>::new());
    assert_eq!(lab.row("clat").last_error.as_deref(), Some("cannot look up ipv4only.arpa: timed out"));
    assert_eq!(lab.pass(SECOND), [(SECOND, "resolve ipv4only.arpa".to_owned())]);
    assert_eq!(lab.resolved(addresses(&["64:ff9b::c000:aa"])), ["update clat"]);
    assert_eq!(lab.row("clat").last_error, None);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "64:ff9b::/96");
    assert_eq!(lab.facts.len(), 0);
}

#[test]
fn a_prefix_that_is_advertised_counts_before_the_dns() {
    let mut lab = Lab::new(CLAT);
    lab.begin();
    // The first apply does not wait for the DNS once the prefix is known.
    assert_eq!(lab.known(&["2001:db8:aa::/96", "2001:db8:1::/60"]), ["apply", "open clat", "ready"]);
    assert_eq!(lab.row("clat").state, "up");
    lab.resolved(addresses(&["2001:db8:bb::c000:aa"]));
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "2001:db8:aa::/96");
    lab.known(&["2001:db8:cc::/96", "2001:db8:aa::/96"]);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "2001:db8:aa::/96");
    lab.known(&["2001:db8:cc::/96"]);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "2001:db8:cc::/96");
    lab.known(&[]);
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "2001:db8:bb::/96");
}

#[test]
fn without_a_prefix_a_clat_has_no_default_route_and_says_why() {
    let mut lab = Lab::new(CLAT);
    lab.begin();
    assert_eq!(lab.resolved(Err("no route".into())), ["apply"]);
    assert_eq!(lab.routes(), ["2001:db8:f::464/128 clat"]);
    let done = lab.pass(Duration::from_secs(10));
    assert_eq!(done.last().unwrap().1, "degraded clat: cannot look up ipv4only.arpa: no route");
    let asked: Vec<_> =
        done.iter().filter(|(_, what)| what.starts_with("resolve")).map(|(at, _)| at.as_secs()).collect();
    assert_eq!(asked, [1]);
    lab.resolved(addresses(&["192.0.0.170", "2001:db8::1"]));
    assert_eq!(lab.row("clat").last_error.as_deref(), Some("ipv4only.arpa has no address of a provider's prefix"));
}

#[test]
fn the_first_apply_waits_no_longer_than_ten_seconds_for_an_answer() {
    let mut lab = Lab::new(CLAT);
    lab.begin();
    let done = lab.pass(Duration::from_secs(30));
    assert_eq!(done[0], (Duration::from_secs(10), "apply".to_owned()));
}

#[test]
fn a_prefix_of_our_own_is_not_taken_for_the_providers() {
    let section = r#"(instances: {"nat64": Nat64(), "clat": Clat(address: "2001:db8:f::464")})"#;
    let mut lab = Lab::started(section);
    lab.known(&["64:ff9b::/96", "2001:db8::/32"]);
    assert_eq!(lab.row("clat").prefix, None);
    lab.resolved(addresses(&["64:ff9b::c000:aa", "2001:db8:5::c000:aa"]));
    assert_eq!(lab.row("clat").prefix.unwrap().to_string(), "2001:db8:5::/96");
}

#[derive(Clone, Debug)]
enum Input {
    Link(u32, usize, bool, bool),
    Gone(u32),
    Address(u32, u8, bool),
    AddressGone(u32, u8),
    Path(usize, u8),
    Listener(usize, u8),
    Facts(Vec<u8>),
    Resolved(Option<Vec<u8>>),
    Applied(bool),
    Reconfigure(usize),
    Pass(u64),
}

fn input() -> impl Strategy<Value = Input> {
    let index = 1..6_u32;
    prop_oneof![
        (index.clone(), 0..5_usize, any::<bool>(), any::<bool>()).prop_map(|(i, n, u, t)| Input::Link(i, n, u, t)),
        index.clone().prop_map(Input::Gone),
        (index.clone(), any::<u8>(), any::<bool>()).prop_map(|(i, a, u)| Input::Address(i, a, u)),
        (index, any::<u8>()).prop_map(|(i, a)| Input::AddressGone(i, a)),
        (0..4_usize, 0..3_u8).prop_map(|(i, e)| Input::Path(i, e)),
        (0..8_usize, 0..3_u8).prop_map(|(i, e)| Input::Listener(i, e)),
        proptest::collection::vec(0..4_u8, 0..4).prop_map(Input::Facts),
        proptest::option::of(proptest::collection::vec(0..4_u8, 0..3)).prop_map(Input::Resolved),
        any::<bool>().prop_map(Input::Applied),
        (0..4_usize).prop_map(Input::Reconfigure),
        (0..100_000_u64).prop_map(Input::Pass),
    ]
}

const SECTIONS: [&str; 4] = [
    NAT64,
    CLAT,
    DNS,
    r#"(instances: {"nat64": Siit(prefix: "2001:db8:64::/96", advertise: true), "clat": Clat(address: "2001:db8:f::464")},
        dns64: (interfaces: ["*"], resolvers: ["192.0.2.53"], instance: "nat64"))"#,
];

proptest! {
    /// Whatever happens in whatever order: paths and sockets are opened and closed in turns, facts are withdrawn only if
    /// they were published, one apply at a time, no timer is due for ever.
    #[test]
    fn any_order_of_events_leads_to_a_legal_order_of_actions(inputs in proptest::collection::vec(input(), 0..60)) {
        let mut lab = Lab::new(DNS);
        // Paths that are open, and those that may have sessions.
        let (mut open, mut kept, mut listening) = (Vec::new(), Vec::new(), Vec::new());
        let mut applying = false;
        let event = |e: u8| match e {
            0 => Event::Open,
            1 => Event::Failed("x".into()),
            _ => Event::Closed,
        };
        let names = ["nat64", "clat", "lan0", "lo", "wan0"];
        let address = |a: u8| prefix(["fe80::1/64", "2001:db8::1/64", "fd00::1/64", "192.0.2.1/24"][usize::from(a % 4)]);
        let pref = |a: u8| ["64:ff9b::/96", "2001:db8:1::/96", "2001:db8::/32", "10.0.0.0/8"][usize::from(a)];
        for input in inputs {
            match input {
                Input::Link(index, name, up, tun) => {
                    let kind = if tun { "tun" } else { "" };
                    let link = Link { index, name: names[name].into(), kind: kind.into(), up };
                    lab.engine.handle_link(link, lab.now);
                }
                Input::Gone(index) => lab.engine.handle_link_gone(index, lab.now),
                Input::Address(index, a, usable) => lab.engine.handle_address(index, address(a), usable, lab.now),
                Input::AddressGone(index, a) => lab.engine.handle_address_gone(index, address(a), lab.now),
                Input::Path(name, e) => lab.engine.handle_path(names[name], event(e), lab.now),
                Input::Listener(at, e) => if let Some(socket) = listening.get(at).cloned() {
                    lab.engine.handle_listener(&socket, event(e), lab.now);
                },
                Input::Facts(list) => {
                    let list: Vec<_> = list.into_iter().map(|a| prefix(pref(a))).collect();
                    lab.engine.handle_facts(&list, lab.now);
                }
                Input::Resolved(list) => {
                    let known = ["64:ff9b::c000:aa", "2001:db8:1::c000:aa", "192.0.0.170", "2001:db8::1"];
                    let answer = list.map(|list| list.into_iter().map(|a| known[usize::from(a)].parse().unwrap()).collect());
                    lab.engine.handle_resolved("ipv4only.arpa", answer.ok_or("x".into()), lab.now);
                }
                Input::Applied(good) => if std::mem::take(&mut applying) {
                    let problem = Problem { object: "link nat64".into(), message: "x".into() };
                    let problems = if good { vec![] } else { vec![problem] };
                    lab.engine.handle_applied(Outcome { waiting: vec!["lan0".into()], problems }, lab.now);
                },
                Input::Reconfigure(at) => lab.engine.reconfigure(&config(SECTIONS[at]), lab.now),
                Input::Pass(millis) => {
                    lab.now = lab.now + Duration::from_millis(millis);
                    lab.engine.handle_timeout(lab.now);
                    lab.engine.handle_timeout(lab.now);
                }
            }
            while let Some(action) = lab.engine.poll_action() {
                match action {
                    Action::Apply => prop_assert!(!std::mem::replace(&mut applying, true)),
                    Action::OpenPath { instance, .. } => {
                        prop_assert!(!open.contains(&instance));
                        kept.retain(|other| *other != instance);
                        kept.push(instance.clone());
                        open.push(instance);
                    }
                    Action::UpdatePath { instance, .. } => prop_assert!(open.contains(&instance)),
                    Action::ClosePath { instance, forget } => {
                        prop_assert!(open.contains(&instance) || forget && kept.contains(&instance));
                        open.retain(|other| *other != instance);
                        kept.retain(|other| !forget || *other != instance);
                    }
                    Action::Listen(socket) => {
                        prop_assert!(!listening.contains(&socket));
                        listening.push(socket);
                    }
                    Action::Unlisten(socket) => {
                        prop_assert!(listening.contains(&socket));
                        listening.retain(|other| *other != socket);
                    }
                    Action::PublishPrefix { key, prefix } => {
                        let prefix = prefix.to_string();
                        prop_assert!(lab.facts.insert(key, prefix.clone()) != Some(prefix));
                    }
                    Action::PublishDns { key, address } => {
                        let address = address.to_string();
                        prop_assert!(lab.facts.insert(key, address.clone()) != Some(address));
                    }
                    Action::Withdraw { key } => prop_assert!(lab.facts.remove(&key).is_some()),
                    Action::Resolve(_) | Action::Ready | Action::Degraded(_) => {}
                }
            }
            // No sessions are kept of what is no longer there.
            prop_assert!(kept.iter().all(|name| lab.engine.status().iter().any(|row| row.name == *name)));
            // What is due now was done.
            prop_assert!(lab.engine.poll_timeout().is_none_or(|at| at > lab.now), "{:?}", lab.engine.poll_timeout());
        }
    }
}
