//! One match at a time.

use super::{v4, v6};

/// The rule between its family and its end, of `-A INPUT … -j ACCEPT`.
fn m4(words: &str) -> String {
    inner(&v4(&format!("-A INPUT {words} -j ACCEPT")), "Ipv4")
}

fn m6(words: &str) -> String {
    inner(&v6(&format!("-A INPUT {words} -j ACCEPT")), "Ipv6")
}

fn inner(rule: &str, family: &str) -> String {
    let start = format!("(family: {family}, ");
    assert!(rule.starts_with(&start) && rule.ends_with("then: Accept)"), "{rule}");
    rule[start.len()..rule.len() - "then: Accept)".len()].trim_end_matches(", ").to_owned()
}

#[test]
fn addresses_are_masked_and_those_that_are_any_are_no_condition() {
    for (words, expected) in [
        ("-s 192.168.1.5/24", r#"source: ["192.168.1.0/24"]"#),
        ("-s 192.168.1.5/255.255.255.0", r#"source: ["192.168.1.0/24"]"#),
        ("-s 192.0.2.1/32", r#"source: ["192.0.2.1"]"#),
        ("-s 10/8", r#"source: ["10.0.0.0/8"]"#),
        ("--src=192.0.2.1,198.51.100.0/24", r#"source: ["192.0.2.1", "198.51.100.0/24"]"#),
        ("! -d 192.0.2.1", r#"destination: ["!192.0.2.1"]"#),
        ("-d ! 192.0.2.1", r#"destination: ["!192.0.2.1"]"#),
        ("-s 0/0 -d 0.0.0.0/0", ""),
        ("-m iprange --src-range 192.0.2.1-192.0.2.9", r#"source: ["192.0.2.1-192.0.2.9"]"#),
        ("-m iprange ! --dst-range 192.0.2.1-192.0.2.9", r#"destination: ["!192.0.2.1-192.0.2.9"]"#),
        ("-m addrtype --dst-type LOCAL", r#"destination: ["local"]"#),
        ("-m addrtype ! --src-type LOCAL", r#"source: ["!local"]"#),
        ("-m addrtype --dst-type MULTICAST", r#"destination: ["224.0.0.0/4"]"#),
    ] {
        assert_eq!(m4(words), expected, "{words}");
    }
    for (words, expected) in [
        ("-s ::/0", ""),
        ("-s 2001:db8::9/32", r#"source: ["2001:db8::/32"]"#),
        ("-s 2001:db8::1/128", r#"source: ["2001:db8::1"]"#),
        ("-d ::1:2/::ffff:ffff", r#"destination: ["::1:2/::ffff:ffff"]"#),
        ("-s 2001:db8::1/ffff:ffff::", r#"source: ["2001:db8::/32"]"#),
    ] {
        assert_eq!(m6(words), expected, "{words}");
    }
}

#[test]
fn interfaces_and_protocols_have_the_names_of_router_ron() {
    for (words, expected) in [
        ("-i ppp+", r#"incoming: ["ppp*"]"#),
        ("-ieth0", r#"incoming: ["eth0"]"#),
        ("! -i eth0", r#"incoming: ["!eth0"]"#),
        ("-i +", ""),
        ("-p ipv6-icmp", r#"protocol: ["icmpv6"]"#),
        ("-p 58", r#"protocol: ["icmpv6"]"#),
        ("-p all", ""),
        ("! -p TCP", r#"protocol: ["!tcp"]"#),
        ("-p ipencap", r#"protocol: ["ipip"]"#),
        ("-p ipip", r#"protocol: ["94"]"#),
        ("-p 132", r#"protocol: ["sctp"]"#),
        ("-p 200", r#"protocol: ["200"]"#),
    ] {
        assert_eq!(m6(words), expected, "{words}");
    }
}

#[test]
fn ports_are_numbers_and_ranges() {
    for (words, expected) in [
        ("-p tcp --dport ssh", r#"protocol: ["tcp"], destination_port: ["22"]"#),
        (
            "-p udp -m udp --sport 1024: --dport :1023",
            r#"protocol: ["udp"], source_port: ["1024-65535"], destination_port: ["0-1023"]"#,
        ),
        ("-p tcp ! --dport 6000:6063", r#"protocol: ["tcp"], destination_port: ["!6000-6063"]"#),
        (
            "-p tcp -m multiport --dports 22,80,8000:8010",
            r#"protocol: ["tcp"], destination_port: ["22", "80", "8000-8010"]"#,
        ),
        ("-p tcp -m multiport ! --sports 22,80", r#"protocol: ["tcp"], source_port: ["!22", "!80"]"#),
        ("-p tcp -m multiport ! --ports 22", r#"protocol: ["tcp"], source_port: ["!22"], destination_port: ["!22"]"#),
    ] {
        assert_eq!(m4(words), expected, "{words}");
    }
    assert_eq!(
        v4("-A INPUT -p udp -m multiport --ports 53,123 -j DROP"),
        "(family: Ipv4, protocol: [\"udp\"], source_port: [\"53\", \"123\"], then: Drop), \
         (family: Ipv4, protocol: [\"udp\"], source_port: [\"!53\", \"!123\"], destination_port: [\"53\", \"123\"], then: Drop)"
    );
}

#[test]
fn states_flags_and_icmp() {
    for (words, expected) in [
        ("-m state --state NEW", "states: [New]"),
        ("-m conntrack ! --ctstate INVALID,UNTRACKED", "not_states: [Invalid, Untracked]"),
        ("-m conntrack --ctstate DNAT", "translated: true"),
        ("-m conntrack --ctstatus DNAT", "translated: true"),
        ("-p tcp --syn", r#"protocol: ["tcp"], tcp_flags: "syn/fin,syn,rst,ack""#),
        ("-p tcp ! --syn", r#"protocol: ["tcp"], tcp_flags: "!syn/fin,syn,rst,ack""#),
        ("-p tcp --tcp-flags ALL NONE", r#"protocol: ["tcp"], tcp_flags: "none/fin,syn,rst,psh,ack,urg""#),
        ("-p tcp --tcp-flags SYN,RST SYN", r#"protocol: ["tcp"], tcp_flags: "syn/syn,rst""#),
        ("-p icmp --icmp-type 8", r#"icmp: ["echo-request"]"#),
        ("-p icmp -m icmp --icmp-type fragmentation-needed", r#"icmp: ["3/4"]"#),
        ("-p icmp ! --icmp-type 5/1", r#"icmp: ["!5/1"]"#),
        ("-p icmp -m icmp --icmp-type any", r#"protocol: ["icmp"]"#),
    ] {
        assert_eq!(m4(words), expected, "{words}");
    }
    assert_eq!(m6("-p icmpv6 --icmpv6-type 135"), r#"icmp: ["neighbour-solicitation"]"#);
    assert_eq!(m6("-p ipv6-icmp -m icmp6 --icmpv6-type 1/4"), r#"icmp: ["1/4"]"#);
    assert_eq!(
        v4("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"),
        "(family: Ipv4, states: [Related, Established], then: Accept), \
         (family: Ipv4, not_states: [Related, Established], translated: true, then: Accept)"
    );
}

#[test]
fn rates_and_numbers_of_connections() {
    for (words, expected) in [
        ("-m limit --limit 5/min", "limit: (rate: \"5/minute\", burst: 5)"),
        ("-m limit --limit 3 --limit-burst 10", "limit: (rate: \"3/second\", burst: 10)"),
        (
            "-m hashlimit --hashlimit-upto 10/hour --hashlimit-burst 7 --hashlimit-mode srcip --hashlimit-name a",
            "limit: (rate: \"10/hour\", burst: 7, per: Source)",
        ),
        (
            "-m hashlimit --hashlimit-above 1/day --hashlimit-mode dstip --hashlimit-name a",
            "limit: (rate: \"1/day\", burst: 5, over: true, per: Destination)",
        ),
        ("-m connlimit --connlimit-above 4", "connections: (above: 4, per: Source)"),
        ("-m connlimit ! --connlimit-above 4 --connlimit-mask 32", "connections: (up_to: 4, per: Source)"),
        ("-m connlimit --connlimit-upto 4 --connlimit-mask 0", "connections: (up_to: 4, per: Rule)"),
        ("-m connlimit --connlimit-above 4 --connlimit-daddr", "connections: (above: 4, per: Destination)"),
    ] {
        assert_eq!(m4(words), expected, "{words}");
    }
}

#[test]
fn marks_hop_limits_hardware_and_fragments() {
    for (words, expected) in [
        ("-m mac --mac-source 02:00:5E:10:00:01", r#"source_mac: ["02:00:5e:10:00:01"]"#),
        ("-m mark --mark 1", r#"mark: "0x1/0xffffffff""#),
        ("-m mark --mark 0x10/0xf0", r#"mark: "0x10/0xf0""#),
        ("-m ttl --ttl-eq 255", r#"hop_limit: "255""#),
        ("-m ttl --ttl-lt 5", r#"hop_limit: "<5""#),
        ("-m ttl ! --ttl-gt 5", r#"hop_limit: "<6""#),
        ("-f", "later_fragments: true"),
    ] {
        assert_eq!(m4(words), expected, "{words}");
    }
    assert_eq!(m6("-m hl ! --hl-eq 255"), r#"hop_limit: "!255""#);
}

#[test]
fn a_condition_that_one_rule_cannot_hold_beside_another_has_a_chain_of_its_own() {
    let text = "*filter\n-A INPUT -s 10.0.0.0/8 -m limit --limit 1/s -m iprange ! --src-range 10.0.0.1-10.0.0.9 -j DROP\nCOMMIT\n";
    let ron = super::squeezed(&super::of(super::Family::Ipv4, text).unwrap().ron);
    assert!(ron.contains("(family: Ipv4, source: [\"10.0.0.0/8\"], then: Jump(\"INPUT-line-2\"))"), "{ron}");
    let inside = "\"INPUT-line-2\": [(family: Ipv4, source: [\"!10.0.0.1-10.0.0.9\"], limit: (rate: \"1/second\", burst: 5), then: Drop)]";
    assert!(ron.contains(inside), "{ron}");
}
