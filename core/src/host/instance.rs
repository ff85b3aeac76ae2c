//! `instance`: what an instance tells the supervisor, and where its section stands.

use std::sync::atomic::{AtomicU64, Ordering};

use portreeve_config::Position;
use wasmtime::Result;

use super::bindings::portreeve::plugin::instance::{Host, Place};
use super::log::cut;
use super::{Report, State};

const MAX_REASON: usize = 256;

/// Where in router.ron a section begins; can change while its instance runs.
#[derive(Debug)]
pub struct SectionPlace(AtomicU64);

impl Default for SectionPlace {
    /// The beginning of the file.
    fn default() -> Self {
        Self(AtomicU64::new(1 << 32 | 1))
    }
}

impl SectionPlace {
    /// It begins there.
    pub fn set(&self, place: Position) {
        let number = |number: usize| u64::from(u32::try_from(number).unwrap_or(u32::MAX));
        self.0.store(number(place.line) << 32 | number(place.column), Ordering::Relaxed);
    }

    fn get(&self) -> Place {
        let [a, b, c, d, e, f, g, h] = self.0.load(Ordering::Relaxed).to_be_bytes();
        Place { line: u32::from_be_bytes([a, b, c, d]), column: u32::from_be_bytes([e, f, g, h]) }
    }
}

impl Host for State {
    fn section_place(&mut self) -> Result<Place> {
        Ok(self.section_place.get())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_was_set_last() {
        let place = SectionPlace::default();
        assert_eq!((place.get().line, place.get().column), (1, 1));
        place.set(Position { line: 70_000, column: 9 });
        assert_eq!((place.get().line, place.get().column), (70_000, 9));
    }
}
