//! A raw IPv4 socket of one protocol whose packets are whole (IP_HDRINCL), with its ICMP errors (IP_RECVERR).
//!
//! Identification and checksum are the kernel's, which also fragments nothing here: what is larger than the link or the
//! known path is refused with EMSGSIZE, and told again as an error with the MTU.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recv, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket as Raw, Type};
use tokio::io::{Interest, Ready};

use super::register;
use crate::sys::{BoxFuture, IcmpError, Ipv4Sent, Ipv4Socket, frames};

/// Largest IPv4 packet in bytes.
const MAX_PACKET: usize = 65_535;
/// Buffers of the socket in bytes: some milliseconds of a fast line.
const BUFFER: usize = 4 * 1024 * 1024;
/// Bytes of a quoted packet that are kept.
const MAX_QUOTED: usize = 1280;
/// SO_EE_ORIGIN_LOCAL and SO_EE_ORIGIN_ICMP, from linux/errqueue.h.
const FROM_US: u8 = 1;
const FROM_ICMP: u8 = 2;
/// Destination unreachable, fragmentation needed (RFC 792).
const TOO_BIG: (u8, u8) = (3, 4);

/// See the module.
pub struct Socket {
    fd: tokio::io::unix::AsyncFd<OwnedFd>,
    scratch: Mutex<Vec<u8>>,
}

impl Socket {
    /// Opens it; must be called inside the runtime that will use it.
    pub fn open(protocol: u8, local: Option<Ipv4Addr>, remote: Option<Ipv4Addr>) -> io::Result<Self> {
        let socket =
            Raw::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(i32::from(protocol))))?;
        socket.set_header_included_v4(true)?;
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        // Without CAP_NET_ADMIN the buffers stay at what net.core allows.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        let _ = setsockopt(&socket, sockopt::SndBufForce, &BUFFER);
        if let Some(local) = local {
            socket.bind(&SockAddr::from(SocketAddrV4::new(local, 0)))?;
        }
        if let Some(remote) = remote {
            socket.connect(&SockAddr::from(SocketAddrV4::new(remote, 0)))?;
        }
        Ok(Self { fd: register(socket.into())?, scratch: Mutex::default() })
    }

    fn send_now(&self, packet: &[u8], destination: Ipv4Addr) -> io::Result<usize> {
        let to = SockAddr::from(SocketAddrV4::new(destination, 0));
        socket2::SockRef::from(&self.fd).send_to_with_flags(packet, &to, libc::MSG_DONTWAIT)
    }

    fn error_now(&self) -> io::Result<Option<IcmpError>> {
        let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in, [u8; 64]);
        let mut payload = [0; MAX_QUOTED];
        let mut slices = [IoSliceMut::new(&mut payload)];
        let (length, destination, error) = {
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrIn>(self.fd.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
            let error = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4RecvErr(error, offender) => Some((error, offender)),
                _ => None,
            });
            (message.bytes, message.address, error)
        };
        let Some((error, offender)) = error else { return Ok(None) };
        let (kind, code) = match error.ee_origin {
            FROM_ICMP => (error.ee_type, error.ee_code),
            FROM_US if error.ee_errno == libc::EMSGSIZE as u32 => TOO_BIG,
            _ => return Ok(None),
        };
        let reporter = offender.filter(|_| error.ee_origin == FROM_ICMP);
        let reporter = reporter.map(|a| Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr)));
        Ok(Some(IcmpError {
            reporter,
            destination: destination.map_or(Ipv4Addr::UNSPECIFIED, |a| a.ip()),
            kind,
            code,
            mtu: if (kind, code) == TOO_BIG { error.ee_info } else { 0 },
            quoted: payload.get(..length).unwrap_or_default().to_vec(),
        }))
    }
}

/// Errors of the path, which the error queue tells in full; the socket itself is well.
fn is_of_the_path(error: &io::Error) -> bool {
    let path = [
        libc::ENOPROTOOPT,
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EMSGSIZE,
        libc::EPROTO,
        libc::EHOSTDOWN,
        libc::EACCES,
        libc::EOPNOTSUPP,
        libc::ENONET,
    ];
    error.raw_os_error().is_some_and(|code| path.contains(&code))
}

/// Destination of an IPv4 packet.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let header = packet.first_chunk::<20>()?;
    (header[0] >> 4 == 4).then(|| Ipv4Addr::new(header[16], header[17], header[18], header[19]))
}

impl Ipv4Socket for Socket {
    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            loop {
                let mut ready = self.fd.readable().await?;
                let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
                let mut batch = frames::Writer::new(&mut scratch, max.max(frames::LENGTH + MAX_PACKET));
                while batch.has_room(MAX_PACKET) {
                    let read = ready.try_io(|_| {
                        batch.push(|buffer| Ok(recv(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?))
                    });
                    match read {
                        Ok(Ok(())) => {}
                        // The error queue tells of it in full.
                        Ok(Err(error)) if is_of_the_path(&error) => {}
                        Ok(Err(error)) if batch.batch().is_empty() => return Err(error),
                        Ok(Err(_)) | Err(_) => break,
                    }
                }
                if !batch.batch().is_empty() {
                    return Ok(batch.batch().to_vec());
                }
            }
        })
    }

    fn send(&self, batch: Vec<u8>) -> BoxFuture<'_, io::Result<Ipv4Sent>> {
        Box::pin(async move {
            let mut sent = Ipv4Sent::default();
            for packet in frames::iter(&batch) {
                let packet = packet?;
                let to = destination(packet).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
                let mut result = self.send_now(packet, to);
                if result.as_ref().is_err_and(is_of_the_path) {
                    // It may be the word on an earlier packet.
                    result = self.send_now(packet, to);
                }
                if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    result = self.fd.async_io(Interest::WRITABLE, |_| self.send_now(packet, to)).await;
                }
                match result.map_err(|error| error.raw_os_error()) {
                    Ok(_) => sent.packets += 1,
                    Err(Some(libc::EMSGSIZE)) => sent.too_big += 1,
                    Err(Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL)) => sent.unreachable += 1,
                    Err(Some(libc::ENOBUFS)) => sent.queue_full += 1,
                    Err(_) => sent.refused += 1,
                }
            }
            Ok(sent)
        })
    }

    fn errors(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<IcmpError>>> {
        Box::pin(async move {
            loop {
                let mut ready = self.fd.ready(Interest::ERROR).await?;
                let mut errors = Vec::new();
                let mut drained = false;
                while errors.len() < max && !drained {
                    match self.error_now() {
                        Ok(error) => errors.extend(error),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => drained = true,
                        Err(error) => return Err(error),
                    }
                }
                if drained {
                    ready.clear_ready_matching(Ready::ERROR);
                }
                if !errors.is_empty() {
                    return Ok(errors);
                }
            }
        })
    }
}
