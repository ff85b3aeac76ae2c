//! Random policies and random packets in the kernel: what comes out is the same whether rules were folded into maps or
//! compiled one by one, and it is what the plugin's interpreter says.
//!
//! `generate.rs` writes sections as text, `packets.rs` the packets, `place.rs` is the router, `compare.rs` compares. Both
//! rulesets of a policy stand in a namespace of their own and see the same packets in the same order; a third without any
//! table tells what the kernel itself lets through. Other seeds: `PORTREEVE_FIREWALL_SEEDS=5000..6000`, or one number.
#![expect(clippy::panic, reason = "a test that cannot go on fails here")]

mod compare;
mod generate;
mod packets;
mod place;

use std::ops::Range;

use compare::{PACKETS, compare, rulesets};
use fastrand::Rng;
use packets::{Crafted, Exit};
use place::Place;
use portreeve_tests::lab::{Lab, Result, ensure};

const SEEDS: Range<u64> = 0..96;
const SEEDS_WITH_STATES: Range<u64> = 10_000..10_024;

fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("PORTREEVE_FIREWALL_SEEDS") else { return usual };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("PORTREEVE_FIREWALL_SEEDS: no number: {text}"));
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}

#[test]
fn maps_rules_and_the_interpreter_agree_on_random_packets() -> Result {
    compare(seeds(SEEDS), false)
}

#[test]
fn maps_and_rules_agree_on_random_packets_of_connections() -> Result {
    compare(seeds(SEEDS_WITH_STATES), true)
}

/// The comparison is worth something: a ruleset with one verdict changed is told from the right one.
#[test]
fn a_wrong_ruleset_is_noticed() -> Result {
    let mut lab = Lab::new()?;
    let place = Place::new(&mut lab, "wrong")?;
    let mut random = Rng::with_seed(1);
    let packets: Vec<Crafted> = (0..PACKETS).map(|number| packets::random(&mut random, number, true)).collect();
    let section = |port: u16| {
        let last = format!("(protocol: [\"{}\"], then: Accept)", packets::SENTINEL);
        let rules = format!(
            "rules: [{last}, (destination_port: [\"22\"], then: Drop), (destination_port: [\"{port}\"], then: Drop)]"
        );
        format!("(input: (policy: Accept, {rules}), forward: (policy: Accept, {rules}), defaults: (stateful: false))")
    };
    let mut exits = Vec::new();
    for port in [53, 80] {
        let [folded, _] = rulesets(&section(port))?;
        place.install(&folded)?;
        exits.push(place.pass(&packets)?);
    }
    for (number, packet) in packets.iter().enumerate() {
        let differs = exits[0][number] != exits[1][number];
        let is_about = packet.way != packets::Way::FromRouter && matches!(packet.seen.destination_port, Some(53 | 80));
        ensure(differs == is_about, || format!("{differs}: {packet:?}"))?;
    }
    ensure(exits[0].iter().flatten().any(|exit| *exit == Exit::Router), || "nothing reached the router".to_owned())
}
