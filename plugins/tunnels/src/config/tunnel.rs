//! What follows from a tunnel's settings: its ends, its kernel kind, what it looks up, which address it speaks from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network::{Address, Family, MAIN_TABLE, Prefix, Route, Tunnel6Mode};

use super::{Host, Kind, Local, Path, Tunnel};

/// All addresses of a family: the default route's destination.
pub(crate) fn everything(family: Family) -> Prefix {
    match family {
        Family::Ipv4 => Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        Family::Ipv6 => Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}

impl Tunnel {
    /// Our end; none for WireGuard, which answers from where it was spoken to.
    #[must_use]
    pub const fn local(&self) -> Option<&Local> {
        match &self.kind {
            Kind::SixInFour { local, .. } | Kind::Ip6Tunnel { local, .. } | Kind::Gre { local, .. } => Some(local),
            Kind::SixRd(sixrd) => Some(&sixrd.local),
            Kind::WireGuard(_) => None,
        }
    }

    /// The one other end; none where there are several.
    #[must_use]
    pub const fn remote(&self) -> Option<&Host> {
        match &self.kind {
            Kind::SixInFour { remote, .. } | Kind::Ip6Tunnel { remote, .. } | Kind::Gre { remote, .. } => Some(remote),
            Kind::SixRd(_) | Kind::WireGuard(_) => None,
        }
    }

    /// The family of the outer packets; none for WireGuard, which takes either.
    #[must_use]
    pub const fn outer(&self) -> Option<Family> {
        match &self.kind {
            Kind::SixInFour { .. } | Kind::SixRd(_) => Some(Family::Ipv4),
            Kind::Ip6Tunnel { .. } => Some(Family::Ipv6),
            Kind::Gre { outer, .. } => Some(*outer),
            Kind::WireGuard(_) => None,
        }
    }

    /// Who is to carry the packets.
    #[must_use]
    pub const fn path(&self) -> Path {
        match &self.kind {
            Kind::SixInFour { path, .. } => *path,
            Kind::SixRd(sixrd) => sixrd.path,
            _ => Path::Kernel,
        }
    }

    /// The kernel's name of the kind, and the module that brings it.
    #[must_use]
    pub const fn kernel_kind(&self) -> (&'static str, &'static str) {
        match &self.kind {
            Kind::SixInFour { .. } | Kind::SixRd(_) => ("sit", "sit"),
            Kind::Ip6Tunnel { .. } => ("ip6tnl", "ip6_tunnel"),
            Kind::Gre { outer: Family::Ipv4, .. } => ("gre", "ip_gre"),
            Kind::Gre { outer: Family::Ipv6, .. } => ("ip6gre", "ip6_gre"),
            Kind::WireGuard(_) => ("wireguard", "wireguard"),
        }
    }

    /// Which of its IPv6 addresses to send from: one on the link of `target`, otherwise the first.
    #[must_use]
    pub fn source_for(&self, target: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let target = target.map(|target| Prefix::new(target.into(), 128));
        let near = |address: &&Address| target.is_some_and(|target| address.address.network().contains(target));
        let all = || self.addresses.iter().filter(|address| address.address.address.is_ipv6());
        match all().find(near).or_else(|| all().next())?.address.address {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }

    /// The gateway of its default route for a family, if it has one.
    #[must_use]
    pub fn default_gateway(&self, family: Family) -> Option<IpAddr> {
        let of = |route: &&Route| route.destination.is_default() && Family::of(route.destination.address) == family;
        self.routes.iter().filter(of).find_map(|route| route.gateway)
    }

    /// The host names that it has to look up, each once.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let peers = match &self.kind {
            Kind::WireGuard(wg) => wg.peers.as_slice(),
            _ => &[],
        };
        let endpoints = peers.iter().filter_map(|peer| peer.endpoint.as_ref()).map(|(host, _)| host);
        let name = |host: &Host| if let Host::Name(name) = host { Some(name.clone()) } else { None };
        let mut names: Vec<String> = self.remote().into_iter().chain(endpoints).filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The destination of the route that the keepalive needs of its own. None where the prefix of an address or a route
    /// covers it; with failover only a route to the target alone does, since the others go away with the tunnel.
    #[must_use]
    pub fn keepalive_route(&self) -> Option<Prefix> {
        let target = Prefix::new(IpAddr::V6(self.keepalive?.target), 128);
        let leads = |route: &Route| {
            let through = if self.failover { self.leads_to_target(route) } else { route.destination.contains(target) };
            through && route.table == MAIN_TABLE
        };
        let covered = self.is_on_link(target.address) || self.routes.iter().any(leads);
        (!covered).then_some(target)
    }

    /// Whether a route is there for the keepalive's target alone; it stays while the tunnel is down.
    #[must_use]
    pub fn leads_to_target(&self, route: &Route) -> bool {
        let target = self.keepalive.map(|keepalive| Prefix::new(IpAddr::V6(keepalive.target), 128));
        target == Some(route.destination) && route.table == MAIN_TABLE
    }

    /// The prefix that this tunnel brings by itself: 6rd's, made of our IPv4 address (RFC 5969 section 4).
    #[must_use]
    pub fn delegated(&self, local: Option<IpAddr>) -> Option<Prefix> {
        match (&self.kind, local) {
            (Kind::SixRd(sixrd), Some(IpAddr::V4(local))) => Some(sixrd.delegated(local)),
            _ => None,
        }
    }

    /// Whether it can carry IPv6.
    #[must_use]
    pub const fn carries_ipv6(&self) -> bool {
        !matches!(self.kind, Kind::Ip6Tunnel { mode: Tunnel6Mode::Ipv4, .. })
    }

    /// Whether the addresses of the tunnel say that another one is at its far end.
    #[must_use]
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let whole = Prefix::new(address, 128);
        let covers = |a: &Address| match a.peer {
            Some(peer) => peer == address,
            None => a.address.network().contains(whole),
        };
        link_local || self.addresses.iter().any(covers)
    }

    /// The kind in the words of the field.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::SixInFour { .. } => "6in4",
            Kind::SixRd(_) => "6rd",
            Kind::Ip6Tunnel { .. } => "ip6tnl",
            Kind::Gre { .. } => "gre",
            Kind::WireGuard(_) => "wireguard",
        }
    }
}
