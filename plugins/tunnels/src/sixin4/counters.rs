//! What happened, in numbers. The field names are the stable names under which they are shown.

/// Declares the counters once: fields, docs and the names given to [`Counters::each`].
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the data path was made; they wrap at 2^64.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Calls `f` with the name and value of each counter, in the order of the fields.
            pub fn each(&self, mut f: impl FnMut(&'static str, u64)) {
                $(f(stringify!($name), self.$name);)*
            }
        }
    };
}

counters! {
    /// IPv6 packets taken from the tunnel, before they are joined.
    rx_packets,
    /// Their bytes, from the IPv6 header on.
    rx_bytes,
    /// IPv6 packets sent into the tunnel, after they are segmented.
    tx_packets,
    /// Their bytes, from the IPv6 header on.
    tx_bytes,
    /// Large tun frames made of several received TCP segments.
    rx_coalesced,
    /// Large tun frames cut into segments.
    tx_segmented,
    /// Dropped: a batch cut off, or a header that contradicts itself.
    malformed,
    /// Dropped: fewer bytes than the packet's headers announce.
    truncated,
    /// Dropped: not IPv6 where IPv6 belongs.
    not_ipv6,
    /// Dropped: an IPv4 packet of a protocol other than 41.
    other_protocol,
    /// Dropped: an IPv4 packet to an address that is not this tunnel's local one.
    other_destination,
    /// Dropped: an IPv4 fragment.
    fragment,
    /// Dropped: an outer source that is not the far end's (RFC 4213 section 3.6, RFC 5969 section 12).
    spoofed,
    /// Dropped: an address that never legally travels in the tunnel (RFC 3964).
    martian,
    /// Dropped: from outside, but with a source within our own prefixes.
    own_prefix,
    /// Dropped: to the far end, but for a destination within our own prefixes.
    looped,
    /// Dropped: encapsulated too often.
    nested,
    /// Dropped: larger than the MTU.
    too_big,
    /// Dropped: congestion marked on a packet that cannot carry the mark (RFC 6040 section 4.2).
    ecn,
    /// ICMPv6 errors sent to local senders.
    icmp_errors_sent,
    /// ICMPv6 errors not sent because of the rate limit.
    icmp_errors_limited,
    /// ICMPv4 errors taken in.
    icmp_in,
    /// Those of them that changed nothing and told nobody.
    icmp_ignored,
    /// Keepalive requests built.
    echo_requests,
    /// Keepalive replies consumed.
    echo_replies,
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Malformed,
    Truncated,
    NotIpv6,
    OtherProtocol,
    OtherDestination,
    Fragment,
    Spoofed,
    Martian,
    OwnPrefix,
    Looped,
    Nested,
    TooBig,
    Ecn,
}

impl Counters {
    /// Counts a drop.
    pub(super) const fn dropped(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::Malformed => &mut self.malformed,
            Reason::Truncated => &mut self.truncated,
            Reason::NotIpv6 => &mut self.not_ipv6,
            Reason::OtherProtocol => &mut self.other_protocol,
            Reason::OtherDestination => &mut self.other_destination,
            Reason::Fragment => &mut self.fragment,
            Reason::Spoofed => &mut self.spoofed,
            Reason::Martian => &mut self.martian,
            Reason::OwnPrefix => &mut self.own_prefix,
            Reason::Looped => &mut self.looped,
            Reason::Nested => &mut self.nested,
            Reason::TooBig => &mut self.too_big,
            Reason::Ecn => &mut self.ecn,
        };
        *counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tells_every_counter_once_under_its_name() {
        let counters = Counters { spoofed: 3, ..Counters::default() };
        let mut names = Vec::new();
        counters.each(|name, value| {
            assert_eq!(value, if name == "spoofed" { 3 } else { 0 });
            names.push(name);
        });
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
    }
}
