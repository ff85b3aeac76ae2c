//! Dynamic sets without room: what is done about a packet must not depend on them, and limits must not stop to hold.

use portreeve_config::Span;

use super::common::*;
use super::evaluate::{Fate, Packet, run_with};
use crate::config::*;
use crate::ruleset::{Ruleset, Selector};

/// An input that accepts, with a dynamic set and a chain that drops.
fn input(rules: Vec<Rule>) -> Ruleset {
    let dynamic = NamedSet {
        name: "seen".to_owned(),
        kind: SetKind::Addresses,
        elements: Vec::new(),
        file: None,
        timeout: None,
        dynamic: true,
        size: 4096,
        span: Span::new(7, 8),
    };
    let last = NamedChain {
        name: "last".to_owned(),
        rules: vec![rule(Matches::default(), Action::Drop)],
        span: Span::default(),
    };
    let config = Config { sets: vec![dynamic], chains: vec![last], input: Hook { accept: true, rules }, ..bare() };
    let ruleset = ruleset(&config);
    assert_eq!(super::wellformed::flaw(&ruleset), None);
    ruleset
}

/// TCP from 192.0.2.7 to the port.
fn packet(port: u16) -> Packet {
    let values: [(Selector, &[u8]); 6] = [
        (Selector::Family, &[2]),
        (Selector::Protocol, &[6]),
        (Selector::Source4, &[192, 0, 2, 7]),
        (Selector::SourcePort, &[1, 2]),
        (Selector::DestinationPort, &port.to_be_bytes()),
        (Selector::CtState, &[0, 0, 0, 8]),
    ];
    (0..).zip(values.map(|(selector, value)| (selector, value.to_vec()))).collect()
}

fn fate(ruleset: &Ruleset, full: bool) -> (Option<Fate>, Vec<String>) {
    let input = ruleset.chains.iter().position(|chain| chain.name == "input").expect("input");
    let mut effects = Vec::new();
    let fate = run_with(ruleset, input, &packet(23), &mut effects, full);
    (fate, effects)
}

fn knocking(action: Action) -> Rule {
    Rule { count: Some("n".to_owned()), add_source_to: Some(0), ..rule(tcp(23), action) }
}

fn per_source(over: bool) -> Option<Limit> {
    Some(Limit { packets: 5, seconds: 60, burst: 5, over, per: Per::Source })
}

#[test]
fn a_full_set_keeps_no_verdict_and_no_counter_back() {
    let log = Log { prefix: "p ".to_owned(), level: 4, group: None, rate: None };
    for action in [Action::Drop, Action::Goto(0), Action::Jump(0)] {
        for log in [None, Some(log.clone())] {
            let rule = Rule { log: log.clone(), ..knocking(action.clone()) };
            let limited = |per| {
                let limit = per_source(false).map(|limit| Limit { per, ..limit });
                Rule { matches: Matches { limit, ..tcp(23) }, ..rule.clone() }
            };
            for ruleset in [input(vec![rule.clone()]), input(vec![limited(Per::Rule)])] {
                let (found, effects) = fate(&ruleset, true);
                assert_eq!(found, Some(Fate::Drop), "{action:?} {log:?}");
                assert!(effects.contains(&"n".to_owned()), "{effects:?}");
                let (found, effects) = fate(&ruleset, false);
                assert_eq!(found, Some(Fate::Drop), "{action:?} {log:?}");
                assert_eq!(effects.iter().filter(|effect| *effect == "seen-4").count(), 1, "{effects:?}");
            }
            let (found, effects) = fate(&input(vec![limited(Per::Source)]), false);
            assert_eq!((found, effects.contains(&"seen-4".to_owned())), (Some(Fate::Drop), true), "{effects:?}");
        }
    }
}

#[test]
fn what_is_added_is_not_asked_for_again_before_the_verdict() {
    let unknown = List { negated: true, ..list([Address::Set(0)]) };
    let first = Rule { matches: Matches { source: unknown, ..tcp(23) }, ..knocking(Action::Drop) };
    let ruleset = input(vec![first]);
    let asks = |rule: &&crate::ruleset::Rule| {
        rule.statements.iter().any(|statement| matches!(statement, crate::ruleset::Statement::Lookup { .. }))
    };
    // Asked once for each family, before anything is added; the action is behind it in a chain of its own.
    assert_eq!(ruleset.chains.iter().flat_map(|chain| &chain.rules).filter(asks).count(), 2);
    assert_eq!(fate(&ruleset, false).0, Some(Fate::Drop));
}

#[test]
fn a_return_that_adds_to_a_set_leaves_its_chain() {
    let mut config = bare();
    config.input = Hook { accept: true, rules: vec![knocking(Action::Return), rule(Matches::default(), Action::Drop)] };
    let ruleset = input(config.input.rules);
    for full in [false, true] {
        assert_eq!(fate(&ruleset, full).0, None, "{full}");
    }
}

#[test]
fn sources_that_a_limit_has_no_room_for_are_refused() {
    let connections = Some(Connections { count: 3, above: true, per: Per::Source });
    for action in [Action::Drop, Action::Reject(Reject::PortUnreachable), Action::Reject(Reject::TcpReset)] {
        for matches in [
            Matches { limit: per_source(true), ..tcp(23) },
            Matches { connections, ..tcp(23) },
            Matches { limit: per_source(true), connections, ..tcp(23) },
            Matches { limit: per_source(true), source_port: list([Port::Range(1, 300)]), ..tcp(23) },
        ] {
            let counted = Rule { count: Some("n".to_owned()), ..rule(matches.clone(), action.clone()) };
            for rule in [rule(matches, action.clone()), counted] {
                let ruleset = input(vec![rule]);
                assert!(matches!(fate(&ruleset, true).0, Some(Fate::Drop | Fate::Rejected(_))), "{action:?}");
                // Within the limit it goes on, without effects.
                assert_eq!(fate(&ruleset, false), (None, Vec::new()), "{action:?}");
            }
        }
    }
}

#[test]
fn what_a_limit_knows_is_kept_until_its_bucket_is_full_again() {
    let timeout = |packets, seconds, burst| {
        let limit = Some(Limit { packets, seconds, burst, over: false, per: Per::Source });
        let ruleset = input(vec![rule(Matches { limit, ..tcp(23) }, Action::Accept)]);
        let set = ruleset.sets.iter().find(|set| set.stateful).expect("a set");
        set.timeout.map(|timeout| timeout.as_secs())
    };
    assert_eq!(timeout(1, 60, 60), Some(3601));
    assert_eq!(timeout(5, 60, 10), Some(121));
    assert_eq!(timeout(100, 1, 5), Some(60));
    assert_eq!(timeout(1, 86_400, u32::MAX), Some(365 * 86_400));
}
