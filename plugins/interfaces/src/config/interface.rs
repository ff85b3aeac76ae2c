//! Reads one interface of the section.
//!
//! A pattern holds settings for links that are there, so whatever is for one link alone (a kind, hardware, a subnet of
//! a pool, a MAC address, a route) is refused in it.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use portreeve_config::{Diagnostics, Fields, Span, Spanned, Value};
use portreeve_network::{Address, Neighbour, read};
use serde::Deserialize;

use super::check::Checks;
use super::{InterfaceConfig, Pool, Subnet, hardware, kind, pool, sysctl};

/// `accept_ra` of ip-sysctl.
#[derive(Clone, Copy, Deserialize)]
enum AcceptRa {
    Off,
    WhenHost,
    Always,
}

/// `use_tempaddr` of ip-sysctl (RFC 8981).
#[derive(Clone, Copy, Deserialize)]
enum Privacy {
    Off,
    Available,
    Preferred,
}

/// `rp_filter` of ip-sysctl (RFC 3704).
#[derive(Clone, Copy, Deserialize)]
enum ReversePath {
    Off,
    Strict,
    Loose,
}

pub(super) fn read(
    key: &Spanned<String>,
    value: &Value<'_>,
    pools: &BTreeMap<String, Pool>,
    checks: &mut Checks,
    d: &mut Diagnostics,
) -> Option<InterfaceConfig> {
    let name = key.value.as_str();
    let pattern = name.contains('*');
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let mut config = InterfaceConfig::default();
    let matching = f.take("match");
    config.hardware = matching.and_then(|v| hardware::read(&v, d));
    let kind_value = f.take("kind");
    let made = kind_value.and_then(|v| kind::read(&v, d));
    let up = f.take("up").and_then(|v| v.get::<bool>(d));
    config.up = up.is_none_or(|up| up.value);
    let mtu = f.take("mtu").and_then(|v| read::mtu(&v, d));
    config.mtu = mtu.map(|mtu| mtu.value);
    let mac_value = f.take("mac");
    config.mac = mac_value.and_then(|v| link_mac(&v, d));
    let addresses = f.take("addresses").map_or_else(Vec::new, |v| read::spanned_addresses(&v, name, d));
    let subnets_value = f.take("subnets");
    let subnets: Vec<Spanned<Subnet>> = subnets_value
        .map_or_else(Vec::new, |v| v.list(d).iter().filter_map(|item| pool::subnet(item, pools, d)).collect());
    let routes_value = f.take("routes");
    let routes = routes_value.map_or_else(Vec::new, |v| read::spanned_routes(&v, Some(name), d));
    neighbours(f, name, &mut config.neighbours, d);
    let ipv6_span = parameters(f, &mut config, d);
    if config.neighbours.iter().any(|neighbour| neighbour.mac.is_none() && neighbour.address.is_ipv6()) {
        // The kernel answers for others only where it is told to (ip-sysctl, proxy_ndp).
        config.sysctls.push(("ipv6", "proxy_ndp".to_owned(), "1".to_owned()));
    }
    if let Some(value) = f.take("sysctls") {
        sysctl::of_interface(&value, &mut config.sysctls, d);
    }
    config.optional = f.take("optional").and_then(|v| v.get::<bool>(d)).is_some_and(|v| v.value);
    fields.finish(d);

    let alone = [
        (matching, "match"),
        (kind_value, "kind"),
        (mac_value, "mac"),
        (subnets_value, "subnets"),
        (routes_value, "routes"),
    ];
    for (value, field) in alone.into_iter().filter_map(|(value, field)| Some((value?, field))) {
        if pattern {
            let message = format!("{field} is for one interface, and a pattern is for several");
            d.error_with_hint(value.span(), message, "write it under the name of one interface");
        }
    }
    if let (Some(_), Some(value)) = (matching, kind_value) {
        let message = "an interface is made or is hardware, not both";
        d.error_with_hint(value.span(), message, "keep `match` or `kind`");
    }
    if name == "lo" {
        let down = up.filter(|up| !up.value).map(|up| up.span);
        let rest = [matching, kind_value, mac_value].map(|value| value.map(|v| v.span()));
        for span in rest.into_iter().flatten().chain(down) {
            d.error_with_hint(span, "lo is the kernel's own: always there, always up", "remove this");
        }
    }
    let ipv6 = addresses.iter().find(|address| address.value.address.address.is_ipv6());
    let ipv6 = ipv6.map(|address| address.span).or_else(|| subnets.first().map(|subnet| subnet.span));
    if let (Some(mtu), Some(_)) = (&mtu, ipv6)
        && mtu.value < 1280
    {
        let message = "mtu is below 1280, the least a link with IPv6 addresses may have";
        d.error_with_hint(mtu.span, message, "write 1280 or more");
    }
    if let (Some(span), Some(_)) = (ipv6_span, ipv6) {
        d.error_with_hint(span, "IPv6 is off here, but there are IPv6 addresses", "remove it or the addresses");
    }
    checks.addresses(key, &addresses, d);
    checks.subnets(name, &subnets, pools, &addresses, d);
    checks.routes(&routes, d);
    checks.hardware(config.hardware.as_ref(), matching.map(|v| v.span()), d);
    if let Some(made) = made {
        checks.made(key, &made, d);
        config.make = Some(made.kind);
        config.members = made.members.into_iter().map(|member| member.value).collect();
    }
    config.addresses = addresses.into_iter().map(|address: Spanned<Address>| address.value).collect();
    config.subnets = subnets.into_iter().map(|subnet| subnet.value).collect();
    config.routes = routes.into_iter().map(|route| route.value).collect();
    Some(config)
}

/// A MAC address that a link can be given: of one station.
fn link_mac(value: &Value<'_>, d: &mut Diagnostics) -> Option<Vec<u8>> {
    let mac = read::mac(value, d)?;
    if mac.first().is_some_and(|first| first & 1 == 1) || mac.iter().all(|byte| *byte == 0) {
        let message = "this MAC address belongs to no single station";
        d.error_with_hint(value.span(), message, "write one whose first byte is even, such as \"02:00:5e:10:00:01\"");
        return None;
    }
    Some(mac)
}

fn neighbours(f: &mut Fields<'_>, interface: &str, list: &mut Vec<Neighbour>, d: &mut Diagnostics) {
    let mut seen: HashSet<IpAddr> = HashSet::new();
    let mut note = |address: &Spanned<IpAddr>, d: &mut Diagnostics| {
        let new = seen.insert(address.value);
        if !new {
            d.error_with_hint(address.span, format!("{} is given twice", address.value), "keep one of the two");
        }
        new
    };
    if let Some(value) = f.take("neighbours") {
        for item in value.list(d) {
            let Some(mut fields) = item.fields(d) else { continue };
            let address = fields.require("address", d).and_then(|v| read::address(&v, d));
            let mac = fields.require("mac", d).and_then(|v| read::mac(&v, d));
            fields.finish(d);
            if let (Some(address), Some(mac)) = (address, mac)
                && note(&address, d)
            {
                list.push(Neighbour { interface: interface.to_owned(), address: address.value, mac: Some(mac) });
            }
        }
    }
    if let Some(value) = f.take("proxy") {
        for item in value.list(d) {
            if let Some(address) = read::address(&item, d)
                && note(&address, d)
            {
                list.push(Neighbour { interface: interface.to_owned(), address: address.value, mac: None });
            }
        }
    }
}

/// The parameters with names of their own. Gives the place of `ipv6: false`.
fn parameters(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) -> Option<Span> {
    let list = &mut config.sysctls;
    let mut set =
        |family: &'static str, name: &str, value: u32| list.push((family, name.to_owned(), value.to_string()));
    let ipv6 = f.take("ipv6").and_then(|v| v.get::<bool>(d));
    if let Some(on) = &ipv6 {
        set("ipv6", "disable_ipv6", u32::from(!on.value));
    }
    if let Some(value) = f.take("forwarding")
        && let Some(mut forwarding) = value.fields(d)
    {
        for family in ["ipv6", "ipv4"] {
            if let Some(on) = forwarding.take(family).and_then(|v| v.get::<bool>(d)) {
                set(family, "forwarding", u32::from(on.value));
            }
        }
        forwarding.finish(d);
    }
    if let Some(accept) = f.take("accept_ra").and_then(|v| v.get::<AcceptRa>(d)) {
        set("ipv6", "accept_ra", accept.value as u32);
    }
    if let Some(on) = f.take("autoconf").and_then(|v| v.get::<bool>(d)) {
        set("ipv6", "autoconf", u32::from(on.value));
    }
    if let Some(privacy) = f.take("privacy").and_then(|v| v.get::<Privacy>(d)) {
        set("ipv6", "use_tempaddr", privacy.value as u32);
    }
    if let Some(transmits) = f.take("dad_transmits").and_then(|v| read::within(&v, 0..=255_u32, "dad_transmits", d)) {
        set("ipv6", "dad_transmits", transmits.value);
    }
    if let Some(filter) = f.take("rp_filter").and_then(|v| v.get::<ReversePath>(d)) {
        set("ipv4", "rp_filter", filter.value as u32);
    }
    if let Some(on) = f.take("proxy_arp").and_then(|v| v.get::<bool>(d)) {
        set("ipv4", "proxy_arp", u32::from(on.value));
    }
    ipv6.filter(|on| !on.value).map(|on| on.span)
}
