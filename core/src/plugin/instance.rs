//! A running plugin: a thread, a store, the call of `run`, and the calls made beside it.
//!
//! Each plugin has a thread with a small runtime of its own. What it computes is its own time slice, and
//! its sockets are served by its own reactor, so a plugin that is busy, spinning or being thrown away never
//! holds up another. The thread takes [`Command`]s and tells what becomes of it in [`Event`]s.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use portreeve_config::{Diagnostic, Position};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use wasmtime::component::Accessor;

use super::judge::{diagnostic_in, reason};
use super::limits::Meter;
use super::{Loaded, PluginEngine};
use crate::config::Limits;
use crate::grants::Grants;
use crate::host::bindings::Plugin;
use crate::host::bindings::exports::portreeve::plugin::lifecycle as wit;
use crate::host::instance::SectionPlace;
use crate::host::{Purpose, Report, Shared, State};

/// Requests that may wait at a plugin; more are refused.
const MAX_WAITING: usize = 64;

/// Bounds of an answer; beyond them it is cut.
const MAX_VALUES: usize = 4096;
const MAX_TABLES: usize = 64;
const MAX_COLUMNS: usize = 64;
const MAX_CELLS: usize = 100_000;
const MAX_TEXT: usize = 1024;

/// What is asked of a running instance.
pub enum Command {
    /// Change over to another section.
    Reconfigure(String, oneshot::Sender<Result<(), Failure>>),
    /// Answer a question.
    Query(Vec<String>, oneshot::Sender<Result<Answer, String>>),
    /// Wind up.
    Stop,
}

/// Why a plugin gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It refuses the section after all.
    Config(Vec<Diagnostic>),
    /// Something else, in a line.
    Other(String),
}

/// An answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// Names and values.
    pub values: Vec<(String, String)>,
    /// Tables.
    pub tables: Vec<Table>,
}

/// A table of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Table {
    /// What the rows are.
    pub title: String,
    /// Headings.
    pub columns: Vec<String>,
    /// Rows, each at most as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

/// What becomes of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The plugin's name in router.ron.
    pub plugin: Arc<str>,
    /// Which run of it.
    pub run: u64,
    /// What happened.
    pub what: What,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It said ready.
    Ready,
    /// It said degraded.
    Degraded(String),
    /// Its thread is gone.
    Ended(Ended),
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `run` returned after a stop, or it was thrown away on request.
    Stopped,
    /// A trap, a limit, or `run` returned by itself: the reason in a line.
    Crashed(String),
    /// It gave up on its section after all, for these reasons; spans are within the section's text.
    Refused(Vec<Diagnostic>),
}

/// A running instance as the rest of the core holds it. Dropping it throws the instance away.
pub struct Instance {
    commands: mpsc::Sender<Command>,
    kill: Arc<Notify>,
    grants: watch::Sender<Arc<Grants>>,
    section_place: Arc<SectionPlace>,
    memory: Arc<AtomicUsize>,
    meter: Arc<Meter>,
}

/// What an instance is started with.
pub struct Start {
    /// The plugin's name in router.ron.
    pub plugin: Arc<str>,
    /// Which run of it, from 1.
    pub run: u64,
    /// The component.
    pub loaded: Loaded,
    /// Its limits.
    pub limits: Limits,
    /// What it may touch.
    pub grants: Arc<Grants>,
    /// Its section.
    pub section: String,
    /// Where in router.ron it begins.
    pub place: Position,
}

impl Instance {
    /// Starts a thread for it.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub fn start(
        engine: PluginEngine,
        shared: Arc<Shared>,
        start: Start,
        events: mpsc::UnboundedSender<Event>,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel(MAX_WAITING);
        let (grants, granted) = watch::channel(start.grants.clone());
        let instance = Self {
            commands,
            kill: Arc::new(Notify::new()),
            grants,
            section_place: Arc::default(),
            memory: Arc::default(),
            meter: Arc::default(),
        };
        instance.section_place.set(start.place);
        let (plugin, run) = (start.plugin.clone(), start.run);
        let name = plugin.chars().take(15).collect();
        let tell = {
            let plugin = plugin.clone();
            move |what| {
                // The core is gone: nobody is left to know.
                let _ = events.send(Event { plugin: plugin.clone(), run, what });
            }
        };
        let report = {
            let tell = tell.clone();
            Box::new(move |report| match report {
                Report::Ready => tell(What::Ready),
                Report::Degraded(reason) => tell(What::Degraded(reason)),
            })
        };
        let (memory, meter) = (instance.memory.clone(), instance.meter.clone());
        let section_place = instance.section_place.clone();
        let purpose =
            Purpose { plugin, run, grants: granted, report, section_place, limits: start.limits, memory, meter };
        let state = State::new(shared, purpose);
        let kill = instance.kill.clone();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => {
                    let life = AssertUnwindSafe(|| runtime.block_on(live(engine, state, start, inbox, kill)));
                    let panicked = |_| Ended::Crashed("the core panicked on its thread".to_owned());
                    let ended = catch_unwind(life).unwrap_or_else(panicked);
                    // A name lookup may block its thread for a minute; nobody waits for it any more.
                    runtime.shutdown_background();
                    ended
                }
                Err(error) => Ended::Crashed(format!("no runtime for it: {error}")),
            };
            tell(What::Ended(ended));
        };
        // The kernel shows 15 bytes of a thread's name: `top -H` names the plugin.
        std::thread::Builder::new().name(name).spawn(body)?;
        Ok(instance)
    }

    /// Hands it a command; gives it back if the instance is gone or does not keep up.
    ///
    /// # Errors
    /// The command.
    pub fn command(&self, command: Command) -> Result<(), Command> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(command) | mpsc::error::TrySendError::Closed(command) => command,
        })
    }

    /// Throws it away.
    pub fn kill(&self) {
        self.kill.notify_one();
    }

    /// Changes what it may touch, from its next use of a handle on.
    pub fn set_grants(&self, grants: Arc<Grants>) {
        self.grants.send_replace(grants);
    }

    /// Its section begins there now.
    pub fn set_place(&self, place: Position) {
        self.section_place.set(place);
    }

    /// Bytes of its linear memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// CPU time it has used.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.meter.used()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The whole life of an instance, on its own thread.
async fn live(
    engine: PluginEngine,
    state: State,
    start: Start,
    inbox: mpsc::Receiver<Command>,
    kill: Arc<Notify>,
) -> Ended {
    let (mut store, meter) = engine.store(state);
    let mut stopping = false;
    let work = async {
        let plugin = start.loaded.pre.instantiate_async(&mut store).await?;
        store
            .run_concurrent(async |accessor| serve(&plugin, accessor, start.section, inbox, &mut stopping).await)
            .await?
    };
    let result = tokio::select! {
        result = engine.turns(meter, Box::pin(work)) => result,
        () = kill.notified() => return Ended::Stopped,
    };
    match result {
        Ok(Ok(())) if stopping => Ended::Stopped,
        Ok(Ok(())) => Ended::Crashed("it returned from `run` without being asked to".to_owned()),
        Ok(Err(Failure::Other(text))) => Ended::Crashed(format!("it gave up: {text}")),
        Ok(Err(Failure::Config(list))) => Ended::Refused(list),
        Err(error) => {
            tracing::debug!(plugin = %start.plugin, trap = ?error, "guest backtrace");
            Ended::Crashed(reason(&error))
        }
    }
}

/// A call beside `run`. Its error is a trap.
type Call<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + 'a>>;

/// Calls `run`, and beside it what the inbox asks for.
async fn serve(
    plugin: &Plugin,
    accessor: &Accessor<State>,
    section: String,
    mut inbox: mpsc::Receiver<Command>,
    stopping: &mut bool,
) -> wasmtime::Result<Result<(), Failure>> {
    let lifecycle = plugin.portreeve_plugin_lifecycle();
    let mut run = pin!(lifecycle.call_run(accessor, section));
    let mut calls: FuturesUnordered<Call<'_>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            ended = &mut run => return Ok(ended?.map_err(failure_in)),
            Some(done) = calls.next(), if !calls.is_empty() => done?,
            Some(command) = inbox.recv() => calls.push(match command {
                Command::Reconfigure(section, reply) => Box::pin(async move {
                    let done = lifecycle.call_reconfigure(accessor, section).await?;
                    let _ = reply.send(done.map_err(failure_in));
                    Ok(())
                }),
                Command::Query(words, reply) => Box::pin(async move {
                    let answer = lifecycle.call_query(accessor, words).await?;
                    let _ = reply.send(answer.map(answer_in));
                    Ok(())
                }),
                Command::Stop => {
                    *stopping = true;
                    Box::pin(async move { lifecycle.call_stop(accessor).await })
                }
            }),
        }
    }
}

fn failure_in(failure: wit::Failure) -> Failure {
    match failure {
        wit::Failure::Config(list) => Failure::Config(list.into_iter().map(diagnostic_in).collect()),
        wit::Failure::Other(text) => Failure::Other(text),
    }
}

/// Rows are cut to the columns, and everything to named bounds: what a plugin answers is kept and passed on.
fn answer_in(report: wit::Report) -> Answer {
    let text = |text: String| text.chars().take(MAX_TEXT).collect::<String>();
    let mut cells = MAX_CELLS;
    let mut table = |t: wit::Table| {
        let columns: Vec<_> = t.columns.into_iter().take(MAX_COLUMNS).map(text).collect();
        let width = columns.len().max(1);
        let rows = t.rows.into_iter().take(cells / width);
        let rows: Vec<Vec<_>> = rows.map(|row| row.into_iter().take(width).map(text).collect()).collect();
        cells -= rows.len() * width;
        Table { title: text(t.title), columns, rows }
    };
    let tables = report.tables.into_iter().take(MAX_TABLES).map(&mut table).collect();
    let values = report.values.into_iter().take(MAX_VALUES).map(|(name, value)| (text(name), text(value))).collect();
    Answer { values, tables }
}
