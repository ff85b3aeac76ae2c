//! What the section means, in words for people: a line for each pool and interface, and for what belongs to neither.

use std::fmt::Write as _;

use portreeve_config::Pattern;
use portreeve_network::{Kind, Route};

use super::{Config, InterfaceConfig, PoolSource};

/// As many items are listed before they are only counted.
const LISTED: usize = 4;

/// What the section means, for people: a line each for pools and interfaces.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (name, pool) in &config.pools {
        let source = match &pool.source {
            PoolSource::Static(prefix) => prefix.to_string(),
            PoolSource::Delegated { from: Some(from) } => format!("delegated by {from}"),
            PoolSource::Delegated { from: None } => "delegated".to_owned(),
        };
        let rest = if pool.unreachable { "; what is not used is unreachable" } else { "" };
        let _ = writeln!(text, "pool {name}: {source}{rest}");
    }
    for (name, interface) in config.sections() {
        let _ = writeln!(text, "{name}: {}", describe(interface));
    }
    if !config.routes.is_empty() {
        let _ = writeln!(text, "routes: {}", list(config.routes.iter().map(route), "routes"));
    }
    if !config.rules.is_empty() {
        let _ = writeln!(text, "rules: {}", config.rules.len());
    }
    if !config.sysctls.is_empty() {
        let sysctls = config.sysctls.iter().map(|sysctl| format!("{} = {}", sysctl.name, sysctl.value));
        let _ = writeln!(text, "kernel: {}", list(sysctls, "parameters"));
    }
    text
}

fn describe(interface: &InterfaceConfig) -> String {
    let mut parts = Vec::new();
    if let Some(hardware) = &interface.hardware {
        parts.push(format!("hardware {hardware}"));
    }
    if let Some(kind) = &interface.make {
        parts.push(made(kind, &interface.members));
    }
    if !interface.up {
        parts.push("down".to_owned());
    }
    parts.extend(interface.mtu.map(|mtu| format!("mtu {mtu}")));
    if !interface.addresses.is_empty() {
        parts.push(list(interface.addresses.iter().map(|address| address.address.to_string()), "addresses"));
    }
    if !interface.subnets.is_empty() {
        let subnets = interface.subnets.iter().map(|subnet| format!("{}#{}", subnet.pool, subnet.number));
        parts.push(format!("subnets {}", list(subnets, "subnets")));
    }
    if !interface.routes.is_empty() {
        parts.push(format!("routes {}", list(interface.routes.iter().map(route), "routes")));
    }
    for (count, one, many) in [
        (interface.neighbours.len(), "neighbour", "neighbours"),
        (interface.sysctls.len(), "kernel parameter", "kernel parameters"),
    ] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{count} {many}")),
        }
    }
    if interface.optional {
        parts.push("optional".to_owned());
    }
    if parts.is_empty() { "up".to_owned() } else { parts.join("; ") }
}

fn made(kind: &Kind, members: &[Pattern]) -> String {
    let with = match kind {
        Kind::Vlan(vlan) => format!(" {} of {}", vlan.id, vlan.parent),
        Kind::Macvlan(macvlan) => format!(" of {}", macvlan.parent),
        Kind::Veth(veth) => format!(" to {}", veth.peer),
        Kind::Vrf { table } => format!(" with table {table}"),
        _ => String::new(),
    };
    let of = if members.is_empty() { String::new() } else { format!(" of {}", list(members, "links")) };
    format!("{}{with}{of}", kind.name())
}

fn route(route: &Route) -> String {
    let via = route.gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
    let kind = match route.kind {
        portreeve_network::RouteKind::Unicast => String::new(),
        other => format!(" {}", format!("{other:?}").to_lowercase()),
    };
    format!("{}{via}{kind}", route.destination)
}

/// The items themselves where they are few, else their number.
fn list(items: impl IntoIterator<Item = impl ToString, IntoIter: ExactSizeIterator>, what: &str) -> String {
    let items = items.into_iter();
    if items.len() > LISTED {
        return format!("{} {what}", items.len());
    }
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
