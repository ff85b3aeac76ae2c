//! The translator between IPv6 and IPv4 as a plugin: NAT64, SIIT and CLAT on tun devices, and DNS64.
//!
//! By RFC 7915 (packets), RFC 6146 (sessions), RFC 6052 (addresses in addresses), RFC 7757 (explicit mappings), RFC 6877
//! (464XLAT), RFC 6147 (DNS64), RFC 7050 and 8880 (`ipv4only.arpa`). Each instance has a device of its own to which the
//! kernel routes what is to be translated; what comes out of it is translated where it lies, super-packets whole, and
//! goes back the same way. The resolver answers on the interfaces of the section.
//!
//! | file | owns |
//! |---|---|
//! | `config.rs`, `config/` | the section of router.ron: raw text to legal values, every mistake in one go |
//! | `engine.rs`, `engine/` | [`Engine`]: which devices, routes, sockets and facts there should be, and what became of them |
//! | `xlat/` | the packet path: bytes of one family become bytes of the other |
//! | `nat64/` | the session table: who talks to whom by which address and port |
//! | `flow.rs` | what these two tell each other |
//! | `pref64.rs` | IPv4 addresses inside of IPv6 ones |
//! | `dns64/` | the resolver: questions, answers, what is asked of others |
//! | `guest.rs`, `guest/` | wasm only: the host on one side, the engines on the other |
//!
//! Nothing here reads a clock, a socket or randomness.

pub mod config;
pub mod dns64;
pub mod engine;
pub mod flow;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod nat64;
pub mod pref64;
pub mod xlat;

pub use config::Config;
pub use engine::Engine;
pub use portreeve_packet::time::{self, Instant};
