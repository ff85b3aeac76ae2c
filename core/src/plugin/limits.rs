//! Memory, table and time limits of one instance. Reaching one ends the instance: a plugin that only got a
//! refused allocation would go on half alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use crate::config::Limits;

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

#[cfg(test)]
mod tests {
    use super::*;

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
