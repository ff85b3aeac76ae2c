//! The plugin's section of router.ron as legal values.
//!
//! [`Config::parse`] is the only way to make one, so what is compiled is legal: zones and sets that are named exist,
//! ports are only asked of protocols that have them, addresses of one rule are of one family or of both on purpose.
//! Everything that the kernel may refuse later carries the [`Span`] of the words it comes from.
//!
//! Reading is in `config/read.rs` (the section), `zones.rs`, `sets.rs`, `rule.rs`, `matches.rs`, `icmp.rs`, `nat.rs` and
//! `defaults.rs`; `address.rs`, `leaf.rs` and `words.rs` read single texts, `context.rs` finds what is called by name, `called.rs` names what is not;
//! `across.rs` looks at everything together. `set_file.rs` reads the files of sets; `needs.rs`, `fragments.rs` and
//! `summary.rs` say what the section takes and means.

mod across;
mod address;
mod called;
mod context;
mod defaults;
mod fragments;
mod icmp;
mod leaf;
mod matches;
mod nat;
mod needs;
mod read;
mod rule;
mod set_file;
mod sets;
mod summary;
#[cfg(test)]
mod tests;
pub(crate) mod words;
mod zones;

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_config::{Diagnostic, Diagnostics, Document, Span};

pub use set_file::{MAX_BAD_LINES, MAX_FILE_MISTAKES, MAX_SURPLUS, SetFile, parse_set_file};
pub use summary::summary;

/// The name that stands for this machine itself where a zone is asked for.
pub const ROUTER: &str = "router";
/// Elements of one set, written out or in its file.
pub const MAX_SET_ELEMENTS: usize = 1_000_000;

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Rules,
    Input,
    Forward,
    Output,
    Prerouting,
    Chain,
    NatDestination,
    NatSource,
}

/// The whole section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// In the order of the file; an interface belongs to the first that names it.
    pub zones: Vec<Zone>,
    /// What becomes of packets between zones that no rule decides.
    pub policies: Vec<Policy>,
    /// Rules between zones, in order. They come before the policy of their pair.
    pub rules: Vec<Rule>,
    /// Rules of the three hooks, whatever the zones: input, forward, output. They come before those of zones.
    pub input: Hook,
    /// See `input`.
    pub forward: Hook,
    /// See `input`.
    pub output: Hook,
    /// Rules that see every packet that comes in, before connection tracking: what is dropped early or not tracked.
    pub prerouting: Vec<Rule>,
    /// Rules that others jump to.
    pub chains: Vec<NamedChain>,
    /// Addresses, networks, ports by name.
    pub sets: Vec<NamedSet>,
    /// Address translation, in order; the first that matches decides.
    pub nat: Vec<NatRule>,
    /// What needs no rule.
    pub defaults: Defaults,
    /// Established flows between these zones' interfaces pass by the rules.
    pub offload: Option<Offload>,
    /// Of connection tracking.
    pub conntrack: Conntrack,
    /// The core closes the router until this plugin's rules stand.
    pub guard: bool,
}

/// A part of the network, by its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Names, or the beginnings of names.
    pub interfaces: Vec<Interface>,
    /// What its hosts' addresses are within; anything else that comes from it is spoofed. Empty: by routes alone.
    pub networks: Vec<IpRange>,
    /// How sources are checked.
    pub anti_spoofing: AntiSpoofing,
    /// TCP's maximum segment size in SYNs to and from it is held to what fits the route.
    pub mss_clamp: MssClamp,
    /// Its interfaces are tunnels of 6to4 or 6rd or lead to one: embedded IPv4 addresses are checked (RFC 3964).
    pub rfc3964: bool,
    /// Of its entry.
    pub span: Span,
}

/// An interface's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface {
    /// The name, or what it begins with; 1 to 15 bytes, without the asterisk.
    pub name: String,
    /// It was written with an asterisk at the end.
    pub prefix: bool,
}

/// How sources of packets from a zone are checked, in addition to `networks`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AntiSpoofing {
    /// The route back leads out of the interface it came in by (RFC 3704 section 2.2).
    #[default]
    Strict,
    /// There is a route back (RFC 3704 section 2.4).
    Loose,
    /// Not by routes.
    Off,
}

/// See [`Zone::mss_clamp`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MssClamp {
    /// Not.
    #[default]
    Off,
    /// To the MTU of the route.
    PathMtu,
    /// To so many bytes.
    Bytes(u16),
}

/// What becomes of packets between two zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From where: zones by index, this machine, or anywhere.
    pub from: End,
    /// To where.
    pub to: End,
    /// What then.
    pub action: PolicyAction,
    /// What it decides is logged, at most `LOG_RATE`.
    pub log: Option<Log>,
    /// Of the entry.
    pub span: Span,
}

/// An end of a policy or rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Any zone, also none; as `from` and `to` of a policy this machine only where it is named.
    Any,
    /// These, as indexes of [`Config::zones`], and this machine if `router`.
    Zones {
        /// Indexes.
        zones: Vec<usize>,
        /// This machine is one of them.
        router: bool,
    },
}

/// See [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyAction {
    /// Let through.
    Accept,
    /// Without a word.
    Drop,
    /// With a word.
    Reject(Reject),
}

/// The rules of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What becomes of packets that neither a rule nor a zone's policy decides: true lets them through.
    pub accept: bool,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedChain {
    /// Its name; 1 to 64 of `[A-Za-z0-9_.-]`.
    pub name: String,
    /// In order. At the end it goes on behind the jump.
    pub rules: Vec<Rule>,
    /// Of its entry.
    pub span: Span,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What people call it; in `status`, in counters and logs.
    pub name: Option<String>,
    /// Only of [`Config::rules`].
    pub from: End,
    /// Only of [`Config::rules`].
    pub to: End,
    /// What packets it is about.
    pub matches: Matches,
    /// They are logged.
    pub log: Option<Log>,
    /// They are counted: under the rule's name, or `rule-LINE` which the parser has filled in.
    pub count: Option<String>,
    /// Packets get this mark.
    pub set_mark: Option<Masked>,
    /// Their source goes into this dynamic set, by index of [`Config::sets`].
    pub add_source_to: Option<usize>,
    /// What then.
    pub action: Action,
    /// Of the entry.
    pub span: Span,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let through.
    Accept,
    /// Without a word.
    Drop,
    /// With a word.
    Reject(Reject),
    /// The chain, by index of [`Config::chains`], and then on.
    Jump(usize),
    /// The chain, and not back.
    Goto(usize),
    /// Leave this chain.
    Return,
    /// Nothing; on with the next rule.
    Continue,
    /// TCP's maximum segment size, in SYNs.
    ClampMss(MssClamp),
    /// Connection tracking does not see them; only of [`Config::prerouting`].
    Notrack,
}

/// What a rejected sender hears. Codes that a family does not have become that of the other that means most the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// ICMP 3/3 (RFC 792), ICMPv6 1/4 (RFC 4443 section 3.1). iptables' default.
    PortUnreachable,
    /// ICMP 3/0, ICMPv6 1/0.
    NoRoute,
    /// ICMP 3/1, ICMPv6 1/3.
    HostUnreachable,
    /// ICMP 3/2; ICMPv6 1/4, having no such.
    ProtocolUnreachable,
    /// ICMP 3/9; ICMPv6 1/1.
    NetworkProhibited,
    /// ICMP 3/10; ICMPv6 1/1.
    HostProhibited,
    /// ICMP 3/13, ICMPv6 1/1.
    AdminProhibited,
    /// ICMPv6 1/5; ICMP 3/13.
    SourcePolicy,
    /// ICMPv6 1/6; ICMP 3/13.
    RejectRoute,
    /// A TCP reset; others than TCP hear AdminProhibited.
    TcpReset,
}

/// What packets a rule is about: all that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Only this one.
    pub family: Option<Family>,
    /// Interfaces they come in by.
    pub incoming: List<Interface>,
    /// Interfaces they leave by.
    pub outgoing: List<Interface>,
    /// Their source.
    pub source: List<Address>,
    /// Their destination.
    pub destination: List<Address>,
    /// Numbers of transport protocols, after IPv6's extension headers.
    pub protocol: List<u8>,
    /// Of TCP, UDP, UDP-Lite, SCTP, DCCP; the parser sees to it that `protocol` says which.
    pub source_port: List<Port>,
    /// See `source_port`.
    pub destination_port: List<Port>,
    /// Kinds of ICMP; `protocol` is then empty, the kinds say it.
    pub icmp: List<IcmpKind>,
    /// States of the connection; empty for any.
    pub states: Vec<ConnState>,
    /// The states are those that do not match.
    pub states_negated: bool,
    /// TCP's flags: of `mask`, exactly `value`.
    pub tcp_flags: Option<TcpFlags>,
    /// The packet's mark.
    pub mark: Option<Masked>,
    /// Ethernet source.
    pub source_mac: List<[u8; 6]>,
    /// Hop limit or time to live.
    pub hop_limit: Option<Compare>,
    /// Only second and later fragments (IPv4).
    pub later_fragments: bool,
    /// The connection was translated: DNAT.
    pub translated: bool,
    /// Only while the rate holds.
    pub limit: Option<Limit>,
    /// By the number of connections.
    pub connections: Option<Connections>,
}

/// Alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    /// None: anything.
    pub items: Vec<T>,
    /// None of them, rather than any.
    pub negated: bool,
    /// Where they stand.
    pub span: Span,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), negated: false, span: Span::default() }
    }
}

/// An address of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// First and last.
    Range(IpRange),
    /// A set, by index of [`Config::sets`].
    Set(usize),
    /// These bits of IPv6 addresses, as for an interface identifier of a changing prefix.
    Masked {
        /// The bits, others 0.
        value: Ipv6Addr,
        /// Which.
        mask: Ipv6Addr,
    },
    /// Any address of this machine (`Local`).
    Local,
}

/// First and last address, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IpRange {
    /// IPv4.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr, Ipv6Addr),
}

/// Ports of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// First and last.
    Range(u16, u16),
    /// A set of ports.
    Set(usize),
}

/// A kind of ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpKind {
    /// ICMPv6 or ICMP.
    pub family: Family,
    /// The type; none for any.
    pub kind: Option<u8>,
    /// The code; none for any.
    pub code: Option<u8>,
}

/// IP versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// States of connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnState {
    /// The first packets.
    New,
    /// Packets were seen both ways.
    Established,
    /// Belongs to another connection: errors, data of FTP.
    Related,
    /// Fits nothing.
    Invalid,
    /// Not looked at.
    Untracked,
}

/// See [`Matches::tcp_flags`]; bits of byte 13 of TCP's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags {
    /// Which are looked at.
    pub mask: u8,
    /// Which of them are set.
    pub value: u8,
    /// Anything but that.
    pub negated: bool,
}

/// A number of which some bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked {
    /// The bits.
    pub value: u32,
    /// Which.
    pub mask: u32,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Exactly.
    Equal(u8),
    /// Anything else.
    NotEqual(u8),
    /// Less.
    Below(u8),
    /// More.
    Above(u8),
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many packets …
    pub packets: u64,
    /// … in so many seconds: 1, 60, 3600, 86400.
    pub seconds: u64,
    /// So many at once beyond it.
    pub burst: u32,
    /// The rule is about what exceeds it.
    pub over: bool,
    /// Whose rate.
    pub per: Per,
}

/// Whose rate or number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// All packets of the rule together.
    Rule,
    /// Each source's: an IPv4 address, a /64 of IPv6.
    Source,
    /// Each destination's: an address.
    Destination,
}

/// Of connections at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// So many.
    pub count: u32,
    /// The rule is about those beyond; otherwise about those up to it.
    pub above: bool,
    /// Whose.
    pub per: Per,
}

/// How it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Before each line; at most 127 bytes.
    pub prefix: String,
    /// syslog's level, 0 to 7.
    pub level: u8,
    /// A group of nfnetlink_log instead of the kernel's log.
    pub group: Option<u16>,
    /// At most so often; none for always.
    pub rate: Option<Limit>,
}

/// What belongs together under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSet {
    /// Its name; 1 to 64 of `[A-Za-z0-9_.-]`.
    pub name: String,
    /// Of what.
    pub kind: SetKind,
    /// Written out. Addresses and networks of both families may be mixed.
    pub elements: Vec<SetElement>,
    /// Read from this file as well: one element a line, `#` begins a comment. Relative to router.ron.
    pub file: Option<String>,
    /// Elements are gone after so long; dynamic ones after their last packet. Those of a file, and with them those that are
    /// written out beside it, come back whenever the file is written; not in a dynamic set.
    pub timeout: Option<Duration>,
    /// Packets add to it ([`Rule::add_source_to`]).
    pub dynamic: bool,
    /// At most so many elements, its file's among them; what is too many at the end of a file is left out. Where none is written: 65535 of a dynamic one, otherwise
    /// [`MAX_SET_ELEMENTS`].
    pub size: u32,
    /// Of its entry.
    pub span: Span,
}

/// Of what a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    /// Addresses, networks and ranges of both families.
    Addresses,
    /// Ports and ranges.
    Ports,
}

/// An element of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetElement {
    /// Of [`SetKind::Addresses`].
    Address(IpRange),
    /// Of [`SetKind::Ports`].
    Port(u16, u16),
}

/// One rule of address translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatRule {
    /// What people call it.
    pub name: Option<String>,
    /// From where; only what translates destinations.
    pub from: End,
    /// To where; only what translates sources.
    pub to: End,
    /// What packets.
    pub matches: Matches,
    /// What then.
    pub action: NatAction,
    /// See [`Rule::count`].
    pub count: Option<String>,
    /// Of the entry.
    pub span: Span,
}

/// What address translation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatAction {
    /// The source becomes the address of the interface it leaves by.
    Masquerade {
        /// And its port one of these.
        ports: Option<(u16, u16)>,
        /// Ports are drawn at random.
        random: bool,
    },
    /// The source becomes one of these.
    SourceTo {
        /// The addresses.
        addresses: IpRange,
        /// And its port one of these.
        ports: Option<(u16, u16)>,
    },
    /// The destination becomes one of these.
    DestinationTo {
        /// The addresses.
        addresses: IpRange,
        /// And its port one of these.
        ports: Option<(u16, u16)>,
        /// Hosts of any zone reach it under the router's outer address too, also those beside it.
        hairpin: bool,
        /// What is translated is let through by the filter.
        accept: bool,
    },
    /// The destination becomes this machine.
    Redirect {
        /// At one of these ports.
        ports: Option<(u16, u16)>,
    },
    /// Prefixes of IPv6 are exchanged one for one, both ways (NPTv6; RFC 6296 with the kernel's stateful mapping).
    /// `to` says where the outer prefix belongs.
    Prefix {
        /// Ours.
        inside: (Ipv6Addr, u8),
        /// The one others see, of the same length.
        outside: (Ipv6Addr, u8),
    },
    /// None: those that follow do not apply.
    Skip,
}

/// What needs no rule. `Defaults::default()` is a gateway's; an import switches all off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the file")]
pub struct Defaults {
    /// Packets of known connections pass, those that fit none are dropped, before all rules (RFC 6092 section 3).
    pub stateful: bool,
    /// What comes over the loopback interface passes; its addresses from elsewhere are dropped.
    pub loopback: bool,
    /// ICMPv6 that has to pass does (RFC 4890 section 4), what must not is dropped; ICMP likewise.
    pub rfc4890: bool,
    /// From outside to inside pass IPsec, HIP and Mobile IPv6 (RFC 6092 section 3.2.4) where no rule and no policy decides:
    /// between zones of which the other one's policy is `Accept`.
    pub rfc6092: bool,
    /// Echo requests are answered, and those of IPv6 pass from outside to inside, where no rule and no policy decides.
    pub ping: bool,
    /// This machine's own DHCP and DHCPv6 clients hear answers.
    pub dhcp_client: bool,
    /// The most that is logged for all that has no rate of its own.
    pub log_rate: Limit,
}

/// See [`Config::offload`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Zones by index.
    pub zones: Vec<usize>,
    /// The network cards do it.
    pub hardware: bool,
    /// Of the field.
    pub span: Span,
}

/// Parameters below net/netfilter; none is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// `nf_conntrack_max`.
    pub max: Option<u32>,
    /// `nf_conntrack_tcp_loose`.
    pub tcp_loose: Option<bool>,
    /// `nf_conntrack_tcp_be_liberal`.
    pub tcp_liberal: Option<bool>,
    /// `nf_conntrack_acct`.
    pub accounting: Option<bool>,
    /// Timeouts: the parameter's name without `nf_conntrack_`, such as `tcp_timeout_established`, and how long.
    pub timeouts: Vec<(String, Duration)>,
    /// Of the field.
    pub span: Span,
}

impl Config {
    /// Reads the text of the section. Gives the configuration and its warnings.
    ///
    /// # Errors
    /// Every mistake of the section in the order of the text, warnings among them; spans count bytes of `section`.
    pub fn parse(section: &str) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut diagnostics = Diagnostics::new();
        let document = Document::read(section, &mut diagnostics);
        let config = document.and_then(|document| read::section(section, document.root(), &mut diagnostics));
        let failed = diagnostics.has_errors();
        match config {
            Some(config) if !failed => Ok((config, diagnostics.into_vec())),
            _ => Err(diagnostics.into_vec()),
        }
    }
}

impl IpRange {
    /// Its family.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::V4(..) => Family::V4,
            Self::V6(..) => Family::V6,
        }
    }

    /// One address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address, address),
            IpAddr::V6(address) => Self::V6(address, address),
        }
    }

    /// The only address.
    #[must_use]
    pub fn single(&self) -> Option<IpAddr> {
        match *self {
            Self::V4(first, last) => (first == last).then_some(IpAddr::V4(first)),
            Self::V6(first, last) => (first == last).then_some(IpAddr::V6(first)),
        }
    }
}
