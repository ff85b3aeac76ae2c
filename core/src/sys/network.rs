//! What the kernel has, as far as reconciling needs it, and single changes to it.

use std::io;
use std::net::IpAddr;

pub use portreeve_network::{Address, Family, Kind, Masquerade, Neighbour, Prefix, Route, RouteKind, Rule, RuleAction};

/// The number that marks routes, rules and addresses as made by us (rtm_protocol, FRA_PROTOCOL, IFA_PROTO).
pub const PROTOCOL: u8 = 80;

/// What the kernel has at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// All links.
    pub links: Vec<FoundLink>,
    /// All addresses.
    pub addresses: Vec<FoundAddress>,
    /// Routes of all tables that carry our number.
    pub routes: Vec<RouteKey>,
    /// Rules that carry our number.
    pub rules: Vec<Rule>,
    /// Fixed neighbours and proxy entries.
    pub neighbours: Vec<FoundNeighbour>,
    /// Whether addresses carry the number of who made them (Linux 5.18).
    pub addresses_are_tagged: bool,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundLink {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// IFLA_INFO_KIND.
    pub kind: Option<String>,
    /// Its alias.
    pub alias: Option<String>,
    /// IFF_UP.
    pub up: bool,
    /// Bytes.
    pub mtu: u32,
    /// Link-layer address.
    pub mac: Vec<u8>,
    /// Index of its controller.
    pub controller: Option<u32>,
}

/// An address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundAddress {
    /// The interface's number.
    pub index: u32,
    /// With host bits.
    pub address: Prefix,
    /// IFA_PROTO; 0 if it has none.
    pub protocol: u8,
    /// Seconds that it stays valid; none for ever.
    pub valid_lifetime: Option<u32>,
    /// Seconds that it stays preferred; none for ever.
    pub preferred_lifetime: Option<u32>,
}

/// What identifies a route: table, destination, source, metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Routing table.
    pub table: u32,
    /// Destination.
    pub destination: Prefix,
    /// Source prefix; of length 0 if it has none.
    pub source: Option<Prefix>,
    /// Metric.
    pub metric: u32,
}

impl RouteKey {
    /// Of a route that should be.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        Self {
            table: route.table,
            destination: route.destination,
            source: route.source.filter(|source| source.length > 0),
            metric: route.effective_metric(),
        }
    }
}

/// A fixed neighbour or a proxy entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNeighbour {
    /// The interface's number.
    pub index: u32,
    /// Whose address.
    pub address: IpAddr,
    /// Its link-layer address; none for a proxy entry.
    pub mac: Option<Vec<u8>>,
}

/// One change. Interfaces are named, as earlier changes of the same list may have made or named them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Gives a link another name.
    RenameLink {
        /// Which.
        index: u32,
        /// To this.
        name: String,
        /// It is up and has to go down for it.
        up: bool,
    },
    /// Makes a link and sets its alias.
    MakeLink {
        /// Under this name.
        name: String,
        /// Of this kind.
        kind: Kind,
        /// The tag.
        alias: String,
    },
    /// Changes the settings of a link that was made.
    ChangeLink {
        /// Its name.
        name: String,
        /// As it shall be.
        kind: Kind,
    },
    /// Removes a link.
    RemoveLink {
        /// Which.
        index: u32,
        /// Its name, for messages.
        name: String,
    },
    /// Sets what is given of a link.
    SetLink {
        /// Its name.
        name: String,
        /// IFF_UP.
        up: Option<bool>,
        /// Bytes.
        mtu: Option<u32>,
        /// Link-layer address.
        mac: Option<Vec<u8>>,
        /// The controller's name; `Some(None)` leaves its controller.
        controller: Option<Option<String>>,
    },
    /// Adds an address, or gives the one that is there these settings.
    SetAddress(Address),
    /// Removes an address.
    RemoveAddress {
        /// The interface's number.
        index: u32,
        /// As it was set; the interface's name is for messages.
        address: Address,
    },
    /// Adds a route; with `replace` in the place of ours.
    SetRoute {
        /// The route.
        route: Route,
        /// One of ours with the same key is there.
        replace: bool,
    },
    /// Removes a route of ours.
    RemoveRoute(RouteKey),
    /// Adds a rule.
    AddRule(Rule),
    /// Removes a rule of ours.
    RemoveRule(Rule),
    /// Adds or changes a neighbour or proxy entry.
    SetNeighbour(Neighbour),
    /// Removes one.
    RemoveNeighbour(Neighbour),
    /// Sets a parameter below `net`.
    SetSysctl {
        /// With slashes.
        name: String,
        /// What to write.
        value: String,
    },
}

impl Change {
    /// What it is about, for people.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::RenameLink { name, .. }
            | Self::MakeLink { name, .. }
            | Self::ChangeLink { name, .. }
            | Self::RemoveLink { name, .. }
            | Self::SetLink { name, .. } => format!("link {name}"),
            Self::SetAddress(a) => format!("address {} on {}", a.address, a.interface),
            Self::RemoveAddress { address: a, .. } => format!("address {} on {}", a.address, a.interface),
            Self::SetRoute { route, .. } => route_text(&RouteKey::of(route)),
            Self::RemoveRoute(key) => route_text(key),
            Self::AddRule(rule) | Self::RemoveRule(rule) => format!("rule {} ({:?})", rule.priority, rule.family),
            Self::SetNeighbour(n) | Self::RemoveNeighbour(n) => format!("neighbour {} on {}", n.address, n.interface),
            Self::SetSysctl { name, .. } => format!("sysctl net/{name}"),
        }
    }
}

impl Change {
    /// The interface that it is on or about, if it is one.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::RenameLink { name, .. }
            | Self::MakeLink { name, .. }
            | Self::ChangeLink { name, .. }
            | Self::RemoveLink { name, .. }
            | Self::SetLink { name, .. } => Some(name),
            Self::SetAddress(address) => Some(&address.interface),
            Self::RemoveAddress { address, .. } => Some(&address.interface),
            Self::SetRoute { route, .. } => route.interface.as_deref(),
            Self::SetNeighbour(neighbour) | Self::RemoveNeighbour(neighbour) => Some(&neighbour.interface),
            Self::SetSysctl { name, .. } => name.split('/').nth(2),
            Self::RemoveRoute(_) | Self::AddRule(_) | Self::RemoveRule(_) => None,
        }
    }
}

/// What to say of a kernel that has no links of a kind.
#[must_use]
pub fn lacks_kind(kind: &str) -> String {
    let module = portreeve_network::module_of(kind);
    format!("this kernel has no {kind} links: kernel module {module} is neither built in nor installed")
}

fn route_text(key: &RouteKey) -> String {
    let mut text = format!("route {}", key.destination);
    if let Some(source) = key.source {
        text.push_str(&format!(" from {source}"));
    }
    text.push_str(&format!(" metric {}", key.metric));
    if key.table != portreeve_network::MAIN_TABLE {
        text.push_str(&format!(" table {}", key.table));
    }
    text
}

/// Why a change was refused.
#[derive(Debug)]
pub struct Refusal {
    /// The kernel's errno.
    pub error: io::Error,
    /// The kernel's own words, if it had any.
    pub message: Option<String>,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { error, message: None }
    }
}

/// What a change came to.
pub type Changed = Result<(), Refusal>;

/// The hardware behind a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Which link.
    pub index: u32,
    /// The address it was made with; empty if it has none.
    pub permanent_mac: Vec<u8>,
    /// Name of its driver.
    pub driver: Option<String>,
    /// Path of its device below `/sys/devices`.
    pub path: Option<String>,
}
