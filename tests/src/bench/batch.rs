//! Datagrams by the dozen: `sendmmsg` and `recvmmsg` with what they need made once, so that a generator of this process
//! costs less than what it measures.
//!
//! `S` is the type of the other side's address, `()` for a connected socket. Nothing here waits for room: what the kernel
//! refuses counts as not sent, and the caller knows whether that matters.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, recvmmsg, sendmmsg};

/// Most datagrams of one call.
pub const BATCH: usize = 64;

/// Sends many at once.
#[derive(Debug)]
pub struct Outbox<S> {
    headers: MultiHeaders<S>,
}

impl<S: SockaddrLike + Copy> Outbox<S> {
    /// For [`BATCH`] datagrams.
    #[must_use]
    pub fn new() -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None) }
    }

    /// Sends the first [`BATCH`] of `datagrams`, each to its entry of `to`. Gives how many the kernel has taken.
    ///
    /// # Errors
    /// What the kernel says of the first, if it is not one of those that pass: no room, or news of an earlier one.
    pub fn send(&mut self, socket: &impl AsRawFd, datagrams: &[impl AsRef<[u8]>], to: &[Option<S>]) -> Result<usize> {
        let slices: Vec<_> = datagrams.iter().map(|datagram| [IoSlice::new(datagram.as_ref())]).collect();
        let sent = sendmmsg(socket.as_raw_fd(), &mut self.headers, &slices, to, [], MsgFlags::MSG_DONTWAIT);
        match sent {
            Ok(results) => Ok(results.count()),
            Err(error) => passing(error.into()),
        }
    }
}

impl<S: SockaddrLike + Copy> Default for Outbox<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Receives many at once.
#[derive(Debug)]
pub struct Inbox<S> {
    headers: MultiHeaders<S>,
    buffers: Vec<Vec<u8>>,
}

impl<S: SockaddrLike + Copy> Inbox<S> {
    /// For [`BATCH`] datagrams of at most `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None), buffers: vec![vec![0; size]; BATCH] }
    }

    /// Gives `each` what is there, at most [`BATCH`]; if nothing is, it waits for one as long as the socket's time-out
    /// says. Gives how many there were.
    ///
    /// # Errors
    /// What the kernel says, if it is not that nothing came.
    pub fn wait(&mut self, socket: &impl AsRawFd, each: impl FnMut(&[u8], Option<S>)) -> Result<usize> {
        self.receive(socket, MsgFlags::MSG_WAITFORONE, each)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// What the kernel says, if it is not that there is nothing.
    pub fn look(&mut self, socket: &impl AsRawFd, each: impl FnMut(&[u8], Option<S>)) -> Result<usize> {
        self.receive(socket, MsgFlags::MSG_DONTWAIT, each)
    }

    fn receive(
        &mut self,
        socket: &impl AsRawFd,
        flags: MsgFlags,
        mut each: impl FnMut(&[u8], Option<S>),
    ) -> Result<usize> {
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                let mut count = 0;
                for message in messages {
                    each(message.iovs().next().unwrap_or_default(), message.address);
                    count += 1;
                }
                Ok(count)
            }
            Err(error) => passing(error.into()),
        }
    }
}

fn passing(error: Error) -> Result<usize> {
    /// No buffer space.
    const ENOBUFS: i32 = 105;
    let passes = matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    );
    if passes || error.raw_os_error() == Some(ENOBUFS) { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use nix::sys::socket::SockaddrIn;

    use super::*;

    #[test]
    fn what_is_sent_at_once_arrives_with_its_bytes_and_its_sender() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        b.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        a.connect(b.local_addr().unwrap()).unwrap();
        let datagrams = [vec![1; 3], vec![2; 5]];
        assert_eq!(Outbox::<()>::new().send(&a, &datagrams, &[None; BATCH]).unwrap(), 2);
        let (mut inbox, mut heard) = (Inbox::<SockaddrIn>::new(64), Vec::new());
        while heard.len() < 2 {
            inbox.wait(&b, |bytes, from| heard.push((bytes.to_vec(), from.map(|from| from.port())))).unwrap();
        }
        let port = Some(a.local_addr().unwrap().port());
        assert_eq!(heard, [(vec![1; 3], port), (vec![2; 5], port)]);
        assert_eq!(inbox.look(&b, |_, _| ()).unwrap(), 0);
    }
}
