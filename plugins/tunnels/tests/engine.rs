//! The engine on a clock of its own: who carries a tunnel, what becomes of it in the kernel, what another configuration
//! changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod lab;

use core::time::Duration;
use lab::*;
use portreeve_network::Kind;
use portreeve_tunnels::Engine;
use portreeve_tunnels::engine::{Action, Link, Outcome, PathEvent, PathRemote, Problem};
use proptest::prelude::*;

#[test]
fn a_kernel_with_sit_carries_the_tunnel() {
    let mut lab = Lab::new(SIXBONE, &["sit"]);
    assert_eq!(lab.run(), [Action::Apply, published(true), Action::Ready]);
    let state = lab.state();
    let Some(Kind::Sit(sit)) = &state.links[0].make else { panic!("{state:?}") };
    assert_eq!((sit.local, sit.remote, sit.ttl, sit.tos), (None, "192.0.2.1".parse().ok(), 64, 1));
    assert_eq!((state.addresses.len(), state.routes.len(), state.routes[0].on_link), (1, 1, false));
    let row = lab.row("sixbone");
    assert_eq!((row.path, row.why.as_str(), row.state), ("kernel", "the kernel has sit; mss not clamped", "up"));
    assert_eq!((row.local.as_str(), row.remote.as_str(), row.last_error), ("auto", "192.0.2.1", None));
    assert_eq!(lab.pass(Duration::from_secs(3600)), []);
}

#[test]
fn without_sit_the_plugin_carries_it_and_says_why() {
    let mut lab = Lab::new(SIXBONE, &["tun"]);
    let actions = lab.run();
    let settings = opened(&actions).unwrap();
    assert_eq!((settings.interface.as_str(), settings.local), ("sixbone", None));
    assert_eq!(settings.remote, PathRemote::Address("192.0.2.1".parse().unwrap()));
    assert_eq!(settings.icmp_source, "2001:db8:1::2".parse().ok());
    assert_eq!((lab.kind("sixbone"), actions.last()), (Some("tun"), Some(&Action::Ready)));
    let row = lab.row("sixbone");
    assert_eq!((row.path, row.state), ("userspace", "up"));
    assert_eq!(row.why, "the kernel has no sit (module sit): module not found");
}

#[test]
fn a_kernel_that_refuses_at_apply_leads_to_userspace_without_being_asked() {
    let mut lab = Lab::new(SIXBONE, &["sit", "tun"]);
    lab.refuses = vec!["sit"];
    let actions = lab.run();
    assert_eq!(actions.iter().filter(|action| **action == Action::Apply).count(), 2);
    assert_eq!((lab.kind("sixbone"), actions.last()), (Some("tun"), Some(&Action::Ready)));
    assert_eq!(lab.row("sixbone").why, "the kernel refused the link: operation not supported");
    // The same configuration again does not try again.
    assert_eq!(lab.reconfigure(SIXBONE), []);
}

#[test]
fn a_missing_module_is_named_where_nothing_else_can_be_done() {
    for (kind, text) in [
        ("SixInFour(remote: \"192.0.2.1\", path: Kernel)", "no sit (module sit)"),
        ("Gre(remote: \"2001:db8::1\")", "no ip6gre (module ip6_gre)"),
        ("Ip6Tunnel(remote: \"2001:db8::1\")", "no ip6tnl (module ip6_tunnel)"),
        ("SixInFour(remote: \"192.0.2.1\")", "no tun (module tun)"),
    ] {
        let mut lab = Lab::new(&format!("(tunnels: {{\"t\": (kind: {kind})}})"), &[]);
        let actions = lab.run();
        let Some(Action::Degraded(what)) = actions.last() else { panic!("{actions:?}") };
        assert!(what.starts_with("t: ") && what.contains(text), "{what}");
        assert_eq!((lab.state().links.len(), lab.row("t").path), (0, "none"));
    }
}

#[test]
fn a_module_that_came_later_is_found_with_the_next_configuration() {
    let mut lab = Lab::new("(tunnels: {\"t\": (kind: Gre(remote: \"192.0.2.1\"))})", &[]);
    lab.run();
    lab.kinds = vec!["gre"];
    let actions = lab.reconfigure("(tunnels: {\"t\": (kind: Gre(remote: \"192.0.2.1\"))})");
    assert_eq!((actions.last(), lab.kind("t")), (Some(&Action::Ready), Some("gre")));
}

#[test]
fn a_path_that_breaks_is_opened_again_later_and_later() {
    let mut lab = Lab::new(SIXBONE, &["tun"]);
    lab.opens = false;
    lab.run();
    let mut waits = Vec::new();
    for _ in 0..4 {
        lab.engine.handle_path_event("sixbone", PathEvent::Failed("no raw socket".into()), lab.now);
        let done = lab.pass(Duration::from_secs(60));
        let opens = |(_, action): &&(Duration, Action)| matches!(action, Action::OpenPath { .. });
        waits.push(done.iter().find(opens).unwrap().0.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8]);
    assert_eq!(lab.row("sixbone").last_error.as_deref(), Some("no raw socket"));
    lab.engine.handle_path_event("sixbone", PathEvent::Open, lab.now);
    assert_eq!(lab.run(), [published(true), Action::Ready]);
    lab.engine.handle_path_event("sixbone", PathEvent::Closed, lab.now);
    let actions = lab.run();
    let closed = Action::ClosePath { tunnel: "sixbone".into() };
    assert_eq!(actions, [closed, published(false), Action::Degraded("sixbone: the path ended".into())]);
}

#[test]
fn a_path_that_ends_is_closed_once() {
    let mut lab = Lab::new(SIXBONE, &["tun"]);
    lab.run();
    lab.engine.handle_path_event("sixbone", PathEvent::Failed("device gone".into()), lab.now);
    lab.engine.handle_path_event("sixbone", PathEvent::Closed, lab.now);
    let closes = |action: &&Action| matches!(action, Action::ClosePath { .. });
    assert_eq!(lab.run().iter().filter(closes).count(), 1);
}

#[test]
fn a_path_that_opens_and_dies_backs_off_until_it_was_open_for_a_minute() {
    let mut lab = Lab::new(SIXBONE, &["tun"]);
    lab.run();
    let mut wait = |open: u64| {
        lab.pass(Duration::from_secs(open));
        lab.engine.handle_path_event("sixbone", PathEvent::Closed, lab.now);
        for seconds in 1.. {
            if lab.pass(SECOND).iter().any(|(_, action)| matches!(action, Action::OpenPath { .. })) {
                return seconds;
            }
        }
        0
    };
    assert_eq!([0, 1, 59, 0, 60, 0].map(&mut wait), [1, 2, 4, 8, 1, 2]);
}

#[test]
fn a_missing_kind_is_asked_for_again_every_minute_while_nobody_carries_the_tunnel() {
    let mut lab = Lab::new("(tunnels: {\"t\": (kind: Gre(remote: \"192.0.2.1\"))})", &[]);
    lab.run();
    lab.pass(Duration::from_secs(59));
    lab.kinds = vec!["gre"];
    assert_eq!(lab.row("t").path, "none");
    let done = lab.pass(Duration::from_secs(61));
    assert_eq!((lab.kind("t"), done.last().map(|(_, action)| action)), (Some("gre"), Some(&Action::Ready)));
    assert_eq!(lab.pass(Duration::from_secs(3600)), []);
}

#[test]
fn a_link_that_somebody_removed_is_made_again() {
    let mut lab = Lab::new(SIXBONE, &["tun"]);
    lab.run();
    lab.remove_link("sixbone");
    let actions = lab.run();
    assert!(actions.contains(&Action::ClosePath { tunnel: "sixbone".into() }) && actions.contains(&published(false)));
    let done = lab.pass(Duration::from_secs(2));
    assert_eq!(done[0], (SECOND, Action::Apply));
    assert!(done.iter().any(|(_, action)| *action == published(true)), "{done:?}");
}

#[test]
fn another_configuration_changes_only_what_differs() {
    let pair =
        |a: &str, b: &str| format!("(tunnels: {{\"a\": (kind: SixInFour({a})), \"b\": (kind: SixInFour({b}))}})");
    let (one, other) = ("remote: \"192.0.2.1\"", "remote: \"192.0.2.3\"");
    let mut lab = Lab::new(&pair(one, other), &["tun"]);
    lab.run();
    assert_eq!(lab.reconfigure(&pair(one, other)), []);
    let actions = lab.reconfigure(&pair(one, "remote: \"192.0.2.4\""));
    assert!(matches!(&actions[..], [Action::UpdatePath { tunnel, .. }] if tunnel == "b"), "{actions:?}");
    let actions = lab.reconfigure(&format!("(tunnels: {{\"a\": (kind: SixInFour({one}))}})"));
    let gone = [Action::ClosePath { tunnel: "b".into() }, Action::Withdraw { key: "b".into() }, Action::Apply];
    assert_eq!(actions, gone);
    let actions = lab.reconfigure(&pair(one, other));
    assert!(matches!(opened(&actions), Some(settings) if settings.interface == "b"), "{actions:?}");
    assert!(!actions.iter().any(|action| matches!(action, Action::OpenPath { tunnel, .. } if tunnel == "a")));
}

#[test]
fn a_problem_of_the_kernel_is_told_and_tried_again() {
    let mut engine = Engine::new(&lab::config(SIXBONE), portreeve_tunnels::Instant::default());
    let mut now = portreeve_tunnels::Instant::default();
    engine.handle_support("tun", true, String::new(), now);
    engine.handle_support("sit", true, String::new(), now);
    while engine.poll_action().unwrap() != Action::Apply {}
    let link = Link { index: 9, name: "sixbone".into(), kind: "sit".into(), up: true, running: true, mtu: 1480 };
    engine.handle_link(link, now);
    let message = "no route to host".to_owned();
    let problem = Problem { object: "route ::/0 on sixbone".into(), message, not_supported: false };
    engine.handle_applied(Outcome { waiting: vec![], problems: vec![problem] }, now);
    let mut last = None;
    while let Some(action) = engine.poll_action() {
        last = Some(action);
    }
    assert_eq!(last, Some(Action::Degraded("sixbone: route ::/0 on sixbone: no route to host".into())));
    now = engine.poll_timeout().unwrap();
    engine.handle_timeout(now);
    assert_eq!(engine.poll_action(), Some(Action::Apply));
    engine.handle_applied(Outcome::default(), now);
    assert_eq!((engine.poll_action(), engine.poll_action()), (Some(Action::Ready), None));
}

#[test]
fn what_waits_for_an_interface_is_stated_again_when_it_comes() {
    let mut lab = Lab::new(SIXBONE, &["sit"]);
    lab.run();
    lab.reconfigure(&SIXBONE.replace("192.0.2.1", "192.0.2.3"));
    lab.engine.handle_applied(Outcome { waiting: vec!["lan7".into()], problems: vec![] }, lab.now);
    assert_eq!(lab.run(), []);
    lab.engine.handle_link(Link { index: 77, name: "lan7".into(), ..Link::default() }, lab.now);
    assert_eq!(lab.run(), [Action::Apply]);
}

#[test]
fn a_link_that_does_not_come_up_is_a_problem_after_a_while() {
    let mut lab = Lab::new(SIXBONE, &["sit"]);
    lab.run();
    lab.engine.handle_link(Link { index: 11, name: "sixbone".into(), kind: "sit".into(), ..Link::default() }, lab.now);
    assert_eq!(lab.run(), [published(false)]);
    let done = lab.pass(Duration::from_secs(10));
    assert!(
        done.contains(&(Duration::from_secs(10), Action::Degraded("sixbone: its link is not up".into()))),
        "{done:?}"
    );
}

#[test]
fn no_tunnel_is_ready_at_once() {
    let mut lab = Lab::new("(tunnels: {})", &[]);
    assert_eq!(lab.run(), [Action::Apply, Action::Ready]);
    assert_eq!(lab.pass(Duration::from_secs(3600)), []);
}

proptest! {
    /// Whatever comes in whatever order: nothing panics, timers move on, and only one apply is under way.
    #[test]
    fn any_order_of_events_is_survived(events in proptest::collection::vec((0..10_u8, any::<u8>()), 0..60)) {
        let mut now = portreeve_tunnels::Instant::default();
        let mut engine = Engine::new(&lab::config(WATCHED), now);
        let mut applying = false;
        for (event, value) in events {
            now = now + Duration::from_millis(u64::from(value) * 50);
            let index = u32::from(value % 3);
            let odd = value % 2 == 1;
            match event {
                0 => engine.handle_support(if odd { "sit" } else { "tun" }, value % 3 > 0, "no".into(), now),
                1 => engine.handle_link(Link { index, name: "sixbone".into(), up: odd, ..Link::default() }, now),
                2 => engine.handle_link_gone(index, now),
                3 => engine.handle_resolved("pop.example", addresses(if odd { &["192.0.2.1"] } else { &[] }), now),
                4 if applying => {
                    applying = false;
                    let problem = Problem { object: "link sixbone".into(), message: "no".into(), not_supported: odd };
                    engine.handle_applied(Outcome { waiting: vec![], problems: vec![problem] }, now);
                }
                5 => engine.handle_path_event("sixbone", PathEvent::Open, now),
                6 => engine.handle_path_event("sixbone", PathEvent::Failed("no".into()), now),
                7 => engine.handle_path_event("sixbone", PathEvent::EchoReply { sequence: value.into() }, now),
                8 => engine.reconfigure(&lab::config(if odd { SIXBONE } else { WATCHED }), now),
                _ => engine.handle_timeout(now),
            }
            while let Some(action) = engine.poll_action() {
                if action == Action::Apply {
                    prop_assert!(!applying);
                    applying = true;
                }
            }
            engine.handle_timeout(now);
            prop_assert_eq!(engine.poll_action(), None);
            prop_assert!(engine.poll_timeout().is_none_or(|at| at > now), "{:?} {:?}", engine.poll_timeout(), now);
        }
    }
}
