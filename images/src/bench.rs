//! `cargo xtask bench`: figures of the optimised core, measured by binaries of `portreeve-tests`. Those that only drive
//! processes stay in the dev profile; those that run the core's library, or relay packets themselves, are optimised too.

use std::path::Path;

use crate::install::{IP, NFT, PING, RADVD, TAYGA, UNBOUND, UNSHARE};
use crate::process::{cargo, run, step};
use crate::{Result, build, install};

/// Router advertisements, ours against Debian's radvd.
pub fn radvd() -> Result {
    install::for_namespaces(&[IP, RADVD, UNSHARE])?;
    let stage = build::build(build::Options { release: true, guests: true })?;
    measure("bench-radvd", false, &stage)
}

/// A thousand addresses and routes, beside `ip -batch`.
pub fn interfaces() -> Result {
    install::for_namespaces(&[IP])?;
    let stage = build::build(build::Options { release: true, guests: false })?;
    measure("bench-interfaces", true, &stage)
}

/// Userspace 6in4, beside native relays.
pub fn tunnels() -> Result {
    install::for_namespaces(&[IP, PING])?;
    let stage = build::build(build::Options { release: true, guests: false })?;
    measure("bench-tunnels", true, &stage)
}

/// NAT64 and DNS64, beside Debian's TAYGA and unbound and beside plain forwarding.
pub fn translator() -> Result {
    install::for_namespaces(&[IP, PING, TAYGA, UNBOUND])?;
    let stage = build::build(build::Options { release: true, guests: false })?;
    measure("bench-translator", true, &stage)
}

/// The firewall's rules, beside Debian's `nft -f`.
pub fn firewall() -> Result {
    install::for_namespaces(&[IP, NFT])?;
    let stage = build::build(build::Options { release: true, guests: false })?;
    measure("bench-firewall", true, &stage)
}

fn measure(bench: &str, optimised: bool, stage: &Path) -> Result {
    let profile: &[&str] = if optimised { &["--release"] } else { &[] };
    step("building the bench");
    run(cargo(&["build", "-q", "-p", "portreeve-tests", "--bin", bench]).args(profile))?;
    step("measuring");
    run(cargo(&["run", "-q", "-p", "portreeve-tests", "--bin", bench]).args(profile).arg("--").arg(stage))
}
