//! What `iptables-save` and `ip6tables-save` print, turned into the section of the plugin `firewall`.
//!
//! `read` makes tables of lines; `options` makes matches and a target of a rule's words; `convert` puts the rules into a
//! `plan`, with `mangle` for what other tables than filter do to packets and `nat` for translation; `rfc4890` looks for
//! ICMPv6 that a firewall must not stop; `emit` writes the plan as RON.
//!
//! The meaning is kept, not improved: every rule names its family, the plugin's own defaults are off. A rule of which any
//! part cannot be expressed is left out as a whole and reported, because half of its conditions would match more.
//! Commands (`iptables -t nat -A …`) are read as well, as old boot scripts have them.

mod convert;
mod emit;
mod mangle;
mod nat;
mod options;
mod plan;
mod read;
mod rfc4890;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use super::{ImportError, Imported};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `iptables-save`.
    Ipv4,
    /// `ip6tables-save`.
    Ipv6,
}

impl Family {
    /// As a rule's `family` has it.
    const fn ron(self) -> &'static str {
        match self {
            Self::Ipv4 => "Ipv4",
            Self::Ipv6 => "Ipv6",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Ipv4 => "iptables",
            Self::Ipv6 => "ip6tables",
        }
    }
}

/// Imports `path`; `read` gives a file's text.
///
/// # Errors
/// The file cannot be read, or has lines that cannot be understood; all of these are reported at once.
pub fn import(
    path: &Path,
    family: Family,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Imported, ImportError> {
    let text = read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let mut plan = plan::Plan::new(family, &path.display().to_string());
    let saved = read::read(&text, &mut plan);
    convert::convert(&saved, &mut plan);
    if !plan.mistakes.is_empty() {
        plan.mistakes.sort_by_key(|mistake| mistake.line);
        return Err(ImportError::Syntax(plan.mistakes));
    }
    plan.notes.sort_by_key(|note| note.line);
    let ron = emit::emit(&plan);
    Ok(Imported { ron, notes: plan.notes })
}
