//! Reads the section and one tunnel of it: what every kind has, its bounds, and what depends on the kind.
//!
//! Reading never stops at a mistake. A setting that the kind does not have is an error, not ignored; one that works
//! but does nothing where the packets go is a warning.

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::{Diagnostics, Fields, Span, Spanned, Value};
use portreeve_network::{Address, Family, Prefix, Route, Tunnel6Mode, read};

use super::{Config, Kind, Path, SourceRoute, Tos, Tunnel, across, kinds, traffic};

/// The bytes that an Ethernet frame holds: where a warning starts.
const ETHERNET: u32 = 1500;
/// Links that the kernel's tunnel modules make for themselves.
const KERNEL_OWN: [&str; 8] = ["lo", "sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0"];

/// A tunnel and the places that checks between tunnels need.
pub(super) struct Found {
    pub(super) tunnel: Tunnel,
    /// Of the word that says the kind.
    pub(super) kind: Span,
    pub(super) routes: Vec<Span>,
    pub(super) source_routes: Vec<Span>,
    pub(super) keepalive: Option<Span>,
}

pub(super) fn section(value: Value<'_>, d: &mut Diagnostics) -> Option<Config> {
    let mut fields = value.fields(d)?;
    let mut tunnels = BTreeMap::new();
    if let Some(value) = fields.require("tunnels", d) {
        let entries = value.entries(d);
        let found: Vec<Found> = entries.iter().filter_map(|(name, value)| tunnel(name, *value, d)).collect();
        if entries.is_empty() && !d.has_errors() {
            d.warning(value.span(), "no tunnel is listed, so there is nothing to do");
        }
        across::check(&found, d);
        tunnels = found.into_iter().map(|found| (found.tunnel.name.clone(), Arc::new(found.tunnel))).collect();
    }
    fields.finish(d);
    Some(Config { tunnels })
}

fn tunnel(key: &Spanned<String>, value: Value<'_>, d: &mut Diagnostics) -> Option<Found> {
    let name = &key.value;
    if let Err(message) = read::check_interface_name(name) {
        d.error_with_hint(key.span, message, "expected the name of the tunnel's interface, such as \"sixbone\"");
    } else if KERNEL_OWN.contains(&name.as_str()) {
        d.error_with_hint(key.span, format!("{name} is the kernel's own"), "write another name, such as \"sixbone\"");
    }
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let kind = f.require("kind", d).and_then(|v| kinds::kind(&v, d));
    let kind_of = kind.as_ref().map(|found| &found.kind);
    let sit = matches!(kind_of, Some(Kind::SixInFour { .. } | Kind::SixRd(_)) | None);
    let up = flag(f, "up", true, d);
    let ttl = ttl(f, kind_of, d);
    let tos = only(f, "tos", sit, "SixInFour and SixRd", d).and_then(|v| tos(&v, d)).unwrap_or(Tos::Inherit);
    let dont_fragment = only(f, "dont_fragment", sit, "SixInFour and SixRd", d);
    let dont_fragment = dont_fragment.and_then(|v| v.get::<bool>(d)).is_none_or(|found| found.value);
    let mtu_value = f.take("mtu");
    let clamp_value = f.take("mss_clamp");
    let clamp = clamp_value.and_then(|v| v.get::<bool>(d));
    let addresses = f.take("addresses").map(|v| read::spanned_addresses(&v, name, d)).unwrap_or_default();
    let routes = f.take("routes").map(|v| read::spanned_routes(&v, Some(name), d)).unwrap_or_default();
    let source_routes = f.take("source_routes").map(|v| traffic::source_routes(&v, d)).unwrap_or_default();
    let own_value = f.take("own_prefixes");
    let own_prefixes = own_value.map(|v| traffic::own_prefixes(&v, d)).unwrap_or_default();
    let keepalive_value = f.take("keepalive");
    let keepalive = keepalive_value.and_then(|v| traffic::keepalive(v, d));
    let failover = f.take("failover").and_then(|v| v.get::<bool>(d));
    if let Some(failover) = failover
        && failover.value
        && keepalive_value.is_none()
    {
        d.error_with_hint(failover.span, "failover needs keepalive to notice anything", "add `keepalive: (target: …)`");
    }
    fields.finish(d);
    let kinds::Found { kind, span } = kind?;
    lasting(&addresses, d);
    carried(&kind, &addresses, &routes, &source_routes, keepalive_value, d);
    let mtu = mtu(&kind, mtu_value, addresses.iter().any(|a| a.value.address.address.is_ipv6()), d);
    let mut tunnel = Tunnel {
        name: name.clone(),
        kind,
        up,
        ttl,
        tos,
        dont_fragment,
        mtu,
        mss_clamp: clamp.as_ref().is_none_or(|clamp| clamp.value),
        addresses: addresses.into_iter().map(|address| address.value).collect(),
        routes: Vec::new(),
        source_routes: source_routes.iter().map(|source| source.value).collect(),
        own_prefixes,
        keepalive,
        failover: failover.is_some_and(|failover| failover.value),
    };
    let route_spans = routes.iter().map(|route| route.span).collect();
    tunnel.routes = routes.into_iter().map(|route| route.value).collect();
    if tunnel.path() != Path::Userspace
        && let Some(clamp) = clamp.filter(|clamp| clamp.value)
    {
        let message = "only the userspace path clamps the MSS, the kernel does not";
        d.warning_with_hint(clamp.span, message, "have the firewall clamp it, and remove this");
    }
    traffic::reachable(&tunnel, keepalive_value, own_value, d);
    let source_routes = source_routes.iter().map(|source| source.span).collect();
    let keepalive = keepalive_value.map(|value| value.span());
    Some(Found { tunnel, kind: span, routes: route_spans, source_routes, keepalive })
}

fn flag(f: &mut Fields<'_>, name: &'static str, default: bool, d: &mut Diagnostics) -> bool {
    f.take(name).and_then(|v| v.get::<bool>(d)).map_or(default, |found| found.value)
}

/// A field that only some kinds have.
fn only<'a>(f: &mut Fields<'a>, name: &'static str, has: bool, who: &str, d: &mut Diagnostics) -> Option<Value<'a>> {
    let value = f.take(name)?;
    if !has {
        d.error_with_hint(value.span(), format!("this kind of tunnel has no {name}, only {who}"), "remove it");
    }
    has.then_some(value)
}

/// `ttl`, or `hop_limit` where the outer packets are IPv6. 64 as the kernel's own packets have it (RFC 1700).
fn ttl(f: &mut Fields<'_>, kind: Option<&Kind>, d: &mut Diagnostics) -> u8 {
    let in_ipv6 = matches!(kind, Some(Kind::Ip6Tunnel { .. }));
    let has_ttl = !in_ipv6 && !matches!(kind, Some(Kind::WireGuard(_)));
    let who = if in_ipv6 { "SixInFour, SixRd and Gre; write hop_limit" } else { "SixInFour, SixRd and Gre" };
    let ttl = only(f, "ttl", has_ttl, who, d);
    let hop_limit = only(f, "hop_limit", in_ipv6 || kind.is_none(), "Ip6Tunnel", d);
    let found = ttl.or(hop_limit).and_then(|v| read::within::<u8>(&v, 0..=255, "ttl", d));
    found.map_or(64, |found| found.value)
}

fn tos(value: &Value<'_>, d: &mut Diagnostics) -> Option<Tos> {
    match (value.name().map(|name| name.value), value.single()) {
        (Some("Inherit"), None) => Some(Tos::Inherit),
        (Some("Fixed"), Some(inner)) => {
            let found = read::within::<u8>(&inner, 0..=255, "tos", d)?;
            if found.value & 3 != 0 {
                let message = "the two lowest bits belong to congestion notification (RFC 6040)";
                d.error_with_hint(found.span, message, format!("write {}", found.value & 0xfc));
            }
            Some(Tos::Fixed(found.value & 0xfc))
        }
        _ => {
            d.error_with_hint(value.span(), "expected a traffic class", "write Inherit or Fixed(0)");
            None
        }
    }
}

/// The outer headers, in bytes.
const fn overhead(kind: &Kind) -> u32 {
    match kind {
        Kind::SixInFour { .. } | Kind::SixRd(_) => 20, // RFC 4213 section 3.2
        // RFC 2473 section 6: IPv6 header, and 8 for a tunnel encapsulation limit.
        Kind::Ip6Tunnel { encapsulation_limit: None, .. } => 40,
        Kind::Ip6Tunnel { encapsulation_limit: Some(_), .. } => 48,
        Kind::Gre { outer, key, .. } => {
            let header = if matches!(outer, Family::Ipv4) { 24 } else { 44 };
            if key.is_some() { header + 4 } else { header }
        }
        Kind::WireGuard(_) => 80, // over IPv6: 40 + 8 + 32
    }
}

fn mtu(kind: &Kind, value: Option<Value<'_>>, has_ipv6: bool, d: &mut Diagnostics) -> u32 {
    let usual = ETHERNET - overhead(kind);
    let Some(value) = value else { return usual };
    let ipv6 = match kind {
        Kind::SixInFour { .. } | Kind::SixRd(_) => true,
        Kind::Ip6Tunnel { mode, .. } => !matches!(mode, Tunnel6Mode::Ipv4),
        Kind::WireGuard(wg) => has_ipv6 || wg.peers.iter().flat_map(|peer| &peer.allowed_ips).any(is_ipv6),
        Kind::Gre { .. } => has_ipv6,
    };
    // RFC 8200 section 5, RFC 791; an IP packet has at most 65535 bytes.
    let least = if ipv6 { 1280 } else { 68 };
    let Some(found) = read::within::<u32>(&value, least..=65_535 - overhead(kind), "mtu", d) else { return usual };
    if found.value > usual {
        let message = format!("with the outer headers that is more than the {ETHERNET} bytes of an Ethernet frame");
        d.warning_with_hint(
            found.span,
            message,
            format!("write at most {usual}, unless every link on the way has more"),
        );
    }
    found.value
}

const fn is_ipv6(prefix: &Prefix) -> bool {
    prefix.address.is_ipv6()
}

/// Nobody renews an address of a tunnel, so it may be without new connections from the start, but not come to an end.
fn lasting(addresses: &[Spanned<Address>], d: &mut Diagnostics) {
    for Spanned { value: address, span } in addresses {
        if address.valid_lifetime.is_some() || address.preferred_lifetime.is_some_and(|seconds| seconds != 0) {
            let hint = "remove the lifetimes; only `preferred_lifetime: \"0s\"` may stand here";
            d.error_with_hint(*span, "the addresses of a tunnel last as long as it does", hint);
        }
    }
}

/// Addresses, routes and the keepalive must be of what the tunnel carries.
fn carried(
    kind: &Kind,
    addresses: &[Spanned<Address>],
    routes: &[Spanned<Route>],
    sources: &[Spanned<SourceRoute>],
    keepalive: Option<Value<'_>>,
    d: &mut Diagnostics,
) {
    let (other, name) = match kind {
        Kind::SixInFour { .. } | Kind::SixRd(_) => (Family::Ipv4, "IPv6"),
        Kind::Ip6Tunnel { mode: Tunnel6Mode::Ipv6, .. } => (Family::Ipv4, "IPv6"),
        Kind::Ip6Tunnel { mode: Tunnel6Mode::Ipv4, .. } => (Family::Ipv6, "IPv4"),
        _ => return,
    };
    let addresses = addresses.iter().filter(|a| Family::of(a.value.address.address) == other).map(|a| a.span);
    let routes = routes.iter().filter(|r| Family::of(r.value.destination.address) == other).map(|r| r.span);
    let sources = sources.iter().filter(|s| Family::of(s.value.from.address) == other).map(|s| s.span);
    let echo = keepalive.filter(|_| other == Family::Ipv6).map(|v| v.span());
    for span in addresses.chain(routes).chain(sources).chain(echo) {
        d.error_with_hint(
            span,
            format!("this tunnel carries only {name}"),
            "remove it, or write another kind of tunnel",
        );
    }
}
