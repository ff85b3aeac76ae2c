//! Configuration of other systems, turned into a `router.ron`.
//!
//! An importer reads a foreign file, says what it understood as RON, and says by file and line what it could not take
//! over: nothing is dropped in silence. It touches no system: files come through closures, so that tests give it
//! directories of fixtures, and its result is text that a person reads before it is put in force.
//!
//! Map: [`interfaces`] reads Debian's `/etc/network/interfaces`, [`iptables`] what `iptables-save` and `ip6tables-save`
//! print; this file and `ron`, which writes RON, are what importers share.

pub mod interfaces;
pub mod iptables;
mod ron;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What an importer made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// A whole `router.ron`.
    pub ron: String,
    /// What the operator should know, in the order of the files.
    pub notes: Vec<Note>,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Taken over, with a decision that is worth knowing.
    Info,
    /// Not taken over, or not as it was.
    Warning,
}

/// Something about one line of the imported files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// How much it matters.
    pub severity: Severity,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}: {}", self.file, self.line, self.message)
    }
}

/// A line that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: error: {}", self.file, self.line, self.message)
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file or a directory cannot be read.
    #[error("cannot read {}: {source}; name a file that can be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Lines that cannot be understood, all of them, one line of text each.
    #[error("{}", lines(.0))]
    Syntax(Vec<Mistake>),
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
