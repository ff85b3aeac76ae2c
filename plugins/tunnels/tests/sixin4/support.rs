//! Packets, frames and a data path to put them through.

use portreeve_packet::checksum::Checksum;
use portreeve_packet::{icmpv6, ipv4, ipv6, tcp};
use portreeve_tunnels::sixin4::{
    Counters, DataPath, Frames, Prefix, Remote, Settings, Vnet, push_ipv4_frame, push_tun_frame,
};
use portreeve_tunnels::time::Instant;
use std::net::{Ipv4Addr, Ipv6Addr};

pub const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A host of our own network.
pub const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x60, 0, 0, 0, 0, 0x10);
/// A host outside.
pub const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x80);
/// Our end of the tunnel.
pub const TUNNEL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
pub const NOW: Instant = Instant::from_nanos(1_000_000_000);

pub fn settings() -> Settings {
    Settings {
        local: Some(LOCAL),
        own: vec![Prefix::new(HOST, 60).unwrap()],
        icmp_source: Some(TUNNEL),
        ..Settings::new(Remote::Address(REMOTE))
    }
}

pub fn data_path() -> DataPath {
    DataPath::new(settings())
}

/// Encapsulates one batch: the IPv4 packets and the tun packets that came back.
pub fn encapsulate(path: &mut DataPath, batch: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut out, mut back) = (Vec::new(), Vec::new());
    path.encapsulate(batch, &mut out, &mut back, NOW);
    (packets(&out), tun_packets(&back))
}

/// Decapsulates one batch: the tun frames with their virtio headers.
pub fn decapsulate(path: &mut DataPath, batch: &[u8]) -> Vec<(Vnet, Vec<u8>)> {
    let mut out = Vec::new();
    path.decapsulate(batch, &mut out, NOW);
    tun_frames(&out)
}

/// The frames of a batch we made, which is never cut off.
pub fn packets(batch: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Frames::new(batch);
    let packets = frames.by_ref().map(|frame| frame.bytes.to_vec()).collect();
    assert!(!frames.is_cut_off());
    packets
}

pub fn tun_frames(batch: &[u8]) -> Vec<(Vnet, Vec<u8>)> {
    packets(batch)
        .iter()
        .map(|frame| Vnet::parse(frame).map(|(vnet, packet)| (vnet, packet.to_vec())).unwrap())
        .collect()
}

fn tun_packets(batch: &[u8]) -> Vec<Vec<u8>> {
    tun_frames(batch).into_iter().map(|(_, packet)| packet).collect()
}

/// One plain tun frame.
pub fn tun(packet: &[u8]) -> Vec<u8> {
    tun_with(&Vnet::default(), packet)
}

pub fn tun_with(vnet: &Vnet, packet: &[u8]) -> Vec<u8> {
    let mut batch = Vec::new();
    push_tun_frame(&mut batch, vnet, packet);
    batch
}

/// One IPv4 frame from the far end around `inner`.
pub fn wire(inner: &[u8]) -> Vec<u8> {
    wire_from(REMOTE, 0, inner)
}

pub fn wire_from(source: Ipv4Addr, tos: u8, inner: &[u8]) -> Vec<u8> {
    let mut batch = Vec::new();
    push_ipv4_frame(&mut batch, &outer(source, tos, inner));
    batch
}

pub fn outer(source: Ipv4Addr, tos: u8, inner: &[u8]) -> Vec<u8> {
    let header = ipv4::Header {
        tos,
        total_length: (20 + inner.len()) as u16,
        identification: 7,
        reserved: false,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 60,
        protocol: 41,
        checksum: 0,
        source,
        destination: LOCAL,
        options: &[],
    };
    let mut packet = vec![0; 20];
    header.emit(&mut packet).unwrap();
    packet.extend_from_slice(inner);
    packet
}

/// An IPv6 packet with flow label and hop limit of its own.
pub fn packet(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let header = ipv6::Header {
        traffic_class: 0,
        flow_label: 0x1_2345,
        payload_length: payload.len() as u16,
        next_header,
        hop_limit: 61,
        source,
        destination,
    };
    let mut packet = vec![0; 40];
    header.emit(&mut packet).unwrap();
    packet.extend_from_slice(payload);
    packet
}

pub fn class(mut packet: Vec<u8>, class: u8) -> Vec<u8> {
    packet[0] = 0x60 | class >> 4;
    packet[1] = class << 4 | packet[1] & 0xf;
    packet
}

pub fn udp(source: Ipv6Addr, destination: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    let length = (8 + data.len()) as u16;
    let mut message = vec![0x30, 0x39, 0, 53, (length >> 8) as u8, length as u8, 0, 0];
    message.extend_from_slice(data);
    with_checksum(packet(source, destination, ipv6::UDP, &message), 40, 6)
}

pub fn echo(source: Ipv6Addr, destination: Ipv6Addr, kind: u8, identifier: u16, sequence: u16) -> Vec<u8> {
    let [i0, i1] = identifier.to_be_bytes();
    let [s0, s1] = sequence.to_be_bytes();
    let mut message = [kind, 0, 0, 0, i0, i1, s0, s1];
    icmpv6::fill_checksum(source, destination, &mut message).unwrap();
    packet(source, destination, icmpv6::NEXT_HEADER, &message)
}

/// A TCP segment from the server to the host, port 443 to 50000.
#[derive(Clone)]
pub struct Tcp {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub port: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
}

impl Tcp {
    pub fn down(sequence: u32) -> Self {
        let options = vec![1, 1, 8, 10, 0, 0, 1, 1, 0, 0, 2, 2];
        Self {
            source: SERVER,
            destination: HOST,
            port: 50000,
            sequence,
            acknowledgment: 9,
            flags: tcp::ACK,
            window: 501,
            options,
        }
    }

    pub fn up(sequence: u32) -> Self {
        Self { source: HOST, destination: SERVER, ..Self::down(sequence) }
    }

    pub fn bytes(&self, data: &[u8]) -> Vec<u8> {
        let header = tcp::Header {
            source_port: 443,
            destination_port: self.port,
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            reserved: 0,
            flags: self.flags,
            window: self.window,
            checksum: 0,
            urgent: 0,
            options: &self.options,
        };
        let mut segment = vec![0; header.buffer_len()];
        header.emit(&mut segment).unwrap();
        segment.extend_from_slice(data);
        with_checksum(packet(self.source, self.destination, ipv6::TCP, &segment), 40, 16)
    }

    /// A tun frame to be segmented, its checksum partial.
    pub fn large(&self, data: &[u8], size: u16) -> Vec<u8> {
        let packet = with_partial(self.bytes(data), 40, 16);
        let vnet = Vnet {
            flags: 1,
            gso_type: 4,
            hdr_len: (60 + self.options.len()) as u16,
            gso_size: size,
            csum_start: 40,
            csum_offset: 16,
        };
        tun_with(&vnet, &packet)
    }
}

pub fn sum(packet: &[u8], transport: usize, protocol: u8) -> Checksum {
    let header = ipv6::Header::parse(packet).unwrap();
    let length = (packet.len() - transport) as u32;
    Checksum::ipv6_pseudo_header(header.source, header.destination, protocol, length)
}

/// Fills the checksum of the packet, whose last header before `transport` names 6 or 17.
pub fn with_checksum(mut packet: Vec<u8>, transport: usize, at: usize) -> Vec<u8> {
    packet[transport + at..transport + at + 2].fill(0);
    let mut checksum = sum(&packet, transport, if at == 16 { 6 } else { 17 });
    checksum.add(&packet[transport..]);
    let value = match checksum.finish() {
        0 => 0xffff,
        value => value,
    };
    packet[transport + at..transport + at + 2].copy_from_slice(&value.to_be_bytes());
    packet
}

/// Puts the pseudo header's sum into the checksum field, as the kernel hands it over.
pub fn with_partial(mut packet: Vec<u8>, transport: usize, at: usize) -> Vec<u8> {
    let value = sum(&packet, transport, if at == 16 { 6 } else { 17 }).partial();
    packet[transport + at..transport + at + 2].copy_from_slice(&value.to_be_bytes());
    packet
}

/// Whether the TCP or UDP checksum of the packet is right; transport header directly after the IPv6 header.
pub fn verifies(packet: &[u8]) -> bool {
    let mut checksum = sum(packet, 40, packet[6]);
    checksum.add(&packet[40..]);
    checksum.finish() == 0
}

/// The counters that are not zero.
pub fn nonzero(counters: &Counters) -> Vec<(&'static str, u64)> {
    let mut all = Vec::new();
    counters.each(|name, value| {
        if value != 0 {
            all.push((name, value));
        }
    });
    all
}

/// The value of a counter by its name.
pub fn count(path: &DataPath, name: &str) -> u64 {
    let mut found = None;
    path.counters().each(|other, value| {
        if other == name {
            found = Some(value);
        }
    });
    found.unwrap()
}
