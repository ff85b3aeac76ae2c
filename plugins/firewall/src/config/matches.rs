//! What packets a rule is about: one function for each field, and what several fields say together.
//!
//! A list that begins with `!` is about everything else; then each of its entries has one. Ports without a protocol are
//! those of TCP and UDP. Kinds of ICMP by name are of both families unless something else of the rule says one. A rule
//! that no packet can fit is an error.

use portreeve_config::{Diagnostics, Members, Span, Spanned, Value};

use super::address::{self, Mistake, family_name, near};
use super::context::Context;
use super::{
    Address, Compare, ConnState, Connections, Family, IcmpKind, IpRange, Limit, List, Matches, Per, Place, Port,
    SetKind, TcpFlags, icmp, leaf, words,
};

/// Names of the fields that are read here.
pub(super) const FIELDS: [&str; 19] = [
    "family",
    "incoming",
    "outgoing",
    "source",
    "destination",
    "protocol",
    "source_port",
    "destination_port",
    "icmp",
    "states",
    "not_states",
    "tcp_flags",
    "mark",
    "source_mac",
    "hop_limit",
    "later_fragments",
    "translated",
    "limit",
    "connections",
];

const FAMILIES: [(&str, Family); 2] = [("Ipv4", Family::V4), ("Ipv6", Family::V6)];
const STATES: [(&str, ConnState); 5] = [
    ("New", ConnState::New),
    ("Established", ConnState::Established),
    ("Related", ConnState::Related),
    ("Invalid", ConnState::Invalid),
    ("Untracked", ConnState::Untracked),
];
const PER: [(&str, Per); 3] = [("Rule", Per::Rule), ("Source", Per::Source), ("Destination", Per::Destination)];
/// Most packets at once beyond a rate.
const MAX_BURST: u32 = 1_000_000;
const MAX_CONNECTIONS: u32 = 1_000_000;

/// Matches while their fields come, in any order.
pub(super) struct Draft<'m, 'a> {
    matches: &'m mut Matches,
    icmp: Option<Value<'a>>,
    states: Option<Span>,
    tcp_flags: Option<Span>,
    later_fragments: Option<Span>,
    translated: Option<Span>,
    connections: Option<Span>,
}

impl<'m, 'a> Draft<'m, 'a> {
    /// One of `matches`, in which nothing is written yet, that knows its family, which other fields are read by.
    pub(super) fn new(matches: &'m mut Matches, members: &Members<'_>, d: &mut Diagnostics) -> Self {
        matches.family = members.get("family").and_then(|value| leaf::word(&value, &FAMILIES, d));
        Self {
            matches,
            icmp: None,
            states: None,
            tcp_flags: None,
            later_fragments: None,
            translated: None,
            connections: None,
        }
    }

    /// Takes a field; false for one of something else.
    pub(super) fn field(&mut self, name: &str, value: &Value<'a>, cx: &Context, d: &mut Diagnostics) -> bool {
        let m = &mut *self.matches;
        match name.as_bytes() {
            b"family" => {}
            b"incoming" => {
                m.incoming = list(value, "an interface", |text, _, d, span| told(address::interface(text), span, d), d)
            }
            b"outgoing" => {
                m.outgoing = list(value, "an interface", |text, _, d, span| told(address::interface(text), span, d), d)
            }
            b"source" => m.source = addresses(value, m.family, cx, d),
            b"destination" => m.destination = addresses(value, m.family, cx, d),
            b"protocol" => m.protocol = list(value, "a protocol", |text, _, d, span| protocol(text, span, d), d),
            b"source_port" => m.source_port = ports(value, cx, d),
            b"destination_port" => m.destination_port = ports(value, cx, d),
            b"icmp" => self.icmp = Some(*value),
            b"states" | b"not_states" => {
                if self.states.replace(value.span()).is_some() {
                    d.error_with_hint(value.span(), "states and not_states exclude each other", "keep one of the two");
                }
                m.states = states(value, d);
                m.states_negated = name == "not_states";
            }
            b"tcp_flags" => {
                m.tcp_flags = tcp_flags(value, d);
                self.tcp_flags = Some(value.span());
            }
            b"mark" => m.mark = leaf::masked(value, d),
            b"source_mac" => {
                m.source_mac =
                    list(value, "a hardware address", |text, _, d, span| told(address::mac(text), span, d), d);
            }
            b"hop_limit" => m.hop_limit = hop_limit(value, d),
            b"later_fragments" => {
                m.later_fragments = leaf::flag(value, d).unwrap_or_default();
                self.later_fragments = Some(value.span());
            }
            b"translated" => {
                m.translated = leaf::flag(value, d).unwrap_or_default();
                self.translated = Some(value.span());
            }
            b"limit" => m.limit = limit(value, d),
            b"connections" => {
                m.connections = connections(value, d);
                self.connections = Some(value.span());
            }
            _ => return false,
        }
        true
    }

    /// Looks at all fields together.
    pub(super) fn finish(mut self, place: Place, d: &mut Diagnostics) {
        self.ports(d);
        if let Some(value) = self.icmp {
            self.icmp(&value, d);
        }
        if let (Some(_), Some(span)) = (self.matches.tcp_flags, self.tcp_flags) {
            only_tcp(self.matches, span, "flags", d);
        }
        self.families(d);
        self.place(place, d);
    }

    fn ports(&mut self, d: &mut Diagnostics) {
        let m = &mut *self.matches;
        let written = [&m.source_port, &m.destination_port].into_iter().find(|list| !list.items.is_empty());
        let Some(span) = written.map(|list| list.span) else { return };
        if m.protocol.items.is_empty() {
            if self.icmp.is_none() {
                m.protocol = List { items: vec![6, 17], negated: false, span };
            }
        } else if m.protocol.negated {
            d.error_with_hint(
                m.protocol.span,
                "ports need protocols that have some",
                "write protocol: [\"tcp\", \"udp\"]",
            );
        } else if let Some(without) = m.protocol.items.iter().find(|protocol| !words::WITH_PORTS.contains(protocol)) {
            let name = words::PROTOCOLS.iter().find(|(_, number)| number == without).map(|(name, _)| *name);
            let name = name.map_or_else(|| without.to_string(), str::to_owned);
            d.error_with_hint(m.protocol.span, format!("protocol {name} has no ports"), "write two rules");
        }
    }

    fn icmp(&mut self, value: &Value<'_>, d: &mut Diagnostics) {
        let m = &mut *self.matches;
        for list in [&m.source_port, &m.destination_port] {
            if !list.items.is_empty() {
                d.error_with_hint(list.span, "ICMP has no ports", "remove them, or write two rules");
            }
        }
        let mut families = (true, true);
        if !m.protocol.items.is_empty() {
            families = (m.protocol.items.contains(&1), m.protocol.items.contains(&58));
            if m.protocol.negated || m.protocol.items.iter().any(|protocol| !matches!(protocol, 1 | 58)) {
                let hint = "remove `protocol`, or write \"icmp\" or \"icmpv6\"";
                d.error_with_hint(m.protocol.span, "only ICMP has such kinds", hint);
                families = (true, true);
            }
            m.protocol = List::default();
        }
        let rest = known(m);
        let families = (families.0 && rest.0, families.1 && rest.1);
        m.icmp = icmp::list(value, families, d);
    }

    /// Addresses, protocols and kinds must be of a family that all have.
    fn families(&self, d: &mut Diagnostics) {
        let m = &*self.matches;
        let (source, destination) = (of_addresses(&m.source), of_addresses(&m.destination));
        if !(source.0 && destination.0 || source.1 && destination.1) {
            let message = "no packet has a source and a destination of two families";
            d.error_with_hint(m.destination.span, message, "write a rule for IPv4 and one for IPv6");
            return;
        }
        let (v4, v6) = known(m);
        let only = match (v4, v6) {
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            _ => return,
        };
        let foreign = if only == Family::V4 { 58 } else { 1 };
        if !m.protocol.negated && m.protocol.items.contains(&foreign) {
            let (has, write) = if only == Family::V4 { ("ICMPv6", "icmp") } else { ("ICMP of IPv4", "icmpv6") };
            let message = format!("{has} is never in a packet of {}", family_name(only));
            d.error_with_hint(m.protocol.span, message, format!("write \"{write}\""));
        }
        if let (Family::V6, true, Some(span)) = (only, m.later_fragments, self.later_fragments) {
            d.error_with_hint(span, "later_fragments is about IPv4", "remove it");
        }
    }

    /// What is not known yet, or not at all, where the rule stands.
    fn place(&self, place: Place, d: &mut Diagnostics) {
        let m = &*self.matches;
        let incoming = (!m.incoming.items.is_empty()).then_some(m.incoming.span);
        let outgoing = (!m.outgoing.items.is_empty()).then_some(m.outgoing.span);
        let tracked = self.states.or(self.translated).or(self.connections);
        let found = match place {
            Place::Prerouting | Place::Input | Place::NatDestination if outgoing.is_some() => {
                let why = match place {
                    Place::Input => "packets for this machine do not leave it",
                    _ => "the route is not known here",
                };
                (outgoing, why, "remove `outgoing`")
            }
            Place::Output if incoming.is_some() => {
                (incoming, "packets of this machine do not come in", "remove `incoming`")
            }
            Place::Output if !m.source_mac.items.is_empty() => {
                (Some(m.source_mac.span), "packets of this machine have no source_mac yet", "remove it")
            }
            Place::Prerouting => {
                (tracked, "connection tracking comes after prerouting", "remove it, or write the rule elsewhere")
            }
            _ => return,
        };
        if let (Some(span), why, hint) = found {
            d.error_with_hint(span, why, hint);
        }
    }
}

/// What is only in TCP: nothing else may be asked for.
pub(super) fn only_tcp(m: &mut Matches, span: Span, what: &str, d: &mut Diagnostics) {
    if m.protocol.items.is_empty() && m.icmp.items.is_empty() {
        m.protocol = List { items: vec![6], negated: false, span };
    } else if m.protocol.negated || m.protocol.items != [6] {
        d.error_with_hint(span, format!("only TCP has {what}"), "write protocol: [\"tcp\"], or remove `protocol`");
    }
}

/// Families that packets may be of, IPv4 and IPv6, by `family` and addresses.
pub(super) fn known(m: &Matches) -> (bool, bool) {
    let (source, destination) = (of_addresses(&m.source), of_addresses(&m.destination));
    let family = (m.family != Some(Family::V6), m.family != Some(Family::V4));
    (source.0 && destination.0 && family.0, source.1 && destination.1 && family.1)
}

fn of_addresses(list: &List<Address>) -> (bool, bool) {
    if list.items.is_empty() || list.negated {
        return (true, true);
    }
    let (mut v4, mut v6) = (false, false);
    for item in &list.items {
        match item {
            Address::Range(IpRange::V4(..)) => v4 = true,
            Address::Range(IpRange::V6(..)) | Address::Masked { .. } => v6 = true,
            Address::Set(_) | Address::Local => return (true, true),
        }
    }
    (v4, v6)
}

/// Alternatives. `item` reads one: its text, whether it is negated, where messages go, its place.
pub(super) fn list<T>(
    value: &Value<'_>,
    what: &str,
    mut item: impl FnMut(&str, bool, &mut Diagnostics, Span) -> Option<T>,
    d: &mut Diagnostics,
) -> List<T> {
    // Nearly all lists are of one text.
    if let Some(Spanned { value: text, span }) = value.only_string().filter(|only| !only.value.starts_with('!')) {
        let mut found = List { items: Vec::with_capacity(1), negated: false, span: value.span() };
        found.items.extend(item(text, false, d, span));
        return found;
    }
    let is_list = value.text().starts_with('[');
    let values = leaf::bounded(value, leaf::MAX_ITEMS, "entries", d);
    let mut found = List { items: Vec::with_capacity(values.len()), negated: false, span: value.span() };
    if values.len() == 0 && is_list {
        d.error_with_hint(
            found.span,
            "nothing is in this list, so no packet fits",
            "remove the field to mean anything",
        );
    }
    let mut mixed = false;
    for (at, value) in values.enumerate() {
        let Some(text) = leaf::text(&value, what, d) else { continue };
        let (text, negated) = text.strip_prefix('!').map_or((&*text, false), |rest| (rest.trim_start(), true));
        if at == 0 {
            found.negated = negated;
        } else if negated != found.negated && !mixed {
            let hint = "write `!` before each of them, or before none";
            d.error_with_hint(value.span(), "a list is about what it names or about everything else, not both", hint);
            mixed = true;
        }
        found.items.extend(item(text, negated, d, value.span()));
    }
    found
}

/// The value, or its mistake in the list of mistakes.
pub(super) fn told<T>(found: Result<T, Mistake>, span: Span, d: &mut Diagnostics) -> Option<T> {
    found.map_err(|(message, hint)| d.error_with_hint(span, message, hint)).ok()
}

fn addresses(value: &Value<'_>, family: Option<Family>, cx: &Context, d: &mut Diagnostics) -> List<Address> {
    list(value, "an address", |text, _, d, span| address(text, family, cx, span, d), d)
}

fn address(text: &str, family: Option<Family>, cx: &Context, span: Span, d: &mut Diagnostics) -> Option<Address> {
    if let Some(address) = address::plain_v6(text).filter(|_| family != Some(Family::V4)) {
        return Some(Address::Range(IpRange::V6(address, address)));
    }
    if let Some(name) = text.strip_prefix('@') {
        return cx.set(name, SetKind::Addresses, span, d).map(Address::Set);
    }
    if text == "local" {
        return Some(Address::Local);
    }
    let found = match address::masked(text) {
        Some(found) => found.map(|(value, mask)| Address::Masked { value, mask }),
        None => address::range(text).map(Address::Range),
    };
    let found = found.map_err(|(message, hint)| {
        (message, if cx.set_names.get(text).is_some() { format!("write \"@{text}\" for the set") } else { hint })
    });
    let found = told(found, span, d)?;
    let own = match &found {
        Address::Range(range) => range.family(),
        _ => Family::V6,
    };
    if let Some(family) = family.filter(|family| *family != own) {
        let message = format!("this is {}, but the rule is about {}", family_name(own), family_name(family));
        d.error_with_hint(span, message, "remove it, or `family`");
    }
    Some(found)
}

fn protocol(text: &str, span: Span, d: &mut Diagnostics) -> Option<u8> {
    let number = || text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u8>().ok()).flatten();
    let found = words::PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number).or_else(number);
    if found.is_none() {
        let hint = near(text, words::PROTOCOLS.iter().map(|(name, _)| *name))
            .unwrap_or_else(|| "expected a name such as \"tcp\", or a number from \"0\" to \"255\"".to_owned());
        d.error_with_hint(span, format!("\"{}\" is not a protocol", address::shown(text)), hint);
    }
    found
}

fn ports(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> List<Port> {
    let item = |text: &str, _: bool, d: &mut Diagnostics, span: Span| match text.strip_prefix('@') {
        Some(name) => cx.set(name, SetKind::Ports, span, d).map(Port::Set),
        None => told(address::ports(text), span, d).map(|(first, last)| Port::Range(first, last)),
    };
    list(value, "a port", item, d)
}

fn states(value: &Value<'_>, d: &mut Diagnostics) -> Vec<ConnState> {
    let values = leaf::bounded(value, leaf::MAX_ITEMS, "states", d);
    if values.len() == 0 && value.text().starts_with('[') {
        d.error_with_hint(
            value.span(),
            "nothing is in this list, so no packet fits",
            "remove the field to mean anything",
        );
    }
    let mut found = Vec::with_capacity(values.len());
    for state in values.filter_map(|value| leaf::word(&value, &STATES, d)) {
        if !found.contains(&state) {
            found.push(state);
        }
    }
    found
}

fn tcp_flags(value: &Value<'_>, d: &mut Diagnostics) -> Option<TcpFlags> {
    let text = leaf::text(value, "flags of TCP such as \"syn/syn,ack,fin,rst\"", d)?;
    let (text, negated) = text.strip_prefix('!').map_or((&*text, false), |rest| (rest.trim_start(), true));
    let Some((wanted, mask)) = text.split_once('/') else {
        let hint = "write those that are set, a slash, and those that are looked at, such as \"syn/syn,ack,fin,rst\"";
        d.error_with_hint(value.span(), "it is not said which flags are looked at", hint);
        return None;
    };
    let (wanted, mask) = (flags(wanted, value.span(), d), flags(mask, value.span(), d));
    let (wanted, mask) = (wanted?, mask?);
    if wanted & !mask != 0 {
        let hint = "write all flags before the slash behind it as well";
        d.error_with_hint(value.span(), "flags are wanted that are not looked at", hint);
        return None;
    }
    if mask == 0 {
        d.error_with_hint(value.span(), "no flag is looked at", "write those that count behind the slash");
        return None;
    }
    Some(TcpFlags { mask, value: wanted, negated })
}

fn flags(text: &str, span: Span, d: &mut Diagnostics) -> Option<u8> {
    if text.trim() == "none" {
        return Some(0);
    }
    let mut bits = 0;
    for name in text.split(',').map(str::trim) {
        let Some((_, bit)) = words::TCP_FLAGS.iter().find(|(flag, _)| flag.eq_ignore_ascii_case(name)) else {
            let known = words::TCP_FLAGS.iter().map(|(flag, _)| *flag).chain(["none"]);
            leaf::unknown(span, &format!("\"{}\" is not a flag of TCP", address::shown(name)), name, known, d);
            return None;
        };
        bits |= bit;
    }
    Some(bits)
}

fn hop_limit(value: &Value<'_>, d: &mut Diagnostics) -> Option<Compare> {
    let text = leaf::text(value, "a hop limit such as \"255\" or \"<10\"", d)?;
    let (make, number): (fn(u8) -> Compare, &str) = match text.as_bytes().first() {
        Some(b'!') => (Compare::NotEqual, text.get(1..).unwrap_or("")),
        Some(b'<') => (Compare::Below, text.get(1..).unwrap_or("")),
        Some(b'>') => (Compare::Above, text.get(1..).unwrap_or("")),
        _ => (Compare::Equal, &text),
    };
    let Ok(number) = number.trim().parse::<u8>() else {
        let hint = "expected 0 to 255, such as \"255\", \"!255\", \"<10\" or \">10\"";
        d.error_with_hint(value.span(), "this is not a hop limit", hint);
        return None;
    };
    let found = make(number);
    if matches!(found, Compare::Below(0) | Compare::Above(255)) {
        d.error_with_hint(value.span(), "no packet has such a hop limit", "write another number");
    }
    Some(found)
}

fn limit(value: &Value<'_>, d: &mut Diagnostics) -> Option<Limit> {
    let mut fields = value.fields(d)?;
    let rate = fields.require("rate", d).and_then(|v| leaf::rate(&v, d));
    let burst = fields.take("burst").and_then(|v| leaf::number(&v, 1..=MAX_BURST, "burst", d));
    let over = fields.take("over").and_then(|v| leaf::flag(&v, d));
    let per = fields.take("per").and_then(|v| leaf::word(&v, &PER, d));
    fields.finish(d);
    let burst = burst.unwrap_or(leaf::BURST);
    Some(Limit { burst, over: over.unwrap_or(false), per: per.unwrap_or(Per::Rule), ..rate? })
}

fn connections(value: &Value<'_>, d: &mut Diagnostics) -> Option<Connections> {
    let mut fields = value.fields(d)?;
    let above = fields.take("above");
    let up_to = fields.take("up_to");
    let per = fields.take("per").and_then(|v| leaf::word(&v, &PER, d)).unwrap_or(Per::Source);
    fields.finish(d);
    let count = match (above, up_to) {
        (Some(count), None) | (None, Some(count)) => leaf::number(&count, 0..=MAX_CONNECTIONS, "the number", d)?,
        _ => {
            d.error_with_hint(
                value.span(),
                "either `above` or `up_to` says how many",
                "write `(above: 10, per: Source)`",
            );
            return None;
        }
    };
    Some(Connections { count, above: above.is_some(), per })
}

/// The one family of a match of ICMP, for others that look at kinds.
pub(super) fn kind(family: Family, found: Option<(u8, Option<u8>)>) -> IcmpKind {
    IcmpKind { family, kind: found.map(|(kind, _)| kind), code: found.and_then(|(_, code)| code) }
}
