//! The pool: which addresses it has, which ports of each may be used, and how many are.

use std::net::Ipv4Addr;

use super::settings::{Settings, whole_blocks};
use crate::flow::Protocol;

/// A run of addresses with the same ports.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    last: u32,
    ports: Ports,
    /// Number of its first address.
    base: u32,
}

/// The ports that may be used of an address, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Ports {
    pub(super) const fn count(self) -> u32 {
        if self.first > self.last { 0 } else { self.last as u32 - self.first as u32 + 1 }
    }

    pub(super) const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The well-known ones and the others, the ones like `port` first (RFC 6146 section 3.5.1.1).
    pub(super) fn by_kind(self, port: u16) -> [Self; 2] {
        let low = Self { first: self.first, last: self.last.min(1023) };
        let high = Self { first: self.first.max(1024), last: self.last };
        if port < 1024 { [low, high] } else { [high, low] }
    }

    /// Numbers of the first block and of the one after the last, of those that are wholly within.
    pub(super) fn blocks(self, size: u16) -> (u16, u16) {
        let blocks = whole_blocks(self.first, self.last, size);
        (blocks.start as u16, blocks.end as u16)
    }
}

/// What is used of one address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Ports, by protocol.
    pub(super) used: [u32; 3],
    /// Where the last search for a free port ended.
    pub(super) cursor: u16,
    /// Blocks given to prefixes.
    pub(super) blocks: u16,
}

/// The addresses.
pub(super) struct Addresses {
    ranges: Vec<Range>,
    usage: Vec<Usage>,
}

impl Addresses {
    /// Those of settings that were checked.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut ranges: Vec<Range> = settings
            .pools
            .iter()
            .map(|pool| Range {
                first: u32::from(pool.first),
                last: u32::from(pool.last),
                ports: Ports { first: (*pool.ports.start()).max(1), last: *pool.ports.end() },
                base: 0,
            })
            .collect();
        ranges.sort_unstable_by_key(|range| range.first);
        let mut base = 0u32;
        for range in &mut ranges {
            range.base = base;
            base = base.saturating_add((range.last - range.first).saturating_add(1));
        }
        Self { ranges, usage: vec![Usage::default(); base as usize] }
    }

    pub(super) fn len(&self) -> u32 {
        self.usage.len() as u32
    }

    pub(super) fn first(&self) -> Option<Ipv4Addr> {
        self.ranges.first().map(|range| range.first.into())
    }

    pub(super) fn contains(&self, address: u32) -> bool {
        self.range(address).is_some()
    }

    /// The ports that may be used of `address`.
    pub(super) fn ports(&self, address: u32) -> Option<Ports> {
        self.range(address).map(|range| range.ports)
    }

    /// The address with this number.
    pub(super) fn nth(&self, number: u32) -> Option<(u32, Ports)> {
        let at = self.ranges.partition_point(|range| range.base <= number).checked_sub(1)?;
        let range = self.ranges.get(at)?;
        let address = range.first + (number - range.base);
        (address <= range.last).then_some((address, range.ports))
    }

    pub(super) fn usage(&self, address: u32) -> Option<&Usage> {
        let range = self.range(address)?;
        self.usage.get((range.base + (address - range.first)) as usize)
    }

    pub(super) fn usage_mut(&mut self, address: u32) -> Option<&mut Usage> {
        let range = *self.range(address)?;
        self.usage.get_mut((range.base + (address - range.first)) as usize)
    }

    /// Counts a port as used. Ports outside of those that may be used (static mappings) do not count.
    pub(super) fn take(&mut self, protocol: Protocol, address: u32, port: u16) {
        self.count(protocol, address, port, 1);
    }

    /// Counts a port as free again.
    pub(super) fn give_back(&mut self, protocol: Protocol, address: u32, port: u16) {
        self.count(protocol, address, port, -1);
    }

    pub(super) fn bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<Range>() + self.usage.capacity() * size_of::<Usage>()
    }

    fn count(&mut self, protocol: Protocol, address: u32, port: u16, by: i32) {
        if self.ports(address).is_some_and(|ports| ports.contains(port))
            && let Some(used) = self.usage_mut(address).and_then(|usage| usage.used.get_mut(protocol as usize))
        {
            *used = used.saturating_add_signed(by);
        }
    }

    fn range(&self, address: u32) -> Option<&Range> {
        let at = self.ranges.partition_point(|range| range.first <= address).checked_sub(1)?;
        self.ranges.get(at).filter(|range| address <= range.last)
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Pool;
    use super::*;

    #[test]
    fn addresses_are_numbered_through_all_ranges() {
        let pools = vec![
            Pool::prefix(Ipv4Addr::new(203, 0, 113, 8), 30),
            Pool { first: [192, 0, 2, 1].into(), last: [192, 0, 2, 2].into(), ports: 5000..=5999 },
        ];
        let addresses = Addresses::new(&Settings { pools, ..Settings::default() });
        assert_eq!(addresses.len(), 6);
        let nth = |n| addresses.nth(n).map(|(a, p)| (Ipv4Addr::from(a), p.first, p.last));
        assert_eq!(nth(1), Some(([192, 0, 2, 2].into(), 5000, 5999)));
        assert_eq!(nth(2), Some(([203, 0, 113, 8].into(), 1024, 65_535)));
        assert_eq!(nth(5), Some(([203, 0, 113, 11].into(), 1024, 65_535)));
        assert_eq!(nth(6), None);
        assert!(!addresses.contains(u32::from(Ipv4Addr::new(203, 0, 113, 12))));
        assert!(!addresses.contains(0));
    }

    #[test]
    fn blocks_lie_wholly_within_the_ports() {
        assert_eq!(Ports { first: 1024, last: 65_535 }.blocks(256), (4, 256));
        assert_eq!(Ports { first: 1000, last: 1100 }.blocks(64), (16, 17));
        assert_eq!(Ports { first: 1001, last: 1020 }.blocks(64), (16, 16));
        assert_eq!(Ports { first: 1, last: 65_535 }.blocks(16), (1, 4096));
    }
}
