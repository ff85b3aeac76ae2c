//! The interfaces of a router as its section says they should be: links, addresses, routes, rules, kernel parameters,
//! and prefix pools with their subnets.
//!
//! The plugin does not talk to the kernel. Its engine says what should be for the links that are there, as one
//! [`portreeve_network::State`]; the core brings the kernel to it and says what it could not do.
//!
//! | file | owns |
//! |---|---|
//! | `config.rs`, `config/` | the section of router.ron: raw text to legal values, every mistake in one go |
//! | `config/check.rs` | what two places of the section say about each other |
//! | `config/needs.rs`, `config/summary.rs` | what the plugin needs for it; what it means in words |
//! | `engine.rs` | [`Engine`]: what is there goes in, what should be comes out; the only type a shim talks to |
//! | `engine/names.rs` | which link has which name: hardware that is renamed |
//! | `engine/plan.rs`, `engine/order.rs` | section, links and pools put together; the order of links |
//! | `engine/pools.rs` | delegated prefixes that come, change and go |
//! | `engine/health.rs` | retries, the grace for absent interfaces, ready and degraded |
//! | `engine/status.rs`, `engine/types.rs` | the state for people; the values that go in and come out |
//! | `guest.rs`, `guest/` | wasm only: the host on one side, the engine on the other |
//!
//! Nothing here reads a clock or a file: time is an argument, actions are values.

pub mod config;
pub mod engine;
#[cfg(target_arch = "wasm32")]
mod guest;

pub use config::Config;
pub use engine::Engine;
pub use portreeve_packet::time::{self, Instant};
