//! What a plugin may touch. The only place that decides.
//!
//! Grant = needs(configuration) ∩ manifest ∩ operator policy. The three sets stay apart and every single
//! [`Access`] is asked of all three, at the opening of a handle and again at its use; so no intersection of
//! patterns has to be worked out, and taking a grant back takes effect at the next use.
//!
//! This module knows nothing of WIT: `host` converts, and a second WIT version would stand on the same
//! check. `need` has what is asked for, `cover` which need holds what, `text` writes needs in the
//! operator's words and reads them back.

mod cover;
mod need;
mod text;

use std::collections::HashSet;
use std::fmt;

use cover::{any_holds, rest};

pub use need::{Access, FactKind, Need, Transport};
pub use portreeve_config::{NamePattern, Pattern};
pub use portreeve_network::Prefix;
pub use text::{need_from_value, need_to_text};

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
    /// Those of `planned` that name one interface or destination, of which there can be thousands.
    exact: HashSet<Need>,
    manifest: Vec<Need>,
    policy: Policy,
}

impl Grants {
    /// No grant at all: what `describe` and `plan` run with.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Vec::new(), Vec::new(), Policy::Only(Vec::new()))
    }

    /// The grant of a plan under a manifest and a policy.
    #[must_use]
    pub fn new(planned: Vec<Need>, manifest: Vec<Need>, policy: Policy) -> Self {
        let is_exact = |need: &&Need| matches!(need, Need::Route(_) | Need::Configure(_));
        let exact = planned.iter().filter(is_exact).cloned().collect();
        Self { planned, exact, manifest, policy }
    }

    /// Decides on one access.
    ///
    /// # Errors
    /// Names the first of the three sets that does not hold it.
    pub fn check(&self, access: Access<'_>) -> Result<(), Denied> {
        if !self.holds_exactly(access) && !any_holds(&self.planned, access) {
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

    /// The quick way to the answer for accesses that were planned one by one.
    fn holds_exactly(&self, access: Access<'_>) -> bool {
        match access {
            Access::Route(prefix) => self.exact.contains(&Need::Route(prefix)),
            Access::Configure(name) => Pattern::new(name).is_some_and(|p| self.exact.contains(&Need::Configure(p))),
            _ => false,
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
        Self::new(planned, other.manifest.clone(), other.policy.clone())
    }
}

#[cfg(test)]
mod tests;
