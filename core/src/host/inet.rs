//! What `udp` and `tcp` share: whom a socket was opened for, and asking the grant for that at every use.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::State;
use super::bindings::portreeve::plugin::types::{ErrorCode, SocketAddress};
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

    /// The plugin's error for that of a socket, where a peer's refusal is no fault of the machine.
    pub(super) fn socket_error(&mut self, what: &str, error: &std::io::Error) -> ErrorCode {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED | libc::ETIMEDOUT | libc::EPROTO) => ErrorCode::Unreachable,
            Some(libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN) => ErrorCode::Gone,
            _ => self.os_error(what, error),
        }
    }
}

/// A WIT socket address as `std`'s.
pub(super) fn socket_in(address: SocketAddress) -> SocketAddr {
    match ip_in(address.address) {
        IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port, 0, address.scope).into(),
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port),
    }
}

/// An end of a socket for WIT.
pub(super) fn socket_out(address: SocketAddrV6) -> SocketAddress {
    SocketAddress { address: ip_out(address.ip().to_canonical()), port: address.port(), scope: address.scope_id() }
}
