//! UDP sockets: one bound to an interface and a port, or one connected to a peer; many datagrams for each system call
//! (recvmmsg, sendmmsg).
//!
//! All are IPv6 sockets that speak IPv4 as well (::ffff:a.b.c.d), so there is one code for both. Which of our addresses
//! a datagram came to, and from which an answer goes, is IPV6_PKTINFO's business (RFC 3542 section 6).
#![expect(unsafe_code, reason = "recvmmsg and sendmmsg with control messages have no wrapper that keeps its buffers")]

use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, SockAddr, Socket as Raw, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::register;
use crate::sys::{BoxFuture, UDP_HEADER, UdpHeader, UdpSent, UdpSocket, frames};

/// Datagrams of one system call.
const MANY: usize = 64;
/// Room for each: the largest datagram. Pages that no datagram reaches are never touched.
const ROOM: usize = 65_536;
/// Room for one IPV6_PKTINFO with its header, in words so that it is aligned.
const CONTROL: usize = 8;
/// Buffers of the socket in bytes.
const BUFFER: usize = 4 * 1024 * 1024;

/// See the module.
pub struct Socket {
    fd: AsyncFd<OwnedFd>,
    /// Of a connected one, the ends.
    ends: Option<(SocketAddrV6, SocketAddrV6)>,
    scratch: Mutex<Vec<u8>>,
}

/// An IPv6 socket that speaks IPv4, too.
///
/// # Errors
/// EAFNOSUPPORT.
pub fn dual(kind: Type, protocol: Protocol) -> io::Result<Raw> {
    let socket = Raw::new(Domain::IPV6, kind.nonblocking().cloexec(), Some(protocol))?;
    socket.set_only_v6(false)?;
    Ok(socket)
}

/// An address as an IPv6 socket writes it.
#[must_use]
pub fn mapped(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V6(address) => address,
        SocketAddr::V4(address) => SocketAddrV6::new(address.ip().to_ipv6_mapped(), address.port(), 0, 0),
    }
}

/// Binds to a port of an interface.
///
/// # Errors
/// ENODEV, EADDRINUSE, EPERM.
pub fn bind(socket: &Raw, interface: &str, port: u16) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SockAddr::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)))
}

/// An end of a socket.
///
/// # Errors
/// ENOTCONN.
pub fn end(address: io::Result<SockAddr>) -> io::Result<SocketAddrV6> {
    address?.as_socket().map(mapped).ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

impl Socket {
    /// Listens; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ENODEV, EADDRINUSE, EPERM.
    pub fn listen(interface: &str, port: u16) -> io::Result<Self> {
        let socket = dual(Type::DGRAM, Protocol::UDP)?;
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?;
        bind(&socket, interface, port)?;
        Self::new(socket, None)
    }

    /// Talks to one peer; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ENETUNREACH.
    pub fn connect(remote: SocketAddr) -> io::Result<Self> {
        let socket = dual(Type::DGRAM, Protocol::UDP)?;
        socket.connect(&SockAddr::from(mapped(remote)))?;
        let ends = (end(socket.local_addr())?, mapped(remote));
        Self::new(socket, Some(ends))
    }

    fn new(socket: Raw, ends: Option<(SocketAddrV6, SocketAddrV6)>) -> io::Result<Self> {
        // Without CAP_NET_ADMIN the buffers stay at what net.core allows.
        let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &BUFFER);
        let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::SndBufForce, &BUFFER);
        Ok(Self { fd: register(socket.into())?, ends, scratch: Mutex::default() })
    }

    /// Takes what is there, at most `max` datagrams, one system call.
    fn receive_now(&self, max: usize) -> io::Result<Vec<u8>> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if scratch.is_empty() {
            *scratch = vec![0; MANY * ROOM];
        }
        let many = max.clamp(1, MANY);
        let mut table = Table::new();
        for ((slot, room), message) in
            table.slots.iter_mut().zip(scratch.chunks_exact_mut(ROOM)).zip(&mut table.messages)
        {
            slot.vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            slot.point(message, CONTROL * mem::size_of::<usize>());
        }
        // SAFETY: each header points to an address, a vector, control space and a buffer of the lengths it says, which live
        // in `table` and `scratch` through the call.
        let count = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                table.messages.as_mut_ptr(),
                many as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let mut batch = Vec::new();
        for ((message, slot), room) in
            table.messages.iter().zip(&table.slots).zip(scratch.chunks_exact(ROOM)).take(count)
        {
            let header = self.header(message, slot);
            let payload = room.get(..message.msg_len as usize).unwrap_or_default();
            header.push(payload, &mut batch);
        }
        Ok(batch)
    }

    fn header(&self, message: &libc::mmsghdr, slot: &Slot) -> UdpHeader {
        if let Some((local, remote)) = self.ends {
            return UdpHeader { peer: *remote.ip(), port: remote.port(), local: *local.ip(), interface: 0 };
        }
        let mut header = UdpHeader {
            peer: Ipv6Addr::from(slot.address.sin6_addr.s6_addr),
            port: u16::from_be(slot.address.sin6_port),
            local: Ipv6Addr::UNSPECIFIED,
            interface: slot.address.sin6_scope_id,
        };
        // SAFETY: the kernel filled the control space of this header, which CMSG_FIRSTHDR measures before it is read; a
        // message of this type holds an in6_pktinfo, read without regard to alignment.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(&raw const message.msg_hdr);
            if !control.is_null()
                && ((*control).cmsg_level, (*control).cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
            {
                let info = libc::CMSG_DATA(control).cast::<libc::in6_pktinfo>().read_unaligned();
                header.local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                header.interface = info.ipi6_ifindex;
            }
        }
        header
    }

    /// Sends as many of `datagrams` as the kernel takes in one system call; how many that were.
    fn send_now(&self, datagrams: &[(UdpHeader, &[u8])]) -> io::Result<usize> {
        let mut table = Table::new();
        let slots = table.slots.iter_mut().zip(&mut table.messages);
        let mut count = 0;
        for ((slot, message), (header, payload)) in slots.zip(datagrams) {
            slot.vector = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
            slot.address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            slot.address.sin6_port = header.port.to_be();
            slot.address.sin6_addr.s6_addr = header.peer.octets();
            slot.address.sin6_scope_id = if header.peer.is_unicast_link_local() { header.interface } else { 0 };
            if self.ends.is_some() {
                slot.point(message, 0);
                message.msg_hdr.msg_name = std::ptr::null_mut();
                message.msg_hdr.msg_namelen = 0;
            } else if header.local.is_unspecified() {
                slot.point(message, 0);
            } else {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: header.local.octets() },
                    ipi6_ifindex: header.interface,
                };
                // SAFETY: CMSG_SPACE of 20 bytes is 40, and the control space has 64; the header is within it.
                unsafe {
                    let size = mem::size_of::<libc::in6_pktinfo>() as libc::c_uint;
                    slot.point(message, libc::CMSG_SPACE(size) as usize);
                    let control = libc::CMSG_FIRSTHDR(&raw const message.msg_hdr);
                    (*control).cmsg_level = libc::IPPROTO_IPV6;
                    (*control).cmsg_type = libc::IPV6_PKTINFO;
                    (*control).cmsg_len = libc::CMSG_LEN(size) as _;
                    libc::CMSG_DATA(control).cast::<libc::in6_pktinfo>().write_unaligned(info);
                }
            }
            count += 1;
        }
        // SAFETY: as for receiving; the kernel only reads the payloads, which live through the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                table.messages.as_mut_ptr(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// What the kernel reads and writes for one datagram.
struct Slot {
    address: libc::sockaddr_in6,
    vector: libc::iovec,
    control: [usize; CONTROL],
}

impl Slot {
    /// Makes `message` point here, with so many bytes of control space.
    fn point(&mut self, message: &mut libc::mmsghdr, control: usize) {
        let header = &mut message.msg_hdr;
        header.msg_name = (&raw mut self.address).cast();
        header.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        header.msg_iov = &raw mut self.vector;
        header.msg_iovlen = 1;
        header.msg_control = if control == 0 { std::ptr::null_mut() } else { self.control.as_mut_ptr().cast() };
        header.msg_controllen = control as _;
    }
}

/// The slots of one system call; boxed, so that they stay where the messages point.
struct Table {
    slots: Box<[Slot]>,
    messages: Box<[libc::mmsghdr]>,
}

impl Table {
    fn new() -> Self {
        // SAFETY: all three are plain C structs of integers and pointers, for which zeros are a legal value.
        let (slot, message) = unsafe { (|| mem::zeroed::<Slot>(), mem::zeroed::<libc::mmsghdr>()) };
        Self { slots: (0..MANY).map(|_| slot()).collect(), messages: vec![message; MANY].into_boxed_slice() }
    }
}

impl UdpSocket for Socket {
    fn local(&self) -> io::Result<SocketAddrV6> {
        end(socket2::SockRef::from(&self.fd).local_addr())
    }

    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            loop {
                let mut ready = self.fd.readable().await?;
                if let Ok(batch) = ready.try_io(|_| self.receive_now(max)) {
                    return batch;
                }
            }
        })
    }

    fn send(&self, batch: Vec<u8>) -> BoxFuture<'_, io::Result<UdpSent>> {
        Box::pin(async move {
            let mut sent = UdpSent::default();
            let mut datagrams = Vec::with_capacity(MANY);
            let mut whole = Ok(());
            let mut frames = frames::iter(&batch);
            loop {
                datagrams.clear();
                for frame in frames.by_ref().take(MANY) {
                    match frame.ok().and_then(UdpHeader::split) {
                        Some(datagram) => datagrams.push(datagram),
                        None => whole = Err(io::Error::from_raw_os_error(libc::EINVAL)),
                    }
                }
                if datagrams.is_empty() {
                    return whole.map(|()| sent);
                }
                let mut rest = datagrams.as_slice();
                while !rest.is_empty() {
                    let mut result = self.send_now(rest);
                    if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ECONNREFUSED)) {
                        // The word on an earlier datagram.
                        result = self.send_now(rest);
                    }
                    if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                        result = self.fd.async_io(Interest::WRITABLE, |_| self.send_now(rest)).await;
                    }
                    let done = match result {
                        Ok(count) => {
                            sent.datagrams += count as u32;
                            count.max(1)
                        }
                        // The first of them was refused.
                        Err(error) => {
                            match error.raw_os_error() {
                                Some(libc::EMSGSIZE) => sent.too_big += 1,
                                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => {
                                    sent.unreachable += 1;
                                }
                                Some(libc::ENOBUFS) => sent.queue_full += 1,
                                _ => sent.refused += 1,
                            }
                            1
                        }
                    };
                    rest = rest.get(done..).unwrap_or_default();
                }
            }
        })
    }
}

const _: () = assert!(UDP_HEADER == 38, "the WIT interface says so");
