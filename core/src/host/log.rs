//! `log`: a plugin's records into the log, cut to size.

use wasmtime::Result;

use super::State;
use super::bindings::portreeve::plugin::log::{Field, Host, Level};
use crate::config::LogLevel;

const MAX_MESSAGE: usize = 1024;
const MAX_FIELDS: usize = 16;
const MAX_FIELD: usize = 256;

impl Host for State {
    fn emit(&mut self, level: Level, message: String, fields: Vec<Field>) -> Result<()> {
        let fields = fields.into_iter().take(MAX_FIELDS).map(|f| (cut(f.name, MAX_FIELD), cut(f.value, MAX_FIELD)));
        let fields = fields.collect();
        State::log(self, level_in(level), &cut(message, MAX_MESSAGE), fields);
        Ok(())
    }

    fn enabled(&mut self, level: Level) -> Result<bool> {
        Ok(self.shared.logs.enabled(level_in(level)))
    }
}

fn level_in(level: Level) -> LogLevel {
    match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    }
}

/// The first `max` bytes, or a little fewer where a character would be split.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
