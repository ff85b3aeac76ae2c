//! What `status translator` and the metrics show of the table.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use portreeve_packet::time::Instant;

use super::entry::{Kind, Origin, Session};
use super::expire::{remaining, tick};
use super::settings::Sources;
use super::table::{Table, prefix_address};
use super::tcp;
use crate::flow::{Endpoint4, Endpoint6, Protocol, Refusal};

/// Events since the table was made; they wrap at 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that packets began.
    pub created: u64,
    /// Sessions whose lifetime ended.
    pub expired: u64,
    /// Half-open sessions that gave way in a full table.
    pub evicted: u64,
    /// Sessions ended because the settings no longer allow them.
    pub reconfigured: u64,
    /// Sessions taken from a snapshot.
    pub restored: u64,
    /// Packets refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// How many packets were refused for this.
    #[must_use]
    pub fn refusals(&self, refusal: Refusal) -> u64 {
        self.refused.get(refusal as usize).copied().unwrap_or(0)
    }
}

/// The table in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Sessions, with those that are over but not yet swept.
    pub sessions: u32,
    /// The most there may be.
    pub max_sessions: u32,
    /// TCP sessions by state, in the order of [`tcp::State::ALL`].
    pub tcp: [u32; tcp::State::ALL.len()],
    /// UDP sessions.
    pub udp: u32,
    /// ICMP query sessions.
    pub icmp: u32,
    /// Mappings, static ones included.
    pub bib_entries: u32,
    /// /64s with sessions.
    pub prefixes: u32,
    /// Blocks of ports given to them.
    pub blocks: u32,
    /// Bytes of heap.
    pub bytes: usize,
    /// Log entries lost because nobody took them.
    pub log_dropped: u64,
    /// Events.
    pub counters: Counters,
}

/// What is used of an address of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// The address.
    pub address: Ipv4Addr,
    /// Ports that may be used, for each protocol.
    pub capacity: u32,
    /// Those that TCP uses.
    pub tcp: u32,
    /// Those that UDP uses.
    pub udp: u32,
    /// Query identifiers in use.
    pub icmp: u32,
    /// Blocks given to prefixes.
    pub blocks: u32,
}

/// A /64 and its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixUse {
    /// Its first address.
    pub prefix: Ipv6Addr,
    /// Sessions of its hosts.
    pub sessions: u32,
    /// Those of them that are half-open TCP.
    pub half_open: u32,
}

/// Which sessions to show; everything that is given must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of this protocol.
    pub protocol: Option<Protocol>,
    /// Of hosts in this prefix.
    pub host: Option<Sources>,
    /// With this IPv4 host.
    pub remote: Option<Ipv4Addr>,
    /// Through this address of the pool.
    pub public: Option<Ipv4Addr>,
}

/// A session, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The protocol.
    pub protocol: Protocol,
    /// The host.
    pub host: Endpoint6,
    /// What the world sees of it.
    pub public: Endpoint4,
    /// With whom it talks; port 0 for ICMP.
    pub remote: Endpoint4,
    /// Its state, if it is TCP.
    pub state: Option<tcp::State>,
    /// Whether its mapping is static.
    pub is_static: bool,
    /// How long it lives if nothing comes.
    pub remaining: Duration,
}

impl Table {
    /// The table in numbers. Costs no walk.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let kind = |kind: Kind| self.kinds.get(kind.index()).copied().unwrap_or(0);
        Stats {
            sessions: self.sessions.len(),
            max_sessions: self.settings.max_sessions,
            tcp: tcp::State::ALL.map(|state| kind(Kind::Tcp(state))),
            udp: kind(Kind::Udp),
            icmp: kind(Kind::Icmp),
            bib_entries: self.bibs.len(),
            prefixes: self.prefixes.len(),
            blocks: self.blocks.len(),
            bytes: self.bytes(),
            log_dropped: self.log.dropped(),
            counters: self.counters,
        }
    }

    /// The pool's addresses, in order.
    pub fn pool_use(&self) -> impl Iterator<Item = PoolUse> {
        (0..self.addresses.len()).filter_map(|number| {
            let (address, ports) = self.addresses.nth(number)?;
            let usage = self.addresses.usage(address)?;
            let [tcp, udp, icmp] = usage.used;
            let blocks = u32::from(usage.blocks);
            Some(PoolUse { address: address.into(), capacity: ports.count(), tcp, udp, icmp, blocks })
        })
    }

    /// The `n` /64s with most sessions, most first.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<PrefixUse> {
        let mut heap = BinaryHeap::new();
        for (id, prefix) in self.prefixes.iter() {
            heap.push(Reverse((prefix.sessions, id)));
            if heap.len() > n {
                heap.pop();
            }
        }
        let ids = heap.into_sorted_vec().into_iter().map(|Reverse((_, id))| id);
        let records = ids.filter_map(|id| self.prefixes.get(id));
        records
            .map(|prefix| PrefixUse {
                prefix: prefix_address(prefix.network),
                sessions: prefix.sessions,
                half_open: prefix.half_open,
            })
            .collect()
    }

    /// The live sessions that `filter` is for; `take` what is needed of them.
    pub fn sessions(&self, filter: Filter, now: Instant) -> impl Iterator<Item = SessionView> {
        let tick = tick(now);
        self.sessions
            .iter()
            .filter(move |(_, session)| self.is_alive(session, tick))
            .filter_map(move |(_, session)| self.view(session, tick))
            .filter(move |view| {
                filter.protocol.is_none_or(|protocol| view.protocol == protocol)
                    && filter.host.is_none_or(|hosts| hosts.contains(view.host.address))
                    && filter.remote.is_none_or(|remote| view.remote.address == remote)
                    && filter.public.is_none_or(|public| view.public.address == public)
            })
    }

    fn view(&self, session: &Session, tick: u32) -> Option<SessionView> {
        let bib = self.bibs.get(session.bib)?;
        let line = self.line(session)?;
        Some(SessionView {
            protocol: line.protocol,
            host: line.host,
            public: line.public,
            remote: line.remote,
            state: match session.kind {
                Kind::Tcp(state) => Some(state),
                _ => None,
            },
            is_static: bib.origin == Origin::Static,
            remaining: remaining(session.expires, tick),
        })
    }
}
