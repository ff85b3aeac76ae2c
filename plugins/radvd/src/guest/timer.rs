//! The engine's next deadline as one sleep at the host. A sleep that is armed for an earlier time is kept: it
//! ends too early, which the engine takes as nothing, and costs less than calling it back.

use portreeve_sdk::clock;
use portreeve_sdk::futures::future::LocalBoxFuture;

use crate::Instant;

#[derive(Default)]
pub struct Timer {
    armed: Option<(Instant, LocalBoxFuture<'static, ()>)>,
}

impl Timer {
    /// Makes sure that it expires at `deadline` or before.
    pub fn arm(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline.filter(|d| self.armed.as_ref().is_none_or(|(armed, _)| d < armed)) {
            let sleep = clock::sleep_until(deadline.micros().saturating_mul(1000));
            self.armed = Some((deadline, Box::pin(sleep)));
        }
    }

    /// Waits until it expires. Dropping the future keeps the sleep.
    pub async fn expired(&mut self) {
        match &mut self.armed {
            Some((_, sleep)) => sleep.await,
            None => core::future::pending().await,
        }
        self.armed = None;
    }
}
