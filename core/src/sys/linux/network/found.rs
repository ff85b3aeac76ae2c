//! What the kernel has, for reconciling: dumps of links, addresses, our routes and rules, fixed neighbours.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAction as WireAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::super::convert;
use crate::sys::network::{
    Family, Found, FoundAddress, FoundLink, FoundNeighbour, PROTOCOL, Prefix, RouteKey, Rule, RuleAction,
};

/// The requests whose answers make up a [`Found`]. Those for routes ask for ours alone; a kernel that does not filter
/// tells of all, and [`add`] leaves the others out.
pub fn requests() -> Vec<NetlinkMessage<RouteNetlinkMessage>> {
    let mut messages = vec![
        RouteNetlinkMessage::GetLink(LinkMessage::default()),
        RouteNetlinkMessage::GetAddress(AddressMessage::default()),
    ];
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        route.header.protocol = RouteProtocol::from(PROTOCOL);
        messages.push(RouteNetlinkMessage::GetRoute(route));
        let mut rule = RuleMessage::default();
        rule.header.family = family;
        messages.push(RouteNetlinkMessage::GetRule(rule));
    }
    messages.push(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()));
    let mut proxies = NeighbourMessage::default();
    proxies.header.flags = NeighbourFlags::Proxy;
    messages.push(RouteNetlinkMessage::GetNeighbour(proxies));
    let request = |message| {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request
    };
    messages.into_iter().map(request).collect()
}

/// Adds what one message of an answer tells.
pub fn add(found: &mut Found, message: &RouteNetlinkMessage) {
    match message {
        RouteNetlinkMessage::NewLink(m) => found.links.extend(link(m)),
        RouteNetlinkMessage::NewAddress(m) => found.addresses.extend(address(m)),
        RouteNetlinkMessage::NewRoute(m) => found.routes.extend(route(m)),
        RouteNetlinkMessage::NewRule(m) => found.rules.extend(rule(m)),
        RouteNetlinkMessage::NewNeighbour(m) => found.neighbours.extend(neighbour(m)),
        _ => {}
    }
}

fn link(message: &LinkMessage) -> Option<FoundLink> {
    let link = convert::link(message)?;
    Some(FoundLink {
        index: link.index,
        name: link.name,
        kind: link.kind,
        alias: link.alias,
        up: link.up,
        mtu: link.mtu,
        mac: link.mac,
        controller: link.controller,
    })
}

fn address(message: &AddressMessage) -> Option<FoundAddress> {
    let address = convert::address(message)?;
    let protocol = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
        _ => None,
    });
    let prefix = Prefix::new(address.address, address.prefix_length);
    Some(FoundAddress {
        index: address.index,
        address: prefix,
        protocol: protocol.unwrap_or(0),
        valid_lifetime: address.valid_lifetime,
        preferred_lifetime: address.preferred_lifetime,
    })
}

/// A route of ours in whatever table.
fn route(message: &RouteMessage) -> Option<RouteKey> {
    let header = &message.header;
    if u8::from(header.protocol) != PROTOCOL {
        return None;
    }
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0u8; 4]),
        AddressFamily::Inet6 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let ip = |address: &RouteAddress| match address {
        RouteAddress::Inet(a) => Some(IpAddr::from(*a)),
        RouteAddress::Inet6(a) => Some(IpAddr::from(*a)),
        _ => None,
    };
    let mut key = RouteKey {
        table: header.table.into(),
        destination: Prefix::new(unspecified, header.destination_prefix_length),
        source: None,
        metric: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => key.table = *table,
            RouteAttribute::Destination(to) => key.destination.address = ip(to)?,
            RouteAttribute::Source(from) if header.source_prefix_length > 0 => {
                key.source = Some(Prefix::new(ip(from)?, header.source_prefix_length));
            }
            RouteAttribute::Priority(metric) => key.metric = *metric,
            _ => {}
        }
    }
    Some(key)
}

/// A rule of ours.
fn rule(message: &RuleMessage) -> Option<Rule> {
    let family = match message.header.family {
        AddressFamily::Inet => Family::Ipv4,
        AddressFamily::Inet6 => Family::Ipv6,
        _ => return None,
    };
    let mut rule = Rule {
        priority: 0,
        family,
        source: None,
        destination: None,
        incoming: None,
        outgoing: None,
        mark: None,
        action: match message.header.action {
            WireAction::ToTable => RuleAction::Lookup(message.header.table.into()),
            WireAction::Unreachable => RuleAction::Unreachable,
            WireAction::Blackhole => RuleAction::Blackhole,
            WireAction::Prohibit => RuleAction::Prohibit,
            _ => return None,
        },
        suppress_prefix_length: None,
    };
    let (mut ours, mut mark, mut mask) = (false, None, None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Protocol(protocol) => ours = u8::from(*protocol) == PROTOCOL,
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(a) => rule.source = Some(Prefix::new(*a, message.header.src_len)),
            RuleAttribute::Destination(a) => rule.destination = Some(Prefix::new(*a, message.header.dst_len)),
            RuleAttribute::Iifname(name) => rule.incoming = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.outgoing = Some(name.clone()),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = Some(*value),
            RuleAttribute::Table(table) => {
                if let RuleAction::Lookup(lookup) = &mut rule.action {
                    *lookup = *table;
                }
            }
            RuleAttribute::SuppressPrefixLen(length) if *length != u32::MAX => {
                rule.suppress_prefix_length = Some(*length);
            }
            _ => {}
        }
    }
    // The kernel leaves a mark of 0 out.
    rule.mark = (mark.is_some() || mask.is_some()).then(|| (mark.unwrap_or(0), mask.unwrap_or(u32::MAX)));
    ours.then_some(rule)
}

/// A fixed neighbour or a proxy entry.
fn neighbour(message: &NeighbourMessage) -> Option<FoundNeighbour> {
    let is_proxy = message.header.flags.contains(NeighbourFlags::Proxy);
    if !is_proxy && message.header.state != NeighbourState::Permanent {
        return None;
    }
    let (address, mac) = convert::neighbour_parts(message);
    Some(FoundNeighbour { index: message.header.ifindex, address: address?, mac: (!is_proxy).then_some(mac) })
}
