//! A list of policy rules: `[(priority: 1000, from: "2001:db8:60::/60", table: 100)]`.

use std::collections::HashSet;

use portreeve_config::{Diagnostics, Fields, Spanned, Value};
use serde::Deserialize;

use super::{family_name, interface_name, prefix, table, within};
use crate::{Family, Prefix, Rule, RuleAction};

/// The actions that need no table.
#[derive(Deserialize)]
enum Refusal {
    Unreachable,
    Blackhole,
    Prohibit,
}

/// Policy rules.
pub fn rules(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Rule> {
    let mut seen: HashSet<Rule> = HashSet::new();
    let mut list = Vec::new();
    for item in value.list(d) {
        let Some(rule) = one(&item, d) else { continue };
        if seen.insert(rule.clone()) {
            list.push(rule);
        } else {
            d.error_with_hint(item.span(), "this rule is given twice", "keep one of the two");
        }
    }
    list
}

fn one(item: &Value<'_>, d: &mut Diagnostics) -> Option<Rule> {
    let mut fields = item.fields(d)?;
    let f = &mut fields;
    // Priority 0 is the kernel's own rule for the local table.
    let priority = f.require("priority", d).and_then(|v| within(&v, 1..=u32::MAX, "priority", d));
    let written = f.take("family").and_then(|v| v.get::<Family>(d));
    let source = f.take("from").and_then(|v| prefix(&v, d));
    let destination = f.take("to").and_then(|v| prefix(&v, d));
    let incoming = f.take("incoming").and_then(|v| interface_name(&v, d));
    let outgoing = f.take("outgoing").and_then(|v| interface_name(&v, d));
    let mark = f.take("mark").and_then(|v| mark(&v, d));
    let action = action(f, d);
    let suppress_value = f.take("suppress_prefix_length");
    let family = family(f, written, [&source, &destination], d);
    let most = family.map_or(128, |family| u32::from(family.bits()));
    let suppress = suppress_value.and_then(|v| within(&v, 0..=most, "suppress_prefix_length", d));
    fields.finish(d);
    if let (Some(value), Some(action)) = (suppress_value, action)
        && !matches!(action, RuleAction::Lookup(_))
    {
        let message = "suppress_prefix_length says something about a table, and there is none";
        d.error_with_hint(value.span(), message, "remove it, or write `table: …` in place of the action");
    }
    Some(Rule {
        priority: priority?.value,
        family: family?,
        source: source.map(|prefix| prefix.value),
        destination: destination.map(|prefix| prefix.value),
        incoming: incoming.map(|name| name.value),
        outgoing: outgoing.map(|name| name.value),
        mark,
        action: action?,
        suppress_prefix_length: suppress.map(|length| length.value),
    })
}

fn action(f: &mut Fields<'_>, d: &mut Diagnostics) -> Option<RuleAction> {
    let (number, refusal) = (f.take("table"), f.take("action"));
    match (number, refusal) {
        (Some(value), None) => table(&value, d).map(RuleAction::Lookup),
        (None, Some(value)) => value.get::<Refusal>(d).map(|refusal| match refusal.value {
            Refusal::Unreachable => RuleAction::Unreachable,
            Refusal::Blackhole => RuleAction::Blackhole,
            Refusal::Prohibit => RuleAction::Prohibit,
        }),
        (Some(_), Some(value)) => {
            d.error_with_hint(value.span(), "the rule has a table and another action", "keep one of the two");
            None
        }
        (None, None) => {
            let hint = "add `table: 100,` or `action: Unreachable,`";
            d.error_with_hint(f.span(), "the rule does nothing: it has no table and no action", hint);
            None
        }
    }
}

/// What is written, or what the prefixes tell.
fn family(
    f: &Fields<'_>,
    written: Option<Spanned<Family>>,
    prefixes: [&Option<Spanned<Prefix>>; 2],
    d: &mut Diagnostics,
) -> Option<Family> {
    let mut known = written.map(|family| family.value);
    for prefix in prefixes.into_iter().flatten() {
        let family = Family::of(prefix.value.address);
        match known {
            Some(known) if known != family => {
                let message = format!("{} is not {}, the family of the rule", prefix.value, family_name(known));
                d.error_with_hint(prefix.span, message, "write one rule for each family");
                return None;
            }
            _ => known = Some(family),
        }
    }
    if known.is_none() {
        let hint = "add `family: Ipv6,` or `family: Ipv4,`";
        d.error_with_hint(f.span(), "the rule does not say which family it is for", hint);
    }
    known
}

/// A mark with its mask, `"0x1/0xff"`; without a mask all bits count.
pub fn mark(value: &Value<'_>, d: &mut Diagnostics) -> Option<(u32, u32)> {
    let text = value.get::<String>(d)?;
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        _ if text.starts_with('+') => None,
        _ => text.parse().ok(),
    };
    let (mark, mask) = text.value.split_once('/').map_or((text.value.as_str(), "0xffffffff"), |parts| parts);
    let (Some(mark), Some(mask)) = (number(mark), number(mask)) else {
        d.error_with_hint(text.span, "not a mark", "expected one such as \"0x1\" or \"0x1/0xff\"");
        return None;
    };
    if mark & !mask != 0 {
        let hint = format!("write \"{mark:#x}/{:#x}\"", mask | mark);
        d.error_with_hint(text.span, "the mark has bits outside its mask", hint);
        return None;
    }
    Some((mark, mask))
}
