//! Changes as route netlink messages. Links by kind are in `kinds.rs`.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::rule::{RuleAction as WireAction, RuleAttribute, RuleMessage};

use super::super::convert::family_of;
use crate::sys::network::{Address, Family, Neighbour, PROTOCOL, Prefix, Route, RouteKey, RouteKind, Rule, RuleAction};

/// A lifetime that does not end.
const INFINITE: u32 = u32::MAX;

/// A message with the flags of its request; the sequence number comes later.
pub type Request = NetlinkMessage<RouteNetlinkMessage>;

/// The bytes of a request.
pub fn bytes(mut request: Request, sequence: u32) -> Vec<u8> {
    request.header.sequence_number = sequence;
    request.finalize();
    let mut buffer = vec![0; request.buffer_len()];
    request.serialize(&mut buffer);
    buffer
}

fn request(message: RouteNetlinkMessage, flags: u16) -> Request {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    request
}

const MAKE: u16 = NLM_F_CREATE | NLM_F_EXCL;
const PUT: u16 = NLM_F_CREATE | NLM_F_REPLACE;

/// Makes the link that the message describes.
pub fn make_link(message: LinkMessage) -> Request {
    request(RouteNetlinkMessage::NewLink(message), MAKE)
}

/// Changes the settings of the kind of a link.
pub fn change_link(message: LinkMessage) -> Request {
    request(RouteNetlinkMessage::NewLink(message), 0)
}

/// Removes a link.
pub fn remove_link(index: u32) -> Request {
    request(RouteNetlinkMessage::DelLink(link(index, Vec::new())), 0)
}

/// Sets attributes of a link, and IFF_UP where it is given.
pub fn set_link(index: u32, up: Option<bool>, attributes: Vec<LinkAttribute>) -> Request {
    let mut message = link(index, attributes);
    if let Some(up) = up {
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    }
    request(RouteNetlinkMessage::SetLink(message), 0)
}

/// A link's header with attributes.
pub fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

/// Adds an address, or sets the one that is there.
pub fn set_address(index: u32, wanted: &Address) -> Request {
    let address = wanted.address.address;
    let mut message = address_message(index, wanted.address);
    let own = AddressAttribute::Local(address);
    message.attributes.push(own);
    message.attributes.push(AddressAttribute::Address(wanted.peer.unwrap_or(address)));
    if let IpAddr::V4(v4) = address
        && wanted.address.length < 31
        && wanted.peer.is_none()
    {
        let hosts = u32::MAX.checked_shr(wanted.address.length.into()).unwrap_or(0);
        message.attributes.push(AddressAttribute::Broadcast((u32::from(v4) | hosts).into()));
    }
    let mut flags = AddressFlags::empty();
    if !wanted.dad && address.is_ipv6() {
        flags |= AddressFlags::Nodad;
    }
    match wanted.prefix_metric {
        Some(0) => flags |= AddressFlags::Noprefixroute,
        Some(metric) => message.attributes.push(AddressAttribute::RoutePriority(metric)),
        None => {}
    }
    if !flags.is_empty() {
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    if wanted.preferred_lifetime.is_some() || wanted.valid_lifetime.is_some() {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = wanted.valid_lifetime.unwrap_or(INFINITE);
        lifetimes.ifa_preferred = wanted.preferred_lifetime.unwrap_or(INFINITE).min(lifetimes.ifa_valid);
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)));
    request(RouteNetlinkMessage::NewAddress(message), PUT)
}

/// Removes an address.
pub fn remove_address(index: u32, address: &Address) -> Request {
    let mut message = address_message(index, address.address);
    let own = address.address.address;
    message.attributes.push(AddressAttribute::Local(own));
    // Without it the kernel takes the first of this address, whatever its prefix length.
    message.attributes.push(AddressAttribute::Address(address.peer.unwrap_or(own)));
    request(RouteNetlinkMessage::DelAddress(message), 0)
}

fn address_message(index: u32, address: Prefix) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family_of(address.address);
    message.header.prefix_len = address.length;
    message.header.index = index;
    message.header.scope = match address.address {
        IpAddr::V4(a) if a.is_loopback() => AddressScope::Host,
        IpAddr::V4(a) if a.is_link_local() => AddressScope::Link,
        _ => AddressScope::Universe,
    };
    message
}

/// Adds a route, or puts it in the place of ours.
pub fn set_route(route: &Route, index: Option<u32>, replace: bool) -> Request {
    let mut message = route_message(&RouteKey::of(route));
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Throw => RouteType::Throw,
    };
    let on_link_v4 = route.gateway.is_none() && route.destination.address.is_ipv4() && route.kind == RouteKind::Unicast;
    message.header.scope = if on_link_v4 { RouteScope::Link } else { RouteScope::Universe };
    if route.on_link {
        message.header.flags |= RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    match (route.gateway, route.destination.address) {
        // The gateway of an IPv4 route may be an IPv6 address (RFC 5549).
        (Some(IpAddr::V6(via)), IpAddr::V4(_)) => {
            attributes.push(RouteAttribute::Via(netlink_packet_route::route::RouteVia::Inet6(via)));
        }
        (Some(via), _) => attributes.push(RouteAttribute::Gateway(route_address(via))),
        (None, _) => {}
    }
    if let Some(index) = index {
        attributes.push(RouteAttribute::Oif(index));
    }
    if let Some(source) = route.preferred_source {
        attributes.push(RouteAttribute::PrefSource(route_address(source)));
    }
    if let Some(mtu) = route.mtu {
        attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    request(RouteNetlinkMessage::NewRoute(message), if replace { PUT } else { MAKE })
}

/// Removes a route that carries our number.
pub fn remove_route(key: &RouteKey) -> Request {
    let mut message = route_message(key);
    message.header.scope = RouteScope::NoWhere;
    request(RouteNetlinkMessage::DelRoute(message), 0)
}

fn route_message(key: &RouteKey) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(key.destination.address);
    message.header.destination_prefix_length = key.destination.length;
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    message.header.table = u8::try_from(key.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.attributes.push(RouteAttribute::Table(key.table));
    if key.destination.length > 0 {
        message.attributes.push(RouteAttribute::Destination(route_address(key.destination.address)));
    }
    if let Some(source) = key.source {
        message.header.source_prefix_length = source.length;
        message.attributes.push(RouteAttribute::Source(route_address(source.address)));
    }
    message.attributes.push(RouteAttribute::Priority(key.metric));
    message
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(a) => RouteAddress::Inet(a),
        IpAddr::V6(a) => RouteAddress::Inet6(a),
    }
}

/// Adds a rule.
pub fn add_rule(rule: &Rule) -> Request {
    request(RouteNetlinkMessage::NewRule(rule_message(rule)), MAKE)
}

/// Removes a rule.
pub fn remove_rule(rule: &Rule) -> Request {
    request(RouteNetlinkMessage::DelRule(rule_message(rule)), 0)
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match rule.family {
        Family::Ipv4 => netlink_packet_route::AddressFamily::Inet,
        Family::Ipv6 => netlink_packet_route::AddressFamily::Inet6,
    };
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    if let Some(source) = rule.source {
        message.header.src_len = source.length;
        attributes.push(RuleAttribute::Source(source.address));
    }
    if let Some(destination) = rule.destination {
        message.header.dst_len = destination.length;
        attributes.push(RuleAttribute::Destination(destination.address));
    }
    if let Some(name) = &rule.incoming {
        attributes.push(RuleAttribute::Iifname(name.clone()));
    }
    if let Some(name) = &rule.outgoing {
        attributes.push(RuleAttribute::Oifname(name.clone()));
    }
    if let Some((mark, mask)) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.push(RuleAttribute::FwMask(mask));
    }
    if let Some(length) = rule.suppress_prefix_length {
        attributes.push(RuleAttribute::SuppressPrefixLen(length));
    }
    message.header.action = match rule.action {
        RuleAction::Lookup(table) => {
            attributes.push(RuleAttribute::Table(table));
            message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
            WireAction::ToTable
        }
        RuleAction::Unreachable => WireAction::Unreachable,
        RuleAction::Blackhole => WireAction::Blackhole,
        RuleAction::Prohibit => WireAction::Prohibit,
    };
    message
}

/// Adds or changes a neighbour or a proxy entry.
pub fn set_neighbour(index: u32, neighbour: &Neighbour) -> Request {
    request(RouteNetlinkMessage::NewNeighbour(neighbour_message(index, neighbour)), PUT)
}

/// Removes one.
pub fn remove_neighbour(index: u32, neighbour: &Neighbour) -> Request {
    request(RouteNetlinkMessage::DelNeighbour(neighbour_message(index, neighbour)), 0)
}

fn neighbour_message(index: u32, neighbour: &Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family_of(neighbour.address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::Destination(match neighbour.address {
        IpAddr::V4(a) => NeighbourAddress::Inet(a),
        IpAddr::V6(a) => NeighbourAddress::Inet6(a),
    }));
    match &neighbour.mac {
        Some(mac) => message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.clone())),
        None => message.header.flags |= NeighbourFlags::Proxy,
    }
    message
}
