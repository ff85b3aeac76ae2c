//! Memory and table limits of one instance. Reaching one ends the instance: a plugin that only got a
//! refused allocation would go on half alive.

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
    memory: usize,
    table_elements: usize,
}

impl Limiter {
    /// Nothing used yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, table_elements: 0 }
    }

    /// Bytes of linear memory in use.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }
}

/// Why an instance was ended.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Linear memory.
    #[error("needs more than its {limit_mib} MiB of memory (raise `limits: (memory_mib: …)` in router.ron)")]
    Memory {
        /// The limit.
        limit_mib: usize,
    },
    /// Table elements.
    #[error("needs more than its {limit} table elements (raise `limits: (table_elements: …)` in router.ron)")]
    Table {
        /// The limit.
        limit: usize,
    },
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory {
            return Err(LimitError::Memory { limit_mib: self.limits.memory >> 20 }.into());
        }
        self.memory = total;
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
