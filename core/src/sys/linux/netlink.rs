//! A raw netlink socket of whatever family: datagrams to the kernel and from it.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, recv, send};
use rtnetlink::sys::{Socket as Blocking, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::register;
use crate::sys::{BoxFuture, NetlinkSocket};

/// Largest datagram in bytes.
const MAX_DATAGRAM: usize = 256 * 1024;

/// See the module.
pub struct Socket(AsyncFd<Blocking>);

impl Socket {
    /// Opens it; must be called inside the runtime that will use it.
    pub fn open(family: u8) -> io::Result<Self> {
        let mut socket = Blocking::new(isize::from(family))?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self(register(socket)?))
    }
}

impl NetlinkSocket for Socket {
    fn join(&self, group: u32) -> io::Result<()> {
        self.0.get_ref().add_membership(group)
    }

    fn send(&self, messages: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let sent = |_: &Blocking| Ok(send(self.0.as_raw_fd(), &messages, MsgFlags::MSG_DONTWAIT)?);
            self.0.async_io(Interest::WRITABLE, sent).await.map(drop)
        })
    }

    fn receive(&self) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            let mut buffer = vec![0; MAX_DATAGRAM];
            let received = |_: &Blocking| Ok(recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?);
            let length = self.0.async_io(Interest::READABLE, received).await?;
            buffer.truncate(length);
            Ok(buffer)
        })
    }
}
