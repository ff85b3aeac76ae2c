//! What each statement does to a packet and to the rule it stands in.

use super::*;
use crate::config::{Masked, Reject};
use crate::ruleset::{NatTo, Rate, RejectWith, ct};

fn dynamic(named: &str) -> Set {
    Set { dynamic: true, named: Some(named.to_owned()), ..set(named, &[KeyType::Ipv6], Elements::Points(Vec::new())) }
}

fn run(rules: &[Rule], sets: &[Set], packet: &Packet) -> Trace {
    trace(&Ruleset { sets: sets.to_vec(), ..chains(vec![forward(true, rules)]) }, packet)
}

const RATE: Rate = Rate { packets: 5, seconds: 60, burst: 5, over: false };

#[test]
fn a_match_of_a_missing_field_holds_neither_plain_nor_negated() {
    for test in [Test::Equal(vec![192, 0, 2, 1]), Test::NotEqual(vec![192, 0, 2, 1])] {
        assert!(!holds(&[Statement::Match(Selector::Source4, test)], &[], &ssh6()));
    }
    let lookup = |invert| Statement::Lookup { key: vec![Selector::Source4], set: 0, invert };
    let sets = [set("s", &[KeyType::Ipv4], Elements::Points(vec![192, 0, 2, 1]))];
    assert!(!holds(&[lookup(false)], &sets, &ssh6()));
    assert!(!holds(&[lookup(true)], &sets, &ssh6()));
    assert!(holds(&[lookup(false)], &sets, &ssh4()));
    assert!(!holds(&[lookup(true)], &sets, &ssh4()));
}

#[test]
fn interfaces_match_by_name_and_by_prefix() {
    let prefix = |text: &str| Statement::Match(Selector::InputInterface, Test::Prefix(text.as_bytes().to_vec()));
    assert!(holds(&[prefix("lan")], &[], &ssh6()));
    assert!(!holds(&[prefix("lan00")], &[], &ssh6()));
    assert!(holds(&[is(Selector::InputInterface, &name("lan0"))], &[], &ssh6()));
    assert!(!holds(&[is(Selector::InputInterface, &name("lan"))], &[], &ssh6()));
}

#[test]
fn limits_are_taken_as_not_exceeded_and_the_step_says_so() {
    assert!(holds(&[Statement::Limit(RATE)], &[], &ssh6()));
    assert!(!holds(&[Statement::Limit(Rate { over: true, ..RATE })], &[], &ssh6()));
    let each = |over| Statement::LimitEach { key: vec![Selector::Source6], set: 0, rate: Rate { over, ..RATE } };
    assert!(holds(&[each(false)], &[dynamic("d")], &ssh6()));
    assert!(!holds(&[each(true)], &[dynamic("d")], &ssh6()));
    assert!(!holds(&[each(false)], &[dynamic("d")], &ssh4()));
    let found = run(&[rule(&[Statement::Limit(RATE), DROP])], &[], &ssh6());
    assert_eq!(effects(&found), ["taken as within 5/minute, drop"]);
}

#[test]
fn a_packet_is_taken_for_the_only_connection() {
    let all = |count, above| holds(&[Statement::Connections { count, above }], &[], &ssh6());
    assert!(!all(10, true));
    assert!(all(10, false));
    assert!(all(0, true));
    assert!(all(1, false) && !all(1, true));
    let each = |above| Statement::ConnectionsEach { key: vec![Selector::Source6], set: 0, count: 3, above };
    assert!(!holds(&[each(true)], &[dynamic("d")], &ssh6()));
    assert!(holds(&[each(false)], &[dynamic("d")], &ssh6()));
}

#[test]
fn what_a_rule_adds_a_later_one_finds() {
    let add = Statement::AddTo { key: vec![Selector::Source6], set: 0 };
    let lookup = Statement::Lookup { key: vec![Selector::Source6], set: 0, invert: false };
    let found =
        run(&[rule(&[lookup.clone(), DROP]), rule(&[add]), rule(&[lookup.clone(), DROP])], &[dynamic("seen")], &ssh6());
    assert_eq!(found.verdict, Outcome::Drop);
    assert_eq!(found.added, [(0, ssh6().field(Selector::Source6).unwrap())]);
    assert_eq!(effects(&found), ["source added to seen", "source is in seen, drop"]);
    let mut packet = ssh6();
    assert_eq!(run(&[rule(&[lookup.clone(), DROP])], &[dynamic("seen")], &packet).verdict, Outcome::Accept);
    packet.assume.member_of = vec!["seen".to_owned()];
    assert_eq!(run(&[rule(&[lookup, DROP])], &[dynamic("seen")], &packet).verdict, Outcome::Drop);
}

#[test]
fn counting_logging_marking_go_on_with_the_rule() {
    let statements = [
        Statement::Count(1),
        Statement::Log { prefix: "x ".to_owned(), level: 4, group: None },
        Statement::Log { prefix: String::new(), level: 4, group: Some(7) },
        Statement::SetMark(Masked { value: 0x0f, mask: 0xff }),
        Statement::Offload,
        Statement::ClampMss(None),
        Statement::ClampMss(Some(1400)),
        DROP,
    ];
    let found = run(&[rule(&statements)], &[], &Packet { mark: 0xabcd, ..ssh6() });
    assert_eq!(found.verdict, Outcome::Drop);
    assert_eq!(found.counted, [1]);
    assert_eq!(found.packet.mark, 0xab0f);
    assert_eq!(
        effects(&found),
        ["counted as two, logged with \"x \", logged to group 7 with \"\", mark becomes 0xab0f, its flow goes to the \
          flowtable, maximum segment size held to the route's MTU, maximum segment size held to 1400, drop"]
    );
    assert_eq!(found.decided_by, Some(0));
}

#[test]
fn a_statement_behind_one_that_does_not_hold_does_nothing() {
    let found = run(&[rule(&[is(Selector::Protocol, &[17]), Statement::Count(0), DROP])], &[], &ssh6());
    assert_eq!((found.verdict, found.counted.len()), (Outcome::Accept, 0));
    assert_eq!(found.missed[0].what, "protocol is 6, asked for: 17");
    let found = run(&[rule(&[Statement::Count(0), is(Selector::Protocol, &[17]), DROP])], &[], &ssh6());
    assert_eq!(found.counted, [0]);
    assert_eq!(effects(&found)[0], "counted as one, then no further: protocol is 6, asked for: 17");
}

#[test]
fn a_verdict_map_decides_and_ends_the_rule_either_way() {
    let map = set(
        "m",
        &[KeyType::Protocol, KeyType::Port],
        Elements::Verdicts(vec![
            entry(&[6, 0, 0, 0, 0, 22, 0, 0], Verdict::Accept),
            entry(&[17, 0, 0, 0, 0, 53, 0, 0], Verdict::Drop),
        ]),
    );
    let statement = Statement::VerdictMap { key: vec![Selector::Protocol, Selector::DestinationPort], map: 0 };
    // The kernel does not come to what stands behind it.
    let rules = [rule(&[statement.clone(), DROP]), rule(&[Statement::Count(0)])];
    let with = |packet: &Packet| run(&rules, core::slice::from_ref(&map), packet);
    assert_eq!((with(&ssh6()).verdict, with(&ssh6()).counted.len()), (Outcome::Accept, 0));
    let dns = Packet { protocol: 17, destination_port: Some(53), ..ssh6() };
    assert_eq!(with(&dns).verdict, Outcome::Drop);
    assert_eq!(effects(&with(&dns)), ["protocol 17, destination port 53: drop"]);
    let other = Packet { destination_port: Some(23), ..ssh6() };
    assert_eq!((with(&other).verdict, with(&other).counted.len()), (Outcome::Accept, 1));
}

#[test]
fn a_step_from_a_map_has_the_place_of_its_entry() {
    let span = Span::new(40, 50);
    let map = set("m", &[KeyType::Protocol], Elements::Verdicts(vec![Entry { span, ..entry(&[6], Verdict::Drop) }]));
    let found = run(&[rule(&[Statement::VerdictMap { key: vec![Selector::Protocol], map: 0 }])], &[map], &ssh6());
    assert_eq!(found.steps[0].span, span);
}

#[test]
fn a_rejection_says_with_what() {
    let with = RejectWith::Icmp(Reject::NoRoute);
    let found = run(&[rule(&[Statement::Reject(with)])], &[], &ssh6());
    assert_eq!(found.verdict, Outcome::Reject(with));
    assert_eq!(effects(&found), ["reject with no route"]);
    let found = run(&[rule(&[Statement::Reject(RejectWith::TcpReset)])], &[], &ssh6());
    assert_eq!(found.verdict, Outcome::Reject(RejectWith::TcpReset));
}

#[test]
fn what_is_not_tracked_early_is_untracked_later_and_too_late_nothing_changes() {
    let untracked = Statement::Match(Selector::CtState, Test::Any(ct::UNTRACKED.to_be_bytes().to_vec()));
    let invalid = Statement::Match(Selector::CtState, Test::Any(ct::INVALID.to_be_bytes().to_vec()));
    let raw = |rules: &[Rule]| base("raw", HookPoint::Prerouting, ChainKind::Filter, -300, true, rules);
    let nat =
        base("nat", HookPoint::Postrouting, ChainKind::Nat, 100, true, &[rule(&[Statement::Nat(NatTo::Nothing)])]);
    let ruleset = chains(vec![
        raw(&[rule(&[invalid, Statement::Notrack, Statement::Count(0)])]),
        forward(false, &[rule(&[untracked.clone(), ACCEPT])]),
        nat,
    ]);
    let found = trace(&ruleset, &ssh6());
    assert_eq!(
        (found.verdict, found.packet.ct_state, found.counted.as_slice()),
        (Outcome::Accept, ct::UNTRACKED, &[0][..])
    );
    assert!(found.steps.last().unwrap().what.starts_with("not looked at"));
    let late = chains(vec![forward(true, &[rule(&[Statement::Notrack]), rule(&[untracked, DROP])])]);
    assert_eq!(trace(&late, &ssh6()).verdict, Outcome::Accept);
}
