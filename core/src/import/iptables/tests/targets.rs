//! Targets, chains and their order.

use super::super::Family;
use super::{of, squeezed, v4, v6};

#[test]
fn every_answer_of_reject() {
    for (code, expected) in [
        ("", "PortUnreachable"),
        ("--reject-with icmp-net-unreachable", "NoRoute"),
        ("--reject-with icmp-host-unreachable", "HostUnreachable"),
        ("--reject-with icmp-proto-unreachable", "ProtocolUnreachable"),
        ("--reject-with icmp-port-unreachable", "PortUnreachable"),
        ("--reject-with icmp-net-prohibited", "NetworkProhibited"),
        ("--reject-with icmp-host-prohibited", "HostProhibited"),
        ("--reject-with icmp-admin-prohibited", "AdminProhibited"),
        ("--reject-with tcp-reset", "TcpReset"),
    ] {
        let words = format!("-A INPUT -p tcp -j REJECT {code}");
        assert_eq!(v4(&words), format!("(family: Ipv4, protocol: [\"tcp\"], then: Reject({expected}))"), "{words}");
    }
    for (code, expected) in [
        ("icmp6-no-route", "NoRoute"),
        ("icmp6-adm-prohibited", "AdminProhibited"),
        ("icmp6-addr-unreachable", "HostUnreachable"),
        ("icmp6-port-unreachable", "PortUnreachable"),
        ("icmp6-policy-fail", "SourcePolicy"),
        ("icmp6-reject-route", "RejectRoute"),
    ] {
        let words = format!("-A INPUT -p udp -j REJECT --reject-with {code}");
        assert_eq!(v6(&words), format!("(family: Ipv6, protocol: [\"udp\"], then: Reject({expected}))"), "{words}");
    }
}

#[test]
fn logs_go_on_and_have_no_rate_of_their_own() {
    assert_eq!(v4("-A INPUT -j LOG"), "(family: Ipv4, log: (prefix: \"\", rate: \"unlimited\"), then: Continue)");
    assert_eq!(
        v4(r#"-A INPUT -j LOG --log-prefix "a \"b\" " --log-level debug"#),
        r#"(family: Ipv4, log: (prefix: "a \"b\" ", level: Debug, rate: "unlimited"), then: Continue)"#
    );
    assert_eq!(
        v4("-A INPUT -j NFLOG --nflog-group 5 --nflog-prefix x"),
        "(family: Ipv4, log: (prefix: \"x\", group: 5, rate: \"unlimited\"), then: Continue)"
    );
}

#[test]
fn comments_are_names() {
    let named = "(name: \"ssh\", family: Ipv4, then: Accept)";
    assert_eq!(v4("-A INPUT -m comment --comment ssh -j ACCEPT"), named);
    let imported = of(Family::Ipv4, "*filter\n-A INPUT -m comment --comment \"for (us)\" -j ACCEPT\nCOMMIT\n").unwrap();
    assert!(imported.ron.contains("// for (us)\n"), "{}", imported.ron);
    assert!(imported.ron.contains("(name: \"for-us\", family"), "{}", imported.ron);
}

#[test]
fn insertions_stand_where_they_say() {
    let lines = "-A INPUT -i a -j DROP\n-I INPUT -i b -j DROP\n-I INPUT 2 -i c -j DROP\n-A INPUT -i d -j DROP";
    let order: Vec<char> =
        v4(lines).match_indices("incoming: [\"").map(|(at, _)| v4(lines).as_bytes()[at + 12] as char).collect();
    assert_eq!(order, ['b', 'c', 'a', 'd']);
}

#[test]
fn what_returns_from_a_hook_meets_its_policy() {
    assert_eq!(v4("-A INPUT -i a -j RETURN"), "(family: Ipv4, incoming: [\"a\"], then: Accept)");
    assert_eq!(
        v4("-P INPUT DROP\n-A INPUT -i a -j RETURN"),
        "(family: Ipv4, incoming: [\"a\"], then: Drop), (family: Ipv4, then: Drop)"
    );
    assert_eq!(v4("-A INPUT -j CHAIN"), "(family: Ipv4, then: Jump(\"CHAIN\"))");
}

#[test]
fn a_goto_in_a_hook_is_a_jump_and_then_the_policy() {
    let text = "*filter\n:INPUT DROP [0:0]\n:own - [0:0]\n-A INPUT -p udp -g own\n-A own -i a -g other\n:other - [0:0]\nCOMMIT\n";
    // A chain may be declared behind the line that names it only if the whole file is read first.
    let ron = squeezed(&of(Family::Ipv4, text).unwrap().ron);
    assert!(ron.contains("protocol: [\"udp\"], then: Jump(\"INPUT-line-4\")"), "{ron}");
    assert!(
        ron.contains("\"INPUT-line-4\": [(family: Ipv4, then: Jump(\"own\")), (family: Ipv4, then: Drop)]"),
        "{ron}"
    );
    assert!(ron.contains("\"own\": [(family: Ipv4, incoming: [\"a\"], then: Goto(\"other\"))]"), "{ron}");
}

#[test]
fn mangle_and_raw_come_before_filter() {
    let text = "*filter\n-A FORWARD -i a -j ACCEPT\nCOMMIT\n*mangle\n-A FORWARD -i b -j ACCEPT\n\
                -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400\n-A INPUT -j MARK --set-xmark 0x1/0xff\nCOMMIT\n\
                *raw\n-A PREROUTING -p udp -j NOTRACK\n-A PREROUTING -i c -j DROP\nCOMMIT\n";
    let ron = squeezed(&of(Family::Ipv4, text).unwrap().ron);
    assert!(ron.contains("forward: (policy: Accept, rules: [(family: Ipv4, then: Jump(\"mangle-FORWARD\")), (family: Ipv4, incoming: [\"a\"], then: Accept)])"), "{ron}");
    assert!(ron.contains("\"mangle-FORWARD\": [(family: Ipv4, incoming: [\"b\"], then: Return), (family: Ipv4, protocol: [\"tcp\"], tcp_flags: \"syn/syn,rst\", then: ClampMss(Bytes(1400)))]"), "{ron}");
    assert!(
        ron.contains("input: (policy: Accept, rules: [(family: Ipv4, set_mark: \"0x1/0xff\", then: Continue)])"),
        "{ron}"
    );
    assert!(ron.contains("prerouting: [(family: Ipv4, protocol: [\"udp\"], then: Notrack), (family: Ipv4, incoming: [\"c\"], then: Drop)]"), "{ron}");
}

#[test]
fn chains_of_two_tables_with_one_name_are_told_apart() {
    let text = "*mangle\n:own - [0:0]\n-A FORWARD -j own\n-A own -j MARK --set-mark 7\nCOMMIT\n\
                *filter\n:own - [0:0]\n-A FORWARD -j own\n-A own -j DROP\nCOMMIT\n";
    let imported = of(Family::Ipv4, text).unwrap();
    let ron = squeezed(&imported.ron);
    assert!(
        ron.contains("rules: [(family: Ipv4, then: Jump(\"own\")), (family: Ipv4, then: Jump(\"own-2\"))]"),
        "{ron}"
    );
    assert!(ron.contains("\"own-2\": [(family: Ipv4, then: Drop)]"), "{ron}");
    assert!(
        imported.notes.iter().any(|note| note.line == 7 && note.message.contains("`own-2`")),
        "{:?}",
        imported.notes
    );
}

#[test]
fn what_raw_accepts_is_still_seen_by_mangle() {
    let text = "*raw\n-A PREROUTING -i a -j ACCEPT\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n\
                *mangle\n-A PREROUTING -i b -j RETURN\n-A PREROUTING -j MARK --set-mark 1\nCOMMIT\n";
    let ron = squeezed(&of(Family::Ipv4, text).unwrap().ron);
    assert!(ron.contains("prerouting: [(family: Ipv4, then: Jump(\"mangle-PREROUTING\")), (family: Ipv4, incoming: [\"a\"], then: Accept), (family: Ipv4, protocol: [\"udp\"], then: Notrack)]"), "{ron}");
    assert!(ron.contains("\"mangle-PREROUTING\": [(family: Ipv4, incoming: [\"b\"], then: Return), (family: Ipv4, set_mark: \"0x1/0xffffffff\", then: Continue)]"), "{ron}");
}
