//! Each kind of match as statements; sets; limits and their names.

use std::collections::BTreeMap;

use portreeve_config::Span;

use super::common::*;
use crate::compile::{Options, compile};
use crate::config::*;
use crate::ruleset::{Elements, Rate, Ruleset, Selector, Statement, Test, Verdict};

fn one(matches: Matches) -> (Ruleset, Vec<Vec<Statement>>) {
    one_rule(rule(matches, Action::Accept))
}

fn one_rule(rule: Rule) -> (Ruleset, Vec<Vec<Statement>>) {
    let ruleset = ruleset(&Config { input: Hook { accept: false, rules: vec![rule] }, ..bare() });
    let found = statements(&ruleset, "input").into_iter().map(<[Statement]>::to_vec).collect();
    (ruleset, found)
}

fn negated<T>(items: impl IntoIterator<Item = T>) -> List<T> {
    List { negated: true, ..list(items) }
}

#[test]
fn each_kind_of_match_has_its_statement() {
    let interface = |name: &str, prefix| Interface { name: name.to_owned(), prefix };
    let of = |matches: Matches| one(matches).1;
    let ppp = Matches { incoming: list([interface("ppp", true)]), ..Matches::default() };
    assert_eq!(of(ppp), [[Statement::Match(Selector::InputInterface, Test::Prefix(b"ppp".to_vec())), accept()]]);
    let not = Matches { outgoing: negated([interface("wan0", false)]), ..Matches::default() };
    assert_eq!(of(not), [[Statement::Match(Selector::OutputInterface, Test::NotEqual(name("wan0"))), accept()]]);
    let ports = Matches { source_port: list([Port::Range(1000, 2000)]), protocol: list([17]), ..Matches::default() };
    let range = Statement::Match(Selector::SourcePort, Test::Range(vec![3, 232], vec![7, 208]));
    assert_eq!(of(ports), [[equal(Selector::Protocol, &[17]), range, accept()]]);
    let syn = Matches { tcp_flags: Some(TcpFlags { mask: 0x17, value: 2, negated: false }), ..Matches::default() };
    let flags = Statement::Match(Selector::TcpFlags, Test::Masked { mask: vec![0x17], value: vec![2], invert: false });
    assert_eq!(of(syn), [[equal(Selector::Protocol, &[6]), flags, accept()]]);
    let mark = Matches { mark: Some(Masked { value: 1, mask: 0xff }), ..Matches::default() };
    let bits = Test::Masked { mask: vec![0, 0, 0, 255], value: vec![0, 0, 0, 1], invert: false };
    assert_eq!(of(mark), [[Statement::Match(Selector::Mark, bits), accept()]]);
    let states =
        Matches { states: vec![ConnState::New, ConnState::Related], states_negated: true, ..Matches::default() };
    assert_eq!(of(states), [[Statement::Match(Selector::CtState, Test::None(vec![0, 0, 0, 12])), accept()]]);
    let fragments = Matches { later_fragments: true, ..Matches::default() };
    let offset = Test::Masked { mask: vec![0x1f, 0xff], value: vec![0, 0], invert: true };
    assert_eq!(
        of(fragments),
        [[equal(Selector::Family, &[2]), Statement::Match(Selector::FragmentOffset, offset), accept()]]
    );
    let translated = Matches { translated: true, ..Matches::default() };
    assert_eq!(of(translated), [[Statement::Match(Selector::CtStatus, Test::Any(vec![0, 0, 0, 32])), accept()]]);
    let hops = Matches { hop_limit: Some(Compare::Below(10)), ..Matches::default() };
    let below = |selector| Statement::Match(selector, Test::Below(vec![10]));
    assert_eq!(
        of(hops),
        [
            [equal(Selector::Family, &[2]), below(Selector::TimeToLive), accept()],
            [equal(Selector::Family, &[10]), below(Selector::HopLimit), accept()]
        ]
    );
    let local =
        Matches { source: list([Address::Local]), destination: negated([Address::Local]), ..Matches::default() };
    let not_local = Statement::Match(Selector::DestinationType, Test::NotEqual(vec![0, 0, 0, 2]));
    assert_eq!(of(local), [[equal(Selector::SourceType, &[0, 0, 0, 2]), not_local, accept()]]);
}

#[test]
fn kinds_of_icmp_are_of_their_family_and_codes_of_their_type() {
    let kind = |family, kind, code| IcmpKind { family, kind: Some(kind), code };
    let icmp = list([kind(Family::V4, 3, Some(4)), kind(Family::V6, 2, None), kind(Family::V4, 8, None)]);
    let (_, found) = one(Matches { icmp, ..Matches::default() });
    let v4 = [equal(Selector::Family, &[2]), equal(Selector::Protocol, &[1])];
    let v6 = [equal(Selector::Family, &[10]), equal(Selector::Protocol, &[58])];
    assert_eq!(found[0], [&v4[..], &[equal(Selector::IcmpType, &[8]), accept()]].concat());
    assert_eq!(
        found[1],
        [&v4[..], &[equal(Selector::IcmpType, &[3]), equal(Selector::IcmpCode, &[4]), accept()]].concat()
    );
    assert_eq!(found[2], [&v6[..], &[equal(Selector::IcmpType, &[2]), accept()]].concat());
    assert_eq!(found.len(), 3);
}

#[test]
fn lists_are_sets_and_overlapping_ranges_one() {
    let ports = [Port::Range(80, 80), Port::Range(100, 200), Port::Range(150, 300)];
    let (ruleset, found) = one(Matches { destination_port: list(ports), protocol: list([6]), ..Matches::default() });
    let Statement::Lookup { key, set, invert: false } = &found[0][1] else { panic!("{found:?}") };
    assert_eq!(key, &[Selector::DestinationPort]);
    assert!(ruleset.sets[*set].interval);
    assert_eq!(ruleset.sets[*set].elements, Elements::Ranges(vec![0, 80, 0, 80, 0, 100, 1, 44]));
    let hosts = [host("2001:db8::2"), host("2001:db8::1"), host("2001:db8::1")];
    let (ruleset, found) = one(Matches { source: negated(hosts), family: Some(Family::V6), ..Matches::default() });
    let Statement::Lookup { set, invert: true, .. } = &found[0][1] else { panic!("{found:?}") };
    let Elements::Points(bytes) = &ruleset.sets[*set].elements else { panic!("not points") };
    assert_eq!((bytes.len(), bytes[15], bytes[31]), (32, 1, 2));
}

fn with_sets(sets: Vec<NamedSet>, rules: Vec<Rule>) -> Config {
    Config { sets, input: Hook { accept: false, rules }, ..bare() }
}

fn set(name: &str, elements: Vec<SetElement>) -> NamedSet {
    let kind = SetKind::Addresses;
    NamedSet {
        name: name.to_owned(),
        kind,
        elements,
        file: None,
        timeout: None,
        dynamic: false,
        size: 0,
        span: Span::new(7, 8),
    }
}

#[test]
fn named_sets_have_one_of_each_family_that_is_in_them() {
    let Address::Range(v4) = between("192.0.2.0", "192.0.2.255") else { panic!("a range") };
    let matches = |negated| Matches { source: List { negated, ..list([Address::Set(0)]) }, ..Matches::default() };
    let rules = vec![rule(matches(false), Action::Drop), rule(matches(true), Action::Accept)];
    let ruleset = ruleset(&with_sets(vec![set("bad", vec![SetElement::Address(v4)])], rules));
    assert_eq!(ruleset.sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>(), ["bad-4"]);
    assert_eq!(ruleset.sets[0].named.as_deref(), Some("bad"));
    let look_up = |invert| Statement::Lookup { key: vec![Selector::Source4], set: 0, invert };
    let (v4, v6) = (equal(Selector::Family, &[2]), equal(Selector::Family, &[10]));
    // No IPv6 is in it: none matches, and all of it what is not in it.
    assert_eq!(
        statements(&ruleset, "input"),
        [&[v4.clone(), look_up(false), drop()][..], &[v4, look_up(true), accept()], &[v6, accept()]]
    );
}

#[test]
fn files_belong_to_their_sets_and_missing_ones_are_errors() {
    let mut config =
        with_sets(vec![NamedSet { file: Some("bad.txt".to_owned()), ..set("bad", Vec::new()) }], Vec::new());
    let compile = |config: &Config, files: &BTreeMap<_, _>| compile(config, files, &[], Options::default());
    let errors = compile(&config, &BTreeMap::new()).expect_err("no file");
    assert_eq!(
        (errors[0].span, errors[0].message.as_str()),
        (Span::new(7, 8), "the file `bad.txt` of set `bad` was not read")
    );
    let files =
        BTreeMap::from([("bad.txt".to_owned(), vec![SetElement::Address(IpRange::host([192, 0, 2, 1].into()))])]);
    let (ruleset, _) = compile(&config, &files).expect("it compiles");
    assert_eq!(ruleset.sets[0].elements, Elements::Points(vec![192, 0, 2, 1]));
    let Address::Range(range) = between("192.0.2.0", "192.0.2.255") else { panic!("a range") };
    config.sets[0].elements = vec![SetElement::Address(range)];
    config.sets[0].dynamic = true;
    assert!(compile(&config, &files).expect_err("ranges in a dynamic set")[0].message.contains("dynamic"));
}

fn limited(per: Per) -> Rule {
    let limit = Some(Limit { packets: 5, seconds: 60, burst: 7, over: false, per });
    rule(Matches { limit, ..tcp(22) }, Action::Accept)
}

#[test]
fn limits_by_source_are_kept_by_family_and_their_names_stay() {
    let names = |rules: Vec<Rule>| -> Vec<String> {
        let ruleset = ruleset(&with_sets(Vec::new(), rules));
        ruleset.sets.iter().filter(|set| set.stateful).map(|set| set.name.clone()).collect()
    };
    let alone = names(vec![limited(Per::Source)]);
    assert!(alone[0].starts_with("limit-") && alone[0].ends_with("-4") && alone[1].ends_with("-6"), "{alone:?}");
    assert_eq!(names(vec![rule(tcp(1), Action::Drop), limited(Per::Source)]), alone);
    let mut ssh = limited(Per::Source);
    ssh.name = Some("ssh".to_owned());
    let named = names(vec![limited(Per::Source), ssh]);
    assert!(named[2].starts_with("limit-ssh-"), "{named:?}");
    assert_eq!(named[..2], alone[..]);
    assert_eq!(names(vec![limited(Per::Source), limited(Per::Source)])[2], format!("{}.2", alone[0]));
    let (ruleset, found) = one_rule(limited(Per::Source));
    let Statement::LimitEach { key, set, rate } = &found[1][3] else { panic!("{found:?}") };
    assert_eq!((key.as_slice(), ruleset.sets[*set].dynamic), (&[Selector::Source6Network][..], true));
    assert_eq!(*rate, Rate { packets: 5, seconds: 60, burst: 7, over: false });
}

#[test]
fn a_log_that_is_used_up_does_not_keep_the_action_back() {
    let rate = Some(Limit { packets: 1, seconds: 1, burst: 5, over: false, per: Per::Rule });
    let log = Log { prefix: "ssh ".to_owned(), level: 4, group: None, rate };
    let logging = |rule: Rule| Rule { log: Some(log.clone()), count: Some("n".to_owned()), ..rule };
    let (_, found) = one_rule(logging(rule(tcp(22), Action::Drop)));
    assert_eq!(found.len(), 2);
    assert!(matches!(found[0][2..], [Statement::Limit(_), Statement::Log { .. }]), "{found:?}");
    assert_eq!(found[1][2..], [Statement::Count(0), drop()]);
    // With a limit of its own the rule is asked once, and what meets it goes through a chain.
    let (ruleset, found) = one_rule(logging(limited(Per::Rule)));
    let [_, _, Statement::Limit(_), Statement::Verdict(Verdict::Jump(body))] = found[0][..] else {
        panic!("{found:?}")
    };
    let body = &ruleset.chains[body].rules;
    assert!(matches!(body[0].statements[..], [Statement::Limit(_), Statement::Log { .. }]), "{body:?}");
    assert_eq!(body[1].statements, [Statement::Count(0), accept()]);
}

#[test]
fn a_limit_of_the_whole_rule_is_one_for_both_families() {
    let mut rule = limited(Per::Rule);
    rule.matches.source = list([host("192.0.2.1"), host("2001:db8::1")]);
    let (ruleset, found) = one_rule(rule);
    let targets: Vec<_> =
        found.iter().flatten().filter(|statement| matches!(statement, Statement::Verdict(_))).collect();
    let [Statement::Verdict(Verdict::Jump(body)), _] = targets[..] else { panic!("{found:?}") };
    assert_eq!(targets[0], targets[1]);
    let over = Rate { packets: 5, seconds: 60, burst: 7, over: true };
    let body = &ruleset.chains[*body].rules;
    assert_eq!(body[0].statements, [Statement::Limit(over), Statement::Verdict(Verdict::Return)]);
    assert_eq!(body[1].statements, [accept()]);
}

#[test]
fn a_rule_that_no_packet_matches_is_warned_of() {
    let matches =
        Matches { source: list([host("192.0.2.1")]), destination: list([host("2001:db8::1")]), ..Matches::default() };
    let config = with_sets(Vec::new(), vec![rule(matches, Action::Accept)]);
    let (ruleset, warnings) = compiled(&config);
    assert!(statements(&ruleset, "input").is_empty());
    assert_eq!(warnings[0].message, "no packet matches this rule");
}
