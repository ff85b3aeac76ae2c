//! The session log: who had which address and port, when. A queue that the owner empties.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use portreeve_packet::time::Instant;

use crate::flow::{Endpoint4, Endpoint6, Protocol};

/// Entries that wait, at most; what comes when it is full is counted and lost.
pub const LOG_QUEUE: usize = 4096;

/// Something to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Instant,
    /// What.
    pub event: LogEvent,
}

/// What is logged: sessions, or with port blocks the blocks only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// A session began.
    SessionCreated(SessionLine),
    /// A session ended.
    SessionEnded(SessionLine),
    /// A /64 was given a block of ports.
    BlockAssigned(BlockLine),
    /// A block of ports is free again.
    BlockReleased(BlockLine),
}

/// A session, as it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLine {
    /// The protocol.
    pub protocol: Protocol,
    /// The host.
    pub host: Endpoint6,
    /// What the world sees of it.
    pub public: Endpoint4,
    /// With whom it talks; port 0 for ICMP.
    pub remote: Endpoint4,
}

/// A block, as it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLine {
    /// The /64.
    pub prefix: Ipv6Addr,
    /// The pool's address.
    pub address: Ipv4Addr,
    /// The ports there, of all protocols.
    pub ports: RangeInclusive<u16>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Log {
    queue: VecDeque<LogEntry>,
    dropped: u64,
    /// The `now` of the call that is being served.
    pub(super) now: Instant,
}

impl Log {
    pub(super) fn push(&mut self, event: LogEvent) {
        if self.queue.len() < LOG_QUEUE {
            self.queue.push_back(LogEntry { at: self.now, event });
        } else {
            self.dropped = self.dropped.wrapping_add(1);
        }
    }

    pub(super) fn pop(&mut self) -> Option<LogEntry> {
        self.queue.pop_front()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<LogEntry>()
    }
}
