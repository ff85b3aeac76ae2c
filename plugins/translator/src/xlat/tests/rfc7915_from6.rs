//! RFC 7915 section 5: from IPv6 to IPv4, rule by rule.

use super::build::*;
use super::random::assert_right;
use super::reference::ROWS6;
use crate::xlat::{Pref64, Reason, Settings};
use std::net::{Ipv4Addr, Ipv6Addr};

const TO4: Pseudo = Pseudo::Four(HOST4, SERVER);

fn to6() -> Pseudo {
    Pseudo::Six(HOST, embedded(SERVER))
}

fn ip6(next: u8) -> Ip6 {
    Ip6::new(HOST, embedded(SERVER), next)
}

/// What `ip6` becomes, where it is small.
fn ip4(protocol: u8) -> Ip4 {
    Ip4 { flags: 0, ttl: 63, ..Ip4::new(HOST4, SERVER, protocol) }
}

fn datagram(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (udp(to6(), 1000, 53, payload), udp(TO4, 1000, 53, payload))
}

#[test]
fn s5_1_header_fields_are_those_of_an_ipv4_host() {
    let (before, after) = datagram(b"hello");
    let got = one(&mut stateless(), &Ip6 { class: 0xb9, label: 0xfffff, hops: 2, ..ip6(17) }.packet(&before));
    assert_eq!(got, Ip4 { tos: 0xb9, ttl: 1, ..ip4(17) }.packet(&after));
    assert_eq!(got[..10], [0x45, 0xb9, 0, 33, 0, 0, 0, 0, 1, 17]);
}

#[test]
fn s5_1_the_traffic_class_may_be_ignored_but_for_ecn() {
    let (before, after) = datagram(b"");
    let mut path = stateless_with(Settings { copy_traffic_class: false, ..settings() });
    assert_eq!(
        one(&mut path, &Ip6 { class: 0xbb, ..ip6(17) }.packet(&before)),
        Ip4 { tos: 3, ..ip4(17) }.packet(&after)
    );
}

#[test]
fn s5_1_up_to_1260_bytes_may_be_fragmented_and_have_identifications() {
    let mut path = stateless();
    let (before, after) = datagram(&[1; 1232]);
    for id in [0, 1] {
        assert_eq!(one(&mut path, &ip6(17).packet(&before)), Ip4 { id, ..ip4(17) }.packet(&after));
    }
    let (before, after) = datagram(&[1; 1233]);
    assert_eq!(one(&mut path, &ip6(17).packet(&before)), Ip4 { flags: 0x4000, ..ip4(17) }.packet(&after));
    let (before, after) = datagram(&[1; 1]);
    assert_eq!(one(&mut path, &ip6(17).packet(&before)), Ip4 { id: 2, ..ip4(17) }.packet(&after));
}

#[test]
fn s5_1_extension_headers_are_skipped() {
    let (before, after) = datagram(b"x");
    let chain = |protocols: &[u8]| {
        let mut bytes: Vec<u8> = protocols.iter().flat_map(|next| [*next, 0, 1, 4, 0, 0, 0, 0]).collect();
        // Of a routing header the fourth byte says how much of the route is left.
        bytes.chunks_mut(8).for_each(|header| header[3] = 0);
        bytes.extend(&before);
        bytes
    };
    for (first, rest) in [(0, &[17][..]), (60, &[17]), (43, &[17]), (0, &[60, 43, 60, 17])] {
        let got = one(&mut stateless(), &ip6(first).packet(&chain(rest)));
        assert_eq!(got, ip4(17).packet(&after), "{first}");
    }
}

#[test]
fn s5_1_a_routing_header_with_segments_left_is_refused_with_a_pointer_to_them() {
    let (before, _) = datagram(b"x");
    let headers = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 4, 1, 0, 0, 0, 0];
    // A hop-by-hop header, then a routing header.
    let mut bytes = headers.to_vec();
    bytes[0] = 43;
    bytes.extend(before);
    let packet = ip6(0).packet(&bytes);
    let mut path = stateless();
    let error = beside(&mut path, &packet);
    let ends = Pseudo::Six(ROUTER6, HOST);
    let want = Ip6::new(ROUTER6, HOST, 58).packet(&icmp6(ends, 4, 0, [0, 0, 0, 51], &packet));
    assert_eq!(error, want);
    assert_eq!(path.counters().dropped(Reason::RoutingHeader), 1);
}

#[test]
fn s5_1_1_fragments_keep_their_place_and_the_low_half_of_their_identification() {
    let (before, after) = datagram(&[9; 100]);
    let first = ip6(44).packet(&fragment(17, 0, true, 0xdead_beef, &before[..56]));
    let want = Ip4 { id: 0xbeef, flags: 0x2000, ..ip4(17) };
    assert_eq!(one(&mut stateless(), &first), want.packet(&after[..56]));
    let last = ip6(44).packet(&fragment(17, 56, false, 0xdead_beef, &before[56..]));
    let want = Ip4 { id: 0xbeef, flags: 7, ..ip4(17) };
    assert_eq!(one(&mut stateless(), &last), want.packet(&after[56..]));
}

#[test]
fn s5_1_1_a_datagram_with_a_fragment_header_only_may_be_fragmented() {
    let (before, after) = datagram(&[9; 1400]);
    let packet = ip6(44).packet(&fragment(17, 0, false, 0x1_0007, &before));
    assert_eq!(one(&mut stateless(), &packet), Ip4 { id: 7, ..ip4(17) }.packet(&after));
    assert_eq!(one(&mut stateful(), &packet)[20..22], (1000_u16 ^ PORT_KEY).to_be_bytes());
}

#[test]
fn s5_1_1_an_extension_header_behind_the_fragment_header_is_refused_but_esp_passes() {
    for next in [0, 43, 44, 51, 60] {
        let mut path = stateless();
        nothing(&mut path, &ip6(44).packet(&fragment(next, 0, true, 1, &[17, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])));
        assert_eq!(path.counters().dropped(Reason::FragmentExtension), 1, "{next}");
    }
    let packet = ip6(44).packet(&fragment(50, 0, true, 1, &[1; 16]));
    let want = Ip4 { id: 1, flags: 0x2000, ..ip4(50) };
    assert_eq!(one(&mut stateless(), &packet), want.packet(&[1; 16]));
}

#[test]
fn s5_1_addresses_that_are_not_translated_are_refused() {
    let (before, _) = datagram(b"");
    for source in ["ff02::1", "::", "::1", "fe80::1"] {
        let mut path = stateless();
        nothing(&mut path, &Ip6 { source: source.parse().unwrap(), ..ip6(17) }.packet(&before));
        assert_eq!(path.counters().dropped(Reason::Martian), 1, "{source}");
    }
    let mut path = stateless();
    let error = beside(&mut path, &Ip6 { source: "2001:db8:2::1".parse().unwrap(), ..ip6(17) }.packet(&before));
    assert_eq!(error[40..42], [1, 1]);
    assert_eq!(path.counters().dropped(Reason::Untranslatable), 1);
    for (destination, reason) in [
        ("2001:db8:77::1".parse().unwrap(), Reason::NotOurs),
        (embedded(Ipv4Addr::new(224, 0, 0, 1)), Reason::Denied),
        (embedded(Ipv4Addr::LOCALHOST), Reason::Denied),
        (embedded(Ipv4Addr::UNSPECIFIED), Reason::Denied),
        (embedded(Ipv4Addr::BROADCAST), Reason::Denied),
    ] {
        let mut path = stateless();
        let output = run(&mut path, &Ip6 { destination, ..ip6(17) }.packet(&before));
        // RFC 7915 section 5.4: administratively prohibited.
        assert_eq!(output.packets().len(), usize::from(reason == Reason::Denied));
        assert!(output.packets().iter().all(|error| error[40..42] == [1, 1]));
        assert_eq!(path.counters().dropped(reason), 1, "{destination}");
    }
}

#[test]
fn rfc6052_s3_1_the_well_known_prefix_carries_global_addresses_only() {
    let (before, _) = datagram(b"");
    let well_known = Settings { prefix: Pref64::WELL_KNOWN, ..settings() };
    let to = |address: [u8; 4]| {
        let destination = Pref64::WELL_KNOWN.embed(address.into());
        Ip6 { destination, ..ip6(17) }.packet(&before)
    };
    for private in [[10, 0, 0, 1], [172, 31, 0, 1], [192, 168, 1, 1], [100, 64, 0, 1], [198, 18, 0, 1], [192, 0, 2, 77]]
    {
        let mut path = stateless_with(well_known.clone());
        beside(&mut path, &to(private));
        assert_eq!(path.counters().dropped(Reason::Denied), 1);
        one(&mut stateless_with(Settings { allow_private: true, ..well_known.clone() }), &to(private));
    }
    one(&mut stateless_with(well_known), &to([9, 9, 9, 9]));
}

#[test]
fn s5_2_echo_is_translated() {
    for (before, after) in [(128, 8), (129, 0)] {
        let packet = ip6(58).packet(&icmp6(to6(), before, 0, [1, 2, 3, 4], b"ping"));
        assert_eq!(one(&mut stateless(), &packet), ip4(1).packet(&icmp4(after, 0, [1, 2, 3, 4], b"ping")));
    }
}

#[test]
fn s5_2_an_echo_reply_of_zeros_has_a_checksum_of_ones() {
    let packet = ip6(58).packet(&icmp6(to6(), 129, 0, [0; 4], &[0; 8]));
    assert_eq!(one(&mut stateless(), &packet)[20..], [0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn s5_2_neighbour_and_listener_discovery_and_unknown_messages_are_dropped() {
    for kind in [130, 131, 132, 133, 134, 135, 136, 137, 138, 143, 200, 255] {
        let mut path = stateless();
        nothing(&mut path, &ip6(58).packet(&icmp6(to6(), kind, 0, [0; 4], &[0; 20])));
        assert_eq!(path.counters().dropped(Reason::IcmpType), 1, "{kind}");
    }
}

/// The packet that errors are about: from the server to the host, as it was on the IPv6 side and on the IPv4 side.
fn about() -> (Vec<u8>, Vec<u8>) {
    let (from, to) = (embedded(SERVER), HOST);
    let before = Ip6::new(from, to, 17).packet(&udp(Pseudo::Six(from, to), 53, 1000, b"answer"));
    (
        before,
        Ip4 { flags: 0, ..Ip4::new(SERVER, HOST4, 17) }.packet(&udp(Pseudo::Four(SERVER, HOST4), 53, 1000, b"answer")),
    )
}

fn error6(kind: u8, code: u8, rest: [u8; 4]) -> Vec<u8> {
    ip6(58).packet(&icmp6(to6(), kind, code, rest, &about().0))
}

fn error4(kind: u8, code: u8, rest: [u8; 4]) -> Vec<u8> {
    ip4(1).packet(&icmp4(kind, code, rest, &about().1))
}

#[test]
fn s5_2_each_error_becomes_the_one_of_its_row_and_all_others_are_dropped() {
    for kind in [1, 2, 3, 4, 5, 100, 127] {
        for code in 0..8 {
            let row = ROWS6.iter().find(|row| (row.0, row.1) == (kind, code));
            let mut path = stateless();
            let packet = error6(kind, code, [0, 0, 5, 0]);
            match row {
                Some((2, ..)) => assert_eq!(beside(&mut path, &packet), error4(3, 4, [0, 0, 4, 0xec])),
                // A pointer of 1280 points nowhere.
                Some((4, 0, ..)) => nothing(&mut path, &packet),
                Some((1, _, kind, code)) | Some((3, _, kind, code)) => {
                    // What was no length of a quote before is none afterwards.
                    assert_eq!(beside(&mut path, &packet), error4(*kind, *code, [0; 4]));
                }
                Some((_, _, kind, code)) => assert_eq!(beside(&mut path, &packet), error4(*kind, *code, [0; 4])),
                None if [2, 3].contains(&kind) => {}
                None => {
                    nothing(&mut path, &packet);
                    assert_eq!(path.counters().dropped(Reason::IcmpType), 1, "{kind} {code}");
                }
            }
        }
    }
}

#[test]
fn s5_2_pointers_are_those_of_figure_6() {
    for pointer in 0..=60 {
        let want = match pointer {
            0 => Some(0),
            1 => Some(1),
            4 | 5 => Some(2),
            6 => Some(9),
            7 => Some(8),
            8..24 => Some(12),
            24..40 => Some(16),
            _ => None,
        };
        let mut path = stateless();
        let packet = error6(4, 0, [0, 0, 0, pointer]);
        match want {
            Some(after) => assert_eq!(beside(&mut path, &packet), error4(12, 0, [after, 0, 0, 0])),
            None => nothing(&mut path, &packet),
        }
    }
}

#[test]
fn s5_2_the_mtu_is_the_smallest_on_the_way() {
    let mtu = |settings: Settings, told: u32| {
        let error = beside(&mut stateless_with(settings), &error6(2, 0, told.to_be_bytes()));
        u16::from_be_bytes([error[26], error[27]])
    };
    assert_eq!(mtu(settings(), 1400), 1380);
    assert_eq!(mtu(settings(), 1280), 1260);
    assert_eq!(mtu(settings(), u32::MAX), 1480);
    assert_eq!(mtu(Settings { mtu6: 9000, mtu4: 1400, ..settings() }, 8000), 1400);
    assert_eq!(mtu(Settings { mtu6: 1400, mtu4: 9000, ..settings() }, 8000), 1380);
}

#[test]
fn s5_2_extensions_are_kept_with_their_length_in_four_bytes() {
    let mut quote = about().0;
    quote.resize(136, 0);
    let extension = [0x20, 0, 0x5a, 0x5a, 0, 8, 1, 1, 1, 2, 3, 4];
    let quote = [&quote[..], &extension].concat();
    let packet = ip6(58).packet(&icmp6(to6(), 1, 4, [17, 0, 0, 0], &quote));
    let mut after = about().1;
    after.resize(128, 0);
    let message = icmp4(3, 3, [0, 32, 0, 0], &[&after[..], &extension].concat());
    assert_eq!(beside(&mut stateless(), &packet), ip4(1).packet(&message));
}

#[test]
fn s5_2_an_error_is_no_longer_than_576_bytes() {
    let (from, to) = (embedded(SERVER), HOST);
    let about = Ip6::new(from, to, 17).packet(&udp(Pseudo::Six(from, to), 1, 2, &[7; 1100]));
    let error = beside(&mut stateless(), &ip6(58).packet(&icmp6(to6(), 1, 0, [0; 4], &about)));
    assert_eq!(error.len(), 576);
    assert_right(&error);
}

#[test]
fn s5_2_an_error_with_a_wrong_checksum_is_dropped() {
    let mut packet = error6(1, 1, [0; 4]);
    packet[60] ^= 1;
    let mut path = stateless();
    nothing(&mut path, &packet);
    assert_eq!(path.counters().dropped(Reason::Checksum), 1);
}

#[test]
fn s5_3_an_error_about_an_error_is_dropped() {
    let (from, to) = (embedded(SERVER), HOST);
    let inner = Ip6::new(from, to, 58).packet(&icmp6(Pseudo::Six(from, to), 1, 1, [0; 4], &[0; 48]));
    let mut path = stateless();
    nothing(&mut path, &ip6(58).packet(&icmp6(to6(), 1, 1, [0; 4], &inner)));
    assert_eq!(path.counters().dropped(Reason::IcmpQuote), 1);
}

#[test]
fn s5_3_a_packet_inside_with_a_fragment_header_keeps_its_place() {
    let (from, to) = (embedded(SERVER), HOST);
    let bytes = udp(Pseudo::Six(from, to), 53, 1000, &[4; 16]);
    let inner = Ip6::new(from, to, 44).packet(&fragment(17, 0, true, 0x1_0002, &bytes));
    let error = beside(&mut stateless(), &ip6(58).packet(&icmp6(to6(), 3, 1, [0; 4], &inner)));
    let after = udp(Pseudo::Four(SERVER, HOST4), 53, 1000, &[4; 16]);
    let inner = Ip4 { id: 2, flags: 0x2000, ..Ip4::new(SERVER, HOST4, 17) }.packet(&after);
    assert_eq!(error, ip4(1).packet(&icmp4(11, 1, [0; 4], &inner)));
}

#[test]
fn rfc6791_an_error_from_a_router_without_an_ipv4_address_comes_from_ours() {
    let router: Ipv6Addr = "2001:db8:9::1".parse().unwrap();
    let ends = Pseudo::Six(router, embedded(SERVER));
    let packet = Ip6 { source: router, ..ip6(58) }.packet(&icmp6(ends, 3, 0, [0; 4], &about().0));
    let want = Ip4 { source: ROUTER4, ..ip4(1) }.packet(&icmp4(11, 0, [0; 4], &about().1));
    assert_eq!(beside(&mut stateless(), &packet), want);
    let mut path = stateless_with(Settings { sources4: vec![], ..settings() });
    nothing(&mut path, &packet);
    assert_eq!(path.counters().dropped(Reason::Untranslatable), 1);
}

#[test]
fn s5_4_a_packet_whose_hop_limit_ends_here_is_answered() {
    for hops in [0, 1] {
        let packet = Ip6 { hops, ..ip6(17) }.packet(&datagram(b"late").0);
        let ends = Pseudo::Six(ROUTER6, HOST);
        let want = Ip6::new(ROUTER6, HOST, 58).packet(&icmp6(ends, 3, 0, [0; 4], &packet));
        assert_eq!(beside(&mut stateless(), &packet), want);
    }
}

#[test]
fn s5_4_without_a_source_no_error_is_sent() {
    let mut path = stateless_with(Settings { source6: None, ..settings() });
    nothing(&mut path, &Ip6 { hops: 1, ..ip6(17) }.packet(&datagram(b"late").0));
    assert_eq!((path.counters().icmp_errors_sent, path.counters().icmp_errors_withheld), (0, 1));
}

#[test]
fn s5_4_no_error_answers_an_error_a_redirect_or_a_later_fragment() {
    let late = |kind| Ip6 { hops: 1, ..ip6(58) }.packet(&icmp6(to6(), kind, 0, [0; 4], &[0; 40]));
    nothing(&mut stateless(), &late(1));
    nothing(&mut stateless(), &late(137));
    nothing(&mut stateless(), &Ip6 { hops: 1, ..ip6(44) }.packet(&fragment(17, 8, true, 1, &[0; 40])));
    beside(&mut stateless(), &late(128));
}

#[test]
fn s5_1_a_packet_too_big_for_ipv4_is_answered_with_an_mtu() {
    let (before, _) = datagram(&[1; 1433]);
    let packet = ip6(17).packet(&before);
    let mut path = stateless_with(Settings { mtu4: 1460, ..settings() });
    let ends = Pseudo::Six(ROUTER6, HOST);
    let message = icmp6(ends, 2, 0, 1480_u32.to_be_bytes(), &packet[..1232]);
    assert_eq!(beside(&mut path, &packet), Ip6::new(ROUTER6, HOST, 58).packet(&message));
    one(&mut path, &ip6(17).packet(&datagram(&[1; 1432]).0));
    // Never below 1280: what is no larger may be fragmented.
    let mut path = stateless_with(Settings { mtu4: 576, ..settings() });
    assert_eq!(beside(&mut path, &packet)[44..48], 1280_u32.to_be_bytes());
    one(&mut path, &ip6(17).packet(&datagram(&[1; 1232]).0));
}

#[test]
fn s5_5_udp_without_a_checksum_stays_without() {
    let (mut before, mut after) = datagram(b"tunnel");
    before[6..8].fill(0);
    after[6..8].fill(0);
    assert_eq!(one(&mut stateless(), &ip6(17).packet(&before)), ip4(17).packet(&after));
}

#[test]
fn s5_5_a_udp_checksum_that_would_be_zero_is_all_ones() {
    // Find a payload whose checksum over IPv4 is all ones.
    let payload = (0..=u16::MAX).map(u16::to_be_bytes).find(|payload| datagram(payload).1[6..8] == [0xff, 0xff]);
    let (before, after) = datagram(&payload.unwrap());
    assert_eq!(one(&mut stateless(), &ip6(17).packet(&before)), ip4(17).packet(&after));
}

#[test]
fn s5_5_other_protocols_pass_as_they_are() {
    for protocol in [4, 41, 47, 50, 51, 59, 132, 253] {
        assert_eq!(one(&mut stateless(), &ip6(protocol).packet(&[7; 33])), ip4(protocol).packet(&[7; 33]));
    }
    for protocol in [1, 2, 135] {
        let mut path = stateless();
        nothing(&mut path, &ip6(protocol).packet(&[7; 33]));
        assert_eq!(path.counters().dropped(Reason::Protocol), 1);
    }
}

#[test]
fn s1_2_fragments_of_icmp_are_not_translated_without_state() {
    for (offset, more) in [(0, true), (8, false)] {
        let mut path = stateless();
        let message = icmp6(to6(), 128, 0, [0; 4], &[0; 24]);
        nothing(&mut path, &ip6(44).packet(&fragment(58, offset, more, 1, &message)));
        assert_eq!(path.counters().dropped(Reason::IcmpFragment), 1);
    }
}

#[test]
fn the_mss_of_a_syn_is_lowered_to_what_fits_both_sides() {
    for (mss, want, mtu6, mtu4) in
        [(9000_u16, 1440_u16, 1500, 1500), (1440, 1440, 1500, 1500), (1440, 1340, 1400, 1500), (1440, 1360, 1500, 1400)]
    {
        let option = |mss: u16| [&[1, 1, 4, 2, 2, 4][..], &mss.to_be_bytes()].concat();
        let mut path = stateless_with(Settings { mtu6, mtu4, ..settings() });
        let syn = |ends, mss| tcp(ends, (1000, 80), 2, &option(mss), b"");
        let got = one(&mut path, &ip6(6).packet(&syn(to6(), mss)));
        assert_eq!(got, ip4(6).packet(&syn(TO4, want)));
        assert_eq!(path.counters().mss_clamped, u64::from(mss != want));
        let mut path = stateless_with(Settings { mtu6, mtu4, mss_clamp: false, ..settings() });
        assert_eq!(one(&mut path, &ip6(6).packet(&syn(to6(), mss))), ip4(6).packet(&syn(TO4, mss)));
    }
    let data = tcp(to6(), (1000, 80), 0x10, &[2, 4, 0xff, 0xff], b"");
    assert_eq!(
        one(&mut stateless(), &ip6(6).packet(&data)),
        ip4(6).packet(&tcp(TO4, (1000, 80), 0x10, &[2, 4, 0xff, 0xff], b""))
    );
}

#[test]
fn rfc7757_s4_hosts_with_mappings_reach_each_other_by_their_ipv4_addresses() {
    let to = embedded(OTHER4);
    let packet = Ip6::new(HOST, to, 17).packet(&udp(Pseudo::Six(HOST, to), 1, 2, b"neighbour"));
    let from = embedded(HOST4);
    let want = Ip6 { hops: 63, ..Ip6::new(from, OTHER, 17) }.packet(&udp(Pseudo::Six(from, OTHER), 1, 2, b"neighbour"));
    let mut path = stateless();
    assert_eq!(one(&mut path, &packet), want);
    assert_eq!(path.counters().hairpin_packets, 1);
    let mut path = stateless_with(Settings { hairpin: false, ..settings() });
    assert_eq!(one(&mut path, &packet)[0], 0x45);
}

#[test]
fn rfc7757_s4_an_error_about_such_a_packet_finds_its_sender() {
    let (from, to) = (embedded(HOST4), embedded(OTHER4));
    let inner = Ip6::new(from, OTHER, 17).packet(&udp(Pseudo::Six(from, OTHER), 1, 2, b"neighbour"));
    let packet = Ip6::new(OTHER, from, 58).packet(&icmp6(Pseudo::Six(OTHER, from), 4, 0, [0, 0, 0, 200], &inner));
    let sent = Ip6::new(HOST, to, 17).packet(&udp(Pseudo::Six(HOST, to), 1, 2, b"neighbour"));
    let message = icmp6(Pseudo::Six(to, HOST), 4, 0, [0, 0, 0, 200], &sent);
    assert_eq!(one(&mut stateless(), &packet), Ip6 { hops: 63, ..Ip6::new(to, HOST, 58) }.packet(&message));
}

#[test]
fn s5_2_a_long_quote_is_cut_so_that_extensions_fit() {
    let (from, to) = (embedded(SERVER), HOST);
    let about = Ip6::new(from, to, 17).packet(&udp(Pseudo::Six(from, to), 1, 2, &[7; 1100]));
    let extension = [0x20, 0, 0x5a, 0x5a, 0, 8, 1, 1, 1, 2, 3, 4];
    let quote = [&about[..1000], &extension].concat();
    let packet = ip6(58).packet(&icmp6(to6(), 3, 0, [125, 0, 0, 0], &quote));
    let error = beside(&mut stateless(), &packet);
    assert_right(&error);
    assert_eq!((error.len(), error[25], &error[564..]), (576, 134, &extension[..]));
}
