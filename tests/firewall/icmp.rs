//! Every type of ICMPv6 that RFC 4890 names, through the router both ways and to it from both sides.
//!
//! The section is that of a gateway without a single rule: what is seen here needs none. Errors (types 1 to 4) belong to a
//! flow or they do not; RFC 6092 section 3.1 (REC-10) has those that do not dropped, so the table has them twice.

use std::net::{IpAddr, Ipv6Addr};

use portreeve_tests::lab::{Failure, Result, ensure};

use super::packet::Packet;
use super::place::{LAN, LAN4, NEIGHBOUR, ROUTER_LINK, Side, WAN, WAN4};
use super::scene::{Scene, gateway, zones};

const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// What is to become of a message that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Dropped,
}
use Fate::{Dropped, Passes};

/// Type, code; through the router, to the router; the section of RFC 4890 that says so.
type Row = (u8, u8, Fate, Fate, &'static str);

const ROWS: &[Row] = &[
    // Of no known flow. Those of one: see below.
    (1, 0, Dropped, Dropped, "4.3.1, 4.4.1"),
    (2, 0, Dropped, Dropped, "4.3.1, 4.4.1"),
    (3, 0, Dropped, Dropped, "4.3.1, 4.4.1"),
    (3, 1, Dropped, Dropped, "4.3.2, 4.4.2"),
    (4, 0, Dropped, Dropped, "4.3.2, 4.4.2"),
    (4, 1, Dropped, Dropped, "4.3.1, 4.4.1"),
    (4, 2, Dropped, Dropped, "4.3.1, 4.4.1"),
    (100, 0, Dropped, Dropped, "4.3.5, 4.4.5: private experimentation"),
    (101, 0, Dropped, Dropped, "4.3.5, 4.4.5"),
    (127, 0, Dropped, Dropped, "4.3.5, 4.4.5: reserved"),
    (128, 0, Passes, Passes, "4.3.1, 4.4.1"),
    // A reply to nothing; a reply to something passes, see below.
    (129, 0, Dropped, Dropped, "4.3.1, 4.4.1"),
    (130, 0, Dropped, Passes, "4.3.3, 4.4.1: multicast listeners"),
    (131, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (132, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (133, 0, Dropped, Passes, "4.3.3, 4.4.1: neighbour discovery"),
    (134, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (135, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (136, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (137, 0, Dropped, Dropped, "4.3.3, 4.4.4: redirects are the site's policy, and a router takes none"),
    (138, 0, Dropped, Dropped, "4.3.5, 4.4.3: router renumbering"),
    (138, 255, Dropped, Dropped, "4.3.5, 4.4.3"),
    (139, 0, Dropped, Dropped, "4.3.5, 4.4.4: node information"),
    (140, 0, Dropped, Dropped, "4.3.5, 4.4.4"),
    (141, 0, Dropped, Passes, "4.3.3, 4.4.1: inverse neighbour discovery"),
    (142, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (143, 0, Dropped, Passes, "4.3.3, 4.4.1: multicast listeners"),
    (144, 0, Passes, Dropped, "4.3.2, 4.4.3: mobility"),
    (145, 0, Passes, Dropped, "4.3.2, 4.4.3"),
    (146, 0, Passes, Dropped, "4.3.2, 4.4.3"),
    (147, 0, Passes, Dropped, "4.3.2, 4.4.3"),
    (148, 0, Dropped, Passes, "4.3.3, 4.4.1: certificate paths"),
    (149, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (150, 0, Dropped, Dropped, "4.3.4, 4.4.4: experimental mobility"),
    (151, 0, Dropped, Passes, "4.3.3, 4.4.1: multicast router discovery"),
    (152, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (153, 0, Dropped, Passes, "4.3.3, 4.4.1"),
    (200, 0, Dropped, Dropped, "4.3.5, 4.4.5: private experimentation"),
    (201, 0, Dropped, Dropped, "4.3.5, 4.4.5"),
    (255, 0, Dropped, Dropped, "4.3.5, 4.4.5: reserved"),
];

/// Errors that belong to a flow: all of them pass. Type and code.
const ERRORS: &[(u8, u8)] =
    &[(1, 0), (1, 1), (1, 3), (1, 4), (1, 5), (1, 6), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)];
/// The same of IPv4 (RFC 792).
const ERRORS4: &[(u8, u8)] = &[(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0)];

/// Between which addresses, and with which hop limit, a message goes to the router, so that nothing but its type is at issue.
fn local_ends(kind: u8, side: Side) -> (Ipv6Addr, Ipv6Addr, u8) {
    match kind {
        // RFC 2710 section 3, RFC 4286 section 3.
        130..=132 | 143 | 151..=153 => (NEIGHBOUR, ROUTER_LINK, 1),
        // RFC 4861 section 3.1, RFC 3122 section 2, RFC 3971 section 6.4.
        133..=137 | 141 | 142 | 148 | 149 => (NEIGHBOUR, ROUTER_LINK, 255),
        _ => (side.host(), side.router(), 64),
    }
}

/// With an identifier that no other message of the matrix has: a reply must not find a request of another row.
fn of_its_own(mut message: Packet, from: Side) -> Packet {
    let own = [message.body[0], from as u8];
    message.body[4..6].copy_from_slice(&own);
    message
}

/// All that are not as they should be; empty if the matrix holds.
fn wrong(scene: &Scene) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for &(kind, code, transit, local, section) in ROWS {
        for (from, to) in [(Side::Lan, Side::Wan), (Side::Wan, Side::Lan)] {
            let message = of_its_own(Packet::icmp(from.host(), to.host(), kind, code), from);
            let seen = scene.pass(from, &message)?;
            let fate = if seen.is_through(to, from.host(), to.host()) { Passes } else { Dropped };
            if fate != transit || (fate == Dropped && !seen.is_nothing()) {
                wrong.push(format!("{kind}/{code} {from:?} to {to:?}: {fate:?}, RFC 4890 {section}: {seen:?}"));
            }
            let (source, destination, hop_limit) = local_ends(kind, from);
            let seen = scene
                .pass(from, &of_its_own(Packet::icmp(source, destination, kind, code), from).hop_limit(hop_limit))?;
            let fate = if seen.is_taken() { Passes } else { Dropped };
            if fate != local || (fate == Dropped && !seen.is_nothing()) {
                wrong.push(format!("{kind}/{code} {from:?} to the router: {fate:?}, RFC 4890 {section}: {seen:?}"));
            }
        }
    }
    Ok(wrong)
}

#[test]
fn every_type_of_rfc_4890_has_its_fate_in_both_directions_and_to_the_router() -> Result {
    let scene = Scene::new(&gateway(""))?;
    let wrong = wrong(&scene)?;
    scene.ensure(wrong.is_empty(), || wrong.join("\n"))
}

/// A policy that accepts everything does not let through what is for one link only.
#[test]
fn what_is_for_one_link_is_never_forwarded_whatever_the_policy() -> Result {
    let scene = Scene::new(&zones(r#"policies: [(from: ["*"], to: ["*"], then: Accept)]"#))?;
    for kind in (130..=137).chain([141, 142, 143, 148, 149, 151, 152, 153]) {
        for hop_limit in [64, 255] {
            scene.vanishes(Side::Wan, &Packet::icmp(WAN, LAN, kind, 0).hop_limit(hop_limit))?;
            scene.vanishes(Side::Lan, &Packet::icmp(LAN, WAN, kind, 0).hop_limit(hop_limit))?;
        }
    }
    scene.passes(Side::Wan, Side::Lan, &Packet::icmp(WAN, LAN, ECHO_REQUEST, 0)).map(drop)
}

/// RFC 4861 section 7.1: a neighbour cannot be farther than one link.
#[test]
fn neighbour_discovery_from_farther_than_one_link_is_dropped() -> Result {
    let scene = Scene::new(&gateway(""))?;
    for kind in [133, 134, 135, 136, 141, 142] {
        for hop_limit in [1, 64, 254] {
            scene.vanishes(Side::Wan, &Packet::icmp(NEIGHBOUR, ROUTER_LINK, kind, 0).hop_limit(hop_limit))?;
            scene.vanishes(Side::Wan, &Packet::icmp(WAN, Side::Wan.router(), kind, 0).hop_limit(hop_limit))?;
        }
    }
    // Listeners' reports come from a link-local address (RFC 2710 section 3).
    for kind in [130, 131, 132, 143] {
        scene.vanishes(Side::Wan, &Packet::icmp(WAN, Side::Wan.router(), kind, 0))?;
    }
    Ok(())
}

/// Passes `flow` from inside, then every error about it from outside, about its own packet as it is there, and the same about
/// a flow that is not known.
fn errors_about(scene: &Scene, flow: &Packet, reporter: IpAddr, errors: &[(u8, u8)]) -> Result {
    let seen = scene.passes(Side::Lan, Side::Wan, flow)?;
    let (_, outside) = &seen.out[0];
    let mut unknown = outside.clone();
    unknown.body[1] ^= 0x55;
    for &(kind, code) in errors {
        let related = Packet::error(reporter, kind, code, outside);
        scene
            .becomes(Side::Wan, Side::Lan, &related, reporter, flow.source)
            .map_err(|failure| failure.with("error", &format!("{kind}/{code}")))?;
        scene.vanishes(Side::Wan, &Packet::error(reporter, kind, code, &unknown))?;
    }
    Ok(())
}

#[test]
fn errors_of_a_known_flow_pass_and_those_of_an_unknown_one_do_not() -> Result {
    let scene = Scene::new(&gateway(""))?;
    errors_about(&scene, &Packet::udp((LAN, 1000), (WAN, 53)), "2001:db8:e::1".parse().unwrap(), ERRORS)?;
    errors_about(&scene, &Packet::syn((LAN, 1001), (WAN, 80)), WAN.into(), ERRORS)?;
    errors_about(&scene, &Packet::udp((LAN4, 1000), (WAN4, 53)), "203.0.113.77".parse().unwrap(), ERRORS4)?;
    errors_about(&scene, &Packet::syn((LAN4, 1001), (WAN4, 80)), WAN4.into(), ERRORS4)
}

/// What the router itself has asked for, path MTU above all (RFC 4890 section 4.4.1).
#[test]
fn errors_about_the_routers_own_flows_arrive() -> Result {
    let scene = Scene::new(&gateway(""))?;
    let socket = scene.router.enter(|| std::net::UdpSocket::bind((Side::Wan.router(), 0)))??;
    let seen = scene.during(|_| Ok(socket.send_to(super::packet::MARKER, (WAN, 53)).map(drop)?))?;
    let [(Side::Wan, outside)] = seen.out.as_slice() else {
        return Err(Failure::new(format!("nothing went out: {seen:?}")));
    };
    for &(kind, code) in ERRORS {
        scene.arrives(Side::Wan, &Packet::error("2001:db8:e::1".parse::<Ipv6Addr>().unwrap(), kind, code, outside))?;
    }
    Ok(())
}

#[test]
fn a_reply_passes_to_whoever_asked_and_to_nobody_else() -> Result {
    let scene = Scene::new(&gateway(""))?;
    let ask = Packet::icmp(LAN, WAN, ECHO_REQUEST, 0);
    scene.vanishes(Side::Wan, &ask.back())?;
    scene.passes(Side::Lan, Side::Wan, &ask)?;
    scene.passes(Side::Wan, Side::Lan, &ask.back())?;
    ensure(ask.back().body[0] == ECHO_REPLY, || "no reply".to_owned())?;
    let ask = Packet::icmp(LAN4, WAN4, 8, 0);
    scene.vanishes(Side::Wan, &ask.back())?;
    scene.passes(Side::Lan, Side::Wan, &ask)?;
    scene.passes(Side::Wan, Side::Lan, &ask.back()).map(drop)
}

#[test]
fn echo_requests_are_answered_and_passed_only_while_ping_is_on() -> Result {
    let scene = Scene::new(&gateway(""))?;
    let through = Packet::icmp(WAN, LAN, ECHO_REQUEST, 0);
    let (here, here4) =
        (Packet::icmp(WAN, Side::Wan.router(), ECHO_REQUEST, 0), Packet::icmp(WAN4, Side::Wan.router4(), 8, 0));
    scene.passes(Side::Wan, Side::Lan, &through)?;
    for ping in [&here, &here4] {
        let seen = scene.arrives(Side::Wan, ping)?;
        scene.ensure(seen.is_through(Side::Wan, ping.destination, ping.source), || format!("no answer: {seen:?}"))?;
    }
    // Hosts of IPv4 are reached by rules only.
    scene.vanishes(Side::Wan, &Packet::icmp(WAN4, LAN4, 8, 0))?;
    scene.reconfigure(&gateway("defaults: (ping: false)"))?;
    // Other identifiers: what was known before still is.
    for mut ping in [through, here, here4] {
        ping.body[5] = 99;
        scene.vanishes(Side::Wan, &ping)?;
    }
    Ok(())
}

#[test]
fn without_the_default_a_rule_decides_each_type() -> Result {
    let rules = r#"defaults: (rfc4890: false, rfc6092: false, ping: false, dhcp_client: false),
        rules: [(from: ["wan"], to: ["router", "lan"], icmp: ["echo-request"], family: Ipv6, then: Accept)]"#;
    let scene = Scene::new(&gateway(rules))?;
    scene.passes(Side::Wan, Side::Lan, &Packet::icmp(WAN, LAN, ECHO_REQUEST, 0))?;
    scene.arrives(Side::Wan, &Packet::icmp(WAN, Side::Wan.router(), ECHO_REQUEST, 0))?;
    scene.vanishes(Side::Wan, &Packet::icmp(WAN4, Side::Wan.router4(), 8, 0))?;
    scene.vanishes(Side::Wan, &Packet::icmp(NEIGHBOUR, ROUTER_LINK, 133, 0).hop_limit(255))
}
