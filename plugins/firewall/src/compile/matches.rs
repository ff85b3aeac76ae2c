//! What packets a rule is about, as alternatives of conditions that all must hold.
//!
//! Most rules have one alternative. Addresses, limits by address, hop limits and kinds of ICMP of both families make one of
//! each; lists that mix literal addresses with sets or masked bits make one of each kind. A list that no packet can be in
//! makes none; a negated one of nothing holds always. Conditions are in the order in which they are cheap.

use super::value::{self, Span, Value};
use super::{Compiler, RTN_LOCAL};
use crate::config::{Address, Compare, ConnState, Family, IcmpKind, List, Masked, Matches, Port, TcpFlags};
use crate::ruleset::{Selector, SetId, Statement, Test, ct};

/// Alternatives of one rule.
pub const MAX_ALTERNATIVES: usize = 256;

/// ICMP's number (RFC 792).
pub const ICMP: u8 = 1;
/// TCP's.
pub const TCP: u8 = 6;
/// UDP's.
pub const UDP: u8 = 17;
/// ICMPv6's (RFC 4443).
pub const ICMPV6: u8 = 58;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cond {
    /// Exactly this.
    One(Selector, Value),
    /// In the ranges, or not; sorted, disjoint, not empty.
    In {
        /// Of what.
        selector: Selector,
        /// Which.
        ranges: Vec<Span>,
        /// In none of them.
        negated: bool,
    },
    /// In a set of the operator's.
    Set {
        /// Of what.
        selector: Selector,
        /// Which.
        set: SetId,
        /// Not in it.
        negated: bool,
    },
    /// What cannot be a key.
    Other(Statement),
}

/// An alternative.
#[derive(Clone, Debug, Default)]
pub struct Alternative {
    /// The one family it is about, which is then one of the conditions.
    pub family: Option<Family>,
    /// All must hold.
    pub conds: Vec<Cond>,
}

/// What [`Compiler::alternatives`] found.
#[derive(Debug, Default)]
pub struct Alternatives {
    /// In order.
    pub list: Vec<Alternative>,
    /// A packet may be of more than one.
    pub overlap: bool,
}

/// A list, for one family.
enum Choice {
    /// No packet.
    Never,
    /// Every packet.
    Always,
    /// This must hold.
    One(Cond),
    /// Any of these groups; an empty group always holds.
    Any(Vec<Vec<Cond>>),
}

impl Compiler<'_> {
    /// The alternatives of `matches`; of each family by itself if `split`.
    pub(super) fn alternatives(&mut self, matches: &Matches, split: bool) -> Alternatives {
        let mut found = Alternatives::default();
        let split = split || needs_family(matches);
        let families: &[Option<Family>] = match (matches.family, split) {
            (Some(Family::V4), _) => &[Some(Family::V4)],
            (Some(Family::V6), _) => &[Some(Family::V6)],
            (None, true) => &[Some(Family::V4), Some(Family::V6)],
            (None, false) => &[None],
        };
        for family in families {
            self.of_family(matches, *family, &mut found);
        }
        found
    }

    fn of_family(&mut self, matches: &Matches, family: Option<Family>, found: &mut Alternatives) {
        let v6 = family == Some(Family::V6);
        let mut before = Vec::with_capacity(6);
        for (list, selector) in
            [(&matches.incoming, Selector::InputInterface), (&matches.outgoing, Selector::OutputInterface)]
        {
            if !list.items.is_empty() {
                before.extend(ranged(selector, list.items.iter().map(value::names).collect(), list.negated));
            }
        }
        if let Some(family) = family {
            before.push(Cond::One(Selector::Family, family_value(family)));
        }
        let Some(protocol) = protocols(matches, family) else { return };
        before.extend(protocol);
        let (source, destination) =
            if v6 { (Selector::Source6, Selector::Destination6) } else { (Selector::Source4, Selector::Destination4) };
        let choices = [
            self.address_choice(&matches.source, family, source, Selector::SourceType),
            self.address_choice(&matches.destination, family, destination, Selector::DestinationType),
            self.port_choice(&matches.source_port, Selector::SourcePort),
            self.port_choice(&matches.destination_port, Selector::DestinationPort),
        ];
        let icmp = self.icmp_choice(&matches.icmp, family);
        let Some(after) = conditions_after(matches, family) else { return };

        let mut conds = vec![before];
        for choice in choices {
            if let Choice::Any(groups) = &choice {
                found.overlap |= groups.len() > 1;
            }
            if !self.multiply(&mut conds, choice, matches) {
                return;
            }
        }
        if !self.multiply(&mut conds, icmp, matches) {
            return;
        }
        found.list.extend(conds.into_iter().map(|mut conds| {
            conds.extend_from_slice(&after);
            Alternative { family, conds }
        }));
    }

    /// Each of `conds` with each of what `choice` has; false if there is none or these are too many.
    fn multiply(&mut self, conds: &mut Vec<Vec<Cond>>, choice: Choice, matches: &Matches) -> bool {
        let groups = match choice {
            Choice::Never => return false,
            Choice::Always => return true,
            Choice::One(cond) => {
                if let [conds] = conds.as_mut_slice() {
                    conds.push(cond);
                    return true;
                }
                vec![vec![cond]]
            }
            Choice::Any(groups) => groups,
        };
        if conds.len().saturating_mul(groups.len()) > MAX_ALTERNATIVES {
            let message = format!("more than {MAX_ALTERNATIVES} combinations of sets and masked addresses in one rule");
            self.diagnostics.error_with_hint(matches.source.span, message, "put what belongs together into one set");
            return false;
        }
        *conds = conds
            .iter()
            .flat_map(|conds| groups.iter().map(move |group| conds.iter().chain(group).cloned().collect()))
            .collect();
        true
    }

    fn address_choice(
        &self,
        list: &List<Address>,
        family: Option<Family>,
        selector: Selector,
        kind: Selector,
    ) -> Choice {
        match list.items.as_slice() {
            [] => return Choice::Always,
            [Address::Range(range)] if Some(range.family()) == family && !list.negated => {
                if let Some(address) = range.single() {
                    return Choice::One(Cond::One(selector, Value::address(address)));
                }
            }
            _ => {}
        }
        let mut ranges = Vec::new();
        let mut sets = Vec::new();
        let mut others = Vec::new();
        let mut local = false;
        for item in &list.items {
            match *item {
                Address::Range(range) if Some(range.family()) == family => ranges.push(value::addresses(&range)),
                Address::Set(set) => {
                    let ids = self.named.get(set).copied().unwrap_or_default();
                    sets.extend(if family == Some(Family::V6) { ids.v6 } else { ids.v4 });
                }
                Address::Masked { value, mask } if family == Some(Family::V6) => {
                    others.push(Cond::Other(Statement::Match(
                        selector,
                        Test::Masked {
                            mask: mask.octets().to_vec(),
                            value: value.octets().to_vec(),
                            invert: list.negated,
                        },
                    )))
                }
                Address::Local if !local => {
                    local = true;
                    let bytes = RTN_LOCAL.to_be_bytes().to_vec();
                    let test = if list.negated { Test::NotEqual(bytes) } else { Test::Equal(bytes) };
                    others.push(Cond::Other(Statement::Match(kind, test)));
                }
                Address::Range(_) | Address::Masked { .. } | Address::Local => {}
            }
        }
        choice(selector, ranges, sets, others, list.negated)
    }

    fn port_choice(&self, list: &List<Port>, selector: Selector) -> Choice {
        match list.items.as_slice() {
            [] => return Choice::Always,
            [Port::Range(first, last)] if first == last && !list.negated => {
                return Choice::One(Cond::One(selector, Value::port(*first)));
            }
            _ => {}
        }
        let mut ranges = Vec::new();
        let mut sets = Vec::new();
        for item in &list.items {
            match *item {
                Port::Range(first, last) => ranges.push((Value::port(first), Value::port(last))),
                Port::Set(set) => sets.extend(self.named.get(set).copied().unwrap_or_default().port),
            }
        }
        choice(selector, ranges, sets, Vec::new(), list.negated)
    }

    /// Kinds of one family.
    fn icmp_choice(&mut self, list: &List<IcmpKind>, family: Option<Family>) -> Choice {
        if list.items.is_empty() {
            return Choice::Always;
        }
        let of: Vec<&IcmpKind> = list.items.iter().filter(|kind| Some(kind.family) == family).collect();
        if of.is_empty() {
            return Choice::Never;
        }
        if of.iter().any(|kind| kind.kind.is_none()) {
            return if list.negated { Choice::Never } else { Choice::Always };
        }
        let whole: Vec<u8> = of.iter().filter(|kind| kind.code.is_none()).filter_map(|kind| kind.kind).collect();
        let mut coded: Vec<(u8, u8)> = of.iter().filter_map(|kind| kind.kind.zip(kind.code)).collect();
        coded.retain(|(kind, _)| !whole.contains(kind));
        coded.sort_unstable();
        coded.dedup();
        let bytes =
            |list: &mut dyn Iterator<Item = u8>| list.map(|byte| (Value::byte(byte), Value::byte(byte))).collect();
        let mut groups = Vec::new();
        if !whole.is_empty() {
            groups.push(
                ranged(Selector::IcmpType, bytes(&mut whole.iter().copied()), list.negated).into_iter().collect(),
            );
        }
        if !list.negated {
            for same in coded.chunk_by(|a, b| a.0 == b.0) {
                let Some((kind, _)) = same.first() else { continue };
                let mut group = vec![Cond::One(Selector::IcmpType, Value::byte(*kind))];
                group.extend(ranged(Selector::IcmpCode, bytes(&mut same.iter().map(|pair| pair.1)), false));
                groups.push(group);
            }
            return Choice::Any(groups);
        }
        let mut all: Vec<Cond> = groups.into_iter().flatten().collect();
        if !coded.is_empty() {
            let key = vec![Selector::IcmpType, Selector::IcmpCode];
            let keys = coded.iter().map(|(kind, code)| vec![Value::byte(*kind), Value::byte(*code)]).collect();
            let set = self.concatenated(&key, family, keys);
            all.push(Cond::Other(Statement::Lookup { key, set, invert: true }));
        }
        Choice::Any(vec![all])
    }
}

/// Something of it is of one family only, though `family` may not say which.
fn needs_family(matches: &Matches) -> bool {
    let of_family = |list: &List<Address>| list.items.iter().any(|item| !matches!(item, Address::Local));
    of_family(&matches.source)
        || of_family(&matches.destination)
        || !matches.icmp.items.is_empty()
        || matches.hop_limit.is_some()
        || matches.later_fragments
}

/// NFPROTO_IPV4 or NFPROTO_IPV6.
pub fn family_value(family: Family) -> Value {
    Value::byte(match family {
        Family::V4 => 2,
        Family::V6 => 10,
    })
}

/// One condition for all ranges; none if it always holds. The caller knows that there are some.
pub fn ranged(selector: Selector, ranges: Vec<Span>, negated: bool) -> Option<Cond> {
    let ranges = if value::are_points(&ranges) { value::points(ranges) } else { value::merge(ranges) };
    match ranges.as_slice() {
        [(first, last)] if first == last && !negated => Some(Cond::One(selector, *first)),
        [] => None,
        _ => Some(Cond::In { selector, ranges, negated }),
    }
}

fn choice(selector: Selector, ranges: Vec<Span>, sets: Vec<SetId>, others: Vec<Cond>, negated: bool) -> Choice {
    let some = !ranges.is_empty();
    let cond = ranged(selector, ranges, negated);
    let everything = matches!(&cond, Some(Cond::In { ranges, .. }) if is_everything(ranges));
    if everything {
        return if negated { Choice::Never } else { Choice::Always };
    }
    let cond = if some { cond } else { None };
    let all: Vec<Cond> = cond
        .into_iter()
        .chain(sets.into_iter().map(|set| Cond::Set { selector, set, negated }))
        .chain(others)
        .collect();
    match (negated, all.is_empty()) {
        (true, _) => Choice::Any(vec![all]),
        (false, true) => Choice::Never,
        (false, false) => Choice::Any(all.into_iter().map(|cond| vec![cond]).collect()),
    }
}

fn is_everything(ranges: &[Span]) -> bool {
    matches!(ranges, [(first, last)] if first.previous().is_none() && last.next().is_none())
}

/// The condition about the protocol; none if no packet is meant.
fn protocols(matches: &Matches, family: Option<Family>) -> Option<Option<Cond>> {
    if !matches.icmp.items.is_empty() {
        let number = if family == Some(Family::V6) { ICMPV6 } else { ICMP };
        return Some(Some(Cond::One(Selector::Protocol, Value::byte(number))));
    }
    let ports = !matches.source_port.items.is_empty() || !matches.destination_port.items.is_empty();
    let implied: &[u8] = match () {
        () if !matches.protocol.items.is_empty() => &matches.protocol.items,
        () if matches.tcp_flags.is_some() => &[TCP],
        () if ports => &[TCP, UDP],
        () => return Some(None),
    };
    if let ([number], false) = (implied, matches.protocol.negated) {
        return Some(Some(Cond::One(Selector::Protocol, Value::byte(*number))));
    }
    let ranges = implied.iter().map(|number| (Value::byte(*number), Value::byte(*number))).collect();
    Some(ranged(Selector::Protocol, ranges, matches.protocol.negated))
}

fn conditions_after(matches: &Matches, family: Option<Family>) -> Option<Vec<Cond>> {
    let mut conds = Vec::new();
    if let Some(TcpFlags { mask, value, negated }) = matches.tcp_flags {
        let test = Test::Masked { mask: vec![mask], value: vec![value], invert: negated };
        conds.push(Cond::Other(Statement::Match(Selector::TcpFlags, test)));
    }
    if !matches.source_mac.items.is_empty() {
        let macs = matches.source_mac.items.iter().map(|mac| (Value::new(mac), Value::new(mac))).collect();
        conds.extend(ranged(Selector::SourceMac, macs, matches.source_mac.negated));
    }
    if let Some(compare) = matches.hop_limit {
        let selector = if family == Some(Family::V6) { Selector::HopLimit } else { Selector::TimeToLive };
        conds.push(match compare {
            Compare::Equal(limit) => Cond::One(selector, Value::byte(limit)),
            Compare::NotEqual(limit) => Cond::Other(Statement::Match(selector, Test::NotEqual(vec![limit]))),
            Compare::Below(limit) => Cond::Other(Statement::Match(selector, Test::Below(vec![limit]))),
            Compare::Above(limit) => Cond::Other(Statement::Match(selector, Test::Above(vec![limit]))),
        });
    }
    if matches.later_fragments {
        if family == Some(Family::V6) {
            return None;
        }
        let test = Test::Masked { mask: vec![0x1f, 0xff], value: vec![0, 0], invert: true };
        conds.push(Cond::Other(Statement::Match(Selector::FragmentOffset, test)));
    }
    match matches.mark {
        Some(Masked { value, mask: u32::MAX }) => conds.push(Cond::One(Selector::Mark, Value::word(value))),
        Some(Masked { value, mask }) => conds.push(Cond::Other(Statement::Match(
            Selector::Mark,
            Test::Masked { mask: mask.to_be_bytes().to_vec(), value: value.to_be_bytes().to_vec(), invert: false },
        ))),
        None => {}
    }
    if !matches.states.is_empty() {
        conds.push(states(&matches.states, matches.states_negated));
    }
    if matches.translated {
        conds.push(translated());
    }
    Some(conds)
}

/// The connection is in one of the states, or in none of them.
fn states(states: &[ConnState], negated: bool) -> Cond {
    let bits = states.iter().fold(0, |bits, state| {
        bits | match state {
            ConnState::New => ct::NEW,
            ConnState::Established => ct::ESTABLISHED,
            ConnState::Related => ct::RELATED,
            ConnState::Invalid => ct::INVALID,
            ConnState::Untracked => ct::UNTRACKED,
        }
    });
    let bits = bits.to_be_bytes().to_vec();
    Cond::Other(Statement::Match(Selector::CtState, if negated { Test::None(bits) } else { Test::Any(bits) }))
}

/// Only first packets of connections.
pub fn only_new() -> Cond {
    states(&[ConnState::New], false)
}

/// The connection's destination was translated.
pub fn translated() -> Cond {
    Cond::Other(Statement::Match(Selector::CtStatus, Test::Any(ct::STATUS_DNAT.to_be_bytes().to_vec())))
}
