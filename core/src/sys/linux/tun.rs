//! Tun devices with segmentation offload: made to last, opened to exchange frames.
//!
//! A device is opened with IFF_VNET_HDR and TUNSETOFFLOAD, so that one frame can stand for up to 64 KiB of TCP or UDP, as far
//! as the kernel has it. It is made persistent: when its holder ends, addresses and routes on it stay, only its carrier goes.
#![expect(unsafe_code, reason = "the ioctls of /dev/net/tun have no safe wrapper")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;

use super::refusals::{Refusals, kind};
use super::register;
use crate::sys::{Offloads, TunCounters, TunDevice, frames};

/// Bytes of struct virtio_net_hdr.
pub const VNET_HEADER: usize = 10;
/// Largest frame: header and a packet of 64 KiB, and a little for the kernel.
const MAX_FRAME: usize = VNET_HEADER + 65_536 + 256;

/// From linux/if_tun.h.
const IFF_TUN: libc::c_short = 0x0001;
const IFF_NO_PI: libc::c_short = 0x1000;
const IFF_VNET_HDR: libc::c_short = 0x4000;
const TUN_F_CSUM: libc::c_ulong = 0x01;
const TUN_F_TSO4: libc::c_ulong = 0x02;
const TUN_F_TSO6: libc::c_ulong = 0x04;
const TUN_F_TSO_ECN: libc::c_ulong = 0x08;
const TUN_F_USO4: libc::c_ulong = 0x20;
const TUN_F_USO6: libc::c_ulong = 0x40;

nix::ioctl_write_int_bad!(tunsetoffload, 0x4004_54d0u32 as libc::Ioctl);
nix::ioctl_write_int_bad!(tunsetpersist, 0x4004_54cbu32 as libc::Ioctl);
nix::ioctl_write_ptr_bad!(tunsetiff, 0x4004_54cau32 as libc::Ioctl, IfReq);

/// struct ifreq as TUNSETIFF reads it.
#[repr(C)]
pub struct IfReq {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

fn open_file() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open("/dev/net/tun")
}

/// Whether there are tun devices at all.
///
/// # Errors
/// EOPNOTSUPP without /dev/net/tun or the driver behind it.
pub fn probe() -> io::Result<()> {
    match open_file() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
        }
        other => other.map(drop),
    }
}

/// Makes a device that stays.
///
/// # Errors
/// EEXIST is not among them: a tun device of this name is taken as it is. EINVAL if another kind of link has the name,
/// EBUSY if somebody holds it, EPERM.
pub fn make(name: &str) -> io::Result<()> {
    let file = attach(name)?;
    // SAFETY: the descriptor is open, and the request takes an integer.
    unsafe { tunsetpersist(file.as_raw_fd(), 1) }?;
    Ok(())
}

fn attach(name: &str) -> io::Result<File> {
    let file = open_file()?;
    let mut request = IfReq { name: [0; libc::IFNAMSIZ], flags: IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, rest: [0; 22] };
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || bytes.contains(&0) || bytes.contains(&b'%') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.name.iter_mut().zip(bytes) {
        *to = *from;
    }
    // SAFETY: the pointer is to a struct of ifreq's size (40 bytes) that lives through the call.
    unsafe { tunsetiff(file.as_raw_fd(), &raw const request) }?;
    Ok(file)
}

/// A held device.
pub struct Device {
    file: AsyncFd<File>,
    index: u32,
    offloads: AtomicU8,
    refusals: Mutex<Refusals>,
    received: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// The ladder, with the flags of TUNSETOFFLOAD. Some kernels know less, some (6.6.44, 6.10.3 and vendors') take a flag
/// and refuse the frames.
const LADDER: [(Offloads, libc::c_ulong); 4] = [
    (Offloads::Udp, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6),
    (Offloads::Tcp, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN),
    (Offloads::Checksum, TUN_F_CSUM),
    (Offloads::None, 0),
];
/// For tests and diagnosis: `none`, `checksum`, `tcp` or `udp` in this variable is the most that is used.
const MOST: &str = "PORTREEVE_TUN_OFFLOADS";

impl Device {
    /// Takes hold of a device that is there; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ENODEV if there is none of this name, EBUSY if somebody else holds it, EINVAL if it is no tun device.
    pub fn open(name: &str) -> io::Result<Self> {
        // TUNSETIFF would make it.
        let index = nix::net::if_::if_nametoindex(name)?;
        let file = attach(name)?;
        // Another may have the name by now, or none had it and this is a new one.
        if nix::net::if_::if_nametoindex(name)? != index {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        let most = std::env::var(MOST).ok().and_then(|word| named(&word)).unwrap_or(Offloads::Udp);
        let offloads = climb(&file, most)?;
        Ok(Self {
            file: register(file)?,
            index,
            offloads: AtomicU8::new(offloads as u8),
            refusals: Mutex::default(),
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
            dropped: AtomicU64::default(),
        })
    }

    /// The kernel is told to keep packets to itself that it refuses when they come back.
    fn step_down(&self, to: Offloads) {
        if let Ok(offloads) = climb(self.file.get_ref(), to) {
            self.offloads.store(offloads as u8, Ordering::Relaxed);
            tracing::warn!(
                index = self.index,
                ?offloads,
                "the kernel refuses frames of a tun device: fewer offloads are used"
            );
        }
    }
}

/// Sets the most offloads that the kernel takes, at most `most`.
fn climb(file: &File, most: Offloads) -> io::Result<Offloads> {
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for (offloads, flags) in LADDER.into_iter().filter(|(offloads, _)| *offloads <= most) {
        // SAFETY: the descriptor is open, and the request takes an integer.
        match unsafe { tunsetoffload(file.as_raw_fd(), flags as libc::c_int) } {
            Ok(_) => return Ok(offloads),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn named(word: &str) -> Option<Offloads> {
    match word {
        "none" => Some(Offloads::None),
        "checksum" => Some(Offloads::Checksum),
        "tcp" => Some(Offloads::Tcp),
        "udp" => Some(Offloads::Udp),
        _ => None,
    }
}

impl TunDevice for Device {
    fn index(&self) -> u32 {
        self.index
    }

    fn offloads(&self) -> Offloads {
        let number = self.offloads.load(Ordering::Relaxed);
        LADDER.iter().map(|(offloads, _)| *offloads).find(|offloads| *offloads as u8 == number).unwrap_or_default()
    }

    fn poll_receive(&self, cx: &mut Context<'_>, into: &mut [u8], headroom: usize) -> Poll<io::Result<usize>> {
        let mut batch = frames::Writer::over(into, headroom);
        if !batch.has_room(MAX_FRAME) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ENOBUFS)));
        }
        let mut packets = 0;
        while packets == 0 {
            let mut ready = ready!(self.file.poll_read_ready(cx))?;
            while batch.has_room(MAX_FRAME) {
                match ready.try_io(|file| batch.push(|buffer| file.get_ref().read(buffer))) {
                    Ok(Ok(())) => packets += 1,
                    // What came in before the error is given first; the error comes again.
                    Ok(Err(error)) if packets == 0 => return Poll::Ready(Err(error)),
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        }
        self.received.fetch_add(packets, Ordering::Relaxed);
        Poll::Ready(Ok(batch.batch().len()))
    }

    fn send(&self, batch: &[u8]) -> io::Result<()> {
        let (mut sent, mut dropped, mut gone) = (0, 0, None);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        for frame in frames::iter(batch) {
            let Ok(frame) = frame else {
                dropped += 1;
                break;
            };
            if frame.len() > MAX_FRAME {
                dropped += 1;
                continue;
            }
            match self.file.get_ref().write(frame) {
                Ok(_) => {
                    sent += 1;
                    refusals.taken(kind(frame));
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EBADFD | libc::ENODEV)) => {
                    gone = Some(error);
                    break;
                }
                Err(error) => {
                    dropped += 1;
                    if error.raw_os_error() == Some(libc::EINVAL)
                        && let Some(below) = refusals.refused(kind(frame), self.offloads())
                    {
                        self.step_down(below);
                    }
                }
            }
        }
        drop(refusals);
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        gone.map_or(Ok(()), Err)
    }

    fn counters(&self) -> TunCounters {
        TunCounters {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}
