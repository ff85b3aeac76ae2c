//! The lists and small structs of `dns64: (…)`: interfaces, resolvers, names, clients, cache, rate.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use portreeve_config::{Diagnostics, Pattern, Spanned, Value};
use portreeve_network::read;

use super::super::{MAX_PREFIXES, leaf};
use super::{CacheSettings, ClientRule, PORT, Policy, Rate};

/// Most resolvers that are asked.
const MAX_RESOLVERS: usize = 8;
/// Most patterns of interfaces.
const MAX_INTERFACES: usize = 32;
/// Most names in a list.
const MAX_NAMES: usize = 1024;

pub(super) fn interfaces(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Pattern> {
    let mut list: Vec<Pattern> = Vec::new();
    let items = leaf::bounded(value, MAX_INTERFACES, "interfaces", d);
    if value.text().starts_with('[') && items.is_empty() {
        d.error_with_hint(value.span(), "nobody could ask", "write the interfaces of the clients, such as \"lan*\"");
    }
    for item in items {
        let Some(found) = item.parse::<Pattern>(d, "an interface, such as \"lan0\" or \"lan*\"") else { continue };
        if let Some(other) = list.iter().find(|other| other.contains(&found.value)) {
            let message = format!("\"{other}\" stands for it already", other = other.as_str());
            d.error_with_hint(found.span, message, "keep one of the two");
        } else {
            list.push(found.value);
        }
    }
    list
}

/// `"192.0.2.53"`, `"192.0.2.53:5353"`, `"2001:db8::53"` or `"[2001:db8::53]:5353"`.
pub(super) fn resolvers(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Spanned<SocketAddr>> {
    let hint = "write an address such as \"192.0.2.53\" or \"2001:db8::53\", with a port \"[2001:db8::53]:5353\"";
    let mut list: Vec<Spanned<SocketAddr>> = Vec::new();
    let items = leaf::bounded(value, MAX_RESOLVERS, "resolvers", d);
    if value.text().starts_with('[') && items.is_empty() {
        d.error_with_hint(value.span(), "there is nobody to ask", hint);
    }
    for item in items {
        let Some(text) = item.get::<String>(d) else { continue };
        let bare = text.value.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let Ok(found) = bare.or_else(|_| text.value.parse::<SocketAddr>()) else {
            d.error_with_hint(text.span, "not the address of a resolver", hint);
            continue;
        };
        let scoped = matches!(found, SocketAddr::V6(v6) if v6.scope_id() != 0);
        let local = found.ip().is_loopback();
        let why = leaf::unusable(found.ip()).filter(|_| !local);
        let why = why.or(scoped.then_some("is only good on one link")).or((found.port() == 0).then_some("has no port"));
        if let Some(why) = why {
            d.error_with_hint(text.span, format!("{} {why}", found.ip()), hint);
        } else if list.iter().any(|other| other.value == found) {
            d.error_with_hint(text.span, format!("{found} is given twice"), "keep one of the two");
        } else {
            list.push(Spanned::new(found, text.span));
        }
    }
    list
}

pub(super) fn names(value: &Value<'_>, d: &mut Diagnostics) -> Vec<String> {
    let (mut seen, mut list) = (HashSet::new(), Vec::new());
    for item in leaf::bounded(value, MAX_NAMES, "names", d) {
        let Some(text) = item.get::<String>(d) else { continue };
        let name = text.value.trim_end_matches('.').to_ascii_lowercase();
        if !is_domain(&name) {
            let message = format!("\"{}\" is not a domain name", text.value);
            d.error_with_hint(
                text.span,
                message,
                "write one such as \"example.net\"; all names below it are meant, too",
            );
        } else if !seen.insert(name.clone()) {
            d.error_with_hint(text.span, format!("{name} is given twice"), "keep one of the two");
        } else {
            list.push(name);
        }
    }
    list
}

/// RFC 1035 section 2.3.4, of the letters that are in use.
fn is_domain(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    (1..=253).contains(&name.len()) && name.split('.').all(label)
}

pub(super) fn clients(value: &Value<'_>, d: &mut Diagnostics) -> Vec<ClientRule> {
    let words = [
        ("Full", Policy::Full),
        ("NoSynthesis", Policy::NoSynthesis),
        ("AOnly", Policy::AOnly),
        ("Refuse", Policy::Refuse),
    ];
    let (mut seen, mut list) = (HashSet::new(), Vec::new());
    for item in leaf::bounded(value, MAX_PREFIXES, "clients", d) {
        let Some(mut f) = item.fields(d) else { continue };
        let from = f.require("from", d).and_then(|v| read::prefix(&v, d));
        let policy = f.require("policy", d).and_then(|v| leaf::word(&v, &words, d));
        f.finish(d);
        let (Some(from), Some(policy)) = (from, policy) else { continue };
        if seen.insert(from.value) {
            list.push(ClientRule { from: from.value, policy });
        } else {
            d.error_with_hint(from.span, format!("{} is given twice", from.value), "keep one of the two");
        }
    }
    list
}

pub(super) fn cache(value: &Value<'_>, d: &mut Diagnostics) -> Option<CacheSettings> {
    let usual = CacheSettings::default();
    let mut f = value.fields(d)?;
    let entries = leaf::number(&mut f, "entries", 0..=1_000_000, usual.entries, d);
    let bytes = leaf::number(&mut f, "bytes", 65_536..=256 << 20, usual.bytes, d);
    let min_ttl = leaf::seconds(&mut f, "min_ttl", 0..=3600, usual.min_ttl, d);
    // Not shorter than what answers have at least.
    let max_ttl = leaf::seconds(&mut f, "max_ttl", min_ttl.max(1)..=604_800, usual.max_ttl, d);
    f.finish(d);
    Some(CacheSettings { entries, bytes, min_ttl, max_ttl })
}

/// `Off`, or `(queries: 1000, burst: 2000)`.
pub(super) fn rate(value: &Value<'_>, d: &mut Diagnostics) -> Option<Rate> {
    if value.text() == "Off" {
        return None;
    }
    let usual = Rate::default();
    let mut f = value.fields(d)?;
    let queries = leaf::number(&mut f, "queries", 1..=1_000_000, usual.queries, d);
    let burst = leaf::number(&mut f, "burst", 1..=1_000_000, queries.saturating_mul(2).min(1_000_000), d);
    f.finish(d);
    Some(Rate { queries, burst })
}
