//! Small named values of plugins: a directory for each plugin, a file for each value.
//!
//! Volatile values are written at once, to the run directory. Values on flash are written when they changed,
//! a plugin's together, at most every [`FLASH_INTERVAL`]; [`StorageStore::run_flusher`] does that, and
//! [`StorageStore::flush`] at the end. A file is replaced by renaming, so a power cut leaves the old value
//! or the new one. The grant's sizes are checked by the caller, which asks [`StorageStore::size_with`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::lock;
use crate::sys::linux::process::private_directory;

/// A plugin's values go to flash at most this often.
pub const FLASH_INTERVAL: Duration = Duration::from_secs(10);
/// Largest file that is taken for a value, in bytes; grants are far below.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// How long a value lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Until the machine stops.
    Volatile,
    /// Over power cuts.
    Flash,
}

/// All values.
pub struct StorageStore {
    volatile: PathBuf,
    flash: PathBuf,
    shelves: Mutex<BTreeMap<(String, Durability), Shelf>>,
    dirtied: Notify,
    /// Held while values are written to flash: two writers of one value would mix.
    writing: Mutex<()>,
}

/// One plugin's values of one durability.
#[derive(Default)]
struct Shelf {
    values: BTreeMap<String, Vec<u8>>,
    /// Names that differ from the files.
    dirty: BTreeSet<String>,
    written: Option<Instant>,
}

impl StorageStore {
    /// Values under these two directories, which are made when they are needed.
    #[must_use]
    pub fn new(volatile: PathBuf, flash: PathBuf) -> Self {
        Self { volatile, flash, shelves: Mutex::default(), dirtied: Notify::new(), writing: Mutex::default() }
    }

    /// Whether `name` can name a value.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(legal)
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, plugin: &str, durability: Durability, name: &str) -> Option<Vec<u8>> {
        self.with(plugin, durability, |shelf| shelf.values.get(name).cloned())
    }

    /// All names.
    #[must_use]
    pub fn names(&self, plugin: &str, durability: Durability) -> Vec<String> {
        self.with(plugin, durability, |shelf| shelf.values.keys().cloned().collect())
    }

    /// Bytes of all names and values if `name` had a value of `length` bytes.
    #[must_use]
    pub fn size_with(&self, plugin: &str, durability: Durability, name: &str, length: usize) -> usize {
        self.with(plugin, durability, |shelf| {
            let others = shelf.values.iter().filter(|(n, _)| *n != name);
            others.map(|(n, v)| n.len() + v.len()).sum::<usize>() + name.len() + length
        })
    }

    /// Sets a value. The caller has checked name and size.
    ///
    /// # Errors
    /// The file system's, for volatile values; what fails on flash is logged when it is written.
    pub fn set(&self, plugin: &str, durability: Durability, name: &str, value: Vec<u8>) -> io::Result<()> {
        if durability == Durability::Volatile {
            write_value(&self.directory(plugin, durability), name, &value)?;
        }
        let changed = self.with(plugin, durability, |shelf| {
            let old = shelf.values.insert(name.to_owned(), value.clone());
            let changed = old.as_ref() != Some(&value);
            if changed && durability == Durability::Flash {
                shelf.dirty.insert(name.to_owned());
            }
            changed
        });
        if changed {
            self.dirtied.notify_one();
        }
        Ok(())
    }

    /// Removes a value; whether it was there.
    pub fn remove(&self, plugin: &str, durability: Durability, name: &str) -> bool {
        let was = self.with(plugin, durability, |shelf| {
            let was = shelf.values.remove(name).is_some();
            if was && durability == Durability::Flash {
                shelf.dirty.insert(name.to_owned());
            }
            was
        });
        if durability == Durability::Volatile {
            // Not there, or not removable: it is written over or read again, both harmless.
            let _ = std::fs::remove_file(self.directory(plugin, durability).join(name));
        } else if was {
            self.dirtied.notify_one();
        }
        was
    }

    /// Writes to flash what is due, for ever.
    pub async fn run_flusher(self: Arc<Self>) {
        loop {
            // Flash can be slow: the writing is done beside the caller's loop.
            let store = self.clone();
            let due = tokio::task::spawn_blocking(move || store.flush_due(Instant::now())).await;
            match due.ok().flatten() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => self.dirtied.notified().await,
            }
        }
    }

    /// Writes everything that waits for flash, at the end of the core.
    pub fn flush(&self) {
        let _ = self.flush_due(Instant::now() + FLASH_INTERVAL);
    }

    /// Writes what is due at `now`; how long until more is, if anything waits.
    fn flush_due(&self, now: Instant) -> Option<Duration> {
        let _writing = lock(&self.writing);
        let mut next: Option<Duration> = None;
        let mut writes = Vec::new();
        for ((plugin, durability), shelf) in lock(&self.shelves).iter_mut() {
            if *durability != Durability::Flash || shelf.dirty.is_empty() {
                continue;
            }
            let wait = shelf.written.map_or(Duration::ZERO, |t| (t + FLASH_INTERVAL).saturating_duration_since(now));
            if wait.is_zero() {
                shelf.written = Some(now);
                for name in std::mem::take(&mut shelf.dirty) {
                    let value = shelf.values.get(&name).cloned();
                    writes.push((plugin.clone(), name, value));
                }
            } else {
                next = Some(next.map_or(wait, |n| n.min(wait)));
            }
        }
        for (plugin, name, value) in writes {
            let directory = self.directory(&plugin, Durability::Flash);
            let done = match value {
                Some(value) => write_value(&directory, &name, &value),
                None => std::fs::remove_file(directory.join(&name)).or_else(|e| match e.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(e),
                }),
            };
            if let Err(error) = done {
                tracing::warn!(plugin, name, %error, "cannot keep a value on flash, trying again");
                self.with(&plugin, Durability::Flash, |shelf| shelf.dirty.insert(name));
                next = Some(next.map_or(FLASH_INTERVAL, |n| n.min(FLASH_INTERVAL)));
            }
        }
        next
    }

    fn with<T>(&self, plugin: &str, durability: Durability, f: impl FnOnce(&mut Shelf) -> T) -> T {
        let mut shelves = lock(&self.shelves);
        let shelf = shelves
            .entry((plugin.to_owned(), durability))
            .or_insert_with(|| Shelf { values: read_values(&self.directory(plugin, durability)), ..Shelf::default() });
        f(shelf)
    }

    fn directory(&self, plugin: &str, durability: Durability) -> PathBuf {
        match durability {
            Durability::Volatile => self.volatile.join(plugin),
            Durability::Flash => self.flash.join(plugin),
        }
    }
}

fn read_values(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut values = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let small = entry.metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_FILE);
        if StorageStore::is_name(&name) && small {
            match std::fs::read(entry.path()) {
                Ok(value) => drop(values.insert(name, value)),
                Err(error) => tracing::warn!(name, %error, "cannot read a stored value"),
            }
        }
    }
    values
}

fn write_value(directory: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    private_directory(directory)?;
    // A leading dot is no legal name, so a half-written file is never taken for a value.
    let temporary = directory.join(format!(".{name}"));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(value)?;
    file.sync_all()?;
    std::fs::rename(&temporary, directory.join(name))?;
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("portreeve-storage-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn store(&self) -> StorageStore {
            StorageStore::new(self.0.join("v"), self.0.join("f"))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn values_outlive_the_store_and_flash_waits_for_its_turn() {
        let dir = Dir::new("outlive");
        let store = dir.store();
        store.set("p", Durability::Volatile, "a", b"1".to_vec()).unwrap();
        store.set("p", Durability::Flash, "b", b"2".to_vec()).unwrap();
        assert_eq!(dir.store().get("p", Durability::Volatile, "a").as_deref(), Some(&b"1"[..]));
        assert_eq!(dir.store().get("p", Durability::Flash, "b"), None, "not written yet");
        let now = Instant::now();
        assert_eq!(store.flush_due(now), None);
        assert_eq!(dir.store().get("p", Durability::Flash, "b").as_deref(), Some(&b"2"[..]));
        store.set("p", Durability::Flash, "b", b"3".to_vec()).unwrap();
        assert_eq!(store.flush_due(now + Duration::from_secs(4)), Some(Duration::from_secs(6)));
        assert_eq!(dir.store().get("p", Durability::Flash, "b").as_deref(), Some(&b"2"[..]));
        assert!(store.remove("p", Durability::Flash, "b"));
        store.flush();
        assert!(dir.store().names("p", Durability::Flash).is_empty());
    }

    #[test]
    fn sizes_count_names_and_values_and_plugins_are_apart() {
        let dir = Dir::new("sizes");
        let store = dir.store();
        store.set("p", Durability::Volatile, "ab", b"123".to_vec()).unwrap();
        assert_eq!(store.size_with("p", Durability::Volatile, "c", 10), 16);
        assert_eq!(store.size_with("p", Durability::Volatile, "ab", 10), 12);
        assert_eq!(store.size_with("q", Durability::Volatile, "ab", 10), 12);
        assert!(store.names("q", Durability::Volatile).is_empty());
    }

    #[test]
    fn a_name_cannot_leave_its_directory() {
        for name in ["", ".", "..", "a/b", ".a", "a\0", &"x".repeat(65)] {
            assert!(!StorageStore::is_name(name), "{name:?}");
        }
        assert!(StorageStore::is_name("prefixes.v1"));
    }
}
