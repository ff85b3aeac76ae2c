//! Packets by hand, both families: made with right lengths and checksums, read back as they come out.
//!
//! Checksums are computed when bytes are made, so that a test may change any field first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// In the payload of every packet of a test, so that it is known wherever it comes out.
pub const MARKER: &[u8] = b"portreeve-probe!";

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
/// IPv6 in IPv4 (RFC 4213).
pub const IPV6: u8 = 41;
/// IPv6's fragment header (RFC 8200 section 4.5).
const FRAGMENT: u8 = 44;
pub const ESP: u8 = 50;
pub const ICMPV6: u8 = 58;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// An IP packet without options or extension headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub hop_limit: u8,
    /// From the transport header on.
    pub body: Vec<u8>,
}

/// Where a TCP segment stands in its connection.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
}

impl Packet {
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, protocol: u8, body: Vec<u8>) -> Self {
        Self { source: source.into(), destination: destination.into(), protocol, hop_limit: 64, body }
    }

    /// A datagram with the marker.
    pub fn udp(source: (impl Into<IpAddr>, u16), destination: (impl Into<IpAddr>, u16)) -> Self {
        let mut body = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
        body.extend(u16::try_from(8 + MARKER.len()).unwrap().to_be_bytes());
        body.extend([0, 0]);
        body.extend(MARKER);
        Self::new(source.0, destination.0, UDP, body)
    }

    /// A segment with the marker as its data (also in a SYN, where the receiver takes it for data to come).
    pub fn tcp(source: (impl Into<IpAddr>, u16), destination: (impl Into<IpAddr>, u16), at: At) -> Self {
        Self::tcp_with(source, destination, at, &[])
    }

    /// A SYN.
    pub fn syn(source: (impl Into<IpAddr>, u16), destination: (impl Into<IpAddr>, u16)) -> Self {
        Self::tcp(source, destination, At { flags: SYN, sequence: 1000, acknowledgement: 0 })
    }

    /// A segment with these options, a multiple of 4 bytes.
    pub fn tcp_with(
        source: (impl Into<IpAddr>, u16),
        destination: (impl Into<IpAddr>, u16),
        at: At,
        options: &[u8],
    ) -> Self {
        let mut body = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
        body.extend(at.sequence.to_be_bytes());
        body.extend(at.acknowledgement.to_be_bytes());
        let words = u8::try_from(5 + options.len() / 4).unwrap();
        body.extend([words << 4, at.flags, 0x40, 0, 0, 0, 0, 0]);
        body.extend(options);
        body.extend(MARKER);
        Self::new(source.0, destination.0, TCP, body)
    }

    /// An ICMP message of the addresses' family: identifier 7, sequence number 1, the marker.
    pub fn icmp(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, kind: u8, code: u8) -> Self {
        let (source, destination) = (source.into(), destination.into());
        let mut body = vec![kind, code, 0, 0, 0, 7, 0, 1];
        body.extend(MARKER);
        Self::new(source, destination, if source.is_ipv4() { ICMP } else { ICMPV6 }, body)
    }

    /// An ICMP error to the sender of `about`, with all of it. The second word is 1280, an MTU where it is one.
    pub fn error(source: impl Into<IpAddr>, kind: u8, code: u8, about: &Self) -> Self {
        let mut error = Self::icmp(source, about.source, kind, code);
        error.body.truncate(4);
        error.body.extend(1280_u32.to_be_bytes());
        error.body.extend(about.bytes());
        error
    }

    /// With another hop limit.
    #[must_use]
    pub fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    /// The answer's addresses and ports (or ICMP's identifier); the rest as it is.
    #[must_use]
    pub fn back(&self) -> Self {
        let mut back = self.clone();
        (back.source, back.destination) = (self.destination, self.source);
        if matches!(self.protocol, TCP | UDP) {
            back.body[..2].copy_from_slice(&self.body[2..4]);
            back.body[2..4].copy_from_slice(&self.body[..2]);
        }
        match (self.protocol, self.body[0]) {
            (ICMP, 8) => back.body[0] = 0,
            (ICMPV6, 128) => back.body[0] = 129,
            _ => {}
        }
        back
    }

    /// The same segment elsewhere in its connection.
    #[must_use]
    pub fn at(&self, at: At) -> Self {
        let mut other = self.clone();
        other.body[4..8].copy_from_slice(&at.sequence.to_be_bytes());
        other.body[8..12].copy_from_slice(&at.acknowledgement.to_be_bytes());
        other.body[13] = at.flags;
        other
    }

    /// Ports of source and destination.
    pub fn ports(&self) -> (u16, u16) {
        (word(&self.body, 0), word(&self.body, 2))
    }

    /// Where it comes from, with its port.
    pub fn from(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.ports().0)
    }

    /// Where it goes, with its port.
    pub fn to(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.ports().1)
    }

    /// Protocol, type and code of an ICMP message; TCP's protocol and flags; zeros for anything else.
    pub fn kind(&self) -> (u8, u8, u8) {
        match self.protocol {
            ICMP | ICMPV6 => (self.protocol, self.body[0], self.body[1]),
            TCP => (TCP, self.body[13], 0),
            other => (other, 0, 0),
        }
    }

    /// It carries the marker, or quotes it.
    pub fn is_ours(&self) -> bool {
        has_marker(&self.body)
    }

    /// As it is on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        let at = match self.protocol {
            TCP => Some(16),
            UDP => Some(6),
            ICMP | ICMPV6 => Some(2),
            _ => None,
        };
        let length = u16::try_from(body.len()).unwrap();
        if let Some(at) = at {
            body[at..at + 2].fill(0);
            let mut summed = Vec::new();
            if self.protocol != ICMP {
                summed.extend(octets(self.source));
                summed.extend(octets(self.destination));
                summed.extend(u32::from(length).to_be_bytes());
                summed.extend(u32::from(self.protocol).to_be_bytes());
            }
            summed.extend(&body);
            body[at..at + 2].copy_from_slice(&checksum(&summed).to_be_bytes());
        }
        let mut bytes = match self.source {
            IpAddr::V4(_) => {
                let mut header = vec![0x45, 0];
                header.extend((20 + length).to_be_bytes());
                header.extend([0, 0, 0x40, 0, self.hop_limit, self.protocol, 0, 0]);
                header.extend([octets(self.source), octets(self.destination)].concat());
                let sum = checksum(&header).to_be_bytes();
                header[10..12].copy_from_slice(&sum);
                header
            }
            IpAddr::V6(_) => {
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(length.to_be_bytes());
                header.extend([self.protocol, self.hop_limit]);
                header.extend([octets(self.source), octets(self.destination)].concat());
                header
            }
        };
        bytes.extend(body);
        bytes
    }

    /// Two fragments that are this datagram, which is cut so many bytes, a multiple of 8, behind its header.
    pub fn fragments(&self, first: usize) -> [Vec<u8>; 2] {
        let whole = self.bytes();
        let fragment = |range: std::ops::Range<usize>, offset: usize, more: bool| {
            let field = u16::try_from(offset).unwrap() | if more { 1 } else { 0 };
            let header = if self.source.is_ipv4() { 20 } else { 40 };
            let mut body = whole[header..][range].to_vec();
            if !self.source.is_ipv4() {
                body.splice(0..0, [&[self.protocol, 0][..], &field.to_be_bytes(), &77_u32.to_be_bytes()].concat());
                return Self { protocol: FRAGMENT, body, ..self.clone() }.bytes();
            }
            // Not of a protocol that has a checksum, when bytes are made.
            let mut bytes = Self { protocol: FRAGMENT, body, ..self.clone() }.bytes();
            let flags = (field & 1) << 13 | field >> 3;
            bytes[4..6].copy_from_slice(&77_u16.to_be_bytes());
            bytes[6..8].copy_from_slice(&flags.to_be_bytes());
            bytes[9] = self.protocol;
            bytes[10..12].fill(0);
            let sum = checksum(&bytes[..20]).to_be_bytes();
            bytes[10..12].copy_from_slice(&sum);
            bytes
        };
        [fragment(0..first, 0, true), fragment(first..self.body.len(), first, false)]
    }

    /// What came out; none if that is no packet of enough bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let v4 = |at: usize| Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?).into());
        let v6 = |at: usize| Some(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?).into());
        let (source, destination, protocol, hop_limit, header): (IpAddr, IpAddr, _, _, _) = match bytes.first()? >> 4 {
            4 => (v4(12)?, v4(16)?, bytes[9], bytes[8], usize::from(bytes[0] & 15) * 4),
            6 => (v6(8)?, v6(24)?, bytes[6], bytes[7], 40),
            _ => return None,
        };
        let body = bytes.get(header..)?.to_vec();
        (body.len() >= 8).then_some(Self { source, destination, protocol, hop_limit, body })
    }
}

/// Whether the marker is in there.
pub fn has_marker(bytes: &[u8]) -> bool {
    bytes.windows(MARKER.len()).any(|window| window == MARKER)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

#[test]
fn what_is_made_is_read_back_and_its_checksum_is_right() {
    let packet = Packet::udp((Ipv4Addr::new(192, 0, 2, 1), 7), (Ipv4Addr::new(192, 0, 2, 2), 9));
    let bytes = packet.bytes();
    let read = Packet::read(&bytes).unwrap();
    assert_eq!((read.from(), read.to()), ("192.0.2.1:7".parse().unwrap(), "192.0.2.2:9".parse().unwrap()));
    assert_eq!(checksum(&bytes[..20]), 0);
    let mut summed = [&bytes[12..20], &[0, UDP, 0, 24]].concat();
    summed.extend(&bytes[20..]);
    assert_eq!(checksum(&summed), 0);
    assert_eq!(Packet::read(&read.bytes()), Some(read));
}
