//! What a network card would do: cutting large TCP and UDP frames, completing checksums.
//!
//! A frame that needs its checksum completed carries the folded sum of the pseudo header in the field, made with the
//! length of the whole; each segment's is that one adjusted to its own length, as Linux does, so that a routing
//! header's final destination needs no attention here.

use super::counters::Reason;
use super::frame::{GSO_ECN, GSO_TCPV6, GSO_UDP_L4, Vnet};
use super::outer::{self, Outer};
use portreeve_packet::checksum::Checksum;
use portreeve_packet::{ipv6, tcp};

/// Segments below this would make a frame of 64 KiB explode; no TCP speaks of so few bytes.
const MIN_TCP_SEGMENT: usize = 8;
/// As many datagrams as Linux puts into one (`UDP_MAX_SEGMENTS`).
const MAX_DATAGRAMS: usize = 128;
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// How one large frame becomes segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    /// Where the TCP or UDP header begins.
    transport: usize,
    /// Payload bytes of each segment but the last.
    size: usize,
    /// The pseudo header's sum over the whole length.
    partial: u16,
    tcp: Option<Tcp>,
}

/// What changes from segment to segment.
#[derive(Debug, Clone, Copy)]
struct Tcp {
    sequence: u32,
    flags: u8,
}

/// How to cut the whole packet `packet` so that no segment exceeds `mtu`.
pub(super) fn plan<'a>(packet: &'a [u8], vnet: &Vnet, mtu: u16) -> Result<Plan<'a>, Reason> {
    let mtu = usize::from(mtu);
    let upper = ipv6::upper_layer(packet).filter(|upper| !upper.fragment).ok_or(Reason::Malformed)?;
    let transport = upper.offset;
    if vnet.needs_csum() && usize::from(vnet.csum_start) != transport {
        return Err(Reason::Malformed);
    }
    let segment = packet.get(transport..).ok_or(Reason::Malformed)?;
    let (header_length, checksum_at, tcp) = match (vnet.gso_type & !GSO_ECN, upper.next_header) {
        (GSO_TCPV6, ipv6::TCP) => {
            let header = tcp::Header::parse(segment).map_err(|_| Reason::Malformed)?;
            let tcp = Tcp { sequence: header.sequence, flags: header.flags };
            (header.buffer_len(), 16, Some(tcp))
        }
        (GSO_UDP_L4, ipv6::UDP) => (UDP_HEADER, 6, None),
        _ => return Err(Reason::Malformed),
    };
    let (headers, payload) = packet.split_at_checked(transport + header_length).ok_or(Reason::Malformed)?;
    let room = mtu.saturating_sub(headers.len());
    let mut size = usize::from(vnet.gso_size);
    if tcp.is_some() {
        // TCP does not mind smaller segments than it asked for; the sender learns nothing and need not.
        size = size.min(room);
        if room < MIN_TCP_SEGMENT {
            return Err(Reason::TooBig);
        }
        if size < MIN_TCP_SEGMENT {
            return Err(Reason::Malformed);
        }
    } else if size == 0 || payload.len().div_ceil(size) > MAX_DATAGRAMS {
        return Err(Reason::Malformed);
    } else if headers.len() + size.min(payload.len()) > mtu {
        return Err(Reason::TooBig);
    }
    let partial = if vnet.needs_csum() {
        segment.get(checksum_at..).and_then(|rest| rest.first_chunk()).map(|field| u16::from_be_bytes(*field))
    } else {
        pseudo_header(packet, upper.next_header, segment.len())
    };
    Ok(Plan { headers, payload, transport, size, partial: partial.ok_or(Reason::Malformed)?, tcp })
}

/// Appends the segments to `out`; how many there were, and their bytes.
pub(super) fn write(plan: &Plan<'_>, outer: &Outer, out: &mut Vec<u8>) -> (u64, u64) {
    let whole = plan.headers.len() - plan.transport + plan.payload.len();
    let (mut packets, mut bytes) = (0, 0);
    let mut rest = plan.payload;
    let mut sequence = plan.tcp.map_or(0, |tcp| tcp.sequence);
    loop {
        let (payload, next) = rest.split_at_checked(plan.size).unwrap_or((rest, &[]));
        let length = plan.headers.len() + payload.len();
        outer.begin(out, length);
        let start = out.len();
        out.extend_from_slice(plan.headers);
        out.extend_from_slice(payload);
        if let Some(segment) = out.get_mut(start..) {
            put(segment, 4, (length - ipv6::Header::LEN) as u16);
            if let Some(segment) = segment.get_mut(plan.transport..) {
                let partial = adjusted(plan.partial, whole, segment.len());
                match plan.tcp {
                    Some(tcp) => {
                        let flags = tcp.flags & !ending(!next.is_empty()) & !following(packets > 0);
                        finish_tcp(segment, sequence, flags, partial);
                    }
                    None => finish_udp(segment, partial),
                }
            }
        }
        packets += 1;
        bytes += length as u64;
        sequence = sequence.wrapping_add(payload.len() as u32);
        rest = next;
        if rest.is_empty() {
            return (packets, bytes);
        }
    }
}

/// Flags only the last segment keeps, when more follow.
const fn ending(more: bool) -> u8 {
    if more { tcp::FIN | tcp::PSH } else { 0 }
}

/// The flag only the first segment keeps (RFC 3168 section 6.1.2), when this is a later one.
const fn following(later: bool) -> u8 {
    if later { tcp::CWR } else { 0 }
}

fn finish_tcp(segment: &mut [u8], sequence: u32, flags: u8, partial: u16) {
    if let Some(field) = segment.get_mut(4..).and_then(|rest| rest.first_chunk_mut()) {
        *field = sequence.to_be_bytes();
    }
    if let Some(field) = segment.get_mut(13) {
        *field = flags;
    }
    put(segment, 16, partial);
    let value = sum(segment);
    put(segment, 16, value);
}

fn finish_udp(segment: &mut [u8], partial: u16) {
    put(segment, 4, segment.len() as u16);
    put(segment, 6, partial);
    let value = sum(segment);
    put(segment, 6, value);
}

/// Completes the checksum of the packet `packet`, which is written in place; `None` when the header points outside.
pub(super) fn complete(packet: &mut [u8], vnet: &Vnet) -> Option<()> {
    let start = usize::from(vnet.csum_start);
    let covered = packet.get_mut(start..).filter(|_| start >= ipv6::Header::LEN)?;
    let value = sum(covered);
    *covered.get_mut(usize::from(vnet.csum_offset)..)?.first_chunk_mut::<2>()? = value.to_be_bytes();
    Some(())
}

/// The checksum over `bytes`, never 0: UDP over IPv6 has no "absent", and TCP reads both zeros alike.
fn sum(bytes: &[u8]) -> u16 {
    let mut checksum = Checksum::new();
    checksum.add(bytes);
    match checksum.finish() {
        0 => 0xffff,
        value => value,
    }
}

/// The pseudo header's folded sum with `length` in place of `whole`.
const fn adjusted(partial: u16, whole: usize, length: usize) -> u16 {
    // A packet's length fits sixteen bits. The field is a sum, not its complement, hence both inversions.
    !portreeve_packet::checksum::update(!partial, whole as u16, length as u16)
}

/// The folded sum of the pseudo header of `packet` (RFC 8200 section 8.1).
pub(super) fn pseudo_header(packet: &[u8], next_header: u8, length: usize) -> Option<u16> {
    let mut checksum = Checksum::new();
    checksum.add(packet.get(8..ipv6::Header::LEN)?);
    checksum.add(&u32::try_from(length).ok()?.to_be_bytes());
    checksum.add(&[0, next_header]);
    Some(checksum.partial())
}

/// Writes two bytes where there is room for them.
pub(super) fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value.to_be_bytes();
    }
}

/// A frame that leaves must fit its outer header's total length.
const _: () = assert!(super::MAX_MTU as usize + outer::LEN <= u16::MAX as usize);
