//! The engine's counters as metrics: brought up to date when things are quiet, so that no packet waits for them, and
//! every few seconds when they never are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portreeve_sdk::metrics::{Counter, Gauge, Label};

use crate::engine::{Counters, InterfaceState, InterfaceStatus};
use crate::{Engine, Instant};

/// Quiet for this long: now it holds up nobody.
const QUIET: Duration = Duration::from_millis(200);
/// The most that they lag behind.
const BEHIND: Duration = Duration::from_secs(5);

/// Name, help and value of each counter.
type Series = (&'static str, &'static str, fn(&Counters) -> u64);

const SERIES: [Series; 8] = [
    ("radvd_multicast_advertisements_sent", "Router advertisements sent to all nodes", |c| c.multicast_sent),
    ("radvd_unicast_advertisements_sent", "Router advertisements sent to one host", |c| c.unicast_sent),
    ("radvd_solicitations_received", "Valid router solicitations received", |c| c.solicitations),
    ("radvd_solicitations_limited", "Solicitations unanswered, their source asks too often", |c| {
        c.solicitations_limited
    }),
    ("radvd_invalid_received", "Messages dropped as invalid (RFC 4861 6.1)", |c| c.invalid.total()),
    ("radvd_advertisements_heard", "Router advertisements of other routers", |c| c.advertisements_heard),
    ("radvd_inconsistent_heard", "Advertisements of others that contradict ours", |c| c.inconsistent),
    ("radvd_transmit_errors", "Advertisements that could not be sent", |c| c.transmit_errors),
];

#[derive(Default)]
pub struct Metrics {
    interfaces: BTreeMap<String, Interface>,
    /// When something first happened, and last, that they do not show.
    unseen: Option<(Instant, Instant)>,
}

struct Interface {
    counters: Vec<(Option<Counter>, u64)>,
    advertising: Option<Gauge>,
}

impl Metrics {
    /// Something happened that they do not show yet.
    pub fn note(&mut self, now: Instant) {
        let first = self.unseen.map_or(now, |(first, _)| first);
        self.unseen = Some((first, now));
    }

    /// When they must be brought up to date, if they are behind.
    pub fn next_sync(&self) -> Option<Instant> {
        self.unseen.map(|(first, last)| (last + QUIET).min(first + BEHIND))
    }

    /// Brings them up to date, if it is time.
    pub fn sync(&mut self, engine: &Engine, now: Instant) {
        if self.next_sync().is_none_or(|at| now < at) {
            return;
        }
        self.unseen = None;
        let all = engine.status(now);
        let names: BTreeSet<&str> = all.iter().map(|status| status.name.as_str()).collect();
        // An interface that went takes its handles along; its series keep their last figures.
        self.interfaces.retain(|name, interface| {
            let stays = names.contains(name.as_str());
            if let Some(gauge) = interface.advertising.as_ref().filter(|_| !stays) {
                gauge.set(0.0);
            }
            stays
        });
        for status in &all {
            let known = self.interfaces.entry(status.name.clone()).or_insert_with(|| Interface::open(&status.name));
            known.sync(status);
        }
    }
}

impl Interface {
    /// A series that cannot be opened (too many) is left out; the interface works without.
    fn open(ifname: &str) -> Self {
        let labels = [Label { name: "ifname".to_owned(), value: ifname.to_owned() }];
        let counters = SERIES.iter().map(|(name, help, _)| (Counter::create(name, help, &labels).ok(), 0)).collect();
        let help = "Whether the interface advertises";
        Self { counters, advertising: Gauge::create("radvd_advertising", help, &labels).ok() }
    }

    fn sync(&mut self, status: &InterfaceStatus) {
        for ((counter, told), (_, _, value)) in self.counters.iter_mut().zip(SERIES) {
            let value = value(&status.counters);
            // The engine counts from zero when a link comes back.
            let more = if value >= *told { value - *told } else { value };
            *told = value;
            if let Some(counter) = counter.as_ref().filter(|_| more > 0) {
                counter.add(more);
            }
        }
        if let Some(gauge) = &self.advertising {
            gauge.set(if status.state == InterfaceState::Advertising { 1.0 } else { 0.0 });
        }
    }
}
