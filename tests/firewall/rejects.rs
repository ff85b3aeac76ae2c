//! What a rejected sender hears: every code of both families on the wire, and what programs make of it.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use portreeve_tests::lab::Result;

use super::packet::{ACK, ICMP, ICMPV6, Packet, RST, TCP};
use super::place::{FAR, FAR4, LAN, LAN4, Side, WAN, WAN4, at};
use super::scene::{Scene, zones};

/// The code as it is written, its type and code of ICMP (RFC 792) and of ICMPv6 (RFC 4443 section 3.1), and its port here.
type Code = (&'static str, (u8, u8), (u8, u8), u16);

const CODES: [Code; 9] = [
    ("PortUnreachable", (3, 3), (1, 4), 1001),
    ("NoRoute", (3, 0), (1, 0), 1002),
    ("HostUnreachable", (3, 1), (1, 3), 1003),
    ("ProtocolUnreachable", (3, 2), (1, 4), 1004),
    ("NetworkProhibited", (3, 9), (1, 1), 1005),
    ("HostProhibited", (3, 10), (1, 1), 1006),
    ("AdminProhibited", (3, 13), (1, 1), 1007),
    ("SourcePolicy", (3, 13), (1, 5), 1008),
    ("RejectRoute", (3, 13), (1, 6), 1009),
];
const RESET: u16 = 1010;
const PLAIN: u16 = 1011;

/// Each code for its port, from the LAN to the world and to the router.
fn section() -> String {
    let rule = |code: &str, port: u16| {
        format!(r#"(from: ["lan"], to: ["wan", "far", "router"], destination_port: ["{port}"], then: {code}),"#)
    };
    let mut rules: String = CODES.iter().map(|(code, _, _, port)| rule(&format!("Reject({code})"), *port)).collect();
    rules += &rule("Reject(TcpReset)", RESET);
    rules += &rule("Reject", PLAIN);
    zones(&format!("rules: [{rules}]"))
}

/// The only thing that is heard is an ICMP error of this kind, from the router, with the packet in it.
fn is_told(scene: &Scene, from: Side, packet: &Packet, kind: (u8, u8)) -> Result {
    let seen = scene.pass(from, packet)?;
    let protocol = if packet.source.is_ipv4() { ICMP } else { ICMPV6 };
    let told = |heard: &Packet| {
        let quoted = Packet::read(&heard.body[8..]);
        heard.kind() == (protocol, kind.0, kind.1)
            && heard.destination == packet.source
            && quoted.is_some_and(|quoted| (quoted.from(), quoted.to()) == (packet.from(), packet.to()))
    };
    let is_so = matches!(seen.out.as_slice(), [(side, heard)] if *side == from && told(heard)) && !seen.is_taken();
    scene.ensure(is_so, || format!("{packet:?}: not {kind:?}: {seen:?}"))
}

#[test]
fn every_code_is_heard_in_both_families_by_udp_and_tcp() -> Result {
    let scene = Scene::new(&section())?;
    let mut all = CODES.to_vec();
    // Without a code, and a reset for what is not TCP.
    all.push(("", (3, 13), (1, 1), PLAIN));
    for (code, v4, v6, port) in all {
        for (source, destinations, kind) in [
            (IpAddr::from(LAN), [WAN.into(), FAR.into(), IpAddr::from(Side::Lan.router())], v6),
            (LAN4.into(), [WAN4.into(), FAR4.into(), Side::Lan.router4().into()], v4),
        ] {
            for destination in destinations {
                is_told(&scene, Side::Lan, &Packet::udp((source, 2000), (destination, port)), kind)
                    .map_err(|failure| failure.with("code", code))?;
                is_told(&scene, Side::Lan, &Packet::syn((source, 2000), (destination, port)), kind)
                    .map_err(|failure| failure.with("code", code))?;
            }
        }
    }
    is_told(&scene, Side::Lan, &Packet::udp((LAN4, 2000), (WAN4, RESET)), (3, 13))?;
    is_told(&scene, Side::Lan, &Packet::udp((LAN, 2000), (WAN, RESET)), (1, 1))
}

#[test]
fn a_reset_comes_from_whom_the_segment_went_to() -> Result {
    let scene = Scene::new(&section())?;
    for (source, destination) in [
        (IpAddr::from(LAN), IpAddr::from(WAN)),
        (LAN4.into(), WAN4.into()),
        (LAN.into(), Side::Lan.router().into()),
        (LAN4.into(), Side::Lan.router4().into()),
    ] {
        let syn = Packet::syn((source, 2000), (destination, RESET));
        let seen = scene.pass(Side::Lan, &syn)?;
        let is_reset = |heard: &Packet| {
            let fits = (heard.from(), heard.to()) == (syn.to(), syn.from());
            // RFC 9293 section 3.5.2: the acknowledgement is of the SYN and of what it carried.
            let acknowledged = heard.body[8..12] == (1001 + 16_u32).to_be_bytes();
            heard.kind() == (TCP, RST | ACK, 0) && fits && acknowledged
        };
        let is_so = matches!(seen.out.as_slice(), [(Side::Lan, heard)] if is_reset(heard));
        scene.ensure(is_so && !seen.is_taken(), || format!("{syn:?}: {seen:?}"))?;
    }
    Ok(())
}

/// As a program sees it: connect(2) fails at once, and says why.
#[test]
fn a_client_is_refused_at_once_and_told_why() -> Result {
    let scene = Scene::new(&section())?;
    use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied};
    for (port, v4, v6) in [
        (RESET, ConnectionRefused, ConnectionRefused),
        (1001, ConnectionRefused, ConnectionRefused),
        (1002, NetworkUnreachable, NetworkUnreachable),
        (1003, HostUnreachable, HostUnreachable),
        (1007, HostUnreachable, PermissionDenied),
    ] {
        for (to, expected) in [(at(WAN4, port), v4), (at(WAN, port), v6), (at(Side::Lan.router(), port), v6)] {
            let tried = scene.host.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(10)))?;
            let kind = tried.as_ref().err().map(std::io::Error::kind);
            scene.ensure(kind == Some(expected), || format!("{to}: {tried:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn policies_reject_too_and_tell_nothing_of_errors() -> Result {
    let scene = Scene::new(&zones(r#"policies: [(from: ["*"], to: ["*"], then: Reject(AdminProhibited))]"#))?;
    is_told(&scene, Side::Wan, &Packet::udp((WAN, 1), (LAN, 2)), (1, 1))?;
    is_told(&scene, Side::Wan, &Packet::syn((WAN4, 1), (LAN4, 2)), (3, 13))?;
    // RFC 4443 section 2.4 (e): no error about an error.
    let unknown = Packet::udp((LAN, 7), (WAN, 7));
    scene.vanishes(Side::Wan, &Packet::error(WAN, 1, 4, &unknown))
}
