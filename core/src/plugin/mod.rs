//! One component: load it, keep it compiled, ask what it needs, run it within limits.
//!
//! `load` turns a file into a [`Loaded`] component or a one-line refusal; `judge` asks it, in an instance
//! without any grant, who it is and what a section comes to; `instance` runs it in a thread of its own, so that
//! a guest that computes holds up nobody else. `engine` and `limits` bound what a guest can take.

pub mod cache;
pub mod engine;
pub mod imports;
pub mod instance;
pub mod judge;
pub mod limits;
pub mod load;

pub use engine::PluginEngine;
pub use judge::{Judgement, Manifest};
pub use load::{LoadError, Loaded, Loader};
