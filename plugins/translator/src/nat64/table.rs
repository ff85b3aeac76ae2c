//! The table itself, and the beginning and end of sessions. Here and in `bib.rs` sessions, mappings, /64s and their indexes
//! are kept in step; the other files decide (ports, TCP states, expiry) and call these two.
//!
//! A packet of a known session costs one lookup, in the index of its direction; mappings are looked up for new sessions
//! only. See `index.rs` and `slab.rs` for how it grows.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::entry::{Bib, Block, Kind, Origin, Permit, Prefix, Session};
use super::expire::{Hand, Lifetimes, is_due, later};
use super::hash::{Hasher, Random};
use super::index::Index;
use super::log::{Log, LogEntry, LogEvent, SessionLine};
use super::ports::Addresses;
use super::settings::{Filtering, Settings, SettingsError};
use super::slab::{NONE, Slab};
use super::status::Counters;
use super::tcp;
use crate::flow::{Endpoint4, Protocol};

/// The sessions of one NAT64 (RFC 6146 section 3).
pub struct Table {
    pub(super) settings: Settings,
    pub(super) hasher: Hasher,
    pub(super) random: Random,
    pub(super) lifetimes: Lifetimes,
    pub(super) addresses: Addresses,
    pub(super) sessions: Slab<Session>,
    pub(super) bibs: Slab<Bib>,
    pub(super) prefixes: Slab<Prefix>,
    pub(super) blocks: Slab<Block>,
    pub(super) permits: Slab<Permit>,
    pub(super) by_outbound: Index,
    pub(super) by_inbound: Index,
    pub(super) by_host: Index,
    pub(super) by_public: Index,
    pub(super) by_prefix: Index,
    pub(super) by_block: Index,
    pub(super) by_permit: Index,
    pub(super) hand: Hand,
    pub(super) log: Log,
    pub(super) counters: Counters,
    /// Sessions by [`Kind::index`].
    pub(super) kinds: [u32; Kind::COUNT],
}

/// One direction of a session, with the numbers as they are kept.
#[derive(Clone, Copy)]
pub(super) struct Remote {
    pub(super) address: u32,
    pub(super) port: u16,
}

impl Remote {
    /// ICMP queries have an identifier on the host's side only (RFC 6146 section 3.2).
    pub(super) fn new(protocol: Protocol, address: Ipv4Addr, port: u16) -> Self {
        Self { address: address.into(), port: if protocol == Protocol::Icmp { 0 } else { port } }
    }
}

impl Table {
    /// An empty table. All randomness follows from `seed`, which must not be guessable.
    ///
    /// # Errors
    /// [`SettingsError`]: the settings are not legal.
    pub fn new(settings: Settings, seed: u64) -> Result<Self, SettingsError> {
        settings.check()?;
        let mut random = Random::new(seed);
        let mut table = Self {
            hasher: Hasher::new(&mut random),
            random,
            lifetimes: Lifetimes::new(&settings.timeouts),
            addresses: Addresses::new(&settings),
            sessions: Slab::new(),
            bibs: Slab::new(),
            prefixes: Slab::new(),
            blocks: Slab::new(),
            permits: Slab::new(),
            by_outbound: Index::new(),
            by_inbound: Index::new(),
            by_host: Index::new(),
            by_public: Index::new(),
            by_prefix: Index::new(),
            by_block: Index::new(),
            by_permit: Index::new(),
            hand: Hand::default(),
            log: Log::default(),
            counters: Counters::default(),
            kinds: [0; Kind::COUNT],
            settings,
        };
        for entry in table.settings.static_entries.clone() {
            table.add_static(&entry);
        }
        Ok(table)
    }

    /// The settings it works by.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many sessions there are, with those that are over but not yet swept.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sessions.len() == 0
    }

    /// Bytes of heap the table holds: sessions, mappings, indexes, counters and the log's queue.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slabs = self.sessions.bytes() + self.bibs.bytes() + self.prefixes.bytes() + self.blocks.bytes();
        let indexes = [&self.by_outbound, &self.by_inbound, &self.by_host, &self.by_public];
        let small = [&self.by_prefix, &self.by_block, &self.by_permit];
        slabs
            + self.permits.bytes()
            + indexes.into_iter().chain(small).map(Index::bytes).sum::<usize>()
            + self.addresses.bytes()
            + self.log.bytes()
    }

    /// The next entry of the session log.
    pub fn poll_log(&mut self) -> Option<LogEntry> {
        self.log.pop()
    }

    /// Adds a session of mapping `bib`; its /64 has counted it. If it cannot be added, all that was taken for it is given
    /// back.
    pub(super) fn add_session(
        &mut self,
        bib_id: u32,
        prefix: u32,
        remote: Remote,
        kind: Kind,
        expires: u32,
    ) -> Option<u32> {
        let session = Session { bib: bib_id, remote: remote.address, expires, remote_port: remote.port, kind };
        let id = self.sessions.insert(session);
        if let Some(bib) = self.bibs.get_mut(bib_id) {
            bib.expires = if bib.sessions == 0 { expires } else { later(bib.expires, expires) };
            bib.sessions += 1;
            bib.prefix = prefix;
        }
        self.count_kind(kind, prefix, true);
        let (hasher, sessions, bibs) = (&self.hasher, &self.sessions, &self.bibs);
        let outbound = |id| outbound_hash(hasher, sessions, bibs, id);
        let inbound = |id| inbound_hash(hasher, sessions, bibs, id);
        let done =
            self.by_outbound.insert(outbound(id), id, outbound) && self.by_inbound.insert(inbound(id), id, inbound);
        if self.settings.filtering == Filtering::AddressDependent {
            self.give_permit(bib_id, remote.address);
        }
        if self.logs_sessions()
            && let Some(line) = self.line(&session)
        {
            self.log.push(LogEvent::SessionCreated(line));
        }
        if !done {
            self.end_session(id);
            return None;
        }
        Some(id)
    }

    /// Ends a session, and with it its mapping and its /64's record if it was their last.
    pub(super) fn end_session(&mut self, id: u32) {
        let Some(session) = self.sessions.get(id).copied() else { return };
        if self.logs_sessions()
            && let Some(line) = self.line(&session)
        {
            self.log.push(LogEvent::SessionEnded(line));
        }
        self.by_outbound.remove(outbound_hash(&self.hasher, &self.sessions, &self.bibs, id), id);
        self.by_inbound.remove(inbound_hash(&self.hasher, &self.sessions, &self.bibs, id), id);
        self.sessions.remove(id);
        if self.settings.filtering == Filtering::AddressDependent {
            self.take_permit_back(session.bib, session.remote);
        }
        let Some(bib) = self.bibs.get_mut(session.bib) else { return };
        bib.sessions = bib.sessions.saturating_sub(1);
        let (left, prefix, origin) = (bib.sessions, bib.prefix, bib.origin);
        if left == 0 && origin == Origin::Static {
            bib.prefix = NONE;
        }
        if left == 0 && origin != Origin::Static {
            self.remove_bib(session.bib);
        }
        let at = session.kind.index();
        if let Some(count) = self.kinds.get_mut(at) {
            *count = count.saturating_sub(1);
        }
        self.give_prefix_back(prefix, session.kind.is_half_open());
    }

    /// Moves a session to another kind.
    pub(super) fn set_kind(&mut self, id: u32, kind: Kind) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let old = std::mem::replace(&mut session.kind, kind);
        let prefix = self.bibs.get(session.bib).map_or(NONE, |bib| bib.prefix);
        self.count_kind(old, prefix, false);
        self.count_kind(kind, prefix, true);
    }

    fn count_kind(&mut self, kind: Kind, prefix: u32, more: bool) {
        let by = if more { 1 } else { -1 };
        if let Some(count) = self.kinds.get_mut(kind.index()) {
            *count = count.saturating_add_signed(by);
        }
        if kind.is_half_open()
            && let Some(prefix) = self.prefixes.get_mut(prefix)
        {
            prefix.half_open = prefix.half_open.saturating_add_signed(by);
        }
    }

    const fn logs_sessions(&self) -> bool {
        self.settings.log && self.settings.port_block.is_none()
    }

    pub(super) fn line(&self, session: &Session) -> Option<SessionLine> {
        let bib = self.bibs.get(session.bib)?;
        Some(SessionLine {
            protocol: bib.protocol,
            host: bib.endpoint6(),
            public: bib.public(),
            remote: Endpoint4 { address: session.remote.into(), port: session.remote_port },
        })
    }

    /// Whether a session goes on at `tick`, without changing it.
    pub(super) fn is_alive(&self, session: &Session, tick: u32) -> bool {
        let grace = match session.kind {
            Kind::Tcp(tcp::State::Established) => self.lifetimes.transitory,
            _ => 0,
        };
        !is_due(session.expires.wrapping_add(grace), tick)
    }
}

fn outbound_hash(hasher: &Hasher, sessions: &Slab<Session>, bibs: &Slab<Bib>, id: u32) -> u64 {
    let Some(session) = sessions.get(id) else { return 0 };
    let Some(bib) = bibs.get(session.bib) else { return 0 };
    hasher.outbound(bib.protocol, bib.host, bib.host_port, session.remote, session.remote_port)
}

fn inbound_hash(hasher: &Hasher, sessions: &Slab<Session>, bibs: &Slab<Bib>, id: u32) -> u64 {
    let Some(session) = sessions.get(id) else { return 0 };
    let Some(bib) = bibs.get(session.bib) else { return 0 };
    hasher.inbound(bib.protocol, bib.address, bib.port, session.remote, session.remote_port)
}

/// The /64 whose upper bits are `network`.
pub(super) fn prefix_address(network: u64) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(network) << 64)
}
