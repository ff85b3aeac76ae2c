//! ICMP errors and the packets inside of them (RFC 7915 sections 4.3 and 5.3).
//!
//! An error is built anew and goes beside the batch: its length changes twice, and its checksum covers all of it. The
//! packet inside is translated like any other, but its hop limit stays, and it may be cut off. An error about an error
//! is dropped. Extensions (RFC 4884) are kept where the other family has them.

use super::counters::Reason;
use super::errors::{ERROR_HEAD, MAX_ERROR4, MAX_ERROR6, message};
use super::headers::{DONT_FRAGMENT, Head4, Head6, LEN4, LEN6, New4, New6};
use super::icmp::{self, has_extensions4, has_extensions6};
use super::out::MAX_FRAGMENTABLE;
use super::packet::Packet;
use super::transport::{Change, Layer, delta, identifier, layer4, layer6, ports, words4, words6};
use super::{Beside, DataPath, Fate, Mode};
use crate::flow::{Inbound, Outbound, Protocol, Sessions};
use portreeve_packet::checksum::Delta;
use portreeve_packet::{icmpv4, icmpv6, ipv6};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a quote is padded to when extensions follow (RFC 4884 section 4).
const MIN_QUOTE: usize = 128;

/// An ICMP message taken apart.
struct Parts<'a> {
    kind: u8,
    code: u8,
    rest: [u8; 4],
    quote: &'a [u8],
    extensions: &'a [u8],
}

/// How the packet inside is to change.
pub(super) struct Inner<A> {
    pub(super) source: A,
    pub(super) destination: A,
    pub(super) source_port: Option<u16>,
    pub(super) destination_port: Option<u16>,
}

impl<S: Sessions> DataPath<S> {
    /// Translates an ICMPv6 error, which is for `destination`.
    #[cold]
    pub(super) fn quote6(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head6,
        destination: Ipv4Addr,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        let bytes = packet.behind(head.transport);
        if !icmpv6::verify_checksum(head.source, head.destination, bytes) {
            return Err(Reason::Checksum);
        }
        let unit = |kind, [length, ..]: [u8; 4]| if has_extensions6(kind) { usize::from(length) * 8 } else { 0 };
        let parts = parts(bytes, unit).ok_or(Reason::Truncated)?;
        let inner = Head6::parse(parts.quote).map_err(|_| Reason::IcmpQuote)?;
        let behind = behind(parts.quote, inner.transport, inner.length);
        let layer = quoted(layer6(&inner, behind), inner.protocol, behind)?;
        if self.is_hairpin(head.destination, destination) {
            return self.quote66(packet, head, &inner, layer, destination, beside);
        }
        let error = icmp::to4(parts.kind, parts.code, parts.rest, &self.settings).ok_or(Reason::IcmpType)?;
        let (outer, ends) = self.inner4(head, &inner, layer, behind, destination, beside)?;
        let quote = self.inner64(&inner, layer, behind, &ends)?;
        let extensions = if has_extensions4(error.kind) { parts.extensions } else { &[] };
        let (quote, units) = assemble(quote, extensions, MAX_ERROR4 - LEN4 - ERROR_HEAD, 4);
        let header = New4 {
            tos: self.settings.class(head.class),
            length: (LEN4 + ERROR_HEAD + quote.len()) as u16,
            id: self.next_id,
            flags: 0,
            ttl: head.hops - 1,
            protocol: icmpv4::PROTOCOL,
            source: outer,
            destination,
        };
        self.next_id = self.next_id.wrapping_add(1);
        let mut out = Vec::with_capacity(MAX_ERROR4);
        out.extend_from_slice(&header.bytes());
        message(&mut out, error.kind, error.code, error.rest | u32::from(units) << 16, &quote);
        if let Some(message) = out.get_mut(LEN4..) {
            let _ = icmpv4::fill_checksum(message);
        }
        self.counters.out_packets += 1;
        self.counters.out_bytes += packet.len() as u64;
        self.counters.icmp_errors += 1;
        self.push_packet(beside, &out);
        Ok(Fate::Taken)
    }

    /// Who the ICMPv4 error is from, and the addresses of the packet inside.
    fn inner4(
        &self,
        head: &Head6,
        inner: &Head6,
        layer: Layer,
        behind: &[u8],
        destination: Ipv4Addr,
        beside: &Beside<'_>,
    ) -> Result<(Ipv4Addr, Inner<Ipv4Addr>), Reason> {
        let Mode::Stateful(sessions) = &self.mode else {
            // It went the other way.
            let ends = Inner {
                source: self.near4(inner.source).map_err(|_| Reason::IcmpQuote)?,
                destination: self.far4(inner.destination).map_err(|_| Reason::IcmpQuote)?,
                source_port: None,
                destination_port: None,
            };
            // RFC 6791: a router without an IPv4 address speaks with ours.
            let outer =
                self.far4(head.source).ok().or(self.source4(Some(head.source))).ok_or(Reason::Untranslatable)?;
            return Ok((outer, ends));
        };
        let remote = self.settings.prefix.extract(inner.source).filter(|remote| *remote == destination);
        let remote = remote.ok_or(Reason::IcmpQuote)?;
        let (protocol, source_port, destination_port) = turned(layer, behind)?;
        let source = inner.destination;
        let flow = Outbound { protocol, source, source_port, destination: remote, destination_port };
        let found = sessions.outbound_error(&flow, beside.now).ok_or(Reason::IcmpQuote)?;
        let outer =
            if head.source == inner.destination { Some(found.address) } else { self.source4(Some(head.source)) };
        let ends =
            Inner { source: remote, destination: found.address, source_port: None, destination_port: Some(found.port) };
        Ok((outer.ok_or(Reason::Untranslatable)?, ends))
    }

    /// The packet inside an ICMPv6 error as an IPv4 packet.
    fn inner64(&self, inner: &Head6, layer: Layer, behind: &[u8], ends: &Inner<Ipv4Addr>) -> Result<Vec<u8>, Reason> {
        let datagram = inner.length.saturating_sub(inner.transport);
        let length = u16::try_from(datagram + LEN4).map_err(|_| Reason::IcmpQuote)?;
        let (id, flags) = match inner.fragment {
            Some(fragment) => (fragment.id as u16, fragment.offset >> 3 | u16::from(fragment.more) << 13),
            // As it was when it was sent (RFC 7915 section 5.1).
            None if usize::from(length) > MAX_FRAGMENTABLE => (0, DONT_FRAGMENT),
            None => (0, 0),
        };
        let header = New4 {
            tos: self.settings.class(inner.class),
            length,
            id,
            flags,
            ttl: inner.hops,
            protocol: inner.protocol4().ok_or(Reason::IcmpQuote)?,
            source: ends.source,
            destination: ends.destination,
        };
        let old = words6(inner.source, inner.destination);
        let new = words4(ends.source, ends.destination);
        let pseudo = Delta::new().without(datagram as u32).without(u32::from(icmpv6::NEXT_HEADER));
        Ok(with_body(&header.bytes(), behind, layer, ends, delta(&old, &new), delta(&old, &[]).and(pseudo)))
    }

    /// Translates an ICMPv4 error.
    #[cold]
    pub(super) fn quote4(
        &mut self,
        packet: &mut Packet<'_>,
        head: &Head4,
        beside: &mut Beside<'_>,
    ) -> Result<Fate, Reason> {
        let bytes = packet.behind(head.transport);
        if !icmpv4::verify_checksum(bytes) {
            return Err(Reason::Checksum);
        }
        let unit = |kind, [_, length, ..]: [u8; 4]| if has_extensions4(kind) { usize::from(length) * 4 } else { 0 };
        let parts = parts(bytes, unit).ok_or(Reason::Truncated)?;
        let inner = Head4::parse(parts.quote).map_err(|_| Reason::IcmpQuote)?;
        let error = icmp::to6(parts.kind, parts.code, parts.rest, inner.length, &self.settings);
        let error = error.ok_or(Reason::IcmpType)?;
        let behind = behind(parts.quote, inner.transport, inner.length);
        let layer = quoted(layer4(&inner, behind), inner.protocol, behind)?;
        let (source, destination, ends) = self.inner6(head, &inner, layer, behind, beside)?;
        let quote = self.inner46(&inner, layer, behind, &ends)?;
        let extensions = if has_extensions6(error.kind) { parts.extensions } else { &[] };
        let (quote, units) = assemble(quote, extensions, MAX_ERROR6 - LEN6 - ERROR_HEAD, 8);
        let header = New6 {
            class: self.settings.class(head.tos),
            payload: (ERROR_HEAD + quote.len()) as u16,
            protocol: icmpv6::NEXT_HEADER,
            hops: head.ttl - 1,
            source,
            destination,
        };
        let mut out = Vec::with_capacity(MAX_ERROR6);
        out.extend_from_slice(&header.bytes());
        message(&mut out, error.kind, error.code, error.rest | u32::from(units) << 24, &quote);
        if let Some(message) = out.get_mut(LEN6..) {
            let _ = icmpv6::fill_checksum(source, destination, message);
        }
        self.counters.in_packets += 1;
        self.counters.in_bytes += packet.len() as u64;
        self.counters.icmp_errors += 1;
        self.push_packet(beside, &out);
        Ok(Fate::Taken)
    }

    /// Who the ICMPv6 error is from and for, and the addresses of the packet inside.
    fn inner6(
        &self,
        head: &Head4,
        inner: &Head4,
        layer: Layer,
        behind: &[u8],
        beside: &Beside<'_>,
    ) -> Result<(Ipv6Addr, Ipv6Addr, Inner<Ipv6Addr>), Reason> {
        // RFC 7915 section 4.1: whoever it is from.
        let named = !self.settings.explicit_only && !self.settings.own_explicit;
        let by_prefix = || named.then(|| self.settings.prefix.embed(head.source));
        let source = self.near6(head.source).ok().or_else(by_prefix).or(self.settings.source6);
        let source = source.ok_or(Reason::Untranslatable)?;
        let remote = |address| self.near6(address).map_err(|_| Reason::IcmpQuote);
        let Mode::Stateful(sessions) = &self.mode else {
            // It went the other way.
            let ends = Inner {
                source: self.far6(inner.source).map_err(|_| Reason::IcmpQuote)?,
                destination: remote(inner.destination)?,
                source_port: None,
                destination_port: None,
            };
            return Ok((source, self.far6(head.destination)?, ends));
        };
        if inner.source != head.destination {
            return Err(Reason::IcmpQuote);
        }
        let (protocol, destination_port, source_port) = turned_in(layer, behind)?;
        let flow =
            Inbound { protocol, source: inner.destination, source_port, destination: inner.source, destination_port };
        let found = sessions.inbound_error(&flow, beside.now).ok_or(Reason::IcmpQuote)?;
        let ends = Inner {
            source: found.address,
            destination: remote(inner.destination)?,
            source_port: Some(found.port),
            destination_port: None,
        };
        Ok((source, found.address, ends))
    }

    /// The packet inside an ICMPv4 error as an IPv6 packet.
    fn inner46(&self, inner: &Head4, layer: Layer, behind: &[u8], ends: &Inner<Ipv6Addr>) -> Result<Vec<u8>, Reason> {
        let datagram = inner.length - inner.transport;
        let header = New6 {
            class: self.settings.class(inner.tos),
            payload: datagram as u16,
            protocol: inner.protocol6().ok_or(Reason::IcmpQuote)?,
            hops: inner.ttl,
            source: ends.source,
            destination: ends.destination,
        };
        let old = words4(inner.source, inner.destination);
        let new = words6(ends.source, ends.destination);
        let pseudo = Delta::new().with(datagram as u32).with(u32::from(icmpv6::NEXT_HEADER));
        let echo = delta(&[], &new).and(pseudo);
        let addresses = delta(&old, &new);
        Ok(match inner.fragment {
            Some(fragment) => with_body(&header.fragment_bytes(fragment), behind, layer, ends, addresses, echo),
            None => with_body(&header.bytes(), behind, layer, ends, addresses, echo),
        })
    }
}

/// Takes an ICMP error apart; `length` says how long its quote is, 0 where it does not say.
fn parts(bytes: &[u8], length: impl Fn(u8, [u8; 4]) -> usize) -> Option<Parts<'_>> {
    let ([kind, code, _, _, rest @ ..], quote) = bytes.split_first_chunk::<ERROR_HEAD>()?;
    let length = length(*kind, *rest);
    let (quote, extensions) = match quote.split_at_checked(length) {
        Some((quote, extensions)) if length > 0 => (quote, extensions),
        _ => (quote, &[][..]),
    };
    Some(Parts { kind: *kind, code: *code, rest: *rest, quote, extensions })
}

/// What is behind the IP header of a quote, without the padding in front of extensions.
fn behind(quote: &[u8], transport: usize, length: usize) -> &[u8] {
    quote.get(transport..length.min(quote.len())).unwrap_or_default()
}

/// What is behind the IP header of a quote: eight bytes are enough (RFC 792).
fn quoted(layer: Layer, protocol: u8, behind: &[u8]) -> Result<Layer, Reason> {
    match layer {
        Layer::Short if protocol == ipv6::TCP && behind.len() >= 8 => Ok(Layer::Tcp),
        // RFC 7915 sections 4.3 and 5.3: no error about an error.
        Layer::Short | Layer::Error | Layer::Message => Err(Reason::IcmpQuote),
        layer => Ok(layer),
    }
}

/// Protocol, source port and destination port of the flow that answers the quoted packet.
pub(super) fn turned(layer: Layer, behind: &[u8]) -> Result<(Protocol, u16, u16), Reason> {
    let protocol = layer.protocol().ok_or(Reason::IcmpQuote)?;
    Ok(match layer {
        Layer::Echo => (protocol, identifier(behind), 0),
        _ => {
            let (source, destination) = ports(behind);
            (protocol, destination, source)
        }
    })
}

/// Protocol, and the ports that the quoted packet came from and went to.
fn turned_in(layer: Layer, behind: &[u8]) -> Result<(Protocol, u16, u16), Reason> {
    let protocol = layer.protocol().ok_or(Reason::IcmpQuote)?;
    Ok(match layer {
        Layer::Echo => (protocol, identifier(behind), 0),
        _ => {
            let (source, destination) = ports(behind);
            (protocol, source, destination)
        }
    })
}

pub(super) fn change<A>(ends: &Inner<A>, addresses: Delta) -> Change {
    Change { addresses, source_port: ends.source_port, destination_port: ends.destination_port, partial: false }
}

/// A header and the changed bytes behind it; `echo` is the change under the checksum of an echo message.
fn with_body<A>(header: &[u8], behind: &[u8], layer: Layer, ends: &Inner<A>, addresses: Delta, echo: Delta) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(header.len() + behind.len());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(behind);
    let change = change(ends, addresses);
    if let Some(body) = bytes.get_mut(header.len()..) {
        match layer {
            Layer::Tcp => change.tcp(body),
            Layer::Udp => change.udp(body),
            Layer::Echo => Change { addresses: Delta::new(), ..change }.echo(body, echo),
            Layer::Other(Some(at)) => change.other(body, at),
            _ => {}
        }
    }
    bytes
}

/// The quote with its extensions in at most `room` bytes, and how many `unit`s it has; 0 without extensions
/// (RFC 4884 section 4).
fn assemble(mut quote: Vec<u8>, extensions: &[u8], room: usize, unit: usize) -> (Vec<u8>, u8) {
    let left = room.saturating_sub(extensions.len()) / unit * unit;
    if extensions.is_empty() || left < MIN_QUOTE {
        quote.truncate(room);
        return (quote, 0);
    }
    quote.truncate(left);
    let length = quote.len().next_multiple_of(unit).max(MIN_QUOTE);
    quote.resize(length, 0);
    quote.extend_from_slice(extensions);
    (quote, u8::try_from(length / unit).unwrap_or(0))
}
