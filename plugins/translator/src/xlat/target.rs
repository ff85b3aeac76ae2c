//! Which addresses and ports a packet is to have: from the sessions, or from the tables.

use super::counters::Reason;
use super::fragments::Ends;
use super::headers::{Head4, Head6};
use super::transport::{Layer, identifier, ports, tcp_flags};
use super::{DataPath, Mode};
use crate::flow::{Inbound, Outbound, Protocol, Sessions};
use portreeve_packet::time::Instant;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a packet is to become. Ports that are `None` stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) ends: Ends,
    pub(super) source_port: Option<u16>,
    pub(super) destination_port: Option<u16>,
}

impl<S: Sessions> DataPath<S> {
    /// Whether packets from `source` may be translated at all.
    #[inline]
    pub(super) fn check_source6(&self, source: Ipv6Addr) -> Result<(), Reason> {
        let [first, ..] = source.segments();
        if first >> 8 == 0xff || first & 0xffc0 == 0xfe80 || source.to_bits() <= 1 {
            return Err(Reason::Martian);
        }
        let stateful = matches!(self.mode, Mode::Stateful(_));
        if stateful && self.settings.prefix.contains(source) {
            return Err(Reason::Loop);
        }
        Ok(())
    }

    /// The IPv4 address that the destination `destination` stands for.
    #[inline]
    pub(super) fn destination4(&self, destination: Ipv6Addr) -> Result<Ipv4Addr, Reason> {
        self.near4(destination).map_err(|reason| match reason {
            Reason::Untranslatable if !self.settings.own_explicit => Reason::NotOurs,
            reason => reason,
        })
    }

    /// The IPv4 address of who IPv6 packets are for, by the tables.
    #[inline]
    pub(super) fn near4(&self, address: Ipv6Addr) -> Result<Ipv4Addr, Reason> {
        match self.explicit4(address) {
            Some(address) => Ok(address),
            None if self.settings.own_explicit => Err(Reason::Untranslatable),
            None => self.by_prefix4(address),
        }
    }

    /// The IPv4 address of who IPv6 packets are from, by the tables.
    #[inline]
    pub(super) fn far4(&self, address: Ipv6Addr) -> Result<Ipv4Addr, Reason> {
        match self.explicit4(address) {
            Some(address) if !self.settings.own_explicit => Ok(address),
            _ => self.by_prefix4(address),
        }
    }

    /// The IPv6 address of who IPv4 packets are from, by the tables.
    #[inline]
    pub(super) fn near6(&self, address: Ipv4Addr) -> Result<Ipv6Addr, Reason> {
        match self.explicit6(address) {
            Some(address) => Ok(address),
            None if self.settings.own_explicit => Err(Reason::Untranslatable),
            None => self.by_prefix6(address),
        }
    }

    /// The IPv6 address of who IPv4 packets are for, by the tables.
    #[inline]
    pub(super) fn far6(&self, address: Ipv4Addr) -> Result<Ipv6Addr, Reason> {
        match self.explicit6(address) {
            Some(address) if !self.settings.own_explicit => Ok(address),
            _ => self.by_prefix6(address),
        }
    }

    #[inline]
    fn explicit4(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let Mode::Stateless(map) = &self.mode else { return None };
        map.to4(address)
    }

    #[inline]
    fn explicit6(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        let Mode::Stateless(map) = &self.mode else { return None };
        map.to6(address)
    }

    #[inline]
    fn by_prefix4(&self, address: Ipv6Addr) -> Result<Ipv4Addr, Reason> {
        let by_prefix = self.settings.prefix.extract(address).filter(|_| !self.settings.explicit_only);
        let address = by_prefix.ok_or(Reason::Untranslatable)?;
        if self.settings.denies(address) {
            return Err(Reason::Denied);
        }
        Ok(address)
    }

    #[inline]
    fn by_prefix6(&self, address: Ipv4Addr) -> Result<Ipv6Addr, Reason> {
        if self.settings.explicit_only {
            return Err(Reason::Untranslatable);
        }
        if self.settings.denies(address) {
            return Err(Reason::Denied);
        }
        Ok(self.settings.prefix.embed(address))
    }

    /// Whether packets to `destination`, which is `address` inside of the prefix, come back to an IPv6 host.
    #[inline]
    pub(super) fn is_hairpin(&self, destination: Ipv6Addr, address: Ipv4Addr) -> bool {
        self.settings.hairpin
            && match &self.mode {
                Mode::Stateful(sessions) => sessions.is_pool(address),
                // RFC 7757 section 4.2.1.
                Mode::Stateless(map) => !map.is_empty() && map.to4(destination).is_none() && map.to6(address).is_some(),
            }
    }

    /// What becomes of a packet from the IPv6 side; its destination is `destination`.
    #[inline]
    pub(super) fn target6(
        &mut self,
        head: &Head6,
        layer: Layer,
        behind: &[u8],
        destination: Ipv4Addr,
        now: Instant,
    ) -> Result<Target, Reason> {
        let hairpin = self.is_hairpin(head.destination, destination);
        let Mode::Stateful(sessions) = &mut self.mode else {
            let source = self.far4(head.source)?;
            let ends = if hairpin {
                Ends::Six(self.settings.prefix.embed(source), self.far6(destination)?)
            } else {
                Ends::Four(source, destination)
            };
            return Ok(Target { ends, source_port: None, destination_port: None });
        };
        let protocol = layer.protocol().ok_or(Reason::Protocol)?;
        let (source_port, destination_port) = ports_of(layer, behind);
        let flow = Outbound { protocol, source: head.source, source_port, destination, destination_port };
        let tcp = (layer == Layer::Tcp).then(|| tcp_flags(behind));
        let source = sessions.outbound(&flow, tcp, now)?;
        if !hairpin {
            return Ok(Target {
                ends: Ends::Four(source.address, destination),
                source_port: Some(source.port),
                destination_port: None,
            });
        }
        // RFC 6146 section 3.8: as if it had come back from the IPv4 side.
        let (source_port, destination_port) = match layer {
            Layer::Echo => (0, source.port),
            _ => (source.port, destination_port),
        };
        let flow = Inbound { protocol, source: source.address, source_port, destination, destination_port };
        let found = sessions.inbound(&flow, tcp, now)?;
        if layer == Layer::Echo && found.address == head.source {
            return Err(Reason::NoMapping);
        }
        Ok(Target {
            ends: Ends::Six(self.settings.prefix.embed(source.address), found.address),
            source_port: (layer != Layer::Echo).then_some(source_port),
            destination_port: Some(found.port),
        })
    }

    /// What becomes of a packet from the IPv4 side.
    #[inline]
    pub(super) fn target4(
        &mut self,
        head: &Head4,
        layer: Layer,
        behind: &[u8],
        now: Instant,
    ) -> Result<Target, Reason> {
        let source = self.near6(head.source)?;
        let Mode::Stateful(sessions) = &mut self.mode else {
            let ends = Ends::Six(source, self.far6(head.destination)?);
            return Ok(Target { ends, source_port: None, destination_port: None });
        };
        let protocol = layer.protocol().ok_or(Reason::Protocol)?;
        let (source_port, destination_port) = match layer {
            Layer::Echo => (0, identifier(behind)),
            _ => ports(behind),
        };
        let destination = head.destination;
        let flow = Inbound { protocol, source: head.source, source_port, destination, destination_port };
        let tcp = (layer == Layer::Tcp).then(|| tcp_flags(behind));
        let found = sessions.inbound(&flow, tcp, now)?;
        Ok(Target { ends: Ends::Six(source, found.address), source_port: None, destination_port: Some(found.port) })
    }

    /// Whether packets from the IPv4 side with these addresses may be translated at all.
    #[inline]
    pub(super) fn check_ends4(&self, head: &Head4, layer: Layer) -> Result<(), Reason> {
        // RFC 7915 section 4.1: an error is translated whoever it is from, it may tell what is wrong.
        if layer != Layer::Error && super::prefix::is_never_translated(head.source) {
            return Err(Reason::Martian);
        }
        if super::prefix::is_never_translated(head.destination) {
            return Err(Reason::Denied);
        }
        if let Mode::Stateful(sessions) = &self.mode {
            if !sessions.is_pool(head.destination) {
                return Err(Reason::NotOurs);
            }
            if sessions.is_pool(head.source) {
                return Err(Reason::Loop);
            }
        }
        Ok(())
    }
}

/// Source and destination port as sessions know them; ICMP has an identifier in the source's place.
fn ports_of(layer: Layer, behind: &[u8]) -> (u16, u16) {
    if layer.protocol() == Some(Protocol::Icmp) { (identifier(behind), 0) } else { ports(behind) }
}
