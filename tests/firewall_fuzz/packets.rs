//! Random packets from a small pool of addresses, ports and kinds, so that random rules hit: as bytes for the kernel, and as
//! the interpreter of the plugin sees them.
//!
//! Each ends with a mark and its number, by which it is known wherever it comes out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use portreeve_firewall::ruleset::ct;
use portreeve_firewall::trace::{Assumptions, Packet, Path};
use portreeve_packet::checksum::Checksum;

/// The router's devices.
pub const DEVICES: [&str; 3] = ["lan0", "wan0", "dmz0"];
/// Their addresses.
pub const ADDRESSES: [&str; 5] = [
    "10.1.0.1/16 dev lan0",
    "198.51.100.1/24 dev wan0",
    "10.3.0.1/16 dev dmz0",
    "2001:db8:1::1/48 dev lan0",
    "2001:db8:f::1/64 dev wan0",
];
/// The rest of its routes.
pub const ROUTES: [&str; 3] =
    ["-4 route add default dev wan0", "-6 route add default dev wan0", "-6 route add 2001:db8:3::/48 dev dmz0"];
/// Experiments (RFC 3692 section 2.1): every policy lets it pass, the last of the packets is of it.
pub const SENTINEL: u8 = 253;
/// Ports that packets have and rules ask for.
pub const PORTS: [u16; 10] = [22, 53, 80, 113, 443, 1000, 1500, 2000, 8080, 40_000];
/// Hosts of IPv4, those of the router's own networks first.
pub const HOSTS4: [&str; 9] = [
    "10.1.0.2",
    "10.1.0.3",
    "10.1.0.77",
    "10.1.9.9",
    "10.3.0.2",
    "10.3.0.5",
    "192.0.2.1",
    "198.51.100.9",
    "203.0.113.7",
];
/// Hosts of IPv6.
pub const HOSTS6: [&str; 9] = [
    "2001:db8:1::2",
    "2001:db8:1::3",
    "2001:db8:1::77",
    "2001:db8:1:9::77",
    "2001:db8:3::2",
    "2001:db8:3::5",
    "2001:db8:f::9",
    "2001:db8:aaaa::1",
    "2002:a00:1::1",
];
const ROUTER4: [&str; 2] = ["10.1.0.1", "198.51.100.1"];
const ROUTER6: [&str; 2] = ["2001:db8:1::1", "2001:db8:f::1"];
const MARK: [u8; 4] = *b"fwfz";
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;
/// Of IPv4: more than nothing lies before it.
const LATER_FRAGMENT: u16 = 185;

/// How a packet comes to the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By this device.
    In(usize),
    /// From a program of the router.
    FromRouter,
}

/// Where a packet came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By this device.
    Device(usize),
    /// It was for the router itself.
    Router,
}

/// A packet.
#[derive(Clone, Debug)]
pub struct Crafted {
    pub bytes: Vec<u8>,
    pub way: Way,
    /// Where it comes out if nobody drops it.
    pub exit: Exit,
    /// As the interpreter sees it, without a state.
    pub seen: Packet,
}

/// A packet with this number. `fragments`: some are later fragments, which connection tracking would hold back.
pub fn random(random: &mut Rng, number: u32, fragments: bool) -> Crafted {
    let is_v6 = random.bool();
    let pool = if is_v6 { &HOSTS6[..] } else { &HOSTS4[..] };
    let own = if is_v6 { &ROUTER6[..] } else { &ROUTER4[..] };
    let path = match random.u8(0..20) {
        0..12 => Path::Through,
        12..17 => Path::ToRouter,
        _ => Path::FromRouter,
    };
    let host = address(pool[random.usize(0..pool.len())]);
    let router = address(own[random.usize(0..own.len())]);
    let (source, destination) = match path {
        Path::Through => (host, address(pool[random.usize(0..pool.len())])),
        Path::ToRouter => (host, router),
        Path::FromRouter => (router, host),
    };
    let device = if random.u8(0..4) == 0 { random.usize(0..DEVICES.len()) } else { route(source) };
    let way = if path == Path::FromRouter { Way::FromRouter } else { Way::In(device) };
    let hop_limit = *choose(random, &[255, 64, 64, 2]);
    let upper = upper(random, is_v6, source, destination, number);
    let later = fragments && !is_v6 && path == Path::Through && random.u8(0..25) == 0;
    let extended = is_v6 && random.u8(0..12) == 0;
    let bytes = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4(source, destination, upper.protocol, hop_limit, if later { LATER_FRAGMENT } else { 0 }, &upper.bytes)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ipv6(source, destination, upper.protocol, hop_limit, extended, &upper.bytes)
        }
        _ => unreachable!("both ends are of one family"),
    };
    let exit = if path == Path::ToRouter { Exit::Router } else { Exit::Device(route(destination)) };
    let out = match exit {
        Exit::Device(device) => Some(DEVICES[device].to_owned()),
        Exit::Router => None,
    };
    let mut seen = Packet::new(path, source, destination, upper.protocol);
    seen.input = (path != Path::FromRouter).then(|| DEVICES[device].to_owned());
    seen.output = out;
    // What is forwarded has passed one hop by the time the rules of forwarding see it; no other rule here asks.
    seen.hop_limit = if path == Path::Through { hop_limit - 1 } else { hop_limit };
    seen.ct_state = ct::NEW;
    seen.assume = Assumptions {
        source_routes_back: route(source) == device,
        source_has_route: true,
        destination_is_local: None,
        member_of: Vec::new(),
    };
    (seen.source_port, seen.destination_port) = upper.ports.unzip();
    (seen.icmp, seen.tcp_flags) = (upper.icmp, upper.tcp_flags);
    if later {
        seen.fragment = LATER_FRAGMENT;
        (seen.source_port, seen.destination_port, seen.icmp, seen.tcp_flags) = (None, None, None, None);
    }
    Crafted { bytes, way, exit, seen }
}

/// The last packet: it comes in by the device and goes out by that of the destination, or to the router.
pub fn sentinel(to: Exit) -> (usize, Vec<u8>) {
    let (device, source, destination) = match to {
        Exit::Device(0) => (1, [192, 0, 2, 250], [10, 1, 0, 250]),
        Exit::Device(1) => (0, [10, 1, 0, 250], [192, 0, 2, 250]),
        Exit::Device(_) => (0, [10, 1, 0, 250], [10, 3, 0, 250]),
        Exit::Router => (0, [10, 1, 0, 250], [10, 1, 0, 1]),
    };
    (device, ipv4(source.into(), destination.into(), SENTINEL, 64, 0, b"the last"))
}

/// Whether it is one, from its IP header on.
pub fn is_sentinel(packet: &[u8]) -> bool {
    packet.first() == Some(&0x45) && packet.get(9) == Some(&SENTINEL)
}

/// The number at the end of a packet, or of what a raw socket gives of it.
pub fn number(bytes: &[u8]) -> Option<usize> {
    let (rest, number) = bytes.split_last_chunk::<4>()?;
    rest.ends_with(&MARK).then_some(u32::from_be_bytes(*number) as usize)
}

/// Whether a packet is another on its way, not an answer that quotes it: both addresses are the same.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let addresses = |packet: &[u8]| match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(12..20).map(<[u8]>::to_vec),
        _ => packet.get(8..40).map(<[u8]>::to_vec),
    };
    addresses(one).is_some() && addresses(one) == addresses(other)
}

/// The device that a destination is reached by.
pub fn route(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [10, 1, ..] => 0,
            [10, 3, ..] => 2,
            _ => 1,
        },
        IpAddr::V6(address) => match address.segments() {
            [0x2001, 0xdb8, 1, ..] => 0,
            [0x2001, 0xdb8, 3, ..] => 2,
            _ => 1,
        },
    }
}

struct Upper {
    protocol: u8,
    bytes: Vec<u8>,
    ports: Option<(u16, u16)>,
    icmp: Option<(u8, u8)>,
    tcp_flags: Option<u8>,
}

fn upper(random: &mut Rng, is_v6: bool, source: IpAddr, destination: IpAddr, number: u32) -> Upper {
    let tail = [MARK, number.to_be_bytes()].concat();
    let mut upper = Upper { protocol: 0, bytes: Vec::new(), ports: None, icmp: None, tcp_flags: None };
    let checksum_at = match random.u8(0..20) {
        0..8 => {
            let (from, to) = (*choose(random, &PORTS), *choose(random, &PORTS));
            let flags = *choose(random, &[0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0x03, 0xc2]);
            upper.protocol = TCP;
            upper.bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
            upper.bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            upper.bytes.extend(&tail);
            (upper.ports, upper.tcp_flags) = (Some((from, to)), Some(flags));
            Some(16)
        }
        8..14 => {
            let (from, to) = (*choose(random, &PORTS), *choose(random, &PORTS));
            upper.protocol = UDP;
            upper.bytes = [from.to_be_bytes(), to.to_be_bytes(), [0, 16], [0, 0]].concat();
            upper.bytes.extend(&tail);
            upper.ports = Some((from, to));
            Some(6)
        }
        14..18 => {
            let kinds: &[(u8, u8)] = if is_v6 {
                &[
                    (128, 0),
                    (129, 0),
                    (1, 0),
                    (1, 4),
                    (2, 0),
                    (3, 0),
                    (3, 1),
                    (4, 1),
                    (135, 0),
                    (136, 0),
                    (139, 0),
                    (144, 0),
                    (200, 0),
                ]
            } else {
                &[(8, 0), (0, 0), (3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (13, 0), (4, 0)]
            };
            let (kind, code) = *choose(random, kinds);
            upper.protocol = if is_v6 { ICMPV6 } else { ICMP };
            upper.bytes = vec![kind, code, 0, 0, 0, 9, 0, 1];
            upper.bytes.extend([0; 40]);
            upper.bytes.extend(&tail);
            upper.icmp = Some((kind, code));
            Some(2)
        }
        // TCP that ends behind its ports; the other family's ICMP, which is none.
        18 => {
            let is_tcp = random.bool();
            let (from, to) = (*choose(random, &PORTS), *choose(random, &PORTS));
            upper.protocol = match (is_tcp, is_v6) {
                (true, _) => TCP,
                (false, true) => ICMP,
                (false, false) => ICMPV6,
            };
            upper.ports = is_tcp.then_some((from, to));
            let first = if is_tcp { [from.to_be_bytes(), to.to_be_bytes()].concat() } else { vec![128, 0, 0, 0] };
            upper.bytes = [&first[..], &tail].concat();
            None
        }
        _ => {
            upper.protocol = *choose(random, &[50, 47, 89]);
            upper.bytes = [&[0; 8][..], &tail].concat();
            None
        }
    };
    if let Some(at) = checksum_at {
        let length = u32::try_from(upper.bytes.len()).unwrap_or(0);
        let mut sum = match (source, destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Checksum::ipv6_pseudo_header(source, destination, upper.protocol, length)
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) if upper.protocol != ICMP => {
                let mut sum = Checksum::new();
                sum.add(&source.octets());
                sum.add(&destination.octets());
                sum.add(&[0, upper.protocol]);
                sum.add(&u16::try_from(length).unwrap_or(0).to_be_bytes());
                sum
            }
            _ => Checksum::new(),
        };
        sum.add(&upper.bytes);
        upper.bytes[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
    }
    upper
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, hops: u8, fragment: u16, upper: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(u16::try_from(20 + upper.len()).unwrap_or(u16::MAX).to_be_bytes());
    header.extend([0, 7]);
    header.extend(fragment.to_be_bytes());
    header.extend([hops, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let mut sum = Checksum::new();
    sum.add(&header);
    header[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    [&header, upper].concat()
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, hops: u8, extended: bool, upper: &[u8]) -> Vec<u8> {
    // PadN of 4 bytes (RFC 8200 section 4.2).
    let options = [protocol, 0, 1, 4, 0, 0, 0, 0];
    let (next, options) = if extended { (DESTINATION_OPTIONS, &options[..]) } else { (protocol, &[][..]) };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(options.len() + upper.len()).unwrap_or(u16::MAX).to_be_bytes());
    packet.extend([next, hops]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(options);
    packet.extend(upper);
    packet
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn choose<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(0..from.len())]
}
