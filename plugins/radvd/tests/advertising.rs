//! When an interface advertises: start, rhythm, carrier, addresses, stop; on a virtual clock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use portreeve_packet::nd::{ALL_NODES, NdOption, Preference};
use portreeve_radvd::engine::{Event, InterfaceState};
use std::time::Duration;

#[test]
fn the_first_advertisement_goes_out_at_once_from_the_link_local_address() {
    let mut lab = Lab::up(lan0("preference: High, mtu: 1480, prefixes: {\"2001:db8:60::/64\": ()}"));
    let sent = lab.one();
    assert_eq!(sent.at, lab.now);
    assert_eq!(sent.transmit.source, "fe80::1".parse::<std::net::Ipv6Addr>().unwrap());
    assert_eq!(sent.transmit.destination, ALL_NODES);
    let ra = sent.parse();
    assert_eq!((ra.router_lifetime, ra.hop_limit, ra.preference), (1800, 64, Preference::High));
    assert_eq!(ra.options[0], NdOption::SourceLinkLayerAddress(vec![2, 0, 0, 0, 0, 1]));
    assert_eq!(ra.options[1], NdOption::Mtu(1480));
    let prefix = sent.prefix("2001:db8:60::").unwrap();
    assert_eq!((prefix.valid_lifetime, prefix.preferred_lifetime, prefix.flags.0), (86_400, 14_400, 0xc0));
    assert!(matches!(&lab.events[0], Event::OpenSocket { index: 2, name } if name == "lan0"));
}

#[test]
fn three_initial_advertisements_are_at_most_16_s_apart_and_then_intervals_spread_from_min_to_max() {
    let mut lab = Lab::up(lan0("max_interval: \"60s\", min_interval: \"20s\""));
    lab.advance(seconds(100_000));
    let times: Vec<_> = lab.take().iter().map(|sent| sent.at).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps[..2].iter().all(|gap| *gap <= seconds(16)), "{:?}", &gaps[..2]);
    let later = &gaps[2..];
    assert!(later.len() > 2000);
    assert!(later.iter().all(|gap| (seconds(20)..=seconds(60)).contains(gap)));
    let mean = later.iter().sum::<Duration>() / u32::try_from(later.len()).unwrap();
    assert!((39..=41).contains(&mean.as_secs()), "uniform between 20 and 60: {mean:?}");
    assert!(later.iter().any(|gap| *gap < seconds(21)) && later.iter().any(|gap| *gap > seconds(59)));
}

#[test]
fn a_default_router_it_is_not_has_medium_preference() {
    let sent = Lab::up(lan0("router_lifetime: \"0s\", preference: High")).one();
    assert_eq!((sent.parse().router_lifetime, sent.parse().preference), (0, Preference::Medium));
}

#[test]
fn a_spurious_timeout_is_a_no_op() {
    let mut lab = Lab::up(lan0("")).settled();
    let due = lab.engine.poll_timeout();
    for _ in 0..100 {
        lab.engine.handle_timeout(lab.now);
        lab.poll();
    }
    assert_eq!(lab.engine.poll_timeout(), due);
    assert!(lab.take().is_empty());
}

#[test]
fn a_tentative_link_local_address_is_waited_for() {
    let mut lab = Lab::new(lan0(""));
    let mut state = link("lan0", 2);
    state.addresses[0].tentative = true;
    lab.link(state);
    lab.advance(seconds(100));
    assert!(lab.take().is_empty());
    assert_eq!(lab.state(), InterfaceState::WaitingForLinkLocalAddress);
    lab.link(link("lan0", 2));
    assert_eq!(lab.one().at, lab.now);
    assert_eq!(lab.state(), InterfaceState::Advertising);
}

#[test]
fn a_link_that_flaps_stops_and_begins_again_with_the_minimum_delay_kept() {
    let mut lab = Lab::up(lan0(""));
    let first = lab.one().at;
    let down = portreeve_radvd::engine::LinkState { running: false, ..link("lan0", 2) };
    for _ in 0..10 {
        lab.link(down.clone());
        lab.advance(Duration::from_millis(10));
        assert_eq!(lab.state(), InterfaceState::WaitingForCarrier);
        lab.link(link("lan0", 2));
        lab.advance(Duration::from_millis(10));
    }
    assert!(lab.take().is_empty());
    lab.advance(seconds(3));
    assert_eq!(lab.one().at.since(first), seconds(3));
    lab.link(down);
    lab.advance(seconds(10_000));
    assert!(lab.take().is_empty());
}

#[test]
fn a_removed_link_closes_its_socket_and_a_new_one_with_its_index_opens_another() {
    let mut lab = Lab::up(lan0(""));
    lab.engine.handle_link_removed(2, lab.now);
    lab.engine.handle_link(link("lan0", 2), lab.now);
    lab.poll();
    let sockets: Vec<_> =
        lab.events.iter().filter(|e| matches!(e, Event::OpenSocket { .. } | Event::CloseSocket { .. })).collect();
    assert_eq!(sockets.len(), 3, "{sockets:?}");
    lab.removed(2);
    assert!(lab.open.is_empty());
    assert_eq!(lab.state(), InterfaceState::Missing);
    assert_eq!(lab.engine.poll_timeout(), None);
}

#[test]
fn stopping_sends_three_final_advertisements_and_drains_within_half_a_second() {
    let fields = "prefixes: {\"2001:db8:60::/64\": ()}, routes: {\"2001:db8::/32\": (preference: Low)}, \
                  rdnss: [(servers: [\"2001:db8::53\"])], pref64: [(prefix: \"64:ff9b::/96\")]";
    let mut lab = Lab::up(lan0(fields)).settled();
    let begin = lab.now;
    lab.stop();
    assert!(!lab.engine.is_drained());
    lab.advance(Duration::from_millis(450));
    assert!(lab.engine.is_drained());
    let finals = lab.take();
    assert_eq!(finals.len(), 3);
    assert_eq!(finals[0].at, begin);
    for sent in &finals {
        assert_eq!(sent.parse().router_lifetime, 0);
        assert!(sent.has(|o| matches!(o, NdOption::RouteInformation(route) if route.lifetime == 0)));
        assert!(sent.has(|o| matches!(o, NdOption::Rdnss(rdnss) if rdnss.lifetime == 0)));
        assert!(sent.has(|o| matches!(o, NdOption::Pref64(pref64) if pref64.lifetime == 0)));
        assert_eq!(sent.prefix("2001:db8:60::").unwrap().preferred_lifetime, 14_400, "the prefix stays");
    }
    assert!(lab.open.is_empty());
    lab.link(link("lan0", 2));
    lab.advance(seconds(1000));
    assert!(lab.take().is_empty(), "nothing after a stop");
}

#[test]
fn nothing_final_is_sent_when_switched_off_or_when_nothing_was_ever_sent() {
    let mut lab = Lab::up(lan0("final_advertisements: false")).settled();
    lab.stop();
    assert!(lab.take().is_empty() && lab.engine.is_drained());
    let mut lab = Lab::new(lan0(""));
    lab.stop();
    assert!(lab.take().is_empty() && lab.engine.is_drained());
}

#[test]
fn an_unconfigured_link_is_left_alone_and_globs_are_followed() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": (hop_limit: 1), \"lan1\": (hop_limit: 2)})"));
    lab.link(link("wan0", 3));
    assert!(lab.take().is_empty() && lab.open.is_empty());
    lab.link(link("lan0", 4));
    assert_eq!(lab.one().parse().hop_limit, 1);
    lab.link(link("lan1", 5));
    assert_eq!(lab.one().parse().hop_limit, 2);
}

#[test]
fn unicast_only_never_multicasts() {
    let mut lab = Lab::up(lan0("unicast_only: true"));
    lab.advance(seconds(10_000));
    lab.solicit("::".parse().unwrap());
    lab.advance(seconds(10));
    assert!(lab.take().is_empty());
    lab.solicit(HOST);
    assert_eq!(lab.one().transmit.destination, HOST);
    lab.stop();
    assert!(lab.take().is_empty() && lab.engine.is_drained());
}

#[test]
fn what_exceeds_the_mtu_is_split_over_advertisements_with_the_same_header() {
    let prefixes: String = (1..=60).map(|n| format!("\"2001:db8:{n:x}::/64\": (),")).collect();
    let servers: Vec<_> = (1..=127).map(|n| format!("\"2001:db8::{n:x}\"")).collect();
    let fields = format!("prefixes: {{{prefixes}}}, rdnss: [(servers: [{}])], managed: true", servers.join(","));
    let mut lab = Lab::new(lan0(&fields));
    lab.link(portreeve_radvd::engine::LinkState { mtu: 1280, ..link("lan0", 2) });
    let sent = lab.take();
    assert!(sent.len() > 2);
    let (mut prefixes, mut servers) = (0, 0);
    for packet in &sent {
        assert!(packet.transmit.bytes.len() <= 1240);
        assert_eq!(packet.transmit.bytes[..16], sent[0].transmit.bytes[..16]);
        for option in packet.parse().options {
            match option {
                NdOption::PrefixInformation(_) => prefixes += 1,
                NdOption::Rdnss(rdnss) => servers += rdnss.servers.len(),
                _ => {}
            }
        }
    }
    assert_eq!((prefixes, servers), (60, 127));
    assert_eq!(lab.status("lan0").counters.multicast_sent, 1);
}

#[test]
fn an_mtu_above_the_links_is_reported_and_not_sent() {
    let mut lab = Lab::up(lan0("mtu: 9000"));
    assert!(!lab.one().has(|o| matches!(o, NdOption::Mtu(_))));
    assert!(lab.events.iter().any(|e| matches!(e, Event::MtuExceedsLink { configured: 9000, link: 1500, .. })));
}

#[test]
fn transmit_errors_are_counted_and_reported_once_a_minute() {
    let mut lab = Lab::up(lan0(""));
    for _ in 0..50 {
        lab.engine.handle_transmit_error(2, HOST, lab.now);
    }
    lab.poll();
    assert_eq!(lab.status("lan0").counters.transmit_errors, 50);
    assert_eq!(lab.events.iter().filter(|e| matches!(e, Event::TransmitFailed { .. })).count(), 1);
}

#[test]
fn an_advertisement_to_all_that_was_not_sent_is_made_up_for_after_the_minimum_delay() {
    let mut lab = Lab::up(lan0(""));
    lab.advance(seconds(60));
    lab.take();
    let before = lab.status("lan0").next_advertisement_in.unwrap();
    assert!(before > seconds(100), "the next one would be far away: {before:?}");
    lab.engine.handle_transmit_error(2, HOST, lab.now);
    lab.poll();
    assert_eq!(lab.status("lan0").next_advertisement_in, Some(before), "an answer to one host is not repeated");
    lab.engine.handle_transmit_error(2, ALL_NODES, lab.now);
    lab.poll();
    lab.advance(seconds(4));
    assert!(lab.one().is_multicast());
}

#[test]
fn interfaces_that_start_together_do_not_stay_together() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": ()})"));
    for index in 1..=100 {
        lab.link(link(&format!("lan{index}"), index));
    }
    assert_eq!(lab.take().len(), 100);
    lab.advance(seconds(16));
    let mut times: Vec<_> = lab.take().iter().map(|sent| sent.at).collect();
    assert_eq!(times.len(), 100, "within MAX_INITIAL_RTR_ADVERT_INTERVAL");
    times.dedup();
    assert!(times.len() > 90, "{} different times", times.len());
}

#[test]
fn a_thousand_interfaces_advertise_at_once_and_each_answers_for_itself() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": (max_interval: \"10s\")})"));
    for index in 1..=1000 {
        lab.link(link(&format!("lan{index}"), index));
    }
    assert_eq!(lab.take().len(), 1000);
    lab.advance(seconds(60));
    let sent = lab.take();
    assert!(sent.len() > 5000, "{}", sent.len());
    lab.receive(777, HOST, 255, &SOLICITATION);
    assert_eq!(lab.one().transmit.interface_index, 777);
    lab.stop();
    lab.advance(Duration::from_millis(450));
    assert_eq!(lab.take().len(), 3000);
    assert!(lab.engine.is_drained());
}

#[test]
fn a_full_transmit_queue_delays_advertisements_and_loses_none() {
    let mut lab = Lab::new(config("(interfaces: {\"lan*\": ()})"));
    for index in 1..=5000 {
        lab.engine.handle_link(link(&format!("lan{index}"), index), lab.now);
    }
    lab.poll();
    assert_eq!(lab.take().len(), portreeve_radvd::engine::MAX_TRANSMITS);
    assert_eq!(lab.engine.poll_timeout(), Some(lab.now));
    lab.advance(Duration::ZERO);
    assert_eq!(lab.take().len(), 5000 - portreeve_radvd::engine::MAX_TRANSMITS);
}
