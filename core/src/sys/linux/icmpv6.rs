//! A raw ICMPv6 socket for one interface (RFC 3542).
//!
//! It is bound to its device, lets only the wanted types through (ICMP6_FILTER) and gets multicasts only of
//! groups it joined itself, so a thousand interfaces mean a thousand sockets that never wake each other,
//! and no socket comes near the limit of memberships (net.core.optmem_max).
#![expect(unsafe_code, reason = "ICMP6_FILTER has no safe wrapper")]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::register;
use crate::sys::{BoxFuture, Icmpv6Socket, Received, Transmit};

/// Largest ICMPv6 message in bytes.
const MAX_MESSAGE: usize = 65_535;
/// Receive buffer of a socket in bytes: some hundred solicitations while the plugin is away.
const RECEIVE_BUFFER: usize = 128 * 1024;

/// See the module.
pub struct Socket {
    fd: AsyncFd<OwnedFd>,
    index: u32,
}

impl Socket {
    /// Opens it; must be called inside the runtime that will use it.
    pub fn open(index: u32, name: &str, receive: &[u8]) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV6,
            socket2::Type::RAW.nonblocking().cloexec(),
            Some(socket2::Protocol::ICMPV6),
        )?;
        // The filter comes first: until the device is bound every interface's packets would be taken.
        set_filter(&socket, receive)?;
        socket.bind_device(Some(name.as_bytes()))?;
        socket.set_recv_hoplimit_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        socket.set_multicast_all_v6(false)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_if_v6(index)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        Ok(Self { fd: register(socket.into())?, index })
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let mut slices = [IoSliceMut::new(buffer)];
        let (length, source, info, hop_limit) = {
            let message =
                recvmsg::<SockaddrIn6>(self.fd.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
            let (mut info, mut hop_limit) = (None, None);
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::Ipv6PacketInfo(i) => info = Some(i),
                    ControlMessageOwned::Ipv6HopLimit(h) => hop_limit = Some(h),
                    _ => {}
                }
            }
            (message.bytes, message.address, info, hop_limit)
        };
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "a packet without its ancillary data");
        Ok(Received {
            source: source.ok_or_else(missing)?.ip(),
            destination: Ipv6Addr::from(info.ok_or_else(missing)?.ipi6_addr.s6_addr),
            hop_limit: hop_limit.and_then(|h| u8::try_from(h).ok()).ok_or_else(missing)?,
            message: buffer[..length].to_vec(),
        })
    }

    fn send_now(&self, packet: &Transmit) -> io::Result<()> {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: packet.source.unwrap_or(Ipv6Addr::UNSPECIFIED).octets() },
            ipi6_ifindex: self.index,
        };
        let hop_limit = libc::c_int::from(packet.hop_limit);
        let control = [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&hop_limit)];
        let to = SockaddrIn6::from(SocketAddrV6::new(packet.destination, 0, 0, self.index));
        let slices = [IoSlice::new(&packet.message)];
        sendmsg(self.fd.as_raw_fd(), &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
        Ok(())
    }
}

impl Icmpv6Socket for Socket {
    fn join(&self, group: Ipv6Addr) -> io::Result<()> {
        socket2::SockRef::from(&self.fd).join_multicast_v6(&group, self.index)
    }

    fn leave(&self, group: Ipv6Addr) -> io::Result<()> {
        socket2::SockRef::from(&self.fd).leave_multicast_v6(&group, self.index)
    }

    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<Received>>> {
        Box::pin(async move {
            loop {
                let mut ready = self.fd.readable().await?;
                // Taken anew at each wake-up: a thousand idle sockets should not hold 64 KiB each.
                let mut buffer = vec![0; MAX_MESSAGE];
                let mut batch = Vec::new();
                while batch.len() < max {
                    match ready.try_io(|_| self.receive_now(&mut buffer)) {
                        Ok(Ok(packet)) => batch.push(packet),
                        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                            tracing::debug!(index = self.index, %error, "dropped a packet");
                        }
                        // What came in before the error is given first; the error comes again.
                        Ok(Err(error)) if batch.is_empty() => return Err(error),
                        Ok(Err(_)) | Err(_) => break,
                    }
                }
                if !batch.is_empty() {
                    return Ok(batch);
                }
            }
        })
    }

    fn send(&self, packet: Transmit) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move { self.fd.async_io(Interest::WRITABLE, |_| self.send_now(&packet)).await })
    }
}

/// Lets only `types` through: a set bit blocks (RFC 3542 section 3.2).
fn set_filter(socket: &socket2::Socket, types: &[u8]) -> io::Result<()> {
    let mut blocked = [u32::MAX; 8];
    for kind in types {
        blocked[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    }
    // SAFETY: the pointer and the length describe `blocked`, which lives through the call; the kernel reads
    // at most that many bytes (struct icmp6_filter is eight 32-bit words).
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMP6_FILTER,
            blocked.as_ptr().cast(),
            std::mem::size_of_val(&blocked) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// From linux/icmpv6.h.
const ICMP6_FILTER: libc::c_int = 1;
