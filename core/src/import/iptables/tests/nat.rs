//! Address translation.

use super::super::Family;
use super::{messages, of, squeezed};

fn nat(family: Family, lines: &str) -> String {
    let text = format!("*nat\n:own - [0:0]\n:deep - [0:0]\n{lines}\nCOMMIT\n");
    let imported = of(family, &text).unwrap_or_else(|error| panic!("{lines}\n{error}"));
    let text = squeezed(&imported.ron);
    let start = text.find("nat: [").map(|at| at + "nat: [".len()).unwrap();
    text[start..].split("], defaults:").next().unwrap().trim_end_matches(',').to_owned()
}

#[test]
fn every_target() {
    for (line, expected) in [
        ("-A POSTROUTING -o w -j MASQUERADE", r#"outgoing: ["w"], then: Masquerade"#),
        (
            "-A POSTROUTING -o w -p tcp -j MASQUERADE --to-ports 1024-65535 --random",
            r#"outgoing: ["w"], protocol: ["tcp"], then: Masquerade(ports: "1024-65535", random: true)"#,
        ),
        (
            "-A POSTROUTING -o w -j SNAT --to-source 192.0.2.1-192.0.2.9",
            r#"outgoing: ["w"], then: Source(to: "192.0.2.1-192.0.2.9")"#,
        ),
        (
            "-A POSTROUTING -o w -p udp -j SNAT --to-source 192.0.2.1:1000-2000",
            r#"outgoing: ["w"], protocol: ["udp"], then: Source(to: "192.0.2.1", ports: "1000-2000")"#,
        ),
        (
            "-A PREROUTING -i w -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080",
            r#"incoming: ["w"], protocol: ["tcp"], destination_port: ["80"], then: Destination(to: "10.0.0.1", port: "8080", accept: false)"#,
        ),
        (
            "-A PREROUTING -i w -j DNAT --to 10.0.0.1",
            r#"incoming: ["w"], then: Destination(to: "10.0.0.1", accept: false)"#,
        ),
        (
            "-A PREROUTING -i l -p udp -j REDIRECT --to-ports 5353",
            r#"incoming: ["l"], protocol: ["udp"], then: Redirect(port: "5353")"#,
        ),
        ("-A PREROUTING -i l -j REDIRECT", r#"incoming: ["l"], then: Redirect"#),
        ("-A PREROUTING -i l -j ACCEPT", r#"incoming: ["l"], then: Skip"#),
        ("-A PREROUTING -d 10.0.0.1 -j RETURN", r#"incoming: ["!lo"], destination: ["10.0.0.1"], then: Skip"#),
        ("-A POSTROUTING -d 10.0.0.1 -j RETURN", r#"to: ["*"], destination: ["10.0.0.1"], then: Skip"#),
        (
            "-A OUTPUT -d 10.0.0.1 -j DNAT --to 10.0.0.2",
            r#"from: ["router"], destination: ["10.0.0.1"], then: Destination(to: "10.0.0.2", accept: false)"#,
        ),
    ] {
        assert_eq!(nat(Family::Ipv4, line), format!("(family: Ipv4, {expected})"), "{line}");
    }
    assert_eq!(
        nat(Family::Ipv6, "-A PREROUTING -i w -p tcp -j DNAT --to-destination [2001:db8::1]:443"),
        r#"(family: Ipv6, incoming: ["w"], protocol: ["tcp"], then: Destination(to: "2001:db8::1", port: "443", accept: false))"#
    );
}

#[test]
fn chains_are_written_out_with_the_conditions_of_the_jump() {
    let lines = "-A POSTROUTING -o w -j own\n-A own -s 10.0.0.0/8 -j deep\n-A own -j MASQUERADE\n-A deep -d 10.0.0.0/8 -j ACCEPT";
    assert_eq!(
        nat(Family::Ipv4, lines),
        "(family: Ipv4, to: [\"*\"], outgoing: [\"w\"], source: [\"10.0.0.0/8\"], destination: [\"10.0.0.0/8\"], then: Skip), \
         (family: Ipv4, outgoing: [\"w\"], then: Masquerade)"
    );
}

#[test]
fn a_return_from_the_middle_is_reported() {
    let text = "*nat\n:own - [0:0]\n-A PREROUTING -i w -j own\n-A PREROUTING -i w -j REDIRECT\n-A own -s 10.0.0.1 -j RETURN\n\
                -A own -j DNAT --to 10.0.0.2\nCOMMIT\n";
    let notes = messages(Family::Ipv4, text);
    assert!(notes.contains("rules:5: warning: `-A own -s 10.0.0.1 -j RETURN` is left out: "), "{notes}");
    // From the last chain it skips all the rest.
    let last = text.replace("-A PREROUTING -i w -j REDIRECT\n", "");
    assert!(!messages(Family::Ipv4, &last).contains("left out"), "{}", messages(Family::Ipv4, &last));
}

#[test]
fn what_this_machine_sends_has_come_in_by_no_interface() {
    let lines = "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j own\n-A own -i br -j RETURN\n\
                 -A own ! -i br -p tcp --dport 80 -j DNAT --to 172.17.0.2:8080";
    assert_eq!(
        nat(Family::Ipv4, lines),
        "(family: Ipv4, from: [\"router\"], destination: [\"127.0.0.0/8\"], then: Skip), \
         (family: Ipv4, from: [\"router\"], destination: [\"local\"], protocol: [\"tcp\"], destination_port: [\"80\"], \
         then: Destination(to: \"172.17.0.2\", port: \"8080\", accept: false))"
    );
}

#[test]
fn prefixes_are_exchanged_by_one_rule() {
    let post = "-A POSTROUTING -s fd00:1::/48 -o w -j NETMAP --to 2001:db8:1::/48";
    let both = format!("-A PREROUTING -d 2001:db8:1::/48 -i w -j NETMAP --to fd00:1::/48\n{post}");
    let expected =
        r#"(family: Ipv6, outgoing: ["w"], then: Prefix(inside: "fd00:1::/48", outside: "2001:db8:1::/48"))"#;
    assert_eq!(nat(Family::Ipv6, &both), expected);
    assert_eq!(nat(Family::Ipv6, post), expected);
    assert!(messages(Family::Ipv6, &format!("*nat\n{post}\nCOMMIT\n")).contains("both ways"));
    assert!(!messages(Family::Ipv6, &format!("*nat\n{both}\nCOMMIT\n")).contains("warning"));
}
