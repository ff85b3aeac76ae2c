//! The network as it should be: the values of the WIT interface `network` as plain Rust, and how RON writes them.
//!
//! A plugin's engine puts a [`State`] together, its guest hands it over, and the core brings the kernel to it
//! (`core/src/reconcile`). Both sides use these types, so that engines and the reconciler are tested without
//! WebAssembly; `state.rs` has the parts, `kind.rs` the links that can be made, `read.rs` reads the parts that
//! several plugins write in their sections (addresses, routes, prefixes, MAC addresses).
//!
//! Serde serves the core's record of what it made for whom; it is no format for people.

mod kind;
pub mod read;
mod state;

pub use kind::{
    Bond, Bridge, Gre, Ip6Tunnel, IpTunnel, Kind, Macvlan, MacvlanMode, SixRd, Tunnel6Mode, Veth, Vlan, VlanProtocol,
    WireGuard, WireGuardPeer, module_of,
};
pub use state::{
    Address, Family, Link, MAIN_TABLE, MAX_INTERFACE_NAME, Masquerade, Neighbour, Prefix, Route, RouteKind, Rule,
    RuleAction, State, Sysctl, is_interface_name,
};
