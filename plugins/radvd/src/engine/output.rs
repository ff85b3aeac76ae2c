//! What waits to be polled: packets and events, in bounded queues.

use super::types::{Event, Transmit};
use std::collections::VecDeque;

/// Packets that may wait. Timers do not fire while the queue is full (they stay due, nothing is lost); a unicast answer
/// that would find it full is dropped and counted. One advertisement split over several packets may exceed it.
pub const MAX_TRANSMITS: usize = 4096;
/// Events for the log that may wait; further ones are dropped. Opening and closing of sockets is not among them.
pub const MAX_EVENTS: usize = 1024;

/// The queues and the randomness every interface shares.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) events: VecDeque<Event>,
    pub(super) events_dropped: u64,
    pub(super) rng: fastrand::Rng,
}

impl Output {
    pub(super) fn new(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { transmits: VecDeque::new(), events: VecDeque::new(), events_dropped: 0, rng }
    }

    pub(super) fn is_full(&self) -> bool {
        self.transmits.len() >= MAX_TRANSMITS
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.events_dropped += 1;
        }
    }
}
