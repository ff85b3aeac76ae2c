//! Reads `Siit(…)` (RFC 7915, RFC 7757) and `Clat(…)` (RFC 6877).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use portreeve_config::{Diagnostics, Fields, Spanned, Value};
use portreeve_network::{Family, Prefix, read};

use super::read::Places;
use super::{Clat, ClatAddress, DUMMY, Eam, MAX_EAM, Pref64, Side, Siit, leaf};

/// Most addresses for ICMP errors.
const MAX_POOL6791: usize = 256;
/// The router's own address on the IPv4 side of a CLAT (RFC 7335).
const CLAT_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
/// Lengths of prefixes with whole IPv4 addresses before or behind bits 64 to 71 (RFC 6052 section 2.2).
const WITHIN_LENGTHS: [u8; 3] = [32, 64, 96];
/// Behind the default routes of native IPv4.
const CLAT_METRIC: u32 = 2048;

pub(super) fn siit(f: &mut Fields<'_>, places: &mut Places, d: &mut Diagnostics) -> Option<Siit> {
    let prefix_value = f.take("prefix");
    let prefix = prefix_value.and_then(|v| leaf::pref64(&v, d));
    places.prefix = prefix.as_ref().map(|found| found.span);
    let eam_value = f.take("eam");
    let eam = eam_value.map(|v| eam(&v, d)).unwrap_or_default();
    // What could not be read is no empty list.
    let is_empty = |v: Value<'_>| v.text().starts_with('[') && v.list(&mut Diagnostics::new()).is_empty();
    if prefix_value.is_none() && eam_value.is_none_or(is_empty) {
        let message = "neither prefix nor eam say how addresses are translated";
        d.error_with_hint(places.or_name(None), message, "add `prefix: \"2001:db8:64::/96\"` or `eam: […]`");
    }
    let pool6791 = f.take("pool6791").map(|v| pool6791(&v, d));
    let ipv4_value = f.take("ipv4");
    let ipv4 = ipv4_value.map(|v| leaf::prefixes(&v, Family::Ipv4, d)).unwrap_or_default();
    if let Some(value) = ipv4_value.filter(|_| prefix_value.is_none()) {
        let message = "without a prefix no host has an address of its own in it";
        d.error_with_hint(value.span(), message, "add `prefix: \"…\"`, or write these in eam");
    }
    let ipv4: Vec<_> = ipv4.into_iter().filter(|p| leaf::usable4(p, "of hosts", d)).collect();
    places.eam = eam.iter().map(|entry| entry.span).collect();
    places.ipv4 = ipv4.iter().map(|prefix| prefix.span).collect();
    Some(Siit {
        prefix: prefix.map(|found| found.value),
        eam: eam.into_iter().map(|entry| entry.value).collect(),
        pool6791: pool6791.unwrap_or_else(|| vec![DUMMY]),
        ipv4: ipv4.into_iter().map(|prefix| prefix.value).collect(),
    })
}

fn pool6791(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Ipv4Addr> {
    let mut list: Vec<Ipv4Addr> = Vec::new();
    let items = leaf::bounded(value, MAX_POOL6791, "addresses", d);
    for item in &items {
        let Some(address) = leaf::ipv4(item, d) else { continue };
        if list.contains(&address.value) {
            d.error_with_hint(address.span, format!("{} is given twice", address.value), "keep one of the two");
        } else {
            list.push(address.value);
        }
    }
    if value.text().starts_with('[') && items.is_empty() {
        d.error_with_hint(value.span(), "ICMP errors need a source", "write an address, or remove this");
    }
    list
}

/// `("192.0.2.1/32", "2001:db8::1/128")`, or with names and the side that the host is on.
fn eam(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Spanned<Eam>> {
    let (mut fours, mut sixes) = (HashSet::new(), HashSet::new());
    let mut list: Vec<Spanned<Eam>> = Vec::new();
    for item in leaf::bounded(value, MAX_EAM, "mappings", d) {
        let Some(entry) = eam_entry(&item, d) else { continue };
        let mut is_new = true;
        for (prefix, fresh) in [(entry.ipv4, fours.insert(entry.ipv4)), (entry.ipv6, sixes.insert(entry.ipv6))] {
            if !fresh {
                d.error_with_hint(item.span(), format!("{prefix} is mapped twice"), "keep one of the two");
            }
            is_new &= fresh;
        }
        if is_new {
            list.push(Spanned::new(entry, item.span()));
        }
    }
    list
}

fn eam_entry(item: &Value<'_>, d: &mut Diagnostics) -> Option<Eam> {
    let mut unused = Diagnostics::new();
    let (ipv4, ipv6, host) = if let Some(pair) = item.get::<(String, String)>(&mut unused) {
        let part = |text: &str, family: Family, d: &mut Diagnostics| eam_prefix(text, family, item, d);
        (part(&pair.value.0, Family::Ipv4, d), part(&pair.value.1, Family::Ipv6, d), Side::default())
    } else {
        let mut f = item.fields(d)?;
        let mut part = |f: &mut Fields<'_>, name: &'static str, family: Family| {
            let text = f.require(name, d).and_then(|v| v.get::<String>(d).map(|text| (v, text.value)))?;
            eam_prefix(&text.1, family, &text.0, d)
        };
        let (ipv4, ipv6) = (part(&mut f, "ipv4", Family::Ipv4), part(&mut f, "ipv6", Family::Ipv6));
        let sides = [("Ipv4", Side::Ipv4), ("Ipv6", Side::Ipv6)];
        let host = f.take("host").and_then(|v| leaf::word(&v, &sides, d)).unwrap_or_default();
        f.finish(d);
        (ipv4, ipv6, host)
    };
    let (ipv4, ipv6) = (ipv4?, ipv6?);
    let (four, six) = (32_u8.saturating_sub(ipv4.length), 128_u8.saturating_sub(ipv6.length));
    if four > six {
        let message = format!("the {four} bits behind {ipv4} do not fit into the {six} behind {ipv6}");
        let hint = format!("write an IPv6 prefix of at most {} bits (RFC 7757 section 3.2)", 128 - four);
        d.error_with_hint(item.span(), message, hint);
        return None;
    }
    Some(Eam { ipv4, ipv6, host })
}

/// A prefix, or an address for itself alone.
fn eam_prefix(text: &str, family: Family, place: &Value<'_>, d: &mut Diagnostics) -> Option<Prefix> {
    let bare = text.parse::<IpAddr>().map(|address| Prefix::new(address, 128));
    let found = match (bare, text.parse::<portreeve_config::IpPrefix>()) {
        (Ok(prefix), _) => prefix,
        (Err(_), Ok(prefix)) => prefix.into(),
        (Err(_), Err(error)) => {
            let hint = "write prefixes without host bits, such as (\"192.0.2.1/32\", \"2001:db8::1/128\")";
            d.error_with_hint(place.span(), format!("\"{text}\": {error}"), hint);
            return None;
        }
    };
    let found = Spanned::new(found, place.span());
    if Family::of(found.value.address) != family {
        leaf::wrong_family(&found, family, d);
        return None;
    }
    match found.value.address {
        IpAddr::V4(_) => leaf::usable4(&found, "mapped", d).then_some(found.value),
        IpAddr::V6(address) => {
            let why = leaf::unusable(address.into());
            if let Some(why) = why {
                let message = format!("{} {why} and cannot be mapped", found.value);
                d.error_with_hint(found.span, message, "write the address of a host");
            }
            why.is_none().then_some(found.value)
        }
    }
}

pub(super) fn clat(f: &mut Fields<'_>, places: &mut Places, d: &mut Diagnostics) -> Option<Clat> {
    let prefix = match f.take("prefix") {
        None => Some(None),
        Some(value) if value.text() == "Auto" => Some(None),
        Some(value) => leaf::pref64(&value, d).map(|found| {
            places.prefix = Some(found.span);
            Some(found.value)
        }),
    };
    let address = f.require("address", d).and_then(|v| clat_address(&v, d));
    places.address = address.as_ref().map(|found| found.span);
    if let (Some(Some(plat)), Some(address)) = (prefix, &address)
        && leaf::overlap(plat.prefix(), address.value.prefix())
    {
        let message = format!("{} and the prefix {plat} overlap", address.value.prefix());
        d.error_with_hint(address.span, message, "write an address of ours here");
    }
    let ipv4 = f.take("ipv4").and_then(|v| leaf::ipv4(&v, d)).map_or(CLAT_IPV4, |found| found.value);
    let default_route = leaf::flag(f, "default_route", true, d);
    let metric = f.take("metric");
    if let Some(value) = metric.filter(|_| !default_route) {
        d.error_with_hint(value.span(), "there is no default route that could have a metric", "remove it");
    }
    let metric = metric.and_then(|v| read::within::<u32>(&v, 1..=u32::MAX - 1, "metric", d));
    let masquerade = f.take("masquerade");
    let hosts = masquerade.map(|v| leaf::prefixes(&v, Family::Ipv4, d)).unwrap_or_default();
    for inside in hosts.iter().filter(|hosts| hosts.value.contains(Prefix::new(ipv4.into(), 32))) {
        let message = format!("{} holds {ipv4}, the router's own address", inside.value);
        d.error_with_hint(inside.span, message, "write the prefixes of IPv4 hosts behind this router");
    }
    let address = address?.value;
    if let (ClatAddress::Within(_), Some(value)) = (address, masquerade)
        && !hosts.is_empty()
    {
        let message = "each IPv4 host has an IPv6 address of its own, and is hidden all the same";
        d.warning_with_hint(value.span(), message, "remove it, or write a single address");
    }
    Some(Clat {
        prefix: prefix?,
        address,
        ipv4,
        default_route,
        metric: metric.map_or(CLAT_METRIC, |found| found.value),
        masquerade: hosts.into_iter().map(|prefix| prefix.value).collect(),
    })
}

impl ClatAddress {
    /// What is routed to the device.
    #[must_use]
    pub fn prefix(self) -> Prefix {
        match self {
            Self::One(address) => Prefix::new(address.into(), 128),
            Self::Within(prefix) => prefix.prefix(),
        }
    }
}

/// `"2001:db8::464"`, the same with `/128`, or a prefix of RFC 6052.
fn clat_address(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<ClatAddress>> {
    let text = value.get::<String>(d)?;
    let bare = text.value.strip_suffix("/128").unwrap_or(&text.value);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let why = if address.is_ipv4() { Some("is not an IPv6 address") } else { leaf::unusable(address) };
        return match (address, why) {
            (IpAddr::V6(address), None) => Some(Spanned::new(ClatAddress::One(address), text.span)),
            (_, why) => {
                let message = format!("{address} {}", why.unwrap_or_default());
                d.error_with_hint(text.span, message, "write an address of ours that is not in use, or a prefix");
                None
            }
        };
    }
    let found: Spanned<Pref64> = leaf::pref64(value, d)?;
    let length = found.value.length();
    if !WITHIN_LENGTHS.contains(&length) {
        let message = format!("IPv4 addresses have no place in one piece in the {length} bits of {}", found.value);
        d.error_with_hint(found.span, message, "write a prefix of 96 bits, or of 64 or 32");
        return None;
    }
    Some(found.map(ClatAddress::Within))
}
