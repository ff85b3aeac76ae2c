//! The daemon: one loop that owns the supervisor, the instances and the configuration in force.
//!
//! Order of start: log, kernel, control socket, plan of the whole configuration, plugins. A plan with errors
//! ends the start before anything is touched. Order of the end: all plugins wind up together, what waits for
//! flash is written, the socket goes. `planning` turns router.ron into a [`Plan`], `apply` moves from one plan to
//! the next, `complaint` keeps why one is not in force, `tables` closes the router until its firewall stands, `status` says how
//! things stand, `requests` answers who asks, `manager` tells the service manager; this file is the loop between them.

mod apply;
mod complaint;
mod manager;
pub mod options;
pub mod planning;
mod requests;
mod status;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve_config::Diagnostic;
use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{ReadError, Source};
use crate::control::server::{self, Request, Service};
use crate::host::Shared;
use crate::plugin::instance::{Command, Ended, Event, Failure, Instance, Start, What};
use crate::plugin::{Loader, PluginEngine};
use crate::stores::logs::LogStore;
use crate::supervisor::{Action, Supervisor};
use crate::sys::Kernel;
use crate::sys::linux::{LinuxKernel, process};
use apply::Entry;
use complaint::Complaint;
use manager::{notify, tick, watchdog_period};
use options::Options;
use planning::{Plan, ReadyPlugin};

/// How long a plugin may take to answer a query or to change over.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// router.ron cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// router.ron has errors; the text shows them all.
    #[error("{0}")]
    Config(String),
    /// Something of the machine.
    #[error("cannot {what}: {source}")]
    Os {
        /// What was tried, on what.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something else has the control socket's name.
    #[error("{0} exists and is no socket; remove it, or name another socket with --control")]
    InTheWay(std::path::PathBuf),
    /// Another core serves already.
    #[error("another portreeve answers on {0}; stop it first, or name other directories")]
    Running(std::path::PathBuf),
    /// A signal came before it was up.
    #[error("told to stop before it was up")]
    Interrupted,
    /// wasmtime does not start on this machine.
    #[error("cannot start the WebAssembly engine: {0:#}")]
    Engine(wasmtime::Error),
}

fn os(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
    let what = what.into();
    |source| StartError::Os { what, source }
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// It does not start. Once it runs it does not fail.
pub fn run(options: Options, logs: LogStore) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(os("start an event loop"))?;
    let result = runtime.block_on(async {
        let mut core = Core::start(options, logs.clone()).await?;
        core.run().await;
        Ok(())
    });
    // A component that is being compiled or judged must not hold up the end.
    runtime.shutdown_background();
    logs.flush();
    result
}

/// News from tasks of this loop.
enum News {
    /// A new plan stands, or router.ron cannot be read.
    Planned(Result<Box<Plan>, String>),
    /// A plugin changed over, or failed to.
    Reconfigured { plugin: String, run: u64, asked: Box<ReadyPlugin>, result: Result<(), Failure> },
    /// A plugin answered a query in time, or left it without an answer.
    Queried { plugin: String, run: u64, answered: bool },
}

struct Core {
    options: Options,
    shared: Arc<Shared>,
    loader: Loader,
    supervisor: Supervisor,
    instances: BTreeMap<String, Instance>,
    /// What router.ron names, in its order.
    order: Vec<String>,
    entries: BTreeMap<String, Entry>,
    complaint: Complaint,
    started: Instant,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    news: (mpsc::UnboundedSender<News>, mpsc::UnboundedReceiver<News>),
    requests: mpsc::Receiver<Request>,
    signals: Signals,
    /// A plan is being made; another is wanted after it.
    planning: Option<bool>,
    stopping: bool,
    told_ready: bool,
    /// The last status line for the service manager.
    told_status: String,
    /// Queries in a row that the present run of a plugin left without an answer.
    unanswered: BTreeMap<String, (u64, u32)>,
    /// The guard, and tables that nobody names.
    tables: tables::Tables,
}

struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }
}

impl Core {
    async fn start(options: Options, logs: LogStore) -> Result<Self, StartError> {
        let started = Instant::now();
        process::raise_open_files_limit();
        process::private_directory(&options.state).map_err(os(format!("make {}", options.state.display())))?;
        let mut signals = Signals::new().map_err(os("catch signals"))?;
        let source = Source::read(&options.config)?;
        let kernel = LinuxKernel::start().await.map_err(os("read links from the kernel (route netlink)"))?;
        let kernel: Arc<dyn Kernel> = Arc::new(kernel);
        let mut shared = Shared::new(kernel, logs.clone(), &options.state, &options.flash);
        shared.files = options.directory().to_path_buf();
        let shared = Arc::new(shared);
        let engine = PluginEngine::new().map_err(StartError::Engine)?;
        let loader = Loader::new(engine, options.open_cache()).map_err(StartError::Engine)?;
        let plan = tokio::select! {
            plan = planning::plan(source, &options, &loader, &shared) => plan,
            _ = signals.term.recv() => return Err(StartError::Interrupted),
            _ = signals.int.recv() => return Err(StartError::Interrupted),
        };
        let complaints = plan.render();
        if plan.has_errors() {
            return Err(StartError::Config(complaints.trim_end().to_owned()));
        }
        logs.print(complaints);
        let listener = bind(&options.control).await?;
        let (core, requests) = mpsc::channel(64);
        tokio::spawn(server::listen(listener, Service { core, logs }));
        let flusher = shared.clone();
        tokio::spawn(flusher.storage.clone().run_flusher());
        let mut seed = [0; 8];
        // Without randomness the jitter of pauses is the same each time; nothing else depends on it.
        let _ = process::random(&mut seed);
        let mut core = Self {
            options,
            shared,
            loader,
            supervisor: Supervisor::new(u64::from_le_bytes(seed)),
            instances: BTreeMap::new(),
            order: Vec::new(),
            entries: BTreeMap::new(),
            complaint: Complaint::default(),
            started,
            events: mpsc::unbounded_channel(),
            news: mpsc::unbounded_channel(),
            requests,
            signals,
            planning: None,
            stopping: false,
            told_ready: false,
            told_status: String::new(),
            unanswered: BTreeMap::new(),
            tables: tables::Tables::default(),
        };
        let named = plan.plugins.iter().map(|plugin| plugin.config.name.value.clone()).collect();
        core.shared.reconciler.keep_only(&named).await;
        core.close_for(&plan).await;
        core.apply(plan);
        core.tables.set_untidy();
        process::release_free_memory();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            config = %core.options.config.display(),
            control = %core.options.control.display(),
            "portreeve is up"
        );
        Ok(core)
    }

    async fn run(&mut self) {
        let mut watchdog = watchdog_period().map(tokio::time::interval);
        loop {
            self.act();
            self.settle_tables().await;
            self.tell_manager();
            if self.stopping && self.supervisor.all_stopped() {
                break;
            }
            let deadline = self.supervisor.poll_timeout().into_iter().chain(self.tables.poll_timeout()).min();
            tokio::select! {
                Some(event) = self.events.1.recv() => self.handle_event(event),
                Some(news) = self.news.1.recv() => self.handle_news(news).await,
                Some(request) = self.requests.recv() => self.handle_request(request),
                _ = self.signals.hup.recv() => self.reload(),
                _ = self.signals.term.recv() => if self.stop("SIGTERM") { break },
                _ = self.signals.int.recv() => if self.stop("SIGINT") { break },
                () = sleep_until(deadline) => self.supervisor.handle_timeout(Instant::now()),
                () = tick(&mut watchdog) => notify(&[NotifyState::Watchdog]),
            }
        }
        self.shared.reconciler.settle().await;
        self.shared.storage.flush();
        // Somebody may have removed it before us.
        let _ = std::fs::remove_file(&self.options.control);
        tracing::info!("portreeve has stopped");
    }

    /// Begins to wind up; true if that was asked before, and it shall end at once.
    fn stop(&mut self, signal: &'static str) -> bool {
        if self.stopping {
            tracing::warn!(signal, "told twice to stop, ending at once");
            return true;
        }
        tracing::info!(signal, "stopping");
        notify(&[NotifyState::Stopping]);
        self.stopping = true;
        self.supervisor.shut_down(Instant::now());
        false
    }

    /// Makes a new plan beside the loop; `handle_news` takes it over.
    fn reload(&mut self) {
        if self.stopping {
            return;
        }
        if let Some(again) = &mut self.planning {
            *again = true;
            return;
        }
        self.planning = Some(false);
        tracing::info!(config = %self.options.config.display(), "reading the configuration again");
        let (options, loader, shared) = (self.options.clone(), self.loader.clone(), self.shared.clone());
        let news = self.news.0.clone();
        tokio::spawn(async move {
            let plan = match Source::read(&options.config) {
                Ok(source) => Ok(Box::new(planning::plan(source, &options, &loader, &shared).await)),
                Err(error) => Err(error.to_string()),
            };
            let _ = news.send(News::Planned(plan));
        });
    }

    async fn handle_news(&mut self, news: News) {
        if self.stopping {
            return;
        }
        match news {
            News::Planned(plan) => {
                let again = self.planning.take().unwrap_or(false);
                self.handle_plan(plan).await;
                process::release_free_memory();
                if again {
                    self.reload();
                }
            }
            News::Reconfigured { plugin, run, asked, result } => self.handle_reconfigured(&plugin, run, &asked, result),
            News::Queried { plugin, run, answered } => self.handle_queried(plugin, run, answered),
        }
    }

    async fn handle_plan(&mut self, plan: Result<Box<Plan>, String>) {
        let refused = match plan {
            Ok(plan) => {
                let complaints = plan.render();
                self.shared.logs.print(complaints.clone());
                if plan.has_errors() {
                    complaints
                } else {
                    self.complaint.accepted();
                    self.close_for(&plan).await;
                    self.apply(*plan);
                    return;
                }
            }
            Err(text) => text,
        };
        self.refuse(&refused);
    }

    /// What was put in force last is not in force after all.
    fn refuse(&mut self, complaints: &str) {
        let first = first_error(complaints);
        tracing::error!(reason = first, "the new configuration is refused, the old one stays in force");
        self.complaint.refused(complaints);
    }

    /// A plugin that was just started refuses its section; the reason in a line.
    fn refused(&mut self, plugin: &str, list: Vec<Diagnostic>) -> String {
        let Some(ready) = self.entries.get(plugin).and_then(|entry| entry.ready.as_ref()) else {
            return "it refused its planned section".to_owned();
        };
        let complaints = ready.render(list);
        let reason = format!("it refused its planned section: {}", first_error(&complaints));
        if self.complaint.refused_start(plugin, &complaints) {
            self.shared.logs.print(complaints);
        }
        reason
    }

    /// Obeys the supervisor.
    fn act(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Start { plugin, run } => self.start_instance(&plugin, run),
                Action::Drain { plugin } => {
                    let asked = self.instances.get(&plugin).map(|instance| instance.command(Command::Stop));
                    if let Some(Err(_)) = asked {
                        // It does not even take the request: it will not wind up either.
                        self.kill(&plugin);
                    }
                }
                Action::Kill { plugin } => self.kill(&plugin),
            }
        }
    }

    fn kill(&self, plugin: &str) {
        if let Some(instance) = self.instances.get(plugin) {
            instance.kill();
        }
    }

    fn start_instance(&mut self, name: &str, run: u64) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.changing = false;
        let Some(ready) = &entry.ready else { return };
        let start = Start {
            plugin: name.into(),
            run,
            loaded: ready.loaded.clone(),
            limits: ready.config.limits,
            grants: Arc::new(ready.grants.clone()),
            section: ready.config.section.value.clone(),
            place: ready.section_place(),
        };
        let engine = self.loader.engine().clone();
        match Instance::start(engine, self.shared.clone(), start, self.events.0.clone()) {
            Ok(instance) => drop(self.instances.insert(name.to_owned(), instance)),
            Err(error) => {
                let what = What::Ended(Ended::Crashed(format!("no thread for it: {error}")));
                let _ = self.events.0.send(Event { plugin: name.into(), run, what });
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let Event { plugin, run, what } = event;
        let now = Instant::now();
        match what {
            What::Ready => {
                tracing::info!(%plugin, run, "plugin ready");
                self.supervisor.handle_ready(&plugin, run, now);
                self.tables.unguard(&plugin);
                self.tables.set_untidy();
                self.complaint.forget(&plugin);
            }
            What::Degraded(reason) => {
                tracing::warn!(%plugin, run, reason, "plugin degraded");
                self.supervisor.handle_degraded(&plugin, run, reason, now);
            }
            What::Ended(ended) => self.handle_ended(&plugin, run, ended, now),
        }
    }

    fn handle_ended(&mut self, plugin: &str, run: u64, ended: Ended, now: Instant) {
        self.instances.remove(plugin);
        let crash = match ended {
            Ended::Stopped => None,
            Ended::Crashed(reason) => Some(reason),
            Ended::Refused(list) => Some(self.refused(plugin, list)),
        };
        match self.supervisor.handle_ended(plugin, run, crash, now) {
            None => tracing::info!(plugin, run, "plugin ended"),
            Some(reason) => tracing::warn!(plugin, run, reason, "plugin ended"),
        }
        let state = self.supervisor.view(plugin).map(|view| view.state.as_str());
        match state {
            Some("quarantined") => {
                tracing::error!(plugin, "plugin crashed too often, quarantined; it is tried again every minute");
                self.shared.facts.remove_all(plugin);
            }
            Some("stopped") => self.shared.facts.remove_all(plugin),
            _ => {}
        }
        if !self.entries.contains_key(plugin) {
            self.forget(plugin);
        }
    }
}

/// Binds the control socket for our user alone; a socket that nobody answers on is replaced.
async fn bind(path: &std::path::Path) -> Result<UnixListener, StartError> {
    use std::os::unix::fs::FileTypeExt as _;
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(StartError::Running(path.to_owned()));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(path).map_err(os(format!("replace the stale socket {}", path.display())))?;
        }
        Ok(_) => return Err(StartError::InTheWay(path.to_owned())),
        // Not there, or not to be seen: binding tells.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(os(format!("listen on {}", path.display())))?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).map_err(os(format!("protect {}", path.display())))?;
    Ok(listener)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The first error among printed complaints.
fn first_error(complaints: &str) -> &str {
    complaints.lines().find(|line| line.contains(": error: ")).or(complaints.lines().next()).unwrap_or("")
}
