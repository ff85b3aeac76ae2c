//! The values that go into the engine and come out of it. No behaviour beyond small conversions.

use core::time::Duration;
use portreeve_config::Ipv6Prefix;
use portreeve_packet::nd::{ParseError, RaError, RsError};
use std::net::Ipv6Addr;

/// Everything the engine must know about one link; a new one replaces the old one as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkState {
    /// The interface's name.
    pub name: String,
    /// The kernel's interface index; the key of the link.
    pub index: u32,
    /// The link-layer address, up to 32 bytes; `None` on links that have none.
    pub mac: Option<Vec<u8>>,
    /// The MTU in bytes.
    pub mtu: u32,
    /// Administratively up and with carrier.
    pub running: bool,
    /// It is known not to forward IPv6 packets: hosts would lose what they send through it.
    pub forwarding_off: bool,
    /// Every IPv6 address of the interface.
    pub addresses: Vec<InterfaceAddress>,
    /// Prefixes that another plugin gave the interface, whether it has an address in them yet or not.
    pub delegated: Vec<Delegated>,
}

/// A prefix that was given to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delegated {
    /// The prefix.
    pub prefix: Ipv6Prefix,
    /// Seconds it stays valid from now; `None`: for ever.
    pub valid_lifetime: Option<u32>,
    /// Seconds it stays preferred from now; `None`: for ever.
    pub preferred_lifetime: Option<u32>,
}

/// One IPv6 address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: Ipv6Addr,
    /// The length of its prefix.
    pub prefix_length: u8,
    /// Duplicate address detection is not finished (or has failed): the address must not be used.
    pub tentative: bool,
    /// Its preferred lifetime is over.
    pub deprecated: bool,
    /// Seconds it stays valid from now; `None`: for ever.
    pub valid_lifetime: Option<u32>,
    /// Seconds it stays preferred from now; `None`: for ever.
    pub preferred_lifetime: Option<u32>,
}

/// A received ICMPv6 message.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// Where it came in.
    pub interface_index: u32,
    /// Who sent it.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// The hop limit it arrived with.
    pub hop_limit: u8,
    /// From the ICMPv6 type on; the kernel has verified the checksum.
    pub bytes: &'a [u8],
}

/// A router advertisement to send, with hop limit 255. Its checksum is zero: the kernel fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to send it.
    pub interface_index: u32,
    /// The link-local address to send from.
    pub source: Ipv6Addr,
    /// All nodes, or the host that asked.
    pub destination: Ipv6Addr,
    /// From the ICMPv6 type on.
    pub bytes: Vec<u8>,
}

/// What the shim must do ([`Event::OpenSocket`], [`Event::CloseSocket`]) or may log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Listen for ICMPv6 on this interface; comes before its first [`Transmit`] is due. Never dropped.
    OpenSocket {
        /// The interface index.
        index: u32,
        /// The interface name.
        name: String,
    },
    /// Nothing more is sent or heard on this interface. Never dropped.
    CloseSocket {
        /// The interface index.
        index: u32,
    },
    /// Advertising begins.
    Advertising {
        /// The interface name.
        name: String,
        /// The link-local address advertisements are sent from.
        source: Ipv6Addr,
    },
    /// Advertising begins on an interface that does not forward. It is advertised all the same: forwarding may be
    /// turned on a moment later.
    NotForwarding {
        /// The interface name.
        name: String,
    },
    /// Advertising has ended or must wait; final advertisements follow when the state is `Stopping`.
    NotAdvertising {
        /// The interface name.
        name: String,
        /// Why.
        state: InterfaceState,
    },
    /// A prefix is advertised from now on.
    PrefixAdded {
        /// The interface name.
        name: String,
        /// The prefix.
        prefix: Ipv6Prefix,
    },
    /// A prefix was taken out; it is advertised as deprecated if so configured.
    PrefixRemoved {
        /// The interface name.
        name: String,
        /// The prefix.
        prefix: Ipv6Prefix,
    },
    /// Of what other plugins publish, this is advertised from now on, and nothing else any more.
    Published {
        /// The interface name.
        name: String,
        /// NAT64 prefixes.
        nat64_prefixes: Vec<Ipv6Prefix>,
        /// DNS servers.
        servers: Vec<Ipv6Addr>,
    },
    /// The configured MTU is above the link's, so hosts would ignore it (RFC 4861 section 6.3.4): it is not sent.
    MtuExceedsLink {
        /// The interface name.
        name: String,
        /// The configured MTU in bytes.
        configured: u32,
        /// The link's MTU in bytes.
        link: u32,
    },
    /// Another router is heard for the first time.
    RouterFound {
        /// The interface name.
        name: String,
        /// Its link-local address.
        router: Ipv6Addr,
    },
    /// Another router contradicts us (RFC 4861 section 6.2.7); at most once per router and interval.
    InconsistentRouter {
        /// The interface name.
        name: String,
        /// Its link-local address.
        router: Ipv6Addr,
        /// Everything it contradicts.
        inconsistencies: Vec<Inconsistency>,
    },
    /// An advertisement could not be sent; at most once a minute and interface.
    TransmitFailed {
        /// The interface name.
        name: String,
        /// How many failed so far.
        total: u64,
    },
}

/// One contradiction between our advertisement and another router's (RFC 4861 section 6.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inconsistency {
    /// The current hop limit.
    HopLimit {
        /// What we say.
        ours: u8,
        /// What the other router says.
        theirs: u8,
    },
    /// The M flag.
    Managed {
        /// What we say.
        ours: bool,
        /// What the other router says.
        theirs: bool,
    },
    /// The O flag.
    OtherConfig {
        /// What we say.
        ours: bool,
        /// What the other router says.
        theirs: bool,
    },
    /// The reachable time in milliseconds.
    ReachableTime {
        /// What we say.
        ours: u32,
        /// What the other router says.
        theirs: u32,
    },
    /// The retransmission timer in milliseconds.
    RetransTimer {
        /// What we say.
        ours: u32,
        /// What the other router says.
        theirs: u32,
    },
    /// The link's MTU in bytes.
    Mtu {
        /// What we say.
        ours: u32,
        /// What the other router says.
        theirs: u32,
    },
    /// The valid lifetime of a prefix in seconds.
    ValidLifetime {
        /// The prefix.
        prefix: Ipv6Prefix,
        /// What we say.
        ours: u32,
        /// What the other router says.
        theirs: u32,
    },
    /// The preferred lifetime of a prefix in seconds.
    PreferredLifetime {
        /// The prefix.
        prefix: Ipv6Prefix,
        /// What we say.
        ours: u32,
        /// What the other router says.
        theirs: u32,
    },
}

/// What an interface is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceState {
    /// Configured by name, but there is no such link.
    Missing,
    /// The link is down or has no carrier.
    WaitingForCarrier,
    /// There is no link-local address, or it is still tentative.
    WaitingForLinkLocalAddress,
    /// Advertisements are sent and solicitations answered.
    Advertising,
    /// Final advertisements are being sent.
    Stopping,
}

/// Messages that were dropped as invalid (RFC 4861 sections 6.1.1 and 6.1.2), by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InvalidCounts {
    /// The hop limit was not 255.
    pub hop_limit: u64,
    /// The ICMPv6 code was not 0.
    pub code: u64,
    /// Shorter than the fixed part.
    pub too_short: u64,
    /// An option of length zero.
    pub zero_length_option: u64,
    /// An option longer than the message.
    pub truncated_option: u64,
    /// A source link-layer address from `::`.
    pub link_layer_address_from_unspecified: u64,
    /// A source no such message may have: multicast, or not link-local in an advertisement.
    pub source: u64,
    /// Neither a solicitation nor an advertisement.
    pub other_type: u64,
}

impl InvalidCounts {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.hop_limit
            + self.code
            + self.too_short
            + self.zero_length_option
            + self.truncated_option
            + self.link_layer_address_from_unspecified
            + self.source
            + self.other_type
    }

    pub(super) const fn count_parse(&mut self, error: ParseError) {
        match error {
            ParseError::TooShort => self.too_short += 1,
            ParseError::Type(_) => self.other_type += 1,
            ParseError::ZeroLengthOption => self.zero_length_option += 1,
            ParseError::TruncatedOption => self.truncated_option += 1,
        }
    }

    pub(super) const fn count_rs(&mut self, error: RsError) {
        match error {
            RsError::Malformed(error) => self.count_parse(error),
            RsError::HopLimit(_) => self.hop_limit += 1,
            RsError::Code(_) => self.code += 1,
            RsError::LinkLayerAddressFromUnspecified => self.link_layer_address_from_unspecified += 1,
        }
    }

    pub(super) const fn count_ra(&mut self, error: RaError) {
        match error {
            RaError::Malformed(error) => self.count_parse(error),
            RaError::HopLimit(_) => self.hop_limit += 1,
            RaError::Code(_) => self.code += 1,
            RaError::SourceNotLinkLocal => self.source += 1,
        }
    }
}

/// What happened on an interface since it was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Multicast advertisements sent; one split over several packets counts once.
    pub multicast_sent: u64,
    /// Unicast answers sent.
    pub unicast_sent: u64,
    /// Valid solicitations received.
    pub solicitations: u64,
    /// Solicitations left unanswered because their source asks too often.
    pub solicitations_limited: u64,
    /// Invalid messages.
    pub invalid: InvalidCounts,
    /// Valid advertisements of other routers.
    pub advertisements_heard: u64,
    /// Advertisements of other routers that contradict ours.
    pub inconsistent: u64,
    /// Transmissions the shim could not make.
    pub transmit_errors: u64,
    /// Unicast answers dropped because the transmit queue was full.
    pub queue_full: u64,
}

/// One advertised prefix, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixStatus {
    /// The prefix.
    pub prefix: Ipv6Prefix,
    /// Seconds of validity as advertised now; all ones: for ever.
    pub valid_lifetime: u32,
    /// Seconds of preference as advertised now; all ones: for ever.
    pub preferred_lifetime: u32,
    /// It was taken out and is only advertised to deprecate it.
    pub withdrawn: bool,
}

/// One advertised DNS server, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its address.
    pub address: Ipv6Addr,
    /// Seconds hosts may ask it, as advertised now; all ones: for ever.
    pub lifetime: u32,
    /// It was taken out and is only advertised to take it back.
    pub withdrawn: bool,
}

/// One advertised NAT64 prefix, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat64Status {
    /// The prefix.
    pub prefix: Ipv6Prefix,
    /// Seconds it may be used, as advertised now: a multiple of 8.
    pub lifetime: u16,
    /// It was taken out and is only advertised to take it back.
    pub withdrawn: bool,
}

/// One interface, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name, or the configured name when the link is missing.
    pub name: String,
    /// Its index; `None` when the link is missing.
    pub index: Option<u32>,
    /// What it is doing.
    pub state: InterfaceState,
    /// The link-local address advertisements are sent from.
    pub source: Option<Ipv6Addr>,
    /// The link was last known not to forward.
    pub forwarding_off: bool,
    /// The prefixes advertised now.
    pub prefixes: Vec<PrefixStatus>,
    /// The DNS servers advertised now.
    pub servers: Vec<ServerStatus>,
    /// The NAT64 prefixes advertised now.
    pub nat64_prefixes: Vec<Nat64Status>,
    /// What happened so far.
    pub counters: Counters,
    /// Since the last advertisement, multicast or unicast.
    pub last_advertisement_ago: Option<Duration>,
    /// Until the next multicast advertisement.
    pub next_advertisement_in: Option<Duration>,
    /// Link-local addresses of the other routers heard.
    pub other_routers: Vec<Ipv6Addr>,
}
