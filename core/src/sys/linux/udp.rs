//! UDP sockets: one bound to an interface and a port, or one connected to a peer; many datagrams for each system call
//! (recvmmsg, sendmmsg).
//!
//! All are IPv6 sockets that speak IPv4 as well (::ffff:a.b.c.d), so there is one code for both. Which of our addresses
//! a datagram came to, and from which an answer goes, is IPV6_PKTINFO's business (RFC 3542 section 6).
#![expect(unsafe_code, reason = "recvmmsg and sendmmsg with control messages have no wrapper that keeps its buffers")]

use std::cell::RefCell;
use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, SockAddr, Socket as Raw, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::register;
use crate::sys::{BoxFuture, UDP_HEADER, UdpHeader, UdpSent, UdpSocket, frames};

/// Datagrams that one system call sends.
const MANY: usize = 64;
/// Datagrams that one system call receives.
const STEP: usize = 16;
/// Room for each: the largest datagram. Pages that no datagram reaches are never touched.
const ROOM: usize = 65_536;
/// A batch of so many bytes is given without asking for more: it is at most this and what one system call brings.
const BATCH: usize = 1024 * 1024;
/// Room for one IPV6_PKTINFO with its header, in words so that it is aligned.
const CONTROL: usize = 8;
/// Buffers of a listening socket in bytes, each way: many peers share it.
const LISTEN_BUFFER: usize = 4 * 1024 * 1024;
/// Of a connected one.
const CONNECT_BUFFER: usize = 256 * 1024;
/// Errors of earlier datagrams that may stand before one that is sent.
const PENDING: usize = 4;

thread_local! {
    /// What all sockets of a plugin's thread receive into.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
pub struct Socket {
    fd: AsyncFd<OwnedFd>,
    /// Of a listening one, the interface that it is bound to. Whatever a datagram says, it leaves there: the kernel would
    /// take another number in IPV6_PKTINFO or a scope without comparing.
    interface: u32,
    /// Of a connected one, the ends.
    ends: Option<(SocketAddrV6, SocketAddrV6)>,
    /// The error of an earlier datagram that a later one was told, for whoever receives.
    pending: Mutex<Option<io::Error>>,
    told: Notify,
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

/// Binds to a port of an interface, which goes by its number: another that is given its name meanwhile is not meant.
///
/// # Errors
/// ENODEV, EADDRINUSE, EPERM.
pub fn bind(socket: &Raw, interface: u32, port: u16) -> io::Result<()> {
    let interface = NonZeroU32::new(interface).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    socket.bind_device_by_index_v6(Some(interface))?;
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
    pub fn listen(interface: u32, port: u16) -> io::Result<Self> {
        let socket = dual(Type::DGRAM, Protocol::UDP)?;
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?;
        bind(&socket, interface, port)?;
        Self::new(socket, interface, None, LISTEN_BUFFER)
    }

    /// Talks to one peer; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ENETUNREACH.
    pub fn connect(remote: SocketAddr) -> io::Result<Self> {
        let socket = dual(Type::DGRAM, Protocol::UDP)?;
        socket.connect(&SockAddr::from(mapped(remote)))?;
        let ends = (end(socket.local_addr())?, mapped(remote));
        Self::new(socket, 0, Some(ends), CONNECT_BUFFER)
    }

    fn new(socket: Raw, interface: u32, ends: Option<(SocketAddrV6, SocketAddrV6)>, buffer: usize) -> io::Result<Self> {
        // Without CAP_NET_ADMIN the buffers stay at what net.core allows.
        let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &buffer);
        let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::SndBufForce, &buffer);
        let fd = register(socket.into())?;
        Ok(Self { fd, interface, ends, pending: Mutex::default(), told: Notify::new() })
    }

    /// Takes what is there, at most `max` datagrams or about [`BATCH`] bytes.
    fn receive_now(&self, max: usize) -> io::Result<Vec<u8>> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(STEP * ROOM, 0);
            let (mut table, mut batch, mut left) = (Table::new(STEP), Vec::new(), max.max(1));
            loop {
                match self.receive_some(left.min(STEP), &mut table, scratch, &mut batch) {
                    Ok(count) => {
                        left -= count;
                        if count < STEP || left == 0 || batch.len() >= BATCH {
                            return Ok(batch);
                        }
                    }
                    // What came in before the error is given first.
                    Err(error) if !batch.is_empty() => {
                        if error.kind() != io::ErrorKind::WouldBlock {
                            self.remember(error);
                        }
                        return Ok(batch);
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// One system call; appends to the batch and tells how many datagrams.
    fn receive_some(
        &self,
        many: usize,
        table: &mut Table,
        scratch: &mut [u8],
        batch: &mut Vec<u8>,
    ) -> io::Result<usize> {
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
        for ((message, slot), room) in
            table.messages.iter().zip(&table.slots).zip(scratch.chunks_exact(ROOM)).take(count)
        {
            let header = self.header(message, slot);
            let payload = room.get(..message.msg_len as usize).unwrap_or_default();
            header.push(payload, batch);
        }
        Ok(count)
    }

    fn remember(&self, error: io::Error) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.told.notify_one();
    }

    fn remembered(&self) -> Option<io::Error> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sends the first of `datagrams`, as many as the kernel takes at once. On a connected socket the kernel tells the next
    /// datagram of the ICMP errors for those before it: they are for the receiver, and the datagram is sent all the same.
    fn send_first(&self, datagrams: &[(UdpHeader, &[u8])]) -> io::Result<usize> {
        let mut earlier = None;
        for _ in 0..PENDING {
            match self.send_now(datagrams) {
                Err(error) if self.ends.is_some() && error.kind() != io::ErrorKind::WouldBlock => {
                    earlier = Some(error);
                }
                done => {
                    earlier.into_iter().for_each(|error| self.remember(error));
                    return done;
                }
            }
        }
        // It comes every time: it is of this datagram.
        Err(earlier.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EINVAL)))
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
        let mut table = Table::new(datagrams.len().min(MANY));
        let slots = table.slots.iter_mut().zip(&mut table.messages);
        let mut count = 0;
        for ((slot, message), (header, payload)) in slots.zip(datagrams) {
            slot.vector = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
            slot.address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            slot.address.sin6_port = header.port.to_be();
            slot.address.sin6_addr.s6_addr = header.peer.octets();
            slot.address.sin6_scope_id = self.interface;
            if self.ends.is_some() {
                slot.point(message, 0);
                message.msg_hdr.msg_name = std::ptr::null_mut();
                message.msg_hdr.msg_namelen = 0;
            } else if header.local.is_unspecified() {
                slot.point(message, 0);
            } else {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: header.local.octets() },
                    ipi6_ifindex: self.interface,
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
    fn new(many: usize) -> Self {
        // SAFETY: all three are plain C structs of integers and pointers, for which zeros are a legal value.
        let (slot, message) = unsafe { (|| mem::zeroed::<Slot>(), mem::zeroed::<libc::mmsghdr>()) };
        Self { slots: (0..many).map(|_| slot()).collect(), messages: vec![message; many].into_boxed_slice() }
    }
}

impl UdpSocket for Socket {
    fn local(&self) -> io::Result<SocketAddrV6> {
        end(socket2::SockRef::from(&self.fd).local_addr())
    }

    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            loop {
                if let Some(error) = self.remembered() {
                    return Err(error);
                }
                tokio::select! {
                    () = self.told.notified() => {}
                    ready = self.fd.readable() => {
                        if let Ok(batch) = ready?.try_io(|_| self.receive_now(max)) {
                            return batch;
                        }
                    }
                }
            }
        })
    }

    fn send(&self, batch: Vec<u8>) -> BoxFuture<'_, io::Result<UdpSent>> {
        Box::pin(async move {
            let mut sent = UdpSent::default();
            let mut datagrams = Vec::with_capacity(MANY);
            let mut frames = frames::iter(&batch).map(|frame| frame.ok().and_then(UdpHeader::split));
            loop {
                datagrams.clear();
                // The first fault ends the batch.
                let mut whole = true;
                let next = frames.by_ref().take(MANY).map_while(|datagram| {
                    whole = datagram.is_some();
                    datagram
                });
                datagrams.extend(next);
                let is_last = !whole || datagrams.len() < MANY;
                let mut rest = datagrams.as_slice();
                while !rest.is_empty() {
                    let mut result = self.send_first(rest);
                    if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                        result = self.fd.async_io(Interest::WRITABLE, |_| self.send_first(rest)).await;
                    }
                    let done = sent.count(result);
                    rest = rest.get(done..).unwrap_or_default();
                }
                if !whole {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                }
                if is_last {
                    return Ok(sent);
                }
            }
        })
    }
}

const _: () = assert!(UDP_HEADER == 38, "the WIT interface says so");
