//! What the section comes to: chains, rules, sets and maps, as the kernel will have them, in words of our own.
//!
//! The contract between `compile` (which makes it), `install` (which makes netlink messages of it) and `trace` (which
//! asks it what becomes of a packet). Everything has the place in the section it comes from. Rules are lists of
//! statements, evaluated from left to right: one that does not hold ends the rule.
//!
//! Keys are bytes as they stand in the packet (network order); names of interfaces are 16 bytes, padded with zeros. A key
//! of several selectors is their values one after the other, each padded with zeros to 4 bytes.

use core::time::Duration;
use std::net::IpAddr;

use portreeve_config::Span;

use crate::config::{Family, Masked, Reject};

/// Index of [`Ruleset::chains`].
pub type ChainId = usize;
/// Index of [`Ruleset::sets`].
pub type SetId = usize;
/// Index of [`Ruleset::counters`].
pub type CounterId = usize;

/// One table of the family inet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Counters that outlive a reload, by name.
    pub counters: Vec<String>,
    /// Sets and verdict maps.
    pub sets: Vec<Set>,
    /// Base chains first.
    pub chains: Vec<Chain>,
    /// Flows that pass by the rules.
    pub flowtable: Option<Flowtable>,
}

/// A set, or a map from keys to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name in the kernel. Of those that the operator named: `NAME-4`, `NAME-6`, `NAME-port`.
    pub name: String,
    /// What its keys are made of.
    pub key: Vec<KeyType>,
    /// A map to verdicts; then `elements` are [`Elements::Verdicts`].
    pub map: bool,
    /// Ranges: `elements` may be [`Elements::Ranges`], or verdicts with a `last`.
    pub interval: bool,
    /// Rules add to it, and what they added outlives a reload; `elements` are empty or what is there from the start.
    pub dynamic: bool,
    /// Elements of it hold a limit or a count of connections of their own.
    pub stateful: bool,
    /// Of each element.
    pub timeout: Option<Duration>,
    /// When the file that it is filled from was read, in nanoseconds, if its elements time out; 0 of all others. With another
    /// time it is another set, which is filled anew.
    pub filled_at: u64,
    /// Most elements, for dynamic ones and those with a size; 0 for none.
    pub size: u32,
    /// What is in it.
    pub elements: Elements,
    /// The operator named it: `status` shows it.
    pub named: Option<String>,
    /// Where it comes from.
    pub span: Span,
}

/// What a key is made of, by the type that nft knows it as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 4 bytes.
    Ipv4,
    /// 16 bytes.
    Ipv6,
    /// The first 8 bytes of an IPv6 address.
    Ipv6Network,
    /// 6 bytes.
    Ether,
    /// 1 byte: a transport protocol's number.
    Protocol,
    /// 2 bytes.
    Port,
    /// 16 bytes.
    Interface,
    /// 1 byte: type of ICMP.
    IcmpType,
    /// 1 byte: type of ICMPv6.
    Icmpv6Type,
    /// 1 byte: code.
    IcmpCode,
    /// 4 bytes, in the host's order in the kernel; here big-endian.
    Mark,
    /// 4 bytes, in the host's order in the kernel; here big-endian: bits of conntrack's states.
    CtState,
}

/// Contents of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Keys one after the other.
    Points(Vec<u8>),
    /// First and last of ranges, alternating; sorted, disjoint.
    Ranges(Vec<u8>),
    /// Keys and what they lead to.
    Verdicts(Vec<Entry>),
}

/// An element of a verdict map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, or the first of a range.
    pub key: Vec<u8>,
    /// The last of a range.
    pub last: Option<Vec<u8>>,
    /// What it leads to.
    pub verdict: Verdict,
    /// Where it comes from.
    pub span: Span,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where packets enter it; none for those that are jumped to.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Rule>,
    /// Where it comes from.
    pub span: Span,
}

/// Where packets enter a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The hook.
    pub hook: HookPoint,
    /// What for.
    pub kind: ChainKind,
    /// Lower is earlier.
    pub priority: i32,
    /// What becomes of what comes to its end.
    pub accept: bool,
}

/// Hooks of netfilter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// Before the route is known.
    Prerouting,
    /// For this machine.
    Input,
    /// Through this machine.
    Forward,
    /// From this machine.
    Output,
    /// Before it leaves.
    Postrouting,
}

/// Types of base chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// Ordinary.
    Filter,
    /// Address translation.
    Nat,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// From left to right.
    pub statements: Vec<Statement>,
    /// What it is, for `status` and `trace`: the rule's name, or what default it is part of.
    pub label: Label,
    /// Where it comes from.
    pub span: Span,
}

/// What a rule is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// A rule of the section, by its name.
    Named(String),
    /// A rule of the section without one: its place is enough.
    Section,
    /// Part of a default: a constant text such as "RFC 4890: packet too big".
    Default(&'static str),
}

/// What a rule asks or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Holds if the selector's value passes the test. Never holds of a packet without such a field.
    Match(Selector, Test),
    /// Holds if the value is in the set, or if it is not.
    Lookup {
        /// Of these, concatenated.
        key: Vec<Selector>,
        /// Where.
        set: SetId,
        /// Holds if it is not there.
        invert: bool,
    },
    /// The verdict that the map has for the value; without one the rule ends. Always the last statement.
    VerdictMap {
        /// Of these, concatenated.
        key: Vec<Selector>,
        /// Where.
        map: SetId,
    },
    /// Holds within the rate (or beyond it).
    Limit(Rate),
    /// The same for each value of the key: elements of a dynamic, stateful set.
    LimitEach {
        /// Whose.
        key: Vec<Selector>,
        /// Where they are kept.
        set: SetId,
        /// The rate.
        rate: Rate,
    },
    /// Holds of connections beyond (or up to) so many at a time for each value of the key. Only sees new ones.
    ConnectionsEach {
        /// Whose.
        key: Vec<Selector>,
        /// Where they are kept.
        set: SetId,
        /// So many.
        count: u32,
        /// Beyond.
        above: bool,
    },
    /// The same for all together.
    Connections {
        /// So many.
        count: u32,
        /// Beyond.
        above: bool,
    },
    /// Puts the value into a dynamic set.
    AddTo {
        /// What.
        key: Vec<Selector>,
        /// Where.
        set: SetId,
    },
    /// Counts.
    Count(CounterId),
    /// Logs.
    Log {
        /// Before each line.
        prefix: String,
        /// syslog's level.
        level: u8,
        /// nfnetlink_log's group.
        group: Option<u16>,
    },
    /// Sets bits of the mark.
    SetMark(Masked),
    /// Not for connection tracking.
    Notrack,
    /// Has the kernel put fragments together before any rule sees them, wherever this stands. Where no packet comes.
    Defragment,
    /// From now on by the flowtable.
    Offload,
    /// The maximum segment size of a SYN: to the route's MTU, or to so many bytes; never raised.
    ClampMss(Option<u16>),
    /// Source or destination become others. Ends the evaluation of the hook's nat chains.
    Nat(NatTo),
    /// Ends it with an error to the sender.
    Reject(RejectWith),
    /// Ends the rule.
    Verdict(Verdict),
}

/// What packets have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// 16 bytes.
    InputInterface,
    /// 16 bytes.
    OutputInterface,
    /// 1 byte: 2 (NFPROTO_IPV4) or 10 (NFPROTO_IPV6).
    Family,
    /// 1 byte: the transport protocol, after extension headers.
    Protocol,
    /// 4 bytes. Only after `Family` was matched, like all that follow of one family.
    Source4,
    /// 4 bytes.
    Destination4,
    /// 16 bytes.
    Source6,
    /// 16 bytes.
    Destination6,
    /// The first 8 bytes of it.
    Source6Network,
    /// Bytes 2 to 5 of it: the IPv4 address in one of 6to4 (RFC 3056 section 2).
    Source6Embedded4,
    /// See `Source6Embedded4`.
    Destination6Embedded4,
    /// 2 bytes. Only after `Protocol` was matched, like all that follow of one protocol.
    SourcePort,
    /// 2 bytes.
    DestinationPort,
    /// 1 byte.
    IcmpType,
    /// 1 byte.
    IcmpCode,
    /// 1 byte.
    TcpFlags,
    /// 1 byte: IPv4.
    TimeToLive,
    /// 1 byte: IPv6.
    HopLimit,
    /// 2 bytes of flags and offset: IPv4.
    FragmentOffset,
    /// 6 bytes.
    SourceMac,
    /// 4 bytes, big-endian here: bits of [`ct`].
    CtState,
    /// 4 bytes, big-endian here: IPS_* bits.
    CtStatus,
    /// 4 bytes, big-endian here.
    Mark,
    /// 4 bytes, big-endian here: RTN_* of the destination's route.
    DestinationType,
    /// The same, asking only of the interface it came in by.
    DestinationTypeHere,
    /// 4 bytes, big-endian here: RTN_* of the source as if it were a destination (2, RTN_LOCAL: this machine's own).
    SourceType,
    /// 1 byte: 1 if the route to the source leads out of the interface it came in by, else 0.
    SourceRoutesBack,
    /// 1 byte: 1 if there is a route to the source.
    SourceHasRoute,
}

/// Bits of conntrack's states (linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_BIT).
pub mod ct {
    /// Fits nothing.
    pub const INVALID: u32 = 1;
    /// Packets were seen both ways.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to another connection.
    pub const RELATED: u32 = 4;
    /// The first packets.
    pub const NEW: u32 = 8;
    /// Not looked at.
    pub const UNTRACKED: u32 = 64;
    /// IPS_DST_NAT, a bit of the status.
    pub const STATUS_DNAT: u32 = 32;
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is this.
    Equal(Vec<u8>),
    /// It is something else.
    NotEqual(Vec<u8>),
    /// It begins with this (interfaces).
    Prefix(Vec<u8>),
    /// It does not begin with this.
    NotPrefix(Vec<u8>),
    /// From first to last.
    Range(Vec<u8>, Vec<u8>),
    /// Outside of it.
    NotRange(Vec<u8>, Vec<u8>),
    /// Of these bits, exactly these.
    Masked {
        /// Which.
        mask: Vec<u8>,
        /// What.
        value: Vec<u8>,
        /// Anything but that.
        invert: bool,
    },
    /// One of these bits is set.
    Any(Vec<u8>),
    /// None of these bits is set.
    None(Vec<u8>),
    /// Less than.
    Below(Vec<u8>),
    /// More than.
    Above(Vec<u8>),
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This hook lets it through; other base chains may still not.
    Accept,
    /// It is gone.
    Drop,
    /// Into a chain and back.
    Jump(ChainId),
    /// Into a chain, not back.
    Goto(ChainId),
    /// Back.
    Return,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many packets …
    pub packets: u64,
    /// … in so many seconds.
    pub seconds: u64,
    /// So many at once beyond it.
    pub burst: u32,
    /// Holds beyond the rate.
    pub over: bool,
}

/// What a sender hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectWith {
    /// The ICMP error of the family; the rule need not match one.
    Icmp(Reject),
    /// A TCP reset; the rule has matched TCP.
    TcpReset,
}

/// What an address becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatTo {
    /// The address of the interface it leaves by.
    Masquerade {
        /// First and last port.
        ports: Option<(u16, u16)>,
        /// At random.
        random: bool,
    },
    /// The source one of these.
    Source {
        /// First and last.
        addresses: (IpAddr, IpAddr),
        /// First and last.
        ports: Option<(u16, u16)>,
    },
    /// The destination one of these.
    Destination {
        /// First and last.
        addresses: (IpAddr, IpAddr),
        /// First and last.
        ports: Option<(u16, u16)>,
    },
    /// This machine.
    Redirect {
        /// First and last.
        ports: Option<(u16, u16)>,
    },
    /// The first bits of the source.
    SourcePrefix {
        /// Of the new one.
        first: IpAddr,
        /// Of the new one.
        last: IpAddr,
    },
    /// The first bits of the destination.
    DestinationPrefix {
        /// Of the new one.
        first: IpAddr,
        /// Of the new one.
        last: IpAddr,
    },
    /// None, and no other.
    Nothing,
}

/// Of a flowtable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flowtable {
    /// Interfaces that are there.
    pub devices: Vec<String>,
    /// By the network card.
    pub hardware: bool,
    /// Where it comes from.
    pub span: Span,
}

impl Set {
    /// How many elements it comes with.
    #[must_use]
    pub fn len(&self) -> usize {
        let width: usize = match self.key.as_slice() {
            [single] => single.width(),
            several => several.iter().map(|part| part.width().next_multiple_of(4)).sum(),
        };
        match &self.elements {
            Elements::Points(keys) => keys.len().checked_div(width).unwrap_or(0),
            Elements::Ranges(keys) => keys.len().checked_div(width.saturating_mul(2)).unwrap_or(0),
            Elements::Verdicts(entries) => entries.len(),
        }
    }

    /// Whether it comes without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl KeyType {
    /// Bytes of a value.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Protocol | Self::IcmpType | Self::Icmpv6Type | Self::IcmpCode => 1,
            Self::Port => 2,
            Self::Ipv4 | Self::Mark | Self::CtState => 4,
            Self::Ether => 6,
            Self::Ipv6Network => 8,
            Self::Ipv6 | Self::Interface => 16,
        }
    }
}

impl Selector {
    /// The type of its values, where they can be keys.
    #[must_use]
    pub const fn key_type(self, family: Option<Family>) -> Option<KeyType> {
        Some(match self {
            Self::InputInterface | Self::OutputInterface => KeyType::Interface,
            Self::Protocol => KeyType::Protocol,
            Self::Source4 | Self::Destination4 | Self::Source6Embedded4 | Self::Destination6Embedded4 => KeyType::Ipv4,
            Self::Source6 | Self::Destination6 => KeyType::Ipv6,
            Self::Source6Network => KeyType::Ipv6Network,
            Self::SourcePort | Self::DestinationPort => KeyType::Port,
            Self::IcmpType => match family {
                Some(Family::V6) => KeyType::Icmpv6Type,
                _ => KeyType::IcmpType,
            },
            Self::IcmpCode => KeyType::IcmpCode,
            Self::SourceMac => KeyType::Ether,
            Self::CtState => KeyType::CtState,
            Self::Mark => KeyType::Mark,
            _ => return None,
        })
    }
}
