//! Tunnel ends of 6in4 that are no Portreeve, to compare it with and to stand at the other end. Each runs in a process of
//! its own, for ever, and makes its tun device.
//!
//! [`plain`] is the minimal one, as one would write it first: a tun device, a raw socket of protocol 41, one thread that
//! polls both, one packet for each system call, no offloads, no check of anything. [`offload`] is Portreeve's own data
//! path and system calls without the sandbox: what the sandbox costs is the difference.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Instant;

use portreeve::sys::linux::LinuxKernel;
use portreeve::sys::network::Change;
use portreeve::sys::{Ipv4Socket, Kernel as _, TunDevice};
use portreeve_network::Kind;
use portreeve_tunnels::sixin4::{self, DataPath, Remote, Settings};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::lab::{Failure, Result};

/// IPv6 in IPv4 (RFC 4213).
const PROTOCOL: u8 = 41;
/// What the plugin asks for at once.
const BATCH: usize = 256 * 1024;
/// Receive and send buffer of the plain relay's socket, as large as Portreeve's.
const BUFFER: usize = 4 * 1024 * 1024;

/// Relays packet by packet until something fails.
///
/// # Errors
/// What failed.
pub fn plain(interface: &str, local: Ipv4Addr, remote: Ipv4Addr) -> Result<std::convert::Infallible> {
    let mut configuration = tun::Configuration::default();
    configuration.tun_name(interface);
    let device = tun::create(&configuration).map_err(|error| Failure::new(format!("tun {interface}: {error}")))?;
    let tun = owned(&device)?;
    let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::from(i32::from(PROTOCOL))))?;
    // Without the right to it the buffers stay at what net.core allows.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.bind(&SockAddr::from(SocketAddrV4::new(local, 0)))?;
    socket.connect(&SockAddr::from(SocketAddrV4::new(remote, 0)))?;
    rustix::io::ioctl_fionbio(&tun, true).map_err(std::io::Error::from)?;
    let mut buffer = vec![0; 65_536];
    loop {
        let mut both = [PollFd::new(&tun, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        poll(&mut both, None).map_err(std::io::Error::from)?;
        let (out, back) = (both[0].revents(), both[1].revents());
        if out.contains(PollFlags::IN)
            && let Some(length) = there(rustix::io::read(&tun, &mut buffer[..]))?
        {
            // One that cannot be sent is lost, as in any network.
            let _ = socket.send(&buffer[..length]);
        }
        if !back.is_empty()
            && let Some(length) = there(rustix::io::read(&socket, &mut buffer[..]))?
        {
            let header = usize::from(buffer[0] & 15) * 4;
            let _ = rustix::io::write(&tun, &buffer[header.min(length)..length]);
        }
    }
}

/// The device's descriptor as a value of its own, which `poll` can borrow.
fn owned(device: &tun::Device) -> Result<OwnedFd> {
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty()).map_err(std::io::Error::from)?;
    let copy = pidfd_getfd(&ourselves, device.as_raw_fd(), PidfdGetfdFlags::empty());
    Ok(copy.map_err(std::io::Error::from)?)
}

/// What a read gave; nothing if there was nothing, or only the word on an earlier packet.
fn there(read: std::result::Result<usize, Errno>) -> Result<Option<usize>> {
    match read {
        Ok(length) => Ok(Some(length)),
        Err(Errno::AGAIN | Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NOPROTOOPT) => Ok(None),
        // The device is not up yet.
        Err(Errno::IO) => Ok(None),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

/// Relays in batches until something fails.
///
/// # Errors
/// What failed.
pub fn offload(interface: &str, local: Ipv4Addr, remote: Ipv4Addr) -> Result<std::convert::Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let kernel = LinuxKernel::start().await?;
        let make = Change::MakeLink { name: interface.to_owned(), kind: Kind::Tun, alias: "bench".to_owned() };
        for answer in kernel.change(vec![make]).await? {
            answer.map_err(|refusal| Failure::new(format!("tun {interface}: {}", refusal.error)))?;
        }
        let device = kernel.open_tun(interface)?;
        let socket = kernel.open_ipv4(PROTOCOL, Some(local), Some(remote))?;
        let settings = Settings { local: Some(local), ..Settings::new(Remote::Address(remote)) };
        let out = outwards(DataPath::new(settings.clone()), &*device, &*socket);
        let back = inwards(DataPath::new(settings), &*device, &*socket);
        Ok(tokio::try_join!(out, back)?.0)
    })
}

/// Why a relay ended; it never ends well.
type Ended = std::io::Result<std::convert::Infallible>;

async fn outwards(mut path: DataPath, device: &dyn TunDevice, socket: &dyn Ipv4Socket) -> Ended {
    let (start, mut room, mut batch) = (Instant::now(), 0, vec![0; BATCH]);
    loop {
        let length = poll_fn(|cx| device.poll_receive(cx, &mut batch, 0)).await?;
        let batch = &batch[..length];
        let (mut out, mut back) = (Vec::with_capacity(room), Vec::new());
        path.encapsulate(batch, &mut out, &mut back, since(start));
        room = room.max(out.len());
        if !out.is_empty() {
            socket.send(out).await?;
        }
        if !back.is_empty() {
            device.send(&back)?;
        }
    }
}

async fn inwards(mut path: DataPath, device: &dyn TunDevice, socket: &dyn Ipv4Socket) -> Ended {
    let (start, mut room) = (Instant::now(), 0);
    loop {
        let batch = socket.receive(BATCH).await?;
        let mut out = Vec::with_capacity(room);
        path.decapsulate(&batch, &mut out, since(start));
        room = room.max(out.len());
        if !out.is_empty() {
            device.send(&out)?;
        }
    }
}

fn since(start: Instant) -> sixin4::Instant {
    sixin4::Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
