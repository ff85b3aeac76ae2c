//! Changes, crashes and ends while packets go on: what may pass does all the time, what may not never does.
//!
//! [`watched`] sends both kinds again and again while something happens, and counts: not one packet may have the other
//! fate. Every probe is a flow of its own, so that rules decide and not what conntrack remembers.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use portreeve_tests::lab::{Failure, Result, ensure};

use super::packet::{ACK, At, MARKER, PSH, Packet, SYN};
use super::place::{LAN, LAN4, OTHER4, Place, Seen, Side, WAN, WAN4};
use super::scene::{GUARD, Scene, TABLE, gateway, router_ron, router_ron_with, stands, zones};
use super::status;

/// A gateway with something to remember.
const SECTION: &str = r#"
    sets: {"seen": (dynamic: true, timeout: "10m")},
    rules: [
        (from: ["wan"], to: ["lan"], source: ["@seen"], then: Drop, count: "caught"),
        (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["4000"], add_source_to: "seen", then: Drop),
        (from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["7"], then: Accept, count: "echo"),
    ],
    nat: [(to: ["wan"], source: ["192.168.0.0/16"], then: Masquerade)], "#;

/// Packets that were tried while something happened.
#[derive(Debug, Default)]
pub struct Tried {
    pub rounds: u32,
    /// Should have passed, and did not.
    pub lost: u32,
    /// Should not have passed, and did.
    pub leaked: u32,
    /// The first that had the other fate.
    pub first: Option<Seen>,
}

/// Does `work` while packets go on: UDP from inside passes, TCP from outside does not.
pub fn watched<T>(place: &Place, work: impl FnOnce() -> Result<T>) -> Result<(T, Tried)> {
    let done = AtomicBool::new(false);
    let watch = || -> Result<Tried> {
        let mut tried = Tried::default();
        while !done.load(Ordering::Relaxed) || tried.rounds == 0 {
            let port = next_port();
            let permitted = place.pass(Side::Lan, &Packet::udp((LAN, port), (WAN, 53)))?;
            if !permitted.is_through(Side::Wan, LAN, WAN) {
                tried.lost += 1;
                tried.first.get_or_insert(permitted);
            }
            let forbidden = place.pass(Side::Wan, &Packet::syn((WAN, port), (LAN, 80)))?;
            let here = place.pass(Side::Wan, &Packet::syn((WAN4, port), (Side::Wan.router4(), 80)))?;
            for seen in [forbidden, here].into_iter().filter(|seen| !seen.is_nothing()) {
                tried.leaked += 1;
                tried.first.get_or_insert(seen);
            }
            tried.rounds += 1;
        }
        Ok(tried)
    };
    std::thread::scope(|scope| {
        let watcher = scope.spawn(watch);
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        let tried = watcher.join().map_err(|_| Failure::new("the watcher panicked"))??;
        Ok((outcome?, tried))
    })
}

fn next_port() -> u16 {
    static PORT: AtomicU16 = AtomicU16::new(0);
    1024 + PORT.fetch_add(1, Ordering::Relaxed) % 60_000
}

fn unharmed(scene: &Scene, what: &str, tried: &Tried) -> Result {
    scene.ensure(tried.lost == 0 && tried.leaked == 0, || format!("{what}: {tried:?}"))
}

/// A connection of each family from inside, the second one masqueraded, and how each goes on.
struct Connections(Vec<(Packet, Packet)>);

impl Connections {
    fn open(scene: &Scene) -> Result<Self> {
        let mut connections = Vec::new();
        for syn in [Packet::syn((LAN, 999), (WAN, 80)), Packet::syn((LAN4, 999), (WAN4, 80))] {
            let seen = scene.pass(Side::Lan, &syn)?;
            let [(Side::Wan, outside)] = seen.out.as_slice() else {
                return Err(scene.explain(Failure::new(format!("{syn:?}: {seen:?}"))));
            };
            let length = u32::try_from(MARKER.len()).unwrap();
            let answer = At { flags: SYN | ACK, sequence: 5000, acknowledgement: 1001 + length };
            let answer = outside.back().at(answer);
            scene.becomes(Side::Wan, Side::Lan, &answer, syn.destination, syn.source)?;
            let last = At { flags: ACK | PSH, sequence: 1001 + length, acknowledgement: 5001 + length };
            let back = At { sequence: 5001 + length, acknowledgement: 1001 + length, ..last };
            connections.push((syn.at(last), answer.at(back)));
        }
        let connections = Self(connections);
        connections.go_on(scene)?;
        Ok(connections)
    }

    fn go_on(&self, scene: &Scene) -> Result {
        for (inside, outside) in &self.0 {
            scene.becomes(Side::Lan, Side::Wan, inside, outside.destination, outside.source)?;
            scene.becomes(Side::Wan, Side::Lan, outside, inside.destination, inside.source)?;
        }
        Ok(())
    }
}

/// One source is in the set, and the counter stands at 3.
fn remember(scene: &Scene) -> Result {
    scene.vanishes(Side::Wan, &Packet::udp((OTHER4, 1), (LAN4, 4000)))?;
    for port in 1..=3 {
        scene.passes(Side::Wan, Side::Lan, &Packet::udp((WAN4, port), (LAN4, 7)))?;
    }
    remembered(scene, 3)
}

fn remembered(scene: &Scene, echo: u64) -> Result {
    let packets = status::packets(scene.core(), "echo")?;
    scene.ensure(packets == echo, || format!("the counter is at {packets}, not {echo}"))?;
    let shown = status::has_element(scene.core(), "seen", &OTHER4.to_string())?;
    scene.ensure(shown, || "the set has lost its element".to_owned())?;
    scene.vanishes(Side::Wan, &Packet::udp((OTHER4, next_port()), (LAN4, 7)))
}

#[test]
fn reloads_leave_connections_counters_and_dynamic_sets_alone_and_lose_no_packet() -> Result {
    let scene = Scene::new(&gateway(SECTION))?;
    let connections = Connections::open(&scene)?;
    remember(&scene)?;
    let ((), tried) = watched(&scene.place, || {
        for number in 0..10 {
            // Another rule in front, another policy, and back.
            let rule = format!(
                r#"rules: [(from: ["far"], to: ["lan"], protocol: ["tcp"], destination_port: ["{}"], then: Accept),"#,
                100 + number
            );
            scene.reconfigure(&gateway(&SECTION.replace("rules: [", &rule)))?;
            scene.reconfigure(&gateway(SECTION))?;
        }
        Ok(())
    })?;
    unharmed(&scene, "20 reloads", &tried)?;
    connections.go_on(&scene)?;
    remembered(&scene, 3)?;
    let run = status::run(scene.core())?;
    scene.ensure(run == 1, || format!("the plugin was started {run} times"))
}

/// What a connection began under may be forbidden later: it goes on until conntrack forgets it.
#[test]
fn a_reload_forbids_new_connections_and_keeps_the_old_ones() -> Result {
    let scene = Scene::new(&gateway(SECTION))?;
    let connections = Connections::open(&scene)?;
    let nat = r#"nat: [(to: ["wan"], source: ["192.168.0.0/16"], then: Masquerade)]"#;
    scene.reconfigure(&zones(&format!(r#"policies: [(from: ["lan"], to: ["far"], then: Accept)], {nat}"#)))?;
    connections.go_on(&scene)?;
    scene.vanishes(Side::Lan, &Packet::syn((LAN, 998), (WAN, 80)))
}

#[test]
fn a_mistake_in_the_new_section_keeps_the_old_rules() -> Result {
    let scene = Scene::new(&gateway(SECTION))?;
    remember(&scene)?;
    let before = scene.router.output("nft -s list table inet portreeve-firewall")?;
    for mistake in [
        r#"rules: [(from: ["nowhere"], to: ["lan"], then: Accept)], "#,
        r#"rules: [(from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["70000"], then: Accept)], "#,
        r#"rules: [(from: ["wan"], to: ["lan"], then: Jump("a"))], chains: {"a": [(then: Jump("b"))], "b": [(then: Jump("a"))]}, "#,
    ] {
        let said = scene.core().log().lines().count();
        scene.put(&router_ron(Some(&gateway(mistake))))?;
        scene.wait("a complaint", || {
            let log = scene.core().log();
            log.lines().skip(said).any(|line| line.contains("ERROR") || line.contains("router.ron:")).then_some(())
        })?;
        let (code, complaints) = scene.site.check()?;
        scene.ensure(code != 0 && complaints.contains("router.ron:"), || format!("{code}: {complaints}"))?;
        let after = scene.router.output("nft -s list table inet portreeve-firewall")?;
        scene.ensure(before == after, || format!("the rules changed to\n{after}"))?;
        remembered(&scene, 3)?;
    }
    let state = (status::run(scene.core())?, status::state(scene.core())?);
    scene.ensure(state.0 == 1, || format!("{state:?}"))
}

/// A file that grows beyond all bounds takes the plugin's memory; the kernel's rules are not the plugin's memory.
#[test]
fn a_plugin_that_falls_leaves_the_rules_and_the_next_takes_them_over() -> Result {
    let section = gateway(&SECTION.replace("sets: {", r#"sets: {"big": (file: "big.txt"), "#));
    let file = router_ron_with(&format!("\"firewall\": (limits: (memory_mib: 12), config: ({section})),"));
    let mut scene = Scene::laid_out("")?;
    std::fs::write(scene.file("big.txt"), "203.0.113.7\n")?;
    scene.site.configure(&file)?;
    scene.start()?;
    let connections = Connections::open(&scene)?;
    remember(&scene)?;
    let ((), tried) = watched(&scene.place, || {
        let many: String = (0..400_000_u32).map(|n| format!("2001:db8:{:x}:{:x}::1\n", n >> 16, n & 0xffff)).collect();
        std::fs::write(scene.file("big.txt"), many)?;
        scene.wait("the plugin's fall", || {
            (!status::plugin(scene.core()).ok()?["last_crash"].is_null()).then_some(())
        })?;
        std::fs::write(scene.file("big.txt"), "203.0.113.8\n")?;
        scene.wait("the next run", || {
            (status::run(scene.core()).ok()? > 1 && status::state(scene.core()).ok()? == "ready").then_some(())
        })
    })?;
    unharmed(&scene, "a crash", &tried)?;
    connections.go_on(&scene)?;
    remembered(&scene, 3)
}

/// Ends the core like this, and starts the next one, under watch all the time.
fn ended(end: impl FnOnce(&mut Scene) -> Result, what: &str) -> Result {
    let mut scene = Scene::new(&gateway(SECTION))?;
    let connections = Connections::open(&scene)?;
    remember(&scene)?;
    end(&mut scene)?;
    let Scene { core, site, place, .. } = &mut scene;
    let place = &*place;
    // Nobody is there but the kernel.
    let (tables, tried) = watched(place, || place.tables())?;
    ensure(tables.contains(TABLE) && !tables.contains(GUARD), || tables)?;
    ensure(tried.lost + tried.leaked == 0, || format!("without a core: {tried:?}"))?;
    let (next, tried) = watched(place, || {
        let mut next = site.start(&place.router)?;
        next.wait_ready(status::PLUGIN, super::scene::WITHIN)?;
        stands(&mut next, place)?;
        Ok(next)
    })?;
    *core = Some(next);
    unharmed(&scene, what, &tried)?;
    connections.go_on(&scene)?;
    remembered(&scene, 3)
}

#[test]
fn a_killed_core_leaves_the_rules_and_the_next_one_takes_them_over() -> Result {
    ended(|scene| scene.core.take().map_or(Ok(()), |core| core.kill()), "the core was killed and started anew")
}

#[test]
fn a_stopped_core_leaves_the_rules_and_the_next_one_takes_them_over() -> Result {
    let stop = |scene: &mut Scene| {
        let status = scene.core.take().map(|core| core.stop()).transpose()?;
        ensure(status.is_some_and(|status| status.success()), || format!("{status:?}"))
    };
    ended(stop, "the core was stopped and started anew")
}

#[test]
fn a_removed_firewall_takes_its_table_along_and_no_other() -> Result {
    let mut scene = Scene::laid_out(&gateway(SECTION))?;
    scene.router.run("nft add table inet mine")?;
    scene.router.run("nft add chain inet mine own")?;
    scene.start()?;
    scene.put(&router_ron(None))?;
    scene.wait("the end of the table", || (!scene.place.tables().ok()?.contains("portreeve")).then_some(()))?;
    let tables = scene.place.tables()?;
    scene.ensure(tables.trim() == "table inet mine", || tables)?;
    scene.passes(Side::Wan, Side::Lan, &Packet::syn((WAN, 1), (LAN, 80)))?;
    // And back again.
    scene.put(&router_ron(Some(&gateway(SECTION))))?;
    scene.wait("the table", || scene.place.tables().ok()?.contains(TABLE).then_some(()))?;
    scene.core.as_mut().unwrap().wait_ready(status::PLUGIN, super::scene::WITHIN)?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN, 2), (LAN, 80)))
}

#[test]
fn what_was_taken_out_while_the_core_was_away_goes_with_its_next_start() -> Result {
    let mut scene = Scene::new(&gateway(SECTION))?;
    if let Some(core) = scene.core.take() {
        core.kill()?;
    }
    scene.site.configure(&router_ron(None))?;
    let mut core = scene.site.start(&scene.place.router)?;
    core.wait_ready("radvd", super::scene::WITHIN)?;
    let place = &scene.place;
    core.wait_until("the end of the table", super::scene::WITHIN, || {
        (!place.tables().ok()?.contains("portreeve")).then_some(())
    })
}

#[test]
fn rules_that_somebody_flushed_are_back_at_once_and_it_is_told() -> Result {
    let scene = Scene::new(&gateway(SECTION))?;
    let before = scene.router.output("nft -s list table inet portreeve-firewall")?;
    let same =
        || scene.router.output("nft -s list table inet portreeve-firewall").ok().filter(|now| *now == before).map(drop);
    for command in [
        "nft flush ruleset",
        "nft delete table inet portreeve-firewall",
        "nft insert rule inet portreeve-firewall forward accept",
    ] {
        let said = scene.core().log().lines().count();
        let began = std::time::Instant::now();
        scene.router.run(command)?;
        scene.wait("the rules", same).map_err(|failure| failure.with("after", command).with("before", &before))?;
        scene.ensure(command != "nft flush ruleset" || began.elapsed().as_secs() < 2, || {
            format!("it took {:?} to be back", began.elapsed())
        })?;
        let forbidden = Packet::syn((WAN, next_port()), (LAN, 80));
        scene.vanishes(Side::Wan, &forbidden)?;
        scene.wait("a word in the log", || {
            let log = scene.core().log();
            log.lines().skip(said).any(|line| line.contains("WARN") && line.contains("firewall")).then_some(())
        })?;
    }
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, next_port()), (WAN, 53))).map(drop)
}

/// Tables of others are theirs.
#[test]
fn a_foreign_table_beside_ours_stays_as_it_is() -> Result {
    let scene = Scene::new(&gateway(SECTION))?;
    for line in [
        "nft add table inet mine",
        "nft add chain inet mine forward { type filter hook forward priority 10; }",
        "nft add rule inet mine forward udp dport 5000 counter drop",
    ] {
        scene.router.run(line)?;
    }
    let before = scene.router.output("nft -s list table inet mine")?;
    scene.reconfigure(&zones(""))?;
    scene.reconfigure(&gateway(SECTION))?;
    let after = scene.router.output("nft -s list table inet mine")?;
    scene.ensure(before == after, || format!("{before}\nbecame\n{after}"))?;
    scene.vanishes(Side::Lan, &Packet::udp((LAN, 1), (WAN, 5000)))
}
