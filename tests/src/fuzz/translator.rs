//! What the translator reads from outside: packets of both families, what clients and resolvers say, kept sessions, its section.

use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_packet::checksum::Checksum;
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::{Frames, HEADROOM, Vnet, begin_tun_frame, push_headroom};
use portreeve_translator::dns64::fuzz::{queries, responses};
use portreeve_translator::nat64::{self, Pool, Table};
use portreeve_translator::xlat::{AddressMap, DataPath, Eam, Mode, Pref64, Settings};

const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0xc000, 0x0204);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
const POOL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 4);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
const NOW: Instant = Instant::from_secs(100);

/// A translator's data path. The first byte chooses the mode and what is done with the others: a batch, or one frame; and
/// the same once more, so that fragments, sessions and mappings meet.
pub fn xlat(data: &[u8]) {
    let [choices, rest @ ..] = data else { return };
    let Some(prefix) = Pref64::new(PREFIX, 96) else { return };
    let settings = Settings { mss_clamp: choices & 4 == 0, ..Settings::new(prefix, ROUTER) };
    let mode = if choices & 1 == 0 { Mode::Stateful(table()) } else { Mode::Stateless(map()) };
    let mut path = DataPath::new(settings, mode);
    let mut side = Vec::new();
    for round in 0..2 {
        let mut batch = if choices & 2 == 0 { rest.to_vec() } else { framed(rest) };
        let length = batch.len();
        path.handle_batch(&mut batch, &mut side, Instant::from_secs(100 + round));
        assert_eq!(batch.len(), length, "a batch keeps its length");
        assert_sound(&batch);
    }
    assert_sound(&side);
    path.handle_timeout(Instant::from_secs(1000));
}

/// Kept sessions of any bytes.
pub fn sessions(data: &[u8]) {
    let mut table = table();
    if table.restore(data, NOW).is_ok() {
        let again = table.snapshot(NOW, usize::MAX);
        let mut other = self::table();
        let restored = other.restore(&again, NOW).expect("what was kept can be taken over");
        assert_eq!(restored, table.stats().sessions as usize, "all of it");
    }
}

/// What a client says to the resolver.
pub fn dns64_query(data: &[u8]) {
    assert!(queries(data), "an answer is unsound, or does not end");
}

/// What a resolver answers.
pub fn dns64_response(data: &[u8]) {
    assert!(responses(data), "an answer is unsound, or does not end");
}

/// The section of router.ron.
pub fn translator_section(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let complaints = match portreeve_translator::Config::parse(text) {
        Ok((config, warnings)) => {
            let _ = (portreeve_translator::config::summary(&config), config.needs());
            warnings
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal has a reason");
            errors
        }
    };
    for diagnostic in complaints {
        let _ = diagnostic.render("router.ron", text);
    }
}

fn table() -> Table {
    let settings =
        nat64::Settings { pools: vec![Pool::prefix(POOL, 30)], max_sessions: 64, ..nat64::Settings::default() };
    Table::new(settings, 7).expect("legal settings")
}

fn map() -> AddressMap {
    AddressMap::new(Eam::new(POOL, 32, HOST, 128)).expect("legal mappings")
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let (vnet, packet) = Vnet::parse(packet).unwrap_or((Vnet::default(), packet));
    let mut batch = Vec::with_capacity(HEADROOM + 14 + packet.len());
    push_headroom(&mut batch);
    begin_tun_frame(&mut batch, &vnet, packet.len());
    batch.extend_from_slice(packet);
    batch
}

/// Whole frames of whole packets, IPv4 headers with a right checksum.
fn assert_sound(batch: &[u8]) {
    let mut frames = Frames::new(batch);
    for frame in frames.by_ref() {
        let (_, packet) = Vnet::parse(frame.bytes).expect("a virtio header");
        assert!(!packet.is_empty(), "a packet in each frame");
        match packet.first().map(|first| first >> 4) {
            Some(4) => {
                let total = packet.get(2..4).map(|field| usize::from(u16::from_be_bytes([field[0], field[1]])));
                assert_eq!(total, Some(packet.len()), "the total length is the packet's");
                let mut sum = Checksum::new();
                sum.add(&packet[..usize::from(packet[0] & 0xf) * 4]);
                assert_eq!(sum.finish(), 0, "the header's checksum is right");
            }
            Some(6) => {
                let payload = packet.get(4..6).map(|field| usize::from(u16::from_be_bytes([field[0], field[1]])));
                assert_eq!(payload, packet.len().checked_sub(40), "the payload length is the packet's");
            }
            other => assert!(other.is_none(), "neither IPv4 nor IPv6: {packet:02x?}"),
        }
    }
    // Three bytes have no room for a length.
    assert!(batch.len() < 4 || !frames.is_cut_off(), "whole frames only");
}

fn with_choices(choices: &[u8], packet: &[u8]) -> Vec<Vec<u8>> {
    choices.iter().map(|choice| [&[*choice][..], packet].concat()).collect()
}

/// An IPv6 packet towards the server, and an IPv4 one towards the pool, of UDP, TCP, ICMP, and an ICMP error.
pub fn xlat_samples() -> Vec<Vec<u8>> {
    let vnet = [0_u8; Vnet::LEN];
    let server6 = Ipv6Addr::from(u128::from(PREFIX) | u128::from(u32::from(SERVER)));
    let udp = [0x10, 0, 0, 53, 0, 12, 0x12, 0x34, 1, 2, 3, 4];
    let tcp = [&[0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 16, 0, 0x11, 0x22, 0, 0, 2, 4, 5, 0xb4][..]].concat();
    let echo6 = [128, 0, 0x12, 0x34, 0, 7, 0, 1, 9, 9];
    let echo4 = [8, 0, 0x12, 0x34, 0, 7, 0, 1, 9, 9];
    let mut packets = vec![
        ipv6(17, HOST, server6, &udp),
        ipv6(6, HOST, server6, &tcp),
        ipv6(58, HOST, server6, &echo6),
        ipv6(44, HOST, server6, &[&[17, 0, 0, 1, 0, 0, 0, 9][..], &udp, &[0; 4]].concat()),
        ipv4(17, SERVER, POOL, &udp),
        ipv4(6, SERVER, POOL, &tcp),
        ipv4(1, SERVER, POOL, &echo4),
    ];
    packets.push(ipv4(1, SERVER, POOL, &[&[3, 4, 0, 0, 0, 0, 5, 0][..], &ipv4(17, POOL, SERVER, &udp)].concat()));
    packets.push(ipv6(58, HOST, server6, &[&[2, 0, 0, 0, 0, 0, 5, 0][..], &ipv6(17, server6, HOST, &udp)].concat()));
    let framed: Vec<Vec<u8>> = packets.into_iter().map(|packet| [&vnet[..], &packet].concat()).collect();
    let mut samples: Vec<Vec<u8>> = framed.iter().flat_map(|frame| with_choices(&[2, 3, 6], frame)).collect();
    let batch: Vec<u8> = framed.iter().flat_map(|frame| self::framed(frame)).collect();
    samples.extend(with_choices(&[0, 1], &batch));
    samples
}

/// A table with sessions, as it is kept.
pub fn sessions_samples() -> Vec<Vec<u8>> {
    use portreeve_translator::flow::{Outbound, Protocol, Sessions as _, TcpFlags};
    let mut table = table();
    for (port, protocol) in [(1, Protocol::Udp), (2, Protocol::Icmp), (3, Protocol::Tcp)] {
        let destination_port = if protocol == Protocol::Icmp { 0 } else { 53 };
        let flow = Outbound { protocol, source: HOST, source_port: port, destination: SERVER, destination_port };
        let tcp = (protocol == Protocol::Tcp).then_some(TcpFlags { syn: true, ..TcpFlags::default() });
        table.outbound(&flow, tcp, NOW).expect("a session");
    }
    vec![table.snapshot(NOW, usize::MAX)]
}

/// Questions for AAAA and PTR, with and without EDNS.
pub fn query_samples() -> Vec<Vec<u8>> {
    let plain = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x1c\0\x01".to_vec();
    let local = b"\x12\x35\x01\0\0\x01\0\0\0\0\0\0\x08ipv4only\x04arpa\0\0\x1c\0\x01".to_vec();
    let edns =
        b"\x12\x36\x01\0\0\x01\0\0\0\0\0\x01\x03www\x07example\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\x80\0\0\0".to_vec();
    vec![plain, local, edns]
}

/// Answers: an address behind an alias, none, no such name.
pub fn response_samples() -> Vec<Vec<u8>> {
    let answer =
        b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x01a\0\0\x1c\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\0\x71\x50"
            .to_vec();
    let alias =
        b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x01a\0\0\x1c\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x03\x01b\0".to_vec();
    let none = b"\0\0\x81\x83\0\x01\0\0\0\0\0\0\x01a\0\0\x1c\0\x01".to_vec();
    vec![answer, alias, none]
}

/// The default, and each kind of instance.
pub fn section_samples() -> Vec<Vec<u8>> {
    let whole = include_str!("../../../plugins/translator/src/guest/example.ron");
    let nat64 = r#"(instances: {"nat64": Nat64(prefix: "2001:db8:64::/96", pool: Addresses(["198.51.100.0/28"]),
        static: [(protocol: Tcp, host: "[2001:db8::10]:443", public: "198.51.100.1:443")])})"#;
    let clat = r#"(instances: {"clat": Clat(prefix: Auto, address: "2001:db8:60:f::464")})"#;
    [whole, nat64, clat, "()"].map(|text| text.as_bytes().to_vec()).to_vec()
}

fn ipv6(next: u8, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x60, 0, 0, 0, high, low, next, 64][..], &source.octets(), &destination.octets(), payload].concat()
}

fn ipv4(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = [0x45, 0, high, low, 0, 9, 0, 0, 64, protocol, 0, 0].to_vec();
    header.extend(source.octets());
    header.extend(destination.octets());
    let mut sum = Checksum::new();
    sum.add(&header);
    header[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    [header, payload.to_vec()].concat()
}
