//! The plugin's section of router.ron as legal values.
//!
//! [`Config::parse`] is the only way to make one, so what the engine sees is legal: prefixes are ones of RFC 6052, pools
//! and prefixes do not overlap, quotas fit the tables, DNS64 synthesises from a prefix that somebody translates.
//! Reading is in `config/read.rs` (the section and what all instances share), `config/nat64.rs`, `config/stateless.rs`
//! (SIIT and CLAT), `config/dns64.rs`, `config/leaf.rs` (small values); `config/across.rs` checks instances against each
//! other; `config/pref64.rs` has the prefixes, `config/instance.rs` what follows from one instance's settings,
//! `config/needs.rs` what the section takes, `config/summary.rs` what it means.

mod across;
mod dns64;
mod instance;
mod leaf;
mod nat64;
mod needs;
mod pref64;
mod read;
mod stateless;
mod summary;

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use portreeve_config::{Diagnostic, Diagnostics, Value};
use portreeve_network::Prefix;

pub use crate::flow::Protocol;
pub use dns64::{CacheSettings, ClientRule, Dns64, Policy, Rate};
pub use instance::{DUMMY, EVERYTHING4, NON_GLOBAL4, PRIVATE4};
pub(crate) use needs::FORWARDING;
pub use needs::{DNS_KEY, Listen, NAT64_KEY, Needs};
pub use pref64::{IPV4ONLY, Pref64, Pref64Error, discover};
pub use summary::summary;

/// Most instances in a section.
pub const MAX_INSTANCES: usize = 16;
/// Most addresses in the pool of an instance.
pub const MAX_POOL_ADDRESSES: u64 = 4096;
/// Most static mappings of an instance.
pub const MAX_STATIC: usize = 4096;
/// Most explicit address mappings of an instance.
pub const MAX_EAM: usize = 16_384;
/// Most routes to all devices together, once neighbouring prefixes are put together, and prefixes that are hidden.
pub const MAX_ROUTES: usize = 2048;
/// Most prefixes in a list such as `sources` or `deny`.
pub const MAX_PREFIXES: usize = 256;
/// Bytes of memory that a session takes in the worst case.
pub const SESSION_BYTES: u64 = 128;
/// Bytes of a session in a snapshot.
pub const SNAPSHOT_BYTES: u64 = 48;

/// The whole section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    instances: BTreeMap<String, Arc<Instance>>,
    dns64: Option<Arc<Dns64>>,
    /// Both families are forwarded by the kernel because this plugin says so. Not to be where an uplink has its default
    /// route from router advertisements: the kernel drops it when forwarding begins, unless `accept_ra` is set with it.
    pub forwarding: bool,
}

/// One translator, on a tun device of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its tun device.
    pub name: String,
    /// What it translates.
    pub mode: Mode,
    /// What all kinds share.
    pub traffic: Traffic,
    /// Tells others its prefix: radvd advertises it (RFC 8781).
    pub advertise: bool,
}

/// What an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Stateful (RFC 6146).
    Nat64(Nat64),
    /// Stateless (RFC 7915), with explicit address mappings (RFC 7757).
    Siit(Siit),
    /// The customer side of 464XLAT (RFC 6877).
    Clat(Clat),
}

/// How packets are translated (RFC 7915), whatever the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The largest IPv6 packet that is emitted, in bytes, 1280 and more.
    pub mtu6: u32,
    /// The largest IPv4 packet that is emitted, in bytes, 576 and more.
    pub mtu4: u32,
    /// IPv4 packets that may be fragmented become IPv6 packets no larger than this, in bytes, 1280 to `mtu6`
    /// (`lowest-ipv6-mtu`, RFC 7915 section 4).
    pub lowest_mtu6: u32,
    /// TCP's maximum segment size is held to what fits.
    pub mss_clamp: bool,
    /// Hosts of the IPv6 side reach each other by their IPv4 addresses (RFC 6146 section 3.8, RFC 7757 section 4).
    pub hairpin: bool,
    /// What becomes of UDP without a checksum from the IPv4 side (RFC 7915 section 4.5).
    pub udp_zero_checksum: ZeroChecksum,
    /// The traffic class is kept (RFC 7915 sections 4.1 and 5.1); otherwise all but ECN is zero.
    pub copy_traffic_class: bool,
    /// IPv4 addresses that are never translated; [`NON_GLOBAL4`] among them where `private` is false.
    pub deny: Vec<Prefix>,
    /// Whether IPv4 addresses that are not global are translated; none for what the prefix asks for
    /// (RFC 6052 section 3.1: with the well-known prefix they are not).
    pub private: Option<bool>,
    /// ICMP errors a second that are sent of our own, for each family; 0 sends none.
    pub icmp_errors: u32,
    /// Source of our own ICMPv6 errors; none for what [`Instance::icmp_source`] makes of the prefix.
    pub icmp_source: Option<Ipv6Addr>,
}

/// See [`Traffic::udp_zero_checksum`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroChecksum {
    /// The checksum is computed; fragments are dropped.
    #[default]
    Compute,
    /// The packet is dropped.
    Drop,
}

/// See [`Mode::Nat64`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat64 {
    /// Under which the IPv4 internet is seen.
    pub prefix: Pref64,
    /// The IPv4 addresses that hosts come from.
    pub pool: Pool,
    /// Most sessions.
    pub sessions: u32,
    /// Most sessions of the hosts of one /64; at most `sessions`.
    pub per_prefix: u32,
    /// Ports are given out in blocks of this size; fits into every port range of the pool.
    pub port_block: Option<u16>,
    /// Who may answer.
    pub filtering: Filtering,
    /// TCP connections from the IPv4 side may begin where a mapping is there (RFC 6146 section 3.5.2.2).
    pub inbound_tcp: bool,
    /// How long a session stays without packets.
    pub timeouts: Timeouts,
    /// Mappings that are always there.
    pub statics: Vec<StaticEntry>,
    /// Hosts that may use it; all if empty. IPv6.
    pub sources: Vec<Prefix>,
    /// What is logged.
    pub log: Log,
}

/// Where the hosts of the IPv6 side come from.
///
/// An address that the router itself has is of no use here: the kernel takes what comes back to it for its own programs,
/// and nothing is said of its ports (`ip_local_reserved_ports` is not touched). To share the router's address, masquerade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The addresses are known inside the router only, and the kernel hides them behind its own.
    pub masquerade: bool,
    /// They do not overlap, and are not empty.
    pub ranges: Vec<PoolRange>,
}

/// Addresses of a pool that share their ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRange {
    /// IPv4; each address of it is used, the first and the last one, too.
    pub addresses: Prefix,
    /// Ports and query identifiers.
    pub ports: RangeInclusive<u16>,
}

/// Whose packets a mapping lets in (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filtering {
    /// Anybody's.
    #[default]
    EndpointIndependent,
    /// Those of addresses that the host sent to.
    AddressDependent,
}

/// What goes to the session log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    #[default]
    Off,
    /// Sessions; only without [`Nat64::port_block`].
    Sessions,
    /// Blocks of ports as they are given out; only with [`Nat64::port_block`].
    Blocks,
}

/// Lifetimes of sessions (RFC 6146 section 4). TCP_INCOMING_SYN and FRAGMENT_MIN are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// UDP_DEFAULT.
    pub udp: Duration,
    /// TCP_EST.
    pub tcp: Duration,
    /// TCP_TRANS.
    pub tcp_transitory: Duration,
    /// ICMP_DEFAULT.
    pub icmp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            udp: Duration::from_secs(300),
            tcp: Duration::from_secs(7440),
            tcp_transitory: Duration::from_secs(240),
            icmp: Duration::from_secs(60),
        }
    }
}

/// A mapping that is always there (RFC 6146 section 3.1, static BIB entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaticEntry {
    /// Of which protocol; of ICMP the ports are query identifiers.
    pub protocol: Protocol,
    /// The IPv6 host.
    pub host: SocketAddrV6,
    /// Its address is one of the pool; its port may be outside of the pool's, among those for servers.
    pub public: SocketAddrV4,
}

/// See [`Mode::Siit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Siit {
    /// For addresses without an explicit mapping; none drops them. There is one if `eam` is empty.
    pub prefix: Option<Pref64>,
    /// Explicit address mappings; no two have an address in common but one within the other (RFC 7757 section 3.2).
    pub eam: Vec<Eam>,
    /// Sources of ICMPv4 errors of hosts that have no IPv4 address, the same one for each of them (RFC 6791); not empty.
    pub pool6791: Vec<Ipv4Addr>,
    /// IPv4 prefixes whose hosts have addresses within `prefix` (RFC 6052 section 2.1): routed to the device.
    pub ipv4: Vec<Prefix>,
}

/// An explicit address mapping (RFC 7757 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eam {
    /// IPv4.
    pub ipv4: Prefix,
    /// IPv6; its suffix is at least as long as the one of `ipv4` (RFC 7757 section 3.2).
    pub ipv6: Prefix,
    /// On which side the host really is: the addresses of the other side are routed to the device.
    pub host: Side,
}

/// A side of a translator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The IPv4 one.
    Ipv4,
    /// The IPv6 one.
    #[default]
    Ipv6,
}

/// See [`Mode::Clat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clat {
    /// The provider's prefix; none finds it out: from a fact, or from ipv4only.arpa (RFC 7050).
    pub prefix: Option<Pref64>,
    /// What the IPv4 side looks like to the IPv6 side.
    pub address: ClatAddress,
    /// The router's own address on the IPv4 side (RFC 7335).
    pub ipv4: Ipv4Addr,
    /// IPv4 leaves this way where there is no other.
    pub default_route: bool,
    /// Metric of that route.
    pub metric: u32,
    /// IPv4 hosts that the kernel hides behind `ipv4`.
    pub masquerade: Vec<Prefix>,
}

/// See [`Clat::address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClatAddress {
    /// [`Clat::ipv4`] is this one, all others are dropped.
    One(Ipv6Addr),
    /// [`Clat::ipv4`] and private addresses ([`PRIVATE4`]) each have one within this prefix (RFC 6877 section 6.3), all
    /// others are dropped. Of 32, 64 or 96 bits: at other lengths an address lies around bits 64 to 71, and RFC 7757 has
    /// no mapping for that.
    Within(Pref64),
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

    /// All instances, by name.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// One of them.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Arc<Instance>> {
        self.instances.get(name)
    }

    /// The resolver for the clients, if there is one.
    #[must_use]
    pub const fn dns64(&self) -> Option<&Arc<Dns64>> {
        self.dns64.as_ref()
    }
}
