//! What rules of a chain are made of: items, and plain rules of the section.
//!
//! Most rules of a large policy ask for one value or range of each field and do nothing but give a verdict. They make one
//! item that says no more than the rule itself, so none is made: what they ask is kept as numbers, side by side. A rule
//! that is plain is what [`Compiler::items`] makes of it, condition by condition.

use super::Compiler;
use super::fold::one_range;
use super::matches::{Cond, family_value};
use super::rules::{Item, label};
use super::value::{self, Span, Value, pad};
use crate::config::{self, Action, Address, Family, Interface, IpRange, List, Matches, Port, Reject};
use crate::ruleset::{Label, RejectWith, Selector, Statement, Test, Verdict};

/// What is done, if it is no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Verdict(Verdict),
    /// With an ICMP error.
    Reject(Reject),
}

impl Plain {
    pub const fn statement(self) -> Statement {
        match self {
            Self::Verdict(verdict) => Statement::Verdict(verdict),
            Self::Reject(reject) => Statement::Reject(RejectWith::Icmp(reject)),
        }
    }
}

/// A plain rule: what it asks and does, beside the rule, which is far larger.
#[derive(Clone, Copy)]
pub struct PlainRule<'a> {
    rule: &'a config::Rule,
    plain: Plain,
    fields: Fields<'a>,
    span: portreeve_config::Span,
}

/// What a rule of the section comes to.
pub enum Made<'a> {
    /// It is plain.
    Plain(PlainRule<'a>),
    /// Anything else.
    Items(Vec<Item>),
}

/// What becomes a rule of a chain, or part of a map.
#[derive(Clone, Copy)]
pub enum Line<'a> {
    /// An item.
    Item(&'a Item),
    /// A plain rule.
    Rule(&'a PlainRule<'a>),
}

/// What a packet is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A selector's value is in the range.
    Range(Selector, Span),
    /// Anything else.
    Cond(&'a Cond),
}

/// All that must hold for a line.
pub enum Conds<'a> {
    /// Of a plain rule.
    Fields(&'a Fields<'a>),
    /// Of an item.
    List(&'a [Cond]),
}

/// What a plain rule asks, in the order of [`Compiler::alternatives`].
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    incoming: Option<&'a Interface>,
    outgoing: Option<&'a Interface>,
    family: Option<Family>,
    protocol: Option<u8>,
    source: Option<IpRange>,
    destination: Option<IpRange>,
    source_port: Option<(u16, u16)>,
    destination_port: Option<(u16, u16)>,
    /// A bit for each that is there: its [`Field`].
    there: u8,
}

/// The fields in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Incoming,
    Outgoing,
    Family,
    Protocol,
    Source,
    Destination,
    SourcePort,
    DestinationPort,
}

const FIELDS: [Field; 8] = [
    Field::Incoming,
    Field::Outgoing,
    Field::Family,
    Field::Protocol,
    Field::Source,
    Field::Destination,
    Field::SourcePort,
    Field::DestinationPort,
];

/// What a condition is as part of a key.
pub struct Keyable {
    pub selector: Selector,
    /// Bytes of a value.
    pub width: usize,
    /// Values.
    pub count: usize,
    /// Some are ranges.
    pub ranges: bool,
}

impl Compiler<'_> {
    /// What the rule comes to. `shared`: it is put into more than one chain.
    pub(super) fn make<'a>(&mut self, rule: &'a config::Rule, shared: bool) -> Made<'a> {
        match self.plain(rule) {
            Some(plain) => Made::Plain(plain),
            None => Made::Items(self.items(rule, shared)),
        }
    }

    fn plain<'a>(&self, rule: &'a config::Rule) -> Option<PlainRule<'a>> {
        let config::Rule { name: _, from: _, to: _, matches, log, count, set_mark, add_source_to, action, span: _ } =
            rule;
        if log.is_some() || count.is_some() || set_mark.is_some() || add_source_to.is_some() {
            return None;
        }
        let plain = match *action {
            Action::Accept => Plain::Verdict(Verdict::Accept),
            Action::Drop => Plain::Verdict(Verdict::Drop),
            Action::Return => Plain::Verdict(Verdict::Return),
            Action::Jump(chain) => Plain::Verdict(Verdict::Jump(self.user_chain(chain)?)),
            Action::Goto(chain) => Plain::Verdict(Verdict::Goto(self.user_chain(chain)?)),
            Action::Reject(Reject::TcpReset) => return None,
            Action::Reject(reject) => Plain::Reject(reject),
            Action::Continue | Action::ClampMss(_) | Action::Notrack => return None,
        };
        Some(PlainRule { rule, plain, fields: Fields::of(matches)?, span: rule.span })
    }

    /// Puts the rules into the chain; they stand in no other.
    pub(super) fn add_rules(&mut self, chain: crate::ruleset::ChainId, rules: &[config::Rule]) {
        let made: Vec<Made<'_>> = rules.iter().map(|rule| self.make(rule, false)).collect();
        let mut all = Vec::with_capacity(made.len());
        made.iter().for_each(|made| made.lines(&mut all));
        self.add_lines(chain, &all);
    }
}

impl Made<'_> {
    /// Appends the lines.
    pub fn lines<'a>(&'a self, to: &mut Vec<Line<'a>>) {
        match self {
            Self::Plain(plain) => to.push(Line::Rule(plain)),
            Self::Items(items) => to.extend(items.iter().map(Line::Item)),
        }
    }
}

impl<'a> Line<'a> {
    /// The one that the conditions say, if they do.
    pub const fn family(&self) -> Option<Family> {
        match self {
            Self::Item(item) => item.family,
            Self::Rule(rule) => rule.fields.family,
        }
    }

    pub const fn span(&self) -> portreeve_config::Span {
        match self {
            Self::Item(item) => item.span,
            Self::Rule(rule) => rule.span,
        }
    }

    pub fn label(&self) -> Label {
        match self {
            Self::Item(item) => item.label.clone(),
            Self::Rule(rule) => label(rule.rule.name.as_ref()),
        }
    }

    /// If it does nothing but give a verdict: which.
    pub fn plain(&self) -> Option<Plain> {
        match self {
            Self::Item(item) => match item.tail.as_slice() {
                [Statement::Verdict(verdict)] => Some(Plain::Verdict(*verdict)),
                [Statement::Reject(RejectWith::Icmp(reject))] => Some(Plain::Reject(*reject)),
                _ => None,
            },
            Self::Rule(rule) => Some(rule.plain),
        }
    }

    /// What it does, if that is more.
    pub fn tail(&self) -> &'a [Statement] {
        match self {
            Self::Item(item) => &item.tail,
            Self::Rule(_) => &[],
        }
    }

    pub fn conds(&self) -> Conds<'a> {
        match self {
            Self::Item(item) => Conds::List(&item.conds),
            Self::Rule(rule) => Conds::Fields(&rule.fields),
        }
    }
}

impl<'a> Conds<'a> {
    pub const fn len(&self) -> usize {
        match self {
            Self::Fields(fields) => fields.there.count_ones() as usize,
            Self::List(list) => list.len(),
        }
    }

    /// The one at this place.
    pub fn get(&self, at: usize) -> Option<Asked<'a>> {
        match self {
            Self::Fields(fields) => fields.at(at).and_then(|field| fields.asked(field)),
            Self::List(list) => list.get(at).map(Asked::of),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Asked<'a>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Whether they ask the same at this place.
    pub fn same(&self, other: &Self, at: usize) -> bool {
        match (self, other) {
            (Self::Fields(a), Self::Fields(b)) => match (a.at(at), b.at(at)) {
                (Some(field), Some(of)) => field == of && a.same(b, field),
                (field, of) => field == of,
            },
            _ => self.get(at) == other.get(at),
        }
    }

    /// What the one at this place is as part of a key, if it can be.
    pub fn keyable(&self, at: usize, family: Option<Family>) -> Option<Keyable> {
        let (selector, count, ranges) = match self {
            Self::Fields(fields) => {
                let field = fields.at(at)?;
                (fields.selector(field), 1, fields.is_range(field))
            }
            Self::List(list) => match list.get(at)? {
                Cond::One(selector, _) => (*selector, 1, false),
                Cond::In { selector, ranges, negated: false } => (*selector, ranges.len(), !value::are_points(ranges)),
                _ => return None,
            },
        };
        let width = selector.key_type(family)?.width();
        Some(Keyable { selector, width, count, ranges })
    }

    /// How many values the one at this place has.
    pub fn values(&self, at: usize) -> usize {
        match self {
            Self::List(list) => match list.get(at) {
                Some(Cond::In { ranges, .. }) => ranges.len(),
                _ => 1,
            },
            Self::Fields(_) => 1,
        }
    }

    /// Appends the value of this number, with zeros up to 4 bytes if others follow.
    pub fn put(&self, at: usize, number: usize, several: bool, key: &mut Vec<u8>) {
        match self {
            Self::Fields(fields) => {
                if let Some(field) = fields.at(at) {
                    fields.put(field, several, key);
                }
            }
            Self::List(list) => match list.get(at) {
                Some(Cond::One(_, value)) => pad(key, value.bytes(), several),
                Some(Cond::In { ranges, .. }) => {
                    if let Some((value, _)) = ranges.get(number) {
                        pad(key, value.bytes(), several);
                    }
                }
                _ => {}
            },
        }
    }
}

impl<'a> Asked<'a> {
    fn of(cond: &'a Cond) -> Self {
        match cond {
            Cond::One(selector, value) => Self::Range(*selector, (*value, *value)),
            Cond::In { selector, ranges, negated: false } if ranges.len() == 1 => match ranges.first() {
                Some(range) => Self::Range(*selector, *range),
                None => Self::Cond(cond),
            },
            _ => Self::Cond(cond),
        }
    }
}

impl<'a> Fields<'a> {
    /// None if that is more than one value or range of each field.
    fn of(matches: &'a Matches) -> Option<Self> {
        let Matches {
            family,
            incoming,
            outgoing,
            source,
            destination,
            protocol,
            source_port,
            destination_port,
            icmp,
            states,
            states_negated: _,
            tcp_flags,
            mark,
            source_mac,
            hop_limit,
            later_fragments,
            translated,
            limit,
            connections,
        } = matches;
        let more = *later_fragments || *translated || tcp_flags.is_some() || mark.is_some() || hop_limit.is_some();
        let lists = icmp.items.is_empty() && states.is_empty() && source_mac.items.is_empty();
        if more || !lists || limit.is_some() || connections.is_some() {
            return None;
        }
        let [source, destination] = [address(source)?, address(destination)?];
        let family = match (family, source, destination) {
            (Some(family), ..) => Some(*family),
            (None, Some(range), _) | (None, None, Some(range)) => Some(range.family()),
            (None, None, None) => None,
        };
        if source.into_iter().chain(destination).any(|range| Some(range.family()) != family) {
            return None;
        }
        let [source_port, destination_port] = [port(source_port)?, port(destination_port)?];
        let protocol = single(protocol)?.copied();
        if protocol.is_none() && (source_port.is_some() || destination_port.is_some()) {
            // Ports alone are of two protocols.
            return None;
        }
        let [incoming, outgoing] = [single(incoming)?, single(outgoing)?];
        let there = [
            incoming.is_some(),
            outgoing.is_some(),
            family.is_some(),
            protocol.is_some(),
            source.is_some(),
            destination.is_some(),
            source_port.is_some(),
            destination_port.is_some(),
        ];
        let there = there.into_iter().rev().fold(0, |bits, there| bits << 1 | u8::from(there));
        Some(Self { incoming, outgoing, family, protocol, source, destination, source_port, destination_port, there })
    }

    /// The one at this place.
    fn at(&self, at: usize) -> Option<Field> {
        let mut left = self.there;
        for _ in 0..at {
            left &= left.wrapping_sub(1);
        }
        FIELDS.get(left.trailing_zeros() as usize).copied()
    }

    fn same(&self, other: &Self, field: Field) -> bool {
        match field {
            Field::Incoming => self.incoming == other.incoming,
            Field::Outgoing => self.outgoing == other.outgoing,
            Field::Family => self.family == other.family,
            Field::Protocol => self.protocol == other.protocol,
            Field::Source => self.source == other.source,
            Field::Destination => self.destination == other.destination,
            Field::SourcePort => self.source_port == other.source_port,
            Field::DestinationPort => self.destination_port == other.destination_port,
        }
    }

    fn selector(&self, field: Field) -> Selector {
        match (field, self.family) {
            (Field::Incoming, _) => Selector::InputInterface,
            (Field::Outgoing, _) => Selector::OutputInterface,
            (Field::Family, _) => Selector::Family,
            (Field::Protocol, _) => Selector::Protocol,
            (Field::Source, Some(Family::V6)) => Selector::Source6,
            (Field::Source, _) => Selector::Source4,
            (Field::Destination, Some(Family::V6)) => Selector::Destination6,
            (Field::Destination, _) => Selector::Destination4,
            (Field::SourcePort, _) => Selector::SourcePort,
            (Field::DestinationPort, _) => Selector::DestinationPort,
        }
    }

    fn is_range(&self, field: Field) -> bool {
        let address = |range: Option<IpRange>| range.is_some_and(|range| !is_host(&range));
        let port = |range: Option<(u16, u16)>| range.is_some_and(|(first, last)| first != last);
        match field {
            Field::Incoming => self.incoming.is_some_and(|interface| interface.prefix),
            Field::Outgoing => self.outgoing.is_some_and(|interface| interface.prefix),
            Field::Family | Field::Protocol => false,
            Field::Source => address(self.source),
            Field::Destination => address(self.destination),
            Field::SourcePort => port(self.source_port),
            Field::DestinationPort => port(self.destination_port),
        }
    }

    fn put(&self, field: Field, several: bool, key: &mut Vec<u8>) {
        let address = |range: Option<IpRange>, key: &mut Vec<u8>| match range {
            Some(IpRange::V4(first, _)) => key.extend_from_slice(&first.octets()),
            Some(IpRange::V6(first, _)) => key.extend_from_slice(&first.octets()),
            None => {}
        };
        let port = |range: Option<(u16, u16)>, key: &mut Vec<u8>| {
            if let Some((first, _)) = range {
                let number = first.to_be_bytes();
                key.extend_from_slice(&number);
                if several {
                    key.extend_from_slice(&[0, 0]);
                }
            }
        };
        match field {
            Field::Source => address(self.source, key),
            Field::Destination => address(self.destination, key),
            Field::SourcePort => port(self.source_port, key),
            Field::DestinationPort => port(self.destination_port, key),
            _ => {
                if let Some(Asked::Range(_, (value, _))) = self.asked(field) {
                    pad(key, value.bytes(), several);
                }
            }
        }
    }

    /// As statements.
    pub fn statements(&self, to: &mut Vec<Statement>) {
        for at in 0..self.there.count_ones() as usize {
            let Some(field) = self.at(at) else { return };
            if let Some(test) = self.test(field) {
                to.push(Statement::Match(self.selector(field), test));
            }
        }
    }

    fn test(&self, field: Field) -> Option<Test> {
        let name = |interface: &Interface, selector| one_range(selector, &value::names(interface), false);
        let range = |first: &[u8], last: &[u8]| {
            if first == last { Test::Equal(first.to_vec()) } else { Test::Range(first.to_vec(), last.to_vec()) }
        };
        let address = |addresses: IpRange| match addresses {
            IpRange::V4(first, last) => range(&first.octets(), &last.octets()),
            IpRange::V6(first, last) => range(&first.octets(), &last.octets()),
        };
        let port = |(first, last): (u16, u16)| range(&first.to_be_bytes(), &last.to_be_bytes());
        Some(match field {
            Field::Incoming => name(self.incoming?, Selector::InputInterface),
            Field::Outgoing => name(self.outgoing?, Selector::OutputInterface),
            Field::Family => Test::Equal(family_value(self.family?).bytes().to_vec()),
            Field::Protocol => Test::Equal(vec![self.protocol?]),
            Field::Source => address(self.source?),
            Field::Destination => address(self.destination?),
            Field::SourcePort => port(self.source_port?),
            Field::DestinationPort => port(self.destination_port?),
        })
    }

    fn asked(&self, field: Field) -> Option<Asked<'a>> {
        let byte = |byte: u8| (Value::byte(byte), Value::byte(byte));
        let port = |(first, last): (u16, u16)| (Value::port(first), Value::port(last));
        let range = match field {
            Field::Incoming => value::names(self.incoming?),
            Field::Outgoing => value::names(self.outgoing?),
            Field::Family => self.family.map(family_value).map(|family| (family, family))?,
            Field::Protocol => byte(self.protocol?),
            Field::Source => value::addresses(&self.source?),
            Field::Destination => value::addresses(&self.destination?),
            Field::SourcePort => port(self.source_port?),
            Field::DestinationPort => port(self.destination_port?),
        };
        Some(Asked::Range(self.selector(field), range))
    }
}

fn is_host(range: &IpRange) -> bool {
    match range {
        IpRange::V4(first, last) => first == last,
        IpRange::V6(first, last) => first == last,
    }
}

/// The one item of the list, or that it has none; none if it is anything else.
fn single<T>(list: &List<T>) -> Option<Option<&T>> {
    match list.items.as_slice() {
        [] => Some(None),
        [item] if !list.negated => Some(Some(item)),
        _ => None,
    }
}

/// None also if no address is meant, or every one.
fn address(list: &List<Address>) -> Option<Option<IpRange>> {
    let Some(item) = single(list)? else { return Some(None) };
    let Address::Range(range) = item else { return None };
    let some = match range {
        IpRange::V4(first, last) => first <= last && (first.to_bits(), last.to_bits()) != (0, u32::MAX),
        IpRange::V6(first, last) => first <= last && (first.to_bits(), last.to_bits()) != (0, u128::MAX),
    };
    some.then_some(Some(*range))
}

/// None also if no port is meant, or every one.
fn port(list: &List<Port>) -> Option<Option<(u16, u16)>> {
    match single(list)? {
        None => Some(None),
        Some(Port::Range(first, last)) if first <= last && (*first, *last) != (0, u16::MAX) => {
            Some(Some((*first, *last)))
        }
        Some(_) => None,
    }
}
