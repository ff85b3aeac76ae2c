//! `portreeve status firewall trace`: what it says of a packet is what becomes of the packet, and the rule that it names is
//! the rule that did it.

use std::net::IpAddr;

use portreeve_tests::lab::Result;

use super::packet::{ACK, At, Packet};
use super::place::{FAR, LAN, LAN4, OTHER4, Seen, Side, WAN, WAN4};
use super::scene::{Scene, router_ron, zones};
use super::status;

/// Line by line, as lines are what is asked for.
const RULES: &str = r#"
rules: [
    (from: ["wan"], to: ["lan"], protocol: ["tcp"], destination_port: ["22"], source: ["198.51.100.9"], then: Accept),
    (from: ["wan"], to: ["lan"], protocol: ["tcp"], destination_port: ["22"], then: Drop, name: "no-ssh"),
    (from: ["wan"], to: ["lan"], protocol: ["tcp"], destination_port: ["113"], then: Reject(TcpReset)),
    (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["1000-2000"], then: Jump("games")),
    (from: ["wan"], to: ["router"], protocol: ["udp"], destination_port: ["53"], then: Reject(PortUnreachable)),
    (from: ["wan"], to: ["router"], protocol: ["tcp"], destination_port: ["80", "443"], then: Accept),
],
chains: {"games": [
    (source: ["2001:db8:f::/48"], then: Accept),
    (destination_port: ["1500"], then: Drop),
]},
policies: [
    (from: ["lan"], to: ["wan"], then: Accept),
    (from: ["far"], to: ["lan"], then: Reject(NoRoute)),
],
"#;

/// What is seen of a packet, in the words of a trace.
fn fate(seen: &Seen, from: Side, packet: &Packet) -> &'static str {
    let is_answer = |heard: &Packet| heard.destination == packet.source;
    match seen.out.as_slice() {
        _ if seen.is_taken() => "accepted",
        [] => "dropped",
        [(side, heard)] if *side == from && is_answer(heard) => "rejected",
        _ => "accepted",
    }
}

/// The line of the file that has this text.
fn line_of(text: &str) -> Option<usize> {
    let file = router_ron(Some(&zones(RULES)));
    file.lines().position(|line| line.contains(text)).map(|line| line + 1)
}

/// What is above the section may grow while the plugin runs.
#[test]
fn lines_are_those_of_the_file_also_when_the_section_moves() -> Result {
    let scene = Scene::new(&zones(RULES))?;
    let rule = || {
        let words =
            ["status", "firewall", "trace", "from=wan", "to=lan", "protocol=tcp", "port=113", "source=2001:db8:f::f"];
        let told = scene.core().command(&words)?;
        let line = told.lines().find_map(|line| line.split_once("by the rule of line ")?.1.split_whitespace().next());
        Ok::<_, portreeve_tests::lab::Failure>(line.and_then(|line| line.parse::<usize>().ok()))
    };
    let line = line_of("TcpReset");
    let said = rule()?;
    scene.ensure(said.is_some() && said == line, || format!("{said:?} is not {line:?}"))?;
    scene.put(&format!("// Four\n// lines\n\n\n{}", router_ron(Some(&zones(RULES)))))?;
    scene.wait("the line in the longer file", || (rule().ok()? == line.map(|line| line + 4)).then_some(()))?;
    let run = status::run(scene.core())?;
    scene.ensure(run == 1, || "the plugin was started anew".to_owned())
}

#[test]
fn a_trace_says_what_becomes_of_the_packet_and_which_line_does_it() -> Result {
    let scene = Scene::new(&zones(RULES))?;
    let syn = |source: IpAddr, destination: IpAddr, port| Packet::syn((source, 40_000), (destination, port));
    let udp = |source: IpAddr, destination: IpAddr, port| Packet::udp((source, 40_000), (destination, port));
    let (wan_here, wan_here4) = (IpAddr::from(Side::Wan.router()), IpAddr::from(Side::Wan.router4()));
    let cases: [(&str, Side, Packet, Option<&str>); 14] = [
        ("from=wan to=lan protocol=tcp port=22", Side::Wan, syn(WAN4.into(), LAN4.into(), 22), Some("198.51.100.9")),
        ("from=wan to=lan protocol=tcp port=22", Side::Wan, syn(OTHER4.into(), LAN4.into(), 22), Some("no-ssh")),
        ("from=wan to=lan protocol=tcp port=22", Side::Wan, syn(WAN.into(), LAN.into(), 22), Some("no-ssh")),
        ("from=wan to=lan protocol=tcp port=113", Side::Wan, syn(WAN.into(), LAN.into(), 113), Some("TcpReset")),
        (
            "from=wan to=lan protocol=udp port=1500",
            Side::Wan,
            udp(WAN.into(), LAN.into(), 1500),
            Some("2001:db8:f::/48"),
        ),
        ("from=wan to=lan protocol=udp port=1500", Side::Wan, udp(WAN4.into(), LAN4.into(), 1500), Some("\"1500\"")),
        ("from=wan to=lan protocol=udp port=1501", Side::Wan, udp(WAN4.into(), LAN4.into(), 1501), None),
        ("from=wan to=router protocol=udp port=53", Side::Wan, udp(WAN.into(), wan_here, 53), Some("PortUnreachable")),
        ("from=wan to=router protocol=tcp port=443", Side::Wan, syn(WAN4.into(), wan_here4, 443), Some("\"443\"")),
        ("from=wan to=router protocol=tcp port=444", Side::Wan, syn(WAN4.into(), wan_here4, 444), None),
        (
            "from=lan to=wan protocol=udp port=53",
            Side::Lan,
            udp(LAN.into(), WAN.into(), 53),
            Some("to: [\"wan\"], then: Accept"),
        ),
        ("from=far to=lan protocol=udp port=53", Side::Tunnel, udp(FAR.into(), LAN.into(), 53), Some("NoRoute")),
        ("from=wan to=lan icmp=echo-request", Side::Wan, Packet::icmp(WAN, LAN, 128, 0), None),
        ("from=wan to=lan icmp=135", Side::Wan, Packet::icmp(WAN, LAN, 135, 0).hop_limit(255), None),
    ];
    for (words, side, packet, rule) in cases {
        let words = format!("{words} source={} destination={}", packet.source, packet.destination);
        // Zones with a wildcard are asked for by interface.
        let words = words.replace("from=lan", "interface=lan0").replace("to=lan", "out=lan0");
        let traced = status::trace(scene.core(), &words)?;
        let seen = scene.pass(side, &packet)?;
        let fate = fate(&seen, side, &packet);
        scene.ensure(traced.effect.starts_with(fate), || format!("{words}: {fate}, traced as {traced:?}\n{seen:?}"))?;
        let Some(rule) = rule else { continue };
        let line = line_of(rule);
        let traced_line = traced.at.split(':').next().and_then(|line| line.parse().ok());
        scene.ensure(line.is_some() && line == traced_line, || format!("{words}: not line {line:?}: {traced:?}"))?;
        scene.ensure(traced.text.contains(&traced.at), || format!("{words}: the place is not printed: {traced:?}"))?;
    }
    Ok(())
}

#[test]
fn a_trace_of_a_state_is_what_becomes_of_such_packets() -> Result {
    let scene = Scene::new(&zones(RULES))?;
    // An answer that nobody waits for begins nothing; one that somebody waits for passes.
    let question = Packet::udp((LAN, 3000), (WAN, 53));
    let words = format!("from=wan out=lan0 protocol=udp source={WAN} destination={LAN} source_port=53 port=999");
    let traced = status::trace(scene.core(), &words)?;
    scene.ensure(traced.effect.starts_with("dropped"), || format!("{traced:?}"))?;
    scene.vanishes(Side::Wan, &question.back())?;
    scene.passes(Side::Lan, Side::Wan, &question)?;
    let traced = status::trace(scene.core(), &format!("{words} state=Established"))?;
    scene.ensure(traced.effect.starts_with("accepted"), || format!("{traced:?}"))?;
    scene.passes(Side::Wan, Side::Lan, &question.back())?;
    // Fits nothing.
    let stray = Packet::tcp((LAN, 5), (WAN, 80), At { flags: 0, sequence: 1, acknowledgement: ACK.into() });
    let words = format!("interface=lan0 to=wan protocol=tcp source={LAN} destination={WAN} flags=none state=Invalid");
    let traced = status::trace(scene.core(), &words)?;
    scene.ensure(traced.effect.starts_with("dropped"), || format!("{traced:?}"))?;
    scene.vanishes(Side::Lan, &stray)
}

#[test]
fn a_trace_of_a_spoofed_source_says_so() -> Result {
    let scene = Scene::new(&zones(RULES))?;
    let words = format!("from=wan out=lan0 protocol=tcp port=22 source={WAN4} destination={LAN4}");
    let traced = status::trace(scene.core(), &format!("{words} route=other"))?;
    scene.ensure(traced.effect.starts_with("dropped"), || format!("{traced:?}"))?;
    scene.vanishes(Side::Tunnel, &Packet::syn((WAN4, 40_000), (LAN4, 22)))
}

#[test]
fn a_question_that_cannot_be_understood_is_answered_with_what_to_write() -> Result {
    let scene = Scene::new(&zones(RULES))?;
    for (words, says) in [("from=moon to=lan source=192.0.2.1", "moon"), ("form=wan", "from"), ("nonsense", "nonsense")]
    {
        let said = status::trace(scene.core(), words);
        let said = said.map_or_else(|failure| failure.to_string(), |verdict| verdict.text);
        scene.ensure(said.contains(says), || format!("{words}: {said}"))?;
    }
    Ok(())
}
