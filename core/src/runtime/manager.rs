//! What the service manager is told: that we are ready, how things stand, that we live.

use std::time::Duration;

use sd_notify::NotifyState;

use super::Core;

impl Core {
    /// Tells the service manager how things are, and once, when every plugin has left its first start, that we are
    /// ready.
    pub(super) fn tell_manager(&mut self) {
        let named = |wanted: &[&str]| {
            let is = |name: &&String| {
                wanted.contains(&self.supervisor.view(name).map_or("failed", |view| view.state.as_str()))
            };
            self.order.iter().filter(is).map(String::as_str).collect::<Vec<_>>()
        };
        let (up, bad) = (named(&["ready", "degraded"]), named(&["quarantined", "failed"]));
        let mut text = format!("{} of {} plugins ready", up.len(), self.order.len());
        if !bad.is_empty() {
            text.push_str(&format!("; not usable: {}", bad.join(", ")));
        }
        if self.complaint.text().is_some() {
            text.push_str("; the last reload was refused");
        }
        let ready = !self.told_ready && named(&["starting"]).is_empty();
        if ready {
            self.told_ready = true;
            notify(&[NotifyState::Ready, NotifyState::Status(&text)]);
        } else if text != self.told_status {
            notify(&[NotifyState::Status(&text)]);
        }
        self.told_status = text;
    }
}

pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}

/// Half of what the service manager allows between two signs of life.
pub(super) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|period| period / 2)
}

pub(super) async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}
