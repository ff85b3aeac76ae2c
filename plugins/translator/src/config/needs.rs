//! What the section takes, as plain data, for the plan that the operator grants.

use std::net::SocketAddr;

use portreeve_network::Prefix;

use super::{Clat, Config, EVERYTHING4, IPV4ONLY, Mode, SNAPSHOT_BYTES};

/// Facts of kind nat64-prefix have this and the name of the instance as their key.
pub const NAT64_KEY: &str = "nat64/";
/// Facts of kind dns-server have this and the name of the interface as their key.
pub const DNS_KEY: &str = "dns/";

/// Bytes of a snapshot beside its sessions, for each instance.
const SNAPSHOT_SLACK: u64 = 4096;
/// IPv4 first: writing it resets parameters of all interfaces (ip-sysctl, ip_forward).
pub(crate) const FORWARDING: [&str; 2] = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];

/// Everything that the section takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tun devices: to see, to make as links of kind `tun`, to configure, to exchange packets with.
    pub devices: Vec<String>,
    /// Kernel modules.
    pub modules: Vec<&'static str>,
    /// Names and patterns of further interfaces whose addresses are seen.
    pub links: Vec<String>,
    /// Destinations of routes, main table.
    pub routes: Vec<Prefix>,
    /// Kernel parameters of no single interface, below `net`.
    pub sysctls: Vec<&'static str>,
    /// IPv4 sources that are hidden behind the router's own address.
    pub masquerade: Vec<Prefix>,
    /// Where UDP and TCP sockets listen.
    pub listen: Vec<Listen>,
    /// Who is asked over UDP and TCP.
    pub connect: Vec<SocketAddr>,
    /// Host names that are looked up.
    pub names: Vec<&'static str>,
    /// Publishes facts of kind nat64-prefix.
    pub publishes_prefix: bool,
    /// Publishes facts of kind dns-server.
    pub publishes_dns: bool,
    /// Follows facts of kind nat64-prefix.
    pub watches_prefix: bool,
    /// Bytes of volatile storage, for the sessions over an upgrade.
    pub volatile_bytes: u64,
}

/// Where sockets listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Name or pattern of the interfaces.
    pub interfaces: String,
    /// The port.
    pub port: u16,
}

impl Config {
    /// What the section takes.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for instance in self.instances() {
            needs.devices.push(instance.name.clone());
            needs.routes.extend(instance.routes());
            needs.masquerade.extend(instance.masquerades());
            needs.publishes_prefix |= instance.advertise;
            match &instance.mode {
                Mode::Nat64(nat64) => {
                    needs.volatile_bytes += u64::from(nat64.sessions) * SNAPSHOT_BYTES + SNAPSHOT_SLACK;
                }
                Mode::Clat(Clat { default_route: true, .. }) => needs.routes.push(EVERYTHING4),
                Mode::Siit(_) | Mode::Clat(_) => {}
            }
            needs.watches_prefix |= instance.is_auto();
        }
        if needs.watches_prefix {
            needs.names.push(IPV4ONLY);
        }
        if !needs.devices.is_empty() {
            needs.modules.push("tun");
            if self.forwarding {
                needs.sysctls.extend(FORWARDING);
            }
        }
        if let Some(dns64) = self.dns64() {
            let patterns = dns64.interfaces.iter().map(|pattern| pattern.as_str().to_owned());
            needs.links.extend(patterns.clone());
            needs.listen.extend(patterns.map(|interfaces| Listen { interfaces, port: dns64.port }));
            needs.connect.extend(dns64.resolvers.iter().copied());
            needs.publishes_dns = dns64.advertise;
        }
        needs.routes.sort();
        needs.routes.dedup();
        needs.masquerade.sort();
        needs.masquerade.dedup();
        needs
    }
}
