//! Links, addresses, routes, rules, neighbours and sysctls as they should be. Interfaces are named, since what shall
//! be may be stated before the interface is there; what belongs to an absent interface waits for it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Kind;

/// The routing table that is meant when none is named (RT_TABLE_MAIN).
pub const MAIN_TABLE: u32 = 254;

/// Everything that one plugin wants to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Links to make, to rename and to set up.
    pub links: Vec<Link>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Policy rules.
    pub rules: Vec<Rule>,
    /// Fixed neighbours and proxy entries.
    pub neighbours: Vec<Neighbour>,
    /// Kernel parameters below `net`.
    pub sysctls: Vec<Sysctl>,
    /// Whose packets leave with the router's address.
    pub masquerades: Vec<Masquerade>,
}

/// Packets that leave with the address of the interface they leave by (source NAT by the kernel).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Masquerade {
    /// Their source, IPv4.
    pub source: Prefix,
    /// The interface they leave by; none for whichever.
    pub out: Option<String>,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Bits of an address: 32 or 128.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

/// An address and how many of its leading bits count. In [`Address`] the others are the host's, elsewhere zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Bits, at most [`Family::bits`].
    pub length: u8,
}

impl Prefix {
    /// Of an address and a length; longer lengths count as the longest.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length: length.min(Family::of(address).bits()) }
    }

    /// Of one address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: Family::of(address).bits() }
    }

    /// The same without the bits behind `length`.
    #[must_use]
    pub fn network(self) -> Self {
        let shift = u32::from(Family::of(self.address).bits() - self.length);
        let address = match self.address {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a) & u32::MAX.checked_shl(shift).unwrap_or(0)).into()),
            IpAddr::V6(a) => IpAddr::V6((u128::from(a) & u128::MAX.checked_shl(shift).unwrap_or(0)).into()),
        };
        Self { address, length: self.length }
    }

    /// Whether all of `other` lies within.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        Family::of(self.address) == Family::of(other.address)
            && self.length <= other.length
            && Self { address: other.address, length: self.length }.network() == self.network()
    }

    /// Whether it holds every address of its family: the default route's destination.
    #[must_use]
    pub const fn is_default(self) -> bool {
        self.length == 0
    }
}

impl From<portreeve_config::IpPrefix> for Prefix {
    fn from(prefix: portreeve_config::IpPrefix) -> Self {
        match prefix {
            portreeve_config::IpPrefix::V4(p) => Self { address: p.address().into(), length: p.length() },
            portreeve_config::IpPrefix::V6(p) => Self { address: p.address().into(), length: p.length() },
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Longest name of an interface in bytes (IFNAMSIZ less its zero byte).
pub const MAX_INTERFACE_NAME: usize = 15;

/// Whether an interface of this name can be stated: what can stand in the name of a kernel parameter, too. The kernel
/// allows more, down to a line break.
#[must_use]
pub fn is_interface_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
    let is_short = !name.is_empty() && name.len() <= MAX_INTERFACE_NAME;
    is_short && name != "." && name != ".." && name.chars().all(legal)
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name, 1 to 15 bytes.
    pub name: String,
    /// The link with this number is to have the name; none leaves names alone.
    pub index: Option<u32>,
    /// Make it if it is not there; none for links that others make (hardware, above all).
    pub make: Option<Kind>,
    /// Up or down; none leaves it alone.
    pub up: Option<bool>,
    /// Bytes.
    pub mtu: Option<u32>,
    /// Link-layer address.
    pub mac: Option<Vec<u8>>,
    /// The bridge, bond or VRF it shall belong to, by name.
    pub controller: Option<String>,
}

/// One address of an interface. Interface, address and prefix length identify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Whose it is.
    pub interface: String,
    /// The address with its host bits, and the length of its prefix.
    pub address: Prefix,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Seconds; none for ever. 0: never the source of new connections.
    pub preferred_lifetime: Option<u32>,
    /// Seconds; none for ever.
    pub valid_lifetime: Option<u32>,
    /// Duplicate address detection (RFC 4862 section 5.4); false uses it at once.
    pub dad: bool,
    /// Metric of the route to its prefix; none for the kernel's. 0 makes no such route (IFA_F_NOPREFIXROUTE).
    pub prefix_metric: Option<u32>,
}

impl Address {
    /// One that lasts, with all else as usual.
    #[must_use]
    pub fn new(interface: impl Into<String>, address: Prefix) -> Self {
        Self {
            interface: interface.into(),
            address,
            peer: None,
            preferred_lifetime: None,
            valid_lifetime: None,
            dad: true,
            prefix_metric: None,
        }
    }
}

impl Address {
    /// The route that the kernel makes of it, where that is wider than the largest networks that are assigned (/8 and
    /// /32): it counts as a route, and needs to be granted as one. With a peer the network is the peer's.
    #[must_use]
    pub fn wide_route(&self) -> Option<Prefix> {
        let Prefix { address: own, length } = self.address;
        let shortest = if own.is_ipv4() { 8 } else { 32 };
        let is_wide = length < shortest && self.prefix_metric != Some(0);
        is_wide.then(|| Prefix::new(self.peer.unwrap_or(own), length).network())
    }
}

/// What becomes of a packet that takes a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteKind {
    /// It goes on.
    #[default]
    Unicast,
    /// The sender is told that there is no way.
    Unreachable,
    /// It is dropped in silence.
    Blackhole,
    /// The sender is told that it is forbidden.
    Prohibit,
    /// The next policy rule decides.
    Throw,
}

/// One route. Table, destination, source and metric identify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub destination: Prefix,
    /// Only for packets from there (IPv6; needs CONFIG_IPV6_SUBTREES).
    pub source: Option<Prefix>,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// Through which interface; none only with a gateway, or where `kind` is not unicast.
    pub interface: Option<String>,
    /// Smaller is better; none for 1024 (IPv6) or 0 (IPv4), the kernel's own.
    pub metric: Option<u32>,
    /// Routing table.
    pub table: u32,
    /// Our source address where a program has chosen none.
    pub preferred_source: Option<IpAddr>,
    /// Path MTU in bytes.
    pub mtu: Option<u32>,
    /// The gateway counts as reachable on the link although no prefix says so.
    pub on_link: bool,
}

impl Route {
    /// A plain route of the main table.
    #[must_use]
    pub const fn new(destination: Prefix) -> Self {
        Self {
            destination,
            source: None,
            kind: RouteKind::Unicast,
            gateway: None,
            interface: None,
            metric: None,
            table: MAIN_TABLE,
            preferred_source: None,
            mtu: None,
            on_link: false,
        }
    }

    /// The metric that the kernel uses.
    #[must_use]
    pub fn effective_metric(&self) -> u32 {
        match Family::of(self.destination.address) {
            // The kernel takes 0 for its default, too.
            Family::Ipv6 => self.metric.filter(|metric| *metric != 0).unwrap_or(1024),
            Family::Ipv4 => self.metric.unwrap_or(0),
        }
    }
}

/// What a rule does with the packets it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RuleAction {
    /// Look into this routing table.
    Lookup(u32),
    /// The sender is told that there is no way.
    Unreachable,
    /// Dropped in silence.
    Blackhole,
    /// The sender is told that it is forbidden.
    Prohibit,
}

/// One policy rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// Rules are asked in this order, smallest first.
    pub priority: u32,
    /// Of which family's packets.
    pub family: Family,
    /// From there.
    pub source: Option<Prefix>,
    /// To there.
    pub destination: Option<Prefix>,
    /// Came in through this interface.
    pub incoming: Option<String>,
    /// From a socket bound to this interface.
    pub outgoing: Option<String>,
    /// Mark and mask.
    pub mark: Option<(u32, u32)>,
    /// What is done.
    pub action: RuleAction,
    /// A route of the table counts only if its prefix is longer than this.
    pub suppress_prefix_length: Option<u32>,
}

/// A neighbour that is not asked for, or an address that is answered for (proxy).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Neighbour {
    /// On which interface.
    pub interface: String,
    /// Whose address.
    pub address: IpAddr,
    /// Its link-layer address; none makes a proxy entry.
    pub mac: Option<Vec<u8>>,
}

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sysctl {
    /// Below `/proc/sys/net`, with slashes: `ipv6/conf/lan0/forwarding`.
    pub name: String,
    /// What to write, without the newline.
    pub value: String,
}

impl Sysctl {
    /// The interface that it belongs to, in `FAMILY/conf/INTERFACE/…` and `FAMILY/neigh/INTERFACE/…`; none for those of the
    /// whole namespace, `all` and `default` among them.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        let mut parts = self.name.split('/');
        let (_family, group, name) = (parts.next()?, parts.next()?, parts.next()?);
        (matches!(group, "conf" | "neigh") && !matches!(name, "all" | "default")).then_some(name)
    }

    /// Whether the name is well formed: three parts or more below `ipv4`, `ipv6`, `core`, `netfilter`…, of letters,
    /// digits, `-`, `_`, `.` and `@`, none of them `.` or `..`.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        let part = |part: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':');
            !part.is_empty() && part != "." && part != ".." && part.chars().all(legal)
        };
        self.name.contains('/')
            && self.name.split('/').all(part)
            && self.value.len() <= 256
            && !self.value.chars().any(char::is_control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap())
    }

    #[test]
    fn a_prefix_contains_what_lies_within_and_nothing_else() {
        assert!(prefix("2001:db8:60::/60").contains(prefix("2001:db8:60:f::/64")));
        assert!(!prefix("2001:db8:60::/60").contains(prefix("2001:db8:60:10::/64")));
        assert!(!prefix("2001:db8:60::/60").contains(prefix("2001:db8::/32")));
        assert!(prefix("::/0").contains(prefix("::/0")));
        assert!(!prefix("::/0").contains(prefix("0.0.0.0/0")));
        assert!(prefix("0.0.0.0/0").contains(prefix("192.0.2.1/32")));
    }

    #[test]
    fn a_sysctl_tells_its_interface() {
        let sysctl = |name: &str| Sysctl { name: name.into(), value: "1".into() };
        assert_eq!(sysctl("ipv6/conf/lan0/forwarding").interface(), Some("lan0"));
        assert_eq!(sysctl("ipv6/conf/all/forwarding").interface(), None);
        assert_eq!(sysctl("ipv4/ip_forward").interface(), None);
        assert!(sysctl("ipv4/ip_forward").is_legal());
        for bad in ["ipv4/../../kernel/panic", "/ipv4/x", "ipv4//x", "ip forward", "ipv4", ""] {
            assert!(!sysctl(bad).is_legal(), "{bad}");
        }
    }
}
