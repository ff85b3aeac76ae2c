//! Route netlink messages -> plain values. What a message lacks is left at its default, what it has too much
//! is ignored; a message without the parts that identify its object gives nothing.

use std::net::IpAddr;

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::sys::{Address, Link, LinkTable, Neighbour, Route};

/// A lifetime of this many seconds means for ever (RFC 4861 section 4.6.2, as the kernel reports it).
const INFINITE: u32 = u32::MAX;
/// IFA_F_TEMPORARY, which shares its bit with IFA_F_SECONDARY; for IPv6 it means RFC 8981.
const IFA_F_TEMPORARY: AddressFlags = AddressFlags::Secondary;

/// The address family of an address.
#[must_use]
pub const fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Applies one message of the kernel to the table. Returns whether it changed.
pub fn apply(table: &mut LinkTable, message: &RouteNetlinkMessage) -> bool {
    match message {
        // A bridge tells of its ports in messages of its own family, with other attributes.
        RouteNetlinkMessage::NewLink(m) | RouteNetlinkMessage::DelLink(m)
            if m.header.interface_family == AddressFamily::Bridge =>
        {
            false
        }
        RouteNetlinkMessage::NewLink(m) => link(m).is_some_and(|link| {
            let old = table.links.insert(link.index, link.clone());
            old.as_ref() != Some(&link)
        }),
        RouteNetlinkMessage::DelLink(m) => {
            let known = table.links.contains_key(&m.header.index);
            table.remove_link(m.header.index);
            known
        }
        RouteNetlinkMessage::NewAddress(m) => address(m).is_some_and(|address| {
            let old = table.addresses.insert(address.key(), address.clone());
            old.as_ref() != Some(&address)
        }),
        RouteNetlinkMessage::DelAddress(m) => {
            address(m).is_some_and(|address| table.addresses.remove(&address.key()).is_some())
        }
        _ => false,
    }
}

/// Parses a buffer of netlink messages and applies them: what the kernel's answers go through, in a form
/// that takes any bytes. Stops at the first message that is none.
pub fn apply_bytes(table: &mut LinkTable, bytes: &[u8]) -> bool {
    let mut changed = false;
    for_each_message(bytes, |message| changed |= apply(table, message));
    changed
}

/// The routes and neighbours in a buffer of netlink messages, read likewise.
#[must_use]
pub fn routes_and_neighbours(bytes: &[u8]) -> (Vec<Route>, Vec<Neighbour>) {
    let mut found = (Vec::new(), Vec::new());
    for_each_message(bytes, |message| match message {
        RouteNetlinkMessage::NewRoute(m) => found.0.extend(route(m)),
        RouteNetlinkMessage::NewNeighbour(m) => found.1.extend(neighbour(m)),
        _ => {}
    });
    found
}

fn for_each_message(mut bytes: &[u8], mut f: impl FnMut(&RouteNetlinkMessage)) {
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
        if let NetlinkPayload::InnerMessage(inner) = &message.payload {
            f(inner);
        }
        let length = NetlinkBuffer::new_checked(bytes).map_or(0, |b| b.length() as usize);
        let aligned = length.saturating_add(3) & !3;
        if aligned < 16 || aligned >= bytes.len() {
            break;
        }
        bytes = &bytes[aligned..];
    }
}

/// A link; `None` without a name.
#[must_use]
pub fn link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running | LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        point_to_point: flags.contains(LinkFlags::Pointopoint),
        multicast: flags.contains(LinkFlags::Multicast),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac = mac.iter().copied().take(32).collect(),
            LinkAttribute::PermAddress(mac) => link.permanent_mac = mac.iter().copied().take(32).collect(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) if *index != 0 => link.controller = Some(*index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::AfSpecUnspec(families) => {
                let inet6 = families.iter().filter_map(|family| match family {
                    AfSpecUnspec::Inet6(parts) => Some(parts),
                    _ => None,
                });
                link.ipv6_forwarding = inet6.flatten().find_map(|part| match part {
                    AfSpecInet6::DevConf(conf) => Some(conf.forwarding != 0),
                    _ => None,
                });
            }
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (!link.name.is_empty() && link.index != 0).then_some(link)
}

/// An address; `None` without one.
#[must_use]
pub fn address(message: &AddressMessage) -> Option<Address> {
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut own, mut peer, mut lifetimes) = (None, None, (None, None));
    for attribute in &message.attributes {
        match attribute {
            // On point-to-point links IFA_LOCAL is ours and IFA_ADDRESS the peer's.
            AddressAttribute::Local(a) => own = Some(*a),
            AddressAttribute::Address(a) => peer = Some(*a),
            AddressAttribute::Flags(f) => flags = *f,
            AddressAttribute::CacheInfo(info) => {
                let left = |seconds: u32| (seconds != INFINITE).then_some(seconds);
                lifetimes = (left(info.ifa_preferred), left(info.ifa_valid));
            }
            _ => {}
        }
    }
    let address = own.or(peer)?;
    let max = if address.is_ipv6() { 128 } else { 32 };
    Some(Address {
        index: message.header.index,
        address,
        prefix_length: message.header.prefix_len.min(max),
        tentative: flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic),
        duplicate: flags.contains(AddressFlags::Dadfailed),
        deprecated: flags.contains(AddressFlags::Deprecated),
        temporary: address.is_ipv6() && flags.contains(IFA_F_TEMPORARY),
        preferred_lifetime: lifetimes.0,
        valid_lifetime: lifetimes.1,
    })
}

/// A route of the main table that packets can take or be refused by; `None` for others.
#[must_use]
pub fn route(message: &RouteMessage) -> Option<Route> {
    let table = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let main = u32::from(RouteHeader::RT_TABLE_MAIN);
    let shown = matches!(
        message.header.kind,
        RouteType::Unicast | RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit
    );
    if table.unwrap_or_else(|| message.header.table.into()) != main || !shown {
        return None;
    }
    let unspecified = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0u8; 4]),
        AddressFamily::Inet6 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let mut route = Route {
        destination: (unspecified, message.header.destination_prefix_length),
        gateway: None,
        index: None,
        metric: 0,
        protocol: message.header.protocol.into(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => route.destination.0 = ip(to)?,
            RouteAttribute::Gateway(gateway) => route.gateway = ip(gateway),
            RouteAttribute::Oif(index) => route.index = Some(*index),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            _ => {}
        }
    }
    if message.header.kind != RouteType::Unicast {
        route.index = None;
    }
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(a) => Some((*a).into()),
        RouteAddress::Inet6(a) => Some((*a).into()),
        _ => None,
    }
}

/// A neighbour; `None` without an IP address, or for entries of the kernel's own (NOARP).
#[must_use]
pub fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let (address, mac) = neighbour_parts(message);
    let state = message.header.state;
    if state == NeighbourState::Noarp {
        return None;
    }
    Some(Neighbour {
        index: message.header.ifindex,
        address: address?,
        mac,
        usable: !matches!(state, NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None),
        router: message.header.flags.contains(NeighbourFlags::Router),
    })
}

/// Address and link-layer address of an entry.
pub fn neighbour_parts(message: &NeighbourMessage) -> (Option<IpAddr>, Vec<u8>) {
    let (mut address, mut mac) = (None, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => address = Some(IpAddr::from(*a)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => address = Some(IpAddr::from(*a)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.iter().copied().take(32).collect(),
            _ => {}
        }
    }
    (address, mac)
}
