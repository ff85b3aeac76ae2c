//! What was made for one plugin, kept in the state directory: a file for each plugin, written whole.
//!
//! The tags in the kernel say that something is ours, the record says whose, and as what it was stated. The directory does
//! not outlive a boot, as the kernel's state does not; a record of another boot is thrown away.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use portreeve_network::{Address, Kind, Masquerade, Neighbour, Route, Rule};
use serde::{Deserialize, Serialize};

use crate::sys::network::{Change, RouteKey};

/// Largest record that is read, in bytes.
const MAX_RECORD: u64 = 64 * 1024 * 1024;
/// Changes up to which the lists are searched from end to end.
const FEW: usize = 16;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Which boot it belongs to.
    boot: String,
    /// Links that were made.
    pub links: BTreeMap<String, Kind>,
    /// Links of others that were changed, and how they were.
    pub before: BTreeMap<String, Before>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Whose packets are masqueraded.
    pub masquerades: Vec<Masquerade>,
    /// Parameters that were changed.
    pub sysctls: BTreeMap<String, Parameter>,
    /// Links whose making was begun when the core ended, and that may not have been tagged.
    #[serde(skip)]
    pub begun: BTreeMap<String, Kind>,
    /// There is more here than in the file.
    #[serde(skip)]
    pub unsaved: bool,
}

/// How a link was before it was changed; what was not changed is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// Bytes.
    pub mtu: Option<u32>,
    /// What it was set to.
    pub set_mtu: Option<u32>,
    /// Link-layer address.
    pub mac: Option<Vec<u8>>,
    /// What it was set to.
    pub set_mac: Option<Vec<u8>>,
    /// The controller that it was given.
    pub given_controller: Option<String>,
}

/// A parameter that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// What it was; none if nobody knows.
    pub before: Option<String>,
    /// What it was set to.
    pub value: String,
}

impl Record {
    /// The record of `owner`, with what it was about to make when it was written last; an empty one where there is none, and
    /// where it cannot be read: then the tags in the kernel have to do.
    #[must_use]
    pub fn load(directory: &Path, owner: &str, boot: &str) -> Self {
        let part = |path: PathBuf| match read(&path) {
            Ok(part) => part.filter(|part| part.boot == boot),
            Err(error) => {
                tracing::error!(owner, path = %path.display(), %error, "a record cannot be read, going by the tags");
                None
            }
        };
        let empty = Self { boot: boot.to_owned(), ..Self::default() };
        let mut record = part(path(directory, owner)).unwrap_or(empty);
        if let Some(intent) = part(intent_path(directory, owner)) {
            record.adopt(intent);
        }
        record
    }

    /// Takes over what was about to be made: it is owned, perhaps, but not known to be as it was stated, so what the record
    /// says stays. Links go by their tags; those that were not tagged yet are remembered apart.
    fn adopt(&mut self, intent: Self) {
        let addresses: HashSet<_> = self.addresses.iter().map(|a| (a.interface.clone(), a.address)).collect();
        let is_new = |a: &Address| !addresses.contains(&(a.interface.clone(), a.address));
        self.addresses.extend(intent.addresses.into_iter().filter(is_new));
        let routes: HashSet<_> = self.routes.iter().map(RouteKey::of).collect();
        self.routes.extend(intent.routes.into_iter().filter(|route| !routes.contains(&RouteKey::of(route))));
        let rules: HashSet<_> = self.rules.iter().cloned().collect();
        self.rules.extend(intent.rules.into_iter().filter(|rule| !rules.contains(rule)));
        let neighbours: HashSet<_> = self.neighbours.iter().cloned().collect();
        self.neighbours.extend(intent.neighbours.into_iter().filter(|n| !neighbours.contains(n)));
        for (name, before) in intent.before {
            self.before.entry(name).or_insert(before);
        }
        for (name, parameter) in intent.sysctls {
            self.sysctls.entry(name).or_insert(parameter);
        }
        self.begun = intent.links;
        self.unsaved = true;
    }

    /// Writes down what is about to be made, so that whatever happens meanwhile nothing is left without an owner, and what
    /// can be put back is known.
    ///
    /// # Errors
    /// The file system's.
    pub fn save_intent(&self, directory: &Path, owner: &str, changes: &[Change]) -> io::Result<()> {
        let mut intent = Self { boot: self.boot.clone(), ..Self::default() };
        intent.note_many(changes.iter().filter(|change| makes(change)).cloned().collect());
        intent.before.clone_from(&self.before);
        intent.sysctls.clone_from(&self.sysctls);
        intent.write(directory, &intent_path(directory, owner))
    }

    fn is_empty(&self) -> bool {
        let maps = self.links.is_empty() && self.before.is_empty() && self.sysctls.is_empty();
        let lists = self.addresses.is_empty() && self.routes.is_empty();
        maps && lists && self.rules.is_empty() && self.neighbours.is_empty() && self.masquerades.is_empty()
    }

    /// Writes it; an empty one removes its file.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, directory: &Path, owner: &str) -> io::Result<()> {
        self.write(directory, &path(directory, owner))?;
        remove(&intent_path(directory, owner))
    }

    fn write(&self, directory: &Path, to: &Path) -> io::Result<()> {
        if self.is_empty() {
            return remove(to);
        }
        crate::sys::linux::process::private_directory(directory)?;
        let new = to.with_extension("new");
        let mut file = io::BufWriter::new(fs::File::create(&new)?);
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        drop(file);
        fs::rename(new, to)
    }

    /// The plugins that have a record.
    #[must_use]
    pub fn owners(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let owner = |path: PathBuf| {
            let is_record = path.extension().is_some_and(|extension| extension == "json" || extension == "intent");
            path.file_stem().filter(|_| is_record).map(|stem| stem.to_string_lossy().into_owned())
        };
        names.filter_map(owner).collect()
    }

    /// Notes all changes that the kernel took.
    pub fn note(&mut self, changes: Vec<Change>) {
        // Of many changes each is found by its key; for a few it is cheaper to look at all there is.
        if changes.len() > FEW {
            return self.note_many(changes);
        }
        for change in changes {
            match &change {
                Change::SetAddress(a) => {
                    self.addresses.retain(|old| (&old.interface, old.address) != (&a.interface, a.address))
                }
                Change::RemoveAddress { address: a, .. } => {
                    self.addresses.retain(|old| (&old.interface, old.address) != (&a.interface, a.address));
                }
                Change::SetRoute { route, .. } => {
                    let key = RouteKey::of(route);
                    self.routes.retain(|old| RouteKey::of(old) != key);
                }
                Change::RemoveRoute(key) => self.routes.retain(|old| RouteKey::of(old) != *key),
                _ => {}
            }
            match change {
                Change::SetAddress(address) => self.addresses.push(address),
                Change::SetRoute { route, .. } => self.routes.push(route),
                other => self.note_other(other),
            }
        }
    }

    fn note_many(&mut self, changes: Vec<Change>) {
        let mut addresses: BTreeMap<_, _> =
            std::mem::take(&mut self.addresses).into_iter().map(|a| ((a.interface.clone(), a.address), a)).collect();
        let mut routes: BTreeMap<_, _> =
            std::mem::take(&mut self.routes).into_iter().map(|r| (RouteKey::of(&r), r)).collect();
        for change in changes {
            match change {
                Change::SetAddress(address) => {
                    addresses.insert((address.interface.clone(), address.address), address);
                }
                Change::RemoveAddress { address, .. } => {
                    addresses.remove(&(address.interface, address.address));
                }
                Change::SetRoute { route, .. } => {
                    routes.insert(RouteKey::of(&route), route);
                }
                Change::RemoveRoute(key) => {
                    routes.remove(&key);
                }
                other => self.note_other(other),
            }
        }
        self.addresses = addresses.into_values().collect();
        self.routes = routes.into_values().collect();
    }

    fn note_other(&mut self, change: Change) {
        match change {
            Change::MakeLink { name, kind, .. } | Change::ChangeLink { name, kind } => {
                self.links.insert(name, kind);
            }
            Change::RemoveLink { name, .. } => {
                self.links.remove(&name);
            }
            Change::AddRule(rule) => self.rules.push(rule),
            Change::RemoveRule(rule) => self.rules.retain(|r| *r != rule),
            Change::SetNeighbour(neighbour) => {
                self.forget_neighbour(&neighbour);
                self.neighbours.push(neighbour);
            }
            Change::RemoveNeighbour(neighbour) => self.forget_neighbour(&neighbour),
            Change::SetAddress(_)
            | Change::RemoveAddress { .. }
            | Change::SetRoute { .. }
            | Change::RemoveRoute(_)
            | Change::RenameLink { .. }
            | Change::SetLink { .. }
            | Change::SetSysctl { .. } => {}
        }
    }

    fn forget_neighbour(&mut self, gone: &Neighbour) {
        self.neighbours.retain(|n| (&n.interface, n.address) != (&gone.interface, gone.address));
    }
}

/// Whether a change makes something that has an owner.
pub fn makes(change: &Change) -> bool {
    matches!(
        change,
        Change::MakeLink { .. }
            | Change::SetAddress(_)
            | Change::SetRoute { .. }
            | Change::AddRule(_)
            | Change::SetNeighbour(_)
    )
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, MAX_RECORD), &mut text)?;
    Ok(Some(serde_json::from_str(&text)?))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(directory: &Path, owner: &str) -> PathBuf {
    directory.join(format!("{owner}.json"))
}

fn intent_path(directory: &Path, owner: &str) -> PathBuf {
    directory.join(format!("{owner}.intent"))
}
