//! Translation of addresses: which chains, which statements.

use portreeve_config::Span;

use super::common::*;
use crate::config::*;
use crate::ruleset::{NatTo, Selector, Statement, Test};
use crate::trace::{Outcome, Packet, Path, protocol, trace};

fn nat(from: End, to: End, matches: Matches, action: NatAction) -> NatRule {
    NatRule { name: None, from, to, matches, action, count: None, span: Span::new(30, 31) }
}

fn with(rules: Vec<NatRule>) -> Config {
    Config { nat: rules, ..bare() }
}

fn server(hairpin: bool, accept: bool) -> NatAction {
    NatAction::DestinationTo {
        addresses: IpRange::host([192, 168, 1, 10].into()),
        ports: Some((8080, 8080)),
        hairpin,
        accept,
    }
}

fn to_server() -> Statement {
    let address = [192, 168, 1, 10].into();
    Statement::Nat(NatTo::Destination { addresses: (address, address), ports: Some((8080, 8080)) })
}

#[test]
fn masquerading_is_of_ipv4_unless_asked_for_ipv6() {
    let masquerade = NatAction::Masquerade { ports: None, random: true };
    let to = Statement::Nat(NatTo::Masquerade { ports: None, random: true });
    let out = equal(Selector::OutputInterface, &name("wan0"));
    let found = ruleset(&with(vec![nat(End::Any, zones(&[1]), Matches::default(), masquerade.clone())]));
    assert_eq!(statements(&found, "nat-postrouting"), [&[out.clone(), equal(Selector::Family, &[2]), to.clone()]]);
    assert!(!has_chain(&found, "nat-prerouting") && !has_chain(&found, "nat-output"));
    let v6 = Matches { family: Some(Family::V6), ..Matches::default() };
    let found = ruleset(&with(vec![nat(End::Any, zones(&[1]), v6, masquerade)]));
    assert_eq!(statements(&found, "nat-postrouting"), [&[out, equal(Selector::Family, &[10]), to]]);
}

#[test]
fn a_server_behind_is_reached_from_outside_and_let_through() {
    let found = ruleset(&with(vec![nat(zones(&[1]), End::Any, tcp(80), server(false, true))]));
    let input = equal(Selector::InputInterface, &name("wan0"));
    let (family, tcp) = (equal(Selector::Family, &[2]), equal(Selector::Protocol, &[6]));
    let port = |port: u16| equal(Selector::DestinationPort, &port.to_be_bytes());
    assert_eq!(
        statements(&found, "nat-prerouting"),
        [&[input.clone(), family.clone(), tcp.clone(), port(80), to_server()]]
    );
    let address = equal(Selector::Destination4, &[192, 168, 1, 10]);
    let dnat = Statement::Match(Selector::CtStatus, Test::Any(vec![0, 0, 0, 32]));
    assert_eq!(statements(&found, "forward"), [&[input, family, tcp, address, port(8080), dnat, accept()]]);
    assert!(!has_chain(&found, "nat-postrouting"));
}

#[test]
fn hairpin_translates_from_inside_and_hides_the_client_from_its_neighbour() {
    let found = ruleset(&with(vec![nat(zones(&[1]), End::Any, tcp(80), server(true, false))]));
    let rules = statements(&found, "nat-prerouting");
    assert_eq!(rules.len(), 2);
    let local = vec![0, 0, 0, 2];
    assert_eq!(rules[1][0], equal(Selector::InputInterface, &name("lan0")));
    assert_eq!(
        rules[1][4..],
        [
            equal(Selector::DestinationType, &local),
            Statement::Match(Selector::DestinationTypeHere, Test::NotEqual(local)),
            to_server()
        ]
    );
    let back = statements(&found, "hairpin");
    let to = Statement::Nat(NatTo::Masquerade { ports: None, random: false });
    let (input, output) = (Selector::InputInterface, Selector::OutputInterface);
    assert_eq!(back[0], [equal(input, &name("lan0")), equal(output, &name("lan0")), to]);
    assert_eq!(statements(&found, "nat-postrouting").len(), 1);
    // A rule that names the outer address is the same from other zones.
    let outer = Matches { destination: list([host("203.0.113.5")]), ..tcp(80) };
    let found = ruleset(&with(vec![nat(zones(&[1]), End::Any, outer, server(true, false))]));
    let rules = statements(&found, "nat-prerouting");
    assert_eq!((&rules[0][0], &rules[1][0]), (&equal(input, &name("wan0")), &equal(input, &name("lan0"))));
    assert_eq!(rules[1][1..], rules[0][1..]);
}

/// Whether TCP to the port of an address of this machine is translated and let through.
fn reaches_server(config: &Config, input: &str, source: &str, destination: &str) -> (bool, bool) {
    let address = |text: &str| text.parse().expect("an address");
    let mut packet = Packet {
        input: Some(input.to_owned()),
        source_port: Some(40_000),
        destination_port: Some(22),
        tcp_flags: Some(2),
        ..Packet::new(Path::Through, address(source), address(destination), protocol::TCP)
    };
    packet.output = Some("lan0".to_owned());
    packet.assume.destination_is_local = Some(true);
    let found = trace(&ruleset(config), &packet);
    (found.packet.destination == address("192.168.1.10"), found.verdict == Outcome::Accept)
}

#[test]
fn hairpin_is_for_other_zones_and_lets_nobody_in_by_the_rules_own() {
    let outer = || Matches { destination: list([host("203.0.113.5")]), ..tcp_from("198.51.100.7", 22) };
    let mut config = with(vec![nat(zones(&[1]), End::Any, outer(), server(true, true))]);
    let (own, other) = ("198.51.100.7", "198.51.100.8");
    assert_eq!(reaches_server(&config, "wan0", own, "203.0.113.5"), (true, true));
    assert_eq!(reaches_server(&config, "wan0", other, "203.0.113.5"), (false, false));
    assert_eq!(reaches_server(&config, "lan0", "192.168.1.7", "203.0.113.5"), (true, true));
    // Nor when somebody else translated it, or none of the outer zone's interfaces has the address.
    config.nat.push(nat(zones(&[1]), End::Any, tcp(22), server(false, false)));
    assert_eq!(reaches_server(&config, "wan0", other, "203.0.113.5"), (true, false));
    let config = with(vec![nat(zones(&[1]), End::Any, tcp_from(own, 22), server(true, true))]);
    assert_eq!(reaches_server(&config, "wan0", other, "192.168.1.1"), (false, false));
    // Interfaces without a zone, and a rule that is from no zone or from everywhere.
    assert_eq!(reaches_server(&config, "eth9", other, "203.0.113.5"), (false, false));
    for from in [End::Any, router()] {
        let config = with(vec![nat(from.clone(), End::Any, outer(), server(true, true))]);
        assert_eq!(reaches_server(&config, "wan0", other, "203.0.113.5"), (false, false), "{from:?}");
    }
    // Of one that is from everywhere, but in by some interfaces only, these are the outer ones.
    let interface = Interface { name: "wan".to_owned(), prefix: true };
    let matches = Matches { incoming: list([interface]), ..outer() };
    let config = with(vec![nat(End::Any, End::Any, matches, server(true, true))]);
    assert_eq!(reaches_server(&config, "wan0", other, "203.0.113.5"), (false, false));
    assert_eq!(reaches_server(&config, "lan0", other, "203.0.113.5"), (true, true));
}

#[test]
fn prefixes_are_exchanged_both_ways() {
    let (inside, outside) = ("fd00:1::".parse().expect("it is"), "2001:db8:1::".parse().expect("it is"));
    let action = NatAction::Prefix { inside: (inside, 48), outside: (outside, 48) };
    let found = ruleset(&with(vec![nat(End::Any, zones(&[1]), Matches::default(), action)]));
    let last = |text: &str| -> std::net::IpAddr { text.parse().expect("an address") };
    let out = statements(&found, "nat-postrouting")[0].to_vec();
    let prefix = |first: &str, last: &str| {
        let bytes = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets().to_vec();
        Test::Range(bytes(first), bytes(last))
    };
    assert_eq!(out[0], equal(Selector::OutputInterface, &name("wan0")));
    assert_eq!(out[2], Statement::Match(Selector::Source6, prefix("fd00:1::", "fd00:1:0:ffff:ffff:ffff:ffff:ffff")));
    let to = NatTo::SourcePrefix { first: outside.into(), last: last("2001:db8:1:ffff:ffff:ffff:ffff:ffff") };
    assert_eq!(out[3], Statement::Nat(to));
    let back = statements(&found, "nat-prerouting")[0].to_vec();
    assert_eq!(back[0], equal(Selector::InputInterface, &name("wan0")));
    assert_eq!(
        back[2],
        Statement::Match(Selector::Destination6, prefix("2001:db8:1::", "2001:db8:1:ffff:ffff:ffff:ffff:ffff"))
    );
    let to = NatTo::DestinationPrefix { first: inside.into(), last: last("fd00:1:0:ffff:ffff:ffff:ffff:ffff") };
    // An address of this machine within the outer prefix is not translated.
    let local = Test::NotEqual(vec![0, 0, 0, 2]);
    assert_eq!(back[3..], [Statement::Match(Selector::DestinationType, local), Statement::Nat(to)]);
}

#[test]
fn what_is_skipped_stands_before_what_it_skips_and_redirects_of_this_machine_are_in_output() {
    let skip = nat(
        End::Any,
        zones(&[1]),
        Matches { destination: list([between("10.0.0.0", "10.255.255.255")]), ..Matches::default() },
        NatAction::Skip,
    );
    let masquerade =
        nat(End::Any, zones(&[1]), Matches::default(), NatAction::Masquerade { ports: None, random: false });
    let redirect = nat(router(), End::Any, tcp(53), NatAction::Redirect { ports: Some((5353, 5353)) });
    let found = ruleset(&with(vec![skip, masquerade, redirect]));
    let rules = statements(&found, "nat-postrouting");
    assert_eq!(rules[0].last(), Some(&Statement::Nat(NatTo::Nothing)));
    assert_eq!(rules.len(), 2);
    assert!(!has_chain(&found, "nat-prerouting"));
    assert_eq!(
        statements(&found, "nat-output")[0].last(),
        Some(&Statement::Nat(NatTo::Redirect { ports: Some((5353, 5353)) }))
    );
}

#[test]
fn what_is_skipped_by_both_ends_is_told_where_it_leaves() {
    let from = End::Zones { zones: vec![0], router: true };
    let found = ruleset(&with(vec![nat(from, zones(&[1]), Matches::default(), NatAction::Skip)]));
    let rules = statements(&found, "nat-postrouting");
    let Statement::Lookup { key, set, invert: false } = &rules[0][0] else { panic!("{rules:?}") };
    assert_eq!(key, &[Selector::InputInterface]);
    assert_eq!(found.sets[*set].elements, crate::ruleset::Elements::Points([vec![0; 16], name("lan0")].concat()));
    assert_eq!(rules[0][1..], [equal(Selector::OutputInterface, &name("wan0")), Statement::Nat(NatTo::Nothing)]);
    assert!(!has_chain(&found, "nat-prerouting"));
}
