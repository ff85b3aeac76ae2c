//! What several plugins write in their sections: every form is read, every mistake found at its place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use portreeve_config::{Diagnostics, Value};
use portreeve_network::{Address, Family, MAIN_TABLE, Route, RouteKind, Rule, RuleAction, read};
use proptest::prelude::*;

/// What `read` makes of the text, and its complaints: the text under the span, message and hint.
fn with<T>(text: &str, read: impl FnOnce(&Value<'_>, &mut Diagnostics) -> T) -> (T, Vec<(String, String)>) {
    let mut d = Diagnostics::new();
    let value = Value::root(text, &mut d).unwrap();
    let found = read(&value, &mut d);
    let one = |d: portreeve_config::Diagnostic| {
        (d.span.slice(text).to_owned(), format!("{} | {}", d.message, d.hint.unwrap_or_default()))
    };
    (found, d.into_vec().into_iter().map(one).collect())
}

fn addresses(text: &str) -> (Vec<Address>, Vec<(String, String)>) {
    with(text, |value, d| read::addresses(value, "lan0", d))
}

fn routes(text: &str, interface: Option<&str>) -> (Vec<Route>, Vec<(String, String)>) {
    with(text, |value, d| read::routes(value, interface, d))
}

fn rules(text: &str) -> (Vec<Rule>, Vec<(String, String)>) {
    with(text, read::rules)
}

#[test]
fn names_are_those_the_kernel_allows() {
    for good in ["lan0", "eth0.5", "a12345678901234", "wl-x_1@2"] {
        assert_eq!(read::check_interface_name(good), Ok(()), "{good}");
    }
    for bad in ["", ".", "..", "a/b", "a:b", "a b", "a123456789012345", "lan*", "all", "default", "eth%d", "ß"] {
        assert!(read::check_interface_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn macs_are_six_eight_or_twenty_pairs() {
    let mac = |text: &str| with(text, read::mac).0;
    assert_eq!(mac("\"02:00:5e:10:00:01\""), Some(vec![2, 0, 0x5e, 0x10, 0, 1]));
    assert_eq!(mac("\"02-00-5E-10-00-01\""), Some(vec![2, 0, 0x5e, 0x10, 0, 1]));
    for bad in
        ["\"\"", "\"02:00:5e:10:00\"", "\"2:0:5e:10:0:1\"", "\"02:00:5e:10:00:+1\"", "\"02:00:5e:10:00:0g\"", "5"]
    {
        assert_eq!(mac(bad), None, "{bad}");
    }
}

#[test]
fn prefixes_have_no_host_bits_and_hosts_have_a_length() {
    let prefix = |text: &str| with(text, |value, d| read::prefix(value, d).map(|found| found.value.to_string()));
    assert_eq!(prefix("\"::/0\"").0.unwrap(), "::/0");
    assert_eq!(prefix("\"192.0.2.0/24\"").0.unwrap(), "192.0.2.0/24");
    assert!(prefix("\"2001:db8::1/64\"").1[0].1.contains("write \"2001:db8::/64\""));
    assert!(prefix("\"default\"").1[0].1.contains("\"0.0.0.0/0\" for all of IPv4"));
    assert!(prefix("\"192.0.2.1\"").1[0].1.contains("192.0.2.1/32"));
    let host = |text: &str| with(text, |value, d| read::host_prefix(value, d).map(|found| found.value.to_string()));
    assert_eq!(host("\"2001:db8::1/64\"").0.unwrap(), "2001:db8::1/64");
    assert!(host("\"192.0.2.1\"").1[0].1.contains("write \"192.0.2.1/24\""));
    for bad in ["\"192.0.2.1/33\"", "\"192.0.2.1/+4\"", "\"192.0.2.1/\"", "\"0.0.0.0/0\"", "\"ff02::1/64\"", "\"x/4\""]
    {
        assert_eq!(host(bad).0, None, "{bad}");
    }
}

#[test]
fn addresses_are_texts_or_structs() {
    let (list, complaints) = addresses(
        "[\"2001:db8::1/64\", (address: \"2001:db8::2/64\", valid_lifetime: \"1h\", dad: false, prefix_metric: 0), \
         (address: \"192.0.2.1/32\", peer: \"192.0.2.2\", preferred_lifetime: \"0s\", valid_lifetime: \"infinity\")]",
    );
    assert_eq!(complaints, []);
    assert_eq!(list[0].interface, "lan0");
    let second = &list[1];
    assert_eq!((second.preferred_lifetime, second.valid_lifetime), (Some(3600), Some(3600)));
    assert_eq!((second.dad, second.prefix_metric), (false, Some(0)));
    let third = &list[2];
    assert_eq!((third.preferred_lifetime, third.valid_lifetime), (Some(0), None));
    assert_eq!(third.peer, Some("192.0.2.2".parse().unwrap()));
    assert_eq!(addresses("[(address: \"192.0.2.1/24\", dad: true)]").1[0].0, "true");
    assert_eq!(addresses("[(address: \"192.0.2.1/24\", valid_lifetime: \"1500ms\")]").1[0].0, "\"1500ms\"");
    assert!(addresses("\"192.0.2.1/24\"").1[0].1.contains("also around a single value"));
}

#[test]
fn routes_have_all_their_parts() {
    let (list, complaints) = routes(
        "[(to: \"::/0\", via: \"fe80::1\", from: \"2001:db8:60::/60\", metric: 5, table: 100, mtu: 1480, on_link: true, \
         preferred_source: \"2001:db8::1\", interface: \"wan0\"), (to: \"192.0.2.0/24\", kind: Blackhole)]",
        None,
    );
    assert_eq!(complaints, []);
    let first = &list[0];
    assert_eq!((first.interface.as_deref(), first.metric, first.table), (Some("wan0"), Some(5), 100));
    assert_eq!((first.mtu, first.on_link, first.kind), (Some(1480), true, RouteKind::Unicast));
    assert_eq!((list[1].kind, list[1].table, list[1].interface.clone()), (RouteKind::Blackhole, MAIN_TABLE, None));
    let (list, complaints) = routes("[(to: \"::/0\", interface: \"wan0\")]", Some("lan0"));
    assert_eq!(complaints[0].0, "interface", "its place says it");
    assert_eq!(list[0].interface.as_deref(), Some("lan0"));
}

#[test]
fn a_metric_of_zero_is_the_kernels_own_and_no_other_route() {
    let text = "[(to: \"::/0\", metric: 0), (to: \"::/0\", metric: 1024)]";
    assert!(routes(text, Some("a")).1[0].1.contains("given twice"));
    assert_eq!(routes(&text.replace("::/0", "0.0.0.0/0"), Some("a")).1, []);
}

#[test]
fn rules_say_family_and_action() {
    let (list, complaints) = rules(
        "[(priority: 1, from: \"2001:db8::/32\", mark: \"0x10/0xf0\", incoming: \"a\", outgoing: \"b\", table: 9, \
         suppress_prefix_length: 0), (priority: 2, family: Ipv4, mark: \"7\", action: Unreachable)]",
    );
    assert_eq!(complaints, []);
    assert_eq!(
        (list[0].family, list[0].mark, list[0].action),
        (Family::Ipv6, Some((0x10, 0xf0)), RuleAction::Lookup(9))
    );
    assert_eq!((list[1].mark, list[1].action), (Some((7, u32::MAX)), RuleAction::Unreachable));
    for bad in ["\"\"", "\"0x\"", "\"+1\"", "\"0x+1\"", "\"1/\"", "\"0x100000000\""] {
        assert_eq!(with(bad, read::mark).0, None, "{bad}");
    }
}

#[test]
fn numbers_out_of_their_range_are_told_it() {
    let within = |text: &str| with(text, |value, d| read::within(value, 1..=200_u8, "it", d).map(|it| it.value));
    assert_eq!(within("200").0, Some(200));
    for bad in ["0", "201", "256", "-1", "99999999999"] {
        assert!(within(bad).1[0].1.contains("it is out of range | write 1 to 200"), "{bad}");
    }
    assert_eq!(within("\"5\"").1.len(), 1);
    assert_eq!(within("1.5").1.len(), 1);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,30}") {
        let text = format!("[(to: {text:?}, via: {text:?}, address: {text:?}, from: {text:?}, mark: {text:?})]");
        let _ = (addresses(&text), routes(&text, None), rules(&text));
    }
}
