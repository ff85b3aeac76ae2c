//! What packets do to the table (RFC 6146 sections 3.5.1 to 3.5.3): which session they are of, whether they may begin one,
//! and how they change it.

use std::net::Ipv4Addr;

use portreeve_packet::time::Instant;

use super::entry::{Bib, Kind, Origin};
use super::expire::{is_due, later, tick};
use super::hash::network;
use super::settings::Filtering;
use super::table::{Remote, Table};
use super::tcp::{self, Event, Lifetime};
use crate::flow::{Endpoint4, Endpoint6, Inbound, Outbound, Protocol, Refusal, Sessions, TcpFlags};

impl Sessions for Table {
    fn outbound(&mut self, flow: &Outbound, tcp: Option<TcpFlags>, now: Instant) -> Result<Endpoint4, Refusal> {
        self.log.now = now;
        let tick = tick(now);
        let host = Endpoint6 { address: flow.source, port: flow.source_port };
        let remote = Remote::new(flow.protocol, flow.destination, flow.destination_port);
        if let Some(id) = self.find_outbound(flow.protocol, host, remote)
            && self.settle(id, tick)
        {
            let bib = self.refresh(id, tick, || Event::from_v6(tcp.unwrap_or_default()));
            return bib.map(Bib::public).ok_or(Refusal::TableFull);
        }
        match self.begin_outbound(flow, tcp, now) {
            Ok(public) => Ok(public),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn inbound(&mut self, flow: &Inbound, tcp: Option<TcpFlags>, now: Instant) -> Result<Endpoint6, Refusal> {
        self.log.now = now;
        let tick = tick(now);
        let remote = Remote::new(flow.protocol, flow.source, flow.source_port);
        if let Some(id) = self.find_inbound(flow.protocol, flow.destination.into(), flow.destination_port, remote)
            && self.settle(id, tick)
        {
            let bib = self.refresh(id, tick, || Event::from_v4(tcp.unwrap_or_default()));
            return bib.map(Bib::endpoint6).ok_or(Refusal::NoMapping);
        }
        match self.begin_inbound(flow, tcp, now) {
            Ok(host) => Ok(host),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn outbound_error(&self, flow: &Outbound, now: Instant) -> Option<Endpoint4> {
        let host = Endpoint6 { address: flow.source, port: flow.source_port };
        let remote = Remote::new(flow.protocol, flow.destination, flow.destination_port);
        let session = self.sessions.get(self.find_outbound(flow.protocol, host, remote)?)?;
        let bib = self.bibs.get(session.bib)?;
        self.is_alive(session, tick(now)).then(|| bib.public())
    }

    fn inbound_error(&self, flow: &Inbound, now: Instant) -> Option<Endpoint6> {
        let remote = Remote::new(flow.protocol, flow.source, flow.source_port);
        let id = self.find_inbound(flow.protocol, flow.destination.into(), flow.destination_port, remote)?;
        let session = self.sessions.get(id)?;
        let bib = self.bibs.get(session.bib)?;
        self.is_alive(session, tick(now)).then(|| bib.endpoint6())
    }

    fn is_pool(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(address.into())
    }

    fn icmp_source(&self) -> Ipv4Addr {
        self.addresses.first().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}

impl Table {
    /// A new session from the IPv6 side.
    fn begin_outbound(&mut self, flow: &Outbound, tcp: Option<TcpFlags>, now: Instant) -> Result<Endpoint4, Refusal> {
        let protocol = flow.protocol;
        let kind = first_kind(protocol, tcp, tcp::State::V6Init)?;
        let destination = flow.destination;
        let unicast =
            !destination.is_unspecified() && !destination.is_loopback() && u32::from(destination) < 0xe000_0000;
        if !unicast || flow.source.is_multicast() || flow.source.is_unspecified() || !self.settings.allows(flow.source)
        {
            return Err(Refusal::Prohibited);
        }
        let host = Endpoint6 { address: flow.source, port: flow.source_port };
        let network = network(host.address);
        self.check_quota(network, self.settings.per_prefix, now)?;
        if self.sessions.len() >= self.settings.max_sessions && !self.make_room(network, tick(now)) {
            self.hand.hurry(now);
            return Err(Refusal::TableFull);
        }
        let prefix = self.take_prefix(network).ok_or(Refusal::TableFull)?;
        let made = match self.find_host(protocol, host) {
            Some(bib) => Ok(bib),
            None => self.choose(protocol, host, prefix).and_then(|(address, port)| {
                let bib = Bib {
                    host: host.address,
                    address,
                    sessions: 0,
                    expires: 0,
                    prefix,
                    host_port: host.port,
                    port,
                    protocol,
                    origin: Origin::Dynamic,
                };
                self.add_bib(bib).ok_or(Refusal::TableFull)
            }),
        };
        let bib = match made {
            Ok(bib) => bib,
            Err(refusal) => {
                self.give_prefix_back(prefix, false);
                self.hand.hurry(now);
                return Err(refusal);
            }
        };
        let remote = Remote::new(protocol, destination, flow.destination_port);
        let expires = tick(now).wrapping_add(self.lifetimes.of(kind));
        self.add_session(bib, prefix, remote, kind, expires).ok_or(Refusal::TableFull)?;
        self.counters.created = self.counters.created.wrapping_add(1);
        self.hand.wake(now);
        self.bibs.get(bib).map(Bib::public).ok_or(Refusal::TableFull)
    }

    /// A new session from the IPv4 side. It may only take what hosts leave: an eighth of the table and of each quota is
    /// for sessions that hosts begin, so that nobody outside can lock them out.
    fn begin_inbound(&mut self, flow: &Inbound, tcp: Option<TcpFlags>, now: Instant) -> Result<Endpoint6, Refusal> {
        let protocol = flow.protocol;
        let destination = u32::from(flow.destination);
        let id = self.find_public(protocol, destination, flow.destination_port).ok_or(Refusal::NoMapping)?;
        let bib = *self.bibs.get(id).ok_or(Refusal::NoMapping)?;
        let grace = if protocol == Protocol::Tcp { self.lifetimes.transitory } else { 0 };
        if bib.origin != Origin::Static && is_due(bib.expires.wrapping_add(grace), tick(now)) {
            return Err(Refusal::NoMapping);
        }
        let kind = first_kind(protocol, tcp, tcp::State::V4Init)?;
        let remote = Remote::new(protocol, flow.source, flow.source_port);
        if bib.origin != Origin::Static {
            if protocol == Protocol::Tcp && !self.settings.tcp_inbound {
                return Err(Refusal::Filtered);
            }
            if self.settings.filtering == Filtering::AddressDependent && self.find_permit(id, remote.address).is_none()
            {
                return Err(Refusal::Filtered);
            }
        }
        let network = network(bib.host);
        self.check_quota(network, seven_eighths(self.settings.per_prefix), now)?;
        if self.sessions.len() >= seven_eighths(self.settings.max_sessions) {
            self.hand.hurry(now);
            return Err(Refusal::TableFull);
        }
        let prefix = self.take_prefix(network).ok_or(Refusal::TableFull)?;
        let expires = tick(now).wrapping_add(self.lifetimes.of(kind));
        self.add_session(id, prefix, remote, kind, expires).ok_or(Refusal::TableFull)?;
        self.counters.created = self.counters.created.wrapping_add(1);
        self.hand.wake(now);
        Ok(bib.endpoint6())
    }

    fn check_quota(&mut self, network: u64, quota: u32, now: Instant) -> Result<(), Refusal> {
        let used = self.find_prefix(network).and_then(|id| self.prefixes.get(id)).map_or(0, |prefix| prefix.sessions);
        if used < quota {
            return Ok(());
        }
        self.hand.hurry(now);
        Err(Refusal::Quota)
    }

    /// A packet of the live session `id` has come. Gives its mapping.
    #[inline]
    fn refresh(&mut self, id: u32, tick: u32, event: impl FnOnce() -> Event) -> Option<&Bib> {
        let lifetimes = self.lifetimes;
        let session = self.sessions.get_mut(id)?;
        let mut changed = None;
        let lifetime = match session.kind {
            Kind::Udp => Some(lifetimes.udp),
            Kind::Icmp | Kind::Vacant => Some(lifetimes.icmp),
            Kind::Tcp(state) => {
                let (next, lifetime) = tcp::step(state, event());
                changed = (next != state).then_some(next);
                match lifetime {
                    Lifetime::Keep => None,
                    Lifetime::Established => Some(lifetimes.established),
                    Lifetime::Transitory => Some(lifetimes.transitory),
                }
            }
        };
        if let Some(lifetime) = lifetime {
            session.expires = tick.wrapping_add(lifetime);
        }
        let (bib, expires) = (session.bib, session.expires);
        if let Some(state) = changed {
            self.set_kind(id, Kind::Tcp(state));
        }
        let bib = self.bibs.get_mut(bib)?;
        bib.expires = later(bib.expires, expires);
        Some(bib)
    }

    fn refused<T>(&mut self, refusal: Refusal) -> Result<T, Refusal> {
        if let Some(count) = self.counters.refused.get_mut(refusal as usize) {
            *count = count.wrapping_add(1);
        }
        Err(refusal)
    }
}

fn seven_eighths(limit: u32) -> u32 {
    limit - limit / 8
}

/// What a session begun by this packet is.
fn first_kind(protocol: Protocol, tcp: Option<TcpFlags>, state: tcp::State) -> Result<Kind, Refusal> {
    match (protocol, tcp) {
        (Protocol::Udp, _) => Ok(Kind::Udp),
        (Protocol::Icmp, _) => Ok(Kind::Icmp),
        (Protocol::Tcp, Some(TcpFlags { syn: true, ack: false, rst: false, .. })) => Ok(Kind::Tcp(state)),
        (Protocol::Tcp, _) => Err(Refusal::NotSyn),
    }
}
