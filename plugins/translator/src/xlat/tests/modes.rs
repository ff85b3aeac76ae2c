//! The modes as they are used: a CLAT in front of a NAT64, prefixes of every length, and fragments of every shape.

use super::build::*;
use super::random::assert_right;
use crate::xlat::{AddressMap, DataPath, Eam, Mode, NoSessions, Pref64, Reason, Settings};
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::Vnet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Behind the CLAT (RFC 6877), the one IPv4 host has the one IPv6 address that is left to it.
fn clat(prefix: Pref64) -> DataPath<NoSessions> {
    let eam = Eam::new(HOST4, 32, HOST, 128).unwrap();
    DataPath::new(Settings { prefix, ..settings() }, Mode::Stateless(AddressMap::new([eam]).unwrap()))
}

#[test]
fn rfc6877_a_packet_goes_through_clat_and_nat64_and_back() {
    let (mut clat, mut plat) = (clat(prefix()), stateful());
    let query = Ip4 { id: 5, ..Ip4::new(HOST4, SERVER, 17) };
    let between = one(&mut clat, &query.packet(&udp(Pseudo::Four(HOST4, SERVER), 1000, 53, b"query")));
    let want = Ip6 { hops: 63, ..Ip6::new(HOST, embedded(SERVER), 17) };
    assert_eq!(between, want.packet(&udp(Pseudo::Six(HOST, embedded(SERVER)), 1000, 53, b"query")));
    let outside = one(&mut plat, &between);
    let mapped = 1000 ^ PORT_KEY;
    let want = Ip4 { flags: 0, ttl: 62, ..Ip4::new(HOST4, SERVER, 17) };
    assert_eq!(outside, want.packet(&udp(Pseudo::Four(HOST4, SERVER), mapped, 53, b"query")));
    let answer = Ip4::new(SERVER, HOST4, 17).packet(&udp(Pseudo::Four(SERVER, HOST4), 53, mapped, b"answer"));
    let inside = one(&mut plat, &answer);
    let inside = one(&mut clat, &inside);
    let want = Ip4 { flags: 0, ttl: 62, ..Ip4::new(SERVER, HOST4, 17) };
    assert_eq!(inside, want.packet(&udp(Pseudo::Four(SERVER, HOST4), 53, 1000, b"answer")));
}

#[test]
fn rfc6052_prefixes_of_every_length_carry_addresses_both_ways() {
    for length in Pref64::LENGTHS {
        let whole = Ipv6Addr::new(0x2001, 0xdb9, 0x1234, 0x5678, 0, 0, 0, 0).to_bits();
        let network = Ipv6Addr::from_bits(whole & u128::MAX << (128 - u32::from(length)));
        let prefix = Pref64::new(network, length).unwrap();
        let far = prefix.embed(SERVER);
        let there = one(&mut clat(prefix), &Ip4::new(HOST4, SERVER, 47).packet(b"there"));
        assert_eq!(there, Ip6 { hops: 63, ..Ip6::new(HOST, far, 47) }.packet(b"there"));
        let back = one(&mut clat(prefix), &Ip6::new(far, HOST, 47).packet(b"back"));
        assert_eq!(back, Ip4 { flags: 0, ttl: 63, ..Ip4::new(SERVER, HOST4, 47) }.packet(b"back"));
    }
}

#[test]
fn rfc7757_without_a_prefix_only_explicit_mappings_are_translated() {
    let eams = [Eam::new(HOST4, 32, HOST, 128).unwrap(), Eam::new(SERVER, 32, OTHER, 128).unwrap()];
    let explicit = Settings { explicit_only: true, ..settings() };
    let mut path: DataPath<NoSessions> = DataPath::new(explicit, Mode::Stateless(AddressMap::new(eams).unwrap()));
    let there = one(&mut path, &Ip4::new(HOST4, SERVER, 47).packet(b"x"));
    assert_eq!(there, Ip6 { hops: 63, ..Ip6::new(HOST, OTHER, 47) }.packet(b"x"));
    let stranger = Ipv4Addr::new(8, 8, 8, 8);
    let answer = beside(&mut path, &Ip4::new(HOST4, stranger, 47).packet(b"x"));
    assert_eq!(answer[20], 3, "destination unreachable");
    assert_eq!(path.counters().dropped(Reason::Untranslatable), 1);
}

#[test]
fn rfc7757_an_address_with_a_mapping_is_not_taken_by_the_prefix() {
    let mut path = stateless();
    let to = embedded(SERVER);
    let packet = Ip6::new(OTHER, to, 47).packet(b"x");
    assert_eq!(one(&mut path, &packet)[12..20], [192, 0, 2, 2, 8, 8, 4, 4]);
    path.reconfigure(settings(), Some(AddressMap::default()));
    assert_eq!(beside(&mut path, &packet)[40..42], [1, 1]);
    assert_eq!(path.counters().dropped(Reason::Untranslatable), 1);
}

/// Where a fragment was put, how long it is, and whether others follow; in units of eight bytes.
type Shape = (u16, u16, bool);

fn fragments_of(shapes: &[Shape], six: bool) -> Vec<(Vnet, Vec<u8>)> {
    let bytes = vec![0x11; 256 * 8];
    let piece = |(at, length, more): &Shape| {
        let (offset, payload) = (at * 8, &bytes[..usize::from(length * 8)]);
        if six {
            Ip6::new(HOST, embedded(SERVER), 44).packet(&fragment(17, offset, *more, 9, payload))
        } else {
            let flags = at | u16::from(*more) << 13;
            Ip4 { flags, id: 9, ..Ip4::new(SERVER, HOST4, 17) }.packet(payload)
        }
    };
    shapes.iter().map(|shape| (Vnet::default(), piece(shape))).collect()
}

/// Start and end of what a translated fragment carries.
fn place(packet: &[u8]) -> (usize, usize) {
    let (header, offset) = if packet[0] >> 4 == 4 {
        (20, usize::from(u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff) * 8)
    } else if packet[6] == 44 {
        (48, usize::from(u16::from_be_bytes([packet[42], packet[43]]) & !7))
    } else {
        (40, 0)
    };
    (offset, offset + packet.len() - header)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn rfc5722_no_two_fragments_that_go_on_overlap(
        shapes in vec((0..40_u16, 1..12_u16, prop::bool::weighted(0.8)), 1..24),
        six in any::<bool>(),
    ) {
        let mut path = stateful();
        let shapes: Vec<Shape> = shapes.into_iter().filter(|(at, _, more)| *at > 0 || *more).collect();
        let packets = run_all(&mut path, &fragments_of(&shapes, six), Instant::ZERO).packets();
        packets.iter().for_each(|packet| if packet[0] >> 4 == 4 { assert_right(packet) });
        let mut places: Vec<_> = packets.iter().map(|packet| place(packet)).collect();
        places.sort_unstable();
        prop_assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{places:?}");
        // What goes on, what is dropped and what waits is everything.
        let held = path.counters().fragments_held;
        let dropped: u64 = Reason::ALL.iter().map(|reason| path.counters().dropped(*reason)).sum();
        prop_assert!(packets.len() as u64 + dropped + held >= shapes.len() as u64);
        path.handle_timeout(Instant::from_secs(10));
        prop_assert_eq!(path.poll_timeout(), None);
    }
}

#[test]
fn a_private_address_is_no_reason_to_refuse_with_a_prefix_of_ones_own() {
    let private = Ipv4Addr::new(10, 1, 2, 3);
    let packet = Ip6::new(HOST, embedded(private), 47).packet(b"x");
    assert_eq!(one(&mut stateless(), &packet)[16..20], private.octets());
}
