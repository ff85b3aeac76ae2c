//! The sessions of a stateful NAT64 (RFC 6146 section 3): [`Table`] answers the packet path's questions
//! ([`crate::flow::Sessions`]) and keeps mappings (the BIB), sessions and their lifetimes. It sees no packets.
//!
//! - `packets.rs` is what packets do to the table; `table.rs` makes and ends sessions, `bib.rs` mappings, `find.rs` looks
//!   both up; `entry.rs` has the entries, `slab.rs` and `index.rs` hold and index them, `hash.rs` is the keyed hash and
//!   the random numbers
//! - `allocate.rs` chooses ports, `ports.rs` counts them; `tcp.rs` is the state machine; `expire.rs` the end of lifetimes
//!   and who gives way in a full table
//! - `settings.rs` what it is to do, `reconfigure.rs` what of it may change; `snapshot.rs`, `log.rs` and `status.rs` what
//!   others see of it
//!
//! Bounds: `max_sessions` sessions, a mapping and a /64 each at most, [`settings::MAX_STATIC`] static mappings,
//! [`settings::MAX_POOL_ADDRESSES`] addresses, [`log::LOG_QUEUE`] log entries. A table in which each session has its own
//! mapping and they are of few /64s takes about 80 bytes a session, one in which each is of its own /64 about 110.
//!
//! Who is let in when it is full: a host's new session takes the place of a half-open TCP session of the /64 that has most
//! of those and more than 64 (so a flood of SYNs harms its sender); where none has, the half-open session that ends first
//! (so a flood from many made-up /64s harms itself). Nothing else gives way. From the IPv4 side a session may begin while an
//! eighth of the table and of the host's quota is free.

mod allocate;
mod bib;
mod entry;
mod expire;
mod find;
mod hash;
mod index;
pub mod log;
mod packets;
mod ports;
mod reconfigure;
pub mod settings;
mod slab;
pub mod snapshot;
pub mod status;
mod table;
pub mod tcp;

pub use expire::{BUSY_ROUND, EVICT_PLACES, IDLE_ROUND, SWEEP_ENDS, SWEEP_PLACES};
pub use log::{BlockLine, LogEntry, LogEvent, SessionLine};
pub use reconfigure::Reconfigured;
pub use settings::{Filtering, Pool, Settings, SettingsError, Sources, StaticEntry, Timeouts};
pub use snapshot::RestoreError;
pub use status::{Counters, Filter, PoolUse, PrefixUse, SessionView, Stats};
pub use table::Table;

#[cfg(test)]
mod tests;
