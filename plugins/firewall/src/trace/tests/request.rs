//! The operator's words.

use super::super::{Request, parse_request};
use super::*;
use crate::compile::tests::common;
use crate::config::{Config, Interface, IpRange};
use crate::ruleset::ct;

fn config() -> Config {
    let mut config = common::bare();
    config.zones[0].interfaces = vec![Interface { name: "lan".to_owned(), prefix: true }];
    config.zones[0].networks = vec![IpRange::V4("192.168.0.0".parse().unwrap(), "192.168.255.255".parse().unwrap())];
    config
}

fn ask(words: &str) -> Result<Request, String> {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    parse_request(&words, &config())
}

fn one(words: &str) -> Packet {
    let mut request = ask(words).unwrap();
    assert_eq!(request.packets.len(), 1);
    request.packets.pop().unwrap()
}

#[test]
fn all_words_come_into_the_packet() {
    let packet = one(
        "interface=lan0 out=wan0 protocol=tcp source=2001:db8::1 destination=2001:db8:1::2 port=ssh source_port=40000 \
         state=established flags=ack,psh mark=0x1f hop_limit=3 mac=02:00:00:00:00:01 translated=yes local=yes route=none in=seen in=bad",
    );
    let mut wanted = Packet {
        tcp_flags: Some(0x18),
        ct_state: ct::ESTABLISHED,
        ct_status: ct::STATUS_DNAT,
        mark: 0x1f,
        hop_limit: 3,
        source_mac: Some([2, 0, 0, 0, 0, 1]),
        ..ssh6()
    };
    wanted.assume.destination_is_local = Some(true);
    (wanted.assume.source_routes_back, wanted.assume.source_has_route) = (false, false);
    wanted.assume.member_of = vec!["seen".to_owned(), "bad".to_owned()];
    assert_eq!(packet, wanted);
}

#[test]
fn what_is_not_said_is_taken_for_granted_and_told() {
    let request = ask("from=lan to=wan family=Ipv4").unwrap();
    let packet = &request.packets[0];
    assert_eq!((packet.input.as_deref(), packet.output.as_deref()), (Some("lan0"), Some("wan0")));
    assert_eq!((packet.source, packet.destination), (address("192.168.0.1"), address("198.51.100.1")));
    assert_eq!(
        request.assumed,
        [
            "source=192.168.0.1",
            "destination=198.51.100.1",
            "protocol=tcp",
            "interface=lan0",
            "source_port=40000",
            "port=80",
            "state=New",
            "flags=syn"
        ]
    );
    assert_eq!(one("from=lan to=wan source=2001:db8::7").destination, address("2001:db8:1::2"));
}

#[test]
fn errors_of_icmpv6_are_of_known_connections_whatever_their_number() {
    for (kind, state) in [(1, ct::RELATED), (100, ct::RELATED), (127, ct::RELATED), (128, ct::NEW), (200, ct::INVALID)]
    {
        assert_eq!(one(&format!("from=wan to=lan protocol=icmpv6 icmp={kind}")).ct_state, state, "{kind}");
    }
}

#[test]
fn ways_follow_from_the_zones() {
    let way = |words: &str| {
        let packet = one(&format!("{words} family=Ipv6"));
        (packet.path, packet.input, packet.output)
    };
    assert_eq!(way("from=wan to=router"), (Path::ToRouter, Some("wan0".to_owned()), None));
    assert_eq!(way("from=router to=wan"), (Path::FromRouter, None, Some("wan0".to_owned())));
    assert_eq!(way("from=wan interface=ppp7 to=lan").1, Some("ppp7".to_owned()));
    let both = ask("from=router to=router family=Ipv4").unwrap().packets;
    assert_eq!(both.iter().map(|packet| packet.path).collect::<Vec<_>>(), [Path::FromRouter, Path::ToRouter]);
    assert_eq!((both[0].output.as_deref(), both[1].input.as_deref()), (Some("lo"), Some("lo")));
    assert_eq!(both[1].destination, address("127.0.0.1"));
}

#[test]
fn kinds_of_icmp_bring_their_family_protocol_and_state() {
    let icmp = |words: &str| {
        let packet = one(&format!("from=lan to=router {words}"));
        (packet.protocol, packet.icmp.unwrap(), packet.ct_state)
    };
    assert_eq!(icmp("icmp=echo-request family=Ipv4"), (1, (8, 0), ct::NEW));
    assert_eq!(icmp("icmp=echo-request family=Ipv6"), (58, (128, 0), ct::NEW));
    assert_eq!(icmp("protocol=icmpv6 icmp=neighbour-solicitation"), (58, (135, 0), ct::UNTRACKED));
    assert_eq!(icmp("protocol=icmpv6 icmp=packet-too-big"), (58, (2, 0), ct::RELATED));
    assert_eq!(icmp("protocol=icmp icmp=3/4"), (1, (3, 4), ct::RELATED));
    assert_eq!(icmp("protocol=icmpv6 icmp=138"), (58, (138, 0), ct::INVALID));
    assert_eq!(one("from=lan to=router protocol=icmpv6 icmp=135").hop_limit, 255);
}

#[test]
fn mistakes_say_what_to_write() {
    for (words, message) in [
        ("", "say which packet: from=lan to=wan protocol=tcp destination=2001:db8:1::2 port=22"),
        ("tcp", "`tcp` is no key=value; write from=lan to=wan protocol=tcp destination=2001:db8:1::2 port=22"),
        ("from=lan from=wan", "`from=` is said twice"),
        ("from=", "nothing behind `from=`"),
        ("from=dmz to=wan", "`from=dmz`: no such zone; there is: lan, wan, router"),
        (
            "from=lan",
            "say to=ZONE, to=router or out=NAME, as in from=lan to=wan protocol=tcp destination=2001:db8:1::2 port=22",
        ),
        (
            "from=lan to=wan source=192.0.2.1 destination=::1",
            "IPv4 and IPv6 mixed: source, destination, family and protocol must be of one",
        ),
        ("from=lan to=wan source=here", "`source=here` is no address; write one such as 192.0.2.1 or 2001:db8::1"),
        ("from=lan to=wan family=Ipv6 port=70000", "`port=70000`: write a port up to 65535"),
        (
            "from=lan to=wan family=Ipv6 protocol=esp port=1",
            "protocol 50 has no ports; leave port= and source_port= out",
        ),
        (
            "from=lan to=wan family=Ipv6 protocol=what",
            "`protocol=what`: write tcp, udp, icmp, icmpv6, another name or a number up to 255",
        ),
        ("from=lan to=wan family=Ipv4 icmp=packet-too-big", "ICMP has no packet-too-big"),
        (
            "from=lan to=wan family=Ipv4 icmp=echo-requst",
            "`icmp=echo-requst`: write a name such as echo-request, or TYPE/CODE in numbers, did you mean echo-request",
        ),
        (
            "from=lan to=wan family=Ipv6 state=old",
            "`state=old`: write one of New, Established, Related, Invalid, Untracked",
        ),
        ("from=lan to=wan family=Ipv6 mark=0xg", "`mark=0xg`: write a number up to 4294967295"),
        ("from=lan to=wan family=Ipv6 mac=02:00", "`mac=02:00`: write six bytes such as 02:00:00:00:00:01"),
        (
            "from=lan to=wan family=Ipv6 flags=sin",
            "`flags=sin`: write some of fin,syn,rst,psh,ack,urg,ece,cwr, or none",
        ),
        ("from=lan to=wan family=Ipv6 protocol=udp flags=syn", "flags= is for protocol=tcp only"),
        ("from=router interface=lan0 to=wan", "`from=router` has no interface: leave `interface=` out"),
    ] {
        assert_eq!(ask(words), Err(message.to_owned()), "{words}");
    }
    assert!(ask("form=lan").unwrap_err().starts_with("no `form=` here, did you mean from=; there is: from, to, "));
    assert!(ask(&"in=a ".repeat(65)).unwrap_err().starts_with("more than 64 words"));
}
