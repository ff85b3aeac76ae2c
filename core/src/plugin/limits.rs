//! Memory, table and time limits of one instance. Reaching one ends the instance: a plugin that only got a
//! refused allocation would go on half alive.
//!
//! A guest's *turn* is one poll of its store's future: everything it computes until it waits. The [`Meter`] counts it
//! in CPU time of the thread, so a busy machine does not make a plugin look like one that spins, and leaves out what
//! the kernel does for it: opening a thousand sockets takes a slow machine long, and is work, not spinning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::config::Limits;
use crate::sys::linux::process::thread_cpu_time;

/// Instances, memories and tables that a component of ours can have; wit-component makes a handful.
const MAX_INSTANCES: usize = 64;
const MAX_MEMORIES: usize = 8;
const MAX_TABLES: usize = 64;

/// Counts what all memories and tables of the store have together.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    memory: Arc<AtomicUsize>,
    table_elements: usize,
}

impl Limiter {
    /// Nothing used yet; `memory` shows the bytes of linear memory to whoever else holds it.
    #[must_use]
    pub const fn new(limits: Limits, memory: Arc<AtomicUsize>) -> Self {
        Self { limits, memory, table_elements: 0 }
    }
}

/// Which limit ended an instance.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Linear memory.
    #[error("it needs more than its {limit_mib} MiB of memory (`limits: (memory_mib: …)` in router.ron)")]
    Memory {
        /// The limit.
        limit_mib: usize,
    },
    /// Table elements.
    #[error("it needs more than its {limit} table elements (`limits: (table_elements: …)` in router.ron)")]
    Table {
        /// The limit.
        limit: usize,
    },
    /// Calls that wait at the host.
    #[error("it waits for more than {limit} things at once (`limits: (handles: …)` in router.ron)")]
    Calls {
        /// The limit.
        limit: usize,
    },
    /// CPU time of one turn.
    #[error("it computed for more than {limit_ms} ms without waiting")]
    Turn {
        /// The limit.
        limit_ms: u128,
    },
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.load(Ordering::Relaxed).saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory {
            return Err(LimitError::Memory { limit_mib: self.limits.memory >> 20 }.into());
        }
        self.memory.store(total, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements {
            return Err(LimitError::Table { limit: self.limits.table_elements }.into());
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

/// CPU time of one instance. All but [`Meter::used`] is for the thread that runs it.
#[derive(Debug)]
pub struct Meter {
    /// What one turn may take.
    limit: Duration,
    /// CPU time of the thread when the turn began, in ns.
    begun: AtomicU64,
    /// What of this turn was spent for the guest, not by it, in ns.
    excused: AtomicU64,
    /// CPU time of all turns that ended, in ns.
    used: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new(super::engine::TURN_LIMIT)
    }
}

impl Meter {
    /// Nothing used yet; a turn may take `limit`.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, begun: AtomicU64::new(0), excused: AtomicU64::new(0), used: AtomicU64::new(0) }
    }

    /// What one turn may take.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// CPU time that the instance has used in the turns that ended.
    #[must_use]
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// A turn begins.
    pub fn begin(&self) {
        self.begun.store(now_ns(), Ordering::Relaxed);
        self.excused.store(0, Ordering::Relaxed);
    }

    /// A turn ends.
    pub fn end(&self) {
        let turn = now_ns().saturating_sub(self.begun.load(Ordering::Relaxed));
        self.used.fetch_add(turn, Ordering::Relaxed);
    }

    /// What the guest itself has computed in this turn.
    #[must_use]
    pub fn this_turn(&self) -> Duration {
        let turn = now_ns().saturating_sub(self.begun.load(Ordering::Relaxed));
        Duration::from_nanos(turn.saturating_sub(self.excused.load(Ordering::Relaxed)))
    }

    /// Does `work` for the guest: its time does not count as the guest's.
    pub fn excuse<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = now_ns();
        let done = work();
        self.excused.fetch_add(now_ns().saturating_sub(before), Ordering::Relaxed);
        done
    }
}

fn now_ns() -> u64 {
    u64::try_from(thread_cpu_time().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_what_the_guest_computes_and_not_what_is_done_for_it() {
        let burn = |time: Duration| {
            let start = thread_cpu_time();
            while thread_cpu_time() - start < time {}
        };
        let meter = Meter::default();
        meter.begin();
        meter.excuse(|| burn(Duration::from_millis(20)));
        assert!(meter.this_turn() < Duration::from_millis(10), "{:?}", meter.this_turn());
        burn(Duration::from_millis(5));
        assert!(meter.this_turn() >= Duration::from_millis(5));
        meter.end();
        assert!(meter.used() >= Duration::from_millis(25));
    }

    #[test]
    fn memories_count_together() {
        let used = Arc::new(AtomicUsize::new(0));
        let limits = Limits { memory: 3 << 16, ..Limits::default() };
        let mut limiter = Limiter::new(limits, used.clone());
        assert!(limiter.memory_growing(0, 1 << 16, None).unwrap());
        assert!(limiter.memory_growing(0, 2 << 16, None).unwrap());
        assert_eq!(used.load(Ordering::Relaxed), 3 << 16);
        let error = limiter.memory_growing(1 << 16, 2 << 16, None).unwrap_err();
        assert!(error.is::<LimitError>());
    }
}
