//! What the section means, for people.

use std::fmt::{Display, Write as _};

use portreeve_config::duration;
use portreeve_network::Prefix;

use super::{Clat, Config, Dns64, Instance, Mode, NON_GLOBAL4, Nat64, Policy, Siit, Timeouts, Traffic};

/// What the section means: one line an instance, one for DNS64.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    for instance in config.instances() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", instance.name, describe(instance));
    }
    if let Some(dns64) = config.dns64() {
        let _ = writeln!(text, "dns64: {}", resolver(dns64));
    }
    text
}

fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn describe(instance: &Instance) -> String {
    let mut parts = match &instance.mode {
        Mode::Nat64(nat64) => stateful(nat64),
        Mode::Siit(siit) => stateless(siit),
        Mode::Clat(clat) => customer(clat),
    };
    let traffic = &instance.traffic;
    if (traffic.mtu6, traffic.mtu4) != (1500, 1500) {
        parts.push(format!("mtu {} of IPv6, {} of IPv4", traffic.mtu6, traffic.mtu4));
    }
    if traffic.lowest_mtu6 != Traffic::default().lowest_mtu6 {
        parts.push(format!("fragments of up to {}", traffic.lowest_mtu6));
    }
    let implied = |prefix: &&Prefix| traffic.private == Some(false) && NON_GLOBAL4.contains(prefix);
    let written: Vec<&Prefix> = traffic.deny.iter().filter(|prefix| !implied(prefix)).collect();
    if !written.is_empty() {
        parts.push(format!("never to {}", list(written)));
    }
    let is_open = instance.is_auto() && traffic.private.is_none();
    if !is_open && !instance.allows_private(instance.written_prefix()) {
        parts.push("never to addresses that are not global".to_owned());
    }
    if instance.advertise {
        parts.push("advertised".to_owned());
    }
    parts.join("; ")
}

fn stateful(nat64: &Nat64) -> Vec<String> {
    let pool = list(nat64.pool.addresses());
    let hidden = if nat64.pool.masquerade { ", hidden behind the router's address" } else { "" };
    let mut parts = vec![
        format!("nat64 of {} to {pool}{hidden}", nat64.prefix),
        format!("{} sessions, {} of one /64", nat64.sessions, nat64.per_prefix),
    ];
    if !nat64.sources.is_empty() {
        parts.push(format!("for {}", list(&nat64.sources)));
    }
    if nat64.timeouts != Timeouts::default() {
        let Timeouts { udp, tcp, tcp_transitory, icmp, .. } = nat64.timeouts;
        let written = [udp, tcp, tcp_transitory, icmp].map(duration::format);
        parts.push(format!(
            "timeouts udp {}, tcp {}, tcp transitory {}, icmp {}",
            written[0], written[1], written[2], written[3]
        ));
    }
    if let Some(block) = nat64.port_block {
        parts.push(format!("ports in blocks of {block}"));
    }
    if nat64.inbound_tcp {
        parts.push("tcp connections from outside where a mapping is there".to_owned());
    }
    if !nat64.statics.is_empty() {
        let entries = nat64.statics.iter().map(|entry| format!("{} -> {}", entry.public, entry.host));
        parts.push(list(entries));
    }
    parts
}

fn stateless(siit: &Siit) -> Vec<String> {
    let mut parts = vec![match siit.prefix {
        Some(prefix) => format!("siit of {prefix}"),
        None => "siit".to_owned(),
    }];
    match siit.eam.len() {
        0 => {}
        1..=4 => parts.push(list(siit.eam.iter().map(|eam| format!("{} = {}", eam.ipv4, eam.ipv6)))),
        many => parts.push(format!("{many} explicit mappings")),
    }
    if !siit.ipv4.is_empty() {
        parts.push(format!("hosts of {}", list(&siit.ipv4)));
    }
    parts
}

fn customer(clat: &Clat) -> Vec<String> {
    let prefix = clat.prefix.map_or_else(|| "the prefix that is found".to_owned(), |prefix| prefix.to_string());
    let mut parts =
        vec![format!("clat by {prefix} from {}", clat.address.prefix()), format!("own address {}", clat.ipv4)];
    if clat.default_route {
        parts.push(format!("default route with metric {}", clat.metric));
    }
    if !clat.masquerade.is_empty() {
        parts.push(format!("for {}", list(&clat.masquerade)));
    }
    parts
}

fn resolver(dns64: &Dns64) -> String {
    let interfaces = list(dns64.interfaces.iter().map(|pattern| pattern.as_str()));
    let mut parts = vec![
        format!("asked on {interfaces} port {}", dns64.port),
        format!("asks {}", list(&dns64.resolvers)),
        format!("synthesises from {}", list(&dns64.prefixes)),
    ];
    if !dns64.exclude_names.is_empty() {
        parts.push(format!("not for {}", list(&dns64.exclude_names)));
    }
    let policies = dns64.clients.iter().map(|rule| {
        let words = match rule.policy {
            Policy::Full => "everything",
            Policy::NoSynthesis => "no synthesis",
            Policy::AOnly => "IPv4 addresses only",
            Policy::Refuse => "no answers",
        };
        format!("{words} for {}", rule.from)
    });
    parts.extend(policies);
    if dns64.advertise {
        parts.push("advertised".to_owned());
    }
    parts.join("; ")
}
