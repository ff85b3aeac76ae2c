//! What hosts and other routers can cause: answers, limits, dropped messages, reported contradictions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use portreeve_radvd::engine::{Event, Inconsistency, InvalidCounts, SOURCE_BURST};
use std::net::Ipv6Addr;
use std::time::Duration;

const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

#[test]
fn a_solicitation_is_answered_at_once_by_unicast() {
    let mut lab = Lab::up(lan0("")).settled();
    let due = lab.engine.poll_timeout();
    lab.solicit(HOST);
    let sent = lab.one();
    assert_eq!((sent.at, sent.transmit.destination), (lab.now, HOST));
    assert_eq!(lab.engine.poll_timeout(), due, "the multicast rhythm is not touched");
}

#[test]
fn a_solicitation_from_nobody_is_answered_by_multicast_within_half_a_second() {
    let mut lab = Lab::up(lan0("")).settled();
    for _ in 0..5 {
        lab.solicit(NOBODY);
    }
    let asked = lab.now;
    lab.advance(Duration::from_millis(500));
    let sent = lab.one();
    assert!(sent.is_multicast() && sent.at.since(asked) <= Duration::from_millis(500));
}

#[test]
fn multicast_answers_keep_the_minimum_delay_and_coalesce() {
    let mut lab = Lab::up(lan0("solicited_unicast: false, max_interval: \"30m\"")).settled();
    for _ in 0..100 {
        lab.solicit(HOST);
        lab.advance(Duration::from_millis(100));
    }
    let sent = lab.take();
    assert!((3..=4).contains(&sent.len()), "10 s of questions: {}", sent.len());
    assert!(sent.windows(2).all(|pair| pair[1].at.since(pair[0].at) >= seconds(3)));
}

#[test]
fn with_the_strict_delay_unicast_answers_wait_too_and_one_host_gets_one() {
    let mut lab = Lab::up(lan0("strict_rs_delay: true")).settled();
    for _ in 0..10 {
        lab.solicit(HOST);
    }
    lab.solicit(OTHER_HOST);
    let asked = lab.now;
    lab.advance(Duration::from_millis(500));
    let sent = lab.take();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|s| !s.is_multicast() && s.at.since(asked) <= Duration::from_millis(500)));
}

#[test]
fn a_flood_from_one_host_is_bounded_and_another_host_is_still_answered() {
    let mut lab = Lab::up(lan0("")).settled();
    for _ in 0..10_000 {
        lab.solicit(HOST);
        lab.advance(Duration::from_micros(100));
    }
    let answers = lab.take().iter().filter(|s| s.transmit.destination == HOST).count();
    assert!(answers <= SOURCE_BURST as usize + 10, "{answers} in one second");
    assert!(lab.status("lan0").counters.solicitations_limited > 9000);
    lab.solicit(OTHER_HOST);
    assert_eq!(lab.one().transmit.destination, OTHER_HOST);
}

#[test]
fn a_flood_from_forged_sources_ends_in_one_multicast_answer_for_all() {
    let mut lab = Lab::up(lan0("")).settled();
    for n in 0..20_000 {
        lab.solicit(Ipv6Addr::from_bits(HOST.to_bits() + (n << 16)));
    }
    let unicast = lab.take().len();
    assert!(unicast <= portreeve_radvd::engine::INTERFACE_BURST as usize);
    lab.solicit(OTHER_HOST);
    lab.advance(Duration::from_millis(500));
    assert!(lab.one().is_multicast());
}

#[test]
fn invalid_messages_are_dropped_and_counted_by_reason() {
    let mut lab = Lab::up(lan0("")).settled();
    let with_address = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    let advertisement = [134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    lab.receive(2, HOST, 64, &SOLICITATION);
    lab.receive(2, HOST, 255, &[133, 1, 0, 0, 0, 0, 0, 0]);
    lab.receive(2, HOST, 255, &SOLICITATION[..7]);
    lab.receive(2, HOST, 255, &[]);
    lab.receive(2, HOST, 255, &[133, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    lab.receive(2, HOST, 255, &[133, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0]);
    lab.receive(2, NOBODY, 255, &with_address);
    lab.receive(2, "ff02::1".parse().unwrap(), 255, &SOLICITATION);
    lab.receive(2, "2001:db8::1".parse().unwrap(), 255, &advertisement);
    lab.receive(2, HOST, 255, &[136, 0, 0, 0, 0, 0, 0, 0]);
    lab.receive(99, HOST, 255, &SOLICITATION);
    lab.advance(seconds(1));
    assert!(lab.take().is_empty());
    let counters = lab.status("lan0").counters;
    assert_eq!(counters.solicitations, 0);
    let expected = InvalidCounts {
        hop_limit: 1,
        code: 1,
        too_short: 2,
        zero_length_option: 1,
        truncated_option: 1,
        link_layer_address_from_unspecified: 1,
        source: 2,
        other_type: 1,
    };
    assert_eq!(counters.invalid, expected);
    assert_eq!(counters.invalid.total(), 10);
}

#[test]
fn another_routers_contradictions_are_counted_and_reported_once_in_a_while() {
    let mut lab = Lab::up(lan0("prefixes: {\"2001:db8:60::/64\": ()}")).settled();
    let mut theirs = [134, 0, 0, 0, 32, 0x80, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    theirs.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0, 9, 0, 0, 0, 0]);
    theirs.extend([0x20, 1, 0x0d, 0xb8, 0, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for _ in 0..10 {
        lab.receive(2, HOST, 255, &theirs);
        lab.advance(seconds(1));
    }
    let reports: Vec<_> = lab
        .events
        .iter()
        .filter_map(|e| match e {
            Event::InconsistentRouter { router, inconsistencies, .. } => Some((*router, inconsistencies.clone())),
            _ => None,
        })
        .collect();
    let prefix = "2001:db8:60::/64".parse().unwrap();
    assert_eq!(
        reports,
        [(
            HOST,
            vec![
                Inconsistency::HopLimit { ours: 64, theirs: 32 },
                Inconsistency::Managed { ours: false, theirs: true },
                Inconsistency::PreferredLifetime { prefix, ours: 14_400, theirs: 9 },
            ]
        )]
    );
    let status = lab.status("lan0");
    assert_eq!((status.counters.advertisements_heard, status.counters.inconsistent), (10, 10));
    assert_eq!(status.other_routers, [HOST]);
}

#[test]
fn our_own_advertisement_is_no_other_router() {
    let mut lab = Lab::up(lan0(""));
    let own = lab.one().transmit;
    lab.receive(2, own.source, 255, &own.bytes);
    assert!(lab.status("lan0").other_routers.is_empty());
}
