//! A slow, obvious translation written from RFC 7915: whole packets with right checksums go in, new packets are built
//! from nothing, and every checksum is computed over all bytes. It shares no code with what it judges.
//!
//! Hosts are 2001:db8:1::X and 192.0.2.X; with sessions their ports (and identifiers) are others on the IPv4 side. Both
//! MTUs are 1500.

use super::build::{HOST, Ip4, Ip6, PORT_KEY, Pseudo, embedded, fragment, sum};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a packet is translated.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// With sessions, ports change.
    pub stateful: bool,
    /// Whether the IPv6 host is the one it is from.
    pub host_is_source: bool,
    /// Whether it is the one inside an ICMP error: its hop limit stays.
    pub inner: bool,
}

pub fn map4(address: Ipv6Addr) -> Ipv4Addr {
    let octets = address.octets();
    if octets[..15] == HOST.octets()[..15] {
        Ipv4Addr::new(192, 0, 2, octets[15])
    } else {
        Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15])
    }
}

pub fn map6(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets();
    if [a, b, c] == [192, 0, 2] && d < 16 {
        Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, d.into())
    } else {
        embedded(address)
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn xor16(bytes: &mut [u8], at: usize, key: u16) {
    let value = be16(bytes, at) ^ key;
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// RFC 9293 section 3.7.1: the MSS fits both sides.
fn clamp(segment: &mut [u8]) {
    if segment[13] & 2 == 0 {
        return;
    }
    let end = usize::from(segment[12] >> 4) * 4;
    let mut at = 20;
    while at < end {
        match segment[at] {
            0 => return,
            1 => at += 1,
            2 if at + 4 <= end && segment[at + 1] == 4 => {
                let mss = be16(segment, at + 2).min(1440);
                segment[at + 2..at + 4].copy_from_slice(&mss.to_be_bytes());
                return;
            }
            _ if at + 1 < end && segment[at + 1] >= 2 => at += usize::from(segment[at + 1]),
            _ => return,
        }
    }
}

/// The transport header and what follows, for other addresses; `six` says whether these are IPv6.
fn body(protocol: u8, payload: &[u8], ends: Pseudo, rules: Rules) -> Vec<u8> {
    let six = matches!(ends, Pseudo::Six(..));
    let mut bytes = payload.to_vec();
    let key = if rules.stateful { PORT_KEY } else { 0 };
    let port_at = if rules.host_is_source { 0 } else { 2 };
    match protocol {
        6 => {
            xor16(&mut bytes, port_at, key);
            if !rules.inner {
                clamp(&mut bytes);
            }
            bytes[16..18].fill(0);
            let value = sum(&[&ends.bytes(6, bytes.len()), &bytes]);
            bytes[16..18].copy_from_slice(&value.to_be_bytes());
        }
        17 => {
            xor16(&mut bytes, port_at, key);
            // RFC 7915 section 4.5; no checksum stays none on the way to IPv4, and inside of errors.
            if bytes[6..8] != [0, 0] || six && !rules.inner {
                bytes[6..8].fill(0);
                let value = match sum(&[&ends.bytes(17, bytes.len()), &bytes]) {
                    0 => 0xffff,
                    value => value,
                };
                bytes[6..8].copy_from_slice(&value.to_be_bytes());
            }
        }
        1 | 58 => {
            bytes[0] = match bytes[0] {
                8 => 128,
                0 => 129,
                128 => 8,
                129 => 0,
                other => panic!("no echo: {other}"),
            };
            xor16(&mut bytes, 4, key);
            bytes[2..4].fill(0);
            let pseudo = if six { ends.bytes(58, bytes.len()) } else { Vec::new() };
            let value = sum(&[&pseudo, &bytes]);
            bytes[2..4].copy_from_slice(&value.to_be_bytes());
        }
        _ => {}
    }
    bytes
}

/// An IPv6 packet without fragment header as IPv4 (RFC 7915 section 5.1).
pub fn six_to_four(packet: &[u8], rules: Rules) -> Vec<u8> {
    let source = Ipv6Addr::from(<[u8; 16]>::try_from(&packet[8..24]).unwrap());
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(&packet[24..40]).unwrap());
    let (mut next, mut at) = (packet[6], 40);
    while [0, 43, 60].contains(&next) {
        next = packet[at];
        at += usize::from(packet[at + 1]) * 8 + 8;
    }
    let (source, destination) = (map4(source), map4(destination));
    let payload = body(next, &packet[at..], Pseudo::Four(source, destination), rules);
    let may_be_fragmented = payload.len() + 20 <= 1260;
    Ip4 {
        tos: packet[0] << 4 | packet[1] >> 4,
        id: 0,
        flags: if may_be_fragmented { 0 } else { 0x4000 },
        ttl: packet[7] - u8::from(!rules.inner),
        protocol: if next == 58 { 1 } else { next },
        source,
        destination,
        options: Vec::new(),
    }
    .packet(&payload)
}

/// An IPv4 packet that is no fragment as IPv6 (RFC 7915 section 4.1), in pieces where it may be fragmented and has to be.
pub fn four_to_six(packet: &[u8], rules: Rules) -> Vec<Vec<u8>> {
    let source = map6(Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]));
    let destination = map6(Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]));
    let protocol = if packet[9] == 1 { 58 } else { packet[9] };
    let header = usize::from(packet[0] & 15) * 4;
    let payload = body(packet[9], &packet[header..], Pseudo::Six(source, destination), rules);
    let ip = Ip6 {
        class: packet[1],
        label: 0,
        hops: packet[8] - u8::from(!rules.inner),
        next: protocol,
        source,
        destination,
    };
    if rules.inner || packet[6] & 0x40 != 0 || payload.len() + 40 <= 1280 {
        return vec![ip.packet(&payload)];
    }
    let ip = Ip6 { next: 44, ..ip };
    let id = u32::from(be16(packet, 4));
    let count = payload.len().div_ceil(1232);
    let piece =
        |(n, piece): (usize, &[u8])| ip.packet(&fragment(protocol, (n * 1232) as u16, n + 1 < count, id, piece));
    payload.chunks(1232).enumerate().map(piece).collect()
}

/// An ICMP error: its fields, the whole packet it is about, how much of that it quotes, and extensions (RFC 4884).
#[derive(Debug, Clone)]
pub struct ErrorParts {
    pub kind: u8,
    pub code: u8,
    pub rest: [u8; 4],
    pub about: Vec<u8>,
    pub cut: usize,
    pub extensions: Vec<u8>,
}

impl ErrorParts {
    /// The quote as the message has it, and its length in `unit`s, 0 without extensions.
    pub fn quote(&self, unit: usize) -> (Vec<u8>, u8) {
        padded(self.about[..self.cut.min(self.about.len())].to_vec(), &self.extensions, unit, usize::MAX)
    }
}

fn padded(mut quote: Vec<u8>, extensions: &[u8], unit: usize, room: usize) -> (Vec<u8>, u8) {
    if extensions.is_empty() {
        quote.truncate(room);
        return (quote, 0);
    }
    quote.truncate((room - extensions.len()) / unit * unit);
    while quote.len() < 128 || !quote.len().is_multiple_of(unit) {
        quote.push(0);
    }
    let length = (quote.len() / unit) as u8;
    quote.extend(extensions);
    (quote, length)
}

/// RFC 7915 section 4.2, by rows: IPv4 type and code, IPv6 type and code.
pub const ROWS4: [(u8, u8, u8, u8); 19] = [
    (3, 0, 1, 0),
    (3, 1, 1, 0),
    (3, 2, 4, 1),
    (3, 3, 1, 4),
    (3, 4, 2, 0),
    (3, 5, 1, 0),
    (3, 6, 1, 0),
    (3, 7, 1, 0),
    (3, 8, 1, 0),
    (3, 9, 1, 1),
    (3, 10, 1, 1),
    (3, 11, 1, 0),
    (3, 12, 1, 0),
    (3, 13, 1, 1),
    (3, 15, 1, 1),
    (11, 0, 3, 0),
    (11, 1, 3, 1),
    (12, 0, 4, 0),
    (12, 2, 4, 0),
];

/// RFC 7915 section 5.2, by rows: IPv6 type and code, IPv4 type and code.
pub const ROWS6: [(u8, u8, u8, u8); 10] = [
    (1, 0, 3, 1),
    (1, 1, 3, 10),
    (1, 2, 3, 1),
    (1, 3, 3, 1),
    (1, 4, 3, 3),
    (2, 0, 3, 4),
    (3, 0, 11, 0),
    (3, 1, 11, 1),
    (4, 0, 12, 0),
    (4, 1, 3, 2),
];

/// RFC 7915 figure 3: pointers of IPv4, of IPv6.
pub const POINTERS4: [(u8, u8); 14] = [
    (0, 0),
    (1, 1),
    (2, 4),
    (3, 4),
    (8, 7),
    (9, 6),
    (12, 8),
    (13, 8),
    (14, 8),
    (15, 8),
    (16, 24),
    (17, 24),
    (18, 24),
    (19, 24),
];

/// The message of an ICMPv4 error from `source` to `destination`, already IPv6; `None` where it is dropped.
pub fn error_to_six(error: &ErrorParts, source: Ipv6Addr, destination: Ipv6Addr, stateful: bool) -> Option<Vec<u8>> {
    let (_, _, kind, code) = *ROWS4.iter().find(|row| (row.0, row.1) == (error.kind, error.code))?;
    let mut rest = [0; 4];
    match (error.kind, error.code) {
        (3, 2) => rest[3] = 6,
        (3, 4) => {
            let mut mtu = be16(&error.rest, 2);
            if mtu == 0 {
                let length = be16(&error.about, 2);
                let plateaus = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];
                mtu = plateaus.into_iter().find(|plateau| *plateau < length).unwrap_or(68);
            }
            let mtu = (u32::from(mtu) + 20).clamp(1280, 1500);
            rest = mtu.to_be_bytes();
        }
        (12, _) => rest[3] = POINTERS4.iter().find(|row| row.0 == error.rest[0])?.1,
        _ => {}
    }
    let rules = Rules { stateful, host_is_source: true, inner: true };
    let mut inner = four_to_six(&error.about, rules).remove(0);
    let header = usize::from(error.about[0] & 15) * 4;
    inner.truncate(error.cut - header + 40);
    let extensions: &[u8] = if [1, 3].contains(&kind) { &error.extensions } else { &[] };
    let (quote, length) = padded(inner, extensions, 8, 1232);
    rest[0] |= length;
    Some(super::build::icmp6(Pseudo::Six(source, destination), kind, code, rest, &quote))
}

/// The message of an ICMPv6 error as ICMPv4; `None` where it is dropped.
pub fn error_to_four(error: &ErrorParts, stateful: bool) -> Option<Vec<u8>> {
    let (_, _, kind, code) = *ROWS6.iter().find(|row| (row.0, row.1) == (error.kind, error.code))?;
    let mut rest = [0; 4];
    let value = u32::from_be_bytes(error.rest);
    match (error.kind, error.code) {
        (2, 0) => rest[2..].copy_from_slice(&((value.max(1280) - 20).min(1480) as u16).to_be_bytes()),
        (4, 0) => {
            rest[0] = match value {
                0 => 0,
                1 => 1,
                4 | 5 => 2,
                6 => 9,
                7 => 8,
                8..24 => 12,
                24..40 => 16,
                _ => return None,
            }
        }
        _ => {}
    }
    let rules = Rules { stateful, host_is_source: false, inner: true };
    let mut inner = six_to_four(&error.about, rules);
    // Extension headers of the packet inside are left out.
    let behind = inner.len() - 20;
    inner.truncate(20 + behind.saturating_sub(error.about.len() - error.cut));
    let (quote, length) = padded(inner, &error.extensions, 4, 548);
    rest[1] |= length;
    Some(super::build::icmp4(kind, code, rest, &quote))
}
