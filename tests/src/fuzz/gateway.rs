//! What the IPv6 gateway reads from outside: tunnelled packets, the two sections, interfaces(5).

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use portreeve_config::{Diagnostic, Diagnostics};
use portreeve_packet::{ipv4, ipv6};
use portreeve_tunnels::Instant;
use portreeve_tunnels::sixin4::{
    DataPath, Frames, IcmpError, Prefix, Remote, Settings, SixRd, Vnet, push_ipv4_frame, push_tun_frame,
};

const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 2);
const ABROAD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1);
const OUTER: usize = 20;
const ETC: &str = "/etc/network";

/// The userspace path of 6in4 and 6rd. The first byte chooses settings, the second what is done with the others: a
/// batch or one frame, from either side, or an ICMPv4 error's quote.
pub fn sixin4(data: &[u8]) {
    let [choices, way, rest @ ..] = data else { return };
    let settings = settings(*choices);
    let limit = usize::from(settings.effective_mtu());
    let mut path = DataPath::new(settings);
    let (mut out, mut back, now) = (Vec::new(), Vec::new(), Instant::from_nanos(1));
    match way % 5 {
        0 => path.encapsulate(rest, &mut out, &mut back, now),
        1 => {
            let mut batch = Vec::new();
            let (vnet, packet) = Vnet::parse(rest).unwrap_or((Vnet::default(), rest));
            push_tun_frame(&mut batch, &vnet, packet);
            path.encapsulate(&batch, &mut out, &mut back, now);
        }
        2 => path.decapsulate(rest, &mut back, now),
        3 => {
            let mut batch = Vec::new();
            // The header that a kernel hands over is sound; twice, so that segments can be joined.
            push_ipv4_frame(&mut batch, &around(rest));
            push_ipv4_frame(&mut batch, &around(rest));
            path.decapsulate(&batch, &mut back, now);
        }
        _ => {
            let [kind, code, high, low, original @ ..] = rest else { return };
            let mtu = Some(u32::from(u16::from_be_bytes([*high, *low])));
            let (from, destination) = (REMOTE, REMOTE);
            let error = IcmpError { kind: *kind, code: *code, mtu, from, destination, local: false, original };
            path.handle_icmp_error(&error, &mut back, now);
            // Whatever it has learnt, what follows is as sound.
            let mut batch = Vec::new();
            push_tun_frame(&mut batch, &Vnet::default(), &udp(HOST, ABROAD, limit - 48));
            path.encapsulate(&batch, &mut out, &mut back, now);
        }
    }
    assert_tunnelled(&out, limit);
    assert_for_tun(&back);
    while path.poll_event().is_some() {}
}

/// What leaves for the other end: whole IPv4 packets around whole IPv6 packets that fit.
fn assert_tunnelled(batch: &[u8], limit: usize) {
    let mut frames = Frames::new(batch);
    for frame in frames.by_ref() {
        let header = ipv4::Header::parse(frame.bytes).expect("an IPv4 header");
        assert_eq!((header.protocol, header.buffer_len()), (41, OUTER));
        assert_eq!(usize::from(header.total_length), frame.bytes.len(), "the outer length is the frame's");
        assert_whole_ipv6(&frame.bytes[OUTER..]);
        assert!(frame.bytes.len() <= limit + OUTER, "{} bytes, {limit} allowed", frame.bytes.len());
    }
    assert!(!frames.is_cut_off());
}

/// What goes to the kernel: a virtio header that describes the whole IPv6 packet behind it.
fn assert_for_tun(batch: &[u8]) {
    let mut frames = Frames::new(batch);
    for frame in frames.by_ref() {
        let (vnet, packet) = Vnet::parse(frame.bytes).expect("a virtio header");
        assert_whole_ipv6(packet);
        if vnet.needs_csum() {
            let field = usize::from(vnet.csum_start) + usize::from(vnet.csum_offset);
            assert!(field + 2 <= packet.len(), "the checksum field is in the packet");
        }
        if vnet.gso_type != 0 {
            assert!(vnet.gso_size > 0 && usize::from(vnet.hdr_len) <= packet.len(), "{vnet:?}");
        }
    }
    assert!(!frames.is_cut_off());
}

fn assert_whole_ipv6(packet: &[u8]) {
    let header = ipv6::Header::parse(packet).expect("an IPv6 header");
    assert_eq!(usize::from(header.payload_length) + ipv6::Header::LEN, packet.len(), "the inner length is right");
}

fn settings(choices: u8) -> Settings {
    let is = |bit: u8| choices & (1 << bit) != 0;
    let own = Prefix::new(HOST, 60).expect("60 is a length");
    let rule = SixRd {
        prefix: Prefix::new(Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, 0), 32).expect("32 is a length"),
        ipv4_mask_length: 0,
        ipv4: LOCAL,
        border_relay: REMOTE,
    };
    let remote = if is(0) { Remote::SixRd(rule) } else { Remote::Address(REMOTE) };
    Settings {
        local: is(1).then_some(LOCAL),
        mtu: if is(2) { 1280 } else { 1480 },
        dont_fragment: !is(3),
        mss_clamp: !is(4),
        filter: !is(5),
        coalesce: !is(6),
        own: if is(7) { vec![own] } else { Vec::new() },
        ..Settings::new(remote)
    }
}

fn around(inner: &[u8]) -> Vec<u8> {
    let inner = inner.get(..inner.len().min(65_000)).unwrap_or_default();
    let [high, low] = u16::try_from(inner.len() + OUTER).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 41, 0, 0];
    packet.extend(REMOTE.octets());
    packet.extend(LOCAL.octets());
    packet.extend(inner);
    packet
}

fn packet(next_header: u8, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, next_header, 64];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn udp(source: Ipv6Addr, destination: Ipv6Addr, length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length + 8).unwrap_or(u16::MAX).to_be_bytes();
    let mut payload = vec![0, 9, 0, 9, high, low, 0xba, 0xad];
    payload.resize(length + 8, 0x55);
    packet(17, source, destination, &payload)
}

/// A segment; a SYN has the option that is clamped.
fn tcp(source: Ipv6Addr, destination: Ipv6Addr, flags: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0, 80, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x60, flags, 1, 0, 0, 0, 0, 0, 2, 4, 0x05, 0xb4];
    payload.resize(24 + length, 0x55);
    packet(6, source, destination, &payload)
}

/// At least one legal input for each way.
pub(super) fn sixin4_samples() -> Vec<Vec<u8>> {
    let plain = |packet: &[u8]| [&Vnet::default().bytes()[..], packet].concat();
    let gso = Vnet { flags: 1, gso_type: 4, hdr_len: 64, gso_size: 100, csum_start: 40, csum_offset: 16 };
    let datagrams = Vnet { flags: 1, gso_type: 5, hdr_len: 48, gso_size: 100, csum_start: 40, csum_offset: 6 };
    let mut outwards = Vec::new();
    push_tun_frame(&mut outwards, &Vnet::default(), &udp(HOST, ABROAD, 20));
    push_tun_frame(&mut outwards, &gso, &tcp(HOST, ABROAD, 0x10, 450));
    let mut inwards = Vec::new();
    push_ipv4_frame(&mut inwards, &around(&udp(ABROAD, HOST, 20)));
    push_ipv4_frame(&mut inwards, &around(&tcp(ABROAD, HOST, 0x10, 100)));
    push_ipv4_frame(&mut inwards, &around(&tcp(ABROAD, HOST, 0x12, 0)));
    let quote = |kind: u8, code: u8, inner: &[u8]| [&[kind, code, 0x05, 0x14], inner].concat();
    let mut back = udp(HOST, ABROAD, 1400);
    back = around(&back);
    let (source, destination) = (LOCAL.octets(), REMOTE.octets());
    back[12..16].copy_from_slice(&source);
    back[16..20].copy_from_slice(&destination);
    let ways: [(u8, Vec<u8>); 9] = [
        (0, outwards),
        (1, plain(&tcp(HOST, ABROAD, 0x02, 0))),
        (1, [&gso.bytes()[..], &tcp(HOST, ABROAD, 0x10, 450)].concat()),
        (1, [&datagrams.bytes()[..], &udp(HOST, ABROAD, 450)].concat()),
        (2, inwards),
        (3, tcp(ABROAD, HOST, 0x18, 100)),
        (3, packet(41, ABROAD, HOST, &udp(ABROAD, HOST, 20))),
        (4, quote(3, 4, &back)),
        (4, quote(3, 1, &udp(HOST, ABROAD, 20))),
    ];
    // With the defaults, and with everything the other way round but 6rd.
    ways.iter().flat_map(|(way, rest)| [0x82, 0x7c].map(|choices| [&[choices, *way], &rest[..]].concat())).collect()
}

/// The section of the plugin `interfaces`.
pub fn interfaces_section(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = portreeve_interfaces::Config::parse(text).map(|(config, warnings)| {
        let _ = portreeve_interfaces::config::summary(&config);
        let _ = (config.modules(), config.destinations(), config.tables(), config.makes());
        warnings
    });
    assert_complaints(parsed, text);
}

/// The section of the plugin `tunnels`.
pub fn tunnels_section(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = portreeve_tunnels::Config::parse(text).map(|(config, warnings)| {
        let _ = (portreeve_tunnels::config::summary(&config), config.needs());
        warnings
    });
    assert_complaints(parsed, text);
}

fn assert_complaints(parsed: Result<Vec<Diagnostic>, Vec<Diagnostic>>, text: &str) {
    let complaints = parsed.unwrap_or_else(|errors| {
        assert!(!errors.is_empty(), "a refusal has a reason");
        errors
    });
    for diagnostic in complaints {
        let _ = diagnostic.render("router.ron", text);
    }
}

pub(super) fn interfaces_samples() -> Vec<Vec<u8>> {
    let links = r#"(forwarding: (ipv6: true), interfaces: {"a.5": (kind: Vlan(parent: "a", id: 5, protocol: Ieee8021Ad), mtu: 1400), "b": (kind: Bond(mode: Ieee8023Ad, members: ["a"], miimon: "100ms")), "v": (kind: Vrf(table: 10, members: ["c"])), "c": (match: (mac: "02:00:00:00:00:01", path: "pci*"), neighbours: [(address: "2001:db8::9", mac: "02:00:00:00:00:09")], proxy: ["2001:db8::5"], sysctls: {"ipv6.keep_addr_on_down": "1"}), "d*": (accept_ra: Off, privacy: Preferred)}, rules: [(priority: 1000, from: "2001:db8::/60", table: 100)], routes: [(to: "2001:db8::/32", kind: Blackhole)], sysctls: {"ipv4.tcp_ecn": "1"})"#;
    let example = include_bytes!("../../../plugins/interfaces/src/guest/example.ron");
    vec![links.as_bytes().to_vec(), example.to_vec()]
}

pub(super) fn tunnels_samples() -> Vec<Vec<u8>> {
    let kinds = r#"(tunnels: {"rd": (kind: SixRd(prefix: "2001:db8::/32", relay: "192.0.2.1", ipv4_mask_length: 8, local: Interface("wan0"), path: Userspace)), "g": (kind: Gre(remote: "2001:db8::1", key: 42), ttl: 0), "t": (kind: Ip6Tunnel(remote: "far.example.net", mode: Ipv4), hop_limit: 32)})"#;
    let example = include_bytes!("../../../plugins/tunnels/src/guest/example.ron");
    vec![kinds.as_bytes().to_vec(), example.to_vec()]
}

/// interfaces(5): the first file, and after each NUL one more in `interfaces.d`. What is imported is a router.ron.
pub fn import_interfaces(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut files = BTreeMap::new();
    for (number, part) in text.split('\0').enumerate() {
        let name = if number == 0 { "interfaces".to_owned() } else { format!("interfaces.d/{number}") };
        files.insert(Path::new(ETC).join(name), part.to_owned());
    }
    let read = |path: &Path| files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    let list = |directory: &Path| -> io::Result<Vec<PathBuf>> {
        let inside: Vec<PathBuf> = files.keys().filter(|path| path.parent() == Some(directory)).cloned().collect();
        if inside.is_empty() { Err(io::Error::from(io::ErrorKind::NotADirectory)) } else { Ok(inside) }
    };
    let Ok(imported) = portreeve::import::interfaces::import(&Path::new(ETC).join("interfaces"), &read, &list) else {
        return;
    };
    let mut d = Diagnostics::new();
    let config = portreeve::config::parse(&imported.ron, &mut d);
    let complaints = d.into_vec();
    assert!(complaints.is_empty(), "{}\n{complaints:?}", imported.ron);
    for plugin in config.plugins {
        let section = plugin.section.value.as_bytes();
        match plugin.name.value.as_str() {
            "interfaces" => interfaces_section(section),
            "tunnels" => tunnels_section(section),
            other => assert_eq!(other, "", "nothing is imported for others"),
        }
    }
}

pub(super) fn import_samples() -> Vec<Vec<u8>> {
    let gateway = include_str!("../../import/01-gateway-2006/interfaces");
    let many = include_str!("../../import/04-many-stanzas/interfaces");
    let bridge = include_str!("../../import/06-bridge/interfaces");
    let commands = include_str!("../../import/14-ip-commands/interfaces");
    let sourced = format!("source interfaces.d/*\n\0{bridge}\0{many}");
    [gateway, many, bridge, commands, &sourced].map(|text| text.as_bytes().to_vec()).into()
}
