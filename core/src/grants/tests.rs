//! Three sets, one decision.

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

fn icmpv6(interfaces: &str, receive: &[u8], send: &[u8]) -> Need {
    Need::Icmpv6 {
        interfaces: pattern(interfaces),
        receive: receive.iter().copied().collect(),
        send: send.iter().copied().collect(),
    }
}

#[test]
fn an_access_needs_all_three_sets() {
    let planned = vec![icmpv6("lan*", &[133], &[134])];
    let manifest = vec![icmpv6("*", &[133], &[134])];
    let grants = Grants::new(planned, manifest, Policy::Only(vec![icmpv6("lan0", &[133], &[134])]));
    assert_eq!(grants.check(Access::Icmpv6Send("lan0", 134)), Ok(()));
    assert_eq!(grants.check(Access::Icmpv6Send("lan1", 134)), Err(Denied::NotAllowed));
    assert_eq!(grants.check(Access::Icmpv6Send("wan0", 134)), Err(Denied::NotPlanned));
    assert_eq!(grants.check(Access::Icmpv6Send("lan0", 128)), Err(Denied::NotPlanned));
    assert_eq!(grants.check(Access::Link("lan0")), Err(Denied::NotPlanned));
}

#[test]
fn what_the_manifest_does_not_name_is_refused_even_when_planned_and_shipped() {
    let grants = Grants::new(vec![Need::Links(pattern("*"))], vec![Need::Links(pattern("lan*"))], Policy::Manifest);
    assert_eq!(grants.check(Access::Link("wan0")), Err(Denied::BeyondManifest));
    assert_eq!(grants.check(Access::Link("lan0")), Ok(()));
    assert_eq!(grants.beyond_manifest(), vec![Need::Links(pattern("*"))]);
}

#[test]
fn nothing_is_granted_to_an_instance_that_only_plans() {
    let none = Grants::none();
    for access in [Access::AnyLink, Access::Icmpv6("lan0"), Access::Volatile(0), Access::Watch(FactKind::Custom)] {
        assert!(none.check(access).is_err(), "{access}");
    }
}

#[test]
fn only_the_missing_part_has_to_be_added_to_allow() {
    let planned = vec![icmpv6("lan0", &[133, 134], &[134]), Need::Watch(FactKind::DnsServer)];
    let allowed = vec![icmpv6("lan*", &[133], &[]), icmpv6("lan0", &[], &[134])];
    let grants = Grants::new(planned.clone(), planned, Policy::Only(allowed));
    assert_eq!(grants.not_allowed(), vec![icmpv6("lan0", &[134], &[]), Need::Watch(FactKind::DnsServer)]);
}

#[test]
fn storage_is_granted_by_size() {
    let need = vec![Need::Storage { volatile: 100, flash: 0 }];
    let grants = Grants::new(need.clone(), need, Policy::Manifest);
    assert_eq!(grants.check(Access::Volatile(100)), Ok(()));
    assert!(grants.check(Access::Volatile(101)).is_err());
    assert!(grants.check(Access::Flash(0)).is_err());
}

#[test]
fn needs_are_written_in_the_words_that_are_read() {
    let needs = [
        Need::Links(pattern("lan*")),
        icmpv6("lan0", &[133], &[134]),
        Need::Publish(FactKind::Tunnel),
        Need::Watch(FactKind::DelegatedPrefix),
        Need::Storage { volatile: 1, flash: 2 },
        Need::Listen { transport: Transport::Udp, interfaces: pattern("lan*"), port: 53 },
        Need::Listen { transport: Transport::Tcp, interfaces: pattern("*"), port: 0 },
        connect(Transport::Udp, "192.0.2.53", 32, 53),
        connect(Transport::Tcp, "192.0.2.0", 24, 0),
        connect(Transport::Tcp, "2001:db8::", 32, 853),
        connect(Transport::Udp, "2001:db8::53", 128, 0),
        Need::Masquerade(Prefix::new("192.0.0.4".parse().unwrap(), 30)),
        Need::NfTables(NamePattern::new("inet/portreeve-*").unwrap()),
        Need::Conntrack,
        Need::Read(NamePattern::new("lists/bad.txt").unwrap()),
        Need::Guard,
    ];
    for need in needs {
        let text = need_to_text(&need);
        let mut d = portreeve_config::Diagnostics::new();
        let value = portreeve_config::Value::root(&text, &mut d).unwrap();
        assert_eq!(need_from_value(&value, &mut d), Some(need), "{text} {d:?}");
        assert!(d.is_empty());
    }
}

#[test]
fn tables_are_granted_by_family_and_name() {
    let name = |text: &str| NamePattern::new(text).unwrap();
    let planned = vec![Need::NfTables(name("inet/portreeve-firewall"))];
    let grants = Grants::new(planned.clone(), vec![Need::NfTables(name("inet/*"))], Policy::Manifest);
    assert!(grants.beyond_manifest().is_empty());
    assert_eq!(grants.check(Access::NfTable("inet/portreeve-firewall")), Ok(()));
    for other in ["inet/portreeve-firewall2", "ip/portreeve-firewall", "inet/filter", "portreeve-firewall"] {
        assert_eq!(grants.check(Access::NfTable(other)), Err(Denied::NotPlanned), "{other}");
    }
    assert_eq!(grants.check(Access::AnyNfTable), Ok(()));
    let all = vec![Need::NfTables(name("*"))];
    let grants_of_all = Grants::new(all.clone(), all, Policy::Manifest);
    assert_eq!(grants_of_all.check(Access::NfTable("inet/filter")), Ok(()));
    assert!(grants_of_all.check(Access::NfTable("inet/portreeve-guard")).is_err(), "the guard is the core's");
    assert!(grants.check(Access::Conntrack).is_err() && grants.check(Access::Guard).is_err());
}

#[test]
fn a_need_without_anything_behind_it_takes_no_parentheses() {
    let mut d = portreeve_config::Diagnostics::new();
    let value = portreeve_config::Value::root("Guard(1)", &mut d).unwrap();
    assert_eq!(need_from_value(&value, &mut d), None);
    assert!(d.has_errors());
}

fn connect(transport: Transport, address: &str, length: u8, port: u16) -> Need {
    Need::Connect { transport, remotes: Prefix::new(address.parse().unwrap(), length), port }
}

#[test]
fn sockets_are_granted_by_transport_place_and_port() {
    let listen =
        |interfaces: &str, port| Need::Listen { transport: Transport::Tcp, interfaces: pattern(interfaces), port };
    let allowed = vec![listen("lan*", 53), connect(Transport::Udp, "192.0.2.0", 24, 0)];
    let planned = vec![
        listen("lan0", 53),
        connect(Transport::Udp, "192.0.2.53", 32, 53),
        listen("lan0", 54),
        listen("*", 53),
        connect(Transport::Tcp, "192.0.2.53", 32, 53),
        connect(Transport::Udp, "192.0.0.0", 16, 53),
    ];
    let grants = Grants::new(planned.clone(), planned.clone(), Policy::Only(allowed));
    assert_eq!(grants.not_allowed(), planned[2..]);
    assert_eq!(grants.check(Access::Listen(Transport::Tcp, "lan0", 53)), Ok(()));
    assert!(grants.check(Access::Listen(Transport::Udp, "lan0", 53)).is_err());
    let remote = "192.0.2.53".parse().unwrap();
    assert_eq!(grants.check(Access::Connect(Transport::Udp, remote, 53)), Ok(()));
    assert!(grants.check(Access::Connect(Transport::Tcp, remote, 53)).is_err());
}

#[test]
fn ipv4_in_the_clothes_of_ipv6_is_granted_as_ipv4() {
    let to = |address: &str, length| Need::connect(Transport::Udp, Prefix::new(address.parse().unwrap(), length), 53);
    assert_eq!(to("::ffff:192.0.2.0", 120), connect(Transport::Udp, "192.0.2.0", 24, 53));
    assert_eq!(to("::ffff:0.0.0.0", 96), connect(Transport::Udp, "0.0.0.0", 0, 53));
    assert_eq!(to("::", 0), connect(Transport::Udp, "::", 0, 53));
    let mut d = portreeve_config::Diagnostics::new();
    let value = portreeve_config::Value::root("Udp(connect: \"[::ffff:192.0.2.53]:53\")", &mut d).unwrap();
    assert_eq!(need_from_value(&value, &mut d), Some(connect(Transport::Udp, "192.0.2.53", 32, 53)));
    let every_v6 = vec![connect(Transport::Udp, "::", 0, 53)];
    let grants = Grants::new(every_v6.clone(), every_v6, Policy::Manifest);
    let check = |peer: &str| grants.check(Access::Connect(Transport::Udp, peer.parse().unwrap(), 53));
    assert_eq!(check("2001:db8::53"), Ok(()));
    assert_eq!(check("192.0.2.53"), Err(Denied::NotPlanned));
}

#[test]
fn text_of_sockets_that_says_no_place_is_refused() {
    for text in [
        "Udp(listen: \"lan0\")",
        "Udp(listen: \"lan0:0\")",
        "Udp(listen: \"lan0:x\")",
        "Tcp(connect: \"192.0.2.1\")",
        "Tcp(connect: \"[2001:db8::1:53\")",
        "Tcp(connect: \"example.net:53\")",
        "Tcp()",
        "Tcp(listen: \"lan0:53\", connect: \"192.0.2.1:53\")",
    ] {
        let mut d = portreeve_config::Diagnostics::new();
        let value = portreeve_config::Value::root(text, &mut d).unwrap();
        assert_eq!(need_from_value(&value, &mut d), None, "{text}");
        assert!(d.has_errors(), "{text}");
    }
}
