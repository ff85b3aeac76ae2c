//! Tables of nf_tables as far as the core has a say: the guard that keeps the router closed until its firewall stands, and
//! tables that no plan names any more.
//!
//! The guard goes up before a plugin is started that asks for it (`Need::Guard`) and of whose tables none is there: after a
//! restart the tables of the run before still filter. It goes when all that asked for it have been ready once. A plugin that
//! never gets that far leaves the router closed, which is what it is for.

use std::collections::BTreeSet;

use super::Core;
use super::planning::{Plan, ReadyPlugin};
use crate::grants::{Access, Grants, Need};

/// The guard's table, as the grant would name it.
const GUARD: &str = "inet/portreeve-guard";

impl Core {
    /// Closes the router for the plugins of a plan that want that and are new.
    pub(super) async fn close_for(&mut self, plan: &Plan) {
        let ready = plan.plugins.iter().filter_map(|plugin| plugin.outcome.as_ref().ok()?.as_deref());
        let asking: Vec<&ReadyPlugin> = ready
            .filter(|ready| ready.grants.check(Access::Guard).is_ok())
            .filter(|ready| self.entries.get(&ready.config.name.value).is_none_or(|entry| entry.ready.is_none()))
            .collect();
        if asking.is_empty() {
            return;
        }
        let there = self.shared.kernel.plugin_tables().await.unwrap_or_default();
        let unprotected = asking.iter().filter(|ready| !there.iter().any(|table| names(&ready.grants, table)));
        let names: BTreeSet<String> = unprotected.map(|ready| ready.config.name.value.clone()).collect();
        if names.is_empty() {
            return;
        }
        match self.shared.kernel.set_guard(true).await {
            Ok(()) => {
                tracing::info!(plugins = ?names, "the router is closed until these plugins are ready");
                self.guarded.extend(names);
            }
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

    /// A plugin is ready, or will never be again: it no longer keeps the router closed.
    pub(super) fn unguard(&mut self, plugin: &str) {
        if !self.guarded.remove(plugin) || !self.guarded.is_empty() {
            return;
        }
        let kernel = self.shared.kernel.clone();
        tokio::spawn(async move {
            match kernel.set_guard(false).await {
                Ok(()) => tracing::info!("the firewall stands, the router is open to what it lets through"),
                Err(refusal) => tracing::error!(error = %refusal.error, "cannot take the guard away, all stays closed"),
            }
        });
    }

    /// Removes tables that no plugin's plan names.
    pub(super) fn tidy_tables(&self) {
        let kept: Vec<Grants> =
            self.entries.values().filter_map(|entry| Some(entry.ready.as_ref()?.grants.clone())).collect();
        let guarded = !self.guarded.is_empty();
        let kernel = self.shared.kernel.clone();
        tokio::spawn(async move {
            // A kernel without nf_tables has none.
            for table in kernel.plugin_tables().await.unwrap_or_default() {
                if (table == GUARD && guarded) || kept.iter().any(|grants| names(grants, &table)) {
                    continue;
                }
                match kernel.remove_plugin_table(&table).await {
                    Ok(()) => tracing::info!(table, "removed a table that no plugin names"),
                    Err(refusal) => tracing::warn!(table, error = %refusal.error, "cannot remove a table"),
                }
            }
        });
    }
}

/// Whether a plan names a table.
fn names(grants: &Grants, table: &str) -> bool {
    grants.planned().iter().any(|need| matches!(need, Need::NfTables(tables) if tables.matches(table)))
}
