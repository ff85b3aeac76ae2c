//! The engine: what is there goes in, what should be comes out. The only type a shim talks to.
//!
//! `handle_*` takes what the host tells: links, hardware, addresses, delegated prefixes, the answer to an apply.
//! [`Engine::poll_action`] is asked until it has nothing more; only a `handle_*` or [`Engine::reconfigure`] can change
//! its answer. It asks for an apply when what should be is different ([`Engine::state`]) or when the kernel has
//! forgotten some of it: a link came back or up, an address or a member of ours went. What an apply itself brings about
//! is expected and asks for nothing. One apply is under way at a time.
//!
//! Parts: `engine/names.rs` (which link has which name), `engine/news.rs` (what of the host's news is news),
//! `engine/plan.rs` and `engine/order.rs` (what should be), `engine/pools.rs` (delegated prefixes), `engine/hold.rs`
//! (why the first apply may wait), `engine/health.rs` (retries, ready and degraded), `engine/status.rs` (for people),
//! `engine/types.rs` (the values).

mod health;
mod hold;
mod names;
mod news;
mod order;
mod plan;
mod pools;
mod status;
mod types;

pub use types::{
    Action, Delegated, Hardware, HeldAddress, InterfaceState, InterfaceStatus, Link, Outcome, PoolStatus, Problem,
    Status, SubnetFact,
};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use portreeve_config::Pattern;
use portreeve_network::{Prefix, State};

use crate::{Config, Instant};
use health::Health;
use hold::Hold;
use names::Names;
use plan::Plan;
use pools::Pools;

/// See the module.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    /// The names and patterns that the section speaks of.
    names: HashSet<String>,
    patterns: Vec<Pattern>,
    links: BTreeMap<u32, Link>,
    hardware: BTreeMap<u32, Hardware>,
    /// Addresses that somebody else has, and those that are still being checked.
    duplicates: BTreeSet<(u32, Prefix)>,
    tentative: BTreeSet<(u32, Prefix)>,
    pools: Pools,
    health: Health,
    /// The latest time that was told.
    now: Instant,
    plan: Plan,
    asked: Option<Plan>,
    /// What the last plan says of each interface: its addresses, and its controller.
    own: HashMap<String, HashSet<Prefix>>,
    members: HashSet<String>,
    /// Links that the last apply makes or sets up: that they come is no news.
    coming: HashSet<String>,
    published: BTreeMap<String, SubnetFact>,
    queue: VecDeque<Action>,
    /// The plan is to be made anew.
    stale: bool,
    /// An apply is needed though the plan is the same.
    forgotten: bool,
    applying: bool,
    /// Ready or degraded is to be judged anew.
    doubtful: bool,
    refresh_at: Option<Instant>,
    /// Waits with the first apply.
    hold: Hold,
}

impl Engine {
    /// Of a section, knowing no link yet. Its first action is an apply.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut engine = Self {
            config: Config::default(),
            names: HashSet::new(),
            patterns: Vec::new(),
            links: BTreeMap::new(),
            hardware: BTreeMap::new(),
            duplicates: BTreeSet::new(),
            tentative: BTreeSet::new(),
            pools: Pools::default(),
            health: Health::default(),
            now: Instant::ZERO,
            plan: Plan::default(),
            asked: None,
            own: HashMap::new(),
            members: HashSet::new(),
            coming: HashSet::new(),
            published: BTreeMap::new(),
            queue: VecDeque::new(),
            stale: true,
            forgotten: false,
            applying: false,
            doubtful: false,
            refresh_at: None,
            hold: Hold::default(),
        };
        engine.reconfigure(config);
        engine
    }

    /// Another section in the place of the old one.
    pub fn reconfigure(&mut self, config: Config) {
        let all: Vec<&str> = config.interfaces().into_iter().chain(config.route_interfaces()).collect();
        self.names = all.iter().filter(|name| !name.contains('*')).map(|name| (*name).to_owned()).collect();
        self.patterns = all.iter().filter(|name| name.contains('*')).filter_map(|name| Pattern::new(name)).collect();
        self.config = config;
        let _ = self.pools.update(&self.config, self.now);
        self.health.forgive();
        self.stale = true;
        self.doubtful = true;
    }

    /// A link is new or different.
    pub fn handle_link(&mut self, link: Link) {
        if !portreeve_network::is_interface_name(&link.name) {
            // Nothing can be stated of it, whatever pattern its name matches.
            return self.handle_link_gone(link.index);
        }
        // What an apply brings about comes down first and goes up then, or comes up at once.
        let news = self.is_concerned(&link.name) && !self.coming.contains(&link.name);
        match self.links.get(&link.index) {
            Some(old) if *old == link => return,
            Some(old) => {
                let renamed = old.name != link.name;
                self.stale |= renamed || old.mac != link.mac || old.kind != link.kind;
                let came_up = !old.up && link.up;
                let left = old.controller.is_some() && link.controller.is_none() && self.members.contains(&link.name);
                self.forgotten |= (news && (came_up || renamed)) || left;
                self.forgotten |= renamed && self.own.contains_key(&old.name);
            }
            None => {
                self.stale = true;
                self.forgotten |= news;
            }
        }
        if link.up {
            self.coming.remove(&link.name);
        }
        self.links.insert(link.index, link);
    }

    /// A link is gone, and its addresses with it.
    pub fn handle_link_gone(&mut self, index: u32) {
        let Some(link) = self.links.remove(&index) else { return };
        self.stale = true;
        self.forgotten |= self.is_concerned(&link.name);
        self.hardware.remove(&index);
        for set in [&mut self.duplicates, &mut self.tentative] {
            set.retain(|(owner, _)| *owner != index);
        }
        self.doubtful = true;
    }

    /// All that is known of the links' hardware; it takes the place of what was told before.
    pub fn handle_hardware(&mut self, list: Vec<Hardware>) {
        let hardware: BTreeMap<u32, Hardware> = list.into_iter().map(|hardware| (hardware.index, hardware)).collect();
        if hardware != self.hardware {
            self.hardware = hardware;
            self.stale |= self.config.sees_all_links();
        }
    }

    /// An address is new or different.
    pub fn handle_address(&mut self, address: HeldAddress) {
        let key = (address.index, address.address);
        if self.asked.is_none() {
            self.hold.note(address.index, address.address);
        }
        for (set, holds) in
            [(&mut self.duplicates, address.duplicate), (&mut self.tentative, address.tentative && !address.duplicate)]
        {
            self.doubtful |= if holds { set.insert(key) } else { set.remove(&key) };
        }
    }

    /// An address is gone while its link stays.
    pub fn handle_address_gone(&mut self, index: u32, address: Prefix) {
        let known = self.duplicates.remove(&(index, address)) | self.tentative.remove(&(index, address));
        self.doubtful |= known;
        self.hold.forget(index, address);
        self.forgotten |= self.is_own(index, address);
    }

    /// All prefixes that other plugins were given.
    pub fn handle_delegated(&mut self, list: Vec<Delegated>, now: Instant) {
        self.advance(now);
        self.stale |= self.pools.offer(list, &self.config, self.now);
    }

    /// What came of the apply that was asked for last.
    pub fn handle_applied(&mut self, outcome: Outcome, now: Instant) {
        self.advance(now);
        self.applying = false;
        self.doubtful = true;
        self.health.applied(outcome, self.now);
        // Halfway through its lifetimes an address is given new ones.
        let half = self.plan.shortest.map(|seconds| Duration::from_secs((u64::from(seconds) / 2).max(1)));
        self.refresh_at = half.map(|half| self.now + half);
    }

    /// The time of [`Engine::poll_timeout`] has come; earlier calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.stale |= self.pools.update(&self.config, self.now);
        self.forgotten |= self.health.take_retry(self.now);
        self.forgotten |= self.refresh_at.take_if(|at| *at <= self.now).is_some();
        self.doubtful = true;
    }

    /// When [`Engine::handle_timeout`] is to be called; any `handle_*` may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [self.health.next_timeout(self.now), self.refresh_at, self.pools.next_end(self.now), self.hold_end()];
        all.into_iter().flatten().min()
    }

    /// What is to be done next; to be asked until there is nothing more.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.stale {
            self.stale = false;
            self.replan();
        }
        if let Some(action) = self.queue.pop_front() {
            return Some(action);
        }
        if self.is_held() {
            return None;
        }
        let new = self.asked.as_ref().is_none_or(|asked| !asked.is_same_work(&self.plan));
        if !self.applying && (new || self.forgotten) {
            self.forgotten = false;
            self.applying = true;
            self.asked = Some(self.plan.clone());
            self.hold.end();
            self.foresee();
            return Some(Action::Apply);
        }
        if self.doubtful && !self.applying {
            self.doubtful = false;
            let problems = self.problems();
            return self.health.judge(self.missing(), &problems, self.now);
        }
        None
    }

    /// What should be now: for the links that are there, and for those to be made. What belongs to absent interfaces
    /// that are named exactly is in it, too; the host leaves it out and says so.
    #[must_use]
    pub fn state(&self) -> State {
        self.plan.state(|name, index| self.links.get(&index).is_some_and(|link| link.name == name), self.now)
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.hold.begin(self.now);
    }

    fn replan(&mut self) {
        let names = Names::new(&self.config, &self.links, &self.hardware);
        let plan = Plan::new(&self.config, &names, &self.pools);
        self.own.clear();
        for address in plan.addresses() {
            self.own.entry(address.interface.clone()).or_default().insert(address.address);
        }
        self.members = plan.link_list().iter().filter(|it| it.controller.is_some()).map(|it| it.name.clone()).collect();
        self.doubtful |= plan.problems != self.plan.problems || plan.missing != self.plan.missing;
        for (key, fact) in &plan.facts {
            if self.published.get(key) != Some(fact) {
                self.queue.push_back(Action::Publish { key: key.clone(), fact: fact.clone() });
            }
        }
        for key in self.published.keys().filter(|key| !plan.facts.contains_key(*key)) {
            self.queue.push_back(Action::Withdraw { key: key.clone() });
        }
        self.published.clone_from(&plan.facts);
        self.plan = plan;
    }
}
