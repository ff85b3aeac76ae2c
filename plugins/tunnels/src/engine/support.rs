//! Which kinds of links the kernel can make: asked once; what is missing again with a new configuration, and from time
//! to time while a tunnel cannot do without it.

use core::time::Duration;
use std::collections::BTreeMap;

use super::types::Action;
use crate::time::Instant;

/// Every kind that this plugin asks for.
const KINDS: [&str; 6] = ["sit", "ip6tnl", "gre", "ip6gre", "wireguard", "tun"];

/// Between two questions for what is missing.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Support {
    kinds: BTreeMap<String, Option<Result<(), String>>>,
    again: Option<Instant>,
}

impl Support {
    /// What is known of a kind; asks if nobody did.
    pub(super) fn of(&mut self, kind: &'static str, actions: &mut Vec<Action>) -> Option<&Result<(), String>> {
        self.kinds
            .entry(kind.to_owned())
            .or_insert_with(|| {
                actions.push(Action::AskSupport(kind));
                None
            })
            .as_ref()
    }

    /// Asks once more for what was missing; until the answer comes it counts as missing still.
    pub(super) fn ask_again(&self, actions: &mut Vec<Action>) {
        let missing = self.kinds.iter().filter(|(_, known)| matches!(known, Some(Err(_))));
        actions.extend(
            missing
                .filter_map(|(kind, _)| KINDS.iter().find(|known| *known == kind))
                .map(|kind| Action::AskSupport(kind)),
        );
    }

    /// While a tunnel waits for what is missing it is asked for every minute.
    pub(super) fn retry(&mut self, missing: bool, now: Instant, actions: &mut Vec<Action>) {
        if !missing {
            self.again = None;
        } else if self.again.is_none_or(|at| at <= now) {
            if self.again.is_some() {
                self.ask_again(actions);
            }
            self.again = Some(now + AGAIN);
        }
    }

    /// When [`Support::retry`] has something to do.
    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.again
    }

    /// What the host says of a kind.
    pub(super) fn set(&mut self, kind: &str, answer: Result<(), String>) {
        self.kinds.insert(kind.to_owned(), Some(answer));
    }
}
