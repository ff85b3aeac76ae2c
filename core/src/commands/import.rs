//! `portreeve import …`: foreign configuration to router.ron. The result goes to stdout, what needs attention to stderr.

use std::io;
use std::path::{Path, PathBuf};

use super::{Failed, print};
use crate::import as foreign;
use crate::import::iptables::Family;

/// Whose configuration is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Debian's interfaces(5), with the files it sources.
    Interfaces,
    /// The IPv4 firewall as `iptables-save` prints it.
    Iptables,
    /// The IPv6 firewall as `ip6tables-save` prints it.
    Ip6tables,
}

/// Imports a file, and what it sources.
///
/// # Errors
/// It cannot be read, or it is none.
pub fn import(format: Format, file: &Path) -> Result<bool, Failed> {
    let imported = match format {
        Format::Interfaces => foreign::interfaces::import(file, &read, &list)?,
        Format::Iptables => foreign::iptables::import(file, Family::Ipv4, &read)?,
        Format::Ip6tables => foreign::iptables::import(file, Family::Ipv6, &read)?,
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
