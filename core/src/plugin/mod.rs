//! One component: load it, keep it compiled, ask what it needs, run it within limits.
//!
//! To be continued by the loader and the instance.

pub mod limits;
