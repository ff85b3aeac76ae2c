//! Content to bytes: options in a fixed order, lifetimes as of now, split over packets where they do not fit into one.
//!
//! An advertisement is never fragmented (RFC 6980 section 5): what exceeds the link's MTU goes into further
//! advertisements with the same header (RFC 4861 section 6.2.3 allows that). An option is never divided, except that
//! a list of servers or domains which no packet could carry becomes several options.

use super::content::{AdvertisedPrefix, Content};
use super::withdrawn::{Withdrawn, deprecated};
use crate::config::{Lifetime, RouteConfig};
use crate::time::Instant;
use portreeve_packet::nd::{
    Dnssl, DomainName, NdOption, Pref64, Preference, PrefixInformation, Rdnss, RouteInformation, RouterAdvertisement,
};
use std::net::Ipv6Addr;

/// The IPv6 header in front of the advertisement, and the least MTU (RFC 8200 sections 3 and 5).
const IPV6_HEADER: usize = 40;
const LEAST_MTU: usize = 1280;

/// Which advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the configuration says.
    Normal,
    /// The last ones of an interface (RFC 4861 section 6.2.5): no default router, nothing offered any more.
    Final {
        /// Prefixes are deprecated too: the interface was taken out, the router stays.
        deprecate: bool,
    },
}

/// The packets of one advertisement on a link of `mtu` bytes: at least one, each an ICMPv6 message without checksum.
pub(super) fn build(content: &Content, withdrawn: &Withdrawn, kind: Kind, mtu: u32, now: Instant) -> Vec<Vec<u8>> {
    let mtu = usize::try_from(mtu).unwrap_or(usize::MAX).clamp(LEAST_MTU, 65_535);
    let room = mtu - IPV6_HEADER - RouterAdvertisement::HEADER_LENGTH;
    let mut header = content.header.clone();
    if kind != Kind::Normal {
        header.router_lifetime = 0;
        header.preference = Preference::Medium; // RFC 4191 section 2.2
    }
    let mut packets = Vec::new();
    let mut used = 0;
    for option in options(content, withdrawn, kind, room, now) {
        let length = option.buffer_len();
        if used + length > room && !header.options.is_empty() {
            packets.push(emit(&header));
            header.options.clear();
            used = 0;
        }
        used += length;
        header.options.push(option);
    }
    packets.push(emit(&header));
    packets
}

fn emit(advertisement: &RouterAdvertisement) -> Vec<u8> {
    let mut bytes = vec![0; advertisement.buffer_len()];
    // Cannot fail: the buffer is as long as needed, and no option exceeds its bound (config and `chunks`). Were that
    // wrong, hosts get the header alone rather than half an option.
    let length = advertisement.emit(&mut bytes).unwrap_or(RouterAdvertisement::HEADER_LENGTH);
    bytes.truncate(length);
    bytes
}

fn options(content: &Content, withdrawn: &Withdrawn, kind: Kind, room: usize, now: Instant) -> Vec<NdOption> {
    let last = kind != Kind::Normal;
    let lifetime = |lifetime: Lifetime| if last { 0 } else { lifetime.wire() };
    let mut options = Vec::new();
    options.extend(content.link_layer_address.clone().map(NdOption::SourceLinkLayerAddress));
    options.extend(content.mtu.map(NdOption::Mtu));
    options.extend(content.interval.map(NdOption::AdvertisementInterval));
    for prefix in &content.prefixes {
        options.push(match kind {
            Kind::Final { deprecate: true } if prefix.deprecate_on_removal => {
                prefix_option(&deprecated(prefix, now), now)
            }
            _ => prefix_option(prefix, now),
        });
    }
    options.extend(withdrawn.prefixes(now).map(|prefix| prefix_option(prefix, now)));
    options.extend(content.routes.iter().map(|route| route_option(route, lifetime(route.lifetime))));
    options.extend(withdrawn.routes(now).map(|route| route_option(route, 0)));
    for rdnss in &content.rdnss {
        add_rdnss(&mut options, &rdnss.servers, lifetime(rdnss.lifetime), room);
    }
    let servers: Vec<_> = withdrawn.servers(now).copied().collect();
    add_rdnss(&mut options, &servers, 0, room);
    for dnssl in &content.dnssl {
        add_dnssl(&mut options, &dnssl.domains, lifetime(dnssl.lifetime), room);
    }
    let domains: Vec<_> = withdrawn.domains(now).cloned().collect();
    add_dnssl(&mut options, &domains, 0, room);
    let offered = content.pref64.iter().map(|p| (p.prefix, if last { 0 } else { p.lifetime }));
    for (prefix, lifetime) in offered.chain(withdrawn.pref64(now).map(|prefix| (*prefix, 0))) {
        let (prefix, prefix_length) = (prefix.address(), prefix.length());
        options.push(NdOption::Pref64(Pref64 { lifetime, prefix, prefix_length }));
    }
    options.extend(content.captive_portal.clone().map(NdOption::CaptivePortal));
    options
}

fn prefix_option(prefix: &AdvertisedPrefix, now: Instant) -> NdOption {
    let valid = prefix.valid.at(now);
    NdOption::PrefixInformation(PrefixInformation {
        prefix_length: prefix.prefix.length(),
        flags: prefix.flags,
        valid_lifetime: valid.wire(),
        preferred_lifetime: prefix.preferred.at(now).min(valid).wire(),
        prefix: prefix.address,
    })
}

fn route_option(route: &RouteConfig, lifetime: u32) -> NdOption {
    NdOption::RouteInformation(RouteInformation {
        prefix: route.prefix.address(),
        prefix_length: route.prefix.length(),
        preference: route.preference,
        lifetime,
    })
}

fn add_rdnss(options: &mut Vec<NdOption>, servers: &[Ipv6Addr], lifetime: u32, room: usize) {
    let most = ((room - 8) / 16).min(Rdnss::MAX_SERVERS);
    for servers in servers.chunks(most) {
        options.push(NdOption::Rdnss(Rdnss { lifetime, servers: servers.to_vec() }));
    }
}

fn add_dnssl(options: &mut Vec<NdOption>, domains: &[DomainName], lifetime: u32, room: usize) {
    let most = room.min(portreeve_packet::nd::MAX_OPTION_LENGTH) / 8 * 8 - 8;
    let mut chunk = Vec::new();
    let mut used = 0;
    for domain in domains {
        if used + domain.wire_len() > most && !chunk.is_empty() {
            options.push(NdOption::Dnssl(Dnssl { lifetime, domains: core::mem::take(&mut chunk) }));
            used = 0;
        }
        used += domain.wire_len();
        chunk.push(domain.clone());
    }
    if !chunk.is_empty() {
        options.push(NdOption::Dnssl(Dnssl { lifetime, domains: chunk }));
    }
}
