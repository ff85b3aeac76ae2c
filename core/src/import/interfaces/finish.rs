//! What needs the whole picture: what comes up with something else, where kernel parameters and routes belong, and
//! whether a tunnel's IPv6 goes any further.

use super::plan::{Entry, Kind, Place, Plan, Route};

/// Fields that the plugin `tunnels` does not have, with what ifupdown calls them.
const NOT_OF_TUNNELS: [(&str, &str); 4] =
    [("mac", "hwaddress"), ("accept_ra", "accept_ra"), ("autoconf", "autoconf"), ("privacy", "privext")];

/// Puts everything in its place.
pub(super) fn finish(plan: &mut Plan) {
    bonds(plan);
    come_up(plan);
    tunnels(plan);
    sysctls(plan);
    routes(plan);
    forwarding(plan);
    let router = plan.forwarding.get("ipv6") == Some(&true);
    for entry in &mut plan.entries {
        entry.comments.sort_by(|(a, _), (b, _)| (&a.file, a.line).cmp(&(&b.file, b.line)));
        let own = entry.kind.as_ref().is_none_or(|kind| !kind.is_tunnel()) && entry.name != "lo";
        // A router takes no addresses from advertisements anyway.
        if entry.static_ipv6 && own && !router {
            entry.fields.entry("autoconf").or_insert_with(|| "false".into());
        }
        if entry.hotplug && entry.up && entry.kind.is_none() {
            entry.fields.insert("optional", "true".into());
        }
    }
    plan.comments.sort_by(|(a, _), (b, _)| (&a.file, a.line).cmp(&(&b.file, b.line)));
    plan.notes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    plan.mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
}

/// Members that name their bond.
fn bonds(plan: &mut Plan) {
    for (bond, member) in std::mem::take(&mut plan.bonded) {
        let place = plan.find(&member).and_then(|entry| entry.place.clone());
        let known = plan.entries.iter_mut().find(|entry| entry.name == bond).and_then(|entry| entry.kind.as_mut());
        match (known, place) {
            (Some(Kind::Bond { members, .. }), _) if !members.contains(&member) => members.push(member),
            (Some(Kind::Bond { .. }), _) | (None, None) => {}
            (_, Some(place)) => {
                plan.mistake(
                    &place,
                    format!("{member} belongs to {bond}, which is no bond; add `bond-mode` to {bond}"),
                );
            }
            _ => {}
        }
    }
}

/// What a link needs is up when the link is.
fn come_up(plan: &mut Plan) {
    let below: Vec<String> = plan.entries.iter().flat_map(needs).collect();
    for name in std::mem::take(&mut plan.brought_up) {
        match plan.entries.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => entry.up = true,
            // What something stands on comes up with it.
            None if super::value::is_interface_name(&name) && name != "lo" && !below.contains(&name) => {
                plan.entry(&name).up = true;
            }
            None => {}
        }
    }
    for _ in 0..8 {
        let needed: Vec<String> = plan.entries.iter().filter(|entry| entry.up).flat_map(needs).collect();
        plan.entries.iter_mut().filter(|entry| needed.contains(&entry.name)).for_each(|entry| entry.up = true);
    }
    let by_hand: Vec<(Place, String)> = plan
        .entries
        .iter()
        .filter(|entry| !entry.up)
        .filter_map(|entry| Some((entry.place.clone()?, entry.name.clone())))
        .collect();
    for (place, name) in by_hand {
        let entry = plan.entry(&name);
        let message = format!("nothing brings {name} up at boot, so it has `up: false`; remove that to have it");
        if entry.kind.is_none() {
            entry.fields.insert("optional", "true".into());
        }
        let comment = format!("Brought up by hand until now: remove `up: false` to have {name} at boot.");
        entry.comments.push((place.clone(), comment));
        plan.info(&place, message);
    }
}

/// The links that it stands on, or that belong to it.
fn needs(entry: &Entry) -> Vec<String> {
    match &entry.kind {
        Some(Kind::Vlan { parent: other, .. } | Kind::Macvlan { parent: other, .. } | Kind::Veth { peer: other }) => {
            vec![other.clone()]
        }
        Some(Kind::Bridge { ports: members, .. } | Kind::Bond { members, .. } | Kind::Vrf { members, .. }) => {
            members.clone()
        }
        _ => Vec::new(),
    }
}

/// What the plugin `tunnels` cannot be told in a tunnel goes elsewhere or is reported.
fn tunnels(plan: &mut Plan) {
    for at in 0..plan.entries.len() {
        let Some(entry) = plan.entries.get_mut(at).filter(|e| e.kind.as_ref().is_some_and(Kind::is_tunnel)) else {
            continue;
        };
        let Some(place) = entry.place.clone() else { continue };
        let name = entry.name.clone();
        let mut lost = Vec::new();
        for (field, theirs) in NOT_OF_TUNNELS {
            lost.extend(entry.fields.remove(field).map(|_| theirs));
        }
        if !entry.neighbours.is_empty() || !entry.proxy.is_empty() {
            lost.push("ip neigh");
        }
        entry.neighbours.clear();
        entry.proxy.clear();
        entry.fields.remove("optional");
        if !lost.is_empty() {
            let message = format!("a tunnel has no {}; what was set for {name} is left out", lost.join(", "));
            plan.warn(&place, Some(&name), message);
        }
    }
}

fn sysctls(plan: &mut Plan) {
    for sysctl in std::mem::take(&mut plan.sysctls) {
        let parts: Vec<&str> = sysctl.parts.iter().map(String::as_str).collect();
        let on = sysctl.value != "0";
        match parts.as_slice() {
            ["ipv4", "ip_forward"] | ["ipv4", "conf", "all", "forwarding"] => drop(plan.forwarding.insert("ipv4", on)),
            ["ipv6", "conf", "all", "forwarding"] => drop(plan.forwarding.insert("ipv6", on)),
            [family @ ("ipv4" | "ipv6"), "conf", interface, name] if !matches!(*interface, "all" | "default") => {
                let tunnel = plan.find(interface).and_then(|entry| entry.kind.as_ref()).is_some_and(Kind::is_tunnel);
                if tunnel || !super::value::is_interface_name(interface) {
                    let message = format!("`{name}` of {interface} is left out: a tunnel has no parameters of its own");
                    plan.warn(&sysctl.place, Some(interface), message);
                } else {
                    of_interface(plan.entry(interface), family, name, &sysctl.value);
                }
            }
            _ => plan.sysctls.push(sysctl),
        }
    }
}

fn of_interface(entry: &mut Entry, family: &str, name: &str, value: &str) {
    let choose = |values: &[&str]| value.parse::<usize>().ok().and_then(|n| values.get(n)).map(|v| (*v).to_owned());
    let field = match (family, name) {
        (_, "forwarding") => {
            entry.forwarding.insert(if family == "ipv4" { "ipv4" } else { "ipv6" }, value != "0");
            return;
        }
        ("ipv6", "accept_ra") => choose(&["Off", "WhenHost", "Always"]).map(|v| ("accept_ra", v)),
        ("ipv6", "autoconf") => choose(&["false", "true"]).map(|v| ("autoconf", v)),
        ("ipv6", "use_tempaddr") => choose(&["Off", "Available", "Preferred"]).map(|v| ("privacy", v)),
        ("ipv6", "disable_ipv6") => choose(&["true", "false"]).map(|v| ("ipv6", v)),
        ("ipv6", "dad_transmits") => value.parse::<u8>().ok().map(|v| ("dad_transmits", v.to_string())),
        ("ipv4", "rp_filter") => choose(&["Off", "Strict", "Loose"]).map(|v| ("rp_filter", v)),
        ("ipv4", "proxy_arp") => choose(&["false", "true"]).map(|v| ("proxy_arp", v)),
        _ => None,
    };
    match field {
        Some((field, value)) => drop(entry.fields.insert(field, value)),
        None => drop(entry.sysctls.insert(format!("{family}.{name}"), value.to_owned())),
    }
}

/// Gives each route to its interface.
fn routes(plan: &mut Plan) {
    let mut seen: Vec<(Route, String)> = Vec::new();
    for mut route in std::mem::take(&mut plan.routes) {
        let near = |entry: &&Entry, via| entry.addresses.iter().any(|a| a.net.contains(via) || a.peer == Some(via));
        if let (None, Some(via)) = (&route.dev, route.via) {
            let home = plan.find(&route.home).filter(|entry| near(entry, via));
            let found = home.or_else(|| plan.entries.iter().find(|entry| near(entry, via)));
            route.dev = found.map(|entry| entry.name.clone());
        }
        if let (Some(via), Some(dev)) = (route.via.filter(|_| route.gateway), &route.dev) {
            let link_local = matches!(via, std::net::IpAddr::V6(a) if a.is_unicast_link_local());
            route.on_link = !link_local && plan.find(dev).is_none_or(|entry| !near(&entry, via));
        }
        if route.via.is_none() && route.dev.is_none() && route.kind.is_none() {
            let message = format!("the route to {} names neither gateway nor interface; it is left out", route.to);
            plan.warn(&route.place.clone(), Some(&route.home.clone()), message);
            continue;
        }
        let same = |(known, _): &&(Route, String)| {
            known.to == route.to
                && known.from == route.from
                && known.table == route.table
                && known.metric == route.metric
        };
        if let Some((known, owner)) = seen.iter().find(same) {
            if known.via != route.via || known.dev != route.dev {
                let advice = "as ifup failed with the second one, it is left out; give one of the two a `metric`";
                let message =
                    format!("there is already a route to {} with this metric, of {owner}; {advice}", route.to);
                plan.warn(&route.place.clone(), Some(&route.home.clone()), message);
            }
            continue;
        }
        seen.push((route.clone(), route.dev.clone().unwrap_or_else(|| route.home.clone())));
        let owner = route.dev.as_ref().filter(|_| route.kind.is_none());
        match owner.and_then(|dev| plan.entries.iter_mut().find(|entry| entry.name == *dev)) {
            Some(entry) => entry.routes.push(route),
            None => plan.routes.push(route),
        }
    }
}

/// A tunnel that brings IPv6 is there for others.
fn forwarding(plan: &mut Plan) {
    let brings = |entry: &&Entry| entry.up && entry.kind.as_ref().is_some_and(Kind::brings_ipv6);
    let Some((place, name)) = plan.entries.iter().find(brings).and_then(|e| Some((e.place.clone()?, e.name.clone())))
    else {
        return;
    };
    if !plan.forwarding.contains_key("ipv6") {
        plan.forwarding.insert("ipv6", true);
        let why = format!(
            "nothing here turns forwarding on (often /etc/sysctl.conf does), and without it {name} serves nobody else"
        );
        plan.info(
            &place,
            format!("{why}; `forwarding: (ipv6: true)` is added, remove it on a machine that is no router"),
        );
    }
}
