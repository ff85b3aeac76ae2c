//! From IPv6 to IPv4 (RFC 7915 section 5.1), and back to IPv6 where the destination is one of ours (hairpin).

use super::counters::Reason;
use super::fragments::{Ends, Key, Offer, Piece};
use super::headers::{DONT_FRAGMENT, Fragment, Head6, LEN4, New4};
use super::packet::Packet;
use super::target::Target;
use super::transport::{self, Change, Layer, delta, layer6, words4, words6};
use super::{Beside, DataPath, Fate, Mode};
use crate::flow::Sessions;
use portreeve_packet::checksum::Delta;
use portreeve_packet::{icmpv6, ipv6};
use std::net::Ipv4Addr;

/// IPv4 packets up to this may be fragmented; for larger ones the sender does Path MTU discovery (RFC 7915 section 5.1).
pub(super) const MAX_FRAGMENTABLE: usize = 1260;

impl<S: Sessions> DataPath<S> {
    /// Translates an IPv6 packet in its buffer.
    #[inline]
    pub(super) fn translate6(&mut self, packet: &mut Packet<'_>, beside: &mut Beside<'_>) -> Result<Fate, Reason> {
        let head = Head6::parse(packet.bytes())?;
        self.check_source6(head.source)?;
        let layer = layer6(&head, packet.behind(head.transport));
        let destination = match self.destination4(head.destination) {
            Ok(destination) => destination,
            Err(reason) => {
                self.refused6(packet, &head, layer, reason, beside);
                return Err(reason);
            }
        };
        packet.check_offload(head.transport, layer)?;
        if let Some(at) = head.segments_left {
            self.error6(packet, &head, layer, (icmpv6::PARAMETER_PROBLEM, 0, u32::from(at)), beside);
            return Err(Reason::RoutingHeader);
        }
        if head.hops <= 1 {
            self.error6(packet, &head, layer, (icmpv6::TIME_EXCEEDED, 0, 0), beside);
            return Err(Reason::HopLimit);
        }
        let fragment = head.fragment.filter(|fragment| !fragment.is_atomic());
        match layer {
            Layer::Short if fragment.is_some() => return Err(Reason::FragmentTiny),
            Layer::Short => return Err(Reason::Truncated),
            Layer::Message => return Err(Reason::IcmpType),
            Layer::Error if fragment.is_some() => return Err(Reason::IcmpFragment),
            Layer::Error => return self.quote6(packet, &head, destination, beside),
            _ => {}
        }
        let Some(fragment) = fragment else {
            let target = self.target6(&head, layer, packet.behind(head.transport), destination, beside.now);
            let target = match target {
                Ok(target) => target,
                Err(reason) => {
                    self.refused6(packet, &head, layer, reason, beside);
                    return Err(reason);
                }
            };
            let length = packet.len() - head.transport;
            return self.emit6(packet, &head, layer, &target, length, beside);
        };
        if packet.vnet.is_gso() || packet.vnet.needs_csum() {
            return Err(Reason::Malformed);
        }
        match &self.mode {
            Mode::Stateless(_) if head.protocol == icmpv6::NEXT_HEADER => Err(Reason::IcmpFragment),
            Mode::Stateless(_) => {
                let target = self.target6(&head, layer, &[], destination, beside.now);
                let target = target.inspect_err(|reason| self.refused6(packet, &head, layer, *reason, beside))?;
                self.emit6(packet, &head, layer, &target, 0, beside)
            }
            Mode::Stateful(_) => self.fragment6(packet, &head, layer, fragment, destination, beside),
        }
    }

    /// A fragment, where only the first one has the ports (RFC 6146 section 3.4).
    fn fragment6(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head6,
        layer: Layer,
        fragment: Fragment,
        destination: Ipv4Addr,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        if head.protocol == ipv6::TCP && (1..20).contains(&fragment.offset) {
            return Err(Reason::FragmentTiny);
        }
        let key = Key { ends: Ends::Six(head.source, head.destination), id: fragment.id, protocol: head.protocol };
        let whole = head.protocol == icmpv6::NEXT_HEADER;
        let piece = Piece { fragment, length: packet.len() - head.transport, whole };
        match self.fragments.offer(key, piece, packet.bytes(), self.releasing, beside.now)? {
            Offer::Held => {
                self.counters.fragments_held += 1;
                Ok(Fate::Taken)
            }
            Offer::Release(packets) => {
                self.release(&packets, beside);
                Ok(Fate::Taken)
            }
            Offer::Later(ends) => {
                let target = Target { ends, source_port: None, destination_port: None };
                self.emit6(packet, head, layer, &target, 0, beside)
            }
            Offer::First(length) => {
                let target = self.target6(head, layer, packet.behind(head.transport), destination, beside.now);
                let waiting = self.fragments.settle(key, target.ok().map(|target| target.ends));
                let target = target.inspect_err(|reason| self.refused6(packet, head, layer, *reason, beside))?;
                let length = length.map_or(0, usize::from);
                let fate = self.emit6(packet, head, layer, &target, length, beside);
                self.release(&waiting, beside);
                fate
            }
        }
    }

    /// Writes the packet as `target` says; `datagram` is the length of the transport header and all after it, fragments
    /// put together.
    #[inline]
    fn emit6(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head6,
        layer: Layer,
        target: &Target,
        datagram: usize,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        match target.ends {
            Ends::Four(source, destination) => {
                self.emit64(packet, head, layer, target, (source, destination, datagram), beside)
            }
            Ends::Six(source, destination) => {
                self.emit66(packet, head, layer, target, source, destination);
                Ok(Fate::InPlace)
            }
        }
    }

    #[inline]
    fn emit64(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head6,
        layer: Layer,
        target: &Target,
        (source, destination, datagram): (Ipv4Addr, Ipv4Addr, usize),
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        let protocol = head.protocol4().ok_or(Reason::Protocol)?;
        let (segment, count) = packet.segments(head.transport, layer);
        let segment = segment - head.transport + LEN4;
        let Ok(length) = u16::try_from(packet.len() - head.transport + LEN4) else {
            if packet.vnet.is_gso() {
                return self.split(packet, beside);
            }
            return Err(Reason::TooBig);
        };
        let (id, flags) = match head.fragment {
            Some(fragment) => (fragment.id as u16, fragment.offset >> 3 | u16::from(fragment.more) << 13),
            None if segment > MAX_FRAGMENTABLE => {
                if segment > usize::from(self.settings.effective_mtu4()) {
                    let mtu = self.settings.effective_mtu4().saturating_add(20).max(ipv6::MINIMUM_MTU);
                    self.error6(packet, head, layer, (icmpv6::PACKET_TOO_BIG, 0, u32::from(mtu)), beside);
                    return Err(Reason::TooBig);
                }
                (0, DONT_FRAGMENT)
            }
            None => {
                let id = self.next_id;
                self.next_id = id.wrapping_add(count as u16);
                (id, 0)
            }
        };
        self.counters.out_packets += count;
        self.counters.out_bytes += packet.len() as u64;
        self.count(packet, layer, head.fragment.is_some());
        let old = words6(head.source, head.destination);
        let partial = packet.vnet.needs_csum();
        let behind = packet.behind_mut(head.transport);
        let mut change = Change {
            addresses: delta(&old, &words4(source, destination)),
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
            Layer::Echo => {
                change.addresses = delta(&old, &[]);
                let pseudo = Delta::new().without(datagram as u32).without(u32::from(icmpv6::NEXT_HEADER));
                change.echo(behind, pseudo);
            }
            Layer::Other(Some(at)) => change.other(behind, at),
            _ => {}
        }
        let tos = self.settings.class(head.class);
        let header = New4 { tos, length, id, flags, ttl: head.hops - 1, protocol, source, destination };
        packet.replace(head.transport, &header.bytes())?;
        Ok(Fate::InPlace)
    }

    /// Lowers the MSS, if it is to be.
    #[inline]
    pub(super) fn clamp(&mut self, behind: &mut [u8], partial: bool) {
        let is_syn = behind.get(13).is_some_and(|flags| flags & portreeve_packet::tcp::SYN != 0);
        if is_syn && self.settings.mss_clamp && transport::clamp_mss(behind, self.settings.mss(), partial) {
            self.counters.mss_clamped += 1;
        }
    }

    /// Counts a translated frame.
    #[inline]
    pub(super) fn count(&mut self, packet: &Packet<'_>, layer: Layer, fragment: bool) {
        let counter = match layer {
            Layer::Tcp => &mut self.counters.tcp,
            Layer::Udp => &mut self.counters.udp,
            Layer::Echo => &mut self.counters.echo,
            Layer::Later => &mut self.counters.fragments,
            _ => &mut self.counters.other_protocols,
        };
        *counter += 1;
        self.counters.super_packets += u64::from(packet.vnet.is_gso());
        self.counters.fragments += u64::from(fragment && layer != Layer::Later);
    }
}
