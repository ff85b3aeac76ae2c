//! What the command line does, one file for each group of commands. Results go to stdout, complaints to
//! stderr; a command returns whether it succeeded, `main` turns that into the exit code.

pub mod ask;
pub mod check;
pub mod import;
pub mod plugin;
mod print;

use std::sync::Arc;

use crate::host::Shared;
use crate::plugin::cache::Cache;
use crate::plugin::{Loader, PluginEngine};
use crate::runtime::options::Options;
use crate::stores::logs::LogStore;
use crate::sys::fake::FakeKernel;

/// Why a command failed, in a line for stderr.
pub type Failed = Box<dyn std::error::Error>;

/// See [`offline`].
type Offline = (Loader, Arc<Shared>);

/// What planning needs, without a daemon and without the kernel: a machine without links serves, since an
/// instance that plans has no grant to look at any.
fn offline(options: &Options, logs: &LogStore) -> Result<Offline, Failed> {
    let shared = Shared::new(Arc::new(FakeKernel::new()), logs.clone(), &options.state, &options.flash);
    let engine = PluginEngine::new().map_err(|e| format!("cannot start the WebAssembly engine: {e:#}"))?;
    // What a core has compiled is used, but a command that only looks leaves nothing behind.
    let cache = Cache::open_existing(&options.flash).ok();
    let loader = Loader::new(engine, cache).map_err(|e| format!("cannot link the host: {e:#}"))?;
    Ok((loader, Arc::new(shared)))
}

/// A small runtime for one command.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}
