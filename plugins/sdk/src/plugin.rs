//! The plugin trait, and how calls that come in while `run` waits reach its loop.
//!
//! The component model calls `reconfigure`, `query` and `stop` as tasks of their own. Here each becomes a
//! [`Request`] in a queue, and its task waits for the [`Reply`]; so a plugin has one loop that owns all state
//! and needs no locks.

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use crate::bindings::exports::portreeve::plugin::lifecycle::{self, Failure, Guest, Manifest, Planned, Report, Span};
use crate::config;

/// What a plugin is.
pub trait Plugin: 'static {
    /// Who it is, and the most it may ever need. Pure.
    fn describe() -> Manifest;

    /// What a section needs, or all that is wrong with it. Pure.
    ///
    /// # Errors
    /// Every mistake of the section.
    fn plan(section: &str) -> Result<Planned, Vec<lifecycle::Diagnostic>>;

    /// Works until [`Request::Stop`].
    fn run(section: String, requests: Requests) -> impl Future<Output = Result<(), Failure>>;
}

/// Something the core asks of a running plugin.
pub enum Request {
    /// Change over to this section. On an error the old one stays in force.
    Reconfigure(String, Reply<Result<(), Failure>>),
    /// `portreeve status PLUGIN WORDS…`.
    Query(Vec<String>, Reply<Result<Report, String>>),
    /// Wind up and return from `run`.
    Stop,
}

/// Where an answer goes.
pub struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// Answers.
    pub fn send(self, answer: T) {
        // Whoever asked may have gone away.
        let _ = self.0.send(answer);
    }
}

/// The queue of requests.
pub struct Requests(mpsc::UnboundedReceiver<Request>);

impl Requests {
    /// Waits for the next request. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Request {
        // The sender lives in a static, so the queue does not end.
        self.0.next().await.unwrap_or(Request::Stop)
    }
}

thread_local! {
    static QUEUE: RefCell<Option<mpsc::UnboundedSender<Request>>> = const { RefCell::new(None) };
}

/// Puts a request into the queue of the running plugin; false if there is none.
fn send(request: Request) -> bool {
    QUEUE.with_borrow(|queue| queue.as_ref().is_some_and(|queue| queue.unbounded_send(request).is_ok()))
}

/// Turns a [`Plugin`] into what the component exports.
pub struct Exported<P>(PhantomData<P>);

impl<P: Plugin> Guest for Exported<P> {
    fn describe() -> Manifest {
        P::describe()
    }

    fn plan(section: String) -> Result<Planned, Vec<lifecycle::Diagnostic>> {
        P::plan(&section)
    }

    async fn run(section: String) -> Result<(), Failure> {
        let (sender, receiver) = mpsc::unbounded();
        QUEUE.set(Some(sender));
        let result = P::run(section, Requests(receiver)).await;
        QUEUE.set(None);
        result
    }

    async fn reconfigure(section: String) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        if !send(Request::Reconfigure(section, Reply(reply))) {
            return Err(Failure::Other("the plugin does not run".to_owned()));
        }
        answer.await.unwrap_or_else(|_| Err(Failure::Other("the plugin dropped the request".to_owned())))
    }

    async fn query(request: Vec<String>) -> Result<Report, String> {
        let (reply, answer) = oneshot::channel();
        if !send(Request::Query(request, Reply(reply))) {
            return Err("the plugin does not run".to_owned());
        }
        answer.await.unwrap_or_else(|_| Err("the plugin dropped the request".to_owned()))
    }

    async fn stop() {
        send(Request::Stop);
    }
}

/// Diagnostics of the configuration reader in the form that crosses to the core.
#[must_use]
pub fn diagnostics(list: Vec<config::Diagnostic>) -> Vec<lifecycle::Diagnostic> {
    let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    list.into_iter()
        .map(|d| lifecycle::Diagnostic {
            severity: match d.severity {
                config::Severity::Error => lifecycle::Severity::Error,
                config::Severity::Warning => lifecycle::Severity::Warning,
            },
            span: Span { start: offset(d.span.start), end: offset(d.span.end) },
            message: d.message,
            hint: d.hint,
        })
        .collect()
}

/// Makes a [`Plugin`] the one that this component exports.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            type Exported = $crate::Exported<$plugin>;
    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
