//! The wasmtime engine, the epoch ticker, and how long a guest may compute.
//!
//! Every tick a computing guest is interrupted for a look at its [`Meter`]; a turn beyond [`TURN_LIMIT`] traps with a
//! guest backtrace. The ticker sleeps from a second after the last guest computed: an idle router has no wake-ups from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::{Engine, Store, UpdateDeadline};

use super::limits::{LimitError, Meter};
use crate::host::State;

/// How long a guest may compute without a wait.
pub const TURN_LIMIT: Duration = Duration::from_millis(500);
/// CPU time for `describe` and `plan` together: nobody waits for packets meanwhile, and on a slow machine the first steps
/// of a large component take long.
pub const JUDGE_LIMIT: Duration = Duration::from_secs(5);
/// Ticks without a computing guest after which the ticker goes to sleep: to wake it costs the guest that begins, so
/// not between the packets of a burst.
const LINGER_TICKS: u32 = 100;
/// How often a computing guest is looked at.
const TICK: Duration = Duration::from_millis(10);

/// An engine and its ticker. Clones share both.
#[derive(Clone)]
pub struct PluginEngine {
    engine: Engine,
    ticker: Arc<Ticker>,
}

impl PluginEngine {
    /// The engine that every plugin runs in.
    ///
    /// # Errors
    /// wasmtime's, on a machine it does not support.
    pub fn new() -> wasmtime::Result<Self> {
        let mut config = wasmtime::Config::new();
        config.wasm_component_model(true).wasm_component_model_async(true).epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Self { engine, ticker })
    }

    /// The wasmtime engine.
    #[must_use]
    pub const fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    /// A store whose turns are measured by the returned meter.
    #[must_use]
    pub fn store(&self, state: State) -> (Store<State>, Arc<Meter>) {
        let meter = state.meter.clone();
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        let turn = meter.clone();
        store.epoch_deadline_callback(move |_| {
            if turn.this_turn() > turn.limit() {
                return Err(LimitError::Turn { limit_ms: turn.limit().as_millis() }.into());
            }
            Ok(UpdateDeadline::Continue(1))
        });
        (store, meter)
    }

    /// Runs a store's future in measured turns.
    pub fn turns<F: Future>(&self, meter: Arc<Meter>, future: Pin<Box<F>>) -> Turns<'_, F> {
        Turns { ticker: &self.ticker, meter, future }
    }
}

/// See [`PluginEngine::turns`].
pub struct Turns<'a, F> {
    ticker: &'a Ticker,
    meter: Arc<Meter>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Turns<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let ticker = self.ticker;
        self.meter.begin();
        ticker.enter();
        let polled = self.future.as_mut().poll(cx);
        ticker.leave();
        self.meter.end();
        polled
    }
}

/// Advances the epoch while any guest computes.
struct Ticker {
    computing: AtomicUsize,
    asleep: AtomicBool,
    thread: Thread,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Arc<Self>> {
        let (hand_over, handed) = std::sync::mpsc::channel::<std::sync::Weak<Self>>();
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            let Ok(ticker) = handed.recv() else { return };
            let mut idle = 0;
            // Ends with the last clone of the engine.
            while let Some(ticker) = ticker.upgrade() {
                idle = if ticker.computing.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
                if idle > LINGER_TICKS {
                    idle = 0;
                    ticker.asleep.store(true, Ordering::SeqCst);
                    // `enter` counts first and looks at `asleep` then: one of the two sees the other.
                    if ticker.computing.load(Ordering::SeqCst) == 0 {
                        drop(ticker);
                        std::thread::park();
                    }
                    continue;
                }
                drop(ticker);
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        let ticker = Arc::new(Self {
            computing: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            thread: thread.thread().clone(),
        });
        let _ = hand_over.send(Arc::downgrade(&ticker));
        Ok(ticker)
    }

    fn enter(&self) {
        self.computing.fetch_add(1, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    fn leave(&self) {
        self.computing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}
