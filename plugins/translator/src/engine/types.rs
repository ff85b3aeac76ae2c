//! The values that go into the engine and come out of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::config::{Instance, Pref64};

/// An interface as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// IFLA_INFO_KIND; empty for hardware and where it is not known.
    pub kind: String,
    /// IFF_UP.
    pub up: bool,
}

/// What became of a path or a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It works.
    Open,
    /// It could not be opened, or broke down; why.
    Failed(String),
    /// It ended without being asked to. Not reported after it was closed on purpose.
    Closed,
}

/// What an apply came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Interfaces that are named and not there.
    pub waiting: Vec<String>,
    /// What failed; a whole apply that failed is one, too.
    pub problems: Vec<Problem>,
}

/// Something that could not be brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// What: `link nat64`.
    pub object: String,
    /// Why, in one line.
    pub message: String,
}

/// How clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

impl Transport {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Where clients ask: one socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// The number of the interface.
    pub index: u32,
    /// Its name.
    pub interface: String,
    /// UDP or TCP.
    pub transport: Transport,
    /// The port.
    pub port: u16,
}

/// What is to be done. The shim obeys and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand [`super::Engine::state`] to the host, then call `handle_applied`. None follows before that.
    Apply,
    /// Look up the IPv6 addresses of this name, then call `handle_resolved`.
    Resolve(&'static str),
    /// Translate what comes through the device; then `handle_path`.
    OpenPath {
        /// Its name.
        instance: String,
        /// How.
        settings: PathSettings,
    },
    /// Translate otherwise from now on; sessions that still fit stay. May come before the path is open.
    UpdatePath {
        /// Its name.
        instance: String,
        /// How.
        settings: PathSettings,
    },
    /// Translate no longer, and let go of the device. Also where the path ended by itself.
    ClosePath {
        /// Its name.
        instance: String,
        /// Its sessions are of no use any more: the instance is gone, or of another kind. Otherwise they wait for the
        /// next [`Action::OpenPath`].
        forget: bool,
    },
    /// Listen for questions; then `handle_listener` with the same socket.
    Listen(Socket),
    /// Listen there no longer. Also where it ended by itself.
    Unlisten(Socket),
    /// Publish a fact of kind nat64-prefix.
    PublishPrefix {
        /// `nat64/` and the name of the instance.
        key: String,
        /// What it says.
        prefix: Pref64,
    },
    /// Publish a fact of kind dns-server.
    PublishDns {
        /// `dns/` and the name of the interface.
        key: String,
        /// The router's address there.
        address: IpAddr,
    },
    /// Take a fact back.
    Withdraw {
        /// As it was published.
        key: String,
    },
    /// Everything is as it should be.
    Ready,
    /// Something is not; what, in one line.
    Degraded(String),
}

/// How an instance translates: what is configured, and what has become known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSettings {
    /// All that is configured.
    pub instance: Arc<Instance>,
    /// The prefix: the one that was written, or that of the provider as it was found. None only for SIIT without one.
    pub prefix: Option<Pref64>,
    /// Whether IPv4 addresses that are not global are translated.
    pub allow_private: bool,
    /// Source of our own ICMPv6 errors; none sends none.
    pub icmp_source: Option<Ipv6Addr>,
    /// Sources of ICMPv4 errors that have no better one; our own come from the first.
    pub icmp_sources4: Vec<Ipv4Addr>,
}
