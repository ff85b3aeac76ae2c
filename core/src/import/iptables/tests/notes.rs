//! What is reported: rules left out, lines that make no sense, ICMPv6 that is stopped.

use super::super::Family;
use super::{messages, of};

/// The warning about one rule of INPUT, and that nothing of it was written.
fn left_out(rule: &str) -> String {
    let text = format!("*filter\n:own - [0:0]\n{rule}\nCOMMIT\n");
    let imported = of(Family::Ipv4, &text).unwrap_or_else(|error| panic!("{rule}\n{error}"));
    assert!(!imported.ron.contains("(family:"), "{}", imported.ron);
    let note = imported.notes.iter().find(|note| note.line == 3).unwrap_or_else(|| panic!("{rule}: nothing said"));
    let comment = imported.ron.replace("//", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let message = note.message.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(comment.contains(&message), "no comment for {rule}\n{comment}");
    note.to_string()
}

#[test]
fn a_rule_with_a_part_that_nothing_expresses_is_left_out_with_what_that_does() {
    for (rule, effect) in [
        ("-A INPUT -m owner --uid-owner 0 -j ACCEPT", "less gets through than before"),
        ("-A INPUT -m string --string x --algo bm -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -m length --length 0:20 -j REJECT", "leaving it out lets through what it stopped"),
        ("-A INPUT -m time --timestart 1:00 -j own", "leaving it out lets through what chain `own` stops"),
        ("-A INPUT -m pkttype --pkt-type broadcast -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -m set --match-set bad src -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -m recent --update --seconds 60 -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -s 10.0.0.1/255.0.0.255 -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -m mark ! --mark 1 -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -m connmark --mark 1 -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT ! -f -j DROP", "leaving it out lets through what it stopped"),
        ("-A INPUT -j NFQUEUE --queue-num 1", "leaving it out lets through what it stopped"),
        ("-A INPUT -j CONNMARK --save-mark", "nothing else is done with these packets"),
        ("-A INPUT -m u32 --u32 1 -j LOG", "these packets are not logged"),
    ] {
        let note = left_out(rule);
        assert!(note.starts_with(&format!("rules:3: warning: `{rule}` is left out: ")), "{note}");
        assert!(note.ends_with(effect), "{note}");
    }
    assert!(left_out("-A INPUT -m set --match-set bad src -j DROP").contains("@NAME"));
    assert!(left_out("-A INPUT -m recent --set -j DROP").contains("add_source_to"));
}

#[test]
fn lines_that_make_no_sense_are_refused_all_at_once() {
    for (line, expected) in [
        ("-A INPUT -s 192.0.2.300 -j DROP", "`192.0.2.300` is no IPv4 address"),
        ("-A INPUT -p tcp --dport 70000 -j DROP", "`70000` is no port"),
        ("-A INPUT --dport 22 -j DROP", "`--dport` needs a protocol that has ports"),
        ("-A INPUT -p tcp --dport", "`--dport` has no value"),
        ("-A INPUT -j", "`-j` has no value"),
        ("-A INPUT -j NOWHERE", "there is no chain or target `NOWHERE`"),
        ("-A NOWHERE -j DROP", "there is no chain `NOWHERE` in table filter"),
        ("-A INPUT -o eth0 -j DROP", "`-o` is not known in INPUT"),
        ("-A INPUT !", "`!` stands before nothing"),
        ("-A INPUT -p martian -j DROP", "`martian` is no protocol"),
        ("-A INPUT stray -j DROP", "`stray` is no option"),
        ("-A INPUT -j DROP -j ACCEPT", "a second target"),
        ("-A INPUT -m state --state OLD -j DROP", "`OLD` is no state"),
        ("-A INPUT -j LOG --log-prefix \"a", "a quote is not closed"),
        ("-X", ""),
        ("-Q INPUT", "`-Q` is none of -A, -I, -N, -P"),
        ("-I INPUT 5 -j DROP", "has only 0 rules"),
        ("*fitler", "there is no table `fitler`"),
        (":INPUT MAYBE [0:0]", "`MAYBE` is no policy"),
        ("[a:b] -A INPUT -j DROP", "`[a:b]` are no counters"),
    ] {
        let text = format!("*filter\n{line}\nCOMMIT\n");
        match of(Family::Ipv4, &text) {
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !expected.is_empty() && error.contains(&format!("rules:2: error: {expected}"))
                        || error.contains(expected) && error.starts_with("rules:2: error: "),
                    "{line}\n{error}"
                );
            }
            Ok(_) => assert_eq!(expected, "", "{line} was imported"),
        }
    }
    let three = of(Family::Ipv4, "*filter\n-A INPUT -x\n-A INPUT -s x\n-A INPUT -d y\nCOMMIT\n-Q\n").unwrap_err();
    assert_eq!(three.to_string().lines().count(), 3, "{three}");
    let cut = of(Family::Ipv4, "*filter\n-A INPUT -j DROP\n").unwrap_err().to_string();
    assert!(cut.starts_with("rules:2: error: the table `filter` has no end"), "{cut}");
    let circle = "*filter\n:a - [0:0]\n:b - [0:0]\n-A a -j b\n-A b -j a\nCOMMIT\n";
    assert!(of(Family::Ipv4, circle).unwrap_err().to_string().starts_with("rules:5: error: chain `a` comes back"));
    assert!(of(Family::Ipv4, "ip6tables -A INPUT -j DROP").unwrap_err().to_string().contains("import ip6tables FILE"));
}

const ND: &str = "neighbour discovery";
const BIG: &str = "Packet Too Big";

/// Whether INPUT is said to stop what.
fn stopped(lines: &str) -> (bool, bool, bool) {
    let notes = messages(Family::Ipv6, &format!("*filter\n:own - [0:0]\n{lines}\nCOMMIT\n"));
    let has = |what: &str, how: &str| notes.lines().any(|l| l.contains(&format!("INPUT {how}")) && l.contains(what));
    (has(ND, "stops"), has(BIG, "stops"), has(BIG, "lets"))
}

#[test]
fn icmpv6_that_must_pass_and_does_not_is_a_warning() {
    for (lines, expected) in [
        ("-A INPUT -j DROP", (true, true, false)),
        ("-P INPUT DROP", (true, true, false)),
        ("-A INPUT -i lo -j DROP", (false, false, false)),
        ("-A INPUT -p tcp -j DROP", (false, false, false)),
        ("-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -j DROP", (false, false, false)),
        ("-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -j DROP", (true, false, true)),
        ("-A INPUT -i a -p ipv6-icmp -j ACCEPT\n-A INPUT -j DROP", (true, true, false)),
        ("-A INPUT -i a -p ipv6-icmp -j ACCEPT\n-A INPUT -i a -j DROP", (false, false, false)),
        ("-A INPUT -m state --state INVALID -j DROP", (false, false, false)),
        ("-A INPUT -j own\n-A INPUT -j DROP\n-A own -p icmpv6 --icmpv6-type 2 -j ACCEPT", (true, false, false)),
        ("-A INPUT -j own\n-A own -p icmpv6 --icmpv6-type 135 -j REJECT", (true, false, false)),
    ] {
        assert_eq!(stopped(lines), expected, "{lines}");
    }
}

#[test]
fn counters_are_mentioned_once_and_rules_that_never_matched_are_left_out() {
    let notes = messages(Family::Ipv6, "*filter\n:INPUT ACCEPT [1:2]\n[3:4] -A INPUT -p icmp -j DROP\nCOMMIT\n");
    assert_eq!(notes.matches("counters").count(), 1, "{notes}");
    assert!(
        notes.contains("rules:3: info: `[3:4] -A INPUT -p icmp -j DROP` is left out: no packet of IPv6"),
        "{notes}"
    );
}

#[test]
fn what_is_stopped_is_said_once_not_to_be_stopped_behind_an_authentication_header() {
    let said = |family, lines: &str| {
        messages(family, &format!("*filter\n{lines}\nCOMMIT\n")).matches("authentication header").count()
    };
    assert_eq!(said(Family::Ipv6, "-A INPUT -p tcp --dport 22 -j DROP\n-A FORWARD -p udp -j REJECT"), 1);
    for lines in
        ["-A INPUT -p tcp -j ACCEPT", "-A INPUT -p ah -j DROP", "-A INPUT ! -p tcp -j DROP", "-A INPUT -j DROP"]
    {
        assert_eq!(said(Family::Ipv6, lines), 0, "{lines}");
    }
    assert_eq!(said(Family::Ipv4, "-A INPUT -p tcp --dport 22 -j DROP"), 0);
}

#[test]
fn a_rate_for_each_source_of_ipv6_is_for_each_network() {
    let text = "*filter\n-A INPUT -m connlimit --connlimit-above 4 -j DROP\nCOMMIT\n";
    assert!(messages(Family::Ipv6, text).contains("rules:2: warning: each /64"));
    assert!(!messages(Family::Ipv4, text).contains("rules:2:"));
    let exact = text.replace("-j DROP", "--connlimit-mask 64 -j DROP");
    assert!(!messages(Family::Ipv6, &exact).contains("each /64"));
}
