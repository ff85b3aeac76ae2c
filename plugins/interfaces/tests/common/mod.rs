//! A virtual host and clock around the engine: tests say what is there, and look at what was asked for.
#![allow(dead_code, reason = "every test file uses another part of the harness")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use portreeve_config::{Diagnostic, Severity};
use portreeve_interfaces::engine::{Action, Delegated, HeldAddress, Link, Outcome, Problem};
use portreeve_interfaces::{Config, Engine, Instant};
use portreeve_network::{Address, Prefix, State};

/// A configuration that must be legal.
pub fn config(text: &str) -> Config {
    match Config::parse(text) {
        Ok((config, _)) => config,
        Err(list) => panic!("{}", list.iter().map(|d| d.render("test", text)).collect::<String>()),
    }
}

/// What is complained about: severity, the text under the span, message and hint.
pub fn shown(text: &str) -> Vec<(Severity, String, String)> {
    let list = match Config::parse(text) {
        Ok((_, warnings)) => warnings,
        Err(list) => list,
    };
    let one = |d: Diagnostic| {
        let words = format!("{} | {}", d.message, d.hint.unwrap_or_default());
        (d.severity, d.span.slice(text).to_owned(), words)
    };
    list.into_iter().map(one).collect()
}

pub fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

/// A hardware link that is up.
pub fn link(index: u32, name: &str) -> Link {
    let mac = vec![2, 0, 0, 0, 0, index as u8];
    Link { index, name: name.into(), kind: None, mac, up: true, running: true, controller: None, mtu: 1500 }
}

pub fn held(index: u32, address: &str) -> HeldAddress {
    HeldAddress { index, address: prefix(address), tentative: false, duplicate: false }
}

pub struct Lab {
    pub engine: Engine,
    pub now: Instant,
    /// What the host answers to an apply.
    pub outcome: Outcome,
    /// Applies so far, with their times.
    pub applies: Vec<(Instant, State)>,
}

impl Lab {
    pub fn new(text: &str) -> Self {
        let engine = Engine::new(config(text));
        Self { engine, now: Instant::from_secs(1000), outcome: Outcome::default(), applies: Vec::new() }
    }

    /// Obeys until nothing is left; gives everything but the applies, which are answered.
    pub fn settle(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            if action == Action::Apply {
                self.applies.push((self.now, self.engine.state()));
                self.engine.handle_applied(self.outcome.clone(), self.now);
            } else {
                actions.push(action);
            }
            assert!(self.applies.len() + actions.len() < 10_000, "the engine never settles");
        }
        actions
    }

    /// How many applies settling takes.
    pub fn applies_to_settle(&mut self) -> usize {
        let before = self.applies.len();
        self.settle();
        self.applies.len() - before
    }

    /// Lets time pass, with all timeouts on the way.
    pub fn pass(&mut self, seconds: u64) -> Vec<Action> {
        let end = self.now + Duration::from_secs(seconds);
        let mut actions = self.settle();
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            actions.extend(self.settle());
        }
        self.now = end;
        actions
    }

    /// What the host was told last.
    pub fn state(&self) -> &State {
        &self.applies.last().unwrap().1
    }

    pub fn names(&self) -> Vec<&str> {
        self.state().links.iter().map(|link| link.name.as_str()).collect()
    }

    pub fn address(&self, text: &str) -> Option<&Address> {
        self.state().addresses.iter().find(|address| address.address == prefix(text))
    }

    pub fn delegate(&mut self, list: &[(&str, Option<u64>)]) -> Vec<Action> {
        let one = |(text, seconds): &(&str, Option<u64>)| {
            let until = seconds.map(|seconds| self.now + Duration::from_secs(seconds));
            let (publisher, key) = ("dhcp6c".to_owned(), "wan0".to_owned());
            Delegated { publisher, key, prefix: prefix(text), preferred_until: until, valid_until: until }
        };
        let list = list.iter().map(one).collect();
        self.engine.handle_delegated(list, self.now);
        self.settle()
    }

    pub fn fail(&mut self, object: &str) {
        self.outcome.problems = vec![Problem { object: object.into(), message: "permission denied".into() }];
    }
}
