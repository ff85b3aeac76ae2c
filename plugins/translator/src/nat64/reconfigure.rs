//! New settings for a table that is in use: what still fits stays.

use std::collections::{BTreeMap, BTreeSet};

use portreeve_packet::time::Instant;

use super::entry::{Bib, Origin};
use super::expire::{Lifetimes, tick};
use super::hash::network;
use super::ports::Addresses;
use super::settings::{Filtering, Settings, SettingsError, StaticEntry};
use super::table::Table;
use crate::flow::Protocol;

/// What became of the sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconfigured {
    /// Sessions that go on.
    pub kept: u32,
    /// Sessions that were ended.
    pub ended: u32,
}

impl Table {
    /// Works by `settings` from now on. A session goes on if its host is still allowed and its mapping is still possible:
    /// a dynamic one by the pools, the port blocks and the static mappings, a static one if it is still listed.
    /// Lifetimes that run end at the latest when new ones would. Of more sessions than `max_sessions` none is ended, but
    /// no new one begins.
    ///
    /// # Errors
    /// [`SettingsError`]: the settings are not legal; nothing has changed.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) -> Result<Reconfigured, SettingsError> {
        settings.check()?;
        self.sweep(now);
        let addresses = Addresses::new(&settings);
        let doomed = self.doomed(&settings, &addresses);
        let mut outcome = Reconfigured::default();
        for id in 0..self.sessions.high() {
            let Some(session) = self.sessions.get(id) else { continue };
            if doomed.contains(&session.bib) {
                self.end_session(id);
                outcome.ended += 1;
            } else {
                outcome.kept += 1;
            }
        }
        for id in doomed {
            self.remove_bib(id);
        }
        self.counters.reconfigured = self.counters.reconfigured.wrapping_add(outcome.ended.into());
        let blocks_stay = settings.port_block == self.settings.port_block;
        let had_permits = self.settings.filtering == Filtering::AddressDependent;
        if !blocks_stay {
            self.log_all_released();
        }
        let statics = settings.static_entries.clone();
        self.lifetimes = Lifetimes::new(&settings.timeouts);
        self.settings = settings;
        self.recount(addresses, blocks_stay);
        self.rebuild_permits(had_permits);
        self.set_statics(&statics);
        self.cap_lifetimes(now);
        self.hand.hurry(now);
        Ok(outcome)
    }

    /// The mappings that cannot stay.
    fn doomed(&self, settings: &Settings, addresses: &Addresses) -> BTreeSet<u32> {
        let mut doomed = BTreeSet::new();
        let mut wanted = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for entry in &settings.static_entries {
            wanted.insert((entry.protocol, entry.host.address, entry.host.port), entry.public);
            taken.insert((entry.protocol, u32::from(entry.public.address), entry.public.port));
        }
        let mut blocks = BTreeMap::new();
        for (id, bib) in self.bibs.iter() {
            let listed = wanted.get(&(bib.protocol, bib.host, bib.host_port));
            let in_the_way = taken.contains(&(bib.protocol, bib.address, bib.port));
            let stays = match listed {
                Some(public) => *public == bib.public(),
                None => bib.origin == Origin::Dynamic && !in_the_way && addresses_fit(bib, settings, addresses),
            };
            let mut has_block = || match settings.port_block {
                Some(size) if listed.is_none() => {
                    let owner = blocks.entry((bib.address, bib.port / size)).or_insert_with(|| network(bib.host));
                    *owner == network(bib.host)
                }
                _ => true,
            };
            let allowed = listed.is_some() || settings.allows(bib.host);
            if !stays || !allowed || !has_block() {
                doomed.insert(id);
            }
        }
        doomed
    }

    /// Counts the ports of the mappings that are left among `addresses`, and puts them into blocks anew if those changed.
    fn recount(&mut self, addresses: Addresses, blocks_stay: bool) {
        self.addresses = addresses;
        let ids: Vec<u32> = self.bibs.iter().map(|(id, _)| id).collect();
        if !blocks_stay {
            for (id, _) in self.blocks.iter().map(|(id, block)| (id, *block)).collect::<Vec<_>>() {
                self.blocks.remove(id);
            }
            self.by_block.clear();
            self.prefixes.for_each(|prefix| prefix.blocks = super::slab::NONE);
        }
        for id in ids {
            let Some(bib) = self.bibs.get(id).copied() else { continue };
            self.addresses.take(bib.protocol, bib.address, bib.port);
            if !blocks_stay && bib.origin == Origin::Dynamic {
                self.take_block(&bib);
            }
        }
        if blocks_stay {
            for block in self.blocks.iter().map(|(_, block)| *block).collect::<Vec<_>>() {
                if let Some(usage) = self.addresses.usage_mut(block.address) {
                    usage.blocks += 1;
                }
            }
        }
    }

    fn rebuild_permits(&mut self, had_permits: bool) {
        let wants = self.settings.filtering == Filtering::AddressDependent;
        if wants == had_permits {
            return;
        }
        self.permits = super::slab::Slab::new();
        self.by_permit.clear();
        for id in 0..if wants { self.sessions.high() } else { 0 } {
            if let Some((bib, remote)) = self.sessions.get(id).map(|session| (session.bib, session.remote)) {
                self.give_permit(bib, remote);
            }
        }
    }

    /// Makes static the mappings that are to be, whether they are there or not.
    fn set_statics(&mut self, entries: &[StaticEntry]) {
        for entry in entries {
            match self.find_host(entry.protocol, entry.host) {
                None => self.add_static(entry),
                Some(id) => {
                    let Some(bib) = self.bibs.get(id).copied() else { continue };
                    if bib.origin == Origin::Dynamic {
                        self.give_block_back(&bib);
                        if let Some(bib) = self.bibs.get_mut(id) {
                            bib.origin = Origin::Static;
                        }
                    }
                }
            }
        }
    }

    fn cap_lifetimes(&mut self, now: Instant) {
        let (tick, lifetimes) = (tick(now), self.lifetimes);
        self.sessions.for_each(|session| {
            let most = lifetimes.of(session.kind);
            if session.expires.wrapping_sub(tick) as i32 > most as i32 {
                session.expires = tick.wrapping_add(most);
            }
        });
        self.bibs.for_each(|bib| {
            let most = match bib.protocol {
                Protocol::Udp => lifetimes.udp,
                Protocol::Icmp => lifetimes.icmp,
                Protocol::Tcp => lifetimes.established.max(lifetimes.transitory),
            };
            if bib.expires.wrapping_sub(tick) as i32 > most as i32 {
                bib.expires = tick.wrapping_add(most);
            }
        });
    }
}

/// Whether a dynamic mapping could be made today.
pub(super) fn addresses_fit(bib: &Bib, settings: &Settings, addresses: &Addresses) -> bool {
    let Some(ports) = addresses.ports(bib.address) else { return false };
    let in_block = settings.port_block.is_none_or(|size| {
        let (first, end) = ports.blocks(size);
        (first..end).contains(&(bib.port / size))
    });
    ports.contains(bib.port) && in_block
}
