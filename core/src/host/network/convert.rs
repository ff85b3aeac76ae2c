//! A stated network of the WIT package as plain values. What makes no sense is said in a line.

use std::net::IpAddr;

use portreeve_network as plain;
use portreeve_network::{Family, Kind, Prefix, is_interface_name};

use crate::host::bindings::portreeve::plugin::network as wit;
use crate::host::bindings::portreeve::plugin::types::IpPrefix;
use crate::host::types::{ip_in, ipv4_in, ipv6_in};

/// Longest link-layer address in bytes.
const MAX_MAC: usize = 32;
/// Peers of a WireGuard link, and prefixes of a peer.
const MAX_PEERS: usize = 4096;

type Made<T> = Result<T, String>;

/// A prefix, or an address with its host bits; longer lengths count as the longest.
pub fn prefix_in(prefix: IpPrefix) -> Prefix {
    Prefix::new(ip_in(prefix.address), prefix.length)
}

pub(super) fn state_in(state: wit::State) -> Made<plain::State> {
    Ok(plain::State {
        links: state.links.into_iter().map(link_in).collect::<Made<_>>()?,
        addresses: state.addresses.into_iter().map(address_in).collect::<Made<_>>()?,
        routes: state.routes.into_iter().map(route_in).collect::<Made<_>>()?,
        rules: state.rules.into_iter().map(rule_in).collect::<Made<_>>()?,
        neighbours: state.neighbours.into_iter().map(neighbour_in).collect::<Made<_>>()?,
        masquerades: state.masquerades.into_iter().map(masquerade_in).collect::<Made<_>>()?,
        sysctls: state.sysctls.into_iter().map(sysctl_in).collect::<Made<_>>()?,
    })
}

fn name_in(name: String) -> Made<String> {
    if is_interface_name(&name) { Ok(name) } else { Err(format!("{name:?} is no interface name")) }
}

fn mac_in(mac: Vec<u8>) -> Made<Vec<u8>> {
    if mac.is_empty() || mac.len() > MAX_MAC { Err("no link-layer address".to_owned()) } else { Ok(mac) }
}

fn link_in(link: wit::LinkState) -> Made<plain::Link> {
    Ok(plain::Link {
        name: name_in(link.name)?,
        index: link.index,
        make: link.make.map(kind_in).transpose()?,
        up: link.up,
        mtu: link.mtu,
        mac: link.mac.map(mac_in).transpose()?,
        controller: link.controller.map(name_in).transpose()?,
    })
}

fn kind_in(kind: wit::LinkKind) -> Made<Kind> {
    Ok(match kind {
        wit::LinkKind::Bridge(b) => Kind::Bridge(plain::Bridge {
            stp: b.stp,
            vlan_filtering: b.vlan_filtering,
            forward_delay: b.forward_delay,
            multicast_snooping: b.multicast_snooping,
        }),
        wit::LinkKind::Vlan(v) => {
            if !(1..=4094).contains(&v.id) {
                return Err(format!("{} is no VLAN identifier", v.id));
            }
            let protocol = if v.service_tag { plain::VlanProtocol::Ieee8021Ad } else { plain::VlanProtocol::Ieee8021Q };
            Kind::Vlan(plain::Vlan { parent: name_in(v.parent)?, id: v.id, protocol })
        }
        wit::LinkKind::Veth(peer) => Kind::Veth(plain::Veth { peer: name_in(peer)? }),
        wit::LinkKind::Dummy => Kind::Dummy,
        wit::LinkKind::Macvlan(m) => Kind::Macvlan(plain::Macvlan {
            parent: name_in(m.parent)?,
            mode: match m.mode {
                wit::MacvlanMode::Private => plain::MacvlanMode::Private,
                wit::MacvlanMode::Vepa => plain::MacvlanMode::Vepa,
                wit::MacvlanMode::Bridge => plain::MacvlanMode::Bridge,
                wit::MacvlanMode::Passthru => plain::MacvlanMode::Passthru,
            },
        }),
        wit::LinkKind::Bond(b) => Kind::Bond(plain::Bond { mode: b.mode, miimon: b.miimon }),
        wit::LinkKind::Vrf(0) => return Err("a VRF has no table 0".to_owned()),
        wit::LinkKind::Vrf(table) => Kind::Vrf { table },
        wit::LinkKind::Sit(tunnel) => Kind::Sit(ip_tunnel_in(tunnel)),
        wit::LinkKind::SixRd(s) => {
            let (prefix, relay_prefix) = (prefix_in(s.prefix).network(), prefix_in(s.relay_prefix).network());
            if !prefix.address.is_ipv6() || !relay_prefix.address.is_ipv4() {
                return Err("a 6rd prefix is IPv6, its relay prefix IPv4".to_owned());
            }
            Kind::SixRd(plain::SixRd { tunnel: ip_tunnel_in(s.tunnel), prefix, relay_prefix })
        }
        wit::LinkKind::Ip6Tunnel(t) => Kind::Ip6Tunnel(plain::Ip6Tunnel {
            local: t.local.map(ipv6_in),
            remote: t.remote.map(ipv6_in),
            hop_limit: t.hop_limit,
            mode: match t.mode {
                wit::Tunnel6Mode::Any => plain::Tunnel6Mode::Any,
                wit::Tunnel6Mode::Ipv4 => plain::Tunnel6Mode::Ipv4,
                wit::Tunnel6Mode::Ipv6 => plain::Tunnel6Mode::Ipv6,
            },
            encapsulation_limit: t.encapsulation_limit,
        }),
        wit::LinkKind::Gre(g) => {
            let (local, remote) = (g.local.map(ip_in), g.remote.map(ip_in));
            if local.zip(remote).is_some_and(|(a, b)| a.is_ipv4() != b.is_ipv4()) {
                return Err("the ends of a tunnel are of two families".to_owned());
            }
            Kind::Gre(plain::Gre { local, remote, ttl: g.ttl, key: g.key })
        }
        wit::LinkKind::Wireguard(w) => Kind::WireGuard(wireguard_in(w)?),
        wit::LinkKind::Tun => Kind::Tun,
    })
}

fn ip_tunnel_in(tunnel: wit::IpTunnel) -> plain::IpTunnel {
    plain::IpTunnel {
        local: tunnel.local.map(ipv4_in),
        remote: tunnel.remote.map(ipv4_in),
        ttl: tunnel.ttl,
        tos: tunnel.tos,
        path_mtu_discovery: tunnel.path_mtu_discovery,
    }
}

fn wireguard_in(wireguard: wit::Wireguard) -> Made<plain::WireGuard> {
    let prefixes: usize = wireguard.peers.iter().map(|peer| peer.allowed_ips.len()).sum();
    if wireguard.peers.len() > MAX_PEERS || prefixes > MAX_PEERS {
        return Err(format!("a WireGuard link has at most {MAX_PEERS} peers and prefixes"));
    }
    let peer = |peer: wit::WireguardPeer| {
        let public_key = <[u8; 32]>::try_from(peer.public_key).map_err(|_| "a public key has 32 bytes".to_owned())?;
        Ok(plain::WireGuardPeer {
            public_key,
            preshared_key: peer.preshared_key,
            endpoint: peer.endpoint.map(|(address, port)| (ip_in(address), port)),
            keepalive: peer.keepalive,
            allowed_ips: peer.allowed_ips.into_iter().map(|p| prefix_in(p).network()).collect(),
        })
    };
    Ok(plain::WireGuard {
        key: wireguard.key,
        listen_port: wireguard.listen_port,
        mark: wireguard.mark,
        peers: wireguard.peers.into_iter().map(peer).collect::<Made<_>>()?,
    })
}

fn address_in(address: wit::AddressState) -> Made<plain::Address> {
    let prefix = prefix_in(address.address);
    let peer = address.peer.map(ip_in);
    if prefix.address.is_unspecified() || prefix.address.is_multicast() {
        return Err(format!("{} is no address of an interface", prefix.address));
    }
    if peer.is_some_and(|peer| peer.is_ipv4() != prefix.address.is_ipv4()) {
        return Err(format!("the peer of {} is of another family", prefix.address));
    }
    Ok(plain::Address {
        interface: name_in(address.interface)?,
        address: prefix,
        peer,
        preferred_lifetime: address.preferred_lifetime,
        valid_lifetime: address.valid_lifetime,
        dad: address.dad,
        prefix_metric: address.prefix_metric,
    })
}

fn route_in(route: wit::RouteState) -> Made<plain::Route> {
    let destination = prefix_in(route.destination).network();
    let source = route.source.map(|p| prefix_in(p).network()).filter(|source| source.length > 0);
    let same_family = |address: &IpAddr| Family::of(*address) == Family::of(destination.address);
    if source.is_some_and(|source| !same_family(&source.address)) || (source.is_some() && destination.address.is_ipv4())
    {
        return Err(format!("the route to {destination} has a source that no route has"));
    }
    let preferred_source = route.preferred_source.map(ip_in);
    if preferred_source.is_some_and(|a| !same_family(&a)) {
        return Err(format!("the route to {destination} prefers a source of another family"));
    }
    let gateway = route.gateway.map(ip_in);
    if gateway.is_some_and(|a| a.is_ipv4()) && destination.address.is_ipv6() {
        return Err(format!("the route to {destination} has a gateway of another family"));
    }
    Ok(plain::Route {
        destination,
        source,
        kind: match route.kind {
            wit::RouteKind::Unicast => plain::RouteKind::Unicast,
            wit::RouteKind::Unreachable => plain::RouteKind::Unreachable,
            wit::RouteKind::Blackhole => plain::RouteKind::Blackhole,
            wit::RouteKind::Prohibit => plain::RouteKind::Prohibit,
            wit::RouteKind::Throw => plain::RouteKind::Throw,
        },
        gateway,
        interface: route.interface.map(name_in).transpose()?,
        metric: route.metric,
        table: if route.table == 0 { plain::MAIN_TABLE } else { route.table },
        preferred_source,
        mtu: route.mtu,
        on_link: route.on_link,
    })
}

fn rule_in(rule: wit::RuleState) -> Made<plain::Rule> {
    let family = match rule.family {
        wit::Family::Ipv4 => Family::Ipv4,
        wit::Family::Ipv6 => Family::Ipv6,
    };
    let prefix = |prefix: IpPrefix| Some(prefix_in(prefix).network()).filter(|p| p.length > 0);
    let (source, destination) = (rule.source.and_then(prefix), rule.destination.and_then(prefix));
    if [source, destination].iter().flatten().any(|p| Family::of(p.address) != family) {
        return Err(format!("rule {} has a prefix of another family", rule.priority));
    }
    Ok(plain::Rule {
        priority: rule.priority,
        family,
        source,
        destination,
        incoming: rule.incoming.map(name_in).transpose()?,
        outgoing: rule.outgoing.map(name_in).transpose()?,
        mark: rule.mark,
        action: match rule.action {
            wit::RuleAction::Lookup(0) => return Err(format!("rule {} looks into table 0", rule.priority)),
            wit::RuleAction::Lookup(table) => plain::RuleAction::Lookup(table),
            wit::RuleAction::Unreachable => plain::RuleAction::Unreachable,
            wit::RuleAction::Blackhole => plain::RuleAction::Blackhole,
            wit::RuleAction::Prohibit => plain::RuleAction::Prohibit,
        },
        suppress_prefix_length: rule.suppress_prefix_length,
    })
}

fn neighbour_in(neighbour: wit::NeighbourState) -> Made<plain::Neighbour> {
    Ok(plain::Neighbour {
        interface: name_in(neighbour.interface)?,
        address: ip_in(neighbour.address),
        mac: neighbour.mac.map(mac_in).transpose()?,
    })
}

fn masquerade_in(masquerade: wit::MasqueradeState) -> Made<plain::Masquerade> {
    let source = prefix_in(masquerade.source);
    if !source.address.is_ipv4() {
        return Err(format!("{source} is masqueraded, which only IPv4 is"));
    }
    let out = masquerade.out;
    match out.as_deref().filter(|name| !is_interface_name(name)) {
        Some(name) => Err(format!("{name:?} is no name of an interface")),
        None => Ok(plain::Masquerade { source, out }),
    }
}

fn sysctl_in(sysctl: wit::SysctlState) -> Made<plain::Sysctl> {
    let sysctl = plain::Sysctl { name: sysctl.name, value: sysctl.value };
    let is_legal = sysctl.is_legal() && sysctl.interface().is_none_or(is_interface_name);
    if is_legal { Ok(sysctl) } else { Err(format!("{:?} is no kernel parameter below net", sysctl.name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_are_those_that_parameters_can_have() {
        for good in ["lan0", "eth0.5", "a12345678901234", "wl-x_1@2"] {
            assert!(name_in(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a123456789012345", "lan*", "lan+", "eth%d", "ß"] {
            assert!(name_in(bad.to_owned()).is_err(), "{bad}");
        }
        let sysctl = |name: &str| sysctl_in(wit::SysctlState { name: name.to_owned(), value: "1".to_owned() });
        assert!(sysctl("ipv6/conf/eth0.5/forwarding").is_ok() && sysctl("ipv6/conf/all/forwarding").is_ok());
        assert!(sysctl("ipv6/conf/a:b/forwarding").is_err());
    }

    #[test]
    fn nothing_has_or_leads_to_table_0() {
        assert!(kind_in(wit::LinkKind::Vrf(0)).is_err());
        assert_eq!(kind_in(wit::LinkKind::Vrf(7)), Ok(Kind::Vrf { table: 7 }));
        let rule = |action| {
            rule_in(wit::RuleState {
                priority: 1,
                family: wit::Family::Ipv4,
                source: None,
                destination: None,
                incoming: None,
                outgoing: None,
                mark: None,
                action,
                suppress_prefix_length: None,
            })
        };
        assert!(rule(wit::RuleAction::Lookup(0)).is_err());
        assert!(rule(wit::RuleAction::Lookup(7)).is_ok() && rule(wit::RuleAction::Blackhole).is_ok());
    }
}
