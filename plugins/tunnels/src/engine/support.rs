//! Which kinds of links the kernel can make: asked once, and what is missing again with a new configuration.

use std::collections::BTreeMap;

use super::types::Action;

/// Every kind that this plugin asks for.
const KINDS: [&str; 6] = ["sit", "ip6tnl", "gre", "ip6gre", "wireguard", "tun"];

#[derive(Debug, Default)]
pub(super) struct Support(BTreeMap<String, Option<Result<(), String>>>);

impl Support {
    /// What is known of a kind; asks if nobody did.
    pub(super) fn of(&mut self, kind: &'static str, actions: &mut Vec<Action>) -> Option<&Result<(), String>> {
        self.0
            .entry(kind.to_owned())
            .or_insert_with(|| {
                actions.push(Action::AskSupport(kind));
                None
            })
            .as_ref()
    }

    /// Asks once more for what was missing; until the answer comes it counts as missing still.
    pub(super) fn ask_again(&self, actions: &mut Vec<Action>) {
        let missing = self.0.iter().filter(|(_, known)| matches!(known, Some(Err(_))));
        actions.extend(
            missing
                .filter_map(|(kind, _)| KINDS.iter().find(|known| *known == kind))
                .map(|kind| Action::AskSupport(kind)),
        );
    }

    /// What the host says of a kind.
    pub(super) fn set(&mut self, kind: &str, answer: Result<(), String>) {
        self.0.insert(kind.to_owned(), Some(answer));
    }
}
