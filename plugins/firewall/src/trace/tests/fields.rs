//! Fields, tests, sets and maps, at their bounds.

use super::super::evaluate::{self, contains, holds as passes, widths};
use super::super::packet::Seen;
use super::*;
use crate::ruleset::ct;

#[test]
fn every_selector_gives_the_bytes_of_the_packet() {
    let packet = Packet {
        source: address("2002:c000:201:7::1"),
        destination: address("2002:c633:6402::9"),
        hop_limit: 63,
        source_mac: Some([2, 0, 0, 0, 0, 1]),
        ct_status: ct::STATUS_DNAT,
        mark: 0x0102_0304,
        ..ssh6()
    };
    let is = |selector, bytes: &[u8]| assert_eq!(packet.field(selector).as_deref(), Some(bytes), "{selector:?}");
    is(Selector::InputInterface, b"lan0\0\0\0\0\0\0\0\0\0\0\0\0");
    is(Selector::OutputInterface, b"wan0\0\0\0\0\0\0\0\0\0\0\0\0");
    is(Selector::Family, &[10]);
    is(Selector::Protocol, &[6]);
    is(Selector::Source6, &[0x20, 0x02, 192, 0, 2, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1]);
    is(Selector::Destination6, &[0x20, 0x02, 198, 51, 100, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    is(Selector::Source6Network, &[0x20, 0x02, 192, 0, 2, 1, 0, 7]);
    is(Selector::Source6Embedded4, &[192, 0, 2, 1]);
    is(Selector::Destination6Embedded4, &[198, 51, 100, 2]);
    is(Selector::SourcePort, &[0x9c, 0x40]);
    is(Selector::DestinationPort, &[0, 22]);
    is(Selector::TcpFlags, &[2]);
    is(Selector::HopLimit, &[63]);
    is(Selector::SourceMac, &[2, 0, 0, 0, 0, 1]);
    is(Selector::CtState, &[0, 0, 0, 8]);
    is(Selector::CtStatus, &[0, 0, 0, 32]);
    is(Selector::Mark, &[1, 2, 3, 4]);
    is(Selector::DestinationType, &[0, 0, 0, 1]);
    is(Selector::SourceType, &[0, 0, 0, 1]);
    is(Selector::SourceRoutesBack, &[1]);
    is(Selector::SourceHasRoute, &[1]);
    for absent in
        [Selector::Source4, Selector::Destination4, Selector::TimeToLive, Selector::FragmentOffset, Selector::IcmpType]
    {
        assert_eq!(packet.field(absent), None, "{absent:?}");
    }
    let four = Packet { fragment: 0x2000, ..ssh4() };
    assert_eq!(four.field(Selector::Source4), Some(vec![192, 0, 2, 1]));
    assert_eq!(four.field(Selector::TimeToLive), Some(vec![64]));
    assert_eq!(four.field(Selector::FragmentOffset), Some(vec![0x20, 0]));
    assert_eq!(four.field(Selector::Family), Some(vec![2]));
    assert_eq!(four.field(Selector::HopLimit), None);
}

#[test]
fn later_fragments_and_other_protocols_have_no_ports() {
    assert_eq!(Packet { fragment: 1, ..ssh4() }.field(Selector::DestinationPort), None);
    assert_eq!(Packet { fragment: 1, ..ssh4() }.field(Selector::TcpFlags), None);
    assert_eq!(Packet { protocol: 50, ..ssh4() }.field(Selector::DestinationPort), None);
    assert_eq!(Packet { protocol: 58, icmp: Some((128, 0)), ..ssh4() }.field(Selector::IcmpType), None);
}

#[test]
fn a_hook_hides_what_it_does_not_have() {
    let packet = Packet { source_mac: Some([2; 6]), ..ssh6() };
    let at = |hook, tracked, selector| Seen { packet: &packet, hook, tracked }.field(selector);
    assert_eq!(at(HookPoint::Prerouting, true, Selector::OutputInterface), Some(vec![0; 16]));
    assert_eq!(at(HookPoint::Output, true, Selector::InputInterface), Some(vec![0; 16]));
    assert_eq!(at(HookPoint::Postrouting, true, Selector::InputInterface), Some(name("lan0")));
    assert_eq!(at(HookPoint::Postrouting, true, Selector::SourceMac), None);
    assert_eq!(at(HookPoint::Prerouting, false, Selector::CtState), Some(vec![0, 0, 0, 1]));
    assert_eq!(at(HookPoint::Prerouting, false, Selector::CtStatus), None);
}

#[test]
fn every_test_holds_up_to_its_bounds_and_no_further() {
    let (low, high) = (vec![0, 20], vec![0, 30]);
    let passes = |test: &Test, value: u16| passes(test, &value.to_be_bytes()).unwrap();
    let range = Test::Range(low.clone(), high.clone());
    assert_eq!([19, 20, 30, 31].map(|port| passes(&range, port)), [false, true, true, false]);
    let outside = Test::NotRange(low.clone(), high.clone());
    assert_eq!([19, 20, 30, 31].map(|port| passes(&outside, port)), [true, false, false, true]);
    assert_eq!([20, 21].map(|port| passes(&Test::Equal(low.clone()), port)), [true, false]);
    assert_eq!([20, 21].map(|port| passes(&Test::NotEqual(low.clone()), port)), [false, true]);
    assert_eq!([19, 20, 21].map(|port| passes(&Test::Below(low.clone()), port)), [true, false, false]);
    assert_eq!([19, 20, 21].map(|port| passes(&Test::Above(low.clone()), port)), [false, false, true]);
    // The high byte decides before the low one.
    assert!(!passes(&range, 0x0114));
    let masked = |invert| Test::Masked { mask: vec![0, 0x17], value: vec![0, 0x02], invert };
    assert_eq!([0x02, 0xe2, 0x12, 0x00].map(|flags| passes(&masked(false), flags)), [true, true, false, false]);
    assert_eq!([0x02, 0xe2, 0x12, 0x00].map(|flags| passes(&masked(true), flags)), [false, false, true, true]);
    assert_eq!([1, 2, 6, 8].map(|bits| passes(&Test::Any(vec![0, 6]), bits)), [false, true, true, false]);
    assert_eq!([1, 2, 6, 8].map(|bits| passes(&Test::None(vec![0, 6]), bits)), [true, false, false, true]);
    assert_eq!([0x1234, 0x1334].map(|bits| passes(&Test::Prefix(vec![0x12]), bits)), [true, false]);
    assert_eq!([0x1234, 0x1334].map(|bits| passes(&Test::NotPrefix(vec![0x12]), bits)), [false, true]);
}

#[test]
fn a_test_of_another_width_never_holds() {
    let short = vec![1];
    for test in [
        Test::Equal(short.clone()),
        Test::NotEqual(short.clone()),
        Test::Range(short.clone(), short.clone()),
        Test::NotRange(short.clone(), short.clone()),
        Test::Masked { mask: short.clone(), value: short.clone(), invert: true },
        Test::Any(short.clone()),
        Test::None(short.clone()),
        Test::Below(short.clone()),
        Test::Above(short),
        Test::Prefix(vec![1; 3]),
        Test::NotPrefix(vec![1; 3]),
    ] {
        assert_eq!(passes(&test, &[1, 2]), None, "{test:?}");
    }
}

#[test]
fn sets_hold_points_and_ranges_with_their_bounds() {
    let points = set("p", &[KeyType::Port], Elements::Points(vec![0, 22, 0, 80]));
    assert_eq!([22_u16, 80, 23].map(|port| contains(&points, &port.to_be_bytes())), [true, true, false]);
    // 00 16 00 50: a key must not be found across two elements.
    assert!(!contains(&points, &[22, 0]));
    let ranges = set("r", &[KeyType::Port], Elements::Ranges(vec![0, 10, 0, 20, 1, 0, 1, 0]));
    assert_eq!(
        [9_u16, 10, 20, 21, 255, 256, 257].map(|port| contains(&ranges, &port.to_be_bytes())),
        [false, true, true, false, false, true, false]
    );
    assert!(!contains(&points, &[22]));
    assert!(!contains(&set("none", &[], Elements::Points(Vec::new())), &[]));
}

#[test]
fn fields_of_a_key_are_padded_and_compared_each_for_itself() {
    let key = [KeyType::Port, KeyType::Ipv4];
    assert_eq!(widths(&key), [4, 4]);
    assert_eq!(widths(&[KeyType::Port]), [2]);
    let range = set("r", &key, Elements::Ranges(vec![0, 10, 0, 0, 10, 0, 0, 5, 0, 20, 0, 0, 10, 0, 0, 9]));
    let key = |port: u8, host: u8| [0, port, 0, 0, 10, 0, 0, host];
    assert!(contains(&range, &key(15, 5)));
    // Between first and last as one number, but not in its second field.
    assert!(!contains(&range, &key(15, 200)));
    assert!(!contains(&range, &key(9, 7)));
}

#[test]
fn maps_know_points_and_ranges() {
    let mut map = set(
        "m",
        &[KeyType::Port],
        Elements::Verdicts(vec![
            entry(&[0, 22], Verdict::Accept),
            Entry { last: Some(vec![0, 90]), ..entry(&[0, 80], Verdict::Drop) },
        ]),
    );
    let verdict = |map: &Set, port: u16| evaluate::entry(map, &port.to_be_bytes()).map(|entry| entry.verdict);
    assert_eq!(verdict(&map, 22), Some(Verdict::Accept));
    assert_eq!(
        [79, 80, 90, 91].map(|port| verdict(&map, port)),
        [None, Some(Verdict::Drop), Some(Verdict::Drop), None]
    );
    map.elements = Elements::Points(vec![0, 22]);
    assert_eq!(verdict(&map, 22), None);
}
