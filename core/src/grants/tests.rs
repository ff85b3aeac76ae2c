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
    ];
    for need in needs {
        let text = need_to_text(&need);
        let mut d = portreeve_config::Diagnostics::new();
        let value = portreeve_config::Value::root(&text, &mut d).unwrap();
        assert_eq!(need_from_value(&value, &mut d), Some(need), "{text} {d:?}");
        assert!(d.is_empty());
    }
}
