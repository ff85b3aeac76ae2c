//! Sets: the operator's, those of lists in rules, and those that hold limits; and names that are the same each time.
//!
//! Sets of lists are called after their content and shared by all rules with the same list. Sets with state are called
//! after their rule, not its place, so a reload keeps what they know of a rule that did not change.

use core::hash::{Hash as _, Hasher as _};
use core::time::Duration;
use std::collections::BTreeMap;

use super::Compiler;
use super::value::{self, Span, Stable, Value};
use crate::config::{Address, Family, IpRange, List, Matches, NamedSet, Port, Rule, SetElement, SetKind};
use crate::ruleset::{Elements, KeyType, Selector, Set, SetId};

/// Addresses of which a limit or a number of connections is kept at a time, of each rule and family.
pub const LIMIT_ELEMENTS: u32 = 65_536;
/// What a limit knows of an address is gone after so long without a packet, at least.
pub const LIMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// And at most: a year.
pub const LIMIT_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Sets of one entry of `sets`; those of families that it has no element of are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named {
    /// Of IPv4.
    pub v4: Option<SetId>,
    /// Of IPv6.
    pub v6: Option<SetId>,
    /// Of ports.
    pub port: Option<SetId>,
}

impl Compiler<'_> {
    /// Makes the operator's sets.
    pub(super) fn named_sets(&mut self, files: &BTreeMap<String, Vec<SetElement>>) {
        let config = self.config;
        for set in &config.sets {
            let from_file: &[SetElement] = match &set.file {
                None => &[],
                Some(path) => match files.get(path) {
                    Some(elements) => elements,
                    None => {
                        self.diagnostics
                            .error(set.span, format!("the file `{path}` of set `{}` was not read", set.name));
                        &[]
                    }
                },
            };
            let mut ranges: [Vec<Span>; 3] = Default::default();
            let [v4, v6, port] = &mut ranges;
            let count = set.elements.len() + from_file.len();
            for element in set.elements.iter().chain(from_file) {
                match (element, set.kind) {
                    (SetElement::Address(range @ IpRange::V4(..)), SetKind::Addresses) => {
                        v4.push(value::addresses(range))
                    }
                    (SetElement::Address(range @ IpRange::V6(..)), SetKind::Addresses) => {
                        if v6.is_empty() {
                            v6.reserve(count.saturating_sub(v4.len()));
                        }
                        v6.push(value::addresses(range));
                    }
                    (SetElement::Port(first, last), SetKind::Ports) => {
                        port.push((Value::port(*first), Value::port(*last)))
                    }
                    _ => {}
                }
            }
            let [v4, v6, port] = ranges;
            let mut named = Named::default();
            match set.kind {
                SetKind::Addresses => {
                    named.v4 = self.named_set(set, "4", KeyType::Ipv4, v4);
                    named.v6 = self.named_set(set, "6", KeyType::Ipv6, v6);
                }
                SetKind::Ports => named.port = self.named_set(set, "port", KeyType::Port, port),
            }
            self.named.push(named);
        }
    }

    fn named_set(&mut self, set: &NamedSet, suffix: &str, key: KeyType, ranges: Vec<Span>) -> Option<SetId> {
        if ranges.is_empty() && !set.dynamic {
            return None;
        }
        let interval = !value::are_points(&ranges);
        if interval && set.dynamic {
            self.diagnostics.error_with_hint(
                set.span,
                format!("set `{}` is dynamic and has ranges", set.name),
                "packets add single addresses: put networks into a set of their own",
            );
            return None;
        }
        let ranges = if interval { value::merge(ranges) } else { value::points(ranges) };
        if ranges.is_empty() && !set.dynamic {
            return None;
        }
        if set.size != 0 && ranges.len() > usize::try_from(set.size).unwrap_or(usize::MAX) {
            let message = format!("set `{}` has {} elements and a size of {}", set.name, ranges.len(), set.size);
            self.diagnostics.error(set.span, message);
        }
        let name = self.unique(format!("{}-{suffix}", set.name));
        Some(self.push_set(Set {
            name,
            key: vec![key],
            map: false,
            interval,
            dynamic: set.dynamic,
            stateful: false,
            timeout: set.timeout,
            filled_at: 0,
            // The kernel makes a table as large as it is told; what does not grow needs no word.
            size: if set.dynamic { set.size } else { 0 },
            elements: elements(&ranges, interval),
            named: Some(set.name.clone()),
            span: set.span,
        }))
    }

    /// The set of these values of one selector.
    pub(super) fn ranges_set(&mut self, selector: Selector, family: Option<Family>, ranges: &[Span]) -> Option<SetId> {
        let key = selector.key_type(family)?;
        let interval = !value::are_points(ranges);
        Some(self.anonymous(vec![key], interval, elements(ranges, interval)))
    }

    /// The set of these values of several selectors, all of which can be keys.
    pub(super) fn concatenated(
        &mut self,
        key: &[Selector],
        family: Option<Family>,
        mut keys: Vec<Vec<Value>>,
    ) -> SetId {
        keys.sort_unstable();
        keys.dedup();
        let mut bytes = Vec::new();
        for values in &keys {
            for value in values {
                value::pad(&mut bytes, value.bytes(), key.len() > 1);
            }
        }
        let types = key.iter().filter_map(|selector| selector.key_type(family)).collect();
        self.anonymous(types, false, Elements::Points(bytes))
    }

    fn anonymous(&mut self, key: Vec<KeyType>, interval: bool, elements: Elements) -> SetId {
        let mut hash = Stable::default();
        key.hash(&mut hash);
        match &elements {
            Elements::Points(bytes) => (0_u8, bytes).hash(&mut hash),
            Elements::Ranges(bytes) => (1_u8, bytes).hash(&mut hash),
            Elements::Verdicts(_) => {}
        }
        let hash = hash.finish();
        let same = self.anonymous.get(&hash).into_iter().flatten().copied().find(|id| {
            self.sets.get(*id).is_some_and(|set| set.key == key && set.interval == interval && set.elements == elements)
        });
        if let Some(id) = same {
            return id;
        }
        let name = self.unique(format!("set-{hash:016x}"));
        let id = self.push_set(Set {
            name,
            key,
            map: false,
            interval,
            dynamic: false,
            stateful: false,
            timeout: None,
            filled_at: 0,
            size: 0,
            elements,
            named: None,
            span: portreeve_config::Span::default(),
        });
        self.anonymous.entry(hash).or_default().push(id);
        id
    }

    /// A set whose elements hold a limit or a number of connections: `kind` is the beginning of its name.
    pub(super) fn stateful_set(
        &mut self,
        kind: &str,
        identity: &str,
        selector: Selector,
        timeout: Option<Duration>,
    ) -> SetId {
        let family = super::rules::selector_family(selector);
        let suffix = if family == Family::V4 { "4" } else { "6" };
        let name = self.unique(format!("{kind}-{identity}-{suffix}"));
        let key = selector.key_type(Some(family)).into_iter().collect();
        self.push_set(Set {
            name,
            key,
            map: false,
            interval: false,
            dynamic: true,
            stateful: true,
            timeout,
            filled_at: 0,
            size: LIMIT_ELEMENTS,
            elements: Elements::Points(Vec::new()),
            named: None,
            span: portreeve_config::Span::default(),
        })
    }

    /// What a rule is called in names of what belongs to it: its name, or a hash of what it is about. Rates are part of it,
    /// since elements of a set keep the rate that they were made with.
    pub(super) fn identity(&self, rule: &Rule) -> String {
        let mut hash = Stable::default();
        let matches = &rule.matches;
        hash_debug(&mut hash, &(matches.limit, matches.connections));
        if let Some(name) = &rule.name {
            return format!("{name}-{:08x}", hash.finish() & 0xffff_ffff);
        }
        let end = |hash: &mut Stable, end: &crate::config::End| match end {
            crate::config::End::Any => hash.write(b"any"),
            crate::config::End::Zones { zones, router } => {
                for zone in zones.iter().filter_map(|zone| self.config.zones.get(*zone)) {
                    zone.name.hash(hash);
                }
                router.hash(hash);
            }
        };
        end(&mut hash, &rule.from);
        end(&mut hash, &rule.to);
        self.hash_matches(&mut hash, matches);
        hash_debug(&mut hash, &rule.action);
        format!("{:016x}", hash.finish())
    }

    fn hash_matches(&self, hash: &mut Stable, matches: &Matches) {
        let set = |hash: &mut Stable, index: usize| {
            if let Some(set) = self.config.sets.get(index) {
                set.name.hash(hash);
            }
        };
        for list in [&matches.source, &matches.destination] {
            hash_debug(hash, &list.negated);
            for item in &list.items {
                match item {
                    Address::Set(index) => set(hash, *index),
                    other => hash_debug(hash, other),
                }
            }
        }
        for list in [&matches.source_port, &matches.destination_port] {
            hash_debug(hash, &list.negated);
            for item in &list.items {
                match item {
                    Port::Set(index) => set(hash, *index),
                    Port::Range(..) => hash_debug(hash, item),
                }
            }
        }
        hash_list(hash, &matches.incoming);
        hash_list(hash, &matches.outgoing);
        hash_list(hash, &matches.protocol);
        hash_list(hash, &matches.icmp);
        hash_list(hash, &matches.source_mac);
        hash_debug(hash, &(matches.family, &matches.states, matches.states_negated, matches.tcp_flags, matches.mark));
        hash_debug(hash, &(matches.hop_limit, matches.later_fragments, matches.translated));
    }

    pub(super) fn push_set(&mut self, set: Set) -> SetId {
        self.sets.push(set);
        self.sets.len() - 1
    }

    /// The name, or the name with a number if it is taken.
    pub(super) fn unique(&mut self, name: String) -> String {
        if self.names.insert(name.clone()) {
            return name;
        }
        // Names that are asked for again and again go on from the last number.
        let mut number = self.repeated.get(&name).copied().unwrap_or(2);
        loop {
            let next = format!("{name}.{number}");
            number += 1;
            if self.names.insert(next.clone()) {
                self.repeated.insert(name, number);
                return next;
            }
        }
    }
}

/// Contents of a set.
fn elements(ranges: &[Span], interval: bool) -> Elements {
    let width = ranges.first().map_or(0, |range| range.0.bytes().len());
    let mut bytes = Vec::with_capacity(ranges.len() * width * if interval { 2 } else { 1 });
    for (first, last) in ranges {
        bytes.extend_from_slice(first.bytes());
        if interval {
            bytes.extend_from_slice(last.bytes());
        }
    }
    if interval { Elements::Ranges(bytes) } else { Elements::Points(bytes) }
}

fn hash_list<T: core::fmt::Debug>(hash: &mut Stable, list: &List<T>) {
    hash_debug(hash, &(&list.items, list.negated));
}

fn hash_debug(hash: &mut Stable, value: &impl core::fmt::Debug) {
    hash.write(format!("{value:?}").as_bytes());
    hash.write_u8(0);
}
