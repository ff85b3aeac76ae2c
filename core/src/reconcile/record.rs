//! What was made for one plugin, kept in the state directory: a file for each plugin, written whole.
//!
//! The tags in the kernel say that something is ours, the record says whose, and as what it was stated. The directory does
//! not outlive a boot, as the kernel's state does not; a record of another boot is thrown away.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use portreeve_network::{Address, Kind, Neighbour, Route, Rule};
use serde::{Deserialize, Serialize};

use crate::sys::network::{Change, RouteKey};

/// Largest record that is read, in bytes.
const MAX_RECORD: u64 = 64 * 1024 * 1024;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Parameters that were changed.
    pub sysctls: BTreeMap<String, Parameter>,
}

/// How a link was before it was changed; what was not changed is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Bytes.
    pub mtu: Option<u32>,
    /// Link-layer address.
    pub mac: Option<Vec<u8>>,
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
    /// The record of `owner`, or an empty one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(directory: &Path, owner: &str, boot: &str) -> io::Result<Self> {
        let empty = Self { boot: boot.to_owned(), ..Self::default() };
        let file = match fs::File::open(path(directory, owner)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
            other => other?,
        };
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, MAX_RECORD), &mut text)?;
        let record: Self = serde_json::from_str(&text)?;
        Ok(if record.boot == boot { record } else { empty })
    }

    /// Writes it; an empty one removes its file.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, directory: &Path, owner: &str) -> io::Result<()> {
        let to = path(directory, owner);
        if (Self { boot: self.boot.clone(), ..Self::default() }) == *self {
            return match fs::remove_file(to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
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
            let is_record = path.extension().is_some_and(|extension| extension == "json");
            path.file_stem().filter(|_| is_record).map(|stem| stem.to_string_lossy().into_owned())
        };
        names.filter_map(owner).collect()
    }

    /// Notes all changes that the kernel took.
    pub fn note(&mut self, changes: Vec<Change>) {
        let mut addresses: BTreeMap<_, _> =
            std::mem::take(&mut self.addresses).into_iter().map(|a| ((a.interface.clone(), a.address), a)).collect();
        let mut routes: BTreeMap<_, _> =
            std::mem::take(&mut self.routes).into_iter().map(|r| (RouteKey::of(&r), r)).collect();
        for change in changes {
            match change {
                Change::MakeLink { name, kind, .. } | Change::ChangeLink { name, kind } => {
                    self.links.insert(name, kind);
                }
                Change::RemoveLink { name, .. } => {
                    self.links.remove(&name);
                }
                Change::SetAddress(address) => {
                    addresses.insert((address.interface.clone(), address.address), address);
                }
                Change::RemoveAddress { interface, address, .. } => {
                    addresses.remove(&(interface, address));
                }
                Change::SetRoute { route, .. } => {
                    routes.insert(RouteKey::of(&route), route);
                }
                Change::RemoveRoute(key) => {
                    routes.remove(&key);
                }
                Change::AddRule(rule) => self.rules.push(rule),
                Change::RemoveRule(rule) => self.rules.retain(|r| *r != rule),
                Change::SetNeighbour(neighbour) => {
                    self.forget_neighbour(&neighbour);
                    self.neighbours.push(neighbour);
                }
                Change::RemoveNeighbour(neighbour) => self.forget_neighbour(&neighbour),
                Change::RenameLink { .. } | Change::SetLink { .. } | Change::SetSysctl { .. } => {}
            }
        }
        self.addresses = addresses.into_values().collect();
        self.routes = routes.into_values().collect();
    }

    fn forget_neighbour(&mut self, gone: &Neighbour) {
        self.neighbours.retain(|n| (&n.interface, n.address) != (&gone.interface, gone.address));
    }
}

fn path(directory: &Path, owner: &str) -> PathBuf {
    directory.join(format!("{owner}.json"))
}
