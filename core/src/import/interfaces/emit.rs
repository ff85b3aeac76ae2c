//! The plan as `router.ron`, formatted as the one of the image.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::ron::{Item, Node, comments, field, quoted, text, write};
use super::plan::{Address, Entry, Kind, Place, Plan, Route, Sysctl};

mod kind;

/// The order of an entry's scalar fields.
const BEFORE_ADDRESSES: [&str; 7] = ["mtu", "mac", "ttl", "hop_limit", "tos", "ipv6", "optional"];
const AFTER_ADDRESSES: [&str; 6] = ["accept_ra", "autoconf", "privacy", "rp_filter", "dad_transmits", "proxy_arp"];

/// Writes all of it.
pub(super) fn emit(plan: &Plan, source: &str) -> String {
    let is_tunnel = |entry: &&Entry| entry.kind.as_ref().is_some_and(Kind::is_tunnel);
    let tunnels: Vec<Item> = plan.entries.iter().filter(is_tunnel).map(entry).collect();
    let interfaces: Vec<Item> = plan.entries.iter().filter(|entry| !is_tunnel(entry)).map(entry).collect();
    let mut section = Vec::new();
    if !plan.forwarding.is_empty() {
        section.push(field("forwarding", flags(&plan.forwarding)));
    }
    if !interfaces.is_empty() {
        section.push(field("interfaces", spread("{", interfaces)));
    }
    if !plan.routes.is_empty() {
        section.push(field("routes", spread("[", plan.routes.iter().map(|r| route(r, true)).collect())));
    }
    if !plan.rules.is_empty() {
        let rule = |fields: &Vec<(&str, String)>| fields.iter().map(|(name, value)| text(name, value)).collect();
        let rules = plan.rules.iter().map(|r| field("", Node::group("(", rule(&r.fields)))).collect();
        section.push(field("rules", spread("[", rules)));
    }
    if !plan.sysctls.is_empty() {
        let named = |s: &Sysctl| text(&quoted(&joined(&s.parts)), quoted(&s.value));
        section.push(field("sysctls", spread("{", plan.sysctls.iter().map(named).collect())));
    }

    let mut out = format!("// Imported from {source}; look at what stands in comments before it is put in force.\n");
    out.push_str("Router(\n    plugins: {\n");
    comments(&texts(&plan.comments), 2, &mut out);
    plugin("interfaces", &section, &mut out);
    if !tunnels.is_empty() {
        plugin("tunnels", &[field("tunnels", spread("{", tunnels))], &mut out);
    }
    out.push_str("    },\n)\n");
    out
}

fn texts(comments: &[(Place, String)]) -> Vec<String> {
    comments.iter().map(|(_, text)| text.clone()).collect()
}

fn plugin(name: &str, section: &[Item], out: &mut String) {
    if section.is_empty() {
        return;
    }
    out.push_str(&format!("        \"{name}\": (config: (\n"));
    for item in section {
        write(item, 3, out);
    }
    out.push_str("        )),\n");
}

fn spread(open: &str, items: Vec<Item>) -> Node {
    Node::Group { open: open.into(), items, spread: true }
}

/// The name of a kernel parameter, with dots if no part has one.
fn joined(parts: &[String]) -> String {
    parts.join(if parts.iter().any(|part| part.contains('.')) { "/" } else { "." })
}

fn flags(flags: &BTreeMap<&'static str, bool>) -> Node {
    Node::group("(", flags.iter().map(|(name, on)| text(name, on)).collect())
}

fn entry(entry: &Entry) -> Item {
    let mut items = Vec::new();
    if let Some(mac) = &entry.matched_mac {
        items.push(field("match", Node::group("(", vec![text("mac", quoted(mac))])));
    }
    if let Some(made) = &entry.kind {
        items.push(field("kind", kind::kind(made)));
    }
    if !entry.up {
        items.push(text("up", false));
    }
    let scalar = |name: &&'static str| entry.fields.get(name).map(|value| text(name, value));
    items.extend(BEFORE_ADDRESSES.iter().filter_map(scalar));
    if !entry.addresses.is_empty() {
        items.push(field("addresses", Node::list(entry.addresses.iter().map(address))));
    }
    if !entry.routes.is_empty() {
        items.push(field("routes", Node::group("[", entry.routes.iter().map(|r| route(r, false)).collect())));
    }
    if !entry.neighbours.is_empty() {
        let neighbour = |(address, mac): &(IpAddr, String)| {
            Node::group("(", vec![text("address", quoted(&address.to_string())), text("mac", quoted(mac))])
        };
        items.push(field("neighbours", Node::list(entry.neighbours.iter().map(neighbour))));
    }
    if !entry.proxy.is_empty() {
        items.push(field("proxy", Node::list(entry.proxy.iter().map(|a| Node::string(&a.to_string())))));
    }
    if !entry.forwarding.is_empty() {
        items.push(field("forwarding", flags(&entry.forwarding)));
    }
    items.extend(AFTER_ADDRESSES.iter().filter_map(scalar));
    if !entry.sysctls.is_empty() {
        let named = |(name, value): (&String, &String)| text(&quoted(name), quoted(value));
        items.push(field("sysctls", Node::group("{", entry.sysctls.iter().map(named).collect())));
    }
    let spread = items.len() > 1;
    let node = Node::Group { open: "(".into(), items, spread };
    Item { comments: texts(&entry.comments), key: quoted(&entry.name), node }
}

fn address(address: &Address) -> Node {
    let net = quoted(&address.net.to_string());
    if *address == Address::new(address.net) {
        return Node::Text(net);
    }
    let mut items = vec![text("address", net)];
    items.extend(address.peer.map(|peer| text("peer", quoted(&peer.to_string()))));
    let seconds = |name, value: Option<u32>| value.map(|value| text(name, quoted(&format!("{value}s"))));
    items.extend(seconds("preferred_lifetime", address.preferred));
    items.extend(seconds("valid_lifetime", address.valid));
    if !address.dad {
        items.push(text("dad", false));
    }
    Node::group("(", items)
}

/// A route; `named` writes its interface, too.
fn route(route: &Route, named: bool) -> Item {
    let mut items = vec![text("to", quoted(&route.to.to_string()))];
    items.extend(route.from.map(|from| text("from", quoted(&from.to_string()))));
    items.extend(route.via.map(|via| text("via", quoted(&via.to_string()))));
    items.extend(route.dev.iter().filter(|_| named).map(|dev| text("interface", quoted(dev))));
    items.extend(route.kind.map(|kind| text("kind", kind)));
    items.extend(route.metric.map(|metric| text("metric", metric)));
    items.extend(route.table.map(|table| text("table", table)));
    items.extend(route.source.map(|source| text("preferred_source", quoted(&source.to_string()))));
    items.extend(route.mtu.map(|mtu| text("mtu", mtu)));
    if route.on_link {
        items.push(text("on_link", true));
    }
    field("", Node::group("(", items))
}
