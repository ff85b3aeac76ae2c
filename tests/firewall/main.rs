//! The firewall in front of packets: what is written in router.ron is what becomes of them, seen from outside.
//!
//! Routers are namespaces whose interfaces end in this process (`place.rs`), so that any packet can be sent, byte for byte,
//! and whatever comes out is read; a core with nothing but the firewall runs in them (`scene.rs`).
//!
//! `icmp.rs`: every type of RFC 4890. `states.rs`: connections, protocol 41, IPsec. `rejects.rs`: what senders hear.
//! `spoofing.rs`: sources that cannot be. `nat.rs`: addresses that become others. `limits.rs`: rates, connections, sets.
//! `rules.rs`: zones, policies, chains, counters. `import.rs`: rules of iptables against iptables. `live.rs`: changes,
//! crashes and ends. `closed.rs`: the guard, before the rules stand and when they never do. `logs.rs`: what listeners hear. `trace.rs`: what
//! `portreeve status firewall trace` says. `swap.rs`: a thousand swaps under load. `packet.rs` makes packets; `status.rs`
//! has every name of `portreeve status firewall`.
//!
//! Needs root, `nft`, `conntrack`, `tc`, `tcpdump` and `ip6tables-restore`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod closed;
mod icmp;
mod import;
mod limits;
mod live;
mod logs;
mod nat;
mod packet;
mod place;
mod rejects;
mod rules;
mod scene;
mod spoofing;
mod states;
mod status;
mod swap;
mod trace;
