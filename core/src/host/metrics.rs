//! `metrics`: handles of series.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::State;
use super::bindings::portreeve::plugin::metrics::{Host, HostCounter, HostGauge, HostHistogram, Label};
use super::bindings::portreeve::plugin::types::ErrorCode;
use crate::stores::metrics::{self as store, MetricError};

/// A counter's handle.
pub struct Counter(store::Counter);
/// A gauge's handle.
pub struct Gauge(store::Gauge);
/// A histogram's handle.
pub struct Histogram(store::HistogramHandle);

impl Host for State {}

impl HostCounter for State {
    fn create(
        &mut self,
        name: String,
        help: String,
        labels: Vec<Label>,
    ) -> Result<Result<Resource<Counter>, ErrorCode>> {
        let opened = self.shared.metrics.counter(&self.plugin, &name, &help, &pairs(labels));
        Ok(opened.map_err(code).and_then(|counter| self.push_series(Counter(counter))))
    }

    fn add(&mut self, this: Resource<Counter>, amount: u64) -> Result<()> {
        self.series.get(&this)?.0.inc_by(amount);
        Ok(())
    }

    fn drop(&mut self, this: Resource<Counter>) -> Result<()> {
        self.series.delete(this)?;
        Ok(())
    }
}

impl HostGauge for State {
    fn create(&mut self, name: String, help: String, labels: Vec<Label>) -> Result<Result<Resource<Gauge>, ErrorCode>> {
        let opened = self.shared.metrics.gauge(&self.plugin, &name, &help, &pairs(labels));
        Ok(opened.map_err(code).and_then(|gauge| self.push_series(Gauge(gauge))))
    }

    fn set(&mut self, this: Resource<Gauge>, value: f64) -> Result<()> {
        self.series.get(&this)?.0.set(value);
        Ok(())
    }

    fn drop(&mut self, this: Resource<Gauge>) -> Result<()> {
        self.series.delete(this)?;
        Ok(())
    }
}

impl HostHistogram for State {
    fn create(
        &mut self,
        name: String,
        help: String,
        labels: Vec<Label>,
        bounds: Vec<f64>,
    ) -> Result<Result<Resource<Histogram>, ErrorCode>> {
        let opened = self.shared.metrics.histogram(&self.plugin, &name, &help, &pairs(labels), &bounds);
        Ok(opened.map_err(code).and_then(|histogram| self.push_series(Histogram(histogram))))
    }

    fn observe(&mut self, this: Resource<Histogram>, value: f64) -> Result<()> {
        self.series.get(&this)?.0.observe(value);
        Ok(())
    }

    fn drop(&mut self, this: Resource<Histogram>) -> Result<()> {
        self.series.delete(this)?;
        Ok(())
    }
}

impl State {
    fn push_series<T: Send + 'static>(&mut self, value: T) -> Result<Resource<T>, ErrorCode> {
        self.series.push(value).map_err(|_| ErrorCode::Limit)
    }

    /// A handle for the plugin, unless it has as many as it may.
    pub(super) fn push<T: Send + 'static>(&mut self, value: T) -> Result<Resource<T>, ErrorCode> {
        self.handles.push(value).map_err(|_| ErrorCode::Limit)
    }
}

fn pairs(labels: Vec<Label>) -> Vec<(String, String)> {
    labels.into_iter().map(|label| (label.name, label.value)).collect()
}

fn code(error: MetricError) -> ErrorCode {
    match error {
        MetricError::Invalid => ErrorCode::InvalidArgument,
        MetricError::OtherKind => ErrorCode::Exists,
        MetricError::Limit => ErrorCode::Limit,
    }
}
