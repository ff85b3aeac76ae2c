//! What can be asked for ([`Need`]), and what is about to be done ([`Access`]).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use portreeve_config::{NamePattern, Pattern};
use portreeve_network::Prefix;

use super::need_to_text;

/// Kinds of facts between plugins, as `wit/facts.wit` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub enum FactKind {
    /// A prefix delegated to this router.
    DelegatedPrefix,
    /// A NAT64 prefix in use.
    Nat64Prefix,
    /// A DNS resolver for this router's clients.
    DnsServer,
    /// A DNS search domain.
    SearchDomain,
    /// A tunnel's state.
    Tunnel,
    /// A third party's.
    Custom,
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// One thing that is asked for or allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// See these interfaces and what belongs to them.
    Links(Pattern),
    /// ICMPv6 on these interfaces.
    Icmpv6 {
        /// Which interfaces.
        interfaces: Pattern,
        /// Message types that may be received.
        receive: BTreeSet<u8>,
        /// Message types that may be sent.
        send: BTreeSet<u8>,
    },
    /// Publish facts of a kind.
    Publish(FactKind),
    /// Follow facts of a kind.
    Watch(FactKind),
    /// Keep so many bytes, names and values together.
    Storage {
        /// Bytes that last until the machine stops.
        volatile: u32,
        /// Bytes that last over power cuts.
        flash: u32,
    },
    /// Change these interfaces, and what belongs to them.
    Configure(Pattern),
    /// Make and remove links.
    Create {
        /// Under which names.
        interfaces: Pattern,
        /// Of which kinds, as the kernel names them.
        kinds: BTreeSet<String>,
    },
    /// Routes to destinations within this prefix.
    Route(Prefix),
    /// Routes in these tables, and rules that lead to them; 0: rules that lead to none.
    Tables {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
    },
    /// Parameters of no single interface, below `net`, with slashes.
    Sysctl(NamePattern),
    /// Have this kernel module loaded.
    Module(NamePattern),
    /// Exchange packets with the kernel through these tun devices.
    Tun(Pattern),
    /// Raw IPv4 packets.
    Ipv4 {
        /// Of which protocol.
        protocol: u8,
        /// With whom.
        remotes: Prefix,
    },
    /// Ask for the addresses of these host names.
    Resolve(NamePattern),
    /// Use these keys.
    Key(NamePattern),
    /// Raw netlink.
    Netlink {
        /// Of which family.
        family: u8,
        /// Message types that may be sent; 0: listening to multicast groups.
        send: BTreeSet<u16>,
    },
    /// Listen.
    Listen {
        /// For what.
        transport: Transport,
        /// On which interfaces.
        interfaces: Pattern,
        /// At which port; 0 for any.
        port: u16,
    },
    /// Talk to peers.
    Connect {
        /// How.
        transport: Transport,
        /// Their addresses.
        remotes: Prefix,
        /// Their port; 0 for any.
        port: u16,
    },
    /// Have packets from this IPv4 prefix leave with the address of the interface they leave by.
    Masquerade(Prefix),
    /// Have these tables of nf_tables: family, a slash, and the name.
    NfTables(NamePattern),
    /// See the connections that the kernel tracks.
    Conntrack,
    /// Read these files.
    Read(NamePattern),
    /// Have the router closed until the plugin is ready.
    Guard,
}

impl Need {
    /// To talk to these. IPv4 addresses in the clothes of IPv6 (within ::ffff:0:0/96) are IPv4, as the kernel takes them.
    #[must_use]
    pub const fn connect(transport: Transport, remotes: Prefix, port: u16) -> Self {
        const MAPPED: u8 = 96;
        let remotes = match remotes.address {
            IpAddr::V6(address) if remotes.length >= MAPPED => match address.to_ipv4_mapped() {
                Some(address) => Prefix { address: IpAddr::V4(address), length: remotes.length - MAPPED },
                None => remotes,
            },
            _ => remotes,
        };
        Self::Connect { transport, remotes, port }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&need_to_text(self))
    }
}

/// One concrete thing a plugin is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// Look at links at all.
    AnyLink,
    /// Look at this interface.
    Link(&'a str),
    /// Look at what belongs to no interface: needs all of them.
    EveryLink,
    /// Receive ICMPv6 of this type on this interface.
    Icmpv6Receive(&'a str, u8),
    /// Send ICMPv6 of this type there.
    Icmpv6Send(&'a str, u8),
    /// Have an ICMPv6 socket there, for whatever type.
    Icmpv6(&'a str),
    /// Publish a fact of this kind.
    Publish(FactKind),
    /// Follow facts of this kind.
    Watch(FactKind),
    /// Keep this many bytes in volatile storage.
    Volatile(usize),
    /// Keep this many bytes on flash.
    Flash(usize),
    /// Change this interface.
    Configure(&'a str),
    /// Make or remove this link of this kind.
    Create(&'a str, &'a str),
    /// Make links of this kind, whatever their names.
    CreateKind(&'a str),
    /// Have a route to this prefix.
    Route(Prefix),
    /// Have routes in this table, or a rule that leads to it.
    Table(u32),
    /// Set this parameter.
    Sysctl(&'a str),
    /// Have this module loaded.
    Module(&'a str),
    /// Hold this tun device.
    Tun(&'a str),
    /// Exchange packets of this protocol with everybody in this prefix.
    Ipv4(u8, Prefix),
    /// Have a socket of this protocol, for whatever peer.
    AnyIpv4(u8),
    /// Ask for this host name.
    Resolve(&'a str),
    /// Use this key.
    Key(&'a str),
    /// Have a netlink socket of this family.
    Netlink(u8),
    /// Send a message of this type there.
    NetlinkSend(u8, u16),
    /// Listen on this interface, at this port.
    Listen(Transport, &'a str, u16),
    /// Talk to this address, at this port.
    Connect(Transport, IpAddr, u16),
    /// Have packets of this prefix masqueraded.
    Masquerade(Prefix),
    /// Read or change this table of nf_tables.
    NfTable(&'a str),
    /// Read or follow some tables of nf_tables.
    AnyNfTable,
    /// See the connections that are tracked.
    Conntrack,
    /// Read this file.
    Read(&'a str),
    /// Have the router closed for a while.
    Guard,
}

impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyLink => f.write_str("see links"),
            Self::Link(name) => write!(f, "see link {name}"),
            Self::EveryLink => f.write_str("see what belongs to no link"),
            Self::Icmpv6Receive(name, kind) => write!(f, "receive ICMPv6 type {kind} on {name}"),
            Self::Icmpv6Send(name, kind) => write!(f, "send ICMPv6 type {kind} on {name}"),
            Self::Icmpv6(name) => write!(f, "open an ICMPv6 socket on {name}"),
            Self::Publish(kind) => write!(f, "publish facts of kind {kind:?}"),
            Self::Watch(kind) => write!(f, "follow facts of kind {kind:?}"),
            Self::Volatile(bytes) => write!(f, "keep {bytes} bytes in volatile storage"),
            Self::Flash(bytes) => write!(f, "keep {bytes} bytes on flash"),
            Self::Configure(name) => write!(f, "change interface {name}"),
            Self::Create(name, kind) => write!(f, "make link {name} of kind {kind}"),
            Self::CreateKind(kind) => write!(f, "make links of kind {kind}"),
            Self::Route(prefix) => write!(f, "have a route to {prefix}"),
            Self::Table(table) => write!(f, "use routing table {table}"),
            Self::Sysctl(name) => write!(f, "set net/{name}"),
            Self::Module(name) => write!(f, "load kernel module {name}"),
            Self::Tun(name) => write!(f, "hold tun device {name}"),
            Self::Ipv4(protocol, remotes) => write!(f, "exchange IPv4 protocol {protocol} with {remotes}"),
            Self::AnyIpv4(protocol) => write!(f, "open a socket of IPv4 protocol {protocol}"),
            Self::Resolve(name) => write!(f, "resolve {name}"),
            Self::Key(name) => write!(f, "use key {name}"),
            Self::Netlink(family) => write!(f, "open a netlink socket of family {family}"),
            Self::Listen(transport, name, port) => write!(f, "listen on {name}, {transport} port {port}"),
            Self::Connect(transport, remote, port) => write!(f, "talk {transport} to {remote}, port {port}"),
            Self::Masquerade(source) => write!(f, "masquerade packets from {source}"),
            Self::NfTable(table) => write!(f, "use the table {table} of nf_tables"),
            Self::AnyNfTable => f.write_str("use nf_tables"),
            Self::Conntrack => f.write_str("see tracked connections"),
            Self::Read(path) => write!(f, "read the file {path}"),
            Self::Guard => f.write_str("have the router closed"),
            Self::NetlinkSend(family, kind) => write!(f, "send netlink messages of family {family}, type {kind}"),
        }
    }
}
