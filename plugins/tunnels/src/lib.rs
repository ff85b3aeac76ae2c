//! Tunnels of a router as a plugin: 6in4, 6rd, ip6tnl, GRE, WireGuard, by the kernel where it can, and 6in4 and 6rd by
//! the plugin itself where it cannot.
//!
//! By RFC 4213 (6in4), RFC 5969 (6rd), RFC 2473 (IPv6 in IPv6), RFC 2784 and RFC 2890 (GRE). A remote end may be a name
//! that is followed, our own end an interface whose address is followed; keepalive asks the other end for signs of
//! life, and failover takes the routes away while there are none.
//!
//! | file | owns |
//! |---|---|
//! | `config.rs`, `config/` | the section of router.ron: raw text to legal values, every mistake in one go |
//! | `engine.rs` | [`Engine`]: all tunnels, what comes in, what is to be done; the only type a shim talks to |
//! | `engine/settle.rs` | from what is known to what is to be done, after every input |
//! | `engine/tunnel.rs` | one tunnel at run time: its ends and its path |
//! | `engine/carrier.rs`, `engine/support.rs` | who carries its packets; which kinds of links the kernel can make |
//! | `engine/desired.rs` | the links, addresses, routes and rules of a tunnel as they should be |
//! | `engine/names.rs`, `engine/links.rs` | host names and when they are looked up again; interfaces and their addresses |
//! | `engine/keepalive.rs` | echo requests and what their answers say |
//! | `engine/status.rs` | rows and numbers for people and metrics |
//! | `engine/types.rs` | the values that go in and come out |
//! | `sixin4/` | the userspace data path: packets in, packets out |
//! | `guest.rs`, `guest/` | wasm only: the host on one side, the engine on the other |
//!
//! Nothing here reads a clock, a socket or randomness.

pub mod config;
pub mod engine;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod sixin4;

pub use config::Config;
pub use engine::Engine;
pub use portreeve_packet::time::{self, Instant};
