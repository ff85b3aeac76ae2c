//! `router.ron`: from text to a legal configuration, with every mistake reported at its place.
//!
//! The core understands the frame of the file (`system`, and for each plugin where it comes from and what it
//! may touch). A plugin's own `config` stays text: only its plugin can read it, and it does so in an instance
//! without any handle. Reading goes on after a mistake, so that the sections of all plugins are still judged
//! in the same run.

mod parse;

use std::path::{Path, PathBuf};

use portreeve_config::{Diagnostic, Position, Severity, Span, Spanned};

use crate::grants::Need;

pub use parse::parse;

/// Largest router.ron that is read, in bytes.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Complaints that are shown of one file.
pub const MAX_SHOWN: usize = 100;
/// Most plugins in one file.
pub const MAX_PLUGINS: usize = 256;

/// A configuration whose frame is legal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterConfig {
    /// What concerns the machine.
    pub system: System,
    /// The plugins in the order of the file.
    pub plugins: Vec<PluginConfig>,
}

/// What concerns the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// The host name to set; none leaves it alone.
    pub hostname: Option<String>,
    /// How much is logged.
    pub log: LogLevel,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum LogLevel {
    /// Only what the operator must act on.
    Error,
    /// Also what is not as it should be.
    Warn,
    /// Also changes worth knowing.
    #[default]
    Info,
    /// Also detail for finding faults.
    Debug,
    /// Everything.
    Trace,
}

/// One entry of `plugins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig {
    /// Its name, the key in the map.
    pub name: Spanned<String>,
    /// The component's file; none means `NAME.wasm` of the image's plugin directory.
    pub component: Option<Spanned<String>>,
    /// What the operator allows; none for a plugin of the image means all of its manifest.
    pub allow: Option<Spanned<Vec<Need>>>,
    /// Limits of its instance.
    pub limits: Limits,
    /// The text of its own section, `()` if there is none.
    pub section: Spanned<String>,
}

impl PluginConfig {
    /// Whether the component comes with the image (and is trusted up to its manifest).
    #[must_use]
    pub const fn is_shipped(&self) -> bool {
        self.component.is_none()
    }

    /// The component's file. A relative `component` starts at the directory of router.ron.
    #[must_use]
    pub fn component_path(&self, config_file: &Path, plugins: &Path) -> PathBuf {
        self.component.as_ref().map_or_else(
            || plugins.join(format!("{}.wasm", self.name.value)),
            |component| config_file.parent().unwrap_or_else(|| Path::new(".")).join(&component.value),
        )
    }
}

/// Limits of one plugin's instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, all memories together.
    pub memory: usize,
    /// Entries of all tables together.
    pub table_elements: usize,
    /// Handles of host resources open at once.
    pub handles: usize,
}

impl Default for Limits {
    /// Enough for a thousand interfaces, little enough for a router with 256 MiB.
    fn default() -> Self {
        Self { memory: 64 * 1024 * 1024, table_elements: 20_000, handles: 2048 }
    }
}

/// A text and the name it is shown under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name, as diagnostics show it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Why router.ron could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}; name another file with --config")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Beyond [`MAX_FILE`].
    #[error("{path} is larger than {MAX_FILE} bytes, which no router needs")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not UTF-8.
    #[error("{path}:{line}:{column}: the file is not UTF-8 text: a wrong byte stands here")]
    NotText {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
}

impl Source {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE + 1), &mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(ReadError::TooLarge { path: path.to_owned() });
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let good = e.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(e.as_bytes().get(..good).unwrap_or_default()).into_owned();
            let Position { line, column } = Position::of(&text, good);
            ReadError::NotText { path: path.to_owned(), line, column }
        })?;
        // Some editors put a byte order mark in front; it says nothing.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Self { name: path.display().to_string(), text })
    }

    /// Prints diagnostics against this text, and how many there are.
    #[must_use]
    pub fn render(&self, diagnostics: &[Diagnostic]) -> String {
        // Of too many the errors count first, in the order of the text.
        let errors_above = diagnostics.iter().filter(|d| d.severity == Severity::Error).count().min(MAX_SHOWN);
        let mut warnings_left = MAX_SHOWN - errors_above;
        let mut errors_left = MAX_SHOWN;
        let shown = diagnostics.iter().filter(|d| {
            let left = if d.severity == Severity::Error { &mut errors_left } else { &mut warnings_left };
            let show = *left > 0;
            *left = left.saturating_sub(1);
            show
        });
        let mut out: String = shown.map(|d| d.render(&self.name, &self.text)).collect();
        if diagnostics.len() > MAX_SHOWN {
            out.push_str(&format!("{}: and {} more\n", self.name, diagnostics.len() - MAX_SHOWN));
        }
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        let warnings = diagnostics.len() - errors;
        if !diagnostics.is_empty() {
            out.push_str(&format!("{}: {}, {}\n", self.name, counted(errors, "error"), counted(warnings, "warning")));
        }
        out
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// An error at `span`, for callers that find one outside of parsing.
#[must_use]
pub fn error_at(span: Span, message: String, hint: Option<String>) -> Diagnostic {
    Diagnostic { severity: Severity::Error, span, message, hint }
}

#[cfg(test)]
mod tests;
