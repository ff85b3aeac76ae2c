//! Reads what several plugins write in their sections: names, MAC addresses, prefixes, addresses, routes, rules.
//!
//! As everywhere, a mistake is recorded with its place and what to do, and reading goes on; a value that cannot be
//! used is left out of the answer, so the caller asks `Diagnostics::has_errors` before it uses any of it. The lists
//! stand in files of their own (`read/address.rs`, `read/route.rs`, `read/rule.rs`), the small numbers that they share
//! in `read/number.rs`. What one list says twice is found here; what two lists say twice is the caller's to find, with
//! the places that the `spanned_` functions keep. Every look for duplicates goes through a set, so that reading stays
//! linear.

mod address;
mod number;
mod route;
mod rule;

pub use address::{addresses, spanned_addresses};
pub use number::{lifetime, mtu, table, within};
pub use route::{RouteKey, route_key, routes, spanned_routes};
pub use rule::{mark, rules};

use std::net::IpAddr;

use portreeve_config::{Diagnostics, IpPrefix, PrefixError, Spanned, Value};

use crate::{Family, MAX_INTERFACE_NAME, Prefix, is_interface_name};

/// The name of one interface, no pattern.
pub fn interface_name(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<String>> {
    let name = value.get::<String>(d)?;
    match check_interface_name(&name.value) {
        Ok(()) => Some(name),
        Err(message) => {
            d.error_with_hint(name.span, message, "expected an interface name such as \"lan0\"");
            None
        }
    }
}

/// Whether the kernel and the names of its parameters allow an interface to be called so.
///
/// # Errors
/// What is wrong with the name, as the message of a diagnostic.
pub fn check_interface_name(name: &str) -> Result<(), String> {
    // A star has a message of its own.
    let legal = |c: &char| is_interface_name(c.encode_utf8(&mut [0; 4])) || matches!(c, '.' | '*');
    if let Some(found) = name.chars().find(|c| !legal(c)) {
        return Err(format!("character {found:?} is not allowed in an interface name"));
    }
    match name {
        "" | "." | ".." => Err("not an interface name".to_owned()),
        "all" | "default" => Err(format!("no interface can be called \"{name}\": the kernel means all of them by it")),
        _ if name.contains('*') => Err("a pattern cannot stand here".to_owned()),
        _ if name.len() > MAX_INTERFACE_NAME => {
            Err(format!("an interface name has at most {MAX_INTERFACE_NAME} characters"))
        }
        _ => Ok(()),
    }
}

/// A link-layer address: 6 pairs of hexadecimal digits (Ethernet), or 8 or 20 of them.
pub fn mac(value: &Value<'_>, d: &mut Diagnostics) -> Option<Vec<u8>> {
    let text = value.get::<String>(d)?;
    let pair = |pair: &str| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
    let legal = !text.value.contains('+');
    let bytes = legal.then(|| text.value.split([':', '-']).map(pair).collect::<Option<Vec<u8>>>()).flatten();
    if bytes.as_ref().is_none_or(|bytes| !matches!(bytes.len(), 6 | 8 | 20)) {
        d.error_with_hint(text.span, "not a MAC address", "expected one such as \"02:00:5e:10:00:01\"");
        return None;
    }
    bytes
}

/// An IP address of either family.
pub fn address(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<IpAddr>> {
    let text = value.get::<String>(d)?;
    let hint = match (text.value.parse::<IpAddr>(), text.value.split_once('/')) {
        (Ok(address), _) => return Some(Spanned::new(address, text.span)),
        (Err(_), Some((bare, _))) if bare.parse::<IpAddr>().is_ok() => format!("write \"{bare}\", without a length"),
        _ => "expected an address such as \"2001:db8::1\" or \"192.0.2.1\"".to_owned(),
    };
    d.error_with_hint(text.span, "not an IP address", hint);
    None
}

/// A prefix without host bits.
pub fn prefix(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Prefix>> {
    let text = value.get::<String>(d)?;
    let error = match text.value.parse::<IpPrefix>() {
        Ok(IpPrefix::V4(p)) => return Some(text.map(|_| Prefix::new(p.address().into(), p.length()))),
        Ok(IpPrefix::V6(p)) => return Some(text.map(|_| Prefix::new(p.address().into(), p.length()))),
        Err(error) => error,
    };
    let hint = match (&error, text.value.parse::<IpAddr>()) {
        (PrefixError::HostBits { meant }, _) => format!("write \"{meant}\""),
        (_, Ok(bare)) => format!("write \"{bare}/{}\" for this address alone", Family::of(bare).bits()),
        _ if text.value == "default" => "write \"::/0\" for all of IPv6, \"0.0.0.0/0\" for all of IPv4".to_owned(),
        _ => "expected a prefix such as \"2001:db8::/32\" or \"192.0.2.0/24\"".to_owned(),
    };
    d.error_with_hint(text.span, error.to_string(), hint);
    None
}

/// An address of an interface with the length of its prefix; its host bits are kept.
pub fn host_prefix(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Prefix>> {
    let text = value.get::<String>(d)?;
    let (bare, length) = text.value.split_once('/').map_or((text.value.as_str(), None), |(a, l)| (a, Some(l)));
    let Ok(address) = bare.parse::<IpAddr>() else {
        let hint = "expected an address with its length, such as \"2001:db8::1/64\" or \"192.0.2.1/24\"";
        d.error_with_hint(text.span, "not an address with a prefix length", hint);
        return None;
    };
    let most = Family::of(address).bits();
    let Some(length) = length else {
        let usual = if most == 128 { 64 } else { 24 };
        let hint = format!("write \"{bare}/{usual}\", or the length that the network has");
        d.error_with_hint(text.span, "the prefix length is missing", hint);
        return None;
    };
    let digits = (1..=3).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
    let Some(length) = length.parse::<u8>().ok().filter(|length| digits && *length <= most) else {
        d.error_with_hint(text.span, "not a prefix length", format!("write 0 to {most} behind the slash"));
        return None;
    };
    if address.is_multicast() || address.is_unspecified() || address == IpAddr::from([255, 255, 255, 255]) {
        d.error(text.span, format!("{address} cannot be the address of an interface"));
        return None;
    }
    Some(text.map(|_| Prefix::new(address, length)))
}

/// A field that says yes or no, with what stands in for its absence.
fn flag(value: Option<Value<'_>>, default: bool, d: &mut Diagnostics) -> bool {
    value.and_then(|v| v.get::<bool>(d)).map_or(default, |found| found.value)
}

/// The word for a family in messages.
const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
