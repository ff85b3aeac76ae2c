//! Kinds of ICMP messages: a name, a number, either with a code behind a slash, or `any`.
//!
//! A name stands for the kind of each family that has one; a number only makes sense within one family.

use portreeve_config::{Diagnostics, Span, Value};

use super::address::{family_name, near, shown};
use super::{Family, IcmpKind, List, matches, words};

/// The kinds of a rule whose packets may be of these families, IPv4 and IPv6.
pub(super) fn list(value: &Value<'_>, families: (bool, bool), d: &mut Diagnostics) -> List<IcmpKind> {
    let possible: Vec<Family> = [(families.0, Family::V4), (families.1, Family::V6)]
        .into_iter()
        .filter_map(|(has, family)| has.then_some(family))
        .collect();
    let found = matches::list(value, "a kind of ICMP", |text, _, d, span| kinds(text, &possible, span, d), d);
    let List { items, negated, span } = found;
    List { items: items.into_iter().flatten().collect(), negated, span }
}

fn kinds(text: &str, families: &[Family], span: Span, d: &mut Diagnostics) -> Option<Vec<IcmpKind>> {
    let (name, code) = match text.split_once('/') {
        Some((name, code)) => (name, Some(code)),
        None => (text, None),
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u8>().ok()).flatten();
    let code = match code {
        Some(code) => {
            let found = number(code);
            if found.is_none() {
                let message = format!("\"{}\" is not a code of ICMP", shown(code));
                d.error_with_hint(span, message, "write a number from 0 to 255");
            }
            Some(found?)
        }
        None => None,
    };
    if name == "any" {
        return Some(families.iter().map(|family| matches::kind(*family, None)).collect());
    }
    if let Some(kind) = number(name) {
        return match families {
            [family] => Some(vec![matches::kind(*family, Some((kind, code)))]),
            _ => {
                let hint = "write its name, or `family: Ipv4` or `family: Ipv6` beside it";
                d.error_with_hint(span, "a number means one thing in ICMP and another in ICMPv6", hint);
                None
            }
        };
    }
    if words::icmp(name, Family::V4).is_none() {
        let hint = near(name, words::ICMP.iter().map(|(name, ..)| *name))
            .unwrap_or_else(|| "expected a kind such as \"echo-request\", \"packet-too-big\" or \"3/4\"".to_owned());
        d.error_with_hint(span, format!("\"{}\" is not a kind of ICMP", shown(name)), hint);
        return None;
    }
    let mut found = Vec::with_capacity(2);
    for family in families {
        let Some((kind, own)) = words::icmp(name, *family).flatten() else { continue };
        if let (Some(_), Some(code)) = (own, code) {
            d.error_with_hint(span, format!("\"{name}\" has a code already"), format!("remove /{code}"));
            return None;
        }
        found.push(matches::kind(*family, Some((kind, own.or(code)))));
    }
    if found.is_empty() {
        let family = families.first().copied().unwrap_or(Family::V4);
        let message = format!("{} has no \"{name}\"", family_name(family));
        d.error_with_hint(span, message, "write another kind, or another family");
        return None;
    }
    Some(found)
}
