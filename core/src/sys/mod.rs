//! The kernel, as far as the core uses it: one small trait, Linux behind it, a fake beside it.
//!
//! What plugins reach goes through [`Kernel`]; what concerns our own process (clocks, randomness, limits) is called in
//! `linux::process` as it is. `linux` is the only place that makes system calls and the only one with `unsafe` (besides `precompiled`, which trusts machine code that carries our own MAC). The fake has
//! links that a test sets and packets that a test exchanges, so that the host interfaces run without rights.

pub mod fake;
pub mod frames;
pub mod inet;
pub mod links;
pub mod linux;
pub mod netfilter;
pub mod network;
pub mod precompiled;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;

pub use inet::{TcpAccept, TcpConnection, UDP_HEADER, UdpHeader, UdpSent, UdpSocket};
pub use links::{Address, Link, LinkTable, Neighbour, Route};
pub use netfilter::{NfTables, Refused};

/// A future that can be handed around.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the core asks of a kernel.
pub trait Kernel: Send + Sync {
    /// The links and addresses, kept up to date. The receiver sees the latest table; tables in between may
    /// be skipped.
    fn links(&self) -> watch::Receiver<Arc<LinkTable>>;

    /// The routes of the main table, both families.
    fn routes(&self) -> BoxFuture<'static, io::Result<Vec<Route>>>;

    /// The neighbours, both families.
    fn neighbours(&self) -> BoxFuture<'static, io::Result<Vec<Neighbour>>>;

    /// A raw ICMPv6 socket on one interface that receives only the types in `receive`. Must be called where
    /// it will be used: the socket belongs to the calling thread's reactor.
    ///
    /// # Errors
    /// The kernel's: EPERM, ENODEV, EAFNOSUPPORT, EMFILE …
    fn open_icmpv6(&self, index: u32, receive: &[u8]) -> io::Result<Arc<dyn Icmpv6Socket>>;

    /// What there is, for reconciling.
    fn found(&self) -> BoxFuture<'static, io::Result<network::Found>>;

    /// Carries changes out in their order; the answers stand in the same order.
    fn change(&self, changes: Vec<network::Change>) -> BoxFuture<'static, io::Result<Vec<network::Changed>>>;

    /// Whether links of a kind can be made; EOPNOTSUPP if not.
    fn probe(&self, kind: &str) -> BoxFuture<'static, network::Changed>;

    /// Loads a kernel module, unless it is there. The error is a text that says what is missing.
    fn load_module(&self, name: &str) -> BoxFuture<'static, Result<(), String>>;

    /// Whether a module lies ready to be loaded, and is not.
    fn is_loadable(&self, name: &str) -> bool;

    /// Sets up a WireGuard link that was made.
    fn set_wireguard(&self, name: &str, settings: WireGuardSettings) -> BoxFuture<'static, io::Result<()>>;

    /// The plugins that the kernel masquerades for, each with a mark of what for.
    fn masquerades(&self) -> BoxFuture<'static, io::Result<Vec<(String, String)>>>;

    /// The mark that a plugin has that is masqueraded for so.
    fn masquerade_mark(&self, wanted: &[network::Masquerade]) -> String;

    /// Has the kernel masquerade for a plugin so, and no longer otherwise.
    fn set_masquerades(&self, owner: &str, wanted: Vec<network::Masquerade>) -> BoxFuture<'static, network::Changed>;

    /// A socket for transactions of nf_tables.
    ///
    /// # Errors
    /// EPROTONOSUPPORT.
    fn open_nftables(&self) -> io::Result<Arc<dyn NfTables>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The tables of plugins (those that say so): family, a slash, and the name.
    fn plugin_tables(&self) -> BoxFuture<'static, io::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Removes a table of a plugin.
    fn remove_plugin_table(&self, _table: &str) -> BoxFuture<'static, network::Changed> {
        Box::pin(async { Ok(()) })
    }

    /// Closes the router to all but answers, or opens it again.
    fn set_guard(&self, _closed: bool) -> BoxFuture<'static, network::Changed> {
        Box::pin(async { Ok(()) })
    }

    /// A kernel parameter below `net`, named with slashes.
    ///
    /// # Errors
    /// ENOENT.
    fn sysctl(&self, name: &str) -> io::Result<String>;

    /// The hardware behind the links.
    fn hardware(&self) -> Vec<network::Hardware>;

    /// Takes hold of a tun device. Must be called where it will be used.
    ///
    /// # Errors
    /// ENODEV, EBUSY if somebody else holds it, EOPNOTSUPP.
    fn open_tun(&self, name: &str) -> io::Result<Arc<dyn TunDevice>>;

    /// A raw IPv4 socket of a protocol. Must be called where it will be used.
    ///
    /// # Errors
    /// EADDRNOTAVAIL if `local` is not ours, ENETUNREACH, EPERM.
    fn open_ipv4(
        &self,
        protocol: u8,
        local: Option<Ipv4Addr>,
        remote: Option<Ipv4Addr>,
    ) -> io::Result<Arc<dyn Ipv4Socket>>;

    /// A netlink socket of a family. Must be called where it will be used.
    ///
    /// # Errors
    /// EPROTONOSUPPORT.
    fn open_netlink(&self, family: u8) -> io::Result<Arc<dyn NetlinkSocket>>;

    /// A UDP socket that listens on an interface. Must be called where it will be used.
    ///
    /// # Errors
    /// ENODEV, EADDRINUSE, EAFNOSUPPORT.
    fn listen_udp(&self, interface: u32, port: u16) -> io::Result<Arc<dyn UdpSocket>>;

    /// A UDP socket that talks to one peer. Must be called where it will be used.
    ///
    /// # Errors
    /// ENETUNREACH, EAFNOSUPPORT.
    fn connect_udp(&self, remote: SocketAddr) -> io::Result<Arc<dyn UdpSocket>>;

    /// A TCP socket that listens on an interface. Must be called where it will be used.
    ///
    /// # Errors
    /// ENODEV, EADDRINUSE, EAFNOSUPPORT.
    fn listen_tcp(&self, interface: u32, port: u16) -> io::Result<Arc<dyn TcpAccept>>;

    /// A TCP connection to a peer. Must be awaited where it will be used.
    fn connect_tcp(&self, remote: SocketAddr) -> BoxFuture<'static, io::Result<Arc<dyn TcpConnection>>>;

    /// The number of a family of generic netlink; none where there is no such family.
    fn generic_family(&self, _name: &str) -> Option<u16> {
        None
    }

    /// The addresses of a host name, by the machine's resolver.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

pub use linux::wireguard::{Peer as WireGuardPeer, Settings as WireGuardSettings};

/// What the kernel leaves to a tun device's holder, each with all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offloads {
    /// Nothing.
    #[default]
    None,
    /// Checksums.
    Checksum,
    /// Segmentation of TCP.
    Tcp,
    /// Segmentation of UDP.
    Udp,
}

/// What went through a tun device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunCounters {
    /// Packets that the kernel gave.
    pub received: u64,
    /// Frames that the kernel took.
    pub sent: u64,
    /// Frames that it refused, and malformed ones.
    pub dropped: u64,
}

/// A tun device that is held. Batches are those of [`frames`]; each frame begins with a virtio_net_hdr of 10 bytes.
pub trait TunDevice: Send + Sync {
    /// Its interface.
    fn index(&self) -> u32;

    /// The offloads in use.
    fn offloads(&self) -> Offloads;

    /// Fills `into` with the packets that are there, as many as fit, each with `headroom` bytes of padding in front, and
    /// gives how many bytes that came to; waits for the first. Must be called where the device was opened. ENOBUFS where
    /// not even one fits for certain.
    fn poll_receive(&self, cx: &mut Context<'_>, into: &mut [u8], headroom: usize) -> Poll<io::Result<usize>>;

    /// Hands packets to the kernel; what it does not take, and what is malformed, is dropped and counted. EBADFD when
    /// the device is gone.
    fn send(&self, batch: &[u8]) -> io::Result<()>;

    /// What went through it.
    fn counters(&self) -> TunCounters;
}

/// A raw IPv4 socket. Batches are those of [`frames`], of whole packets.
pub trait Ipv4Socket: Send + Sync {
    /// Waits for packets and takes those that are there, about `max` bytes. Dropping the future loses nothing.
    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>>;

    /// Sends packets. EINVAL where the batch is malformed, and for what is no IPv4 packet.
    fn send(&self, batch: Vec<u8>) -> BoxFuture<'_, io::Result<Ipv4Sent>>;

    /// Waits for ICMP errors and takes up to `max` of those that are there.
    fn errors(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<IcmpError>>>;
}

/// What became of a batch of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv4Sent {
    /// Taken.
    pub packets: u32,
    /// EMSGSIZE.
    pub too_big: u32,
    /// ENETUNREACH and its like.
    pub unreachable: u32,
    /// ENOBUFS.
    pub queue_full: u32,
    /// Anything else.
    pub refused: u32,
}

/// An ICMP error for a packet that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who said so; none if it was our kernel.
    pub reporter: Option<Ipv4Addr>,
    /// To whom the packet had gone.
    pub destination: Ipv4Addr,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// Bytes; 0 if unknown.
    pub mtu: u32,
    /// The payload of the packet, as much as was quoted.
    pub quoted: Vec<u8>,
}

/// A netlink socket.
pub trait NetlinkSocket: Send + Sync {
    /// Joins a multicast group.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    fn join(&self, group: u32) -> io::Result<()>;

    /// Sends messages as one datagram.
    fn send(&self, messages: Vec<u8>) -> BoxFuture<'_, io::Result<()>>;

    /// Waits for a datagram. Dropping the future loses nothing.
    fn receive(&self) -> BoxFuture<'_, io::Result<Vec<u8>>>;
}

/// A raw ICMPv6 socket that is bound to one interface.
pub trait Icmpv6Socket: Send + Sync {
    /// Joins a multicast group there.
    ///
    /// # Errors
    /// EADDRINUSE if joined already, ENOBUFS if net.core.optmem_max is used up, ENODEV if it is gone.
    fn join(&self, group: Ipv6Addr) -> io::Result<()>;

    /// Leaves a group.
    ///
    /// # Errors
    /// EADDRNOTAVAIL if it was not joined.
    fn leave(&self, group: Ipv6Addr) -> io::Result<()>;

    /// Waits for packets and takes up to `max` of those that are there. Dropping the future loses nothing.
    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<Received>>>;

    /// Sends one message; the kernel fills in the checksum.
    fn send(&self, packet: Transmit) -> BoxFuture<'_, io::Result<()>>;
}

/// An ICMPv6 message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// From whom.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// IPv6 hop limit, 0 to 255.
    pub hop_limit: u8,
    /// From the ICMPv6 type on.
    pub message: Vec<u8>,
}

/// An ICMPv6 message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Our address to send from; none leaves the choice to the kernel.
    pub source: Option<Ipv6Addr>,
    /// To whom.
    pub destination: Ipv6Addr,
    /// IPv6 hop limit.
    pub hop_limit: u8,
    /// From the ICMPv6 type on.
    pub message: Vec<u8>,
}
