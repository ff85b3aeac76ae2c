//! From one IPv6 host to another by way of their IPv4 addresses (RFC 6146 section 3.8, RFC 7757 section 4).
//!
//! The packet goes through both translations at once and stays IPv6: new addresses and ports, everything else as it is. So
//! do ICMP errors about such packets, in which all is the other way round.

use super::counters::Reason;
use super::errors::ERROR_HEAD;
use super::headers::{Head6, LEN6};
use super::packet::Packet;
use super::quote::{Inner, change, turned};
use super::target::Target;
use super::transport::{Change, Layer, delta, words6};
use super::{Beside, DataPath, Fate, Mode};
use crate::flow::{Inbound, Outbound, Sessions};
use portreeve_packet::icmpv6;
use std::net::{Ipv4Addr, Ipv6Addr};

impl<S: Sessions> DataPath<S> {
    /// Sends the packet on to another IPv6 host (RFC 6146 section 3.8): new addresses and ports, the rest stays.
    pub(super) fn emit66(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head6,
        layer: Layer,
        target: &Target,
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) {
        let (_, count) = packet.segments(head.transport, layer);
        self.counters.hairpin_packets += count;
        self.counters.hairpin_bytes += packet.len() as u64;
        self.count(packet, layer, head.fragment.is_some());
        let partial = packet.vnet.needs_csum();
        let behind = packet.behind_mut(head.transport);
        let change = Change {
            addresses: delta(&words6(head.source, head.destination), &words6(source, destination)),
            source_port: target.source_port,
            destination_port: target.destination_port,
            partial,
        };
        match layer {
            Layer::Tcp => {
                change.tcp(behind);
                self.clamp(behind, partial);
            }
            Layer::Udp => change.udp(behind),
            Layer::Echo => change.echo_same_family(behind),
            Layer::Other(Some(at)) => change.other(behind, at),
            _ => {}
        }
        if let Some([.., hops]) = packet.behind_mut(0).first_chunk_mut::<8>() {
            *hops = head.hops.saturating_sub(1);
        }
        put_addresses(packet.behind_mut(0), source, destination);
    }

    /// Sends an ICMPv6 error, which is for `destination`, to the IPv6 host it is for: the length stays, so it is changed
    /// where it lies.
    pub(super) fn quote66(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head6,
        inner: &Head6,
        layer: Layer,
        destination: Ipv4Addr,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        if self.settings.prefix.extract(inner.source) != Some(destination) {
            return Err(Reason::IcmpQuote);
        }
        let quote_at = head.transport + ERROR_HEAD;
        let behind_at = quote_at + inner.transport;
        let (speaker, ends) = self.ends66(head, inner, layer, packet.behind(behind_at), destination, beside)?;
        let old = words6(inner.source, inner.destination);
        let change = change(&ends, delta(&old, &words6(ends.source, ends.destination)));
        match layer {
            Layer::Tcp => change.tcp(packet.behind_mut(behind_at)),
            Layer::Udp => change.udp(packet.behind_mut(behind_at)),
            Layer::Echo => change.echo_same_family(packet.behind_mut(behind_at)),
            Layer::Other(Some(at)) => change.other(packet.behind_mut(behind_at), at),
            _ => {}
        }
        put_addresses(packet.behind_mut(quote_at), ends.source, ends.destination);
        put_addresses(packet.behind_mut(0), speaker, ends.source);
        if let Some([.., hops]) = packet.behind_mut(0).first_chunk_mut::<8>() {
            *hops = head.hops - 1;
        }
        let _ = icmpv6::fill_checksum(speaker, ends.source, packet.behind_mut(head.transport));
        self.counters.hairpin_packets += 1;
        self.counters.hairpin_bytes += packet.len() as u64;
        self.counters.icmp_errors += 1;
        Ok(Fate::InPlace)
    }

    /// Who such an error is from, and the ends of the packet inside as its sender knows them.
    fn ends66(
        &self,
        head: &Head6,
        inner: &Head6,
        layer: Layer,
        behind: &[u8],
        destination: Ipv4Addr,
        beside: &Beside<'_>,
    ) -> Result<(Ipv6Addr, Inner<Ipv6Addr>), Reason> {
        let prefix = self.settings.prefix;
        let speaker = |address: Option<Ipv4Addr>| {
            address
                .or(self.source4(Some(head.source)))
                .map(|address| prefix.embed(address))
                .ok_or(Reason::Untranslatable)
        };
        let Mode::Stateful(sessions) = &self.mode else {
            let map = |address| self.far4(address).map_err(|_| Reason::IcmpQuote);
            let ends = Inner {
                source: self.far6(destination)?,
                destination: prefix.embed(map(inner.destination)?),
                source_port: None,
                destination_port: None,
            };
            return Ok((speaker(self.far4(head.source).ok())?, ends));
        };
        if layer == Layer::Echo {
            return Err(Reason::IcmpQuote);
        }
        let (protocol, source_port, destination_port) = turned(layer, behind)?;
        // Who it was sent to, as the sender knows it; then who the sender is.
        let flow = Outbound { protocol, source: inner.destination, source_port, destination, destination_port };
        let to = sessions.outbound_error(&flow, beside.now).ok_or(Reason::IcmpQuote)?;
        let flow = Inbound { protocol, source: to.address, source_port: to.port, destination, destination_port };
        let from = sessions.inbound_error(&flow, beside.now).ok_or(Reason::IcmpQuote)?;
        let ends = Inner {
            source: from.address,
            destination: prefix.embed(to.address),
            source_port: Some(from.port),
            destination_port: Some(to.port),
        };
        Ok((speaker((head.source == inner.destination).then_some(to.address))?, ends))
    }
}

/// Writes the addresses of the IPv6 header at the front of `bytes`.
fn put_addresses(bytes: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr) {
    let addresses = bytes.get_mut(8..LEN6).unwrap_or_default();
    for (place, octets) in addresses.chunks_exact_mut(16).zip([source.octets(), destination.octets()]) {
        place.copy_from_slice(&octets);
    }
}
