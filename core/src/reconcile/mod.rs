//! Brings the kernel's network to what plugins state, and sends only what differs.
//!
//! `diff` compares what is stated with what the kernel has and what was made before; it is pure. `record` keeps what was made
//! for whom. This file asks the kernel, writes down what is about to be made, carries the difference out, and
//! writes the record. One reconciliation runs at a time, since plugins may lean on each other's links, and
//! it runs to its end whatever becomes of the plugin that asked for it: half of it would have no owner.

mod diff;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use portreeve_network::{Kind, Masquerade, State, WireGuard};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::stores::keys::KeyStore;
use crate::sys::network::{Change, Changed, Refusal};
use crate::sys::{Kernel, WireGuardPeer, WireGuardSettings};
use diff::{Diff, Others};
use record::Record;

pub use diff::tag;

/// Comparisons of one reconciliation. What a change to a link flushes in the kernel is seen, and mended, by the next.
const MAX_PASSES: usize = 3;

/// Reconciles for all plugins.
pub struct Reconciler {
    inner: Arc<Inner>,
    /// Where reconciliations run; none where nothing is reconciled.
    core: Option<Handle>,
}

struct Inner {
    kernel: Arc<dyn Kernel>,
    directory: PathBuf,
    boot: String,
    keys: KeyStore,
    /// By plugin; none before they have been read.
    records: Arc<Mutex<Option<BTreeMap<String, Record>>>>,
}

/// What the grant says where only the kernel's present state shows what is asked for.
pub struct Permit {
    /// Whether the interface that has this name now may be changed.
    pub configure: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Links, by name, that may not be made, and why: the kernel would load a module for them that may not be loaded.
    pub forbidden: BTreeMap<String, String>,
}

impl Default for Permit {
    /// Everything.
    fn default() -> Self {
        Self { configure: Arc::new(|_| true), forbidden: BTreeMap::new() }
    }
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
    /// With records in `directory` and the keys of `keys`. Made inside a runtime, it works there, whoever asks.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>, directory: PathBuf, keys: KeyStore) -> Self {
        // Without /proc every record counts as of this boot.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim().to_owned();
        let inner = Arc::new(Inner { kernel, directory, boot, keys, records: Arc::default() });
        Self { inner, core: Handle::try_current().ok() }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &KeyStore {
        &self.inner.keys
    }

    /// Makes what `owner` states be, and no longer be what it does not state. Dropping the future does not end it.
    ///
    /// # Errors
    /// The kernel cannot be asked or told at all.
    pub async fn apply(&self, owner: &str, wanted: State, permit: Permit) -> io::Result<Outcome> {
        let (inner, owner) = (self.inner.clone(), owner.to_owned());
        match &self.core {
            // On a thread beside the core's own: comparing a large state takes a while.
            Some(core) => {
                let here = core.clone();
                let work = move || here.block_on(async move { inner.apply(&owner, &wanted, &permit).await });
                core.spawn_blocking(work).await.map_err(io::Error::other)?
            }
            None => inner.apply(&owner, &wanted, &permit).await,
        }
    }

    /// Waits until everything is written down.
    pub async fn settle(&self) {
        drop(self.inner.records.lock().await);
    }

    /// Removes all that was made for those that are no longer there.
    pub async fn keep_only(&self, owners: &BTreeSet<String>) {
        let mut known: BTreeSet<String> = Record::owners(&self.inner.directory).into_iter().collect();
        // What a lost record had made still carries its owner's name.
        if let Ok(found) = self.inner.kernel.found().await {
            let aliases = found.links.into_iter().filter_map(|link| link.alias);
            known.extend(aliases.filter_map(|alias| Some(alias.strip_prefix("portreeve:")?.to_owned())));
        }
        // A kernel without nf_tables has no table of ours.
        let masquerades = self.inner.kernel.masquerades().await.unwrap_or_default();
        known.extend(masquerades.into_iter().map(|(owner, _)| owner));
        for owner in known.difference(owners) {
            self.release(owner).await;
        }
    }

    /// Removes all that was made for `owner`.
    pub async fn release(&self, owner: &str) {
        match self.apply(owner, State::default(), Permit::default()).await {
            Ok(outcome) => {
                for (object, refusal) in &outcome.problems {
                    let error = &refusal.error;
                    tracing::warn!(plugin = owner, object, %error, "cannot remove what was made for a plugin");
                }
                if outcome.changes > 0 {
                    tracing::info!(plugin = owner, changes = outcome.changes, "removed what was made for a plugin");
                }
            }
            Err(error) => tracing::error!(plugin = owner, %error, "cannot remove what was made for a plugin"),
        }
    }
}

impl Inner {
    async fn apply(&self, owner: &str, wanted: &State, permit: &Permit) -> io::Result<Outcome> {
        let mut guard = self.records.clone().lock_owned().await;
        let records = guard.get_or_insert_with(|| {
            let load = |name: String| (name.clone(), Record::load(&self.directory, &name, &self.boot));
            Record::owners(&self.directory).into_iter().map(load).collect()
        });
        let others = Others::of(records.iter().filter(|(name, _)| *name != owner).map(|(_, record)| record));
        let fresh = || Record::load(&self.directory, owner, &self.boot);
        let record = records.entry(owner.to_owned()).or_insert_with(fresh);
        let mut result = self.passes(owner, wanted, permit, record, &others).await;
        if let Ok(outcome) = &mut result {
            self.masquerade(owner, wanted, record, outcome).await;
        }
        // Whatever became of it, what was made is made.
        if record.unsaved {
            let (directory, owner) = (self.directory.clone(), owner.to_owned());
            let mut save = move || {
                let Some(record) = guard.as_mut().and_then(|records| records.get_mut(&owner)) else { return };
                match record.save(&directory, &owner) {
                    Ok(()) => record.unsaved = false,
                    Err(error) => tracing::error!(plugin = owner, %error, "cannot write down what was made"),
                }
            };
            // What was to be made is written already: the rest can follow the answer. The next apply waits for it.
            match Handle::try_current() {
                Ok(here) => drop(here.spawn_blocking(save)),
                Err(_) => save(),
            }
        }
        result
    }

    async fn passes(
        &self,
        owner: &str,
        wanted: &State,
        permit: &Permit,
        record: &mut Record,
        others: &Others,
    ) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut before = Pass::default();
        for _ in 0..MAX_PASSES {
            let found = self.kernel.found().await?;
            let sysctl = |name: &str| self.kernel.sysctl(name).ok();
            let mut diff = diff::Input { owner, wanted, record, found: &found, sysctl: &sysctl, others, permit }.diff();
            record.unsaved |= !diff.bookkeeping.is_empty() || !diff.changes.is_empty();
            before.filter(&mut diff);
            if !diff.changes.is_empty() && diff.changes == before.sent {
                break;
            }
            let again = diff.changes.iter().any(has_consequences);
            before.sent.clone_from(&diff.changes);
            before.made.extend(diff.changes.iter().filter(|change| record::makes(change)).cloned());
            self.carry_out(owner, wanted, record, diff, &mut before, &mut outcome).await?;
            outcome.changes += before.sent.len();
            if !again {
                break;
            }
        }
        Ok(outcome)
    }

    /// Makes one pass's changes.
    async fn carry_out(
        &self,
        owner: &str,
        wanted: &State,
        record: &mut Record,
        diff: Diff,
        pass: &mut Pass,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        // Of earlier passes only what is still refused is still a problem.
        let told = std::mem::take(&mut outcome.problems);
        let is_refused = |(object, _): &(String, Refusal)| pass.refused.iter().any(|change| change.object() == *object);
        (outcome.waiting, outcome.problems) = (diff.waiting, diff.problems);
        outcome.problems.extend(told.into_iter().filter(is_refused));
        diff.bookkeeping.into_iter().for_each(|note| note(record));
        let mut answers = Vec::new();
        if !diff.changes.is_empty() {
            if let Err(error) = record.save_intent(&self.directory, owner, &pass.made) {
                tracing::warn!(plugin = owner, %error, "cannot write down what is about to be made");
            }
            answers = self.kernel.change(diff.changes.clone()).await?;
        }
        let (taken, refused) = taken(diff.changes, answers, outcome);
        pass.refused.extend(refused);
        record.note(taken.clone());
        for name in self.set_up_wireguard(wanted, &taken, outcome).await {
            // It is not as it was stated: the next apply tells the kernel again.
            record.links.remove(&name);
        }
        Ok(())
    }

    /// Has the kernel masquerade what is stated, if it does not.
    async fn masquerade(&self, owner: &str, wanted: &State, record: &mut Record, outcome: &mut Outcome) {
        // What states nothing at all may be released with a lost record: the kernel is asked, too.
        let is_release = *wanted == State::default();
        let wanted = &wanted.masquerades;
        if wanted.is_empty() && record.masquerades.is_empty() && !is_release {
            return;
        }
        match self.set_masquerades(owner, wanted, record).await {
            Ok(changed) => {
                outcome.changes += usize::from(changed);
                record.unsaved |= record.masquerades != *wanted;
                record.masquerades.clone_from(wanted);
            }
            // What cannot be has not to be removed.
            Err(refusal) if wanted.is_empty() && (is_lacking(&refusal.error) || is_nothing(record, &refusal.error)) => {
                record.unsaved |= !record.masquerades.is_empty();
                record.masquerades.clear();
            }
            Err(mut refusal) => {
                if is_lacking(&refusal.error) {
                    let words =
                        "the kernel lacks nf_tables or its NAT (kernel modules nf_tables, nft_chain_nat, nft_masq)";
                    refusal.message = Some(words.to_owned());
                }
                outcome.problems.push(("masquerade".to_owned(), refusal));
            }
        }
    }

    /// Whether that changed anything. What is removed stays in the record until it is gone.
    async fn set_masquerades(&self, owner: &str, wanted: &[Masquerade], record: &mut Record) -> Result<bool, Refusal> {
        let there = self.kernel.masquerades().await?.into_iter().find(|(name, _)| name == owner);
        let mark = (!wanted.is_empty()).then(|| self.kernel.masquerade_mark(wanted));
        if there.map(|(_, mark)| mark) == mark {
            return Ok(false);
        }
        if !wanted.is_empty() {
            // Written before it is made, so that it never is without an owner.
            record.masquerades = wanted.to_vec();
            if let Err(error) = record.save(&self.directory, owner) {
                tracing::warn!(plugin = owner, %error, "cannot write down what is about to be made");
            }
        }
        self.kernel.set_masquerades(owner, wanted.to_vec()).await.map(|()| true)
    }

    /// WireGuard links that were made or changed get their keys and peers, which go another way. Gives those that did not.
    async fn set_up_wireguard(&self, wanted: &State, taken: &[Change], outcome: &mut Outcome) -> Vec<String> {
        let mut failed = Vec::new();
        for link in &wanted.links {
            let Some(Kind::WireGuard(wireguard)) = &link.make else { continue };
            let is_it = |change: &Change| matches!(change, Change::MakeLink { name, .. } | Change::ChangeLink { name, .. } if *name == link.name);
            if !taken.iter().any(is_it) {
                continue;
            }
            let done = match self.wireguard(wireguard) {
                Ok(settings) => self.kernel.set_wireguard(&link.name, settings).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                outcome.problems.push((format!("link {}", link.name), Refusal::from(error)));
                failed.push(link.name.clone());
            }
        }
        failed
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

/// Whether an error of nf_tables means that the kernel has none, or no NAT in it.
fn is_lacking(error: &io::Error) -> bool {
    let lacking = [libc::ENOENT, libc::EOPNOTSUPP, libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT];
    error.raw_os_error().is_some_and(|code| lacking.contains(&code))
}

/// Whether there is nothing to remove: nothing is recorded, and who may not ask could not have made anything.
fn is_nothing(record: &Record, error: &io::Error) -> bool {
    record.masquerades.is_empty() && error.raw_os_error() == Some(libc::EPERM)
}

/// What a pass sent, and what was made and refused in it and those before.
#[derive(Default)]
struct Pass {
    sent: Vec<Change>,
    made: Vec<Change>,
    refused: Vec<Change>,
}

impl Pass {
    /// What was refused a moment ago would be refused again, unless the link that it is on is made now.
    fn filter(&mut self, diff: &mut Diff) {
        let is_made = |change: &Change| matches!(change, Change::MakeLink { .. });
        let refused = |change: &Change| self.refused.contains(change);
        let coming: BTreeSet<String> = diff
            .changes
            .iter()
            .filter(|change| is_made(change) && !refused(change))
            .filter_map(|change| change.interface().map(str::to_owned))
            .collect();
        let is_coming = |change: &Change| change.interface().is_some_and(|name| coming.contains(name));
        diff.changes.retain(|change| !refused(change) || (!is_made(change) && is_coming(change)));
        self.refused.retain(|change| is_made(change) || !is_coming(change));
    }
}

/// The changes that the kernel took, and those that it did not, which become problems.
fn taken(changes: Vec<Change>, answers: Vec<Changed>, outcome: &mut Outcome) -> (Vec<Change>, Vec<Change>) {
    let (mut taken, mut refused, mut unmade) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (change, answer) in changes.into_iter().zip(answers) {
        match answer {
            Ok(()) => taken.push(change),
            Err(refusal) if matches!(change, Change::MakeLink { .. }) => {
                unmade.extend(change.interface().map(str::to_owned));
                outcome.problems.push((change.object(), in_words(refusal, &change)));
                refused.push(change);
            }
            // What belongs to a link that could not be made fails with it; that is said once.
            Err(_) if change.interface().is_some_and(|name| unmade.contains(name)) => refused.push(change),
            // What shall go and is not there is as it should be.
            Err(refusal) if removes(&change) && is_gone(&refusal.error) => taken.push(change),
            Err(refusal) => {
                outcome.problems.push((change.object(), refusal));
                refused.push(change);
            }
        }
    }
    (taken, refused)
}

/// A refusal to make a link names the module that would have brought it.
fn in_words(mut refusal: Refusal, change: &Change) -> Refusal {
    if let Change::MakeLink { kind, .. } = change
        && refusal.error.raw_os_error() == Some(libc::EOPNOTSUPP)
    {
        refusal.message = match refusal.message {
            Some(words) if words.contains("Unknown device type") => Some(crate::sys::network::lacks_kind(kind.name())),
            Some(words) => Some(words),
            None => Some(format!("the kernel lacks kernel module {}, or one of the settings", kind.module())),
        };
    }
    refusal
}

/// Whether the kernel may do more than it was told: flush what is on a link that goes down, or promote an address.
const fn has_consequences(change: &Change) -> bool {
    match change {
        Change::RemoveAddress { address, .. } => address.address.address.is_ipv4(),
        Change::RenameLink { .. }
        | Change::MakeLink { .. }
        | Change::ChangeLink { .. }
        | Change::RemoveLink { .. }
        | Change::SetLink { .. }
        | Change::RemoveRule(_) => true,
        _ => false,
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

#[cfg(test)]
mod tests;
