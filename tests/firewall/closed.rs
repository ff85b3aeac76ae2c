//! From the first moment on: nothing is forwarded until the rules stand, and if they never do.
//!
//! The guard is the core's own table. It is there before any plugin has configured an interface: whoever sees an address that
//! a plugin gave, and looks for tables after that, must see the guard's or the firewall's.

use portreeve_tests::lab::{Failure, Result, ensure, wait_until};

use super::live::watched;
use super::packet::{MARKER, Packet};
use super::place::{LAN, LAN4, NEIGHBOUR, ROUTER_LINK, Side, WAN, WAN4};
use super::scene::{GUARD, Scene, TABLE, WITHIN, gateway, router_ron_with};
use super::status;

const ADDRESS: &str = "192.168.77.1/24";

/// The firewall with a set of so much that it takes its time, and a plugin that gives an address at once.
fn slow(limits: &str, section: &str) -> String {
    router_ron_with(&format!(
        r#""interfaces": (config: (interfaces: {{"lan1": (addresses: ["{ADDRESS}"])}})),
        "firewall": ({limits} config: ({section})),"#
    ))
}

/// Elements of a file, a /128 each.
fn many(count: u32) -> String {
    (0..count).map(|n| format!("2001:db8:{:x}:{:x}::1\n", n >> 16, n & 0xffff)).collect()
}

const SETS: &str = r#"sets: {"big": (file: "big.txt")},
    rules: [(from: ["wan"], to: ["router"], source: ["@big"], then: Drop)], "#;

/// Whether the address is there, and, looked at later, which tables.
fn look(scene: &Scene) -> Result<(bool, String)> {
    let has_address = scene.router.output("ip addr show dev lan1")?.contains(ADDRESS);
    Ok((has_address, scene.place.tables()?))
}

/// Nothing goes through, and only answers and neighbours come in.
fn is_shut(scene: &Scene, port: u16) -> Result {
    scene.vanishes(Side::Lan, &Packet::udp((LAN, port), (WAN, 53)))?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN4, port), (LAN4, 80)))?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN, port), (Side::Wan.router(), 22)))?;
    scene.vanishes(Side::Lan, &Packet::icmp(LAN4, Side::Lan.router4(), 8, 0))?;
    scene.arrives(Side::Wan, &Packet::icmp(NEIGHBOUR, ROUTER_LINK, 135, 0).hop_limit(255))?;
    scene.vanishes(Side::Wan, &Packet::icmp(NEIGHBOUR, ROUTER_LINK, 135, 0).hop_limit(254))?;
    let socket = scene.router.enter(|| std::net::UdpSocket::bind((Side::Wan.router(), 0)))??;
    let own = socket.local_addr()?.port();
    let seen = scene.during(|_| Ok(socket.send_to(MARKER, (WAN, 53)).map(drop)?))?;
    scene.ensure(seen.is_through(Side::Wan, Side::Wan.router(), WAN), || format!("{seen:?}"))?;
    scene.arrives(Side::Wan, &Packet::udp((WAN, 53), (Side::Wan.router(), own))).map(drop)
}

#[test]
fn the_guard_stands_before_the_first_interface_is_configured_and_goes_when_the_rules_stand() -> Result {
    let mut scene = Scene::laid_out("")?;
    std::fs::write(scene.file("big.txt"), many(200_000))?;
    scene.site.configure(&slow("", &gateway(SETS)))?;
    // Without rules everything passes, so what is seen below is the guard.
    scene.passes(Side::Wan, Side::Lan, &Packet::udp((WAN, 1), (LAN, 2)))?;
    let mut core = scene.site.start(&scene.place.router)?;
    let (mut guarded, mut looks, mut shut) = (0, 0, false);
    let mut wrong = None;
    core.wait_until("the firewall behind the guard", WITHIN, || {
        let (has_address, tables) = look(&scene).ok()?;
        let (guard, firewall) = (tables.contains(GUARD), tables.contains(TABLE));
        looks += 1;
        if has_address && !guard && !firewall {
            wrong = Some(format!("an address and no rules, at look {looks}: {tables}"));
        }
        if guard && !firewall && has_address {
            guarded += 1;
        }
        if guard && !firewall && !shut {
            // The firewall may come in between, then this is no proof; what it may never show is a packet.
            let seen = scene.pass(Side::Wan, &Packet::syn((WAN, 5), (LAN, 6))).ok()?;
            if !seen.is_nothing() {
                wrong = Some(format!("through the guard: {seen:?}"));
            }
            shut = true;
        }
        (wrong.is_some() || (firewall && !guard)).then_some(())
    })?;
    scene.core = Some(core);
    scene.ensure(wrong.is_none(), || wrong.clone().unwrap_or_default())?;
    scene.ensure(guarded > 0 && shut, || format!("the guard was not seen with an address, in {looks} looks"))?;
    scene.core.as_mut().unwrap().wait_ready(status::PLUGIN, WITHIN)?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 3), (WAN, 53)))?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN, 3), (LAN, 80)))
}

#[test]
fn a_firewall_that_cannot_start_leaves_the_router_shut_until_it_can() -> Result {
    let mut scene = Scene::laid_out("")?;
    // It is read by the running plugin alone, which has no room for it.
    std::fs::write(scene.file("big.txt"), many(400_000))?;
    scene.site.configure(&slow("limits: (memory_mib: 12),", &gateway(SETS)))?;
    scene.core = Some(scene.site.start(&scene.place.router)?);
    let crashes = |scene: &Scene| status::plugin(scene.core()).ok()?["restarts"].as_u64();
    scene.wait("two crashes", || (crashes(&scene)? >= 2).then_some(()))?;
    scene.wait("the address", || look(&scene).ok()?.0.then_some(()))?;
    let tables = scene.place.tables()?;
    scene.ensure(tables.contains(GUARD) && !tables.contains(TABLE), || tables)?;
    is_shut(&scene, 7)?;
    // It can, with less to read.
    std::fs::write(scene.file("big.txt"), many(10))?;
    scene.site.configure(&slow("limits: (memory_mib: 24),", &gateway(SETS)))?;
    scene.core().reload()?;
    scene.wait("the end of the guard", || {
        let tables = scene.place.tables().ok()?;
        (tables.contains(TABLE) && !tables.contains(GUARD)).then_some(())
    })?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 8), (WAN, 53)))?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN, 8), (LAN, 80)))
}

/// The core ends while the guard stands: nobody is there to open the router, and the next core does when it can.
#[test]
fn a_core_that_dies_behind_the_guard_leaves_the_router_shut() -> Result {
    let mut scene = Scene::laid_out("")?;
    std::fs::write(scene.file("big.txt"), many(400_000))?;
    scene.site.configure(&slow("limits: (memory_mib: 12),", &gateway(SETS)))?;
    let mut core = scene.site.start(&scene.place.router)?;
    let place = &scene.place;
    core.wait_until("the guard", WITHIN, || place.tables().ok()?.contains(GUARD).then_some(()))?;
    core.kill()?;
    is_shut(&scene, 7)?;
    std::fs::write(scene.file("big.txt"), many(10))?;
    scene.start()?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 8), (WAN, 53))).map(drop)
}

#[test]
fn who_does_not_want_the_guard_has_none() -> Result {
    let mut scene = Scene::laid_out("")?;
    std::fs::write(scene.file("big.txt"), many(400_000))?;
    scene.site.configure(&slow("limits: (memory_mib: 12),", &gateway(&format!("guard: false, {SETS}"))))?;
    scene.core = Some(scene.site.start(&scene.place.router)?);
    scene.wait("two crashes", || (status::plugin(scene.core()).ok()?["restarts"].as_u64()? >= 2).then_some(()))?;
    let tables = scene.place.tables()?;
    scene.ensure(!tables.contains("portreeve"), || tables)?;
    scene.passes(Side::Wan, Side::Lan, &Packet::udp((WAN, 1), (LAN, 2))).map(drop)
}

/// A start is the most dangerous moment: from the first packet to the last none passes that may not.
#[test]
fn nothing_leaks_between_the_guard_and_the_rules() -> Result {
    let mut scene = Scene::laid_out(&gateway(""))?;
    let Scene { core, site, place, .. } = &mut scene;
    let place = &*place;
    let mut next = site.start(&place.router)?;
    wait_until("the guard or the rules", WITHIN, || place.tables().ok()?.contains("portreeve").then_some(()))?;
    let ((), tried) = watched(place, || {
        next.wait_ready(status::PLUGIN, WITHIN)?;
        super::scene::stands(&mut next, place)
    })?;
    let log = next.log();
    *core = Some(next);
    ensure(tried.leaked == 0 && tried.rounds > 0, || format!("{tried:?}")).map_err(|f: Failure| f.with("log", &log))
}

/// The rules of the run before go on filtering although nobody can mend them; when they go the router is shut.
#[test]
fn a_component_that_cannot_be_loaded_leaves_the_router_with_rules_or_shut() -> Result {
    let mut scene = Scene::new(&gateway(""))?;
    let file = scene.site.path("plugins/firewall.wasm");
    let component = std::fs::read(&file)?;
    if let Some(core) = scene.core.take() {
        core.stop()?;
    }
    // The site's plugins are links to what was built.
    std::fs::remove_file(&file)?;
    std::fs::write(&file, "not a component")?;
    let mut core = scene.site.start(&scene.place.router)?;
    core.wait_ready("radvd", WITHIN)?;
    scene.core = Some(core);
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 1), (WAN, 53)))?;
    scene.vanishes(Side::Wan, &Packet::syn((WAN, 1), (LAN, 80)))?;
    scene.place.router.run("nft flush ruleset")?;
    scene.wait("the guard", || scene.place.tables().ok()?.contains(GUARD).then_some(()))?;
    is_shut(&scene, 7)?;
    std::fs::write(&file, component)?;
    scene.core().reload()?;
    scene.wait("the end of the guard", || {
        let tables = scene.place.tables().ok()?;
        (tables.contains(TABLE) && !tables.contains(GUARD)).then_some(())
    })?;
    scene.passes(Side::Lan, Side::Wan, &Packet::udp((LAN, 8), (WAN, 53))).map(drop)
}
