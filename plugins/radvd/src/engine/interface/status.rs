//! What people are told of one interface.

use super::super::content::{AdvertisedPrefix, Content};
use super::super::state::State;
use super::super::timers::Timer;
use super::super::types::{InterfaceState, InterfaceStatus, Nat64Status, PrefixStatus, ServerStatus};
use super::Interface;
use crate::time::Instant;
use portreeve_packet::nd::saturating_pref64_lifetime;

impl Interface {
    /// `None` when idle.
    pub(in crate::engine) fn status(&self, now: Instant) -> Option<InterfaceStatus> {
        Some(InterfaceStatus {
            name: self.link.name.clone(),
            index: Some(self.link.index),
            state: public(self.state)?,
            source: self.source.filter(|_| self.state == State::Advertising),
            forwarding_off: self.link.forwarding_off,
            prefixes: self.prefixes(now),
            servers: self.servers(now),
            nat64_prefixes: self.nat64_prefixes(now),
            counters: self.counters,
            last_advertisement_ago: self.last_sent.map(|at| now.since(at)),
            next_advertisement_in: self.timers.get(Timer::Multicast).map(|at| at.since(now)),
            other_routers: self.routers.addresses(now).collect(),
        })
    }

    fn advertised(&self) -> Option<&Content> {
        self.content.as_ref().filter(|_| self.state == State::Advertising)
    }

    fn prefixes(&self, now: Instant) -> Vec<PrefixStatus> {
        let status = |p: &AdvertisedPrefix, withdrawn| {
            let valid = p.valid.at(now);
            let preferred_lifetime = p.preferred.at(now).min(valid).wire();
            PrefixStatus { prefix: p.prefix, valid_lifetime: valid.wire(), preferred_lifetime, withdrawn }
        };
        let current = self.advertised().into_iter().flat_map(|c| c.prefixes.iter()).map(|p| status(p, false));
        current.chain(self.withdrawn.prefixes(now).map(|p| status(p, true))).collect()
    }

    fn servers(&self, now: Instant) -> Vec<ServerStatus> {
        let entries = self.advertised().into_iter().flat_map(|c| c.rdnss.iter());
        let current =
            entries.flat_map(|entry| entry.servers.iter().map(|server| (*server, entry.lifetime.wire(), false)));
        let gone = self.withdrawn.servers(now).map(|server| (*server, 0, true));
        let status = |(address, lifetime, withdrawn)| ServerStatus { address, lifetime, withdrawn };
        current.chain(gone).map(status).collect()
    }

    fn nat64_prefixes(&self, now: Instant) -> Vec<Nat64Status> {
        let entries = self.advertised().into_iter().flat_map(|c| c.pref64.iter());
        let current = entries.map(|p| (p.prefix, saturating_pref64_lifetime(p.lifetime.into()), false));
        let gone = self.withdrawn.pref64(now).map(|prefix| (*prefix, 0, true));
        let status = |(prefix, lifetime, withdrawn)| Nat64Status { prefix, lifetime, withdrawn };
        current.chain(gone).map(status).collect()
    }
}

/// The state as people know it; `None` when idle.
pub(super) const fn public(state: State) -> Option<InterfaceState> {
    match state {
        State::Idle => None,
        State::WaitingForCarrier => Some(InterfaceState::WaitingForCarrier),
        State::WaitingForAddress => Some(InterfaceState::WaitingForLinkLocalAddress),
        State::Advertising => Some(InterfaceState::Advertising),
        State::Stopping => Some(InterfaceState::Stopping),
    }
}
