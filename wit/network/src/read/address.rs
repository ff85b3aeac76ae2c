//! A list of addresses: `"2001:db8::1/64"`, or a struct where more is to be said.

use std::collections::HashSet;
use std::net::IpAddr;

use portreeve_config::{Diagnostics, Spanned, Value};

use super::{address, family_name, flag, host_prefix, lifetime, within};
use crate::{Address, Family, Prefix};

/// The addresses of `interface`.
pub fn addresses(value: &Value<'_>, interface: &str, d: &mut Diagnostics) -> Vec<Address> {
    spanned_addresses(value, interface, d).into_iter().map(|address| address.value).collect()
}

/// The same, each with the place of its entry.
pub fn spanned_addresses(value: &Value<'_>, interface: &str, d: &mut Diagnostics) -> Vec<Spanned<Address>> {
    let mut seen: HashSet<(IpAddr, Option<IpAddr>)> = HashSet::new();
    let mut list = Vec::new();
    for item in value.list(d) {
        let Some(found) = one(&item, interface, d) else { continue };
        let own = found.value.address.address;
        // The kernel tells IPv4 addresses apart by their peers, too.
        let peer = found.value.peer.filter(|_| own.is_ipv4());
        if seen.insert((own, peer)) {
            list.push(found);
        } else {
            let message = format!("address {own} is given twice on {interface}");
            d.error_with_hint(found.span, message, "keep one of the two");
        }
    }
    list
}

fn one(item: &Value<'_>, interface: &str, d: &mut Diagnostics) -> Option<Spanned<Address>> {
    if !item.text().starts_with('(') {
        let found = host_prefix(item, d)?;
        note_network_address(&found, d);
        return Some(found.map(|prefix| Address::new(interface, prefix)));
    }
    let mut fields = item.fields(d)?;
    let own = fields.require("address", d).and_then(|v| host_prefix(&v, d));
    let peer = fields.take("peer").and_then(|v| address(&v, d));
    let preferred = fields.take("preferred_lifetime").and_then(|v| lifetime(&v, d));
    let valid = fields.take("valid_lifetime").and_then(|v| lifetime(&v, d));
    let dad = fields.take("dad");
    let dad_span = dad.map(|v| v.span());
    let dad = flag(dad, true, d);
    let prefix_metric = fields.take("prefix_metric").and_then(|v| within(&v, 0..=u32::MAX - 1, "prefix_metric", d));
    fields.finish(d);
    let own = own?;
    note_network_address(&own, d);
    let family = Family::of(own.value.address);
    if let Some(peer) = &peer
        && Family::of(peer.value) != family
    {
        let message = format!("the peer of {} is not of the same family", own.value.address);
        d.error_with_hint(peer.span, message, format!("write an {} address", family_name(family)));
    }
    if let (Some(span), Family::Ipv4) = (dad_span, family) {
        d.warning_with_hint(span, "dad has no meaning for IPv4 addresses", "remove it");
    }
    lifetimes(preferred.as_ref(), valid.as_ref(), d);
    let mut result = Address::new(interface, own.value);
    result.peer = peer.map(|peer| peer.value);
    result.valid_lifetime = valid.and_then(|valid| valid.value);
    result.preferred_lifetime = match preferred {
        Some(preferred) => preferred.value,
        None => result.valid_lifetime,
    };
    result.dad = dad;
    result.prefix_metric = prefix_metric.map(|metric| metric.value);
    Some(Spanned::new(result, own.span))
}

fn lifetimes(preferred: Option<&Spanned<Option<u32>>>, valid: Option<&Spanned<Option<u32>>>, d: &mut Diagnostics) {
    if let Some(valid) = valid
        && valid.value == Some(0)
    {
        d.error_with_hint(valid.span, "the address would not be valid at any time", "leave the address out");
    }
    // For ever is longer than any number.
    let rank = |lifetime: Option<u32>| lifetime.unwrap_or(u32::MAX);
    if let (Some(preferred), Some(valid)) = (preferred, valid)
        && rank(preferred.value) > rank(valid.value)
    {
        let hint = "write a shorter preferred_lifetime or a longer valid_lifetime";
        d.error_with_hint(preferred.span, "preferred_lifetime is longer than valid_lifetime", hint);
    }
}

/// An address without host bits is nearly always a network that was meant to be an address.
fn note_network_address(found: &Spanned<Prefix>, d: &mut Diagnostics) {
    let prefix = found.value;
    let family = Family::of(prefix.address);
    // RFC 3021 and RFC 6164: links of two have no such address.
    if prefix.length + 2 > family.bits() || prefix.network() != prefix {
        return;
    }
    let what = match family {
        Family::Ipv4 => "the address of the network itself",
        Family::Ipv6 => "the anycast address of all routers of this network (RFC 4291 section 2.6.1)",
    };
    d.warning_with_hint(found.span, format!("{} is {what}", prefix.address), "write an address within the network");
}
