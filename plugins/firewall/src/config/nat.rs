//! Reads rules of address translation.
//!
//! What translates destinations happens before the route is known and has `from`; what translates sources happens
//! behind it and has `to`. A rule that gives an address is about the address's family. Masquerade is about IPv4 unless
//! the rule says otherwise: hosts of IPv6 have addresses of their own.

use std::net::{IpAddr, Ipv6Addr};

use portreeve_config::{Diagnostics, Value};

use super::address::{self, family_name};
use super::context::Context;
use super::matches::{self, Draft};
use super::{End, Family, IpRange, Matches, NatAction, NatRule, Place, leaf, rule};

const MAX_RULES: usize = 10_000;
const ACTIONS: [&str; 6] = ["Masquerade", "Source", "Destination", "Redirect", "Prefix", "Skip"];

pub(super) fn read(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> Vec<NatRule> {
    leaf::bounded(value, MAX_RULES, "rules", d).filter_map(|value| nat_rule(&value, cx, d)).collect()
}

fn nat_rule(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> Option<NatRule> {
    let members = value.members(d)?;
    let span = value.span();
    let find = |name: &str| members.get(name);
    let Some(then) = find("then") else {
        let hint = "add `then: Masquerade`, Source, Destination, Redirect, Prefix or Skip";
        let message = "the rule does not say how to translate: field `then` is missing";
        d.error_with_hint(rule::first_line(value), message, hint);
        return None;
    };
    let place = place(&then, find("to").or(find("outgoing")).is_some());
    let mut matches = Matches::default();
    let mut draft = Draft::new(&mut matches, &members, d);
    let (mut from, mut to, mut name, mut count) = (End::Any, End::Any, None, None);
    for (field, value) in members.iter() {
        let value = &value;
        match field.value {
            "then" => {}
            "name" => name = leaf::name(value, "a rule", d),
            "count" => count = Some(*value),
            "from" => from = rule::end(value, false, cx, d),
            "to" => to = rule::end(value, false, cx, d),
            other if draft.field(other, value, cx, d) => {}
            _ => rule::unknown(field, place, d),
        }
    }
    let action = action(&then, d);
    match (place, find("from"), find("to")) {
        (Place::NatSource, Some(from), None) => {
            let hint = "write `to`, and `source` or `incoming` for where it comes from";
            d.error_with_hint(from.span(), "sources are translated on the way out: the rule has no `from`", hint);
        }
        (Place::NatDestination, _, Some(to)) => {
            let hint = "write `from`, and `destination` for where it goes";
            d.error_with_hint(to.span(), "destinations are translated on the way in: the rule has no `to`", hint);
        }
        (Place::NatSource, Some(from), Some(_)) => {
            let hint = "remove `from`; `source` or `incoming` say where it comes from";
            d.error_with_hint(from.span(), "sources are translated on the way out: the rule has no `from`", hint);
        }
        _ => {}
    }
    if let (End::Zones { router: true, .. }, Some(to)) = (&to, find("to")) {
        d.error_with_hint(to.span(), "what comes to this machine is not translated on its way out", "write zones");
    }
    let has_matches = members
        .iter()
        .any(|(field, _)| matches::FIELDS.contains(&field.value) && !matches!(field.value, "family" | "outgoing"));
    draft.finish(place, d);
    let action = action?;
    family(&action, &mut matches, &then, d);
    match &action {
        NatAction::DestinationTo { ports: Some(_), .. }
        | NatAction::Redirect { ports: Some(_) }
        | NatAction::SourceTo { ports: Some(_), .. }
        | NatAction::Masquerade { ports: Some(_), .. } => {
            with_ports(&matches, &then, d);
        }
        NatAction::Prefix { .. } if has_matches => {
            let hint = "keep only `to`, `outgoing` and `name`";
            d.error_with_hint(rule::first_line(value), "a prefix is exchanged for all packets", hint);
        }
        _ => {}
    }
    wide(&action, &from, &to, &matches, &then, d);
    let called = || name.clone().unwrap_or_else(|| super::called::called("nat", value.text()));
    let count = count.and_then(|value| rule::count(&value, called, d));
    Some(NatRule { name, from, to, matches, action, count, span })
}

/// Where the rule stands. One that skips stands where its end is.
fn place(then: &Value<'_>, has_to: bool) -> Place {
    match then.name().map_or("", |name| name.value) {
        "Destination" | "Redirect" => Place::NatDestination,
        "Skip" if !has_to => Place::NatDestination,
        _ => Place::NatSource,
    }
}

fn action(value: &Value<'_>, d: &mut Diagnostics) -> Option<NatAction> {
    let name = value.name().map_or("", |name| name.value);
    if !ACTIONS.contains(&name) {
        let message = format!("`{}` is not a translation", address::shown(value.text()));
        leaf::unknown(value.span(), &message, name, ACTIONS.iter().copied(), d);
        return None;
    }
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let found = match name {
        "Masquerade" => {
            let ports = f.take("ports").and_then(|v| ports(&v, d));
            let random = f.take("random").and_then(|v| leaf::flag(&v, d)).unwrap_or(false);
            Some(NatAction::Masquerade { ports, random })
        }
        "Source" => {
            let addresses = f.require("to", d).and_then(|v| target(&v, d));
            let ports = f.take("ports").and_then(|v| self::ports(&v, d));
            addresses.map(|addresses| NatAction::SourceTo { addresses, ports })
        }
        "Destination" => {
            let addresses = f.require("to", d).and_then(|v| target(&v, d));
            let ports = f.take("port").and_then(|v| self::ports(&v, d));
            let hairpin = f.take("hairpin");
            let has_hairpin = hairpin.and_then(|v| leaf::flag(&v, d)).unwrap_or(false);
            let accept = f.take("accept").and_then(|v| leaf::flag(&v, d)).unwrap_or(false);
            if let (Some(IpRange::V6(..)), true, Some(hairpin)) = (addresses, has_hairpin, hairpin) {
                let hint = "remove it: hosts beside it reach it under its own address";
                d.warning_with_hint(hairpin.span(), "hairpin hides sources of IPv6 behind this router's address", hint);
            }
            addresses.map(|addresses| NatAction::DestinationTo { addresses, ports, hairpin: has_hairpin, accept })
        }
        "Redirect" => Some(NatAction::Redirect { ports: f.take("port").and_then(|v| ports(&v, d)) }),
        "Prefix" => prefixes(f.require("inside", d), f.require("outside", d), value, d),
        _ => Some(NatAction::Skip),
    };
    fields.finish(d);
    found
}

/// An address or a range that packets can be sent to.
fn target(value: &Value<'_>, d: &mut Diagnostics) -> Option<IpRange> {
    let text = leaf::text(value, "an address such as \"192.0.2.1\"", d)?;
    let found = matches::told(address::range(&text), value.span(), d)?;
    let ends: [IpAddr; 2] = match found {
        IpRange::V4(first, last) => [first.into(), last.into()],
        IpRange::V6(first, last) => [first.into(), last.into()],
    };
    if ends.iter().any(|end| end.is_unspecified() || end.is_multicast()) {
        d.error_with_hint(value.span(), "no host has this address", "write the address of a host");
        return None;
    }
    Some(found)
}

fn ports(value: &Value<'_>, d: &mut Diagnostics) -> Option<(u16, u16)> {
    let text = leaf::text(value, "a port or a range such as \"8080\"", d)?;
    let found = matches::told(address::ports(&text), value.span(), d)?;
    if found.0 == 0 {
        d.error_with_hint(value.span(), "nothing is sent to port 0", "write 1 to 65535");
        return None;
    }
    Some(found)
}

fn prefix(value: &Value<'_>, d: &mut Diagnostics) -> Option<(Ipv6Addr, u8)> {
    let text = leaf::text(value, "a prefix of IPv6 such as \"fd00:1::/48\"", d)?;
    let found = match text.split_once('/') {
        Some((address, length)) => matches::told(address::prefix(address, length), value.span(), d),
        None => {
            d.error_with_hint(value.span(), "a prefix has a length", format!("write \"{text}/64\""));
            None
        }
    };
    match found? {
        (IpAddr::V6(address), length, _)
            if address.is_unicast_link_local() || address.is_multicast() || length == 0 =>
        {
            d.error_with_hint(value.span(), "no packet leaves its link with such an address", "write another prefix");
            None
        }
        (IpAddr::V6(address), length, _) => Some((address, length)),
        (IpAddr::V4(_), ..) => {
            d.error_with_hint(
                value.span(),
                "only prefixes of IPv6 are exchanged",
                "write Masquerade or Source for IPv4",
            );
            None
        }
    }
}

fn prefixes(
    inside: Option<Value<'_>>,
    outside: Option<Value<'_>>,
    value: &Value<'_>,
    d: &mut Diagnostics,
) -> Option<NatAction> {
    let (inside_value, outside_value) = (inside, outside);
    let inside = inside_value.and_then(|v| prefix(&v, d));
    let outside = outside_value.and_then(|v| prefix(&v, d));
    let (inside, outside) = (inside?, outside?);
    let span = outside_value.map_or_else(|| value.span(), |v| v.span());
    if inside.1 != outside.1 {
        let message = format!("the prefixes are of different lengths: {} and {}", inside.1, outside.1);
        d.error_with_hint(span, message, format!("write two of the same length, such as /{}", inside.1.max(outside.1)));
        return None;
    }
    if inside.0 == outside.0 {
        d.error_with_hint(span, "both prefixes are the same", "write the one that others see");
        return None;
    }
    Some(NatAction::Prefix { inside, outside })
}

/// What the action says about the family must be what the rule says.
fn family(action: &NatAction, m: &mut Matches, then: &Value<'_>, d: &mut Diagnostics) {
    let (v4, v6) = matches::known(m);
    let own = match action {
        NatAction::SourceTo { addresses, .. } | NatAction::DestinationTo { addresses, .. } => addresses.family(),
        NatAction::Prefix { .. } => Family::V6,
        NatAction::Masquerade { .. } if v4 => Family::V4,
        NatAction::Masquerade { .. } if v6 => {
            let hint = "exchange prefixes instead: `Prefix(inside: …, outside: …)` (NPTv6) keeps hosts reachable";
            d.warning_with_hint(then.span(), "this hides hosts of IPv6 behind one address", hint);
            Family::V6
        }
        _ => return,
    };
    if !(if own == Family::V4 { v4 } else { v6 }) {
        let other = if own == Family::V4 { Family::V6 } else { Family::V4 };
        let message = format!("this is {}, but the rule is about {}", family_name(own), family_name(other));
        d.error_with_hint(then.span(), message, "write addresses of one family");
    }
    let foreign = if own == Family::V4 { 58 } else { 1 };
    if m.family.is_none() && !m.protocol.negated && m.protocol.items.contains(&foreign) {
        let message = format!("this is {}, and its packets never are of this protocol", family_name(own));
        d.error_with_hint(m.protocol.span, message, "write the ICMP of that family");
    }
    m.family = Some(own);
}

/// Ports are translated only where there are some.
fn with_ports(m: &Matches, then: &Value<'_>, d: &mut Diagnostics) {
    if m.protocol.items.is_empty() || m.protocol.negated {
        let hint = "add `protocol: [\"tcp\"]` or `protocol: [\"udp\"]`";
        d.error_with_hint(then.span(), "a port is given, but it is not said of which protocol", hint);
    } else if m.protocol.items.iter().any(|protocol| !super::words::WITH_PORTS.contains(protocol)) {
        d.error_with_hint(m.protocol.span, "a port is given, but not every protocol here has some", "write two rules");
    }
}

/// Rules that translate more than is nearly ever meant.
fn wide(action: &NatAction, from: &End, to: &End, m: &Matches, then: &Value<'_>, d: &mut Diagnostics) {
    let outgoing = *to == End::Any && m.outgoing.items.is_empty();
    match action {
        NatAction::Prefix { .. } if outgoing => {
            d.error_with_hint(then.span(), "it is not said where the outer prefix belongs", "add `to: [\"wan\"]`");
        }
        NatAction::Masquerade { .. } | NatAction::SourceTo { .. } if outgoing => {
            let message = "this also translates what goes from one inner zone to another";
            d.warning_with_hint(then.span(), message, "add `to: [\"wan\"]`");
        }
        NatAction::DestinationTo { .. } | NatAction::Redirect { .. }
            if *from == End::Any && m.incoming.items.is_empty() && m.destination.items.is_empty() =>
        {
            let message = "this also translates what inner hosts send to others";
            d.warning_with_hint(then.span(), message, "add `from: [\"wan\"]` or `destination`");
        }
        _ => {}
    }
}
