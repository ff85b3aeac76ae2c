//! What translation makes of a packet, and which of its rules decides.

use super::*;
use crate::ruleset::{NatTo, ct};

fn nat(hook: HookPoint, rules: &[NatTo]) -> Chain {
    let rules: Vec<Rule> = rules.iter().map(|to| rule(&[Statement::Nat(to.clone())])).collect();
    base("nat", hook, ChainKind::Nat, if hook == HookPoint::Postrouting { 100 } else { -100 }, true, &rules)
}

fn destination(first: &str, last: &str, ports: Option<(u16, u16)>) -> NatTo {
    NatTo::Destination { addresses: (address(first), address(last)), ports }
}

fn after(hook: HookPoint, to: NatTo, packet: &Packet) -> Packet {
    trace(&chains(vec![nat(hook, &[to])]), packet).packet
}

#[test]
fn a_new_destination_is_seen_by_the_filter_with_its_status() {
    let filter = forward(
        false,
        &[rule(&[
            Statement::Match(Selector::CtStatus, Test::Any(ct::STATUS_DNAT.to_be_bytes().to_vec())),
            is(Selector::Destination4, &[192, 168, 1, 10]),
            is(Selector::DestinationPort, &[0x1f, 0x90]),
            ACCEPT,
        ])],
    );
    let ruleset = chains(vec![
        nat(HookPoint::Prerouting, &[destination("192.168.1.10", "192.168.1.10", Some((8080, 8080)))]),
        filter,
    ]);
    let found = trace(&ruleset, &ssh4());
    assert_eq!(found.verdict, Outcome::Accept);
    assert_eq!(effects(&found)[0], "destination becomes 192.168.1.10, port 8080");
    assert_eq!(found.packet.ct_status, ct::STATUS_DNAT);
}

#[test]
fn the_first_translation_of_a_hook_ends_its_nat_chains() {
    let ports = |port| NatTo::Redirect { ports: Some((port, port)) };
    let (one, two) = (nat(HookPoint::Prerouting, &[ports(1), ports(2)]), nat(HookPoint::Prerouting, &[ports(3)]));
    let packet = trace(&chains(vec![one, two.clone()]), &ssh6()).packet;
    assert_eq!(packet.destination_port, Some(1));
    let packet = trace(&chains(vec![nat(HookPoint::Prerouting, &[NatTo::Nothing]), two]), &ssh6()).packet;
    assert_eq!(packet.destination_port, Some(22));
}

#[test]
fn translation_of_the_other_family_is_passed_by() {
    let ruleset = chains(vec![nat(
        HookPoint::Prerouting,
        &[destination("192.168.1.10", "192.168.1.10", None), destination("fd00::1", "fd00::1", None)],
    )]);
    let packet = trace(&ruleset, &ssh6()).packet;
    assert_eq!((packet.destination, packet.destination_port), (address("fd00::1"), Some(22)));
}

#[test]
fn a_redirect_makes_it_a_packet_for_this_machine() {
    let ruleset = chains(vec![
        nat(HookPoint::Prerouting, &[NatTo::Redirect { ports: Some((5353, 5353)) }]),
        base(
            "input",
            HookPoint::Input,
            ChainKind::Filter,
            0,
            true,
            &[rule(&[is(Selector::DestinationType, &[0, 0, 0, 2]), DROP])],
        ),
        forward(true, &[]),
    ]);
    let found = trace(&ruleset, &ssh6());
    assert_eq!(
        (found.verdict, found.packet.path, found.packet.destination_port),
        (Outcome::Drop, Path::ToRouter, Some(5353))
    );
}

#[test]
fn sources_change_and_ports_stay_where_they_may() {
    let source = |ports| NatTo::Source { addresses: (address("203.0.113.5"), address("203.0.113.9")), ports };
    let packet = after(HookPoint::Postrouting, source(None), &ssh4());
    assert_eq!((packet.source, packet.source_port), (address("203.0.113.5"), Some(40_000)));
    let port = |first, last| after(HookPoint::Postrouting, source(Some((first, last))), &ssh4()).source_port;
    assert_eq!([port(1, 39_999), port(40_000, 40_000), port(40_001, 50_000)], [Some(1), Some(40_000), Some(40_001)]);
    let masquerade = NatTo::Masquerade { ports: None, random: false };
    let found = trace(&chains(vec![nat(HookPoint::Postrouting, &[masquerade])]), &ssh4());
    assert_eq!(effects(&found), ["source becomes the address of wan0"]);
}

#[test]
fn prefixes_change_and_the_rest_of_the_address_stays() {
    let to =
        NatTo::SourcePrefix { first: address("2001:db8:99::"), last: address("2001:db8:99:ffff:ffff:ffff:ffff:ffff") };
    let packet = after(HookPoint::Postrouting, to, &Packet { source: address("fd00:1:0:7::1234"), ..ssh6() });
    assert_eq!(packet.source, address("2001:db8:99:7::1234"));
    let to = NatTo::DestinationPrefix { first: address("10.1.0.0"), last: address("10.1.255.255") };
    assert_eq!(after(HookPoint::Prerouting, to, &ssh4()).destination, address("10.1.100.2"));
}
