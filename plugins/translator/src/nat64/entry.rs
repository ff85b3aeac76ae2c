//! The entries of the table, packed: a session takes 16 bytes, a mapping 40, a /64 and a block of ports 24 each.
//! A session refers to its mapping and a mapping to its /64 by number, so that no address is kept twice.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::slab::{NONE, Slot};
use super::tcp;
use crate::flow::{Endpoint4, Endpoint6, Protocol};

/// What a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Vacant,
    Udp,
    Icmp,
    Tcp(tcp::State),
}

impl Kind {
    /// Kinds of session there are, with [`Kind::index`] below it.
    pub(super) const COUNT: usize = tcp::State::ALL.len() + 2;

    /// Place in counters by kind: TCP states first, then UDP, then ICMP.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Tcp(state) => state.index(),
            Self::Udp => Self::COUNT - 2,
            Self::Icmp | Self::Vacant => Self::COUNT - 1,
        }
    }

    /// The inverse of [`Kind::index`].
    pub(super) fn from_index(index: usize) -> Option<Self> {
        match tcp::State::ALL.get(index) {
            Some(state) => Some(Self::Tcp(*state)),
            None if index == Self::COUNT - 2 => Some(Self::Udp),
            None if index == Self::COUNT - 1 => Some(Self::Icmp),
            None => None,
        }
    }

    pub(super) const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp(_) => Protocol::Tcp,
            Self::Udp => Protocol::Udp,
            Self::Icmp | Self::Vacant => Protocol::Icmp,
        }
    }

    pub(super) const fn is_half_open(self) -> bool {
        matches!(self, Self::Tcp(state) if state.is_half_open())
    }
}

/// A session table entry (RFC 6146 section 3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// Its mapping; the next vacant place of a vacant one.
    pub(super) bib: u32,
    /// The IPv4 host.
    pub(super) remote: u32,
    /// Tick at which its lifetime ends.
    pub(super) expires: u32,
    /// Port of the IPv4 host; 0 for ICMP.
    pub(super) remote_port: u16,
    pub(super) kind: Kind,
}

impl Slot for Session {
    fn vacant(next: u32) -> Self {
        Self { bib: next, remote: 0, expires: 0, remote_port: 0, kind: Kind::Vacant }
    }
    #[inline]
    fn next_vacant(&self) -> Option<u32> {
        matches!(self.kind, Kind::Vacant).then_some(self.bib)
    }
}

/// How a mapping came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Vacant,
    /// A host's packet: it lives while it has sessions.
    Dynamic,
    /// The settings: it stays.
    Static,
}

/// A binding information base entry (RFC 6146 section 3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Bib {
    pub(super) host: Ipv6Addr,
    /// The pool's address.
    pub(super) address: u32,
    /// How many sessions use it.
    pub(super) sessions: u32,
    /// Tick at which the last of its sessions ends; later than that when a TCP state has shortened a lifetime.
    pub(super) expires: u32,
    /// The record of the host's /64 while there are sessions; the next vacant place of a vacant one.
    pub(super) prefix: u32,
    pub(super) host_port: u16,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    pub(super) origin: Origin,
}

impl Bib {
    pub(super) fn public(&self) -> Endpoint4 {
        Endpoint4 { address: Ipv4Addr::from(self.address), port: self.port }
    }

    pub(super) const fn endpoint6(&self) -> Endpoint6 {
        Endpoint6 { address: self.host, port: self.host_port }
    }
}

impl Slot for Bib {
    fn vacant(next: u32) -> Self {
        Self {
            host: Ipv6Addr::UNSPECIFIED,
            address: 0,
            sessions: 0,
            expires: 0,
            prefix: next,
            host_port: 0,
            port: 0,
            protocol: Protocol::Icmp,
            origin: Origin::Vacant,
        }
    }
    #[inline]
    fn next_vacant(&self) -> Option<u32> {
        matches!(self.origin, Origin::Vacant).then_some(self.prefix)
    }
}

/// A /64 whose hosts have sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    /// Its 64 bits.
    pub(super) network: u64,
    /// Sessions of its hosts, plus one while one is being made; 0 marks a vacant record.
    pub(super) sessions: u32,
    /// Those of them that are half-open TCP; the next vacant place of a vacant one.
    pub(super) half_open: u32,
    /// First of its blocks.
    pub(super) blocks: u32,
}

impl Slot for Prefix {
    fn vacant(next: u32) -> Self {
        Self { network: 0, sessions: 0, half_open: next, blocks: NONE }
    }
    fn next_vacant(&self) -> Option<u32> {
        (self.sessions == 0).then_some(self.half_open)
    }
}

/// A block of ports that a /64 has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) network: u64,
    pub(super) address: u32,
    /// The next block of its /64, or the next vacant place.
    pub(super) next: u32,
    /// Mappings in it; 0 marks a vacant record.
    pub(super) used: u32,
    /// It covers the ports from `number * size` on.
    pub(super) number: u16,
}

impl Slot for Block {
    fn vacant(next: u32) -> Self {
        Self { network: 0, address: 0, next, used: 0, number: 0 }
    }
    fn next_vacant(&self) -> Option<u32> {
        (self.used == 0).then_some(self.next)
    }
}

/// That a mapping may hear from a remote address (address-dependent filtering).
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit {
    /// The mapping, or the next vacant place.
    pub(super) bib: u32,
    pub(super) remote: u32,
    /// Sessions that give it; 0 marks a vacant record.
    pub(super) sessions: u32,
}

impl Slot for Permit {
    fn vacant(next: u32) -> Self {
        Self { bib: next, remote: 0, sessions: 0 }
    }
    fn next_vacant(&self) -> Option<u32> {
        (self.sessions == 0).then_some(self.bib)
    }
}

const _: () = assert!(size_of::<Session>() == 16 && size_of::<Bib>() == 40);
const _: () = assert!(size_of::<Prefix>() == 24 && size_of::<Block>() == 24 && size_of::<Permit>() == 12);
