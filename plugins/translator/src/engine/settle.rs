//! From what is known to what is to be done. Runs behind every input; without news it does nothing.
//!
//! The first apply waits until a provider's prefix was asked for once, at most [`START_PATIENCE`]: what a plugin does
//! not state is removed, and a restart must not take away the default route of the run before.

use core::time::Duration;

use portreeve_network::State;

use super::attempt::Stage;
use super::instance::Runtime;
use super::types::Action;
use super::{Engine, desired};
use crate::config::Pref64;
use crate::time::Instant;

/// How long the first apply waits for answers, and how long anything may take before that is a problem.
pub const START_PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// Brings everything up to date.
    pub(super) fn settle(&mut self, now: Instant) {
        let mut actions = Vec::new();
        let auto = self.instances.values().any(|runtime| runtime.config.is_auto());
        self.lookup.run(auto, now, &mut actions);
        let own: Vec<Pref64> = self.instances.values().filter_map(|runtime| runtime.config.own_prefix()).collect();
        for runtime in self.instances.values_mut() {
            runtime.find_prefix(&self.facts, self.lookup.prefixes(), &own);
            runtime.drive(self.links.named(&runtime.config.name), now, &mut actions);
            runtime.publish(now, &mut actions);
        }
        let ours = |name: &str| self.instances.contains_key(name);
        self.listeners.drive(self.dns64.as_deref(), &self.links, ours, now, &mut actions);
        self.listeners.publish(self.dns64.as_deref(), &self.links, now, &mut actions);
        self.plan_apply(now, &mut actions);
        self.say_health(now, &mut actions);
        self.actions.extend(actions);
    }

    fn plan_apply(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let patient = now.since(self.started) < START_PATIENCE;
        let undecided = || !self.lookup.is_decided() && self.instances.values().any(|runtime| !runtime.is_known());
        if self.apply.running || (self.apply.sent.is_none() && patient && undecided()) {
            return;
        }
        let state = self.state();
        if self.apply.begins(state, now) {
            actions.push(Action::Apply);
        }
    }

    /// What all instances come to now.
    #[must_use]
    pub fn state(&self) -> State {
        let mut state = State::default();
        for runtime in self.instances.values() {
            desired::add(runtime, &mut state);
        }
        if self.forwarding && !self.instances.is_empty() {
            desired::forwarding(&mut state);
        }
        state
    }

    /// What is wrong with an instance, if anything is.
    pub(super) fn problem(&self, runtime: &Runtime, now: Instant) -> Option<String> {
        let patient = !runtime.established && now.since(runtime.since) < START_PATIENCE;
        if !runtime.is_known() {
            let why = self.lookup.error().unwrap_or("looking for the provider's prefix");
            return (!patient).then(|| why.to_owned());
        }
        // Shortly after the start what it stands on may still be missing: that is no problem yet.
        if let Some(error) = runtime.path.error.as_ref().filter(|_| !patient).or(runtime.apply_error.as_ref()) {
            return Some(error.clone());
        }
        if runtime.established || patient {
            return None;
        }
        Some(if runtime.path.stage == Stage::Opening {
            "its path does not open".to_owned()
        } else {
            "its device is not up".to_owned()
        })
    }

    fn say_health(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut problems = Vec::new();
        let mut settled = self.apply.done && !self.apply.running;
        for (name, runtime) in &self.instances {
            match self.problem(runtime, now) {
                Some(problem) => problems.push(format!("{name}: {problem}")),
                None => settled &= runtime.established,
            }
        }
        if let Some(dns64) = &self.dns64 {
            let found = self.listeners.problems(dns64, now.since(self.since) < START_PATIENCE);
            settled &= self.listeners.are_open();
            problems.extend(found);
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
        let later = |at: &Instant| *at > self.now;
        let patience = self.instances.values().filter(|runtime| !runtime.established);
        let patience = patience.map(|runtime| runtime.since + START_PATIENCE).filter(later);
        let dns = self.dns64.as_ref().map(|_| self.since + START_PATIENCE).filter(later);
        let start = self.apply.sent.is_none().then(|| self.started + START_PATIENCE);
        let again = self.apply.again.filter(|_| !self.apply.running);
        let instances = self.instances.values().flat_map(Runtime::timeout);
        let all = [self.lookup.timeout(), self.listeners.timeout(), dns, start, again];
        all.into_iter().flatten().chain(patience).chain(instances).min()
    }
}
