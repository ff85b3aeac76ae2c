//! Tests of the table as the packet path sees it. The section in a name or doc is of RFC 6146.

mod limits;
mod logging;
mod mappings;
mod model;
mod pool;
mod reconfigure;
mod snapshot;
mod states;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use portreeve_packet::time::Instant;

use super::*;
use crate::flow::{Endpoint4, Endpoint6, Inbound, Outbound, Protocol, Refusal, Sessions, TcpFlags};

pub(super) const POOL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
pub(super) const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

pub(super) const SYN: TcpFlags = TcpFlags { syn: true, ack: false, fin: false, rst: false };
pub(super) const SYN_ACK: TcpFlags = TcpFlags { syn: true, ack: true, fin: false, rst: false };
pub(super) const ACK: TcpFlags = TcpFlags { syn: false, ack: true, fin: false, rst: false };
pub(super) const FIN: TcpFlags = TcpFlags { syn: false, ack: true, fin: true, rst: false };
pub(super) const RST: TcpFlags = TcpFlags { syn: false, ack: false, fin: false, rst: true };

/// Host `number` of /64 `network`.
pub(super) fn host_of(network: u16, number: u64) -> Ipv6Addr {
    Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(network) << 64 | u128::from(number))
}

/// The first host of the first /64.
pub(super) fn host() -> Ipv6Addr {
    host_of(1, 1)
}

pub(super) fn one_address() -> Settings {
    Settings { pools: vec![Pool::prefix(POOL, 32)], ..Settings::default() }
}

pub(super) fn at(address: Ipv4Addr, port: u16) -> Endpoint4 {
    Endpoint4 { address, port }
}

/// A table and its clock.
pub(super) struct Lab {
    pub(super) table: Table,
    pub(super) now: Instant,
}

impl Lab {
    pub(super) fn new(settings: Settings) -> Self {
        Self { table: Table::new(settings, 7).unwrap(), now: Instant::from_secs(1000) }
    }

    pub(super) fn out(
        &mut self,
        protocol: Protocol,
        from: (Ipv6Addr, u16),
        to: Endpoint4,
    ) -> Result<Endpoint4, Refusal> {
        let tcp = (protocol == Protocol::Tcp).then_some(SYN);
        self.out_tcp(protocol, from, to, tcp)
    }

    pub(super) fn out_tcp(
        &mut self,
        protocol: Protocol,
        from: (Ipv6Addr, u16),
        to: Endpoint4,
        tcp: Option<TcpFlags>,
    ) -> Result<Endpoint4, Refusal> {
        self.table.outbound(&outbound(protocol, from, to), tcp, self.now)
    }

    pub(super) fn udp(&mut self, from: (Ipv6Addr, u16), to: Endpoint4) -> Result<Endpoint4, Refusal> {
        self.out(Protocol::Udp, from, to)
    }

    pub(super) fn back(&mut self, protocol: Protocol, from: Endpoint4, to: Endpoint4) -> Result<Endpoint6, Refusal> {
        self.back_tcp(protocol, from, to, None)
    }

    pub(super) fn back_tcp(
        &mut self,
        protocol: Protocol,
        from: Endpoint4,
        to: Endpoint4,
        tcp: Option<TcpFlags>,
    ) -> Result<Endpoint6, Refusal> {
        self.table.inbound(&inbound(protocol, from, to), tcp, self.now)
    }

    /// Time goes by and the hand does its work.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.table.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.table.handle_timeout(self.now);
            assert!(self.table.poll_timeout().is_none_or(|next| next > self.now), "the hand goes on");
        }
        self.now = end;
    }

    /// Time goes by and nobody calls.
    pub(super) fn skip(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// State of the only session, if it is live.
    pub(super) fn state(&self) -> Option<tcp::State> {
        let views: Vec<_> = self.table.sessions(Filter::default(), self.now).collect();
        assert!(views.len() <= 1);
        views.first().and_then(|view| view.state)
    }

    pub(super) fn views(&self) -> Vec<SessionView> {
        self.table.sessions(Filter::default(), self.now).collect()
    }
}

pub(super) fn outbound(protocol: Protocol, from: (Ipv6Addr, u16), to: Endpoint4) -> Outbound {
    Outbound { protocol, source: from.0, source_port: from.1, destination: to.address, destination_port: to.port }
}

pub(super) fn inbound(protocol: Protocol, from: Endpoint4, to: Endpoint4) -> Inbound {
    Inbound {
        protocol,
        source: from.address,
        source_port: from.port,
        destination: to.address,
        destination_port: to.port,
    }
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The grain of lifetimes: they are never shorter than asked and end at most this much later.
pub(super) const GRAIN: Duration = Duration::from_millis(34);
