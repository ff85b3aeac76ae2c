//! How things stand, for the control socket.

use std::time::{Duration, Instant};

use super::Core;
use crate::control::protocol::{CoreStatus, PluginStatus, Status};
use crate::supervisor::State;
use crate::sys::linux::process::resident_bytes;

impl Core {
    pub(super) fn status(&self) -> Status {
        Status {
            core: CoreStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                uptime_ms: millis(self.started.elapsed()),
                rss_bytes: resident_bytes(),
                config: self.options.config.display().to_string(),
                config_error: self.complaint.text(),
            },
            plugins: self.order.iter().filter_map(|name| self.status_of(name)).collect(),
        }
    }

    /// Brings the core's own figures up to date; plugins keep theirs themselves.
    pub(super) fn update_metrics(&self) {
        let metrics = &self.shared.metrics;
        #[expect(clippy::cast_precision_loss, reason = "figures for people and graphs")]
        let float = |n: u64| n as f64;
        let core = self.status();
        metrics.set_core("core", "core_uptime_seconds", "Since the core started", float(core.core.uptime_ms) / 1e3);
        metrics.set_core("core", "core_resident_bytes", "Memory of the core", float(core.core.rss_bytes.unwrap_or(0)));
        for p in core.plugins {
            let up = matches!(p.state.as_str(), "ready" | "degraded");
            let quarantined = p.state == "quarantined";
            let is = |yes: bool| if yes { 1.0 } else { 0.0 };
            metrics.set_core(&p.name, "core_plugin_up", "Whether the plugin is ready or degraded", is(up));
            metrics.set_core(&p.name, "core_plugin_quarantined", "Whether it crashed too often", is(quarantined));
            metrics.set_core(&p.name, "core_plugin_restarts", "Starts after the first", float(p.restarts));
            metrics.set_core(&p.name, "core_plugin_memory_bytes", "Its linear memory", float(p.memory_bytes));
            metrics.set_core(&p.name, "core_plugin_cpu_seconds", "CPU time of its present run", float(p.cpu_ms) / 1e3);
        }
    }

    pub(super) fn status_of(&self, name: &str) -> Option<PluginStatus> {
        let entry = self.entries.get(name)?;
        let now = Instant::now();
        let view = self.supervisor.view(name);
        let instance = self.instances.get(name);
        let degraded = view.and_then(|v| match &v.state {
            State::Degraded(reason) => Some(reason.clone()),
            _ => None,
        });
        Some(PluginStatus {
            name: name.to_owned(),
            version: entry.ready.as_ref().map(|ready| ready.manifest.version.clone()),
            component: entry.component.display().to_string(),
            state: view.map_or("failed", |v| v.state.as_str()).to_owned(),
            since_ms: view.map_or(0, |v| millis(now.saturating_duration_since(v.since))),
            run: view.map_or(0, |v| v.run),
            restarts: view.map_or(0, |v| v.restarts),
            last_crash: view.and_then(|v| v.last_crash.clone()),
            reason: entry.failed.clone().or(degraded),
            retry_in_ms: view.and_then(|v| v.retry_at).map(|at| millis(at.saturating_duration_since(now))),
            memory_bytes: instance.map_or(0, |i| i.memory() as u64),
            cpu_ms: instance.map_or(0, |i| millis(i.cpu_time())),
            denied: entry
                .ready
                .as_ref()
                .map_or_else(Vec::new, |ready| ready.grants.not_allowed().iter().map(ToString::to_string).collect()),
            summary: entry.ready.as_ref().map_or_else(Vec::new, |ready| ready.planned.summary.clone()),
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
