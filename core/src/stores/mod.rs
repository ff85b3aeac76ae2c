//! What outlives an instance and is shared between them: logs, metrics, facts, stored values.
//!
//! The stores know plugins by name and nothing of WIT or wasmtime; the host interfaces check the grant,
//! convert, and delegate to them. Each has named bounds.

pub mod facts;
pub mod keys;
pub mod logs;
pub mod metrics;
pub mod storage;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere while it was held leaves data that is still whole (every update here is one
/// insertion or removal), so the poison is no reason to stop a router.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
