//! What the operator wants of the resolver, already legal: prefixes, names, clients, bounds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::name::Domain;
use crate::pref64::Pref64;

/// Resolvers in use at the same time; more are ignored.
pub const MAX_RESOLVERS: usize = 8;
/// The largest answer over UDP that needs no fragments on any IPv6 link (RFC 8200 section 5, RFC 9715).
pub const UDP_SIZE: u16 = 1232;
/// The longest a client may wait.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest a negative answer is kept, in seconds (RFC 2308 section 5).
pub const MAX_NEGATIVE_TTL: u32 = 10_800;

/// An address prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    /// Its address; bits behind the length do not count.
    pub address: IpAddr,
    /// Its length in bits: at most 32 or 128.
    pub length: u8,
}

impl IpPrefix {
    /// A prefix.
    #[must_use]
    pub const fn new(address: IpAddr, length: u8) -> Self {
        Self { address, length }
    }

    /// Whether `address` is in it. An IPv4-mapped IPv6 address is in an IPv6 prefix only.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(prefix), IpAddr::V4(address)) => {
                let differ = prefix.to_bits() ^ address.to_bits();
                differ.checked_shr(32_u32.saturating_sub(self.length.into())).unwrap_or(0) == 0
            }
            (IpAddr::V6(prefix), IpAddr::V6(address)) => {
                let differ = prefix.to_bits() ^ address.to_bits();
                differ.checked_shr(128_u32.saturating_sub(self.length.into())).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// What a client is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Everything, with synthesis.
    #[default]
    Full,
    /// What the resolvers say, nothing of ours.
    NoSynthesis,
    /// Questions for AAAA are answered as if there were none: for hosts that shall use IPv4.
    AOnly,
    /// REFUSED to each question.
    Refuse,
}

/// How many questions one client prefix (/64 or one IPv4 address) may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Questions per second in the long run.
    pub per_second: u32,
    /// Questions at once.
    pub burst: u32,
}

/// The settings of one resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One AAAA record is made for each of these prefixes (RFC 6147 section 5.2); without any nothing is synthesised.
    pub prefixes: Vec<Pref64>,
    /// Who is asked, the preferred one first; at most [`MAX_RESOLVERS`].
    pub resolvers: Vec<SocketAddr>,
    /// AAAA records that count as none (RFC 6147 section 5.1.4).
    pub exclude_aaaa: Vec<IpPrefix>,
    /// A records of which no AAAA is made (RFC 6147 section 5.1.7, RFC 6052 section 3.1).
    pub exclude_a: Vec<IpPrefix>,
    /// Names, and all below them, that are never synthesised.
    pub exclude_names: Vec<Domain>,
    /// Names, and all below them, that are synthesised even if they have AAAA records.
    pub always_names: Vec<Domain>,
    /// Answers kept at most.
    pub cache_entries: usize,
    /// Bytes of answers kept at most.
    pub cache_bytes: usize,
    /// The shortest time to live given to clients, in seconds.
    pub min_ttl: u32,
    /// The longest, in seconds.
    pub max_ttl: u32,
    /// What each client is given, the longest prefix counts; who is in none has [`Policy::Full`].
    pub clients: Vec<(IpPrefix, Policy)>,
    /// How long a client waits at most; [`MAX_TIMEOUT`] at most.
    pub timeout: Duration,
    /// How often one upstream question is sent at most.
    pub attempts: u8,
    /// The rate limit; `None`: without.
    pub rate: Option<Rate>,
    /// Clients that wait for an answer at the same time.
    pub max_outstanding: usize,
    /// Those of them in one prefix (/64 or one IPv4 address).
    pub max_outstanding_per_client: usize,
    /// The largest answer over UDP, in bytes; at least 512.
    pub udp_size: u16,
    /// Whether the AD flag of the resolvers is believed and handed on (RFC 6840 section 5.8).
    pub trust_ad: bool,
    /// Whether the case of upstream questions is random (draft-vixie-dnsext-dns0x20).
    pub random_case: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            resolvers: Vec::new(),
            exclude_aaaa: vec![IpPrefix::new(IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()), 96)],
            exclude_a: Vec::new(),
            exclude_names: Vec::new(),
            always_names: Vec::new(),
            cache_entries: 10_000,
            cache_bytes: 4 << 20,
            min_ttl: 0,
            max_ttl: 86_400,
            clients: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 6,
            rate: Some(Rate { per_second: 1000, burst: 2000 }),
            max_outstanding: 1024,
            max_outstanding_per_client: 256,
            udp_size: UDP_SIZE,
            trust_ad: false,
            random_case: true,
        }
    }
}

impl Settings {
    /// Whether an AAAA record of this address counts.
    pub(super) fn is_usable_aaaa(&self, address: Ipv6Addr) -> bool {
        !self.exclude_aaaa.iter().any(|prefix| prefix.contains(IpAddr::V6(address)))
    }

    /// Whether an AAAA record may be made of this address.
    pub(super) fn is_usable_a(&self, address: Ipv4Addr) -> bool {
        !self.exclude_a.iter().any(|prefix| prefix.contains(IpAddr::V4(address)))
    }

    /// Brings order into what is searched from the front, and within bounds what would break the engine.
    pub(super) fn prepared(mut self) -> Self {
        self.clients.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.length));
        self.resolvers.truncate(MAX_RESOLVERS);
        self.udp_size = self.udp_size.max(512);
        self.timeout = self.timeout.min(MAX_TIMEOUT);
        self.attempts = self.attempts.clamp(1, 16);
        self.max_ttl = self.max_ttl.min(i32::MAX.unsigned_abs());
        self.min_ttl = self.min_ttl.min(self.max_ttl);
        self
    }

    /// What a client at `address` is given.
    pub(super) fn policy(&self, address: IpAddr) -> Policy {
        let found = self.clients.iter().find(|(prefix, _)| prefix.contains(address));
        found.map_or(Policy::Full, |(_, policy)| *policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, length: u8) -> IpPrefix {
        IpPrefix::new(text.parse().unwrap(), length)
    }

    #[test]
    fn a_prefix_contains_what_shares_its_bits_and_family() {
        assert!(prefix("10.0.0.0", 8).contains("10.255.0.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0", 8).contains("11.0.0.0".parse().unwrap()));
        assert!(prefix("0.0.0.0", 0).contains("203.0.113.1".parse().unwrap()));
        assert!(!prefix("0.0.0.0", 0).contains("::1".parse().unwrap()));
        assert!(prefix("::", 0).contains("::1".parse().unwrap()));
        assert!(prefix("2001:db8::1", 128).contains("2001:db8::1".parse().unwrap()));
        assert!(!prefix("2001:db8::1", 128).contains("2001:db8::2".parse().unwrap()));
        assert!(prefix("2001:db8::", 200).contains("2001:db8::".parse().unwrap()));
    }

    #[test]
    fn the_longest_client_prefix_decides() {
        let clients = vec![
            (prefix("2001:db8::", 32), Policy::Refuse),
            (prefix("2001:db8:1::", 48), Policy::NoSynthesis),
            (prefix("192.0.2.0", 24), Policy::AOnly),
        ];
        let settings = Settings { clients, ..Settings::default() }.prepared();
        assert_eq!(settings.policy("2001:db8:1::5".parse().unwrap()), Policy::NoSynthesis);
        assert_eq!(settings.policy("2001:db8:2::5".parse().unwrap()), Policy::Refuse);
        assert_eq!(settings.policy("192.0.2.9".parse().unwrap()), Policy::AOnly);
        assert_eq!(settings.policy("198.51.100.9".parse().unwrap()), Policy::Full);
    }
}
