//! Random packets: legal ones become what the slow translation makes of them, others do no harm.

use super::build::*;
use super::reference::{self, ErrorParts, POINTERS4, ROWS4, ROWS6, Rules, error_to_four, error_to_six};
use crate::flow::Sessions;
use crate::xlat::{DataPath, MAX_SIDE, Reason, Settings};
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::Vnet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A transport header and payload for any addresses.
#[derive(Debug, Clone)]
enum Upper {
    Udp { ports: (u16, u16), payload: Vec<u8>, checksum: bool },
    Tcp { ports: (u16, u16), flags: u8, options: Vec<u8>, payload: Vec<u8> },
    Echo { reply: bool, id: u16, payload: Vec<u8> },
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..64), vec(any::<u8>(), 1150..1420), Just(vec![0; 32]), Just(vec![0xff; 33])]
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![2, 4, 5, 0xb4]),
        Just(vec![1, 2, 4, 0xff, 0xff, 0, 0, 0]),
        Just(vec![2, 4, 5, 0x9f, 1, 1, 4, 2]),
        (0..=10_usize).prop_flat_map(|words| vec(any::<u8>(), words * 4)),
    ]
}

fn uppers() -> impl Strategy<Value = Upper> {
    let ports = any::<(u16, u16)>();
    prop_oneof![
        (ports, payloads(), prop::bool::weighted(0.8)).prop_map(|(ports, payload, checksum)| Upper::Udp {
            ports,
            payload,
            checksum
        }),
        (ports, any::<u8>(), options(), payloads()).prop_map(|(ports, flags, options, payload)| Upper::Tcp {
            ports,
            flags,
            options,
            payload
        }),
        (any::<bool>(), any::<u16>(), payloads()).prop_map(|(reply, id, payload)| Upper::Echo { reply, id, payload }),
    ]
}

impl Upper {
    /// Protocol number and bytes.
    fn bytes(&self, ends: Pseudo) -> (u8, Vec<u8>) {
        let six = matches!(ends, Pseudo::Six(..));
        match self {
            Self::Udp { ports, payload, checksum } => {
                let mut bytes = udp(ends, ports.0, ports.1, payload);
                if !checksum {
                    bytes[6..8].fill(0);
                }
                (17, bytes)
            }
            Self::Tcp { ports, flags, options, payload } => (6, tcp(ends, *ports, *flags, options, payload)),
            Self::Echo { reply, id, payload } => {
                let [a, b] = id.to_be_bytes();
                let kind = if six { 128 } else { 8 };
                let kind = if *reply { if six { 129 } else { 0 } } else { kind };
                if six {
                    (58, icmp6(ends, kind, 0, [a, b, 0, 0], payload))
                } else {
                    (1, icmp4(kind, 0, [a, b, 0, 0], payload))
                }
            }
        }
    }
}

fn servers() -> impl Strategy<Value = Ipv4Addr> {
    any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(8 + (b & 3) * 30, b, c, d))
}

fn hosts() -> impl Strategy<Value = Ipv6Addr> {
    (0..16_u128).prop_map(|x| Ipv6Addr::from_bits(HOST.to_bits() & !15 | x))
}

/// IPv6 packets from a host to a server, with extension headers now and then.
fn packets6() -> impl Strategy<Value = Vec<u8>> {
    let extensions = prop_oneof![
        4 => Just((vec![], 0)),
        1 => Just((vec![0, 0, 1, 4, 0, 0, 0, 0], 0)),
        1 => Just((vec![0, 1, 1, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0], 60)),
        1 => Just((vec![0, 0, 3, 0, 0, 0, 0, 0], 43)),
    ];
    (uppers(), hosts(), servers(), any::<u8>(), 2..=255_u8, 0..0x10_0000_u32, extensions).prop_map(
        |(upper, host, server, class, hops, label, (mut extensions, kind))| {
            let (from, to) = (host, embedded(server));
            let (protocol, bytes) = upper.bytes(Pseudo::Six(from, to));
            let next = if extensions.is_empty() { protocol } else { kind };
            if let Some(first) = extensions.first_mut() {
                *first = protocol;
            }
            extensions.extend(bytes);
            Ip6 { class, label, hops, ..Ip6::new(from, to, next) }.packet(&extensions)
        },
    )
}

/// IPv4 packets from a server to a host.
fn packets4() -> impl Strategy<Value = Vec<u8>> {
    let options = prop_oneof![4 => Just(vec![]), 1 => Just(vec![1, 1, 1, 0]), 1 => Just(vec![7, 7, 4, 0, 0, 0, 0, 0])];
    (uppers(), hosts(), servers(), any::<u8>(), 2..=255_u8, any::<(u16, bool)>(), options).prop_map(
        |(upper, host, server, tos, ttl, (id, df), options)| {
            let (from, to) = (server, reference::map4(host));
            let (protocol, bytes) = upper.bytes(Pseudo::Four(from, to));
            let flags = if df { 0x4000 } else { 0 };
            Ip4 { tos, ttl, id, flags, options, ..Ip4::new(from, to, protocol) }.packet(&bytes)
        },
    )
}

/// Every checksum in `packet`, computed anew; fragments have only that of the IPv4 header.
pub fn assert_right(packet: &[u8]) {
    if packet[0] >> 4 == 4 {
        let header = usize::from(packet[0] & 15) * 4;
        assert_eq!(sum(&[&packet[..header]]), 0, "IPv4 header of {packet:02x?}");
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        if u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff == 0 {
            let [source, destination] = [12, 16].map(|at| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap().into());
            assert_right_behind(Pseudo::Four(source, destination), packet[9], &packet[header..]);
        }
    } else {
        assert_eq!(packet[0] >> 4, 6);
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40, packet.len());
        let [source, destination] = [8, 24].map(|at| <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap().into());
        assert_right_behind(Pseudo::Six(source, destination), packet[6], &packet[40..]);
    }
}

fn assert_right_behind(ends: Pseudo, protocol: u8, bytes: &[u8]) {
    let pseudo = ends.bytes(protocol, bytes.len());
    match protocol {
        6 | 58 => assert_eq!(sum(&[&pseudo, bytes]), 0, "{protocol}: {bytes:02x?}"),
        17 if bytes[6..8] != [0, 0] => assert_eq!(sum(&[&pseudo, bytes]), 0, "{bytes:02x?}"),
        1 => assert_eq!(sum(&[bytes]), 0, "{bytes:02x?}"),
        _ => {}
    }
}

fn rules(stateful: bool, host_is_source: bool) -> Rules {
    Rules { stateful, host_is_source, inner: false }
}

fn check6<S: Sessions>(mut path: DataPath<S>, packet: &[u8], stateful: bool) {
    let got = one(&mut path, packet);
    assert_eq!(got, reference::six_to_four(packet, rules(stateful, true)));
    assert_right(&got);
}

fn check4<S: Sessions>(mut path: DataPath<S>, packet: &[u8], stateful: bool) {
    let header = usize::from(packet[0] & 15) * 4;
    if packet[6] & 0x40 != 0 && packet.len() - header + 40 > 1500 {
        return;
    }
    let got = run(&mut path, packet).packets();
    assert_eq!(got, reference::four_to_six(packet, rules(stateful, false)));
    got.iter().for_each(|packet| assert_right(packet));
}

/// An error of the `rows` with a packet inside, cut off anywhere behind eight bytes of its transport header.
fn errors(
    about: impl Strategy<Value = Vec<u8>>,
    rows: &'static [(u8, u8, u8, u8)],
    has_extensions: fn(u8) -> bool,
    headers: fn(&[u8]) -> usize,
) -> impl Strategy<Value = ErrorParts> {
    let extensions = prop_oneof![2 => Just(vec![]), 1 => Just(vec![0x20, 0, 0xdf, 0xff]), 1 => vec![any::<u8>(); 12]];
    let row = prop::sample::select(rows);
    (about, row, any::<[u8; 4]>(), any::<prop::sample::Index>(), extensions, 0..48_u8).prop_map(
        move |(about, row, mut rest, cut, extensions, pointer)| {
            let least = headers(&about) + 8;
            let cut = least + cut.index(about.len().min(500) - least + 1);
            // Half a checksum is no checksum.
            let cut = if cut == least + 9 { about.len().min(cut + 1) } else { cut };
            if has_extensions(row.0) {
                rest[0] = 0;
                rest[1] = 0;
            }
            match (row.0, row.1) {
                (12, _) => rest = [pointer, 0, 0, 0],
                (4, 0) => rest = [0, 0, 0, pointer],
                (2, 0) => rest = [0, 0, rest[2] & 7, rest[3]],
                _ => {}
            }
            let extensions = if has_extensions(row.0) { extensions } else { vec![] };
            // In front of extensions stands the whole packet with padding, or a piece that needs none.
            let cut = match cut {
                _ if extensions.is_empty() => cut,
                136.. => cut / 8 * 8,
                _ if about.len() >= 128 => 128,
                _ => about.len(),
            };
            ErrorParts { kind: row.0, code: row.1, rest, about, cut, extensions }
        },
    )
}

/// Length of the IP headers.
fn headers6(packet: &[u8]) -> usize {
    let (mut next, mut at) = (packet[6], 40);
    while [0, 43, 60].contains(&next) {
        next = packet[at];
        at += usize::from(packet[at + 1]) * 8 + 8;
    }
    at
}

fn headers4(packet: &[u8]) -> usize {
    usize::from(packet[0] & 15) * 4
}

/// A packet the other way round, as it looked on the IPv4 side, from a host's address to a server.
fn abouts4() -> impl Strategy<Value = Vec<u8>> {
    (uppers(), hosts(), servers(), any::<(u8, u8, u16)>()).prop_map(|(upper, host, server, (tos, ttl, id))| {
        let (from, to) = (reference::map4(host), server);
        let (protocol, bytes) = upper.bytes(Pseudo::Four(from, to));
        Ip4 { tos, ttl, id, ..Ip4::new(from, to, protocol) }.packet(&bytes)
    })
}

fn abouts6() -> impl Strategy<Value = Vec<u8>> {
    (uppers(), hosts(), servers(), any::<(u8, u8)>()).prop_map(|(upper, host, server, (class, hops))| {
        let (from, to) = (embedded(server), host);
        let (protocol, bytes) = upper.bytes(Pseudo::Six(from, to));
        Ip6 { class, hops, ..Ip6::new(from, to, protocol) }.packet(&bytes)
    })
}

fn check_error4<S: Sessions>(mut path: DataPath<S>, error: &ErrorParts, router: Ipv4Addr, stateful: bool) {
    let to = Ipv4Addr::from(<[u8; 4]>::try_from(&error.about[12..16]).unwrap());
    let (quote, length) = error.quote(4);
    let mut rest = error.rest;
    rest[1] |= length;
    let packet = Ip4::new(router, to, 1).packet(&icmp4(error.kind, error.code, rest, &quote));
    let (from, to) = (embedded(router), reference::map6(to));
    match error_to_six(error, from, to, stateful) {
        Some(message) => {
            let got = beside(&mut path, &packet);
            assert_eq!(got, Ip6 { hops: 63, ..Ip6::new(from, to, 58) }.packet(&message));
            assert_right(&got);
        }
        None => nothing(&mut path, &packet),
    }
}

fn check_error6<S: Sessions>(mut path: DataPath<S>, error: &ErrorParts, stateful: bool) {
    let [from, to] = [24, 8].map(|at| Ipv6Addr::from(<[u8; 16]>::try_from(&error.about[at..at + 16]).unwrap()));
    let (quote, length) = error.quote(8);
    let mut rest = error.rest;
    rest[0] |= length;
    let packet = Ip6::new(from, to, 58).packet(&icmp6(Pseudo::Six(from, to), error.kind, error.code, rest, &quote));
    let (from, to) = (reference::map4(from), reference::map4(to));
    match error_to_four(error, stateful) {
        Some(message) => {
            let got = beside(&mut path, &packet);
            assert_eq!(got, Ip4 { flags: 0, ttl: 63, ..Ip4::new(from, to, 1) }.packet(&message));
            assert_right(&got);
        }
        None => nothing(&mut path, &packet),
    }
}

/// Bytes that look like a packet in places.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (prop_oneof![packets4(), packets6()], vec(any::<(prop::sample::Index, u8)>(), 0..6), any::<u16>())
        .prop_map(|(mut packet, damage, cut)| {
            for (at, value) in damage {
                let at = at.index(packet.len().min(80));
                packet[at] = value;
            }
            if cut % 4 == 0 {
                packet.truncate(usize::from(cut) % packet.len());
            }
            if packet.len() >= 20 && packet[0] >> 4 == 4 && cut % 4 != 1 {
                // A right header checksum lets it in.
                let header = (usize::from(packet[0] & 15) * 4).clamp(20, packet.len());
                packet[10..12].fill(0);
                let value = sum(&[&packet[..header]]);
                packet[10..12].copy_from_slice(&value.to_be_bytes());
            }
            packet
        });
    let errors = (errors(abouts6(), &ROWS6, |kind| [1, 3].contains(&kind), headers6), any::<(u8, u8, u8)>()).prop_map(
        |(error, (kind, code, length))| {
            let quote = [&error.about[..error.cut], &[0x20; 40]].concat();
            let (from, to) = (HOST, embedded(SERVER));
            Ip6::new(from, to, 58).packet(&icmp6(Pseudo::Six(from, to), kind, code, [length, 0, 0, 1], &quote))
        },
    );
    prop_oneof![4 => damaged, 1 => errors, 1 => vec(any::<u8>(), 0..100)]
}

fn vnets() -> impl Strategy<Value = Vnet> {
    let small = prop_oneof![Just(0_u16), Just(6), Just(16), Just(20), Just(40), 0..100_u16, any::<u16>()];
    let gso = prop_oneof![4 => Just(0_u8), 1 => Just(1), 1 => Just(4), 1 => Just(5), 1 => any::<u8>()];
    (0..4_u8, gso, small.clone(), small.clone(), small.clone(), small).prop_map(
        |(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset)| Vnet {
            flags,
            gso_type,
            hdr_len,
            gso_size,
            csum_start,
            csum_offset,
        },
    )
}

fn survives<S: Sessions>(mut path: DataPath<S>, frames: &[(Vnet, Vec<u8>)]) {
    for pass in 0..3 {
        let output = run_all(&mut path, frames, Instant::from_secs(pass));
        let size: usize = output.side.iter().map(|(_, packet)| packet.len()).sum();
        assert!(size <= MAX_SIDE);
        for (vnet, packet) in output.batch.iter().chain(&output.side) {
            assert!([4, 6].contains(&(packet[0] >> 4)));
            assert!(usize::from(vnet.csum_start) < packet.len() || !vnet.needs_csum());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ipv6_packets_become_what_the_slow_translation_makes_of_them(packet in packets6()) {
        check6(stateless(), &packet, false);
        check6(stateful(), &packet, true);
    }

    #[test]
    fn ipv4_packets_become_what_the_slow_translation_makes_of_them(packet in packets4()) {
        check4(stateless(), &packet, false);
        check4(stateful(), &packet, true);
    }

    #[test]
    fn icmpv4_errors_become_what_the_slow_translation_makes_of_them(
        error in errors(abouts4(), &ROWS4, |kind| [3, 11, 12].contains(&kind), headers4),
        router in servers(),
    ) {
        check_error4(stateless(), &error, router, false);
        check_error4(stateful(), &error, router, true);
    }

    #[test]
    fn icmpv6_errors_become_what_the_slow_translation_makes_of_them(
        error in errors(abouts6(), &ROWS6, |kind| [1, 3].contains(&kind), headers6),
    ) {
        check_error6(stateless(), &error, false);
        check_error6(stateful(), &error, true);
    }

    #[test]
    fn noise_does_no_harm(frames in vec((vnets(), noise()), 1..6)) {
        survives(stateless(), &frames);
        survives(stateful(), &frames);
        survives(stateless_with(Settings { own_explicit: true, ..settings() }), &frames);
    }

    #[test]
    fn any_batch_stays_a_sequence_of_frames(
        bytes in vec(any::<u8>(), 0..40),
        lengths in vec(0..120_u32, 0..8),
        packet in packets6(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut batch = Vec::new();
        for length in lengths {
            let padding = if length % 3 == 0 { 0x8000_0000 } else { 0 };
            batch.extend((length | padding).to_le_bytes());
            batch.extend(packet.iter().chain(&bytes).cycle().take(length as usize));
            portreeve_packet::vnet::push_tun_frame(&mut batch, &Vnet::default(), &packet);
        }
        batch.extend(&bytes);
        batch.truncate(cut.index(batch.len() + 1));
        let (length, mut side) = (batch.len(), Vec::new());
        let mut path = stateless();
        path.handle_batch(&mut batch, &mut side, Instant::ZERO);
        prop_assert_eq!(batch.len(), length);
        if length >= 4 {
            let _ = frames(&batch);
        }
        let _ = frames(&side);
    }
}

#[test]
fn the_pointer_rows_and_the_withheld_ones_are_all_of_them() {
    // Those RFC 7915 figure 3 calls n/a.
    let missing: Vec<u8> = (0..20).filter(|pointer| POINTERS4.iter().all(|row| row.0 != *pointer)).collect();
    assert_eq!(missing, [4, 5, 6, 7, 10, 11]);
    assert!(Reason::ALL.len() > 20);
}
