//! One instance at run time: its prefix as it is known now, its path, and what others are told of it.
//!
//! What was good stays until something better is known: a prefix that cannot be looked up any more takes nothing away
//! from a translator that works.

use core::time::Duration;
use std::sync::Arc;

use portreeve_network::Prefix;

use super::attempt::{Attempt, Stage};
use super::types::{Action, Link, PathSettings};
use crate::config::{Instance, Mode, NAT64_KEY, Pref64};
use crate::time::Instant;

/// How long others go on being told of what broke: as long as it is tried again soon, hosts are better off with it.
pub const HOLD: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) config: Arc<Instance>,
    /// What is routed to its device whatever becomes known.
    pub(super) routes: Vec<Prefix>,
    /// Since when it is as it is configured.
    pub(super) since: Instant,
    /// The prefix to translate with.
    pub(super) prefix: Option<Pref64>,
    pub(super) path: Attempt,
    settings: Option<PathSettings>,
    /// A path was opened under this kind, so there may be sessions.
    has_sessions: bool,
    pub(super) apply_error: Option<String>,
    pub(super) established: bool,
    published: Option<Pref64>,
    /// Since when it is published without a path.
    lost: Option<Instant>,
}

impl Runtime {
    pub(super) fn new(config: Arc<Instance>, now: Instant) -> Self {
        Self {
            prefix: config.written_prefix(),
            routes: config.routes(),
            config,
            since: now,
            path: Attempt::default(),
            settings: None,
            has_sessions: false,
            apply_error: None,
            established: false,
            published: None,
            lost: None,
        }
    }

    /// Goes on with another configuration. What still holds is kept.
    pub(super) fn reconfigure(&mut self, config: Arc<Instance>, now: Instant, actions: &mut Vec<Action>) {
        if self.config == config {
            return;
        }
        let old = std::mem::replace(&mut self.config, config);
        self.routes = self.config.routes();
        self.since = now;
        self.apply_error = None;
        if old.kind_name() != self.config.kind_name() {
            // Nothing of the one is of use to the other.
            self.forget(now, actions);
            self.prefix = None;
        }
        if !self.config.is_auto() || !old.is_auto() {
            // What was written says nothing of what the provider has.
            self.prefix = self.config.written_prefix();
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.forget(now, actions);
        self.withdraw(actions);
    }

    /// Closes its path. The sessions stay for the next one: hosts do not notice that a device was gone for a moment.
    fn close(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.settings = None;
        self.established = false;
        if self.path.stop(now) {
            actions.push(Action::ClosePath { instance: self.config.name.clone(), forget: false });
        }
    }

    /// Closes its path if there is one, and drops the sessions if there may be some.
    fn forget(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.settings = None;
        self.established = false;
        self.path.stop(now);
        if std::mem::take(&mut self.has_sessions) {
            actions.push(Action::ClosePath { instance: self.config.name.clone(), forget: true });
        }
    }

    /// Which prefix the provider has, where that is to be found out: the present one if it is still among what is
    /// known, and facts before the DNS (RFC 8781 section 5.1). One of our own, or around our own address, is none.
    pub(super) fn find_prefix(&mut self, facts: &[Pref64], discovered: &[Pref64], own: &[Pref64]) {
        if !self.config.is_auto() {
            return;
        }
        let address = match &self.config.mode {
            Mode::Clat(clat) => Some(clat.address.prefix()),
            Mode::Nat64(_) | Mode::Siit(_) => None,
        };
        let overlaps = |a: Prefix, b: Prefix| a.contains(b) || b.contains(a);
        let fits = |found: &&Pref64| {
            let found = found.prefix();
            let ours = own.iter().any(|own| overlaps(own.prefix(), found));
            !ours && !address.is_some_and(|address| overlaps(address, found))
        };
        let present = self.prefix;
        let choose = |list: &[Pref64]| {
            let all = || list.iter().filter(fits);
            all().find(|found| Some(**found) == present).or_else(|| all().next()).copied()
        };
        self.prefix = choose(facts).or_else(|| choose(discovered)).or(present);
    }

    /// Whether all is known that it takes to translate.
    pub(super) fn is_known(&self) -> bool {
        !self.config.is_auto() || self.prefix.is_some()
    }

    /// Opens, changes and closes its path.
    pub(super) fn drive(&mut self, link: Option<&Link>, now: Instant, actions: &mut Vec<Action>) {
        let link = link.filter(|link| link.up && (link.kind.is_empty() || link.kind == "tun"));
        let wanted = self.path_settings().filter(|_| link.is_some());
        let instance = self.config.name.clone();
        match (self.path.stage, wanted) {
            (Stage::Closed, Some(settings)) if self.path.is_due(now) => {
                self.path.start();
                self.has_sessions = true;
                self.settings = Some(settings.clone());
                actions.push(Action::OpenPath { instance, settings });
            }
            (Stage::Opening | Stage::Open, Some(settings)) if self.settings.as_ref() != Some(&settings) => {
                self.settings = Some(settings.clone());
                actions.push(Action::UpdatePath { instance, settings });
            }
            (_, None) => self.close(now, actions),
            (Stage::Closed | Stage::Opening | Stage::Open, Some(_)) => {}
        }
        self.established = self.path.is_open();
    }

    fn path_settings(&self) -> Option<PathSettings> {
        self.is_known().then(|| PathSettings {
            instance: self.config.clone(),
            prefix: self.prefix,
            allow_private: self.config.allows_private(self.prefix),
            icmp_source: self.config.icmp_source(),
            icmp_sources4: self.config.icmp_sources4(),
        })
    }

    /// Tells others of the prefix, or takes it back.
    pub(super) fn publish(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let wanted = self.config.own_prefix().filter(|_| self.config.advertise);
        if self.established {
            self.lost = None;
        } else if self.published.is_some() && self.lost.is_none() {
            self.lost = Some(now);
        }
        let held = self.lost.is_some_and(|at| now.since(at) < HOLD);
        match (wanted, self.published) {
            (Some(prefix), published) if self.established && published != Some(prefix) => {
                self.published = wanted;
                actions.push(Action::PublishPrefix { key: self.key(), prefix });
            }
            (Some(prefix), Some(published)) if prefix == published && (self.established || held) => {}
            (_, Some(_)) => self.withdraw(actions),
            (_, None) => {}
        }
    }

    fn withdraw(&mut self, actions: &mut Vec<Action>) {
        self.lost = None;
        if self.published.take().is_some() {
            actions.push(Action::Withdraw { key: self.key() });
        }
    }

    fn key(&self) -> String {
        format!("{NAT64_KEY}{}", self.config.name)
    }

    /// Whether others are told of its prefix.
    pub(super) const fn is_published(&self) -> bool {
        self.published.is_some()
    }

    pub(super) fn timeout(&self) -> impl Iterator<Item = Instant> {
        self.path.timeout().into_iter().chain(self.lost.map(|at| at + HOLD))
    }
}
