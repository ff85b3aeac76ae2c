//! What a tunnel comes to in the kernel: its link, addresses, routes and rules.
//!
//! A tunnel that is down on purpose keeps its link and addresses and has no routes; so has one without signs of life if
//! `failover` says so. Rules stay: a table without a route leads on to the next rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network as network;
use portreeve_network::{Address, Family, IpTunnel, Link, Prefix, Route, RouteKind, Rule, RuleAction, State};

use super::carrier::Carrier;
use super::tunnel::Runtime;
use crate::config::{Kind, Tos, everything};

/// Inner traffic class, as the kernel's tunnels write it.
const TOS_INHERIT: u8 = 1;
/// Priority of the rules that drop what comes in and claims to be ours: before the usual source routes.
const OWN_PRIORITY: u32 = 900;
/// Behind every other route to the same prefix but that of a pool of the plugin `interfaces`, which has 2^31 - 1: two
/// plugins may not state the same route.
const UNREACHABLE_METRIC: u32 = 0x7fff_fffe;

/// Adds a tunnel to the state, if it belongs there.
pub(super) fn add(tunnel: &Runtime, state: &mut State) {
    if !tunnel.stated() {
        return;
    }
    let Some(kind) = link_kind(tunnel) else { return };
    let config = &tunnel.config;
    state.links.push(Link {
        name: config.name.clone(),
        make: Some(kind),
        up: Some(config.up),
        mtu: Some(config.mtu),
        ..Link::default()
    });
    let mine = |address: &Address| Address { interface: config.name.clone(), ..address.clone() };
    state.addresses.extend(config.addresses.iter().map(mine));
    if config.up {
        if tunnel.carrier == Carrier::Kernel && config.carries_ipv6() {
            // The kernel's tunnels look only at the outer addresses (RFC 4213 section 3.6 wants ingress filtering).
            let drop = |own: &Prefix| Rule {
                priority: OWN_PRIORITY,
                family: Family::Ipv6,
                source: Some(*own),
                destination: None,
                incoming: Some(config.name.clone()),
                outgoing: None,
                mark: None,
                action: RuleAction::Blackhole,
                suppress_prefix_length: None,
            };
            state.rules.extend(config.own_prefixes.iter().map(drop));
        }
        routes(tunnel, &mut state.routes);
        let rule = |source: &crate::config::SourceRoute| Rule {
            priority: source.priority,
            family: Family::of(source.from.address),
            source: Some(source.from),
            destination: None,
            incoming: None,
            outgoing: None,
            mark: None,
            action: RuleAction::Lookup(source.table),
            suppress_prefix_length: None,
        };
        state.rules.extend(config.source_routes.iter().map(rule));
    }
}

fn link_kind(tunnel: &Runtime) -> Option<network::Kind> {
    if tunnel.carrier == Carrier::Userspace {
        return Some(network::Kind::Tun);
    }
    let config = &tunnel.config;
    let sit = || IpTunnel {
        local: v4(tunnel.local),
        remote: v4(tunnel.remote),
        ttl: config.ttl,
        tos: match config.tos {
            Tos::Inherit => TOS_INHERIT,
            Tos::Fixed(tos) => tos,
        },
        path_mtu_discovery: config.dont_fragment,
    };
    Some(match &config.kind {
        Kind::SixInFour { .. } => network::Kind::Sit(sit()),
        Kind::SixRd(sixrd) => network::Kind::SixRd(network::SixRd {
            tunnel: IpTunnel { remote: None, ..sit() },
            prefix: sixrd.prefix,
            // The bits that all ends share: ours are among them.
            relay_prefix: Prefix::new(tunnel.local?, sixrd.ipv4_mask_length).network(),
        }),
        Kind::Ip6Tunnel { mode, encapsulation_limit, .. } => network::Kind::Ip6Tunnel(network::Ip6Tunnel {
            local: v6(tunnel.local),
            remote: v6(tunnel.remote),
            hop_limit: config.ttl,
            mode: *mode,
            encapsulation_limit: *encapsulation_limit,
        }),
        Kind::Gre { key, .. } => {
            network::Kind::Gre(network::Gre { local: tunnel.local, remote: tunnel.remote, ttl: config.ttl, key: *key })
        }
        Kind::WireGuard(wg) => {
            let peers = wg.peers.iter().enumerate().map(|(at, peer)| network::WireGuardPeer {
                public_key: peer.public_key.0,
                preshared_key: peer.preshared_key.clone(),
                endpoint: match (&peer.endpoint, tunnel.endpoints.get(at)) {
                    (Some((_, port)), Some(Some(address))) => Some((*address, *port)),
                    _ => None,
                },
                keepalive: peer.keepalive,
                allowed_ips: peer.allowed_ips.clone(),
            });
            network::Kind::WireGuard(network::WireGuard {
                key: wg.key.clone(),
                listen_port: wg.listen_port,
                mark: wg.mark,
                peers: peers.collect(),
            })
        }
    })
}

fn routes(tunnel: &Runtime, list: &mut Vec<Route>) {
    let config = &tunnel.config;
    let through = |destination: Prefix, table: u32, gateway: Option<IpAddr>| Route {
        table,
        gateway,
        interface: Some(config.name.clone()),
        ..Route::new(destination)
    };
    if let Some(target) = config.keepalive_route() {
        list.push(through_tunnel(tunnel, through(target, network::MAIN_TABLE, None)));
    }
    if let Some(prefix) = tunnel.prefix() {
        // What of our prefix nobody uses must not go back into the tunnel (RFC 5969 section 7.3).
        let metric = Some(UNREACHABLE_METRIC);
        list.push(Route { kind: RouteKind::Unreachable, metric, ..Route::new(prefix) });
    }
    let failed_over = tunnel.failed_over();
    let stays = |route: &&Route| !failed_over || config.leads_to_target(route);
    list.extend(config.routes.iter().filter(stays).map(|route| through_tunnel(tunnel, route.clone())));
    if failed_over {
        return;
    }
    let mut tables = Vec::new();
    for source in &config.source_routes {
        let family = Family::of(source.from.address);
        if tables.contains(&(source.table, family)) {
            continue;
        }
        tables.push((source.table, family));
        list.push(through_tunnel(tunnel, through(everything(family), source.table, config.default_gateway(family))));
    }
}

/// The kernel's 6rd sends what is not for another end of the domain where the gateway, an IPv4 address in IPv6 form,
/// says (RFC 5969 section 7.3's relay); without one there would be nowhere. The userspace path knows its relay.
fn through_tunnel(tunnel: &Runtime, mut route: Route) -> Route {
    if let Kind::SixRd(sixrd) = &tunnel.config.kind
        && tunnel.carrier == Carrier::Kernel
        && route.kind == RouteKind::Unicast
        && route.gateway.is_none()
        && !sixrd.prefix.contains(route.destination)
    {
        route.gateway = Some(Ipv6Addr::from(u128::from(u32::from(sixrd.relay))).into());
        return route;
    }
    // Providers hand out pairs such as ::2/127 with the gateway ::1. In a tunnel there is nobody to look for, so the
    // gateway is taken as it is written. Of 6rd's gateways the kernel knows itself (::/96).
    let is_6rd = matches!(tunnel.config.kind, Kind::SixRd(_)) && tunnel.carrier == Carrier::Kernel;
    if let Some(gateway) = route.gateway
        && !is_6rd
        && !tunnel.config.is_on_link(gateway)
    {
        route.on_link = true;
    }
    route
}

const fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

const fn v6(address: Option<IpAddr>) -> Option<Ipv6Addr> {
    match address {
        Some(IpAddr::V6(address)) => Some(address),
        _ => None,
    }
}
