//! UDP and TCP sockets as the core sees them: the traits that `linux` fills, and the header of a datagram in a batch.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;

use super::BoxFuture;

/// Bytes of [`UdpHeader`] in a batch.
pub const UDP_HEADER: usize = 38;

/// What stands before the payload of a datagram in a batch. IPv4 addresses are written ::ffff:a.b.c.d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// The other end.
    pub peer: Ipv6Addr,
    /// Its port.
    pub port: u16,
    /// Our address.
    pub local: Ipv6Addr,
    /// The interface's number; 0 for whichever.
    pub interface: u32,
}

impl UdpHeader {
    /// Appends a frame with this header.
    pub fn push(&self, payload: &[u8], batch: &mut Vec<u8>) {
        let length = u32::try_from(UDP_HEADER + payload.len()).unwrap_or(u32::MAX);
        batch.extend_from_slice(&length.to_le_bytes());
        batch.extend_from_slice(&self.peer.octets());
        batch.extend_from_slice(&self.port.to_le_bytes());
        batch.extend_from_slice(&self.local.octets());
        batch.extend_from_slice(&self.interface.to_le_bytes());
        batch.extend_from_slice(payload);
    }

    /// The header and the payload of a frame; none if it is too short.
    #[must_use]
    pub fn split(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (peer, rest) = frame.split_first_chunk::<16>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (local, rest) = rest.split_first_chunk::<16>()?;
        let (interface, payload) = rest.split_first_chunk::<4>()?;
        let header = Self {
            peer: Ipv6Addr::from(*peer),
            port: u16::from_le_bytes(*port),
            local: Ipv6Addr::from(*local),
            interface: u32::from_le_bytes(*interface),
        };
        Some((header, payload))
    }
}

/// What became of a batch of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpSent {
    /// Taken.
    pub datagrams: u32,
    /// EMSGSIZE.
    pub too_big: u32,
    /// No route or source address.
    pub unreachable: u32,
    /// ENOBUFS.
    pub queue_full: u32,
    /// Another error.
    pub refused: u32,
}

impl UdpSent {
    /// Counts what one attempt came to, and tells how many datagrams it settled: an error is the first one's.
    pub(super) fn count(&mut self, result: io::Result<usize>) -> usize {
        let error = match result {
            Ok(count) => {
                self.datagrams += u32::try_from(count).unwrap_or(u32::MAX);
                return count.max(1);
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EMSGSIZE) => self.too_big += 1,
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => self.unreachable += 1,
            Some(libc::ENOBUFS) => self.queue_full += 1,
            _ => self.refused += 1,
        }
        1
    }
}

/// A UDP socket. Batches are those of [`super::frames`], of datagrams with a [`UdpHeader`].
pub trait UdpSocket: Send + Sync {
    /// Its own address.
    fn local(&self) -> io::Result<SocketAddrV6>;

    /// Waits for datagrams and takes at most `max` of those that are there. Dropping the future loses nothing. What the kernel
    /// says of datagrams that a connected socket sent comes as an error; the socket stays usable.
    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>>;

    /// Sends a batch; a listening socket sends from its interface only, whatever the headers say. EINVAL where it is malformed; what stands before that was sent.
    fn send(&self, batch: Vec<u8>) -> BoxFuture<'_, io::Result<UdpSent>>;
}

/// A listening TCP socket.
pub trait TcpAccept: Send + Sync {
    /// Waits for a connection. Dropping the future loses nothing.
    fn accept(&self) -> BoxFuture<'_, io::Result<Arc<dyn TcpConnection>>>;
}

/// A TCP connection.
pub trait TcpConnection: Send + Sync {
    /// Our end.
    fn local(&self) -> SocketAddrV6;

    /// The other end.
    fn remote(&self) -> SocketAddrV6;

    /// Waits for bytes and takes at most `max`; none at the end. Dropping the future loses nothing.
    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>>;

    /// Sends all bytes.
    fn send(&self, bytes: Vec<u8>) -> BoxFuture<'_, io::Result<()>>;

    /// Shuts down the sending side.
    fn finish(&self) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_comes_out_as_it_went_in_and_a_short_frame_is_none() {
        let header = UdpHeader {
            peer: "2001:db8::1".parse().unwrap(),
            port: 0x1234,
            local: "::ffff:192.0.2.1".parse().unwrap(),
            interface: 7,
        };
        let mut batch = Vec::new();
        header.push(b"abc", &mut batch);
        assert_eq!(batch[..4], [41, 0, 0, 0]);
        assert_eq!(batch[20..22], [0x34, 0x12]);
        assert_eq!(UdpHeader::split(&batch[4..]), Some((header, &b"abc"[..])));
        for length in 0..UDP_HEADER {
            assert_eq!(UdpHeader::split(&batch[4..4 + length]), None, "{length}");
        }
    }
}
