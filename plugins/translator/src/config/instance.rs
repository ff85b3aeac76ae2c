//! What follows from the settings of one instance: what is routed to its device, where its ICMP errors come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network::Prefix;

use super::{Clat, ClatAddress, Instance, Mode, Pool, Pref64, Side};

/// The source of ICMP errors of IPv6 routers where nothing better is known: the IPv4 dummy address (RFC 7600
/// section 4.8).
pub const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
/// Private addresses (RFC 1918).
pub const PRIVATE4: [Prefix; 3] = [
    Prefix { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), length: 8 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), length: 12 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), length: 16 },
];
/// Addresses that are not global (RFC 6052 section 3.1, RFC 6890) and that packets have all the same: private ones,
/// those of carriers' NATs (RFC 6598), of protocols and benchmarks, and those for examples (RFC 5737).
pub const NON_GLOBAL4: [Prefix; 9] = [
    Prefix { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), length: 8 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), length: 10 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), length: 12 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(192, 0, 0, 0)), length: 24 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)), length: 24 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), length: 16 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), length: 15 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0)), length: 24 },
    Prefix { address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)), length: 24 },
];
/// All of IPv4: the destination of the default route.
pub const EVERYTHING4: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };

impl Instance {
    /// The kind in the words of the field.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match &self.mode {
            Mode::Nat64(_) => "nat64",
            Mode::Siit(_) => "siit",
            Mode::Clat(_) => "clat",
        }
    }

    /// The prefix that this instance brings; none for a CLAT, whose prefix is the provider's.
    #[must_use]
    pub const fn own_prefix(&self) -> Option<Pref64> {
        match &self.mode {
            Mode::Nat64(nat64) => Some(nat64.prefix),
            Mode::Siit(siit) => siit.prefix,
            Mode::Clat(_) => None,
        }
    }

    /// The prefix as it is configured; none where there is none, or it has to be found out.
    #[must_use]
    pub const fn written_prefix(&self) -> Option<Pref64> {
        match &self.mode {
            Mode::Nat64(nat64) => Some(nat64.prefix),
            Mode::Siit(siit) => siit.prefix,
            Mode::Clat(clat) => clat.prefix,
        }
    }

    /// Whether the prefix has to be found out.
    #[must_use]
    pub const fn is_auto(&self) -> bool {
        matches!(&self.mode, Mode::Clat(Clat { prefix: None, .. }))
    }

    /// What is routed to the device whatever is found out, in as few prefixes as possible; a default route is not among
    /// it.
    #[must_use]
    pub fn routes(&self) -> Vec<Prefix> {
        let mut routes: Vec<Prefix> = self.own_prefix().map(Pref64::prefix).into_iter().collect();
        match &self.mode {
            Mode::Nat64(nat64) => routes.extend(nat64.pool.addresses()),
            Mode::Siit(siit) => {
                routes.extend(siit.ipv4.iter().copied());
                routes.extend(siit.eam.iter().map(|eam| match eam.host {
                    Side::Ipv6 => eam.ipv4,
                    Side::Ipv4 => eam.ipv6,
                }));
            }
            Mode::Clat(clat) => routes.push(clat.address.prefix()),
        }
        aggregate(routes)
    }

    /// Whose source addresses the kernel is to hide behind its own.
    #[must_use]
    pub fn masquerades(&self) -> Vec<Prefix> {
        match &self.mode {
            Mode::Nat64(nat64) if nat64.pool.masquerade => nat64.pool.addresses().collect(),
            Mode::Clat(clat) => clat.masquerade.clone(),
            Mode::Nat64(_) | Mode::Siit(_) => Vec::new(),
        }
    }

    /// Of the device, in bytes: what either side may send. What does not fit on the other side is answered by the
    /// translator, which knows the difference of the headers.
    #[must_use]
    pub fn device_mtu(&self) -> u32 {
        self.traffic.mtu6.max(self.traffic.mtu4)
    }

    /// Whether IPv4 addresses that are not global are translated with this prefix (RFC 6052 section 3.1).
    #[must_use]
    pub fn allows_private(&self, prefix: Option<Pref64>) -> bool {
        self.traffic.private.unwrap_or(prefix != Some(Pref64::WELL_KNOWN))
    }

    /// Source of our own ICMPv6 errors: what is written, otherwise an address that leads here. None where there is none.
    #[must_use]
    pub fn icmp_source(&self) -> Option<Ipv6Addr> {
        let derived = || match &self.mode {
            Mode::Nat64(nat64) => Some(nat64.prefix.embed(nat64.pool.first())),
            Mode::Siit(siit) => match siit.prefix {
                Some(prefix) => Some(prefix.embed(siit.pool6791.first().copied().unwrap_or(DUMMY))),
                None => siit.eam.iter().find(|eam| eam.host == Side::Ipv4).and_then(|eam| match eam.ipv6.address {
                    IpAddr::V6(address) => Some(address),
                    IpAddr::V4(_) => None,
                }),
            },
            Mode::Clat(clat) => Some(match clat.address {
                ClatAddress::One(address) => address,
                ClatAddress::Within(prefix) => prefix.embed(clat.ipv4),
            }),
        };
        self.traffic.icmp_source.or_else(derived)
    }

    /// Sources of ICMPv4 errors of IPv6 hosts that have no IPv4 address (RFC 6791); our own come from the first one. Not
    /// empty.
    #[must_use]
    pub fn icmp_sources4(&self) -> Vec<Ipv4Addr> {
        match &self.mode {
            Mode::Nat64(nat64) => vec![nat64.pool.first()],
            Mode::Siit(siit) => siit.pool6791.clone(),
            Mode::Clat(_) => vec![DUMMY],
        }
    }
}

impl Pool {
    /// Its prefixes.
    pub fn addresses(&self) -> impl Iterator<Item = Prefix> {
        self.ranges.iter().map(|range| range.addresses)
    }

    /// Its first address.
    #[must_use]
    pub fn first(&self) -> Ipv4Addr {
        match self.ranges.first().map(|range| range.addresses.address) {
            Some(IpAddr::V4(address)) => address,
            _ => DUMMY,
        }
    }
}

/// The same addresses in as few prefixes as possible, in order.
fn aggregate(mut prefixes: Vec<Prefix>) -> Vec<Prefix> {
    prefixes.sort();
    let mut list: Vec<Prefix> = Vec::with_capacity(prefixes.len());
    for mut prefix in prefixes {
        if list.last().is_some_and(|last| last.contains(prefix)) {
            continue;
        }
        // Two halves are one; the one that they make may be a half again.
        while let Some(last) = list.last() {
            let whole = Prefix { length: prefix.length.saturating_sub(1), ..prefix }.network();
            if prefix.length == 0 || last.length != prefix.length || !whole.contains(*last) {
                break;
            }
            list.pop();
            prefix = whole;
        }
        list.push(prefix);
    }
    list
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn prefixes(list: &[&str]) -> Vec<Prefix> {
        let one = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            Prefix::new(address.parse().unwrap(), length.parse().unwrap())
        };
        list.iter().map(one).collect()
    }

    #[test]
    fn halves_become_one_and_what_is_within_another_goes() {
        for (given, expected) in [
            (&["10.0.0.1/32", "10.0.0.0/32", "10.0.0.2/31", "10.0.0.3/32"][..], &["10.0.0.0/30"][..]),
            (&["10.0.0.1/32", "10.0.0.2/32"], &["10.0.0.1/32", "10.0.0.2/32"]),
            (&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"], &["0.0.0.0/0", "::/0"]),
            (&["2001:db8::/32", "2001:db8:1::/48", "2001:db9::/32"], &["2001:db8::/31"]),
            (&["255.255.255.255/32", "::/128"], &["255.255.255.255/32", "::/128"]),
            (&["0.0.0.0/0", "0.0.0.0/0"], &["0.0.0.0/0"]),
        ] {
            assert_eq!(aggregate(prefixes(given)), prefixes(expected), "{given:?}");
        }
    }
}
