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
                config_error: self.config_error.clone(),
            },
            plugins: self.order.iter().filter_map(|name| self.status_of(name)).collect(),
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
