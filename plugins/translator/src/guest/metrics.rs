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
/// While sessions are logged; and the lines that are written at once, of each instance. The core takes 200 a second.
const LOG_PERIOD: Duration = Duration::from_millis(500);
const MAX_LINES: usize = 100;
/// Of the numbers, those that fall as well as rise.
const GAUGES: [&str; 1] = ["table_bytes"];

#[derive(Default)]
pub struct Metrics {
    counters: BTreeMap<(String, String), (Option<Counter>, u64)>,
    gauges: BTreeMap<(String, &'static str), Option<Gauge>>,
    next: Option<Instant>,
    next_log: Option<Instant>,
}

impl Metrics {
    /// When they are to be brought up to date: packets and questions count all the time.
    pub fn next_sync(&self, shim: &Shim) -> Option<Instant> {
        let numbers = self.next.filter(|_| shim.dns.is_some() || shim.paths.each().next().is_some());
        numbers.into_iter().chain(self.next_log).min()
    }

    /// Writes the session log, if it is time.
    fn log(&mut self, shim: &Shim, now: Instant) {
        if self.next_log.is_some_and(|next| now < next) {
            return;
        }
        let mut is_wanted = false;
        for (instance, path) in shim.paths.each() {
            let mut data = path.data.borrow_mut();
            let Some(sessions) = data.sessions_mut() else { continue };
            is_wanted |= sessions.settings().log;
            for _ in 0..MAX_LINES {
                let Some(entry) = sessions.poll_log() else { break };
                log(instance, &entry.event, now.since(entry.at));
            }
        }
        self.next_log = is_wanted.then(|| now + LOG_PERIOD);
    }

    /// Brings them up to date, if it is time.
    pub fn sync(&mut self, shim: &Shim, now: Instant) {
        self.log(shim, now);
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + PERIOD);
        for (instance, path) in shim.paths.each() {
            path.each(|name, value| {
                if !GAUGES.contains(&name) {
                    self.count(&format!("translator_{name}"), "instance", instance, value);
                }
            });
            let data = path.data.borrow();
            let Some(sessions) = data.sessions() else { continue };
            let stats = sessions.stats();
            let help = "Sessions of the translator";
            self.set("translator_sessions", help, instance, f64::from(stats.sessions));
            self.set("translator_table_bytes", "Memory of the session table", instance, stats.bytes as f64);
            let used: u32 = sessions.pool_use().map(|used| used.tcp + used.udp + used.icmp).sum();
            self.set("translator_pool_ports", "Ports of the pool in use", instance, f64::from(used));
            self.set("translator_mappings", "Mappings of the translator", instance, f64::from(stats.bib_entries));
        }
        if let Some(dns) = &shim.dns {
            dns.shared().engine.borrow().stats().each(|name, value| {
                self.count(&format!("dns64_{name}"), "service", "dns64", value);
            });
        }
        let is_there = |name: &str| name == "dns64" || shim.paths.each().any(|(instance, _)| instance == name);
        for gauge in self.gauges.iter().filter(|((name, _), _)| !is_there(name)).filter_map(|(_, gauge)| gauge.as_ref())
        {
            // A series cannot be taken back: the last word is that there is nothing.
            gauge.set(0.0);
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

/// Writes an entry that is so old.
fn log(instance: &str, event: &LogEvent, age: Duration) {
    match event {
        LogEvent::SessionCreated(line) => session(instance, "a session began", line, age),
        LogEvent::SessionEnded(line) => session(instance, "a session ended", line, age),
        LogEvent::BlockAssigned(block) | LogEvent::BlockReleased(block) => {
            let assigned = matches!(event, LogEvent::BlockAssigned(_));
            info!(
                "ports of a prefix",
                instance = instance,
                assigned = assigned,
                age_ms = age.as_millis(),
                prefix = format!("{}/64", block.prefix),
                address = block.address,
                ports = format!("{}-{}", block.ports.start(), block.ports.end())
            );
        }
    }
}

fn session(instance: &str, message: &str, line: &SessionLine, age: Duration) {
    let protocol = format!("{:?}", line.protocol).to_lowercase();
    let host = format!("[{}]:{}", line.host.address, line.host.port);
    let public = format!("{}:{}", line.public.address, line.public.port);
    let remote = format!("{}:{}", line.remote.address, line.remote.port);
    let age = age.as_millis();
    info!(
        message,
        instance = instance,
        protocol = protocol,
        host = host,
        public = public,
        remote = remote,
        age_ms = age
    );
}
