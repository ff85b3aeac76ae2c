//! All instances of the section and the places where DNS64 is asked, without a socket, a clock or a kernel.
//!
//! The shim tells what happens (`handle_*`) and does what it is told ([`Engine::poll_action`] until there is nothing
//! left, then wait until [`Engine::poll_timeout`]). It tells of the links and addresses that are there (the instances'
//! devices, the interfaces of `dns64`), then calls [`Engine::handle_timeout`], before it polls for the first time. Every
//! input may change what is polled next; one that says nothing new changes nothing. Packets and questions do not come
//! here: the shim takes them to the data paths and the resolver that it opened on our word.

mod attempt;
mod desired;
mod instance;
mod links;
mod listeners;
mod lookup;
mod settle;
mod status;
mod types;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use portreeve_network::{Prefix, State};
use portreeve_packet::retry::Applies;

use crate::config::{Config, Dns64, IPV4ONLY, Pref64};
use crate::time::Instant;
use instance::Runtime;
use links::Links;
use listeners::Listeners;
use lookup::Lookup;

pub use instance::HOLD;
pub use listeners::MAX_LISTENING;
pub use lookup::REFRESH;
pub use portreeve_packet::retry::{FIRST_RETRY, LAST_RETRY};
pub use settle::START_PATIENCE;
pub use status::{ListenerRow, Row};
pub use types::{Action, Event, Link, Outcome, PathSettings, Problem, Socket, Transport};

/// Prefixes of other plugins that count; the rest is not looked at.
pub const MAX_FACTS: usize = 64;
/// Behind the loss of a device that was stated, until it is stated again.
const REMAKE: Duration = Duration::from_secs(1);

/// See the head of the file.
#[derive(Debug)]
pub struct Engine {
    instances: BTreeMap<String, Runtime>,
    dns64: Option<Arc<Dns64>>,
    forwarding: bool,
    links: Links,
    listeners: Listeners,
    lookup: Lookup,
    facts: Vec<Pref64>,
    apply: Applies<State>,
    /// All of them come from changes, so there are never more than a few for each instance and interface.
    actions: VecDeque<Action>,
    /// [`Action::Ready`] or [`Action::Degraded`], whichever was said last.
    health: Option<Action>,
    started: Instant,
    /// Since when the resolver is as it is configured.
    since: Instant,
    now: Instant,
}

impl Engine {
    /// The instances of `config`, of which nothing is known yet.
    #[must_use]
    pub fn new(config: &Config, now: Instant) -> Self {
        let instances = config.instances().map(|i| (i.name.clone(), Runtime::new(i.clone(), now))).collect();
        Self {
            instances,
            dns64: config.dns64().cloned(),
            forwarding: config.forwarding,
            links: Links::default(),
            listeners: Listeners::default(),
            lookup: Lookup::default(),
            facts: Vec::new(),
            apply: Applies::default(),
            actions: VecDeque::new(),
            health: None,
            started: now,
            since: now,
            now,
        }
    }

    /// Goes on with another configuration: what is no longer in it ends, what is new begins, what is the same stays as
    /// it is. What the resolver answers is the shim's to change over.
    pub fn reconfigure(&mut self, config: &Config, now: Instant) {
        let mut actions = Vec::new();
        self.instances.retain(|name, runtime| {
            let stays = config.instance(name).is_some();
            if !stays {
                runtime.end(now, &mut actions);
            }
            stays
        });
        for instance in config.instances() {
            match self.instances.get_mut(&instance.name) {
                Some(runtime) => runtime.reconfigure(instance.clone(), now, &mut actions),
                None => drop(self.instances.insert(instance.name.clone(), Runtime::new(instance.clone(), now))),
            }
        }
        if self.dns64.as_ref() != config.dns64() {
            self.dns64 = config.dns64().cloned();
            self.since = now;
        }
        self.forwarding = config.forwarding;
        self.apply.problems.clear();
        self.actions.extend(actions);
        self.settled(now);
    }

    /// A link as it is now.
    pub fn handle_link(&mut self, link: Link, now: Instant) {
        let waited_for = self.apply.waiting.contains(&link.name);
        // While a link of ours is down the kernel forgets its routes.
        let was_down = self.links.named(&link.name).is_some_and(|old| !old.up);
        let came_up = link.up && was_down && self.instances.contains_key(&link.name);
        if self.links.set(link) && waited_for || came_up {
            self.apply.soon(now);
        }
        self.settled(now);
    }

    /// A link is no longer there.
    pub fn handle_link_gone(&mut self, index: u32, now: Instant) {
        let name = self.links.remove(index);
        if self.states(|state| state.links.iter().any(|link| Some(&link.name) == name.as_ref())) {
            self.apply.soon(now + REMAKE);
        }
        self.settled(now);
    }

    /// An address of a link, and whether it can be sent from (no longer tentative, not deprecated).
    pub fn handle_address(&mut self, index: u32, address: Prefix, usable: bool, now: Instant) {
        self.links.set_address(index, address, usable);
        self.settled(now);
    }

    /// A link no longer has an address.
    pub fn handle_address_gone(&mut self, index: u32, address: Prefix, now: Instant) {
        let name = self.links.name(index);
        let is_ours =
            |state: &State| state.addresses.iter().any(|a| Some(a.interface.as_str()) == name && a.address == address);
        if self.states(is_ours) {
            self.apply.soon(now);
        }
        self.links.remove_address(index, address);
        self.settled(now);
    }

    /// Whether the state that was handed over last says so.
    fn states(&self, says: impl Fn(&State) -> bool) -> bool {
        self.apply.sent.as_ref().is_some_and(says)
    }

    /// The NAT64 prefixes that other plugins know now, in an order that stays; what is none of RFC 6052 does not count.
    pub fn handle_facts(&mut self, prefixes: &[Prefix], now: Instant) {
        let legal = prefixes.iter().filter_map(|prefix| Pref64::try_from(*prefix).ok());
        let facts: Vec<Pref64> = legal.take(MAX_FACTS).collect();
        if facts.len() < self.facts.len() {
            // Perhaps another network: the DNS knows.
            self.lookup.hurry(now);
        }
        self.facts = facts;
        self.settled(now);
    }

    /// What the lookup of a name came to: its IPv6 addresses.
    pub fn handle_resolved(&mut self, name: &str, result: Result<Vec<IpAddr>, String>, now: Instant) {
        if name == IPV4ONLY {
            self.lookup.answered(result, now);
        }
        self.settled(now);
    }

    /// What [`Action::Apply`] came to.
    pub fn handle_applied(&mut self, outcome: Outcome, now: Instant) {
        let failed = !outcome.problems.is_empty();
        let mut other = Vec::new();
        let mut errors: BTreeMap<String, String> = BTreeMap::new();
        for problem in outcome.problems {
            let text = format!("{}: {}", problem.object, problem.message);
            match self.instances.values().find(|runtime| concerns(&problem.object, runtime)) {
                Some(runtime) => drop(errors.entry(runtime.config.name.clone()).or_insert(text)),
                None => other.push(text),
            }
        }
        for (name, runtime) in &mut self.instances {
            runtime.apply_error = errors.remove(name);
        }
        self.apply.waiting = outcome.waiting;
        self.apply.finished(failed, other, now);
        self.settled(now);
    }

    /// What became of a path.
    pub fn handle_path(&mut self, instance: &str, event: Event, now: Instant) {
        let ended = self.instances.get_mut(instance).is_some_and(|runtime| runtime.path.handle(event, now));
        if ended {
            // The shim lets go of the device, so that it can be opened again.
            self.actions.push_back(Action::ClosePath { instance: instance.to_owned(), forget: false });
        }
        self.settled(now);
    }

    /// What became of a socket.
    pub fn handle_listener(&mut self, socket: &Socket, event: Event, now: Instant) {
        if self.listeners.handle(socket, event, now) {
            self.actions.push_back(Action::Unlisten(socket.clone()));
        }
        self.settled(now);
    }

    /// Time has passed. Too early or too often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settled(now);
    }

    /// When to call [`Engine::handle_timeout`] next. May be past.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_timeout()
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn settled(&mut self, now: Instant) {
        self.now = now;
        self.settle(now);
    }
}

/// Whether the object of a problem, such as `link nat64` or `route 64:ff9b::/96`, belongs to an instance.
fn concerns(object: &str, runtime: &Runtime) -> bool {
    let config = &runtime.config;
    let own = || runtime.routes.iter().copied().chain(config.masquerades()).map(|prefix| prefix.to_string());
    object.split([' ', ',']).any(|word| word == config.name || own().any(|prefix| prefix == word))
}
