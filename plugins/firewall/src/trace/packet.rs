//! A packet as the rules see it: what each selector gives for it.
//!
//! One packet crosses several hooks, and not every hook knows the same of it: before routing there is no output
//! interface, before connection tracking no connection. [`Packet::field`] gives all there is; the walk asks through
//! [`Seen`], which leaves out what its hook does not have. As in the kernel, an interface that is not there has an empty
//! name (16 zero bytes), so that "not lan0" holds of it.

use std::net::{IpAddr, Ipv4Addr};

use crate::config::Family;
use crate::config::words::WITH_PORTS;
use crate::ruleset::{HookPoint, Selector, ct};

/// Bytes of an interface's name, padded (IFNAMSIZ).
const NAME: usize = 16;
/// Protocol numbers (IANA).
pub mod protocol {
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4443.
    pub const ICMPV6: u8 = 58;
}
/// The 13 bits of the fragment offset (RFC 791 section 3.1).
const OFFSET_BITS: u16 = 0x1fff;
/// RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST (linux/rtnetlink.h).
const UNICAST: u32 = 1;
const LOCAL: u32 = 2;
const BROADCAST: u32 = 3;
const MULTICAST: u32 = 5;

/// The way it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// In by one interface, out by another: prerouting, forward, postrouting.
    Through,
    /// For this machine: prerouting, input.
    ToRouter,
    /// From this machine: output, postrouting.
    FromRouter,
}

/// A packet and what is known of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its way.
    pub path: Path,
    /// The interface it came in by.
    pub input: Option<String>,
    /// The interface it leaves by.
    pub output: Option<String>,
    /// Its family is the packet's.
    pub source: IpAddr,
    /// A destination of the other family than the source is none.
    pub destination: IpAddr,
    /// The transport protocol, after extension headers.
    pub protocol: u8,
    /// Only asked of protocols with ports, and not of later fragments. (Where nothing puts fragments together, the kernel
    /// compares whatever bytes a later fragment has there; connection tracking does put them together.)
    pub source_port: Option<u16>,
    /// See `source_port`.
    pub destination_port: Option<u16>,
    /// Type and code, of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// Byte 13 of TCP's header.
    pub tcp_flags: Option<u8>,
    /// Hop limit or time to live.
    pub hop_limit: u8,
    /// IPv4's flags and fragment offset.
    pub fragment: u16,
    /// Ethernet source, where it came in by Ethernet.
    pub source_mac: Option<[u8; 6]>,
    /// What connection tracking will say of it: one of [`ct`]'s bits.
    pub ct_state: u32,
    /// IPS_* bits of its connection.
    pub ct_status: u32,
    /// Its mark.
    pub mark: u32,
    /// What the packet itself does not say.
    pub assume: Assumptions,
}

/// What is taken for granted of routes and sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumptions {
    /// The route to the source leads out of the interface it came in by.
    pub source_routes_back: bool,
    /// There is a route to the source.
    pub source_has_route: bool,
    /// The destination, as the packet comes in, is an address of this machine; none: as its path says.
    pub destination_is_local: Option<bool>,
    /// Dynamic sets, by the operator's names, that have its source.
    pub member_of: Vec<String>,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { source_routes_back: true, source_has_route: true, destination_is_local: None, member_of: Vec::new() }
    }
}

impl Packet {
    /// A new connection's packet, without ports.
    #[must_use]
    pub fn new(path: Path, source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self {
            path,
            input: None,
            output: None,
            source,
            destination,
            protocol,
            source_port: None,
            destination_port: None,
            icmp: None,
            tcp_flags: None,
            hop_limit: 64,
            fragment: 0,
            source_mac: None,
            ct_state: ct::NEW,
            ct_status: 0,
            mark: 0,
            assume: Assumptions::default(),
        }
    }

    /// Of its source.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.source {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The selector's value, as in the packet; none where it has no such field.
    #[must_use]
    pub fn field(&self, selector: Selector) -> Option<Vec<u8>> {
        let family = self.family();
        Some(match selector {
            Selector::InputInterface => interface(self.input.as_deref()),
            Selector::OutputInterface => interface(self.output.as_deref()),
            Selector::Family => vec![match family {
                Family::V4 => 2,
                Family::V6 => 10,
            }],
            Selector::Protocol => vec![self.protocol],
            Selector::Source4 => v4(self.source)?.to_vec(),
            Selector::Destination4 => v4(self.destination)?.to_vec(),
            Selector::Source6 => v6(self.source)?.to_vec(),
            Selector::Destination6 => v6(self.destination)?.to_vec(),
            Selector::Source6Network => v6(self.source)?.get(..8)?.to_vec(),
            Selector::Source6Embedded4 => v6(self.source)?.get(2..6)?.to_vec(),
            Selector::Destination6Embedded4 => v6(self.destination)?.get(2..6)?.to_vec(),
            Selector::SourcePort => self.port(self.source_port)?.to_be_bytes().to_vec(),
            Selector::DestinationPort => self.port(self.destination_port)?.to_be_bytes().to_vec(),
            Selector::IcmpType => vec![self.message()?.0],
            Selector::IcmpCode => vec![self.message()?.1],
            Selector::TcpFlags if self.protocol == protocol::TCP && !self.is_later_fragment() => vec![self.tcp_flags?],
            Selector::TcpFlags => return None,
            Selector::TimeToLive => vec![(family == Family::V4).then_some(self.hop_limit)?],
            Selector::HopLimit => vec![(family == Family::V6).then_some(self.hop_limit)?],
            Selector::FragmentOffset => (family == Family::V4).then_some(self.fragment)?.to_be_bytes().to_vec(),
            Selector::SourceMac => self.source_mac?.to_vec(),
            Selector::CtState => self.ct_state.to_be_bytes().to_vec(),
            Selector::CtStatus => self.is_tracked().then_some(self.ct_status)?.to_be_bytes().to_vec(),
            Selector::Mark => self.mark.to_be_bytes().to_vec(),
            Selector::DestinationType | Selector::DestinationTypeHere => self.route_type().to_be_bytes().to_vec(),
            Selector::SourceType => {
                let is_local = self.path == Path::FromRouter || self.source.is_loopback();
                if is_local { LOCAL } else { UNICAST }.to_be_bytes().to_vec()
            }
            Selector::SourceRoutesBack => vec![u8::from(self.assume.source_routes_back)],
            Selector::SourceHasRoute => vec![u8::from(self.assume.source_has_route || self.assume.source_routes_back)],
        })
    }

    /// It has a connection.
    pub(super) const fn is_tracked(&self) -> bool {
        self.ct_state & (ct::INVALID | ct::UNTRACKED) == 0
    }

    /// IPv4's second and later fragments have no transport header.
    const fn is_later_fragment(&self) -> bool {
        matches!(self.source, IpAddr::V4(_)) && self.fragment & OFFSET_BITS != 0
    }

    fn port(&self, port: Option<u16>) -> Option<u16> {
        port.filter(|_| has_ports(self.protocol) && !self.is_later_fragment())
    }

    fn message(&self) -> Option<(u8, u8)> {
        let is_icmp = match self.family() {
            Family::V4 => self.protocol == protocol::ICMP,
            Family::V6 => self.protocol == protocol::ICMPV6,
        };
        self.icmp.filter(|_| is_icmp && !self.is_later_fragment())
    }

    fn route_type(&self) -> u32 {
        let multicast = match self.destination {
            IpAddr::V4(address) if address == Ipv4Addr::BROADCAST => return BROADCAST,
            IpAddr::V4(address) => address.is_multicast(),
            IpAddr::V6(address) => address.is_multicast(),
        };
        match self.assume.destination_is_local {
            _ if multicast => MULTICAST,
            Some(true) => LOCAL,
            None if self.path == Path::ToRouter || self.destination.is_loopback() => LOCAL,
            _ => UNICAST,
        }
    }
}

/// These have ports as the first four bytes of their header.
pub(super) fn has_ports(number: u8) -> bool {
    WITH_PORTS.contains(&number)
}

/// A packet at a hook.
pub(super) struct Seen<'a> {
    pub packet: &'a Packet,
    pub hook: HookPoint,
    /// Connection tracking has looked at it, or was told not to.
    pub tracked: bool,
}

impl Seen<'_> {
    /// See [`Packet::field`].
    pub fn field(&self, selector: Selector) -> Option<Vec<u8>> {
        let nothing = || Some(interface(None));
        match (selector, self.hook) {
            (Selector::InputInterface, HookPoint::Output) => nothing(),
            (Selector::OutputInterface, HookPoint::Prerouting | HookPoint::Input) => nothing(),
            (Selector::SourceMac, HookPoint::Output | HookPoint::Postrouting) => None,
            (Selector::CtState, _) if !self.tracked => Some(ct::INVALID.to_be_bytes().to_vec()),
            (Selector::CtStatus, _) if !self.tracked => None,
            _ => self.packet.field(selector),
        }
    }
}

fn interface(name: Option<&str>) -> Vec<u8> {
    let mut bytes: Vec<u8> = name.unwrap_or_default().bytes().take(NAME - 1).collect();
    bytes.resize(NAME, 0);
    bytes
}

const fn v4(address: IpAddr) -> Option<[u8; 4]> {
    match address {
        IpAddr::V4(address) => Some(address.octets()),
        IpAddr::V6(_) => None,
    }
}

const fn v6(address: IpAddr) -> Option<[u8; 16]> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address.octets()),
    }
}
