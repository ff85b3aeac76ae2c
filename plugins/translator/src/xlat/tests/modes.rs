//! The modes as they are used: a CLAT in front of a NAT64, prefixes of every length, and fragments of every shape.

use super::build::*;
use super::random::assert_right;
use crate::xlat::{AddressMap, DataPath, Eam, Mode, NoSessions, Pref64, Reason, Settings};
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::Vnet;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Behind the CLAT (RFC 6877), two IPv4 hosts have the two IPv6 addresses that are left to them.
fn clat(prefix: Pref64) -> DataPath<NoSessions> {
    let eam = Eam::new(HOST4, 32, HOST, 128).unwrap();
    let own = Eam::new(OTHER4, 32, OTHER, 128).unwrap();
    DataPath::new(
        Settings { prefix, own_explicit: true, ..settings() },
        Mode::Stateless(AddressMap::new([eam, own]).unwrap()),
    )
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
fn rfc6877_ipv4_hosts_without_a_mapping_are_not_translated() {
    let mut path = clat(prefix());
    let stranger = Ipv4Addr::new(192, 0, 2, 9);
    let packet = Ip4::new(stranger, SERVER, 47).packet(b"x");
    let error = Ip4 { flags: 0, ..Ip4::new(ROUTER4, stranger, 1) }.packet(&icmp4(3, 13, [0; 4], &packet));
    assert_eq!(beside(&mut path, &packet), error);
    assert_eq!(path.counters().dropped(Reason::Untranslatable), 1);
    // The other side goes by the prefix, whatever is mapped.
    let there = one(&mut path, &Ip4::new(HOST4, OTHER4, 47).packet(b"x"));
    assert_eq!(there, Ip6 { hops: 63, ..Ip6::new(HOST, embedded(OTHER4), 47) }.packet(b"x"));
}

#[test]
fn rfc6877_ipv6_packets_go_from_the_prefix_to_a_mapping_only() {
    let mut path = clat(prefix());
    let stranger = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
    for (count, (from, to)) in
        [(stranger, HOST), (OTHER, HOST), (embedded(SERVER), embedded(HOST4)), (embedded(SERVER), stranger)]
            .into_iter()
            .enumerate()
    {
        let packet = Ip6::new(from, to, 47).packet(b"x");
        let error = icmp6(Pseudo::Six(ROUTER6, from), 1, 1, [0; 4], &packet);
        assert_eq!(beside(&mut path, &packet), Ip6::new(ROUTER6, from, 58).packet(&error), "{from} to {to}");
        assert_eq!(path.counters().dropped(Reason::Untranslatable), count as u64 + 1);
    }
    let back = one(&mut path, &Ip6::new(embedded(OTHER4), HOST, 47).packet(b"x"));
    assert_eq!(back, Ip4 { flags: 0, ttl: 63, ..Ip4::new(OTHER4, HOST4, 47) }.packet(b"x"));
}

#[test]
fn rfc6877_errors_about_what_went_through_come_back_through() {
    let mut path = clat(prefix());
    let sent4 = Ip4 { flags: 0, ..Ip4::new(HOST4, OTHER4, 47) }.packet(b"there");
    let sent6 = Ip6::new(HOST, embedded(OTHER4), 47).packet(b"there");
    let router = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
    let error = |from| Ip6::new(from, HOST, 58).packet(&icmp6(Pseudo::Six(from, HOST), 1, 0, [0; 4], &sent6));
    let expected =
        |id, from| Ip4 { id, flags: 0, ttl: 63, ..Ip4::new(from, HOST4, 1) }.packet(&icmp4(3, 1, [0; 4], &sent4));
    assert_eq!(beside(&mut path, &error(router)), expected(0, ROUTER4));
    assert_eq!(beside(&mut path, &error(embedded(SERVER))), expected(1, SERVER));
    let received6 = Ip6::new(embedded(OTHER4), HOST, 47).packet(b"back");
    let received4 = Ip4 { flags: 0, ..Ip4::new(OTHER4, HOST4, 47) }.packet(b"back");
    let error = |from| Ip4 { flags: 0, ..Ip4::new(from, OTHER4, 1) }.packet(&icmp4(3, 1, [0; 4], &received4));
    let expected = |from| {
        let ends = Pseudo::Six(from, embedded(OTHER4));
        Ip6 { hops: 63, ..Ip6::new(from, embedded(OTHER4), 58) }.packet(&icmp6(ends, 1, 0, [0; 4], &received6))
    };
    assert_eq!(beside(&mut path, &error(HOST4)), expected(HOST));
    // A router on our side has no mapping; the prefix is not ours to speak with.
    assert_eq!(beside(&mut path, &error(Ipv4Addr::new(10, 0, 0, 1))), expected(ROUTER6));
    // Not about a packet that can have gone through.
    let foreign = Ip6::new(embedded(SERVER), router, 47).packet(b"x");
    let error = Ip6::new(router, HOST, 58).packet(&icmp6(Pseudo::Six(router, HOST), 1, 0, [0; 4], &foreign));
    nothing(&mut path, &error);
    assert_eq!(path.counters().dropped(Reason::IcmpQuote), 1);
}

#[test]
fn rfc6791_a_router_without_an_ipv4_address_always_speaks_with_the_same_one_of_several() {
    let sources4: Vec<Ipv4Addr> = (0..8).map(|n| Ipv4Addr::new(192, 0, 2, 200 + n)).collect();
    let mut path = stateless_with(Settings { sources4: sources4.clone(), ..settings() });
    let about = Ip6::new(embedded(SERVER), HOST, 47).packet(b"x");
    let mut spoke = |n: u16| {
        let router = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, n);
        let ends = Pseudo::Six(router, embedded(SERVER));
        let error =
            beside(&mut path, &Ip6::new(router, embedded(SERVER), 58).packet(&icmp6(ends, 3, 0, [0; 4], &about)));
        Ipv4Addr::from_octets(error[12..16].try_into().unwrap())
    };
    let mut seen: Vec<Ipv4Addr> = (0..64).map(&mut spoke).collect();
    assert_eq!(seen, (0..64).map(&mut spoke).collect::<Vec<_>>());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, sources4, "each of them");
    let late = Ip4 { ttl: 1, ..Ip4::new(SERVER, HOST4, 47) }.packet(b"x");
    assert_eq!(beside(&mut path, &late)[12..16], sources4[0].octets(), "our own errors have one source");
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
    nothing(&mut path, &Ip6::new(HOST, embedded(stranger), 47).packet(b"x"));
    assert_eq!(path.counters().dropped(Reason::NotOurs), 1);
    // An error from a stranger has our source; without one there is nobody to speak.
    let about = Ip4::new(SERVER, HOST4, 47).packet(b"x");
    let error = Ip4::new(stranger, SERVER, 1).packet(&icmp4(3, 1, [0; 4], &about));
    assert_eq!(beside(&mut path, &error)[8..24], ROUTER6.octets());
    let nobody = Settings { explicit_only: true, source6: None, ..settings() };
    path.reconfigure(nobody, None);
    nothing(&mut path, &error);
    assert_eq!(path.counters().dropped(Reason::Untranslatable), 2);
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
