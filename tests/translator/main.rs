//! The translator as hosts with IPv6 only live it: the IPv4 internet by name and by literal address, through one
//! router.ron. Nothing is typed in the router's namespace but the name of that file.
//!
//! ```text
//! host0 -+- switch -- lan0 router wan0 -- provider -- far -- server (198.51.100.80, its resolver 198.51.100.53)
//! host1 -'             |          203.0.113.0/30              IPv4 only from wan0 on
//! host2 ------------ lan1
//! ```
//!
//! `reach.rs`: by name and by literal, with programs that everybody has. `paths.rs`: traceroute, path MTU, fragments.
//! `pools.rs`: own public addresses, static entries, hairpin. `stateless.rs`: SIIT with explicit mappings, 464XLAT.
//! `live.rs`: changes, upgrades and ends while a connection talks. `flood.rs`: tables that fill, scans, floods.
//! `resolvers.rs`: resolvers that are dead or lie. `offloads.rs`: a kernel that refuses them. The rest are helpers:
//! `scene.rs` lays all of it out, `status.rs` has every name of `portreeve status translator`, `echo.rs`, `talk.rs`,
//! `http.rs`, `dns.rs` and `programs.rs` are the two ends, `raw.rs` those that nobody asked for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod dns;
mod echo;
mod flood;
mod http;
mod live;
mod offloads;
mod paths;
mod pools;
mod programs;
mod raw;
mod reach;
mod resolvers;
mod scene;
mod stateless;
mod status;
mod talk;
