//! What one plugin does, no other notices: crashes, spinning, allocating, being busy, asking for what it may not have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Icmpv6, Lab, Netns, Result, Router, Site, Stage, ensure, veth};

const WITHIN: Duration = Duration::from_secs(60);
const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x5eff, 0xfe10, 2);
const RADVD: &str = r#""radvd": (config: (interfaces: {"lan0": (prefixes: {"2001:db8:60:1::/64": ()})}))"#;

fn link(lab: &mut Lab) -> Result<(Netns, Netns)> {
    let (router, host) = (lab.netns("router")?, lab.netns("host")?);
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    veth((&router, "lan0", "02:00:5e:10:00:01"), (&host, "eth0", "02:00:5e:10:00:02"))?;
    Ok((router, host))
}

fn config(plugins: &str) -> String {
    format!("Router(plugins: {{{RADVD}, {plugins}}})")
}

/// State and run of each plugin.
fn states(core: &Router) -> Result<BTreeMap<String, (String, u64)>> {
    let status = core.status_json()?;
    let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(plugins.iter().map(|p| (text(&p["name"]), (text(&p["state"]), p["run"].as_u64().unwrap_or(0)))).collect())
}

#[test]
fn solicitations_are_answered_while_others_crash_spin_and_allocate_until_they_are_quarantined() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab)?;
    let culprits = ["trap", "spin", "allocate"];
    let plugins = r#"
        "trap": (component: "plugins/misfit.wasm", allow: [Links("*")], config: (mode: Trap)),
        "spin": (component: "plugins/misfit.wasm", allow: [Links("*")], config: (mode: Spin)),
        "allocate": (component: "plugins/misfit.wasm", allow: [Links("*")], config: (mode: Allocate)),
        "busy": (component: "plugins/misfit.wasm", allow: [Links("*")], config: (mode: Busy)),
        "probe": (component: "plugins/probe.wasm", config: ()),
    "#;
    let site = Site::new(&lab, &Stage::find()?, &config(plugins))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let solicitor = Icmpv6::from(&host, "eth0", HOST)?;
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut answered = 0;
    let deadline = std::time::Instant::now() + WITHIN;
    loop {
        solicitor.drain()?;
        solicitor.solicit()?;
        solicitor.expect_advertisement(Duration::from_secs(5))?;
        answered += 1;
        let now = states(&core)?;
        seen.extend(now.iter().map(|(name, (state, _))| (name.clone(), state.clone())));
        if culprits.iter().all(|c| now[*c].0 == "quarantined") {
            break;
        }
        ensure(std::time::Instant::now() < deadline, || format!("not all quarantined: {now:?}\n{}", core.log()))?;
        // Below the engine's limit for one source, 10 a second.
        std::thread::sleep(Duration::from_millis(110));
    }
    ensure(answered > 5, || format!("only {answered} solicitations were asked"))?;
    let now = states(&core)?;
    for bystander in ["radvd", "busy", "probe"] {
        ensure(now[bystander] == ("ready".to_owned(), 1), || format!("{bystander}: {:?}", now[bystander]))?;
    }
    ensure(seen.contains(&("spin".to_owned(), "backoff".to_owned())), || format!("no back-off was seen: {seen:?}"))?;
    let text = core.command(&["status"])?;
    for (name, says) in [("trap", "unreachable"), ("spin", "without waiting"), ("allocate", "MiB of memory")] {
        let told = text.lines().any(|l| l.starts_with(&format!("{name}: last crash")) && l.contains(says));
        ensure(told && text.contains("quarantined"), || format!("status does not tell of {name}:\n{text}"))?;
    }
    let logged = core.command(&["logs", "trap"])?;
    ensure(logged.contains("quarantined") && logged.contains("a misfit panics"), || logged)?;
    ensure(core.stop()?.success(), || "the core did not end well".to_owned())
}

#[test]
fn a_plugin_that_crashed_once_is_ready_again_and_the_others_did_not_see_it() -> Result {
    let mut lab = Lab::new()?;
    let (router, _host) = link(&mut lab)?;
    let plugins = r#""ask": (component: "plugins/misfit.wasm", allow: [Links("*")], config: (mode: TrapOnQuery))"#;
    let site = Site::new(&lab, &Stage::find()?, &config(plugins))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    core.wait_ready("ask", WITHIN)?;
    ensure(core.command(&["status", "ask", "fall"]).is_err(), || "a plugin that fell has answered".to_owned())?;
    core.wait_ready("ask", WITHIN)?;
    let now = states(&core)?;
    ensure(now["ask"] == ("ready".to_owned(), 2) && now["radvd"] == ("ready".to_owned(), 1), || format!("{now:?}"))?;
    ensure(core.status_json()?["plugins"][1]["last_crash"].is_string(), || "the crash is forgotten".to_owned())
}

#[test]
fn what_was_not_planned_or_not_allowed_is_denied_and_logged_and_check_says_what_to_add() -> Result {
    let mut lab = Lab::new()?;
    let (router, _host) = link(&mut lab)?;
    let probe = |allow: &str| {
        config(&format!(r#""probe": (component: "plugins/probe.wasm", {allow} config: (icmpv6: ["lan0"])),"#))
    };
    let site = Site::new(&lab, &Stage::find()?, &probe(""))?;
    let mut core = site.start(&router)?;
    core.wait_ready("probe", WITHIN)?;
    let ask = |core: &Router, words: &[&str]| core.command(&[&["status", "probe"], words].concat());
    for (words, reason) in [
        (&["links"][..], "the plugin did not plan it"),
        (&["open", "lan0", "133"], "the operator's `allow` in router.ron does not name it"),
        (&["open", "wan0", "133"], "the plugin did not plan it"),
    ] {
        let answer = ask(&core, words)?;
        ensure(answer.contains("answer: denied"), || format!("{words:?}: {answer}"))?;
        let log = core.command(&["logs", "probe"])?;
        let last = log.lines().next_back().unwrap_or_default();
        ensure(last.contains("WARN probe: denied") && last.contains(reason), || format!("{words:?}: {last}"))?;
    }
    let (code, complaints) = site.check()?;
    let (_, needed) = complaints.split_once("add `").ok_or_else(|| Failure::new(format!("no hint:\n{complaints}")))?;
    let needed = needed.split_once('`').map_or("", |(line, _)| line);
    ensure(code == 0 && needed.starts_with("allow: [Icmpv6("), || format!("exit code {code}\n{complaints}"))?;
    // The very line that check prints, pasted, and read while the plugin runs.
    site.configure(&probe(needed))?;
    core.reload()?;
    let mut answer = String::new();
    let deadline = std::time::Instant::now() + WITHIN;
    while !answer.contains("answer: ok") && std::time::Instant::now() < deadline {
        answer = ask(&core, &["open", "lan0", "133"])?;
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure(answer.contains("answer: ok"), || format!("still denied: {answer}\n{}", core.log()))?;
    ensure(states(&core)?["probe"].1 == 1, || "a grant alone needs no new start".to_owned())
}
