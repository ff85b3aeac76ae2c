//! The links that can be made, each with the settings that the kernel takes at its making. Names of interfaces refer to
//! links that are there or are made by the same state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Prefix;

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// An Ethernet bridge.
    Bridge(Bridge),
    /// A VLAN of an Ethernet link.
    Vlan(Vlan),
    /// A pair of links that are joined.
    Veth(Veth),
    /// A link that swallows what it is given; it can hold addresses.
    Dummy,
    /// Another MAC address on an Ethernet link.
    Macvlan(Macvlan),
    /// Several Ethernet links as one.
    Bond(Bond),
    /// A routing domain of its own.
    Vrf {
        /// Its routing table.
        table: u32,
    },
    /// IPv6 in IPv4, kernel module `sit` (RFC 4213).
    Sit(IpTunnel),
    /// IPv6 in IPv4 by an address plan, kernel module `sit` (RFC 5969).
    SixRd(SixRd),
    /// IPv4 or IPv6 in IPv6, kernel module `ip6_tunnel` (RFC 2473).
    Ip6Tunnel(Ip6Tunnel),
    /// Generic routing encapsulation over IPv4 or IPv6, kernel modules `ip_gre` and `ip6_gre` (RFC 2784, RFC 2890).
    Gre(Gre),
    /// WireGuard, kernel module `wireguard`.
    WireGuard(WireGuard),
    /// A tun device that stays while nobody holds it, for the interface `tun`.
    Tun,
}

impl Kind {
    /// The kernel's name of the kind (IFLA_INFO_KIND).
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Vlan(_) => "vlan",
            Self::Veth(_) => "veth",
            Self::Dummy => "dummy",
            Self::Macvlan(_) => "macvlan",
            Self::Bond(_) => "bond",
            Self::Vrf { .. } => "vrf",
            Self::Sit(_) | Self::SixRd(_) => "sit",
            Self::Ip6Tunnel(_) => "ip6tnl",
            Self::Gre(Gre { remote: Some(IpAddr::V6(_)), .. } | Gre { local: Some(IpAddr::V6(_)), .. }) => "ip6gre",
            Self::Gre(_) => "gre",
            Self::WireGuard(_) => "wireguard",
            Self::Tun => "tun",
        }
    }

    /// The kernel module that brings it.
    #[must_use]
    pub const fn module(&self) -> &'static str {
        module_of(self.name())
    }
}

/// The kernel module that brings a kind, by the kernel's name of the kind.
#[must_use]
pub const fn module_of(kind: &str) -> &str {
    match kind.as_bytes() {
        b"vlan" => "8021q",
        b"bond" => "bonding",
        b"ip6tnl" => "ip6_tunnel",
        b"gre" => "ip_gre",
        b"ip6gre" => "ip6_gre",
        _ => kind,
    }
}

/// See [`Kind::Bridge`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Spanning tree protocol (IEEE 802.1D).
    pub stp: bool,
    /// Frames are told apart by VLAN.
    pub vlan_filtering: bool,
    /// Seconds a port listens and learns before it forwards; none for the kernel's 15.
    pub forward_delay: Option<u32>,
    /// Multicast goes only to ports that asked for it (IGMP and MLD snooping).
    pub multicast_snooping: bool,
}

/// Tag protocol of a VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanProtocol {
    /// 802.1Q, 0x8100.
    #[default]
    Ieee8021Q,
    /// 802.1ad, 0x88a8.
    Ieee8021Ad,
}

/// See [`Kind::Vlan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// The link below.
    pub parent: String,
    /// VLAN identifier, 1 to 4094.
    pub id: u16,
    /// Tag protocol.
    pub protocol: VlanProtocol,
}

/// See [`Kind::Veth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// Name of the other end.
    pub peer: String,
}

/// What the links of one parent may send each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MacvlanMode {
    /// Nothing.
    Private,
    /// What the switch sends back.
    Vepa,
    /// Everything.
    #[default]
    Bridge,
    /// The only one, with the parent's address.
    Passthru,
}

/// See [`Kind::Macvlan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macvlan {
    /// The link below.
    pub parent: String,
    /// See the type.
    pub mode: MacvlanMode,
}

/// See [`Kind::Bond`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// 0 balance-rr, 1 active-backup, 2 balance-xor, 3 broadcast, 4 802.3ad, 5 balance-tlb, 6 balance-alb.
    pub mode: u8,
    /// Milliseconds between two looks at the carrier; none for 100.
    pub miimon: Option<u32>,
}

/// See [`Kind::Sit`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpTunnel {
    /// Our end; none lets the kernel choose at each packet.
    pub local: Option<Ipv4Addr>,
    /// The other end.
    pub remote: Option<Ipv4Addr>,
    /// Outer time to live; 0 takes the inner hop limit.
    pub ttl: u8,
    /// Outer traffic class; 1 takes the inner one.
    pub tos: u8,
    /// Sets DF and follows the path MTU (RFC 4213 section 3.2).
    pub path_mtu_discovery: bool,
}

/// See [`Kind::SixRd`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SixRd {
    /// Outer settings; `remote` is not used.
    pub tunnel: IpTunnel,
    /// The provider's 6rd prefix.
    pub prefix: Prefix,
    /// The IPv4 prefix that all ends share, whose bits are left out of the mapping; its length is IPv4MaskLen.
    pub relay_prefix: Prefix,
}

/// What an [`Ip6Tunnel`] carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tunnel6Mode {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// See [`Kind::Ip6Tunnel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip6Tunnel {
    /// Our end.
    pub local: Option<Ipv6Addr>,
    /// The other end.
    pub remote: Option<Ipv6Addr>,
    /// Outer hop limit; 0 takes the inner one.
    pub hop_limit: u8,
    /// See the type.
    pub mode: Tunnel6Mode,
    /// How often the packet may be encapsulated again (RFC 2473 section 4.1.1); none leaves the option out.
    pub encapsulation_limit: Option<u8>,
}

/// See [`Kind::Gre`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gre {
    /// Our end, of the same family as `remote`.
    pub local: Option<IpAddr>,
    /// The other end.
    pub remote: Option<IpAddr>,
    /// Outer time to live or hop limit; 0 takes the inner one.
    pub ttl: u8,
    /// Key of both directions (RFC 2890).
    pub key: Option<u32>,
}

/// See [`Kind::WireGuard`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuard {
    /// The name under which the core holds the private key; it makes one that is not there.
    pub key: String,
    /// UDP port; none lets the kernel choose.
    pub listen_port: Option<u16>,
    /// Mark of the outer packets.
    pub mark: Option<u32>,
    /// The other ends.
    pub peers: Vec<WireGuardPeer>,
}

/// One other end of a WireGuard link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuardPeer {
    /// Its public key, 32 bytes.
    pub public_key: [u8; 32],
    /// The name under which the core holds a key shared with it.
    pub preshared_key: Option<String>,
    /// Where it is; none waits for it to speak.
    pub endpoint: Option<(IpAddr, u16)>,
    /// Seconds between two signs of life; none sends none.
    pub keepalive: Option<u16>,
    /// What may come from it and goes to it.
    pub allowed_ips: Vec<Prefix>,
}
