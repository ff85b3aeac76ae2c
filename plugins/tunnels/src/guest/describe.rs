//! Who this plugin is, and what a section needs.

use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_network::Prefix;
use portreeve_packet::icmpv6::{ECHO_REPLY, ECHO_REQUEST};
use portreeve_sdk::facts::Kind as Fact;
use portreeve_sdk::network::ip_prefix;
use portreeve_sdk::{CreateNeed, Diagnostic, Icmpv6Need, Ipv4Need, Manifest, Need, Planned, TableRange, diagnostics};

use crate::config::{self, Config};

const EXAMPLE: &str = include_str!("example.ron");
/// IPv6 in IPv4 (RFC 4213).
const PROTOCOL: u8 = 41;
/// The kinds of links it can make, as the kernel names them.
const KINDS: [&str; 6] = ["sit", "ip6tnl", "gre", "ip6gre", "wireguard", "tun"];
/// The kernel modules that bring them.
const MODULES: [&str; 6] = ["sit", "ip6_tunnel", "ip_gre", "ip6_gre", "wireguard", "tun"];

pub fn manifest() -> Manifest {
    let all_ipv4 = Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let all_ipv6 = Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let mut needs = vec![
        Need::Links("*".to_owned()),
        Need::Configure("*".to_owned()),
        create("*", &KINDS),
        Need::Route(ip_prefix(all_ipv4)),
        Need::Route(ip_prefix(all_ipv6)),
        Need::Tables(TableRange { first: 0, last: u32::MAX }),
        Need::Tun("*".to_owned()),
        ipv4(all_ipv4),
        echo("*"),
        Need::Resolve("*".to_owned()),
        Need::Key("*".to_owned()),
        Need::Publish(Fact::Tunnel),
        Need::Publish(Fact::DelegatedPrefix),
    ];
    needs.extend(MODULES.map(|module| Need::Module(module.to_owned())));
    Manifest {
        name: "tunnels".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "6in4, 6rd, IPv6 in IPv6, GRE and WireGuard tunnels".to_owned(),
        needs,
        config_example: EXAMPLE.to_owned(),
        state_schema: 0,
    }
}

pub fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
    let (config, warnings) = Config::parse(section).map_err(diagnostics)?;
    Ok(Planned {
        needs: needs(&config),
        warnings: diagnostics(warnings),
        summary: config::summary(&config).lines().map(str::to_owned).collect(),
    })
}

fn needs(config: &Config) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut publishes_prefix = false;
    for tunnel in config.needs() {
        publishes_prefix |= tunnel.publishes_prefix;
        let name = tunnel.interface;
        needs.push(Need::Links(name.clone()));
        needs.push(Need::Configure(name.clone()));
        needs.push(create(&name, &tunnel.kinds));
        needs.extend(tunnel.modules.into_iter().map(|module| Need::Module(module.to_owned())));
        if tunnel.userspace {
            needs.push(Need::Tun(name.clone()));
            needs.extend(tunnel.remotes.into_iter().map(ipv4));
        }
        needs.extend(tunnel.follows.map(Need::Links));
        needs.extend(tunnel.names.into_iter().map(Need::Resolve));
        needs.extend(tunnel.keys.into_iter().map(Need::Key));
        needs.extend(tunnel.destinations.into_iter().map(|to| Need::Route(ip_prefix(to))));
        for table in tunnel.tables {
            needs.push(Need::Tables(TableRange { first: table, last: table }));
        }
        if tunnel.echo {
            needs.push(echo(&name));
        }
    }
    if config.tunnels().next().is_some() {
        needs.push(Need::Publish(Fact::Tunnel));
    }
    if publishes_prefix {
        needs.push(Need::Publish(Fact::DelegatedPrefix));
    }
    needs
}

fn create(interfaces: &str, kinds: &[&str]) -> Need {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    Need::Create(CreateNeed { interfaces: interfaces.to_owned(), kinds })
}

fn ipv4(remotes: Prefix) -> Need {
    Need::Ipv4(Ipv4Need { protocol: PROTOCOL, remotes: ip_prefix(remotes) })
}

fn echo(interfaces: &str) -> Need {
    Need::Icmpv6(Icmpv6Need { interfaces: interfaces.to_owned(), receive: vec![ECHO_REPLY], send: vec![ECHO_REQUEST] })
}
