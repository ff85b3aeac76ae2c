//! An engine on a clock that the test turns, with a host that does what it is told: it makes devices as they are stated,
//! opens every path and every socket unless the test says otherwise.
#![allow(dead_code, reason = "each test file uses a part of it")]

use core::time::Duration;
use std::net::IpAddr;

use portreeve_network::{Link as WantedLink, Prefix, State};
use portreeve_translator::engine::{Action, Event, Link, Outcome, PathSettings, Problem, Row, Socket};
use portreeve_translator::{Config, Engine, Instant};

pub const SECOND: Duration = Duration::from_secs(1);
pub const NAT64: &str = "()";
pub const CLAT: &str = r#"(instances: {"clat": Clat(address: "2001:db8:f::464", masquerade: ["192.168.1.0/24"])})"#;
pub const DNS: &str = r#"(dns64: (interfaces: ["lan*", "lo"], resolvers: ["192.0.2.53"]))"#;

pub struct Lab {
    pub engine: Engine,
    pub now: Instant,
    /// Whether paths and sockets open at once.
    pub opens: bool,
    /// Names of devices that the kernel refuses.
    pub refuses: Vec<&'static str>,
    /// Facts as they are published: key and value.
    pub facts: std::collections::BTreeMap<String, String>,
    pub listening: Vec<Socket>,
    links: Vec<(u32, WantedLink)>,
    next: u32,
}

pub fn config(section: &str) -> Config {
    Config::parse(section).unwrap_or_else(|list| panic!("{section}: {list:?}")).0
}

pub fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

pub fn addresses(list: &[&str]) -> Result<Vec<IpAddr>, String> {
    Ok(list.iter().map(|text| text.parse().unwrap()).collect())
}

pub fn opened(actions: &[Action]) -> Option<&PathSettings> {
    actions.iter().find_map(|action| match action {
        Action::OpenPath { settings, .. } | Action::UpdatePath { settings, .. } => Some(settings),
        _ => None,
    })
}

/// What is done, in a word each.
pub fn words(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::Apply => "apply".to_owned(),
        Action::Resolve(name) => format!("resolve {name}"),
        Action::OpenPath { instance, .. } => format!("open {instance}"),
        Action::UpdatePath { instance, .. } => format!("update {instance}"),
        Action::ClosePath { instance, forget: false } => format!("close {instance}"),
        Action::ClosePath { instance, forget: true } => format!("forget {instance}"),
        Action::Listen(s) => format!("listen {} {} {}", s.interface, s.transport.name(), s.port),
        Action::Unlisten(s) => format!("unlisten {} {} {}", s.interface, s.transport.name(), s.port),
        Action::PublishPrefix { key, prefix } => format!("publish {key} {prefix}"),
        Action::PublishDns { key, address } => format!("publish {key} {address}"),
        Action::Withdraw { key } => format!("withdraw {key}"),
        Action::Ready => "ready".to_owned(),
        Action::Degraded(what) => format!("degraded {what}"),
    };
    actions.iter().map(word).collect()
}

impl Lab {
    pub fn new(section: &str) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        Self {
            engine: Engine::new(&config(section), now),
            now,
            opens: true,
            refuses: vec![],
            facts: Default::default(),
            listening: vec![],
            links: vec![],
            next: 10,
        }
    }

    /// One that has done what there was to do at first.
    pub fn started(section: &str) -> Self {
        let mut lab = Self::new(section);
        lab.begin();
        lab
    }

    pub fn begin(&mut self) -> Vec<String> {
        self.engine.handle_timeout(self.now);
        self.run()
    }

    /// Does what is to be done until there is nothing left, and gives it.
    pub fn run(&mut self) -> Vec<String> {
        words(&self.actions())
    }

    pub fn actions(&mut self) -> Vec<Action> {
        let mut done = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match &action {
                Action::Apply => self.apply(),
                Action::OpenPath { instance, .. } if self.opens => {
                    self.engine.handle_path(instance, Event::Open, self.now);
                }
                Action::Listen(socket) => {
                    self.listening.push(socket.clone());
                    if self.opens {
                        self.engine.handle_listener(socket, Event::Open, self.now);
                    }
                }
                Action::Unlisten(socket) => self.listening.retain(|other| other != socket),
                Action::PublishPrefix { key, prefix } => drop(self.facts.insert(key.clone(), prefix.to_string())),
                Action::PublishDns { key, address } => drop(self.facts.insert(key.clone(), address.to_string())),
                Action::Withdraw { key } => assert!(self.facts.remove(key).is_some(), "{key} was not published"),
                _ => {}
            }
            done.push(action);
        }
        done
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
            if self.refuses.contains(&link.name.as_str()) {
                let object = format!("link {}", link.name);
                problems.push(Problem { object, message: "operation not supported".into() });
                continue;
            }
            if self.links.iter().any(|(_, known)| *known == link) {
                continue;
            }
            let index = match self.links.iter().position(|(_, known)| known.name == link.name) {
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
            let link = Link { index, name: link.name, kind: "tun".into(), up: link.up == Some(true) };
            self.engine.handle_link(link, self.now);
        }
        self.engine.handle_applied(Outcome { waiting: vec![], problems }, self.now);
    }

    /// An interface that others made.
    pub fn link(&mut self, index: u32, name: &str, up: bool) -> Vec<String> {
        self.engine.handle_link(Link { index, name: name.into(), kind: String::new(), up }, self.now);
        self.run()
    }

    pub fn unlink(&mut self, index: u32) -> Vec<String> {
        self.engine.handle_link_gone(index, self.now);
        self.run()
    }

    pub fn address(&mut self, index: u32, text: &str, usable: bool) -> Vec<String> {
        self.engine.handle_address(index, prefix(text), usable, self.now);
        self.run()
    }

    pub fn no_address(&mut self, index: u32, text: &str) -> Vec<String> {
        self.engine.handle_address_gone(index, prefix(text), self.now);
        self.run()
    }

    pub fn path(&mut self, instance: &str, event: Event) -> Vec<String> {
        self.engine.handle_path(instance, event, self.now);
        self.run()
    }

    pub fn listener(&mut self, interface: &str, transport: &str, event: Event) -> Vec<String> {
        let meant = |socket: &&Socket| socket.interface == interface && socket.transport.name() == transport;
        let socket = self.listening.iter().find(meant).unwrap().clone();
        self.engine.handle_listener(&socket, event, self.now);
        self.run()
    }

    pub fn known(&mut self, prefixes: &[&str]) -> Vec<String> {
        let prefixes: Vec<_> = prefixes.iter().map(|text| prefix(text)).collect();
        self.engine.handle_facts(&prefixes, self.now);
        self.run()
    }

    pub fn resolved(&mut self, result: Result<Vec<IpAddr>, String>) -> Vec<String> {
        self.engine.handle_resolved("ipv4only.arpa", result, self.now);
        self.run()
    }

    pub fn reconfigure(&mut self, section: &str) -> Vec<String> {
        self.engine.reconfigure(&config(section), self.now);
        self.run()
    }

    /// Somebody removes a device.
    pub fn remove_device(&mut self, name: &str) -> Vec<String> {
        let at = self.links.iter().position(|(_, link)| link.name == name).unwrap();
        let (index, _) = self.links.remove(at);
        self.unlink(index)
    }

    /// The number of a device.
    pub fn index(&self, name: &str) -> u32 {
        self.links.iter().find(|(_, link)| link.name == name).unwrap().0
    }

    /// Lets time pass, timer by timer, and gives what was done and when, counted from now.
    pub fn pass(&mut self, time: Duration) -> Vec<(Duration, String)> {
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

    pub fn state(&self) -> State {
        self.engine.state()
    }

    pub fn row(&self, name: &str) -> Row {
        self.engine.status().into_iter().find(|row| row.name == name).unwrap()
    }

    /// Destinations of the routes, each with its device.
    pub fn routes(&self) -> Vec<String> {
        let routes = self.state().routes;
        routes.iter().map(|r| format!("{} {}", r.destination, r.interface.as_deref().unwrap_or("-"))).collect()
    }
}
