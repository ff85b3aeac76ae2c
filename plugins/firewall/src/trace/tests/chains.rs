//! Hooks, base chains, jumps, returns, and rulesets that lead nowhere.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{MAX_DEPTH, MAX_MISSED, MAX_STEPS};
use super::*;
use crate::ruleset::{NatTo, ct};

fn go(verdict: Verdict) -> Rule {
    rule(&[Statement::Verdict(verdict)])
}

fn count(counter: usize) -> Rule {
    rule(&[Statement::Count(counter)])
}

#[test]
fn a_packet_crosses_the_hooks_of_its_way_by_priority() {
    let chain = |name, hook, kind, priority| base(name, hook, kind, priority, true, &[]);
    let ruleset = chains(vec![
        chain("post", HookPoint::Postrouting, ChainKind::Filter, 200),
        chain("snat", HookPoint::Postrouting, ChainKind::Nat, 100),
        chain("in", HookPoint::Input, ChainKind::Filter, 0),
        chain("forward", HookPoint::Forward, ChainKind::Filter, 0),
        chain("mangle", HookPoint::Forward, ChainKind::Filter, -150),
        chain("out", HookPoint::Output, ChainKind::Filter, 0),
        chain("dnat", HookPoint::Prerouting, ChainKind::Nat, -100),
        chain("spoof", HookPoint::Prerouting, ChainKind::Filter, -150),
        chain("late", HookPoint::Prerouting, ChainKind::Filter, 0),
        chain("raw", HookPoint::Prerouting, ChainKind::Filter, -300),
    ]);
    let way = |path| {
        let found = trace(&ruleset, &Packet { path, ..ssh6() });
        assert_eq!(found.verdict, Outcome::Accept);
        let decided = found.decided_by.map(|at| found.steps[at].chain.clone()).unwrap();
        (found.steps.into_iter().map(|step| step.chain).collect::<Vec<_>>().join(" "), decided)
    };
    assert_eq!(way(Path::Through), ("raw spoof dnat late mangle forward snat post".to_owned(), "forward".to_owned()));
    assert_eq!(way(Path::ToRouter), ("raw spoof dnat late in".to_owned(), "in".to_owned()));
    assert_eq!(way(Path::FromRouter), ("out snat post".to_owned(), "out".to_owned()));
}

#[test]
fn accept_ends_its_base_chain_only_and_drop_is_final() {
    let early = |verdict| base("early", HookPoint::Forward, ChainKind::Filter, -1, true, &[go(verdict), count(0)]);
    let found = trace(&chains(vec![early(Verdict::Accept), forward(false, &[])]), &ssh6());
    assert_eq!((found.verdict, found.counted.len()), (Outcome::Drop, 0));
    assert_eq!(found.steps[found.decided_by.unwrap()].chain, "forward");
    let found = trace(&chains(vec![early(Verdict::Drop), forward(true, &[count(1)])]), &ssh6());
    assert_eq!((found.verdict, found.counted.len(), found.steps.len()), (Outcome::Drop, 0, 1));
}

#[test]
fn a_jump_goes_on_with_the_next_rule_and_a_goto_does_not() {
    let with = |verdict| {
        trace(&chains(vec![forward(true, &[go(verdict), go(Verdict::Drop)]), plain("other", &[count(0)])]), &ssh6())
    };
    assert_eq!((with(Verdict::Jump(1)).verdict, with(Verdict::Jump(1)).counted), (Outcome::Drop, vec![0]));
    assert_eq!((with(Verdict::Goto(1)).verdict, with(Verdict::Goto(1)).counted), (Outcome::Accept, vec![0]));
    // What stands behind a jump in the same rule is never reached.
    let behind = rule(&[Statement::Verdict(Verdict::Jump(1)), DROP]);
    assert_eq!(trace(&chains(vec![forward(true, &[behind]), plain("other", &[])]), &ssh6()).verdict, Outcome::Accept);
}

#[test]
fn a_goto_in_a_jumped_chain_returns_to_the_jump() {
    let ruleset = chains(vec![
        forward(false, &[go(Verdict::Jump(1)), count(0), go(Verdict::Accept)]),
        plain("first", &[go(Verdict::Goto(2)), go(Verdict::Drop)]),
        plain("second", &[go(Verdict::Return), go(Verdict::Drop)]),
    ]);
    let found = trace(&ruleset, &ssh6());
    assert_eq!((found.verdict, found.counted), (Outcome::Accept, vec![0]));
}

#[test]
fn a_return_from_depth_goes_back_one_jump_and_from_a_base_chain_to_its_policy() {
    let ruleset = chains(vec![
        forward(true, &[go(Verdict::Jump(1)), go(Verdict::Return), go(Verdict::Drop)]),
        plain("a", &[go(Verdict::Jump(2)), count(0)]),
        plain("b", &[go(Verdict::Jump(3)), count(1), go(Verdict::Return), go(Verdict::Drop)]),
        plain("c", &[go(Verdict::Return), go(Verdict::Drop)]),
    ]);
    let found = trace(&ruleset, &ssh6());
    assert_eq!((found.verdict, found.counted.as_slice()), (Outcome::Accept, &[1, 0][..]));
    assert_eq!(
        effects(&found),
        [
            "jump to a",
            "jump to b",
            "jump to c",
            "return",
            "counted as two",
            "return",
            "counted as one",
            "return",
            "end of the chain: accept"
        ]
    );
}

#[test]
fn jumps_are_followed_as_deep_as_the_kernel_does() {
    let depth = |depth: usize| {
        let mut all = vec![forward(true, &[go(Verdict::Jump(1))])];
        all.extend((1..=depth).map(|at| {
            plain("n", &if at == depth { vec![go(Verdict::Drop)] } else { vec![go(Verdict::Jump(at + 1))] })
        }));
        trace(&chains(all), &ssh6()).verdict
    };
    assert_eq!(depth(MAX_DEPTH), Outcome::Drop);
    assert_eq!(depth(MAX_DEPTH + 1), Outcome::Unfinished);
}

#[test]
fn rulesets_without_an_end_are_given_up() {
    let circle = chains(vec![forward(true, &[go(Verdict::Goto(1))]), plain("a", &[count(0), go(Verdict::Goto(1))])]);
    let found = trace(&circle, &ssh6());
    assert_eq!((found.verdict, found.truncated, found.counted.len()), (Outcome::Unfinished, true, MAX_STEPS));
    assert!(found.steps.len() <= MAX_STEPS + 8);
    let nowhere = trace(&chains(vec![forward(true, &[go(Verdict::Jump(9))])]), &ssh6());
    assert_eq!(nowhere.verdict, Outcome::Unfinished);
    let no_set = Statement::Lookup { key: vec![Selector::Protocol], set: 3, invert: false };
    assert_eq!(trace(&chains(vec![forward(true, &[rule(&[no_set])])]), &ssh6()).verdict, Outcome::Unfinished);
}

#[test]
fn rules_passed_by_are_kept_up_to_a_bound_and_defaults_are_not() {
    let missing = rule(&[is(Selector::Protocol, &[17]), DROP]);
    let found = trace(&chains(vec![forward(true, &vec![missing.clone(); MAX_MISSED + 1])]), &ssh6());
    assert_eq!((found.missed.len(), found.truncated), (MAX_MISSED, true));
    let default = Rule { label: Label::Default("a default"), ..missing };
    assert_eq!(trace(&chains(vec![forward(true, &[default])]), &ssh6()).missed.len(), 0);
}

#[test]
fn only_new_connections_come_to_nat_chains() {
    let redirect = rule(&[Statement::Nat(NatTo::Redirect { ports: Some((1, 1)) })]);
    let ruleset = chains(vec![base("dnat", HookPoint::Prerouting, ChainKind::Nat, -100, true, &[redirect])]);
    let port = |ct_state| trace(&ruleset, &Packet { ct_state, ..ssh6() }).packet.destination_port;
    assert_eq!(port(ct::NEW), Some(1));
    assert_eq!(port(ct::RELATED), Some(1));
    for state in [ct::ESTABLISHED, ct::INVALID, ct::UNTRACKED] {
        assert_eq!(port(state), Some(22));
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

fn selector() -> impl Strategy<Value = Selector> {
    prop::sample::select(vec![
        Selector::InputInterface,
        Selector::Family,
        Selector::Protocol,
        Selector::Source4,
        Selector::Source6,
        Selector::SourcePort,
        Selector::IcmpType,
        Selector::CtState,
        Selector::Mark,
        Selector::SourceMac,
    ])
}

fn anything() -> impl Strategy<Value = Statement> {
    let verdict = || {
        prop_oneof![
            Just(Verdict::Accept),
            Just(Verdict::Drop),
            Just(Verdict::Return),
            (0..6_usize).prop_map(Verdict::Jump),
            (0..6_usize).prop_map(Verdict::Goto)
        ]
    };
    let test = (bytes(), bytes(), 0..8_u8).prop_map(|(one, two, kind)| match kind {
        0 => Test::NotEqual(one),
        1 => Test::Prefix(one),
        2 => Test::Range(one, two),
        3 => Test::NotRange(one, two),
        4 => Test::Masked { mask: one, value: two, invert: true },
        5 => Test::None(one),
        6 => Test::Below(one),
        _ => Test::NotPrefix(one),
    });
    prop_oneof![
        (selector(), test).prop_map(|(selector, test)| Statement::Match(selector, test)),
        (vec(selector(), 0..4), 0..4_usize, any::<bool>()).prop_map(|(key, set, invert)| Statement::Lookup {
            key,
            set,
            invert
        }),
        (vec(selector(), 0..4), 0..4_usize).prop_map(|(key, map)| Statement::VerdictMap { key, map }),
        (vec(selector(), 0..4), 0..4_usize).prop_map(|(key, set)| Statement::AddTo { key, set }),
        (0..4_usize).prop_map(Statement::Count),
        Just(Statement::Nat(NatTo::SourcePrefix { first: address("10.0.0.0"), last: address("fd00::") })),
        Just(Statement::Nat(NatTo::Destination {
            addresses: (address("10.0.0.9"), address("10.0.0.1")),
            ports: Some((9, 1))
        })),
        verdict().prop_map(Statement::Verdict),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_ruleset_makes_it_panic_or_go_on_for_ever(
        rules in vec(vec(vec(anything(), 0..4), 0..4), 5),
        elements in (bytes(), bytes(), vec((bytes(), bytes()), 0..3)),
        types in vec(prop::sample::select(vec![KeyType::Port, KeyType::Ipv6, KeyType::Protocol]), 0..3),
        packet in super::differential::packet(),
    ) {
        let mut rules = rules.into_iter().map(|rules| rules.iter().map(|statements| rule(statements)).collect::<Vec<_>>());
        let mut all = vec![
            base("a", HookPoint::Prerouting, ChainKind::Nat, i32::MIN, true, &rules.next().unwrap()),
            base("b", HookPoint::Forward, ChainKind::Filter, i32::MAX, false, &rules.next().unwrap()),
        ];
        all.extend(rules.map(|rules| plain("n", &rules)));
        let entries = elements.2.into_iter().map(|(key, last)| Entry { last: Some(last), ..entry(&key, Verdict::Drop) }).collect();
        let sets = vec![
            set("p", &types, Elements::Points(elements.0)),
            set("r", &types, Elements::Ranges(elements.1)),
            set("m", &types, Elements::Verdicts(entries)),
        ];
        let ruleset = Ruleset { sets, ..chains(all) };
        let found = trace(&ruleset, &packet);
        prop_assert!(found.steps.len() <= MAX_STEPS + 8);
        prop_assert!(!super::super::report(&found, "(ä)".into()).is_empty());
    }
}
