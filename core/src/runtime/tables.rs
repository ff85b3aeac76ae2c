//! Tables of nf_tables as far as the core has a say: the guard that keeps the router closed until its firewall stands, and
//! tables that no plan names any more.
//!
//! The guard goes up before a plugin is started that asks for it (`Need::Guard`) and of whose tables none is there: after a
//! restart the tables of the run before still filter. A plugin whose component cannot be loaded asks as it did when it could:
//! who asked is kept on flash. The guard goes when all that asked for it have been ready once. A plugin that never gets that
//! far leaves the router closed, which is what it is for.
//!
//! Only [`Core::settle_tables`], awaited in the loop, takes anything away, and looks at what is wanted at that moment.

use std::collections::BTreeSet;

use super::Core;
use super::planning::{Plan, PlannedPlugin};
use crate::grants::{Access, Grants, Need};

/// The guard's table, as the grant would name it.
const GUARD: &str = "inet/portreeve-guard";
/// Name of the file on flash with the plugins that asked for the guard, a line each.
const ASKED: &str = "guarded";

/// What is known of the guard, and what is to be done.
#[derive(Default)]
pub(super) struct Tables {
    /// Plugins that keep the router closed until they are ready.
    guarded: BTreeSet<String>,
    /// The guard may be up.
    closed: bool,
    /// It could not be taken away; said once.
    stuck: bool,
    /// There may be tables that no plan names.
    untidy: bool,
}

impl Tables {
    /// Tables are to be looked through.
    pub(super) fn set_untidy(&mut self) {
        self.untidy = true;
    }

    /// A plugin is ready, or gone: it no longer keeps the router closed.
    pub(super) fn unguard(&mut self, plugin: &str) {
        self.guarded.remove(plugin);
    }
}

impl Core {
    /// Closes the router for the plugins of a plan that want that and are new.
    pub(super) async fn close_for(&mut self, plan: &Plan) {
        let before = self.asked_before();
        let name = |plugin: &PlannedPlugin| plugin.config.name.value.clone();
        let asks = |plugin: &&PlannedPlugin| match &plugin.outcome {
            Ok(Some(ready)) => ready.grants.check(Access::Guard).is_ok(),
            _ => before.contains(&plugin.config.name.value),
        };
        let asking: Vec<&PlannedPlugin> = plan.plugins.iter().filter(asks).collect();
        self.remember_asked(&before, asking.iter().map(|plugin| name(plugin)).collect());
        let new = |plugin: &&PlannedPlugin| {
            self.entries.get(&plugin.config.name.value).is_none_or(|entry| entry.ready.is_none())
        };
        let asking: Vec<&PlannedPlugin> = asking.into_iter().filter(new).collect();
        if asking.is_empty() {
            return;
        }
        let there = self.shared.kernel.plugin_tables().await.unwrap_or_default();
        let filtered = |plugin: &PlannedPlugin| match &plugin.outcome {
            Ok(Some(ready)) => there.iter().any(|table| names(&ready.grants, table)),
            // Which tables it would have is not known: those that are there are left alone, and filter.
            _ => there.iter().any(|table| table != GUARD),
        };
        let unprotected: BTreeSet<String> = asking.into_iter().filter(|plugin| !filtered(plugin)).map(name).collect();
        if unprotected.is_empty() {
            return;
        }
        self.tables.guarded.extend(unprotected.iter().cloned());
        self.tables.closed = true;
        match self.shared.kernel.set_guard(true).await {
            Ok(()) => tracing::info!(plugins = ?unprotected, "the router is closed until these plugins are ready"),
            Err(refusal) => {
                let (error, message) = (refusal.error, refusal.message.unwrap_or_default());
                tracing::error!(
                    %error,
                    message,
                    "cannot close the router until its firewall stands: nf_tables refused; it needs CAP_NET_ADMIN and the \
                     kernel's nf_tables with nft_ct and the family inet"
                );
            }
        }
    }

    /// Takes the guard away if nobody wants it any more, and removes tables that no plugin's plan names.
    pub(super) async fn settle_tables(&mut self) {
        if self.tables.closed && self.tables.guarded.is_empty() {
            match self.shared.kernel.set_guard(false).await {
                Ok(()) => {
                    self.tables.closed = false;
                    self.tables.stuck = false;
                    tracing::info!("the firewall stands, the router is open to what it lets through");
                }
                Err(refusal) if !std::mem::replace(&mut self.tables.stuck, true) => {
                    tracing::error!(error = %refusal.error, "cannot take the guard away, all stays closed; trying again");
                }
                Err(_) => {}
            }
        }
        // What a component that cannot be loaded would need is not known; what changes over needs both.
        if !self.tables.untidy || self.entries.values().any(|entry| entry.ready.is_none() || entry.changing) {
            return;
        }
        self.tables.untidy = false;
        // A kernel without nf_tables has none.
        for table in self.shared.kernel.plugin_tables().await.unwrap_or_default() {
            let mut kept = self.entries.values().filter_map(|entry| Some(&entry.ready.as_ref()?.grants));
            let wanted = if table == GUARD { self.tables.closed } else { kept.any(|grants| names(grants, &table)) };
            if wanted {
                continue;
            }
            match self.shared.kernel.remove_plugin_table(&table).await {
                Ok(()) => tracing::info!(table, "removed a table that no plugin names"),
                Err(refusal) => tracing::warn!(table, error = %refusal.error, "cannot remove a table"),
            }
        }
    }

    fn asked_before(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(self.options.flash.join(ASKED)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Flash is written when it changes only.
    fn remember_asked(&self, before: &BTreeSet<String>, now: BTreeSet<String>) {
        if *before == now {
            return;
        }
        let path = self.options.flash.join(ASKED);
        let lines: String = now.iter().map(|name| format!("{name}\n")).collect();
        if let Err(error) = std::fs::write(&path, lines) {
            tracing::debug!(path = %path.display(), %error, "cannot remember who asks for the guard");
        }
    }
}

/// Whether a plan names a table.
fn names(grants: &Grants, table: &str) -> bool {
    table != GUARD
        && grants.planned().iter().any(|need| matches!(need, Need::NfTables(tables) if tables.matches(table)))
}
