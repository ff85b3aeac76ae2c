//! The ends of a tunnel: addresses that packets can be sent to and from, host names, and where our own comes from.
//!
//! What is refused here cannot be one end of a tunnel on any network (RFC 6890); private addresses can, behind a NAT
//! that hands protocol 41 on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use portreeve_config::{Diagnostics, Span, Spanned, Value};
use portreeve_network::{Family, read};

/// The address of the former 6to4 relays (RFC 3068), which RFC 7526 took out of use.
const RELAY_6TO4: Ipv4Addr = Ipv4Addr::new(192, 88, 99, 1);

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name that is looked up, again and again.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Our end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Local {
    /// What the kernel would send from.
    #[default]
    Auto,
    /// This address.
    Address(IpAddr),
    /// The first global address of this interface, followed when it changes.
    Interface(String),
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Address(address) => address.fmt(f),
            Self::Interface(name) => f.write_str(name),
        }
    }
}

/// Why `address` cannot be an end of a tunnel.
pub(crate) fn unusable(address: IpAddr) -> Option<&'static str> {
    let why = match address {
        IpAddr::V4(a) if a.octets()[0] == 0 => "belongs to no host",
        IpAddr::V4(a) if a.is_broadcast() => "is the broadcast address",
        IpAddr::V4(a) if a.octets()[0] >= 240 => "is reserved",
        IpAddr::V6(a) if a.is_unspecified() => "belongs to no host",
        IpAddr::V6(a) if a.is_unicast_link_local() => "is only good on one link",
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => "is an IPv4 address in IPv6 form",
        _ if address.is_loopback() => "is a loopback address",
        _ if address.is_multicast() => "is a multicast address",
        _ => return None,
    };
    Some(why)
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

const fn family_example(family: Option<Family>) -> &'static str {
    match family {
        Some(Family::Ipv4) => "expected an IPv4 address such as \"192.0.2.1\"",
        Some(Family::Ipv6) => "expected an IPv6 address such as \"2001:db8::1\"",
        None => "expected an address such as \"192.0.2.1\" or \"2001:db8::1\"",
    }
}

/// Whether `address` may stand at `span`; says why not.
fn legal(address: IpAddr, family: Option<Family>, span: Span, d: &mut Diagnostics) -> bool {
    if let Some(family) = family.filter(|family| *family != Family::of(address)) {
        let message = format!("{address} is not an {} address", family_name(family));
        d.error_with_hint(span, message, family_example(Some(family)));
        return false;
    }
    if let Some(why) = unusable(address) {
        d.error_with_hint(span, format!("{address} {why} and cannot be an end of a tunnel"), family_example(family));
        return false;
    }
    if address == IpAddr::V4(RELAY_6TO4) {
        d.warning_with_hint(
            span,
            "6to4 relays are out of use (RFC 7526), hardly anything answers here",
            "use 6in4 to a tunnel server, or 6rd of your provider",
        );
    }
    true
}

/// An address that can be an end of a tunnel.
pub(super) fn address(v: Value<'_>, family: Option<Family>, d: &mut Diagnostics) -> Option<Spanned<IpAddr>> {
    let text = v.get::<String>(d)?;
    match text.value.parse::<IpAddr>() {
        Ok(address) => legal(address, family, text.span, d).then_some(Spanned::new(address, text.span)),
        Err(_) => {
            d.error_with_hint(text.span, "not an address", family_example(family));
            None
        }
    }
}

/// An address or a host name.
pub(super) fn host(value: Value<'_>, family: Option<Family>, d: &mut Diagnostics) -> Option<Spanned<Host>> {
    let text = value.get::<String>(d)?;
    host_text(&text.value, family, text.span, d).map(|host| Spanned::new(host, text.span))
}

/// The same, of a part of a value.
pub(super) fn host_text(text: &str, family: Option<Family>, span: Span, d: &mut Diagnostics) -> Option<Host> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return legal(address, family, span, d).then_some(Host::Address(address));
    }
    if !is_host_name(text) {
        let hint = format!("{}, or a name such as \"tunnel.example.net\"", family_example(family));
        d.error_with_hint(span, format!("\"{text}\" is neither an address nor a host name"), hint);
        return None;
    }
    Some(Host::Name(text.trim_end_matches('.').to_ascii_lowercase()))
}

/// RFC 1123 section 2.1, with underscores. A name whose last label is a number would be an address with a mistake.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (1..=253).contains(&name.len()) && name.split('.').all(label) && !last_is_number
}

/// `Auto`, `Address("…")` or `Interface("…")`.
pub(super) fn local(value: Value<'_>, family: Option<Family>, d: &mut Diagnostics) -> Option<Spanned<Local>> {
    let name = value.name().map(|name| name.value);
    let found = match (name, value.single()) {
        (Some("Auto"), None) => Local::Auto,
        (Some("Address"), Some(inner)) => Local::Address(address(inner, family, d)?.value),
        (Some("Interface"), Some(inner)) => Local::Interface(read::interface_name(&inner, d)?.value),
        _ => {
            d.error_with_hint(
                value.span(),
                "expected our end of the tunnel",
                "write Auto, Address(\"192.0.2.2\") or Interface(\"wan0\")",
            );
            return None;
        }
    };
    Some(Spanned::new(found, value.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_address_is_no_host_name() {
        assert!(is_host_name("tunnel.example.net") && is_host_name("a_b.example.") && is_host_name("localhost"));
        for bad in ["192.0.2.300", "192.0.2", "", ".", "a..b", "-a.b", "a b", "2001:db8::g", &"a".repeat(64)] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
