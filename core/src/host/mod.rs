//! The host side of the WIT package: one file for each interface, each of which looks up, converts,
//! delegates and converts back, and decides nothing. `grants` decides, `sys` and `stores` do the work.
//!
//! Two kinds of failure leave here: an `error-code` that the plugin sees and can act on, or a trap that ends
//! the instance because it broke the rules of the component model (a handle it does not own).

pub mod bindings;
mod clock;
mod counted;
pub mod facts;
pub mod files;
mod inet;
pub mod instance;
pub mod ipv4;
pub mod links;
mod log;
pub mod metrics;
mod names;
pub mod netfilter;
pub mod netlink;
pub mod network;
mod random;
pub mod raw_ip;
mod standing;
mod storage;
pub mod tcp;
pub mod tun;
mod types;
pub mod udp;
mod wasi;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, ResourceTable};

use crate::config::{Limits, LogLevel};
use crate::grants::{Access, Grants};
use crate::plugin::limits::{LimitError, Limiter, Meter};
use crate::reconcile::Reconciler;
use crate::stores::facts::FactStore;
use crate::stores::keys::KeyStore;
use crate::stores::logs::{LogStore, RateLimit, Record};
use crate::stores::metrics::{MAX_SERIES, MetricStore};
use crate::stores::storage::StorageStore;
use crate::sys::Kernel;
use bindings::portreeve::plugin::types::ErrorCode;
use counted::{Counted, Counts};

pub use wasi::ALLOWED_IMPORTS as WASI_IMPORTS;

/// The version of the WIT package that is served: major, minor, patch.
pub const WIT_VERSION: (u64, u64, u64) = (0, 1, 0);
/// The interfaces of the package that a plugin may import.
pub const WIT_IMPORTS: [&str; 18] = [
    "types",
    "clock",
    "random",
    "log",
    "metrics",
    "links",
    "network",
    "raw-ip",
    "tun",
    "udp",
    "tcp",
    "netlink",
    "netfilter",
    "files",
    "names",
    "storage",
    "facts",
    "instance",
];

/// Calls that may wait at the host beside one for each handle: sleeps, mostly.
const SPARE_CALLS: usize = 256;

/// What all instances share.
pub struct Shared {
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// The log.
    pub logs: LogStore,
    /// Figures.
    pub metrics: MetricStore,
    /// Facts.
    pub facts: FactStore,
    /// Stored values.
    pub storage: Arc<StorageStore>,
    /// Brings the network to what plugins state.
    pub reconciler: Reconciler,
    /// Where files that sections name are looked for: the directory of router.ron.
    pub files: PathBuf,
}

impl Shared {
    /// Nothing stored yet; what lasts until the machine stops lies in `state`, what lasts longer in `flash`, where files are
    /// looked for as well.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>, logs: LogStore, state: &Path, flash: &Path) -> Self {
        Self {
            reconciler: Reconciler::new(kernel.clone(), state.join("network"), KeyStore::new(flash.join("keys"))),
            kernel,
            logs,
            metrics: MetricStore::default(),
            facts: FactStore::default(),
            storage: Arc::new(StorageStore::new(state.join("storage"), flash.join("storage"))),
            files: flash.to_path_buf(),
        }
    }
}

/// What an instance says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It does its work.
    Ready,
    /// It does part of it.
    Degraded(String),
}

/// What the host knows of one instance: the data of its store.
pub struct State {
    plugin: Arc<str>,
    /// The number of this run of the plugin.
    run: u64,
    shared: Arc<Shared>,
    grants: watch::Receiver<Arc<Grants>>,
    report: Box<dyn Fn(Report) + Send>,
    section_place: Arc<instance::SectionPlace>,
    handles: ResourceTable,
    /// Of nf_tables, once it was asked for.
    transactions: netfilter::Transactions,
    /// Handles of metrics, which are many and cheap, apart from those of sockets and watches.
    series: ResourceTable,
    /// What there is at once: calls of the guest that wait here, among others.
    counts: Counts,
    max_calls: usize,
    log_rate: RateLimit,
    /// Denials have a rate of their own: a plugin cannot hide them behind other records.
    denial_rate: RateLimit,
    wasi: wasi::Wasi,
    /// Memory and tables.
    pub(crate) limiter: Limiter,
    /// Computing time.
    pub(crate) meter: Arc<Meter>,
}

/// What an instance is made for.
pub struct Purpose {
    /// The plugin's name in router.ron.
    pub plugin: Arc<str>,
    /// The number of this run, from 1; 0 for instances that only describe or plan.
    pub run: u64,
    /// What it may touch; can change while it runs.
    pub grants: watch::Receiver<Arc<Grants>>,
    /// Told what the instance says of itself.
    pub report: Box<dyn Fn(Report) + Send>,
    /// Where its section begins; can change while it runs.
    pub section_place: Arc<instance::SectionPlace>,
    /// Its limits.
    pub limits: Limits,
    /// Shows the bytes of its linear memory.
    pub memory: Arc<AtomicUsize>,
    /// Counts its computing time.
    pub meter: Arc<Meter>,
}

impl State {
    /// The state of a new instance.
    #[must_use]
    pub fn new(shared: Arc<Shared>, purpose: Purpose) -> Self {
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(purpose.limits.handles);
        let mut series = ResourceTable::new();
        series.set_max_capacity(MAX_SERIES);
        Self {
            wasi: wasi::Wasi::new(&shared.logs, &purpose.plugin),
            plugin: purpose.plugin,
            run: purpose.run,
            shared,
            grants: purpose.grants,
            report: purpose.report,
            section_place: purpose.section_place,
            handles,
            transactions: None,
            series,
            counts: Counts::default(),
            max_calls: purpose.limits.handles + SPARE_CALLS,
            log_rate: RateLimit::new(Instant::now()),
            denial_rate: RateLimit::new(Instant::now()),
            limiter: Limiter::new(purpose.limits, purpose.memory),
            meter: purpose.meter,
        }
    }

    /// Asks the grant; a denial is logged with what was missing.
    fn check(&mut self, access: Access<'_>) -> Result<(), ErrorCode> {
        let decision = self.grants.borrow().check(access);
        decision.map_err(|denied| {
            let fields = vec![("access".to_owned(), access.to_string()), ("reason".to_owned(), denied.to_string())];
            if let Some(dropped) = self.denial_rate.admit(Instant::now()) {
                self.record(LogLevel::Warn, "denied", fields, dropped);
            }
            ErrorCode::Denied
        })
    }

    /// Writes to the plugin's log, within its rate.
    fn log(&mut self, level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        if self.shared.logs.enabled(level)
            && let Some(dropped) = self.log_rate.admit(Instant::now())
        {
            self.record(level, message, fields, dropped);
        }
    }

    fn record(&self, level: LogLevel, message: &str, mut fields: Vec<(String, String)>, dropped: u64) {
        if dropped > 0 {
            fields.push(("records_dropped_before".to_owned(), dropped.to_string()));
        }
        let record = Record {
            time: SystemTime::now(),
            level,
            plugin: Some(self.plugin.to_string()),
            message: message.to_owned(),
            fields,
        };
        self.meter.excuse(|| self.shared.logs.push(record));
    }

    /// The plugin's error for a kernel's; what it cannot act on is logged here.
    fn os_error(&mut self, what: &str, error: &std::io::Error) -> ErrorCode {
        let code = types::error_code(error);
        if code == ErrorCode::Other {
            let fields = vec![("error".to_owned(), error.to_string()), ("tried".to_owned(), what.to_owned())];
            self.log(LogLevel::Warn, "the kernel refused", fields);
        }
        code
    }
}

impl State {
    /// Counts a call that may wait. Too many at once end the instance: each costs the core memory.
    fn begin_call(&self) -> wasmtime::Result<Counted> {
        self.counts.call(self.max_calls).ok_or_else(|| LimitError::Calls { limit: self.max_calls }.into())
    }
}

/// Ends the guest's turn now and then although the answer is there. A guest that is kept busy by its packets never
/// has to wait; without this its turn would not end, and it would be taken for one that spins.
async fn let_others_run() {
    tokio::task::consume_budget().await;
}

/// A linker with everything a plugin can import.
///
/// # Errors
/// None in practice: the same name would have to be linked twice.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    bindings::Plugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    wasi::add_to_linker(&mut linker)?;
    Ok(linker)
}
