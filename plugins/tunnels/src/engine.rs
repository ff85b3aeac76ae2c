//! All tunnels of the section, without a socket, a clock or a kernel.
//!
//! The shim tells what happens (`handle_*`) and does what it is told ([`Engine::poll_action`] until there is nothing
//! left, then wait until [`Engine::poll_timeout`]). It tells of the links and addresses that are there, then calls
//! [`Engine::handle_timeout`], before it polls for the first time: what is known then decides the first apply. Every
//! input may change what is polled next; one that says nothing new changes nothing.

mod carrier;
mod desired;
mod keepalive;
mod links;
mod names;
mod settle;
mod status;
mod support;
mod tunnel;
mod types;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use portreeve_network::Prefix;
use portreeve_packet::retry::Applies;

use crate::config::{Config, Path};
use crate::time::Instant;
use carrier::Carrier;
use links::Links;
use names::Names;
use support::Support;
use tunnel::{PathState, Runtime};

pub use keepalive::{Echoes, Life};
pub use names::REFRESH;
pub use portreeve_packet::retry::{FIRST_RETRY, LAST_RETRY};
pub use settle::START_PATIENCE;
pub use status::{Metrics, Row};
pub use types::{Action, Link, Outcome, PathEvent, PathRemote, PathSettings, Problem, Published};

/// Echo requests that may wait to be polled behind other actions; further ones are dropped, and count as lost. Other
/// actions come from changes and are never dropped.
pub const MAX_WAITING: usize = 1024;
/// Behind the loss of a link that was stated, until it is stated again.
const REMAKE: Duration = Duration::from_secs(1);

/// See the head of the file.
#[derive(Debug)]
pub struct Engine {
    tunnels: BTreeMap<String, Runtime>,
    names: Names,
    links: Links,
    support: Support,
    apply: Applies<portreeve_network::State>,
    actions: VecDeque<Action>,
    /// [`Action::Ready`] or [`Action::Degraded`], whichever was said last.
    health: Option<Action>,
    identifier: u16,
    started: Instant,
    now: Instant,
}

impl Engine {
    /// The tunnels of `config`, of which nothing is known yet.
    #[must_use]
    pub fn new(config: &Config, now: Instant) -> Self {
        let tunnels = config.tunnels().map(|t| (t.name.clone(), Runtime::new(t.clone(), now))).collect();
        Self {
            tunnels,
            names: Names::default(),
            links: Links::default(),
            support: Support::default(),
            apply: Applies::default(),
            actions: VecDeque::new(),
            health: None,
            identifier: 0,
            started: now,
            now,
        }
    }

    /// Goes on with another configuration: what is no longer in it ends, what is new begins, what is the same stays as
    /// it is.
    pub fn reconfigure(&mut self, config: &Config, now: Instant) {
        let gone: Vec<String> = self.tunnels.keys().filter(|name| config.tunnel(name).is_none()).cloned().collect();
        for name in gone {
            let Some(tunnel) = self.tunnels.remove(&name) else { continue };
            if tunnel.path != PathState::Closed {
                self.push(Action::ClosePath { tunnel: name.clone() });
            }
            if tunnel.published_prefix.is_some() {
                self.push(Action::Withdraw { key: prefix_key(&name) });
            }
            if tunnel.published.is_some() {
                self.push(Action::Withdraw { key: name });
            }
        }
        for tunnel in config.tunnels() {
            match self.tunnels.get_mut(&tunnel.name) {
                Some(runtime) => runtime.reconfigure(tunnel.clone(), now),
                None => drop(self.tunnels.insert(tunnel.name.clone(), Runtime::new(tunnel.clone(), now))),
            }
        }
        let mut asked = Vec::new();
        self.support.ask_again(&mut asked);
        self.actions.extend(asked);
        self.apply.problems.clear();
        self.settled(now);
    }

    /// Whether links of a kind can be made, and if not, why.
    pub fn handle_support(&mut self, kind: &str, available: bool, reason: String, now: Instant) {
        self.support.set(kind, if available { Ok(()) } else { Err(reason) });
        self.settled(now);
    }

    /// A link as it is now.
    pub fn handle_link(&mut self, link: Link, now: Instant) {
        let waited_for = self.apply.waiting.contains(&link.name);
        // While a link of ours is down the kernel forgets its routes, and of IPv6 its addresses.
        let was_down = self.links.named(&link.name).is_some_and(|old| !old.up);
        let came_up = link.up && was_down && self.states(|state| state.links.iter().any(|l| l.name == link.name));
        if came_up {
            self.apply.soon(now);
        }
        if self.links.set(link) && waited_for {
            self.apply.soon(now);
        }
        self.settled(now);
    }

    /// A link is no longer there.
    pub fn handle_link_gone(&mut self, index: u32, now: Instant) {
        let name = self.links.remove(index);
        let sent = self.apply.sent.as_ref();
        if sent.is_some_and(|state| state.links.iter().any(|link| Some(&link.name) == name.as_ref())) {
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
        let is_ours = |state: &portreeve_network::State| {
            state.addresses.iter().any(|a| Some(&a.interface) == name.as_ref() && a.address == address)
        };
        if self.states(is_ours) {
            self.apply.soon(now);
        }
        self.links.remove_address(index, address);
        self.settled(now);
    }

    /// Whether the state that was handed over last says so.
    fn states(&self, says: impl Fn(&portreeve_network::State) -> bool) -> bool {
        self.apply.sent.as_ref().is_some_and(says)
    }

    /// What the lookup of a name came to.
    pub fn handle_resolved(&mut self, name: &str, result: Result<Vec<IpAddr>, String>, now: Instant) {
        self.names.answered(name, result, now);
        self.settled(now);
    }

    /// What [`Action::Apply`] came to.
    pub fn handle_applied(&mut self, outcome: Outcome, now: Instant) {
        let mut other = Vec::new();
        let mut errors: BTreeMap<String, String> = BTreeMap::new();
        let failed = !outcome.problems.is_empty();
        for problem in outcome.problems {
            let Some(name) = self.tunnels.keys().find(|name| concerns(&problem.object, name)).cloned() else {
                other.push(format!("{}: {}", problem.object, problem.message));
                continue;
            };
            let Some(tunnel) = self.tunnels.get_mut(&name) else { continue };
            let kernel = tunnel.carrier == Carrier::Kernel && tunnel.config.path() == Path::Auto;
            if kernel && problem.not_supported && problem.object.starts_with("link ") {
                tunnel.refused = Some(problem.message);
            } else {
                errors.entry(name).or_insert_with(|| format!("{}: {}", problem.object, problem.message));
            }
        }
        for (name, tunnel) in &mut self.tunnels {
            tunnel.apply_error = errors.remove(name);
        }
        self.apply.waiting = outcome.waiting;
        self.apply.finished(failed, other, now);
        self.settled(now);
    }

    /// What a path did.
    pub fn handle_path_event(&mut self, tunnel: &str, event: PathEvent, now: Instant) {
        let name = tunnel;
        let mut ended = false;
        if let Some(tunnel) = self.tunnels.get_mut(name) {
            match event {
                PathEvent::Open => tunnel.path_opened(now),
                PathEvent::Failed(why) => ended = tunnel.path_ended(why, now),
                PathEvent::Closed => ended = tunnel.path_ended("the path ended".to_owned(), now),
                PathEvent::EchoReply { sequence } => {
                    if let Some(monitor) = &mut tunnel.monitor {
                        monitor.reply(sequence, now);
                    }
                }
            }
        }
        if ended {
            // The shim lets go of the device, so that it can be made again.
            self.push(Action::ClosePath { tunnel: name.to_owned() });
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

    fn push(&mut self, action: Action) {
        if self.actions.len() < MAX_WAITING || !matches!(action, Action::SendEcho { .. }) {
            self.actions.push_back(action);
        }
    }
}

/// The key of the fact that tells the prefix of a tunnel; its name has no `/`, so that no other fact has this key.
fn prefix_key(name: &str) -> String {
    format!("6rd/{name}")
}

/// Whether the object of a problem, such as `address 2001:db8::1/64 on lan0`, belongs to an interface.
fn concerns(object: &str, name: &str) -> bool {
    object.split([' ', ',']).any(|word| word == name)
}
