//! Who this plugin is, and what a section needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network::{Family, Prefix};
use portreeve_sdk::facts::Kind as Fact;
use portreeve_sdk::network::ip_prefix;
use portreeve_sdk::{
    ConnectNeed, CreateNeed, Diagnostic, ListenNeed, Manifest, Need, Planned, StorageNeed, diagnostics,
};

use crate::config::{self, Config, IPV4ONLY, Listen};

const EXAMPLE: &str = include_str!("example.ron");
/// The kind of its devices, as the kernel names it, and the module that brings it.
const TUN: &str = "tun";
/// Any port.
const ANY: u16 = 0;
/// Number of the format of the sessions that are kept over an upgrade.
const STATE_SCHEMA: u32 = 2;

pub fn manifest() -> Manifest {
    let all_ipv4 = Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let all_ipv6 = Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let mut needs = vec![
        Need::Links("*".to_owned()),
        Need::Route(ip_prefix(all_ipv4)),
        Need::Route(ip_prefix(all_ipv6)),
        Need::Masquerade(ip_prefix(all_ipv4)),
        Need::Module(TUN.to_owned()),
        Need::Resolve(IPV4ONLY.to_owned()),
        Need::Publish(Fact::Nat64Prefix),
        Need::Publish(Fact::DnsServer),
        Need::Watch(Fact::Nat64Prefix),
        storage(u64::MAX),
    ];
    needs.extend(device("*"));
    needs.extend(config::FORWARDING.map(|name| Need::Sysctl(name.to_owned())));
    needs.extend(listen(Listen { interfaces: "*".to_owned(), port: ANY }));
    needs.extend([all_ipv4, all_ipv6].into_iter().flat_map(|remotes| connect(remotes, ANY)));
    Manifest {
        name: "translator".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "NAT64, SIIT and CLAT between IPv6 and IPv4, and DNS64".to_owned(),
        needs,
        config_example: EXAMPLE.to_owned(),
        state_schema: STATE_SCHEMA,
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
    let found = config.needs();
    let mut needs: Vec<Need> = found.devices.iter().flat_map(|name| device(name)).collect();
    needs.extend(found.devices.into_iter().chain(found.links).map(Need::Links));
    needs.extend(found.modules.into_iter().map(|module| Need::Module(module.to_owned())));
    needs.extend(found.routes.into_iter().map(|to| Need::Route(ip_prefix(to))));
    needs.extend(found.sysctls.into_iter().map(|name| Need::Sysctl(name.to_owned())));
    needs.extend(found.masquerade.into_iter().map(|source| Need::Masquerade(ip_prefix(source))));
    needs.extend(found.listen.into_iter().flat_map(listen));
    for peer in found.connect {
        needs.extend(connect(host(peer.ip()), peer.port()));
    }
    needs.extend(found.names.into_iter().map(|name| Need::Resolve(name.to_owned())));
    let facts = [
        (found.publishes_prefix, Need::Publish(Fact::Nat64Prefix)),
        (found.publishes_dns, Need::Publish(Fact::DnsServer)),
        (found.watches_prefix, Need::Watch(Fact::Nat64Prefix)),
    ];
    needs.extend(facts.into_iter().filter(|(wanted, _)| *wanted).map(|(_, need)| need));
    if found.volatile_bytes > 0 {
        needs.push(storage(found.volatile_bytes));
    }
    needs
}

fn host(address: IpAddr) -> Prefix {
    Prefix::new(address, Family::of(address).bits())
}

fn device(name: &str) -> [Need; 3] {
    let create = CreateNeed { interfaces: name.to_owned(), kinds: vec![TUN.to_owned()] };
    [Need::Configure(name.to_owned()), Need::Create(create), Need::Tun(name.to_owned())]
}

fn listen(at: Listen) -> [Need; 2] {
    let need = ListenNeed { interfaces: at.interfaces, port: at.port };
    [Need::UdpListen(need.clone()), Need::TcpListen(need)]
}

fn connect(remotes: Prefix, port: u16) -> [Need; 2] {
    let need = ConnectNeed { remotes: ip_prefix(remotes), port };
    [Need::UdpConnect(need), Need::TcpConnect(need)]
}

fn storage(bytes: u64) -> Need {
    Need::Storage(StorageNeed { volatile: u32::try_from(bytes).unwrap_or(u32::MAX), flash: 0 })
}
