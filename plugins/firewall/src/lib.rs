//! The firewall of a router as a plugin: zones, rules between them, sets, address translation, compiled to nf_tables and put in
//! force as one transaction.
//!
//! What needs no rule comes from RFC 4890 (ICMPv6 in firewalls), RFC 6092 (simple security of gateways), RFC 3704
//! (sources that are spoofed) and RFC 3964 (6to4). The kernel filters; this plugin only says what, notices when somebody
//! else changes its table, and answers for what is in force.
//!
//! | file | owns |
//! |---|---|
//! | `config.rs`, `config/` | the section of router.ron: raw text to legal values, every mistake in one go |
//! | `ruleset.rs` | the compiled form: chains, rules, sets, maps, in words of our own |
//! | `compile/` | from one to the other: zones to verdict maps, runs of rules to one lookup, defaults, translation |
//! | `install/` | the compiled form as a batch of netlink messages, what a reload leaves alone, errors back to places |
//! | `engine.rs`, `engine/` | [`Engine`]: when to read, compile and commit; what a refusal or a foreign change leads to |
//! | `trace/` | what the compiled form does to a packet, and why |
//! | `status.rs`, `status/` | rows and numbers for people |
//! | `guest.rs`, `guest/` | wasm only: the host on one side, the engine on the other |
//!
//! Messages of nf_tables are the business of the crate `portreeve-nftables`. Nothing here reads a clock, a socket or
//! randomness.

pub mod compile;
pub mod config;
pub mod engine;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod install;
pub mod ruleset;
pub mod source;
pub mod status;
pub mod trace;

pub use config::Config;
pub use engine::Engine;
pub use portreeve_packet::time::{self, Instant};
