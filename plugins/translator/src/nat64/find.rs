//! Lookups. Each compares what the index finds with the entry itself, so a hash that is equal by chance does no harm.

use super::table::{Remote, Table};
use crate::flow::{Endpoint6, Protocol};

impl Table {
    #[inline]
    pub(super) fn find_outbound(&self, protocol: Protocol, host: Endpoint6, remote: Remote) -> Option<u32> {
        let hash = self.hasher.outbound(protocol, host.address, host.port, remote.address, remote.port);
        self.by_outbound.find(hash, |id| {
            self.sessions.get(id).is_some_and(|session| {
                session.remote == remote.address
                    && session.remote_port == remote.port
                    && self.bibs.get(session.bib).is_some_and(|bib| {
                        bib.host == host.address && bib.host_port == host.port && bib.protocol == protocol
                    })
            })
        })
    }

    #[inline]
    pub(super) fn find_inbound(&self, protocol: Protocol, address: u32, port: u16, remote: Remote) -> Option<u32> {
        let hash = self.hasher.inbound(protocol, address, port, remote.address, remote.port);
        self.by_inbound.find(hash, |id| {
            self.sessions.get(id).is_some_and(|session| {
                session.remote == remote.address
                    && session.remote_port == remote.port
                    && self
                        .bibs
                        .get(session.bib)
                        .is_some_and(|bib| bib.address == address && bib.port == port && bib.protocol == protocol)
            })
        })
    }

    pub(super) fn find_host(&self, protocol: Protocol, host: Endpoint6) -> Option<u32> {
        let hash = self.hasher.host(protocol, host.address, host.port);
        self.by_host.find(hash, |id| {
            self.bibs
                .get(id)
                .is_some_and(|bib| bib.host == host.address && bib.host_port == host.port && bib.protocol == protocol)
        })
    }

    pub(super) fn find_public(&self, protocol: Protocol, address: u32, port: u16) -> Option<u32> {
        let hash = self.hasher.public(protocol, address, port);
        self.by_public.find(hash, |id| {
            self.bibs.get(id).is_some_and(|bib| bib.address == address && bib.port == port && bib.protocol == protocol)
        })
    }

    pub(super) fn find_prefix(&self, network: u64) -> Option<u32> {
        self.by_prefix.find(self.hasher.prefix(network), |id| {
            self.prefixes.get(id).is_some_and(|prefix| prefix.network == network)
        })
    }

    pub(super) fn find_permit(&self, bib: u32, remote: u32) -> Option<u32> {
        self.by_permit.find(self.hasher.permit(bib, remote), |id| {
            self.permits.get(id).is_some_and(|permit| permit.bib == bib && permit.remote == remote)
        })
    }
}
