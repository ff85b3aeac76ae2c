//! When plugins are started, drained, thrown away and started again. Sans-io: events and the time come in,
//! [`Action`]s go out; the caller obeys them and says what became of it.
//!
//! ```text
//!             start                ready              drain
//!  (added) ─────────▶ Starting ─────────▶ Ready ⇄ Degraded ─────▶ Draining ──▶ Stopped
//!                        │ crash, no ready in 30 s   │ crash         │ 5 s
//!                        ▼                           ▼               ▼ killed
//!                     Backoff ──(0, 100 ms … 6.4 s)──▶ Starting    Stopped
//!                        │ 8th crash without a stable minute between
//!                        ▼
//!                   Quarantined ──(60 s)──▶ Starting
//! ```
//!
//! The first crash after a stable minute is answered at once: a router should not be without its daemon for
//! a single fault. Only repeated crashes wait.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A plugin that runs this long is stable: earlier crashes are forgotten.
pub const STABLE: Duration = Duration::from_secs(60);
/// The pause before the second restart in a row; it doubles from there, up to the pause of quarantine.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// So many crashes without a stable minute between them are too many.
pub const QUARANTINE_AFTER: u32 = 8;
/// The pause in quarantine.
pub const QUARANTINE: Duration = Duration::from_secs(60);
/// How long a plugin may take to say ready.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a plugin may take to wind up.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// Where a plugin stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its instance runs and has not said ready.
    Starting,
    /// It does its work.
    Ready,
    /// It does part of it.
    Degraded(String),
    /// It was asked to stop.
    Draining,
    /// It has stopped, on request.
    Stopped,
    /// It crashed and waits to be started.
    Backoff,
    /// It crashed too often and waits longer.
    Quarantined,
}

impl State {
    /// The word that `status` shows.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded(_) => "degraded",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Backoff => "backoff",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What the caller must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start run number `run`, then report what becomes of it.
    Start {
        /// The plugin.
        plugin: String,
        /// The number of the run, from 1.
        run: u64,
    },
    /// Ask the instance to wind up.
    Drain {
        /// The plugin.
        plugin: String,
    },
    /// Throw the instance away; its end is reported like any other.
    Kill {
        /// The plugin.
        plugin: String,
    },
}

/// What the caller sees of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub state: State,
    /// The number of the present or last run.
    pub run: u64,
    /// Starts after the first.
    pub restarts: u64,
    /// Why the last run crashed.
    pub last_crash: Option<String>,
    /// When it came into its state.
    pub since: Instant,
    /// When it will be started again.
    pub retry_at: Option<Instant>,
}

struct Plugin {
    view: View,
    /// Crashes without a stable minute between them.
    crashes: u32,
    /// When the state must change by itself.
    deadline: Option<Instant>,
    /// Shall it run? Decides what follows the end of an instance.
    wanted: bool,
    /// Was its instance thrown away because it was too slow? Then the end is a crash.
    overdue: Option<&'static str>,
}

/// All plugins.
pub struct Supervisor {
    plugins: BTreeMap<String, Plugin>,
    actions: VecDeque<Action>,
    shutting_down: bool,
    random: fastrand::Rng,
}

impl Supervisor {
    /// No plugin yet; `seed` is for the jitter of pauses.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            plugins: BTreeMap::new(),
            actions: VecDeque::new(),
            shutting_down: false,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Starts a plugin: a new one, or one that has stopped, waits or is quarantined. One that runs is left
    /// alone.
    pub fn start(&mut self, name: &str, now: Instant) {
        if self.shutting_down {
            return;
        }
        let plugin = self.plugins.entry(name.to_owned()).or_insert_with(|| Plugin {
            view: View { state: State::Stopped, run: 0, restarts: 0, last_crash: None, since: now, retry_at: None },
            crashes: 0,
            deadline: None,
            wanted: true,
            overdue: None,
        });
        plugin.wanted = true;
        if matches!(plugin.view.state, State::Stopped | State::Backoff | State::Quarantined) {
            plugin.crashes = 0;
            self.actions.push_back(plugin.begin(name, now));
        }
    }

    /// Winds a plugin up; it stays known as stopped.
    pub fn stop(&mut self, name: &str, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        plugin.wanted = false;
        self.actions.extend(plugin.drain(name, now));
    }

    /// Winds a running plugin up and starts it again. One that waits after a crash goes on waiting.
    pub fn restart(&mut self, name: &str, now: Instant) {
        if let Some(plugin) = self.plugins.get_mut(name).filter(|p| p.is_running()) {
            self.actions.extend(plugin.drain(name, now));
        }
    }

    /// Winds all plugins up; from now on nothing is started any more.
    pub fn shut_down(&mut self, now: Instant) {
        self.shutting_down = true;
        let names: Vec<_> = self.plugins.keys().cloned().collect();
        for name in names {
            self.stop(&name, now);
        }
    }

    /// Throws a running plugin away; that counts as a crash for `reason`.
    pub fn give_up(&mut self, name: &str, run: u64, reason: &'static str) {
        if let Some(plugin) = self.plugins.get_mut(name).filter(|p| p.view.run == run && p.is_running()) {
            plugin.overdue = Some(reason);
            self.actions.push_back(Action::Kill { plugin: name.to_owned() });
        }
    }

    /// Forgets a plugin that has stopped.
    pub fn forget(&mut self, name: &str) {
        self.plugins.remove(name);
    }

    /// The instance of `run` said ready.
    pub fn handle_ready(&mut self, name: &str, run: u64, now: Instant) {
        self.running(name, run, State::Ready, now);
    }

    /// The instance of `run` said degraded.
    pub fn handle_degraded(&mut self, name: &str, run: u64, reason: String, now: Instant) {
        self.running(name, run, State::Degraded(reason), now);
    }

    /// The instance of `run` is gone; `crash` says why, unless it ended as it was asked to. Gives the reason if it
    /// counts as crashed, also one that only the supervisor knows.
    pub fn handle_ended(&mut self, name: &str, run: u64, crash: Option<String>, now: Instant) -> Option<String> {
        let plugin = self.plugins.get_mut(name).filter(|p| p.view.run == run)?;
        let crash = crash.or_else(|| plugin.overdue.take().map(str::to_owned));
        let told = crash.clone();
        let draining = plugin.view.state == State::Draining;
        match crash {
            Some(reason) if !draining => {
                plugin.crash(reason, now, &mut self.random);
                let pause = plugin.deadline.unwrap_or(now);
                if pause <= now {
                    self.actions.push_back(plugin.begin(name, now));
                }
            }
            crash => {
                plugin.view.last_crash = crash.or(plugin.view.last_crash.take());
                plugin.enter(State::Stopped, now);
                if plugin.wanted {
                    self.actions.push_back(plugin.begin(name, now));
                }
            }
        }
        told
    }

    /// Time has passed. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (name, plugin) in &mut self.plugins {
            if plugin.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            plugin.deadline = None;
            match plugin.view.state {
                State::Backoff | State::Quarantined => self.actions.push_back(plugin.begin(name, now)),
                State::Starting => {
                    plugin.overdue = Some("it did not say ready within 30 s");
                    self.actions.push_back(Action::Kill { plugin: name.clone() });
                }
                State::Draining => {
                    plugin.overdue = Some("it did not wind up within 5 s");
                    self.actions.push_back(Action::Kill { plugin: name.clone() });
                }
                State::Ready | State::Degraded(_) => plugin.crashes = 0,
                State::Stopped => {}
            }
        }
    }

    /// What to do next; answers change only after a call of another method.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.plugins.values().filter_map(|plugin| plugin.deadline).min()
    }

    /// A plugin.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&View> {
        self.plugins.get(name).map(|plugin| &plugin.view)
    }

    /// Whether no instance is left.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        let stopped = |state: &State| matches!(state, State::Stopped | State::Backoff | State::Quarantined);
        self.plugins.values().all(|plugin| stopped(&plugin.view.state))
    }

    fn running(&mut self, name: &str, run: u64, state: State, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name).filter(|p| p.view.run == run) else { return };
        let runs = matches!(plugin.view.state, State::Starting | State::Ready | State::Degraded(_));
        if runs && plugin.view.state != state {
            let stable_at = plugin.deadline.filter(|_| plugin.view.state != State::Starting);
            plugin.enter(state, now);
            plugin.deadline = stable_at.or_else(|| (plugin.crashes > 0).then(|| now + STABLE));
        }
    }
}

impl Plugin {
    const fn is_running(&self) -> bool {
        matches!(self.view.state, State::Starting | State::Ready | State::Degraded(_))
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.view.state = state;
        self.view.since = now;
        self.view.retry_at = None;
        self.deadline = None;
    }

    fn begin(&mut self, name: &str, now: Instant) -> Action {
        self.enter(State::Starting, now);
        self.view.run += 1;
        self.view.restarts = self.view.run - 1;
        self.deadline = Some(now + READY_WITHIN);
        self.overdue = None;
        Action::Start { plugin: name.to_owned(), run: self.view.run }
    }

    /// What to do to wind up, if there is an instance to wind up.
    fn drain(&mut self, name: &str, now: Instant) -> Option<Action> {
        match self.view.state {
            State::Starting | State::Ready | State::Degraded(_) => {
                self.enter(State::Draining, now);
                self.deadline = Some(now + DRAIN_WITHIN);
                Some(Action::Drain { plugin: name.to_owned() })
            }
            State::Backoff | State::Quarantined => {
                self.enter(State::Stopped, now);
                None
            }
            State::Draining | State::Stopped => None,
        }
    }

    fn crash(&mut self, reason: String, now: Instant, random: &mut fastrand::Rng) {
        self.view.last_crash = Some(reason);
        self.crashes += 1;
        let (state, pause) = match self.crashes {
            1 => (State::Backoff, Duration::ZERO),
            n if n < QUARANTINE_AFTER => {
                (State::Backoff, BACKOFF_FIRST.saturating_mul(1 << (n - 2).min(16)).min(QUARANTINE))
            }
            _ => (State::Quarantined, QUARANTINE),
        };
        // Up to a quarter more, so that plugins that crashed together do not come back together.
        let pause = pause.mul_f64(random.f64().mul_add(0.25, 1.0));
        self.enter(state, now);
        self.deadline = Some(now + pause);
        self.view.retry_at = self.deadline;
    }
}

#[cfg(test)]
mod tests;
