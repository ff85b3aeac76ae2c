//! Changes of links and addresses at the host, put together to the whole state of each link that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use portreeve_config::Ipv6Prefix;
use portreeve_sdk::facts::{Fact, Value};
use portreeve_sdk::futures::future::LocalBoxFuture;
use portreeve_sdk::links::{Address, Change, Link, Watch};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, clock, ip};

use super::now;
use crate::engine::{Delegated, InterfaceAddress, LinkState};
use crate::{Config, Engine};

#[derive(Default)]
pub struct LinkBook {
    /// None while the configuration names no interface: then nothing may be followed either.
    watch: Option<Rc<Watch>>,
    /// The call that waits at the host.
    waiting: Option<LocalBoxFuture<'static, Vec<Change>>>,
    links: BTreeMap<u32, Entry>,
    /// Prefixes by interface.
    given: BTreeMap<String, Vec<(Ipv6Prefix, Until)>>,
}

/// When a prefix ends, in `clock.instant` nanoseconds; none for never.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Until {
    preferred: Option<u64>,
    valid: Option<u64>,
}

#[derive(Default)]
struct Entry {
    state: LinkState,
    addresses: BTreeMap<(Ipv6Addr, u8), InterfaceAddress>,
}

impl LinkBook {
    /// Follows links from now on, if the configuration names any. True if it does for the first time.
    pub fn follow(&mut self, config: &Config) -> Result<bool, Failure> {
        if self.watch.is_some() || config.patterns().next().is_none() {
            return Ok(false);
        }
        let failed = |code: ErrorCode| Failure::Other(format!("cannot follow links: {}", code.name()));
        self.watch = Some(Rc::new(Watch::open().map_err(failed)?));
        Ok(true)
    }

    /// Waits for changes and hands them to the engine. Dropping the future keeps the call.
    pub async fn apply(&mut self, engine: &mut Engine) {
        let Some(watch) = &self.watch else { return core::future::pending().await };
        let waiting = self.waiting.get_or_insert_with(|| {
            let watch = watch.clone();
            Box::pin(async move { watch.next().await })
        });
        let changes = waiting.await;
        self.waiting = None;
        let mut touched = BTreeSet::new();
        for change in changes {
            match change {
                Change::Link(link) => {
                    touched.insert(link.index);
                    self.links.entry(link.index).or_default().set(link);
                }
                Change::LinkGone(index) => {
                    touched.remove(&index);
                    self.links.remove(&index);
                    engine.handle_link_removed(index, now());
                }
                Change::Address(address) => {
                    touched.insert(address.index);
                    self.links.entry(address.index).or_default().set_address(address);
                }
                Change::AddressGone((index, prefix)) => {
                    touched.insert(index);
                    if let (Some(entry), IpAddr::V6(address)) = (self.links.get_mut(&index), ip(prefix.address)) {
                        entry.addresses.remove(&(address, prefix.length));
                    }
                }
            }
        }
        for index in touched {
            if let Some(entry) = self.links.get(&index) {
                engine.handle_link(self.whole(entry), now());
            }
        }
    }

    /// Prefixes that were given to interfaces, all of them.
    pub fn give(&mut self, facts: Vec<Fact>, engine: &mut Engine) {
        let mut given: BTreeMap<String, Vec<(Ipv6Prefix, Until)>> = BTreeMap::new();
        for fact in facts {
            if let Value::DelegatedPrefix(value) = fact.value
                && let (Some(interface), IpAddr::V6(address)) = (value.interface, ip(value.prefix.address))
            {
                let prefix = Ipv6Prefix::containing(address, value.prefix.length);
                let until = Until { preferred: value.preferred_until, valid: value.valid_until };
                given.entry(interface).or_default().push((prefix, until));
            }
        }
        let old = std::mem::replace(&mut self.given, given);
        for entry in self.links.values() {
            if old.get(&entry.state.name) != self.given.get(&entry.state.name) {
                engine.handle_link(self.whole(entry), now());
            }
        }
    }

    fn whole(&self, entry: &Entry) -> LinkState {
        let left = |until: Option<u64>| {
            until.map(|at| u32::try_from(at.saturating_sub(clock::now()) / 1_000_000_000).unwrap_or(u32::MAX - 1))
        };
        let delegated = self.given.get(&entry.state.name).into_iter().flatten().map(|(prefix, until)| Delegated {
            prefix: *prefix,
            valid_lifetime: left(until.valid),
            preferred_lifetime: left(until.preferred),
        });
        let addresses = entry.addresses.values().copied().collect();
        LinkState { addresses, delegated: delegated.collect(), ..entry.state.clone() }
    }
}

impl Entry {
    fn set(&mut self, link: Link) {
        self.state = LinkState {
            name: link.name,
            index: link.index,
            mac: (!link.mac.is_empty()).then_some(link.mac),
            mtu: link.mtu,
            running: link.running,
            forwarding_off: link.ipv6_forwarding == Some(false),
            addresses: Vec::new(),
            delegated: Vec::new(),
        };
    }

    fn set_address(&mut self, address: Address) {
        let IpAddr::V6(ip) = ip(address.address.address) else { return };
        let prefix_length = address.address.length;
        let known = InterfaceAddress {
            address: ip,
            prefix_length,
            // An address that another host holds can be used as little as one that is still checked.
            tentative: address.tentative || address.duplicate,
            deprecated: address.deprecated,
            valid_lifetime: address.valid_lifetime,
            preferred_lifetime: address.preferred_lifetime,
        };
        self.addresses.insert((ip, prefix_length), known);
    }
}
