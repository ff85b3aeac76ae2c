//! From IPv4 to IPv6 (RFC 7915 section 4.1).

use super::counters::Reason;
use super::fragments::{Ends, Key, Offer, Piece};
use super::headers::{FRAGMENT_LEN, Fragment, Head4, LEN4, LEN6, New6, is_right4};
use super::packet::Packet;
use super::settings::UdpZero;
use super::target::Target;
use super::transport::{self, Change, Layer, delta, layer4, word, words4, words6};
use super::{Beside, DataPath, Fate, Mode};
use crate::flow::Sessions;
use portreeve_packet::checksum::Delta;
use portreeve_packet::segment::put;
use portreeve_packet::vnet::NEEDS_CSUM;
use portreeve_packet::{icmpv4, icmpv6, ipv6};

/// Destination Unreachable, code "source route failed" (RFC 792).
const SOURCE_ROUTE_FAILED: u8 = 5;

impl<S: Sessions> DataPath<S> {
    /// Translates an IPv4 packet in its buffer.
    #[inline]
    pub(super) fn translate4(&mut self, packet: &mut Packet<'_>, beside: &mut Beside<'_>) -> Result<Fate, Reason> {
        let head = Head4::parse(packet.bytes())?;
        if !is_right4(packet.bytes().get(..head.transport).unwrap_or_default()) {
            return Err(Reason::Checksum);
        }
        let layer = layer4(&head, packet.behind(head.transport));
        self.check_ends4(&head, layer)?;
        packet.check_offload(head.transport, layer)?;
        if head.transport > LEN4 && head.has_source_route(packet.bytes()) {
            let error = (icmpv4::DESTINATION_UNREACHABLE, SOURCE_ROUTE_FAILED, 0);
            self.error4(packet, &head, layer, error, beside);
            return Err(Reason::SourceRoute);
        }
        if head.ttl <= 1 {
            self.error4(packet, &head, layer, (icmpv4::TIME_EXCEEDED, 0, 0), beside);
            return Err(Reason::HopLimit);
        }
        match layer {
            Layer::Short if head.fragment.is_some() => return Err(Reason::FragmentTiny),
            Layer::Short => return Err(Reason::Truncated),
            Layer::Message => return Err(Reason::IcmpType),
            Layer::Error if head.fragment.is_some() => return Err(Reason::IcmpFragment),
            Layer::Error => return self.quote4(packet, &head, beside),
            _ => {}
        }
        let Some(fragment) = head.fragment else {
            let behind = packet.behind(head.transport);
            let target = if self.settings.udp_zero == UdpZero::Drop && is_unsummed(layer, behind) {
                Err(Reason::UdpZero)
            } else {
                self.target4(&head, layer, behind, beside.now)
            };
            let target = match target {
                Ok(target) => target,
                Err(reason) => {
                    self.refused4(packet, &head, layer, reason, beside);
                    return Err(reason);
                }
            };
            let length = packet.len() - head.transport;
            return self.emit4(packet, &head, layer, &target, length, beside);
        };
        if packet.vnet.is_gso() || packet.vnet.needs_csum() {
            return Err(Reason::Malformed);
        }
        match &self.mode {
            Mode::Stateless(_) if head.protocol == icmpv4::PROTOCOL => Err(Reason::IcmpFragment),
            Mode::Stateless(_) => {
                let target = if is_unsummed(layer, packet.behind(head.transport)) {
                    Err(Reason::UdpZero)
                } else {
                    self.target4(&head, layer, &[], beside.now)
                };
                let target = target.inspect_err(|reason| self.refused4(packet, &head, layer, *reason, beside))?;
                self.emit4(packet, &head, layer, &target, 0, beside)
            }
            Mode::Stateful(_) => self.fragment4(packet, &head, layer, fragment, beside),
        }
    }

    /// A fragment, where only the first one has the ports (RFC 6146 section 3.4).
    fn fragment4(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head4,
        layer: Layer,
        fragment: Fragment,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        if head.protocol == ipv6::TCP && (1..20).contains(&fragment.offset) {
            return Err(Reason::FragmentTiny);
        }
        let key = Key { ends: Ends::Four(head.source, head.destination), id: fragment.id, protocol: head.protocol };
        let whole = head.protocol == icmpv4::PROTOCOL;
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
                self.emit4(packet, head, layer, &target, 0, beside)
            }
            Offer::First(length) => {
                let behind = packet.behind(head.transport);
                let target = if is_unsummed(layer, behind) {
                    Err(Reason::UdpZero)
                } else {
                    self.target4(head, layer, behind, beside.now)
                };
                let waiting = self.fragments.settle(key, target.ok().map(|target| target.ends));
                let target = target.inspect_err(|reason| self.refused4(packet, head, layer, *reason, beside))?;
                let length = length.map_or(0, usize::from);
                let fate = self.emit4(packet, head, layer, &target, length, beside);
                self.release(&waiting, beside);
                fate
            }
        }
    }

    /// Writes the packet as `target` says; `datagram` is the length of the transport header and all after it, fragments
    /// put together.
    #[inline]
    fn emit4(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head4,
        layer: Layer,
        target: &Target,
        datagram: usize,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        let Ends::Six(source, destination) = target.ends else { return Err(Reason::Untranslatable) };
        let protocol = head.protocol6().ok_or(Reason::Protocol)?;
        let (segment, count) = packet.segments(head.transport, layer);
        let headers = if head.fragment.is_some() { LEN6 + FRAGMENT_LEN } else { LEN6 };
        let segment = segment - head.transport + headers;
        let mut cut = false;
        if head.dont_fragment {
            if segment > usize::from(self.settings.effective_mtu6()) {
                let shrink = (headers - LEN4) as u16;
                let mtu = (self.settings.effective_mtu6() - shrink).min(self.settings.effective_mtu4());
                let error = (icmpv4::DESTINATION_UNREACHABLE, icmpv4::FRAGMENTATION_NEEDED, u32::from(mtu));
                self.error4(packet, head, layer, error, beside);
                return Err(Reason::TooBig);
            }
        } else if segment > usize::from(self.settings.fragment_mtu6()) {
            if packet.vnet.is_gso() {
                return self.split(packet, beside);
            }
            packet.complete_checksum()?;
            cut = true;
        }
        let zero = !packet.vnet.needs_csum() && is_unsummed(layer, packet.behind(head.transport));
        let new = words6(source, destination);
        let partial = packet.vnet.needs_csum();
        let is_gso = packet.vnet.is_gso();
        let behind = packet.behind_mut(head.transport);
        let mut change = Change {
            addresses: delta(&words4(head.source, head.destination), &new),
            source_port: target.source_port,
            destination_port: target.destination_port,
            partial,
        };
        match layer {
            Layer::Tcp => {
                change.tcp(behind);
                self.clamp(behind, partial);
            }
            Layer::Udp if zero && is_gso => {
                change.udp(behind);
                let length = Delta::new().with(datagram as u32).with(u32::from(ipv6::UDP));
                put(behind, 6, delta(&[], &new).and(length).partial(0));
                packet.vnet.flags |= NEEDS_CSUM;
                packet.vnet.csum_start = head.transport as u16;
                packet.vnet.csum_offset = 6;
            }
            Layer::Udp if zero => {
                change.udp(behind);
                transport::fill_udp6(source, destination, behind).ok_or(Reason::Malformed)?;
            }
            Layer::Udp => change.udp(behind),
            Layer::Echo => {
                change.addresses = delta(&[], &new);
                let pseudo = Delta::new().with(datagram as u32).with(u32::from(icmpv6::NEXT_HEADER));
                change.echo(behind, pseudo);
            }
            Layer::Other(Some(at)) => change.other(behind, at),
            _ => {}
        }
        self.counters.in_packets += count;
        self.counters.in_bytes += packet.len() as u64;
        self.count(packet, layer, head.fragment.is_some());
        let header = New6 {
            class: self.settings.class(head.tos),
            payload: (packet.len() - head.transport) as u16,
            protocol,
            hops: head.ttl - 1,
            source,
            destination,
        };
        if cut {
            self.cut(&header, head, packet.behind(head.transport), beside);
            return Ok(Fate::Taken);
        }
        match head.fragment {
            Some(fragment) => packet.replace(head.transport, &header.fragment_bytes(fragment))?,
            None => packet.replace(head.transport, &header.bytes())?,
        }
        Ok(Fate::InPlace)
    }
}

/// Whether it is a UDP header without a checksum (RFC 7915 section 4.5).
#[inline]
fn is_unsummed(layer: Layer, behind: &[u8]) -> bool {
    layer == Layer::Udp && word(behind, 6) == 0
}
