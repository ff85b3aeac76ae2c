//! `cargo xtask demo`: a whole router with a client, in network namespaces. The story itself is told by the binary
//! `demo` of `portreeve-tests`.

use crate::install::{IP, PING, RDISC6, UNSHARE};
use crate::process::{cargo, run, step};
use crate::{Result, build, install};
use std::path::Path;

/// Installs, builds, shows.
pub fn demo() -> Result {
    install::for_namespaces(&[IP, PING, RDISC6, UNSHARE])?;
    let stage = build::build(build::Options::default())?;
    step("building the demo");
    run(&mut cargo(&["build", "-q", "-p", "portreeve-tests", "--bin", "demo"]))?;
    step("running it");
    tell(&stage)
}

/// Runs what is staged.
pub fn tell(stage: &Path) -> Result {
    run(cargo(&["run", "-q", "-p", "portreeve-tests", "--bin", "demo", "--"]).arg(stage))
}
