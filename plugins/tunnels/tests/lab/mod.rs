//! An engine on a clock that the test turns, with a host that does what it is told: it makes links as they are stated,
//! knows the kinds that the test gives it, and opens every path.
#![allow(dead_code, reason = "each test file uses a part of it")]

use core::time::Duration;
use std::net::IpAddr;

use portreeve_network::{Kind, Link as WantedLink, Prefix, State};
use portreeve_tunnels::engine::{Action, Link, Outcome, PathEvent, PathSettings, Problem, Published, Row};
use portreeve_tunnels::{Config, Engine, Instant};

pub const SECOND: Duration = Duration::from_secs(1);
pub const SIXBONE: &str = r#"(tunnels: {"sixbone": (kind: SixInFour(remote: "192.0.2.1"), addresses: ["2001:db8:1::2/64"],
    routes: [(to: "::/0", via: "2001:db8:1::1")])})"#;
pub const NAMED: &str = r#"(tunnels: {"sixbone": (kind: SixInFour(remote: "pop.example"))})"#;
pub const FOLLOWING: &str =
    r#"(tunnels: {"sixbone": (kind: SixInFour(remote: "192.0.2.1", local: Interface("wan0"), path: Userspace))})"#;
pub const WATCHED: &str = r#"(tunnels: {"sixbone": (kind: SixInFour(remote: "pop.example"), addresses: ["2001:db8:1::2/64"],
    routes: [(to: "::/0", via: "2001:db8:1::1")], source_routes: [(from: "2001:db8:60::/60", table: 100)],
    keepalive: (target: "2001:db8:1::1", interval: "10s", timeout: "30s"), failover: true)})"#;

pub fn published(up: bool) -> Action {
    let fact = Published { up, mtu: 1480, local: None, remote: None };
    Action::Publish { key: "sixbone".into(), interface: "sixbone".into(), fact }
}

pub fn opened(actions: &[Action]) -> Option<&PathSettings> {
    actions.iter().find_map(|action| match action {
        Action::OpenPath { settings, .. } | Action::UpdatePath { settings, .. } => Some(settings),
        _ => None,
    })
}

pub fn remote_of(lab: &Lab) -> Option<String> {
    match lab.state().links.first()?.make.clone()? {
        Kind::Sit(sit) => sit.remote.map(|address| address.to_string()),
        _ => None,
    }
}

/// Sequence numbers of the echo requests among actions.
pub fn requests(done: &[(Duration, Action)]) -> Vec<u16> {
    let number = |(_, action): &(Duration, Action)| match action {
        Action::SendEcho { sequence, .. } => Some(*sequence),
        _ => None,
    };
    done.iter().filter_map(number).collect()
}

pub const WAN: u32 = 2;

pub struct Lab {
    pub engine: Engine,
    pub now: Instant,
    /// Kinds of links that the kernel has.
    pub kinds: Vec<&'static str>,
    /// What the kernel says to links of a kind although it was said to have it.
    pub refuses: Vec<&'static str>,
    /// Whether paths open at once.
    pub opens: bool,
    /// Our end and the other one, as others were told last.
    pub told_ends: Option<(Option<IpAddr>, Option<IpAddr>)>,
    told: std::collections::BTreeMap<String, Published>,
    links: Vec<(u32, WantedLink)>,
    next: u32,
}

pub fn config(section: &str) -> Config {
    Config::parse(section).unwrap_or_else(|list| panic!("{list:?}")).0
}

pub fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

pub fn addresses(list: &[&str]) -> Result<Vec<IpAddr>, String> {
    Ok(list.iter().map(|text| text.parse().unwrap()).collect())
}

impl Lab {
    pub fn new(section: &str, kinds: &[&'static str]) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let engine = Engine::new(&config(section), now);
        let mut lab = Self {
            engine,
            now,
            kinds: kinds.to_vec(),
            refuses: vec![],
            opens: true,
            told_ends: None,
            told: Default::default(),
            links: vec![],
            next: 10,
        };
        lab.engine.handle_link(
            Link { index: WAN, name: "wan0".into(), up: true, running: true, mtu: 1500, ..Link::default() },
            now,
        );
        lab
    }

    /// Does what is to be done until there is nothing left, and gives it: all but questions for kinds, which are
    /// answered, and applies, which are carried out.
    pub fn run(&mut self) -> Vec<Action> {
        let mut rest = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::AskSupport(kind) => {
                    let known = self.kinds.contains(&kind);
                    self.engine.handle_support(kind, known, "module not found".into(), self.now);
                }
                Action::Apply => {
                    rest.push(Action::Apply);
                    self.apply();
                }
                Action::OpenPath { tunnel, settings } => {
                    if self.opens {
                        self.engine.handle_path_event(&tunnel, PathEvent::Open, self.now);
                    }
                    rest.push(Action::OpenPath { tunnel, settings });
                }
                // The ends are kept apart: most tests are about up and down.
                Action::Publish { key, interface, fact } => {
                    self.told_ends = Some((fact.local, fact.remote));
                    let told = Published { local: None, remote: None, ..fact };
                    if self.told.insert(key.clone(), told) != Some(told) {
                        rest.push(Action::Publish { key, interface, fact: told });
                    }
                }
                Action::Withdraw { key } => {
                    self.told.remove(&key);
                    rest.push(Action::Withdraw { key });
                }
                other => rest.push(other),
            }
        }
        rest
    }

    fn apply(&mut self) {
        let state = self.engine.state();
        let mut problems = Vec::new();
        let wanted: Vec<_> = state.links.iter().map(|link| link.name.clone()).collect();
        let gone: Vec<_> = self.links.iter().filter(|(_, link)| !wanted.contains(&link.name)).cloned().collect();
        for (index, _) in gone {
            self.links.retain(|(known, _)| *known != index);
            self.engine.handle_link_gone(index, self.now);
        }
        for link in state.links {
            let kind = link.make.as_ref().unwrap().name();
            let old = self.links.iter().position(|(_, known)| known.name == link.name);
            if self.refuses.contains(&kind) {
                problems.push(Problem {
                    object: format!("link {}", link.name),
                    message: "operation not supported".into(),
                    not_supported: true,
                });
                continue;
            }
            if old.is_some_and(|at| self.links[at].1 == link) {
                continue;
            }
            let index = match old {
                Some(at) => {
                    self.links[at].1 = link.clone();
                    self.links[at].0
                }
                None => {
                    self.next += 1;
                    self.links.push((self.next, link.clone()));
                    self.next
                }
            };
            let up = link.up == Some(true);
            let (name, mtu) = (link.name, link.mtu.unwrap());
            self.engine.handle_link(Link { index, name, kind: kind.into(), up, running: up, mtu }, self.now);
        }
        self.engine.handle_applied(Outcome { waiting: vec![], problems }, self.now);
    }

    /// Somebody removes a link.
    pub fn remove_link(&mut self, name: &str) {
        let at = self.links.iter().position(|(_, link)| link.name == name).unwrap();
        let (index, _) = self.links.remove(at);
        self.engine.handle_link_gone(index, self.now);
    }

    /// Lets time pass, timer by timer, and gives what was done and when, counted from now.
    pub fn pass(&mut self, time: Duration) -> Vec<(Duration, Action)> {
        let (start, end) = (self.now, self.now + time);
        let mut done: Vec<_> = self.run().into_iter().map(|action| (Duration::ZERO, action)).collect();
        for _ in 0..10_000 {
            let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) else { break };
            assert!(at > self.now, "a timer that is due forever: {at:?} at {:?}", self.now);
            self.now = at;
            self.engine.handle_timeout(at);
            let passed = self.now.since(start);
            done.extend(self.run().into_iter().map(|action| (passed, action)));
        }
        self.now = end;
        self.engine.handle_timeout(end);
        done.extend(self.run().into_iter().map(|action| (time, action)));
        done
    }

    pub fn reconfigure(&mut self, section: &str) -> Vec<Action> {
        self.engine.reconfigure(&config(section), self.now);
        self.run()
    }

    pub fn resolved(&mut self, name: &str, result: Result<Vec<IpAddr>, String>) -> Vec<Action> {
        self.engine.handle_resolved(name, result, self.now);
        self.run()
    }

    pub fn wan_address(&mut self, text: &str) -> Vec<Action> {
        self.engine.handle_address(WAN, prefix(text), true, self.now);
        self.run()
    }

    pub fn state(&self) -> State {
        self.engine.state()
    }

    pub fn row(&self, name: &str) -> Row {
        self.engine.status().into_iter().find(|row| row.name == name).unwrap()
    }

    /// Which kind of link a tunnel is stated as.
    pub fn kind(&self, name: &str) -> Option<&'static str> {
        self.state().links.iter().find(|link| link.name == name).map(|link| link.make.as_ref().unwrap().name())
    }
}
