//! The engine's numbers as metrics, brought up to date when something happened.

use portreeve_sdk::metrics::{Counter, Gauge};

use super::shim::Load;
use crate::engine::{Counters, Engine};

/// A counter, and what was told of it.
type Told = Option<(Counter, u64)>;

/// Created when first needed. Without room for more series the numbers are still in the status.
#[derive(Default)]
pub struct Metrics {
    made: bool,
    installed: Told,
    refused: Told,
    stale: Told,
    touched: Told,
    rules: Option<Gauge>,
    elements: Option<Gauge>,
    load: Option<Gauge>,
}

impl Metrics {
    pub fn sync(&mut self, engine: &Engine, load: &Load) {
        if !self.made {
            *self = Self::make();
        }
        let Counters { installed, refused, stale, touched } = engine.counters();
        let before = self.installed.as_ref().map(|(_, told)| *told);
        for (counter, value) in [
            (&mut self.installed, installed),
            (&mut self.refused, refused),
            (&mut self.stale, stale),
            (&mut self.touched, touched),
        ] {
            if let Some((counter, told)) = counter
                && value > *told
            {
                counter.add(value - *told);
                *told = value;
            }
        }
        // What is in force changes with an installation only.
        let Some(found) = engine.in_force().filter(|_| before != Some(installed)) else { return };
        let rules: usize = found.ruleset.chains.iter().map(|chain| chain.rules.len()).sum();
        let elements: usize = found.ruleset.sets.iter().map(crate::ruleset::Set::len).sum();
        let seconds = load.total().as_secs_f64();
        for (gauge, value) in [(&self.rules, rules as f64), (&self.elements, elements as f64), (&self.load, seconds)] {
            if let Some(gauge) = gauge {
                gauge.set(value);
            }
        }
    }

    fn make() -> Self {
        let counter = |name: &str, help: &str| Some((Counter::create(name, help, &[]).ok()?, 0));
        let gauge = |name: &str, help: &str| Gauge::create(name, help, &[]).ok();
        Self {
            made: true,
            installed: counter("firewall_installed", "Batches of rules that were put in force"),
            refused: counter("firewall_refused", "Batches of rules that the kernel refused"),
            stale: counter("firewall_stale", "Batches of rules that somebody else's overtook"),
            touched: counter("firewall_touched", "Changes of the firewall's table by somebody else"),
            rules: gauge("firewall_rules", "Rules in force"),
            elements: gauge("firewall_elements", "Elements of sets and maps that the rules came with"),
            load: gauge(
                "firewall_load_seconds",
                "How long the last load took, from the section to the kernel's answer",
            ),
        }
    }
}
