//! Neighbour discovery by hand: a raw ICMPv6 socket of a host that hears advertisements and sends solicitations.
//!
//! It understands only as much as tests and benches ask for; real hosts (`rdisc6`, the kernel) judge the rest.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Failure, Netns, Result};

/// RFC 4861 section 4.1.
const ROUTER_SOLICITATION: u8 = 133;
/// RFC 4861 section 4.2.
const ROUTER_ADVERTISEMENT: u8 = 134;
/// RFC 4861 section 4.6.1.
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
/// RFC 4861 section 3.1: what every message of neighbour discovery is sent with.
const HOP_LIMIT: u32 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A socket on one interface.
#[derive(Debug)]
pub struct Icmpv6 {
    /// A raw socket: the type only brings safe calls with addresses.
    socket: UdpSocket,
    index: u32,
    mac: [u8; 6],
}

/// An advertisement that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// When it was read.
    pub at: Instant,
    /// From whom.
    pub source: Ipv6Addr,
    /// The message from its type on.
    pub message: Vec<u8>,
}

impl Icmpv6 {
    /// Hears advertisements to all nodes and to any address of the interface.
    ///
    /// # Errors
    /// If there is no such interface, or no right to raw sockets.
    pub fn listen(netns: &Netns, ifname: &str) -> Result<Self> {
        Self::open(netns, ifname, None)
    }

    /// Sends from `source`, and hears only what is sent to `source`.
    ///
    /// # Errors
    /// If the interface does not have the address, or no right to raw sockets.
    pub fn from(netns: &Netns, ifname: &str, source: Ipv6Addr) -> Result<Self> {
        Self::open(netns, ifname, Some(source))
    }

    fn open(netns: &Netns, ifname: &str, source: Option<Ipv6Addr>) -> Result<Self> {
        let (index, mac) = netns.link(ifname)?;
        let open = || -> std::io::Result<Socket> {
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
            socket.bind_device(Some(ifname.as_bytes()))?;
            socket.set_multicast_hops_v6(HOP_LIMIT)?;
            socket.set_unicast_hops_v6(HOP_LIMIT)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_loop_v6(false)?;
            // Otherwise groups that other sockets joined are heard as well.
            socket.set_multicast_all_v6(false)?;
            match source {
                Some(source) => socket.bind(&SocketAddrV6::new(source, 0, 0, index).into())?,
                None => socket.join_multicast_v6(&ALL_NODES, index)?,
            }
            Ok(socket)
        };
        let socket = netns.enter(open)?;
        let socket = socket.map_err(|error| Failure::new(format!("cannot open ICMPv6 on {ifname}: {error}")))?;
        Ok(Self { socket: UdpSocket::from(OwnedFd::from(socket)), index, mac })
    }

    /// Sends a router solicitation with our link-layer address. The kernel fills in the checksum.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn solicit(&self) -> Result {
        let mut message = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0, SOURCE_LINK_LAYER_ADDRESS, 1];
        message.extend(self.mac);
        self.socket.send_to(&message, SocketAddrV6::new(ALL_ROUTERS, 0, 0, self.index))?;
        Ok(())
    }

    /// Throws away what has come in so far; gives the number of packets.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn drain(&self) -> Result<usize> {
        self.socket.set_nonblocking(true)?;
        let mut count = 0;
        while self.socket.recv_from(&mut [0; 2048]).is_ok() {
            count += 1;
        }
        self.socket.set_nonblocking(false)?;
        Ok(count)
    }

    /// The next advertisement; none if there is none within `within`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn advertisement(&self, within: Duration) -> Result<Option<Advertisement>> {
        let end = Instant::now() + within;
        let mut buffer = [0; 2048];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let (length, source) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let at = Instant::now();
            if let (Some(&ROUTER_ADVERTISEMENT), SocketAddr::V6(source)) = (buffer[..length].first(), source) {
                return Ok(Some(Advertisement { at, source: *source.ip(), message: buffer[..length].to_vec() }));
            }
        }
    }

    /// The next advertisement.
    ///
    /// # Errors
    /// If there is none within `within`.
    pub fn expect_advertisement(&self, within: Duration) -> Result<Advertisement> {
        let heard = self.advertisement(within)?;
        heard.ok_or_else(|| Failure::new(format!("no router advertisement within {} s", within.as_secs_f64())))
    }
}

impl Advertisement {
    /// For how many seconds the sender is a default router (RFC 4861 section 4.2).
    pub fn router_lifetime(&self) -> u16 {
        self.message.get(6..8).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}
