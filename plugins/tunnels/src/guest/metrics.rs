//! The engine's and the data paths' numbers as metrics, brought up to date every few seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_sdk::metrics::{Counter, Gauge, Label};

use super::paths::Paths;
use crate::{Engine, Instant};

/// The most that they lag behind.
const PERIOD: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Metrics {
    counters: BTreeMap<(String, String), (Option<Counter>, u64)>,
    gauges: BTreeMap<(String, &'static str), Option<Gauge>>,
    next: Option<Instant>,
}

impl Metrics {
    /// When they are to be brought up to date: without a path of ours, whenever something else happens.
    pub fn next_sync(&self, paths: &Paths) -> Option<Instant> {
        self.next.filter(|_| !paths.is_empty())
    }

    /// Brings them up to date, if it is time.
    pub fn sync(&mut self, engine: &Engine, paths: &Paths, now: Instant) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + PERIOD);
        paths.each(|tunnel, name, value| self.count(tunnel, name, value));
        for tunnel in engine.metrics() {
            self.set(&tunnel.name, "tunnel_up", "Whether the tunnel carries packets", f64::from(u8::from(tunnel.up)));
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
