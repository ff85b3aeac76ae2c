//! What happened, in numbers with stable names.

use crate::flow::Refusal;

/// Declares the counters once: fields, docs and the names given to [`Counters::each`].
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the data path was made; they wrap at 2^64.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            drops: Drops,
        }

        impl Counters {
            /// Calls `f` with the name and value of each counter; the reasons of drops begin with `drop_`.
            pub fn each(&self, mut f: impl FnMut(&'static str, u64)) {
                $(f(stringify!($name), self.$name);)*
                for (reason, value) in Reason::ALL.iter().zip(self.drops.0) {
                    f(reason.name(), value);
                }
            }
        }
    };
}

counters! {
    /// Packets from IPv6 to IPv4; each segment of a super-packet counts.
    out_packets,
    /// Their bytes as IPv6 frames had them.
    out_bytes,
    /// Packets from IPv4 to IPv6; each segment of a super-packet counts.
    in_packets,
    /// Their bytes as IPv4 frames had them.
    in_bytes,
    /// Packets from one IPv6 host to another by way of their IPv4 addresses (RFC 6146 section 3.8, RFC 7757 section 4).
    hairpin_packets,
    /// Their bytes.
    hairpin_bytes,
    /// TCP frames, of all directions.
    tcp,
    /// UDP frames.
    udp,
    /// ICMP echo frames.
    echo,
    /// ICMP errors translated.
    icmp_errors,
    /// Frames of other protocols, passed on as they are.
    other_protocols,
    /// Fragments translated.
    fragments,
    /// Fragments that had to wait for the first of their datagram.
    fragments_held,
    /// Frames of several segments.
    super_packets,
    /// Super-packets that had to be cut here.
    split,
    /// Packets cut into IPv6 fragments here (RFC 7915 section 4).
    fragmented,
    /// SYNs whose MSS was lowered.
    mss_clamped,
    /// Frames that had too little room in front and went the slow way.
    moved,
    /// ICMP errors of our own.
    icmp_errors_sent,
    /// ICMP errors not sent because of the rate limit.
    icmp_errors_limited,
    /// ICMP errors not sent because nobody may be told, or there is no source for them.
    icmp_errors_withheld,
}

/// Of each reason, in the order of [`Reason::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drops([u64; Reason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

/// Declares the reasons once.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Why a packet is dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// Name of its counter.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => concat!("drop_", $name),)*
                }
            }
        }
    };
}

reasons! {
    /// A batch cut off, a header that contradicts itself, a virtio header that contradicts the packet.
    Malformed = "malformed",
    /// Fewer bytes than the headers announce.
    Truncated = "truncated",
    /// Neither IPv4 nor IPv6.
    NotIp = "not_ip",
    /// A wrong checksum where one is verified: the IPv4 header, ICMP errors.
    Checksum = "checksum",
    /// A source that never legally travels.
    Martian = "martian",
    /// To an address that is none of ours to translate.
    NotOurs = "not_ours",
    /// From inside the prefix or the pool: it would come back for ever.
    Loop = "loop",
    /// An IPv4 address that is not translated.
    Denied = "denied",
    /// No rule gives an address of the other family.
    Untranslatable = "untranslatable",
    /// Its hop limit or time to live ended here.
    HopLimit = "hop_limit",
    /// A routing header with segments left (RFC 7915 section 5.1).
    RoutingHeader = "routing_header",
    /// An unexpired source route (RFC 7915 section 4.1).
    SourceRoute = "source_route",
    /// Larger than the other side takes.
    TooBig = "too_big",
    /// UDP over IPv4 without a checksum (RFC 7915 section 4.5).
    UdpZero = "udp_zero_checksum",
    /// A protocol that is not translated.
    Protocol = "protocol",
    /// An ICMP message that is not translated (RFC 7915 sections 4.2 and 5.2).
    IcmpType = "icmp_type",
    /// An ICMP error about a packet that was not ours, or that tells too little of it.
    IcmpQuote = "icmp_quote",
    /// A fragment of an ICMP message (RFC 7915 section 1.2).
    IcmpFragment = "icmp_fragment",
    /// An extension header after the fragment header (RFC 7915 section 5.1.1).
    FragmentExtension = "fragment_extension",
    /// A first fragment that does not hold the transport header, or a later one that reaches into it.
    FragmentTiny = "fragment_tiny",
    /// A copy of a fragment that has come already (RFC 8200 section 4.5).
    FragmentTwice = "fragment_twice",
    /// A fragment that overlaps another, and all others of its datagram (RFC 5722).
    FragmentOverlap = "fragment_overlap",
    /// A fragment of a datagram whose first fragment was refused.
    FragmentRefused = "fragment_refused",
    /// A fragment for which there was no room to wait.
    FragmentFull = "fragment_full",
    /// A fragment whose first fragment did not come.
    FragmentTimeout = "fragment_timeout",
    /// No room in what is handed back beside the batch.
    SideFull = "side_full",
    /// [`Refusal::NoMapping`].
    NoMapping = "no_mapping",
    /// [`Refusal::Filtered`].
    Filtered = "filtered",
    /// [`Refusal::TableFull`].
    TableFull = "table_full",
    /// [`Refusal::PortsExhausted`].
    PortsExhausted = "ports_exhausted",
    /// [`Refusal::Quota`].
    Quota = "quota",
    /// [`Refusal::NotSyn`].
    NotSyn = "not_syn",
    /// [`Refusal::Prohibited`].
    Prohibited = "prohibited",
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoMapping => Self::NoMapping,
            Refusal::Filtered => Self::Filtered,
            Refusal::TableFull => Self::TableFull,
            Refusal::PortsExhausted => Self::PortsExhausted,
            Refusal::Quota => Self::Quota,
            Refusal::NotSyn => Self::NotSyn,
            Refusal::Prohibited => Self::Prohibited,
        }
    }
}

impl Counters {
    /// How many packets were dropped because of `reason`.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.drops.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Counts a drop.
    pub(super) fn drop(&mut self, reason: Reason) {
        if let Some(counter) = self.drops.0.get_mut(reason as usize) {
            *counter = counter.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tells_every_counter_once_under_its_name() {
        let mut counters = Counters { tcp: 3, ..Counters::default() };
        counters.drop(Reason::Loop);
        let mut names = Vec::new();
        counters.each(|name, value| {
            let expected = match name {
                "tcp" => 3,
                "drop_loop" => 1,
                _ => 0,
            };
            assert_eq!(value, expected, "{name}");
            names.push(name);
        });
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
        for refusal in Refusal::ALL {
            assert_eq!(Reason::from(refusal).name().strip_prefix("drop_"), Some(refusal.name()));
        }
    }
}
