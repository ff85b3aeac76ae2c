//! The values that go into the engine and come out of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_network::Prefix;

use crate::config::Tos;

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
    /// IFF_RUNNING.
    pub running: bool,
    /// Bytes.
    pub mtu: u32,
}

/// What became of a path, or came through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEvent {
    /// It carries packets.
    Open,
    /// It could not be opened, or broke down; why.
    Failed(String),
    /// An answer of the keepalive's target, from the userspace path or from an ICMPv6 socket alike.
    EchoReply {
        /// Of the request.
        sequence: u16,
    },
    /// It ended without being asked to. Not reported after [`Action::ClosePath`].
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
    /// What: `link sixbone`.
    pub object: String,
    /// Why, in one line.
    pub message: String,
    /// The kernel does not have it at all.
    pub not_supported: bool,
}

/// What is to be done. The shim obeys and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand [`super::Engine::state`] to the host, then call `handle_applied`. None follows before that.
    Apply,
    /// Look up the addresses of a name, then call `handle_resolved`.
    Resolve(String),
    /// Ask whether links of a kind can be made, then call `handle_support`.
    AskSupport(&'static str),
    /// Carry the packets of a tunnel; then `handle_path_event`.
    OpenPath {
        /// Its name.
        tunnel: String,
        /// How.
        settings: PathSettings,
    },
    /// Carry them otherwise from now on.
    UpdatePath {
        /// Its name.
        tunnel: String,
        /// How.
        settings: PathSettings,
    },
    /// Carry them no longer, and let go of the device. Also where the path ended by itself.
    ClosePath {
        /// Its name.
        tunnel: String,
    },
    /// Send an ICMPv6 echo request through a tunnel: into its path if one is open, otherwise from a socket on its
    /// interface.
    SendEcho {
        /// Its name.
        tunnel: String,
        /// From which address of ours; none for what the kernel takes, which the userspace path never says.
        source: Option<Ipv6Addr>,
        /// To whom.
        target: Ipv6Addr,
        /// Of the request.
        identifier: u16,
        /// Of the request.
        sequence: u16,
    },
    /// Publish a fact of kind `tunnel`.
    Publish {
        /// The tunnel's name.
        key: String,
        /// Its interface.
        interface: String,
        /// What it says.
        fact: Published,
    },
    /// Publish a fact of kind `delegated-prefix` that is for no interface and has no end.
    PublishPrefix {
        /// `6rd/` and the tunnel's name.
        key: String,
        /// The prefix that is ours by our IPv4 address (RFC 5969 section 4).
        prefix: Prefix,
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

/// What other plugins are told of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Whether it carries packets.
    pub up: bool,
    /// Bytes.
    pub mtu: u32,
    /// Our end as it is now; none where it is not fixed.
    pub local: Option<IpAddr>,
    /// The other end as it is now; none where it is not fixed.
    pub remote: Option<IpAddr>,
}

/// How the plugin carries the packets of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSettings {
    /// The tun device.
    pub interface: String,
    /// Source of the outer packets; none for what the kernel takes.
    pub local: Option<Ipv4Addr>,
    /// Where the outer packets go.
    pub remote: PathRemote,
    /// Bytes.
    pub mtu: u32,
    /// Outer time to live; 0 takes the inner hop limit.
    pub ttl: u8,
    /// Outer traffic class.
    pub tos: Tos,
    /// Sets DF.
    pub dont_fragment: bool,
    /// Holds TCP's maximum segment size to what fits.
    pub mss_clamp: bool,
    /// What comes in with such a source is dropped.
    pub own_prefixes: Vec<Prefix>,
    /// Source of ICMPv6 errors: an address of the tunnel, if it has one.
    pub icmp_source: Option<Ipv6Addr>,
}

/// Where outer packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRemote {
    /// All to one address.
    Address(Ipv4Addr),
    /// By the destination (RFC 5969).
    SixRd {
        /// The provider's 6rd prefix.
        prefix: Prefix,
        /// Where packets for destinations outside of it go.
        relay: Ipv4Addr,
        /// IPv4MaskLen: leading bits that all ends share.
        ipv4_mask_length: u8,
        /// Our own address, of which our prefix is made.
        ipv4: Ipv4Addr,
    },
}
