//! The engine's and the data paths' numbers as metrics, brought up to date every few seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_sdk::metrics::{Counter, Gauge, Label};

use super::paths::Paths;
use crate::{Engine, Instant};

/// The most that they lag behind.
const PERIOD: Duration = Duration::from_secs(5);
/// The gauge that says whether a tunnel carries packets.
const UP: &str = "tunnel_up";

#[derive(Default)]
pub struct Metrics {
    counters: BTreeMap<(String, String), (Option<Counter>, u64)>,
    gauges: BTreeMap<(String, &'static str), Option<Gauge>>,
    next: Option<Instant>,
    /// Something happened since they were brought up to date.
    stale: bool,
}

impl Metrics {
    /// When they are to be brought up to date. A path of ours counts all the time; without one only what happened does.
    pub fn next_sync(&self, paths: &Paths) -> Option<Instant> {
        self.next.filter(|_| self.stale || !paths.is_empty())
    }

    /// Brings them up to date, if it is time.
    pub fn sync(&mut self, engine: &Engine, paths: &Paths, now: Instant) {
        self.stale = self.next.is_some_and(|next| now < next);
        if self.stale {
            return;
        }
        self.next = Some(now + PERIOD);
        let tunnels = engine.metrics();
        self.forget(|name| !tunnels.iter().any(|tunnel| tunnel.name == name));
        paths.each(|tunnel, name, value| self.count(tunnel, name, value));
        for tunnel in tunnels {
            self.set(&tunnel.name, UP, "Whether the tunnel carries packets", f64::from(u8::from(tunnel.up)));
            if let Some(echoes) = tunnel.echoes {
                self.count(&tunnel.name, "keepalive_sent", echoes.sent);
                self.count(&tunnel.name, "keepalive_lost", echoes.lost);
                for (name, help, value) in [
                    ("tunnel_keepalive_rtt_seconds", "Last round trip of the keepalive", echoes.rtt_last),
                    ("tunnel_keepalive_rtt_min_seconds", "Shortest round trip of the keepalive", echoes.rtt_min),
                    ("tunnel_keepalive_rtt_average_seconds", "Average round trip of the keepalive", echoes.rtt_average),
                ] {
                    if let Some(value) = value {
                        self.set(&tunnel.name, name, help, value.as_secs_f64());
                    }
                }
            }
        }
    }

    /// Lets go of the series of tunnels that are gone. A series cannot be taken back: the last word is that it is down.
    fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        for ((tunnel, name), gauge) in &self.gauges {
            if let Some(gauge) = gauge.as_ref().filter(|_| *name == UP && is_gone(tunnel)) {
                gauge.set(0.0);
            }
        }
        self.gauges.retain(|(tunnel, _), _| !is_gone(tunnel));
        self.counters.retain(|(tunnel, _), _| !is_gone(tunnel));
    }

    fn count(&mut self, tunnel: &str, name: &str, value: u64) {
        let key = (tunnel.to_owned(), name.to_owned());
        let (counter, told) = self.counters.entry(key).or_insert_with(|| {
            let help = format!("Tunnel data path: {}", name.replace('_', " "));
            // Without room for more series the numbers are still in the status.
            (Counter::create(&format!("tunnel_{name}"), &help, &[label(tunnel)]).ok(), 0)
        });
        // A path that was closed and opened again counts from zero.
        let more = if value >= *told { value - *told } else { value };
        *told = value;
        if let Some(counter) = counter.as_ref().filter(|_| more > 0) {
            counter.add(more);
        }
    }

    fn set(&mut self, tunnel: &str, name: &'static str, help: &str, value: f64) {
        let gauge = self
            .gauges
            .entry((tunnel.to_owned(), name))
            .or_insert_with(|| Gauge::create(name, help, &[label(tunnel)]).ok());
        if let Some(gauge) = gauge {
            gauge.set(value);
        }
    }
}

fn label(tunnel: &str) -> Label {
    Label { name: "tunnel".to_owned(), value: tunnel.to_owned() }
}
