//! Calls that wait at the host over many turns of a plugin's loop. A call that is dropped half way could lose what it
//! was about to bring; here the loop's `select` drops only the waiting, and the call goes on.

use std::future::{Future, pending};

use futures::future::LocalBoxFuture;

use crate::clock;

/// A call that is made again and again: a watch's `next`, a socket's `receive`.
pub struct Standing<T> {
    make: Option<Box<dyn Fn() -> LocalBoxFuture<'static, T>>>,
    waiting: Option<LocalBoxFuture<'static, T>>,
}

impl<T> Default for Standing<T> {
    /// No call at all: [`Standing::next`] never ends.
    fn default() -> Self {
        Self { make: None, waiting: None }
    }
}

impl<T> Standing<T> {
    /// Of a call that `make` makes.
    pub fn new<F: Future<Output = T> + 'static>(make: impl Fn() -> F + 'static) -> Self {
        Self { make: Some(Box::new(move || Box::pin(make()))), waiting: None }
    }

    /// Whether there is a call.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.make.is_some()
    }

    /// Waits for the answer of the call; the one after it makes the next. Dropping the future keeps the call.
    pub async fn next(&mut self) -> T {
        let Some(make) = &self.make else { return pending().await };
        let waiting = self.waiting.get_or_insert_with(make);
        let answer = waiting.await;
        self.waiting = None;
        answer
    }
}

/// A call that is made at most once at a time: an apply, a lookup.
pub struct Once<T>(Option<LocalBoxFuture<'static, T>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Once<T> {
    /// Makes the call; one that is under way is dropped.
    pub fn set(&mut self, call: impl Future<Output = T> + 'static) {
        self.0 = Some(Box::pin(call));
    }

    /// Whether a call is under way.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the answer; for ever without a call. Dropping the future keeps the call.
    pub async fn answer(&mut self) -> T {
        let answer = match &mut self.0 {
            Some(call) => call.await,
            None => pending().await,
        };
        self.0 = None;
        answer
    }
}

/// An engine's next deadline as one sleep at the host. A sleep that is armed for an earlier time is kept: it ends too
/// early, which an engine takes as nothing, and costs less than calling it back.
#[derive(Default)]
pub struct Timer {
    armed: Option<(u64, LocalBoxFuture<'static, ()>)>,
}

impl Timer {
    /// Makes sure that it expires at `deadline`, in `clock.instant` nanoseconds, or before.
    pub fn arm(&mut self, deadline: Option<u64>) {
        if let Some(deadline) = deadline.filter(|d| self.armed.as_ref().is_none_or(|(armed, _)| d < armed)) {
            self.armed = Some((deadline, Box::pin(clock::sleep_until(deadline))));
        }
    }

    /// Waits until it expires. Dropping the future keeps the sleep.
    pub async fn expired(&mut self) {
        match &mut self.armed {
            Some((_, sleep)) => sleep.await,
            None => pending().await,
        }
        self.armed = None;
    }
}
