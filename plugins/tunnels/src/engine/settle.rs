//! From what is known to what is to be done. Runs behind every input; without news it does nothing.
//!
//! The first apply waits until every tunnel has its answers (kinds of links, names), at most [`START_PATIENCE`]: what a
//! plugin does not state is removed, and a restart must not take down the tunnels of the run before.

use core::time::Duration;
use std::collections::BTreeSet;

use portreeve_network::State;

use super::carrier::Carrier;
use super::keepalive::{Life, Monitor};
use super::tunnel::PathState;
use super::types::Action;
use super::{Engine, desired, prefix_key};
use crate::time::Instant;

/// How long the first apply waits for answers, and how long a tunnel may take before that is a problem.
pub const START_PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Brings everything up to date.
    pub(super) fn settle(&mut self, now: Instant) {
        let names: BTreeSet<String> = self.tunnels.values().flat_map(|tunnel| tunnel.config.names()).collect();
        self.names.keep(&names, now);
        let mut actions = Vec::new();
        for tunnel in self.tunnels.values_mut() {
            tunnel.choose_carrier(&mut self.support, &mut actions);
            tunnel.find_ends(&self.names, &self.links);
            let link = self.links.named(&tunnel.config.name);
            tunnel.drive(link, now, &mut actions);
            let keepalive = tunnel.config.keepalive;
            if tunnel.monitor.as_ref().map(Monitor::settings) != keepalive {
                self.identifier = self.identifier.wrapping_add(1);
                tunnel.monitor = keepalive.map(|settings| Monitor::new(settings, self.identifier));
            }
            let Some(monitor) = &mut tunnel.monitor else { continue };
            monitor.run(tunnel.established, now);
            let (request, silent) = monitor.poll(now);
            if let (Some(sequence), Some(settings)) = (request, keepalive) {
                let (target, identifier) = (settings.target, monitor.identifier);
                let source = tunnel.config.source_for(Some(target));
                let tunnel = tunnel.config.name.clone();
                actions.push(Action::SendEcho { tunnel, source, target, identifier, sequence });
            }
            if silent {
                // Perhaps it lives elsewhere now.
                self.names.hurry(&tunnel.config.names(), now);
            }
        }
        let missing = self.tunnels.values().any(|tunnel| tunnel.carrier == Carrier::Nobody);
        self.support.retry(missing, now, &mut actions);
        let due = self.names.take_due(now);
        actions.extend(due.into_iter().map(Action::Resolve));
        self.plan_apply(now, &mut actions);
        self.publish(&mut actions);
        self.say_health(now, &mut actions);
        for action in actions {
            self.push(action);
        }
    }

    fn plan_apply(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let patient = now.since(self.started) < START_PATIENCE;
        let undecided = || self.tunnels.values().any(|tunnel| !tunnel.decided(&self.names));
        if self.apply.running || (self.apply.sent.is_none() && patient && undecided()) {
            return;
        }
        let state = self.state();
        if self.apply.begins(state, now) {
            actions.push(Action::Apply);
        }
    }

    /// What all tunnels come to now.
    #[must_use]
    pub fn state(&self) -> State {
        let mut state = State::default();
        for tunnel in self.tunnels.values() {
            desired::add(tunnel, &mut state);
        }
        state
    }

    fn publish(&mut self, actions: &mut Vec<Action>) {
        for (name, tunnel) in &mut self.tunnels {
            let prefix = tunnel.prefix();
            if tunnel.published_prefix != prefix {
                tunnel.published_prefix = prefix;
                let key = prefix_key(name);
                actions.push(match prefix {
                    Some(prefix) => Action::PublishPrefix { key, prefix },
                    None => Action::Withdraw { key },
                });
            }
            let fact = tunnel.fact();
            // What was never up is not worth telling, until it is decided that it is down.
            let known = tunnel.established || tunnel.published.is_some() || tunnel.life() == Life::Down;
            if known && tunnel.published != Some(fact) {
                tunnel.published = Some(fact);
                let (key, interface) = (name.clone(), name.clone());
                actions.push(Action::Publish { key, interface, fact });
            }
        }
    }

    /// What is wrong with a tunnel, if anything is.
    pub(super) fn problem(&self, name: &str, now: Instant) -> Option<String> {
        let tunnel = self.tunnels.get(name)?;
        if let Some(lacks) = tunnel.lacks(&self.names) {
            let certain = tunnel.decided(&self.names) || now.since(tunnel.since) >= START_PATIENCE;
            return certain.then_some(lacks);
        }
        if !tunnel.config.up {
            return None;
        }
        if let (Life::Down, Some(keepalive)) = (tunnel.life(), tunnel.config.keepalive) {
            let silence = portreeve_config::duration::format(keepalive.timeout);
            return Some(format!("no answer from {} for {silence}", keepalive.target));
        }
        // Shortly after the start the address it stands on may still be missing: that is no problem yet.
        let patient = !tunnel.established && now.since(tunnel.since) < START_PATIENCE;
        if let Some(error) = tunnel.path_error.as_ref().filter(|_| !patient).or(tunnel.apply_error.as_ref()) {
            return Some(error.clone());
        }
        if tunnel.established || patient {
            return None;
        }
        Some(if tunnel.path == PathState::Opening {
            "its path does not open".to_owned()
        } else {
            "its link is not up".to_owned()
        })
    }

    fn say_health(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut problems = Vec::new();
        let mut settled = self.apply.done && !self.apply.running;
        for (name, tunnel) in &self.tunnels {
            match self.problem(name, now) {
                Some(problem) => problems.push(format!("{name}: {problem}")),
                None => settled &= tunnel.established || !tunnel.config.up,
            }
        }
        problems.extend(self.apply.problems.iter().cloned());
        let health = match (problems.is_empty(), settled) {
            (true, false) => return,
            (true, true) => Action::Ready,
            (false, _) => Action::Degraded(problems.join("; ")),
        };
        if self.health.as_ref() != Some(&health) {
            self.health = Some(health.clone());
            actions.push(health);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let tunnels = self.tunnels.values().flat_map(|tunnel| {
            let patience = (!tunnel.established && tunnel.config.up).then(|| tunnel.since + START_PATIENCE);
            [tunnel.retry(), tunnel.monitor.as_ref().and_then(Monitor::timeout), patience.filter(|at| *at > self.now)]
        });
        let start = self.apply.sent.is_none().then(|| self.started + START_PATIENCE);
        let again = self.apply.again.filter(|_| !self.apply.running);
        tunnels.chain([self.names.timeout(), self.support.timeout(), start, again]).flatten().min()
    }
}
