//! `cargo xtask test`: exactly what CI runs, step by step, stopping at the first that fails.
//!
//! With a filter only tests run, those whose name contains it; formatting, lints and the other checks are for the
//! whole.

use std::path::Path;
use std::process::Command;

use crate::install::{FILTERS, HOSTS, IP, PING, QEMU, RADVD, RDISC6, SETPRIV, UNSHARE};
use crate::process::{Tally, cargo, run, run_counting, step};
use crate::{Result, build, check, demo, install, metadata};

/// Runs everything and prints the sum.
pub fn test(filter: Option<&str>) -> Result {
    let mut tally = Tally::default();
    let outcome = steps(filter, &mut tally);
    println!("{} passed, {} failed", tally.passed, tally.failed);
    outcome
}

fn steps(filter: Option<&str>, tally: &mut Tally) -> Result {
    let [qemu, busybox, depmod, xz] = QEMU;
    let [curl, dig, nft, ssh, sshd, traceroute] = HOSTS;
    let mut tools = vec![IP, PING, RDISC6, RADVD, SETPRIV, UNSHARE, qemu, busybox, depmod, xz];
    tools.extend([curl, dig, nft, ssh, sshd, traceroute]);
    tools.extend(FILTERS);
    install::for_namespaces(&tools)?;
    install::wasm_target()?;
    install::lint_tools()?;
    let guests: Vec<String> = build::guests()?.iter().map(|guest| build::guest_package(guest)).collect();
    let without_guests = |command: &mut Command| {
        command.args(guests.iter().flat_map(|guest| ["--exclude", guest]));
    };

    if filter.is_none() {
        step("formatting");
        run(&mut cargo(&["fmt", "--all", "--check"]))?;
        rules()?;
        step("lints, native");
        let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
        without_guests(&mut clippy);
        run(clippy.args(["--", "-D", "warnings"]))?;
        step("lints, WebAssembly");
        let mut clippy = cargo(&["clippy", "--target", "wasm32-wasip2", "--profile", "plugin", "-p", "portreeve-sdk"]);
        clippy.args(build::PLUGINS.iter().flat_map(|(package, _)| ["-p", package]));
        clippy.args(guests.iter().flat_map(|guest| ["-p", guest]));
        run(clippy.args(["--", "-D", "warnings"]))?;
    }

    let stage = build::build(build::Options { release: false, guests: true })?;
    if filter.is_none() {
        step("imports of the staged plugins");
        check::imports(&stage)?;
    }
    step("unit and engine tests");
    let mut tests = cargo(&["test", "--workspace", "--exclude", "portreeve-tests"]);
    without_guests(&mut tests);
    run_counting(tests.env("PORTREEVE_STAGE", &stage).arg("--").args(filter), tally)?;
    step("network namespace tests");
    namespace_tests(&stage, filter, tally)?;

    if filter.is_none() {
        step("the demo");
        demo::tell(&stage)?;
        step("documentation");
        let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
        without_guests(&mut doc);
        run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))?;
    }
    step("all done");
    Ok(())
}

/// The rules that need nothing compiled.
pub fn rules() -> Result {
    step("rules of the sources: directions, head comments, lengths, unsafe");
    let metadata = metadata::read()?;
    check::sources(&metadata)?;
    step("licences of all dependencies");
    check::licences(&metadata)
}

fn namespace_tests(stage: &Path, filter: Option<&str>, tally: &mut Tally) -> Result {
    let mut tests = cargo(&["test", "-p", "portreeve-tests", "--", "--test-threads=2"]);
    run_counting(tests.env("PORTREEVE_STAGE", stage).args(filter), tally)
}
