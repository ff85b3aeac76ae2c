//! What a Portreeve plugin is written with.
//!
//! A plugin implements `Plugin` and names itself once with `export!`; the rest of the contract, the calls that
//! come in while it runs, arrive as `Request`s in its own loop:
//!
//! ```text
//! use portreeve_sdk::{Diagnostic, Failure, Manifest, Planned, Plugin, Report, Request, Requests, instance};
//!
//! struct Hello;
//!
//! portreeve_sdk::export!(Hello);
//!
//! impl Plugin for Hello {
//!     fn describe() -> Manifest {
//!         Manifest {
//!             name: "hello".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             summary: "says hello when asked".into(),
//!             needs: vec![],
//!             config_example: "()".into(),
//!             state_schema: 0,
//!         }
//!     }
//!
//!     fn plan(_section: &str) -> Result<Planned, Vec<Diagnostic>> {
//!         Ok(Planned { needs: vec![], warnings: vec![], summary: vec!["says hello".into()] })
//!     }
//!
//!     async fn run(_section: String, mut requests: Requests) -> Result<(), Failure> {
//!         instance::ready();
//!         loop {
//!             match requests.next().await {
//!                 Request::Reconfigure(_section, reply) => reply.send(Ok(())),
//!                 Request::Query(_words, reply) => {
//!                     reply.send(Ok(Report { values: vec![("hello".into(), "world".into())], tables: vec![] }));
//!                 }
//!                 Request::Stop => return Ok(()),
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! Map: `bindings` (the WIT package as Rust), `plugin` (the trait, the requests, the export), `log`
//! (records with fields), `convert` (addresses to std and back), `network` (a stated network, and the calls of that
//! interface), `tun` (devices and their batches of packets), `udp` (sockets of UDP and TCP, batches of
//! datagrams), `standing` (calls that wait over many turns of the loop, timers). `config` reads sections and is the same crate on
//! every target; all else exists only inside a component, so engines are tested natively without it.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

pub use portreeve_config as config;

#[cfg(target_arch = "wasm32")]
pub mod bindings;
#[cfg(target_arch = "wasm32")]
mod convert;
#[cfg(target_arch = "wasm32")]
mod log;
#[cfg(target_arch = "wasm32")]
pub mod network;
#[cfg(target_arch = "wasm32")]
mod plugin;
#[cfg(target_arch = "wasm32")]
mod standing;
#[cfg(target_arch = "wasm32")]
pub mod tun;
#[cfg(target_arch = "wasm32")]
pub mod udp;

#[cfg(target_arch = "wasm32")]
pub use self::{
    bindings::exports::portreeve::plugin::lifecycle::{
        ConnectNeed, CreateNeed, Diagnostic, Failure, Icmpv6Need, Ipv4Need, ListenNeed, Manifest, Need, NetlinkNeed,
        Planned, Report, Severity, StorageNeed, Table, TableRange,
    },
    bindings::portreeve::plugin::{
        clock, facts, files, instance, links, metrics, names, netfilter, netlink, random, raw_ip, storage, types,
    },
    convert::{ip, ip_address, ipv6, ipv6_address},
    log::{Level, emit},
    plugin::{Exported, Plugin, Reply, Request, Requests, diagnostics},
    standing::{Once, Standing, Timer},
};
#[cfg(target_arch = "wasm32")]
pub use futures;
