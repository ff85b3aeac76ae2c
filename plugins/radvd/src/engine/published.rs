//! What other plugins publish for hosts to learn, NAT64 prefixes and DNS servers, and which of it an interface may
//! advertise.
//!
//! A server under the key `dns/IFNAME` is an address of this router on the interface IFNAME and is offered there alone;
//! one under any other key is offered everywhere. What no host could use is passed over, and so is what exceeds a
//! bound. Whether an interface takes the offer (`pref64: Auto`, `rdnss: Auto`) is its configuration's to say.

use crate::config::{InterfaceConfig, Origin, Pattern, unusable};
use portreeve_config::Ipv6Prefix;
use portreeve_packet::nd::{is_link_local, is_pref64_length};
use std::net::Ipv6Addr;

/// NAT64 prefixes that one interface advertises at most; the first ones as published count.
pub const MAX_PUBLISHED_NAT64_PREFIXES: usize = 8;
/// DNS servers that one interface advertises at most; those for this interface come first, then the others as
/// published.
pub const MAX_PUBLISHED_SERVERS: usize = 16;
/// Facts of a kind that are remembered; later ones are dropped.
pub const MAX_FACTS: usize = 1024;

/// A DNS server that another plugin published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedServer {
    /// The publisher's name for it; `dns/IFNAME` is for that interface alone.
    pub key: String,
    /// Its address.
    pub address: Ipv6Addr,
}

/// All that is published.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    nat64_prefixes: Vec<Ipv6Prefix>,
    servers: Vec<PublishedServer>,
}

/// What of it one interface may advertise: within the bounds, nothing twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Offer {
    pub(super) nat64_prefixes: Vec<Ipv6Prefix>,
    pub(super) servers: Vec<Ipv6Addr>,
}

impl Published {
    pub(super) fn set_nat64_prefixes(&mut self, mut prefixes: Vec<Ipv6Prefix>) {
        prefixes.retain(|prefix| is_pref64_length(prefix.length()) && unusable(*prefix).is_none());
        prefixes.truncate(MAX_FACTS);
        self.nat64_prefixes = prefixes;
    }

    pub(super) fn set_servers(&mut self, mut servers: Vec<PublishedServer>) {
        servers.retain(PublishedServer::is_usable);
        servers.truncate(MAX_FACTS);
        self.servers = servers;
    }

    /// What the interface `name` may advertise.
    pub(super) fn offer(&self, name: &str) -> Offer {
        let here = self.servers.iter().filter(|server| server.interface() == Some(name));
        let everywhere = self.servers.iter().filter(|server| server.interface().is_none());
        Offer {
            nat64_prefixes: first(self.nat64_prefixes.iter().copied(), MAX_PUBLISHED_NAT64_PREFIXES),
            servers: first(here.chain(everywhere).map(|server| server.address), MAX_PUBLISHED_SERVERS),
        }
    }
}

impl Offer {
    /// What of it an interface with this configuration advertises.
    pub(super) fn taken(&self, config: &InterfaceConfig) -> Self {
        let mut taken = Self::default();
        if let Origin::Published { .. } = config.pref64 {
            taken.nat64_prefixes.clone_from(&self.nat64_prefixes);
        }
        if let Origin::Published { .. } = config.rdnss {
            taken.servers.clone_from(&self.servers);
        }
        taken
    }
}

impl PublishedServer {
    /// The interface it is meant for; none for all.
    fn interface(&self) -> Option<&str> {
        let name = self.key.strip_prefix("dns/")?;
        Pattern::new(name).is_some_and(|pattern| pattern.is_exact()).then_some(name)
    }

    /// Whether hosts can ask it. A link-local address means something on its own link only.
    fn is_usable(&self) -> bool {
        let address = self.address;
        let unreachable = address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.to_ipv4_mapped().is_some();
        !unreachable && (self.interface().is_some() || !is_link_local(address))
    }
}

/// The first `most` different items.
fn first<T: PartialEq>(items: impl Iterator<Item = T>, most: usize) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if kept.len() >= most {
            break;
        }
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}
