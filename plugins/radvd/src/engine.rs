//! The engine: every interface of the plugin, without a socket and without a clock.
//!
//! ```text
//!   handle_link, handle_nat64_prefixes, handle_servers,
//!   handle_packet, handle_timeout, reconfigure, stop                       (in, each with `now`)
//!                               │
//!            poll_event, poll_transmit until None; then sleep to poll_timeout   (out)
//! ```
//! After any `handle_*`, `reconfigure` or `stop` poll events first (a socket must be open before its packets), then
//! transmits, then the timeout; answers change only by these calls. A spurious call is a no-op. Time must not run
//! backwards to be useful, but nothing breaks if it does.
//!
//! Cost: a packet is one look-up by index; a timer is one step in an ordered index of deadlines. Only what is
//! published, `reconfigure`, `stop`, `status` and `is_drained` visit every interface.

mod advertisement;
mod content;
mod interface;
mod limit;
mod output;
mod published;
mod routers;
mod state;
mod timers;
mod types;
mod withdrawn;

pub use interface::{
    FINAL_INTERVAL, MAX_DELAYED_ANSWERS, MAX_FINAL_RTR_ADVERTISEMENTS, MAX_INITIAL_RTR_ADVERT_INTERVAL,
    MAX_INITIAL_RTR_ADVERTISEMENTS, MAX_RA_DELAY_TIME,
};
pub use limit::{INTERFACE_BURST, INTERFACE_REFILL, MAX_SOURCES, SOURCE_BURST, SOURCE_REFILL};
pub use output::{MAX_EVENTS, MAX_TRANSMITS};
pub use published::{MAX_FACTS, MAX_PUBLISHED_NAT64_PREFIXES, MAX_PUBLISHED_SERVERS, PublishedServer};
pub use routers::{FORGET_AFTER, MAX_ROUTERS, REPORT_INTERVAL};
pub use types::{
    Counters, Delegated, Event, Inconsistency, InterfaceAddress, InterfaceState, InterfaceStatus, InvalidCounts,
    LinkState, Nat64Status, PrefixStatus, Received, ServerStatus, Transmit,
};
pub use withdrawn::{
    MAX_STALE_PREFIXES, MAX_STALE_TIME, MAX_WITHDRAWN, STALE_VALID_LIFETIME, WITHDRAWAL_ADVERTISEMENTS,
};

use std::net::Ipv6Addr;

use crate::config::Config;
use crate::time::Instant;
use interface::Interface;
use output::Output;
use portreeve_config::Ipv6Prefix;
use published::Published;
use std::collections::{BTreeMap, BTreeSet};

/// All interfaces of the plugin.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    published: Published,
    interfaces: BTreeMap<u32, Interface>,
    /// Each interface's first deadline, and under which one it stands in `deadlines`.
    deadlines: BTreeSet<(Instant, u32)>,
    deadline_of: BTreeMap<u32, Instant>,
    /// Sockets the shim was told to open.
    open: BTreeSet<u32>,
    /// Open sockets whose link is gone: they must be closed even if a new link has the same index by now.
    stale: BTreeSet<u32>,
    /// Interfaces whose socket may have to be opened or closed.
    unsettled: BTreeSet<u32>,
    stopping: bool,
    out: Output,
}

impl Engine {
    /// An engine that knows no link yet. `seed` decides every random choice; it must differ between routers.
    pub fn new(config: Config, seed: u64, _now: Instant) -> Self {
        Self {
            config,
            published: Published::default(),
            interfaces: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            open: BTreeSet::new(),
            stale: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            stopping: false,
            out: Output::new(seed),
        }
    }

    /// The whole state of one link, new or changed. Links that are not configured are remembered for
    /// [`Self::reconfigure`].
    pub fn handle_link(&mut self, link: LinkState, now: Instant) {
        let index = link.index;
        let config = self.config.for_interface(&link.name).filter(|_| !self.stopping).cloned();
        let interface = self.interfaces.entry(index).or_insert_with(|| Interface::new(link.clone(), now));
        let offer = self.published.offer(&link.name);
        interface.set(link, offer, config, now, &mut self.out);
        self.settle(index, now);
    }

    /// All NAT64 prefixes that other plugins publish now, at most [`MAX_FACTS`]; those that no host could use are
    /// passed over. Interfaces with `pref64: Auto` advertise up to [`MAX_PUBLISHED_NAT64_PREFIXES`] of them.
    pub fn handle_nat64_prefixes(&mut self, prefixes: Vec<Ipv6Prefix>, now: Instant) {
        self.published.set_nat64_prefixes(prefixes);
        self.offer(now);
    }

    /// All DNS servers that other plugins publish now, at most [`MAX_FACTS`]; those that no host could ask are passed
    /// over. Interfaces with `rdnss: Auto` advertise up to [`MAX_PUBLISHED_SERVERS`] of them.
    pub fn handle_servers(&mut self, servers: Vec<PublishedServer>, now: Instant) {
        self.published.set_servers(servers);
        self.offer(now);
    }

    /// Tells every interface what is published for it.
    fn offer(&mut self, now: Instant) {
        let indexes: Vec<u32> = self.interfaces.keys().copied().collect();
        for index in indexes {
            if let Some(interface) = self.interfaces.get_mut(&index) {
                let offer = self.published.offer(interface.name());
                interface.set_offer(offer, now, &mut self.out);
            }
            self.settle(index, now);
        }
    }

    /// The link is gone; nothing more can be sent on it.
    pub fn handle_link_removed(&mut self, index: u32, now: Instant) {
        if self.interfaces.remove(&index).is_some() {
            if self.open.contains(&index) {
                self.stale.insert(index);
            }
            self.settle(index, now);
        }
    }

    /// A received router solicitation or advertisement. Anything else is counted; unknown interfaces are ignored.
    pub fn handle_packet(&mut self, received: Received<'_>, now: Instant) {
        let index = received.interface_index;
        if let Some(interface) = self.interfaces.get_mut(&index) {
            interface.handle_packet(&received, now, &mut self.out);
            self.settle(index, now);
        }
    }

    /// Does what is due. Calls before [`Self::poll_timeout`] do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, index)) = self.deadlines.first().copied() {
            if at > now || self.out.is_full() {
                break;
            }
            self.settle(index, now);
        }
    }

    /// A [`Transmit`] of this interface to `destination` could not be sent.
    pub fn handle_transmit_error(&mut self, interface_index: u32, destination: Ipv6Addr, now: Instant) {
        if let Some(interface) = self.interfaces.get_mut(&interface_index) {
            interface.handle_transmit_error(destination, now, &mut self.out);
            self.settle(interface_index, now);
        }
    }

    /// Takes another configuration. Interfaces whose part is the same notice nothing. After [`Self::stop`] it is
    /// ignored.
    pub fn reconfigure(&mut self, config: Config, now: Instant) {
        if self.stopping {
            return;
        }
        self.config = config;
        let indexes: Vec<u32> = self.interfaces.keys().copied().collect();
        for index in indexes {
            if let Some(interface) = self.interfaces.get_mut(&index) {
                let config = self.config.for_interface(interface.name()).cloned();
                interface.set_config(config, now, &mut self.out);
            }
            self.settle(index, now);
        }
    }

    /// Ends advertising on all interfaces: up to three final advertisements each, the first at once, then every
    /// [`FINAL_INTERVAL`]. [`Self::is_drained`] within 450 ms if the shim goes on polling.
    pub fn stop(&mut self, now: Instant) {
        if core::mem::replace(&mut self.stopping, true) {
            return;
        }
        let indexes: Vec<u32> = self.interfaces.keys().copied().collect();
        for index in indexes {
            if let Some(interface) = self.interfaces.get_mut(&index) {
                interface.stop(now, &mut self.out);
            }
            self.settle(index, now);
        }
    }

    /// Whether an interface is sending its final advertisements, for 450 ms at most.
    pub fn takes_leave(&self) -> bool {
        self.interfaces.values().any(Interface::takes_leave)
    }

    /// Whether everything is done after [`Self::stop`], and every packet polled.
    pub fn is_drained(&self) -> bool {
        self.stopping && self.out.transmits.is_empty() && self.interfaces.values().all(Interface::is_idle)
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; in the past when packets must be polled first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next socket to open or close, else the next event for the log.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(index) = self.unsettled.pop_first() {
            if self.stale.remove(&index) {
                self.open.remove(&index);
                self.unsettled.insert(index);
                return Some(Event::CloseSocket { index });
            }
            let wanted = self.interfaces.get(&index).filter(|interface| !interface.is_idle());
            match (wanted, self.open.contains(&index)) {
                (Some(interface), false) => {
                    self.open.insert(index);
                    return Some(Event::OpenSocket { index, name: interface.name().to_owned() });
                }
                (None, true) => {
                    self.open.remove(&index);
                    return Some(Event::CloseSocket { index });
                }
                (Some(_), true) | (None, false) => {}
            }
        }
        self.out.events.pop_front()
    }

    /// How many events for the log were dropped because nobody polled them.
    pub const fn events_dropped(&self) -> u64 {
        self.out.events_dropped
    }

    /// Every configured interface, those without a link last.
    pub fn status(&self, now: Instant) -> Vec<InterfaceStatus> {
        let mut list: Vec<_> = self.interfaces.values().filter_map(|interface| interface.status(now)).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        if !self.stopping {
            let names: BTreeSet<&str> = self.interfaces.values().map(Interface::name).collect();
            list.extend(self.config.exact_names().filter(|name| !names.contains(name)).map(missing));
        }
        list
    }

    /// Fires what is due on one interface and brings the indexes up to date.
    fn settle(&mut self, index: u32, now: Instant) {
        let mut deadline = None;
        if let Some(interface) = self.interfaces.get_mut(&index) {
            if !self.out.is_full() {
                interface.handle_timeout(now, &mut self.out);
            }
            deadline = interface.poll_timeout();
        }
        let known = self.deadline_of.get(&index).copied();
        if known != deadline {
            if let Some(at) = known {
                self.deadlines.remove(&(at, index));
                self.deadline_of.remove(&index);
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, index));
                self.deadline_of.insert(index, at);
            }
        }
        let wanted = self.interfaces.get(&index).is_some_and(|interface| !interface.is_idle());
        if wanted != self.open.contains(&index) {
            self.unsettled.insert(index);
        }
    }
}

fn missing(name: &str) -> InterfaceStatus {
    InterfaceStatus {
        name: name.to_owned(),
        index: None,
        state: InterfaceState::Missing,
        source: None,
        forwarding_off: false,
        prefixes: Vec::new(),
        servers: Vec::new(),
        nat64_prefixes: Vec::new(),
        counters: Counters::default(),
        last_advertisement_ago: None,
        next_advertisement_in: None,
        other_routers: Vec::new(),
    }
}
