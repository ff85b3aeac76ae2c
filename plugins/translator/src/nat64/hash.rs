//! Keyed hashing and random numbers, both from one seed that is given.
//!
//! Hosts and the whole internet choose what is looked up here, so the hash is SipHash-1-3 under a secret key: nobody can
//! choose flows that meet in one place. Each kind of key carries its own tag, so that equal words of two kinds differ.

use std::net::Ipv6Addr;

use crate::flow::Protocol;

/// SipHash-1-3 over whole words, under a key.
#[derive(Clone)]
pub(super) struct Hasher {
    key: [u64; 2],
}

/// What a hash is of; the last word hashed, with the protocol.
#[derive(Clone, Copy)]
enum Tag {
    Outbound = 1,
    Inbound,
    Host,
    Public,
    Prefix,
    Block,
    Permit,
    Pairing,
}

impl Hasher {
    /// A hasher whose key is drawn from `random`.
    pub(super) fn new(random: &mut Random) -> Self {
        Self { key: [random.next_u64(), random.next_u64()] }
    }

    /// Of a session seen from the IPv6 side.
    pub(super) fn outbound(&self, protocol: Protocol, host: Ipv6Addr, port: u16, remote: u32, remote_port: u16) -> u64 {
        let [high, low] = halves(host);
        let ports = u64::from(remote) << 32 | u64::from(port) << 16 | u64::from(remote_port);
        self.words([high, low, ports], Tag::Outbound, protocol as u64)
    }

    /// Of a session seen from the IPv4 side.
    pub(super) fn inbound(&self, protocol: Protocol, address: u32, port: u16, remote: u32, remote_port: u16) -> u64 {
        let addresses = u64::from(address) << 32 | u64::from(remote);
        let ports = u64::from(port) << 16 | u64::from(remote_port);
        self.words([addresses, ports], Tag::Inbound, protocol as u64)
    }

    /// Of a mapping by its host.
    pub(super) fn host(&self, protocol: Protocol, host: Ipv6Addr, port: u16) -> u64 {
        let [high, low] = halves(host);
        self.words([high, low, u64::from(port)], Tag::Host, protocol as u64)
    }

    /// Of a mapping by its address and port in the pool.
    pub(super) fn public(&self, protocol: Protocol, address: u32, port: u16) -> u64 {
        self.words([u64::from(address) << 16 | u64::from(port)], Tag::Public, protocol as u64)
    }

    /// Of a /64.
    pub(super) fn prefix(&self, network: u64) -> u64 {
        self.words([network], Tag::Prefix, 0)
    }

    /// Of a block of ports.
    pub(super) fn block(&self, address: u32, number: u16) -> u64 {
        self.words([u64::from(address) << 16 | u64::from(number)], Tag::Block, 0)
    }

    /// Of a remote address a mapping may hear from.
    pub(super) fn permit(&self, bib: u32, remote: u32) -> u64 {
        self.words([u64::from(bib) << 32 | u64::from(remote)], Tag::Permit, 0)
    }

    /// Which pool address a host or /64 is paired with.
    pub(super) fn pairing(&self, host: u128) -> u64 {
        self.words([(host >> 64) as u64, host as u64], Tag::Pairing, 0)
    }

    #[inline]
    fn words<const N: usize>(&self, words: [u64; N], tag: Tag, detail: u64) -> u64 {
        let [k0, k1] = self.key;
        let mut v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        for word in words {
            v[3] ^= word;
            round(&mut v);
            v[0] ^= word;
        }
        let last = (N as u64) << 56 | (tag as u64) << 8 | detail;
        v[3] ^= last;
        round(&mut v);
        v[0] ^= last;
        v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

fn halves(host: Ipv6Addr) -> [u64; 2] {
    let bits = u128::from(host);
    [(bits >> 64) as u64, bits as u64]
}

/// The /64 of a host, as its upper 64 bits.
pub(super) fn network(host: Ipv6Addr) -> u64 {
    halves(host)[0]
}

/// `SplitMix64`: for ports and keys, where a guess must not be cheap but need not be impossible (RFC 6056 section 3).
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_are_those_of_siphash_1_3() {
        // The length byte of SipHash is the number of bytes; here the last word is made by hand to compare with std.
        use std::hash::Hasher as _;
        #[expect(
            deprecated,
            reason = "std's only keyed SipHash with a key that can be chosen; zero here, a test value"
        )]
        let mut reference = std::hash::SipHasher::new();
        reference.write(&[]);
        // SipHash-2-4 of nothing under the zero key, from the rounds here done 2 + 4 times.
        let mut v = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
        round(&mut v);
        round(&mut v);
        v[2] ^= 0xff;
        for _ in 0..4 {
            round(&mut v);
        }
        assert_eq!(v[0] ^ v[1] ^ v[2] ^ v[3], reference.finish());
    }

    #[test]
    fn kinds_protocols_and_keys_give_different_hashes() {
        let hasher = Hasher::new(&mut Random::new(1));
        let other = Hasher::new(&mut Random::new(2));
        assert_ne!(hasher.public(Protocol::Tcp, 1, 2), hasher.public(Protocol::Udp, 1, 2));
        assert_ne!(hasher.public(Protocol::Tcp, 1, 2), hasher.block(1, 2));
        assert_ne!(hasher.prefix(7), other.prefix(7));
        assert_eq!(hasher.prefix(7), hasher.clone().prefix(7));
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::new(3);
        assert_eq!(random.below(0), 0);
        let mut seen = [false; 7];
        for _ in 0..500 {
            seen[random.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
    }
}
