//! A router without a firewall as yet, and everything that goes in and out of it.
//!
//! ```text
//!            192.168.1.1/24, 2001:db8:1::1/64   lan0 +--------+ wan0     192.0.2.1/24, 2001:db8:2::1/64, default routes
//! host ----- 192.168.2.1/24, 2001:db8:12::1/64  lan1 | router | sixbone  10.3.0.1/24, 2001:db8:3::1/64,
//!      veth                                          +--------+          routes to 10.6.0.0/16, 2001:db8:6::/48
//!                         route to fd00:1::/48   lan0
//! ```
//!
//! `lan0`, `wan0` and `sixbone` are tun devices whose other ends this process holds: whatever bytes are written there come
//! in at the router, and whatever it sends is read there. Routing and filtering happen within the write, so what is to
//! come of a packet has come when it returns; a packet of the router itself to every wire, sent behind it through queues
//! that keep the order, then marks the end of what is read. What is delivered to the router is seen by raw sockets, which
//! the kernel gives a copy behind the input hook. `host` is a namespace for programs that need sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portreeve_tests::lab::{Failure, Lab, Netns, Result, Tun, veth};
use socket2::{Domain, Protocol, Socket, Type};

use super::packet::{self, ICMP, ICMPV6, IPV6, Packet, TCP, UDP};

/// Hosts behind `lan0`: one, and another that serves.
pub const LAN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xa);
pub const LAN4: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
pub const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xb);
pub const SERVER4: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);
/// Two hosts behind `wan0`, of different /64s.
pub const WAN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0xf);
pub const WAN4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
pub const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xe, 0, 0, 0, 0, 0xe);
pub const OTHER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 200);
/// A host behind `sixbone`.
pub const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 6);
pub const FAR4: Ipv4Addr = Ipv4Addr::new(10, 6, 0, 6);
/// The router, at every wire; a neighbour of it.
pub const ROUTER_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xf);
/// The host with sockets.
pub const HOST4: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 2);

const SENTINEL: &[u8] = b"portreeve-sentinel";
/// Nothing else uses it.
const SENTINEL_PORT: u16 = 60_999;
const WITHIN: Duration = Duration::from_secs(5);

/// A wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Lan,
    Wan,
    Tunnel,
}

pub const SIDES: [Side; 3] = [Side::Lan, Side::Wan, Side::Tunnel];

/// See the head of the file.
pub struct Place {
    wires: [Tun; 3],
    ears: Vec<(Domain, u8, UdpSocket)>,
    sentinel: UdpSocket,
    pub router: Netns,
    pub host: Netns,
}

/// What became of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What came out of the wires.
    pub out: Vec<(Side, Packet)>,
    /// What of it the router itself took, from the transport header on.
    pub taken: Vec<(u8, Vec<u8>)>,
}

impl Side {
    /// Of the router's end.
    pub const fn interface(self) -> &'static str {
        ["lan0", "wan0", "sixbone"][self as usize]
    }

    /// The router's address at this wire.
    pub fn router(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self as u16 + 1, 0, 0, 0, 0, 1)
    }

    /// See [`Self::router`].
    pub const fn router4(self) -> Ipv4Addr {
        [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(10, 3, 0, 1)][self as usize]
    }

    /// A host behind it.
    pub const fn host(self) -> Ipv6Addr {
        [LAN, WAN, FAR][self as usize]
    }

    /// See [`Self::host`].
    pub const fn host4(self) -> Ipv4Addr {
        [LAN4, WAN4, FAR4][self as usize]
    }
}

impl Place {
    /// In the lab, under this name.
    pub fn new(lab: &mut Lab, name: &str) -> Result<Self> {
        let router = lab.netns(name)?;
        let host = lab.netns(&format!("{name}-host"))?;
        for (name, value) in [
            // Nothing of the kernel's own is to decide in the firewall's place, or to keep it from answering.
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.default.send_redirects", "0"),
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv4.icmp_ratemask", "0"),
            ("net.ipv6.icmp.ratelimit", "0"),
            ("net.ipv6.icmp.ratemask", "\n"),
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
        ] {
            router.sysctl(name, value)?;
        }
        let wire = |side: Side| {
            let (name, own, own4) = (side.interface(), side.router(), side.router4());
            let wire = Tun::new(&router, name)?;
            for line in [
                format!("tc qdisc replace dev {name} root pfifo limit 1000"),
                // Only one that is known: what it formed by itself is random.
                format!("ip -6 addr flush dev {name} scope link"),
                format!("ip addr add {ROUTER_LINK}/64 dev {name} nodad"),
                format!("ip addr add {own}/64 dev {name} nodad"),
                format!("ip addr add {own4}/24 dev {name}"),
            ] {
                router.run(&line)?;
            }
            Ok::<_, Failure>(wire)
        };
        let wires = [wire(Side::Lan)?, wire(Side::Wan)?, wire(Side::Tunnel)?];
        veth((&router, "lan1", "02:00:5e:10:00:01"), (&host, "eth0", "02:00:5e:10:00:02"))?;
        for line in [
            "ip addr add 192.168.2.1/24 dev lan1",
            "ip addr add 2001:db8:12::1/64 dev lan1 nodad",
            "ip route add default dev wan0",
            "ip -6 route add default dev wan0",
            "ip route add 10.6.0.0/16 dev sixbone",
            "ip -6 route add 2001:db8:6::/48 dev sixbone",
            "ip -6 route add fd00:1::/48 dev lan0",
        ] {
            router.run(line)?;
        }
        for line in [
            "ip addr add 192.168.2.2/24 dev eth0",
            "ip addr add 2001:db8:12::2/64 dev eth0 nodad",
            "ip route add default via 192.168.2.1",
            "ip -6 route add default via 2001:db8:12::1",
        ] {
            host.run(line)?;
        }
        let ears = router.enter(ears)??;
        let sentinel = router.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
        Ok(Self { wires, ears, sentinel, router, host })
    }

    /// Sends it in at a wire, and gives what became of it.
    pub fn pass(&self, from: Side, packet: &Packet) -> Result<Seen> {
        self.pass_bytes(from, &packet.bytes())
    }

    /// As [`Self::pass`], with bytes.
    pub fn pass_bytes(&self, from: Side, bytes: &[u8]) -> Result<Seen> {
        self.settle()?;
        self.wires[from as usize].send(bytes)?;
        self.settle()
    }

    /// As [`Self::pass`], with a packet of the router itself.
    pub fn during(&self, send: impl FnOnce(&Netns) -> Result) -> Result<Seen> {
        self.settle()?;
        send(&self.router)?;
        self.settle()
    }

    /// The names of all tables, as nft lists them.
    pub fn tables(&self) -> Result<String> {
        self.router.output("nft list tables")
    }

    /// Only sends.
    pub fn send(&self, from: Side, bytes: &[u8]) -> Result {
        self.wires[from as usize].send(bytes)
    }

    /// The wire itself.
    pub fn wire(&self, side: Side) -> &Tun {
        &self.wires[side as usize]
    }

    /// All that has come out and arrived until now.
    fn settle(&self) -> Result<Seen> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut seen = Seen::default();
        for side in SIDES {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let sentinel = [SENTINEL, &number.to_be_bytes()].concat();
            let [a, b, c, _] = side.router4().octets();
            self.sentinel.send_to(&sentinel, (Ipv4Addr::new(a, b, c, 250), SENTINEL_PORT))?;
            loop {
                let bytes = self.wires[side as usize].receive(WITHIN)?;
                let bytes = bytes.ok_or_else(|| Failure::new(format!("no sentinel came out of {side:?}")))?;
                if bytes.ends_with(&sentinel) {
                    break;
                }
                let packet = Packet::read(&bytes).filter(|packet| !is_chatter(packet));
                seen.out.extend(
                    packet.filter(|p| !p.body.windows(SENTINEL.len()).any(|w| w == SENTINEL)).map(|p| (side, p)),
                );
            }
        }
        for (domain, protocol, ear) in &self.ears {
            let mut buffer = [0; 2048];
            while let Ok(length) = ear.recv(&mut buffer) {
                let header = if *domain == Domain::IPV4 { usize::from(buffer[0] & 15) * 4 } else { 0 };
                let body = buffer[..length].get(header..).unwrap_or_default();
                if packet::has_marker(body) {
                    seen.taken.push((*protocol, body.to_vec()));
                }
            }
        }
        Ok(seen)
    }
}

/// What the kernel sends on its own: neighbour discovery, multicast listeners.
fn is_chatter(packet: &Packet) -> bool {
    const IGMP: u8 = 2;
    let is_discovery = packet.protocol == ICMPV6 && (130..=143).contains(&packet.body[0]);
    // Reports have an extension header.
    (is_discovery || packet.protocol == 0 || packet.protocol == IGMP) && !packet.is_ours()
}

/// Raw sockets for all that tests send to the router.
fn ears() -> std::io::Result<Vec<(Domain, u8, UdpSocket)>> {
    let v4 = [ICMP, TCP, UDP, IPV6].map(|protocol| (Domain::IPV4, protocol));
    let v6 = [ICMPV6, TCP, UDP].map(|protocol| (Domain::IPV6, protocol));
    let open = |(domain, protocol): (Domain, u8)| {
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(i32::from(protocol))))?;
        // The type only brings safe calls.
        Ok((domain, protocol, UdpSocket::from(OwnedFd::from(socket))))
    };
    v4.into_iter().chain(v6).map(open).collect()
}

impl Seen {
    /// What came out of a wire.
    pub fn at(&self, side: Side) -> Vec<&Packet> {
        self.out.iter().filter(|(at, _)| *at == side).map(|(_, packet)| packet).collect()
    }

    /// The packet that was sent in came out there, and only there: it has this source and destination.
    pub fn is_through(&self, side: Side, source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> bool {
        let (source, destination) = (source.into(), destination.into());
        let is_it = |packet: &Packet| packet.source == source && packet.destination == destination && packet.is_ours();
        matches!(self.out.as_slice(), [(at, packet)] if *at == side && is_it(packet))
    }

    /// The router took it.
    pub fn is_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Nobody heard anything.
    pub fn is_nothing(&self) -> bool {
        self.out.is_empty() && self.taken.is_empty()
    }

    /// What is delivered at a socket of the router: where from and where to.
    pub fn taken_ports(&self) -> Option<(u16, u16)> {
        let (_, body) = self.taken.first()?;
        Some((u16::from_be_bytes([body[0], body[1]]), u16::from_be_bytes([body[2], body[3]])))
    }
}

/// An address with a port, of either family.
pub fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}
