//! One tunnel at run time: who carries its packets, which addresses its ends have now, and its path.
//!
//! What was good stays until something better is known: a name that cannot be looked up, an interface without an
//! address, a changed configuration take nothing away from a tunnel that is there.

use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

use portreeve_network::{Family, Prefix};
use portreeve_packet::retry::back_off;

use super::carrier::Carrier;
use super::keepalive::{Life, Monitor};
use super::links::Links;
use super::names::Names;
use super::types::{Action, Link, PathRemote, PathSettings, Published};
use crate::config::{Host, Kind, Local, Tunnel, unusable};
use crate::time::Instant;

/// A path that was open for so long works, and what failed before is forgotten.
const PROVEN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathState {
    Closed,
    Opening,
    Open,
}

#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) config: Arc<Tunnel>,
    /// Since when it is as it is configured.
    pub(super) since: Instant,
    pub(super) carrier: Carrier,
    /// Why it is this one.
    pub(super) why: String,
    /// What the kernel said when it was asked for the link and did not have it.
    pub(super) refused: Option<String>,
    pub(super) local: Option<IpAddr>,
    pub(super) remote: Option<IpAddr>,
    /// Of WireGuard's peers, in their order.
    pub(super) endpoints: Vec<Option<IpAddr>>,
    pub(super) path: PathState,
    settings: Option<PathSettings>,
    /// Since when its path is open.
    opened: Option<Instant>,
    retry: Option<Instant>,
    failures: u32,
    pub(super) path_error: Option<String>,
    pub(super) apply_error: Option<String>,
    pub(super) monitor: Option<Monitor>,
    /// It carries packets, as far as links and paths tell.
    pub(super) established: bool,
    pub(super) published: Option<Published>,
    /// The prefix that others were told of.
    pub(super) published_prefix: Option<Prefix>,
}

impl Runtime {
    pub(super) fn new(config: Arc<Tunnel>, now: Instant) -> Self {
        Self {
            config,
            since: now,
            carrier: Carrier::Waiting,
            why: String::new(),
            refused: None,
            local: None,
            remote: None,
            endpoints: Vec::new(),
            path: PathState::Closed,
            settings: None,
            opened: None,
            retry: None,
            failures: 0,
            path_error: None,
            apply_error: None,
            monitor: None,
            established: false,
            published: None,
            published_prefix: None,
        }
    }

    /// Goes on with another configuration. What still holds is kept.
    pub(super) fn reconfigure(&mut self, config: Arc<Tunnel>, now: Instant) {
        if self.config == config {
            return;
        }
        let old = std::mem::replace(&mut self.config, config);
        self.since = now;
        self.apply_error = None;
        let new = &self.config;
        if old.path() != new.path() || old.kernel_kind() != new.kernel_kind() {
            self.refused = None;
        }
        if old.outer() != new.outer() {
            (self.local, self.remote) = (None, None);
        }
        if old.kind != new.kind {
            // Whose endpoint it was is not known any more by its place.
            self.endpoints.clear();
            self.retry = None;
        }
        if matches!(new.local(), Some(Local::Auto) | None) {
            self.local = None;
        }
        if new.remote().is_none() {
            self.remote = None;
        }
    }

    /// What other plugins are told of it.
    pub(super) fn fact(&self) -> Published {
        Published { up: self.is_up(), mtu: self.config.mtu, local: self.local, remote: self.remote }
    }

    /// The prefix that it brings, as long as it is to carry packets.
    pub(super) fn prefix(&self) -> Option<Prefix> {
        self.config.delegated(self.local).filter(|_| self.config.up)
    }

    pub(super) fn find_ends(&mut self, names: &Names, links: &Links) {
        let Some(family) = self.config.outer() else {
            let Kind::WireGuard(wg) = &self.config.kind else { return };
            self.endpoints.resize(wg.peers.len(), None);
            for (peer, now) in wg.peers.iter().zip(&mut self.endpoints) {
                *now = peer.endpoint.as_ref().and_then(|(host, _)| address_of(host, None, *now, names));
            }
            return;
        };
        if let Some(host) = self.config.remote() {
            self.remote = address_of(host, Some(family), self.remote, names);
        }
        self.local = match self.config.local() {
            Some(Local::Address(address)) => Some(*address),
            Some(Local::Interface(name)) => links.source(name, family, self.local).or(self.local),
            Some(Local::Auto) | None => None,
        };
    }

    /// What keeps it from being stated at all, if anything does.
    pub(super) fn lacks(&self, names: &Names) -> Option<String> {
        match self.carrier {
            Carrier::Waiting | Carrier::Nobody => return Some(self.why.clone()),
            Carrier::Kernel | Carrier::Userspace => {}
        }
        let family = if self.config.outer() == Some(Family::Ipv6) { "IPv6" } else { "IPv4" };
        if let (Some(Host::Name(name)), None) = (self.config.remote(), self.remote) {
            return Some(match names.error(name) {
                Some(why) => format!("cannot look up {name}: {why}"),
                None if names.answers(name).is_empty() => format!("looking up {name}"),
                None => format!("{name} has no {family} address that can be used"),
            });
        }
        match (self.config.local(), self.local) {
            (Some(Local::Interface(name)), None) => Some(format!("{name} has no global {family} address")),
            _ => None,
        }
    }

    /// Whether the host has said what it can, and every name has been found.
    pub(super) fn decided(&self, names: &Names) -> bool {
        self.carrier != Carrier::Waiting && !names.unanswered(&self.config.names())
    }

    /// Whether it belongs to the state.
    pub(super) fn stated(&self) -> bool {
        let carried = matches!(self.carrier, Carrier::Kernel | Carrier::Userspace);
        let remote = self.config.remote().is_none() || self.remote.is_some();
        let local = !matches!(self.config.local(), Some(Local::Interface(_))) || self.local.is_some();
        carried && remote && local
    }

    /// Opens, changes and closes its path, and finds out whether it carries packets.
    pub(super) fn drive(&mut self, link: Option<&Link>, now: Instant, actions: &mut Vec<Action>) {
        let kind = if self.carrier == Carrier::Userspace { "tun" } else { self.config.kernel_kind().0 };
        let link = link.filter(|link| link.kind.is_empty() || link.kind == kind);
        let stated = self.config.up && self.stated();
        // While it is being made somebody else holds the device; it comes up when that is over.
        let wanted = self.path_settings().filter(|_| stated && link.is_some_and(|link| link.up));
        let tunnel = self.config.name.clone();
        match (self.path, wanted) {
            (PathState::Closed, Some(settings)) if self.retry.is_none_or(|at| at <= now) => {
                self.path = PathState::Opening;
                self.retry = None;
                self.settings = Some(settings.clone());
                actions.push(Action::OpenPath { tunnel, settings });
            }
            (PathState::Opening | PathState::Open, Some(settings)) if self.settings.as_ref() != Some(&settings) => {
                self.settings = Some(settings.clone());
                actions.push(Action::UpdatePath { tunnel, settings });
            }
            (PathState::Opening | PathState::Open, None) => {
                self.close(now);
                self.path_error = None;
                actions.push(Action::ClosePath { tunnel });
            }
            (PathState::Closed, None) => (self.retry, self.path_error) = (None, None),
            (PathState::Closed | PathState::Opening | PathState::Open, Some(_)) => {}
        }
        let carried = self.carrier == Carrier::Kernel || self.path == PathState::Open;
        self.established = stated && carried && link.is_some_and(|link| link.up);
    }

    pub(super) fn path_opened(&mut self, now: Instant) {
        if self.path == PathState::Opening {
            self.path = PathState::Open;
            self.opened = Some(now);
            self.path_error = None;
        }
    }

    /// Gives whether there was one to end.
    pub(super) fn path_ended(&mut self, why: String, now: Instant) -> bool {
        let was_there = self.path != PathState::Closed;
        if was_there {
            self.close(now);
            self.failures = self.failures.saturating_add(1);
            self.retry = Some(now + back_off(self.failures));
            self.path_error = Some(why);
        }
        was_there
    }

    fn close(&mut self, now: Instant) {
        self.path = PathState::Closed;
        self.settings = None;
        // One that opens and dies at once is not to do so every second.
        if self.opened.take().is_some_and(|at| now.since(at) >= PROVEN) {
            self.failures = 0;
        }
    }

    /// Whether routes are withdrawn from it.
    pub(super) fn failed_over(&self) -> bool {
        self.config.failover && (self.life() == Life::Down || self.path_error.is_some())
    }

    /// Whether it carries packets, by all that is known.
    pub(super) fn is_up(&self) -> bool {
        self.established && self.life() != Life::Down
    }

    pub(super) fn life(&self) -> Life {
        self.monitor.as_ref().map_or(Life::Unknown, |monitor| monitor.life)
    }

    pub(super) const fn retry(&self) -> Option<Instant> {
        self.retry
    }

    fn path_settings(&self) -> Option<PathSettings> {
        let v4 = |address: Option<IpAddr>| match address {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        let (config, local) = (&self.config, v4(self.local));
        let remote = match &config.kind {
            _ if self.carrier != Carrier::Userspace => return None,
            Kind::SixInFour { .. } => PathRemote::Address(v4(self.remote)?),
            Kind::SixRd(sixrd) => PathRemote::SixRd {
                prefix: sixrd.prefix,
                relay: sixrd.relay,
                ipv4_mask_length: sixrd.ipv4_mask_length,
                ipv4: local?,
            },
            Kind::Ip6Tunnel { .. } | Kind::Gre { .. } | Kind::WireGuard(_) => return None,
        };
        Some(PathSettings {
            interface: config.name.clone(),
            local,
            remote,
            mtu: config.mtu,
            ttl: config.ttl,
            tos: config.tos,
            dont_fragment: config.dont_fragment,
            mss_clamp: config.mss_clamp,
            own_prefixes: config.own_prefixes.clone(),
            icmp_source: config.source_for(None),
        })
    }
}

/// The address of the other end: the present one as long as it is among the answers.
fn address_of(host: &Host, family: Option<Family>, present: Option<IpAddr>, names: &Names) -> Option<IpAddr> {
    let name = match host {
        Host::Address(address) => return Some(*address),
        Host::Name(name) => name,
    };
    let fits = |address: &IpAddr| family.is_none_or(|f| f == Family::of(*address)) && unusable(*address).is_none();
    let mut answers = names.answers(name).iter().copied().filter(fits);
    let first = answers.clone().next();
    answers.find(|address| Some(*address) == present).or(first).or(present)
}
