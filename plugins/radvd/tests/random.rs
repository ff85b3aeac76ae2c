//! Whatever happens in whatever order: nothing panics, sockets and packets stay in order, multicast keeps its distance.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use portreeve_config::Ipv6Prefix;
use portreeve_radvd::engine::{FINAL_INTERVAL, LinkState, PublishedServer};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const CONFIGS: [&str; 5] = [
    "(interfaces: {\"lan*\": (prefixes: {\"::/64\": ()}, max_interval: \"4s\")})",
    "(interfaces: {\"lan0\": (prefixes: {\"2001:db8:60::/64\": (decrement: true)}, solicited_unicast: false)})",
    "(interfaces: {\"lan0\": (strict_rs_delay: true, rdnss: [(servers: [\"::\"])]), \"lan1\": (unicast_only: true)})",
    "(interfaces: {\"lan1\": (max_interval: \"9s\", routes: {\"::/0\": ()})})",
    "(interfaces: {\"lan*\": (max_interval: \"9s\", pref64: Auto, rdnss: Auto)})",
];

#[derive(Debug, Clone)]
enum Step {
    Link { index: u32, running: bool, tentative: bool, prefix: u16, lifetime: Option<u32> },
    Packet { index: u32, host: u16, bytes: Vec<u8> },
    Solicit { index: u32, host: Option<u16> },
    Advance(u32),
    Timeout,
    Error(u32),
    Reconfigure(usize),
    Nat64(Vec<u8>),
    Servers(Vec<u16>),
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..3_u32;
    prop_oneof![
        (index.clone(), any::<bool>(), any::<bool>(), 0..3_u16, proptest::option::of(0..200_u32)).prop_map(
            |(index, running, tentative, prefix, lifetime)| Step::Link { index, running, tentative, prefix, lifetime }
        ),
        (index.clone(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40), 0..3_usize).prop_map(
            |(index, host, mut bytes, kind)| {
                if let (Some(first), Some(kind)) = (bytes.first_mut(), [133, 134].get(kind)) {
                    *first = *kind;
                }
                Step::Packet { index, host, bytes }
            }
        ),
        (index.clone(), proptest::option::of(0..4_u16)).prop_map(|(index, host)| Step::Solicit { index, host }),
        (0..20_000_u32).prop_map(Step::Advance),
        (0..500_u32).prop_map(Step::Advance),
        Just(Step::Timeout),
        index.prop_map(Step::Error),
        (0..CONFIGS.len()).prop_map(Step::Reconfigure),
        proptest::collection::vec(0..129_u8, 0..20).prop_map(Step::Nat64),
        proptest::collection::vec(0..30_u16, 0..30).prop_map(Step::Servers),
    ]
}

fn host(n: u16) -> std::net::Ipv6Addr {
    std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n)
}

fn apply(lab: &mut Lab, step: Step) {
    match step {
        Step::Link { index, running, tentative, prefix, lifetime } => {
            let mut state = LinkState { running, ..link(&format!("lan{index}"), index) };
            state.addresses[0].tentative = tentative;
            let mut global = address(&format!("2001:db8:{prefix}::1/64"));
            (global.valid_lifetime, global.preferred_lifetime) = (lifetime, lifetime.map(|l| l / 2));
            state.addresses.push(global);
            lab.link(state);
        }
        Step::Packet { index, host: n, bytes } => lab.receive(index, host(n), 255, &bytes),
        Step::Solicit { index, host: n } => {
            lab.receive(index, n.map_or("::".parse().unwrap(), host), 255, &SOLICITATION);
        }
        Step::Advance(millis) => lab.advance(Duration::from_millis(millis.into())),
        Step::Timeout => {
            lab.engine.handle_timeout(lab.now);
            lab.poll();
        }
        Step::Error(index) => lab.engine.handle_transmit_error(index, "ff02::1".parse().unwrap(), lab.now),
        Step::Reconfigure(n) => lab.reconfigure(config(CONFIGS[n])),
        Step::Nat64(lengths) => {
            let prefixes = lengths
                .into_iter()
                .map(|length| Ipv6Prefix::containing("2001:db8::7".parse().unwrap(), length))
                .collect();
            lab.engine.handle_nat64_prefixes(prefixes, lab.now);
            lab.poll();
        }
        Step::Servers(list) => {
            let server = |n: u16| PublishedServer { key: format!("dns/lan{}", n % 4), address: host(n) };
            lab.engine.handle_servers(list.into_iter().map(server).collect(), lab.now);
            lab.poll();
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_of_events_keeps_the_distance_between_multicast_advertisements(
        seed: u64, steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut lab = Lab::with_seed(config(CONFIGS[0]), seed);
        for step in steps {
            apply(&mut lab, step);
        }
        lab.advance(seconds(60));
        let mut last = BTreeMap::new();
        for sent in lab.take().iter().filter(|s| s.is_multicast()) {
            let is_final = sent.parse().router_lifetime == 0;
            if let Some(before) = last.insert(sent.transmit.interface_index, sent.at) {
                let gap = sent.at.since(before);
                // Final ones may be closer: RFC 4861 section 6.2.5, and FINAL_INTERVAL says why.
                prop_assert!(gap >= seconds(3) || is_final, "{gap:?}");
            }
        }
        lab.stop();
        lab.advance(FINAL_INTERVAL * 3);
        prop_assert!(lab.engine.is_drained());
        prop_assert!(lab.open.is_empty());
        prop_assert_eq!(lab.engine.poll_timeout(), None);
    }
}
