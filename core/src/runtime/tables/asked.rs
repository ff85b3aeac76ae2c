//! Who asked for the guard, and which tables they filter with, kept on flash: a plugin whose component cannot be loaded asks
//! as it did when it could.
//!
//! The file has a line for each plugin: its name and the patterns of its tables, with blanks between.

use std::collections::BTreeMap;
use std::path::Path;

use portreeve_config::NamePattern;

use crate::grants::{Grants, Need};

/// The file's name.
const FILE: &str = "guarded";

/// Tables by plugin, as their plans name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked(BTreeMap<String, Vec<NamePattern>>);

impl Asked {
    /// What was written last; nothing if there is no such file. What makes no sense in it is passed over.
    pub(super) fn read(flash: &Path) -> Self {
        let text = std::fs::read_to_string(flash.join(FILE)).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?.to_owned(), words.filter_map(NamePattern::new).collect()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Replaces the file so that a power cut leaves the old one or the new one.
    pub(super) fn write(&self, flash: &Path) -> std::io::Result<()> {
        use std::io::Write as _;
        let line = |(name, tables): (&String, &Vec<NamePattern>)| {
            let words = tables.iter().map(|table| format!(" {table}"));
            format!("{name}{}\n", words.collect::<String>())
        };
        let text: String = self.0.iter().map(line).collect();
        let temporary = flash.join(format!(".{FILE}"));
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, flash.join(FILE))?;
        std::fs::File::open(flash)?.sync_all()
    }

    /// The tables of a plugin that asked.
    pub(super) fn tables(&self, plugin: &str) -> Option<&[NamePattern]> {
        self.0.get(plugin).map(Vec::as_slice)
    }

    pub(super) fn insert(&mut self, plugin: &str, tables: Vec<NamePattern>) {
        self.0.insert(plugin.to_owned(), tables);
    }
}

/// The tables that a plan names.
pub(super) fn planned(grants: &Grants) -> Vec<NamePattern> {
    let pattern = |need: &Need| match need {
        Need::NfTables(pattern) => Some(pattern.clone()),
        _ => None,
    };
    grants.planned().iter().filter_map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_written_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut asked = Asked::default();
        asked.insert("firewall", vec![NamePattern::new("inet/portreeve-firewall").unwrap()]);
        asked.insert("other", Vec::new());
        asked.write(directory.path()).unwrap();
        assert_eq!(Asked::read(directory.path()), asked);
        // A write that fails on its way, as on a full disk, leaves what was there.
        std::fs::create_dir(directory.path().join(".guarded")).unwrap();
        assert!(Asked::default().write(directory.path()).is_err());
        assert_eq!(Asked::read(directory.path()), asked);
    }
}
