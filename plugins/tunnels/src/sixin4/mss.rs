//! Lowers the MSS option of TCP SYNs, so that neither side sends segments the tunnel does not take.

use portreeve_packet::checksum;
use portreeve_packet::tcp::{OPTION_END, OPTION_MSS, OPTION_NOP, SYN};
use portreeve_packet::{ipv6, tcp};

/// IPv6 and TCP header without options: what the MSS leaves out (RFC 9293 section 3.7.1, RFC 8200 section 8.3).
const HEADERS: u16 = 60;

/// Lowers the MSS of the IPv6 packet `packet`, where it is a SYN that has one, to what fits `mtu`.
///
/// With `partial` the checksum field does not cover the option yet and stays as it is.
pub(super) fn clamp(packet: &mut [u8], mtu: u16, partial: bool) {
    let Some((offset, at, old)) = find(packet) else { return };
    let limit = mtu.saturating_sub(HEADERS);
    if old <= limit {
        return;
    }
    let Some(segment) = packet.get_mut(offset..) else { return };
    if let Some(field) = field(segment, at) {
        *field = limit.to_be_bytes();
    }
    if partial {
        return;
    }
    // RFC 1624 wants the words as the sum sees them: swapped where the option stands at an odd place.
    let (old, new) = if at % 2 == 0 { (old, limit) } else { (old.swap_bytes(), limit.swap_bytes()) };
    if let Some(field) = field(segment, 16) {
        *field = checksum::update(u16::from_be_bytes(*field), old, new).to_be_bytes();
    }
}

/// The TCP header's offset, the MSS value's offset in it, and the value.
fn find(packet: &[u8]) -> Option<(usize, usize, u16)> {
    let upper = ipv6::upper_layer(packet).filter(|upper| upper.next_header == ipv6::TCP)?;
    let segment = packet.get(upper.offset..)?;
    if segment.get(13)? & SYN == 0 {
        return None;
    }
    let options = tcp::Header::parse(segment).ok()?.options;
    let mut at = 0;
    loop {
        let length = match *options.get(at)? {
            OPTION_END => return None,
            OPTION_NOP => 1,
            kind => {
                let length = usize::from(*options.get(at + 1)?);
                if kind == OPTION_MSS && length == 4 {
                    let value = options.get(at + 2..)?.first_chunk::<2>()?;
                    return Some((upper.offset, tcp::Header::MIN_LEN + at + 2, u16::from_be_bytes(*value)));
                }
                // An option shorter than its own head would never end the walk.
                (length >= 2).then_some(length)?
            }
        };
        at += length;
    }
}

/// Two bytes of `bytes`.
fn field(bytes: &mut [u8], at: usize) -> Option<&mut [u8; 2]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}
