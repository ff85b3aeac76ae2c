//! What one translator is told: its prefix, its MTUs, what it may say and to whom.

use super::eam::AddressMap;
use super::prefix::{self, Prefix4};
use crate::flow::{Endpoint4, Endpoint6, Inbound, Outbound, Refusal, Sessions, TcpFlags};
use crate::pref64::Pref64;
use portreeve_packet::time::Instant;
use std::net::{Ipv4Addr, Ipv6Addr};

/// ICMP errors per second by default, for each family; and as many again that tell how large a packet may be.
pub const ERRORS_PER_SECOND: u32 = 100;
/// ICMP errors sent at once by default (RFC 4443 section 2.4(f)): a few dozen hosts may learn a new MTU together.
pub const ERROR_BURST: u32 = 50;

/// The smallest MTU of IPv6 (RFC 8200 section 5).
const MIN_MTU6: u16 = 1280;
/// The smallest MTU of IPv4 (RFC 791).
const MIN_MTU4: u16 = 68;

/// How the addresses of one family come from those of the other.
#[derive(Debug)]
pub enum Mode<S> {
    /// NAT64 (RFC 6146): IPv6 hosts share a pool of IPv4 addresses.
    Stateful(S),
    /// SIIT (RFC 7915): by explicit mappings (RFC 7757), and where there is none by the prefix.
    Stateless(AddressMap),
}

/// What becomes of a UDP packet over IPv4 that has no checksum and is no fragment (RFC 7915 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UdpZero {
    /// It gets one.
    #[default]
    Compute,
    /// It is dropped.
    Drop,
}

/// The settings of a data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// IPv6 addresses that stand for IPv4 ones.
    pub prefix: Pref64,
    /// Only explicit mappings count, and the prefix does not (stateless; RFC 7757 without RFC 6052).
    pub explicit_only: bool,
    /// Our own side is what has explicit mappings, the other side what is within the prefix, and nothing else is either
    /// (stateless; a CLAT, RFC 6877).
    pub own_explicit: bool,
    /// Whether the well-known prefix may carry addresses that are not global (RFC 6052 section 3.1 says no).
    pub allow_private: bool,
    /// The largest IPv6 packet to be sent, in bytes; below 1280 counts as 1280.
    pub mtu6: u16,
    /// The largest IPv4 packet to be sent, in bytes; below 68 counts as 68.
    pub mtu4: u16,
    /// IPv4 packets that may be fragmented become IPv6 packets no larger than this (`lowest-ipv6-mtu`, RFC 7915
    /// section 4); below 1280 counts as 1280.
    pub lowest_mtu6: u16,
    /// Whether the MSS of SYNs is lowered to what fits both MTUs.
    pub mss_clamp: bool,
    /// Who ICMPv6 errors of our own come from; none withholds them.
    pub source6: Option<Ipv6Addr>,
    /// Who ICMPv4 errors come from that have no better source: the same one for each IPv6 source (RFC 6791), the first for
    /// our own. Empty: stateful one of the pool, otherwise they are withheld.
    pub sources4: Vec<Ipv4Addr>,
    /// UDP over IPv4 without checksum.
    pub udp_zero: UdpZero,
    /// Whether DSCP is copied; ECN always is (RFC 7915 sections 4.1 and 5.1).
    pub copy_traffic_class: bool,
    /// IPv4 addresses that are never translated by the prefix, beside loopback, multicast, 0/8, 240/4 and link-local.
    pub deny4: Vec<Prefix4>,
    /// ICMP errors of our own per second, for each family, those about sizes apart; 0 withholds them all.
    pub errors_per_second: u32,
    /// How many of them at once, but no more than in a second.
    pub error_burst: u32,
    /// Whether IPv6 hosts reach each other by their IPv4 addresses (RFC 6146 section 3.8, RFC 7757 section 4).
    pub hairpin: bool,
}

impl Settings {
    /// The settings of RFC 7915 and 6146 for `prefix`, with ICMPv6 errors from `source6`.
    pub fn new(prefix: Pref64, source6: impl Into<Option<Ipv6Addr>>) -> Self {
        Self {
            prefix,
            explicit_only: false,
            own_explicit: false,
            allow_private: false,
            mtu6: 1500,
            mtu4: 1500,
            lowest_mtu6: MIN_MTU6,
            mss_clamp: true,
            source6: source6.into(),
            sources4: Vec::new(),
            udp_zero: UdpZero::Compute,
            copy_traffic_class: true,
            deny4: Vec::new(),
            errors_per_second: ERRORS_PER_SECOND,
            error_burst: ERROR_BURST,
            hairpin: true,
        }
    }

    /// The largest IPv6 packet to be sent.
    pub fn effective_mtu6(&self) -> u16 {
        self.mtu6.max(MIN_MTU6)
    }

    /// The largest IPv4 packet to be sent.
    pub fn effective_mtu4(&self) -> u16 {
        self.mtu4.max(MIN_MTU4)
    }

    /// What IPv4 packets that may be fragmented are cut to.
    pub(super) fn fragment_mtu6(&self) -> u16 {
        self.lowest_mtu6.clamp(MIN_MTU6, self.effective_mtu6())
    }

    /// The largest MSS that fits both MTUs (RFC 9293 section 3.7.1).
    pub(super) fn mss(&self) -> u16 {
        self.effective_mtu6().saturating_sub(60).min(self.effective_mtu4().saturating_sub(40))
    }

    /// Whether the prefix may not carry `address`.
    pub(super) fn denies(&self, address: Ipv4Addr) -> bool {
        prefix::is_never_translated(address)
            || self.prefix.is_well_known() && !self.allow_private && prefix::is_private(address)
            || self.deny4.iter().any(|denied| denied.contains(address))
    }

    /// The TOS or traffic class of a packet that came with `class`.
    pub(super) const fn class(&self, class: u8) -> u8 {
        if self.copy_traffic_class { class } else { class & 3 }
    }
}

/// No session table: what a data path that is always stateless is made with.
#[derive(Debug, Clone, Copy)]
pub enum NoSessions {}

impl Sessions for NoSessions {
    fn outbound(&mut self, _: &Outbound, _: Option<TcpFlags>, _: Instant) -> Result<Endpoint4, Refusal> {
        match *self {}
    }

    fn inbound(&mut self, _: &Inbound, _: Option<TcpFlags>, _: Instant) -> Result<Endpoint6, Refusal> {
        match *self {}
    }

    fn outbound_error(&self, _: &Outbound, _: Instant) -> Option<Endpoint4> {
        match *self {}
    }

    fn inbound_error(&self, _: &Inbound, _: Instant) -> Option<Endpoint6> {
        match *self {}
    }

    fn is_pool(&self, _: Ipv4Addr) -> bool {
        match *self {}
    }

    fn icmp_source(&self) -> Ipv4Addr {
        match *self {}
    }
}
