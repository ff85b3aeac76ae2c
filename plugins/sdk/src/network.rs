//! A stated network, made of plain values by an engine, in the form that crosses to the core.

use std::net::Ipv4Addr;

use portreeve_network as plain;
use portreeve_network::{Kind, Prefix};

use crate::bindings::portreeve::plugin::network as wit;
use crate::bindings::portreeve::plugin::types::{IpPrefix, Ipv4Address};
use crate::convert::{ip_address, ipv6_address};

pub use wit::{Hardware, Outcome, Problem, list_hardware, probe, public_key};

/// A prefix for WIT.
#[must_use]
pub fn ip_prefix(prefix: Prefix) -> IpPrefix {
    IpPrefix { address: ip_address(prefix.address), length: prefix.length }
}

/// A WIT prefix as a plain one.
#[must_use]
pub fn prefix(prefix: IpPrefix) -> Prefix {
    Prefix::new(crate::convert::ip(prefix.address), prefix.length)
}

/// A `std` IPv4 address for WIT.
#[must_use]
pub const fn ipv4_address(address: Ipv4Addr) -> Ipv4Address {
    let [a, b, c, d] = address.octets();
    (a, b, c, d)
}

/// Brings the kernel to `state`: the call `apply` with plain values.
///
/// # Errors
/// See `network.apply`.
pub async fn apply(state: plain::State) -> Result<Outcome, wit::ErrorCode> {
    wit::apply(wit_state(state)).await
}

fn wit_state(state: plain::State) -> wit::State {
    wit::State {
        links: state.links.into_iter().map(link).collect(),
        addresses: state.addresses.into_iter().map(address).collect(),
        routes: state.routes.into_iter().map(route).collect(),
        rules: state.rules.into_iter().map(rule).collect(),
        neighbours: state
            .neighbours
            .into_iter()
            .map(|n| wit::NeighbourState { interface: n.interface, address: ip_address(n.address), mac: n.mac })
            .collect(),
        masquerades: state
            .masquerades
            .into_iter()
            .map(|m| wit::MasqueradeState { source: ip_prefix(m.source), out: m.out })
            .collect(),
        sysctls: state.sysctls.into_iter().map(|s| wit::SysctlState { name: s.name, value: s.value }).collect(),
    }
}

fn link(link: plain::Link) -> wit::LinkState {
    wit::LinkState {
        name: link.name,
        index: link.index,
        make: link.make.map(kind),
        up: link.up,
        mtu: link.mtu,
        mac: link.mac,
        controller: link.controller,
    }
}

fn kind(kind: Kind) -> wit::LinkKind {
    match kind {
        Kind::Bridge(b) => wit::LinkKind::Bridge(wit::Bridge {
            stp: b.stp,
            vlan_filtering: b.vlan_filtering,
            forward_delay: b.forward_delay,
            multicast_snooping: b.multicast_snooping,
        }),
        Kind::Vlan(v) => wit::LinkKind::Vlan(wit::Vlan {
            parent: v.parent,
            id: v.id,
            service_tag: v.protocol == plain::VlanProtocol::Ieee8021Ad,
        }),
        Kind::Veth(v) => wit::LinkKind::Veth(v.peer),
        Kind::Dummy => wit::LinkKind::Dummy,
        Kind::Macvlan(m) => wit::LinkKind::Macvlan(wit::Macvlan {
            parent: m.parent,
            mode: match m.mode {
                plain::MacvlanMode::Private => wit::MacvlanMode::Private,
                plain::MacvlanMode::Vepa => wit::MacvlanMode::Vepa,
                plain::MacvlanMode::Bridge => wit::MacvlanMode::Bridge,
                plain::MacvlanMode::Passthru => wit::MacvlanMode::Passthru,
            },
        }),
        Kind::Bond(b) => wit::LinkKind::Bond(wit::Bond { mode: b.mode, miimon: b.miimon }),
        Kind::Vrf { table } => wit::LinkKind::Vrf(table),
        Kind::Sit(tunnel) => wit::LinkKind::Sit(ip_tunnel(&tunnel)),
        Kind::SixRd(s) => wit::LinkKind::SixRd(wit::SixRd {
            tunnel: ip_tunnel(&s.tunnel),
            prefix: ip_prefix(s.prefix),
            relay_prefix: ip_prefix(s.relay_prefix),
        }),
        Kind::Ip6Tunnel(t) => wit::LinkKind::Ip6Tunnel(wit::Ip6Tunnel {
            local: t.local.map(ipv6_address),
            remote: t.remote.map(ipv6_address),
            hop_limit: t.hop_limit,
            mode: match t.mode {
                plain::Tunnel6Mode::Any => wit::Tunnel6Mode::Any,
                plain::Tunnel6Mode::Ipv4 => wit::Tunnel6Mode::Ipv4,
                plain::Tunnel6Mode::Ipv6 => wit::Tunnel6Mode::Ipv6,
            },
            encapsulation_limit: t.encapsulation_limit,
        }),
        Kind::Gre(g) => wit::LinkKind::Gre(wit::Gre {
            local: g.local.map(ip_address),
            remote: g.remote.map(ip_address),
            ttl: g.ttl,
            key: g.key,
        }),
        Kind::WireGuard(w) => wit::LinkKind::Wireguard(wit::Wireguard {
            key: w.key,
            listen_port: w.listen_port,
            mark: w.mark,
            peers: w.peers.into_iter().map(peer).collect(),
        }),
        Kind::Tun => wit::LinkKind::Tun,
    }
}

fn ip_tunnel(tunnel: &plain::IpTunnel) -> wit::IpTunnel {
    wit::IpTunnel {
        local: tunnel.local.map(ipv4_address),
        remote: tunnel.remote.map(ipv4_address),
        ttl: tunnel.ttl,
        tos: tunnel.tos,
        path_mtu_discovery: tunnel.path_mtu_discovery,
    }
}

fn peer(peer: plain::WireGuardPeer) -> wit::WireguardPeer {
    wit::WireguardPeer {
        public_key: peer.public_key.to_vec(),
        preshared_key: peer.preshared_key,
        endpoint: peer.endpoint.map(|(address, port)| (ip_address(address), port)),
        keepalive: peer.keepalive,
        allowed_ips: peer.allowed_ips.into_iter().map(ip_prefix).collect(),
    }
}

fn address(address: plain::Address) -> wit::AddressState {
    wit::AddressState {
        interface: address.interface,
        address: ip_prefix(address.address),
        peer: address.peer.map(ip_address),
        preferred_lifetime: address.preferred_lifetime,
        valid_lifetime: address.valid_lifetime,
        dad: address.dad,
        prefix_metric: address.prefix_metric,
    }
}

fn route(route: plain::Route) -> wit::RouteState {
    wit::RouteState {
        destination: ip_prefix(route.destination),
        source: route.source.map(ip_prefix),
        kind: match route.kind {
            plain::RouteKind::Unicast => wit::RouteKind::Unicast,
            plain::RouteKind::Unreachable => wit::RouteKind::Unreachable,
            plain::RouteKind::Blackhole => wit::RouteKind::Blackhole,
            plain::RouteKind::Prohibit => wit::RouteKind::Prohibit,
            plain::RouteKind::Throw => wit::RouteKind::Throw,
        },
        gateway: route.gateway.map(ip_address),
        interface: route.interface,
        metric: route.metric,
        table: route.table,
        preferred_source: route.preferred_source.map(ip_address),
        mtu: route.mtu,
        on_link: route.on_link,
    }
}

fn rule(rule: plain::Rule) -> wit::RuleState {
    wit::RuleState {
        priority: rule.priority,
        family: match rule.family {
            plain::Family::Ipv4 => wit::Family::Ipv4,
            plain::Family::Ipv6 => wit::Family::Ipv6,
        },
        source: rule.source.map(ip_prefix),
        destination: rule.destination.map(ip_prefix),
        incoming: rule.incoming,
        outgoing: rule.outgoing,
        mark: rule.mark,
        action: match rule.action {
            plain::RuleAction::Lookup(table) => wit::RuleAction::Lookup(table),
            plain::RuleAction::Unreachable => wit::RuleAction::Unreachable,
            plain::RuleAction::Blackhole => wit::RuleAction::Blackhole,
            plain::RuleAction::Prohibit => wit::RuleAction::Prohibit,
        },
        suppress_prefix_length: rule.suppress_prefix_length,
    }
}
