//! What a router.ron with 1,000 addresses and 1,000 routes costs, and one changed address in it.
//!
//! | figure | from | to |
//! |---|---|---|
//! | `plan_1000_ms` | the text of the section | the plan: a new instance of the sandboxed plugin described and planned |
//! | `plan_none_ms` | the same with nothing on the links: what the instance alone costs | the same |
//! | `parse_native_1000_ms` | the text of the section | its configuration, without the sandbox |
//! | `reconfigure_1000_ms` | a running, sandboxed plugin is given the section | it has answered: all is in the kernel |
//! | `reconfigure_one_ms` | the same, with one address changed | the same |
//! | `apply_1000_ms`, `apply_one_ms` | these less the plugin's own reading of the section, which is `plan_1000_ms` less `plan_none_ms` | |
//! | `reconcile_*_ms` | the core's reconciler is given the state | it has answered: the part of it without the sandbox |
//! | `reload_*_ms` | router.ron is written, SIGHUP follows | the core's log says that the network was changed |
//! | `ip_batch_1000_ms` | `ip -batch` with the same 2,000 adds is started | it has ended |
//!
//! The plan and the applies are made by the core's library in this process, with the staged component, real grants and
//! the real kernel; so this must be a release build. A change-over holds the plugin's reading of its section, the crossing of
//! the state, the check of the grants, reading the kernel, the difference, the changes and the written record. A reload is
//! of the staged core, and holds the planning twice: the core's, and the plugin's. Half of everything is IPv6, all on four
//! veth links. Every figure is the median over the rounds; the rounds of all take turns, and nobody else follows the
//! kernel while `ip` works. How many objects there are is asked of the kernel after each apply.

use std::path::{Path, PathBuf};
use std::process::{Command as Program, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::config::{Limits, LogLevel};
use portreeve::grants::{Grants, Policy};
use portreeve::host::Shared;
use portreeve::plugin::instance::{Command, Event, Instance, Start, What};
use portreeve::plugin::judge::judge;
use portreeve::plugin::{Loaded, Loader, PluginEngine};
use portreeve::stores::logs::LogStore;
use portreeve::sys::Kernel;
use portreeve::sys::linux::LinuxKernel;
use portreeve::sys::network::PROTOCOL;
use portreeve_interfaces::engine::Link;
use portreeve_network::State;
use portreeve_tests::bench::thousand::{LINKS, OBJECTS, bare_section, batch, section};
use portreeve_tests::bench::{figure, millis, percentile, warn};
use portreeve_tests::lab::{Failure, Lab, Netns, Result, Router, Site, Stage, ensure, veth};
use tokio::sync::{mpsc, oneshot};

const ROUNDS: usize = 7;
const PLANS_PER_ROUND: usize = 4;
const CHANGES_PER_ROUND: usize = 6;
const WITHIN: Duration = Duration::from_secs(30);
/// Between two changes, so that the second does not meet the echoes of the first.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let stage = match std::env::args_os().nth(1) {
        Some(directory) => Stage::at(PathBuf::from(directory)),
        None => Stage::find(),
    };
    match stage.and_then(|stage| bench(&stage)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-interfaces: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn bench(stage: &Stage) -> Result {
    warn();
    let mut lab = Lab::new()?;
    let (router, far) = (lab.netns("router")?, lab.netns("far")?);
    for link in 0..LINKS {
        let (ours, theirs) = (format!("02:00:5e:10:00:0{link}"), format!("02:00:5e:10:01:0{link}"));
        veth((&router, &format!("lan{link}"), &ours), (&far, &format!("eth{link}"), &theirs))?;
    }
    let mut took = Took::default();
    router.enter(|| in_process(stage, lab.directory(), &mut took))??;
    reloads(&lab, stage, &router, &mut took)?;
    took.report();
    Ok(())
}

#[derive(Default)]
struct Took {
    plan: Vec<Duration>,
    plan_none: Vec<Duration>,
    parse_native: Vec<Duration>,
    apply: Vec<Duration>,
    one: Vec<Duration>,
    remove: Vec<Duration>,
    reconcile: Vec<Duration>,
    reconcile_one: Vec<Duration>,
    ip_batch: Vec<Duration>,
    reload: Vec<Duration>,
    reload_one: Vec<Duration>,
}

impl Took {
    fn report(&mut self) {
        for (name, values) in [
            ("plan_1000_ms", &mut self.plan),
            ("plan_none_ms", &mut self.plan_none),
            ("parse_native_1000_ms", &mut self.parse_native),
            ("reconfigure_1000_ms", &mut self.apply),
            ("reconfigure_one_ms", &mut self.one),
            ("remove_1000_ms", &mut self.remove),
            ("reconcile_1000_ms", &mut self.reconcile),
            ("reconcile_one_ms", &mut self.reconcile_one),
            ("reload_1000_ms", &mut self.reload),
            ("reload_one_ms", &mut self.reload_one),
            ("ip_batch_1000_ms", &mut self.ip_batch),
        ] {
            figure(&format!("interfaces.{name}"), millis(percentile(values, 50)), "ms");
            // On a machine that others use the best round says what is possible.
            eprintln!("{name}: best of {} is {:.3} ms", values.len(), millis(percentile(values, 0)));
        }
        let median = |values: &mut [Duration]| millis(percentile(values, 50));
        let reading = median(&mut self.plan) - median(&mut self.plan_none);
        let apply = median(&mut self.apply) - reading;
        figure("interfaces.apply_1000_ms", apply, "ms");
        figure("interfaces.apply_one_ms", median(&mut self.one) - reading, "ms");
        figure("interfaces.apply_1000_vs_ip_batch", apply / median(&mut self.ip_batch), "ratio");
    }
}

/// What needs the library: planning, applying, reconciling; and `ip` in turns with them.
fn in_process(stage: &Stage, directory: &Path, took: &mut Took) -> Result {
    let wrong = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    eprintln!("compiling the plugin");
    let loader = Loader::new(PluginEngine::new().map_err(|e| wrong(&e))?, None).map_err(|e| wrong(&e))?;
    let loaded = loader.load(&stage.plugin("interfaces")).map_err(|e| wrong(&e))?;
    let batches = ["add", "del"].map(|verb| directory.join(format!("{verb}.batch")));
    std::fs::write(&batches[0], batch("add"))?;
    std::fs::write(&batches[1], batch("del"))?;
    for number in 1..=ROUNDS {
        eprintln!("plan, apply, reconcile, ip -batch: {number} of {ROUNDS}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = directory.join(format!("round-{number}"));
        runtime.block_on(Box::pin(round(&loader, &loaded, &state, took)))?;
        drop(runtime);
        for (file, counted) in [(&batches[0], true), (&batches[1], false)] {
            let begun = Instant::now();
            let done = Program::new("ip").arg("-batch").arg(file).output()?;
            let ended = begun.elapsed();
            ensure(done.status.success(), || format!("ip: {}", String::from_utf8_lossy(&done.stderr)))?;
            if counted {
                took.ip_batch.push(ended);
            }
        }
    }
    Ok(())
}

async fn round(loader: &Loader, loaded: &Loaded, directory: &Path, took: &mut Took) -> Result {
    let kernel: Arc<dyn Kernel> = Arc::new(LinuxKernel::start().await?);
    let logs = LogStore::new(LogLevel::Info, false);
    let shared = Arc::new(Shared::new(kernel.clone(), logs, &directory.join("state"), &directory.join("flash")));
    let full = section(0);
    let mut grants = Grants::none();
    for _ in 0..PLANS_PER_ROUND {
        took.plan_none.push(plan(loader, &shared, loaded, &bare_section()).await?.0);
        let (time, granted) = plan(loader, &shared, loaded, &full).await?;
        took.plan.push(time);
        grants = granted;
        let begun = Instant::now();
        let parsed = portreeve_interfaces::Config::parse(&full);
        took.parse_native.push(begun.elapsed());
        drop(parsed);
    }

    let (sender, mut events) = mpsc::unbounded_channel();
    let start = Start {
        plugin: "interfaces".into(),
        run: 1,
        loaded: loaded.clone(),
        limits: Limits::default(),
        grants: Arc::new(grants),
        section: bare_section(),
        place: portreeve_config::Position { line: 1, column: 1 },
    };
    let plugin = Instance::start(loader.engine().clone(), shared.clone(), start, sender)?;
    ready(&mut events).await?;
    took.apply.push(reconfigure(&plugin, full).await?);
    expect(&kernel, OBJECTS).await?;
    for change in 1..=CHANGES_PER_ROUND {
        tokio::time::sleep(PAUSE).await;
        took.one.push(reconfigure(&plugin, section(change)).await?);
    }
    expect(&kernel, OBJECTS).await?;
    took.remove.push(reconfigure(&plugin, bare_section()).await?);
    expect(&kernel, 0).await?;
    let stopping = plugin.command(Command::Stop).is_ok();
    ensure(stopping, || "the plugin is gone".to_owned())?;
    ended(&mut events).await?;

    let wanted = [state(&kernel, 0)?, state(&kernel, 1)?];
    for (wanted, times) in wanted.iter().zip([&mut took.reconcile, &mut took.reconcile_one]) {
        let begun = Instant::now();
        let outcome =
            shared.reconciler.apply("interfaces", wanted.clone(), portreeve::reconcile::Permit::default()).await?;
        times.push(begun.elapsed());
        ensure(outcome.problems.is_empty(), || format!("refused: {:?}", outcome.problems))?;
        expect(&kernel, OBJECTS).await?;
        tokio::time::sleep(PAUSE).await;
    }
    shared.reconciler.release("interfaces").await;
    expect(&kernel, 0).await
}

/// How long planning takes, and what is granted for the plan.
async fn plan(loader: &Loader, shared: &Arc<Shared>, loaded: &Loaded, section: &str) -> Result<(Duration, Grants)> {
    let begun = Instant::now();
    let judged = judge(loader.engine(), shared.clone(), loaded, "interfaces", Limits::default(), section).await;
    let took = begun.elapsed();
    let judged = judged.map_err(|error| Failure::new(error.to_string()))?;
    let planned = judged.planned.ok_or_else(|| Failure::new(format!("refused: {:?}", judged.diagnostics)))?;
    Ok((took, Grants::new(planned.needs, judged.manifest.needs, Policy::Manifest)))
}

async fn ready(events: &mut mpsc::UnboundedReceiver<Event>) -> Result {
    match tokio::time::timeout(WITHIN, events.recv()).await {
        Ok(Some(Event { what: What::Ready, .. })) => Ok(()),
        other => Err(Failure::new(format!("the plugin is not ready: {other:?}"))),
    }
}

async fn ended(events: &mut mpsc::UnboundedReceiver<Event>) -> Result {
    loop {
        match tokio::time::timeout(WITHIN, events.recv()).await {
            Ok(Some(Event { what: What::Ended(_), .. }) | None) => return Ok(()),
            Ok(Some(_)) => {}
            Err(_) => return Err(Failure::new("the plugin does not stop")),
        }
    }
}

/// How long the plugin takes to bring the network to another section.
async fn reconfigure(plugin: &Instance, section: String) -> Result<Duration> {
    let (reply, replied) = oneshot::channel();
    let begun = Instant::now();
    ensure(plugin.command(Command::Reconfigure(section, reply)).is_ok(), || "the plugin is gone".to_owned())?;
    let answer = tokio::time::timeout(WITHIN, replied).await;
    let took = begun.elapsed();
    match answer {
        Ok(Ok(Ok(()))) => Ok(took),
        other => Err(Failure::new(format!("the plugin did not change over: {other:?}"))),
    }
}

/// That the kernel has as many addresses and routes of ours.
async fn expect(kernel: &Arc<dyn Kernel>, objects: usize) -> Result {
    let found = kernel.found().await?;
    let addresses = found.addresses.iter().filter(|address| address.protocol == PROTOCOL).count();
    let counted = addresses + found.routes.len();
    ensure(counted == objects, || format!("{addresses} addresses and {} routes, not {objects}", found.routes.len()))
}

/// What the section comes to for the links that are there.
fn state(kernel: &Arc<dyn Kernel>, changed: usize) -> Result<State> {
    let config = portreeve_interfaces::Config::parse(&section(changed));
    let (config, _) = config.map_err(|list| Failure::new(format!("{list:?}")))?;
    let mut engine = portreeve_interfaces::Engine::new(config);
    for link in kernel.links().borrow().links.values() {
        let link = Link { index: link.index, name: link.name.clone(), up: link.up, ..Link::default() };
        engine.handle_link(link);
    }
    while engine.poll_action().is_some() {}
    Ok(engine.state())
}

/// What an operator sees: the staged core, a changed file, SIGHUP.
fn reloads(lab: &Lab, stage: &Stage, router: &Netns, took: &mut Took) -> Result {
    let file = |section: &str| format!("Router(plugins: {{\"interfaces\": (config: {section})}})");
    let site = Site::bare(lab, stage, &file(&bare_section()))?;
    let mut core = site.start(router)?;
    core.wait_ready("interfaces", WITHIN)?;
    for number in 1..=ROUNDS {
        eprintln!("reload: {number} of {ROUNDS}");
        took.reload.push(reload(&site, &core, &file(&section(0)))?);
        took.reload_one.push(reload(&site, &core, &file(&section(1)))?);
        reload(&site, &core, &file(&bare_section()))?;
    }
    core.stop().map(drop)
}

fn reload(site: &Site, core: &Router, text: &str) -> Result<Duration> {
    // Not for luck: the answer to the last one, and what the kernel told of it, is behind us then.
    std::thread::sleep(PAUSE);
    let seen = core.log().len();
    let begun = Instant::now();
    site.configure(text)?;
    core.reload()?;
    while begun.elapsed() < WITHIN {
        std::thread::sleep(Duration::from_micros(200));
        let log = core.log();
        if log.get(seen..).is_some_and(|new| new.contains("changed the network")) {
            return Ok(begun.elapsed());
        }
    }
    Err(Failure::new("the network was not changed").with("log", &core.log()))
}
