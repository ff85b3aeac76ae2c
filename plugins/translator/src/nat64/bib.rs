//! Mappings (RFC 6146 section 3.1), and what is kept beside them: records of /64s, and who may be heard from.

use super::entry::{Bib, Origin, Permit, Prefix};
use super::settings::StaticEntry;
use super::slab::NONE;
use super::table::Table;

impl Table {
    /// Counts one more session for a /64; gives its record.
    pub(super) fn take_prefix(&mut self, network: u64) -> Option<u32> {
        if let Some(id) = self.find_prefix(network) {
            if let Some(prefix) = self.prefixes.get_mut(id) {
                prefix.sessions += 1;
            }
            return Some(id);
        }
        let id = self.prefixes.insert(Prefix { network, sessions: 1, half_open: 0, blocks: NONE });
        let (hasher, prefixes) = (&self.hasher, &self.prefixes);
        let hash_of = |id| prefixes.get(id).map_or(0, |prefix| hasher.prefix(prefix.network));
        if self.by_prefix.insert(hasher.prefix(network), id, hash_of) {
            return Some(id);
        }
        self.prefixes.remove(id);
        None
    }

    /// Counts one session less for a /64.
    pub(super) fn give_prefix_back(&mut self, id: u32, half_open: bool) {
        let Some(prefix) = self.prefixes.get_mut(id) else { return };
        prefix.half_open = prefix.half_open.saturating_sub(u32::from(half_open));
        if prefix.sessions > 1 {
            prefix.sessions -= 1;
            return;
        }
        let network = prefix.network;
        self.prefixes.remove(id);
        self.by_prefix.remove(self.hasher.prefix(network), id);
    }

    /// Adds a mapping whose host and public side are both free.
    pub(super) fn add_bib(&mut self, bib: Bib) -> Option<u32> {
        if bib.origin == Origin::Dynamic && !self.take_block(&bib) {
            return None;
        }
        self.addresses.take(bib.protocol, bib.address, bib.port);
        let id = self.bibs.insert(bib);
        let (hasher, bibs) = (&self.hasher, &self.bibs);
        let by_host = |bib: &Bib| hasher.host(bib.protocol, bib.host, bib.host_port);
        let by_public = |bib: &Bib| hasher.public(bib.protocol, bib.address, bib.port);
        let done = self.by_host.insert(by_host(&bib), id, |id| bibs.get(id).map_or(0, by_host))
            && self.by_public.insert(by_public(&bib), id, |id| bibs.get(id).map_or(0, by_public));
        if !done {
            self.remove_bib(id);
            return None;
        }
        Some(id)
    }

    /// Removes a mapping that has no sessions.
    pub(super) fn remove_bib(&mut self, id: u32) {
        let Some(bib) = self.bibs.remove(id) else { return };
        self.by_host.remove(self.hasher.host(bib.protocol, bib.host, bib.host_port), id);
        self.by_public.remove(self.hasher.public(bib.protocol, bib.address, bib.port), id);
        self.addresses.give_back(bib.protocol, bib.address, bib.port);
        if bib.origin == Origin::Dynamic {
            self.give_block_back(&bib);
        }
    }

    /// Adds a static mapping, unless something else is there (the settings were checked, and reconfiguring made room).
    pub(super) fn add_static(&mut self, entry: &StaticEntry) {
        let address = u32::from(entry.public.address);
        if self.find_host(entry.protocol, entry.host).is_some()
            || self.find_public(entry.protocol, address, entry.public.port).is_some()
        {
            return;
        }
        self.add_bib(Bib {
            host: entry.host.address,
            address,
            sessions: 0,
            expires: 0,
            prefix: NONE,
            host_port: entry.host.port,
            port: entry.public.port,
            protocol: entry.protocol,
            origin: Origin::Static,
        });
    }

    /// Notes that mapping `bib` may hear from `remote`, once more.
    pub(super) fn give_permit(&mut self, bib: u32, remote: u32) {
        if let Some(permit) = self.find_permit(bib, remote).and_then(|id| self.permits.get_mut(id)) {
            permit.sessions += 1;
            return;
        }
        let id = self.permits.insert(Permit { bib, remote, sessions: 1 });
        let (hasher, permits) = (&self.hasher, &self.permits);
        let hash_of = |id| permits.get(id).map_or(0, |permit| hasher.permit(permit.bib, permit.remote));
        if !self.by_permit.insert(hasher.permit(bib, remote), id, hash_of) {
            self.permits.remove(id);
        }
    }

    pub(super) fn take_permit_back(&mut self, bib: u32, remote: u32) {
        let Some(id) = self.find_permit(bib, remote) else { return };
        let Some(permit) = self.permits.get_mut(id) else { return };
        if permit.sessions > 1 {
            permit.sessions -= 1;
            return;
        }
        self.by_permit.remove(self.hasher.permit(bib, remote), id);
        self.permits.remove(id);
    }
}
