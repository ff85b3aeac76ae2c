//! The sessions as bytes, for the next instance of the plugin. They outlive an upgrade and an orderly restart of the
//! plugin; after a trap there was nobody to write them, and a reboot of the machine ends them.
//!
//! A header (`N64S`, version, when it was written in nanoseconds of the clock that all runs share, number of records) and
//! records of 35 bytes, all numbers big-endian: what the session is, its mapping, the remote end and the seconds it had
//! left. The time in between counts: a session is restored with what is left then, or not at all. A mapping is repeated
//! with each of its sessions; so every record stands for itself, and a snapshot that was cut to size is whole. Whatever
//! bytes are restored, the table ends up with sessions its settings allow, and nothing else.

use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_packet::time::Instant;

use super::entry::{Bib, Kind, Origin, Session};
use super::expire::{is_due, remaining, tick, ticks};
use super::hash::network;
use super::reconfigure::addresses_fit;
use super::table::{Remote, Table};
use super::tcp;
use crate::flow::Endpoint6;

/// Bytes of the header.
pub const HEADER: usize = 18;
/// Bytes of each session.
pub const RECORD: usize = 35;

const MAGIC: [u8; 4] = *b"N64S";
/// 2: since when it is, which 1 did not have.
const VERSION: u16 = 2;

/// Why bytes are not a snapshot. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// They do not begin like one.
    Magic,
    /// It is of another version.
    Version(u16),
    /// There are more or fewer than the header says.
    Length,
    /// It is of later than now, so of another boot of the machine.
    Clock,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => write!(f, "not a snapshot of sessions"),
            Self::Version(version) => write!(f, "a snapshot of version {version}, not {VERSION}"),
            Self::Length => write!(f, "a snapshot of another length than it says"),
            Self::Clock => write!(f, "a snapshot of another boot of the machine"),
        }
    }
}

impl std::error::Error for RestoreError {}

struct Record {
    kind: Kind,
    host: Endpoint6,
    address: u32,
    port: u16,
    remote: Remote,
    seconds: u32,
}

impl Table {
    /// The live sessions in at most `max_bytes`: open TCP connections first, then UDP, then the others. Empty when not
    /// even the header fits.
    #[must_use]
    pub fn snapshot(&self, now: Instant, max_bytes: usize) -> Vec<u8> {
        let Some(room) = max_bytes.checked_sub(HEADER) else { return Vec::new() };
        let most = (room / RECORD).min(self.sessions.len() as usize);
        let mut bytes = Vec::with_capacity(HEADER + most * RECORD);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(now.nanos().to_be_bytes());
        bytes.extend([0; 4]);
        let mut count = 0u32;
        for rank in 0..3 {
            let of_rank = self.sessions.iter().filter(|(_, session)| rank_of(session.kind) == rank);
            for (_, session) in of_rank {
                if count as usize == most {
                    break;
                }
                if let Some(record) = self.record(session, tick(now)) {
                    record.push_to(&mut bytes);
                    count += 1;
                }
            }
        }
        if let Some(field) = bytes.get_mut(HEADER - 4..HEADER) {
            field.copy_from_slice(&count.to_be_bytes());
        }
        bytes
    }

    /// Takes in the sessions of a snapshot that fit the settings and what is already there; gives their number.
    ///
    /// # Errors
    /// [`RestoreError`]: the bytes are no snapshot.
    pub fn restore(&mut self, bytes: &[u8], now: Instant) -> Result<usize, RestoreError> {
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(RestoreError::Length)?;
        if *magic != MAGIC {
            return Err(RestoreError::Magic);
        }
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(RestoreError::Length)?;
        let version = u16::from_be_bytes(*version);
        if version != VERSION {
            return Err(RestoreError::Version(version));
        }
        let (written, rest) = rest.split_first_chunk::<8>().ok_or(RestoreError::Length)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(RestoreError::Length)?;
        if Some(rest.len()) != (u32::from_be_bytes(*count) as usize).checked_mul(RECORD) {
            return Err(RestoreError::Length);
        }
        let written = Instant::from_nanos(u64::from_be_bytes(*written));
        if written > now {
            return Err(RestoreError::Clock);
        }
        // What was begun of a second is in favour of the session, as where it was written.
        let passed = u32::try_from(now.since(written).as_secs()).unwrap_or(u32::MAX);
        self.log.now = now;
        let records = rest.as_chunks::<RECORD>().0;
        let restored = records
            .iter()
            .filter_map(|bytes| Record::read(bytes)?.after(passed))
            .filter(|record| self.take_in(record, now).is_some())
            .count();
        self.counters.restored = self.counters.restored.wrapping_add(restored as u64);
        if restored > 0 {
            self.hand.wake(now);
        }
        Ok(restored)
    }

    fn record(&self, session: &Session, tick: u32) -> Option<Record> {
        if !self.is_alive(session, tick) {
            return None;
        }
        let bib = self.bibs.get(session.bib)?;
        let mut kind = session.kind;
        let mut expires = session.expires;
        if is_due(expires, tick) {
            kind = Kind::Tcp(tcp::State::Trans);
            expires = expires.wrapping_add(self.lifetimes.transitory);
        }
        let left = remaining(expires, tick);
        Some(Record {
            kind,
            host: bib.endpoint6(),
            address: bib.address,
            port: bib.port,
            remote: Remote { address: session.remote, port: session.remote_port },
            seconds: u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1),
        })
    }

    fn take_in(&mut self, record: &Record, now: Instant) -> Option<()> {
        let protocol = record.kind.protocol();
        let Endpoint6 { address: host, port } = record.host;
        let usable = !host.is_unspecified() && !host.is_multicast() && self.settings.allows(host) && record.port != 0;
        let network = network(host);
        let used = self.find_prefix(network).and_then(|id| self.prefixes.get(id)).map_or(0, |prefix| prefix.sessions);
        let full = self.sessions.len() >= self.settings.max_sessions || used >= self.settings.per_prefix;
        let known = self.find_host(protocol, record.host);
        let public = self.find_public(protocol, record.address, record.port);
        if !usable || full || known != public || self.find_outbound(protocol, record.host, record.remote).is_some() {
            return None;
        }
        let prefix = self.take_prefix(network)?;
        let bib = known.or_else(|| {
            let bib = Bib {
                host,
                address: record.address,
                sessions: 0,
                expires: 0,
                prefix,
                host_port: port,
                port: record.port,
                protocol,
                origin: Origin::Dynamic,
            };
            addresses_fit(&bib, &self.settings, &self.addresses).then(|| self.add_bib(bib)).flatten()
        });
        let Some(bib) = bib else {
            self.give_prefix_back(prefix, false);
            return None;
        };
        let left = ticks(std::time::Duration::from_secs(record.seconds.into())).min(self.lifetimes.of(record.kind));
        let expires = tick(now).wrapping_add(left);
        self.add_session(bib, prefix, record.remote, record.kind, expires).map(drop)
    }
}

impl Record {
    /// The same so many seconds later, if it is still there then.
    fn after(self, seconds: u32) -> Option<Self> {
        let left = self.seconds.saturating_sub(seconds);
        (left > 0).then_some(Self { seconds: left, ..self })
    }

    fn push_to(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind.index() as u8);
        bytes.extend(self.host.address.octets());
        bytes.extend(self.host.port.to_be_bytes());
        bytes.extend(self.address.to_be_bytes());
        bytes.extend(self.port.to_be_bytes());
        bytes.extend(self.remote.address.to_be_bytes());
        bytes.extend(self.remote.port.to_be_bytes());
        bytes.extend(self.seconds.to_be_bytes());
    }

    fn read(bytes: &[u8; RECORD]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let kind = Kind::from_index(usize::from(*kind))?;
        let (host, rest) = rest.split_first_chunk::<16>()?;
        let (host_port, rest) = rest.split_first_chunk::<2>()?;
        let (address, rest) = rest.split_first_chunk::<4>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (remote, rest) = rest.split_first_chunk::<4>()?;
        let (remote_port, rest) = rest.split_first_chunk::<2>()?;
        let (seconds, _) = rest.split_first_chunk::<4>()?;
        let protocol = kind.protocol();
        let remote = Remote::new(protocol, Ipv4Addr::from(*remote), u16::from_be_bytes(*remote_port));
        let record = Self {
            kind,
            host: Endpoint6 { address: Ipv6Addr::from(*host), port: u16::from_be_bytes(*host_port) },
            address: u32::from_be_bytes(*address),
            port: u16::from_be_bytes(*port),
            remote,
            seconds: u32::from_be_bytes(*seconds),
        };
        Some(record)
    }
}

/// What goes into a snapshot first.
const fn rank_of(kind: Kind) -> u8 {
    match kind {
        Kind::Tcp(tcp::State::Established | tcp::State::V4FinRcv | tcp::State::V6FinRcv) => 0,
        Kind::Udp => 1,
        Kind::Icmp | Kind::Tcp(_) | Kind::Vacant => 2,
    }
}
