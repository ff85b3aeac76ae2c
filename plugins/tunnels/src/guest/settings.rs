//! A path's settings as the data path takes them.

use std::net::IpAddr;

use crate::config::Tos;
use crate::engine::{PathRemote, PathSettings};
use crate::sixin4::{self, Remote, Settings, SixRd};

pub fn convert(settings: &PathSettings) -> Settings {
    let remote = match &settings.remote {
        PathRemote::Address(remote) => Remote::Address(*remote),
        PathRemote::SixRd { prefix: whole, relay, ipv4_mask_length, ipv4 } => match prefix(*whole) {
            Some(prefix) => {
                Remote::SixRd(SixRd { prefix, ipv4_mask_length: *ipv4_mask_length, ipv4: *ipv4, border_relay: *relay })
            }
            // The section has been read: a 6rd prefix is IPv6.
            None => Remote::Address(*relay),
        },
    };
    let mut own: Vec<sixin4::Prefix> = settings.own_prefixes.iter().copied().filter_map(prefix).collect();
    if let Remote::SixRd(six_rd) = &remote {
        own.extend(six_rd.delegated());
    }
    Settings {
        local: settings.local,
        mtu: u16::try_from(settings.mtu).unwrap_or(sixin4::MAX_MTU),
        ttl: settings.ttl,
        tos: match settings.tos {
            Tos::Inherit => sixin4::Tos::Inherit,
            Tos::Fixed(tos) => sixin4::Tos::Fixed(tos),
        },
        dont_fragment: settings.dont_fragment,
        mss_clamp: settings.mss_clamp,
        own,
        icmp_source: settings.icmp_source,
        ..Settings::new(remote)
    }
}

fn prefix(prefix: portreeve_network::Prefix) -> Option<sixin4::Prefix> {
    match prefix.address {
        IpAddr::V6(address) => sixin4::Prefix::new(address, prefix.length),
        IpAddr::V4(_) => None,
    }
}
