//! router.ron in the life of a router: mistakes, reloads, components that are none.

use std::time::Duration;

use portreeve_tests::lab::{Icmpv6, Lab, Netns, Result, Site, Stage, ensure, veth};

const WITHIN: Duration = Duration::from_secs(60);

fn link(lab: &mut Lab, names: &[&str]) -> Result<(Netns, Netns)> {
    let (router, host) = (lab.netns("router")?, lab.netns("host")?);
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    for (number, name) in names.iter().enumerate() {
        let (a, b) = (format!("02:00:5e:10:{number:02}:01"), format!("02:00:5e:10:{number:02}:02"));
        veth((&router, name, &a), (&host, &format!("eth{number}"), &b))?;
    }
    Ok((router, host))
}

const GOOD: &str =
    r#"Router(plugins: {"radvd": (config: (interfaces: {"lan0": (prefixes: {"2001:db8:60:1::/64": ()})}))})"#;

/// Five mistakes in three sections.
const FIVE_MISTAKES: &str = r#"Router(
    system: (log: Infoo),
    plugins: {
        "radvd": (config: (
            interfaces: {
                "lan0": (
                    max_interval: 600,
                    prefixes: {"2001:db8:60:1::1/64": ()},
                    mtuu: 1480,
                ),
            },
        )),
        "probe": (config: (links: ["lan*"], strage: 12)),
    },
)
"#;

#[test]
fn check_prints_every_mistake_with_place_line_and_hint_and_run_refuses_with_the_same_text() -> Result {
    let mut lab = Lab::new()?;
    let (router, _host) = link(&mut lab, &["lan0"])?;
    let site = Site::new(&lab, &Stage::find()?, FIVE_MISTAKES)?;
    let (code, complaints) = site.check()?;
    ensure(code == 1, || format!("exit code {code}"))?;
    let places: Vec<_> = complaints
        .lines()
        .filter(|line| line.contains("router.ron:") && line.contains(" error: "))
        .map(|line| line.rsplit_once("router.ron:").map_or("", |(_, rest)| rest).to_owned())
        .collect();
    let expected = [
        "2:19: error: unknown value `Infoo`",
        "7:35: error: a duration needs a unit",
        "8:32: error: bits behind the prefix length are set; the prefix is 2001:db8:60:1::/64",
        "9:21: error: unknown field `mtuu`",
        "13:45: error: unknown field `strage`",
    ];
    ensure(places == expected, || format!("{places:#?}\n{complaints}"))?;
    for shown in [
        "   2 |     system: (log: Infoo),",
        "= hint: did you mean `Info`?",
        "= hint: write \"600s\" for seconds",
        "= hint: write \"2001:db8:60:1::/64\"",
        "= hint: did you mean `mtu`?",
        "= hint: did you mean `storage`?",
    ] {
        ensure(complaints.contains(shown), || format!("{shown:?} is missing in\n{complaints}"))?;
    }
    let mut core = site.start(&router)?;
    let code = core.wait_end(WITHIN)?;
    ensure(code.code() == Some(1), || format!("run ended with {code}"))?;
    ensure(core.log().trim() == complaints.trim(), || format!("run says\n{}\ncheck says\n{complaints}", core.log()))
}

#[test]
fn a_reload_with_mistakes_keeps_the_old_configuration_serving() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab, &["lan0"])?;
    let site = Site::new(&lab, &Stage::find()?, GOOD)?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let ears = Icmpv6::listen(&host, "eth0")?;
    site.configure(FIVE_MISTAKES)?;
    core.reload()?;
    let log = core.log_path();
    core.wait_until("the refusal", WITHIN, || {
        std::fs::read_to_string(&log).ok()?.contains("the old one stays in force").then_some(())
    })?;
    let (_, complaints) = site.check()?;
    ensure(core.log().contains(complaints.trim()), || format!("the text is another one:\n{}", core.log()))?;
    let status = core.command(&["status"])?;
    ensure(status.contains("the last reload was refused") && status.contains("Infoo"), || status)?;
    ears.drain()?;
    ears.solicit()?;
    ensure(ears.expect_advertisement(WITHIN)?.router_lifetime() == 1800, || "another lifetime".to_owned())?;
    site.configure(GOOD)?;
    core.reload()?;
    let refused =
        |core: &portreeve_tests::lab::Router| core.status_json().map(|s| s["core"]["config_error"].is_string());
    let deadline = std::time::Instant::now() + WITHIN;
    while refused(&core)? {
        ensure(std::time::Instant::now() < deadline, || format!("still refused:\n{}", core.log()))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_reload_changes_what_differs_and_nothing_else() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab, &["lan0", "lan1"])?;
    let radvd = |interfaces: &str| format!(r#""radvd": (config: (interfaces: {{{interfaces}}}))"#);
    let probe = r#", "probe": (config: ())"#;
    let lan0 = r#""lan0": (prefixes: {"2001:db8:60:1::/64": ()}, router_lifetime: "31m"),"#;
    let lan1 = r#""lan1": (prefixes: {"2001:db8:60:2::/64": ()}, router_lifetime: "32m"),"#;
    let config = |plugins: &str| format!("Router(plugins: {{{plugins}}})");
    let site = Site::new(&lab, &Stage::find()?, &config(&(radvd(lan0) + probe)))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let (first, second) = (Icmpv6::listen(&host, "eth0")?, Icmpv6::listen(&host, "eth1")?);
    first.expect_advertisement(WITHIN)?;
    first.drain()?;
    site.configure(&config(&(radvd(&(lan0.to_owned() + lan1)) + probe)))?;
    core.reload()?;
    ensure(second.expect_advertisement(WITHIN)?.router_lifetime() == 32 * 60, || "lan1: another lifetime".to_owned())?;
    // The second advertisement of lan0 is at least 12 s after its first; a reload makes no other.
    let needless = first.advertisement(Duration::from_secs(2))?;
    ensure(needless.is_none(), || format!("lan0 was not touched by the change, and yet: {needless:?}"))?;
    let status = core.command(&["status", "radvd", "--json"])?;
    ensure(status.contains("\"lan1\""), || status)?;
    let runs = |core: &portreeve_tests::lab::Router| -> Result<Vec<u64>> {
        let status = core.status_json()?;
        Ok(status["plugins"].as_array().into_iter().flatten().filter_map(|p| p["run"].as_u64()).collect())
    };
    ensure(runs(&core)? == [1, 1], || format!("a plugin was started anew:\n{}", core.log()))?;
    // Taken out: the last word is that this router is none any more.
    site.configure(&config(probe.trim_start_matches(", ")))?;
    first.drain()?;
    second.drain()?;
    core.reload()?;
    for ears in [&first, &second] {
        ensure(ears.expect_advertisement(WITHIN)?.router_lifetime() == 0, || "not a final one".to_owned())?;
    }
    ensure(runs(&core)? == [1], || format!("{:?}", core.status_json()))
}

#[test]
fn an_interface_that_comes_late_is_served_and_until_then_all_is_well() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab, &[])?;
    let site = Site::new(&lab, &Stage::find()?, GOOD)?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let status = core.command(&["status", "radvd"])?;
    ensure(status.contains("missing"), || status)?;
    veth((&router, "lan0", "02:00:5e:10:00:01"), (&host, "eth0", "02:00:5e:10:00:02"))?;
    let ears = Icmpv6::listen(&host, "eth0")?;
    ears.expect_advertisement(WITHIN)?;
    // Nothing to do at all is no trouble either, and more can come by a reload.
    site.configure(&GOOD.replace(r#""lan0": (prefixes: {"2001:db8:60:1::/64": ()})"#, ""))?;
    core.reload()?;
    for number in 1..=3 {
        let last = ears.expect_advertisement(WITHIN)?;
        ensure(last.router_lifetime() == 0, || format!("the {number}. advertisement is not a final one"))?;
    }
    ensure(core.plugin_state("radvd").as_deref() == Some("ready"), || core.log())?;
    core.stop()?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    site.configure(GOOD)?;
    ears.drain()?;
    core.reload()?;
    ensure(ears.expect_advertisement(WITHIN)?.router_lifetime() == 1800, || "not advertised".to_owned())
}

#[test]
fn a_planner_that_sleeps_holds_up_neither_the_others_nor_the_end() -> Result {
    let mut lab = Lab::new()?;
    let (router, _host) = link(&mut lab, &["lan0"])?;
    let sleeper = r#""sleeper": (component: "plugins/misfit.wasm", config: (mode: SleepInPlan)), "#;
    let site = Site::new(&lab, &Stage::find()?, &GOOD.replace("plugins: {", &format!("plugins: {{{sleeper}")))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    ensure(core.plugin_state("sleeper").as_deref() == Some("failed"), || core.log())?;
    // While the next plan waits for the sleeper again, the core ends when it is told to, and stays ended.
    core.reload()?;
    ensure(core.stop()?.success(), || "it did not end well".to_owned())
}

#[test]
fn components_that_are_none_are_told_apart_in_one_line_each_and_the_others_start() -> Result {
    let mut lab = Lab::new()?;
    let (router, _host) = link(&mut lab, &["lan0"])?;
    let stage = Stage::find()?;
    let radvd = std::fs::read(stage.plugin("radvd"))?;
    let patched = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = radvd.clone();
        let mut found = 0;
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                found += 1;
            }
        }
        assert!(found > 0, "{from} is not in radvd.wasm");
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("text", b"#!/bin/sh\necho no\n".to_vec(), "it is not WebAssembly"),
        ("elf", std::fs::read("/bin/true")?, "it is precompiled machine code"),
        ("module", b"\0asm\x01\0\0\0".to_vec(), "it is a core module, not a component"),
        ("empty-component", b"\0asm\x0d\0\x01\0".to_vec(), "not a portreeve plugin"),
        ("truncated", radvd[..radvd.len() / 2].to_vec(), "it is damaged or truncated"),
        (
            "stranger",
            patched("portreeve:plugin/clock@0.1.0", "portreeve:plugin/clonk@0.1.0"),
            "it imports portreeve:plugin/clonk@0.1.0, which this core does not offer",
        ),
        (
            "future",
            patched("portreeve:plugin/lifecycle@0.1.0", "portreeve:plugin/lifecycle@0.9.0"),
            "it was built for portreeve:plugin 0.9.0, a newer version",
        ),
        ("missing", Vec::new(), "cannot read"),
    ];
    let entries: String =
        cases.iter().map(|(name, ..)| format!("        \"{name}\": (component: \"{name}.wasm\"),\n")).collect();
    let config = GOOD.replace("Router(plugins: {", &format!("Router(plugins: {{\n{entries}"));
    let site = Site::new(&lab, &stage, &config)?;
    for (name, bytes, _) in cases.iter().filter(|(name, ..)| *name != "missing") {
        std::fs::write(site.path(&format!("{name}.wasm")), bytes)?;
    }
    let (code, complaints) = site.check()?;
    ensure(code == 1, || format!("exit code {code}"))?;
    for (name, _, says) in &cases {
        let line = complaints.lines().find(|l| l.contains("router.ron:") && l.contains(&format!("/{name}.wasm: ")));
        ensure(line.is_some_and(|l| l.contains(says)), || format!("{name}: {line:?}\n{complaints}"))?;
    }
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let status = core.command(&["status"])?;
    for (name, _, says) in &cases {
        ensure(core.plugin_state(name).as_deref() == Some("failed"), || format!("{name} is not failed:\n{status}"))?;
        let told = status.lines().any(|l| l.starts_with(&format!("{name}: ")) && l.contains(says));
        ensure(told, || format!("status does not say why {name} failed:\n{status}"))?;
    }
    Ok(())
}
