//! Zones, policies, rules and chains: which packet meets which of them, and what is counted.

use std::net::IpAddr;

use portreeve_tests::lab::Result;

use super::packet::{ACK, At, Packet, SYN};
use super::place::{FAR, FAR4, HOST4, LAN, LAN4, OTHER, OTHER4, SERVER4, Side, WAN, WAN4};
use super::scene::{Scene, gateway, zones};
use super::status;

#[test]
fn an_empty_section_is_a_closed_host() -> Result {
    let scene = Scene::new("")?;
    for (side, to) in [(Side::Lan, Side::Wan), (Side::Wan, Side::Lan), (Side::Tunnel, Side::Lan)] {
        scene.vanishes(side, &Packet::udp((side.host(), 1), (to.host(), 2)))?;
        scene.vanishes(side, &Packet::syn((side.host4(), 1), (to.host4(), 2)))?;
        scene.vanishes(side, &Packet::syn((side.host4(), 1), (side.router4(), 22)))?;
        scene.vanishes(side, &Packet::syn((side.host(), 1), (side.router(), 22)))?;
    }
    let (code, complaints) = scene.site.check()?;
    scene.ensure(code == 0 && complaints.contains("warning"), || complaints)
}

#[test]
fn the_first_policy_that_fits_a_pair_decides() -> Result {
    let fields = r#"policies: [
        (from: ["lan"], to: ["far"], then: Reject(NoRoute)),
        (from: ["lan"], to: ["*"], then: Accept),
        (from: ["far", "wan"], to: ["lan"], then: Accept),
        (from: ["wan"], to: ["lan"], then: Drop),
    ]"#;
    let scene = Scene::new(&zones(fields))?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 1), (WAN, 2)))?;
    let seen = scene.pass(Side::Lan, &Packet::udp((LAN, 1), (FAR, 2)))?;
    let told = seen.out.len() == 1 && seen.out[0].1.kind() == (58, 1, 0);
    scene.ensure(told, || format!("{seen:?}"))?;
    scene.passes(Side::Wan, Side::Lan, &Packet::udp((WAN4, 1), (LAN4, 2)))?;
    scene.passes(Side::Tunnel, Side::Lan, &Packet::udp((FAR4, 1), (LAN4, 2)))?;
    // No policy: dropped; also within a zone.
    scene.vanishes(Side::Tunnel, &Packet::udp((FAR4, 1), (WAN4, 2)))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 3), (OTHER4, 4)))?;
    // "*" in `to` of a policy is no word on the router.
    scene.vanishes(Side::Lan, &Packet::udp((LAN4, 1), (Side::Lan.router4(), 2)))?;
    // Within the LAN, over two interfaces: by the second policy.
    let seen = scene.pass(Side::Lan, &Packet::icmp(LAN4, HOST4, 8, 0))?;
    scene.ensure(seen.is_through(Side::Lan, HOST4, LAN4), || format!("the host did not answer: {seen:?}"))
}

#[test]
fn an_interface_is_of_the_first_zone_that_names_it_and_one_of_none_passes_nothing() -> Result {
    let fields = r#"zones: {"special": (interfaces: ["lan0"]), "rest": (interfaces: ["lan*", "wan*"]) },
        policies: [(from: ["special"], to: ["rest"], then: Accept), (from: ["rest"], to: ["special"], then: Drop)],
        rules: [(from: ["rest"], to: ["rest"], then: Accept), (from: ["rest"], to: ["router"], icmp: ["echo-request"], then: Accept)],
        defaults: (rfc6092: false)"#;
    let scene = Scene::new(fields)?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN4, 1), (WAN4, 2)))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 1), (LAN4, 2)))?;
    // By the wildcard: wan0 and lan1 are one zone.
    let seen = scene.pass(Side::Wan, &Packet::icmp(WAN4, HOST4, 8, 0))?;
    scene.ensure(seen.is_through(Side::Wan, HOST4, WAN4), || format!("{seen:?}"))?;
    // sixbone is of no zone.
    scene.vanishes(Side::Tunnel, &Packet::udp((FAR4, 1), (WAN4, 2)))?;
    scene.vanishes(Side::Lan, &Packet::udp((LAN4, 1), (FAR4, 2)))?;
    scene.vanishes(Side::Tunnel, &Packet::icmp(FAR, WAN, 128, 0))?;
    scene.vanishes(Side::Wan, &Packet::icmp(WAN, FAR, 128, 0))?;
    // An interface that comes later is of the zone whose wildcard it fits.
    scene.router.run("ip link add wan7 type veth peer name far7")?;
    scene.router.run("ip link set wan7 up")?;
    scene.router.run("ip link set far7 up")?;
    scene.router.run("ip route add 203.0.113.0/24 dev wan7")?;
    scene.router.run("ip neigh add 203.0.113.1 lladdr 02:00:5e:10:00:77 dev wan7")?;
    scene.pass(Side::Lan, &Packet::udp((LAN4, 1), ("203.0.113.1".parse::<IpAddr>().unwrap(), 2)))?;
    let sent = scene.router.json("ip -s -j link show dev wan7")?[0]["stats64"]["tx"]["packets"].as_u64();
    scene.wait("the packet at the new interface", || {
        let now = scene.router.json("ip -s -j link show dev wan7").ok()?[0]["stats64"]["tx"]["packets"].as_u64()?;
        // What the kernel sends by itself there is not to the neighbour: ask conntrack, too.
        let known = scene.router.output("conntrack -L -d 203.0.113.1").ok()?;
        (Some(now) >= sent && known.contains("dport=2")).then_some(())
    })
}

#[test]
fn rules_come_before_policies_and_the_first_that_matches_decides() -> Result {
    let fields = r#"policies: [(from: ["wan"], to: ["lan"], then: Accept)],
        rules: [
            (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["10-19"], source: ["198.51.100.9"], then: Drop),
            (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["15"], then: Accept),
            (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["12-30"], then: Drop),
            (to: ["lan"], destination: ["192.168.1.20"], protocol: ["udp"], then: Drop),
        ],
        forward: (policy: Drop, rules: [(protocol: ["udp"], destination_port: ["29"], then: Accept)])"#;
    let scene = Scene::new(&zones(fields))?;
    for (source, destination, port, passes) in [
        (WAN4, LAN4, 9, true),
        (WAN4, LAN4, 10, false),
        (WAN4, LAN4, 15, false),
        (OTHER4, LAN4, 10, true),
        (OTHER4, LAN4, 15, true),
        (OTHER4, LAN4, 12, false),
        (OTHER4, LAN4, 30, false),
        (OTHER4, LAN4, 31, true),
        (OTHER4, LAN4, 29, true),
        (OTHER4, SERVER4, 31, false),
        (OTHER4, SERVER4, 15, true),
    ] {
        let packet = Packet::udp((source, 5), (destination, port));
        match passes {
            true => drop(scene.passes(Side::Wan, Side::Lan, &packet)?),
            false => scene.vanishes(Side::Wan, &packet)?,
        }
    }
    Ok(())
}

#[test]
fn chains_are_entered_and_left_as_they_are_written() -> Result {
    let fields = r#"rules: [
            (from: ["wan"], to: ["lan"], protocol: ["udp"], then: Jump("first")),
            (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["3"], then: Accept),
            (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["6"], then: Goto("last")),
            (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["6"], then: Accept),
        ],
        chains: {
            "first": [
                (destination_port: ["1"], then: Accept),
                (destination_port: ["3"], then: Return),
                (destination_port: ["3"], then: Drop),
                (destination_port: ["4"], then: Jump("second")),
            ],
            "second": [(source_port: ["9"], then: Accept)],
            "last": [(source_port: ["9"], then: Accept)],
        }"#;
    let scene = Scene::new(&zones(fields))?;
    for (source, port, passes) in
        [(5, 1, true), (5, 2, false), (5, 3, true), (5, 4, false), (9, 4, true), (5, 6, false), (9, 6, true)]
    {
        let packet = Packet::udp((WAN, source), (LAN, port));
        match passes {
            true => drop(scene.passes(Side::Wan, Side::Lan, &packet)?),
            false => scene.vanishes(Side::Wan, &packet)?,
        }
    }
    Ok(())
}

#[test]
fn addresses_are_matched_by_prefix_range_negation_and_interface_identifier() -> Result {
    let rule = |port: u16, fields: &str| {
        format!(
            r#"(from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["{port}"], {fields}, then: Accept),"#
        )
    };
    let rules = [
        rule(1, r#"destination: ["::a/::ffff:ffff:ffff:ffff"]"#),
        rule(2, r#"source: ["2001:db8:f::/48", "198.51.100.0/25"]"#),
        rule(3, r#"source: ["!2001:db8:f::/48", "!198.51.100.0/25"]"#),
        rule(4, r#"source: ["198.51.100.9-198.51.100.199", "2001:db8:f::e-2001:db8:f::10"]"#),
        rule(5, r#"source_port: ["!1000-2000"]"#),
        rule(6, r#"hop_limit: ">64""#),
    ];
    let scene = Scene::new(&zones(&format!("rules: [{}]", rules.concat())))?;
    let v6 = |source, port| Packet::udp((source, 1500), (LAN, port));
    let v4 = |source, port| Packet::udp((source, 1500), (LAN4, port));
    let fits: [(Packet, bool); 13] = [
        (v6(WAN, 1), true),
        (Packet::udp((WAN, 1500), (super::place::SERVER, 1)), false),
        (v6(WAN, 2), true),
        (v6(OTHER, 2), false),
        (v4(WAN4, 2), true),
        (v4(OTHER4, 2), false),
        (v6(WAN, 3), false),
        (v6(OTHER, 3), true),
        (v4(WAN4, 3), false),
        (v4(OTHER4, 3), true),
        (v4(WAN4, 4), true),
        (v4(OTHER4, 4), false),
        (v6(WAN, 4), true),
    ];
    let ports = [
        (Packet::udp((WAN, 1500), (LAN, 5)), false),
        (Packet::udp((WAN, 2001), (LAN, 5)), true),
        // One hop is taken before it is forwarded.
        (v6(WAN, 6).hop_limit(65), false),
        (v6(WAN, 6).hop_limit(66), true),
        (v4(WAN4, 6).hop_limit(65), false),
        (v4(WAN4, 6).hop_limit(66), true),
    ];
    for (packet, passes) in fits.into_iter().chain(ports) {
        match passes {
            true => drop(scene.passes(Side::Wan, Side::Lan, &packet)?),
            false => scene.vanishes(Side::Wan, &packet)?,
        }
    }
    Ok(())
}

/// TCP's option 2 (RFC 9293 section 3.2).
fn mss(segment: &Packet) -> Option<u16> {
    match segment.body.get(20..24)? {
        [2, 4, high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

#[test]
fn segments_are_held_to_what_fits_and_never_raised() -> Result {
    let zones = r#"zones: {
            "lan": (interfaces: ["lan*"]),
            "wan": (interfaces: ["wan0"], mss_clamp: PathMtu),
            "far": (interfaces: ["sixbone"], mss_clamp: Bytes(1200)),
        }, policies: [(from: ["*"], to: ["*"], then: Accept)]"#;
    let mut scene = Scene::laid_out(zones)?;
    scene.router.run("ip link set wan0 mtu 1400")?;
    scene.start()?;
    let syn = |source: IpAddr, destination: IpAddr, flags: u8, offer: u16| {
        let [high, low] = offer.to_be_bytes();
        let at = At { flags, sequence: 1, acknowledgement: 0 };
        Packet::tcp_with((source, offer), (destination, 80), at, &[2, 4, high, low])
    };
    for (from, to, source, destination, offer, expected) in [
        (Side::Lan, Side::Wan, IpAddr::from(LAN), IpAddr::from(WAN), 1440, 1340),
        (Side::Lan, Side::Wan, LAN4.into(), WAN4.into(), 1460, 1360),
        (Side::Lan, Side::Wan, LAN4.into(), WAN4.into(), 1000, 1000),
        (Side::Lan, Side::Tunnel, LAN.into(), FAR.into(), 1440, 1200),
        (Side::Tunnel, Side::Lan, FAR.into(), LAN.into(), 1441, 1200),
        (Side::Tunnel, Side::Lan, FAR4.into(), LAN4.into(), 600, 600),
    ] {
        let seen = scene.passes(from, to, &syn(source, destination, SYN, offer))?;
        let clamped = mss(&seen.out[0].1);
        scene.ensure(clamped == Some(expected), || format!("{source} to {destination}: {offer} became {clamped:?}"))?;
    }
    // A segment without SYN is no offer.
    let seen = scene.passes(Side::Lan, Side::Tunnel, &syn(LAN.into(), FAR.into(), ACK, 1442))?;
    scene.ensure(mss(&seen.out[0].1) == Some(1442), || format!("{seen:?}"))
}

#[test]
fn what_is_counted_is_shown_to_the_packet() -> Result {
    let fields = r#"rules: [
        (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["7"], then: Accept, count: "echo"),
        (from: ["wan"], to: ["lan"], protocol: ["tcp"], destination_port: ["22"], then: Drop, count: "ssh", name: "no-ssh")]"#;
    let policies =
        r#"policies: [(from: ["lan"], to: ["wan"], then: Accept), (from: ["wan"], to: ["lan"], then: Drop)], "#;
    let scene = Scene::new(&zones(&format!("{policies}{fields}")))?;
    for port in 1..=5 {
        scene.passes(Side::Wan, Side::Lan, &Packet::udp((WAN, port), (LAN, 7)))?;
    }
    for port in 1..=3 {
        scene.vanishes(Side::Wan, &Packet::syn((WAN4, port), (LAN4, 22)))?;
    }
    for _ in 0..4 {
        scene.vanishes(Side::Wan, &Packet::udp((WAN4, 1), (LAN4, 1)))?;
    }
    for (counter, expected) in [("echo", 5), ("ssh", 3), ("wan-lan", 4)] {
        let packets = status::packets(scene.core(), counter)?;
        scene.ensure(packets == expected, || format!("{counter}: {packets}, not {expected}"))?;
    }
    Ok(())
}

#[test]
fn what_is_dropped_early_or_not_tracked_is_decided_before_all_else() -> Result {
    let fields = r#"prerouting: [
            (source: ["198.51.100.200"], then: Drop),
            (incoming: ["sixbone"], protocol: ["udp"], destination_port: ["53"], then: Notrack),
        ],
        rules: [(from: ["far"], to: ["lan"], states: [Untracked], then: Accept), (from: ["wan"], to: ["lan"], then: Accept)]"#;
    let scene = Scene::new(&gateway(fields))?;
    scene.vanishes(Side::Wan, &Packet::udp((OTHER4, 1), (LAN4, 2)))?;
    scene.passes(Side::Wan, Side::Lan, &Packet::udp((WAN4, 1), (LAN4, 2)))?;
    scene.passes(Side::Tunnel, Side::Lan, &Packet::udp((FAR4, 1), (LAN4, 53)))?;
    scene.vanishes(Side::Tunnel, &Packet::udp((FAR4, 1), (LAN4, 54)))?;
    let known = scene.router.output("conntrack -L -s 10.6.0.6")?;
    scene.ensure(!known.contains("dport=53"), || known)
}

#[test]
fn fragments_are_judged_together_although_no_connection_is_tracked() -> Result {
    let fields = r#"rules: [(from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["1-65535"], then: Accept)],
        defaults: (stateful: false)"#;
    let scene = Scene::new(&zones(fields))?;
    let rules = scene.rules();
    scene.ensure(rules.contains("tproxy") && !rules.contains("ct state") && !rules.contains("notrack"), || rules)?;
    let (small, large) = (vec![0x55_u8; 40], Packet::udp((WAN4, 1), (LAN4, 2)));
    for mut datagram in [large.clone(), Packet { source: WAN.into(), destination: LAN.into(), ..large }] {
        // The second fragment has the marker as well, at its beginning: for ports, if it is taken for a datagram.
        let marker = datagram.body[8..24].to_vec();
        datagram.body.extend([&marker[..], &small].concat());
        let length = u16::try_from(datagram.body.len()).unwrap();
        datagram.body[4..6].copy_from_slice(&length.to_be_bytes());
        let [first, second] = datagram.fragments(24);
        let alone = scene.pass_bytes(Side::Wan, &second)?;
        scene.ensure(alone.is_nothing(), || format!("the second fragment passed alone: {alone:?}"))?;
        let both = scene.pass_bytes(Side::Wan, &first)?;
        let out = both.out.iter().filter(|(side, _)| *side == Side::Lan).count();
        scene.ensure(out == 2 && both.out.len() == 2, || format!("the datagram did not pass: {both:?}"))?;
    }
    Ok(())
}

/// Addresses can be forged within a LAN as well, but who moves to another port takes the hardware address along.
#[test]
fn only_who_has_the_hardware_address_is_let_in() -> Result {
    let section = |mac: &str| {
        let rule =
            format!(r#"(from: ["lan"], to: ["router"], icmp: ["echo-request"], source_mac: ["{mac}"], then: Accept)"#);
        gateway(&format!("rules: [{rule}], defaults: (ping: false)"))
    };
    let scene = Scene::new(&section("02:00:5e:10:00:02"))?;
    let ping = |to: &str, seconds: u8| scene.host.output(&format!("ping -n -c 1 -W {seconds} {to}")).is_ok();
    for router in ["192.168.2.1", "2001:db8:12::1"] {
        scene.ensure(ping(router, 10), || format!("{router} does not answer"))?;
    }
    // The wires have no hardware addresses.
    scene.vanishes(Side::Lan, &Packet::icmp(LAN4, Side::Lan.router4(), 8, 0))?;
    scene.reconfigure(&section("02:00:5e:10:00:03"))?;
    for router in ["192.168.2.1", "2001:db8:12::1"] {
        scene.ensure(!ping(router, 1), || format!("{router} answers"))?;
    }
    Ok(())
}
