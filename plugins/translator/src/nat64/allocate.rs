//! Which address and port a new mapping gets (RFC 6146 sections 3.5.1.1, 3.5.2.3 and 3.5.3), and blocks of ports.
//!
//! All mappings of a host are of one address while its ports last: a keyed hash of the host (with blocks: of its /64) says
//! where the search through the pool begins, so no record per host is needed. When the pool is changed, a host's new
//! mappings may get another address than its old ones. The host's own port is kept if it is free; else a free one is
//! drawn among the well-known ports or among the others as the host's is, for UDP with its parity.

use std::net::Ipv4Addr;

use super::entry::{Bib, Block};
use super::hash::network;
use super::log::{BlockLine, LogEvent};
use super::ports::Ports;
use super::slab::NONE;
use super::table::{Table, prefix_address};
use crate::flow::{Endpoint6, Protocol, Refusal};

/// Ports drawn before they are gone through in order.
const DRAWS: u32 = 32;
/// Ports gone through in order, per address and new mapping. When more of an address are taken, a search may miss the few
/// that are free; the next one goes on behind them.
const SCAN: u32 = 1024;
/// Addresses searched for a new mapping; those that are known to be full are passed over.
const ADDRESSES: u32 = 8;
/// Blocks of a /64 looked through for a free port.
const BLOCKS: u32 = 1024;

impl Table {
    /// The public side of a new mapping of `host`, whose /64 is `prefix`.
    pub(super) fn choose(&mut self, protocol: Protocol, host: Endpoint6, prefix: u32) -> Result<(u32, u16), Refusal> {
        let found = match self.settings.port_block {
            Some(size) => {
                self.in_own_blocks(protocol, host, prefix, size).or_else(|| self.in_new_block(protocol, host, size))
            }
            None => self.anywhere(protocol, host),
        };
        found.ok_or(Refusal::PortsExhausted)
    }

    /// Numbers of the pool's addresses, those paired with `key` first.
    fn paired(&self, key: u128) -> impl Iterator<Item = u32> + use<> {
        let len = self.addresses.len();
        let start = (((self.hasher.pairing(key) >> 32) * u64::from(len)) >> 32) as u32;
        (start..len).chain(0..start)
    }

    fn is_free(&self, protocol: Protocol, address: u32, port: u16) -> bool {
        port != 0 && self.find_public(protocol, address, port).is_none()
    }

    fn anywhere(&mut self, protocol: Protocol, host: Endpoint6) -> Option<(u32, u16)> {
        let mut searched = 0;
        for number in self.paired(host.address.into()) {
            let Some((address, ports)) = self.addresses.nth(number) else { continue };
            let used = self.addresses.usage(address).and_then(|usage| usage.used.get(protocol as usize).copied());
            if used.is_none_or(|used| used >= ports.count()) {
                continue;
            }
            if let Some(port) = self.port_of(protocol, address, ports, host.port) {
                return Some((address, port));
            }
            searched += 1;
            if searched >= ADDRESSES {
                break;
            }
        }
        None
    }

    /// A free port of `address`, as like to `wanted` as can be.
    fn port_of(&mut self, protocol: Protocol, address: u32, ports: Ports, wanted: u16) -> Option<u16> {
        if ports.contains(wanted) && self.is_free(protocol, address, wanted) {
            return Some(wanted);
        }
        for ports in ports.by_kind(wanted) {
            let found =
                self.draw(protocol, address, ports, wanted).or_else(|| self.scan(protocol, address, ports, wanted));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn draw(&mut self, protocol: Protocol, address: u32, ports: Ports, wanted: u16) -> Option<u16> {
        for _ in 0..if ports.count() > 0 { DRAWS } else { 0 } {
            let drawn = ports.first + self.random.below(ports.count()) as u16;
            let port = if protocol == Protocol::Udp { drawn ^ ((drawn ^ wanted) & 1) } else { drawn };
            if ports.contains(port) && self.is_free(protocol, address, port) {
                return Some(port);
            }
        }
        None
    }

    fn scan(&mut self, protocol: Protocol, address: u32, ports: Ports, wanted: u16) -> Option<u16> {
        let cursor = self.addresses.usage(address)?.cursor;
        let mut port = if ports.contains(cursor) { cursor } else { ports.first };
        let mut other = None;
        for _ in 0..SCAN.min(ports.count()) {
            let here = port;
            port = if here >= ports.last { ports.first } else { here + 1 };
            if !self.is_free(protocol, address, here) {
                continue;
            }
            if protocol != Protocol::Udp || (here ^ wanted) & 1 == 0 {
                other = Some(here);
                break;
            }
            other = other.or(Some(here));
        }
        if let Some(usage) = self.addresses.usage_mut(address) {
            usage.cursor = port;
        }
        other
    }

    fn in_own_blocks(&mut self, protocol: Protocol, host: Endpoint6, prefix: u32, size: u16) -> Option<(u32, u16)> {
        let mut at = self.prefixes.get(prefix)?.blocks;
        let mut scans = SCAN;
        for _ in 0..BLOCKS {
            let Some(block) = self.blocks.get(at).copied() else { break };
            at = block.next;
            let ports = block_ports(block.number, size);
            let kept = ports.contains(host.port) && self.is_free(protocol, block.address, host.port);
            let found = if kept {
                Some(host.port)
            } else if scans >= u32::from(size) {
                scans -= u32::from(size);
                self.port_in_block(protocol, block.address, ports, host.port)
            } else {
                let port = ports.first + self.random.below(ports.count()) as u16;
                self.is_free(protocol, block.address, port).then_some(port)
            };
            if let Some(port) = found {
                return Some((block.address, port));
            }
        }
        None
    }

    fn in_new_block(&mut self, protocol: Protocol, host: Endpoint6, size: u16) -> Option<(u32, u16)> {
        let mut searched = 0;
        for number in self.paired(u128::from(network(host.address))) {
            let Some((address, ports)) = self.addresses.nth(number) else { continue };
            let (first, end) = ports.blocks(size);
            let taken = self.addresses.usage(address).map_or(0, |usage| usage.blocks);
            if taken >= end - first {
                continue;
            }
            let start = first + self.random.below(u32::from(end - first)) as u16;
            for number in (start..end).chain(first..start) {
                if self.find_block(address, number).is_some() {
                    continue;
                }
                if let Some(port) = self.port_in_block(protocol, address, block_ports(number, size), host.port) {
                    return Some((address, port));
                }
            }
            searched += 1;
            if searched >= ADDRESSES {
                break;
            }
        }
        None
    }

    /// A free port of a block, from a random one on; for UDP with the parity of `wanted` if there is one.
    fn port_in_block(&mut self, protocol: Protocol, address: u32, ports: Ports, wanted: u16) -> Option<u16> {
        if ports.contains(wanted) && self.is_free(protocol, address, wanted) {
            return Some(wanted);
        }
        let start = ports.first + self.random.below(ports.count()) as u16;
        let mut free = (start..=ports.last).chain(ports.first..start).filter(|&p| self.is_free(protocol, address, p));
        if protocol != Protocol::Udp {
            return free.next();
        }
        let first = free.next()?;
        if (first ^ wanted) & 1 == 0 { Some(first) } else { free.find(|p| (p ^ wanted) & 1 == 0).or(Some(first)) }
    }

    pub(super) fn find_block(&self, address: u32, number: u16) -> Option<u32> {
        self.by_block.find(self.hasher.block(address, number), |id| {
            self.blocks.get(id).is_some_and(|block| block.address == address && block.number == number)
        })
    }

    /// Counts a mapping in its block, which its /64 is given if nobody has it. False: another has it, or it is not of
    /// the pool.
    pub(super) fn take_block(&mut self, bib: &Bib) -> bool {
        let Some(size) = self.settings.port_block else { return true };
        let number = bib.port / size;
        let network = network(bib.host);
        if let Some(block) = self.find_block(bib.address, number).and_then(|id| self.blocks.get_mut(id)) {
            if block.network == network {
                block.used += 1;
            }
            return block.network == network;
        }
        let within = self.addresses.ports(bib.address).map_or((0, 0), |ports| ports.blocks(size));
        let Some(prefix) = self.prefixes.get_mut(bib.prefix) else { return false };
        if !(within.0..within.1).contains(&number) {
            return false;
        }
        let next = prefix.blocks;
        let id = self.blocks.insert(Block { network, address: bib.address, next, used: 1, number });
        let (hasher, blocks) = (&self.hasher, &self.blocks);
        let hash_of = |id| blocks.get(id).map_or(0, |block| hasher.block(block.address, block.number));
        if !self.by_block.insert(hasher.block(bib.address, number), id, hash_of) {
            self.blocks.remove(id);
            return false;
        }
        prefix.blocks = id;
        if let Some(usage) = self.addresses.usage_mut(bib.address) {
            usage.blocks += 1;
        }
        if self.settings.log {
            self.log.push(LogEvent::BlockAssigned(block_line(network, bib.address, number, size)));
        }
        true
    }

    /// Counts a mapping less in its block, which is free again after the last.
    pub(super) fn give_block_back(&mut self, bib: &Bib) {
        let Some(size) = self.settings.port_block else { return };
        let number = bib.port / size;
        let Some(id) = self.find_block(bib.address, number) else { return };
        let Some(block) = self.blocks.get_mut(id) else { return };
        if block.used > 1 {
            block.used -= 1;
            return;
        }
        let (network, next) = (block.network, block.next);
        self.unlink(bib.prefix, id, next);
        self.by_block.remove(self.hasher.block(bib.address, number), id);
        self.blocks.remove(id);
        if let Some(usage) = self.addresses.usage_mut(bib.address) {
            usage.blocks = usage.blocks.saturating_sub(1);
        }
        if self.settings.log {
            self.log.push(LogEvent::BlockReleased(block_line(network, bib.address, number, size)));
        }
    }

    /// Logs that all blocks are free again, before they are sorted anew.
    pub(super) fn log_all_released(&mut self) {
        let Some(size) = self.settings.port_block.filter(|_| self.settings.log) else { return };
        for (_, block) in self.blocks.iter() {
            self.log.push(LogEvent::BlockReleased(block_line(block.network, block.address, block.number, size)));
        }
    }

    /// Takes block `id` out of its prefix's list.
    fn unlink(&mut self, prefix: u32, id: u32, next: u32) {
        let Some(prefix) = self.prefixes.get_mut(prefix) else { return };
        if prefix.blocks == id {
            prefix.blocks = next;
            return;
        }
        let mut at = prefix.blocks;
        while at != NONE {
            let Some(block) = self.blocks.get_mut(at) else { return };
            if block.next == id {
                block.next = next;
                return;
            }
            at = block.next;
        }
    }
}

/// The ports of a block.
pub(super) fn block_ports(number: u16, size: u16) -> Ports {
    let first = u32::from(number) * u32::from(size);
    Ports { first: first as u16, last: (first + u32::from(size.max(1)) - 1) as u16 }
}

fn block_line(network: u64, address: u32, number: u16, size: u16) -> BlockLine {
    let ports = block_ports(number, size);
    BlockLine { prefix: prefix_address(network), address: Ipv4Addr::from(address), ports: ports.first..=ports.last }
}
