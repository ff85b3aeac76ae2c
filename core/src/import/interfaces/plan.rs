//! What is going to be written: interfaces and tunnels under their names, routes and kernel parameters still without
//! the place they belong to, and what the operator is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::{Mistake, Note, Severity};
use super::value::{Net, default_of};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order in which they appear.
    pub entries: Vec<Entry>,
    /// Routes without a place; after `finish` those that stay without one.
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
    /// Kernel parameters without a place: below `net`, in parts.
    pub sysctls: Vec<Sysctl>,
    /// `forwarding` of the whole section, by field.
    pub forwarding: BTreeMap<&'static str, bool>,
    /// Interfaces that a command such as `ifup eth0.3` brings up.
    pub brought_up: Vec<String>,
    /// Bonds and members, where the member names its bond.
    pub bonded: Vec<(String, String)>,
    /// For the head of the section.
    pub comments: Vec<(Place, String)>,
    pub notes: Vec<Note>,
    pub mistakes: Vec<Mistake>,
}

/// One interface or tunnel.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub name: String,
    pub comments: Vec<(Place, String)>,
    pub kind: Option<Kind>,
    /// Where its first stanza begins.
    pub place: Option<Place>,
    pub up: bool,
    /// Brought up when the hardware appears.
    pub hotplug: bool,
    /// Has an `inet6 static` stanza, which turns address autoconfiguration off.
    pub static_ipv6: bool,
    /// Fields with one value, as RON.
    pub fields: BTreeMap<&'static str, String>,
    /// The MAC address of the hardware that is meant.
    pub matched_mac: Option<String>,
    pub addresses: Vec<Address>,
    pub routes: Vec<Route>,
    /// Address and MAC address.
    pub neighbours: Vec<(IpAddr, String)>,
    pub proxy: Vec<IpAddr>,
    /// Fields `ipv4` and `ipv6`.
    pub forwarding: BTreeMap<&'static str, bool>,
    pub sysctls: BTreeMap<String, String>,
}

/// What an interface is made as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bridge {
        ports: Vec<String>,
        stp: bool,
        vlan_filtering: bool,
        forward_delay: Option<String>,
        snooping: Option<bool>,
    },
    Vlan {
        parent: String,
        id: u16,
        ad: bool,
    },
    Bond {
        mode: Option<&'static str>,
        members: Vec<String>,
        miimon: Option<u32>,
    },
    Dummy,
    Veth {
        peer: String,
    },
    Macvlan {
        parent: String,
        mode: Option<&'static str>,
    },
    Vrf {
        table: u32,
        members: Vec<String>,
    },
    SixInFour {
        remote: String,
        local: Option<String>,
    },
    /// 6to4 (RFC 3056) in the words of 6rd.
    SixToFour {
        local: Ipv4Addr,
    },
    Ip6Tunnel {
        remote: String,
        local: Option<String>,
        mode: &'static str,
        limit: Option<u8>,
    },
    Gre {
        remote: String,
        local: Option<String>,
        key: Option<u32>,
    },
}

impl Kind {
    /// Whether the plugin `tunnels` makes it.
    pub fn is_tunnel(&self) -> bool {
        matches!(self, Self::SixInFour { .. } | Self::SixToFour { .. } | Self::Ip6Tunnel { .. } | Self::Gre { .. })
    }

    /// Whether IPv6 comes through it from elsewhere.
    pub fn brings_ipv6(&self) -> bool {
        matches!(self, Self::SixInFour { .. } | Self::SixToFour { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub net: Net,
    pub peer: Option<IpAddr>,
    /// Seconds.
    pub preferred: Option<u32>,
    pub valid: Option<u32>,
    pub dad: bool,
}

impl Address {
    pub const fn new(net: Net) -> Self {
        Self { net, peer: None, preferred: None, valid: None, dad: true }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub place: Place,
    /// In whose stanza it was written.
    pub home: String,
    pub to: Net,
    pub from: Option<Net>,
    pub via: Option<IpAddr>,
    pub dev: Option<String>,
    pub metric: Option<u32>,
    pub table: Option<u32>,
    /// Other than unicast.
    pub kind: Option<&'static str>,
    pub source: Option<IpAddr>,
    pub mtu: Option<u32>,
    pub on_link: bool,
    /// From a `gateway` line, which counts as on link.
    pub gateway: bool,
}

impl Route {
    pub fn new(place: &Place, home: &str, to: Net) -> Self {
        Self {
            place: place.clone(),
            home: home.to_owned(),
            to,
            from: None,
            via: None,
            dev: None,
            metric: None,
            table: None,
            kind: None,
            source: None,
            mtu: None,
            on_link: false,
            gateway: false,
        }
    }

    /// The default route of a `gateway` line.
    pub fn default(place: &Place, home: &str, via: IpAddr, metric: Option<u32>) -> Self {
        let mut route = Self::new(place, home, default_of(via));
        (route.via, route.dev, route.metric, route.gateway) = (Some(via), Some(home.to_owned()), metric, true);
        route
    }
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub v6: bool,
    pub priority: u32,
    /// All fields as RON.
    pub fields: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sysctl {
    pub place: Place,
    pub home: String,
    /// `ipv6`, `conf`, `eth0`, `accept_ra`.
    pub parts: Vec<String>,
    pub value: String,
}

impl Plan {
    /// The entry of that name; made if it is not there.
    pub fn entry(&mut self, name: &str) -> &mut Entry {
        let at = self.entries.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            self.entries.push(Entry { name: name.to_owned(), up: true, ..Entry::default() });
            self.entries.len() - 1
        });
        // The index is that of an entry that was found or pushed.
        &mut self.entries[at]
    }

    /// The entry of that name, if it is there.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Tells something that needs no action.
    pub fn info(&mut self, place: &Place, message: String) {
        self.note(place, Severity::Info, message);
    }

    /// Tells what was not taken over, and writes it above the interface that it belongs to.
    pub fn warn(&mut self, place: &Place, interface: Option<&str>, message: String) {
        let file = place.file.rsplit('/').next().unwrap_or_default();
        let comment = format!("{file}:{}: {message}", place.line);
        match interface.and_then(|name| self.entries.iter_mut().find(|entry| entry.name == name)) {
            Some(entry) => entry.comments.push((place.clone(), comment)),
            None => self.comments.push((place.clone(), comment)),
        }
        self.note(place, Severity::Warning, message);
    }

    fn note(&mut self, place: &Place, severity: Severity, message: String) {
        self.notes.push(Note { file: place.file.to_string(), line: place.line, severity, message });
    }

    /// Records a line that cannot be understood.
    pub fn mistake(&mut self, place: &Place, message: String) {
        self.mistakes.push(Mistake { file: place.file.to_string(), line: place.line, message });
    }
}
