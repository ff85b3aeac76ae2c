//! What Portreeve is tested with from outside: a lab of network namespaces in which the staged binary runs.
//!
//! - [`lab`]: namespaces, links, processes, the router under test, raw neighbour discovery.
//! - `golden.rs`: what `rdisc6` and a Linux host make of a full configuration, and whether Debian's radvd says the same.
//! - `gateway.rs`: the router as its hosts live it: addresses, routes, reload, goodbye, few capabilities.
//! - `src/bin/demo.rs`, `src/bin/bench-radvd.rs`: the story and the figures, started by `cargo xtask`.
//! - `guests/`: components made for tests; `fuzz/`: targets for cargo-fuzz.
//!
//! Everything here needs root and says so instead of skipping. The binary is taken from `$PORTREEVE_STAGE`, else from
//! `target/stage`, where `cargo xtask build` puts it.

pub mod lab;
