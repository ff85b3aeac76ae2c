//! A router in a namespace with three tun devices: rulesets are installed in it, packets written to it, and what comes out
//! is told.

use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use portreeve_firewall::install::{self, Existing};
use portreeve_firewall::ruleset::Ruleset;
use portreeve_nftables::{Endian, Family};
use portreeve_tests::lab::{Failure, Lab, Netfilter, Netns, Result, Tun, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::packets::{
    ADDRESSES, Crafted, DEVICES, Exit, ROUTES, SENTINEL, Way, is_same, is_sentinel, number, sentinel,
};

const WITHIN: Duration = Duration::from_secs(10);
/// Protocols that packets have: TCP, UDP, both ICMPs, and those without anybody to take them.
const PROTOCOLS: [i32; 7] = [1, 6, 17, 58, 47, 50, 89];
/// linux/in.h: the header is the sender's.
const IPPROTO_RAW: i32 = 255;

/// The router.
pub struct Place {
    _netns: Netns,
    netfilter: Netfilter,
    devices: Vec<Tun>,
    /// They hear what the router takes for itself.
    heard: Vec<Socket>,
    /// Hears the last packet for the router.
    last: Socket,
    /// Send as programs of the router: IPv4, IPv6.
    programs: [Socket; 2],
}

impl Place {
    /// A new one in this lab.
    pub fn new(lab: &mut Lab, name: &str) -> Result<Self> {
        let netns = lab.netns(name)?;
        let devices = DEVICES.iter().map(|device| Tun::new(&netns, device)).collect::<Result<_>>()?;
        for sysctl in ["all", "default", "lan0", "wan0", "dmz0"] {
            netns.sysctl(&format!("net.ipv4.conf.{sysctl}.rp_filter"), "0")?;
            netns.sysctl(&format!("net.ipv4.conf.{sysctl}.send_redirects"), "0")?;
            netns.sysctl(&format!("net.ipv4.conf.{sysctl}.accept_redirects"), "0")?;
            netns.sysctl(&format!("net.ipv6.conf.{sysctl}.accept_redirects"), "0")?;
        }
        netns.sysctl("net.ipv4.ip_forward", "1")?;
        netns.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        for address in ADDRESSES {
            netns.run(&format!("ip addr add {address}"))?;
        }
        for route in ROUTES {
            netns.run(&format!("ip {route}"))?;
        }
        let raw = |domain, protocol: i32| -> Result<Socket> {
            let socket = netns.enter(|| Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))))??;
            socket.set_recv_buffer_size(4 << 20)?;
            Ok(socket)
        };
        let mut heard = Vec::new();
        for domain in [Domain::IPV4, Domain::IPV6] {
            for protocol in PROTOCOLS {
                let socket = raw(domain, protocol)?;
                socket.set_nonblocking(true)?;
                heard.push(socket);
            }
        }
        let last = raw(Domain::IPV4, i32::from(SENTINEL))?;
        last.set_read_timeout(Some(WITHIN))?;
        let programs = [raw(Domain::IPV4, IPPROTO_RAW)?, raw(Domain::IPV6, IPPROTO_RAW)?];
        let netfilter = Netfilter::open(&netns)?;
        Ok(Self { _netns: netns, netfilter, devices, heard, last, programs })
    }

    /// Puts a ruleset in force in place of the one before.
    pub fn install(&self, ruleset: &Ruleset) -> Result {
        let mut ruleset = ruleset.clone();
        install::stamp(&mut ruleset);
        let mut existing = Existing::default();
        for request in install::requests(Endian::NATIVE, 1) {
            for datagram in self.netfilter.dump(&request)? {
                let read = existing.absorb(Endian::NATIVE, &datagram);
                read.map_err(|error| Failure::new(format!("cannot read what is there: {error:?}")))?;
            }
        }
        let generation = self.netfilter.generation()?;
        let built = install::batch(&ruleset, &existing, Some(generation), Endian::NATIVE);
        let built = built.map_err(|refusal| Failure::new(format!("cannot be written: {refusal}")))?;
        for stage in &built.stages {
            let objections = self.netfilter.transact(stage)?;
            ensure(objections.is_empty(), || {
                let told = install::explain(&ruleset, &built, &objections);
                format!("the kernel refuses it: {objections:?}\n{told:#?}")
            })?;
        }
        Ok(())
    }

    /// No table, no connections.
    pub fn clear(&self) -> Result {
        /// IPCTNL_MSG_CT_DELETE of ctnetlink, with NLM_F_REQUEST and NLM_F_ACK, for all there are.
        const FLUSH: u16 = 1 << 8 | 2;
        self.netfilter.remove(Family::Inet, install::TABLE)?;
        let mut flush = 20_u32.to_ne_bytes().to_vec();
        flush.extend(FLUSH.to_ne_bytes());
        flush.extend(5_u16.to_ne_bytes());
        flush.resize(20, 0);
        // A kernel without connection tracking has nothing to forget.
        self.netfilter.dump(&flush).map(drop)
    }

    /// Sends the packets in order, and tells of each where it came out.
    pub fn pass(&self, packets: &[Crafted]) -> Result<Vec<Option<Exit>>> {
        for packet in packets {
            match packet.way {
                Way::In(device) => self.devices[device].send(&packet.bytes)?,
                Way::FromRouter => self.send(&packet.bytes),
            }
        }
        let mut exits = vec![None; packets.len()];
        for (at, device) in self.devices.iter().enumerate() {
            let (from, last) = sentinel(Exit::Device(at));
            self.devices[from].send(&last)?;
            for bytes in device.receive_until(WITHIN, is_sentinel)? {
                let Some(number) = number(&bytes).filter(|number| *number < packets.len()) else { continue };
                // Answers of the router quote what they answer.
                if is_same(&bytes, &packets[number].bytes) {
                    exits[number] = Some(Exit::Device(at));
                }
            }
        }
        let (from, last) = sentinel(Exit::Router);
        self.devices[from].send(&last)?;
        let mut buffer = [0; 4096];
        let length = (&self.last).read(&mut buffer);
        length.map_err(|error| Failure::new(format!("the last packet for the router does not come: {error}")))?;
        for socket in &self.heard {
            while let Ok(length) = (&*socket).read(&mut buffer) {
                let Some(number) = number(&buffer[..length]).filter(|number| *number < packets.len()) else { continue };
                // What the router sends and rejects itself comes back to it in an error.
                if packets[number].exit == Exit::Router {
                    exits[number] = Some(Exit::Router);
                }
            }
        }
        Ok(exits)
    }

    /// What the kernel has against it (EPERM if a rule drops it) shows in what comes out.
    fn send(&self, packet: &[u8]) {
        let (socket, to): (_, SocketAddr) = match (packet.get(16..20), packet.get(24..40)) {
            (Some(octets), _) if packet[0] >> 4 == 4 => {
                let octets: [u8; 4] = octets.try_into().unwrap_or_default();
                (&self.programs[0], (Ipv4Addr::from(octets), 0).into())
            }
            (_, Some(octets)) => {
                let octets: [u8; 16] = octets.try_into().unwrap_or_default();
                (&self.programs[1], (Ipv6Addr::from(octets), 0).into())
            }
            _ => return,
        };
        let _ = socket.send_to(packet, &to.into());
    }
}
