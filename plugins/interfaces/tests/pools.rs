//! Pools: subnets of static prefixes, delegated prefixes that come, change and go, what other plugins are told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Lab, held, link, prefix};
use portreeve_interfaces::Instant;
use portreeve_interfaces::engine::{Action, Delegated, SubnetFact};
use portreeve_network::RouteKind;

const STATIC: &str = "(pools: {\"isp\": (prefix: \"2001:db8:60::/60\")}, \
                      interfaces: {\"lan0\": (subnets: [(pool: \"isp\", number: 1)])})";
const DELEGATED: &str = "(pools: {\"isp\": (delegated: true)}, \
                         interfaces: {\"lan0\": (subnets: [(pool: \"isp\", number: 1)])})";

fn lab(text: &str) -> Lab {
    let mut lab = Lab::new(text);
    lab.engine.handle_link(link(2, "lan0"));
    lab
}

fn publish(network: &str, until: Option<Instant>) -> Action {
    Action::Publish {
        key: "subnet/isp/1".into(),
        fact: SubnetFact {
            prefix: prefix(network),
            preferred_until: until,
            valid_until: until,
            interface: "lan0".into(),
        },
    }
}

/// Destinations of unreachable routes.
fn unreachable(lab: &Lab) -> Vec<String> {
    let routes = lab.state().routes.iter().filter(|route| route.kind == RouteKind::Unreachable);
    routes.map(|route| format!("{} {}", route.destination, route.metric.unwrap())).collect()
}

#[test]
fn a_subnet_of_a_static_pool_brings_an_address_a_fact_and_an_unreachable_rest() {
    let mut lab = lab(STATIC);
    assert_eq!(lab.settle(), [publish("2001:db8:60:1::/64", None), Action::Ready]);
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().valid_lifetime, None);
    assert_eq!(unreachable(&lab), ["2001:db8:60::/60 2147483647"]);
    let pool = &lab.engine.status().pools[0];
    assert_eq!((pool.prefix, pool.used, pool.free), (Some(prefix("2001:db8:60::/60")), 1, 15));
}

#[test]
fn lifetimes_of_a_static_pool_are_renewed_at_half_time() {
    let text = STATIC.replace("/60\"", "/60\", preferred_lifetime: \"1h\", valid_lifetime: \"2h\"");
    let mut lab = lab(&text);
    lab.settle();
    let address = lab.address("2001:db8:60:1::1/64").unwrap();
    assert_eq!((address.preferred_lifetime, address.valid_lifetime), (Some(3600), Some(7200)));
    assert_eq!(lab.pass(5400), []);
    let times: Vec<u64> = lab.applies.windows(2).map(|two| two[1].0.since(two[0].0).as_secs()).collect();
    assert_eq!(times, [1800, 1800, 1800]);
}

#[test]
fn a_delegated_prefix_brings_its_lifetimes_and_their_running_down_asks_for_nothing() {
    let mut lab = lab(DELEGATED);
    assert_eq!(lab.settle(), [Action::Ready], "no prefix yet is not the plugin's fault");
    let until = lab.now + Duration::from_secs(3600);
    assert_eq!(lab.delegate(&[("2001:db8:60::/60", Some(3600))]), [publish("2001:db8:60:1::/64", Some(until))]);
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().valid_lifetime, Some(3600));
    let applies = lab.applies.len();
    assert_eq!(lab.pass(600), []);
    assert_eq!(lab.delegate(&[("2001:db8:60::/60", Some(3000))]), [], "the same end");
    assert_eq!(lab.applies.len(), applies);
    lab.delegate(&[("2001:db8:60::/60", Some(3600))]);
    assert_eq!(lab.applies.len(), applies + 1, "renewed");
}

#[test]
fn a_delegated_prefix_that_ends_is_gone_at_once() {
    let mut lab = lab(DELEGATED);
    lab.delegate(&[("2001:db8:60::/60", Some(3600))]);
    assert_eq!(lab.pass(3600), [Action::Withdraw { key: "subnet/isp/1".into() }]);
    assert_eq!((lab.state().addresses.len(), unreachable(&lab).len()), (0, 0));
    assert_eq!(lab.engine.poll_timeout(), None);
}

#[test]
fn a_prefix_that_is_taken_away_stays_deprecated_for_two_hours_at_most() {
    let mut lab = lab(DELEGATED);
    lab.delegate(&[("2001:db8:60::/60", Some(86_400))]);
    assert_eq!(lab.delegate(&[]), [Action::Withdraw { key: "subnet/isp/1".into() }]);
    let address = lab.address("2001:db8:60:1::1/64").unwrap();
    assert_eq!((address.preferred_lifetime, address.valid_lifetime), (Some(0), Some(7200)));
    assert_eq!(unreachable(&lab), ["2001:db8:60::/60 2147483647"]);
    assert_eq!(lab.engine.status().pools[0].retired, [prefix("2001:db8:60::/60")]);
    lab.pass(7199);
    assert!(lab.address("2001:db8:60:1::1/64").is_some());
    lab.pass(1);
    assert_eq!((lab.state().addresses.len(), unreachable(&lab).len()), (0, 0));
}

#[test]
fn another_prefix_takes_the_place_of_the_old_one_which_runs_out() {
    let mut lab = lab(DELEGATED);
    lab.delegate(&[("2001:db8:60::/60", Some(600))]);
    assert_eq!(lab.delegate(&[("2001:db8:70::/60", None)]), [publish("2001:db8:70:1::/64", None)]);
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().valid_lifetime, Some(600));
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().preferred_lifetime, Some(0));
    assert_eq!(lab.address("2001:db8:70:1::1/64").unwrap().preferred_lifetime, None);
    assert_eq!(lab.delegate(&[("2001:db8:60::/60", None)]), [publish("2001:db8:60:1::/64", None)]);
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().preferred_lifetime, None, "it came back");
    assert_eq!(lab.address("2001:db8:70:1::1/64").unwrap().valid_lifetime, Some(7200));
}

#[test]
fn a_delegated_prefix_that_is_too_small_is_a_problem() {
    let mut lab = lab(&DELEGATED.replace("number: 1", "number: 17"));
    lab.settle();
    let expected = "subnet 17 of pool isp on lan0: 2001:db8:60::/60 is too small for this number";
    assert_eq!(lab.delegate(&[("2001:db8:60::/60", None)]), [Action::Degraded(expected.into())]);
    assert_eq!(lab.delegate(&[("2001:db8::/56", None)]).last(), Some(&Action::Ready));
}

#[test]
fn a_pool_takes_only_what_its_publisher_was_given_and_never_its_own_subnets() {
    let mut lab = lab(&DELEGATED.replace("delegated: true", "delegated: true, from: \"dhcp6c/wan1\""));
    lab.settle();
    let offer = |publisher: &str, key: &str, text: &str| Delegated {
        publisher: publisher.into(),
        key: key.into(),
        prefix: prefix(text),
        preferred_until: None,
        valid_until: None,
    };
    let others = [offer("dhcp6c", "wan0", "2001:db8:1::/48"), offer("interfaces", "subnet/isp/1", "2001:db8:2::/64")];
    lab.engine.handle_delegated(others.to_vec(), lab.now);
    assert_eq!(lab.settle(), []);
    lab.engine.handle_delegated([&others[..], &[offer("dhcp6c", "wan1", "2001:db8:3::/48")]].concat(), lab.now);
    assert_eq!(lab.settle(), [publish("2001:db8:3:1::/64", None)]);
}

fn offer(key: &str, text: &str, preferred_until: Option<Instant>) -> Delegated {
    let (publisher, key) = ("dhcp6c".into(), key.into());
    Delegated { publisher, key, prefix: prefix(text), preferred_until, valid_until: None }
}

#[test]
fn a_prefix_that_is_in_use_stays_while_it_is_preferred() {
    let mut lab = lab(DELEGATED);
    lab.settle();
    let soon = Some(lab.now + Duration::from_secs(600));
    let (old, new) = (offer("wan1", "2001:db8:60::/60", soon), offer("wan0", "2001:db8:70::/60", None));
    lab.engine.handle_delegated(vec![old.clone()], lab.now);
    lab.settle();
    lab.engine.handle_delegated(vec![old.clone(), new.clone()], lab.now);
    assert_eq!(lab.settle(), [], "wan0 is first, and 2001:db8:60::/60 is in use");
    assert_eq!(lab.pass(599), []);
    assert_eq!(lab.pass(1), [publish("2001:db8:70:1::/64", None)]);
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().preferred_lifetime, Some(0));
    // With nothing better one that is deprecated is better than none.
    lab.engine.handle_delegated(vec![old], lab.now);
    assert!(matches!(&lab.settle()[..], [Action::Publish { fact, .. }] if fact.prefix == prefix("2001:db8:60:1::/64")));
}

#[test]
fn a_static_pool_that_is_not_preferred_says_so() {
    let mut lab = lab(&STATIC.replace("/60\"", "/60\", preferred_lifetime: \"0s\""));
    let actions = lab.settle();
    let [Action::Publish { fact, .. }, Action::Ready] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((fact.preferred_until, fact.valid_until), (Some(Instant::ZERO), None));
    assert_eq!(lab.address("2001:db8:60:1::1/64").unwrap().preferred_lifetime, Some(0));
}

#[test]
fn the_address_of_the_run_before_is_kept_until_the_publisher_speaks() {
    let mut lab = lab(DELEGATED);
    lab.engine.handle_address(held(2, "2001:db8:60:1::1/64"));
    lab.engine.handle_delegated(vec![], lab.now);
    assert_eq!((lab.pass(9), lab.applies.len()), (vec![], 0));
    assert_eq!(lab.delegate(&[("2001:db8:60::/60", None)]), [publish("2001:db8:60:1::/64", None), Action::Ready]);
    assert!(lab.applies.len() == 1 && lab.address("2001:db8:60:1::1/64").is_some());
}

#[test]
fn nobody_waits_longer_than_ten_seconds_or_for_what_is_not_there() {
    let mut other = lab(DELEGATED);
    other.engine.handle_address(held(2, "2001:db8:60:1::1/64"));
    assert_eq!((other.pass(9), other.applies.len()), (vec![], 0));
    assert_eq!((other.pass(1), other.applies.len()), (vec![Action::Ready], 1));
    assert_eq!(other.engine.poll_timeout(), None);
    // Somebody else's address, or none: after a boot the publisher may wait for what is set up here.
    for address in ["2001:db8:60:1::7/64", "fe80::1/64"] {
        let mut lab = lab(DELEGATED);
        lab.engine.handle_address(held(2, address));
        assert_eq!((lab.settle(), lab.applies.len()), (vec![Action::Ready], 1));
    }
}
