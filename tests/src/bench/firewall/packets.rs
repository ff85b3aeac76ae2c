//! What a packet costs on its way through a router, from the client's end of one veth to the server's end of another: the
//! kernel does all of it in the system call that sends, or right behind it on the same core, so the time of many calls is
//! that of the way. Sender and server are in it; they are the same on both sides of the comparison.

use std::net::Ipv6Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockType, SockaddrLike as _, bind, socket};

use super::rulesets::{RULES, flow};
use super::swap::{CLIENT_MAC, Path, ROUTER_MAC, SERVER_MAC};
use crate::bench::batch::{BATCH, Outbox};
use crate::lab::{Failure, Result, wait_until};

/// Behind the server's interface, and nobody's: what comes is dropped there.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0xffff);
const TCP: u8 = 6;
const WITHIN: Duration = Duration::from_secs(5);

/// A router with packets that go through it.
pub struct Way {
    /// With the router.
    pub path: Path,
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
}

impl Way {
    /// Over this path. Each packet is of another of the foldable rules.
    ///
    /// # Errors
    /// If there is no packet socket.
    pub fn new(path: Path) -> Result<Self> {
        path.router.run(&format!("ip neigh replace {NOBODY} lladdr {SERVER_MAC} dev wan0 nud permanent"))?;
        let socket = path.client.enter(|| -> std::io::Result<OwnedFd> {
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
            let mut addresses = getifaddrs()?.filter(|found| found.interface_name == "eth0");
            let link = addresses.find_map(|found| found.address?.as_link_addr().copied());
            let link: LinkAddr = link.ok_or(std::io::ErrorKind::NotFound)?;
            debug_assert_eq!(link.family(), Some(AddressFamily::Packet));
            bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &link)?;
            Ok(socket)
        })??;
        // A step that has no common divisor with their number: neighbours are not neighbours.
        let frames = (0..RULES).map(|number| frame(number * 7 % RULES)).collect();
        Ok(Self { path, socket, frames })
    }

    /// Nanoseconds for each of at least `count` packets, all of which have come to the server.
    ///
    /// # Errors
    /// If some do not come.
    pub fn cost(&self, count: usize) -> Result<f64> {
        let before = self.came()?;
        let (mut outbox, mut sent) = (Outbox::<()>::new(), 0);
        let begun = Instant::now();
        for batch in self.frames.chunks(BATCH).cycle() {
            sent += outbox.send(&self.socket, batch, &[None; BATCH][..batch.len()])?;
            if sent >= count {
                break;
            }
        }
        let took = begun.elapsed();
        wait_until("all packets at the server", WITHIN, || {
            let came = self.came().ok()?.saturating_sub(before);
            (came >= u64::try_from(sent).unwrap_or(0)).then_some(())
        })?;
        Ok(took.as_secs_f64() * 1e9 / sent as f64)
    }

    /// How many packets have come to the server.
    fn came(&self) -> Result<u64> {
        let links = self.path.server.json("ip -j -s link show dev eth0")?;
        links[0]["stats64"]["rx"]["packets"].as_u64().ok_or_else(|| Failure::new("no count of packets"))
    }
}

/// A SYN that the rule of this number is about. Nobody looks at its checksum.
fn frame(number: u32) -> Vec<u8> {
    let (source, port) = flow(number);
    let mac = |text: &str| text.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Vec<_>>();
    let mut frame = [mac(ROUTER_MAC), mac(CLIENT_MAC), vec![0x86, 0xdd]].concat();
    frame.extend([0x60, 0, 0, 0, 0, 20, TCP, 64]);
    frame.extend(source.octets());
    frame.extend(NOBODY.octets());
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}
