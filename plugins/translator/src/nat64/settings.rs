//! What the table is to do, as plain data, and which values are legal (the section of router.ron is read elsewhere).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::slab::NONE;
use crate::flow::{Endpoint4, Endpoint6, Protocol};

/// Most sessions a table may have.
pub const MAX_SESSIONS: u32 = 4 << 20;
/// Most ranges of addresses in the pool.
pub const MAX_POOLS: usize = 256;
/// Most addresses in the pool.
pub const MAX_POOL_ADDRESSES: u32 = 65_536;
/// Most static mappings.
pub const MAX_STATIC: usize = 4096;
/// Most prefixes of allowed sources.
pub const MAX_SOURCES: usize = 1024;
/// Smallest and largest block of ports.
pub const PORT_BLOCK: RangeInclusive<u16> = 16..=16_384;
/// Shortest lifetime of UDP sessions (RFC 6146 section 4, UDP_MIN).
pub const UDP_MIN: Duration = Duration::from_secs(120);
/// Longest lifetime of any session.
pub const MAX_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A range of IPv4 addresses that mappings are given, with the ports they may use of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The first address.
    pub first: Ipv4Addr,
    /// The last address.
    pub last: Ipv4Addr,
    /// The ports and query identifiers.
    pub ports: RangeInclusive<u16>,
}

impl Pool {
    /// The default ports: all but the well-known ones.
    pub const PORTS: RangeInclusive<u16> = 1024..=65_535;

    /// All addresses of a prefix, with the default ports. Lengths above 32 count as 32.
    #[must_use]
    pub fn prefix(address: Ipv4Addr, length: u8) -> Self {
        let hosts = u32::MAX.checked_shr(u32::from(length.min(32))).unwrap_or(0);
        let first = u32::from(address) & !hosts;
        Self { first: first.into(), last: (first | hosts).into(), ports: Self::PORTS }
    }
}

/// A prefix of IPv6 hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// An address in the prefix.
    pub address: Ipv6Addr,
    /// Its length, 0 to 128; more counts as 128.
    pub length: u8,
}

impl Sources {
    /// Whether `host` is in it.
    #[must_use]
    pub fn contains(&self, host: Ipv6Addr) -> bool {
        let hosts = u128::MAX.checked_shr(u32::from(self.length.min(128))).unwrap_or(0);
        (u128::from(self.address) ^ u128::from(host)) & !hosts == 0
    }
}

/// Who may send to a mapping (RFC 6146 section 3.5, "Filtering").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filtering {
    /// Anyone (endpoint-independent filtering).
    #[default]
    EndpointIndependent,
    /// Addresses the host has a session with through this mapping.
    AddressDependent,
}

/// A mapping that is always there (RFC 6146 section 3.1). Anyone may begin a session through it, TCP included, whatever
/// [`Filtering`] and `tcp_inbound` say: that is what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticEntry {
    /// The protocol.
    pub protocol: Protocol,
    /// The host and its port.
    pub host: Endpoint6,
    /// One of the pool's addresses and a port there, also outside of the pool's ports.
    pub public: Endpoint4,
}

/// Lifetimes of sessions (RFC 6146 section 4). There is none for TCP_INCOMING_SYN: the table keeps no packets, so a SYN
/// that may not come in is refused at once (the first choice of section 3.5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// UDP_DEFAULT.
    pub udp: Duration,
    /// TCP_EST.
    pub tcp_established: Duration,
    /// TCP_TRANS.
    pub tcp_transitory: Duration,
    /// ICMP_DEFAULT.
    pub icmp: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            udp: Duration::from_secs(300),
            tcp_established: Duration::from_secs(7440),
            tcp_transitory: Duration::from_secs(240),
            icmp: Duration::from_secs(60),
        }
    }
}

/// All of it. The default has no pool, and so refuses everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The IPv4 addresses; no address twice.
    pub pools: Vec<Pool>,
    /// Most sessions, 1 to [`MAX_SESSIONS`].
    pub max_sessions: u32,
    /// Most sessions of the hosts of one /64, at least 1.
    pub per_prefix: u32,
    /// With a size: each /64 is given ports in whole blocks of this size.
    pub port_block: Option<u16>,
    /// Lifetimes.
    pub timeouts: Timeouts,
    /// Who may send to a mapping.
    pub filtering: Filtering,
    /// Whether TCP connections may begin from the IPv4 side through mappings that hosts have made.
    pub tcp_inbound: bool,
    /// Mappings that are always there.
    pub static_entries: Vec<StaticEntry>,
    /// Who may use it; nothing here means everyone.
    pub sources: Vec<Sources>,
    /// Whether sessions (with `port_block`: blocks) are logged.
    pub log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pools: Vec::new(),
            max_sessions: 65_536,
            per_prefix: 16_384,
            port_block: None,
            timeouts: Timeouts::default(),
            filtering: Filtering::default(),
            tcp_inbound: false,
            static_entries: Vec::new(),
            sources: Vec::new(),
            log: false,
        }
    }
}

/// Numbers of the blocks of `size` ports that lie wholly within the ports `first..=last`. Block `n` begins at port
/// `n * size`.
#[must_use]
pub fn whole_blocks(first: u16, last: u16, size: u16) -> Range<u32> {
    let size = u32::from(size.max(1));
    let start = u32::from(first).div_ceil(size);
    start..((u32::from(last) + 1) / size).max(start)
}

/// Why settings are not legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// A pool whose last address or port is before its first, with port 0 alone, or of addresses that no host may have.
    Pool(Ipv4Addr),
    /// An address that is in two pools.
    PoolOverlap(Ipv4Addr),
    /// More pools or pool addresses than [`MAX_POOLS`] and [`MAX_POOL_ADDRESSES`].
    TooManyAddresses,
    /// `max_sessions` or `per_prefix` out of bounds.
    Sessions,
    /// A block size outside of [`PORT_BLOCK`].
    PortBlock,
    /// A lifetime below a second ([`UDP_MIN`] for UDP) or above [`MAX_LIFETIME`].
    Timeout,
    /// More than [`MAX_STATIC`] static mappings or [`MAX_SOURCES`] sources.
    TooManyEntries,
    /// A static mapping to an address that is not in the pool.
    StaticOutsidePool(Endpoint4),
    /// Two static mappings of one host and port, or to one address and port.
    StaticTwice(Endpoint4),
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pool(address) => {
                write!(f, "the pool that begins with {address} is empty or not of unicast addresses")
            }
            Self::PoolOverlap(address) => write!(f, "{address} is in two pools"),
            Self::TooManyAddresses => write!(f, "more than {MAX_POOLS} pools or {MAX_POOL_ADDRESSES} addresses"),
            Self::Sessions => write!(f, "sessions must be 1 to {MAX_SESSIONS}, those of a /64 at least 1"),
            Self::PortBlock => write!(f, "a port block must have {} to {} ports", PORT_BLOCK.start(), PORT_BLOCK.end()),
            Self::Timeout => write!(f, "a lifetime must be 1 s (UDP: 120 s) to 30 days"),
            Self::TooManyEntries => write!(f, "more than {MAX_STATIC} static mappings or {MAX_SOURCES} sources"),
            Self::StaticOutsidePool(to) => write!(f, "static mapping to {}, which is not in the pool", to.address),
            Self::StaticTwice(to) => write!(f, "static mapping to {}:{} or of its host twice", to.address, to.port),
        }
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Checks all bounds.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(1..=MAX_SESSIONS).contains(&self.max_sessions) || self.per_prefix == 0 {
            return Err(SettingsError::Sessions);
        }
        if self.port_block.is_some_and(|size| !PORT_BLOCK.contains(&size)) {
            return Err(SettingsError::PortBlock);
        }
        if self.static_entries.len() > MAX_STATIC || self.sources.len() > MAX_SOURCES {
            return Err(SettingsError::TooManyEntries);
        }
        let Timeouts { udp, tcp_established, tcp_transitory, icmp } = self.timeouts;
        let second = Duration::from_secs(1);
        for (lifetime, least) in [(udp, UDP_MIN), (tcp_established, second), (tcp_transitory, second), (icmp, second)] {
            if !(least..=MAX_LIFETIME).contains(&lifetime) {
                return Err(SettingsError::Timeout);
            }
        }
        self.check_pools()?;
        self.check_static()
    }

    /// Whether `host` may use it.
    #[must_use]
    pub fn allows(&self, host: Ipv6Addr) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|sources| sources.contains(host))
    }

    fn check_pools(&self) -> Result<(), SettingsError> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut addresses = 0u32;
        for Pool { first, last, ports } in &self.pools {
            let usable = |a: Ipv4Addr| !a.is_unspecified() && !a.is_loopback() && u32::from(a) < 0xe000_0000;
            if first > last || ports.is_empty() || *ports.end() == 0 || !usable(*first) || !usable(*last) {
                return Err(SettingsError::Pool(*first));
            }
            let (first, last) = (u32::from(*first), u32::from(*last));
            addresses = addresses.saturating_add((last - first).saturating_add(1));
            ranges.push((first, last));
        }
        if self.pools.len() > MAX_POOLS || addresses > MAX_POOL_ADDRESSES {
            return Err(SettingsError::TooManyAddresses);
        }
        ranges.sort_unstable();
        for (one, next) in ranges.iter().zip(ranges.iter().skip(1)) {
            if next.0 <= one.1 {
                return Err(SettingsError::PoolOverlap(next.0.into()));
            }
        }
        Ok(())
    }

    fn check_static(&self) -> Result<(), SettingsError> {
        let mut hosts = std::collections::BTreeSet::new();
        let mut publics = std::collections::BTreeSet::new();
        for StaticEntry { protocol, host, public } in &self.static_entries {
            if !self.pools.iter().any(|pool| (pool.first..=pool.last).contains(&public.address)) {
                return Err(SettingsError::StaticOutsidePool(*public));
            }
            let new = hosts.insert((*protocol, host.address, host.port));
            if !publics.insert((*protocol, public.address, public.port)) || !new {
                return Err(SettingsError::StaticTwice(*public));
            }
        }
        Ok(())
    }
}

const _: () = assert!(MAX_SESSIONS as u64 + (MAX_STATIC as u64) < super::index::MAX_ID as u64 && NONE > MAX_SESSIONS);
