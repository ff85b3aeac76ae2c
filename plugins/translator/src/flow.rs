//! What the packet path and the session table tell each other: who talks to whom, and what became of it.
//!
//! The packet path ([`crate::xlat`]) knows bytes, the table ([`crate::nat64`]) knows sessions; these few values are all that
//! passes between them, so each is tested without the other. Ports of ICMP are query identifiers (RFC 6146 section 3).

use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_packet::time::Instant;

/// The protocols that have sessions (RFC 6146 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6 queries (echo).
    Icmp,
}

/// What of a TCP header moves the state machine (RFC 6146 section 3.5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags {
    /// SYN.
    pub syn: bool,
    /// ACK.
    pub ack: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
}

/// A packet from the IPv6 side; the destination is the IPv4 address that was in the IPv6 one (RFC 6052).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outbound {
    /// Which protocol.
    pub protocol: Protocol,
    /// The IPv6 host.
    pub source: Ipv6Addr,
    /// Its port or query identifier.
    pub source_port: u16,
    /// The IPv4 host.
    pub destination: Ipv4Addr,
    /// Its port; for ICMP queries 0.
    pub destination_port: u16,
}

/// A packet from the IPv4 side, to one of the pool's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// Which protocol.
    pub protocol: Protocol,
    /// The IPv4 host.
    pub source: Ipv4Addr,
    /// Its port; for ICMP queries 0.
    pub source_port: u16,
    /// One of the pool's addresses.
    pub destination: Ipv4Addr,
    /// The port there, or the query identifier.
    pub destination_port: u16,
}

/// A transport address on the IPv4 side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint4 {
    /// The address.
    pub address: Ipv4Addr,
    /// The port or query identifier.
    pub port: u16,
}

/// A transport address on the IPv6 side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint6 {
    /// The address.
    pub address: Ipv6Addr,
    /// The port or query identifier.
    pub port: u16,
}

/// Why the table has no answer. Each has a stable name for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nothing is known of this flow, and it may not begin here. From the IPv4 side: answer with ICMP host unreachable.
    NoMapping,
    /// A mapping is there, but the remote end is not one it may hear from (address-dependent filtering).
    Filtered,
    /// The table is full.
    TableFull,
    /// No port of the pool is free.
    PortsExhausted,
    /// The host's /64 has as many sessions as it may have.
    Quota,
    /// A TCP segment other than a SYN for no session.
    NotSyn,
    /// The destination is not translated: denied by the section, or not unicast.
    Prohibited,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoMapping,
        Self::Filtered,
        Self::TableFull,
        Self::PortsExhausted,
        Self::Quota,
        Self::NotSyn,
        Self::Prohibited,
    ];

    /// Name of its counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoMapping => "no_mapping",
            Self::Filtered => "filtered",
            Self::TableFull => "table_full",
            Self::PortsExhausted => "ports_exhausted",
            Self::Quota => "quota",
            Self::NotSyn => "not_syn",
            Self::Prohibited => "prohibited",
        }
    }
}

/// A table of sessions as the packet path asks it (RFC 6146 section 3.5).
///
/// `tcp` is there for TCP only. The `*_error` questions serve the packets inside of ICMP errors: they change and refresh
/// nothing.
pub trait Sessions {
    /// A packet to the IPv4 side: which transport address it is to come from. Makes the mapping and the session if they
    /// are not there, and refreshes them.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is dropped.
    fn outbound(&mut self, flow: &Outbound, tcp: Option<TcpFlags>, now: Instant) -> Result<Endpoint4, Refusal>;

    /// A packet from the IPv4 side: which IPv6 host it is for.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is dropped.
    fn inbound(&mut self, flow: &Inbound, tcp: Option<TcpFlags>, now: Instant) -> Result<Endpoint6, Refusal>;

    /// What [`Sessions::outbound`] would say of a flow that is known.
    fn outbound_error(&self, flow: &Outbound, now: Instant) -> Option<Endpoint4>;

    /// What [`Sessions::inbound`] would say of a flow that is known.
    fn inbound_error(&self, flow: &Inbound, now: Instant) -> Option<Endpoint6>;

    /// Whether `address` is one of the pool's.
    fn is_pool(&self, address: Ipv4Addr) -> bool;

    /// An IPv4 address for ICMP errors from the IPv6 side whose source has none of its own (RFC 6791); one of the pool's.
    fn icmp_source(&self) -> Ipv4Addr;
}
