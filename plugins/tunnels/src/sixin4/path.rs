//! Path MTUs learnt from ICMPv4 "fragmentation needed" (RFC 4213 section 3.2.2), per outer destination.

use super::{MIN_MTU, outer};
use crate::time::Instant;
use core::time::Duration;
use std::net::Ipv4Addr;

/// How many outer destinations have a path MTU of their own; another one takes the place of the oldest.
pub const MAX_PATHS: usize = 8;
/// After how long a larger packet is tried again (RFC 1191 section 6.3: ten minutes).
pub const PATH_LIFETIME: Duration = Duration::from_secs(600);

/// What a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path {
    /// The largest inner packet.
    pub(super) mtu: u16,
    /// Whether even [`MIN_MTU`] does not fit, so that IPv4 must fragment.
    pub(super) fragment: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    destination: Ipv4Addr,
    path: Path,
    expires: Instant,
}

/// The paths that are known to be narrow.
#[derive(Debug, Default)]
pub(super) struct Paths {
    entries: [Option<Entry>; MAX_PATHS],
    any: bool,
}

impl Paths {
    /// The path to `destination` at `now` where the tunnel itself takes `mtu`.
    pub(super) fn get(&self, destination: Ipv4Addr, mtu: u16, now: Instant) -> Path {
        let wide = Path { mtu, fragment: false };
        if !self.any {
            return wide;
        }
        let live = |entry: &&Entry| entry.destination == destination && entry.expires > now;
        match self.entries.iter().flatten().find(live) {
            Some(entry) => Path { mtu: entry.path.mtu.min(mtu), ..entry.path },
            None => wide,
        }
    }

    /// The narrowest path known: what a packet of unknown path should fit.
    pub(super) fn narrowest(&self, mtu: u16, now: Instant) -> u16 {
        if !self.any {
            return mtu;
        }
        let live = self.entries.iter().flatten().filter(|entry| entry.expires > now);
        live.map(|entry| entry.path.mtu).min().unwrap_or(mtu).min(mtu)
    }

    /// Learns that IPv4 packets to `destination` must not exceed `ipv4_mtu`; true when that is news.
    pub(super) fn narrow(&mut self, destination: Ipv4Addr, ipv4_mtu: u32, mtu: u16, now: Instant) -> bool {
        let inner = ipv4_mtu.saturating_sub(outer::LEN as u32);
        let path =
            Path { mtu: u16::try_from(inner).unwrap_or(u16::MAX).max(MIN_MTU), fragment: inner < u32::from(MIN_MTU) };
        let known = self.get(destination, mtu, now);
        if path.mtu >= known.mtu && (known.fragment || !path.fragment) {
            return false;
        }
        let entry = Entry { destination, path, expires: now + PATH_LIFETIME };
        let same = self.entries.iter().position(|slot| slot.is_some_and(|entry| entry.destination == destination));
        let slot = match same {
            Some(index) => self.entries.get_mut(index),
            None => self.entries.iter_mut().min_by_key(|slot| slot.map(|entry| entry.expires)),
        };
        if let Some(slot) = slot {
            *slot = Some(entry);
        }
        self.any = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_narrows_never_below_1280_and_widens_again_after_ten_minutes() {
        let mut paths = Paths::default();
        let (host, now) = (Ipv4Addr::new(192, 0, 2, 1), Instant::from_nanos(7));
        assert!(paths.narrow(host, 1400, 1480, now));
        assert_eq!(paths.get(host, 1480, now), Path { mtu: 1380, fragment: false });
        assert!(!paths.narrow(host, 1450, 1480, now));
        assert!(paths.narrow(host, 576, 1480, now));
        assert_eq!(paths.get(host, 1480, now), Path { mtu: 1280, fragment: true });
        assert_eq!(paths.narrowest(1480, now), 1280);
        let later = now + PATH_LIFETIME;
        assert_eq!(paths.get(host, 1480, later), Path { mtu: 1480, fragment: false });
        assert_eq!(paths.narrowest(1480, later), 1480);
    }

    #[test]
    fn more_paths_than_fit_replace_the_oldest() {
        let mut paths = Paths::default();
        for host in 0..=MAX_PATHS as u8 {
            assert!(paths.narrow(Ipv4Addr::new(192, 0, 2, host), 1400, 1480, Instant::from_nanos(u64::from(host))));
        }
        let now = Instant::from_nanos(100);
        assert_eq!(paths.get(Ipv4Addr::new(192, 0, 2, 0), 1480, now).mtu, 1480);
        assert_eq!(paths.get(Ipv4Addr::new(192, 0, 2, 1), 1480, now).mtu, 1380);
        assert_eq!(paths.get(Ipv4Addr::new(192, 0, 2, 8), 1480, now).mtu, 1380);
    }
}
