//! Counts of what an instance has at once: waiting calls, applies, name lookups, handles of the kernel. Each costs the
//! core memory, or a thread, for as long as it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// States that are converted and carried out, or wait for that.
const MAX_APPLIES: usize = 2;
/// Name lookups; each blocks a thread.
const MAX_LOOKUPS: usize = 4;
/// Transactions of nf_tables, and questions for its generation; each has a copy of its batch and blocks a thread.
const MAX_TRANSACTIONS: usize = 2;
/// Files that are read at a time; each may have 16 MiB.
const MAX_READS: usize = 2;
/// UDP and TCP sockets together.
const MAX_INET: usize = 1024;
/// Tun devices and their streams, raw IPv4 sockets and netlink sockets together; each has buffers of up to a megabyte here.
const MAX_SOCKETS: usize = 64;

/// Bytes that sockets hold while their sends wait.
const MAX_SENDING: usize = 32 * 1024 * 1024;

/// One of what is counted, or so many, for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>, usize);

impl Counted {
    /// One more in `count`; none if there are `max`.
    pub fn new(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        Self::many(count, 1, max)
    }

    fn many(count: &Arc<AtomicUsize>, more: usize, max: usize) -> Option<Self> {
        if count.fetch_add(more, Ordering::Relaxed).saturating_add(more) > max {
            count.fetch_sub(more, Ordering::Relaxed);
            return None;
        }
        Some(Self(count.clone(), more))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// The counts of one instance.
#[derive(Debug, Default)]
pub(super) struct Counts {
    calls: Arc<AtomicUsize>,
    applies: Arc<AtomicUsize>,
    lookups: Arc<AtomicUsize>,
    sockets: Arc<AtomicUsize>,
    inet: Arc<AtomicUsize>,
    sending: Arc<AtomicUsize>,
    transactions: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

impl Counts {
    /// A call that may wait, of at most `max`.
    pub fn call(&self, max: usize) -> Option<Counted> {
        Counted::new(&self.calls, max)
    }

    /// An apply.
    pub fn apply(&self) -> Option<Counted> {
        Counted::new(&self.applies, MAX_APPLIES)
    }

    /// A name lookup.
    pub fn lookup(&self) -> Option<Counted> {
        Counted::new(&self.lookups, MAX_LOOKUPS)
    }

    /// A transaction.
    pub fn transaction(&self) -> Option<Counted> {
        Counted::new(&self.transactions, MAX_TRANSACTIONS)
    }

    /// A file that is being read.
    pub fn read(&self) -> Option<Counted> {
        Counted::new(&self.reads, MAX_READS)
    }

    /// A UDP or TCP socket.
    pub fn inet(&self) -> Option<Counted> {
        Counted::new(&self.inet, MAX_INET)
    }

    /// A send of so many bytes by a UDP or TCP socket.
    pub fn sending(&self, bytes: usize) -> Option<Counted> {
        Counted::many(&self.sending, bytes, MAX_SENDING)
    }

    /// A tun device or a stream of one, raw IPv4 socket or netlink socket.
    pub fn socket(&self) -> Option<Counted> {
        Counted::new(&self.sockets, MAX_SOCKETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_counts_no_longer() {
        let counts = Counts::default();
        let held: Vec<_> = (0..MAX_SOCKETS).map(|_| counts.socket()).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(counts.socket().is_none());
        assert!(counts.socket().is_none(), "a refusal counts nothing");
        drop(held);
        assert!(counts.socket().is_some());
    }

    #[test]
    fn what_is_being_sent_counts_by_its_bytes() {
        let counts = Counts::default();
        let first = counts.sending(MAX_SENDING - 10);
        assert!(first.is_some() && counts.sending(11).is_none());
        assert!(counts.sending(10).is_some(), "a refusal counts nothing");
        drop(first);
        assert!(counts.sending(MAX_SENDING).is_some());
    }

    #[test]
    fn each_kind_has_a_count_of_its_own() {
        let counts = Counts::default();
        let _applies = [counts.apply(), counts.apply()];
        assert!(counts.apply().is_none());
        assert!(counts.lookup().is_some() && counts.call(1).is_some());
    }
}
