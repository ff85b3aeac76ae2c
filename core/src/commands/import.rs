//! `portreeve import …`: foreign configuration to router.ron. The result goes to stdout, what needs attention to stderr.

use std::io;
use std::path::{Path, PathBuf};

use super::{Failed, print};
use crate::import as foreign;

/// Whose configuration is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Debian's interfaces(5), with the files it sources.
    Interfaces,
}

/// Imports a file, and what it sources.
///
/// # Errors
/// It cannot be read, or it is none.
pub fn import(format: Format, file: &Path) -> Result<bool, Failed> {
    let imported = match format {
        Format::Interfaces => foreign::interfaces::import(file, &read, &list)?,
    };
    let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
    print::complain(&notes);
    print::out(&imported.ron)?;
    Ok(true)
}

fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
}
