//! A plain rule is what it would be as an item.

use proptest::collection::vec;
use proptest::prelude::*;

use super::arbitrary;
use super::common::*;
use crate::compile::line::{Asked, Line, Made};
use crate::compile::matches::Cond;
use crate::compile::{Compiler, Options};
use crate::config::*;

/// One of each at most, of few values.
fn simple() -> impl Strategy<Value = Matches> {
    let interface = || one(arbitrary::interface());
    let port = || one((0_u16..4, 0_u16..4).prop_map(|(first, more)| Port::Range(first, first + more)));
    let all_ports = || prop_oneof![4 => port(), 1 => Just(list([Port::Range(0, u16::MAX)]))];
    let address = || one(arbitrary::range().prop_map(Address::Range));
    let everywhere = list([Address::Range(IpRange::V4([0; 4].into(), [255; 4].into()))]);
    let source = prop_oneof![8 => address(), 1 => Just(everywhere)];
    let family = prop_oneof![Just(None), Just(Some(Family::V4)), Just(Some(Family::V6))];
    let ports = (one(prop_oneof![Just(6_u8), Just(17)]), all_ports(), all_ports());
    (interface(), interface(), family, source, address(), ports).prop_map(
        |(incoming, outgoing, family, source, destination, (protocol, source_port, destination_port))| Matches {
            incoming,
            outgoing,
            family,
            source,
            destination,
            protocol,
            source_port,
            destination_port,
            ..Matches::default()
        },
    )
}

fn one<T: core::fmt::Debug + Clone>(item: impl Strategy<Value = T>) -> impl Strategy<Value = List<T>> {
    (vec(item, 0..=1), prop_oneof![6 => Just(false), 1 => Just(true)]).prop_map(|(items, negated)| List {
        items,
        negated,
        ..List::default()
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Accept),
        Just(Action::Drop),
        Just(Action::Return),
        Just(Action::Continue),
        Just(Action::Jump(0)),
        Just(Action::Goto(0)),
        arbitrary::reject().prop_map(Action::Reject),
    ]
}

/// True if the rule is plain.
fn check(config: &Config, rule: &Rule) -> bool {
    let mut compiler = Compiler::new(config, Options::default());
    compiler.named_sets(&arbitrary::files(config));
    compiler.zone_names();
    compiler.hooks(&[]);
    let made = compiler.make(rule, false);
    let Made::Plain(..) = made else { return false };
    let (chains, sets) = (compiler.chains.len(), compiler.sets.len());
    let items = compiler.items(rule, true);
    assert_eq!((compiler.chains.len(), compiler.sets.len()), (chains, sets), "a plain rule leaves nothing behind");
    assert_eq!(items.len(), 1, "{rule:?}");
    let mut lines = Vec::new();
    made.lines(&mut lines);
    let (line, item) = (lines[0], Line::Item(&items[0]));
    assert_eq!(line.family(), item.family());
    assert_eq!(line.span(), item.span());
    assert_eq!(line.label(), item.label());
    assert_eq!(line.plain(), item.plain());
    assert_eq!([line.plain().expect("plain").statement()], items[0].tail[..]);
    let (conds, expected) = (line.conds(), item.conds());
    assert_eq!(conds.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>(), "{rule:?}");
    assert!(!conds.iter().any(|asked| matches!(asked, Asked::Cond(_))));
    for at in 0..=conds.len() {
        assert!(conds.same(&expected, at) && conds.same(&conds, at));
        let part = |conds: &crate::compile::line::Conds<'_>| {
            conds.keyable(at, line.family()).map(|part| (part.selector, part.width, part.count, part.ranges))
        };
        assert_eq!(part(&conds), part(&expected), "{rule:?}");
        if matches!(items[0].conds.get(at), Some(Cond::One(..))) {
            for several in [false, true] {
                let [mut key, mut same] = [Vec::new(), Vec::new()];
                conds.put(at, 0, several, &mut key);
                expected.put(at, 0, several, &mut same);
                assert_eq!(key, same);
            }
        }
    }
    true
}

fn with_a_chain() -> Config {
    Config { chains: vec![NamedChain { name: "c".to_owned(), rules: Vec::new(), span: Default::default() }], ..bare() }
}

proptest! {
    #[test]
    fn plain_rules_are_what_their_items_are(matches in simple(), action in action()) {
        let config = with_a_chain();
        check(&config, &Rule { name: Some("n".to_owned()), ..rule(matches, action) });
    }

    #[test]
    fn rules_of_all_kinds_that_are_plain_are_what_their_items_are(config in arbitrary::config()) {
        for rule in config.rules.iter().chain(&config.prerouting).chain(&config.input.rules) {
            check(&config, rule);
        }
    }
}

#[test]
fn rules_that_ask_one_value_of_each_field_are_plain() {
    let config = with_a_chain();
    let tcp_of = tcp_from("2001:db8::1", 22);
    for action in [Action::Accept, Action::Jump(0), Action::Reject(Reject::NoRoute)] {
        assert!(check(&config, &rule(tcp_of.clone(), action)));
    }
    assert!(check(&config, &rule(Matches::default(), Action::Drop)));
    let network = Matches { source: list([between("2001:db8::", "2001:db8::ff")]), ..Matches::default() };
    assert!(check(&config, &rule(network, Action::Accept)));
    for other in [
        Matches { tcp_flags: Some(TcpFlags { mask: 2, value: 2, negated: false }), ..tcp_of.clone() },
        Matches { states: vec![ConnState::New], ..tcp_of.clone() },
        Matches { protocol: List::default(), ..tcp_of.clone() },
        Matches { family: Some(Family::V4), ..tcp_of.clone() },
        Matches { source: list([host("192.0.2.1"), host("192.0.2.2")]), ..Matches::default() },
    ] {
        assert!(!check(&config, &rule(other.clone(), Action::Accept)), "{other:?}");
    }
    assert!(!check(&config, &rule(tcp_of, Action::Reject(Reject::TcpReset))));
}
