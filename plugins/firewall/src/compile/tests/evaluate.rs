//! Folded or not, a section does the same to every packet. A small evaluator of rulesets, with limits that always hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::arbitrary;
use crate::compile::{Options, compile};
use crate::ruleset::{ChainId, ChainKind, Elements, Ruleset, Selector, Statement, Test, Verdict};

/// Values that a packet has.
pub type Packet = BTreeMap<u8, (Selector, Vec<u8>)>;

/// What became of it, and what was done on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Accept,
    Drop,
    Rejected(String),
    Translated(String),
}

fn value(packet: &Packet, selector: Selector) -> Option<&[u8]> {
    packet.values().find(|(of, _)| *of == selector).map(|(_, value)| value.as_slice())
}

fn holds(test: &Test, value: &[u8]) -> bool {
    let masked = |mask: &[u8]| value.iter().zip(mask).map(|(a, b)| a & b).collect::<Vec<u8>>();
    match test {
        Test::Equal(other) => value == other,
        Test::NotEqual(other) => value != other,
        Test::Prefix(start) => value.starts_with(start),
        Test::NotPrefix(start) => !value.starts_with(start),
        Test::Range(first, last) => value >= first.as_slice() && value <= last.as_slice(),
        Test::NotRange(first, last) => value < first.as_slice() || value > last.as_slice(),
        Test::Masked { mask, value: bits, invert } => (masked(mask) == *bits) != *invert,
        Test::Any(mask) => masked(mask).iter().any(|byte| *byte != 0),
        Test::None(mask) => masked(mask).iter().all(|byte| *byte == 0),
        Test::Below(other) => value < other.as_slice(),
        Test::Above(other) => value > other.as_slice(),
    }
}

fn key(packet: &Packet, selectors: &[Selector]) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    for selector in selectors {
        key.extend_from_slice(value(packet, *selector)?);
        if selectors.len() > 1 {
            key.resize(key.len().next_multiple_of(4), 0);
        }
    }
    Some(key)
}

fn contains(elements: &Elements, key: &[u8]) -> bool {
    match elements {
        Elements::Points(bytes) => bytes.chunks(key.len()).any(|point| point == key),
        Elements::Ranges(bytes) => {
            bytes.chunks(2 * key.len()).any(|range| range[..key.len()] <= *key && *key <= range[key.len()..])
        }
        Elements::Verdicts(_) => false,
    }
}

fn look_up(elements: &Elements, key: &[u8]) -> Option<Verdict> {
    let Elements::Verdicts(entries) = elements else { return None };
    entries
        .iter()
        .find(|entry| match &entry.last {
            None => entry.key == key,
            Some(last) => entry.key.as_slice() <= key && key <= last.as_slice(),
        })
        .map(|entry| entry.verdict)
}

/// What a chain does; none if it comes to its end. `effects` are what is counted, marked and so on.
pub fn run(ruleset: &Ruleset, chain: ChainId, packet: &Packet, effects: &mut Vec<String>) -> Option<Fate> {
    run_with(ruleset, chain, packet, effects, false)
}

/// The same; if the dynamic sets are `full`, what would add to them ends its rule (nft_dynset_eval).
pub fn run_with(
    ruleset: &Ruleset,
    chain: ChainId,
    packet: &Packet,
    effects: &mut Vec<String>,
    full: bool,
) -> Option<Fate> {
    'rules: for rule in &ruleset.chains[chain].rules {
        for statement in &rule.statements {
            let verdict = match statement {
                Statement::AddTo { .. } | Statement::LimitEach { .. } | Statement::ConnectionsEach { .. } if full => {
                    continue 'rules;
                }
                Statement::Match(selector, test) => match value(packet, *selector) {
                    Some(value) if holds(test, value) => continue,
                    _ => continue 'rules,
                },
                Statement::Lookup { key: selectors, set, invert } => match key(packet, selectors) {
                    Some(key) if contains(&ruleset.sets[*set].elements, &key) != *invert => continue,
                    _ => continue 'rules,
                },
                Statement::VerdictMap { key: selectors, map } => {
                    match key(packet, selectors).and_then(|key| look_up(&ruleset.sets[*map].elements, &key)) {
                        Some(verdict) => verdict,
                        None => continue,
                    }
                }
                Statement::Limit(rate) | Statement::LimitEach { rate, .. } if rate.over => continue 'rules,
                Statement::Connections { above: true, .. } | Statement::ConnectionsEach { above: true, .. } => {
                    continue 'rules;
                }
                Statement::Limit(_)
                | Statement::LimitEach { .. }
                | Statement::Connections { .. }
                | Statement::ConnectionsEach { .. } => continue,
                Statement::Reject(with) => return Some(Fate::Rejected(format!("{with:?}"))),
                Statement::Nat(to) => return Some(Fate::Translated(format!("{to:?}"))),
                Statement::Verdict(verdict) => *verdict,
                Statement::Count(counter) => {
                    effects.push(ruleset.counters[*counter].clone());
                    continue;
                }
                Statement::AddTo { set, .. } => {
                    effects.push(ruleset.sets[*set].name.clone());
                    continue;
                }
                other => {
                    effects.push(format!("{other:?}"));
                    continue;
                }
            };
            match verdict {
                Verdict::Accept => return Some(Fate::Accept),
                Verdict::Drop => return Some(Fate::Drop),
                Verdict::Return => return None,
                Verdict::Goto(next) => return run_with(ruleset, next, packet, effects, full),
                Verdict::Jump(next) => {
                    if let Some(fate) = run_with(ruleset, next, packet, effects, full) {
                        return Some(fate);
                    }
                    continue 'rules;
                }
            }
        }
    }
    None
}

fn named(text: &str) -> Vec<u8> {
    super::common::name(text)
}

/// Packets of values that the sections of [`arbitrary`] ask for.
pub fn packet() -> impl Strategy<Value = Packet> {
    let interface =
        || prop_oneof!["e", "eth", "eth0", "eth1", "eth10", "wan0", "ppp0", "x"].prop_map(|text| named(&text));
    let ports = || (20_u16..34).prop_map(|port| port.to_be_bytes().to_vec());
    let protocol = prop_oneof![4 => Just(6_u8), 2 => Just(17_u8), 2 => Just(1), 1 => Just(132)];
    let state = prop_oneof![Just(1_u32), Just(2), Just(8), Just(64)];
    let address = || prop_oneof![3 => 0_u8..10, 1 => 0_u8..70];
    let rest = (0_u8..5, 0_u8..3, any::<bool>(), any::<bool>());
    (any::<bool>(), interface(), interface(), (address(), address()), protocol, (ports(), ports()), state, rest)
        .prop_map(
            |(
                v6,
                incoming,
                outgoing,
                (source, destination),
                protocol,
                (sport, dport),
                state,
                (kind, code, local, syn),
            )| {
                let icmp = protocol == 1;
                let protocol = if v6 && icmp { 58 } else { protocol };
                let mut all = vec![
                    (Selector::InputInterface, incoming),
                    (Selector::OutputInterface, outgoing),
                    (Selector::Family, vec![if v6 { 10 } else { 2 }]),
                    (Selector::Protocol, vec![protocol]),
                    (Selector::CtState, state.to_be_bytes().to_vec()),
                    (Selector::CtStatus, vec![0, 0, 0, if local { 32 } else { 0 }]),
                    (Selector::Mark, vec![0, 0, 0, code]),
                    (Selector::DestinationType, vec![0, 0, 0, if local { 2 } else { 1 }]),
                    (Selector::SourceType, vec![0, 0, 0, if syn { 2 } else { 1 }]),
                    (Selector::SourceMac, vec![2, 0, 0, 0, 0, code]),
                ];
                let address = |last: u8| {
                    let mut bytes = vec![0_u8; 16];
                    bytes[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
                    bytes[15] = last;
                    bytes
                };
                if v6 {
                    all.push((Selector::Source6, address(source)));
                    all.push((Selector::Destination6, address(destination)));
                    all.push((Selector::Source6Network, address(source)[..8].to_vec()));
                    all.push((Selector::HopLimit, vec![if local { 255 } else { 64 }]));
                } else {
                    all.push((Selector::Source4, vec![192, 0, 2, source]));
                    all.push((Selector::Destination4, vec![192, 0, 2, destination]));
                    all.push((Selector::TimeToLive, vec![if local { 255 } else { 64 }]));
                    all.push((Selector::FragmentOffset, vec![0x40, 0]));
                }
                if icmp {
                    all.push((Selector::IcmpType, vec![kind]));
                    all.push((Selector::IcmpCode, vec![code]));
                } else {
                    all.push((Selector::SourcePort, sport));
                    all.push((Selector::DestinationPort, dport));
                }
                if protocol == 6 {
                    all.push((Selector::TcpFlags, vec![if syn { 2 } else { 0x10 }]));
                }
                (0..).zip(all).collect()
            },
        )
}

/// Rejections are the same whether a rule says them or a chain.
fn fates(ruleset: &Ruleset, packet: &Packet) -> Vec<(String, Option<Fate>, Vec<String>)> {
    let bases = ruleset.chains.iter().enumerate().filter(|(_, chain)| {
        chain.base.is_some_and(|base| base.kind == ChainKind::Filter || base.kind == ChainKind::Nat)
    });
    bases
        .map(|(id, chain)| {
            let mut effects = Vec::new();
            let fate = run(ruleset, id, packet, &mut effects);
            (chain.name.clone(), fate, effects)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_changes_nothing_for_any_packet(config in arbitrary::config(), packets in prop::collection::vec(packet(), 24)) {
        let files = arbitrary::files(&config);
        let devices = ["eth0".to_owned()];
        let folded = compile(&config, &files, &devices, Options::default());
        let plain = compile(&config, &files, &devices, Options { fold: false, ..Options::default() });
        prop_assert_eq!(folded.is_ok(), plain.is_ok());
        if let (Ok((folded, _)), Ok((plain, _))) = (folded, plain) {
            for packet in &packets {
                prop_assert_eq!(fates(&folded, packet), fates(&plain, packet), "{:?}", packet);
            }
        }
    }

    // Rules in a row of few values: much folds, keys meet.
    #[test]
    fn runs_of_like_rules_do_the_same_folded(
        rules in prop::collection::vec((arbitrary::range(), arbitrary::range(), 20_u16..23, any::<bool>(), 0..6_u8, 0..4_u8), 1..40),
        packets in prop::collection::vec(packet(), 24),
    ) {
        use crate::config::{Action, Address, Port, Reject};
        let mut config = super::common::bare();
        config.chains = vec![crate::config::NamedChain {
            name: "c".to_owned(),
            rules: vec![super::common::rule(super::common::tcp(21), Action::Drop)],
            span: portreeve_config::Span::default(),
        }];
        config.forward.rules = rules.into_iter().map(|(source, other, port, two, action, asks)| {
            let mut matches = super::common::tcp(port);
            if asks < 3 {
                matches.source = super::common::list([Address::Range(source)]);
            }
            if asks == 0 {
                matches.source.items.push(Address::Range(other));
            }
            if asks == 2 {
                matches.protocol = super::common::list([]);
                matches.destination_port = super::common::list([]);
            }
            if two && asks != 2 {
                matches.destination_port.items.push(Port::Range(23, 23));
            }
            super::common::rule(matches, match action {
                0 | 1 => Action::Accept,
                2 => Action::Drop,
                3 => Action::Reject(Reject::PortUnreachable),
                4 => Action::Jump(0),
                _ => Action::Return,
            })
        }).collect();
        let (folded, plain) = (super::common::ruleset(&config), super::common::linear(&config));
        prop_assert_eq!(super::wellformed::flaw(&folded), None);
        for packet in &packets {
            prop_assert_eq!(fates(&folded, packet), fates(&plain, packet), "{:?}", packet);
        }
    }
}
