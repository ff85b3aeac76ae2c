//! What the section takes, for the plan that the operator grants, and what it means, for people.

use core::time::Duration;
use std::fmt::Write as _;
use std::net::IpAddr;

use portreeve_config::duration;
use portreeve_network::{Family, MAIN_TABLE, Prefix};

use super::{Config, Host, Kind, Local, Path, Tunnel, everything};

/// What one tunnel takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelNeeds {
    /// Its interface: to see, to configure and to make.
    pub interface: String,
    /// Kinds of links it may be made as: the kernel's, `tun` for the userspace path.
    pub kinds: Vec<&'static str>,
    /// Kernel modules that bring these kinds.
    pub modules: Vec<&'static str>,
    /// Whether the plugin itself may carry the packets: a tun device and raw IPv4 packets of protocol 41.
    pub userspace: bool,
    /// Where the raw packets go and come from; all of IPv4 when that is only known by name or by the plan of 6rd.
    pub remotes: Vec<Prefix>,
    /// Another interface whose addresses must be seen.
    pub follows: Option<String>,
    /// Host names to look up.
    pub names: Vec<String>,
    /// Names of keys that the core holds.
    pub keys: Vec<String>,
    /// Destinations of routes in any table.
    pub destinations: Vec<Prefix>,
    /// Other routing tables, for routes and rules; 0 for rules that drop.
    pub tables: Vec<u32>,
    /// Whether ICMPv6 echo is sent on the interface, where the kernel carries the packets.
    pub echo: bool,
    /// Whether it tells others a prefix of its own: 6rd's delegated one.
    pub publishes_prefix: bool,
}

impl Config {
    /// What all tunnels take, one by one.
    #[must_use]
    pub fn needs(&self) -> Vec<TunnelNeeds> {
        self.tunnels().map(|tunnel| tunnel.needs()).collect()
    }
}

impl Tunnel {
    /// What this tunnel takes.
    #[must_use]
    pub fn needs(&self) -> TunnelNeeds {
        let mut needs = TunnelNeeds { interface: self.name.clone(), names: self.names(), ..TunnelNeeds::default() };
        let (kind, module) = self.kernel_kind();
        if self.path() != Path::Userspace {
            needs.kinds.push(kind);
            needs.modules.push(module);
        }
        if self.path() != Path::Kernel {
            needs.kinds.push("tun");
            needs.modules.push("tun");
            needs.userspace = true;
            needs.remotes.push(match self.remote() {
                Some(Host::Address(address)) => Prefix::new(*address, 32),
                _ => everything(Family::Ipv4),
            });
        }
        if let Some(Local::Interface(name)) = self.local() {
            needs.follows = Some(name.clone());
        }
        if let Kind::WireGuard(wg) = &self.kind {
            needs.keys.push(wg.key.clone());
            needs.keys.extend(wg.peers.iter().filter_map(|peer| peer.preshared_key.clone()));
        }
        for route in &self.routes {
            needs.destinations.push(route.destination);
            if route.table != MAIN_TABLE {
                needs.tables.push(route.table);
            }
        }
        needs.destinations.extend(self.addresses.iter().filter_map(portreeve_network::Address::wide_route));
        needs.destinations.extend(self.keepalive_route());
        for source in &self.source_routes {
            // Its table gets a default route.
            needs.destinations.push(everything(Family::of(source.from.address)));
            needs.tables.push(source.table);
        }
        if !self.own_prefixes.is_empty() && self.path() != Path::Userspace {
            needs.tables.push(0);
        }
        if let Kind::SixRd(sixrd) = &self.kind {
            // Which part of it is ours is only known with our address, and gets an unreachable route.
            needs.destinations.push(sixrd.prefix);
            needs.publishes_prefix = true;
        }
        needs.echo = self.keepalive.is_some() && self.path() != Path::Userspace;
        needs.keys.sort();
        needs.keys.dedup();
        needs.destinations.sort();
        needs.destinations.dedup();
        needs.tables.sort_unstable();
        needs.tables.dedup();
        needs
    }
}

/// What the section means, for people: one line per tunnel.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    for tunnel in config.tunnels() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}", tunnel.name, describe(tunnel));
    }
    text
}

fn describe(tunnel: &Tunnel) -> String {
    let mut parts = vec![ends(tunnel)];
    match tunnel.path() {
        Path::Auto if tunnel.mss_clamp => {
            parts.push("by the kernel if it can, then mss not clamped, by the plugin otherwise".to_owned());
        }
        Path::Auto => parts.push("by the kernel if it can, by the plugin otherwise".to_owned()),
        Path::Kernel if tunnel.mss_clamp => parts.push("by the kernel, mss not clamped".to_owned()),
        Path::Kernel => parts.push("by the kernel".to_owned()),
        Path::Userspace => parts.push("by the plugin".to_owned()),
    }
    if !tunnel.up {
        parts.push("down".to_owned());
    }
    parts.push(format!("mtu {}", tunnel.mtu));
    let list = |what: &str, items: Vec<String>| (!items.is_empty()).then(|| format!("{what} {}", items.join(", ")));
    parts.extend(list("addresses", tunnel.addresses.iter().map(|a| a.address.to_string()).collect()));
    parts.extend(list("routes", tunnel.routes.iter().map(|r| r.destination.to_string()).collect()));
    parts.extend(list("out for", tunnel.source_routes.iter().map(|s| s.from.to_string()).collect()));
    if let Some(keepalive) = tunnel.keepalive {
        let written = |value: Duration| duration::format(value);
        parts.push(format!(
            "asks {} every {}, down after {}{}",
            keepalive.target,
            written(keepalive.interval),
            written(keepalive.timeout),
            if tunnel.failover { ", then without routes" } else { "" }
        ));
    }
    parts.join("; ")
}

fn ends(tunnel: &Tunnel) -> String {
    let kind = tunnel.kind_name();
    match &tunnel.kind {
        Kind::SixRd(sixrd) => {
            let own = match sixrd.local {
                Local::Address(IpAddr::V4(address)) => format!(", ours is {}", sixrd.delegated(address)),
                _ => String::new(),
            };
            format!("{kind} of {} by {} from {}{own}", sixrd.prefix, sixrd.relay, sixrd.local)
        }
        Kind::WireGuard(wg) => {
            let s = if wg.peers.len() == 1 { "" } else { "s" };
            format!("{kind} with key \"{}\" and {} peer{s}", wg.key, wg.peers.len())
        }
        _ => match (tunnel.remote(), tunnel.local()) {
            (Some(remote), Some(Local::Auto)) => format!("{kind} to {remote}"),
            (Some(remote), Some(local)) => format!("{kind} to {remote} from {local}"),
            _ => kind.to_owned(),
        },
    }
}
