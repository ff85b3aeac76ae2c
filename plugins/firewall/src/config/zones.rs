//! Reads zones, and finds interfaces that two of them claim.

use std::collections::HashMap;

use portreeve_config::{Diagnostics, Span, Spanned, Value};

use super::{AntiSpoofing, Interface, ROUTER, Zone, address, leaf, matches, rule};

/// Zones of a section.
const MAX_ZONES: usize = 256;
/// Interfaces and beginnings of names in all zones together.
const MAX_INTERFACES: usize = 4096;
/// Bytes of a zone's name: two of them and a dash are the name of a chain.
const MAX_NAME: usize = 20;
const CHECKS: [(&str, AntiSpoofing); 3] =
    [("Strict", AntiSpoofing::Strict), ("Loose", AntiSpoofing::Loose), ("Off", AntiSpoofing::Off)];

/// An interface of a zone and where it was written.
struct Claim<'a> {
    zone: &'a str,
    interface: &'a Interface,
}

pub(super) fn read(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Zone> {
    let mut entries = value.entries(d);
    if entries.len() > MAX_ZONES {
        let message = format!("{} zones are more than the {MAX_ZONES} that fit", entries.len());
        d.error_with_hint(value.span(), message, "write fewer");
        entries.truncate(MAX_ZONES);
    }
    let mut zones = Vec::with_capacity(entries.len());
    let mut places = Vec::new();
    for (name, value) in &entries {
        check_name(name, d);
        let (zone, interfaces) = zone(name, value, d);
        places.extend(interfaces.into_iter().map(|span| (zones.len(), span)));
        zones.push(zone);
    }
    claims(&zones, &places, d);
    zones
}

fn check_name(name: &Spanned<String>, d: &mut Diagnostics) {
    let text = &name.value;
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if text == ROUTER || text == "*" {
        let message = if text == ROUTER { "\"router\" is this machine itself" } else { "\"*\" is every zone" };
        d.error_with_hint(name.span, message, "write another name, such as \"lan\"");
    } else if !(1..=MAX_NAME).contains(&text.len()) || !text.bytes().all(legal) {
        let message = format!("a zone is called by 1 to {MAX_NAME} small letters, digits, dashes and underscores");
        d.error_with_hint(name.span, message, "write a name such as \"lan\"");
    }
}

/// The zone and the places of its interfaces.
fn zone(name: &Spanned<String>, value: &Value<'_>, d: &mut Diagnostics) -> (Zone, Vec<Span>) {
    let mut zone = Zone {
        name: name.value.clone(),
        interfaces: Vec::new(),
        networks: Vec::new(),
        anti_spoofing: AntiSpoofing::default(),
        mss_clamp: super::MssClamp::default(),
        rfc3964: false,
        span: name.span,
    };
    let mut places = Vec::new();
    // A zone that cannot be read still has a name that others refer to.
    let Some(mut fields) = value.fields(d) else { return (zone, places) };
    if let Some(value) = fields.require("interfaces", d) {
        let list = leaf::bounded(&value, MAX_INTERFACES, "interfaces", d);
        if list.len() == 0 && value.text().starts_with('[') {
            d.error_with_hint(
                value.span(),
                "nothing belongs to this zone",
                "write the names of its interfaces, or remove it",
            );
        }
        for value in list {
            let Some(text) = leaf::text(&value, "the name of an interface such as \"lan0\"", d) else { continue };
            if let Some(interface) = matches::told(address::interface(&text), value.span(), d) {
                zone.interfaces.push(interface);
                places.push(value.span());
            }
        }
    }
    if let Some(value) = fields.take("networks") {
        for value in leaf::bounded(&value, leaf::MAX_ITEMS, "networks", d) {
            let Some(text) = leaf::text(&value, "a network such as \"192.168.1.0/24\"", d) else { continue };
            zone.networks.extend(matches::told(address::range(&text), value.span(), d));
        }
    }
    if let Some(value) = fields.take("anti_spoofing") {
        zone.anti_spoofing = leaf::word(&value, &CHECKS, d).unwrap_or_default();
    }
    zone.mss_clamp = fields.take("mss_clamp").and_then(|v| rule::mss(&v, d)).unwrap_or_default();
    zone.rfc3964 = fields.take("rfc3964").and_then(|v| leaf::flag(&v, d)).unwrap_or(false);
    fields.finish(d);
    (zone, places)
}

/// An interface belongs to the first that names it: to name it again is an error, or, where the beginning of its name
/// stood first, worth a warning.
fn claims(zones: &[Zone], places: &[(usize, Span)], d: &mut Diagnostics) {
    if places.len() > MAX_INTERFACES {
        let message = format!("{} interfaces are more than the {MAX_INTERFACES} that fit", places.len());
        let span = zones.last().map(|zone| zone.span).unwrap_or_default();
        d.error_with_hint(span, message, "write beginnings of names, such as \"ppp*\"");
        return;
    }
    let all =
        zones.iter().flat_map(|zone| zone.interfaces.iter().map(|interface| Claim { zone: &zone.name, interface }));
    let mut seen: HashMap<&Interface, &str> = HashMap::new();
    let mut prefixes: Vec<Claim<'_>> = Vec::new();
    for (claim, (_, span)) in all.zip(places) {
        let (name, span) = (written(claim.interface), *span);
        if let Some(other) = seen.insert(claim.interface, claim.zone) {
            let message = if other == claim.zone {
                format!("\"{name}\" is given twice")
            } else {
                format!("\"{name}\" belongs to zone \"{other}\" already")
            };
            d.error_with_hint(span, message, "keep one of the two");
        } else if let Some(first) =
            prefixes.iter().find(|first| claim.interface.name.starts_with(&first.interface.name))
        {
            let message =
                format!("\"{}\" of zone \"{}\" comes first and has it already", written(first.interface), first.zone);
            let hint = if first.zone == claim.zone { "remove it" } else { "write the zone with the longer name first" };
            d.warning_with_hint(span, message, hint);
        }
        if claim.interface.prefix {
            prefixes.push(claim);
        }
    }
}

/// As it stands in the file.
pub(super) fn written(interface: &Interface) -> String {
    if interface.prefix { format!("{}*", interface.name) } else { interface.name.clone() }
}
