//! Tun devices with segmentation offload: made to last, opened to exchange frames.
//!
//! A device is opened with IFF_VNET_HDR and TUNSETOFFLOAD, so that one frame can stand for up to 64 KiB of TCP. It is
//! made persistent: when its holder ends, addresses and routes on it stay, only its carrier goes.
#![expect(unsafe_code, reason = "the ioctls of /dev/net/tun have no safe wrapper")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Mutex, PoisonError};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::register;
use crate::sys::{BoxFuture, TunDevice, Written, frames};

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
    scratch: Mutex<Vec<u8>>,
}

impl Device {
    /// Takes hold of a device that is there; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ENODEV if there is none of this name, EBUSY if somebody else holds it, EINVAL if it is no tun device.
    pub fn open(name: &str) -> io::Result<Self> {
        // TUNSETIFF would make it.
        let index = nix::net::if_::if_nametoindex(name)?;
        let file = attach(name)?;
        let offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
        // SAFETY: the descriptor is open, and the request takes an integer.
        unsafe { tunsetoffload(file.as_raw_fd(), offloads as libc::c_int) }?;
        Ok(Self { file: register(file)?, index, scratch: Mutex::default() })
    }
}

impl TunDevice for Device {
    fn index(&self) -> u32 {
        self.index
    }

    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            loop {
                let mut ready = self.file.readable().await?;
                let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
                let mut batch = frames::Writer::new(&mut scratch, max.max(frames::LENGTH + MAX_FRAME));
                while batch.has_room(MAX_FRAME) {
                    match ready.try_io(|file| batch.push(|buffer| file.get_ref().read(buffer))) {
                        Ok(Ok(())) => {}
                        // What came in before the error is given first; the error comes again.
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

    fn send(&self, batch: Vec<u8>) -> BoxFuture<'_, io::Result<Written>> {
        Box::pin(async move {
            let mut written = Written::default();
            for frame in frames::iter(&batch) {
                let frame = frame?;
                match self.file.get_ref().write(frame) {
                    Ok(_) => written.frames += 1,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let sent = self.file.async_io(Interest::WRITABLE, |mut file| file.write(frame)).await;
                        if sent.is_ok() { written.frames += 1 } else { written.dropped += 1 }
                    }
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EBADFD | libc::ENODEV)) => {
                        return Err(error);
                    }
                    Err(_) => written.dropped += 1,
                }
            }
            Ok(written)
        })
    }
}
