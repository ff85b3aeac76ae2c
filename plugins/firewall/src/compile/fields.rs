//! What a plain rule asks of a packet: one value or range of each field at most.
//!
//! It is what [`super::Compiler::alternatives`] finds in such a rule, in the same order, without a list.

use super::fold::one_range;
use super::line::Asked;
use super::matches::family_value;
use super::value::{self, Value, pad};
use crate::config::{Address, Family, Interface, IpRange, List, Matches, Port};
use crate::ruleset::{Selector, Statement, Test};

/// What a plain rule asks, in the order of [`super::Compiler::alternatives`].
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
pub enum Field {
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

impl<'a> Fields<'a> {
    /// None if that is more than one value or range of each field.
    pub fn of(matches: &'a Matches) -> Option<Self> {
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

    /// How many are there.
    pub const fn len(&self) -> usize {
        self.there.count_ones() as usize
    }

    /// The only one that they hold of, if they say so.
    pub const fn family(&self) -> Option<Family> {
        self.family
    }

    /// The one at this place.
    pub fn at(&self, at: usize) -> Option<Field> {
        let mut left = self.there;
        for _ in 0..at {
            left &= left.wrapping_sub(1);
        }
        FIELDS.get(left.trailing_zeros() as usize).copied()
    }

    pub fn same(&self, other: &Self, field: Field) -> bool {
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

    pub fn selector(&self, field: Field) -> Selector {
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

    pub fn is_range(&self, field: Field) -> bool {
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

    pub fn put(&self, field: Field, several: bool, key: &mut Vec<u8>) {
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
        for at in 0..self.len() {
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

    pub fn asked(&self, field: Field) -> Option<Asked<'a>> {
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
