//! The small values of the section: words, flags, times, lists of prefixes, addresses that packets can have.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_config::{Diagnostics, Fields, Span, Spanned, Value, did_you_mean, duration};
use portreeve_network::{Family, Prefix, read};

use super::{MAX_PREFIXES, Pref64};

/// One of the words, each with its meaning.
pub(super) fn word<T: Copy>(value: &Value<'_>, words: &[(&str, T)], d: &mut Diagnostics) -> Option<T> {
    let text = value.text();
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        unknown(value.span(), "unknown value", text, &known, d);
    }
    found
}

/// Says which words are known in place of `found`.
pub(super) fn unknown(span: Span, message: &str, found: &str, known: &[&str], d: &mut Diagnostics) {
    let hint = did_you_mean(found, known.iter().copied())
        .map_or_else(|| format!("one of {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    d.error_with_hint(span, message, hint);
}

pub(super) fn flag(f: &mut Fields<'_>, name: &'static str, default: bool, d: &mut Diagnostics) -> bool {
    f.take(name).and_then(|v| v.get::<bool>(d)).map_or(default, |found| found.value)
}

/// A number within `range`, or its default.
pub(super) fn number(
    f: &mut Fields<'_>,
    name: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
    d: &mut Diagnostics,
) -> u32 {
    f.take(name).and_then(|v| read::within::<u32>(&v, range, name, d)).map_or(default, |found| found.value)
}

/// A time of whole seconds or milliseconds within `range` (in milliseconds), or its default.
pub(super) fn time(
    f: &mut Fields<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
    default: Duration,
    d: &mut Diagnostics,
) -> Duration {
    let Some(found) = f.take(name).and_then(|v| v.duration(d)) else { return default };
    let (least, most) = (Duration::from_millis(*range.start()), Duration::from_millis(*range.end()));
    if !(least..=most).contains(&found.value) {
        let hint = format!("write \"{}\" to \"{}\"", duration::format(least), duration::format(most));
        d.error_with_hint(found.span, format!("{name} is out of range"), hint);
        return default;
    }
    found.value
}

/// A time to live of whole seconds within `range`, or its default.
pub(super) fn seconds(
    f: &mut Fields<'_>,
    name: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
    d: &mut Diagnostics,
) -> u32 {
    let Some(found) = f.take(name).and_then(|v| v.duration(d)) else { return default };
    let seconds = u32::try_from(found.value.as_secs()).ok().filter(|seconds| range.contains(seconds));
    let hint = || {
        let written = |seconds: u32| duration::format(Duration::from_secs(seconds.into()));
        format!("write \"{}\" to \"{}\"", written(*range.start()), written(*range.end()))
    };
    match seconds {
        Some(seconds) if found.value.subsec_nanos() == 0 => return seconds,
        Some(_) => d.error_with_hint(found.span, format!("{name} has whole seconds"), hint()),
        None => d.error_with_hint(found.span, format!("{name} is out of range"), hint()),
    }
    default
}

/// A list of prefixes of one family, each once.
pub(super) fn prefixes(value: &Value<'_>, family: Family, d: &mut Diagnostics) -> Vec<Spanned<Prefix>> {
    let mut seen = HashSet::new();
    let mut list = Vec::new();
    for item in bounded(value, MAX_PREFIXES, "prefixes", d) {
        let Some(prefix) = read::prefix(&item, d) else { continue };
        if Family::of(prefix.value.address) != family {
            wrong_family(&prefix, family, d);
        } else if !seen.insert(prefix.value) {
            d.error_with_hint(prefix.span, format!("{} is given twice", prefix.value), "keep one of the two");
        } else {
            list.push(prefix);
        }
    }
    list
}

/// The same, without their places.
pub(super) fn prefix_list(f: &mut Fields<'_>, name: &'static str, family: Family, d: &mut Diagnostics) -> Vec<Prefix> {
    let found = f.take(name).map(|v| prefixes(&v, family, d)).unwrap_or_default();
    found.into_iter().map(|prefix| prefix.value).collect()
}

pub(super) fn wrong_family(prefix: &Spanned<Prefix>, family: Family, d: &mut Diagnostics) {
    let (name, example) = match family {
        Family::Ipv4 => ("IPv4", "192.0.2.0/24"),
        Family::Ipv6 => ("IPv6", "2001:db8::/32"),
    };
    let message = format!("{} is not an {name} prefix", prefix.value);
    d.error_with_hint(prefix.span, message, format!("expected one such as \"{example}\""));
}

/// The entries of a list, if there are not too many.
pub(super) fn bounded<'a>(value: &Value<'a>, most: usize, what: &str, d: &mut Diagnostics) -> Vec<Value<'a>> {
    let mut list = value.list(d);
    if list.len() > most {
        let message = format!("{} {what} are more than the {most} that fit", list.len());
        d.error_with_hint(value.span(), message, "write fewer");
        list.truncate(most);
    }
    list
}

/// A prefix of RFC 6052.
pub(super) fn pref64(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Pref64>> {
    let prefix = read::prefix(value, d)?;
    match Pref64::try_from(prefix.value) {
        Ok(pref64) => Some(prefix.map(|_| pref64)),
        Err(error) => {
            let hint = "write one such as \"64:ff9b::/96\" or \"2001:db8:64::/96\"";
            d.error_with_hint(prefix.span, error.to_string(), hint);
            None
        }
    }
}

/// Why no host has this address, if so.
pub(super) fn unusable(address: IpAddr) -> Option<&'static str> {
    let why = match address {
        IpAddr::V4(a) if a.octets()[0] == 0 => "belongs to no host",
        IpAddr::V4(a) if a.is_broadcast() => "is the broadcast address",
        IpAddr::V4(a) if a.octets()[0] >= 240 => "is reserved",
        IpAddr::V4(a) if a.is_link_local() => "is only good on one link",
        IpAddr::V6(a) if a.is_unspecified() => "belongs to no host",
        IpAddr::V6(a) if a.is_unicast_link_local() => "is only good on one link",
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => "is an IPv4 address in IPv6 form",
        _ if address.is_loopback() => "is a loopback address",
        _ if address.is_multicast() => "is a multicast address",
        _ => return None,
    };
    Some(why)
}

/// Whether addresses of this IPv4 prefix can be translated at all; says why not.
pub(super) fn usable4(prefix: &Spanned<Prefix>, what: &str, d: &mut Diagnostics) -> bool {
    let IpAddr::V4(first) = prefix.value.address else { return false };
    let bits = u32::MAX.checked_shr(prefix.value.length.into()).unwrap_or(0);
    let last = Ipv4Addr::from(u32::from(first) | bits);
    let why = unusable(first.into()).or_else(|| unusable(last.into()));
    // A short prefix may hold such addresses although its ends are good.
    let why = why.or((prefix.value.length < 4).then_some("holds addresses that belong to no host"));
    if let Some(why) = why {
        let message = format!("{} {why} and cannot be {what}", prefix.value);
        d.error_with_hint(prefix.span, message, "write addresses that are routed to this router");
    }
    why.is_none()
}

/// An IPv4 address that a host can have.
pub(super) fn ipv4(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Ipv4Addr>> {
    let found = read::address(value, d)?;
    match (found.value, unusable(found.value)) {
        (IpAddr::V4(address), None) => Some(found.map(|_| address)),
        (address, why) => {
            let why = why.unwrap_or("is not an IPv4 address");
            d.error_with_hint(found.span, format!("{address} {why}"), "expected one such as \"192.0.2.1\"");
            None
        }
    }
}

/// An IPv6 address that a host can have.
pub(super) fn ipv6(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Ipv6Addr>> {
    let found = read::address(value, d)?;
    match (found.value, unusable(found.value)) {
        (IpAddr::V6(address), None) => Some(found.map(|_| address)),
        (address, why) => {
            let why = why.unwrap_or("is not an IPv6 address");
            d.error_with_hint(found.span, format!("{address} {why}"), "expected one such as \"2001:db8::1\"");
            None
        }
    }
}

/// Whether two prefixes have an address in common.
pub(super) fn overlap(a: Prefix, b: Prefix) -> bool {
    a.contains(b) || b.contains(a)
}
