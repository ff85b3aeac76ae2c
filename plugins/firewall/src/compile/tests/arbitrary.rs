//! Sections of all kinds as values, as the parser might make them, and contents for their files.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_config::Span;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::config::*;

/// Zones of a section: few, so that rules meet.
const ZONES: usize = 3;
/// Sets of a section: addresses, addresses that packets add to, ports.
const SETS: usize = 3;
/// Chains of a section; each may lead to those behind it.
const CHAINS: usize = 3;

/// A whole section. Names that it refers to exist, chains do not lead into themselves.
pub fn config() -> impl Strategy<Value = Config> {
    let hooks = (hook(), hook(), hook(), vec(early_rule(), 0..3));
    let zones = vec(zone(), ZONES..=ZONES);
    let between = (vec(policy(), 0..4), vec(rule(0, false), 0..8), vec(nat(), 0..5));
    let rest = (sets(), defaults(), of(any::<bool>()));
    (zones, between, hooks, (chain(1), chain(2), chain(3)), rest).prop_map(
        |(
            mut zones,
            (policies, mut rules, nat),
            (input, forward, output, prerouting),
            chains,
            (sets, defaults, offload),
        )| {
            for (index, zone) in zones.iter_mut().enumerate() {
                zone.name = format!("z{index}");
            }
            for (index, rule) in rules.iter_mut().enumerate() {
                rule.span = Span::new(100 + index, 101 + index);
            }
            let chains = [chains.0, chains.1, chains.2];
            Config {
                zones,
                policies,
                rules,
                input,
                forward,
                output,
                prerouting,
                chains: chains
                    .into_iter()
                    .enumerate()
                    .map(|(index, rules)| NamedChain { name: format!("c{index}"), rules, span: Span::default() })
                    .collect(),
                sets,
                nat,
                defaults,
                offload: offload.map(|hardware| Offload { zones: vec![0, 1], hardware, span: Span::default() }),
                conntrack: Conntrack::default(),
                guard: true,
            }
        },
    )
}

/// What stands in the files that the section names.
pub fn files(config: &Config) -> BTreeMap<String, Vec<SetElement>> {
    let paths = config.sets.iter().filter_map(|set| set.file.clone().map(|path| (path, set.kind)));
    paths
        .map(|(path, kind)| match kind {
            SetKind::Addresses => {
                (path, vec![SetElement::Address(IpRange::host(Ipv4Addr::new(198, 51, 100, 7).into()))])
            }
            SetKind::Ports => (path, vec![SetElement::Port(8080, 8081)]),
        })
        .collect()
}

fn zone() -> impl Strategy<Value = Zone> {
    let spoofing = prop_oneof![Just(AntiSpoofing::Strict), Just(AntiSpoofing::Loose), Just(AntiSpoofing::Off)];
    let clamp = prop_oneof![Just(MssClamp::Off), Just(MssClamp::PathMtu), (500_u16..1460).prop_map(MssClamp::Bytes)];
    (vec(interface(), 0..4), vec(range(), 0..3), spoofing, clamp, any::<bool>()).prop_map(
        |(interfaces, networks, anti_spoofing, mss_clamp, rfc3964)| Zone {
            name: String::new(),
            interfaces,
            networks,
            anti_spoofing,
            mss_clamp,
            rfc3964,
            span: Span::default(),
        },
    )
}

/// Names of which some begin as others do.
pub fn interface() -> impl Strategy<Value = Interface> {
    let name =
        prop_oneof!["e", "eth", "eth0", "eth1", "eth10", "wan0", "ppp", "abcdefghijklmno"].prop_map(String::from);
    (name, any::<bool>()).prop_map(|(name, prefix)| Interface { name, prefix })
}

/// Addresses and networks close together, of both families.
pub fn range() -> impl Strategy<Value = IpRange> {
    let v4 = (0_u32..64, 0_u32..16).prop_map(|(first, more)| {
        let base = u32::from(Ipv4Addr::new(192, 0, 2, 0));
        IpRange::V4((base + first).into(), (base + first + more).into())
    });
    let v6 = (0_u128..64, 0_u128..16).prop_map(|(first, more)| {
        let base = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));
        IpRange::V6((base + first).into(), (base + first + more).into())
    });
    let all = Just(IpRange::V6(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from(u128::MAX)));
    let host4 = (0_u32..8).prop_map(|host| IpRange::host(Ipv4Addr::from(0xc000_0200 + host).into()));
    let host6 = (0_u128..8).prop_map(|host| IpRange::host(Ipv6Addr::from((0x2001_0db8_u128 << 96) + host).into()));
    prop_oneof![2 => v4, 2 => v6, 1 => all, 4 => host4, 4 => host6]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        1 => Just(End::Any),
        2 => (vec(0..ZONES, 1..3), any::<bool>()).prop_map(|(mut zones, router)| {
            zones.sort_unstable();
            zones.dedup();
            End::Zones { zones, router }
        }),
        1 => Just(End::Zones { zones: Vec::new(), router: true }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let action =
        prop_oneof![Just(PolicyAction::Accept), Just(PolicyAction::Drop), reject().prop_map(PolicyAction::Reject)];
    (end(), end(), action, of(log())).prop_map(|(from, to, action, log)| Policy {
        from,
        to,
        action,
        log,
        span: Span::new(1, 2),
    })
}

/// A rejection.
pub fn reject() -> impl Strategy<Value = Reject> {
    prop_oneof![Just(Reject::AdminProhibited), Just(Reject::TcpReset), Just(Reject::PortUnreachable)]
}

/// A rule that may jump to chains from `first` on.
pub fn rule(first: usize, prerouting: bool) -> impl Strategy<Value = Rule> {
    let jump = if first < CHAINS {
        prop_oneof![(first..CHAINS).prop_map(Action::Jump), (first..CHAINS).prop_map(Action::Goto)].boxed()
    } else {
        Just(Action::Return).boxed()
    };
    let action = prop_oneof![
        6 => Just(Action::Accept),
        4 => Just(Action::Drop),
        2 => reject().prop_map(Action::Reject),
        3 => jump,
        1 => Just(Action::Return),
        1 => Just(Action::Continue),
        1 => Just(Action::ClampMss(MssClamp::Bytes(1400))),
        1 => Just(if prerouting { Action::Notrack } else { Action::Drop }),
    ];
    let name = of("[a-c]");
    let does = (of(log()), of("n[0-3]"), of(masked()), prop::option::weighted(0.1, Just(1_usize)));
    (name, end(), end(), matches(), prop::option::weighted(0.3, does), action).prop_map(
        |(name, from, to, matches, does, action)| {
            let (log, count, set_mark, add_source_to) = does.unwrap_or_default();
            Rule { name, from, to, matches, log, count, set_mark, add_source_to, action, span: Span::new(3, 4) }
        },
    )
}

/// Before connection tracking: nothing is asked of connections, here or in chains.
fn early_rule() -> impl Strategy<Value = Rule> {
    rule(CHAINS, true).prop_map(|mut rule| {
        rule.matches.states.clear();
        rule.matches.connections = None;
        rule
    })
}

fn hook() -> impl Strategy<Value = Hook> {
    (any::<bool>(), vec(rule(0, false), 0..5)).prop_map(|(accept, rules)| Hook { accept, rules })
}

fn chain(first: usize) -> impl Strategy<Value = Vec<Rule>> {
    vec(rule(first, false), 0..4)
}

fn log() -> impl Strategy<Value = Log> {
    (of(limit()), of(any::<u16>())).prop_map(|(rate, group)| Log {
        prefix: "p ".to_owned(),
        level: 4,
        group,
        rate: rate.map(|rate| Limit { per: Per::Rule, over: false, ..rate }),
    })
}

fn limit() -> impl Strategy<Value = Limit> {
    (1_u64..100, any::<bool>(), per()).prop_map(|(packets, over, per)| Limit {
        packets,
        seconds: 60,
        burst: 5,
        over,
        per,
    })
}

fn per() -> impl Strategy<Value = Per> {
    prop_oneof![Just(Per::Rule), Just(Per::Source), Just(Per::Destination)]
}

fn masked() -> impl Strategy<Value = Masked> {
    prop_oneof![Just(Masked { value: 1, mask: 0xff }), Just(Masked { value: 7, mask: u32::MAX })]
}

fn list<T: core::fmt::Debug + Clone>(item: impl Strategy<Value = T>) -> impl Strategy<Value = List<T>> {
    (prop::option::weighted(0.4, vec(item, 1..4)), prop::bool::weighted(0.2)).prop_map(|(items, negated)| List {
        items: items.unwrap_or_default(),
        negated,
        span: Span::default(),
    })
}

fn address() -> impl Strategy<Value = Address> {
    let masked = Address::Masked {
        value: Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0x1234),
        mask: Ipv6Addr::new(0, 0, 0, 0, !0, !0, !0, !0),
    };
    prop_oneof![8 => range().prop_map(Address::Range), 1 => (0..2_usize).prop_map(Address::Set), 1 => Just(masked), 1 => Just(Address::Local)]
}

fn port() -> impl Strategy<Value = Port> {
    prop_oneof![6 => (20_u16..30).prop_map(|port| Port::Range(port, port)), 1 => (20_u16..30).prop_map(|port| Port::Range(port, port + 5)), 1 => Just(Port::Set(2))]
}

/// What packets: ports only of protocols that have them, kinds of ICMP without a protocol.
pub fn matches() -> impl Strategy<Value = Matches> {
    let family = of(prop_oneof![Just(Family::V4), Just(Family::V6)]);
    let interfaces = (list(interface()), list(interface()));
    let addresses = (list(address()), list(address()));
    let kind = prop_oneof![
        4 => (list(port()), list(port()), vec(prop_oneof![Just(6_u8), Just(17), Just(132)], 1..3), of(flags()))
            .prop_map(|(source, destination, protocol, flags)| (source, destination, protocol, List::default(), flags)),
        1 => list(icmp()).prop_map(|icmp| (List::default(), List::default(), Vec::new(), icmp, None)),
        2 => Just((List::default(), List::default(), Vec::new(), List::default(), None)),
    ];
    let state = prop_oneof![Just(ConnState::New), Just(ConnState::Established), Just(ConnState::Invalid)];
    let odd = (
        vec(state, 1..3),
        any::<bool>(),
        of(masked()),
        list(any::<[u8; 6]>()),
        of(compare()),
        any::<bool>(),
        of(limit()),
        of(connections()),
    );
    (prop::option::weighted(0.3, family), interfaces, addresses, kind, prop::option::weighted(0.3, odd)).prop_map(
        |(
            family,
            (incoming, outgoing),
            (source, destination),
            (source_port, destination_port, protocol, icmp, tcp_flags),
            odd,
        )| {
            let tcp_flags = tcp_flags.filter(|_| protocol == [6]);
            let mut matches = Matches {
                family: family.flatten(),
                incoming,
                outgoing,
                source,
                destination,
                protocol: List { items: protocol, ..List::default() },
                source_port,
                destination_port,
                icmp,
                tcp_flags,
                ..Matches::default()
            };
            if let Some((states, negated, mark, mac, hops, fragments, limit, connections)) = odd {
                matches.states = states;
                matches.states_negated = negated;
                matches.mark = mark;
                matches.source_mac = mac;
                matches.hop_limit = hops;
                matches.later_fragments = fragments;
                matches.limit = limit;
                matches.connections = connections;
            }
            matches
        },
    )
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    any::<bool>().prop_map(|negated| TcpFlags { mask: 0x17, value: 0x02, negated })
}

fn icmp() -> impl Strategy<Value = IcmpKind> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    (family, of(0_u8..4), of(0_u8..3)).prop_map(|(family, kind, code)| IcmpKind {
        family,
        kind,
        code: code.filter(|_| kind.is_some()),
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    prop_oneof![
        Just(Compare::Equal(255)),
        Just(Compare::NotEqual(1)),
        Just(Compare::Below(10)),
        Just(Compare::Above(200))
    ]
}

fn connections() -> impl Strategy<Value = Connections> {
    (1_u32..20, any::<bool>(), per()).prop_map(|(count, above, per)| Connections { count, above, per })
}

fn sets() -> impl Strategy<Value = Vec<NamedSet>> {
    let set = |name: &str, kind, elements, file: Option<&str>, dynamic: bool| NamedSet {
        name: name.to_owned(),
        kind,
        elements,
        file: file.map(str::to_owned),
        timeout: dynamic.then(|| Duration::from_secs(600)),
        dynamic,
        size: if dynamic { 1000 } else { 0 },
        span: Span::default(),
    };
    let ports = vec((20_u16..30, 0_u16..3).prop_map(|(first, more)| SetElement::Port(first, first + more)), 0..3);
    (vec(range().prop_map(SetElement::Address), 0..4), ports, any::<bool>()).prop_map(
        move |(addresses, ports, file)| {
            let sets = vec![
                set("bad", SetKind::Addresses, addresses, file.then_some("bad.txt"), false),
                set("seen", SetKind::Addresses, Vec::new(), None, true),
                set("web", SetKind::Ports, ports, file.then_some("web.txt"), false),
            ];
            assert_eq!(sets.len(), SETS);
            sets
        },
    )
}

fn nat() -> impl Strategy<Value = NatRule> {
    let ports = || of((1000_u16..1010).prop_map(|first| (first, first + 10)));
    let to4 = Just(IpRange::host(Ipv4Addr::new(192, 168, 1, 10).into()));
    let action = prop_oneof![
        (ports(), any::<bool>()).prop_map(|(ports, random)| NatAction::Masquerade { ports, random }),
        (range(), ports()).prop_map(|(addresses, ports)| NatAction::SourceTo { addresses, ports }),
        (to4, ports(), any::<bool>(), any::<bool>()).prop_map(|(addresses, ports, hairpin, accept)| {
            NatAction::DestinationTo { addresses, ports, hairpin, accept }
        }),
        ports().prop_map(|ports| NatAction::Redirect { ports }),
        Just(NatAction::Prefix {
            inside: (Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0), 48),
            outside: (Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0), 48)
        }),
        Just(NatAction::Skip),
    ];
    (end(), end(), matches(), action, of("n[0-3]")).prop_map(|(from, to, mut matches, action, count)| {
        matches.limit = None;
        matches.connections = None;
        let (from, to) = match action {
            NatAction::DestinationTo { .. } | NatAction::Redirect { .. } => (from, End::Any),
            NatAction::Skip => (from, to),
            _ => (End::Any, to),
        };
        NatRule { name: None, from, to, matches, action, count, span: Span::new(5, 6) }
    })
}

fn defaults() -> impl Strategy<Value = Defaults> {
    any::<[bool; 6]>().prop_map(|[stateful, loopback, rfc4890, rfc6092, ping, dhcp_client]| Defaults {
        stateful,
        loopback,
        rfc4890,
        rfc6092,
        ping,
        dhcp_client,
        log_rate: Limit { packets: 10, seconds: 1, burst: 5, over: false, per: Per::Rule },
    })
}
