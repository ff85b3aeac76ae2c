//! RFC 7915 section 4: from IPv4 to IPv6, rule by rule.

use super::build::*;
use super::random::assert_right;
use super::reference::{POINTERS4, ROWS4};
use crate::xlat::{Reason, Settings, UdpZero};

const FROM4: Pseudo = Pseudo::Four(SERVER, HOST4);

fn from6() -> Pseudo {
    Pseudo::Six(embedded(SERVER), HOST)
}

fn ip4(protocol: u8) -> Ip4 {
    Ip4::new(SERVER, HOST4, protocol)
}

/// What `ip4` becomes.
fn ip6(next: u8) -> Ip6 {
    Ip6 { hops: 63, ..Ip6::new(embedded(SERVER), HOST, next) }
}

fn datagram(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (udp(FROM4, 53, 1000, payload), udp(from6(), 53, 1000, payload))
}

#[test]
fn s4_1_header_fields_are_those_of_an_ipv6_host() {
    let (before, after) = datagram(b"hello");
    let got = one(&mut stateless(), &Ip4 { tos: 0xb9, ttl: 2, id: 77, ..ip4(17) }.packet(&before));
    assert_eq!(got, Ip6 { class: 0xb9, hops: 1, ..ip6(17) }.packet(&after));
    // Version, class and flow label; payload length; next header; hop limit.
    assert_eq!(got[..8], [0x6b, 0x90, 0, 0, 0, 13, 17, 1]);
}

#[test]
fn s4_1_the_tos_may_be_ignored_but_for_ecn() {
    let (before, after) = datagram(b"");
    let mut path = stateless_with(Settings { copy_traffic_class: false, ..settings() });
    let got = one(&mut path, &Ip4 { tos: 0xbb, ..ip4(17) }.packet(&before));
    assert_eq!(got, Ip6 { class: 3, ..ip6(17) }.packet(&after));
}

#[test]
fn s4_1_options_are_ignored() {
    let (before, after) = datagram(b"x");
    for options in
        [vec![1, 1, 1, 0], vec![7, 7, 4, 0, 0, 0, 0, 0], vec![0x94, 4, 0, 0], vec![131, 0, 0, 0], vec![9; 40]]
    {
        let got = one(&mut stateless(), &Ip4 { options, ..ip4(17) }.packet(&before));
        assert_eq!(got, ip6(17).packet(&after));
    }
}

#[test]
fn s4_1_an_unexpired_source_route_is_refused_with_source_route_failed() {
    let (before, after) = datagram(b"x");
    for kind in [131, 137] {
        let packet = Ip4 { options: vec![1, kind, 7, 4, 8, 8, 8, 8], ..ip4(17) }.packet(&before);
        let mut path = stateless();
        let error = beside(&mut path, &packet);
        assert_right(&error);
        assert_eq!(error, Ip4 { flags: 0, ..Ip4::new(ROUTER4, SERVER, 1) }.packet(&icmp4(3, 5, [0; 4], &packet)));
        assert_eq!(path.counters().dropped(Reason::SourceRoute), 1);
        let expired = Ip4 { options: vec![1, kind, 7, 8, 8, 8, 8, 8], ..ip4(17) }.packet(&before);
        assert_eq!(one(&mut stateless(), &expired), ip6(17).packet(&after));
    }
}

#[test]
fn s4_1_no_fragment_header_without_need() {
    let (before, after) = datagram(&[5; 1232]);
    for flags in [0x4000, 0] {
        assert_eq!(one(&mut stateless(), &Ip4 { flags, ..ip4(17) }.packet(&before)), ip6(17).packet(&after));
    }
    let (before, after) = datagram(&[5; 1452]);
    assert_eq!(one(&mut stateless(), &ip4(17).packet(&before)), ip6(17).packet(&after));
}

#[test]
fn s4_what_may_be_fragmented_is_cut_to_1280_bytes() {
    let (before, after) = datagram(&[5; 1233]);
    let output = run(&mut stateless(), &Ip4 { flags: 0, id: 0xabcd, ..ip4(17) }.packet(&before));
    let want = [
        ip6(44).packet(&fragment(17, 0, true, 0xabcd, &after[..1232])),
        ip6(44).packet(&fragment(17, 1232, false, 0xabcd, &after[1232..])),
    ];
    assert_eq!(output.packets(), want);
    assert_eq!(output.packets()[0].len(), 1280);
}

#[test]
fn s4_the_length_to_cut_to_is_configurable() {
    let (before, after) = datagram(&[5; 1400]);
    let mut path = stateless_with(Settings { lowest_mtu6: 1448, ..settings() });
    assert_eq!(one(&mut path, &Ip4 { flags: 0, ..ip4(17) }.packet(&before)), ip6(17).packet(&after));
}

#[test]
fn s4_what_may_not_be_fragmented_and_is_too_big_is_answered_with_the_mtu() {
    let (before, _) = datagram(&[5; 1453]);
    let packet = ip4(17).packet(&before);
    let mut path = stateless();
    let error = beside(&mut path, &packet);
    let message = icmp4(3, 4, [0, 0, 0x05, 0xc8], &packet[..548]);
    assert_eq!(error, Ip4 { flags: 0, ..Ip4::new(ROUTER4, SERVER, 1) }.packet(&message));
    assert_eq!(path.counters().dropped(Reason::TooBig), 1);
}

#[test]
fn s4_1_a_fragment_gets_a_fragment_header_with_its_fields() {
    let (before, after) = datagram(&[9; 100]);
    let first = Ip4 { flags: 0x2000, id: 0xfedc, ..ip4(17) }.packet(&before[..56]);
    assert_eq!(one(&mut stateless(), &first), ip6(44).packet(&fragment(17, 0, true, 0xfedc, &after[..56])));
    let last = Ip4 { flags: 7, id: 0xfedc, ..ip4(17) }.packet(&before[56..]);
    assert_eq!(one(&mut stateless(), &last), ip6(44).packet(&fragment(17, 56, false, 0xfedc, &after[56..])));
    let middle = Ip4 { flags: 0x2000 | 185, id: 1, ..ip4(17) }.packet(&[1; 1400]);
    let got = run(&mut stateless(), &middle).packets();
    let want = [
        ip6(44).packet(&fragment(17, 1480, true, 1, &[1; 1232])),
        ip6(44).packet(&fragment(17, 1480 + 1232, true, 1, &[1; 168])),
    ];
    assert_eq!(got, want);
}

#[test]
fn s4_1_addresses_that_are_not_translated_are_refused() {
    let (before, _) = datagram(b"");
    for (source, reason) in [
        ([127, 0, 0, 1], Reason::Martian),
        ([224, 0, 0, 1], Reason::Martian),
        ([0, 0, 0, 0], Reason::Martian),
        ([169, 254, 1, 1], Reason::Martian),
        ([10, 9, 9, 9], Reason::Denied),
    ] {
        let denied = crate::xlat::Prefix4::new([10, 0, 0, 0].into(), 8).unwrap();
        let mut path = stateless_with(Settings { deny4: vec![denied], ..settings() });
        let output = run(&mut path, &Ip4 { source: source.into(), ..ip4(17) }.packet(&before));
        // Section 4.4: administratively prohibited, but nothing to who is nobody.
        assert_eq!(output.packets().len(), usize::from(reason == Reason::Denied));
        assert!(output.packets().iter().all(|error| error[20..22] == [3, 13]));
        assert_eq!(path.counters().dropped(reason), 1, "{source:?}");
    }
    for destination in [[224, 0, 0, 5], [255, 255, 255, 255], [127, 0, 0, 1]] {
        let mut path = stateless();
        nothing(&mut path, &Ip4 { destination: destination.into(), ..ip4(17) }.packet(&before));
        assert_eq!(path.counters().dropped(Reason::Denied), 1);
    }
}

#[test]
fn s4_2_echo_is_translated() {
    for (before, after) in [(8, 128), (0, 129)] {
        let packet = ip4(1).packet(&icmp4(before, 0, [1, 2, 3, 4], b"ping"));
        let want = ip6(58).packet(&icmp6(from6(), after, 0, [1, 2, 3, 4], b"ping"));
        assert_eq!(one(&mut stateless(), &packet), want);
    }
}

#[test]
fn s4_2_other_messages_and_igmp_are_dropped() {
    for kind in [1, 2, 6, 7, 9, 10, 13, 14, 15, 16, 17, 18, 30, 40, 42, 255] {
        let mut path = stateless();
        nothing(&mut path, &ip4(1).packet(&icmp4(kind, 0, [0; 4], &[0; 20])));
        assert_eq!(path.counters().dropped(Reason::IcmpType), 1, "{kind}");
    }
    let mut path = stateless();
    nothing(&mut path, &ip4(2).packet(&[0x16, 0, 0, 0, 224, 0, 0, 9]));
    assert_eq!(path.counters().dropped(Reason::Protocol), 1);
}

/// The packet that errors are about: from the host to the server, as it was on the IPv4 side and on the IPv6 side.
fn about() -> (Vec<u8>, Vec<u8>) {
    let before = Ip4::new(HOST4, SERVER, 17).packet(&udp(Pseudo::Four(HOST4, SERVER), 1000, 53, b"question"));
    let (from, to) = (HOST, embedded(SERVER));
    (before, Ip6::new(from, to, 17).packet(&udp(Pseudo::Six(from, to), 1000, 53, b"question")))
}

fn error4(kind: u8, code: u8, rest: [u8; 4]) -> Vec<u8> {
    ip4(1).packet(&icmp4(kind, code, rest, &about().0))
}

fn error6(kind: u8, code: u8, rest: [u8; 4]) -> Vec<u8> {
    ip6(58).packet(&icmp6(from6(), kind, code, rest, &about().1))
}

#[test]
fn s4_2_each_error_becomes_the_one_of_its_row_and_all_others_are_dropped() {
    for kind in [3, 4, 5, 11, 12] {
        for code in 0..=20 {
            let row = ROWS4.iter().find(|row| (row.0, row.1) == (kind, code));
            let mut path = stateless();
            let packet = error4(kind, code, [0; 4]);
            match row {
                Some((3, 2, ..)) => assert_eq!(beside(&mut path, &packet), error6(4, 1, [0, 0, 0, 6])),
                Some((3, 4, ..)) => assert_eq!(beside(&mut path, &packet), error6(2, 0, [0, 0, 5, 0])),
                Some((_, _, kind, code)) => assert_eq!(beside(&mut path, &packet), error6(*kind, *code, [0; 4])),
                None if kind == 11 => {}
                None => {
                    nothing(&mut path, &packet);
                    assert_eq!(path.counters().dropped(Reason::IcmpType), 1, "{kind} {code}");
                }
            }
        }
    }
}

#[test]
fn s4_2_pointers_are_those_of_figure_3() {
    for pointer in 0..=255 {
        let mut path = stateless();
        let packet = error4(12, 0, [pointer, 0, 0, 0]);
        match POINTERS4.iter().find(|row| row.0 == pointer) {
            Some((_, after)) => assert_eq!(beside(&mut path, &packet), error6(4, 0, [0, 0, 0, *after])),
            None => nothing(&mut path, &packet),
        }
    }
}

#[test]
fn s4_2_the_mtu_is_the_smallest_on_the_way_and_at_least_1280() {
    let mtu = |settings: Settings, told: u16| {
        let [a, b] = told.to_be_bytes();
        let error = beside(&mut stateless_with(settings), &error4(3, 4, [0, 0, a, b]));
        u32::from_be_bytes([error[44], error[45], error[46], error[47]])
    };
    assert_eq!(mtu(settings(), 1400), 1420);
    assert_eq!(mtu(settings(), 1480), 1500);
    assert_eq!(mtu(settings(), 9000), 1500);
    assert_eq!(mtu(settings(), 576), 1280);
    assert_eq!(mtu(Settings { mtu6: 9000, mtu4: 9000, ..settings() }, 8000), 8020);
    assert_eq!(mtu(Settings { mtu6: 9000, mtu4: 1400, ..settings() }, 8000), 1420);
    assert_eq!(mtu(Settings { mtu6: 1300, mtu4: 9000, ..settings() }, 8000), 1300);
}

#[test]
fn s4_2_an_mtu_of_zero_is_the_next_lower_plateau() {
    for (length, want) in [(1493_u16, 1512), (1492, 1280), (2003, 2022), (65_535, 32_020), (8166, 4372)] {
        let mut about = about().0;
        about[2..4].copy_from_slice(&length.to_be_bytes());
        let packet = ip4(1).packet(&icmp4(3, 4, [0; 4], &about));
        let error = beside(&mut stateless_with(Settings { mtu4: 65_535, mtu6: 65_535, ..settings() }), &packet);
        assert_eq!(u32::from_be_bytes([error[44], error[45], error[46], error[47]]), want, "{length}");
    }
}

#[test]
fn s4_2_extensions_are_kept_with_their_length_in_eight_bytes() {
    let mut quote = about().0;
    quote.resize(128, 0);
    let extension = [0x20, 0, 0x5a, 0x5a, 0, 8, 1, 1, 1, 2, 3, 4];
    let packet = ip4(1).packet(&icmp4(11, 0, [0, 32, 0, 0], &[&quote[..], &extension].concat()));
    let mut after = about().1;
    after.resize(128, 0);
    let message = icmp6(from6(), 3, 0, [16, 0, 0, 0], &[&after[..], &extension].concat());
    assert_eq!(beside(&mut stateless(), &packet), ip6(58).packet(&message));
    // Packet Too Big has no place for them (RFC 4884 section 4).
    let packet = ip4(1).packet(&icmp4(3, 4, [0, 32, 5, 0xc8], &[&quote[..], &extension].concat()));
    let message = icmp6(from6(), 2, 0, [0, 0, 5, 0xdc], &about().1);
    assert_eq!(beside(&mut stateless(), &packet), ip6(58).packet(&message));
}

#[test]
fn s4_2_an_error_is_no_longer_than_1280_bytes() {
    let about = Ip4::new(HOST4, SERVER, 17).packet(&udp(Pseudo::Four(HOST4, SERVER), 1, 2, &[7; 1400]));
    let error = beside(&mut stateless(), &ip4(1).packet(&icmp4(3, 1, [0; 4], &about)));
    assert_eq!(error.len(), 1280);
    assert_right(&error);
}

#[test]
fn s4_2_an_error_with_a_wrong_checksum_is_dropped() {
    let mut packet = error4(3, 1, [0; 4]);
    packet[40] ^= 1;
    let mut path = stateless();
    nothing(&mut path, &packet);
    assert_eq!(path.counters().dropped(Reason::Checksum), 1);
}

#[test]
fn s4_3_an_error_about_an_error_is_dropped() {
    let inner = Ip4::new(HOST4, SERVER, 1).packet(&icmp4(3, 1, [0; 4], &[0; 28]));
    let mut path = stateless();
    nothing(&mut path, &ip4(1).packet(&icmp4(3, 1, [0; 4], &inner)));
    assert_eq!(path.counters().dropped(Reason::IcmpQuote), 1);
}

#[test]
fn s4_3_a_fragment_inside_gets_its_fragment_header() {
    let bytes = udp(Pseudo::Four(HOST4, SERVER), 1000, 53, &[3; 40]);
    let inner = Ip4 { flags: 0x2000, id: 9, ..Ip4::new(HOST4, SERVER, 17) }.packet(&bytes);
    let error = beside(&mut stateless(), &ip4(1).packet(&icmp4(11, 1, [0; 4], &inner)));
    let (from, to) = (HOST, embedded(SERVER));
    let after = udp(Pseudo::Six(from, to), 1000, 53, &[3; 40]);
    let inner = Ip6::new(from, to, 44).packet(&fragment(17, 0, true, 9, &after));
    assert_eq!(error, ip6(58).packet(&icmp6(from6(), 3, 1, [0; 4], &inner)));
}

#[test]
fn s4_4_a_packet_whose_time_is_up_is_answered() {
    for ttl in [0, 1] {
        let packet = Ip4 { ttl, ..ip4(17) }.packet(&datagram(b"late").0);
        let error = beside(&mut stateless(), &packet);
        assert_eq!(error, Ip4 { flags: 0, ..Ip4::new(ROUTER4, SERVER, 1) }.packet(&icmp4(11, 0, [0; 4], &packet)));
    }
}

#[test]
fn s4_4_no_error_answers_an_error_or_a_later_fragment_and_none_comes_from_nobody() {
    let mut late = error4(3, 1, [0; 4]);
    late[8] = 1;
    late[10..12].fill(0);
    let value = sum(&[&late[..20]]);
    late[10..12].copy_from_slice(&value.to_be_bytes());
    nothing(&mut stateless(), &late);
    nothing(&mut stateless(), &Ip4 { ttl: 1, flags: 5, ..ip4(17) }.packet(&[0; 40]));
    let mut path = stateless_with(Settings { sources4: vec![], ..settings() });
    nothing(&mut path, &Ip4 { ttl: 1, ..ip4(17) }.packet(&datagram(b"").0));
    assert_eq!(path.counters().icmp_errors_withheld, 1);
}

#[test]
fn s4_4_errors_are_limited_in_rate() {
    let mut path = stateless_with(Settings { errors_per_second: 10, error_burst: 5, ..settings() });
    let packet = Ip4 { ttl: 1, ..ip4(17) }.packet(&datagram(b"").0);
    let sent: usize = (0..20).map(|_| run(&mut path, &packet).side.len()).sum();
    assert_eq!(sent, 5);
    assert_eq!((path.counters().icmp_errors_sent, path.counters().icmp_errors_limited), (5, 15));
    // Not more at once than in a second; none at all where that is none.
    for rate in [3, 0] {
        let mut path = stateless_with(Settings { errors_per_second: rate, ..settings() });
        let sent: usize = (0..20).map(|_| run(&mut path, &packet).side.len()).sum();
        assert_eq!(sent, rate as usize);
    }
}

#[test]
fn s4_5_udp_without_a_checksum_gets_one_or_is_dropped() {
    let (mut before, after) = datagram(b"unsummed");
    before[6..8].fill(0);
    let packet = ip4(17).packet(&before);
    assert_eq!(one(&mut stateless(), &packet), ip6(17).packet(&after));
    let mut path = stateless_with(Settings { udp_zero: UdpZero::Drop, ..settings() });
    assert_eq!(beside(&mut path, &packet)[20..22], [3, 13]);
    assert_eq!(path.counters().dropped(Reason::UdpZero), 1);
    before[4] = 0xff;
    nothing(&mut stateless(), &ip4(17).packet(&before));
}

#[test]
fn s4_5_a_first_fragment_of_udp_without_a_checksum_is_dropped() {
    let (mut before, _) = datagram(&[1; 40]);
    before[6..8].fill(0);
    let mut path = stateless();
    assert_eq!(beside(&mut path, &Ip4 { flags: 0x2000, ..ip4(17) }.packet(&before))[20..22], [3, 13]);
    assert_eq!(path.counters().dropped(Reason::UdpZero), 1);
}

#[test]
fn s4_5_tcp_keeps_its_options_and_a_right_checksum() {
    let options = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    let packet = ip4(6).packet(&tcp(FROM4, (80, 4000), 0x18, &options, b"data"));
    let want = ip6(6).packet(&tcp(from6(), (80, 4000), 0x18, &options, b"data"));
    assert_eq!(one(&mut stateless(), &packet), want);
}

#[test]
fn s4_5_a_wrong_checksum_stays_wrong() {
    let mut packet = ip4(17).packet(&datagram(b"damaged").0);
    packet[30] ^= 4;
    let got = one(&mut stateless(), &packet);
    assert_ne!(sum(&[&from6().bytes(17, got.len() - 40), &got[40..]]), 0);
}

#[test]
fn s4_5_other_protocols_pass_as_they_are_and_dccp_with_its_checksum() {
    for protocol in [4, 41, 47, 50, 51, 132, 253] {
        let got = one(&mut stateless(), &ip4(protocol).packet(&[7; 33]));
        assert_eq!(got, ip6(protocol).packet(&[7; 33]), "{protocol}");
    }
    for protocol in [33, 136] {
        let dccp = |ends: Pseudo| {
            let mut bytes = [9; 32];
            bytes[6..8].fill(0);
            let value = sum(&[&ends.bytes(protocol, 32), &bytes]);
            bytes[6..8].copy_from_slice(&value.to_be_bytes());
            bytes
        };
        assert_eq!(one(&mut stateless(), &ip4(protocol).packet(&dccp(FROM4))), ip6(protocol).packet(&dccp(from6())));
    }
}

#[test]
fn s4_1_protocols_that_are_extension_headers_of_ipv6_do_not_become_such() {
    for protocol in [0, 43, 44, 58, 60, 135, 139, 140] {
        let mut path = stateless();
        nothing(&mut path, &ip4(protocol).packet(&[0; 40]));
        assert_eq!(path.counters().dropped(Reason::Protocol), 1, "{protocol}");
    }
}

#[test]
fn s1_2_fragments_of_icmp_are_not_translated_without_state() {
    for flags in [0x2000, 5] {
        let mut path = stateless();
        nothing(&mut path, &Ip4 { flags, ..ip4(1) }.packet(&icmp4(8, 0, [0; 4], &[0; 24])));
        assert_eq!(path.counters().dropped(Reason::IcmpFragment), 1);
    }
}

#[test]
fn a_header_with_a_wrong_checksum_or_length_is_dropped() {
    let right = ip4(17).packet(&datagram(b"").0);
    let mut wrong = right.clone();
    wrong[8] = 9;
    let mut path = stateless();
    nothing(&mut path, &wrong);
    nothing(&mut path, &right[..right.len() - 1]);
    nothing(&mut path, &right[..19]);
    nothing(&mut path, &[0x45]);
    nothing(&mut path, &[0x35; 40]);
    assert_eq!(path.counters().dropped(Reason::Checksum), 1);
    assert_eq!(path.counters().dropped(Reason::Truncated), 2);
    assert_eq!(path.counters().dropped(Reason::NotIp), 1);
}

#[test]
fn what_follows_the_packet_in_its_frame_is_cut_off() {
    let (before, after) = datagram(b"short");
    let mut packet = ip4(17).packet(&before);
    packet.extend([0xee; 13]);
    let mut path = stateless();
    assert_eq!(beside(&mut path, &packet), ip6(17).packet(&after));
    assert_eq!(path.counters().moved, 1);
}

#[test]
fn s4_1_an_error_is_translated_whoever_it_is_from() {
    for source in [[127, 0, 0, 1], [0, 0, 0, 0], [10, 0, 0, 1]] {
        let denied = crate::xlat::Prefix4::new([10, 0, 0, 0].into(), 8).unwrap();
        let mut path = stateless_with(Settings { deny4: vec![denied], ..settings() });
        let packet = Ip4 { source: source.into(), ..ip4(1) }.packet(&icmp4(11, 0, [0; 4], &about().0));
        let from = embedded(source.into());
        let message = icmp6(Pseudo::Six(from, HOST), 3, 0, [0; 4], &about().1);
        assert_eq!(beside(&mut path, &packet), Ip6 { source: from, ..ip6(58) }.packet(&message));
    }
}
