//! The Portreeve core: it reads one file, works out what every plugin may touch, and runs them.
//!
//! # Layers
//!
//! ```text
//! main ─▶ commands ─▶ runtime ─▶ supervisor            sans-io: when plugins start and stop
//!              │         ├─────▶ plugin ─▶ host ─▶ grants   what a plugin may touch; the only place that decides
//!              │         │         │         ├───▶ stores   logs, metrics, facts, stored values
//!              │         │         │         └───▶ sys      the kernel, behind a trait; the only `unsafe`
//!              └──────▶ control    └─ a thread, a store and a reactor for each plugin
//!                        └─ the Varlink socket: server and client
//!                   config: router.ron, from text to legal values
//! ```
//!
//! An arrow means "uses". `grants`, `config` and `supervisor` use nothing above them; the core never links a
//! plugin, it loads files; the WIT package becomes Rust once, in `host::bindings`.
//!
//! # Invariants
//!
//! - **No access without a grant.** Every opening and every use of a handle goes through
//!   [`grants::Grants::check`], which asks plan, manifest and operator for that one access.
//! - **Nothing is touched before everything is planned.** [`runtime::planning`] loads and judges the whole file; a
//!   mistake in it leaves the running configuration alone.
//! - **A plugin holds up nobody.** It has a thread of its own. Going beyond its memory, tables, waiting calls or
//!   computing time ends its instance and no other; beyond its handles, series, facts or stored bytes it gets an error,
//!   and beyond its rate of records they are dropped and counted.
//! - **The supervisor is a function of events and time.** It has no clock and no tasks, so its tests need none.
//! - **Machine code is our own.** Compiled components come from a cache whose files carry a MAC under the device's key.
//!
//! # A plugin's way in
//!
//! [`plugin::Loader`] reads and checks the file, [`plugin::judge`] asks it in an instance without grants what the
//! section needs, [`runtime`] puts the plan in force, [`plugin::instance::Instance`] runs it, and what becomes of it
//! goes through [`supervisor::Supervisor`].

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod commands;
pub mod config;
pub mod control;
pub mod grants;
pub mod host;
pub mod import;
pub mod plugin;
pub mod reconcile;
pub mod runtime;
pub mod stores;
pub mod supervisor;
pub mod sys;
