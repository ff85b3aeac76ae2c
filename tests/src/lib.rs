//! What Portreeve is tested with from outside: a lab of network namespaces in which the staged binary runs.
//!
//! - [`lab`]: namespaces, links, processes, the router under test, raw neighbour discovery.
//! - `golden.rs`: what `rdisc6` and a Linux host make of a full configuration, and whether Debian's radvd says the same.
//! - `gateway.rs`: the router as its hosts live it: addresses, routes, reload, goodbye, few capabilities.
//! - `configuration.rs`: mistakes in router.ron, reloads, components that are none.
//! - `isolation.rs`: what one plugin does, no other notices; denials.
//! - `service.rs`: the service manager, foreign Varlink clients, a second core.
//! - `qemu.rs`: the gateway, every kind of link and missing modules on Debian's kernel, in guests of [`qemu`].
//! - `hostile.rs`: crafted protocol-41 packets and ICMP storms against the userspace path.
//! - `sixbone/`: the gateway of 2006 behind a provider's tunnel server; `network/`: reconciling, seen from the kernel;
//!   `translator/`: hosts with IPv6 only in front of an internet with IPv4 only;
//!   `firewall/`: packets of every kind before the firewall's rules; `firewall_fuzz/`: random rules, folded and not;
//!   `import.rs`: Debian's interfaces(5), imported and put in force.
//! - `host.rs`: guests against the host interfaces, on the fake kernel.
//! - [`fuzz`], `fuzz_short.rs`: every parser of outside bytes, for cargo-fuzz and shortly in every run.
//! - `src/bin/demo.rs`, `src/bin/bench-*.rs`: the story and the figures, started by `cargo xtask`; [`mod@bench`] is what
//!   benches share.
//! - `guests/`: components made for tests; `fuzz/`: targets for cargo-fuzz.
//!
//! What uses the lab needs root and says so instead of skipping. The binary is taken from `$PORTREEVE_STAGE`, else from
//! `target/stage`, where `cargo xtask build` puts it.

pub mod bench;
pub mod fuzz;
pub mod lab;
pub mod qemu;
