//! ICMPv4 (RFC 792): type numbers by their RFC names, and the checksum.

use crate::checksum::Checksum;
use crate::cursor::EmitError;

/// The IPv4 protocol number of ICMP (RFC 792).
pub const PROTOCOL: u8 = 1;

/// Echo Reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination Unreachable.
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo.
pub const ECHO: u8 = 8;
/// Time Exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter Problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Destination Unreachable: fragmentation needed and DF set (RFC 1191 section 4).
pub const FRAGMENTATION_NEEDED: u8 = 4;

/// Writes the checksum into the ICMP message `packet`, whatever stood in the field before.
///
/// # Errors
/// [`EmitError::BufferTooSmall`] when `packet` is too short to have a checksum field.
pub fn fill_checksum(packet: &mut [u8]) -> Result<(), EmitError> {
    *field(packet)? = [0, 0];
    let value = sum(packet);
    *field(packet)? = value.to_be_bytes();
    Ok(())
}

/// Whether the checksum inside the ICMP message `packet` is right.
pub fn verify_checksum(packet: &[u8]) -> bool {
    packet.len() >= 4 && sum(packet) == 0
}

fn sum(packet: &[u8]) -> u16 {
    let mut checksum = Checksum::new();
    checksum.add(packet);
    checksum.finish()
}

/// The checksum field: bytes 2 and 3 (RFC 792).
fn field(packet: &mut [u8]) -> Result<&mut [u8; 2], EmitError> {
    packet.get_mut(2..).and_then(|rest| rest.first_chunk_mut()).ok_or(EmitError::BufferTooSmall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_checksum_verifies_and_any_flipped_bit_does_not() {
        let mut packet = [ECHO, 0, 0xa5, 0xa5, 0x12, 0x34, 0, 1];
        fill_checksum(&mut packet).unwrap();
        // 0800 + 1234 + 0001, inverted
        assert_eq!(packet[2..4], [0xe5, 0xca]);
        assert!(verify_checksum(&packet));
        for bit in 0..packet.len() * 8 {
            packet[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_checksum(&packet), "bit {bit}");
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..4 {
            assert!(fill_checksum(&mut vec![0; length]).is_err());
            assert!(!verify_checksum(&vec![0; length]));
        }
    }
}
