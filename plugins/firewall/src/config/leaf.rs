//! The small values of the section: words, texts, names, numbers, rates, marks.

use core::ops::RangeInclusive;
use std::borrow::Cow;

use portreeve_config::{Diagnostics, Items, Span, Value, did_you_mean};

use super::{Limit, Masked, Per};

/// Entries of one list of a rule; more belong into a set.
pub(super) const MAX_ITEMS: usize = 4096;
/// Packets of a rate.
const MAX_RATE: u64 = 1_000_000;
/// Packets at once where no burst is written, as nft and iptables have it.
pub(super) const BURST: u32 = 5;
/// Longest name of a rule, a counter, a chain or a set.
const MAX_NAME: usize = 64;
const SECOND: u64 = 1;
const UNITS: [(&str, u64); 11] = [
    ("second", SECOND),
    ("minute", 60),
    ("hour", 3600),
    ("day", 86_400),
    ("sec", SECOND),
    ("min", 60),
    ("s", SECOND),
    ("m", 60),
    ("h", 3600),
    ("d", 86_400),
    ("seconds", SECOND),
];

/// One of the words, each with its meaning.
pub(super) fn word<T: Copy>(value: &Value<'_>, words: &[(&str, T)], d: &mut Diagnostics) -> Option<T> {
    let text = value.text();
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    if found.is_none() {
        let short: String = text.lines().next().unwrap_or("").chars().take(40).collect();
        unknown(value.span(), &format!("unknown value `{short}`"), text, words.iter().map(|(word, _)| *word), d);
    }
    found
}

/// Says which words are known in place of `found`.
pub(super) fn unknown<'a>(
    span: Span,
    message: &str,
    found: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    d: &mut Diagnostics,
) {
    let near = Some(found).filter(|found| found.len() <= MAX_NAME).and_then(|found| did_you_mean(found, known.clone()));
    let hint = near.map_or_else(|| one_of(known), |near| format!("did you mean `{near}`?"));
    d.error_with_hint(span, message, hint);
}

/// What there is to choose from, if it is not too much to show.
pub(super) fn one_of<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    match known.len() {
        0 => "there is none".to_owned(),
        1..=24 => format!("one of {}", known.join(", ")),
        _ => {
            known.truncate(12);
            format!("such as {}", known.join(", "))
        }
    }
}

/// True or false.
pub(super) fn flag(value: &Value<'_>, d: &mut Diagnostics) -> Option<bool> {
    match value.text() {
        "true" => Some(true),
        "false" => Some(false),
        _ => value.get::<bool>(d).map(|found| found.value),
    }
}

/// The string that it is; `expected` ends the sentence "expected …" and shows an example.
pub(super) fn text<'a>(value: &Value<'a>, expected: &str, d: &mut Diagnostics) -> Option<Cow<'a, str>> {
    let found = value.string();
    if found.is_none() {
        let hint = if value.text().bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            format!("write it in double quotes: \"{}\"", value.text())
        } else {
            "write it in double quotes".to_owned()
        };
        d.error_with_hint(value.span(), format!("expected {expected}"), hint);
    }
    found
}

/// A whole number within `range`.
pub(super) fn number(value: &Value<'_>, range: RangeInclusive<u32>, what: &str, d: &mut Diagnostics) -> Option<u32> {
    let found = match value.text().parse::<u32>() {
        Ok(number) => number,
        Err(_) => value.get::<u32>(d)?.value,
    };
    if !range.contains(&found) {
        let hint = format!("write {} to {}", range.start(), range.end());
        d.error_with_hint(value.span(), format!("{what} is out of range"), hint);
        return None;
    }
    Some(found)
}

/// Whether a rule, a counter, a chain or a set may be called that.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Reports a name that cannot be one.
pub(super) fn check_name(name: &str, span: Span, what: &str, d: &mut Diagnostics) -> bool {
    if is_name(name) {
        return true;
    }
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    let near: String = name.chars().take(MAX_NAME).map(legal).collect();
    let hint = if is_name(&near) { format!("write \"{near}\"") } else { "write a name such as \"ssh\"".to_owned() };
    d.error_with_hint(
        span,
        format!("{what} is called by 1 to {MAX_NAME} letters, digits, dots, dashes and underscores"),
        hint,
    );
    false
}

/// A name.
pub(super) fn name(value: &Value<'_>, what: &str, d: &mut Diagnostics) -> Option<String> {
    let found = text(value, "a name such as \"ssh\"", d)?;
    check_name(&found, value.span(), what, d).then(|| found.into_owned())
}

/// `5/minute`.
pub(super) fn rate(value: &Value<'_>, d: &mut Diagnostics) -> Option<Limit> {
    let found = text(value, "a rate such as \"5/minute\"", d)?;
    let parts = found.split_once('/').map(|(packets, unit)| (packets.trim(), unit.trim()));
    let packets = parts.and_then(|(packets, _)| packets.parse::<u64>().ok());
    let seconds =
        parts.and_then(|(_, unit)| UNITS.iter().find(|(known, _)| *known == unit)).map(|(_, seconds)| *seconds);
    match (packets, seconds) {
        (Some(packets @ 1..=MAX_RATE), Some(seconds)) => {
            return Some(Limit { packets, seconds, burst: BURST, over: false, per: Per::Rule });
        }
        (Some(_), Some(_)) => {
            let hint = format!("write 1 to {MAX_RATE} packets");
            d.error_with_hint(value.span(), "the rate is out of range", hint);
        }
        (Some(packets), None) => {
            let hint = format!("write \"{packets}/second\", minute, hour or day");
            d.error_with_hint(value.span(), "this is not a unit of time", hint);
        }
        _ => d.error_with_hint(value.span(), "this is not a rate", "expected packets and a time, such as \"5/minute\""),
    }
    None
}

/// `1`, `0x1/0xff`.
pub(super) fn masked(value: &Value<'_>, d: &mut Diagnostics) -> Option<Masked> {
    let found = text(value, "a mark such as \"0x1/0xff\"", d)?;
    let (number, mask) = found.split_once('/').unwrap_or((&found, "0xffffffff"));
    let (Some(number), Some(mask)) = (hexadecimal(number), hexadecimal(mask)) else {
        d.error_with_hint(value.span(), "this is not a mark", "expected 32 bits and a mask, such as \"0x1/0xff\"");
        return None;
    };
    if number & !mask != 0 {
        let hint = format!("write \"{:#x}/{:#x}\"", number & mask, mask);
        d.error_with_hint(value.span(), "the mark has bits that its mask leaves out", hint);
        return None;
    }
    Some(Masked { value: number, mask })
}

fn hexadecimal(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match digits {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(digits, 16).ok(),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// The entries of a list, if there are not too many.
pub(super) fn bounded<'a>(value: &Value<'a>, most: usize, what: &str, d: &mut Diagnostics) -> Items<'a> {
    let mut list = value.items(d);
    if list.len() > most {
        let message = format!("{} {what} are more than the {most} that fit", list.len());
        d.error_with_hint(value.span(), message, "write fewer");
        list.truncate(most);
    }
    list
}
