//! The userspace 6in4 data path as its caller sees it: batches in, batches out, counters.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod decapsulating;
mod encapsulating;
mod icmp;
mod own_link;
mod random;
mod segmenting;
mod support;
