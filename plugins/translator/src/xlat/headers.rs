//! What the IP headers of a packet say, and writing those of the other family.
//!
//! Parsing takes any bytes. A header quoted in an ICMP error may announce more than is there, hence `length` beside the
//! bytes themselves.

use super::counters::Reason;
use portreeve_packet::checksum::Checksum;
use portreeve_packet::ipv6::{
    DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, Header as Ipv6Header, MAX_EXTENSION_HEADERS, ROUTING, TCP, UDP,
};
use portreeve_packet::{icmpv4, icmpv6, ipv4};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of an IPv4 header without options.
pub(super) const LEN4: usize = ipv4::Header::MIN_LEN;
/// Bytes of an IPv6 header.
pub(super) const LEN6: usize = Ipv6Header::LEN;
/// Bytes of a fragment header (RFC 8200 section 4.5).
pub(super) const FRAGMENT_LEN: usize = 8;

/// Authentication Header (RFC 4302).
const AUTHENTICATION: u8 = 51;
/// IGMP: of one link only, never translated (RFC 7915 section 4.2).
const IGMP: u8 = 2;

/// Loose and strict source route (RFC 791 section 3.1).
const SOURCE_ROUTES: [u8; 2] = [131, 137];

/// Which piece of a datagram a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Where it belongs, in bytes; a multiple of eight.
    pub(super) offset: u16,
    /// Whether others follow.
    pub(super) more: bool,
    /// The identification; of IPv4 sixteen bits.
    pub(super) id: u32,
}

impl Fragment {
    /// Whether there is no other piece (RFC 6946).
    pub(super) const fn is_atomic(self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// The headers of an IPv6 packet, up to the transport header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head6 {
    pub(super) class: u8,
    /// Bytes of the whole packet as its header has it.
    pub(super) length: usize,
    pub(super) hops: u8,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    /// Distance of the transport header from the start.
    pub(super) transport: usize,
    pub(super) protocol: u8,
    pub(super) fragment: Option<Fragment>,
    /// Where a routing header says that it is not done.
    pub(super) segments_left: Option<u16>,
}

/// The header of an IPv4 packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head4 {
    pub(super) tos: u8,
    /// Bytes of the whole packet as its header has it.
    pub(super) length: usize,
    pub(super) id: u16,
    pub(super) dont_fragment: bool,
    pub(super) ttl: u8,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    /// Bytes of the header with its options.
    pub(super) transport: usize,
    pub(super) protocol: u8,
    pub(super) fragment: Option<Fragment>,
}

impl Head6 {
    /// The headers at the front of `bytes`.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let fixed = bytes.first_chunk::<LEN6>().ok_or(Reason::Truncated)?;
        let [v, c, _, _, l0, l1, next, hops, addresses @ ..] = fixed;
        if v >> 4 != 6 {
            return Err(Reason::NotIp);
        }
        let (source, destination) = addresses.split_at(16);
        let mut head = Self {
            class: v << 4 | c >> 4,
            length: LEN6 + usize::from(u16::from_be_bytes([*l0, *l1])),
            hops: *hops,
            source: address6(source),
            destination: address6(destination),
            transport: LEN6,
            protocol: *next,
            fragment: None,
            segments_left: None,
        };
        if !matches!(*next, TCP | UDP | icmpv6::NEXT_HEADER) {
            head.walk(bytes)?;
        }
        Ok(head)
    }

    /// Steps over the extension headers (RFC 7915 section 5.1).
    #[cold]
    fn walk(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        for _ in 0..MAX_EXTENSION_HEADERS {
            if !matches!(self.protocol, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT) {
                return Ok(());
            }
            let header = bytes.get(self.transport..).and_then(|rest| rest.first_chunk::<8>());
            let [next, length, o0, o1, i0, i1, i2, i3] = *header.ok_or(Reason::Truncated)?;
            if self.fragment.is_some() {
                return Err(Reason::FragmentExtension);
            }
            match self.protocol {
                FRAGMENT => {
                    let word = u16::from_be_bytes([o0, o1]);
                    let id = u32::from_be_bytes([i0, i1, i2, i3]);
                    self.fragment = Some(Fragment { offset: word & !7, more: word & 1 != 0, id });
                    self.transport += FRAGMENT_LEN;
                    if next == AUTHENTICATION {
                        return Err(Reason::FragmentExtension);
                    }
                }
                kind => {
                    if kind == ROUTING && o1 != 0 && self.segments_left.is_none() {
                        self.segments_left = Some((self.transport + 3) as u16);
                    }
                    self.transport += (usize::from(length) + 1) * 8;
                }
            }
            self.protocol = next;
            if self.transport > bytes.len() || self.transport > self.length {
                return Err(Reason::Truncated);
            }
        }
        Err(Reason::Malformed)
    }

    /// What the protocol is called in IPv4; `None` for one that is not translated.
    pub(super) const fn protocol4(&self) -> Option<u8> {
        match self.protocol {
            icmpv6::NEXT_HEADER => Some(icmpv4::PROTOCOL),
            protocol if is_opaque(protocol) => Some(protocol),
            _ => None,
        }
    }
}

impl Head4 {
    /// The header at the front of `bytes`; its checksum is not looked at.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let fixed = bytes.first_chunk::<LEN4>().ok_or(Reason::Truncated)?;
        let [v, tos, l0, l1, i0, i1, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
        if v >> 4 != 4 {
            return Err(Reason::NotIp);
        }
        let transport = usize::from(v & 0xf) * 4;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if transport < LEN4 || length < transport {
            return Err(Reason::Malformed);
        }
        if bytes.len() < transport {
            return Err(Reason::Truncated);
        }
        let flags = u16::from_be_bytes([f0, f1]);
        let id = u16::from_be_bytes([i0, i1]);
        let fragment = (flags & 0x3fff != 0).then_some(Fragment {
            offset: (flags & 0x1fff) << 3,
            more: flags & 0x2000 != 0,
            id: u32::from(id),
        });
        Ok(Self {
            tos,
            length,
            id,
            dont_fragment: flags & 0x4000 != 0,
            ttl,
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            transport,
            protocol,
            fragment,
        })
    }

    /// Whether the options of the header in `bytes` have a source route that is not at its end (RFC 7915 section 4.1).
    pub(super) fn has_source_route(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes.get(LEN4..self.transport).unwrap_or_default();
        loop {
            rest = match rest {
                [] | [0, ..] => return false,
                [1, tail @ ..] => tail,
                [kind, length, tail @ ..] => {
                    let is_left = tail.first().is_some_and(|pointer| (4..=*length).contains(pointer));
                    if SOURCE_ROUTES.contains(kind) && is_left {
                        return true;
                    }
                    match usize::from(*length).checked_sub(2).and_then(|length| tail.get(length..)) {
                        Some(tail) => tail,
                        None => return false,
                    }
                }
                [_] => return false,
            };
        }
    }

    /// What the protocol is called in IPv6; `None` for one that is not translated.
    pub(super) const fn protocol6(&self) -> Option<u8> {
        match self.protocol {
            icmpv4::PROTOCOL => Some(icmpv6::NEXT_HEADER),
            protocol if is_opaque(protocol) => Some(protocol),
            _ => None,
        }
    }
}

/// Whether a protocol's number means the same in both families: not ICMP, not IGMP, no extension header.
const fn is_opaque(protocol: u8) -> bool {
    !matches!(
        protocol,
        icmpv4::PROTOCOL
            | IGMP
            | icmpv6::NEXT_HEADER
            | HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | DESTINATION_OPTIONS
            | 135
            | 139
            | 140
    )
}

/// An IPv4 header without options.
#[derive(Debug, Clone, Copy)]
pub(super) struct New4 {
    pub(super) tos: u8,
    pub(super) length: u16,
    pub(super) id: u16,
    /// DF, MF and the offset as they stand in the header.
    pub(super) flags: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
}

/// DF in the flags of an IPv4 header.
pub(super) const DONT_FRAGMENT: u16 = 0x4000;

impl New4 {
    /// Its bytes, with the checksum.
    #[inline]
    pub(super) fn bytes(&self) -> [u8; LEN4] {
        let words = [
            0x4500 | u32::from(self.tos),
            u32::from(self.length),
            u32::from(self.id),
            u32::from(self.flags),
            u32::from(self.ttl) << 8 | u32::from(self.protocol),
        ];
        let [source, destination] = [self.source.to_bits(), self.destination.to_bits()];
        let mut sum = words.iter().sum::<u32>();
        for address in [source, destination] {
            sum += (address >> 16) + (address & 0xffff);
        }
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        let [l0, l1] = self.length.to_be_bytes();
        let [i0, i1] = self.id.to_be_bytes();
        let [f0, f1] = self.flags.to_be_bytes();
        let [c0, c1] = (!(sum as u16)).to_be_bytes();
        let [s0, s1, s2, s3] = source.to_be_bytes();
        let [d0, d1, d2, d3] = destination.to_be_bytes();
        let (tos, ttl, protocol) = (self.tos, self.ttl, self.protocol);
        [0x45, tos, l0, l1, i0, i1, f0, f1, ttl, protocol, c0, c1, s0, s1, s2, s3, d0, d1, d2, d3]
    }
}

/// An IPv6 header, with a fragment header or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct New6 {
    pub(super) class: u8,
    /// Bytes after the headers.
    pub(super) payload: u16,
    pub(super) protocol: u8,
    pub(super) hops: u8,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
}

impl New6 {
    /// The bytes of the header, with `next` after it and `payload` bytes.
    #[inline]
    fn fixed(&self, next: u8, payload: u16) -> [u8; LEN6] {
        let mut bytes = [0; LEN6];
        let [l0, l1] = payload.to_be_bytes();
        let (head, addresses) = bytes.split_at_mut(8);
        head.copy_from_slice(&[0x60 | self.class >> 4, self.class << 4, 0, 0, l0, l1, next, self.hops]);
        let (source, destination) = addresses.split_at_mut(16);
        source.copy_from_slice(&self.source.octets());
        destination.copy_from_slice(&self.destination.octets());
        bytes
    }

    /// Its bytes without a fragment header.
    #[inline]
    pub(super) fn bytes(&self) -> [u8; LEN6] {
        self.fixed(self.protocol, self.payload)
    }

    /// Its bytes with the fragment header of `fragment` (RFC 7915 section 4.1).
    pub(super) fn fragment_bytes(&self, fragment: Fragment) -> [u8; LEN6 + FRAGMENT_LEN] {
        let mut bytes = [0; LEN6 + FRAGMENT_LEN];
        let (fixed, behind) = bytes.split_at_mut(LEN6);
        fixed.copy_from_slice(&self.fixed(FRAGMENT, self.payload.saturating_add(FRAGMENT_LEN as u16)));
        let [o0, o1] = (fragment.offset & !7 | u16::from(fragment.more)).to_be_bytes();
        let [i0, i1, i2, i3] = fragment.id.to_be_bytes();
        behind.copy_from_slice(&[self.protocol, 0, o0, o1, i0, i1, i2, i3]);
        bytes
    }
}

/// Whether the checksum of the IPv4 header `header` is right.
#[inline]
pub(super) fn is_right4(header: &[u8]) -> bool {
    let mut checksum = Checksum::new();
    checksum.add(header);
    checksum.finish() == 0
}

/// Sixteen bytes as an address.
#[inline]
fn address6(bytes: &[u8]) -> Ipv6Addr {
    bytes.first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}
