//! Into the tunnel: the outer header, what is refused, what fits.

use crate::support::*;
use portreeve_packet::icmpv6::{DESTINATION_UNREACHABLE, ECHO_REQUEST, PACKET_TOO_BIG, verify_checksum};
use portreeve_packet::{ipv4, ipv6, tcp};
use portreeve_tunnels::sixin4::{DataPath, ERROR_BURST, Prefix, Remote, Settings, SixRd, Tos, Vnet};
use std::net::{Ipv4Addr, Ipv6Addr};

#[test]
fn a_packet_is_wrapped_as_it_is() {
    let mut path = data_path();
    let inner = udp(HOST, SERVER, b"hello");
    let (out, back) = encapsulate(&mut path, &tun(&inner));
    #[rustfmt::skip]
    let header = [0x45, 0, 0, 73, 0, 0, 0x40, 0, 64, 41, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1];
    assert_eq!(out, [[&header[..], &inner].concat()]);
    assert!(back.is_empty());
    assert_eq!(nonzero(path.counters()), [("tx_packets", 1), ("tx_bytes", 53)]);
}

#[test]
fn without_a_local_address_the_kernel_is_left_to_fill_the_source() {
    let mut path = DataPath::new(Settings { local: None, ..settings() });
    let (out, _) = encapsulate(&mut path, &tun(&udp(HOST, SERVER, b"x")));
    assert_eq!(ipv4::Header::parse(&out[0]).unwrap().source, Ipv4Addr::UNSPECIFIED);
}

#[test]
fn ecn_is_copied_and_dscp_inherited_or_fixed() {
    for (tos, expected) in [(Tos::Inherit, 0xb8), (Tos::Fixed(0x2b), 0x28)] {
        let mut path = DataPath::new(Settings { tos, ..settings() });
        for ecn in 0..4 {
            let inner = class(udp(HOST, SERVER, b"x"), 0xb8 | ecn);
            let (out, _) = encapsulate(&mut path, &tun(&inner));
            assert_eq!(ipv4::Header::parse(&out[0]).unwrap().tos, expected | ecn);
            assert_eq!(&out[0][20..], inner);
        }
    }
}

#[test]
fn ttl_zero_copies_the_hop_limit_and_df_follows_the_settings() {
    let mut path = DataPath::new(Settings { ttl: 0, dont_fragment: false, ..settings() });
    let (out, _) = encapsulate(&mut path, &tun(&udp(HOST, SERVER, b"x")));
    let header = ipv4::Header::parse(&out[0]).unwrap();
    assert_eq!((header.ttl, header.dont_fragment), (61, false));
}

#[test]
fn what_follows_the_packet_in_its_frame_is_left_behind() {
    let inner = udp(HOST, SERVER, b"x");
    let (out, _) = encapsulate(&mut data_path(), &tun(&[&inner[..], &[9; 30]].concat()));
    assert_eq!(&out[0][20..], inner);
}

#[test]
fn every_reason_to_drop_is_counted_under_its_name() {
    let good = udp(HOST, SERVER, b"x");
    let own = udp(SERVER, HOST, b"x");
    let deep = (0..5).fold(good.clone(), |inner, _| packet(HOST, SERVER, ipv6::IPV6, &inner));
    let outside = Vnet { flags: 1, csum_start: 40, csum_offset: 65535, ..Vnet::default() };
    let before = Vnet { flags: 1, csum_start: 6, csum_offset: 2, ..Vnet::default() };
    let tso4 = Vnet { gso_type: 1, gso_size: 1000, ..Vnet::default() };
    let cases = [
        ("malformed", vec![9, 0, 0, 0, 1, 2, 3, 4]),
        ("malformed", vec![4, 0, 0, 0, 1, 2, 3, 4]),
        ("malformed", tun_with(&outside, &good)),
        ("malformed", tun_with(&before, &good)),
        ("malformed", tun_with(&tso4, &good)),
        ("malformed", Tcp::up(1).large(&[1; 3000], 0)),
        ("not_ipv6", tun(&outer(REMOTE, 0, &good))),
        ("truncated", tun(&good[..39])),
        ("truncated", tun(&good[..good.len() - 1])),
        ("truncated", tun(&[])),
        ("looped", tun(&own)),
        ("nested", tun(&deep)),
        ("too_big", tun(&udp(HOST, SERVER, &[0; 1480]))),
    ];
    for (reason, batch) in cases {
        let mut path = data_path();
        let (out, _) = encapsulate(&mut path, &batch);
        assert!(out.is_empty(), "{reason}");
        let rest: Vec<_> =
            nonzero(path.counters()).into_iter().filter(|(name, _)| *name != "icmp_errors_sent").collect();
        assert_eq!(rest, [(reason, 1)]);
    }
}

#[test]
fn a_cut_off_batch_keeps_its_whole_frames() {
    let mut path = data_path();
    let mut batch = tun(&udp(HOST, SERVER, b"first"));
    let second = tun(&udp(HOST, SERVER, b"second"));
    batch.extend_from_slice(&second[..second.len() - 1]);
    assert_eq!(encapsulate(&mut path, &batch).0.len(), 1);
    assert_eq!(count(&path, "malformed"), 1);
}

#[test]
fn four_levels_of_encapsulation_pass_and_mixed_ones_count_too() {
    let inner = udp(HOST, SERVER, b"x");
    let four = (0..4).fold(inner.clone(), |inner, _| packet(HOST, SERVER, ipv6::IPV6, &inner));
    assert_eq!(encapsulate(&mut data_path(), &tun(&four)).0.len(), 1);
    let mixed = (0..3).fold(inner, |inner, _| packet(HOST, SERVER, ipv6::IPV4, &outer(REMOTE, 0, &inner)));
    let mut path = data_path();
    assert!(encapsulate(&mut path, &tun(&mixed)).0.is_empty());
    assert_eq!(count(&path, "nested"), 1);
}

#[test]
fn a_packet_of_the_mtu_passes_and_one_byte_more_is_told_to_the_sender() {
    let mut path = data_path();
    let fits = udp(HOST, SERVER, &[7; 1432]);
    assert_eq!(fits.len(), 1480);
    assert_eq!(encapsulate(&mut path, &tun(&fits)).0.len(), 1);
    let large = udp(HOST, SERVER, &[7; 1433]);
    let (out, back) = encapsulate(&mut path, &tun(&large));
    assert!(out.is_empty());
    let error = &back[0];
    let header = ipv6::Header::parse(error).unwrap();
    assert_eq!((header.source, header.destination, header.next_header), (TUNNEL, HOST, 58));
    assert_eq!((error.len(), usize::from(header.payload_length)), (1280, 1240));
    assert_eq!(error[40..42], [PACKET_TOO_BIG, 0]);
    assert_eq!(error[44..48], 1480_u32.to_be_bytes());
    assert_eq!(error[48..], large[..1232]);
    assert!(verify_checksum(TUNNEL, HOST, &error[40..]));
}

#[test]
fn without_an_address_of_our_own_an_error_speaks_for_the_destination() {
    let mut path = DataPath::new(Settings { icmp_source: None, ..settings() });
    let (_, back) = encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[7; 1433])));
    assert_eq!(ipv6::Header::parse(&back[0]).unwrap().source, SERVER);
}

#[test]
fn no_error_answers_an_error_a_redirect_or_a_sender_that_is_nobody() {
    let error = |kind: u8| packet(HOST, SERVER, 58, &[&[kind, 0][..], &[0; 1500]].concat());
    let silent = [
        error(1),
        error(2),
        error(127),
        error(137),
        udp(Ipv6Addr::UNSPECIFIED, SERVER, &[0; 1500]),
        udp("ff02::1".parse().unwrap(), SERVER, &[0; 1500]),
    ];
    for packet in silent {
        let mut path = data_path();
        assert_eq!(encapsulate(&mut path, &tun(&packet)), (vec![], vec![]));
        assert_eq!(nonzero(path.counters()), [("too_big", 1)]);
    }
    for packet in [error(ECHO_REQUEST), udp(HOST, "ff0e::1".parse().unwrap(), &[0; 1500])] {
        assert_eq!(encapsulate(&mut data_path(), &tun(&packet)).1.len(), 1);
    }
}

#[test]
fn a_storm_of_large_packets_is_answered_at_a_limited_rate() {
    let mut path = data_path();
    let batch = tun(&udp(HOST, SERVER, &[7; 1433])).repeat(1000);
    let (_, back) = encapsulate(&mut path, &batch);
    assert_eq!(back.len(), ERROR_BURST as usize);
    assert_eq!(count(&path, "icmp_errors_limited"), 1000 - u64::from(ERROR_BURST));
    assert_eq!(count(&path, "too_big"), 1000);
}

#[test]
fn a_packet_to_our_own_prefix_would_come_back_and_is_unreachable() {
    let mut path = data_path();
    let (out, back) = encapsulate(&mut path, &tun(&udp(SERVER, HOST, b"x")));
    assert!(out.is_empty());
    assert_eq!(back[0][40..42], [DESTINATION_UNREACHABLE, 0]);
}

#[test]
fn a_partial_checksum_is_completed() {
    let tcp = Tcp::up(5).bytes(b"data");
    let vnet = Vnet { flags: 1, csum_start: 40, csum_offset: 16, ..Vnet::default() };
    let (out, _) = encapsulate(&mut data_path(), &tun_with(&vnet, &with_partial(tcp.clone(), 40, 16)));
    assert_eq!(&out[0][20..], tcp);
    let udp = udp(HOST, SERVER, b"data");
    let vnet = Vnet { flags: 1, csum_start: 40, csum_offset: 6, ..Vnet::default() };
    let (out, _) = encapsulate(&mut data_path(), &tun_with(&vnet, &with_partial(udp.clone(), 40, 6)));
    assert_eq!(&out[0][20..], udp);
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_ffff() {
    // The data makes the sum of everything 0xffff.
    let plain = udp(HOST, SERVER, &[0, 0]);
    let checksum = [plain[46], plain[47]];
    let made = udp(HOST, SERVER, &checksum);
    assert_eq!(made[46..48], [0xff, 0xff]);
    let vnet = Vnet { flags: 1, csum_start: 40, csum_offset: 6, ..Vnet::default() };
    let (out, _) = encapsulate(&mut data_path(), &tun_with(&vnet, &with_partial(made.clone(), 40, 6)));
    assert_eq!(&out[0][20..], made);
}

fn syn(options: &[u8]) -> Tcp {
    Tcp { flags: tcp::SYN, options: options.to_vec(), ..Tcp::up(1) }
}

#[test]
fn the_mss_of_a_syn_is_lowered_to_the_mtu_with_a_right_checksum() {
    // At an even and at an odd place.
    for (options, at) in [(&[2, 4, 0x05, 0xdc][..], 62), (&[1, 2, 4, 0x05, 0xdc, 1, 1, 0], 63)] {
        for flags in [tcp::SYN, tcp::SYN | tcp::ACK] {
            let inner = Tcp { flags, ..syn(options) }.bytes(&[]);
            let (out, _) = encapsulate(&mut data_path(), &tun(&inner));
            let sent = &out[0][20..];
            assert_eq!(sent[at..at + 2], 1420_u16.to_be_bytes());
            assert!(verifies(sent));
            let vnet = Vnet { flags: 1, csum_start: 40, csum_offset: 16, ..Vnet::default() };
            let (partial, _) = encapsulate(&mut data_path(), &tun_with(&vnet, &with_partial(inner, 40, 16)));
            assert_eq!(partial, out);
        }
    }
}

#[test]
fn a_syn_that_needs_no_clamp_or_has_odd_options_is_left_alone() {
    let odd = [
        &[2, 4, 0x05, 0x8c][..],
        &[2, 3, 0xff, 0xff],
        &[1, 2, 4, 0xff],
        &[0, 2, 4, 0xff, 0xff, 0, 0, 0],
        &[3, 0, 2, 4],
        &[8, 99, 0, 0],
        &[1, 1, 1, 2],
        &[],
    ];
    for options in odd {
        let mut padded = options.to_vec();
        padded.resize(options.len().next_multiple_of(4), 0);
        let inner = syn(&padded).bytes(&[]);
        let (out, _) = encapsulate(&mut data_path(), &tun(&inner));
        assert_eq!(&out[0][20..], inner);
    }
    let not_a_syn = Tcp { flags: tcp::ACK, ..syn(&[2, 4, 0xff, 0xff]) }.bytes(&[]);
    assert_eq!(&encapsulate(&mut data_path(), &tun(&not_a_syn)).0[0][20..], not_a_syn);
    let mut off = DataPath::new(Settings { mss_clamp: false, ..settings() });
    let inner = syn(&[2, 4, 0xff, 0xff]).bytes(&[]);
    assert_eq!(&encapsulate(&mut off, &tun(&inner)).0[0][20..], inner);
}

fn six_rd() -> Settings {
    let rule = SixRd {
        prefix: Prefix::new("2001:db8::".parse().unwrap(), 32).unwrap(),
        ipv4_mask_length: 8,
        ipv4: Ipv4Addr::new(10, 100, 100, 1),
        border_relay: Ipv4Addr::new(10, 0, 0, 1),
    };
    Settings { local: Some(rule.ipv4), own: vec![], ..Settings::new(Remote::SixRd(rule)) }
}

#[test]
fn a_6rd_destination_names_its_own_far_end_and_others_go_to_the_border_relay() {
    let mut path = DataPath::new(six_rd());
    let destination = |path: &mut DataPath, inner: &str| {
        let (out, _) =
            encapsulate(path, &tun(&udp("2001:db8:6464:100::1".parse().unwrap(), inner.parse().unwrap(), b"x")));
        out.first().map(|packet| ipv4::Header::parse(packet).unwrap().destination)
    };
    assert_eq!(destination(&mut path, "2001:db8:203:400::1"), Some(Ipv4Addr::new(10, 2, 3, 4)));
    assert_eq!(destination(&mut path, "2600::1"), Some(Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!(destination(&mut path, "2001:db8:6464:100::9"), None);
    assert_eq!(count(&path, "looped"), 1);
}

#[test]
fn a_6rd_packet_must_come_from_the_address_in_its_source_or_the_border_relay() {
    let inside = "2001:db8:203:400::1".parse().unwrap();
    let host = "2001:db8:6464:100::1".parse().unwrap();
    let outside = "2600::1".parse().unwrap();
    let cases = [
        ([10, 2, 3, 4], inside, 1),
        ([10, 2, 3, 5], inside, 0),
        ([10, 0, 0, 1], outside, 1),
        ([10, 2, 3, 4], outside, 0),
    ];
    for (from, source, passed) in cases {
        let mut path = DataPath::new(Settings { local: None, ..six_rd() });
        assert_eq!(decapsulate(&mut path, &wire_from(from.into(), 0, &udp(source, host, b"x"))).len(), passed);
        assert_eq!(count(&path, "spoofed"), 1 - passed as u64);
    }
}
