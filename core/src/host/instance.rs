//! `instance`: what an instance tells the supervisor.

use wasmtime::Result;

use super::bindings::portreeve::plugin::instance::Host;
use super::log::cut;
use super::{Report, State};

const MAX_REASON: usize = 256;

impl Host for State {
    fn ready(&mut self) -> Result<()> {
        self.shared.facts.keep_run(&self.plugin, self.run);
        (self.report)(Report::Ready);
        Ok(())
    }

    fn degraded(&mut self, reason: String) -> Result<()> {
        (self.report)(Report::Degraded(cut(reason, MAX_REASON)));
        Ok(())
    }
}
