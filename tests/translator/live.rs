//! Changes, upgrades and ends while a connection talks: it goes on. What is taken out of router.ron goes, exactly.

use portreeve_tests::lab::{Event, Monitor, Result, ensure, wait_until};

use super::echo;
use super::scene::{DNS64, OWN_POOL, POOL, SERVER, Scene, WITHIN, nat64, nat64_of, ping, router_ron, router_ron_with};
use super::status::{self, NAT64, PLUGIN};
use super::talk::Talk;

/// The entry of a plugin with limits, which another instance is needed for.
fn limited(fields: &str, limits: &str) -> String {
    router_ron_with(&format!(r#""translator": (limits: ({limits}), config: ({fields})),"#), "")
}

/// The section with these fields of `nat64`, and a second instance.
fn with_other(fields: &str) -> String {
    let other = r#"instances: {"other": Nat64(prefix: "2001:db8:64::/96", pool: Addresses(["192.0.2.99/32"])), "#;
    nat64(fields).replace("instances: {", other).replace("dns64: (", r#"dns64: (instance: "nat64", "#)
}

/// The plugin runs for at least this number of times, and is ready.
fn wait_run(scene: &mut Scene, run: u64) -> Result {
    let core = scene.core();
    wait_until("the next run", WITHIN, || (status::run(core).ok()? >= run).then_some(()))?;
    scene.core.as_mut().unwrap().wait_ready(PLUGIN, WITHIN)
}

#[test]
fn changes_of_the_section_leave_a_connection_alone() -> Result {
    for own in ["private: true", OWN_POOL] {
        let mut scene = Scene::new(&nat64(own))?;
        let talks = [Talk::start(&scene.hosts[0], scene.echo_at())?, Talk::start(&scene.hosts[2], scene.echo_at())?];
        let fixed = format!(r#"static: [(protocol: Tcp, host: "[2001:db8:60:1::9]:22", public: "{POOL}:22")]"#);
        let mut changes = vec![
            nat64(&format!(r#"{own}, timeouts: (udp: "6m")"#)),
            nat64(own).replace("resolvers: [", "timeout: \"1s\", resolvers: [\"198.51.100.54\", "),
            with_other(own),
            nat64(own),
        ];
        if own == OWN_POOL {
            changes.push(nat64(&format!("{own}, {fixed}")));
        }
        for change in changes {
            scene.reconfigure(&change)?;
            for talk in &talks {
                talk.goes_on().map_err(|failure| failure.with("after", &change).with("log", &scene.core().log()))?;
            }
        }
        status::is_untouched(scene.core())?;
        ensure(scene.echo.tcp_peers().len() == talks.len(), || format!("{:?}", scene.echo.tcp_peers()))?;
        for talk in talks {
            talk.finish()?;
        }
    }
    Ok(())
}

#[test]
fn changes_of_other_plugins_leave_a_connection_alone() -> Result {
    let mut scene = Scene::new(DNS64)?;
    let talk = Talk::start(&scene.hosts[0], scene.echo_at())?;
    let file =
        router_ron(Some(DNS64)).replace(r#""lan1": (subnets:"#, r#""lan1": (addresses: ["10.9.0.1/24"], subnets:"#);
    scene.put(&file)?;
    let router = scene.router.clone();
    let core = scene.core.as_mut().unwrap();
    core.wait_until("the new address", WITHIN, || {
        router.output("ip addr show dev lan1").ok()?.contains("10.9.0.1/24").then_some(())
    })?;
    talk.goes_on()?;
    status::is_untouched(scene.core())?;
    talk.finish().map(drop)
}

/// The same component with something behind that nobody reads: another file, so another instance.
fn upgraded(component: &[u8]) -> Vec<u8> {
    // A custom section (the WebAssembly binary format, section 5.5.3): id 0, a length, a name.
    [component, &[0, 5, 4], b"next"].concat()
}

#[test]
fn an_upgrade_of_the_plugin_keeps_its_sessions() -> Result {
    for fields in [DNS64.to_owned(), nat64(OWN_POOL)] {
        let mut scene = Scene::new(&fields)?;
        let talk = Talk::start(&scene.hosts[0], scene.echo_at())?;
        let socket = echo::udp_socket(&scene.hosts[2], scene.echo_at())?;
        echo::udp_over(&socket, 10)?;
        let file = scene.site.path("plugins/translator.wasm");
        // The compiled code is of the file that is there; a new one takes its place at once.
        std::fs::write(file.with_extension("new"), upgraded(&std::fs::read(&file)?))?;
        std::fs::rename(file.with_extension("new"), &file)?;
        scene.core().reload()?;
        wait_run(&mut scene, 2)?;
        talk.goes_on().map_err(|failure| failure.with("log", &scene.core().log()))?;
        // Other limits need another instance, too.
        scene.put(&limited(&fields, "handles: 777"))?;
        wait_run(&mut scene, 3)?;
        talk.goes_on().map_err(|failure| failure.with("log", &scene.core().log()))?;
        echo::udp_over(&socket, 10)?;
        let mut mapped = scene.echo.udp_peers();
        mapped.dedup();
        ensure(mapped.len() == 1, || format!("the mapping became another one: {mapped:?}"))?;
        talk.finish()?;
    }
    Ok(())
}

/// All of the kernel's that the translator could touch.
fn held(scene: &Scene) -> Result<String> {
    let mut text = String::new();
    for line in [
        "ip -o addr show",
        "ip -4 route show table all",
        "ip -6 route show table all",
        "ip rule show",
        "ip -6 rule show",
        "nft list ruleset",
        "cat /proc/sys/net/ipv4/ip_forward",
        "cat /proc/sys/net/ipv4/ip_local_reserved_ports",
        "cat /proc/sys/net/ipv6/conf/all/forwarding",
    ] {
        let mut lines: Vec<String> = scene.router.output(line)?.lines().map(str::to_owned).collect();
        // Numbers of connections and of seconds change by themselves.
        lines.retain(|line| !line.contains("expires") && !line.contains("cache"));
        lines.sort();
        text += &format!("# {line}\n{}\n", lines.join("\n"));
    }
    Ok(text)
}

#[test]
fn a_removed_translator_takes_everything_with_it_and_leaves_what_is_others() -> Result {
    let mut scene = Scene::laid_out(DNS64)?;
    for line in [
        "add table inet mine",
        "add chain inet mine out { type nat hook postrouting priority 100; }",
        "add rule inet mine out ip saddr 10.99.0.0/16 masquerade",
    ] {
        scene.router.run(&format!("nft {line}"))?;
    }
    scene.router.run("ip route add 192.0.0.128/25 dev lan0")?;
    scene.site.configure(&router_ron(None))?;
    let mut core = scene.site.start(&scene.router)?;
    for plugin in ["interfaces", "radvd"] {
        core.wait_ready(plugin, WITHIN)?;
    }
    scene.core = Some(core);
    let before = held(&scene)?;
    scene.put(&router_ron(Some(DNS64)))?;
    let core = scene.core.as_mut().unwrap();
    core.wait_ready(PLUGIN, WITHIN)?;
    scene.hosts_are_connected(nat64_of(SERVER))?;
    let with = held(&scene)?;
    ensure(with.contains(NAT64) && with.matches("masquerade").count() == 2, || format!("nothing was made:\n{with}"))?;
    scene.put(&router_ron(None))?;
    let gone = wait_until("the state from before", WITHIN, || (held(&scene).ok()? == before).then_some(()));
    gone.map_err(|failure| {
        let now = held(&scene).unwrap_or_default();
        let only = |a: &str, b: &str| -> String {
            a.lines().filter(|l| !b.lines().any(|m| m == *l)).collect::<Vec<_>>().join("\n")
        };
        failure.with("missing", &only(&before, &now)).with("too much", &only(&now, &before))
    })?;
    let links = scene.router.output("ip -o link show")?;
    ensure(!links.contains(NAT64), || links)
}

/// Everything but the device's carrier, which ends with the process that holds it, and what the carrier brings along.
fn quiet(monitor: &mut Monitor) -> Result {
    let is_carrier = |event: &Event| event.object == "LINK" && event.is_on(NAT64);
    let is_link_local =
        |event: &Event| event.is_on(NAT64) && (event.text.contains("fe80:") || event.text.contains("ff00::/8"));
    // Neighbours' lifetimes and the like are refreshed by advertisements; only what is ours counts.
    let heard: Vec<Event> = monitor.events()?;
    let heard: Vec<_> = heard.into_iter().filter(|event| !is_carrier(event) && !is_link_local(event)).collect();
    ensure(heard.is_empty(), || format!("the kernel was told something:\n{heard:#?}"))
}

#[test]
fn a_restart_of_the_core_changes_nothing_and_a_connection_goes_on() -> Result {
    for fields in [DNS64.to_owned(), nat64(OWN_POOL)] {
        let mut scene = Scene::new(&fields)?;
        let talk = Talk::start(&scene.hosts[0], scene.echo_at())?;
        let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
        if let Some(core) = scene.core.take() {
            ensure(core.stop()?.success(), || "the core did not end well".to_owned())?;
        }
        quiet(&mut monitor)?;
        scene.start(&[])?;
        scene.hosts_are_connected(nat64_of(SERVER))?;
        quiet(&mut monitor)?;
        talk.goes_on().map_err(|failure| failure.with("log", &scene.core().log()))?;
        talk.finish()?;
    }
    Ok(())
}

#[test]
fn a_killed_core_leaves_everything_and_the_next_one_finds_it() -> Result {
    let mut scene = Scene::new(DNS64)?;
    let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
    let before = held(&scene)?;
    if let Some(core) = scene.core.take() {
        core.kill()?;
    }
    quiet(&mut monitor)?;
    scene.start(&[])?;
    scene.hosts_are_connected(nat64_of(SERVER))?;
    quiet(&mut monitor)?;
    echo::tcp(&scene.hosts[2], scene.echo_at())?;
    let after = held(&scene)?;
    ensure(before == after, || format!("--- before\n{before}\n--- after\n{after}"))
}

#[test]
fn an_instance_that_is_taken_out_goes_alone() -> Result {
    let mut scene = Scene::new(&with_other("private: true"))?;
    let through_other = super::scene::embedded("2001:db8:64::".parse().unwrap(), SERVER);
    scene.hosts[0].run(&ping(through_other))?;
    let talk = Talk::start(&scene.hosts[0], scene.echo_at())?;
    scene.reconfigure(&nat64("private: true"))?;
    let router = scene.router.clone();
    let core = scene.core.as_mut().unwrap();
    core.wait_until("the end of the other instance", WITHIN, || {
        let links = router.output("ip -o link show").ok()?;
        let routes = router.output("ip -6 route show").ok()?;
        (!links.contains(" other") && !routes.contains("2001:db8:64::/96")).then_some(())
    })?;
    talk.finish().map(drop)
}
