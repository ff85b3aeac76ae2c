//! What is logged, as a listener of nfnetlink_log (tcpdump) hears it.

use std::process::Command;

use portreeve_tests::lab::Result;

use super::packet::Packet;
use super::place::{Side, WAN, WAN4};
use super::scene::{Scene, WITHIN, zones};

/// Packets of the capture with this prefix.
fn heard(capture: &[u8], prefix: &str) -> usize {
    capture.windows(prefix.len()).filter(|window| *window == prefix.as_bytes()).count()
}

/// Whoever floods the router must not flood its log; whether a packet is logged decides nothing about it.
#[test]
fn packets_are_logged_to_a_group_under_their_prefix_and_within_their_rate() -> Result {
    let scene = Scene::new(&zones(
        r#"rules: [
        (from: ["wan"], to: ["router"], protocol: ["udp"], destination_port: ["7"],
            log: (prefix: "all: ", group: 5, rate: "unlimited"), then: Drop),
        (from: ["wan"], to: ["router"], protocol: ["udp"], destination_port: ["8"],
            log: (prefix: "flood: ", group: 5, rate: "1/hour"), then: Accept),
        (name: "named", from: ["wan"], to: ["router"], protocol: ["udp"], destination_port: ["9"],
            log: (group: 6), then: Continue),
    ]"#,
    ))?;
    let listen = |group: u16| {
        let file = scene.file(&format!("group-{group}.pcap"));
        let mut command = Command::new("tcpdump");
        // It would become another user, who may not write there.
        command.args(["-U", "--immediate-mode", "-Z", "root", "-i", &format!("nflog:{group}"), "-w"]).arg(&file);
        let mut listener = scene.router.spawn(&mut command, &scene.file(&format!("group-{group}.log")))?;
        let log = scene.file(&format!("group-{group}.log"));
        listener.wait_until("tcpdump to listen", WITHIN, || {
            std::fs::read_to_string(&log).ok()?.contains("listening on").then_some(())
        })?;
        Ok::<_, portreeve_tests::lab::Failure>((listener, file))
    };
    let (_five, five) = listen(5)?;
    let (_six, six) = listen(6)?;
    let captured = |file| std::fs::read(file).unwrap_or_default();
    for number in 0..12 {
        scene.arrives(Side::Wan, &Packet::udp((WAN, 100 + number), (Side::Wan.router(), 8)))?;
        scene.vanishes(Side::Wan, &Packet::udp((WAN4, 100 + number), (Side::Wan.router4(), 7)))?;
    }
    scene.wait("the twelfth line", || (heard(&captured(&five), "all: ") >= 12).then_some(()))?;
    let (all, flood) = (heard(&captured(&five), "all: "), heard(&captured(&five), "flood: "));
    // The first five may come at once.
    scene.ensure((all, flood) == (12, 5), || format!("{all} and {flood} lines"))?;
    // Without a prefix of its own a rule's name stands there; another group hears of nothing else.
    scene.vanishes(Side::Wan, &Packet::udp((WAN, 1), (Side::Wan.router(), 9)))?;
    scene.wait("the named line", || (heard(&captured(&six), "named ") == 1).then_some(()))?;
    scene.ensure(heard(&captured(&six), "all: ") == 0 && heard(&captured(&five), "named ") == 0, || "mixed".to_owned())
}
