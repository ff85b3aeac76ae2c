//! Whatever the host tells in whatever order: nothing panics, the engine settles, and what it says should be holds
//! together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use common::{Lab, held, link};
use portreeve_interfaces::engine::{Hardware, Link};
use proptest::prelude::*;

const TEXT: &str = "(pools: {\"isp\": (delegated: true)}, interfaces: { \
    \"n0\": (match: (driver: \"a\"), subnets: [(pool: \"isp\", number: 1)]), \"n1\": (match: (path: \"p*\"), up: false), \
    \"br0\": (kind: Bridge(ports: [\"n*\"])), \"n2\": (kind: Vlan(parent: \"br0\", id: 1)), \
    \"n*\": (addresses: [\"fe80::1/64\"]) })";

proptest! {
    #[test]
    fn every_order_of_events_settles(events in proptest::collection::vec((0..8_u8, 1..6_u32, 0..6_u32), 0..60)) {
        let mut lab = Lab::new(TEXT);
        for (what, index, name) in events {
            let one = link(index, &format!("n{name}"));
            let other = (1..6).find(|other| *other != index && lab.engine.state().links.len() as u32 == *other);
            match what {
                0 => lab.engine.handle_link(one),
                1 => lab.engine.handle_link(Link { up: false, controller: other, ..one }),
                2 => lab.engine.handle_link_gone(index),
                3 => lab.engine.handle_hardware(vec![Hardware {
                    index,
                    permanent_mac: Vec::new(),
                    driver: Some("a".into()),
                    path: (name > 2).then(|| "/p".into()),
                }]),
                4 => lab.engine.handle_address_gone(index, common::prefix("fe80::1/64")),
                5 => lab.engine.handle_address(held(index, "fe80::1/64")),
                6 => drop(lab.delegate(&[(["2001:db8::/48", "2001:db8:1::/56"][name as usize % 2], Some(u64::from(index)))])),
                _ => drop(lab.pass(u64::from(name) * 3000)),
            }
            lab.settle();
            prop_assert_eq!(lab.applies_to_settle(), 0);
            let state = lab.engine.state();
            let names: HashSet<_> = state.links.iter().map(|link| link.name.as_str()).collect();
            prop_assert_eq!(names.len(), state.links.len(), "each name once");
            let numbers: Vec<_> = state.links.iter().filter_map(|link| link.index).collect();
            prop_assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len(), "each number once");
            let at = |name: &str| state.links.iter().position(|link| link.name == name);
            for link in &state.links {
                if let Some(controller) = &link.controller {
                    prop_assert!(at(controller) < at(&link.name));
                }
            }
            for address in &state.addresses {
                prop_assert!(address.valid_lifetime != Some(0));
                prop_assert!(address.preferred_lifetime.unwrap_or(u32::MAX) <= address.valid_lifetime.unwrap_or(u32::MAX));
            }
        }
    }
}
