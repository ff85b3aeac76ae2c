//! Addresses that become others, and what comes back: byte for byte at every wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_tests::lab::Result;

use super::packet::{Packet, UDP};
use super::place::{FAR, FAR4, LAN, LAN4, OTHER4, SERVER4, Side, WAN, WAN4};
use super::scene::{Scene, gateway};

fn section(nat: &str) -> String {
    gateway(&format!("nat: [{nat}]"))
}

/// What came out of the wire; there is nothing else.
fn only(scene: &Scene, from: Side, to: Side, packet: &Packet) -> Result<Packet> {
    let seen = scene.pass(from, packet)?;
    let found = match seen.out.as_slice() {
        [(side, packet)] if *side == to && packet.is_ours() => Some(packet.clone()),
        _ => None,
    };
    scene.ensure(found.is_some(), || format!("{packet:?} from {from:?}, not once to {to:?}: {seen:?}"))?;
    Ok(found.unwrap())
}

#[test]
fn masqueraded_hosts_have_the_address_of_the_way_out_and_hear_the_answers() -> Result {
    let scene = Scene::new(&section(r#"(to: ["wan"], source: ["192.168.0.0/16"], then: Masquerade)"#))?;
    for packet in
        [Packet::udp((LAN4, 1000), (WAN4, 53)), Packet::syn((LAN4, 1001), (WAN4, 80)), Packet::icmp(LAN4, WAN4, 8, 0)]
    {
        let outside = only(&scene, Side::Lan, Side::Wan, &packet)?;
        scene.ensure(outside.source == IpAddr::from(Side::Wan.router4()), || format!("{outside:?}"))?;
        let answer = match packet.protocol {
            6 => outside.back().at(super::packet::At { flags: 18, sequence: 1, acknowledgement: 1017 }),
            _ => outside.back(),
        };
        let inside = only(&scene, Side::Wan, Side::Lan, &answer)?;
        scene.ensure(inside.destination == IpAddr::from(LAN4) && inside.source == IpAddr::from(WAN4), || {
            format!("{inside:?}")
        })?;
        if packet.protocol == UDP {
            scene.ensure((inside.from(), inside.to()) == (packet.to(), packet.from()), || format!("{inside:?}"))?;
        }
    }
    // The other way out, and IPv6, are as they were.
    scene.passes(Side::Lan, Side::Tunnel, &Packet::udp((LAN4, 1000), (FAR4, 53)))?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 1000), (WAN, 53)))?;
    // An error about what went out finds the host, and quotes what the host sent.
    let outside = only(&scene, Side::Lan, Side::Wan, &Packet::udp((LAN4, 1000), (WAN4, 53)))?;
    let error = only(&scene, Side::Wan, Side::Lan, &Packet::error(WAN4, 3, 4, &outside))?;
    let quoted = Packet::read(&error.body[8..]);
    scene.ensure(quoted.as_ref().is_some_and(|quoted| quoted.source == IpAddr::from(LAN4)), || format!("{error:?}"))
}

#[test]
fn sources_become_the_address_and_the_ports_that_are_written() -> Result {
    let scene = Scene::new(&section(
        r#"(to: ["wan"], destination: ["198.51.100.200"], then: Skip),
        (to: ["wan"], protocol: ["tcp"], then: Masquerade(ports: "3000-3009", random: true)),
        (to: ["wan"], family: Ipv4, protocol: ["udp"], then: Source(to: "203.0.113.5", ports: "2000-2001")),"#,
    ))?;
    let outside = only(&scene, Side::Lan, Side::Wan, &Packet::udp((LAN4, 1000), (WAN4, 53)))?;
    let is_so = outside.source == IpAddr::from([203, 0, 113, 5]) && (2000..=2001).contains(&outside.ports().0);
    scene.ensure(is_so, || format!("{outside:?}"))?;
    let outside = only(&scene, Side::Lan, Side::Wan, &Packet::syn((LAN4, 1000), (WAN4, 53)))?;
    let is_so = outside.source == IpAddr::from(Side::Wan.router4()) && (3000..=3009).contains(&outside.ports().0);
    scene.ensure(is_so, || format!("{outside:?}"))?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN4, 1000), (OTHER4, 53))).map(drop)
}

/// The provider's side knows the router's address only; so does a host beside the server.
const PUBLISHED: &str = r#"(from: ["wan"], destination: ["192.0.2.1"], protocol: ["tcp", "udp"], destination_port: ["80"],
    then: Destination(to: "192.168.1.20", port: "8080", hairpin: true, accept: true)),"#;

#[test]
fn a_published_service_is_reached_from_outside_and_nothing_else_is() -> Result {
    let scene = Scene::new(&section(PUBLISHED))?;
    let public = Side::Wan.router4();
    let question = Packet::udp((WAN4, 1000), (public, 80));
    let inside = only(&scene, Side::Wan, Side::Lan, &question)?;
    scene.ensure(inside.from() == question.from() && inside.destination == IpAddr::from(SERVER4), || {
        format!("{inside:?}")
    })?;
    scene.ensure(inside.ports().1 == 8080, || format!("{inside:?}"))?;
    let answer = only(&scene, Side::Lan, Side::Wan, &inside.back())?;
    scene.ensure((answer.from(), answer.to()) == (question.to(), question.from()), || format!("{answer:?}"))?;
    let inside = only(&scene, Side::Wan, Side::Lan, &Packet::syn((WAN4, 1000), (public, 80)))?;
    scene.ensure(inside.ports() == (1000, 8080), || format!("{inside:?}"))?;
    // Neither another port nor the server itself.
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 1000), (public, 81)))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 1001), (SERVER4, 8080)))?;
    // By the tunnel nothing was published.
    scene.vanishes(Side::Tunnel, &Packet::udp((FAR4, 1000), (Side::Tunnel.router4(), 80)))
}

#[test]
fn hosts_beside_a_published_server_reach_it_under_the_public_address_and_it_sees_the_router() -> Result {
    // An address that the provider changes is not written down: any of the router's own is meant.
    let anywhere = PUBLISHED.replace(r#"destination: ["192.0.2.1"], "#, "");
    for published in [PUBLISHED, &anywhere] {
        let scene = Scene::new(&section(published))?;
        let question = Packet::syn((LAN4, 1000), (Side::Wan.router4(), 80));
        let hairpinned = only(&scene, Side::Lan, Side::Lan, &question)?;
        scene.ensure(hairpinned.source == IpAddr::from(Side::Lan.router4()), || format!("{hairpinned:?}"))?;
        let is_so = hairpinned.destination == IpAddr::from(SERVER4) && hairpinned.ports().1 == 8080;
        scene.ensure(is_so, || format!("{hairpinned:?}"))?;
        let syn_ack = super::packet::At { flags: 18, sequence: 1, acknowledgement: 1017 };
        let answer = only(&scene, Side::Lan, Side::Lan, &hairpinned.back().at(syn_ack))?;
        scene.ensure((answer.from(), answer.to()) == (question.to(), question.from()), || format!("{answer:?}"))?;
        // The same port of others is theirs.
        scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN4, 1001), (WAN4, 80)))?;
    }
    Ok(())
}

#[test]
fn what_is_published_without_accept_needs_a_rule() -> Result {
    let published = PUBLISHED.replace("accept: true", "accept: false");
    let scene = Scene::new(&section(&published))?;
    let question = Packet::udp((WAN4, 1000), (Side::Wan.router4(), 80));
    scene.vanishes(Side::Wan, &question)?;
    let rule = r#"rules: [(from: ["wan"], to: ["lan"], translated: true, then: Accept)], "#;
    scene.reconfigure(&format!("{}, {rule}", section(&published)))?;
    let inside = only(&scene, Side::Wan, Side::Lan, &Packet::udp((WAN4, 1002), (Side::Wan.router4(), 80)))?;
    scene.ensure(inside.destination == IpAddr::from(SERVER4), || format!("{inside:?}"))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 1003), (SERVER4, 8080)))
}

#[test]
fn questions_to_anybody_are_redirected_to_the_router() -> Result {
    let fields = r#"nat: [(from: ["lan"], protocol: ["udp"], destination_port: ["53"], then: Redirect(port: "5353"))],
        rules: [(from: ["lan"], to: ["router"], protocol: ["udp"], destination_port: ["5353"], then: Accept)]"#;
    let scene = Scene::new(&gateway(fields))?;
    for question in [Packet::udp((LAN4, 1000), (WAN4, 53)), Packet::udp((LAN, 1000), (WAN, 53))] {
        let seen = scene.arrives(Side::Lan, &question)?;
        scene.ensure(seen.taken_ports() == Some((1000, 5353)), || format!("{seen:?}"))?;
        scene.ensure(seen.at(Side::Wan).is_empty(), || format!("it went on as well: {seen:?}"))?;
    }
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN4, 1000), (WAN4, 54)))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 1000), (LAN4, 53)))
}

/// RFC 6296, with the kernel's stateful mapping: everything behind the prefix stays.
#[test]
fn prefixes_are_exchanged_both_ways() -> Result {
    let fields = r#"nat: [(to: ["wan"], then: Prefix(inside: "fd00:1::/48", outside: "2001:db8:2f::/48"))],
        rules: [(from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["7"], then: Accept)]"#;
    let scene = Scene::new(&gateway(fields))?;
    let inside: Ipv6Addr = "fd00:1:0:42::a".parse().unwrap();
    let outside: Ipv6Addr = "2001:db8:2f:42::a".parse().unwrap();
    let question = Packet::udp((inside, 1000), (WAN, 53));
    scene.becomes(Side::Lan, Side::Wan, &question, outside, WAN)?;
    scene.becomes(Side::Wan, Side::Lan, &Packet::udp((WAN, 53), (outside, 1000)), WAN, inside)?;
    // Begun outside.
    let begun = Packet::udp((WAN, 2000), (outside, 7));
    scene.becomes(Side::Wan, Side::Lan, &begun, WAN, inside)?;
    scene.becomes(Side::Lan, Side::Wan, &Packet::udp((inside, 7), (WAN, 2000)), outside, WAN)?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN, 2000), (outside, 8)))?;
    // To the tunnel, and of other hosts, nothing changes.
    scene.passes(Side::Lan, Side::Tunnel, &Packet::udp((inside, 1000), (FAR, 53)))?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 1000), (WAN, 53))).map(drop)
}

#[test]
fn many_hosts_share_one_address_without_mixing_up_answers() -> Result {
    let scene = Scene::new(&section(r#"(to: ["wan"], then: Masquerade)"#))?;
    let host = |number: u8| Ipv4Addr::new(192, 168, 1, number);
    let mut outsides = Vec::new();
    for number in 100..140 {
        outsides.push((number, only(&scene, Side::Lan, Side::Wan, &Packet::udp((host(number), 1000), (WAN4, 53)))?));
    }
    for (number, outside) in &outsides {
        let inside = only(&scene, Side::Wan, Side::Lan, &outside.back())?;
        scene.ensure(inside.to() == (host(*number), 1000).into(), || format!("{number}: {inside:?}"))?;
    }
    Ok(())
}
