//! The engine on a clock of its own: names and addresses that are followed, signs of life and their absence.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod lab;

use core::time::Duration;
use lab::*;
use portreeve_network::{Kind, MAIN_TABLE, RuleAction};
use portreeve_tunnels::engine::{Action, PathEvent, START_PATIENCE};
use std::net::Ipv6Addr;

#[test]
fn our_end_follows_the_address_of_its_interface() {
    let mut lab = Lab::new(FOLLOWING, &["tun"]);
    let actions = lab.run();
    let Some(Action::Degraded(what)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(what, "sixbone: wan0 has no global IPv4 address");
    lab.engine.handle_address(lab::WAN, prefix("169.254.1.1/16"), true, lab.now);
    lab.engine.handle_address(lab::WAN, prefix("192.0.2.7/24"), false, lab.now);
    assert_eq!(lab.run(), []);
    let actions = lab.wan_address("192.0.2.2/24");
    assert_eq!(opened(&actions).unwrap().local, "192.0.2.2".parse().ok());
    assert_eq!(actions.last(), Some(&Action::Ready));
    // A second address changes nothing, the loss of the first one does; the loss of all keeps what was.
    assert_eq!(lab.wan_address("192.0.2.3/24"), []);
    lab.engine.handle_address_gone(lab::WAN, prefix("192.0.2.2/24"), lab.now);
    let actions = lab.run();
    assert!(
        matches!(&actions[..], [Action::UpdatePath { settings, .. }] if settings.local == "192.0.2.3".parse().ok())
    );
    lab.engine.handle_address_gone(lab::WAN, prefix("192.0.2.3/24"), lab.now);
    assert_eq!((lab.run(), lab.row("sixbone").local.as_str()), (vec![], "192.0.2.3 (wan0)"));
}

#[test]
fn a_name_is_followed_and_an_address_among_the_answers_is_kept() {
    let mut lab = Lab::new(NAMED, &["sit"]);
    assert_eq!(lab.run(), [Action::Resolve("pop.example".into())]);
    assert_eq!(lab.row("sixbone").state, "waiting");
    lab.resolved("pop.example", addresses(&["2001:db8::1", "127.0.0.1", "192.0.2.1", "192.0.2.2"]));
    assert_eq!(remote_of(&lab).as_deref(), Some("192.0.2.1"));
    let done = lab.pass(Duration::from_secs(301));
    assert_eq!(done, [(Duration::from_secs(300), Action::Resolve("pop.example".into()))]);
    assert_eq!(lab.resolved("pop.example", addresses(&["192.0.2.2", "192.0.2.1"])), []);
    lab.pass(Duration::from_secs(300));
    assert_eq!(lab.resolved("pop.example", addresses(&["192.0.2.2"])), [Action::Apply]);
    assert_eq!(lab.row("sixbone").remote, "192.0.2.2 (pop.example)");
    // A failure takes nothing away.
    lab.pass(Duration::from_secs(300));
    assert_eq!(lab.resolved("pop.example", Err("no answer".into())), []);
    assert_eq!((remote_of(&lab).as_deref(), lab.row("sixbone").state), (Some("192.0.2.2"), "up"));
}

#[test]
fn lookups_that_fail_are_made_again_later_and_later() {
    let mut lab = Lab::new(NAMED, &["sit"]);
    lab.run();
    let mut waits = Vec::new();
    for _ in 0..8 {
        lab.resolved("pop.example", Err("no such name".into()));
        let start = lab.now;
        while !lab.pass(SECOND).iter().any(|(_, action)| matches!(action, Action::Resolve(_))) {}
        waits.push(lab.now.since(start).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    lab.resolved("pop.example", addresses(&["2001:db8::1"]));
    let error = lab.row("sixbone").last_error.unwrap();
    assert_eq!(error, "pop.example has no IPv4 address that can be used");
}

#[test]
fn the_first_apply_waits_for_names_but_not_for_ever() {
    let both =
        r#"(tunnels: {"a": (kind: SixInFour(remote: "pop.example")), "b": (kind: SixInFour(remote: "192.0.2.9"))})"#;
    let mut lab = Lab::new(both, &["sit"]);
    assert_eq!(lab.run(), [Action::Resolve("pop.example".into())]);
    let done = lab.pass(Duration::from_secs(11));
    assert!(done.contains(&(Duration::from_secs(10), Action::Apply)), "{done:?}");
    assert_eq!((lab.kind("a"), lab.kind("b")), (None, Some("sit")));
}

#[test]
fn a_first_lookup_that_fails_takes_no_working_tunnel_away() {
    let mut lab = Lab::new(NAMED, &["sit"]);
    assert_eq!(lab.run(), [Action::Resolve("pop.example".into())]);
    // An apply without the tunnel would remove the one of the run before.
    assert_eq!(lab.resolved("pop.example", Err("the resolver does not answer".into())), []);
    assert_eq!(lab.pass(SECOND), [(SECOND, Action::Resolve("pop.example".into()))]);
    assert_eq!(lab.resolved("pop.example", Err("the resolver does not answer".into())), []);
    assert_eq!(lab.pass(SECOND * 2), [(SECOND * 2, Action::Resolve("pop.example".into()))]);
    let actions = lab.resolved("pop.example", addresses(&["192.0.2.1"]));
    assert_eq!(actions, [Action::Apply, published(true), Action::Ready]);
}

#[test]
fn a_name_that_is_not_found_is_told_when_the_patience_is_over() {
    let mut lab = Lab::new(NAMED, &["sit"]);
    lab.run();
    let mut done = Vec::new();
    for _ in 0..11 {
        lab.resolved("pop.example", Err("no such name".into()));
        let start = lab.now;
        done.extend(lab.pass(SECOND).into_iter().map(|(at, action)| (start + at, action)));
    }
    let degraded = Action::Degraded("sixbone: cannot look up pop.example: no such name".into());
    let first = done.iter().find(|(_, action)| matches!(action, Action::Degraded(_)));
    assert_eq!(first.map(|(_, action)| action), Some(&degraded), "{done:?}");
    assert!(done.iter().any(|(_, action)| *action == Action::Apply), "{done:?}");
}

#[test]
fn a_silent_remote_is_looked_up_again_with_each_timeout() {
    let mut lab = Lab::new(WATCHED, &["sit"]);
    lab.run();
    lab.resolved("pop.example", addresses(&["192.0.2.1"]));
    let mut lookups = Vec::new();
    let start = lab.now;
    for _ in 0..125 {
        if lab.pass(SECOND).iter().any(|(_, action)| matches!(action, Action::Resolve(_))) {
            lookups.push(lab.now.since(start).as_secs());
            lab.resolved("pop.example", addresses(&["192.0.2.1"]));
        }
    }
    assert_eq!(lookups, [30, 60, 90, 120]);
}

#[test]
fn a_route_to_the_target_alone_outlives_the_silence() {
    let routes = "routes: [(to: \"2001:db8:9::1/128\"), (to: \"::/0\", via: \"2001:db8:1::1\")]";
    let section = format!(
        "(tunnels: {{\"sixbone\": (kind: SixInFour(remote: \"192.0.2.1\"), addresses: [\"2001:db8:1::2/64\"], {routes}, \
         keepalive: (target: \"2001:db8:9::1\"), failover: true)}})"
    );
    let mut lab = Lab::new(&section, &["sit"]);
    lab.run();
    assert_eq!(lab.state().routes.len(), 2);
    lab.pass(Duration::from_secs(31));
    let left: Vec<_> = lab.state().routes.iter().map(|route| route.destination).collect();
    assert_eq!((lab.row("sixbone").state, left), ("down", vec![prefix("2001:db8:9::1/128")]));
}

#[test]
fn silence_takes_the_routes_away_and_an_answer_brings_them_back() {
    let mut lab = Lab::new(WATCHED, &["sit"]);
    lab.run();
    let actions = lab.resolved("pop.example", addresses(&["192.0.2.1"]));
    assert!(actions.contains(&Action::Ready) && actions.contains(&published(true)), "{actions:?}");
    let (source, target) = ("2001:db8:1::2".parse().ok(), "2001:db8:1::1".parse::<Ipv6Addr>().unwrap());
    let asked = actions
        .iter()
        .any(|action| matches!(action, Action::SendEcho { source: s, target: t, .. } if *s == source && *t == target));
    assert!(asked, "{actions:?}");
    let state = lab.state();
    assert_eq!(state.routes.iter().map(|route| route.table).collect::<Vec<_>>(), [MAIN_TABLE, 100]);
    assert_eq!(state.routes[1].gateway, "2001:db8:1::1".parse().ok());
    assert_eq!((state.rules[0].action, state.rules[0].priority), (RuleAction::Lookup(100), 1000));

    // Answers keep it up: 40 ms each.
    for _ in 0..10 {
        let next = lab.engine.poll_timeout().unwrap();
        let sent = requests(&lab.pass(next.since(lab.now)));
        lab.pass(Duration::from_millis(40));
        lab.engine.handle_path_event("sixbone", PathEvent::EchoReply { sequence: sent[0] }, lab.now);
    }
    let echoes = lab.engine.metrics()[0].echoes.unwrap();
    assert_eq!((echoes.received, echoes.rtt_last), (10, Some(Duration::from_millis(40))));
    assert_eq!(lab.row("sixbone").rtt, Some(Duration::from_millis(40)));

    let done = lab.pass(Duration::from_secs(29));
    assert!(!done.iter().any(|(_, action)| *action == published(false)), "{done:?}");
    let done = lab.pass(Duration::from_secs(2));
    let actions: Vec<_> = done.into_iter().map(|(_, action)| action).collect();
    // Down: said, looked up again at once, routes away, the link and its addresses stay.
    assert!(actions.contains(&published(false)) && actions.contains(&Action::Resolve("pop.example".into())));
    let Some(Action::Degraded(what)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(what, "sixbone: no answer from 2001:db8:1::1 for 30s");
    let state = lab.state();
    assert_eq!((state.links.len(), state.addresses.len(), state.routes.len(), state.rules.len()), (1, 1, 0, 1));
    assert_eq!(lab.row("sixbone").state, "down");

    let sent = requests(&lab.pass(Duration::from_secs(10)));
    lab.engine.handle_path_event("sixbone", PathEvent::EchoReply { sequence: sent[0].wrapping_sub(40) }, lab.now);
    assert_eq!(lab.run(), [], "an answer to nothing says nothing");
    lab.engine.handle_path_event("sixbone", PathEvent::EchoReply { sequence: *sent.last().unwrap() }, lab.now);
    assert_eq!(lab.run(), [Action::Apply, published(true), Action::Ready]);
    assert_eq!(lab.state().routes.len(), 2);
    let echoes = lab.engine.metrics()[0].echoes.unwrap();
    assert_eq!((echoes.downs, echoes.received), (1, 11));
    assert!(echoes.lost >= 2, "{echoes:?}");
}

#[test]
fn a_changed_remote_keeps_the_tunnel_until_the_new_name_is_known() {
    let mut lab = Lab::new(SIXBONE, &["sit"]);
    lab.run();
    let before = lab.state();
    let actions = lab.reconfigure(&SIXBONE.replace("192.0.2.1", "pop.example"));
    assert_eq!((actions, lab.state()), (vec![Action::Resolve("pop.example".into())], before.clone()));
    assert_eq!(lab.resolved("pop.example", addresses(&["192.0.2.5"])), [Action::Apply]);
    let after = lab.state();
    assert_eq!(
        (remote_of(&lab).as_deref(), &after.addresses, &after.routes),
        (Some("192.0.2.5"), &before.addresses, &before.routes)
    );
}

#[test]
fn wireguard_waits_for_no_name_and_takes_its_address_when_it_is_known() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let section = format!(
        "(tunnels: {{\"wg\": (kind: WireGuard(key: \"wg\", peers: [(public_key: \"{key}\", endpoint: \"vpn.example:1\", \
         allowed_ips: [\"::/0\"])]))}})"
    );
    let mut lab = Lab::new(&section, &["wireguard"]);
    lab.run();
    let endpoint = |lab: &Lab| match lab.state().links[0].make.clone() {
        Some(Kind::WireGuard(wg)) => wg.peers[0].endpoint,
        other => panic!("{other:?}"),
    };
    lab.resolved("vpn.example", Err("no".into()));
    // At the start a little, so that a restart takes nothing away.
    assert_eq!(lab.kind("wg"), Some("wireguard"));
    let done = lab.pass(START_PATIENCE);
    assert_eq!(done.iter().find(|(_, action)| *action == Action::Apply), Some(&(START_PATIENCE, Action::Apply)));
    assert_eq!((endpoint(&lab), lab.row("wg").state), (None, "up"));
    assert_eq!(lab.resolved("vpn.example", addresses(&["2001:db8::7"])), [Action::Apply]);
    assert_eq!(endpoint(&lab), Some(("2001:db8::7".parse().unwrap(), 1)));
}

#[test]
fn others_are_told_both_ends_and_when_they_change() {
    let section = r#"(tunnels: {"sixbone": (kind: SixInFour(remote: "pop.example", local: Interface("wan0")))})"#;
    let mut lab = Lab::new(section, &["sit"]);
    lab.run();
    lab.wan_address("198.51.100.7/24");
    lab.resolved("pop.example", addresses(&["192.0.2.1"]));
    let ends = |local: &str, remote: &str| Some((local.parse().ok(), remote.parse().ok()));
    assert_eq!(lab.told_ends, ends("198.51.100.7", "192.0.2.1"));
    lab.pass(portreeve_tunnels::engine::REFRESH);
    lab.resolved("pop.example", addresses(&["192.0.2.9"]));
    assert_eq!(lab.told_ends, ends("198.51.100.7", "192.0.2.9"));
}
