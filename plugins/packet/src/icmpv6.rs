//! ICMPv6 (RFC 4443): type numbers by their RFC names, and the checksum field.
//!
//! The kernel fills and verifies the checksum of a raw ICMPv6 socket by itself (RFC 3542 section 3.1); whoever
//! writes packets to a tap device or an AF_PACKET socket calls [`fill_checksum`].

use crate::checksum::Checksum;
use crate::cursor::EmitError;
use std::net::Ipv6Addr;

/// The IPv6 next header number of ICMPv6 (RFC 4443 section 1).
pub const NEXT_HEADER: u8 = 58;

/// Destination Unreachable (RFC 4443 section 3.1).
pub const DESTINATION_UNREACHABLE: u8 = 1;
/// Packet Too Big (RFC 4443 section 3.2).
pub const PACKET_TOO_BIG: u8 = 2;
/// Time Exceeded (RFC 4443 section 3.3).
pub const TIME_EXCEEDED: u8 = 3;
/// Parameter Problem (RFC 4443 section 3.4).
pub const PARAMETER_PROBLEM: u8 = 4;
/// Echo Request (RFC 4443 section 4.1).
pub const ECHO_REQUEST: u8 = 128;
/// Echo Reply (RFC 4443 section 4.2).
pub const ECHO_REPLY: u8 = 129;
/// Router Solicitation (RFC 4861 section 4.1).
pub const ROUTER_SOLICITATION: u8 = 133;
/// Router Advertisement (RFC 4861 section 4.2).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Neighbor Solicitation (RFC 4861 section 4.3).
pub const NEIGHBOR_SOLICITATION: u8 = 135;
/// Neighbor Advertisement (RFC 4861 section 4.4).
pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// Redirect (RFC 4861 section 4.5).
pub const REDIRECT: u8 = 137;

/// Writes the checksum into the ICMPv6 message `packet`, whatever stood in the field before.
///
/// # Errors
/// [`EmitError::BufferTooSmall`] when `packet` is too short to have a checksum field.
pub fn fill_checksum(source: Ipv6Addr, destination: Ipv6Addr, packet: &mut [u8]) -> Result<(), EmitError> {
    *field(packet)? = [0, 0];
    let value = sum(source, destination, packet);
    *field(packet)? = value.to_be_bytes();
    Ok(())
}

/// Whether the checksum inside the ICMPv6 message `packet` is right.
pub fn verify_checksum(source: Ipv6Addr, destination: Ipv6Addr, packet: &[u8]) -> bool {
    packet.len() >= 4 && sum(source, destination, packet) == 0
}

fn sum(source: Ipv6Addr, destination: Ipv6Addr, packet: &[u8]) -> u16 {
    // Longer than 4 GiB cannot be an IPv6 payload; saturating keeps the function total.
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    let mut checksum = Checksum::ipv6_pseudo_header(source, destination, NEXT_HEADER, length);
    checksum.add(packet);
    checksum.finish()
}

/// The checksum field: bytes 2 and 3 (RFC 4443 section 2.1).
fn field(packet: &mut [u8]) -> Result<&mut [u8; 2], EmitError> {
    packet.get_mut(2..).and_then(|rest| rest.first_chunk_mut()).ok_or(EmitError::BufferTooSmall)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

    #[test]
    fn a_filled_checksum_verifies_and_any_flipped_bit_does_not() {
        let mut packet = [ROUTER_SOLICITATION, 0, 0xa5, 0xa5, 0, 0, 0, 0];
        fill_checksum(SOURCE, ALL_ROUTERS, &mut packet).unwrap();
        // fe80 + 1 + ff02 + 2 + 8 + 3a + 8500, folded and inverted
        assert_eq!(packet[2..4], [0x7d, 0x36]);
        assert!(verify_checksum(SOURCE, ALL_ROUTERS, &packet));
        for bit in 0..packet.len() * 8 {
            packet[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_checksum(SOURCE, ALL_ROUTERS, &packet), "bit {bit}");
            packet[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_packet_without_a_checksum_field_is_refused() {
        for length in 0..4 {
            assert!(fill_checksum(SOURCE, ALL_ROUTERS, &mut vec![0; length]).is_err());
            assert!(!verify_checksum(SOURCE, ALL_ROUTERS, &vec![0; length]));
        }
    }
}
