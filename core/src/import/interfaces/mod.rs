//! Debian's interfaces(5), as ifupdown and the packages that extend it read it, turned into the sections of the
//! plugins `interfaces` and `tunnels`.
//!
//! Four steps, one after the other: `read` makes stanzas of files; `convert` (with `links` for bridges, VLANs and bonds,
//! and `hook` for `up` lines) puts them into a `plan`; `finish` decides what needs the whole picture (which interface a
//! route goes through, where a kernel parameter belongs, whether anything forwards); `emit` writes the plan as RON.
//!
//! What was true after `ifup -a` is true after the import. Beyond that, an interface that nothing brings up at boot
//! is written with `up: false`, and whatever a running program did (DHCP, PPP, scripts) is reported.

mod convert;
mod emit;
mod finish;
mod glob;
mod hook;
mod links;
mod plan;
mod read;
mod shell;
mod value;

use std::io;
use std::path::{Path, PathBuf};

use super::{ImportError, Imported};

/// Imports `path` and what it sources.
///
/// `read` gives a file's text, `list` the entries of a directory as whole paths; a `list` of what is no directory is
/// an error, which a pattern takes for no match.
///
/// # Errors
/// A file cannot be read, or has lines that cannot be understood; all of these are reported at once.
pub fn import(
    path: &Path,
    read: &dyn Fn(&Path) -> io::Result<String>,
    list: &dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
) -> Result<Imported, ImportError> {
    let (declared, mut plan) = read::read(path, read, list)?;
    convert::convert(&declared, &mut plan);
    finish::finish(&mut plan);
    if !plan.mistakes.is_empty() {
        return Err(ImportError::Syntax(plan.mistakes));
    }
    let ron = emit::emit(&plan, &path.display().to_string());
    Ok(Imported { ron, notes: plan.notes })
}
