//! Rates, numbers of connections, sets that packets fill, sets from files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_tests::lab::{Failure, Result};

use super::packet::{ACK, At, Packet, RST};
use super::place::{LAN, LAN4, OTHER, OTHER4, Side, WAN, WAN4};
use super::scene::{Scene, gateway, zones};
use super::status;

/// How many of `count` datagrams to a port of the router arrive, each of another source port.
fn arriving(scene: &Scene, source: IpAddr, port: u16, count: u16) -> Result<u16> {
    let router = if source.is_ipv4() { Side::Wan.router4().into() } else { IpAddr::from(Side::Wan.router()) };
    let mut arrived = 0;
    for number in 0..count {
        let seen = scene.pass(Side::Wan, &Packet::udp((source, 20_000 + number), (router, port)))?;
        arrived += u16::from(seen.is_taken());
    }
    Ok(arrived)
}

/// Rules from the world to the router, of UDP.
fn rules(rules: &[&str]) -> String {
    let rule = |fields: &&str| format!(r#"(from: ["wan"], to: ["router"], protocol: ["udp"], {fields}),"#);
    zones(&format!("rules: [{}], ", rules.iter().map(rule).collect::<String>()))
}

#[test]
fn one_source_beyond_its_rate_does_not_keep_another_out() -> Result {
    let limit = r#"destination_port: ["7"], limit: (rate: "2/hour", burst: 4, per: Source), then: Accept"#;
    let scene = Scene::new(&rules(&[limit]))?;
    for source in [IpAddr::from(WAN4), OTHER4.into(), WAN.into(), OTHER.into()] {
        let arrived = arriving(&scene, source, 7, 10)?;
        scene.ensure(arrived == 4, || format!("{arrived} of 10 from {source}"))?;
    }
    // A /64 is one source, and its bucket is empty.
    let neighbour: Ipv6Addr = "2001:db8:f::ffff:1".parse().unwrap();
    let arrived = arriving(&scene, neighbour.into(), 7, 3)?;
    scene.ensure(arrived == 0, || format!("{arrived} of 3 from {neighbour}"))
}

#[test]
fn a_rate_of_the_rule_is_everybodys() -> Result {
    let limit = r#"destination_port: ["7"], limit: (rate: "2/hour", burst: 4), then: Accept"#;
    let scene = Scene::new(&rules(&[limit]))?;
    let arrived = [arriving(&scene, WAN4.into(), 7, 3)?, arriving(&scene, OTHER.into(), 7, 3)?];
    scene.ensure(arrived == [3, 1], || format!("{arrived:?}"))
}

#[test]
fn a_rule_may_be_about_what_is_beyond_the_rate() -> Result {
    let scene = Scene::new(&rules(&[
        r#"destination_port: ["7"], limit: (rate: "1/day", burst: 3, per: Source, over: true), then: Drop"#,
        r#"destination_port: ["7", "8"], then: Accept"#,
    ]))?;
    for source in [IpAddr::from(WAN4), OTHER.into()] {
        let arrived = [arriving(&scene, source, 7, 10)?, arriving(&scene, source, 8, 10)?];
        scene.ensure(arrived == [3, 10], || format!("{source}: {arrived:?}"))?;
    }
    Ok(())
}

#[test]
fn a_bucket_fills_again_with_time() -> Result {
    let limit = r#"destination_port: ["7"], limit: (rate: "5/second", burst: 1, per: Source), then: Accept"#;
    let scene = Scene::new(&rules(&[limit]))?;
    let first = arriving(&scene, WAN4.into(), 7, 5)?;
    scene.ensure(first == 1, || format!("{first} at once"))?;
    scene.wait("another token", || (arriving(&scene, WAN4.into(), 7, 1).ok()? == 1).then_some(()))
}

/// New connections to port 22 of the router from a source, those that arrive.
fn connecting(scene: &Scene, source: IpAddr, ports: std::ops::Range<u16>) -> Result<usize> {
    let router = if source.is_ipv4() { Side::Wan.router4().into() } else { IpAddr::from(Side::Wan.router()) };
    let mut arrived = 0;
    for port in ports {
        arrived += usize::from(scene.pass(Side::Wan, &Packet::syn((source, port), (router, 22)))?.is_taken());
    }
    Ok(arrived)
}

#[test]
fn one_source_has_so_many_connections_and_no_more() -> Result {
    // Something listens, so that connections stay.
    let fields = r#"rules: [
        (from: ["wan"], to: ["router"], protocol: ["tcp"], destination_port: ["22"], connections: (above: 3, per: Source), then: Drop),
        (from: ["wan"], to: ["router"], protocol: ["tcp"], destination_port: ["22"], then: Accept)]"#;
    let mut scene = Scene::laid_out(&gateway(fields))?;
    let listener = scene.router.enter(|| std::net::TcpListener::bind(("::", 22)))??;
    scene.start()?;
    for source in [IpAddr::from(WAN4), OTHER4.into(), WAN.into(), OTHER.into()] {
        let arrived = connecting(&scene, source, 1000..1008)?;
        scene.ensure(arrived == 3, || format!("{arrived} connections from {source}"))?;
    }
    // One that ends makes room.
    let reset = At { flags: RST, sequence: 1001, acknowledgement: 0 };
    scene.pass(Side::Wan, &Packet::syn((WAN4, 1000), (Side::Wan.router4(), 22)).at(reset))?;
    scene.router.run("conntrack -D -p tcp --orig-src 198.51.100.9 --sport 1000")?;
    let arrived = connecting(&scene, WAN4.into(), 1010..1013)?;
    scene.ensure(arrived == 1, || format!("{arrived} after one has ended"))?;
    drop(listener);
    Ok(())
}

/// Whoever touches port 4000 is kept out of everything.
const TRAP: &str = r#"
    sets: {"seen": (dynamic: true, timeout: "10m", size: 1000)},
    rules: [
        (from: ["wan"], to: ["router"], source: ["@seen"], then: Drop, count: "caught"),
        (from: ["wan"], to: ["router"], protocol: ["udp"], destination_port: ["4000"], add_source_to: "seen", then: Drop),
        (from: ["wan"], to: ["router"], protocol: ["udp"], destination_port: ["7"], then: Accept),
    ], "#;

#[test]
fn whoever_falls_into_a_trap_is_kept_out_and_nobody_else() -> Result {
    let scene = Scene::new(&zones(TRAP))?;
    for (source, other) in [(IpAddr::from(WAN4), IpAddr::from(OTHER4)), (WAN.into(), OTHER.into())] {
        let arrived = [arriving(&scene, source, 7, 2)?, arriving(&scene, source, 4000, 1)?];
        scene.ensure(arrived == [2, 0], || format!("{source} before: {arrived:?}"))?;
        // What is known already is established: other ports are new flows.
        scene.router.run("conntrack -F")?;
        let arrived = [arriving(&scene, source, 7, 2)?, arriving(&scene, other, 7, 2)?];
        scene.ensure(arrived == [0, 2], || format!("{source}, {other} after: {arrived:?}"))?;
        let shown = status::has_element(scene.core(), "seen", &source.to_string())?;
        scene.ensure(shown, || format!("status does not show {source}"))?;
    }
    let caught = status::packets(scene.core(), "caught")?;
    scene.ensure(caught == 4, || format!("{caught} were caught"))
}

#[test]
fn whoever_fell_into_a_trap_is_forgiven_in_time() -> Result {
    let scene = Scene::new(&zones(&TRAP.replace("10m", "2s")))?;
    let arrived = arriving(&scene, WAN4.into(), 4000, 1)? + arriving(&scene, WAN4.into(), 7, 3)?;
    scene.ensure(arrived == 0, || format!("{arrived} arrived"))?;
    scene.wait("forgiveness", || (arriving(&scene, WAN4.into(), 7, 1).ok()? == 1).then_some(()))
}

#[test]
fn a_set_is_what_its_file_says_and_follows_it() -> Result {
    let fields = r#"sets: {"bad": (elements: ["198.51.100.200"], file: "bad.txt")},
        rules: [(from: ["wan"], to: ["router"], source: ["!@bad"], protocol: ["udp"], destination_port: ["7"], then: Accept)]"#;
    let mut scene = Scene::laid_out(&zones(fields))?;
    let file = scene.file("bad.txt");
    std::fs::write(&file, "# what we do not like\n198.51.100.0/28  # a network\n2001:db8:f::1-2001:db8:f::ff\n\n")?;
    scene.start()?;
    let last = Ipv4Addr::new(198, 51, 100, 16);
    for (source, count) in
        [(IpAddr::from(WAN4), 0), (OTHER4.into(), 0), (last.into(), 1), (WAN.into(), 0), (OTHER.into(), 1)]
    {
        let arrived = arriving(&scene, source, 7, 1)?;
        scene.ensure(arrived == count, || format!("{arrived} from {source}, not {count}"))?;
    }
    // Replaced, as editors do; then written to.
    let other = file.with_extension("new");
    std::fs::write(&other, "2001:db8:e::/48\n")?;
    std::fs::rename(&other, &file)?;
    scene.wait("the other file", || {
        let open = arriving(&scene, WAN4.into(), 7, 1).ok()? == 1;
        scene.router.run("conntrack -F").ok()?;
        (open && arriving(&scene, OTHER.into(), 7, 1).ok()? == 0).then_some(())
    })?;
    std::fs::write(&file, "198.51.100.9\n")?;
    scene.wait("the same file with something else", || {
        scene.router.run("conntrack -F").ok()?;
        (arriving(&scene, WAN4.into(), 7, 1).ok()? == 0 && arriving(&scene, OTHER.into(), 7, 1).ok()? == 1)
            .then_some(())
    })?;
    // What is written out stays.
    let arrived = arriving(&scene, OTHER4.into(), 7, 1)?;
    scene.ensure(arrived == 0, || "an element of router.ron is gone".to_owned())
}

/// The file is somebody else's: a mistake in it must not open anything, nor end the plugin.
#[test]
fn a_file_that_becomes_unreadable_leaves_the_set_as_it_was() -> Result {
    let fields = r#"sets: {"good": (file: "good.txt")},
        rules: [(from: ["wan"], to: ["router"], source: ["@good"], protocol: ["udp"], destination_port: ["7"], then: Accept)]"#;
    let mut scene = Scene::laid_out(&zones(fields))?;
    std::fs::write(scene.file("good.txt"), "198.51.100.9\n")?;
    scene.start()?;
    std::fs::write(scene.file("good.txt"), "198.51.100.9\n198.51.100.200\nnot an address\n")?;
    scene.wait("a complaint about the file", || {
        let log = scene.core().log();
        log.lines()
            .any(|line| line.contains("good.txt") && (line.contains("WARN") || line.contains("ERROR")))
            .then_some(())
    })?;
    let arrived = arriving(&scene, WAN4.into(), 7, 1)?;
    scene.ensure(arrived == 1, || "the element that is right is gone".to_owned())?;
    let arrived = arriving(&scene, LAN4.into(), 7, 1)? + arriving(&scene, LAN.into(), 7, 1)?;
    scene.ensure(arrived == 0, || "others came in".to_owned())?;
    let run = status::run(scene.core())?;
    scene.ensure(run == 1, || "the plugin fell".to_owned())
}

#[test]
fn ports_of_a_set_are_matched() -> Result {
    let fields = r#"sets: {"web": (kind: Ports, elements: ["80", "443", "8000-8010"])},
        rules: [(from: ["wan"], to: ["router"], protocol: ["udp", "tcp"], destination_port: ["@web", "22"], then: Accept)]"#;
    let scene = Scene::new(&zones(fields))?;
    for (port, arrives) in
        [(80, 1), (443, 1), (8000, 1), (8005, 1), (8010, 1), (22, 1), (81, 0), (7999, 0), (8011, 0), (23, 0)]
    {
        for source in [IpAddr::from(WAN4), WAN.into()] {
            let arrived = arriving(&scene, source, port, 1)?;
            scene.ensure(arrived == arrives, || format!("port {port} from {source}: {arrived}"))?;
        }
    }
    let stray = Packet::tcp((WAN4, 80), (Side::Wan.router4(), 9), At { flags: ACK, sequence: 1, acknowledgement: 1 });
    scene.vanishes(Side::Wan, &stray)
}

/// A list that is fetched every hour holds from one fetch to the next, whether it changed or not.
#[test]
fn elements_of_a_file_end_with_their_time_and_are_back_when_it_is_written_again() -> Result {
    let fields = r#"sets: {"guests": (file: "guests.txt", timeout: "4s")},
        rules: [(from: ["wan"], to: ["router"], source: ["@guests"], protocol: ["udp"], destination_port: ["7"], then: Accept)]"#;
    let mut scene = Scene::laid_out(&zones(fields))?;
    let write = |scene: &Scene| std::fs::write(scene.file("guests.txt"), "198.51.100.9\n");
    write(&scene)?;
    scene.start()?;
    let comes = |scene: &Scene| Ok::<_, Failure>(arriving(scene, WAN4.into(), 7, 1)? == 1);
    for _ in 0..2 {
        scene.wait("the guest to be let in", || comes(&scene).ok()?.then_some(()))?;
        scene.wait("the end of its time", || (!comes(&scene).ok()?).then_some(()))?;
        write(&scene)?;
    }
    scene.wait("the guest to be let in", || comes(&scene).ok()?.then_some(()))
}

/// A blocklist has grown too long while nobody looked: the machine starts all the same, with what fits, and says so.
#[test]
fn a_list_longer_than_its_set_is_cut_and_told() -> Result {
    let fields = r#"sets: {"good": (file: "good.txt", size: 1000)},
        rules: [(from: ["wan"], to: ["router"], source: ["@good"], protocol: ["udp"], destination_port: ["7"], then: Accept)]"#;
    let mut scene = Scene::laid_out(&zones(fields))?;
    let fill: String = (0..3000).map(|n| format!("10.9.{}.{}\n", n / 200, n % 200)).collect();
    std::fs::write(scene.file("good.txt"), format!("198.51.100.9\n{fill}198.51.100.200\n"))?;
    scene.core = Some(scene.site.start(&scene.place.router)?);
    scene.wait("the plugin to say so", || (status::state(scene.core()).ok()? == "degraded").then_some(()))?;
    let reason = status::plugin(scene.core())?["reason"].as_str().unwrap_or_default().to_owned();
    scene.ensure(reason.contains("good.txt:1001") && reason.contains("size"), || format!("it says: {reason}"))?;
    let (first, last) = (arriving(&scene, WAN4.into(), 7, 1)?, arriving(&scene, OTHER4.into(), 7, 1)?);
    scene.ensure((first, last) == (1, 0), || format!("{first} and {last} arrived"))?;
    let run = status::run(scene.core())?;
    scene.ensure(run == 1, || "the plugin fell".to_owned())
}
