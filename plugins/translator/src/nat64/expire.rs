//! The end of sessions: no timer each, but a hand that goes round the table, a bounded number of places per call.
//!
//! A session whose lifetime has ended counts as gone as soon as anyone asks for it; the hand only gives its place back.
//! While there is something to do, a round takes about [`BUSY_ROUND`]; an idle table is looked at every [`IDLE_ROUND`].

use std::time::Duration;

use portreeve_packet::time::Instant;

use super::entry::Kind;
use super::table::Table;
use super::tcp::{self, Lifetime};

/// Places looked at per call of `handle_timeout`.
pub const SWEEP_PLACES: u32 = 4096;
/// Sessions ended per call of `handle_timeout`.
pub const SWEEP_ENDS: u32 = 1024;
/// A whole round, while sessions end or room is short.
pub const BUSY_ROUND: Duration = Duration::from_secs(4);
/// A whole round when the last one ended nothing and nothing is due earlier.
pub const IDLE_ROUND: Duration = Duration::from_secs(30);
/// Places looked at to make room for one new session in a full table.
pub const EVICT_PLACES: u32 = 512;
/// Half-open sessions of a /64 that do not make it a flooder: with no more than these it is not preferred as a victim.
pub(super) const HALF_OPEN_FLOOR: u32 = 64;

/// Nanoseconds of a tick, as a power of two: 16.8 ms. Ticks are 32 bits and wrap after 834 days; lifetimes are far
/// shorter, so the sign of a difference tells what is earlier.
const TICK_SHIFT: u32 = 24;

/// The tick in which `now` lies.
#[inline]
pub(super) const fn tick(now: Instant) -> u32 {
    (now.nanos() >> TICK_SHIFT) as u32
}

/// Ticks that a lifetime lasts, never shorter than asked and at most 34 ms longer.
pub(super) fn ticks(lifetime: Duration) -> u32 {
    let whole = lifetime.as_nanos().div_ceil(1 << TICK_SHIFT);
    u32::try_from(whole).unwrap_or(u32::MAX >> 1).min(u32::MAX >> 2) + 1
}

/// How long until `expires`; zero when it is over.
pub(super) const fn remaining(expires: u32, tick: u32) -> Duration {
    let left = expires.wrapping_sub(tick) as i32;
    Duration::from_nanos(if left > 0 { (left as u64) << TICK_SHIFT } else { 0 })
}

/// Whether `expires` has come.
#[inline]
pub(super) const fn is_due(expires: u32, tick: u32) -> bool {
    expires.wrapping_sub(tick) as i32 <= 0
}

/// The later of two ticks.
#[inline]
pub(super) const fn later(one: u32, other: u32) -> u32 {
    if one.wrapping_sub(other) as i32 > 0 { one } else { other }
}

/// The lifetimes in ticks.
#[derive(Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) udp: u32,
    pub(super) icmp: u32,
    pub(super) established: u32,
    pub(super) transitory: u32,
}

impl Lifetimes {
    pub(super) fn new(timeouts: &super::Timeouts) -> Self {
        Self {
            udp: ticks(timeouts.udp),
            icmp: ticks(timeouts.icmp),
            established: ticks(timeouts.tcp_established),
            transitory: ticks(timeouts.tcp_transitory),
        }
    }

    /// The longest a session of this kind may have left.
    pub(super) const fn of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Udp => self.udp,
            Kind::Icmp | Kind::Vacant => self.icmp,
            Kind::Tcp(tcp::State::Established | tcp::State::V4FinRcv | tcp::State::V6FinRcv) => self.established,
            Kind::Tcp(_) => self.transitory,
        }
    }
}

/// Where the hand stands.
#[derive(Default)]
pub(super) struct Hand {
    /// The next place to look at.
    place: u32,
    /// When to look; `None` while there are no sessions.
    due: Option<Instant>,
    began: Instant,
    /// Whether this round ended something, or room was short since.
    busy: bool,
    /// Earliest end of a lifetime seen in this round.
    earliest: Option<Duration>,
    /// The next place to look at when room is short.
    pub(super) evict: u32,
}

impl Hand {
    /// A first session is there.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.due.is_none() {
            *self = Self { due: Some(now + BUSY_ROUND), began: now, evict: self.evict, ..Self::default() };
        }
    }

    /// Room is short: the next round shall not wait.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.busy = true;
        let soon = now + BUSY_ROUND;
        self.due = self.due.map(|due| due.min(soon));
    }
}

impl Table {
    /// When [`Table::handle_timeout`] is to be called next; it may become earlier with every packet.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.hand.due
    }

    /// Ends sessions whose lifetime is over, in up to [`SWEEP_PLACES`] places. Calls before their time do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.hand.due.is_none_or(|due| now < due) {
            return;
        }
        self.log.now = now;
        let tick = tick(now);
        let mut ended = 0;
        let end = self.hand.place.saturating_add(SWEEP_PLACES).min(self.sessions.high());
        while self.hand.place < end && ended < SWEEP_ENDS {
            let id = self.hand.place;
            self.hand.place += 1;
            if self.sessions.get(id).is_none() {
                continue;
            }
            if self.settle(id, tick) {
                if let Some(session) = self.sessions.get(id) {
                    let left = remaining(session.expires, tick);
                    self.hand.earliest = Some(self.hand.earliest.map_or(left, |earliest| earliest.min(left)));
                }
            } else {
                ended += 1;
            }
        }
        self.hand.busy |= ended > 0;
        self.plan_hand(now);
    }

    /// Ends all sessions whose lifetime is over, at once.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.log.now = now;
        for id in 0..self.sessions.high() {
            self.settle(id, tick(now));
        }
    }

    fn plan_hand(&mut self, now: Instant) {
        if self.sessions.len() == 0 {
            self.hand.place = 0;
            self.hand.due = None;
            return;
        }
        let steps = self.sessions.high().div_ceil(SWEEP_PLACES).max(1);
        let step = BUSY_ROUND / steps;
        if self.hand.place < self.sessions.high() {
            self.hand.due = Some(now + step);
            return;
        }
        let wait = match self.hand.earliest {
            _ if self.hand.busy => BUSY_ROUND,
            Some(earliest) => earliest.clamp(BUSY_ROUND, IDLE_ROUND),
            None => IDLE_ROUND,
        };
        let begin = (self.hand.began + wait).max(now + step);
        self.hand =
            Hand { place: 0, due: Some(begin), began: begin, busy: false, earliest: None, evict: self.hand.evict };
    }

    /// Whether the session under `id` goes on; ends it if not (RFC 6146 sections 3.5.2.2 and 4).
    #[inline]
    pub(super) fn settle(&mut self, id: u32, tick: u32) -> bool {
        match self.sessions.get(id) {
            Some(session) if !is_due(session.expires, tick) => true,
            Some(_) => self.time_out(id, tick),
            None => false,
        }
    }

    #[cold]
    fn time_out(&mut self, id: u32, tick: u32) -> bool {
        let Some(session) = self.sessions.get(id).copied() else { return false };
        if let Kind::Tcp(state) = session.kind
            && let Some((next, lifetime)) = tcp::timed_out(state)
        {
            let more = match lifetime {
                Lifetime::Keep => 0,
                Lifetime::Established => self.lifetimes.established,
                Lifetime::Transitory => self.lifetimes.transitory,
            };
            let expires = session.expires.wrapping_add(more);
            if !is_due(expires, tick) {
                self.set_kind(id, Kind::Tcp(next));
                if let Some(session) = self.sessions.get_mut(id) {
                    session.expires = expires;
                }
                if let Some(bib) = self.bibs.get_mut(session.bib) {
                    bib.expires = later(bib.expires, expires);
                }
                return true;
            }
        }
        self.counters.expired = self.counters.expired.wrapping_add(1);
        self.end_session(id);
        false
    }

    /// Makes room for a session of the /64 `network` in a full table: the place of one that is over, else of a half-open
    /// TCP session among [`EVICT_PLACES`] places. That is one of the /64 that has most of those, if it has more than
    /// [`HALF_OPEN_FLOOR`] and than `network` itself; if none has (a flood from many /64s), the one that ends earliest.
    /// So a flood of SYNs displaces its own kind, and nothing that is established is ever touched.
    pub(super) fn make_room(&mut self, network: u64, tick: u32) -> bool {
        let own = self.find_prefix(network).and_then(|id| self.prefixes.get(id)).map_or(0, |prefix| prefix.half_open);
        let mut victim = None;
        let mut most = own.max(HALF_OPEN_FLOOR);
        let mut oldest: Option<(u32, u32)> = None;
        for _ in 0..EVICT_PLACES.min(self.sessions.high()) {
            let id = self.hand.evict;
            self.hand.evict = if id + 1 >= self.sessions.high() { 0 } else { id + 1 };
            if self.sessions.get(id).is_none() {
                continue;
            }
            if !self.settle(id, tick) {
                return true;
            }
            let Some(session) = self.sessions.get(id).filter(|session| session.kind.is_half_open()) else { continue };
            if oldest.is_none_or(|(_, end)| later(end, session.expires) != session.expires) {
                oldest = Some((id, session.expires));
            }
            let prefix = self.bibs.get(session.bib).and_then(|bib| self.prefixes.get(bib.prefix));
            if let Some(prefix) = prefix.filter(|prefix| prefix.network != network && prefix.half_open > most) {
                most = prefix.half_open;
                victim = Some(id);
            }
        }
        let oldest = oldest.filter(|_| own <= HALF_OPEN_FLOOR).map(|(id, _)| id);
        let Some(id) = victim.or(oldest) else { return false };
        self.counters.evicted = self.counters.evicted.wrapping_add(1);
        self.end_session(id);
        true
    }
}
