//! The names that addresses have in `arpa`, of IPv4 and of IPv6.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The address whose name under `ip6.arpa` this is, in wire form and lower case (RFC 3596 section 2.5).
pub(super) fn ip6_arpa(name: &[u8]) -> Option<Ipv6Addr> {
    let nibbles = name.strip_suffix(b"\x03ip6\x04arpa\x00")?;
    if nibbles.len() != 64 {
        return None;
    }
    nibbles
        .rchunks_exact(2)
        .try_fold(0_u128, |bits, label| match label {
            [1, digit @ b'0'..=b'9'] => Some(bits << 4 | u128::from(digit - b'0')),
            [1, digit @ b'a'..=b'f'] => Some(bits << 4 | u128::from(digit - b'a' + 10)),
            _ => None,
        })
        .map(Ipv6Addr::from_bits)
}

/// The name of an address under `in-addr.arpa`, in wire form (RFC 1035 section 3.5).
pub(super) fn in_addr_arpa(address: Ipv4Addr) -> Vec<u8> {
    let mut name = Vec::with_capacity(30);
    for octet in address.octets().into_iter().rev() {
        let digits = octet.to_string();
        name.push(u8::try_from(digits.len()).unwrap_or(0));
        name.extend_from_slice(digits.as_bytes());
    }
    name.extend_from_slice(b"\x07in-addr\x04arpa\x00");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arpa_names_go_both_ways() {
        let mut name = Vec::new();
        for digit in "1200000c0000000000000000b9ff4600".bytes() {
            name.extend_from_slice(&[1, digit]);
        }
        name.extend_from_slice(b"\x03ip6\x04arpa\x00");
        assert_eq!(ip6_arpa(&name), Some("64:ff9b::c000:21".parse().unwrap()));
        name[1] = b'g';
        assert_eq!(ip6_arpa(&name), None);
        assert_eq!(ip6_arpa(&name[2..]), None);
        assert_eq!(in_addr_arpa(Ipv4Addr::new(192, 0, 2, 33)), b"\x0233\x012\x010\x03192\x07in-addr\x04arpa\x00");
    }
}
