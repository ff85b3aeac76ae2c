//! The plugin's section of router.ron as legal values.
//!
//! [`Config::parse`] is the only way to make one, so what the engine sees is legal: remotes are addresses a packet can
//! be sent to, the ends of a tunnel are of one family, an MTU fits, no two tunnels are one to the kernel. Reading is in
//! `config/read.rs` (one tunnel), `config/traffic.rs` (what goes through it), `config/kinds.rs`, `config/wireguard.rs`
//! (what its kind says), `config/ends.rs` (addresses and host names) and `config/key.rs` (public keys);
//! `config/across.rs` checks tunnels against each other; `config/tunnel.rs` has what follows from one tunnel's
//! settings, `config/needs.rs` what the section takes and means.

mod across;
mod ends;
mod key;
mod kinds;
mod needs;
mod read;
mod traffic;
mod tunnel;
mod wireguard;

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use portreeve_config::{Diagnostic, Diagnostics, Value};
use portreeve_network::{Address, Family, Prefix, Route, Tunnel6Mode};

pub(crate) use ends::unusable;
pub use ends::{Host, Local};
pub use key::{KeyError, PublicKey};
pub use needs::{TunnelNeeds, summary};
pub(crate) use tunnel::everything;

/// Priority of the rule of a source route that names none.
pub const DEFAULT_PRIORITY: u32 = 1000;

/// The whole section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    tunnels: BTreeMap<String, Arc<Tunnel>>,
}

/// One tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Its interface.
    pub name: String,
    /// What it is, and its ends.
    pub kind: Kind,
    /// Whether it is to carry packets.
    pub up: bool,
    /// Outer time to live or hop limit; 0 takes the inner one. Not for WireGuard.
    pub ttl: u8,
    /// Outer traffic class. Only for 6in4 and 6rd.
    pub tos: Tos,
    /// Outer packets are not to be fragmented. Only for 6in4 and 6rd.
    pub dont_fragment: bool,
    /// Bytes.
    pub mtu: u32,
    /// TCP's maximum segment size is held to what fits (userspace path).
    pub mss_clamp: bool,
    /// Addresses of the interface.
    pub addresses: Vec<Address>,
    /// Routes through the interface.
    pub routes: Vec<Route>,
    /// Traffic that leaves by this tunnel for its source.
    pub source_routes: Vec<SourceRoute>,
    /// Our own: what comes in with such a source is dropped (userspace path).
    pub own_prefixes: Vec<Prefix>,
    /// Whether and how the other end is asked for signs of life.
    pub keepalive: Option<Keepalive>,
    /// Routes are withdrawn while the tunnel is down.
    pub failover: bool,
}

/// What a tunnel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv6 in IPv4 to one other end (RFC 4213).
    SixInFour {
        /// The other end, IPv4.
        remote: Host,
        /// Our end, IPv4.
        local: Local,
        /// Who carries the packets.
        path: Path,
    },
    /// IPv6 in IPv4 by an address plan (RFC 5969).
    SixRd(SixRd),
    /// IPv4 or IPv6 in IPv6 (RFC 2473).
    Ip6Tunnel {
        /// The other end, IPv6.
        remote: Host,
        /// Our end, IPv6.
        local: Local,
        /// What is carried.
        mode: Tunnel6Mode,
        /// How often the packet may be encapsulated again; none leaves the option out.
        encapsulation_limit: Option<u8>,
    },
    /// Generic routing encapsulation (RFC 2784).
    Gre {
        /// The other end.
        remote: Host,
        /// Our end, of the same family.
        local: Local,
        /// Which of the two families.
        outer: Family,
        /// Key of both directions (RFC 2890).
        key: Option<u32>,
    },
    /// WireGuard.
    WireGuard(WireGuard),
}

/// See [`Kind::SixRd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SixRd {
    /// The provider's 6rd prefix, IPv6.
    pub prefix: Prefix,
    /// The provider's border relay.
    pub relay: Ipv4Addr,
    /// IPv4MaskLen: leading bits that all ends share and the mapping leaves out.
    pub ipv4_mask_length: u8,
    /// Our end, IPv4; never [`Local::Auto`], since our IPv6 prefix is made of it.
    pub local: Local,
    /// Who carries the packets.
    pub path: Path,
}

impl SixRd {
    /// The prefix that belongs to an IPv4 address: the 6rd prefix with the address's own bits behind it (RFC 5969
    /// section 4).
    #[must_use]
    pub fn delegated(&self, address: Ipv4Addr) -> Prefix {
        let IpAddr::V6(prefix) = self.prefix.address else { return self.prefix };
        let own = u32::from(address).checked_shl(self.ipv4_mask_length.into()).unwrap_or(0);
        // `own` is left-aligned in its 32 bits: move it to the top, then behind the prefix.
        let bits = (u128::from(own) << 96).checked_shr(self.prefix.length.into()).unwrap_or(0);
        let length = self.prefix.length.saturating_add(32_u8.saturating_sub(self.ipv4_mask_length));
        Prefix::new(Ipv6Addr::from(u128::from(prefix) | bits).into(), length)
    }
}

/// See [`Kind::WireGuard`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireGuard {
    /// The name under which the core holds the private key.
    pub key: String,
    /// UDP port; none lets the kernel choose.
    pub listen_port: Option<u16>,
    /// Mark of the outer packets.
    pub mark: Option<u32>,
    /// The other ends.
    pub peers: Vec<Peer>,
}

/// One other end of a WireGuard link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub public_key: PublicKey,
    /// The name under which the core holds a key shared with it.
    pub preshared_key: Option<String>,
    /// Where it is; none waits for it to speak.
    pub endpoint: Option<(Host, u16)>,
    /// Seconds between two signs of life.
    pub keepalive: Option<u16>,
    /// What may come from it and goes to it.
    pub allowed_ips: Vec<Prefix>,
}

/// Who carries the packets of a 6in4 or 6rd tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// The kernel if it can, this plugin otherwise.
    #[default]
    Auto,
    /// The kernel's `sit`.
    Kernel,
    /// This plugin, through a tun device and a raw socket.
    Userspace,
}

/// Outer traffic class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tos {
    /// The inner one.
    Inherit,
    /// This one; the two ECN bits are zero.
    Fixed(u8),
}

/// Traffic that leaves by a tunnel for its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRoute {
    /// Packets from there.
    pub from: Prefix,
    /// The routing table that leads them out.
    pub table: u32,
    /// Priority of the rule.
    pub priority: u32,
}

/// Signs of life: ICMPv6 echo through the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Who answers.
    pub target: Ipv6Addr,
    /// Between two requests.
    pub interval: Duration,
    /// Without an answer for so long the tunnel counts as down.
    pub timeout: Duration,
}

impl Config {
    /// Reads the text of the section. Gives the configuration and its warnings.
    ///
    /// # Errors
    /// Every mistake of the section in the order of the text, warnings among them; spans count bytes of `text`.
    pub fn parse(text: &str) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut diagnostics = Diagnostics::new();
        let config = Value::root(text, &mut diagnostics).and_then(|value| read::section(value, &mut diagnostics));
        let failed = diagnostics.has_errors();
        match config {
            Some(config) if !failed => Ok((config, diagnostics.into_vec())),
            _ => Err(diagnostics.into_vec()),
        }
    }

    /// All tunnels, by name.
    pub fn tunnels(&self) -> impl Iterator<Item = &Arc<Tunnel>> {
        self.tunnels.values()
    }

    /// One of them.
    #[must_use]
    pub fn tunnel(&self, name: &str) -> Option<&Arc<Tunnel>> {
        self.tunnels.get(name)
    }
}
