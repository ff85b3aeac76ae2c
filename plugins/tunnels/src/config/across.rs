//! What no tunnel can be wrong about alone: two that are one to the kernel, routes and tables that two lay claim to.
//!
//! The kernel tells tunnels of a kind apart by their ends (and GRE by its key), and refuses the second one.

use std::collections::{HashMap, HashSet};

use portreeve_config::Diagnostics;
use portreeve_network::{Family, Route, read};

use super::read::Found;
use super::{Host, Kind, Local};

/// What the kernel tells tunnels apart by: kind, remote, local, key.
type Ends<'a> = (&'static str, Option<&'a Host>, &'a Local, Option<u32>);

pub(super) fn check(found: &[Found], d: &mut Diagnostics) {
    ends(found, d);
    let mut routes = HashMap::new();
    let mut ports = HashMap::new();
    for Found { tunnel, kind, routes: spans, keepalive, .. } in found {
        if let (Some(target), Some(span)) = (tunnel.keepalive_route(), keepalive)
            && let Some(other) = routes.insert(read::route_key(&Route::new(target)), &tunnel.name)
        {
            let message = format!("{other} has a route to {} too, and the keepalive needs one", target.address);
            d.error_with_hint(*span, message, "give each a target of its own");
        }
        for (route, span) in tunnel.routes.iter().zip(spans) {
            if let Some(other) = routes.insert(read::route_key(route), &tunnel.name).filter(|o| **o != tunnel.name) {
                let message = format!("{other} has a route to {} with the same metric", route.destination);
                d.error_with_hint(*span, message, "give one of the two another metric");
            }
        }
        if let Kind::WireGuard(wg) = &tunnel.kind
            && let Some(port) = wg.listen_port
            && let Some(other) = ports.insert(port, &tunnel.name)
        {
            d.error_with_hint(*kind, format!("{other} listens on port {port}, too"), "write another listen_port");
        }
    }
    sources(found, d);
}

fn ends(found: &[Found], d: &mut Diagnostics) {
    let mut seen: HashMap<Ends<'_>, &str> = HashMap::new();
    for Found { tunnel, kind, .. } in found {
        let Some(local) = tunnel.local() else { continue };
        let key = if let Kind::Gre { key, .. } = &tunnel.kind { *key } else { None };
        let ends = (tunnel.kernel_kind().0, tunnel.remote(), local, key);
        if let Some(other) = seen.insert(ends, &tunnel.name) {
            let message =
                format!("{other} is of the same kind and has the same ends: the kernel knows only one of them");
            d.error_with_hint(*kind, message, "write another remote or local, or keep one of the two");
        }
    }
}

/// A rule twice, and tables that lead two ways.
fn sources(found: &[Found], d: &mut Diagnostics) {
    let mut rules = HashSet::new();
    let mut tables: HashMap<(u32, Family), &str> = HashMap::new();
    for Found { tunnel, source_routes, .. } in found {
        for (source, span) in tunnel.source_routes.iter().zip(source_routes) {
            if !rules.insert((source.from, source.priority)) {
                let message = format!("{} is led somewhere with this priority already", source.from);
                d.error_with_hint(*span, message, "keep one of the two, or write another priority");
            }
            let family = Family::of(source.from.address);
            let owner = tables.entry((source.table, family)).or_insert(&tunnel.name);
            if *owner != tunnel.name {
                let message = format!("table {} already leads to {owner}", source.table);
                d.error_with_hint(*span, message, "write a table of its own for each tunnel");
            }
            let mut own = tunnel.routes.iter().filter(|route| route.table == source.table);
            if own.any(|r| r.destination.is_default() && Family::of(r.destination.address) == family) {
                let message = format!("routes already has a default route in table {}", source.table);
                d.error_with_hint(*span, message, "remove that one: a source route brings its own");
            }
        }
    }
}
