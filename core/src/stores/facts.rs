//! Facts between plugins. A fact belongs to its publisher and a key; a crash keeps it, a stop takes it back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use tokio::sync::watch;

use super::lock;
use crate::grants::FactKind;

/// Facts of one plugin.
pub const MAX_FACTS: usize = 256;
/// Bytes of a key.
pub const MAX_KEY: usize = 64;
/// Bytes of a text in a value.
pub const MAX_TEXT: usize = 1024;

/// What a fact says; `wit/facts.wit` explains each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactValue {
    /// A delegated prefix: prefix, preferred until and valid until (clock instants, ns), interface.
    DelegatedPrefix((IpAddr, u8), Option<u64>, Option<u64>, Option<String>),
    /// A NAT64 prefix.
    Nat64Prefix((IpAddr, u8)),
    /// A resolver.
    DnsServer(IpAddr),
    /// A search domain.
    SearchDomain(String),
    /// A tunnel.
    Tunnel {
        /// Its interface.
        interface: String,
        /// Whether it carries packets.
        up: bool,
        /// Bytes.
        mtu: u32,
        /// Our end, where it is fixed.
        local: Option<IpAddr>,
        /// The other end, where it is fixed.
        remote: Option<IpAddr>,
    },
    /// A third party's: name, value.
    Custom(String, String),
}

impl FactValue {
    /// Its kind, which grants are about.
    #[must_use]
    pub const fn kind(&self) -> FactKind {
        match self {
            Self::DelegatedPrefix(..) => FactKind::DelegatedPrefix,
            Self::Nat64Prefix(_) => FactKind::Nat64Prefix,
            Self::DnsServer(_) => FactKind::DnsServer,
            Self::SearchDomain(_) => FactKind::SearchDomain,
            Self::Tunnel { .. } => FactKind::Tunnel,
            Self::Custom(..) => FactKind::Custom,
        }
    }

    /// Whether lengths and texts are within what the interface allows.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        let prefix = |&(address, length): &(IpAddr, u8)| length <= if address.is_ipv6() { 128 } else { 32 };
        match self {
            Self::DelegatedPrefix(p, _, _, name) => prefix(p) && name.as_ref().is_none_or(|n| n.len() <= 15),
            Self::Nat64Prefix(p) => p.0.is_ipv6() && matches!(p.1, 32 | 40 | 48 | 56 | 64 | 96),
            Self::DnsServer(_) => true,
            Self::SearchDomain(name) => name.len() <= 253,
            Self::Tunnel { interface, .. } => interface.len() <= 15,
            Self::Custom(name, value) => name.len() <= MAX_TEXT && value.len() <= MAX_TEXT,
        }
    }
}

/// A fact as followers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Who says so.
    pub publisher: String,
    /// Its name there.
    pub key: String,
    /// What it says.
    pub value: FactValue,
}

/// Why a fact was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactError {
    /// Key or value beyond the bounds.
    Invalid,
    /// [`MAX_FACTS`] reached.
    Limit,
    /// No such key.
    NotFound,
}

/// All facts.
pub struct FactStore {
    facts: Mutex<BTreeMap<(String, String), Entry>>,
    version: watch::Sender<u64>,
}

struct Entry {
    value: FactValue,
    /// The run of the publisher that said so last.
    run: u64,
}

impl Default for FactStore {
    fn default() -> Self {
        Self { facts: Mutex::default(), version: watch::channel(0).0 }
    }
}

impl FactStore {
    /// Publishes or replaces a fact for the publisher's run number `run`.
    ///
    /// # Errors
    /// `Invalid`, `Limit`.
    pub fn publish(&self, publisher: &str, key: &str, value: FactValue, run: u64) -> Result<(), FactError> {
        if key.is_empty() || key.len() > MAX_KEY || !value.is_legal() {
            return Err(FactError::Invalid);
        }
        let mut facts = lock(&self.facts);
        let id = (publisher.to_owned(), key.to_owned());
        let known = facts.contains_key(&id);
        if !known && facts.keys().filter(|(p, _)| p == publisher).count() >= MAX_FACTS {
            return Err(FactError::Limit);
        }
        let old = facts.insert(id, Entry { value: value.clone(), run });
        drop(facts);
        if old.is_none_or(|old| old.value != value) {
            self.changed();
        }
        Ok(())
    }

    /// Takes a fact back.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn withdraw(&self, publisher: &str, key: &str) -> Result<(), FactError> {
        let gone = lock(&self.facts).remove(&(publisher.to_owned(), key.to_owned()));
        gone.map(|_| self.changed()).ok_or(FactError::NotFound)
    }

    /// Withdraws what the publisher said in earlier runs and not again in `run`: it is ready now.
    pub fn keep_run(&self, publisher: &str, run: u64) {
        self.retain(|(p, _), entry| p != publisher || entry.run == run);
    }

    /// Withdraws what a publisher may no longer say.
    pub fn keep_kinds(&self, publisher: &str, may: impl Fn(FactKind) -> bool) {
        self.retain(|(p, _), entry| p != publisher || may(entry.value.kind()));
    }

    /// Withdraws everything of a publisher that is gone.
    pub fn remove_all(&self, publisher: &str) {
        self.retain(|(p, _), _| p != publisher);
    }

    /// The facts of these kinds, ordered by publisher and key.
    #[must_use]
    pub fn list(&self, kinds: &[FactKind]) -> Vec<Fact> {
        lock(&self.facts)
            .iter()
            .filter(|(_, entry)| kinds.contains(&entry.value.kind()))
            .map(|((publisher, key), entry)| Fact {
                publisher: publisher.clone(),
                key: key.clone(),
                value: entry.value.clone(),
            })
            .collect()
    }

    /// A receiver that sees when anything changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn retain(&self, keep: impl Fn(&(String, String), &Entry) -> bool) {
        let mut facts = lock(&self.facts);
        let before = facts.len();
        facts.retain(|id, entry| keep(id, entry));
        let gone = facts.len() != before;
        drop(facts);
        if gone {
            self.changed();
        }
    }

    fn changed(&self) {
        self.version.send_modify(|v| *v += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(text: &str) -> FactValue {
        FactValue::DnsServer(text.parse().unwrap())
    }

    #[test]
    fn facts_survive_a_crash_until_the_next_run_is_ready_without_them() {
        let store = FactStore::default();
        store.publish("a", "kept", dns("::1"), 1).unwrap();
        store.publish("a", "lost", dns("::2"), 1).unwrap();
        store.publish("b", "other", dns("::3"), 1).unwrap();
        store.publish("a", "kept", dns("::1"), 2).unwrap();
        assert_eq!(store.list(&[FactKind::DnsServer]).len(), 3);
        store.keep_run("a", 2);
        let keys: Vec<_> = store.list(&[FactKind::DnsServer]).into_iter().map(|f| f.key).collect();
        assert_eq!(keys, ["kept", "other"]);
        store.keep_kinds("b", |kind| kind != FactKind::DnsServer);
        assert_eq!(store.list(&[FactKind::DnsServer]).len(), 1);
        store.publish("b", "other", dns("::3"), 1).unwrap();
        store.remove_all("a");
        assert_eq!(store.list(&[FactKind::DnsServer]).len(), 1);
        assert!(store.list(&[FactKind::Tunnel]).is_empty());
    }

    #[test]
    fn only_a_difference_wakes_followers() {
        let store = FactStore::default();
        let mut seen = store.subscribe();
        store.publish("a", "k", dns("::1"), 1).unwrap();
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        store.publish("a", "k", dns("::1"), 2).unwrap();
        assert!(!seen.has_changed().unwrap());
    }

    #[test]
    fn bounds_hold() {
        let store = FactStore::default();
        assert_eq!(store.publish("a", "", dns("::1"), 1), Err(FactError::Invalid));
        let bad = FactValue::Nat64Prefix(("64:ff9b::".parse().unwrap(), 97));
        assert_eq!(store.publish("a", "k", bad, 1), Err(FactError::Invalid));
        for i in 0..MAX_FACTS {
            store.publish("a", &i.to_string(), dns("::1"), 1).unwrap();
        }
        assert_eq!(store.publish("a", "more", dns("::1"), 1), Err(FactError::Limit));
        assert_eq!(store.publish("a", "0", dns("::2"), 1), Ok(()));
        assert_eq!(store.withdraw("a", "none"), Err(FactError::NotFound));
    }
}
