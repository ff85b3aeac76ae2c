//! `network`: what a plugin states, asked of the grant entry by entry, and handed to the reconciler. Converting is in
//! `network/convert.rs`, what a state touches in `network/accesses.rs`.

mod accesses;
mod convert;

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_network::{Kind, State as Wanted};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::bindings::portreeve::plugin::network::{self as wit, Host, HostWithStore};
use super::bindings::portreeve::plugin::types::ErrorCode;
use crate::config::LogLevel;
use crate::grants::Access;
use crate::reconcile::{Outcome, Permit};
use crate::stores::keys::KeyError;
use crate::sys::network::Refusal;
use accesses::accesses;

pub use convert::prefix_in;

/// Entries of one state.
const MAX_ENTRIES: usize = 65_536;
/// Masquerades among them: the answers of the kernel to one transaction fit its queue.
const MAX_MASQUERADES: usize = 64;
/// Problems that are told.
const MAX_PROBLEMS: usize = 1024;

impl Host for State {
    fn list_hardware(&mut self) -> Result<Result<Vec<wit::Hardware>, ErrorCode>> {
        if let Err(denied) = self.check(Access::AnyLink) {
            return Ok(Err(denied));
        }
        let table = self.shared.kernel.links().borrow().clone();
        let grants = self.grants.borrow().clone();
        let sees = |index: &u32| table.links.get(index).is_some_and(|l| grants.check(Access::Link(&l.name)).is_ok());
        let hardware = self.meter.excuse(|| self.shared.kernel.hardware());
        let shown = hardware.into_iter().filter(|h| sees(&h.index)).map(|h| wit::Hardware {
            index: h.index,
            permanent_mac: h.permanent_mac,
            driver: h.driver,
            path: h.path,
        });
        Ok(Ok(shown.collect()))
    }
}

/// Kernel modules that masquerading takes.
const MASQUERADE_MODULES: [&str; 3] = ["nf_tables", "nft_chain_nat", "nft_masq"];

impl State {
    /// Asks the grant for everything in it.
    fn check_state(&mut self, wanted: &Wanted) -> Result<(), ErrorCode> {
        let table = self.shared.kernel.links().borrow().clone();
        accesses(wanted, &table).try_for_each(|access| self.check(access))
    }

    /// The modules to load for links that are not there yet, and what the reconciler is to ask the grant.
    fn permit(&mut self, wanted: &Wanted) -> (Vec<&'static str>, Permit) {
        let (mut modules, mut forbidden) = (Vec::new(), BTreeMap::new());
        let table = self.shared.kernel.links().borrow().clone();
        for link in wanted.links.iter().filter(|link| table.by_name(&link.name).is_none()) {
            match link.make.as_ref().map(|kind| (kind, self.may_load(kind))) {
                Some((kind, Ok(true))) => modules.push(kind.module()),
                Some((_, Err(reason))) => drop(forbidden.insert(link.name.clone(), reason)),
                Some((_, Ok(false))) | None => {}
            }
        }
        if !wanted.masquerades.is_empty() {
            // A kernel that has them built in, or that loads them by itself, needs none of it.
            let ready = |module: &&str| {
                self.shared.kernel.is_loadable(module) && self.grants.borrow().check(Access::Module(module)).is_ok()
            };
            modules.extend(MASQUERADE_MODULES.into_iter().filter(ready));
        }
        let grants = self.grants.borrow().clone();
        let configure = Arc::new(move |name: &str| grants.check(Access::Configure(name)).is_ok());
        (modules, Permit { configure, forbidden })
    }

    /// Loads the module that brings a kind, if it lies ready and may be loaded; an error says what is missing.
    fn may_load(&mut self, kind: &Kind) -> Result<bool, String> {
        let module = kind.module();
        if !self.shared.kernel.is_loadable(module) {
            return Ok(false);
        }
        match self.check(Access::Module(module)) {
            Ok(()) => Ok(true),
            Err(_) => Err(format!(
                "kernel module {module} is not loaded, and loading it is not allowed; load it, or add Module(\"{module}\") to `allow`"
            )),
        }
    }
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn apply(accessor: &Accessor<T, Self>, state: wit::State) -> Result<Result<wit::Outcome, ErrorCode>> {
        let checked = accessor.with(|mut access| -> Result<_> {
            let host = access.get();
            let call = host.begin_call()?;
            // A converted state is large, and waits here for those before it.
            let Some(apply) = host.counts.apply() else { return Ok(Err(ErrorCode::Limit)) };
            let entries = state.links.len()
                + state.addresses.len()
                + state.routes.len()
                + state.rules.len()
                + state.neighbours.len()
                + state.sysctls.len()
                + state.masquerades.len();
            if entries > MAX_ENTRIES || state.masquerades.len() > MAX_MASQUERADES {
                return Ok(Err(ErrorCode::Limit));
            }
            let meter = host.meter.clone();
            let checked = meter.excuse(|| {
                let wanted = convert::state_in(state).map_err(|what| host.invalid(&what))?;
                host.check_state(&wanted)?;
                let (modules, permit) = host.permit(&wanted);
                Ok((wanted, modules, permit))
            });
            let counted = (call, apply);
            Ok(checked.map(|checked| (checked, host.shared.clone(), host.plugin.clone(), counted)))
        })?;
        let ((wanted, modules, permit), shared, plugin, counted) = match checked {
            Ok(checked) => checked,
            Err(code) => return Ok(Err(code)),
        };
        // The work goes on when the guest no longer waits for it, so the count does too.
        let work = tokio::spawn(async move {
            for module in modules {
                if let Err(reason) = shared.kernel.load_module(module).await {
                    tracing::warn!(plugin = %plugin, module, reason, "cannot load a kernel module");
                }
            }
            let done = shared.reconciler.apply(&plugin, wanted, permit).await;
            drop(counted);
            done
        });
        let done = work.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        Ok(accessor.with(|mut access| {
            let host = access.get();
            done.map(outcome_out).map_err(|error| {
                host.os_error("bring the network to what was stated", &error);
                ErrorCode::Other
            })
        }))
    }

    async fn probe(accessor: &Accessor<T, Self>, kind: String) -> Result<Result<(), wit::Problem>> {
        let object = format!("kind {kind}");
        let problem = |error, message: String| wit::Problem { object: object.clone(), error, message };
        let module = portreeve_network::module_of(&kind);
        let checked = accessor.with(|mut access| -> Result<_> {
            let host = access.get();
            let call = host.begin_call()?;
            if host.check(Access::CreateKind(&kind)).is_err() {
                return Ok(Err((ErrorCode::Denied, format!("making links of kind {kind} is not allowed"))));
            }
            let load = host.shared.kernel.is_loadable(module);
            if load && host.check(Access::Module(module)).is_err() {
                let text = format!("kernel module {module} is not loaded, and loading it is not allowed");
                return Ok(Err((ErrorCode::Denied, text)));
            }
            Ok(Ok((host.shared.kernel.clone(), load, call)))
        })?;
        let (kernel, load, _call) = match checked {
            Ok(checked) => checked,
            Err((code, text)) => return Ok(Err(problem(code, text))),
        };
        let loaded = if load { kernel.load_module(module).await } else { Ok(()) };
        Ok(kernel.probe(&kind).await.map_err(|refusal| {
            let code = super::types::error_code(&refusal.error);
            let why = match (loaded, code) {
                (Err(reason), _) => reason,
                (Ok(()), ErrorCode::NotSupported) => crate::sys::network::lacks_kind(&kind),
                (Ok(()), _) => text_of(&refusal),
            };
            problem(code, why)
        }))
    }

    async fn public_key(accessor: &Accessor<T, Self>, key: String) -> Result<Result<Vec<u8>, ErrorCode>> {
        Ok(accessor.with(|mut access| {
            let host = access.get();
            host.check(Access::Key(&key))?;
            let keys = host.shared.reconciler.keys();
            let found = host.meter.excuse(|| keys.get_or_make(&key, crate::sys::linux::process::random));
            found.map(|private| crate::stores::keys::public_key(&private).to_vec()).map_err(|error| {
                let fields = vec![("key".to_owned(), key.clone()), ("error".to_owned(), error.to_string())];
                host.log(LogLevel::Error, "cannot use a key", fields);
                if matches!(error, KeyError::TooMany { .. }) { ErrorCode::Limit } else { ErrorCode::Other }
            })
        }))
    }
}

impl State {
    /// Logs why a state makes no sense.
    fn invalid(&mut self, what: &str) -> ErrorCode {
        self.log(LogLevel::Warn, "a stated network makes no sense", vec![("what".to_owned(), what.to_owned())]);
        ErrorCode::InvalidArgument
    }
}

fn text_of(refusal: &Refusal) -> String {
    match &refusal.message {
        Some(words) => format!("{} ({words})", refusal.error),
        None => refusal.error.to_string(),
    }
}

fn outcome_out(outcome: Outcome) -> wit::Outcome {
    let problem = |(object, refusal): (String, Refusal)| wit::Problem {
        error: super::types::error_code(&refusal.error),
        message: text_of(&refusal),
        object,
    };
    wit::Outcome {
        changes: u32::try_from(outcome.changes).unwrap_or(u32::MAX),
        waiting: outcome.waiting.into_iter().collect(),
        problems: outcome.problems.into_iter().take(MAX_PROBLEMS).map(problem).collect(),
    }
}
