//! What needs no rule, packet by packet.

use super::common::*;
use super::evaluate::{Fate, Packet, run};
use crate::config::*;
use crate::ruleset::{Ruleset, Selector, Statement, ct};

fn packet(values: &[(Selector, &[u8])]) -> Packet {
    (0..).zip(values.iter().map(|(selector, value)| (*selector, value.to_vec()))).collect()
}

fn address(text: &str) -> Vec<u8> {
    match text.parse().expect("an address") {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// What becomes of ICMPv6 from wan0 to lan0.
fn icmpv6(ruleset: &Ruleset, chain_name: &str, state: u32, source: &str, hops: u8, kind: u8, code: u8) -> Option<Fate> {
    let packet = packet(&[
        (Selector::InputInterface, &name("wan0")),
        (Selector::OutputInterface, &name("lan0")),
        (Selector::Family, &[10]),
        (Selector::Protocol, &[58]),
        (Selector::Source6, &address(source)),
        (Selector::HopLimit, &[hops]),
        (Selector::IcmpType, &[kind]),
        (Selector::IcmpCode, &[code]),
        (Selector::CtState, &state.to_be_bytes()),
    ]);
    let id = ruleset.chains.iter().position(|chain| chain.name == chain_name).expect("the chain");
    run(ruleset, id, &packet, &mut Vec::new())
}

const PUBLIC: &str = "2001:db8::1";
const LINK: &str = "fe80::1";

#[test]
fn every_type_of_rfc_4890_in_transit_without_connection_tracking() {
    let mut config = gateway();
    config.defaults.stateful = false;
    let ruleset = ruleset(&config);
    let fate = |kind, code| icmpv6(&ruleset, "forward", ct::NEW, PUBLIC, 64, kind, code);
    // Section 4.3.1, and 4.3.2 (time exceeded 1, parameter problem 0, Mobile IPv6).
    for (kind, code) in [
        (1, 0),
        (1, 6),
        (2, 0),
        (3, 0),
        (3, 1),
        (4, 0),
        (4, 1),
        (4, 2),
        (128, 0),
        (129, 0),
        (144, 0),
        (145, 0),
        (146, 0),
        (147, 0),
    ] {
        assert_eq!(fate(kind, code), Some(Fate::Accept), "{kind}/{code}");
    }
    // Sections 4.3.3 and 4.3.5.
    for kind in [
        100, 101, 127, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 148, 149, 151, 152, 153,
        200, 201, 255,
    ] {
        assert_eq!(fate(kind, 0), Some(Fate::Drop), "{kind}");
    }
    // Section 4.3.4: policies decide.
    for (kind, code) in
        [(3, 2), (4, 3), (5, 0), (99, 0), (102, 0), (126, 0), (150, 0), (154, 0), (199, 0), (202, 0), (254, 0)]
    {
        assert_eq!(fate(kind, code), None, "{kind}/{code}");
    }
}

#[test]
fn with_connection_tracking_errors_pass_for_known_connections_only() {
    let ruleset = ruleset(&gateway());
    for chain in ["forward", "input"] {
        for kind in 1..=4 {
            assert_eq!(icmpv6(&ruleset, chain, ct::RELATED, PUBLIC, 64, kind, 0), Some(Fate::Accept), "{chain} {kind}");
            assert_eq!(icmpv6(&ruleset, chain, ct::INVALID, PUBLIC, 64, kind, 0), Some(Fate::Drop), "{chain} {kind}");
        }
        assert_eq!(icmpv6(&ruleset, chain, ct::NEW, PUBLIC, 64, 128, 0), Some(Fate::Accept));
        assert_eq!(icmpv6(&ruleset, chain, ct::INVALID, PUBLIC, 64, 129, 0), Some(Fate::Drop));
        assert_eq!(icmpv6(&ruleset, chain, ct::RELATED, LINK, 255, 137, 0), Some(Fate::Drop), "redirect");
    }
    // Connection tracking calls Mobile IPv6 invalid and neighbour discovery untracked.
    assert_eq!(icmpv6(&ruleset, "forward", ct::INVALID, PUBLIC, 64, 144, 0), Some(Fate::Accept));
    for kind in 133..=136 {
        assert_eq!(icmpv6(&ruleset, "forward", ct::UNTRACKED, PUBLIC, 255, kind, 0), Some(Fate::Drop));
    }
}

#[test]
fn every_type_of_rfc_4890_to_this_machine() {
    let ruleset = ruleset(&gateway());
    let fate = |state, source, hops, kind| icmpv6(&ruleset, "input", state, source, hops, kind, 0);
    for kind in [133, 134, 135, 136] {
        assert_eq!(fate(ct::UNTRACKED, LINK, 255, kind), Some(Fate::Accept), "{kind}");
        assert_eq!(fate(ct::UNTRACKED, "::", 255, kind), Some(Fate::Accept), "{kind} (duplicate addresses)");
        assert_eq!(fate(ct::UNTRACKED, LINK, 254, kind), Some(Fate::Drop), "{kind} from afar");
    }
    for kind in [141, 142] {
        assert_eq!(fate(ct::INVALID, LINK, 255, kind), Some(Fate::Accept), "{kind}");
        assert_eq!(fate(ct::INVALID, LINK, 64, kind), Some(Fate::Drop), "{kind}");
    }
    for kind in [130, 131, 132, 143] {
        assert_eq!(fate(ct::UNTRACKED, LINK, 1, kind), Some(Fate::Accept), "{kind}");
        assert_eq!(fate(ct::UNTRACKED, PUBLIC, 1, kind), Some(Fate::Drop), "{kind}");
    }
    for kind in [148, 149, 151, 152, 153] {
        assert_eq!(fate(ct::INVALID, LINK, 1, kind), Some(Fate::Accept), "{kind}");
        assert_eq!(fate(ct::INVALID, PUBLIC, 1, kind), Some(Fate::Drop), "{kind}");
    }
    assert_eq!(fate(ct::INVALID, "::", 255, 148), Some(Fate::Accept));
    for kind in [100, 101, 127, 137, 138, 154, 199, 200, 201, 202, 254, 255] {
        assert_eq!(fate(ct::NEW, LINK, 255, kind), Some(Fate::Drop), "{kind}");
    }
    for kind in [5, 99, 102, 126, 139, 140, 144, 150] {
        assert_eq!(fate(ct::NEW, PUBLIC, 64, kind), None, "{kind}");
    }
}

#[test]
fn without_ping_echo_requests_are_for_rules_to_decide() {
    let mut config = gateway();
    config.defaults.ping = false;
    let ruleset = ruleset(&config);
    assert_eq!(icmpv6(&ruleset, "forward", ct::NEW, PUBLIC, 64, 128, 0), None);
    assert_eq!(icmpv6(&ruleset, "input", ct::NEW, PUBLIC, 64, 128, 0), None);
}

#[test]
fn states_are_one_map_and_the_loopback_interface_comes_first() {
    let ruleset = ruleset(&gateway());
    let rules = statements(&ruleset, "input");
    assert_eq!(rules[0], [equal(Selector::InputInterface, &name("lo")), accept()]);
    let [Statement::VerdictMap { key, map }] = rules[1] else { panic!("{:?}", rules[1]) };
    assert_eq!(key, &[Selector::CtState]);
    let keys: Vec<_> = entries(&ruleset, *map).iter().map(|entry| entry.key[3]).collect();
    assert_eq!(keys, [2, 4, 1]);
    // Nothing to ask of what leaves.
    assert!(statements(&ruleset, "output").is_empty());
    assert_eq!(chain(&ruleset, "forward").base.map(|base| (base.priority, base.accept)), Some((0, false)));
}

#[test]
fn ipsec_and_hip_pass_to_the_inside_but_not_to_the_outside() {
    let ruleset = ruleset(&gateway());
    let id = ruleset.chains.iter().position(|chain| chain.name == "forward").expect("forward");
    let fate = |from: &str, to: &str, family: u8, protocol: u8, port: u16| {
        let packet = packet(&[
            (Selector::InputInterface, &name(from)),
            (Selector::OutputInterface, &name(to)),
            (Selector::Family, &[family]),
            (Selector::Protocol, &[protocol]),
            (Selector::DestinationPort, &port.to_be_bytes()),
            (Selector::CtState, &ct::NEW.to_be_bytes()),
        ]);
        run(&ruleset, id, &packet, &mut Vec::new())
    };
    for protocol in [50, 51, 135, 139] {
        assert_eq!(fate("wan0", "lan0", 10, protocol, 0), Some(Fate::Accept), "{protocol}");
        assert_eq!(fate("wan0", "lan0", 2, protocol, 0), None, "{protocol} of IPv4");
        assert_eq!(fate("wan0", "wan0", 10, protocol, 0), None, "{protocol} back");
    }
    assert_eq!(fate("wan0", "lan0", 10, 17, 500), Some(Fate::Accept));
    assert_eq!(fate("wan0", "lan0", 10, 17, 501), None);
    assert_eq!(fate("lan0", "wan0", 2, 6, 80), Some(Fate::Accept), "the policy");
}

/// Zones lan, wan, guest: the first two as a gateway has them.
fn with_guest() -> Config {
    let mut config = gateway();
    let mut guest = config.zones[0].clone();
    guest.name = "guest".to_owned();
    guest.interfaces = vec![Interface { name: "guest0".to_owned(), prefix: false }];
    config.zones.push(guest);
    config
}

/// What becomes of IPv6 from one interface to another: an echo request, Mobile IPv6, ESP, IKE.
fn unasked(config: &Config, from: &str, to: &str) -> [Option<Fate>; 4] {
    let ruleset = ruleset(config);
    let id = ruleset.chains.iter().position(|chain| chain.name == "forward").expect("forward");
    [(58, 128, 0, ct::NEW), (58, 144, 0, ct::INVALID), (50, 0, 0, ct::NEW), (17, 0, 500, ct::NEW)].map(
        |(protocol, kind, port, state): (u8, u8, u16, u32)| {
            let packet = packet(&[
                (Selector::InputInterface, &name(from)),
                (Selector::OutputInterface, &name(to)),
                (Selector::Family, &[10]),
                (Selector::Protocol, &[protocol]),
                (Selector::IcmpType, &[kind]),
                (Selector::DestinationPort, &port.to_be_bytes()),
                (Selector::CtState, &state.to_be_bytes()),
            ]);
            run(&ruleset, id, &packet, &mut Vec::new())
        },
    )
}

#[test]
fn what_passes_unasked_does_so_only_from_the_outside_and_where_no_policy_and_no_rule_decides() {
    let passes = [const { Some(Fate::Accept) }; 4];
    let (dropped, ends) = ([const { Some(Fate::Drop) }; 4], [const { None }; 4]);
    let mut config = with_guest();
    assert_eq!(unasked(&config, "wan0", "lan0"), passes);
    // Neither is let out to the other: neither is the other's outside. Nor is an interface of no zone.
    for (from, to) in [("guest0", "lan0"), ("lan0", "guest0"), ("other0", "lan0"), ("wan0", "other0"), ("other0", "x0")]
    {
        assert_eq!(unasked(&config, from, to), ends, "{from} to {to}");
    }
    // Let out from the LAN the guests are outside, unless the operator keeps them away.
    config.policies.push(policy(&[0], &[2], PolicyAction::Accept));
    assert_eq!(unasked(&config, "guest0", "lan0"), passes);
    config.policies.push(policy(&[2], &[0], PolicyAction::Drop));
    assert_eq!(unasked(&config, "guest0", "lan0"), dropped);
    config.policies.pop();
    let mut away = rule(Matches::default(), Action::Drop);
    (away.from, away.to) = (zones(&[2]), zones(&[0]));
    config.rules.push(away);
    assert_eq!(unasked(&config, "guest0", "lan0"), dropped);
    assert_eq!(unasked(&config, "wan0", "lan0"), passes, "it is about the guests");
}

#[test]
fn sources_that_cannot_be_are_dropped() {
    let mut config = gateway();
    let zone = &mut config.zones[0];
    zone.anti_spoofing = AntiSpoofing::Strict;
    zone.rfc3964 = true;
    zone.networks = [between("192.168.0.0", "192.168.255.255"), between("fd00::", "fd00::ffff")]
        .into_iter()
        .filter_map(|address| if let Address::Range(range) = address { Some(range) } else { None })
        .collect();
    let ruleset = ruleset(&config);
    let id = ruleset.chains.iter().position(|chain| chain.name == "spoof-prerouting").expect("it is there");
    let fate = |interface: &str, source: &str, destination: &str, route: u8| {
        let v6 = source.contains(':');
        let (source, destination) = (address(source), address(destination));
        let selectors =
            if v6 { (Selector::Source6, Selector::Destination6) } else { (Selector::Source4, Selector::Destination4) };
        let mut values: Vec<(Selector, &[u8])> = vec![(selectors.0, &source), (selectors.1, &destination)];
        if v6 {
            values.push((Selector::Source6Embedded4, &source[2..6]));
            values.push((Selector::Destination6Embedded4, &destination[2..6]));
        }
        let (interface, family) = (name(interface), [if v6 { 10 } else { 2 }]);
        let route = [route];
        values.extend([
            (Selector::InputInterface, interface.as_slice()),
            (Selector::Family, &family),
            (Selector::SourceRoutesBack, &route),
        ]);
        run(&ruleset, id, &packet(&values), &mut Vec::new())
    };
    assert_eq!(fate("lan0", "192.168.1.7", "192.0.2.1", 1), None);
    assert_eq!(fate("lan0", "192.168.1.7", "192.0.2.1", 0), Some(Fate::Drop));
    assert_eq!(fate("lan0", "192.0.2.7", "192.0.2.1", 1), Some(Fate::Drop));
    assert_eq!(fate("lan0", "0.0.0.0", "255.255.255.255", 0), Some(Fate::Accept));
    assert_eq!(fate("lan0", "fe80::1", "ff02::1", 0), Some(Fate::Accept));
    assert_eq!(fate("lan0", "::", "ff02::1:ff00:1", 0), Some(Fate::Accept));
    assert_eq!(fate("lan0", "fd00::1", "2002:c0a8:101::1", 1), Some(Fate::Drop));
    assert_eq!(fate("lan0", "fd00::1", "2002:c633:6401::1", 1), None);
    for (source, destination) in
        [("127.0.0.1", "192.0.2.1"), ("192.168.1.7", "127.0.0.1"), ("::1", "fd00::1"), ("fd00::1", "::1")]
    {
        assert_eq!(fate("wan0", source, destination, 1), Some(Fate::Drop), "{source} to {destination}");
        assert_eq!(fate("lo", source, destination, 1), Some(Fate::Accept));
    }
}

#[test]
fn errors_that_are_none_do_not_pass_with_the_connection_that_they_name() {
    let ruleset = ruleset(&gateway());
    for chain in ["forward", "input"] {
        for kind in [5, 99, 100, 101, 127] {
            assert_eq!(icmpv6(&ruleset, chain, ct::RELATED, PUBLIC, 64, kind, 0), Some(Fate::Drop), "{chain} {kind}");
        }
    }
    let id = ruleset.chains.iter().position(|chain| chain.name == "forward").expect("forward");
    let fate = |kind: u8| {
        let packet = packet(&[
            (Selector::InputInterface, &name("wan0")),
            (Selector::OutputInterface, &name("lan0")),
            (Selector::Family, &[2]),
            (Selector::Protocol, &[1]),
            (Selector::IcmpType, &[kind]),
            (Selector::CtState, &ct::RELATED.to_be_bytes()),
        ]);
        run(&ruleset, id, &packet, &mut Vec::new())
    };
    assert_eq!([3, 4, 11, 12].map(fate), [Fate::Accept, Fate::Drop, Fate::Accept, Fate::Accept].map(Some));
}

#[test]
fn what_is_invalid_or_spoofed_is_counted() {
    for rfc4890 in [true, false] {
        let mut config = gateway();
        config.defaults.rfc4890 = rfc4890;
        config.zones[1].anti_spoofing = AntiSpoofing::Strict;
        let ruleset = ruleset(&config);
        let counts = |chain: &str, values: &[(Selector, &[u8])]| {
            let id = ruleset.chains.iter().position(|of| of.name == chain).expect("the chain");
            let mut effects = Vec::new();
            assert_eq!(run(&ruleset, id, &packet(values), &mut effects), Some(Fate::Drop));
            effects
        };
        let (wan, state) = (name("wan0"), ct::INVALID.to_be_bytes());
        let base: [(Selector, &[u8]); 3] =
            [(Selector::InputInterface, &wan), (Selector::CtState, &state), (Selector::Family, &[2])];
        let spoofed = [&base[..], &[(Selector::SourceRoutesBack, &[0])]].concat();
        assert_eq!(counts("input", &base), ["dropped-invalid"]);
        assert_eq!(counts("forward", &base), ["dropped-invalid"]);
        assert_eq!(counts("spoof-prerouting", &spoofed), ["dropped-spoofed"]);
    }
}

#[test]
fn some_sources_are_heard_though_no_route_leads_to_them() {
    let mut config = gateway();
    config.zones[1].anti_spoofing = AntiSpoofing::Strict;
    let fate = |config: &Config, source: &str, protocol: u8, rest: &[(Selector, &[u8])]| {
        let ruleset = ruleset(config);
        let id = ruleset.chains.iter().position(|chain| chain.name == "spoof-prerouting").expect("it is there");
        let (wan, source) = (name("wan0"), address(source));
        let base: [(Selector, &[u8]); 5] = [
            (Selector::InputInterface, &wan),
            (Selector::Family, &[2]),
            (Selector::Protocol, &[protocol]),
            (Selector::Source4, &source),
            (Selector::SourceRoutesBack, &[0]),
        ];
        run(&ruleset, id, &packet(&[&base[..], rest].concat()), &mut Vec::new())
    };
    let too_big: &[(Selector, &[u8])] = &[(Selector::IcmpType, &[3])];
    assert_eq!(fate(&config, "192.0.0.8", 1, too_big), Some(Fate::Accept));
    assert_eq!(fate(&config, "192.0.0.8", 1, &[(Selector::IcmpType, &[8])]), Some(Fate::Drop));
    assert_eq!(fate(&config, "192.0.0.9", 1, too_big), Some(Fate::Drop));
    let offer: &[(Selector, &[u8])] = &[(Selector::SourcePort, &[0, 67]), (Selector::DestinationPort, &[0, 68])];
    assert_eq!(fate(&config, "192.0.2.1", 17, offer), Some(Fate::Accept));
    config.defaults.dhcp_client = false;
    assert_eq!(fate(&config, "192.0.2.1", 17, offer), Some(Fate::Drop));
}

#[test]
fn fragments_are_put_together_for_what_defaults_ask_as_well() {
    let mut config = bare();
    assert!(!has_chain(&ruleset(&config), "fragments"));
    config.defaults.rfc4890 = true;
    assert!(has_chain(&ruleset(&config), "fragments"));
}
