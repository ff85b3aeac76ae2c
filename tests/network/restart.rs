//! Core and plugin end, in peace or not, and start again: the kernel hears nothing of it.

use portreeve_tests::lab::{Event, Monitor, Result, ensure, wait_until};

use super::{Scene, WITHIN, interfaces, tunnels};

const TUNNEL: &str = "sixbone";

fn everything() -> String {
    interfaces(
        r#"forwarding: (ipv6: true, ipv4: true),
        pools: {"isp": (prefix: "2001:db8:60::/60")},
        interfaces: {
            "wan0": (addresses: ["192.0.2.2/30"], routes: [(to: "0.0.0.0/0", via: "192.0.2.1")], mtu: 1400),
            "lan0": (subnets: [(pool: "isp", number: 1)], neighbours: [(address: "2001:db8:60:1::9", mac: "02:00:5e:10:00:09")]),
            "br0": (kind: Veth(peer: "br1"), addresses: ["10.0.0.1/24"]),
        },
        routes: [(to: "2001:db8:f::/48", kind: Blackhole)],
        rules: [(priority: 900, from: "10.0.0.0/24", table: 90)]"#,
    ) + &tunnels(
        r#""sixbone": (kind: SixInFour(remote: "192.0.2.1", local: Address("192.0.2.2")), addresses: ["2001:db8:1::2/127"],
            routes: [(to: "::/0", via: "2001:db8:1::3")],
            source_routes: [(from: "2001:db8:60::/60", table: 100, priority: 1000)])"#,
    )
}

/// Everything but a userspace tunnel's carrier, which ends with the process that holds it.
fn quiet(monitor: &mut Monitor) -> Result {
    let is_carrier = |event: &Event| event.object == "LINK" && event.is_on(TUNNEL);
    let heard: Vec<Event> = monitor.events()?.into_iter().filter(|event| !is_carrier(event)).collect();
    ensure(heard.is_empty(), || format!("the kernel was told something:\n{heard:#?}"))
}

fn runs(scene: &mut Scene, plugin: &str) -> Result<u64> {
    let status = scene.core().status_json()?;
    let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
    Ok(plugins.iter().find(|it| it["name"] == plugin).and_then(|it| it["run"].as_u64()).unwrap_or_default())
}

fn scene() -> Result<(Scene, Monitor)> {
    let mut scene = Scene::new(&everything())?;
    scene.start(&["interfaces", "tunnels"])?;
    scene.wait_output("ip -6 route show default", |text| text.contains(TUNNEL))?;
    let monitor = Monitor::start(&scene.lab, &scene.router)?;
    Ok((scene, monitor))
}

/// The tunnel moves packets again, so all that a start does is done.
fn is_back(scene: &mut Scene) -> Result {
    scene.start(&["interfaces", "tunnels"])?;
    let rows = || scene.core.as_ref().and_then(|core| core.table("tunnels", "tunnels").ok());
    wait_until("the tunnel is up", WITHIN, || rows()?.iter().any(|row| row["state"] == "up").then_some(()))
}

#[test]
fn a_restart_of_the_core_changes_nothing() -> Result {
    let (mut scene, mut monitor) = scene()?;
    if let Some(core) = scene.core.take() {
        ensure(core.stop()?.success(), || "the core did not end well".to_owned())?;
    }
    quiet(&mut monitor)?;
    is_back(&mut scene)?;
    quiet(&mut monitor)
}

#[test]
fn a_killed_core_leaves_everything_and_the_next_one_finds_it() -> Result {
    let (mut scene, mut monitor) = scene()?;
    if let Some(core) = scene.core.take() {
        core.kill()?;
    }
    quiet(&mut monitor)?;
    is_back(&mut scene)?;
    quiet(&mut monitor)
}

#[test]
fn plugins_that_are_started_anew_change_nothing() -> Result {
    let (mut scene, mut monitor) = scene()?;
    // Other limits need another instance.
    let limited = everything().replace("(config: (", "(limits: (handles: 77), config: (");
    scene.reconfigure(&limited)?;
    for plugin in ["interfaces", "tunnels"] {
        let deadline = std::time::Instant::now() + WITHIN;
        while runs(&mut scene, plugin)? < 2 {
            ensure(std::time::Instant::now() < deadline, || format!("{plugin} was not started anew"))?;
            std::thread::yield_now();
        }
        scene.core().wait_ready(plugin, WITHIN)?;
    }
    let rows = || scene.core.as_ref().and_then(|core| core.table("tunnels", "tunnels").ok());
    wait_until("the tunnel is up", WITHIN, || rows()?.iter().any(|row| row["state"] == "up").then_some(()))?;
    quiet(&mut monitor)
}
