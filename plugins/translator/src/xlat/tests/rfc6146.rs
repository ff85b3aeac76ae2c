//! The packet path with sessions (RFC 6146): ports, hairpin, fragments, refusals, and what is bounded.

use super::build::*;
use super::random::assert_right;
use crate::flow::{Protocol, Refusal, TcpFlags};
use crate::xlat::{DataPath, MAX_SIDE, Reason, Settings};
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::{HEADROOM, Vnet, push_tun_frame};
use proptest::prelude::*;
use std::net::Ipv6Addr;

fn to6() -> Pseudo {
    Pseudo::Six(HOST, embedded(SERVER))
}

const TO4: Pseudo = Pseudo::Four(HOST4, SERVER);
const FROM4: Pseudo = Pseudo::Four(SERVER, HOST4);

fn from6() -> Pseudo {
    Pseudo::Six(embedded(SERVER), HOST)
}

fn out6(next: u8) -> Ip6 {
    Ip6::new(HOST, embedded(SERVER), next)
}

fn out4(protocol: u8) -> Ip4 {
    Ip4 { flags: 0, ttl: 63, ..Ip4::new(HOST4, SERVER, protocol) }
}

fn in4(protocol: u8) -> Ip4 {
    Ip4::new(SERVER, HOST4, protocol)
}

fn in6(next: u8) -> Ip6 {
    Ip6 { hops: 63, ..Ip6::new(embedded(SERVER), HOST, next) }
}

#[test]
fn s3_5_the_source_port_becomes_that_of_the_mapping_and_the_session_sees_the_flags() {
    let mut path = stateful();
    let got = one(&mut path, &out6(6).packet(&tcp(to6(), (1000, 80), 0x12, &[], b"")));
    assert_eq!(got, out4(6).packet(&tcp(TO4, (1000 ^ PORT_KEY, 80), 0x12, &[], b"")));
    let got = one(&mut path, &in4(6).packet(&tcp(FROM4, (80, 2000), 5, &[], b"")));
    assert_eq!(got, in6(6).packet(&tcp(from6(), (80, 2000 ^ PORT_KEY), 5, &[], b"")));
    let asked = &path.sessions().unwrap().asked;
    let syn_ack = TcpFlags { syn: true, ack: true, ..TcpFlags::default() };
    let fin_rst = TcpFlags { fin: true, rst: true, ..TcpFlags::default() };
    assert_eq!(*asked, [(Protocol::Tcp, 1000, Some(syn_ack)), (Protocol::Tcp, 2000, Some(fin_rst))]);
}

#[test]
fn s3_5_3_identifiers_of_echo_are_mapped_like_ports() {
    let mut path = stateful();
    let [a, b] = (0x0102 ^ PORT_KEY).to_be_bytes();
    let got = one(&mut path, &out6(58).packet(&icmp6(to6(), 128, 0, [1, 2, 0, 9], b"ping")));
    assert_eq!(got, out4(1).packet(&icmp4(8, 0, [a, b, 0, 9], b"ping")));
    let got = one(&mut path, &in4(1).packet(&icmp4(0, 0, [a, b, 0, 9], b"ping")));
    assert_eq!(got, in6(58).packet(&icmp6(from6(), 129, 0, [1, 2, 0, 9], b"ping")));
}

#[test]
fn s3_5_other_protocols_are_refused_with_an_error() {
    let mut path = stateful();
    let packet = out6(132).packet(&[1; 20]);
    let ends = Pseudo::Six(ROUTER6, HOST);
    let want = Ip6::new(ROUTER6, HOST, 58).packet(&icmp6(ends, 1, 4, [0; 4], &packet));
    assert_eq!(beside(&mut path, &packet), want);
    let packet = in4(132).packet(&[1; 20]);
    let error = beside(&mut path, &packet);
    assert_eq!(error[20..22], [3, 2]);
    assert_right(&error);
    assert_eq!(path.counters().dropped(Reason::Protocol), 2);
}

#[test]
fn s3_5_a_refusal_is_told_to_the_sender_where_it_may_know() {
    for (refusal, six, four) in [
        (Refusal::NoMapping, Some(3), Some(1)),
        (Refusal::Filtered, Some(1), Some(13)),
        (Refusal::TableFull, Some(3), None),
        (Refusal::PortsExhausted, Some(3), None),
        (Refusal::Quota, Some(3), None),
        (Refusal::NotSyn, None, None),
        (Refusal::Prohibited, Some(1), None),
    ] {
        let mut path = stateful();
        path.sessions_mut().unwrap().refusal = Some(refusal);
        let packet = out6(17).packet(&udp(to6(), 1, 2, b"x"));
        match six {
            Some(code) => assert_eq!(beside(&mut path, &packet)[40..42], [1, code]),
            None => nothing(&mut path, &packet),
        }
        let packet = in4(17).packet(&udp(FROM4, 1, 2, b"x"));
        match four {
            Some(code) => assert_eq!(beside(&mut path, &packet)[20..22], [3, code]),
            None => nothing(&mut path, &packet),
        }
        assert_eq!(path.counters().dropped(refusal.into()), 2);
    }
}

#[test]
fn rfc5382_req4_a_syn_that_may_not_come_in_is_dropped_without_a_word() {
    for refusal in [Refusal::NoMapping, Refusal::Filtered] {
        let mut path = stateful();
        path.sessions_mut().unwrap().refusal = Some(refusal);
        nothing(&mut path, &in4(6).packet(&tcp(FROM4, (80, 2), 2, &[], b"")));
        assert_eq!(path.counters().dropped(refusal.into()), 1);
        assert_eq!(path.counters().icmp_errors_withheld, 1);
    }
}

#[test]
fn a_scan_of_the_pool_does_not_use_up_what_tells_senders_of_the_mtu() {
    let mut path = stateful();
    path.sessions_mut().unwrap().refusal = Some(Refusal::NoMapping);
    let scan = in4(17).packet(&udp(FROM4, 1, 2, b"x"));
    while path.counters().icmp_errors_limited == 0 {
        run(&mut path, &scan);
    }
    path.sessions_mut().unwrap().refusal = None;
    let large = in4(17).packet(&udp(FROM4, 1, 2, &[7; 1465]));
    assert_eq!(beside(&mut path, &large)[20..22], [3, 4], "fragmentation needed");
}

#[test]
fn s3_5_packets_from_inside_the_prefix_or_the_pool_or_for_neither_are_dropped() {
    let mut path = stateful();
    let inside = Ip6 { source: embedded(SERVER), ..out6(17) };
    nothing(&mut path, &inside.packet(&udp(to6(), 1, 2, b"")));
    nothing(&mut path, &Ip4 { source: OTHER4, ..in4(17) }.packet(&udp(FROM4, 1, 2, b"")));
    assert_eq!(path.counters().dropped(Reason::Loop), 2);
    nothing(&mut path, &Ip4 { destination: [9, 9, 9, 9].into(), ..in4(17) }.packet(&udp(FROM4, 1, 2, b"")));
    assert_eq!(path.counters().dropped(Reason::NotOurs), 1);
    assert!(path.sessions().unwrap().asked.is_empty());
}

#[test]
fn s3_8_two_hosts_reach_each_other_by_their_mapped_addresses() {
    // The host speaks to what the other one's port 7 is in the pool.
    let to = embedded(OTHER4);
    let port = 7 ^ PORT_KEY;
    let from = embedded(HOST4);
    let (before, after) = (Pseudo::Six(HOST, to), Pseudo::Six(from, OTHER));
    let want = Ip6 { hops: 63, ..Ip6::new(from, OTHER, 17) }.packet(&udp(after, 1000 ^ PORT_KEY, 7, b"hello"));
    let mut path = stateful();
    assert_eq!(one(&mut path, &Ip6::new(HOST, to, 17).packet(&udp(before, 1000, port, b"hello"))), want);
    let want = Ip6 { hops: 63, ..Ip6::new(from, OTHER, 6) }.packet(&tcp(after, (9 ^ PORT_KEY, 7), 2, &[], b""));
    assert_eq!(one(&mut path, &Ip6::new(HOST, to, 6).packet(&tcp(before, (9, port), 2, &[], b""))), want);
    assert_eq!((path.counters().hairpin_packets, path.counters().out_packets), (2, 0));
    let mut path = stateful_with(Settings { hairpin: false, ..settings() });
    assert_eq!(one(&mut path, &Ip6::new(HOST, to, 6).packet(&tcp(before, (9, port), 2, &[], b"")))[0], 0x45);
}

#[test]
fn s3_8_an_error_about_such_a_packet_finds_its_sender() {
    // What the other host received, and what it says about it.
    let (from, to) = (embedded(HOST4), embedded(OTHER4));
    let inner = Ip6::new(from, OTHER, 17).packet(&udp(Pseudo::Six(from, OTHER), 1000 ^ PORT_KEY, 7, b"hello"));
    let packet = Ip6::new(OTHER, from, 58).packet(&icmp6(Pseudo::Six(OTHER, from), 1, 4, [0; 4], &inner));
    let sent = Ip6::new(HOST, to, 17).packet(&udp(Pseudo::Six(HOST, to), 1000, 7 ^ PORT_KEY, b"hello"));
    let want = Ip6 { hops: 63, ..Ip6::new(to, HOST, 58) }.packet(&icmp6(Pseudo::Six(to, HOST), 1, 4, [0; 4], &sent));
    assert_eq!(one(&mut stateful(), &packet), want);
}

#[test]
fn s3_4_an_error_about_a_flow_that_is_not_known_is_dropped() {
    let stranger = Ip6::new(embedded(SERVER), ROUTER6, 17);
    let inner = stranger.packet(&udp(Pseudo::Six(embedded(SERVER), ROUTER6), 1, 2, b""));
    let mut path = stateful();
    nothing(&mut path, &out6(58).packet(&icmp6(to6(), 1, 4, [0; 4], &inner)));
    // One that names another server than it goes to.
    let inner = Ip6::new(embedded([9, 9, 9, 9].into()), HOST, 17).packet(&udp(from6(), 1, 2, b""));
    nothing(&mut path, &out6(58).packet(&icmp6(to6(), 1, 4, [0; 4], &inner)));
    // One about a packet that another pool address sent.
    let inner = Ip4::new(OTHER4, SERVER, 17).packet(&udp(TO4, 1, 2, b""));
    nothing(&mut path, &in4(1).packet(&icmp4(3, 3, [0; 4], &inner)));
    assert_eq!(path.counters().dropped(Reason::IcmpQuote), 3);
    assert!(path.sessions().unwrap().asked.is_empty());
}

#[test]
fn rfc6791_an_error_of_an_ipv6_router_comes_from_the_pool() {
    let router: Ipv6Addr = "2001:db8:9::1".parse().unwrap();
    let inner = Ip6::new(embedded(SERVER), HOST, 17).packet(&udp(from6(), 53, 1000, b""));
    let ends = Pseudo::Six(router, embedded(SERVER));
    let packet = Ip6 { source: router, ..out6(58) }.packet(&icmp6(ends, 3, 0, [0; 4], &inner));
    let mut path = stateful_with(Settings { sources4: vec![], ..settings() });
    let error = beside(&mut path, &packet);
    assert_eq!(error[12..16], ROUTER4.octets());
    assert_right(&error);
}

/// A datagram in pieces of `size` bytes, as packets of either family.
fn pieces(six: bool, bytes: &[u8], size: usize, protocol: u8) -> Vec<Vec<u8>> {
    let count = bytes.len().div_ceil(size);
    let piece = |(n, piece): (usize, &[u8])| {
        let (offset, more) = ((n * size) as u16, n + 1 < count);
        if six {
            out6(44).packet(&fragment(protocol, offset, more, 0x77_1234, piece))
        } else {
            Ip4 { flags: (offset / 8) | (u16::from(more) << 13), id: 0x1234, ..in4(protocol) }.packet(piece)
        }
    };
    bytes.chunks(size).enumerate().map(piece).collect()
}

/// The datagram that fragments make, whose headers have to agree.
fn together(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        let (header, offset) = if packet[0] >> 4 == 4 {
            assert_right(packet);
            assert_eq!(packet[4..6], [0x12, 0x34]);
            (20, usize::from(u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff) * 8)
        } else {
            assert_eq!(packet[6], 44);
            assert_eq!(packet[44..48], [0, 0, 0x12, 0x34]);
            (48, usize::from(u16::from_be_bytes([packet[42], packet[43]]) & !7))
        };
        let end = offset + packet.len() - header;
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset..end].copy_from_slice(&packet[header..]);
    }
    bytes
}

/// The datagrams of either direction, before and after.
fn datagrams(kind: u8, six: bool, payload: &[u8]) -> (u8, Vec<u8>, Vec<u8>) {
    let mapped = |port: u16| port ^ PORT_KEY;
    let [a, b] = mapped(0x0102).to_be_bytes();
    match (kind, six) {
        (0, true) => (17, udp(to6(), 1000, 53, payload), udp(TO4, mapped(1000), 53, payload)),
        (0, false) => (17, udp(FROM4, 53, 1000, payload), udp(from6(), 53, mapped(1000), payload)),
        (1, true) => (6, tcp(to6(), (1000, 53), 0x10, &[], payload), tcp(TO4, (mapped(1000), 53), 0x10, &[], payload)),
        (1, false) => {
            (6, tcp(FROM4, (53, 1000), 0x10, &[], payload), tcp(from6(), (53, mapped(1000)), 0x10, &[], payload))
        }
        (_, true) => (58, icmp6(to6(), 128, 0, [1, 2, 0, 1], payload), icmp4(8, 0, [a, b, 0, 1], payload)),
        (_, false) => (1, icmp4(0, 0, [a, b, 0, 1], payload), icmp6(from6(), 129, 0, [1, 2, 0, 1], payload)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn s3_4_fragments_in_any_order_make_the_datagram_that_was_sent(
        kind in 0..3_u8,
        six in any::<bool>(),
        length in 60..6000_usize,
        size in 3..150_usize,
        order in any::<u64>(),
        batched in any::<bool>(),
    ) {
        let payload: Vec<u8> = (0..length).map(|n| (n * 31 + n / 256) as u8).collect();
        let (protocol, before, after) = datagrams(kind, six, &payload);
        let mut packets = pieces(six, &before, (size * 8).max(length / 100 / 8 * 8 + 8), protocol);
        let mut state = order | 1;
        for n in (1..packets.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            packets.swap(n, (state >> 33) as usize % (n + 1));
        }
        prop_assume!(packets.len() > 1);
        let mut path = stateful();
        let got = if batched {
            let frames: Vec<_> = packets.iter().map(|packet| (Vnet::default(), packet.clone())).collect();
            run_all(&mut path, &frames, Instant::ZERO).packets()
        } else {
            packets.iter().flat_map(|packet| run(&mut path, packet).packets()).collect()
        };
        prop_assert_eq!(got.len(), packets.len());
        prop_assert_eq!(together(&got), after);
        prop_assert_eq!(path.sessions().unwrap().asked.len(), 1);
        prop_assert_eq!(path.counters().fragments, packets.len() as u64);
    }
}

#[test]
fn s3_4_fragments_wait_two_seconds_for_the_first() {
    let (protocol, before, _) = datagrams(0, true, &[1; 100]);
    let packets = pieces(true, &before, 56, protocol);
    let mut path = stateful();
    nothing(&mut path, &packets[1]);
    assert_eq!(path.poll_timeout(), Some(Instant::from_secs(2)));
    path.handle_timeout(Instant::from_secs(2));
    assert_eq!(path.poll_timeout(), None);
    assert_eq!(path.counters().dropped(Reason::FragmentTimeout), 1);
    let output = run_all(&mut path, &[(Vnet::default(), packets[0].clone())], Instant::from_secs(3));
    assert_eq!((output.batch.len(), output.side.len()), (1, 0));
}

#[test]
fn rfc5722_overlapping_fragments_end_their_datagram() {
    let bytes = datagrams(0, true, &[1; 200]).1;
    let piece = |offset: u16, length: usize, more| {
        let at = usize::from(offset);
        out6(44).packet(&fragment(17, offset, more, 5, &bytes[at..at + length]))
    };
    let mut path = stateful();
    one(&mut path, &piece(0, 64, true));
    one(&mut path, &piece(64, 64, true));
    nothing(&mut path, &piece(120, 80, false));
    nothing(&mut path, &piece(128, 80, false));
    assert_eq!(path.counters().dropped(Reason::FragmentOverlap), 1);
    assert_eq!(path.counters().dropped(Reason::FragmentRefused), 1);
}

#[test]
fn rfc1858_tiny_fragments_are_dropped() {
    let mut path = stateful();
    let segment = tcp(to6(), (1, 2), 2, &[], &[0; 40]);
    nothing(&mut path, &out6(44).packet(&fragment(6, 0, true, 1, &segment[..16])));
    nothing(&mut path, &out6(44).packet(&fragment(6, 8, true, 1, &segment[8..16])));
    nothing(&mut path, &Ip4 { flags: 0x2000, ..in4(6) }.packet(&segment[..16]));
    nothing(&mut path, &Ip4 { flags: 2, ..in4(6) }.packet(&segment[16..]));
    assert_eq!(path.counters().dropped(Reason::FragmentTiny), 4);
}

#[test]
fn rfc7915_s4_5_fragments_of_udp_without_a_checksum_are_dropped() {
    let mut bytes = datagrams(0, false, &[1; 200]).1;
    bytes[6..8].fill(0);
    let packets = pieces(false, &bytes, 104, 17);
    let mut path = stateful();
    assert_eq!(beside(&mut path, &packets[0])[20..22], [3, 13]);
    nothing(&mut path, &packets[1]);
    assert_eq!(path.counters().dropped(Reason::UdpZero), 1);
    assert_eq!(path.counters().dropped(Reason::FragmentRefused), 1);
    assert!(path.sessions().unwrap().asked.is_empty());
}

#[test]
fn s3_8_fragments_are_sent_back_to_ipv6_as_well() {
    let to = embedded(OTHER4);
    let bytes = udp(Pseudo::Six(HOST, to), 1000, 7 ^ PORT_KEY, &[8; 300]);
    let piece = |range: std::ops::Range<usize>, more| {
        Ip6::new(HOST, to, 44).packet(&fragment(17, range.start as u16, more, 0x1234, &bytes[range]))
    };
    let mut path = stateful();
    let packets = [one(&mut path, &piece(0..104, true)), one(&mut path, &piece(104..308, false))];
    let after = udp(Pseudo::Six(embedded(HOST4), OTHER), 1000 ^ PORT_KEY, 7, &[8; 300]);
    assert_eq!(together(&packets), after);
    assert_eq!(packets[1][24..40], OTHER.octets());
}

#[test]
fn what_is_beside_a_batch_is_bounded() {
    let mut path = stateless();
    let packet = Ip4 { flags: 0, ..in4(17) }.packet(&udp(FROM4, 1, 2, &[0; 60_000]));
    let frames: Vec<_> = (0..30).map(|_| (Vnet::default(), packet.clone())).collect();
    let mut batch = Vec::new();
    for (vnet, packet) in &frames {
        portreeve_packet::vnet::push_headroom(&mut batch);
        push_tun_frame(&mut batch, vnet, packet);
    }
    let mut side = Vec::new();
    path.handle_batch(&mut batch, &mut side, Instant::ZERO);
    assert!(side.len() <= MAX_SIDE && side.len() > MAX_SIDE - 2000);
    assert!(path.counters().dropped(Reason::SideFull) > 0);
    assert!(super::build::frames(&batch).is_empty());
}

#[test]
fn without_headroom_packets_go_beside_the_batch() {
    for room in 0..=HEADROOM {
        let mut batch = Vec::new();
        if room >= 4 {
            batch.extend((0x8000_0000 | (room - 4) as u32).to_le_bytes());
            batch.resize(room, 0);
        }
        let before = batch.len();
        push_tun_frame(&mut batch, &Vnet::default(), &udp4(b"hello"));
        let length = batch.len();
        let mut side = Vec::new();
        let mut path = stateless();
        path.handle_batch(&mut batch, &mut side, Instant::ZERO);
        assert_eq!(batch.len(), length);
        let want = one(&mut stateless(), &udp4(b"hello"));
        let (in_place, beside) = (frames(&batch), frames(&side));
        let all: Vec<_> = in_place.iter().chain(&beside).map(|(_, packet)| packet.clone()).collect();
        assert_eq!(all, [want]);
        assert_eq!(in_place.len(), usize::from(before >= 32), "{room}");
    }
}

#[test]
fn a_batch_that_is_cut_off_after_a_packet_stays_well_formed() {
    for tail in 0..8 {
        let mut batch = Vec::new();
        portreeve_packet::vnet::push_headroom(&mut batch);
        push_tun_frame(&mut batch, &Vnet::default(), &udp6(b"hello"));
        batch.resize(batch.len() + tail, 0xff);
        let length = batch.len();
        let (mut path, mut side): (DataPath<_>, _) = (stateless(), Vec::new());
        path.handle_batch(&mut batch, &mut side, Instant::ZERO);
        assert_eq!(batch.len(), length);
        let all: Vec<_> = frames(&batch).into_iter().chain(frames(&side)).map(|(_, packet)| packet).collect();
        assert_eq!(all, [one(&mut stateless(), &udp6(b"hello"))], "{tail}");
        assert_eq!(path.counters().dropped(Reason::Malformed), u64::from(tail > 0));
    }
}

#[test]
fn settings_change_and_sessions_stay() {
    let mut path = stateful();
    one(&mut path, &out6(17).packet(&udp(to6(), 1, 2, b"")));
    let other = Settings { mtu4: 1280, ..settings() };
    path.reconfigure(other.clone(), None);
    assert_eq!(*path.settings(), other);
    assert_eq!(path.sessions().unwrap().asked.len(), 1);
    assert_eq!(path.counters().out_packets, 1);
    beside(&mut path, &out6(17).packet(&udp(to6(), 1, 2, &[0; 1300])));
}
