//! What all rulesets are like, whatever the section.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::arbitrary;
use crate::compile::{Options, compile};
use crate::config::Family;
use crate::ruleset::{Elements, NatTo, RejectWith, Ruleset, Selector, Statement, Test, Verdict};

/// Says what is wrong with it.
pub fn flaw(ruleset: &Ruleset) -> Option<String> {
    let mut names = BTreeSet::new();
    let mut based = true;
    for chain in &ruleset.chains {
        if !names.insert(&chain.name) || chain.name.is_empty() || chain.name.len() > 255 {
            return Some(format!("name of chain {:?}", chain.name));
        }
        if chain.base.is_some() && !based {
            return Some("a base chain behind others".to_owned());
        }
        based = chain.base.is_some();
        for rule in &chain.rules {
            if let Some(flaw) = rule_flaw(ruleset, &rule.statements) {
                return Some(format!("{flaw} in {}: {:?}", chain.name, rule.statements));
            }
        }
    }
    let mut names = BTreeSet::new();
    for set in &ruleset.sets {
        if !names.insert(&set.name) || set.name.is_empty() || set.name.len() > 255 {
            return Some(format!("name of set {:?}", set.name));
        }
        if let Some(flaw) = set_flaw(ruleset, set) {
            return Some(format!("{flaw} in {set:?}"));
        }
    }
    let counters: BTreeSet<&String> = ruleset.counters.iter().collect();
    (counters.len() != ruleset.counters.len()).then(|| "counters of the same name".to_owned())
}

fn set_flaw(ruleset: &Ruleset, set: &crate::ruleset::Set) -> Option<&'static str> {
    let width = match set.key.as_slice() {
        [one] => one.width(),
        several => several.iter().map(|key| key.width().next_multiple_of(4)).sum(),
    };
    if width == 0 || width > 64 {
        return Some("width of the key");
    }
    if set.interval && set.key.len() != 1 {
        return Some("ranges of several selectors");
    }
    match &set.elements {
        Elements::Points(bytes) => {
            let keys: BTreeSet<&[u8]> = bytes.chunks(width).collect();
            if set.map || set.interval || bytes.len() % width != 0 || keys.len() != bytes.len() / width {
                return Some("points");
            }
        }
        Elements::Ranges(bytes) => {
            let keys: Vec<&[u8]> = bytes.chunks(width).collect();
            let ordered = keys.chunks(2).all(|range| range.len() == 2 && range[0] <= range[1])
                && keys.windows(2).skip(1).step_by(2).all(|pair| pair[0] < pair[1]);
            if set.map || !set.interval || bytes.len() % width != 0 || !ordered {
                return Some("ranges");
            }
        }
        Elements::Verdicts(entries) => {
            let keys: BTreeSet<&[u8]> = entries.iter().map(|entry| entry.key.as_slice()).collect();
            let widths = entries
                .iter()
                .all(|entry| entry.key.len() == width && entry.last.as_ref().is_none_or(|last| last.len() == width));
            let ranges = entries.iter().all(|entry| {
                entry.last.is_some() == set.interval && entry.last.as_ref().is_none_or(|last| *last >= entry.key)
            });
            let disjoint = !set.interval
                || entries.windows(2).all(|pair| pair[0].last.as_ref().is_some_and(|last| *last < pair[1].key));
            let targets = entries.iter().all(|entry| target_is_there(ruleset, entry.verdict));
            if !set.map
                || entries.is_empty()
                || keys.len() != entries.len()
                || !widths
                || !ranges
                || !disjoint
                || !targets
            {
                return Some("verdicts");
            }
        }
    }
    None
}

fn target_is_there(ruleset: &Ruleset, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => {
            ruleset.chains.get(chain).is_some_and(|chain| chain.base.is_none())
        }
        _ => true,
    }
}

fn width(selector: Selector) -> usize {
    use Selector as S;
    match selector {
        S::Family | S::TcpFlags | S::TimeToLive | S::HopLimit | S::SourceRoutesBack | S::SourceHasRoute => 1,
        S::FragmentOffset => 2,
        S::CtStatus | S::DestinationType | S::DestinationTypeHere | S::SourceType => 4,
        other => other.key_type(None).map_or(0, crate::ruleset::KeyType::width),
    }
}

fn rule_flaw(ruleset: &Ruleset, statements: &[Statement]) -> Option<&'static str> {
    let mut family = None;
    let mut ended = false;
    for (index, statement) in statements.iter().enumerate() {
        if matches!(statement, Statement::AddTo { .. }) && index + 1 != statements.len() {
            return Some("a full set would keep back what stands behind it");
        }
        if ended {
            return Some("something behind the end");
        }
        let keys = match statement {
            Statement::Match(Selector::Family, Test::Equal(value)) => {
                family = Some(if value == &[10] { Family::V6 } else { Family::V4 });
                continue;
            }
            Statement::Match(selector, test) => {
                let width = width(*selector);
                let right = match test {
                    Test::Prefix(value) | Test::NotPrefix(value) => value.len() < 16 && !value.is_empty(),
                    Test::Equal(value)
                    | Test::NotEqual(value)
                    | Test::Any(value)
                    | Test::None(value)
                    | Test::Below(value)
                    | Test::Above(value) => value.len() == width,
                    Test::Range(first, last) | Test::NotRange(first, last) => {
                        first.len() == width && last.len() == width && first < last
                    }
                    Test::Masked { mask, value, .. } => {
                        mask.len() == width
                            && value.len() == width
                            && mask.iter().zip(value).all(|(mask, value)| value & !mask == 0)
                    }
                };
                if !right {
                    return Some("width of a test");
                }
                continue;
            }
            Statement::Lookup { key, set, .. } => (key, *set, false),
            Statement::VerdictMap { key, map } => (key, *map, true),
            Statement::LimitEach { key, set, .. } | Statement::ConnectionsEach { key, set, .. } => {
                if !ruleset.sets.get(*set).is_some_and(|set| set.dynamic && set.stateful && set.size > 0) {
                    return Some("a set that cannot hold limits");
                }
                (key, *set, false)
            }
            Statement::AddTo { key, set } => {
                if !ruleset.sets.get(*set).is_some_and(|set| set.dynamic && !set.stateful && set.size > 0) {
                    return Some("a set that nothing can be added to");
                }
                (key, *set, false)
            }
            Statement::Count(counter) if ruleset.counters.get(*counter).is_none() => return Some("a counter"),
            Statement::Nat(to) => {
                ended = true;
                let of = match to {
                    NatTo::Source { addresses, .. } | NatTo::Destination { addresses, .. } => {
                        Some(addresses.0.is_ipv6())
                    }
                    NatTo::SourcePrefix { .. } | NatTo::DestinationPrefix { .. } => Some(true),
                    _ => None,
                };
                if of.is_some_and(|v6| family != Some(if v6 { Family::V6 } else { Family::V4 })) {
                    return Some("an address without its family");
                }
                continue;
            }
            Statement::Reject(RejectWith::TcpReset) => {
                ended = true;
                if !statements.contains(&Statement::Match(Selector::Protocol, Test::Equal(vec![6]))) {
                    return Some("a reset of what need not be TCP");
                }
                continue;
            }
            Statement::Reject(_) => {
                ended = true;
                continue;
            }
            Statement::Verdict(verdict) => {
                ended = true;
                if !target_is_there(ruleset, *verdict) {
                    return Some("a jump into nothing");
                }
                continue;
            }
            _ => continue,
        };
        let (key, set, map) = keys;
        let Some(set) = ruleset.sets.get(set) else { return Some("no such set") };
        let types: Vec<_> = key.iter().filter_map(|selector| selector.key_type(set_family(&set.key, family))).collect();
        if set.map != map || types != set.key || types.len() != key.len() {
            return Some("a key of another type than the set's");
        }
    }
    None
}

/// Chains that see ICMPv6 only do not ask for the family again.
fn set_family(key: &[crate::ruleset::KeyType], family: Option<Family>) -> Option<Family> {
    if key.contains(&crate::ruleset::KeyType::Icmpv6Type) { Some(Family::V6) } else { family }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_ruleset_is_well_formed(config in arbitrary::config(), fold in any::<bool>()) {
        let files = arbitrary::files(&config);
        let devices = ["eth0".to_owned(), "wan0".to_owned(), "other".to_owned()];
        match compile(&config, &files, &devices, Options { fold, ..Options::default() }) {
            Ok((ruleset, _)) => {
                prop_assert_eq!(flaw(&ruleset), None);
                let again = compile(&config, &files, &devices, Options { fold, ..Options::default() }).map(|(ruleset, _)| ruleset);
                prop_assert_eq!(again.ok(), Some(ruleset));
            }
            Err(diagnostics) => prop_assert!(!diagnostics.is_empty()),
        }
    }
}
