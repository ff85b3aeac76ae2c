//! A section compiled with and without folding does the same to every packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::super::{Assumptions, Packet, Path, Trace, protocol, trace};
use crate::compile::tests::arbitrary;
use crate::compile::{Options, compile};
use crate::config::*;
use crate::ruleset::{Ruleset, ct};

/// Packets for each section.
const PACKETS: usize = 24;

fn interface() -> impl Strategy<Value = Option<String>> {
    let names = ["e", "eth", "eth0", "eth1", "eth10", "wan0", "ppp", "ppp3", "abcdefghijklmno", "lo", "other"];
    of(prop::sample::select(names.to_vec()).prop_map(str::to_owned))
}

fn source4() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        6 => (0_u32..70).prop_map(|host| Ipv4Addr::from(0xc000_0200 + host)),
        6 => (0_u32..8).prop_map(|host| Ipv4Addr::from(0xc000_0200 + host)),
        1 => Just(Ipv4Addr::new(198, 51, 100, 7)),
        1 => Just(Ipv4Addr::new(192, 168, 1, 10)),
        1 => Just(Ipv4Addr::UNSPECIFIED),
        1 => Just(Ipv4Addr::LOCALHOST),
        1 => any::<u32>().prop_map(Ipv4Addr::from),
    ]
    .prop_map(IpAddr::V4)
}

fn source6() -> impl Strategy<Value = IpAddr> {
    let base = 0x2001_0db8_u128 << 96;
    prop_oneof![
        6 => (0_u128..70).prop_map(move |host| Ipv6Addr::from(base + host)),
        6 => (0_u128..8).prop_map(move |host| Ipv6Addr::from(base + host)),
        1 => Just(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x1234)),
        1 => Just(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x1234)),
        1 => Just(Ipv6Addr::new(0x2002, 0x0a00, 1, 0, 0, 0, 0, 1)),
        1 => Just(Ipv6Addr::UNSPECIFIED),
        1 => Just(Ipv6Addr::LOCALHOST),
        1 => any::<u128>().prop_map(Ipv6Addr::from),
    ]
    .prop_map(IpAddr::V6)
}

/// Packets with the values that arbitrary sections ask for, and some beside them.
pub(super) fn packet() -> impl Strategy<Value = Packet> {
    let path = prop_oneof![Just(Path::Through), Just(Path::ToRouter), Just(Path::FromRouter)];
    let addresses = prop_oneof![(source4(), source4()), (source6(), source6())];
    let number =
        prop_oneof![4 => Just(6_u8), 3 => Just(17), 1 => Just(132), 3 => Just(0), 1 => Just(50), 1 => any::<u8>()];
    let port =
        || prop_oneof![8 => 19_u16..37, 1 => Just(8080_u16), 1 => Just(500_u16), 1 => Just(67_u16), 1 => Just(68_u16)];
    let kind = prop_oneof![3 => 0_u8..5, 2 => 127_u8..138, 1 => any::<u8>()];
    let message = (kind, 0_u8..3);
    let state = prop_oneof![
        4 => Just(ct::NEW), 2 => Just(ct::ESTABLISHED), 1 => Just(ct::RELATED), 1 => Just(ct::INVALID), 1 => Just(ct::UNTRACKED)
    ];
    let odd = (
        prop_oneof![Just(0_u32), Just(1), Just(7)],
        prop_oneof![Just(255_u8), Just(64), Just(1), Just(9)],
        of(any::<[u8; 6]>()),
    );
    let rest = (
        state,
        prop_oneof![4 => Just(0_u32), 1 => Just(ct::STATUS_DNAT)],
        prop_oneof![8 => Just(0_u16), 1 => Just(185)],
        any::<u8>(),
    );
    let assume =
        (any::<bool>(), any::<bool>(), of(any::<bool>()), any::<bool>()).prop_map(|(back, route, local, member)| {
            Assumptions {
                source_routes_back: back,
                source_has_route: route,
                destination_is_local: local,
                member_of: if member { vec!["seen".to_owned()] } else { Vec::new() },
            }
        });
    ((path, interface(), interface()), addresses, number, (port(), port()), message, odd, rest, assume).prop_map(
        |(
            (path, input, output),
            (source, destination),
            number,
            ports,
            message,
            odd,
            (state, status, fragment, flags),
            assume,
        )| {
            let icmp = if source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
            let protocol = if number == 0 { icmp } else { number };
            Packet {
                input: input.filter(|_| path != Path::FromRouter),
                output: output.filter(|_| path != Path::ToRouter),
                source_port: Some(ports.0),
                destination_port: Some(ports.1),
                icmp: Some(message),
                tcp_flags: Some(flags),
                hop_limit: odd.1,
                fragment,
                source_mac: odd.2,
                ct_state: state,
                ct_status: status,
                mark: odd.0,
                assume,
                ..Packet::new(path, source, destination, protocol)
            }
        },
    )
}

/// Both compilations; none for sections that are not to be compiled.
fn both(config: &Config) -> Option<(Ruleset, Ruleset)> {
    let files = arbitrary::files(config);
    let devices = vec!["eth0".to_owned()];
    let compiled =
        |fold| compile(config, &files, &devices, Options { fold, ..Options::default() }).map(|(ruleset, _)| ruleset);
    match (compiled(true), compiled(false)) {
        (Ok(folded), Ok(linear)) => Some((folded, linear)),
        (Err(_), Err(_)) => None,
        (folded, linear) => panic!("only one compiles: {folded:?} {linear:?}"),
    }
}

/// The verdict, the counters, the sets and the packet as it left, by names that both compilations have.
fn outcome<'a>(ruleset: &'a Ruleset, trace: &Trace) -> impl PartialEq + core::fmt::Debug + use<'a> {
    let counted: Vec<&str> = trace.counted.iter().map(|id| ruleset.counters[*id].as_str()).collect();
    let added: Vec<(&str, Vec<u8>)> =
        trace.added.iter().map(|(id, key)| (ruleset.sets[*id].name.as_str(), key.clone())).collect();
    (trace.verdict, counted, added, trace.packet.clone())
}

fn compare(config: &Config, packets: &[Packet]) -> Result<(), TestCaseError> {
    let Some((folded, linear)) = both(config) else { return Ok(()) };
    for packet in packets {
        let (fast, slow) = (trace(&folded, packet), trace(&linear, packet));
        prop_assert_eq!(
            outcome(&folded, &fast),
            outcome(&linear, &slow),
            "{:#?}\nfolded {:#?}\nlinear {:#?}",
            packet,
            fast.steps,
            slow.steps
        );
    }
    Ok(())
}

/// Rules of the kind that folds: single values, plain actions.
pub(super) fn simple_rule(first: usize) -> impl Strategy<Value = Rule> {
    let exact = |items: Vec<Address>| List { items, ..List::default() };
    let host = prop_oneof![
        (0_u32..8).prop_map(|host| IpRange::host(Ipv4Addr::from(0xc000_0200 + host).into())),
        (0_u128..8).prop_map(|host| IpRange::host(Ipv6Addr::from((0x2001_0db8_u128 << 96) + host).into())),
        arbitrary::range(),
    ]
    .prop_map(Address::Range);
    let ports = vec((20_u16..30).prop_map(|port| Port::Range(port, port)), 1..3);
    let numbers = prop_oneof![Just(vec![6_u8]), Just(vec![17]), Just(vec![6, 17])];
    let mac = [2, 0, 0, 0, 0, 1];
    let matches = prop_oneof![
        vec(host.clone(), 1..3).prop_map(move |source| Matches { source: exact(source), ..Matches::default() }),
        (numbers.clone(), ports.clone()).prop_map(|(numbers, ports)| Matches {
            protocol: List { items: numbers, ..List::default() },
            destination_port: List { items: ports, ..List::default() },
            ..Matches::default()
        }),
        (host, numbers, ports).prop_map(move |(source, numbers, ports)| Matches {
            source: exact(vec![source]),
            protocol: List { items: numbers, ..List::default() },
            destination_port: List { items: ports, ..List::default() },
            ..Matches::default()
        }),
        arbitrary::interface().prop_map(|interface| Matches {
            incoming: List { items: vec![interface], ..List::default() },
            ..Matches::default()
        }),
        Just(Matches { source_mac: List { items: vec![mac], ..List::default() }, ..Matches::default() }),
    ];
    let action = if first < 3 {
        prop_oneof![
            4 => Just(Action::Accept), 4 => Just(Action::Drop), 1 => arbitrary::reject().prop_map(Action::Reject), 1 => Just(Action::Return),
            2 => (first..3).prop_map(Action::Jump), 1 => (first..3).prop_map(Action::Goto),
        ]
        .boxed()
    } else {
        prop_oneof![4 => Just(Action::Accept), 4 => Just(Action::Drop), 2 => Just(Action::Return)].boxed()
    };
    (matches, action).prop_map(|(matches, action)| Rule {
        name: None,
        from: End::Any,
        to: End::Any,
        matches,
        log: None,
        count: None,
        set_mark: None,
        add_source_to: None,
        action,
        span: portreeve_config::Span::new(7, 8),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn folding_changes_no_verdict_of_arbitrary_sections(
        config in arbitrary::config(), packets in vec(packet(), PACKETS),
    ) {
        compare(&config, &packets)?;
    }

    #[test]
    fn folding_changes_no_verdict_where_runs_of_rules_fold(
        config in arbitrary::config(),
        lists in (vec(simple_rule(0), 2..20), vec(simple_rule(0), 2..20), vec(simple_rule(1), 2..12), vec(simple_rule(3), 2..12)),
        between in vec((simple_rule(0), 0..4_usize), 2..30),
        packets in vec(packet(), PACKETS),
    ) {
        let mut config = config;
        (config.input.rules, config.forward.rules) = (lists.0, lists.1);
        config.output.rules = config.input.rules.clone();
        config.chains[0].rules = lists.2;
        config.chains[2].rules = lists.3;
        config.rules = between.into_iter().map(|(rule, from)| Rule {
            from: if from < 3 { End::Zones { zones: vec![from], router: false } } else { End::Any },
            ..rule
        }).collect();
        compare(&config, &packets)?;
    }
}
