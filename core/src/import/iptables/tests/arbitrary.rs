//! Text that nobody wrote: no panic, and what is imported is RON.

use std::fs;

use proptest::prelude::*;

use super::super::Family;
use super::{fixtures, of};

fn holds(family: Family, text: &str) {
    if let Ok(imported) = of(family, text) {
        let mut diagnostics = portreeve_config::Diagnostics::new();
        assert!(portreeve_config::Value::root(&imported.ron, &mut diagnostics).is_some(), "{text}\n{}", imported.ron);
    }
}

const WORDS: [&str; 62] = [
    "-A",
    "-I",
    "-N",
    "-P",
    "INPUT",
    "FORWARD",
    "OUTPUT",
    "PREROUTING",
    "POSTROUTING",
    "own",
    "-s",
    "-d",
    "-i",
    "-o",
    "-p",
    "!",
    "tcp",
    "icmp",
    "ipv6-icmp",
    "udp",
    "-m",
    "state",
    "--state",
    "NEW,RELATED",
    "multiport",
    "--dports",
    "--ports",
    "22,80:90",
    "--dport",
    "53",
    "limit",
    "--limit",
    "5/min",
    "comment",
    "--comment",
    "\"a b\"",
    "-j",
    "-g",
    "ACCEPT",
    "DROP",
    "REJECT",
    "--reject-with",
    "tcp-reset",
    "LOG",
    "--log-prefix",
    "RETURN",
    "MASQUERADE",
    "DNAT",
    "--to-destination",
    "10.0.0.1:80",
    "[::1]:80",
    "NETMAP",
    "--to",
    "fd00::/48",
    "10.0.0.0/8",
    "eth+",
    "--icmpv6-type",
    "2",
    "--set-mark",
    "0x1/0xff",
    "NFQUEUE",
    "-f",
];

proptest! {
    #[test]
    fn any_text_is_imported_or_refused(text in ".{0,200}") {
        holds(Family::Ipv4, &text);
        holds(Family::Ipv6, &format!("*filter\n-A INPUT {text}\nCOMMIT"));
    }

    #[test]
    fn any_words_are_imported_or_refused(
        table in prop::sample::select(vec!["filter", "nat", "mangle", "raw", "security"]),
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..12), 1..8),
    ) {
        let lines: Vec<String> = lines.iter().map(|words| words.join(" ")).collect();
        let alone = lines.iter().filter(|line| {
            let text = format!("*{table}\n:own - [0:0]\n-A INPUT {line}\nCOMMIT\n");
            of(Family::Ipv4, &text).is_ok()
        });
        let good: Vec<&String> = alone.collect();
        holds(Family::Ipv4, &format!("*{table}\n:own - [0:0]\n{}\nCOMMIT\n", lines.join("\n")));
        holds(Family::Ipv6, &format!("*{table}\n:own - [0:0]\n-A OUTPUT {}\nCOMMIT\n", lines.join("\n-A own ")));
        for line in good {
            holds(Family::Ipv4, &format!("*{table}\n:own - [0:0]\n-A INPUT {line}\nCOMMIT\n"));
        }
    }
}

#[test]
fn a_file_cut_off_anywhere_is_imported_or_refused() {
    for fixture in fixtures() {
        let text = fs::read_to_string(&fixture).unwrap();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(3) {
            holds(super::family(&fixture), &format!("{}\nCOMMIT\n", &text[..end]));
        }
    }
}
