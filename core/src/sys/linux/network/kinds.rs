//! Links that can be made, as IFLA_LINKINFO.

use std::net::IpAddr;

use netlink_packet_route::link::{
    BondMode, BridgeStpState, GreIOFlags, InfoBond, InfoBridge, InfoData, InfoGre, InfoGre6, InfoIpTunnel, InfoKind,
    InfoMacVlan, InfoVeth, InfoVlan, InfoVrf, Ip6TunnelFlags, LinkAttribute, LinkInfo, MacVlanMode, VlanProtocol,
};
use portreeve_network::{self as wanted, Kind};

use super::encode;

/// The bridge's times are in hundredths of a second (USER_HZ).
const HUNDREDTHS: u32 = 100;

/// IFLA_LINKINFO of a kind, to make it or to change one that is there, and IFLA_LINK where it lies on another link.
/// `index_of` finds the link below.
///
/// # Errors
/// What `index_of` says.
pub fn attributes<E>(
    kind: &Kind,
    is_change: bool,
    index_of: impl Fn(&str) -> Result<u32, E>,
) -> Result<Vec<LinkAttribute>, E> {
    let (data, parent) = match kind {
        Kind::Bridge(bridge) => (Some(InfoData::Bridge(bridge_data(bridge, is_change))), None),
        Kind::Vlan(vlan) => {
            let protocol = match vlan.protocol {
                wanted::VlanProtocol::Ieee8021Q => VlanProtocol::Ieee8021Q,
                wanted::VlanProtocol::Ieee8021Ad => VlanProtocol::Ieee8021Ad,
            };
            let data = vec![InfoVlan::Id(vlan.id), InfoVlan::Protocol(protocol)];
            (Some(InfoData::Vlan(data)), Some(index_of(&vlan.parent)?))
        }
        Kind::Veth(veth) => {
            let peer = encode::link(0, vec![LinkAttribute::IfName(veth.peer.clone())]);
            (Some(InfoData::Veth(InfoVeth::Peer(peer))), None)
        }
        Kind::Dummy | Kind::Tun | Kind::WireGuard(_) => (None, None),
        Kind::Macvlan(macvlan) => {
            let mode = match macvlan.mode {
                wanted::MacvlanMode::Private => MacVlanMode::Private,
                wanted::MacvlanMode::Vepa => MacVlanMode::Vepa,
                wanted::MacvlanMode::Bridge => MacVlanMode::Bridge,
                wanted::MacvlanMode::Passthru => MacVlanMode::Passthrough,
            };
            (Some(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])), Some(index_of(&macvlan.parent)?))
        }
        Kind::Bond(bond) => {
            let miimon = bond.miimon.unwrap_or(100);
            (Some(InfoData::Bond(vec![InfoBond::Mode(BondMode::from(bond.mode)), InfoBond::MiiMon(miimon)])), None)
        }
        Kind::Vrf { table } => (Some(InfoData::Vrf(vec![InfoVrf::TableId(*table)])), None),
        Kind::Sit(tunnel) => (Some(InfoData::IpTunnel(ip_tunnel(tunnel))), None),
        Kind::SixRd(six_rd) => (Some(InfoData::IpTunnel(six_rd_data(six_rd))), None),
        Kind::Ip6Tunnel(tunnel) => (Some(InfoData::IpTunnel(ip6_tunnel(tunnel))), None),
        Kind::Gre(gre) => (Some(gre_data(gre)), None),
    };
    let mut info = vec![LinkInfo::Kind(info_kind(kind))];
    info.extend(data.map(LinkInfo::Data));
    let mut attributes = vec![LinkAttribute::LinkInfo(info)];
    attributes.extend(parent.map(LinkAttribute::Link));
    Ok(attributes)
}

fn info_kind(kind: &Kind) -> InfoKind {
    match kind.name() {
        "bridge" => InfoKind::Bridge,
        "vlan" => InfoKind::Vlan,
        "veth" => InfoKind::Veth,
        "macvlan" => InfoKind::MacVlan,
        "bond" => InfoKind::Bond,
        "vrf" => InfoKind::Vrf,
        "sit" => InfoKind::SitTun,
        "ip6tnl" => InfoKind::Ip6Tnl,
        "gre" => InfoKind::GreTun,
        "ip6gre" => InfoKind::GreTun6,
        other => InfoKind::Other(other.to_owned()),
    }
}

fn bridge_data(bridge: &wanted::Bridge, is_change: bool) -> Vec<InfoBridge> {
    let stp = if bridge.stp { BridgeStpState::KernelStp } else { BridgeStpState::Disabled };
    let mut data = vec![InfoBridge::StpState(stp), InfoBridge::MulticastSnooping(bridge.multicast_snooping)];
    // A kernel without BRIDGE_VLAN_FILTERING refuses even to hear that it shall be off.
    data.extend((bridge.vlan_filtering || is_change).then_some(InfoBridge::VlanFiltering(bridge.vlan_filtering)));
    data.extend(bridge.forward_delay.map(|seconds| InfoBridge::ForwardDelay(seconds.saturating_mul(HUNDREDTHS))));
    data
}

fn ip_tunnel(tunnel: &wanted::IpTunnel) -> Vec<InfoIpTunnel> {
    let mut data = Vec::new();
    data.extend(tunnel.local.map(|a| InfoIpTunnel::Local(a.into())));
    data.extend(tunnel.remote.map(|a| InfoIpTunnel::Remote(a.into())));
    data.push(InfoIpTunnel::Ttl(tunnel.ttl));
    data.push(InfoIpTunnel::Tos(tunnel.tos));
    data.push(InfoIpTunnel::PMtuDisc(tunnel.path_mtu_discovery));
    data
}

fn six_rd_data(six_rd: &wanted::SixRd) -> Vec<InfoIpTunnel> {
    let mut data = ip_tunnel(&wanted::IpTunnel { remote: None, ..six_rd.tunnel.clone() });
    if let (IpAddr::V6(prefix), IpAddr::V4(relay)) = (six_rd.prefix.address, six_rd.relay_prefix.address) {
        data.push(InfoIpTunnel::Ipv6RdPrefix(prefix));
        data.push(InfoIpTunnel::Ipv6RdPrefixLen(six_rd.prefix.length.into()));
        data.push(InfoIpTunnel::Ipv6RdRelayPrefix(relay));
        data.push(InfoIpTunnel::Ipv6RdRelayPrefixLen(six_rd.relay_prefix.length.into()));
    }
    data
}

fn ip6_tunnel(tunnel: &wanted::Ip6Tunnel) -> Vec<InfoIpTunnel> {
    let mut data = Vec::new();
    data.extend(tunnel.local.map(|a| InfoIpTunnel::Local(a.into())));
    data.extend(tunnel.remote.map(|a| InfoIpTunnel::Remote(a.into())));
    data.push(InfoIpTunnel::Ttl(tunnel.hop_limit));
    let protocol: u8 = match tunnel.mode {
        wanted::Tunnel6Mode::Any => 0,
        wanted::Tunnel6Mode::Ipv4 => 4,
        wanted::Tunnel6Mode::Ipv6 => 41,
    };
    data.push(InfoIpTunnel::Protocol(protocol.into()));
    match tunnel.encapsulation_limit {
        Some(limit) => data.push(InfoIpTunnel::EncapLimit(limit)),
        None => data.push(InfoIpTunnel::Ipv6Flags(Ip6TunnelFlags::IgnEncapLimit)),
    }
    data
}

fn gre_data(gre: &wanted::Gre) -> InfoData {
    let is_v6 = matches!(gre.remote.or(gre.local), Some(IpAddr::V6(_)));
    if is_v6 {
        let mut data = vec![InfoGre6::Ttl(gre.ttl)];
        for (address, make) in [(gre.local, InfoGre6::Local as fn(_) -> _), (gre.remote, InfoGre6::Remote)] {
            if let Some(IpAddr::V6(a)) = address {
                data.push(make(a));
            }
        }
        if let Some(key) = gre.key {
            data.extend([InfoGre6::IFlags(GreIOFlags::Key), InfoGre6::OFlags(GreIOFlags::Key)]);
            data.extend([InfoGre6::IKey(key), InfoGre6::OKey(key)]);
        }
        InfoData::GreTun6(data)
    } else {
        let mut data = vec![InfoGre::Ttl(gre.ttl), InfoGre::PathMTUDiscovery(true)];
        for (address, make) in [(gre.local, InfoGre::Local as fn(_) -> _), (gre.remote, InfoGre::Remote)] {
            if let Some(IpAddr::V4(a)) = address {
                data.push(make(a));
            }
        }
        if let Some(key) = gre.key {
            data.extend([InfoGre::IFlags(GreIOFlags::Key), InfoGre::OFlags(GreIOFlags::Key)]);
            data.extend([InfoGre::IKey(key), InfoGre::OKey(key)]);
        }
        InfoData::GreTun(data)
    }
}
