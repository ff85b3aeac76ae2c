//! Brings the kernel's network to what plugins state, and sends only what differs.
//!
//! `diff` compares what is stated with what the kernel has and what was made before; it is pure. `record` keeps what was made
//! for whom. This file asks the kernel, carries the difference out, and writes the record down. One reconciliation runs at
//! a time: plugins may lean on each other's links.

mod diff;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve_network::{Kind, State, WireGuard};
use tokio::sync::Mutex;

use crate::stores::keys::KeyStore;
use crate::sys::network::{Change, Refusal, RouteKey};
use crate::sys::{Kernel, WireGuardPeer, WireGuardSettings};
use record::Record;

pub use diff::tag;

/// Reconciles for all plugins.
pub struct Reconciler {
    kernel: Arc<dyn Kernel>,
    directory: PathBuf,
    boot: String,
    keys: KeyStore,
    records: Mutex<BTreeMap<String, Record>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Changes that were sent.
    pub changes: usize,
    /// Interfaces that are stated and not there.
    pub waiting: BTreeSet<String>,
    /// What was refused: the object, and why.
    pub problems: Vec<(String, Refusal)>,
}

impl Reconciler {
    /// With records in `directory` and the keys of `keys`.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>, directory: PathBuf, keys: KeyStore) -> Self {
        // Without /proc every record counts as of this boot.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { kernel, directory, boot: boot.trim().to_owned(), keys, records: Mutex::default() }
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Makes what `owner` states be, and no longer be what it does not state.
    ///
    /// # Errors
    /// The kernel cannot be asked or told at all, or the record cannot be read or written.
    pub async fn apply(&self, owner: &str, wanted: &State) -> io::Result<Outcome> {
        let mut records = self.records.lock().await;
        let others: BTreeSet<RouteKey> = records
            .iter()
            .filter(|(name, _)| *name != owner)
            .flat_map(|(_, r)| r.routes.iter().map(RouteKey::of))
            .collect();
        let record = match records.entry(owner.to_owned()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Record::load(&self.directory, owner, &self.boot)?)
            }
        };
        let found = self.kernel.found().await?;
        let sysctl = |name: &str| self.kernel.sysctl(name).ok();
        let diff =
            diff::Input { owner, wanted, record, found: &found, sysctl: &sysctl, routes_of_others: &others }.diff();
        let mut outcome = Outcome { changes: diff.changes.len(), waiting: diff.waiting, problems: diff.problems };
        let before = record.clone();
        diff.bookkeeping.into_iter().for_each(|note| note(record));
        let answers = match diff.changes.is_empty() {
            true => Vec::new(),
            false => self.kernel.change(diff.changes.clone()).await?,
        };
        let mut taken = Vec::new();
        for (change, answer) in diff.changes.into_iter().zip(answers) {
            match answer {
                Ok(()) => taken.push(change),
                // What shall go and is not there is as it should be.
                Err(refusal) if removes(&change) && is_gone(&refusal.error) => taken.push(change),
                Err(refusal) => outcome.problems.push((change.object(), refusal)),
            }
        }
        self.set_up_wireguard(wanted, &taken, &before, &mut outcome).await;
        record.note(taken);
        if *record != before {
            record.save(&self.directory, owner)?;
        }
        Ok(outcome)
    }

    /// Removes all that was made for those that are no longer there.
    pub async fn keep_only(&self, owners: &BTreeSet<String>) {
        for owner in Record::owners(&self.directory).iter().filter(|owner| !owners.contains(*owner)) {
            self.release(owner).await;
        }
    }

    /// Removes all that was made for `owner`.
    pub async fn release(&self, owner: &str) {
        match self.apply(owner, &State::default()).await {
            Ok(outcome) => {
                for (object, refusal) in &outcome.problems {
                    tracing::warn!(plugin = owner, object, error = %refusal.error, "cannot remove what was made for a plugin");
                }
                if outcome.changes > 0 {
                    tracing::info!(plugin = owner, changes = outcome.changes, "removed what was made for a plugin");
                }
            }
            Err(error) => tracing::error!(plugin = owner, %error, "cannot remove what was made for a plugin"),
        }
        self.records.lock().await.remove(owner);
    }

    /// WireGuard links that were made or changed get their keys and peers, which go another way.
    async fn set_up_wireguard(&self, wanted: &State, taken: &[Change], before: &Record, outcome: &mut Outcome) {
        for link in &wanted.links {
            let Some(kind @ Kind::WireGuard(wireguard)) = &link.make else { continue };
            let made = taken.iter().any(|change| {
                matches!(change, Change::MakeLink { name, .. } | Change::ChangeLink { name, .. } if *name == link.name)
            });
            if !made && before.links.get(&link.name) == Some(kind) {
                continue;
            }
            let done = match self.wireguard(wireguard) {
                Ok(settings) => self.kernel.set_wireguard(&link.name, settings).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                outcome.problems.push((format!("link {}", link.name), Refusal::from(error)));
            }
        }
    }

    fn wireguard(&self, wanted: &WireGuard) -> io::Result<WireGuardSettings> {
        let mut peers = Vec::new();
        for peer in &wanted.peers {
            let preshared_key = peer.preshared_key.as_ref().map(|name| self.keys.get(name)).transpose();
            peers.push(WireGuardPeer {
                public_key: peer.public_key,
                preshared_key: preshared_key.map_err(io::Error::other)?,
                endpoint: peer.endpoint.map(Into::into),
                keepalive: peer.keepalive,
                allowed_ips: peer.allowed_ips.clone(),
            });
        }
        let private_key = self.keys.get_or_make(&wanted.key, crate::sys::linux::process::random);
        Ok(WireGuardSettings {
            private_key: private_key.map_err(io::Error::other)?,
            listen_port: wanted.listen_port,
            mark: wanted.mark,
            peers,
        })
    }
}

const fn removes(change: &Change) -> bool {
    matches!(
        change,
        Change::RemoveLink { .. }
            | Change::RemoveAddress { .. }
            | Change::RemoveRoute(_)
            | Change::RemoveRule(_)
            | Change::RemoveNeighbour(_)
    )
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::ENODEV | libc::EADDRNOTAVAIL | libc::ENXIO))
}
