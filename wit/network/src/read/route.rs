//! A list of routes: `[(to: "::/0", via: "2001:db8::1")]`.

use std::collections::HashSet;
use std::net::IpAddr;

use portreeve_config::{Diagnostics, Span, Spanned, Value};

use super::{address, family_name, flag, interface_name, mtu, prefix, table, within};
use crate::{Family, MAIN_TABLE, Prefix, Route, RouteKind};

/// What tells one route from another for the kernel: table, destination, source, metric.
pub type RouteKey = (u32, Prefix, Option<Prefix>, u32);

/// The key of a route.
#[must_use]
pub fn route_key(route: &Route) -> RouteKey {
    (route.table, route.destination, route.source, route.effective_metric())
}

/// Routes through `interface`; without one each may name its own.
pub fn routes(value: &Value<'_>, interface: Option<&str>, d: &mut Diagnostics) -> Vec<Route> {
    spanned_routes(value, interface, d).into_iter().map(|route| route.value).collect()
}

/// The same, each with the place of its destination.
pub fn spanned_routes(value: &Value<'_>, interface: Option<&str>, d: &mut Diagnostics) -> Vec<Spanned<Route>> {
    let mut seen: HashSet<RouteKey> = HashSet::new();
    let mut list = Vec::new();
    for item in value.list(d) {
        let Some(found) = one(&item, interface, d) else { continue };
        if seen.insert(route_key(&found.value)) {
            list.push(found);
        } else {
            let message = format!("route {} is given twice with the same metric", found.value.destination);
            d.error_with_hint(found.span, message, "keep one of the two, or give one of them another metric");
        }
    }
    list
}

fn one(item: &Value<'_>, interface: Option<&str>, d: &mut Diagnostics) -> Option<Spanned<Route>> {
    let mut fields = item.fields(d)?;
    let f = &mut fields;
    let destination = f.require("to", d).and_then(|v| prefix(&v, d));
    let via = f.take("via");
    let gateway = via.and_then(|v| address(&v, d));
    let source = f.take("from").and_then(|v| prefix(&v, d));
    let metric = f.take("metric").and_then(|v| within(&v, 0..=u32::MAX - 1, "metric", d));
    let number = f.take("table").and_then(|v| table(&v, d));
    let kind = f.take("kind");
    let kind_span = kind.map_or_else(|| f.span(), |v| v.span());
    let kind = kind.and_then(|v| v.get::<RouteKind>(d)).map_or(RouteKind::Unicast, |found| found.value);
    let preferred_source = f.take("preferred_source").and_then(|v| address(&v, d));
    let path_mtu = f.take("mtu").and_then(|v| mtu(&v, d));
    let on_link_value = f.take("on_link");
    let on_link = flag(on_link_value, false, d);
    let own = if interface.is_none() { f.take("interface") } else { None };
    let through = own.and_then(|v| interface_name(&v, d));
    fields.finish(d);
    let destination = destination?;
    let family = Family::of(destination.value.address);

    for (found, what) in [(&gateway, "via"), (&preferred_source, "preferred_source")] {
        if let Some(found) = found {
            usable(found, what, family, d);
        }
    }
    if let Some(source) = &source {
        source_of(source, family, d);
    }
    if let (Some(mtu), Family::Ipv6) = (&path_mtu, family)
        && mtu.value < 1280
    {
        let message = "mtu is below 1280, the least an IPv6 path may have";
        d.error_with_hint(mtu.span, message, "write 1280 or more");
    }
    if kind == RouteKind::Unicast {
        if via.is_none() && own.is_none() && interface.is_none() {
            let hint = "add `via: \"…\",` or `interface: \"…\",`";
            d.error_with_hint(destination.span, "the route leads nowhere: it has no via and no interface", hint);
        }
        if let Some(gateway) = &gateway
            && is_link_local(gateway.value)
            && own.is_none()
            && interface.is_none()
        {
            let message = "a link-local via means nothing without its interface";
            d.error_with_hint(gateway.span, message, "add `interface: \"…\",`");
        }
    } else {
        dead_end(via.or(own).map(|v| v.span()), interface, kind_span, d);
    }
    if let (Some(value), true, None) = (on_link_value, on_link, via) {
        d.error_with_hint(value.span(), "on_link says something about via, and there is none", "remove it");
    }
    let mut route = Route::new(destination.value);
    route.source = source.map(|source| source.value);
    route.kind = kind;
    route.gateway = gateway.map(|gateway| gateway.value);
    route.interface = interface.map(str::to_owned).or_else(|| through.map(|name| name.value));
    route.metric = metric.map(|metric| metric.value);
    route.table = number.unwrap_or(MAIN_TABLE);
    route.preferred_source = preferred_source.map(|address| address.value);
    route.mtu = path_mtu.map(|mtu| mtu.value);
    route.on_link = on_link;
    Some(Spanned::new(route, destination.span))
}

/// A next router or a source address: of the route's family, and of one host.
fn usable(found: &Spanned<IpAddr>, what: &str, family: Family, d: &mut Diagnostics) {
    let name = family_name(family);
    if Family::of(found.value) != family {
        let message = format!("{what} is not of the family of the route, {name}");
        d.error_with_hint(found.span, message, format!("write an {name} address"));
    } else if found.value.is_unspecified() || found.value.is_multicast() {
        d.error_with_hint(found.span, format!("{what} is no address of a host"), "write the address of one router");
    }
}

fn source_of(source: &Spanned<Prefix>, family: Family, d: &mut Diagnostics) {
    if family == Family::Ipv4 {
        let hint = "write a rule with `from` and a table of its own";
        d.error_with_hint(source.span, "IPv4 routes cannot depend on the source", hint);
    } else if Family::of(source.value.address) != family {
        d.error_with_hint(source.span, "from is not of the family of the route, IPv6", "write an IPv6 prefix");
    }
}

/// Routes that end here have no next router and no interface.
fn dead_end(through: Option<Span>, interface: Option<&str>, kind: Span, d: &mut Diagnostics) {
    if let Some(span) = through {
        let message = "only unicast routes lead to a router or through an interface";
        d.error_with_hint(span, message, "remove it, or write `kind: Unicast`");
    } else if interface.is_some() {
        let message = "a route that ends here belongs to no interface";
        d.error_with_hint(kind, message, "write it among the routes of the whole section");
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
