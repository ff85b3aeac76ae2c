//! Tables of a small gateway.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use portreeve_config::Span;
use portreeve_nftables::conntrack::{Counter, Flow, Tuple};

use super::*;
use crate::compile::tests::common;
use crate::compile::{Options, compile};
use crate::config::{self, Action, Config, End, IpRange, NamedSet, NatAction, NatRule, SetElement, SetKind};
use crate::ruleset::{Label, Ruleset, Statement};

const SECTION: &str = "(nat: [(to: [\"wan\"], then: Masquerade)], rules: [(name: \"ssh\", then: Accept)])";

fn at(text: &str) -> Span {
    let start = SECTION.find(text).unwrap();
    Span::new(start, start + text.len())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn gateway() -> Config {
    let mut config = common::gateway();
    config.zones[1].interfaces.push(config::Interface { name: "ppp".to_owned(), prefix: true });
    config.sets = vec![NamedSet {
        name: "bad".to_owned(),
        kind: SetKind::Addresses,
        elements: ["192.0.2.1", "192.0.2.9", "2001:db8::1"]
            .map(|text| SetElement::Address(IpRange::host(text.parse().unwrap())))
            .to_vec(),
        file: None,
        timeout: Some(Duration::from_secs(60)),
        dynamic: false,
        size: 0,
        span: Span::default(),
    }];
    config.rules = vec![config::Rule {
        name: Some("ssh".to_owned()),
        from: End::Zones { zones: vec![1], router: false },
        to: End::Zones { zones: vec![0], router: false },
        matches: config::Matches {
            source: config::List { items: vec![config::Address::Set(0)], ..config::List::default() },
            ..config::Matches::default()
        },
        log: None,
        count: Some("ssh".to_owned()),
        set_mark: None,
        add_source_to: None,
        action: Action::Accept,
        span: at("(name: \"ssh\", then: Accept)"),
    }];
    config.nat = vec![NatRule {
        name: None,
        from: End::Any,
        to: End::Zones { zones: vec![1], router: false },
        matches: config::Matches::default(),
        action: NatAction::Masquerade { ports: Some((1024, 2048)), random: false },
        count: Some("out".to_owned()),
        span: at("(to: [\"wan\"], then: Masquerade)"),
    }];
    config
}

fn status() -> Status {
    let config = gateway();
    let (ruleset, _) = compile(&config, &BTreeMap::new(), &[], Options::default()).unwrap();
    let mut status = Status::of(&config, &ruleset, SECTION.into());
    status.counts.insert("ssh".to_owned(), Count { packets: 3, bytes: 180 });
    status.counts.insert("lan-wan".to_owned(), Count { packets: 7, bytes: 700 });
    status.load.took = Some(Duration::from_millis(12));
    status.load.generation = Some(41);
    status.load.guard = "off".to_owned();
    status
}

fn rows<'a>(report: &'a Report, title: &str) -> &'a [Vec<String>] {
    let table = report.tables.iter().find(|table| table.title == title).unwrap();
    assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{title}");
    &table.rows
}

#[test]
fn words_are_asked_for_by_name() {
    assert_eq!(Ask::parse(&[]), Ok(Ask::Overview));
    assert_eq!(Ask::parse(&words("counters")), Ok(Ask::Counters));
    assert_eq!(Ask::parse(&words("sets")), Ok(Ask::Sets(None)));
    assert_eq!(Ask::parse(&words("sets bad")), Ok(Ask::Sets(Some("bad".to_owned()))));
    assert_eq!(Ask::parse(&words("connections ::1")), Ok(Ask::Connections(Some("::1".parse().unwrap()))));
    assert_eq!(Ask::parse(&words("connections host")), Err("host is no address".to_owned()));
    assert_eq!(Ask::parse(&words("trace from=lan to=wan")), Ok(Ask::Trace(words("from=lan to=wan"))));
    let message = "no `set bad` here; there is: counters, sets [NAME], connections [ADDRESS], trace KEY=VALUE …";
    assert_eq!(Ask::parse(&words("set bad")), Err(message.to_owned()));
}

#[test]
fn the_overview_shows_what_the_section_comes_to() {
    let report = overview(&status());
    let value = |name: &str| report.values.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    assert_eq!((value("load_time"), value("generation")), (Some("0.012 s"), Some("41")));
    assert_eq!((value("restored"), value("guard"), value("reason")), (Some("0"), Some("off"), None));
    assert_eq!(rows(&report, "zones"), [["lan", "lan0", "off"], ["wan", "wan0 ppp*", "off"]]);
    let pairs = rows(&report, "pairs");
    assert_eq!(pairs.len(), 8);
    assert!(pairs.contains(&["lan", "wan", "accept", "policy", "7", "700"].map(String::from).to_vec()));
    assert!(pairs.contains(&["wan", "lan", "drop", "default", "", ""].map(String::from).to_vec()));
    assert!(pairs.contains(&["router", "wan", "accept", "default", "", ""].map(String::from).to_vec()));
    assert_eq!(rows(&report, "sets"), [["bad", "addresses", "3", "", "60"]]);
    assert_eq!(rows(&report, "nat"), [["", "1:8", "to wan", "masquerade, ports 1024-2048", "0", "0"]]);
    assert_eq!(rows(&report, "rules"), [["ssh", "rules", "1:50", "(name: \"ssh\", then: Accept)", "3", "180"]]);
    assert!(report.tables.iter().all(|table| table.title != "linear"));
}

#[test]
fn a_pair_shows_its_policys_counter_also_where_a_rule_has_taken_its_name() {
    let mut config = gateway();
    config.rules[0].count = Some("lan-wan".to_owned());
    let (ruleset, _) = compile(&config, &BTreeMap::new(), &[], Options::default()).unwrap();
    let status = Status::of(&config, &ruleset, SECTION.into());
    let pair = status.pairs.iter().find(|pair| pair.from == "lan" && pair.to == "wan").unwrap();
    assert_eq!(pair.counter.as_deref(), Some("lan-wan-policy"));
}

#[test]
fn pairs_whose_names_look_alike_do_not_show_each_others_counters() {
    let zone = |name: &str| {
        let mut zone = common::gateway().zones[0].clone();
        zone.name = name.to_owned();
        zone.interfaces = vec![config::Interface { name: format!("{name}0"), prefix: false }];
        zone
    };
    let policy = |from, to, at| config::Policy {
        from: End::Zones { zones: vec![from], router: false },
        to: End::Zones { zones: vec![to], router: false },
        action: config::PolicyAction::Accept,
        log: None,
        span: Span::new(at, at + 1),
    };
    let mut config = common::gateway();
    config.zones = ["a", "b-c", "a-b", "c"].map(zone).to_vec();
    config.rules = Vec::new();
    config.policies = vec![policy(0, 1, 1), policy(2, 3, 2)];
    let counters = |config: &Config| {
        let (ruleset, _) = compile(config, &BTreeMap::new(), &[], Options::default()).unwrap();
        let status = Status::of(config, &ruleset, SECTION.into());
        let of = |from: &str, to: &str| {
            status.pairs.iter().find(|pair| pair.from == from && pair.to == to).unwrap().counter.clone()
        };
        (of("a", "b-c"), of("a-b", "c"))
    };
    let (first, second) = counters(&config);
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
    // One policy of both: which is which is not known.
    config.policies[0].from = End::Zones { zones: vec![0, 2], router: false };
    config.policies[0].to = End::Zones { zones: vec![1, 3], router: false };
    assert_eq!(counters(&config), (None, None));
}

#[test]
fn long_runs_without_a_map_are_told() {
    let rule = |statements| crate::ruleset::Rule {
        statements,
        label: Label::Section,
        span: at("(name: \"ssh\", then: Accept)"),
    };
    let chain = |before: usize, after: usize| {
        let mut rules = vec![rule(Vec::new()); before];
        rules.push(rule(vec![Statement::VerdictMap { key: Vec::new(), map: 0 }]));
        rules.extend(vec![rule(Vec::new()); after]);
        crate::ruleset::Chain { name: "forward".to_owned(), base: None, rules, span: Span::default() }
    };
    let linear = |before, after| {
        let ruleset = Ruleset { chains: vec![chain(before, after)], ..Ruleset::default() };
        Status::of(&gateway(), &ruleset, SECTION.into()).linear
    };
    assert_eq!(linear(LINEAR_RUN, LINEAR_RUN), []);
    let run = Run {
        chain: "forward".to_owned(),
        rules: 33,
        at: "1:50".to_owned(),
        text: "(name: \"ssh\", then: Accept)".to_owned(),
    };
    assert_eq!(linear(1, LINEAR_RUN + 1), [run]);
}

#[test]
fn counters_are_shown_even_if_nothing_was_counted() {
    let report = counters(&status());
    let rows = rows(&report, "counters");
    assert!(rows.contains(&["ssh", "3", "180"].map(String::from).to_vec()));
    assert!(rows.contains(&["out", "0", "0"].map(String::from).to_vec()));
    assert_eq!(report.values, [("counters".to_owned(), rows.len().to_string())]);
}

#[test]
fn a_set_shows_its_elements_as_the_kernel_has_them() {
    let mut status = status();
    status.elements.insert("bad-4".to_owned(), 5);
    assert_eq!(rows(&sets(&status, None).unwrap(), "sets"), [["bad", "addresses", "6", "", "60"]]);
    let many: Vec<String> = (0..MAX_ROWS + 5).map(|number| number.to_string()).collect();
    let report = sets(&status, Some(("bad", &many))).unwrap();
    assert_eq!((rows(&report, "elements").len(), rows(&report, "elements")[MAX_ROWS][0].as_str()), (MAX_ROWS + 1, "…"));
    assert_eq!(report.values[2], ("elements".to_owned(), "1005".to_owned()));
    assert_eq!(sets(&status, Some(("good", &[]))), Err("no set `good`; there is: bad".to_owned()));
}

#[test]
fn connections_show_what_was_translated_and_can_be_of_one_address() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let tuple = |source, destination, ports| Tuple {
        source: address(source),
        destination: address(destination),
        ports: Some(ports),
        icmp: None,
    };
    let flow = |original: Tuple, reply: Tuple| Flow {
        family: 2,
        protocol: 6,
        original,
        reply,
        tcp_state: Some(3),
        timeout: Some(431_999),
        mark: 0x10,
        status: 0,
        zone: 0,
        id: 1,
        original_counter: Some(Counter { packets: 2, bytes: 100 }),
        reply_counter: Some(Counter { packets: 1, bytes: 60 }),
    };
    let plain =
        flow(tuple("192.168.0.2", "198.51.100.1", (5000, 443)), tuple("198.51.100.1", "192.168.0.2", (443, 5000)));
    let masked =
        flow(tuple("192.168.0.3", "198.51.100.1", (5000, 443)), tuple("198.51.100.1", "203.0.113.5", (443, 1024)));
    let led = Flow {
        original_counter: None,
        reply_counter: None,
        mark: 0,
        ..flow(tuple("198.51.100.9", "203.0.113.5", (6000, 80)), tuple("192.168.0.2", "198.51.100.9", (8080, 6000)))
    };
    let flows = [plain, masked, led];
    let report = connections(&flows, None);
    assert_eq!(
        rows(&report, "connections"),
        [
            ["tcp", "established", "192.168.0.2:5000", "198.51.100.1:443", "", "0x10", "3", "160", "431999"],
            [
                "tcp",
                "established",
                "192.168.0.3:5000",
                "198.51.100.1:443",
                "source 203.0.113.5:1024",
                "0x10",
                "3",
                "160",
                "431999"
            ],
            [
                "tcp",
                "established",
                "198.51.100.9:6000",
                "203.0.113.5:80",
                "destination 192.168.0.2:8080",
                "",
                "",
                "",
                "431999"
            ],
        ]
    );
    assert_eq!(rows(&connections(&flows, Some(address("192.168.0.2"))), "connections").len(), 2);
    assert_eq!(rows(&connections(&flows, Some(address("203.0.113.5"))), "connections").len(), 2);
}

#[test]
fn a_trace_of_words_says_the_verdict_and_what_was_assumed() {
    let config = gateway();
    let (ruleset, _) = compile(&config, &BTreeMap::new(), &[], Options::default()).unwrap();
    let report = |text: &str| {
        let request = crate::trace::parse_request(&words(text), &config).unwrap();
        let traces: Vec<_> = request.packets.iter().map(|packet| crate::trace::trace(&ruleset, packet)).collect();
        traced(&request.packets, &traces, &request.assumed, SECTION.into())
    };
    let good = report(
        "from=lan to=wan source=192.0.2.7 destination=198.51.100.1 protocol=tcp port=22 source_port=9 state=new flags=syn interface=lan0 out=wan0",
    );
    assert_eq!(good.values, [("verdict".to_owned(), "accepted".to_owned())]);
    let bad = report("from=wan to=lan destination=192.0.2.7 source=192.0.2.9");
    assert_eq!(bad.values[0].1, "accepted");
    let last = rows(&bad, "steps").last().unwrap();
    assert_eq!(last[4], "accepted, by rule ssh");
    let other = report("from=wan to=lan destination=192.0.2.7 source=192.0.2.8");
    assert_eq!(other.values[0].1, "dropped");
    assert!(rows(&other, "passed_by").iter().any(|row| row[1] == "ssh"));
    assert_eq!(other.values[1].0, "assumed");
    // Nothing says the family: both are told.
    let both = report("from=wan to=lan protocol=tcp port=22");
    let names: Vec<&str> = both.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["verdict_ipv6", "verdict_ipv4", "assumed"]);
    assert_eq!((rows(&both, "steps_ipv4").is_empty(), rows(&both, "steps_ipv6").is_empty()), (false, false));
    // This is a message of ICMPv6 alone.
    assert_eq!(report("from=wan to=lan icmp=packet-too-big").values[0].0, "verdict");
}
