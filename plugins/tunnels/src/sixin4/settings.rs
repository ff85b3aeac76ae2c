//! What a tunnel is told: its ends, its size, how it marks and what it refuses.
//!
//! 6rd (RFC 5969) is a rule that gives the far end per destination; it lives here because it decides both ways.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The smallest tunnel MTU (RFC 8200 section 5).
pub const MIN_MTU: u16 = 1280;
/// The largest tunnel MTU: an IPv4 packet less the longest header of a path that adds options.
pub const MAX_MTU: u16 = 65495;

/// How a tunnel works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our IPv4 address; with `None` the kernel chooses the source and every destination is taken in.
    pub local: Option<Ipv4Addr>,
    /// The far end.
    pub remote: Remote,
    /// The largest IPv6 packet, in bytes; [`Settings::effective_mtu`] keeps it within bounds.
    pub mtu: u16,
    /// TTL of the outer header; 0 copies the hop limit of the inner one.
    pub ttl: u8,
    /// DSCP of the outer header.
    pub tos: Tos,
    /// Sets DF and learns the path MTU from the errors it causes (RFC 4213 section 3.2.2).
    pub dont_fragment: bool,
    /// Lowers the MSS option of TCP SYNs, both ways, to what fits the MTU.
    pub mss_clamp: bool,
    /// Refuses received packets with addresses that have no business in a tunnel (RFC 3964).
    pub filter: bool,
    /// Joins received TCP segments into large frames.
    pub coalesce: bool,
    /// Prefixes routed to us: nobody outside may send from them, nothing for them may leave.
    pub own: Vec<Prefix>,
    /// Networks of the tunnel's own addresses, where the far end has one, too: never own, even within `own`.
    pub transport: Vec<Prefix>,
    /// Source of ICMPv6 errors; with `None` an error speaks for the destination that could not be reached.
    pub icmp_source: Option<Ipv6Addr>,
}

impl Settings {
    /// The defaults of a tunnel to `remote`: 1480 bytes (RFC 4213 section 3.2.1 over Ethernet), TTL 64, DSCP and ECN
    /// of the inner packet, DF, MSS clamp, filter and coalescing on.
    pub const fn new(remote: Remote) -> Self {
        Self {
            local: None,
            remote,
            mtu: 1480,
            ttl: 64,
            tos: Tos::Inherit,
            dont_fragment: true,
            mss_clamp: true,
            filter: true,
            coalesce: true,
            own: Vec::new(),
            transport: Vec::new(),
            icmp_source: None,
        }
    }

    /// The MTU within [`MIN_MTU`] and [`MAX_MTU`].
    pub fn effective_mtu(&self) -> u16 {
        self.mtu.clamp(MIN_MTU, MAX_MTU)
    }

    /// Whether `address` is within one of our own prefixes, and not of the network between the tunnel's ends.
    pub fn is_own(&self, address: Ipv6Addr) -> bool {
        let within = |list: &[Prefix]| list.iter().any(|prefix| prefix.contains(address));
        within(&self.own) && !within(&self.transport)
    }
}

/// DSCP of the outer header; ECN is always copied (RFC 6040 section 4.1, normal mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tos {
    /// The inner packet's.
    Inherit,
    /// This one, as the TOS byte: DSCP in the upper six bits, the lower two are ignored.
    Fixed(u8),
}

/// Where the tunnel leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// To one host.
    Address(Ipv4Addr),
    /// Into a 6rd domain.
    SixRd(SixRd),
}

impl Remote {
    /// The outer destination for a packet to `destination`.
    pub fn outer(&self, destination: Ipv6Addr) -> Ipv4Addr {
        match self {
            Self::Address(address) => *address,
            Self::SixRd(rule) => rule.embedded(destination).unwrap_or(rule.border_relay),
        }
    }

    /// Whether `outer` may send a packet whose inner source is `source` (RFC 4213 section 3.6, RFC 5969 section 12).
    pub fn accepts(&self, outer: Ipv4Addr, source: Ipv6Addr) -> bool {
        match self {
            Self::Address(address) => *address == outer,
            Self::SixRd(rule) => rule.border_relay == outer || rule.embedded(source) == Some(outer),
        }
    }
}

/// A 6rd domain (RFC 5969) as one of its customer edges sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SixRd {
    /// The domain's IPv6 prefix.
    pub prefix: Prefix,
    /// How many leading bits all IPv4 addresses of the domain share; they are left out of the IPv6 prefix.
    pub ipv4_mask_length: u8,
    /// Our own IPv4 address.
    pub ipv4: Ipv4Addr,
    /// The way out of the domain.
    pub border_relay: Ipv4Addr,
}

impl SixRd {
    /// The IPv4 address in `address`; `None` outside the domain's prefix or when the rule leaves no room for one.
    pub fn embedded(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let bits = 32_u8.checked_sub(self.ipv4_mask_length)?;
        let end = self.prefix.length().checked_add(bits).filter(|end| *end <= 128)?;
        if !self.prefix.contains(address) {
            return None;
        }
        let suffix = address.to_bits().checked_shr(u32::from(128 - end)).unwrap_or(0) as u32;
        let mask = u32::MAX.checked_shl(u32::from(bits)).unwrap_or(0);
        Some(Ipv4Addr::from_bits(self.ipv4.to_bits() & mask | suffix & !mask))
    }

    /// The prefix that is ours by our IPv4 address (RFC 5969 section 4).
    pub fn delegated(&self) -> Option<Prefix> {
        let bits = 32_u8.checked_sub(self.ipv4_mask_length)?;
        let end = self.prefix.length().checked_add(bits).filter(|end| *end <= 128)?;
        let mask = u32::MAX.checked_shl(u32::from(bits)).unwrap_or(0);
        let suffix = u128::from(self.ipv4.to_bits() & !mask).checked_shl(u32::from(128 - end)).unwrap_or(0);
        Prefix::new(Ipv6Addr::from_bits(self.prefix.address().to_bits() | suffix), end)
    }
}

/// An IPv6 prefix without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    network: u128,
    mask: u128,
    length: u8,
}

impl Prefix {
    /// The network of `address` with `length` leading bits; `None` above 128.
    pub fn new(address: Ipv6Addr, length: u8) -> Option<Self> {
        let host_bits = 128_u8.checked_sub(length)?;
        let mask = u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
        Some(Self { network: address.to_bits() & mask, mask, length })
    }

    /// The first address.
    pub const fn address(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network)
    }

    /// How many leading bits the addresses share.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` is one of them.
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & self.mask == self.network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, length: u8, ipv4_mask_length: u8) -> SixRd {
        SixRd {
            prefix: Prefix::new(prefix.parse().unwrap(), length).unwrap(),
            ipv4_mask_length,
            ipv4: Ipv4Addr::new(10, 100, 100, 1),
            border_relay: Ipv4Addr::new(10, 0, 0, 1),
        }
    }

    #[test]
    fn the_example_of_rfc_5969_section_4_gives_a_56() {
        let rule = rule("2001:db8::", 32, 8);
        let delegated = rule.delegated().unwrap();
        assert_eq!((delegated.address(), delegated.length()), ("2001:db8:6464:100::".parse().unwrap(), 56));
        assert_eq!(rule.embedded("2001:db8:0203:0400::1".parse().unwrap()), Some(Ipv4Addr::new(10, 2, 3, 4)));
        assert_eq!(rule.embedded("2001:db9::1".parse().unwrap()), None);
    }

    #[test]
    fn extreme_lengths_never_panic_and_impossible_ones_embed_nothing() {
        assert_eq!(rule("::", 0, 0).embedded("a0b:c0d::".parse().unwrap()), Some(Ipv4Addr::new(10, 11, 12, 13)));
        assert_eq!(
            rule("2001:db8::", 32, 32).embedded("2001:db8::9".parse().unwrap()),
            Some(Ipv4Addr::new(10, 100, 100, 1))
        );
        assert_eq!(rule("2001:db8::", 97, 0).embedded("2001:db8::9".parse().unwrap()), None);
        for length in 0..=128 {
            for mask in 0..=255 {
                let rule = rule("2001:db8::", length, mask);
                let _ = (rule.embedded("2001:db8::9".parse().unwrap()), rule.delegated());
            }
        }
    }
}
