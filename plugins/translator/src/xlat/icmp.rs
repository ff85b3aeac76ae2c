//! Which ICMP error becomes which: the tables of RFC 7915 sections 4.2 and 5.2.

use super::settings::Settings;
use portreeve_packet::icmpv4::{self, FRAGMENTATION_NEEDED};
use portreeve_packet::{icmpv6, ipv6};

/// An ICMP error without the packet it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The four bytes after the checksum; the length of the quote (RFC 4884) is put in later.
    pub(super) rest: u32,
}

/// MTUs of old links (RFC 1191 section 7): what a router means that does not tell.
const PLATEAUS: [u16; 11] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

/// What one header is longer than the other.
const DIFFERENCE: u32 = 20;

/// What the pointer of ICMPv4 becomes (RFC 7915 section 4.2, figure 3).
const fn pointer6(pointer: u8) -> Option<u32> {
    Some(match pointer {
        0 => 0,
        1 => 1,
        2 | 3 => 4,
        8 => 7,
        9 => 6,
        12..=15 => 8,
        16..=19 => 24,
        _ => return None,
    })
}

/// What the pointer of ICMPv6 becomes (RFC 7915 section 5.2, figure 6).
const fn pointer4(pointer: u32) -> Option<u8> {
    Some(match pointer {
        0 => 0,
        1 => 1,
        4 | 5 => 2,
        6 => 9,
        7 => 8,
        8..=23 => 12,
        24..=39 => 16,
        _ => return None,
    })
}

/// The ICMPv6 error of an ICMPv4 one (RFC 7915 section 4.2) about a packet of `length` bytes; `None` where it is dropped.
pub(super) fn to6(kind: u8, code: u8, rest: [u8; 4], length: usize, settings: &Settings) -> Option<Error> {
    let [pointer, _, m0, m1] = rest;
    let unreachable = |code| Some(Error { kind: icmpv6::DESTINATION_UNREACHABLE, code, rest: 0 });
    match (kind, code) {
        (icmpv4::DESTINATION_UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => unreachable(0),
        // Protocol unreachable: an unknown next header, which is where the pointer points.
        (icmpv4::DESTINATION_UNREACHABLE, 2) => Some(Error { kind: icmpv6::PARAMETER_PROBLEM, code: 1, rest: 6 }),
        (icmpv4::DESTINATION_UNREACHABLE, 3) => unreachable(4),
        (icmpv4::DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED) => {
            let told = match u16::from_be_bytes([m0, m1]) {
                0 => PLATEAUS.into_iter().find(|plateau| usize::from(*plateau) < length).unwrap_or(68),
                mtu => mtu,
            };
            let here = u32::from(settings.effective_mtu6()).min(u32::from(settings.effective_mtu4()) + DIFFERENCE);
            let mtu = (u32::from(told) + DIFFERENCE).min(here).max(u32::from(ipv6::MINIMUM_MTU));
            Some(Error { kind: icmpv6::PACKET_TOO_BIG, code: 0, rest: mtu })
        }
        (icmpv4::DESTINATION_UNREACHABLE, 9 | 10 | 13 | 15) => unreachable(1),
        (icmpv4::TIME_EXCEEDED, code) => Some(Error { kind: icmpv6::TIME_EXCEEDED, code, rest: 0 }),
        (icmpv4::PARAMETER_PROBLEM, 0 | 2) => {
            Some(Error { kind: icmpv6::PARAMETER_PROBLEM, code: 0, rest: pointer6(pointer)? })
        }
        _ => None,
    }
}

/// The ICMPv4 error of an ICMPv6 one (RFC 7915 section 5.2); `None` where it is dropped.
pub(super) fn to4(kind: u8, code: u8, rest: [u8; 4], settings: &Settings) -> Option<Error> {
    let value = u32::from_be_bytes(rest);
    let unreachable = |code, rest| Some(Error { kind: icmpv4::DESTINATION_UNREACHABLE, code, rest });
    match (kind, code) {
        (icmpv6::DESTINATION_UNREACHABLE, 0 | 2 | 3) => unreachable(1, 0),
        (icmpv6::DESTINATION_UNREACHABLE, 1) => unreachable(10, 0),
        (icmpv6::DESTINATION_UNREACHABLE, 4) => unreachable(3, 0),
        (icmpv6::PACKET_TOO_BIG, _) => {
            let here = settings.effective_mtu4().min(settings.effective_mtu6() - DIFFERENCE as u16);
            // Less than every IPv6 link carries is nobody's MTU (RFC 8201 section 4).
            let mtu = (value.max(u32::from(ipv6::MINIMUM_MTU)) - DIFFERENCE).min(u32::from(here));
            unreachable(FRAGMENTATION_NEEDED, mtu)
        }
        (icmpv6::TIME_EXCEEDED, code) => Some(Error { kind: icmpv4::TIME_EXCEEDED, code, rest: 0 }),
        (icmpv6::PARAMETER_PROBLEM, 0) => {
            let pointer = pointer4(value)?;
            Some(Error { kind: icmpv4::PARAMETER_PROBLEM, code: 0, rest: u32::from(pointer) << 24 })
        }
        (icmpv6::PARAMETER_PROBLEM, 1) => unreachable(2, 0),
        _ => None,
    }
}

/// Whether an ICMPv6 error has the length of its quote in its first byte after the checksum, in eight bytes
/// (RFC 4884 section 4).
pub(super) const fn has_extensions6(kind: u8) -> bool {
    matches!(kind, icmpv6::DESTINATION_UNREACHABLE | icmpv6::TIME_EXCEEDED)
}

/// Whether an ICMPv4 error has the length of its quote in its second byte after the checksum, in four bytes
/// (RFC 4884 section 4).
pub(super) const fn has_extensions4(kind: u8) -> bool {
    matches!(kind, icmpv4::DESTINATION_UNREACHABLE | icmpv4::TIME_EXCEEDED | icmpv4::PARAMETER_PROBLEM)
}
