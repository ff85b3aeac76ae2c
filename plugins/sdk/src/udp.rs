//! The WIT interfaces `udp` and `tcp` with addresses of `std`, and the frames of a batch of datagrams.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::bindings::portreeve::plugin::types::SocketAddress;
use crate::{ip, ip_address};

pub use crate::bindings::portreeve::plugin::tcp::{Connection, Listener};
pub use crate::bindings::portreeve::plugin::udp::{Socket, UdpSent};

/// Bytes before the payload in a frame, without its length.
const HEADER: usize = 38;

/// What stands before the payload of a datagram in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The other end; an IPv4 address as such.
    pub peer: SocketAddr,
    /// Our address; unspecified for whichever.
    pub local: IpAddr,
    /// The number of the interface that it came in on; a listening socket sends from its own, whatever this says.
    pub interface: u32,
}

impl Ends {
    /// Appends a frame to a batch.
    pub fn push(&self, payload: &[u8], batch: &mut Vec<u8>) {
        batch.extend_from_slice(&((HEADER + payload.len()) as u32).to_le_bytes());
        batch.extend_from_slice(&mapped(self.peer.ip()).octets());
        batch.extend_from_slice(&self.peer.port().to_le_bytes());
        batch.extend_from_slice(&mapped(self.local).octets());
        batch.extend_from_slice(&self.interface.to_le_bytes());
        batch.extend_from_slice(payload);
    }
}

/// The datagrams of a batch; what is malformed ends it.
pub fn datagrams(mut batch: &[u8]) -> impl Iterator<Item = (Ends, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = batch.split_first_chunk::<4>()?;
        let (frame, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        batch = rest;
        let (peer, frame) = frame.split_first_chunk::<16>()?;
        let (port, frame) = frame.split_first_chunk::<2>()?;
        let (local, frame) = frame.split_first_chunk::<16>()?;
        let (interface, payload) = frame.split_first_chunk::<4>()?;
        let interface = u32::from_le_bytes(*interface);
        let port = u16::from_le_bytes(*port);
        let peer = match Ipv6Addr::from(*peer).to_canonical() {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, port, 0, interface).into(),
            ip => SocketAddr::new(ip, port),
        };
        Some((Ends { peer, local: Ipv6Addr::from(*local).to_canonical(), interface }, payload))
    })
}

/// A `std` socket address for WIT.
#[must_use]
pub fn socket_address(address: SocketAddr) -> SocketAddress {
    let scope = if let SocketAddr::V6(address) = address { address.scope_id() } else { 0 };
    SocketAddress { address: ip_address(address.ip()), port: address.port(), scope }
}

/// A WIT socket address as `std`'s.
#[must_use]
pub fn socket(address: SocketAddress) -> SocketAddr {
    match ip(address.address) {
        IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port, 0, address.scope).into(),
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port),
    }
}

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => address.to_ipv6_mapped(),
    }
}
