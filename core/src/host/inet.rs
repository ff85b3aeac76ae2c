//! What `udp` and `tcp` share: whom a socket was opened for, and asking the grant for that at every use.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::State;
use super::bindings::portreeve::plugin::types::{ErrorCode, SocketAddress};
use super::counted::{Counted, Counts};
use super::types::{ip_in, ip_out};
use crate::grants::{Access, Transport};

/// What a socket was opened for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Listening on the interface of this number, at this port.
    Listen(u32, u16),
    /// Talking to this peer.
    Connect(SocketAddr),
}

/// One send of a handle at a time, or so many, and its bytes: what waits to be sent lies in the core's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending(Arc<AtomicUsize>);

impl Sending {
    /// One more send of so many bytes, of at most `max`.
    pub fn begin(&self, max: usize, bytes: usize, counts: &Counts) -> Result<(Counted, Counted), ErrorCode> {
        let one = Counted::new(&self.0, max).ok_or(ErrorCode::Limit)?;
        Ok((one, counts.sending(bytes).ok_or(ErrorCode::Limit)?))
    }
}

impl State {
    /// The number of an interface on which listening is granted.
    pub(super) fn check_listen(&mut self, transport: Transport, name: &str, port: u16) -> Result<u32, ErrorCode> {
        self.check(Access::Listen(transport, name, port))?;
        let table = self.shared.kernel.links().borrow().clone();
        table.links.values().find(|link| link.name == name).map(|link| link.index).ok_or(ErrorCode::NotFound)
    }

    /// Whether a socket may still be used: by the name that its interface has now.
    pub(super) fn check_purpose(&mut self, transport: Transport, purpose: Purpose) -> Result<(), ErrorCode> {
        match purpose {
            Purpose::Listen(index, port) => {
                let table = self.shared.kernel.links().borrow().clone();
                let link = table.links.get(&index).ok_or(ErrorCode::Gone)?;
                self.check(Access::Listen(transport, &link.name, port))
            }
            Purpose::Connect(remote) => self.check(Access::Connect(transport, remote.ip(), remote.port())),
        }
    }

    /// The plugin's error for that of connecting, and of a UDP socket. Whatever a peer or a router says is no fault of the
    /// machine.
    pub(super) fn peer_error(&mut self, what: &str, error: &std::io::Error) -> ErrorCode {
        if is_of_peer(error) { ErrorCode::Unreachable } else { self.os_error(what, error) }
    }

    /// The same for an established TCP connection: whatever becomes of its peer, it has ended.
    pub(super) fn connection_error(&mut self, what: &str, error: &std::io::Error) -> ErrorCode {
        if is_of_peer(error) { ErrorCode::Gone } else { self.os_error(what, error) }
    }
}

/// Whether an errno comes of what a peer, a router or a firewall did (icmp_err_convert in the kernel, and TCP's own).
fn is_of_peer(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::ECONNABORTED
                | libc::EPIPE
                | libc::ENOTCONN
                | libc::ETIMEDOUT
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EACCES
                | libc::EPERM
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
        )
    )
}

/// A WIT socket address as `std`'s. An IPv4 address in the clothes of IPv6 (::ffff:a.b.c.d) is IPv4, for the grant as for the
/// kernel.
pub(super) fn socket_in(address: SocketAddress) -> SocketAddr {
    match ip_in(address.address).to_canonical() {
        IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port, 0, address.scope).into(),
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port),
    }
}

/// An end of a socket for WIT.
pub(super) fn socket_out(address: SocketAddrV6) -> SocketAddress {
    SocketAddress { address: ip_out(address.ip().to_canonical()), port: address.port(), scope: address.scope_id() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_granted_as_what_the_kernel_takes_it_for() {
        let address = |text: &str| SocketAddress { address: ip_out(text.parse().unwrap()), port: 53, scope: 7 };
        assert_eq!(socket_in(address("::ffff:192.0.2.1")), "192.0.2.1:53".parse().unwrap());
        assert_eq!(socket_in(address("192.0.2.1")), "192.0.2.1:53".parse().unwrap());
        assert_eq!(socket_in(address("fe80::1")), SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 7).into());
        assert!(socket_in(address("::192.0.2.1")).is_ipv6(), "not mapped");
    }

    #[test]
    fn one_send_of_a_handle_is_under_way_at_a_time() {
        let (sending, counts) = (Sending::default(), Counts::default());
        let first = sending.begin(1, 9, &counts);
        assert!(first.is_ok());
        assert_eq!(sending.begin(1, 9, &counts).err(), Some(ErrorCode::Limit));
        drop(first);
        assert!(sending.begin(1, 9, &counts).is_ok());
    }
}
