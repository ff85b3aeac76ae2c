//! `cargo xtask bench`: figures of the optimised core, measured by binaries of `portreeve-tests`. Those only drive
//! processes, so they stay in the dev profile.

use crate::install::{IP, RADVD, UNSHARE};
use crate::process::{cargo, run, step};
use crate::{Result, build, install};

/// Router advertisements, ours against Debian's radvd.
pub fn radvd() -> Result {
    install::for_namespaces(&[IP, RADVD, UNSHARE])?;
    let stage = build::build(build::Options { release: true, guests: true })?;
    step("building the bench");
    run(&mut cargo(&["build", "-q", "-p", "portreeve-tests", "--bin", "bench-radvd"]))?;
    step("measuring");
    run(cargo(&["run", "-q", "-p", "portreeve-tests", "--bin", "bench-radvd", "--"]).arg(stage))
}
