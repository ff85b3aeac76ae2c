//! Figures of the core and of plugins, as OpenMetrics text.
//!
//! `prometheus-client` does the counting and the writing. A series is opened by name and labels; opening it
//! again finds the same one, so a counter goes on after a plugin's restart. Series of a plugin that is
//! removed go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as PromCounter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge as PromGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::lock;

/// Series of one plugin.
pub const MAX_SERIES: usize = 16_384;
/// Bytes of a help text.
pub const MAX_HELP: usize = 256;
/// Bytes of a label's value.
pub const MAX_LABEL: usize = 128;
/// Labels of one series.
pub const MAX_LABELS: usize = 8;

/// A counter's handle.
pub type Counter = PromCounter<u64>;
/// A gauge's handle.
pub type Gauge = PromGauge<f64, AtomicU64>;
/// A histogram's handle.
pub type HistogramHandle = Histogram;

type Labels = Vec<(String, String)>;

/// Why a series was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricError {
    /// A name, label or bound is not legal.
    Invalid,
    /// The name is in use for another kind.
    OtherKind,
    /// [`MAX_SERIES`] reached.
    Limit,
}

#[derive(Clone)]
struct Buckets(Vec<f64>);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

enum Kind {
    Counter(Family<Labels, Counter>),
    Gauge(Family<Labels, Gauge>),
    Histogram(Family<Labels, Histogram, Buckets>),
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    families: BTreeMap<String, Kind>,
    /// Series of each plugin: name and labels.
    series: BTreeMap<String, BTreeSet<(String, Labels)>>,
}

/// All figures.
#[derive(Default)]
pub struct MetricStore(Mutex<Inner>);

impl MetricStore {
    /// Opens a counter for `plugin`.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn counter(
        &self,
        plugin: &str,
        name: &str,
        help: &str,
        labels: &[(String, String)],
    ) -> Result<Counter, MetricError> {
        self.open(plugin, name, labels, |inner, labels| {
            let make = |registry: &mut Registry| {
                let family = Family::<Labels, Counter>::default();
                registry.register(full_name(name), one_line(help), family.clone());
                Kind::Counter(family)
            };
            match inner.family(name, make) {
                Kind::Counter(family) => Ok(family.get_or_create(&labels).clone()),
                _ => Err(MetricError::OtherKind),
            }
        })
    }

    /// Sets a gauge of the core about `about`, a plugin's name or `core`. `name` is one of ours, with the
    /// prefix `core_` that no plugin can use.
    pub fn set_core(&self, about: &str, name: &str, help: &str, value: f64) {
        let mut inner = lock(&self.0);
        let labels = vec![("plugin".to_owned(), about.to_owned())];
        if let Kind::Gauge(family) = inner.gauges(name, help) {
            family.get_or_create(&labels).set(value);
        }
        let id = (name.to_owned(), labels);
        let series = inner.series.entry(about.to_owned()).or_default();
        series.insert(id);
    }

    /// Opens a gauge for `plugin`.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn gauge(
        &self,
        plugin: &str,
        name: &str,
        help: &str,
        labels: &[(String, String)],
    ) -> Result<Gauge, MetricError> {
        self.open(plugin, name, labels, |inner, labels| match inner.gauges(name, help) {
            Kind::Gauge(family) => Ok(family.get_or_create(&labels).clone()),
            _ => Err(MetricError::OtherKind),
        })
    }

    /// Opens a histogram for `plugin`. The bounds of the first opening of a name stay.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn histogram(
        &self,
        plugin: &str,
        name: &str,
        help: &str,
        labels: &[(String, String)],
        bounds: &[f64],
    ) -> Result<HistogramHandle, MetricError> {
        let ascending = bounds.windows(2).all(|w| w[0] < w[1]);
        if bounds.is_empty() || bounds.len() > 32 || !ascending || !bounds.iter().all(|b| b.is_finite()) {
            return Err(MetricError::Invalid);
        }
        self.open(plugin, name, labels, |inner, labels| {
            let make = |registry: &mut Registry| {
                let family = Family::new_with_constructor(Buckets(bounds.to_vec()));
                registry.register(full_name(name), one_line(help), family.clone());
                Kind::Histogram(family)
            };
            match inner.family(name, make) {
                Kind::Histogram(family) => Ok(family.get_or_create(&labels).clone()),
                _ => Err(MetricError::OtherKind),
            }
        })
    }

    /// Removes every series of a plugin.
    pub fn remove_all(&self, plugin: &str) {
        let mut inner = lock(&self.0);
        for (name, labels) in inner.series.remove(plugin).unwrap_or_default() {
            match inner.families.get(&name) {
                Some(Kind::Counter(family)) => drop(family.remove(&labels)),
                Some(Kind::Gauge(family)) => drop(family.remove(&labels)),
                Some(Kind::Histogram(family)) => drop(family.remove(&labels)),
                None => {}
            }
        }
    }

    /// Everything as OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &lock(&self.0).registry);
        text
    }

    fn open<T>(
        &self,
        plugin: &str,
        name: &str,
        labels: &[(String, String)],
        find: impl FnOnce(&mut Inner, Labels) -> Result<T, MetricError>,
    ) -> Result<T, MetricError> {
        if !is_name(name) || name.ends_with("_total") || name.starts_with("core_") || labels.len() > MAX_LABELS {
            return Err(MetricError::Invalid);
        }
        let mut all = vec![("plugin".to_owned(), plugin.to_owned())];
        for (label, value) in labels {
            if !is_label(label) || label == "le" || all.iter().any(|(seen, _)| seen == label) {
                return Err(MetricError::Invalid);
            }
            let mut end = value.len().min(MAX_LABEL);
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            all.push((label.clone(), value[..end].to_owned()));
        }
        let mut inner = lock(&self.0);
        let id = (name.to_owned(), all.clone());
        let series = inner.series.entry(plugin.to_owned()).or_default();
        let known = series.contains(&id);
        if !known && series.len() >= MAX_SERIES {
            return Err(MetricError::Limit);
        }
        let handle = find(&mut inner, all)?;
        if !known {
            inner.series.entry(plugin.to_owned()).or_default().insert(id);
        }
        Ok(handle)
    }
}

impl Inner {
    fn gauges(&mut self, name: &str, help: &str) -> &Kind {
        self.family(name, |registry| {
            let family = Family::<Labels, Gauge>::default();
            registry.register(full_name(name), one_line(help), family.clone());
            Kind::Gauge(family)
        })
    }

    fn family(&mut self, name: &str, make: impl FnOnce(&mut Registry) -> Kind) -> &Kind {
        let registry = &mut self.registry;
        self.families.entry(name.to_owned()).or_insert_with(|| make(registry))
    }
}

/// One printable line: the text goes into the output as it is.
fn one_line(help: &str) -> String {
    help.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_HELP).collect()
}

fn full_name(name: &str) -> String {
    format!("portreeve_{name}")
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_label(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_on_when_it_is_opened_again_and_goes_with_its_plugin() {
        let store = MetricStore::default();
        let label = [("ifname".to_owned(), "lan0".to_owned())];
        store.counter("radvd", "ra_sent", "advertisements", &label).unwrap().inc_by(2);
        store.counter("radvd", "ra_sent", "advertisements", &label).unwrap().inc();
        let text = store.render();
        assert!(text.contains("portreeve_ra_sent_total{plugin=\"radvd\",ifname=\"lan0\"} 3"), "{text}");
        assert!(text.ends_with("# EOF\n"));
        store.remove_all("radvd");
        assert!(!store.render().contains("lan0"));
    }

    #[test]
    fn the_cores_own_figures_cannot_be_a_plugins() {
        let store = MetricStore::default();
        store.set_core("p", "core_plugin_up", "whether it runs", 1.0);
        store.set_core("p", "core_plugin_up", "whether it runs", 0.0);
        assert!(store.render().contains("portreeve_core_plugin_up{plugin=\"p\"} 0"));
        assert_eq!(store.gauge("p", "core_plugin_up", "", &[]).err(), Some(MetricError::Invalid));
        store.remove_all("p");
        assert!(!store.render().contains("plugin=\"p\""));
    }

    #[test]
    fn names_labels_kinds_and_numbers_of_series_are_held() {
        let store = MetricStore::default();
        assert_eq!(store.gauge("p", "Bad", "", &[]).err(), Some(MetricError::Invalid));
        assert_eq!(store.counter("p", "x_total", "", &[]).err(), Some(MetricError::Invalid));
        assert_eq!(store.gauge("p", "x", "", &[("plugin".into(), "q".into())]).err(), Some(MetricError::Invalid));
        assert_eq!(store.counter("p", "y", "", &[("le".into(), "1".into())]).err(), Some(MetricError::Invalid));
        store.gauge("p", "x", "a\nportreeve_forged 1", &[]).unwrap().set(1.5);
        assert!(!store.render().contains("\nportreeve_forged"));
        assert_eq!(store.counter("p", "x", "", &[]).err(), Some(MetricError::OtherKind));
        assert_eq!(store.histogram("p", "h", "", &[], &[2.0, 1.0]).err(), Some(MetricError::Invalid));
        for i in 1..MAX_SERIES {
            store.gauge("p", "x", "", &[("i".into(), i.to_string())]).unwrap();
        }
        assert_eq!(store.gauge("p", "x", "", &[("i".into(), "more".into())]).err(), Some(MetricError::Limit));
        assert!(store.gauge("q", "x", "", &[]).is_ok(), "the limit is each plugin's own");
    }
}
