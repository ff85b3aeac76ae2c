//! What a plugin may touch. The only place that decides.
//!
//! Grant = needs(configuration) ∩ manifest ∩ operator policy. The three sets stay apart and every single
//! [`Access`] is asked of all three, at the opening of a handle and again at its use; so no intersection of
//! patterns has to be worked out, and taking a grant back takes effect at the next use.
//!
//! This module knows nothing of WIT: `host` converts, and a second WIT version would stand on the same
//! check. `text` writes needs in the operator's words and reads them back.

mod text;

use std::collections::BTreeSet;
use std::fmt;

pub use portreeve_config::Pattern;
pub use text::{need_from_value, need_to_text};

/// Kinds of facts between plugins, as `wit/facts.wit` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub enum FactKind {
    /// A prefix delegated to this router.
    DelegatedPrefix,
    /// A NAT64 prefix in use.
    Nat64Prefix,
    /// A DNS resolver for this router's clients.
    DnsServer,
    /// A DNS search domain.
    SearchDomain,
    /// A tunnel's state.
    Tunnel,
    /// A third party's.
    Custom,
}

/// One thing that is asked for or allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// See these interfaces and what belongs to them.
    Links(Pattern),
    /// ICMPv6 on these interfaces.
    Icmpv6 {
        /// Which interfaces.
        interfaces: Pattern,
        /// Message types that may be received.
        receive: BTreeSet<u8>,
        /// Message types that may be sent.
        send: BTreeSet<u8>,
    },
    /// Publish facts of a kind.
    Publish(FactKind),
    /// Follow facts of a kind.
    Watch(FactKind),
    /// Keep so many bytes, names and values together.
    Storage {
        /// Bytes that last until the machine stops.
        volatile: u32,
        /// Bytes that last over power cuts.
        flash: u32,
    },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&need_to_text(self))
    }
}

/// One concrete thing a plugin is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'a> {
    /// Look at links at all.
    AnyLink,
    /// Look at this interface.
    Link(&'a str),
    /// Look at what belongs to no interface: needs all of them.
    EveryLink,
    /// Receive ICMPv6 of this type on this interface.
    Icmpv6Receive(&'a str, u8),
    /// Send ICMPv6 of this type there.
    Icmpv6Send(&'a str, u8),
    /// Have an ICMPv6 socket there, for whatever type.
    Icmpv6(&'a str),
    /// Publish a fact of this kind.
    Publish(FactKind),
    /// Follow facts of this kind.
    Watch(FactKind),
    /// Keep this many bytes in volatile storage.
    Volatile(usize),
    /// Keep this many bytes on flash.
    Flash(usize),
}

impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyLink => f.write_str("see links"),
            Self::Link(name) => write!(f, "see link {name}"),
            Self::EveryLink => f.write_str("see what belongs to no link"),
            Self::Icmpv6Receive(name, kind) => write!(f, "receive ICMPv6 type {kind} on {name}"),
            Self::Icmpv6Send(name, kind) => write!(f, "send ICMPv6 type {kind} on {name}"),
            Self::Icmpv6(name) => write!(f, "open an ICMPv6 socket on {name}"),
            Self::Publish(kind) => write!(f, "publish facts of kind {kind:?}"),
            Self::Watch(kind) => write!(f, "follow facts of kind {kind:?}"),
            Self::Volatile(bytes) => write!(f, "keep {bytes} bytes in volatile storage"),
            Self::Flash(bytes) => write!(f, "keep {bytes} bytes on flash"),
        }
    }
}

/// What the operator lets a plugin have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It came with the image: everything its manifest names.
    Manifest,
    /// Exactly these (`allow: […]` in router.ron).
    Only(Vec<Need>),
}

/// Which of the three sets does not hold an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The plan of this configuration did not name it.
    NotPlanned,
    /// The manifest does not name it.
    BeyondManifest,
    /// The operator does not allow it.
    NotAllowed,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPlanned => "the plugin did not plan it",
            Self::BeyondManifest => "the plugin's manifest does not name it",
            Self::NotAllowed => "the operator's `allow` in router.ron does not name it",
        })
    }
}

/// What one plugin may touch under its present configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    planned: Vec<Need>,
    manifest: Vec<Need>,
    policy: Policy,
}

impl Grants {
    /// No grant at all: what `describe` and `plan` run with.
    #[must_use]
    pub const fn none() -> Self {
        Self { planned: Vec::new(), manifest: Vec::new(), policy: Policy::Only(Vec::new()) }
    }

    /// The grant of a plan under a manifest and a policy.
    #[must_use]
    pub const fn new(planned: Vec<Need>, manifest: Vec<Need>, policy: Policy) -> Self {
        Self { planned, manifest, policy }
    }

    /// Decides on one access.
    ///
    /// # Errors
    /// Names the first of the three sets that does not hold it.
    pub fn check(&self, access: Access<'_>) -> Result<(), Denied> {
        if !any_holds(&self.planned, access) {
            return Err(Denied::NotPlanned);
        }
        if !any_holds(&self.manifest, access) {
            return Err(Denied::BeyondManifest);
        }
        match &self.policy {
            Policy::Only(allowed) if !any_holds(allowed, access) => Err(Denied::NotAllowed),
            Policy::Only(_) | Policy::Manifest => Ok(()),
        }
    }

    /// What the plan asks for beyond the manifest: the plugin's own mistake.
    #[must_use]
    pub fn beyond_manifest(&self) -> Vec<Need> {
        self.planned.iter().filter_map(|need| rest(need, &self.manifest)).collect()
    }

    /// What the plan asks for and the operator does not allow, in the words to add to `allow`.
    #[must_use]
    pub fn not_allowed(&self) -> Vec<Need> {
        match &self.policy {
            Policy::Manifest => Vec::new(),
            Policy::Only(allowed) => self.planned.iter().filter_map(|need| rest(need, allowed)).collect(),
        }
    }

    /// What was planned, for `status` and `plugin inspect`.
    #[must_use]
    pub fn planned(&self) -> &[Need] {
        &self.planned
    }

    /// The grant that covers both: in force while a plugin changes from one configuration to another.
    #[must_use]
    pub fn union_of_plans(&self, other: &Self) -> Self {
        let mut planned = self.planned.clone();
        planned.extend(other.planned.iter().cloned());
        Self { planned, manifest: other.manifest.clone(), policy: other.policy.clone() }
    }
}

fn any_holds(set: &[Need], access: Access<'_>) -> bool {
    set.iter().any(|need| holds(need, access))
}

fn holds(need: &Need, access: Access<'_>) -> bool {
    match (need, access) {
        (Need::Links(_), Access::AnyLink) => true,
        (Need::Links(pattern), Access::Link(name)) => pattern.matches(name),
        (Need::Links(pattern), Access::EveryLink) => pattern.as_str() == "*",
        (Need::Icmpv6 { interfaces, .. }, Access::Icmpv6(name)) => interfaces.matches(name),
        (Need::Icmpv6 { interfaces, receive, .. }, Access::Icmpv6Receive(name, kind)) => {
            receive.contains(&kind) && interfaces.matches(name)
        }
        (Need::Icmpv6 { interfaces, send, .. }, Access::Icmpv6Send(name, kind)) => {
            send.contains(&kind) && interfaces.matches(name)
        }
        (Need::Publish(have), Access::Publish(want)) | (Need::Watch(have), Access::Watch(want)) => *have == want,
        (Need::Storage { volatile, .. }, Access::Volatile(bytes)) => bytes <= *volatile as usize && *volatile > 0,
        (Need::Storage { flash, .. }, Access::Flash(bytes)) => bytes <= *flash as usize && *flash > 0,
        _ => false,
    }
}

/// What of `need` the set does not cover; `None` if it covers all.
fn rest(need: &Need, set: &[Need]) -> Option<Need> {
    match need {
        Need::Links(wanted) => {
            let covered = set.iter().any(|have| matches!(have, Need::Links(p) if p.contains(wanted)));
            (!covered).then(|| need.clone())
        }
        Need::Icmpv6 { interfaces: wanted, receive, send } => {
            let missing = |types: &BTreeSet<u8>, of: TypesOf| -> BTreeSet<u8> {
                let covered = |kind: &u8| {
                    set.iter().filter_map(of).any(|(pattern, have)| have.contains(kind) && pattern.contains(wanted))
                };
                types.iter().copied().filter(|kind| !covered(kind)).collect()
            };
            let receive = missing(receive, receive_of);
            let send = missing(send, send_of);
            let nothing = receive.is_empty() && send.is_empty();
            (!nothing).then(|| Need::Icmpv6 { interfaces: wanted.clone(), receive, send })
        }
        Need::Storage { volatile, flash } => {
            let fits = |wanted: u32, of: fn(&Need) -> u32| set.iter().map(of).max().unwrap_or(0) >= wanted;
            (!(fits(*volatile, volatile_of) && fits(*flash, flash_of))).then(|| need.clone())
        }
        Need::Publish(_) | Need::Watch(_) => (!set.contains(need)).then(|| need.clone()),
    }
}

/// One direction of an ICMPv6 need: where, and which types.
type TypesOf = fn(&Need) -> Option<(&Pattern, &BTreeSet<u8>)>;

fn receive_of(need: &Need) -> Option<(&Pattern, &BTreeSet<u8>)> {
    match need {
        Need::Icmpv6 { interfaces, receive, .. } => Some((interfaces, receive)),
        _ => None,
    }
}

fn send_of(need: &Need) -> Option<(&Pattern, &BTreeSet<u8>)> {
    match need {
        Need::Icmpv6 { interfaces, send, .. } => Some((interfaces, send)),
        _ => None,
    }
}

fn volatile_of(need: &Need) -> u32 {
    if let Need::Storage { volatile, .. } = need { *volatile } else { 0 }
}

fn flash_of(need: &Need) -> u32 {
    if let Need::Storage { flash, .. } = need { *flash } else { 0 }
}

#[cfg(test)]
mod tests;
