//! Router advertisements for the interfaces of a router: what radvd does, as a plugin.
//!
//! Sends and answers by RFC 4861 section 6.2 (Neighbor Discovery, router side), with the options of RFC 4191
//! (preference and routes), RFC 6275 (R flag, advertisement interval), RFC 8106 (DNS), RFC 8781 (PREF64), RFC 8910
//! (captive portal) and RFC 9762 (P flag); bounds by RFC 8319; stale prefixes are deprecated in the spirit of
//! RFC 9096; unicast answers by RFC 7772; never a fragment, by RFC 6980.
//!
//! | file | owns |
//! |---|---|
//! | `config.rs`, `config/` | the section of router.ron: raw text to legal values, every mistake in one go |
//! | `engine.rs` | [`Engine`]: all interfaces, queues, the timer index; the only type a shim talks to |
//! | `engine/interface.rs`, `engine/interface/` | one interface: when it sends what, and its status |
//! | `engine/state.rs` | the state machine of one interface, pure |
//! | `engine/content.rs` | what shall be advertised now: configuration and link, resolved |
//! | `engine/published.rs` | what other plugins publish, and which of it an interface may advertise |
//! | `engine/withdrawn.rs` | what is no longer advertised and must be taken back from the hosts |
//! | `engine/advertisement.rs` | content to bytes: options, lifetimes, splitting |
//! | `engine/limit.rs` | token buckets against floods of solicitations |
//! | `engine/routers.rs` | the other routers of a link and their contradictions (RFC 4861 section 6.2.7) |
//! | `engine/timers.rs`, `engine/output.rs` | the timer table of an interface; the queues to poll |
//! | `engine/types.rs` | the values that go in and come out |
//! | `guest.rs`, `guest/` | wasm only: host to engine and back |
//!
//! Nothing here reads a clock, a socket or randomness: time and a seed are arguments, packets and events are values.

pub mod config;
pub mod engine;

pub use config::Config;
pub use engine::Engine;
pub use portreeve_packet::time::{self, Instant};

#[cfg(target_arch = "wasm32")]
mod guest;
