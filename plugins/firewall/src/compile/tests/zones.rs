//! Zones, their pairs, chains that lead into each other.

use portreeve_config::Span;

use super::common::*;
use crate::compile::{Options, compile};
use crate::config::*;
use crate::ruleset::{Selector, Statement, Verdict};

#[test]
fn a_pair_has_its_rules_then_its_policy_which_is_counted() {
    let mut config = bare();
    config.rules = vec![Rule { from: zones(&[1]), to: zones(&[0]), ..rule(tcp(22), Action::Accept) }];
    config.policies = vec![
        policy(&[0], &[1], PolicyAction::Accept),
        Policy { from: End::Any, to: End::Any, ..policy(&[], &[], PolicyAction::Drop) },
    ];
    let ruleset = ruleset(&config);
    let rules = statements(&ruleset, "wan-lan");
    assert_eq!(rules.len(), 2);
    let count = ruleset.counters.iter().position(|name| name == "wan-lan").expect("a counter");
    assert_eq!(rules[1], [Statement::Count(count), drop()]);
    let [Statement::VerdictMap { key, map }] = statements(&ruleset, "forward")[0] else { panic!("no map") };
    assert_eq!(key, &[Selector::InputInterface, Selector::OutputInterface]);
    let entry = entries(&ruleset, *map)
        .iter()
        .find(|entry| entry.key == [name("wan0"), name("lan0")].concat())
        .expect("an entry");
    let Verdict::Goto(target) = entry.verdict else { panic!("{entry:?}") };
    assert_eq!(ruleset.chains[target].name, "wan-lan");
    // A policy of anyone is not about this machine, but about interfaces of no zone.
    assert!(!has_chain(&ruleset, "lan-router") && has_chain(&ruleset, "none-none"));
}

#[test]
fn the_first_zone_that_names_an_interface_has_it() {
    let mut config = bare();
    let interface = |name: &str, prefix| Interface { name: name.to_owned(), prefix };
    config.zones[0].interfaces = vec![interface("eth1", false)];
    config.zones[1].interfaces = vec![interface("eth", true)];
    config.policies = vec![Policy { to: router(), ..policy(&[0, 1], &[], PolicyAction::Accept) }];
    let ruleset = ruleset(&config);
    let [Statement::VerdictMap { map, .. }] = statements(&ruleset, "input")[0] else { panic!("no map") };
    let zone_of = |text: &str| {
        let key = name(text);
        let entry = entries(&ruleset, *map).iter().find(|entry| entry.key <= key && Some(&key) <= entry.last.as_ref());
        entry.map(|entry| match entry.verdict {
            Verdict::Goto(chain) => ruleset.chains[chain].name.clone(),
            other => format!("{other:?}"),
        })
    };
    assert_eq!(zone_of("eth1").as_deref(), Some("lan-router"));
    for other in ["eth", "eth0", "eth10", "eth2", "ethzzz"] {
        assert_eq!(zone_of(other).as_deref(), Some("wan-router"), "{other}");
    }
    assert_eq!(zone_of("et"), None);
    assert_eq!(zone_of("eti0"), None);
}

#[test]
fn rules_of_several_pairs_stand_once() {
    let mut config = bare();
    config.rules = (0..20_u16)
        .map(|port| Rule { to: zones(&[0, 1]), from: zones(&[0, 1]), ..rule(tcp(port), Action::Accept) })
        .collect();
    let found = ruleset(&config);
    let target = found.chains.iter().position(|chain| chain.name == "rules-1").expect("shared");
    for pair in ["lan-wan", "wan-lan", "lan-lan", "wan-wan"] {
        assert_eq!(statements(&found, pair), [&[Statement::Verdict(Verdict::Jump(target))]], "{pair}");
    }
    // With a rule of one pair's own in front the rest is still shared.
    config.rules.insert(0, Rule { from: zones(&[0]), to: zones(&[1]), ..rule(tcp(99), Action::Drop) });
    let found = ruleset(&config);
    assert_eq!(statements(&found, "lan-wan").len(), 2);
    assert_eq!(found.chains.iter().filter(|chain| chain.name.starts_with("rules-")).count(), 1);
}

#[test]
fn rules_of_anyone_are_about_this_machine_too() {
    let mut config = bare();
    config.rules = vec![rule(tcp(22), Action::Accept)];
    let found = ruleset(&config);
    for chain in ["wan-router", "none-router", "router-lan", "none-wan"] {
        assert!(has_chain(&found, chain), "{chain}");
    }
}

fn user(name: &str, action: Action, at: usize) -> NamedChain {
    let span = Span::new(at, at + 1);
    NamedChain { name: name.to_owned(), rules: vec![Rule { span, ..rule(Matches::default(), action) }], span }
}

#[test]
fn chains_that_lead_into_themselves_are_errors_where_they_do() {
    let mut config = bare();
    config.chains = vec![
        user("a", Action::Jump(1), 1),
        user("b", Action::Goto(2), 2),
        user("c", Action::Jump(0), 3),
        user("d", Action::Drop, 4),
    ];
    let errors = compile(&config, &Default::default(), &[], Options::default()).expect_err("a cycle");
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].span, errors[0].message.as_str()), (Span::new(3, 4), "the chain `a` leads into itself here"));
}

#[test]
fn chains_go_as_deep_as_the_kernel_does_and_no_deeper() {
    let with = |count: usize| {
        let mut config = bare();
        config.chains = (0..count)
            .map(|at| user(&format!("c{at}"), if at + 1 < count { Action::Jump(at + 1) } else { Action::Drop }, at))
            .collect();
        config.input.rules = vec![rule(Matches::default(), Action::Jump(0))];
        compile(&config, &Default::default(), &[], Options::default())
    };
    assert!(with(15).is_ok());
    let errors = with(16).expect_err("too deep");
    assert_eq!(errors[0].span, Span::new(10, 20));
    assert!(errors[0].message.contains("16 deep"), "{}", errors[0].message);
}

#[test]
fn segment_sizes_and_offloading_are_by_zone() {
    let mut config = bare();
    config.zones[1].mss_clamp = MssClamp::Bytes(1400);
    config.offload = Some(Offload { zones: vec![0, 1], hardware: true, span: Span::default() });
    let found = ruleset(&config);
    let rules = statements(&found, "mangle-forward");
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[1][2..], [equal(Selector::OutputInterface, &name("wan0")), Statement::ClampMss(Some(1400))]);
    let flowtable = found.flowtable.as_ref().expect("a flowtable");
    assert_eq!(flowtable.devices, ["lan0", "wan0"]);
    assert_eq!(statements(&found, "forward")[0].last(), Some(&Statement::Offload));
    let (none, warnings) =
        compile(&config, &Default::default(), &["x".to_owned()], Options::default()).expect("it compiles");
    assert_eq!((none.flowtable, warnings.len()), (None, 1));
}

#[test]
fn a_segment_size_by_the_route_is_not_asked_of_what_comes_in() {
    let clamp = || rule(Matches::default(), Action::ClampMss(MssClamp::PathMtu));
    let mut config = bare();
    config.rules = vec![clamp()];
    let found = ruleset(&config);
    assert!(has_chain(&found, "lan-wan") && !has_chain(&found, "lan-router"));
    config.chains = vec![user("c", Action::ClampMss(MssClamp::PathMtu), 44)];
    config.input.rules = vec![rule(Matches::default(), Action::Jump(0))];
    let errors = compile(&config, &Default::default(), &[], Options::default()).expect_err("no route");
    assert_eq!(errors.iter().map(|error| error.span).collect::<Vec<_>>(), [Span::new(44, 45)]);
}

#[test]
fn offloading_is_warned_of_only_where_the_interfaces_are_known() {
    let mut config = bare();
    config.offload = Some(Offload { zones: vec![0], hardware: false, span: Span::new(5, 6) });
    let warnings =
        |devices: &[String]| compile(&config, &Default::default(), devices, Options::default()).expect("it compiles").1;
    assert_eq!(warnings(&[]), []);
    let [warning] = &warnings(&["eth7".to_owned()])[..] else { panic!("no warning") };
    assert_eq!(warning.span, Span::new(5, 6));
    assert_eq!(warnings(&["eth7".to_owned(), "lan0".to_owned()]), []);
}

#[test]
fn what_names_an_interface_is_not_about_this_machine_where_it_has_none() {
    let mut config = bare();
    let beside_wan = List { negated: true, ..list([Interface { name: "wan0".to_owned(), prefix: false }]) };
    let out = Matches { outgoing: beside_wan.clone(), ..Matches::default() };
    let into = Matches { incoming: beside_wan, ..Matches::default() };
    config.rules = vec![rule(out, Action::Accept), rule(into, Action::Accept)];
    let ruleset = ruleset(&config);
    let asks = |chain: &str, selector| {
        let asks = |statement: &Statement| matches!(statement, Statement::Match(of, _) if *of == selector);
        statements(&ruleset, chain).iter().any(|rule| rule.iter().any(asks))
    };
    let (incoming, outgoing) = (Selector::InputInterface, Selector::OutputInterface);
    assert_eq!((asks("wan-router", incoming), asks("wan-router", outgoing)), (true, false));
    assert_eq!((asks("router-wan", incoming), asks("router-wan", outgoing)), (false, true));
}

#[test]
fn nothing_is_asked_of_connections_before_they_are_tracked() {
    let states = Matches { states: vec![ConnState::Invalid], ..Matches::default() };
    let place = Span::new(31, 32);
    let mut config = bare();
    let chain = |name: &str, rules| NamedChain { name: name.to_owned(), rules, span: Span::default() };
    config.chains = vec![
        chain("early", vec![rule(Matches::default(), Action::Jump(1))]),
        chain("states", vec![Rule { span: place, ..rule(states, Action::Drop) }]),
    ];
    config.input.rules = vec![rule(Matches::default(), Action::Jump(0))];
    let compile = |config: &Config| compile(config, &Default::default(), &[], Options::default());
    assert!(compile(&config).is_ok());
    config.prerouting = vec![rule(Matches::default(), Action::Jump(0))];
    let errors = compile(&config).expect_err("too early");
    assert_eq!(errors.iter().map(|error| error.span).collect::<Vec<_>>(), [place]);
}
