//! What folds, into which keys, and what does not.

use portreeve_config::Span;

use super::common::*;
use crate::config::*;
use crate::ruleset::{KeyType, Selector, Statement, Test, Verdict};

fn input(rules: Vec<Rule>) -> Config {
    Config { input: Hook { accept: false, rules }, ..bare() }
}

fn map_of(statements: &[Statement]) -> (&[Selector], usize) {
    match statements.last() {
        Some(Statement::VerdictMap { key, map }) => (key, *map),
        other => panic!("not a map: {other:?}"),
    }
}

#[test]
fn what_is_equal_is_asked_once_and_what_differs_is_the_key() {
    let config = input(vec![
        rule(tcp_from("2001:db8::1", 22), Action::Accept),
        rule(tcp_from("2001:db8::2", 80), Action::Drop),
        rule(tcp_from("2001:db8::3", 80), Action::Reject(Reject::PortUnreachable)),
    ]);
    let ruleset = ruleset(&config);
    let rules = statements(&ruleset, "input");
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0][..2], [equal(Selector::Family, &[10]), equal(Selector::Protocol, &[6])]);
    let (key, map) = map_of(rules[0]);
    assert_eq!(key, [Selector::Source6, Selector::DestinationPort]);
    assert_eq!(ruleset.sets[map].key, [KeyType::Ipv6, KeyType::Port]);
    let entries = entries(&ruleset, map);
    assert_eq!(entries[0].key, [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 22, 0, 0]);
    assert_eq!(entries[0].verdict, Verdict::Accept);
    assert_eq!(entries[1].verdict, Verdict::Drop);
    let Verdict::Goto(reject) = entries[2].verdict else { panic!("{:?}", entries[2].verdict) };
    assert_eq!(ruleset.chains[reject].name, "reject-PortUnreachable");
}

#[test]
fn of_equal_keys_the_first_wins() {
    let config = input(vec![rule(tcp(22), Action::Drop), rule(tcp(80), Action::Accept), rule(tcp(22), Action::Accept)]);
    let ruleset = ruleset(&config);
    let (_, map) = map_of(statements(&ruleset, "input")[0]);
    let found: Vec<_> = entries(&ruleset, map).iter().map(|entry| (entry.key.clone(), entry.verdict)).collect();
    assert_eq!(found, [(vec![0, 22], Verdict::Drop), (vec![0, 80], Verdict::Accept)]);
}

#[test]
fn behind_a_jump_the_same_key_is_asked_again() {
    let mut config = input(vec![
        rule(tcp(22), Action::Jump(0)),
        rule(tcp(80), Action::Accept),
        rule(tcp(22), Action::Accept),
        rule(tcp(443), Action::Accept),
    ]);
    config.chains = vec![NamedChain { name: "c".to_owned(), rules: Vec::new(), span: Span::default() }];
    let ruleset = ruleset(&config);
    let rules = statements(&ruleset, "input");
    assert_eq!(rules.len(), 2);
    assert_eq!(entries(&ruleset, map_of(rules[0]).1).len(), 2);
    assert_eq!(entries(&ruleset, map_of(rules[1]).1).len(), 2);
}

#[test]
fn a_masked_rule_in_the_middle_ends_the_run() {
    let masked = Address::Masked {
        value: "::1234".parse().expect("it is"),
        mask: "::ffff:ffff:ffff:ffff".parse().expect("it is"),
    };
    let of = |port| tcp_from("2001:db8::1", port);
    let config = input(vec![
        rule(of(1), Action::Accept),
        rule(of(2), Action::Accept),
        rule(Matches { source: list([masked]), ..tcp(3) }, Action::Drop),
        rule(of(4), Action::Accept),
        rule(of(5), Action::Accept),
    ]);
    let ruleset = ruleset(&config);
    let rules = statements(&ruleset, "input");
    assert_eq!(rules.len(), 3);
    assert!(
        matches!(rules[1][2], Statement::Match(Selector::Source6, Test::Masked { invert: false, .. })),
        "{:?}",
        rules[1]
    );
    assert_eq!(rules[1].last(), Some(&drop()));
}

#[test]
fn rules_of_both_families_fold_family_by_family() {
    let both =
        |v4: &str, v6: &str| rule(Matches { source: list([host(v4), host(v6)]), ..Matches::default() }, Action::Accept);
    let config = input(vec![both("192.0.2.1", "2001:db8::1"), both("192.0.2.2", "2001:db8::2")]);
    let ruleset = ruleset(&config);
    let rules = statements(&ruleset, "input");
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0][0], equal(Selector::Family, &[2]));
    assert_eq!(rules[1][0], equal(Selector::Family, &[10]));
    assert_eq!(entries(&ruleset, map_of(rules[0]).1)[1].key, [192, 0, 2, 2]);
}

#[test]
fn disjoint_prefixes_fold_into_ranges_and_crossing_ones_do_not() {
    let from = |first: &str, last: &str| {
        rule(Matches { source: list([between(first, last)]), ..Matches::default() }, Action::Accept)
    };
    let config = input(vec![
        from("192.0.2.64", "192.0.2.127"),
        from("192.0.2.0", "192.0.2.31"),
        from("192.0.2.16", "192.0.2.40"),
        from("192.0.2.50", "192.0.2.50"),
    ]);
    let ruleset = ruleset(&config);
    let rules = statements(&ruleset, "input");
    assert_eq!(rules.len(), 2);
    let (_, map) = map_of(rules[0]);
    assert!(ruleset.sets[map].interval);
    let found: Vec<_> =
        entries(&ruleset, map).iter().map(|entry| (entry.key[3], entry.last.as_ref().map(|last| last[3]))).collect();
    assert_eq!(found, [(0, Some(31)), (64, Some(127))]);
}

#[test]
fn what_has_an_effect_stays_alone() {
    let counted = |port| Rule { count: Some("n".to_owned()), ..rule(tcp(port), Action::Accept) };
    let ruleset = ruleset(&input(vec![counted(1), counted(2)]));
    assert_eq!(statements(&ruleset, "input").len(), 2);
    assert_eq!(ruleset.counters, ["n", "dropped-input", "dropped-forward"]);
}

#[test]
fn long_linear_runs_are_warned_of_at_their_first_rule() {
    let from = |index: u8| {
        let range = between(&format!("192.0.{index}.0"), &format!("192.0.{index}.255"));
        let mut rule = rule(Matches { source: list([range]), ..tcp(u16::from(index)) }, Action::Accept);
        rule.span = Span::new(usize::from(index), 1000);
        rule
    };
    let (_, warnings) = compiled(&input((0..32).map(from).collect()));
    assert_eq!(warnings, []);
    let (_, warnings) = compiled(&input((5..38).map(from).collect()));
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].span, Span::new(5, 1000));
    assert!(warnings[0].message.starts_with("33 rules in a row"), "{}", warnings[0].message);
    assert!(warnings[0].message.contains("prefixes"), "{}", warnings[0].message);
}

#[test]
fn unfolded_every_rule_stands_by_itself() {
    let config = input(vec![rule(tcp(22), Action::Accept), rule(tcp(80), Action::Accept)]);
    let ruleset = linear(&config);
    assert_eq!(statements(&ruleset, "input").len(), 2);
}

#[test]
fn of_thousands_of_small_runs_only_the_first_become_maps() {
    // Ports in twos, each two behind a rule that cannot be folded.
    let masked = |number: u16| Matches {
        mark: Some(Masked { value: u32::from(number) << 8, mask: 0xffff_ff00 }),
        ..Matches::default()
    };
    let rules = (0..2000_u16).flat_map(|number| {
        let port = |more| rule(tcp(1000 + number * 2 + more), Action::Accept);
        [rule(masked(number), Action::Accept), port(0), port(1)]
    });
    let ruleset = ruleset(&input(rules.collect()));
    assert!(ruleset.sets.len() <= 256, "{}", ruleset.sets.len());
    assert!(ruleset.chains.iter().map(|chain| chain.rules.len()).sum::<usize>() > 5000);
}
