//! DNS64 (RFC 6147): a forwarder that answers AAAA for names that have A only, and all else as its resolvers do.
//!
//! No socket, no clock, no randomness: messages, time and a seed come in as arguments, [`Output`] values go out. The
//! data is not validated here; resolvers that are asked may do so (RFC 6147 section 3, the non-validating case).
//!
//! | file | owns |
//! |---|---|
//! | `settings.rs`, `arpa.rs`, `name.rs` | [`Settings`], names of addresses, [`Domain`] |
//! | `ask.rs`, `query.rs` | a client's message: policy, limits, cache; nothing allocated on a hit |
//! | `stored.rs`, `cache.rs` | an answer as it is kept and as it is sent, the bounded cache |
//! | `steps.rs`, `response.rs`, `build.rs` | the rules of RFC 6147 section 5: what is asked next, what the answer is made of |
//! | `local.rs` | `ipv4only.arpa` (RFC 8880) |
//! | `question.rs`, `exchange.rs`, `echo.rs` | questions under way; sending, checking and repeating them upstream |
//! | `server.rs`, `upstream.rs` | resolvers and their health, sockets towards them |
//! | `limit.rs` | rate and share of each client prefix |
//! | `random.rs`, `stats.rs` | identifiers and hash keys from the seed; counters |
//! | `fuzz.rs` | entry points for fuzzing |
//!
//! # Bounds
//!
//! Answers are bounded by `cache_entries` and `cache_bytes`; clients that wait by `max_outstanding`, in all and, by their
//! share, per prefix; those that wait for one question by [`MAX_WAITERS`]; upstream questions under way by the clients
//! that wait, times `attempts`; TCP among them by [`MAX_TCP`]; sockets by [`SLOTS_PER_SERVER`] and
//! [`RETIRED_PER_SERVER`]; known rates by [`MAX_RATES`]. What is beyond is dropped and counted.

mod arpa;
mod ask;
mod build;
mod cache;
mod echo;
mod exchange;
pub mod fuzz;
mod limit;
mod local;
mod name;
mod query;
mod question;
mod random;
mod response;
mod server;
mod settings;
mod stats;
mod steps;
mod stored;
#[cfg(test)]
mod tests;
mod upstream;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use portreeve_packet::time::Instant;

pub use crate::pref64::Pref64;
pub use ask::Taken;
pub use build::SYNTHESISED_TTL;
pub use cache::{ENTRY_OVERHEAD, HAND_STEPS};
pub use exchange::MAX_TCP;
pub use limit::MAX_RATES;
pub use local::{IPV4ONLY, LOCAL_TTL};
pub use name::{Domain, NameError};
pub use question::MAX_WAITERS;
pub use response::{MAX_CHAIN, MAX_RECORDS};
pub use server::{CASE_CHECKS, INITIAL_RTO, MAX_BACKOFF, MAX_FAILURES, MAX_RTO, MIN_RTO, NO_EDNS, ServerRow};
pub use settings::{IpPrefix, MAX_NEGATIVE_TTL, MAX_RESOLVERS, MAX_TIMEOUT, Policy, Rate, Settings, UDP_SIZE};
pub use stats::Stats;
pub use steps::{ERROR_TTL, TIMEOUT_TTL};
pub use upstream::{MAX_MISMATCHES, RETIRED_PER_SERVER, SLOT_AGE, SLOT_QUERIES, SLOTS_PER_SERVER};

use cache::Cache;
use limit::Limits;
use question::Questions;
use random::{Keys, Random};
use upstream::Upstream;

/// How a client's message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As a datagram.
    Udp,
    /// On this connection, without its length prefix.
    Tcp(u64),
}

/// Who asks, and where the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// How the message came.
    pub transport: Transport,
    /// The client's address and port.
    pub address: SocketAddr,
    /// The address of ours it was sent to; the answer comes from there.
    pub local: IpAddr,
    /// The interface it came in by, as its index.
    pub interface: u32,
}

/// What the shim is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this answer to a client.
    Answer {
        /// To whom.
        client: Client,
        /// The message, without a length prefix.
        bytes: Vec<u8>,
    },
    /// Open a UDP socket, with a source port the kernel chooses, connected to `server`. If that fails, say so by
    /// [`Engine::handle_slot_error`].
    OpenSlot {
        /// Its number from now on.
        slot: u32,
        /// Whereto.
        server: SocketAddr,
    },
    /// Close this socket.
    CloseSlot {
        /// Which one.
        slot: u32,
    },
    /// Send this question on a socket.
    Ask {
        /// Which socket.
        slot: u32,
        /// Where it leads.
        server: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Ask this over TCP and give the answer to [`Engine::handle_tcp_response`].
    AskTcp {
        /// The number of this exchange.
        query: u64,
        /// Whom.
        server: SocketAddr,
        /// The message, without its length prefix.
        bytes: Vec<u8>,
    },
    /// Nobody waits for this exchange any more; its answer would be ignored.
    CancelTcp {
        /// Its number.
        query: u64,
    },
}

/// One answer that is kept, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheRow {
    /// The name, as text with a dot at the end.
    pub name: String,
    /// The type that was asked.
    pub qtype: u16,
    /// The response code.
    pub rcode: u8,
    /// Records in its answer section.
    pub answers: u16,
    /// Seconds it is kept yet.
    pub ttl: u32,
    /// Whether it may differ from what the resolvers said.
    pub synthesis: bool,
}

/// A resolver with synthesis.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    random: Random,
    stats: Stats,
    cache: Cache,
    limits: Limits,
    upstream: Upstream,
    questions: Questions,
    /// Which question an exchange over TCP belongs to.
    tcp: HashMap<u64, u32, Keys>,
    next_tcp: u64,
    output: VecDeque<Output>,
    /// When the slots are looked at again.
    maintenance: Instant,
    /// A buffer for keys.
    key: Vec<u8>,
}

impl Engine {
    /// A resolver that knows nothing yet. `seed` is 128 random bits that nobody else knows.
    #[must_use]
    pub fn new(settings: Settings, seed: [u64; 2], now: Instant) -> Self {
        let settings = settings.prepared();
        let mut random = Random::new(seed);
        Self {
            cache: Cache::new(settings.cache_entries, settings.cache_bytes, random.keys()),
            limits: Limits::new(random.keys()),
            upstream: Upstream::new(&settings.resolvers, random.keys()),
            questions: Questions::new(random.keys()),
            tcp: HashMap::with_hasher(random.keys()),
            next_tcp: 0,
            stats: Stats::default(),
            output: VecDeque::new(),
            maintenance: now + SLOT_AGE,
            key: Vec::new(),
            random,
            settings,
        }
    }

    /// Continues under other settings. Clients that wait keep waiting; answers that would be other ones are forgotten;
    /// of resolvers that stay, what is known of them stays.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        let settings = settings.prepared();
        let before = std::mem::replace(&mut self.settings, settings);
        let settings = &self.settings;
        let same = before.prefixes == settings.prefixes
            && before.exclude_aaaa == settings.exclude_aaaa
            && before.exclude_a == settings.exclude_a
            && before.exclude_names == settings.exclude_names
            && before.always_names == settings.always_names
            && (before.min_ttl, before.max_ttl, before.trust_ad)
                == (settings.min_ttl, settings.max_ttl, settings.trust_ad);
        if same {
            self.cache.resize(settings.cache_entries, settings.cache_bytes, now);
        } else {
            self.cache = Cache::new(settings.cache_entries, settings.cache_bytes, self.random.keys());
        }
        if before.resolvers != settings.resolvers {
            self.upstream.replace(&settings.resolvers, &mut self.output);
            self.ask_all_again(now);
        }
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The next thing to do; to be asked until `None` after each call that takes `now`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`Engine::handle_timeout`] is to be called; may change with each call that takes `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let maintenance = self.upstream.has_slots().then_some(self.maintenance);
        let question = self.questions.first().map(|(wake, _)| wake);
        question.into_iter().chain(maintenance).min()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { cache_evicted: self.cache.evicted(), ..self.stats }
    }

    /// The resolvers, in the order of the settings.
    #[must_use]
    pub fn servers(&self, now: Instant) -> Vec<ServerRow> {
        self.upstream.rows(now)
    }

    /// Up to `limit` answers that are kept, in no order.
    #[must_use]
    pub fn cache_rows(&self, limit: usize, now: Instant) -> Vec<CacheRow> {
        let rows = self.cache.iter(now).filter_map(|(key, stored, ttl)| {
            let (wire, qtype, flags) = question::read_key(key)?;
            let mut name = String::new();
            name::write_name(wire, &mut name).ok()?;
            let synthesis = flags & question::flag::SYNTHESIS != 0;
            Some(CacheRow { name, qtype, rcode: stored.rcode, answers: stored.counts[0], ttl, synthesis })
        });
        rows.take(limit).collect()
    }

    /// Answers that are kept, and the bytes they take.
    #[must_use]
    pub const fn cache_size(&self) -> (usize, usize) {
        (self.cache.len(), self.cache.bytes())
    }

    /// Clients that wait, and the questions they wait for.
    #[must_use]
    pub fn outstanding(&self) -> (usize, usize) {
        (self.limits.waiting(), self.questions.len())
    }

    /// Forgets the answers that are kept.
    pub fn flush(&mut self) {
        self.cache.flush();
    }
}
