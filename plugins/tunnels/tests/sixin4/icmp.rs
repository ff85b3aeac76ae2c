//! ICMPv4 errors from the path: who is told, what is learnt, what is ignored.

use crate::support::*;
use portreeve_packet::icmpv6::{DESTINATION_UNREACHABLE, PACKET_TOO_BIG, verify_checksum};
use portreeve_packet::{ipv4, ipv6};
use portreeve_tunnels::sixin4::{DataPath, ERROR_BURST, Event, IcmpError, PATH_LIFETIME, Settings};
use portreeve_tunnels::time::Instant;
use std::net::Ipv4Addr;

/// A packet as we sent it.
fn sent(inner: &[u8]) -> Vec<u8> {
    let mut bytes = outer(LOCAL, 0, inner);
    bytes[16..20].copy_from_slice(&REMOTE.octets());
    bytes
}

fn error<'a>(kind: u8, code: u8, mtu: Option<u32>, original: &'a [u8]) -> IcmpError<'a> {
    let from = Ipv4Addr::new(198, 51, 100, 1);
    IcmpError { kind, code, mtu, from, destination: REMOTE, local: false, original }
}

/// Our own kernel's word that a packet of ours is larger than the link it would leave by.
fn local(mtu: u32, destination: Ipv4Addr) -> IcmpError<'static> {
    IcmpError { from: destination, destination, local: true, ..error(3, 4, Some(mtu), &[]) }
}

fn tell(path: &mut DataPath, error: &IcmpError<'_>, now: Instant) -> Vec<Vec<u8>> {
    let mut back = Vec::new();
    path.handle_icmp_error(error, &mut back, now);
    tun_frames(&back).into_iter().map(|(_, packet)| packet).collect()
}

#[test]
fn an_unreachable_far_end_is_an_unreachable_address_for_the_sender() {
    let inner = udp(HOST, SERVER, b"question");
    for original in [sent(&inner), inner.clone()] {
        for (kind, code) in [(3, 0), (3, 1), (3, 13), (11, 0)] {
            let back = tell(&mut data_path(), &error(kind, code, None, &original), NOW);
            assert_eq!(back.len(), 1, "{kind}/{code}");
            let header = ipv6::Header::parse(&back[0]).unwrap();
            assert_eq!((header.source, header.destination), (TUNNEL, HOST));
            assert_eq!(back[0][40..42], [DESTINATION_UNREACHABLE, 3]);
            assert_eq!(back[0][48..], inner);
            assert!(verify_checksum(TUNNEL, HOST, &back[0][40..]));
        }
    }
}

#[test]
fn a_narrow_path_is_learnt_told_and_forgotten() {
    let mut path = data_path();
    let large = udp(HOST, SERVER, &[1; 1432]);
    let original = &sent(&large)[..68];
    let back = tell(&mut path, &error(3, 4, Some(1420), original), NOW);
    assert_eq!(back[0][40..42], [PACKET_TOO_BIG, 0]);
    assert_eq!(back[0][44..48], 1400_u32.to_be_bytes());
    assert_eq!(path.poll_event(), Some(Event::PathMtu { remote: REMOTE, mtu: 1400 }));

    let (out, back) = encapsulate(&mut path, &tun(&large));
    assert!(out.is_empty());
    assert_eq!(back[0][44..48], 1400_u32.to_be_bytes());
    let (out, _) = encapsulate(&mut path, &Tcp::up(0).large(&[1; 5000], 1408));
    assert_eq!(out.iter().map(Vec::len).max(), Some(1420));

    let (mut out, mut back) = (Vec::new(), Vec::new());
    let later = NOW + PATH_LIFETIME;
    path.encapsulate(&tun(&large), &mut out, &mut back, later);
    assert_eq!((packets(&out).len(), back.len()), (1, 0));
}

#[test]
fn a_path_below_1280_is_fragmented_by_ipv4_and_an_unknown_value_means_1280() {
    let large = udp(HOST, SERVER, &[1; 1432]);
    for (mtu, dont_fragment) in [(Some(576), false), (Some(0), true), (None, true)] {
        let mut path = data_path();
        let back = tell(&mut path, &error(3, 4, mtu, &sent(&large)), NOW);
        assert_eq!(back[0][44..48], 1280_u32.to_be_bytes());
        let (out, _) = encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[1; 1232])));
        assert_eq!(ipv4::Header::parse(&out[0]).unwrap().dont_fragment, dont_fragment);
    }
}

#[test]
fn a_quote_of_only_eight_inner_bytes_still_teaches_the_path() {
    let mut path = data_path();
    let original = &sent(&udp(HOST, SERVER, &[1; 1432]))[..28];
    assert!(tell(&mut path, &error(3, 4, Some(1400), original), NOW).is_empty());
    assert!(tell(&mut path, &error(3, 1, None, original), NOW).is_empty());
    assert_eq!(nonzero(path.counters()), [("icmp_in", 2), ("icmp_ignored", 1)]);
    assert_eq!(encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[1; 1432]))).1.len(), 1);
}

#[test]
fn without_df_a_narrow_path_is_ipv4s_own_business() {
    let mut path = DataPath::new(Settings { dont_fragment: false, ..settings() });
    let large = udp(HOST, SERVER, &[1; 1432]);
    assert!(tell(&mut path, &error(3, 4, Some(1400), &sent(&large)), NOW).is_empty());
    assert_eq!(count(&path, "icmp_ignored"), 1);
    assert_eq!(encapsulate(&mut path, &tun(&large)).0.len(), 1);
}

#[test]
fn an_uplink_of_1492_bytes_is_learnt_from_our_own_kernel_with_df_and_without() {
    let large = udp(HOST, SERVER, &[1; 1432]);
    assert_eq!(large.len(), 1480);
    let syn = |tcp: Tcp| Tcp { flags: 2, options: vec![2, 4, 0x05, 0xb4], ..tcp }.bytes(&[]);
    for dont_fragment in [true, false] {
        let mut path = DataPath::new(Settings { dont_fragment, ..settings() });
        assert_eq!(encapsulate(&mut path, &tun(&large)).0.len(), 1);
        assert!(tell(&mut path, &local(1492, REMOTE), NOW).is_empty());
        assert_eq!(path.poll_event(), Some(Event::PathMtu { remote: REMOTE, mtu: 1472 }));

        let (out, back) = encapsulate(&mut path, &tun(&large));
        assert!(out.is_empty());
        assert_eq!(back[0][40..42], [PACKET_TOO_BIG, 0]);
        assert_eq!(back[0][44..48], 1472_u32.to_be_bytes());
        assert_eq!(encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[1; 1424]))).0[0].len(), 1492);
        let (out, _) = encapsulate(&mut path, &Tcp::up(0).large(&[1; 5000], 1408));
        assert_eq!(out.iter().map(Vec::len).max(), Some(1492));

        let (up, _) = encapsulate(&mut path, &tun(&syn(Tcp::up(1))));
        assert_eq!(up[0][20 + 62..][..2], 1412_u16.to_be_bytes());
        let down = decapsulate(&mut path, &wire(&syn(Tcp::down(1))));
        assert_eq!(down[0].1[62..64], 1412_u16.to_be_bytes());
    }
}

#[test]
fn our_own_kernels_word_never_goes_below_1280_and_is_only_about_our_far_end() {
    let mut path = DataPath::new(Settings { dont_fragment: false, ..settings() });
    assert!(tell(&mut path, &local(1300, Ipv4Addr::new(192, 0, 2, 9)), NOW).is_empty());
    assert_eq!(count(&path, "icmp_ignored"), 1);
    assert_eq!(encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[1; 1432]))).0.len(), 1);
    assert!(tell(&mut path, &local(576, REMOTE), NOW).is_empty());
    assert_eq!(path.poll_event(), Some(Event::PathMtu { remote: REMOTE, mtu: 1280 }));
    assert_eq!(encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[1; 1232]))).0.len(), 1);
    assert_eq!(encapsulate(&mut path, &tun(&udp(HOST, SERVER, &[1; 1233]))).0.len(), 0);
}

#[test]
fn a_quote_that_is_not_ours_changes_nothing() {
    let large = udp(HOST, SERVER, &[1; 1432]);
    let mut other_remote = sent(&large);
    other_remote[19] = 9;
    let mut other_local = sent(&large);
    other_local[15] = 9;
    let mut other_protocol = sent(&large);
    other_protocol[9] = 17;
    for original in [other_remote, other_local, other_protocol, vec![], vec![0x45; 10], vec![0; 60]] {
        for code in [1, 4] {
            let mut path = data_path();
            assert!(tell(&mut path, &error(3, code, Some(1300), &original), NOW).is_empty());
            assert_eq!(nonzero(path.counters()), [("icmp_in", 1), ("icmp_ignored", 1)]);
            assert_eq!(encapsulate(&mut path, &tun(&large)).0.len(), 1);
        }
    }
}

#[test]
fn errors_that_say_nothing_about_the_path_are_ignored() {
    let original = sent(&udp(HOST, SERVER, b"x"));
    for (kind, code) in [(0, 0), (4, 0), (5, 1), (8, 0), (11, 1), (12, 0), (3, 2), (3, 3), (3, 5)] {
        let mut path = data_path();
        assert!(tell(&mut path, &error(kind, code, None, &original), NOW).is_empty());
        assert_eq!(count(&path, "icmp_ignored"), 1, "{kind}/{code}");
    }
}

#[test]
fn no_error_is_made_of_an_error_and_none_where_it_cannot_be_told() {
    let inner = packet(HOST, SERVER, 58, &[1, 0, 0, 0, 0, 0, 0, 0]);
    for length in [inner.len(), 41, 40] {
        assert!(tell(&mut data_path(), &error(3, 1, None, &sent(&inner)[..20 + length]), NOW).is_empty(), "{length}");
    }
}

#[test]
fn a_storm_of_errors_is_passed_on_at_a_limited_rate() {
    let mut path = data_path();
    let original = sent(&udp(HOST, SERVER, b"x"));
    let told = (0..1000).filter(|_| !tell(&mut path, &error(3, 1, None, &original), NOW).is_empty()).count();
    assert_eq!(told, ERROR_BURST as usize);
}
