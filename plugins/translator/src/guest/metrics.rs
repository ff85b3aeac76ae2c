//! The engines' numbers as metrics, and the session log, brought up to date every few seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_sdk::info;
use portreeve_sdk::metrics::{Counter, Gauge, Label};

use super::shim::Shim;
use crate::Instant;
use crate::nat64::{LogEvent, SessionLine};

/// The most that they lag behind.
const PERIOD: Duration = Duration::from_secs(5);
/// Entries of the session log that are written at once, of each instance.
const MAX_LINES: usize = 1000;

#[derive(Default)]
pub struct Metrics {
    counters: BTreeMap<(String, String), (Option<Counter>, u64)>,
    gauges: BTreeMap<(String, &'static str), Option<Gauge>>,
    next: Option<Instant>,
}

impl Metrics {
    /// When they are to be brought up to date: packets and questions count all the time.
    pub fn next_sync(&self, shim: &Shim) -> Option<Instant> {
        self.next.filter(|_| shim.dns.is_some() || shim.paths.each().next().is_some())
    }

    /// Brings them up to date, if it is time.
    pub fn sync(&mut self, shim: &Shim, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + PERIOD);
        for (instance, path) in shim.paths.each() {
            path.each(|name, value| self.count(&format!("translator_{name}"), "instance", instance, value));
            let mut data = path.data.borrow_mut();
            let Some(sessions) = data.sessions_mut() else { continue };
            for _ in 0..MAX_LINES {
                let Some(entry) = sessions.poll_log() else { break };
                log(instance, &entry.event);
            }
            let stats = sessions.stats();
            let help = "Sessions of the translator";
            self.set("translator_sessions", help, instance, f64::from(stats.sessions));
            self.set("translator_mappings", "Mappings of the translator", instance, f64::from(stats.bib_entries));
        }
        if let Some(dns) = &shim.dns {
            dns.shared().engine.borrow().stats().each(|name, value| {
                self.count(&format!("dns64_{name}"), "service", "dns64", value);
            });
        }
        let is_there = |name: &str| name == "dns64" || shim.paths.each().any(|(instance, _)| instance == name);
        for ((name, _), gauge) in self.gauges.iter().filter(|((name, _), _)| !is_there(name)) {
            // A series cannot be taken back: the last word is that there is nothing.
            let _ = name;
            if let Some(gauge) = gauge {
                gauge.set(0.0);
            }
        }
        self.gauges.retain(|(name, _), _| is_there(name));
        self.counters.retain(|(name, _), _| is_there(name));
    }

    fn count(&mut self, name: &str, label: &str, value: &str, count: u64) {
        let key = (value.to_owned(), name.to_owned());
        let (counter, told) = self.counters.entry(key).or_insert_with(|| {
            let help = name.replace('_', " ");
            let labels = [Label { name: label.to_owned(), value: value.to_owned() }];
            // Without room for more series the numbers are still in the status.
            (Counter::create(name, &help, &labels).ok(), 0)
        });
        // What was closed and opened again counts from zero.
        let more = if count >= *told { count - *told } else { count };
        *told = count;
        if let Some(counter) = counter.as_ref().filter(|_| more > 0) {
            counter.add(more);
        }
    }

    fn set(&mut self, name: &'static str, help: &str, instance: &str, value: f64) {
        let labels = [Label { name: "instance".to_owned(), value: instance.to_owned() }];
        let gauge =
            self.gauges.entry((instance.to_owned(), name)).or_insert_with(|| Gauge::create(name, help, &labels).ok());
        if let Some(gauge) = gauge {
            gauge.set(value);
        }
    }
}

fn log(instance: &str, event: &LogEvent) {
    match event {
        LogEvent::SessionCreated(line) => session(instance, "a session began", line),
        LogEvent::SessionEnded(line) => session(instance, "a session ended", line),
        LogEvent::BlockAssigned(block) | LogEvent::BlockReleased(block) => {
            let assigned = matches!(event, LogEvent::BlockAssigned(_));
            info!(
                "ports of a prefix",
                instance = instance,
                assigned = assigned,
                prefix = format!("{}/64", block.prefix),
                address = block.address,
                ports = format!("{}-{}", block.ports.start(), block.ports.end())
            );
        }
    }
}

fn session(instance: &str, message: &str, line: &SessionLine) {
    let protocol = format!("{:?}", line.protocol).to_lowercase();
    let host = format!("[{}]:{}", line.host.address, line.host.port);
    let public = format!("{}:{}", line.public.address, line.public.port);
    let remote = format!("{}:{}", line.remote.address, line.remote.port);
    info!(message, instance = instance, protocol = protocol, host = host, public = public, remote = remote);
}
