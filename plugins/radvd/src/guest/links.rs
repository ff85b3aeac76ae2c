//! Changes of links and addresses at the host, put together to the whole state of each link that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use portreeve_sdk::futures::future::LocalBoxFuture;
use portreeve_sdk::links::{Address, Change, Link, Watch};
use portreeve_sdk::{Failure, ip};

use super::now;
use crate::Engine;
use crate::engine::{InterfaceAddress, LinkState};

pub struct LinkBook {
    watch: Rc<Watch>,
    /// The call that waits at the host.
    waiting: Option<LocalBoxFuture<'static, Vec<Change>>>,
    links: BTreeMap<u32, Entry>,
}

#[derive(Default)]
struct Entry {
    state: LinkState,
    addresses: BTreeMap<(Ipv6Addr, u8), InterfaceAddress>,
}

impl LinkBook {
    pub fn open() -> Result<Self, Failure> {
        let watch = Watch::open().map_err(|code| Failure::Other(format!("cannot follow links: {}", code.name())))?;
        Ok(Self { watch: Rc::new(watch), waiting: None, links: BTreeMap::new() })
    }

    /// Waits for changes and hands them to the engine. Dropping the future keeps the call.
    pub async fn apply(&mut self, engine: &mut Engine) {
        let watch = &self.watch;
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
                let addresses = entry.addresses.values().copied().collect();
                engine.handle_link(LinkState { addresses, ..entry.state.clone() }, now());
            }
        }
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
            addresses: Vec::new(),
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
