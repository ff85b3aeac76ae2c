//! Packets, batches and a session table for tests. Nothing here is shared with what is tested but the frame format.

use crate::flow::{Endpoint4, Endpoint6, Inbound, Outbound, Protocol, Refusal, Sessions, TcpFlags};
use crate::xlat::{AddressMap, DataPath, Eam, Mode, NoSessions, Pref64, Settings};
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::{Frames, Vnet, push_headroom, push_tun_frame};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The translator itself.
pub const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
pub const ROUTER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// An IPv4 host out there.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(8, 8, 4, 4);
/// An IPv6 host, and the IPv4 address it has by the table, or shares in the pool.
pub const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
pub const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Another one.
pub const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
pub const OTHER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// What ports of the pool differ by from those of the hosts.
pub const PORT_KEY: u16 = 0x5a5a;

pub fn prefix() -> Pref64 {
    Pref64::new(Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0), 96).unwrap()
}

pub fn embedded(address: Ipv4Addr) -> Ipv6Addr {
    prefix().embed(address)
}

pub fn settings() -> Settings {
    Settings { sources4: vec![ROUTER4], ..Settings::new(prefix(), ROUTER6) }
}

/// 192.0.2.0/28 is 2001:db8:1::/124.
pub fn table() -> AddressMap {
    let eam = Eam::new(Ipv4Addr::new(192, 0, 2, 0), 28, Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0), 124);
    AddressMap::new([eam.unwrap()]).unwrap()
}

pub fn stateless_with(settings: Settings) -> DataPath<NoSessions> {
    DataPath::new(settings, Mode::Stateless(table()))
}

pub fn stateless() -> DataPath<NoSessions> {
    stateless_with(settings())
}

/// Sessions by arithmetic: the hosts 2001:db8:1::X have the pool's addresses 192.0.2.X, with other ports.
#[derive(Debug, Default)]
pub struct Table {
    /// Questions asked that make sessions.
    pub asked: Vec<(Protocol, u16, Option<TcpFlags>)>,
    /// What to refuse with.
    pub refusal: Option<Refusal>,
}

impl Table {
    fn out(flow: &Outbound) -> Option<Endpoint4> {
        let bits = flow.source.to_bits();
        let known = bits >> 4 == HOST.to_bits() >> 4;
        let address = Ipv4Addr::from_bits(0xc000_0200 | bits as u32 & 15);
        known.then_some(Endpoint4 { address, port: flow.source_port ^ PORT_KEY })
    }

    fn back(flow: &Inbound) -> Option<Endpoint6> {
        let bits = flow.destination.to_bits();
        let address = Ipv6Addr::from_bits(HOST.to_bits() & !15 | u128::from(bits & 15));
        (bits >> 4 == 0xc00_0020).then_some(Endpoint6 { address, port: flow.destination_port ^ PORT_KEY })
    }
}

impl Sessions for Table {
    fn outbound(&mut self, flow: &Outbound, tcp: Option<TcpFlags>, _: Instant) -> Result<Endpoint4, Refusal> {
        assert_eq!(tcp.is_some(), flow.protocol == Protocol::Tcp);
        self.asked.push((flow.protocol, flow.source_port, tcp));
        self.refusal.map_or_else(|| Self::out(flow).ok_or(Refusal::Prohibited), Err)
    }

    fn inbound(&mut self, flow: &Inbound, tcp: Option<TcpFlags>, _: Instant) -> Result<Endpoint6, Refusal> {
        assert_eq!(tcp.is_some(), flow.protocol == Protocol::Tcp);
        self.asked.push((flow.protocol, flow.destination_port, tcp));
        self.refusal.map_or_else(|| Self::back(flow).ok_or(Refusal::NoMapping), Err)
    }

    fn outbound_error(&self, flow: &Outbound, _: Instant) -> Option<Endpoint4> {
        Self::out(flow)
    }

    fn inbound_error(&self, flow: &Inbound, _: Instant) -> Option<Endpoint6> {
        Self::back(flow)
    }

    fn is_pool(&self, address: Ipv4Addr) -> bool {
        address.to_bits() >> 4 == 0xc00_0020
    }

    fn icmp_source(&self) -> Ipv4Addr {
        ROUTER4
    }
}

pub fn stateful_with(settings: Settings) -> DataPath<Table> {
    DataPath::new(settings, Mode::Stateful(Table::default()))
}

pub fn stateful() -> DataPath<Table> {
    stateful_with(settings())
}

/// The Internet checksum of `parts`, by the plain loop of RFC 1071.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Fields of an IPv4 header.
#[derive(Debug, Clone)]
pub struct Ip4 {
    pub tos: u8,
    pub id: u16,
    /// DF, MF and offset as they stand.
    pub flags: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub options: Vec<u8>,
}

impl Ip4 {
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        Self { tos: 0, id: 0, flags: 0x4000, ttl: 64, protocol, source, destination, options: Vec::new() }
    }

    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut bytes = vec![0x40 | (header / 4) as u8, self.tos];
        bytes.extend(((header + payload.len()) as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend([self.ttl, self.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        let value = sum(&[&bytes]);
        bytes[10..12].copy_from_slice(&value.to_be_bytes());
        bytes.extend(payload);
        bytes
    }
}

/// Fields of an IPv6 header.
#[derive(Debug, Clone)]
pub struct Ip6 {
    pub class: u8,
    pub label: u32,
    pub hops: u8,
    pub next: u8,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
}

impl Ip6 {
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, next: u8) -> Self {
        Self { class: 0, label: 0, hops: 64, next, source, destination }
    }

    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (6 << 28 | u32::from(self.class) << 20 | self.label).to_be_bytes().to_vec();
        bytes.extend((payload.len() as u16).to_be_bytes());
        bytes.extend([self.next, self.hops]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(payload);
        bytes
    }
}

/// A fragment header in front of `payload`.
pub fn fragment(next: u8, offset: u16, more: bool, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend((offset | u16::from(more)).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The pseudo header of either family.
#[derive(Debug, Clone, Copy)]
pub enum Pseudo {
    Four(Ipv4Addr, Ipv4Addr),
    Six(Ipv6Addr, Ipv6Addr),
}

impl Pseudo {
    pub fn bytes(self, protocol: u8, length: usize) -> Vec<u8> {
        let mut bytes = match self {
            Self::Four(source, destination) => [source.octets(), destination.octets()].concat(),
            Self::Six(source, destination) => [source.octets(), destination.octets()].concat(),
        };
        bytes.extend((length as u32).to_be_bytes());
        bytes.extend(u32::from(protocol).to_be_bytes());
        bytes
    }
}

/// A UDP datagram with its checksum.
pub fn udp(ends: Pseudo, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len();
    let mut bytes: Vec<u8> = [source, destination, length as u16, 0].iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.extend(payload);
    let value = match sum(&[&ends.bytes(17, length), &bytes]) {
        0 => 0xffff,
        value => value,
    };
    bytes[6..8].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// A TCP segment with its checksum; `options` is a multiple of four bytes.
pub fn tcp(ends: Pseudo, ports: (u16, u16), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = [ports.0, ports.1].iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.extend([0, 0, 1, 0, 0, 0, 2, 0, ((20 + options.len() as u8) / 4) << 4, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.extend(payload);
    let value = sum(&[&ends.bytes(6, bytes.len()), &bytes]);
    bytes[16..18].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// An ICMPv4 message with its checksum.
pub fn icmp4(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0][..], &rest, payload].concat();
    let value = sum(&[&bytes]);
    bytes[2..4].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// An ICMPv6 message with its checksum.
pub fn icmp6(ends: Pseudo, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0][..], &rest, payload].concat();
    let value = sum(&[&ends.bytes(58, bytes.len()), &bytes]);
    bytes[2..4].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// A UDP packet from [`HOST`] to [`SERVER`] and what it is behind the translator, without sessions.
pub fn udp6(payload: &[u8]) -> Vec<u8> {
    let (from, to) = (HOST, embedded(SERVER));
    Ip6::new(from, to, 17).packet(&udp(Pseudo::Six(from, to), 1000, 53, payload))
}

/// A UDP packet from [`SERVER`] to [`HOST4`].
pub fn udp4(payload: &[u8]) -> Vec<u8> {
    Ip4::new(SERVER, HOST4, 17).packet(&udp(Pseudo::Four(SERVER, HOST4), 53, 1000, payload))
}

/// What came out of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Frames in the batch.
    pub batch: Vec<(Vnet, Vec<u8>)>,
    /// Frames beside it.
    pub side: Vec<(Vnet, Vec<u8>)>,
}

impl Output {
    /// All packets.
    pub fn packets(&self) -> Vec<Vec<u8>> {
        self.batch.iter().chain(&self.side).map(|(_, packet)| packet.clone()).collect()
    }
}

pub fn frames(batch: &[u8]) -> Vec<(Vnet, Vec<u8>)> {
    let mut frames = Frames::new(batch);
    let list = frames.by_ref().map(|frame| Vnet::parse(frame.bytes).map(|(v, p)| (v, p.to_vec())).unwrap()).collect();
    assert!(!frames.is_cut_off(), "the batch is no sequence of frames any more");
    list
}

/// Runs a batch of `packets` through `path`.
pub fn run_all<S: Sessions>(path: &mut DataPath<S>, packets: &[(Vnet, Vec<u8>)], now: Instant) -> Output {
    let mut batch = Vec::new();
    for (vnet, packet) in packets {
        push_headroom(&mut batch);
        push_tun_frame(&mut batch, vnet, packet);
    }
    let (length, mut side) = (batch.len(), Vec::new());
    path.handle_batch(&mut batch, &mut side, now);
    assert_eq!(batch.len(), length);
    Output { batch: frames(&batch), side: frames(&side) }
}

/// Runs one packet through `path`.
pub fn run<S: Sessions>(path: &mut DataPath<S>, packet: &[u8]) -> Output {
    run_all(path, &[(Vnet::default(), packet.to_vec())], Instant::ZERO)
}

/// Runs one packet that becomes one packet, in place.
pub fn one<S: Sessions>(path: &mut DataPath<S>, packet: &[u8]) -> Vec<u8> {
    let output = run(path, packet);
    assert_eq!((output.batch.len(), output.side.len()), (1, 0), "{:?}", drops(path));
    output.batch[0].1.clone()
}

/// Runs one packet of which one packet comes beside the batch.
pub fn beside<S: Sessions>(path: &mut DataPath<S>, packet: &[u8]) -> Vec<u8> {
    let output = run(path, packet);
    assert_eq!((output.batch.len(), output.side.len()), (0, 1), "{:?}", drops(path));
    output.side[0].1.clone()
}

/// Runs one packet of which nothing comes.
pub fn nothing<S: Sessions>(path: &mut DataPath<S>, packet: &[u8]) {
    assert_eq!(run(path, packet), Output { batch: Vec::new(), side: Vec::new() });
}

/// The counters that are not zero.
pub fn drops<S: Sessions>(path: &DataPath<S>) -> Vec<(&'static str, u64)> {
    let mut list = Vec::new();
    path.counters().each(|name, value| {
        if value != 0 {
            list.push((name, value));
        }
    });
    list
}
