//! Debian's interfaces(5), imported, put in force, and compared with what the kernel then holds.
//!
//! The fixtures are described in `import/README.md`. One that needs a kernel feature (`needs.txt`) is checked here as far
//! as `portreeve check` goes; `qemu` has a kernel that has them all.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Lab, Netns, Result, Router, Site, Stage, ensure, kernel_facts, wait_until};

const WITHIN: Duration = Duration::from_secs(60);
/// Cores that run at a time.
const WORKERS: usize = 4;
/// How many fixtures the kernel must have been asked about.
const AT_LEAST: usize = 20;

fn fixtures() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("import");
    let mut fixtures: Vec<PathBuf> =
        std::fs::read_dir(directory)?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    fixtures.sort();
    Ok(fixtures)
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))
}

/// What the staged binary makes of the fixture, which is what the fixture says.
fn imported(stage: &Stage, fixture: &Path) -> Result<String> {
    let router_ron = stage.import_interfaces(fixture)?;
    let expected = text(&fixture.join("expected.ron"))?;
    ensure(router_ron == expected, || "the import is another one than expected.ron".to_owned())
        .map_err(|failure| failure.with("imported", &router_ron))?;
    Ok(router_ron)
}

/// The hardware of the fixture: one end of a veth for each, the other end somewhere else.
fn hardware(lab: &mut Lab, fixture: &Path) -> Result<Netns> {
    let (router, elsewhere) = (lab.netns("router")?, lab.netns("elsewhere")?);
    for (number, name) in text(&fixture.join("links.txt"))?.split_whitespace().enumerate() {
        router.run(&format!("ip link add {name} type veth peer name far{number} netns {}", elsewhere.name()))?;
        elsewhere.run(&format!("ip link set far{number} up"))?;
    }
    Ok(router)
}

/// What keeps a plugin from being ready; none while it is neither that nor degraded.
fn settled(core: &Router) -> Option<BTreeMap<String, String>> {
    let status = core.status_json().ok()?;
    let plugins = status["plugins"].as_array()?;
    let reason = |plugin: &serde_json::Value| {
        let name = plugin["name"].as_str()?.to_owned();
        match plugin["state"].as_str()? {
            "ready" => Some((name, String::new())),
            "degraded" => Some((name, plugin["reason"].as_str().unwrap_or_default().to_owned())),
            _ => None,
        }
    };
    plugins.iter().map(reason).collect()
}

fn holds_in_the_kernel(stage: &Stage, fixture: &Path) -> Result {
    let router_ron = imported(stage, fixture)?;
    let mut lab = Lab::new()?;
    let router = hardware(&mut lab, fixture)?;
    let site = Site::new(&lab, stage, &router_ron)?;
    let core = site.start(&router)?;
    let facts = text(&fixture.join("kernel.txt"))?;
    let run = |line: &str| match line.strip_prefix("portreeve ") {
        Some(words) => core.command(&words.split(' ').collect::<Vec<_>>()),
        None => router.output(line),
    };
    let mut last = String::new();
    let so = wait_until("what the kernel should hold", WITHIN, || {
        let plugins = settled(&core);
        let unmet = kernel_facts::unmet(&facts, run);
        last = format!("plugins: {plugins:?}\nunmet: {unmet:#?}");
        let is_expected = |reason: &String| is_expected(reason, &facts);
        (plugins?.values().all(is_expected) && unmet.ok()?.is_empty()).then_some(())
    });
    so.map_err(|failure| failure.with("last seen", &last).with("log", &core.log()))?;
    ensure(core.stop()?.success(), || "the core did not end well".to_owned())
}

/// Only hardware that the fixture has no facts of may be absent.
fn is_expected(reason: &str, facts: &str) -> bool {
    let has_facts = |name: &str| facts.split_whitespace().any(|word| word == name);
    let absent = |part: &str| part.strip_suffix(" is absent").is_some_and(|name| !has_facts(name));
    reason.is_empty() || reason.split("; ").all(absent)
}

/// All failures of all fixtures that `try_one` is for.
fn each(fixtures: &[PathBuf], try_one: impl Fn(&Path) -> Result + Sync) -> Result {
    let (left, failures) = (Mutex::new(fixtures.iter()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(fixture) = next() {
                    let name = fixture.file_name().unwrap_or_default().to_string_lossy();
                    let tried = try_one(fixture);
                    failures.lock().unwrap().extend(tried.err().map(|failure| format!("=== {name}: {failure}")));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    ensure(failures.is_empty(), || format!("{} of {} failed\n{}", failures.len(), fixtures.len(), failures.join("\n")))
}

#[test]
fn at_least_twenty_files_are_imported_and_hold_in_the_kernel() -> Result {
    let stage = Stage::find()?;
    let here = |fixture: &PathBuf| fixture.join("kernel.txt").exists() && !fixture.join("needs.txt").exists();
    let fixtures: Vec<PathBuf> = fixtures()?.into_iter().filter(here).collect();
    ensure(fixtures.len() >= AT_LEAST, || format!("only {} fixtures can be tried here", fixtures.len()))?;
    each(&fixtures, |fixture| holds_in_the_kernel(&stage, fixture))
}

#[test]
fn files_that_need_more_than_every_kernel_has_are_imported_and_pass_the_check() -> Result {
    let stage = Stage::find()?;
    let fixtures: Vec<PathBuf> = fixtures()?.into_iter().filter(|f| f.join("needs.txt").exists()).collect();
    ensure(!fixtures.is_empty(), || "no fixture needs anything".to_owned())?;
    each(&fixtures, |fixture| {
        let lab = Lab::new()?;
        let (code, complaints) = Site::new(&lab, &stage, &imported(&stage, fixture)?)?.check()?;
        ensure(code == 0, || complaints)
    })
}

#[test]
fn files_that_cannot_be_read_are_refused_with_the_reason_and_nothing_on_stdout() -> Result {
    let stage = Stage::find()?;
    let fixtures: Vec<PathBuf> = fixtures()?.into_iter().filter(|f| f.join("expected.error").exists()).collect();
    ensure(!fixtures.is_empty(), || "no fixture is broken".to_owned())?;
    each(&fixtures, |fixture| {
        let said = match stage.import_interfaces(fixture) {
            Ok(text) => return Err(Failure::new("it was imported").with("as", &text)),
            Err(failure) => failure.to_string(),
        };
        let expected = text(&fixture.join("expected.error"))?;
        ensure(said.contains(expected.trim()), || format!("{said}\ninstead of\n{expected}"))
    })
}
