//! Which addresses may come out of a tunnel (RFC 3964 section 5, RFC 4213 section 3.6), and how deep tunnels may nest.
//!
//! Who may send through the tunnel is another question: [`super::Remote::accepts`].

use portreeve_packet::ipv6;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How many headers of encapsulation a packet may already have before it is taken for one that loops.
const MAX_NESTING: usize = 4;

/// Whether no host can be at `address`: "this network", loopback, multicast and the limited broadcast.
pub(super) const fn is_outer_martian(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first == 0 || first == 127 || first & 0xf0 == 224 || address.is_broadcast()
}

/// Whether a 6to4 address of `address` cannot exist: an address that is not a public host's.
pub(super) const fn is_6to4_martian(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_link_local()
        || first == 0
        || first == 127
        || first >= 224
        || (first == 100 && second & 0xc0 == 64)
}

/// Whether a packet from `source` to `destination` has no business in a tunnel.
///
/// A link-local source may ask for a global destination: so does neighbour unreachability detection (RFC 4861 section
/// 7.3), and the kernel forwards no such packet.
pub(super) fn is_inner_martian(source: Ipv6Addr, destination: Ipv6Addr) -> bool {
    source.is_multicast() || is_special(source) || is_special(destination)
}

/// Unspecified, loopback, IPv4-compatible, IPv4-mapped, or a 6to4 address of a martian.
fn is_special(address: Ipv6Addr) -> bool {
    let [high @ .., _, _] = address.segments();
    let [s0, s1, s2, ..] = high;
    match high {
        // ::, ::1 and IPv4-compatible; IPv4-mapped
        [0, 0, 0, 0, 0, 0 | 0xffff] => true,
        _ => s0 == 0x2002 && is_6to4_martian(Ipv4Addr::from_bits(u32::from(s1) << 16 | u32::from(s2))),
    }
}

/// Whether the IPv6 packet `packet` is encapsulated in others more often than any honest path does.
pub(super) fn is_nested_too_deep(packet: &[u8]) -> bool {
    let mut rest = packet;
    for _ in 0..=MAX_NESTING {
        let (protocol, offset) = match rest.first().map(|first| first >> 4) {
            Some(6) => match ipv6::upper_layer(rest) {
                Some(found) => (found.next_header, found.offset),
                None => return false,
            },
            Some(4) => match (rest.first(), rest.get(9)) {
                (Some(first), Some(protocol)) => (*protocol, usize::from(first & 0xf) * 4),
                _ => return false,
            },
            _ => return false,
        };
        if protocol != ipv6::IPV6 && protocol != ipv6::IPV4 {
            return false;
        }
        match rest.get(offset..) {
            // Without progress there is no end either: an IPv4 header of no length.
            Some(inner) if offset > 0 => rest = inner,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "2001:db8::1";

    fn martian(source: &str, destination: &str) -> bool {
        is_inner_martian(source.parse().unwrap(), destination.parse().unwrap())
    }

    #[test]
    fn special_addresses_are_refused_as_source_and_as_destination() {
        for special in ["::", "::1", "::192.0.2.1", "::ffff:192.0.2.1"] {
            assert!(martian(special, HOST), "from {special}");
            assert!(martian(HOST, special), "to {special}");
        }
        assert!(martian("ff02::1", HOST));
        assert!(!martian(HOST, "ff02::1"));
        assert!(!martian(HOST, "64:ff9b::1"));
    }

    #[test]
    fn six_to_four_addresses_of_martians_are_refused_and_public_ones_pass() {
        let martians = [
            "2002:a00:1::",
            "2002:ac10::",
            "2002:ac1f:ffff::",
            "2002:c0a8:1::",
            "2002:7f00:1::",
            "2002::",
            "2002:a9fe::",
            "2002:e000:1::",
            "2002:f000::",
            "2002:ffff:ffff::",
            "2002:6440::",
            "2002:647f:ffff::",
        ];
        for address in martians {
            assert!(martian(address, HOST), "from {address}");
            assert!(martian(HOST, address), "to {address}");
        }
        for address in ["2002:c000:201::", "2002:ac20::", "2002:6480::", "2002:643f::", "2002:dfff:ffff::"] {
            assert!(!martian(address, HOST), "from {address}");
        }
    }

    #[test]
    fn a_link_local_source_reaches_its_link_and_our_own_addresses() {
        assert!(!martian("fe80::1", HOST));
        assert!(!martian("fe80::1", "fe80::2"));
        assert!(!martian("fe80::1", "ff02::5"));
    }

    #[test]
    fn outer_martians_are_no_hosts() {
        for address in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255"] {
            assert!(is_outer_martian(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "192.0.2.1", "100.64.0.1", "223.255.255.255"] {
            assert!(!is_outer_martian(address.parse().unwrap()), "{address}");
        }
    }
}
