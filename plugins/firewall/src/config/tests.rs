//! The section: what is read, and what each mistake is told as.

use portreeve_config::Severity;
use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../guest/example.ron");
const ZONES: &str = r#"zones: {"lan": (interfaces: ["lan0"]), "wan": (interfaces: ["wan0"])}, "#;

/// Places and messages of everything that is said about the text.
fn told(text: &str) -> Vec<(Severity, String, String)> {
    let list = match Config::parse(text) {
        Ok((_, warnings)) => warnings,
        Err(list) => list,
    };
    list.into_iter().map(|d| (d.severity, d.span.slice(text).to_owned(), d.message)).collect()
}

fn config(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|list| panic!("{text}: {list:?}")).0
}

#[test]
fn the_example_is_read_without_a_warning() {
    let (config, warnings) = Config::parse(EXAMPLE).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.zones.len(), 3);
    assert_eq!(config.zones[0].interfaces[1], Interface { name: "wlan".to_owned(), prefix: true });
    assert_eq!(config.zones[2].mss_clamp, MssClamp::PathMtu);
    assert_eq!(config.policies[2].action, PolicyAction::Reject(Reject::AdminProhibited));
    assert_eq!(config.policies[0].to, End::Zones { zones: vec![2, 1], router: true });
    let ssh = &config.rules[0];
    assert_eq!((ssh.name.as_deref(), ssh.count.as_deref()), (Some("ssh"), Some("ssh")));
    assert_eq!((&ssh.matches.source.items[..], ssh.matches.source.negated), (&[Address::Set(0)][..], true));
    assert_eq!(ssh.matches.limit, Some(Limit { packets: 5, seconds: 60, burst: 10, over: false, per: Per::Source }));
    assert!(config.rules[1].log.as_ref().is_some_and(|log| log.prefix.starts_with("rule-")));
    assert_eq!(config.rules[3].matches.protocol.items, [6, 17]);
    assert_eq!(config.rules[4].action, Action::Jump(0));
    assert_eq!(config.chains[0].rules[0].matches.tcp_flags, Some(TcpFlags { mask: 0x17, value: 0, negated: false }));
    assert_eq!(config.chains[0].rules[0].matches.protocol.items, [6]);
    assert_eq!(config.nat[1].matches.family, Some(Family::V4));
    assert_eq!(config.nat[4].matches.family, Some(Family::V6));
    assert_eq!(config.sets[2].size, 4096);
    let sysctls = config.sysctls();
    assert_eq!(sysctls[0], ("netfilter/nf_conntrack_max".to_owned(), "262144".to_owned()));
    assert_eq!(sysctls[2], ("netfilter/nf_conntrack_tcp_timeout_established".to_owned(), "432000".to_owned()));
    let text = summary(&config);
    assert!(text.starts_with("zone lan: lan0, wlan*\n"), "{text}");
    assert!(text.contains("rules: 5 between zones, 2 of hooks, 2 in chains, 5 of address translation\n"), "{text}");
}

#[test]
fn an_empty_section_is_closed_and_says_so() {
    assert_eq!(told("()")[0].0, Severity::Warning);
    let config = config("()");
    assert!(!config.input.accept && !config.forward.accept && config.output.accept && config.guard);
    assert_eq!(config.defaults, Defaults::default());
}

#[test]
fn mistakes_are_told_at_their_places() {
    use Severity::{Error, Warning};
    let rule = |text: &str| format!("({ZONES}rules: [({text})])");
    let input = |text: &str| format!("({ZONES}input: (rules: [({text}, then: Drop)]))");
    let nat = |text: &str| format!("({ZONES}nat: [({text})])");
    let cases = [
        (Error, rule(r#"from: ["wann"], then: Drop"#), r#""wann""#),
        (Error, rule("then: Acept"), "Acept"),
        (Error, rule("then: Accept, sorce: []"), "sorce"),
        (Error, rule(r#"then: Jump("x")"#), r#""x""#),
        (Error, rule("then: Notrack"), "Notrack"),
        (Error, input(r#"source: ["@x"]"#), r#""@x""#),
        (Error, input(r#"from: ["wan"]"#), r#"["wan"]"#),
        (Error, input("source: []"), "[]"),
        (Error, input(r#"family: Ipv6, source: ["192.0.2.1"]"#), r#""192.0.2.1""#),
        (Error, input(r#"source: ["192.0.2.1"], destination: ["::1"]"#), r#"["::1"]"#),
        (Error, input(r#"source: ["192.0.2.1/24"]"#), r#""192.0.2.1/24""#),
        (Error, input(r#"source: ["!192.0.2.1", "192.0.2.2"]"#), r#""192.0.2.2""#),
        (Error, input(r#"source: ["192.0.2.9-192.0.2.1"]"#), r#""192.0.2.9-192.0.2.1""#),
        (Error, input(r#"protocol: ["tpc"]"#), r#""tpc""#),
        (Error, input(r#"protocol: ["esp"], source_port: ["1"]"#), r#"["esp"]"#),
        (Error, input("destination_port: [22]"), "22"),
        (Error, input(r#"destination_port: ["70000"]"#), r#""70000""#),
        (Error, input(r#"icmp: ["8"]"#), r#""8""#),
        (Error, input(r#"icmp: ["echo-reqest"]"#), r#""echo-reqest""#),
        (Error, input(r#"family: Ipv4, icmp: ["packet-too-big"]"#), r#""packet-too-big""#),
        (Error, input(r#"outgoing: ["wan0"]"#), r#"["wan0"]"#),
        (Error, input(r#"hop_limit: "<0""#), r#""<0""#),
        (Error, input(r#"mark: "0x3/0x1""#), r#""0x3/0x1""#),
        (Error, input(r#"tcp_flags: "syn""#), r#""syn""#),
        (Error, input(r#"limit: (rate: "5/fortnight")"#), r#""5/fortnight""#),
        (Error, input("connections: ()"), "()"),
        (Error, input(r#"states: [New], not_states: [New]"#), "[New]"),
        (
            Error,
            nat(r#"from: ["wan"], then: Destination(to: "192.0.2.1", port: "80")"#),
            r#"Destination(to: "192.0.2.1", port: "80")"#,
        ),
        (
            Error,
            nat(r#"to: ["wan"], then: Prefix(inside: "fd00::/48", outside: "2001:db8::/56")"#),
            r#""2001:db8::/56""#,
        ),
        (Error, nat(r#"from: ["wan"], to: ["wan"], then: Masquerade"#), r#"["wan"]"#),
        (Warning, nat(r#"family: Ipv6, to: ["wan"], then: Masquerade"#), "Masquerade"),
        (Error, r#"(zones: {"router": (interfaces: ["a"])})"#.to_owned(), r#""router""#),
        (Error, r#"(zones: {"a": (interfaces: ["x0"]), "b": (interfaces: ["x0"])})"#.to_owned(), r#""x0""#),
        (Warning, r#"(zones: {"a": (interfaces: ["x*"]), "b": (interfaces: ["x0"])})"#.to_owned(), r#""x0""#),
        (Warning, format!("({ZONES}forward: (policy: Accept))"), "Accept"),
        (Warning, format!("({ZONES}defaults: (rfc4890: false))"), "(rfc4890: false)"),
        (
            Warning,
            r#"(sets: {"s": (elements: ["::1"])}, input: (rules: [(states: [New], then: Drop)]))"#.to_owned(),
            r#""s""#,
        ),
        (
            Warning,
            r#"(sets: {"s": (dynamic: true, timeout: "1m")}, input: (rules: [(source: ["@s"], then: Drop)]))"#
                .to_owned(),
            r#""s""#,
        ),
        (
            Error,
            r#"(sets: {"s": (kind: Ports, elements: ["1"])}, input: (rules: [(source: ["@s"], then: Drop)]))"#
                .to_owned(),
            r#""@s""#,
        ),
        (Warning, r#"(input: (rules: [(then: Drop), (states: [New], then: Accept)]))"#.to_owned(), "("),
        (
            Error,
            r#"(input: (rules: [(then: Jump("a"))]), chains: {"a": [(then: Jump("b"))], "b": [(then: Goto("a"))]})"#
                .to_owned(),
            r#"(then: Jump("b"))"#,
        ),
        (Error, format!(r#"({ZONES}offload: (zones: ["router"]))"#), r#""router""#),
        (
            Error,
            r#"(conntrack: (timeouts: {"tcp_timeout_establishd": "1s"}))"#.to_owned(),
            r#""tcp_timeout_establishd""#,
        ),
    ];
    for (severity, text, place) in cases {
        let all = told(&text);
        let found = all.iter().any(|(found, at, _)| *found == severity && at == place);
        assert!(found, "{text}: {place}: {all:?}");
        assert_eq!(severity == Severity::Error, Config::parse(&text).is_err(), "{text}: {all:?}");
    }
}

#[test]
fn all_mistakes_are_told_in_one_go_and_names_are_guessed() {
    let text = format!(r#"({ZONES}rules: [(from: ["lna"], then: Dorp, destination_port: ["shs"])], gaurd: false)"#);
    let hints: Vec<_> = Config::parse(&text).unwrap_err().into_iter().map(|d| d.hint.unwrap()).collect();
    assert_eq!(
        hints,
        ["did you mean `lan`?", "did you mean `Drop`?", "did you mean \"ssh\"?", "did you mean `guard`?"]
    );
}

#[test]
fn jumps_go_twelve_chains_deep_and_no_deeper() {
    let chains = |last: usize| {
        let list: String = (0..last).map(|at| format!(r#""c{at}": [(then: Jump("c{}"))], "#, at + 1)).collect();
        format!(r#"(input: (rules: [(then: Jump("c0"))]), chains: {{{list}"c{last}": [(then: Drop)]}})"#)
    };
    assert!(Config::parse(&chains(11)).is_ok());
    assert!(Config::parse(&chains(12)).is_err());
    assert!(Config::parse(&chains(3000)).is_err());
}

#[test]
fn kinds_of_icmp_are_of_the_families_that_the_rule_is_about() {
    let kinds = |rule: &str| {
        config(&format!("(input: (rules: [({rule}, then: Accept)]))")).input.rules[0].matches.icmp.items.clone()
    };
    let kind = |family, kind, code| IcmpKind { family, kind: Some(kind), code };
    let both = [kind(Family::V4, 8, None), kind(Family::V6, 128, None)];
    assert_eq!(kinds(r#"icmp: ["echo-request"]"#), both);
    assert_eq!(kinds(r#"icmp: ["echo-request"], family: Ipv6"#), both[1..]);
    assert_eq!(kinds(r#"icmp: ["echo-request"], source: ["192.0.2.1"]"#), both[..1]);
    assert_eq!(kinds(r#"icmp: ["3/4"], protocol: ["icmp"]"#), [kind(Family::V4, 3, Some(4))]);
    assert_eq!(kinds(r#"icmp: ["packet-too-big"]"#), [kind(Family::V6, 2, None)]);
}

#[test]
fn a_file_of_a_set_has_one_element_a_line() {
    let text = "# bad\n192.0.2.0/24,\n\n 2001:db8::1 # one\r\n10.0.0.1-10.0.0.9\n";
    let found = parse_set_file(SetKind::Addresses, text, 3);
    assert_eq!(found.elements[1], SetElement::Address(IpRange::host("2001:db8::1".parse().unwrap())));
    assert_eq!((found.elements.len(), found.bad_lines, found.surplus), (3, 0, 0));
}

#[test]
fn lines_that_cannot_be_read_or_do_not_fit_are_left_out_and_told_with_their_line() {
    let found = parse_set_file(SetKind::Ports, "80\nx\n\n81\n82 # one\ny\n83\n", 2);
    assert_eq!(found.elements, [SetElement::Port(80, 80), SetElement::Port(81, 81)]);
    let lines: Vec<usize> = found.mistakes.iter().map(|(line, _)| *line).collect();
    assert_eq!((lines, found.bad_lines), (vec![2, 6], 2));
    assert_eq!((found.surplus_line, found.surplus), (Some(5), 2));
}

#[test]
fn a_file_with_too_many_lines_that_cannot_be_read_has_no_element() {
    let text = |bad: usize| format!("80\n{}81\n", "x\n".repeat(bad));
    let found = parse_set_file(SetKind::Ports, &text(MAX_BAD_LINES), 9);
    assert_eq!((found.elements.len(), found.bad_lines), (2, MAX_BAD_LINES));
    assert_eq!(found.mistakes.len(), MAX_FILE_MISTAKES);
    let found = parse_set_file(SetKind::Ports, &text(MAX_BAD_LINES * 9), 9);
    assert_eq!((found.elements.len(), found.bad_lines), (0, MAX_BAD_LINES + 1));
}

#[test]
fn elements_that_leave_a_set_and_do_not_come_back_are_warned_of() {
    let warned = |set: &str| {
        let told = told(&format!(r#"(sets: {{"s": ({set})}}, input: (rules: [(source: ["@s"], then: Drop)]))"#));
        told.into_iter()
            .filter(|told| told.2.contains("gone after 10m"))
            .map(|told| (told.0, told.1))
            .collect::<Vec<_>>()
    };
    let once = [(Severity::Warning, "\"10m\"".to_owned())];
    assert_eq!(warned(r#"elements: ["192.0.2.1"], timeout: "10m""#), once);
    assert_eq!(warned(r#"file: "bad.txt", dynamic: true, timeout: "10m""#), once);
    assert_eq!(warned(r#"elements: ["192.0.2.1"], file: "bad.txt", timeout: "10m""#), []);
    assert_eq!(warned(r#"elements: ["192.0.2.1"], dynamic: true, timeout: "10m""#), []);
    assert_eq!(warned(r#"elements: ["192.0.2.1"]"#), []);
}

proptest! {
    #[test]
    fn no_text_panics(at in 0..EXAMPLE.len(), length in 0..40usize, text in "[\\[\\](){}\"a-zA-Z0-9:,_./@!* -]{0,12}") {
        let (before, behind) = (EXAMPLE.get(..at).unwrap_or(""), EXAMPLE.get((at + length).min(EXAMPLE.len())..).unwrap_or(""));
        let _ = Config::parse(&format!("{before}{text}{behind}"));
        let _ = Config::parse(&text);
        let _ = parse_set_file(SetKind::Addresses, &text, 10);
    }
}

#[test]
fn interfaces_of_packets_that_have_none_and_bursts_of_nothing_are_mistakes() {
    let message = |rule: &str| {
        let told = told(&format!("({ZONES}rules: [({rule}, then: Accept)])"));
        told.into_iter().filter(|told| told.0 == Severity::Error).map(|told| (told.1, told.2)).collect::<Vec<_>>()
    };
    let said = |at: &str, what: &str| vec![(at.to_owned(), what.to_owned())];
    assert_eq!(
        message(r#"to: ["router"], outgoing: ["!wan0"]"#),
        said(r#"["!wan0"]"#, "packets for this machine do not leave it")
    );
    assert_eq!(
        message(r#"from: ["router"], incoming: ["!wan0"]"#),
        said(r#"["!wan0"]"#, "packets of this machine do not come in")
    );
    assert_eq!(message(r#"to: ["wan"], outgoing: ["!wan0"]"#), []);
    assert_eq!(message(r#"limit: (rate: "1/second", burst: 0)"#).len(), 1);
}
