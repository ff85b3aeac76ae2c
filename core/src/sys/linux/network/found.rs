//! What the kernel has, for reconciling: dumps of links, addresses, our routes and rules, fixed neighbours.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAction as WireAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::super::convert;
use crate::sys::network::{
    Family, Found, FoundAddress, FoundLink, FoundNeighbour, PROTOCOL, Prefix, RouteKey, Rule, RuleAction,
};

/// From linux/if_addr.h and linux/rtnetlink.h.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_PROTO: u16 = 11;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;

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

/// Adds what one message of an answer tells: its type, the bytes behind its header, and all of it from the header on.
pub fn add(found: &mut Found, kind: u16, payload: &[u8], whole: &[u8]) {
    match kind {
        libc::RTM_NEWADDR => found.addresses.extend(address(payload)),
        libc::RTM_NEWROUTE => found.routes.extend(route(payload)),
        _ => {
            // A message that this crate cannot read is of no kind that we make.
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(whole)
                && let NetlinkPayload::InnerMessage(inner) = &message.payload
            {
                add_message(found, inner);
            }
        }
    }
}

fn add_message(found: &mut Found, message: &RouteNetlinkMessage) {
    match message {
        RouteNetlinkMessage::NewLink(m) => found.links.extend(link(m)),
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

/// An address, from the bytes behind the netlink header (struct ifaddrmsg). There can be thousands, of which few parts
/// matter: they are taken out without building the whole message.
fn address(payload: &[u8]) -> Option<FoundAddress> {
    let (&[_, length, _, _, index @ ..], attributes) = payload.split_first_chunk::<8>()?;
    let (mut own, mut peer, mut protocol, mut lifetimes) = (None, None, 0, (None, None));
    for (kind, value) in attributes_of(attributes) {
        match kind {
            IFA_ADDRESS => peer = ip(value),
            // On point-to-point links IFA_LOCAL is ours and IFA_ADDRESS the peer's.
            IFA_LOCAL => own = ip(value),
            IFA_PROTO => protocol = value.first().copied().unwrap_or(0),
            IFA_CACHEINFO => lifetimes = (lifetime(value), value.get(4..).and_then(lifetime)),
            _ => {}
        }
    }
    let (preferred_lifetime, valid_lifetime) = lifetimes;
    let address = Prefix::new(own.or(peer)?, length);
    Some(FoundAddress { index: u32::from_ne_bytes(index), address, protocol, valid_lifetime, preferred_lifetime })
}

/// A route of ours in whatever table, from the bytes behind the netlink header (struct rtmsg), likewise.
fn route(payload: &[u8]) -> Option<RouteKey> {
    let (&[family, length, source_length, _, table, protocol, ..], attributes) = payload.split_first_chunk::<12>()?;
    if protocol != PROTOCOL {
        return None;
    }
    let unspecified = match i32::from(family) {
        libc::AF_INET => IpAddr::from([0u8; 4]),
        libc::AF_INET6 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let (mut destination, mut source, mut metric, mut table) = (unspecified, None, 0, u32::from(table));
    for (kind, value) in attributes_of(attributes) {
        match kind {
            RTA_DST => destination = ip(value)?,
            RTA_SRC if source_length > 0 => source = Some(Prefix::new(ip(value)?, source_length)),
            RTA_PRIORITY => metric = number(value)?,
            RTA_TABLE => table = number(value)?,
            _ => {}
        }
    }
    Some(RouteKey { table, destination: Prefix::new(destination, length), source, metric })
}

/// The attributes of a message, as far as they are whole.
fn attributes_of(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The upper two bits say how the value is made.
        Some((u16::from_ne_bytes([c, d]) & 0x3fff, value))
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        16 => Some(IpAddr::from(*bytes.first_chunk::<16>()?)),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// Seconds; none for ever.
fn lifetime(bytes: &[u8]) -> Option<u32> {
    number(bytes).filter(|seconds| *seconds != u32::MAX)
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
