//! What a network card would do: cutting large TCP and UDP packets of both families, completing checksums.
//!
//! A packet that needs its checksum completed carries the folded sum of the pseudo header in the field, made with the
//! length of the whole; each segment's is that one adjusted to its own length, as Linux does, so that a routing
//! header's final destination needs no attention here.

use crate::checksum::{Checksum, update};
use crate::vnet::{GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Vnet};
use crate::{ipv4, ipv6, tcp};

/// Segments below this would make a frame of 64 KiB explode; no TCP speaks of so few bytes.
pub const MIN_TCP_SEGMENT: usize = 8;
/// As many datagrams as Linux puts into one (`UDP_MAX_SEGMENTS`).
pub const MAX_DATAGRAMS: usize = 128;
/// Bytes of a UDP header (RFC 768).
const UDP_HEADER: usize = 8;

/// Why a packet cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The virtio header contradicts the packet, or the packet itself.
    Malformed,
    /// A datagram, or the headers alone, exceed the MTU.
    TooBig,
}

/// How one large packet becomes segments.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    /// Where the TCP or UDP header begins.
    transport: usize,
    /// Payload bytes of each segment but the last.
    size: usize,
    /// The pseudo header's sum over the whole length; `None` for UDP over IPv4 without checksum.
    partial: Option<u16>,
    tcp: Option<Tcp>,
    family: Family,
}

/// What changes from segment to segment.
#[derive(Debug, Clone, Copy)]
struct Tcp {
    sequence: u32,
    flags: u8,
}

#[derive(Debug, Clone, Copy)]
enum Family {
    V6,
    /// The identification counts up where packets may be fragmented (RFC 6864 section 4).
    V4 {
        identification: u16,
        counts: bool,
    },
}

/// How to cut the whole packet `packet`, IPv4 or IPv6, so that no segment exceeds `mtu`.
///
/// # Errors
/// [`Fault`] says why not.
pub fn plan<'a>(packet: &'a [u8], vnet: &Vnet, mtu: usize) -> Result<Plan<'a>, Fault> {
    let (transport, protocol, family) = upper(packet).ok_or(Fault::Malformed)?;
    if vnet.needs_csum() && usize::from(vnet.csum_start) != transport {
        return Err(Fault::Malformed);
    }
    let segment = packet.get(transport..).ok_or(Fault::Malformed)?;
    let (header_length, checksum_at, tcp) = match (vnet.gso_type & !GSO_ECN, protocol, family) {
        (GSO_TCPV6, ipv6::TCP, Family::V6) | (GSO_TCPV4, ipv6::TCP, Family::V4 { .. }) => {
            let header = tcp::Header::parse(segment).map_err(|_| Fault::Malformed)?;
            let tcp = Tcp { sequence: header.sequence, flags: header.flags };
            (header.buffer_len(), 16, Some(tcp))
        }
        (GSO_UDP_L4, ipv6::UDP, _) => (UDP_HEADER, 6, None),
        _ => return Err(Fault::Malformed),
    };
    let (headers, payload) = packet.split_at_checked(transport + header_length).ok_or(Fault::Malformed)?;
    let room = mtu.saturating_sub(headers.len());
    let mut size = usize::from(vnet.gso_size);
    if tcp.is_some() {
        // TCP does not mind smaller segments than it asked for; the sender learns nothing and need not.
        size = size.min(room);
        if room < MIN_TCP_SEGMENT {
            return Err(Fault::TooBig);
        }
        if size < MIN_TCP_SEGMENT {
            return Err(Fault::Malformed);
        }
    } else if size == 0 || payload.len().div_ceil(size) > MAX_DATAGRAMS {
        return Err(Fault::Malformed);
    } else if headers.len() + size.min(payload.len()) > mtu {
        return Err(Fault::TooBig);
    }
    let field = word(segment, checksum_at).ok_or(Fault::Malformed)?;
    let partial = if vnet.needs_csum() {
        Some(field)
    } else if field == 0 && tcp.is_none() && matches!(family, Family::V4 { .. }) {
        None
    } else {
        Some(pseudo_header(packet, protocol, segment.len()).ok_or(Fault::Malformed)?)
    };
    Ok(Plan { headers, payload, transport, size, partial, tcp, family })
}

/// Transport offset, protocol and family; `None` for fragments and what is no packet.
fn upper(packet: &[u8]) -> Option<(usize, u8, Family)> {
    if packet.first()? >> 4 == 4 {
        let header = ipv4::Header::parse(packet).ok().filter(|header| !header.is_fragment())?;
        let family = Family::V4 { identification: header.identification, counts: !header.dont_fragment };
        Some((header.buffer_len(), header.protocol, family))
    } else {
        let upper = ipv6::upper_layer(packet).filter(|upper| !upper.fragment)?;
        Some((upper.offset, upper.next_header, Family::V6))
    }
}

impl Plan<'_> {
    /// Appends the segments to `out`, each after what `before` appends for a packet of so many bytes; how many there
    /// were, and their bytes.
    pub fn write(&self, out: &mut Vec<u8>, mut before: impl FnMut(&mut Vec<u8>, usize)) -> (u64, u64) {
        let whole = self.headers.len() - self.transport + self.payload.len();
        let (mut packets, mut bytes) = (0_u16, 0);
        let mut rest = self.payload;
        let mut sequence = self.tcp.map_or(0, |tcp| tcp.sequence);
        loop {
            let (payload, next) = rest.split_at_checked(self.size).unwrap_or((rest, &[]));
            let length = self.headers.len() + payload.len();
            before(out, length);
            let start = out.len();
            out.extend_from_slice(self.headers);
            out.extend_from_slice(payload);
            if let Some(packet) = out.get_mut(start..) {
                self.finish_ip(packet, packets);
                if let Some(segment) = packet.get_mut(self.transport..) {
                    let partial = self.partial.map(|partial| adjusted(partial, whole, segment.len()));
                    match self.tcp {
                        Some(tcp) => {
                            let flags = tcp.flags & !ending(!next.is_empty()) & !following(packets > 0);
                            finish_tcp(segment, sequence, flags, partial.unwrap_or(0));
                        }
                        None => finish_udp(segment, partial),
                    }
                }
            }
            packets = packets.wrapping_add(1);
            bytes += length as u64;
            sequence = sequence.wrapping_add(payload.len() as u32);
            rest = next;
            if rest.is_empty() {
                return (u64::from(packets), bytes);
            }
        }
    }

    fn finish_ip(&self, packet: &mut [u8], number: u16) {
        let length = packet.len();
        match self.family {
            Family::V6 => put(packet, 4, (length - ipv6::Header::LEN) as u16),
            Family::V4 { identification, counts } => {
                put(packet, 2, length as u16);
                put(packet, 4, identification.wrapping_add(if counts { number } else { 0 }));
                put(packet, 10, 0);
                let value = sum(packet.get(..self.transport).unwrap_or_default());
                put(packet, 10, value);
            }
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

fn finish_udp(segment: &mut [u8], partial: Option<u16>) {
    put(segment, 4, segment.len() as u16);
    if let Some(partial) = partial {
        put(segment, 6, partial);
        let value = never_zero(sum(segment));
        put(segment, 6, value);
    }
}

/// Completes the checksum of the packet `packet`, which is written in place; `None` when the header points outside or
/// into the IP header.
pub fn complete(packet: &mut [u8], vnet: &Vnet) -> Option<()> {
    let start = usize::from(vnet.csum_start);
    let least = if packet.first()? >> 4 == 4 { ipv4::Header::MIN_LEN } else { ipv6::Header::LEN };
    let covered = packet.get_mut(start..).filter(|_| start >= least)?;
    let value = never_zero(sum(covered));
    *covered.get_mut(usize::from(vnet.csum_offset)..)?.first_chunk_mut::<2>()? = value.to_be_bytes();
    Some(())
}

/// The checksum over `bytes`.
fn sum(bytes: &[u8]) -> u16 {
    let mut checksum = Checksum::new();
    checksum.add(bytes);
    checksum.finish()
}

/// UDP has no checksum of zero (RFC 768), and the others read both zeros alike.
const fn never_zero(value: u16) -> u16 {
    if value == 0 { 0xffff } else { value }
}

/// The pseudo header's folded sum with `length` in place of `whole`.
const fn adjusted(partial: u16, whole: usize, length: usize) -> u16 {
    // A packet's length fits sixteen bits. The field is a sum, not its complement, hence both inversions.
    !update(!partial, whole as u16, length as u16)
}

/// The folded sum of the pseudo header of `packet`, of either family (RFC 8200 section 8.1, RFC 9293 section 3.1).
pub fn pseudo_header(packet: &[u8], protocol: u8, length: usize) -> Option<u16> {
    let addresses = if packet.first()? >> 4 == 4 { 12..ipv4::Header::MIN_LEN } else { 8..ipv6::Header::LEN };
    let mut checksum = Checksum::new();
    checksum.add(packet.get(addresses)?);
    checksum.add(&u32::try_from(length).ok()?.to_be_bytes());
    checksum.add(&[0, protocol]);
    Some(checksum.partial())
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|field| u16::from_be_bytes(*field))
}

/// Writes two bytes, big endian, where there is room for them.
pub fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TCP from 192.0.2.1 to 192.0.2.2, header without options, with 25 bytes of payload.
    fn large(dont_fragment: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 65, 0xff, 0xff, dont_fragment, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend([0, 80, 0, 81, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0x50, 0x99, 0, 1, 0, 0, 0, 0]);
        packet.extend(0..25);
        let partial = pseudo_header(&packet, 6, 45).unwrap();
        put(&mut packet, 36, partial);
        packet
    }

    const VNET: Vnet =
        Vnet { flags: 1, gso_type: GSO_TCPV4, hdr_len: 40, gso_size: 10, csum_start: 20, csum_offset: 16 };

    fn cut(packet: &[u8], vnet: &Vnet) -> Vec<Vec<u8>> {
        let (mut out, mut starts) = (Vec::new(), Vec::new());
        let plan = plan(packet, vnet, usize::MAX).unwrap();
        let (packets, bytes) = plan.write(&mut out, |out, length| starts.push(out.len()..out.len() + length));
        assert_eq!((packets, bytes), (starts.len() as u64, out.len() as u64));
        starts.into_iter().map(|range| out[range].to_vec()).collect()
    }

    #[test]
    fn segments_of_ipv4_have_their_own_sequence_flags_identification_and_checksums() {
        let segments = cut(&large(0), &VNET);
        assert_eq!(segments.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 45]);
        for (number, segment) in segments.iter().enumerate() {
            assert_eq!(segment[2..4], [0, segment.len() as u8]);
            assert_eq!(sum(&segment[..20]), 0);
            let mut checksum = Checksum::from_partial(pseudo_header(segment, 6, segment.len() - 20).unwrap());
            checksum.add(&segment[20..]);
            assert_eq!(checksum.finish(), 0);
            assert_eq!(segment[40], number as u8 * 10);
        }
        let ids: Vec<_> = segments.iter().map(|segment| [segment[4], segment[5]]).collect();
        assert_eq!(ids, [[0xff, 0xff], [0, 0], [0, 1]]);
        let sequences: Vec<_> = segments.iter().map(|segment| segment[27]).collect();
        assert_eq!(sequences, [0xf0, 0xfa, 0x04]);
        assert_eq!(segments[2][24..27], [0, 0, 0]);
        // CWR stays with the first, FIN and PSH with the last.
        assert_eq!(segments.iter().map(|segment| segment[33]).collect::<Vec<_>>(), [0x90, 0x10, 0x19]);
    }

    #[test]
    fn what_may_not_be_fragmented_keeps_its_identification() {
        assert!(cut(&large(0x40), &VNET).iter().all(|segment| segment[4..6] == [0xff, 0xff]));
    }

    #[test]
    fn a_datagram_over_ipv4_without_checksum_makes_datagrams_without() {
        let mut packet = large(0x40);
        packet[9] = 17;
        packet.truncate(20);
        packet.extend([0, 1, 0, 2, 0, 0x2d, 0, 0]);
        packet.extend([7; 37]);
        let vnet = Vnet { flags: 0, gso_type: GSO_UDP_L4, csum_start: 0, csum_offset: 0, ..VNET };
        let datagrams = cut(&packet, &vnet);
        assert_eq!(
            datagrams.iter().map(|d| [d[24], d[25], d[26], d[27]]).collect::<Vec<_>>(),
            [[0, 18, 0, 0], [0, 18, 0, 0], [0, 18, 0, 0], [0, 15, 0, 0]]
        );
    }

    #[test]
    fn a_virtio_header_that_does_not_fit_is_refused() {
        let packet = large(0);
        for vnet in [
            Vnet { gso_type: GSO_TCPV6, ..VNET },
            Vnet { gso_type: GSO_UDP_L4, ..VNET },
            Vnet { csum_start: 21, ..VNET },
            Vnet { gso_size: 7, ..VNET },
        ] {
            assert_eq!(plan(&packet, &vnet, 1500).err(), Some(Fault::Malformed));
        }
        assert_eq!(plan(&packet, &VNET, 47).err(), Some(Fault::TooBig));
        assert_eq!(plan(&packet[..30], &VNET, 1500).err(), Some(Fault::Malformed));
        let mut fragment = packet.clone();
        fragment[6] = 0x20;
        assert_eq!(plan(&fragment, &VNET, 1500).err(), Some(Fault::Malformed));
    }
}
