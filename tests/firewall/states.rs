//! Connections: new, established, related to one, fitting none; and tunnels' protocols.

use std::net::IpAddr;

use portreeve_tests::lab::{Result, ensure};

use super::packet::{ACK, At, ESP, FIN, IPV6, MARKER, PSH, Packet, RST, SYN};
use super::place::{FAR, FAR4, LAN, LAN4, OTHER, OTHER4, SERVER, Side, WAN, WAN4};
use super::scene::{Scene, gateway, router_ron, zones};
use super::status;

/// Opens a connection from inside and gives its last segment, from inside: sequence 1017, next expected 5017.
///
/// SYNs carry the marker as data, which counts.
fn opened(scene: &Scene, from: (Side, IpAddr, u16), to: (Side, IpAddr, u16)) -> Result<Packet> {
    let syn = Packet::syn((from.1, from.2), (to.1, to.2));
    let length = u32::try_from(MARKER.len()).unwrap();
    scene.passes(from.0, to.0, &syn)?;
    let answer = At { flags: SYN | ACK, sequence: 5000, acknowledgement: 1001 + length };
    scene.passes(to.0, from.0, &syn.back().at(answer))?;
    let last = syn.at(At { flags: ACK, sequence: 1001 + length, acknowledgement: 5001 + length });
    scene.passes(from.0, to.0, &last)?;
    Ok(last)
}

/// Sequence and acknowledgement of a segment.
fn numbers(segment: &Packet) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(*segment.body[at..].first_chunk().unwrap());
    (number(4), number(8))
}

#[test]
fn connections_begin_inside_and_go_on_both_ways() -> Result {
    let scene = strict()?;
    for (inside, outside) in [(IpAddr::from(LAN), IpAddr::from(WAN)), (LAN4.into(), WAN4.into())] {
        let last = opened(&scene, (Side::Lan, inside, 1000), (Side::Wan, outside, 80))?;
        let (sequence, acknowledgement) = numbers(&last);
        let data = At { flags: ACK | PSH, sequence: acknowledgement, acknowledgement: sequence };
        scene.passes(Side::Wan, Side::Lan, &last.back().at(data))?;
        scene.passes(Side::Lan, Side::Wan, &last.at(At { flags: ACK | PSH, sequence, acknowledgement }))?;
        // Not from outside, and not to another zone.
        scene.vanishes(Side::Wan, &Packet::syn((outside, 1000), (inside, 80)))?;
        scene.vanishes(Side::Wan, &Packet::syn((outside, 80), (inside, 1001)))?;
    }
    scene.vanishes(Side::Tunnel, &Packet::syn((FAR, 1000), (WAN, 80)))?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN4, 1000), (FAR4, 80)))
}

#[test]
fn datagrams_pass_as_answers_only() -> Result {
    let scene = Scene::new(&gateway(""))?;
    for (inside, outside, other) in
        [(IpAddr::from(LAN), IpAddr::from(WAN), IpAddr::from(OTHER)), (LAN4.into(), WAN4.into(), OTHER4.into())]
    {
        let question = Packet::udp((inside, 1000), (outside, 53));
        scene.vanishes(Side::Wan, &question.back())?;
        scene.passes(Side::Lan, Side::Wan, &question)?;
        scene.passes(Side::Wan, Side::Lan, &question.back())?;
        scene.passes(Side::Lan, Side::Wan, &question)?;
        // Another port, another host, another way in.
        scene.vanishes(Side::Wan, &Packet::udp((outside, 54), (inside, 1000)))?;
        scene.vanishes(Side::Wan, &Packet::udp((outside, 53), (inside, 1001)))?;
        scene.vanishes(Side::Wan, &Packet::udp((other, 53), (inside, 1000)))?;
        // To the router: nobody may.
        let router = if inside.is_ipv4() { Side::Lan.router4().into() } else { IpAddr::from(Side::Lan.router()) };
        scene.vanishes(Side::Lan, &Packet::udp((inside, 1000), (router, 53)))?;
    }
    Ok(())
}

#[test]
fn segments_that_fit_no_connection_are_dropped_even_from_inside() -> Result {
    let scene = strict()?;
    let odd = [ACK, ACK | PSH, FIN | ACK, RST, SYN | ACK, SYN | FIN, SYN | RST, 0, FIN | PSH | 32];
    for (number, flags) in (2000..).zip(odd) {
        for (inside, outside) in [(IpAddr::from(LAN), IpAddr::from(WAN)), (LAN4.into(), WAN4.into())] {
            let segment = Packet::tcp((inside, number), (outside, 80), At { flags, sequence: 1, acknowledgement: 1 });
            scene.vanishes(Side::Lan, &segment)?;
            scene.vanishes(Side::Wan, &segment.back())?;
        }
    }
    Ok(())
}

#[test]
fn segments_out_of_the_window_are_dropped_unless_conntrack_is_told_to_be_liberal() -> Result {
    let scene = strict()?;
    let last = opened(&scene, (Side::Lan, LAN.into(), 1000), (Side::Wan, WAN.into(), 80))?;
    let (sequence, acknowledgement) = numbers(&last);
    let far = At { flags: ACK | PSH, sequence: acknowledgement.wrapping_add(1 << 30), acknowledgement: sequence };
    scene.vanishes(Side::Wan, &last.back().at(far))?;
    let reset = At { flags: RST, sequence: acknowledgement.wrapping_add(1 << 30), acknowledgement: 0 };
    scene.vanishes(Side::Wan, &last.back().at(reset))?;
    scene.passes(Side::Wan, Side::Lan, &last.back().at(At { sequence: acknowledgement, ..far }))?;
    scene.reconfigure(&gateway("conntrack: (tcp_loose: false, tcp_liberal: true)"))?;
    parameter(&scene, "tcp_be_liberal", "1")?;
    scene.passes(Side::Wan, Side::Lan, &last.back().at(far)).map(drop)
}

/// Waits until a parameter of conntrack has this value: they are set once the rules stand.
fn parameter(scene: &Scene, name: &str, value: &str) -> Result {
    let line = format!("cat /proc/sys/net/netfilter/nf_conntrack_{name}");
    scene.wait(&format!("{name} = {value}"), || {
        scene.router.output(&line).ok().filter(|found| found.trim() == value).map(drop)
    })
}

/// A gateway to which a mid-stream segment does not begin a connection.
fn strict() -> Result<Scene> {
    let scene = Scene::new(&gateway("conntrack: (tcp_loose: false)"))?;
    parameter(&scene, "tcp_loose", "0")?;
    Ok(scene)
}

#[test]
fn parameters_of_conntrack_are_set_as_they_are_written() -> Result {
    let fields = r#"conntrack: (tcp_loose: false, tcp_liberal: true, accounting: true,
        timeouts: {"tcp_timeout_established": "1h", "udp_timeout": "45s"})"#;
    let scene = Scene::new(&gateway(fields))?;
    for (name, value) in [
        ("tcp_loose", "0"),
        ("tcp_be_liberal", "1"),
        ("acct", "1"),
        ("tcp_timeout_established", "3600"),
        ("udp_timeout", "45"),
    ] {
        parameter(&scene, name, value)?;
    }
    Ok(())
}

/// `nf_conntrack_max` can be written in the first namespace only, so here it is what cannot be set.
#[test]
fn a_parameter_that_cannot_be_set_is_told_and_the_others_are_set() -> Result {
    let scene = strict()?;
    scene.put(&router_ron(Some(&gateway("conntrack: (max: 54321, tcp_loose: true, accounting: true)"))))?;
    scene.wait("a word on it", || {
        let plugin = status::plugin(scene.core()).ok()?;
        plugin["reason"].as_str().filter(|reason| reason.contains("nf_conntrack_max")).map(drop)
    })?;
    parameter(&scene, "tcp_loose", "1")?;
    parameter(&scene, "acct", "1")?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN, 1), (LAN, 80)))
}

#[test]
fn a_rule_may_ask_for_a_state() -> Result {
    let fields = r#"defaults: (stateful: false, rfc4890: false, rfc6092: false, ping: false), conntrack: (tcp_loose: false),
        rules: [
            (from: ["lan"], to: ["wan"], states: [New, Established], then: Accept),
            (from: ["wan"], to: ["lan"], states: [Established], then: Accept),
            (from: ["wan"], to: ["lan"], states: [Invalid], protocol: ["tcp"], then: Reject(PortUnreachable)),
            (from: ["far"], to: ["lan"], not_states: [Established, Related], destination_port: ["9"], then: Accept),
        ]"#;
    let scene = Scene::new(&zones(fields))?;
    parameter(&scene, "tcp_loose", "0")?;
    let question = Packet::udp((LAN, 1000), (WAN, 53));
    scene.vanishes(Side::Wan, &question.back())?;
    scene.passes(Side::Lan, Side::Wan, &question)?;
    scene.passes(Side::Wan, Side::Lan, &question.back())?;
    let segment = Packet::tcp((WAN, 80), (LAN, 1234), At { flags: ACK, sequence: 1, acknowledgement: 1 });
    let seen = scene.pass(Side::Wan, &segment)?;
    let told = seen.at(Side::Wan).first().is_some_and(|packet| packet.kind() == (58, 1, 4));
    scene.ensure(told && seen.out.len() == 1, || format!("{seen:?}"))?;
    scene.passes(Side::Tunnel, Side::Lan, &Packet::udp((FAR, 9), (SERVER, 9)))?;
    scene.vanishes(Side::Tunnel, &Packet::udp((FAR, 9), (SERVER, 10)))
}

/// What the gateway of 2006 needed `iptables -I INPUT -j ACCEPT --proto 41` for.
#[test]
fn protocol_41_comes_in_by_a_rule_and_not_without() -> Result {
    let inner = Packet::udp((FAR, 9), (LAN, 9)).bytes();
    let outer = |source| Packet::new(source, Side::Wan.router4(), IPV6, inner.clone());
    let scene = Scene::new(&gateway(""))?;
    scene.vanishes(Side::Wan, &outer(WAN4))?;
    for protocol in ["41", "ipv6", "6in4"] {
        scene.reconfigure(&gateway(&format!(
            r#"rules: [(from: ["wan"], to: ["router"], protocol: ["{protocol}"], source: ["{WAN4}"], then: Accept)]"#
        )))?;
        scene.arrives(Side::Wan, &outer(WAN4))?;
        scene.vanishes(Side::Wan, &outer(OTHER4))?;
        // Only to the router.
        scene.vanishes(Side::Wan, &Packet::new(WAN4, LAN4, IPV6, inner.clone()))?;
        // What is known is let through by its state: begin anew.
        scene.router.run("conntrack -F")?;
    }
    Ok(())
}

/// RFC 6092 section 3.2.4: IPsec passes to hosts behind, of IPv6 alone.
#[test]
fn ipsec_passes_to_hosts_behind_by_default_and_not_without_the_default() -> Result {
    let scene = Scene::new(&gateway(""))?;
    let body = [&[0, 0, 0x12, 0x34, 0, 0, 0, 1][..], MARKER].concat();
    let esp = Packet::new(WAN, LAN, ESP, body.clone());
    let ike = Packet::udp((WAN, 500), (LAN, 500));
    scene.passes(Side::Wan, Side::Lan, &esp)?;
    scene.passes(Side::Wan, Side::Lan, &ike)?;
    scene.vanishes(Side::Wan, &Packet::new(WAN4, LAN4, ESP, body))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 500), (LAN4, 500)))?;
    // Not to the router, and not where nobody may answer.
    scene.vanishes(Side::Wan, &Packet::udp((WAN, 500), (Side::Wan.router(), 500)))?;
    scene.vanishes(Side::Wan, &Packet::udp((WAN, 500), (FAR, 500)))?;
    scene.reconfigure(&gateway("defaults: (rfc6092: false)"))?;
    scene.router.run("conntrack -F")?;
    scene.vanishes(Side::Wan, &esp)?;
    scene.vanishes(Side::Wan, &ike)
}

/// What the operator has written comes before what passes by default.
#[test]
fn neither_pings_nor_ipsec_pass_where_a_rule_or_a_policy_keeps_a_zone_away() -> Result {
    let section = |policies: &str, rules: &str| {
        zones(&format!(
            r#"policies: [(from: ["lan"], to: ["wan", "far"], then: Accept), {policies}], rules: [{rules}],"#
        ))
    };
    let scene = Scene::new(&section("", ""))?;
    let unasked = |number: u16| {
        let body = [&[0, 0, 0x12, number.to_be_bytes()[1], 0, 0, 0, 1][..], MARKER].concat();
        [Packet::icmp(FAR, LAN, 128, 0), Packet::new(FAR, LAN, ESP, body), Packet::udp((FAR, 500), (LAN, 500))]
    };
    for packet in unasked(1) {
        scene.passes(Side::Tunnel, Side::Lan, &packet)?;
    }
    for (policies, rules) in
        [(r#"(from: ["far"], to: ["lan"], then: Drop)"#, ""), ("", r#"(from: ["far"], to: ["lan"], then: Drop)"#)]
    {
        scene.reconfigure(&section(policies, rules))?;
        scene.router.run("conntrack -F")?;
        for packet in unasked(2) {
            scene.vanishes(Side::Tunnel, &packet)?;
        }
        // It is about this zone alone.
        scene.passes(Side::Wan, Side::Lan, &Packet::icmp(WAN, LAN, 128, 0))?;
    }
    // The router's own answers, too.
    scene.arrives(Side::Tunnel, &Packet::icmp(FAR, Side::Tunnel.router(), 128, 0))?;
    scene.reconfigure(&section(r#"(from: ["far"], to: ["router"], then: Drop)"#, ""))?;
    scene.router.run("conntrack -F")?;
    scene.vanishes(Side::Tunnel, &Packet::icmp(FAR, Side::Tunnel.router(), 128, 0))
}

#[test]
fn the_router_asks_whom_it_likes_and_hears_the_answers_alone() -> Result {
    let scene = Scene::new(&gateway(""))?;
    let socket = scene.router.enter(|| std::net::UdpSocket::bind((Side::Wan.router4(), 0)))??;
    let port = socket.local_addr()?.port();
    scene.vanishes(Side::Wan, &Packet::udp((WAN4, 53), (Side::Wan.router4(), port)))?;
    let seen = scene.during(|_| Ok(socket.send_to(MARKER, (WAN4, 53)).map(drop)?))?;
    ensure(seen.is_through(Side::Wan, Side::Wan.router4(), WAN4), || format!("{seen:?}"))?;
    scene.arrives(Side::Wan, &Packet::udp((WAN4, 53), (Side::Wan.router4(), port)))?;
    scene.vanishes(Side::Wan, &Packet::udp((OTHER4, 53), (Side::Wan.router4(), port)))
}

#[test]
fn output_is_decided_by_rules_and_policies_too() -> Result {
    // The second port is that of the sentinels.
    let fields = r#"rules: [(from: ["router"], to: ["wan"], protocol: ["udp"], destination_port: ["53", "60999"], then: Accept)],
        policies: [(from: ["router"], to: ["wan"], then: Drop), (from: ["router"], to: ["far"], then: Accept)],
        output: (policy: Accept, rules: [(protocol: ["udp"], destination_port: ["7"], then: Drop)])"#;
    let scene = Scene::new(&zones(fields))?;
    let socket = scene.router.enter(|| std::net::UdpSocket::bind(("::", 0)))??;
    // A refusal of the filter shows as an error of the call.
    let sent = |to: IpAddr, port: u16| {
        scene.during(|_| {
            let _ = socket.send_to(MARKER, (to, port));
            Ok(())
        })
    };
    for (to, port, side, passes) in [
        (IpAddr::from(WAN), 53, Side::Wan, true),
        (WAN.into(), 54, Side::Wan, false),
        (FAR.into(), 54, Side::Tunnel, true),
        (FAR.into(), 7, Side::Tunnel, false),
    ] {
        let seen = sent(to, port)?;
        let came = seen.at(side).iter().any(|packet| packet.destination == to);
        scene.ensure(came == passes, || format!("{to} {port}: {seen:?}"))?;
    }
    Ok(())
}
