//! Sources that cannot be: of another zone, of nobody, of the loopback, of private networks within 6to4.
//!
//! Every policy here accepts, so that nothing but the source is at issue. The kernel's own check (rp_filter) is off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_tests::lab::Result;

use super::packet::{Packet, UDP};
use super::place::{FAR, FAR4, LAN, LAN4, NEIGHBOUR, ROUTER_LINK, Side, WAN, WAN4};
use super::scene::Scene;

/// All zones check like this, and everything is accepted.
fn section(lan: &str, wan: &str, far: &str) -> String {
    format!(
        r#"zones: {{
            "lan": (interfaces: ["lan0", "lan1"], {lan}),
            "wan": (interfaces: ["wan0"], {wan}),
            "far": (interfaces: ["sixbone"], {far}),
        }}, policies: [(from: ["*"], to: ["*"], then: Accept), (from: ["*"], to: ["router"], then: Accept)]"#
    )
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A datagram with this source, to a host behind `to` and to the router.
fn from(source: IpAddr, side: Side, to: Side) -> [Packet; 2] {
    let ends: [IpAddr; 2] = match source {
        IpAddr::V4(_) => [to.host4().into(), side.router4().into()],
        IpAddr::V6(_) => [to.host().into(), side.router().into()],
    };
    ends.map(|destination| Packet::udp((source, 1), (destination, 2)))
}

fn believed(scene: &Scene, source: IpAddr, side: Side, to: Side) -> Result {
    let [through, here] = from(source, side, to);
    scene.passes(side, to, &through)?;
    scene.arrives(side, &here).map(drop)
}

fn spoofed(scene: &Scene, source: IpAddr, side: Side, to: Side) -> Result {
    from(source, side, to).iter().try_for_each(|packet| scene.vanishes(side, packet))
}

#[test]
fn strictly_a_source_comes_from_where_its_route_leads() -> Result {
    let scene = Scene::new(&section("", "", ""))?;
    for (side, to, genuine, foreign) in [
        (
            Side::Lan,
            Side::Wan,
            [IpAddr::from(LAN), LAN4.into()],
            [IpAddr::from(WAN), WAN4.into(), FAR.into(), FAR4.into()],
        ),
        (Side::Wan, Side::Lan, [WAN.into(), WAN4.into()], [LAN.into(), LAN4.into(), FAR.into(), FAR4.into()]),
        (Side::Tunnel, Side::Lan, [FAR.into(), FAR4.into()], [LAN.into(), LAN4.into(), WAN.into(), WAN4.into()]),
    ] {
        for source in genuine {
            believed(&scene, source, side, to)?;
        }
        for source in foreign {
            spoofed(&scene, source, side, to)?;
        }
        // The router's own addresses come from no wire.
        for own in [IpAddr::from(side.router()), side.router4().into()] {
            spoofed(&scene, own, side, to)?;
        }
    }
    Ok(())
}

/// Neighbour discovery and DHCP begin without an address.
#[test]
fn neighbours_and_hosts_without_an_address_are_believed() -> Result {
    let scene = Scene::new(&section("", "", ""))?;
    for side in [Side::Lan, Side::Wan, Side::Tunnel] {
        scene.arrives(side, &Packet::udp((NEIGHBOUR, 546), (ROUTER_LINK, 547)))?;
        let unspecified = Packet::icmp(Ipv6Addr::UNSPECIFIED, "ff02::1".parse::<Ipv6Addr>().unwrap(), 135, 0);
        scene.arrives(side, &unspecified.hop_limit(255))?;
        let discover = Packet::udp((Ipv4Addr::UNSPECIFIED, 68), (Ipv4Addr::BROADCAST, 67));
        scene.arrives(side, &discover)?;
    }
    Ok(())
}

#[test]
fn loosely_a_source_needs_some_route_and_off_none() -> Result {
    let unroutable = [address("2001:db8:dead::1"), address("203.0.113.99")];
    let scene = Scene::laid_out(&section("anti_spoofing: Off", "anti_spoofing: Loose", "anti_spoofing: Strict"))?;
    scene.router.run("ip -6 route add unreachable 2001:db8:dead::/48")?;
    scene.router.run("ip route add unreachable 203.0.113.0/24")?;
    let mut scene = scene;
    scene.start()?;
    for source in unroutable {
        believed(&scene, source, Side::Lan, Side::Wan)?;
        spoofed(&scene, source, Side::Wan, Side::Lan)?;
        spoofed(&scene, source, Side::Tunnel, Side::Lan)?;
    }
    for source in [IpAddr::from(FAR), FAR4.into()] {
        believed(&scene, source, Side::Lan, Side::Wan)?;
        believed(&scene, source, Side::Wan, Side::Lan)?;
    }
    spoofed(&scene, WAN.into(), Side::Tunnel, Side::Lan)
}

#[test]
fn a_zone_with_networks_has_no_other_sources() -> Result {
    let networks = r#"anti_spoofing: Off, networks: ["2001:db8:6::6", "2001:db8:6:1::/64", "10.6.0.1-10.6.0.9"]"#;
    let scene = Scene::new(&section("", "", networks))?;
    for source in ["2001:db8:6::6", "2001:db8:6:1::99", "10.6.0.1", "10.6.0.6", "10.6.0.9"] {
        believed(&scene, address(source), Side::Tunnel, Side::Lan)?;
    }
    for source in ["2001:db8:6::7", "2001:db8:6:2::99", "10.6.0.10", "10.5.255.255", "2001:db8:f::f"] {
        spoofed(&scene, address(source), Side::Tunnel, Side::Lan)?;
    }
    scene.arrives(Side::Tunnel, &Packet::udp((NEIGHBOUR, 546), (ROUTER_LINK, 547))).map(drop)
}

/// The kernel itself drops ::1; 127/8 passes it where a route asks for it.
#[test]
fn the_loopbacks_addresses_come_from_no_wire() -> Result {
    let off = "anti_spoofing: Off";
    let scene = Scene::new(&section(off, off, off))?;
    for side in [Side::Lan, Side::Wan, Side::Tunnel] {
        scene.router.sysctl(&format!("net.ipv4.conf.{}.route_localnet", side.interface()), "1")?;
        for source in ["127.0.0.1", "127.1.2.3", "::1"] {
            let to = if side == Side::Lan { Side::Wan } else { Side::Lan };
            spoofed(&scene, address(source), side, to)?;
        }
        // Nor do they lead there.
        scene.vanishes(side, &Packet::udp((side.host4(), 1), (Ipv4Addr::LOCALHOST, 2)))?;
        scene.vanishes(side, &Packet::udp((side.host(), 1), (Ipv6Addr::LOCALHOST, 2)))?;
    }
    // The router to itself.
    let own = scene.router.enter(|| {
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
        socket.send_to(b"hello", socket.local_addr()?)?;
        socket.recv(&mut [0; 8])
    })?;
    scene.ensure(own.as_ref().is_ok_and(|length| *length == 5), || format!("{own:?}"))
}

/// 6to4 with this IPv4 address within (RFC 3056 section 2).
fn six_to_four(embedded: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = embedded.octets().map(u16::from);
    Ipv6Addr::new(0x2002, a << 8 | b, c << 8 | d, 0, 0, 0, 0, 1)
}

/// RFC 3964 section 5.
#[test]
fn six_to_four_with_an_address_that_no_relay_can_have_is_dropped() -> Result {
    let mut scene = Scene::laid_out(&section("", "", "anti_spoofing: Off, rfc3964: true"))?;
    scene.router.run("ip -6 route add 2002::/16 dev sixbone")?;
    scene.start()?;
    for embedded in ["198.51.100.9", "203.0.113.1", "11.0.0.1", "172.32.0.1", "9.255.255.255", "223.255.255.255"] {
        let relay = six_to_four(embedded.parse().unwrap());
        believed(&scene, relay.into(), Side::Tunnel, Side::Lan)?;
        scene.passes(Side::Lan, Side::Tunnel, &Packet::udp((LAN, 5), (relay, 6)))?;
    }
    for embedded in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "127.0.0.1",
        "169.254.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        let relay = six_to_four(embedded.parse().unwrap());
        spoofed(&scene, relay.into(), Side::Tunnel, Side::Lan)?;
        scene.vanishes(Side::Lan, &Packet::udp((LAN, 5), (relay, 6)))?;
    }
    // Compatible and mapped addresses (section 5.1).
    for source in ["::10.0.0.1", "::198.51.100.9", "::ffff:198.51.100.9"] {
        spoofed(&scene, address(source), Side::Tunnel, Side::Lan)?;
    }
    believed(&scene, FAR.into(), Side::Tunnel, Side::Lan)
}

/// What is no TCP or UDP is checked as well: protocols are not asked for.
#[test]
fn any_protocol_is_checked() -> Result {
    let scene = Scene::new(&section("", "", ""))?;
    for protocol in [47, 50, 89, 132, UDP] {
        let body = [&[0; 8][..], super::packet::MARKER].concat();
        scene.vanishes(Side::Wan, &Packet::new(LAN, FAR, protocol, body.clone()))?;
        scene.vanishes(Side::Wan, &Packet::new(LAN4, FAR4, protocol, body))?;
    }
    Ok(())
}
