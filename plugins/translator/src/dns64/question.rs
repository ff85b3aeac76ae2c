//! Questions that are being asked: who waits for them, how far they are, and what is under way upstream.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use portreeve_packet::time::Instant;

use super::cache::Key;
use super::limit::Prefix;
use super::query::rtype;
use super::random::Keys;
use super::settings::MAX_RESOLVERS;
use super::stored::{Asked, Stored};
use super::{Client, Transport};

/// Clients that wait for the same question.
pub const MAX_WAITERS: usize = 64;

/// Flags of a key.
pub(super) mod flag {
    /// The client takes signatures (DO).
    pub(crate) const DNSSEC_OK: u8 = 1;
    /// The client checks by itself (CD).
    pub(crate) const CHECKING_DISABLED: u8 = 2;
    /// The answer may be synthesised.
    pub(crate) const SYNTHESIS: u8 = 4;
}

/// Appends the key of a question for `name`, as it was sent, to `key`.
pub(super) fn write_key(key: &mut Vec<u8>, name: &[u8], qtype: u16, flags: u8) {
    key.extend(name.iter().map(u8::to_ascii_lowercase));
    key.extend_from_slice(&qtype.to_be_bytes());
    key.push(flags);
}

/// Name in lower case, type and flags of a key.
pub(super) fn read_key(key: &[u8]) -> Option<(&[u8], u16, u8)> {
    let (name, &[high, low, flags]) = key.split_last_chunk()?;
    Some((name, u16::from_be_bytes([high, low]), flags))
}

/// A client that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) client: Client,
    pub(super) prefix: Prefix,
    id: u16,
    recursion_desired: bool,
    wants_ad: bool,
    checking_disabled: bool,
    edns: Option<bool>,
    question: Box<[u8]>,
    limit: usize,
    udp_size: u16,
}

impl Waiter {
    pub(super) fn new(client: Client, prefix: Prefix, asked: &Asked<'_>) -> Self {
        Self {
            client,
            prefix,
            id: asked.id,
            recursion_desired: asked.recursion_desired,
            wants_ad: asked.wants_ad,
            checking_disabled: asked.checking_disabled,
            edns: asked.edns,
            question: asked.question.into(),
            limit: asked.limit,
            udp_size: asked.udp_size,
        }
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            id: self.id,
            recursion_desired: self.recursion_desired,
            wants_ad: self.wants_ad,
            checking_disabled: self.checking_disabled,
            edns: self.edns,
            question: &self.question,
            limit: self.limit,
            udp_size: self.udp_size,
        }
    }

    /// Whether this is the same client with the same message again.
    pub(super) fn is_repeated(&self, client: &Client, id: u16) -> bool {
        self.id == id && self.client.transport == Transport::Udp && self.client == *client
    }
}

/// How far a question is; what is asked upstream at the moment.
#[derive(Debug)]
pub(super) enum Step {
    /// What the client asked; the answer is passed on.
    Pass,
    /// AAAA, to see whether there is one (RFC 6147 section 5.1.1).
    Aaaa,
    /// A, to make AAAA of it (RFC 6147 section 5.1.6).
    Synthesis {
        /// The longest time to live, in seconds (RFC 6147 section 5.1.7).
        cap: u32,
        /// The answer if all the A records are excluded.
        fallback: Option<Stored>,
        /// AAAA was not asked yet: to be done if there is no A.
        aaaa_after: bool,
    },
    /// PTR, of the name under `in-addr.arpa` (RFC 6147 section 5.3.1).
    Reverse,
}

/// By what an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Slot { slot: u32, id: u16 },
    Tcp(u64),
}

/// One upstream question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) server: usize,
    pub(super) via: Via,
    pub(super) sent: Instant,
    pub(super) until: Instant,
    /// Whether its time is over; the answer is still taken.
    pub(super) late: bool,
    pub(super) edns: bool,
    /// Which letters are in upper case.
    pub(super) case: u64,
    /// Asked over TCP because the case was lost.
    pub(super) checks_case: bool,
}

/// A question that is being asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) key: Key,
    pub(super) waiters: Vec<Waiter>,
    pub(super) step: Step,
    /// What is asked upstream: the name in lower case, the type.
    pub(super) name: Box<[u8]>,
    pub(super) qtype: u16,
    pub(super) attempts: Vec<Attempt>,
    /// Questions sent in this step.
    pub(super) sent: u8,
    /// Per server.
    pub(super) tries: [u8; MAX_RESOLVERS],
    /// Servers that answered with an error in this step, one bit each.
    pub(super) given_up: u16,
    /// When the step is over.
    pub(super) step_until: Instant,
    /// When the clients are told that it failed.
    pub(super) until: Instant,
    wake: Instant,
}

impl Question {
    pub(super) fn flags(&self) -> u8 {
        read_key(&self.key).map_or(0, |(_, _, flags)| flags)
    }

    /// The name and type that the client asked for.
    pub(super) fn wanted(&self) -> (&[u8], u16) {
        read_key(&self.key).map_or((&[], rtype::A), |(name, qtype, _)| (name, qtype))
    }

    /// Goes on to another upstream question.
    pub(super) fn begin(&mut self, step: Step, name: Box<[u8]>, qtype: u16, step_until: Instant) {
        (self.step, self.name, self.qtype) = (step, name, qtype);
        (self.sent, self.tries, self.given_up) = (0, [0; MAX_RESOLVERS], 0);
        self.step_until = step_until.min(self.until);
    }
}

/// The questions, each with its timer.
#[derive(Debug)]
pub(super) struct Questions {
    table: Vec<Option<Question>>,
    free: Vec<u32>,
    by_key: HashMap<Key, u32, Keys>,
    timers: BTreeSet<(Instant, u32)>,
}

impl Questions {
    pub(super) fn new(keys: Keys) -> Self {
        let by_key = HashMap::with_hasher(keys);
        Self { table: Vec::new(), free: Vec::new(), by_key, timers: BTreeSet::new() }
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Those that are being asked.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.by_key.values().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Question> {
        self.table.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    /// A new question that ends `timeout` from now; its step is to be begun.
    pub(super) fn insert(&mut self, key: &[u8], waiter: Waiter, timeout: Duration, now: Instant) -> Option<u32> {
        let key: Key = Arc::from(key);
        let question = Question {
            key: Arc::clone(&key),
            waiters: vec![waiter],
            step: Step::Pass,
            name: Box::default(),
            qtype: 0,
            attempts: Vec::new(),
            sent: 0,
            tries: [0; MAX_RESOLVERS],
            given_up: 0,
            step_until: now + timeout,
            until: now + timeout,
            wake: now + timeout,
        };
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.table.push(None);
                u32::try_from(self.table.len() - 1).ok()?
            }
        };
        self.timers.insert((question.wake, number));
        *self.table.get_mut(usize::try_from(number).ok()?)? = Some(question);
        self.by_key.insert(key, number);
        Some(number)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Question> {
        let question = self.table.get_mut(usize::try_from(number).ok()?)?.take()?;
        self.timers.remove(&(question.wake, number));
        self.by_key.remove(&question.key);
        self.free.push(number);
        Some(question)
    }

    /// When the question is to be looked at again.
    pub(super) fn wake_at(&mut self, number: u32, wake: Instant) {
        let Some(question) = self.get(number) else { return };
        let before = std::mem::replace(&mut question.wake, wake);
        self.timers.remove(&(before, number));
        self.timers.insert((wake, number));
    }

    /// The next timer.
    pub(super) fn first(&self) -> Option<(Instant, u32)> {
        self.timers.first().copied()
    }
}
