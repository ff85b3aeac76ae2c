//! Tables of nf_tables as far as the core has a say: the guard that keeps the router closed until its firewall stands, and
//! tables that no plan names any more.
//!
//! The guard goes up before a plugin is started that asks for it (`Need::Guard`) and of whose tables none is there: after a
//! restart the tables of the run before still filter. Who asked is kept on flash (`asked`), for a plugin whose component
//! cannot be loaded. The guard goes when all that asked for it have been ready once. A plugin that never gets that
//! far leaves the router closed, which is what it is for.
//!
//! A plugin mends its tables as long as it is well. While it is not (it crashed and waits, starts again, is degraded) they are
//! looked at here, and the guard goes up if they are gone; it is looked at as well, others may flush all there is.
//!
//! Only [`Core::settle_tables`], awaited in the loop, takes anything away, and looks at what is wanted at that moment.

mod asked;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use portreeve_config::NamePattern;

use super::Core;
use super::planning::{Plan, PlannedPlugin};
use crate::grants::Access;
use crate::supervisor::State;
use crate::sys::Kernel;
use asked::{Asked, planned};

/// The guard's table, as the grant would name it.
const GUARD: &str = "inet/portreeve-guard";
/// Between two looks at tables that nobody else mends.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of the guard, and what is to be done.
#[derive(Default)]
pub(super) struct Tables {
    /// Who asked for the guard, as it is on flash.
    asked: Asked,
    /// Plugins that keep the router closed until they are ready.
    guarded: BTreeSet<String>,
    /// Those of them that run degraded and lost their tables: it is enough that these are there again.
    lost: BTreeSet<String>,
    /// The guard may be up.
    closed: bool,
    /// It could not be put up; said once.
    open: bool,
    /// It could not be taken away; said once.
    stuck: bool,
    /// There may be tables that no plan names.
    untidy: bool,
    /// When tables are to be looked at, or the guard is to be taken away.
    look_at: Option<Instant>,
}

/// A plugin that asked for the guard and is not well.
struct Down<'a> {
    name: &'a str,
    /// Those that it filters with.
    tables: Vec<NamePattern>,
    /// It runs all the same.
    degraded: bool,
}

impl Tables {
    /// When [`Core::settle_tables`] is due.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    /// Tables are to be looked through.
    pub(super) fn set_untidy(&mut self) {
        self.untidy = true;
    }

    /// A plugin is ready, or gone: it no longer keeps the router closed.
    pub(super) fn unguard(&mut self, plugin: &str) {
        self.guarded.remove(plugin);
        self.lost.remove(plugin);
    }

    /// Puts the guard up for these plugins as well.
    async fn close(&mut self, kernel: &dyn Kernel, plugins: BTreeSet<String>) {
        self.closed = true;
        self.guarded.extend(plugins);
        match kernel.set_guard(true).await {
            Ok(()) => {
                self.open = false;
                tracing::info!(plugins = ?self.guarded, "the router is closed until these plugins are ready");
            }
            Err(refusal) if !std::mem::replace(&mut self.open, true) => {
                let (error, message) = (refusal.error, refusal.message.unwrap_or_default());
                tracing::error!(
                    %error,
                    message,
                    "cannot close the router until its firewall stands: nf_tables refused; it needs CAP_NET_ADMIN and the \
                     kernel's nf_tables with nft_ct and the family inet; trying again"
                );
            }
            Err(_) => {}
        }
    }

    /// Sees to it that what keeps the router closed is there: of plugins that are down a table, or else the guard.
    async fn keep_closed(&mut self, kernel: &dyn Kernel, down: &[Down<'_>], now: Instant) {
        if down.is_empty() && self.guarded.is_empty() {
            self.look_at = None;
            return;
        }
        if self.look_at.is_some_and(|at| now < at) {
            return;
        }
        self.look_at = Some(now + LOOK_EVERY);
        // What cannot be read is read again soon.
        let there = kernel.plugin_tables().await.ok();
        let mut bare = BTreeSet::new();
        for plugin in down {
            let Some(there) = &there else { break };
            let filters = there.iter().any(|table| names(&plugin.tables, table));
            let guarded = self.guarded.contains(plugin.name);
            if filters && plugin.degraded && self.lost.contains(plugin.name) {
                self.unguard(plugin.name);
            } else if !filters && !guarded {
                bare.insert(plugin.name.to_owned());
                if plugin.degraded {
                    self.lost.insert(plugin.name.to_owned());
                }
            }
        }
        if !bare.is_empty() {
            tracing::warn!(plugins = ?bare, "the tables of these plugins are gone, and they are not well enough to mend them");
        }
        let stands = there.map_or(!self.open, |there| there.iter().any(|table| table == GUARD));
        if !bare.is_empty() || (!self.guarded.is_empty() && !stands) {
            self.close(kernel, bare).await;
        }
    }
}

impl Core {
    /// Closes the router for the plugins of a plan that want that and are new.
    pub(super) async fn close_for(&mut self, plan: &Plan) {
        let before = Asked::read(&self.options.flash);
        let mut asked = Asked::default();
        for plugin in &plan.plugins {
            let name = &plugin.config.name.value;
            let tables = match &plugin.outcome {
                Ok(Some(ready)) => ready.grants.check(Access::Guard).is_ok().then(|| planned(&ready.grants)),
                _ => before.tables(name).map(<[_]>::to_vec),
            };
            if let Some(tables) = tables {
                asked.insert(name, tables);
            }
        }
        self.tables.asked = before;
        self.remember(asked);
        let new = |plugin: &&PlannedPlugin| {
            self.entries.get(&plugin.config.name.value).is_none_or(|entry| entry.ready.is_none())
        };
        let asking = plan.plugins.iter().filter(new).map(|plugin| plugin.config.name.value.as_str());
        let asking: Vec<_> = asking.filter_map(|name| Some((name, self.tables.asked.tables(name)?))).collect();
        if asking.is_empty() {
            return;
        }
        let there = self.shared.kernel.plugin_tables().await.unwrap_or_default();
        let bare = asking.into_iter().filter(|(_, tables)| !there.iter().any(|table| names(tables, table)));
        let bare: BTreeSet<String> = bare.map(|(name, _)| name.to_owned()).collect();
        if bare.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        self.tables.close(&*shared.kernel, bare).await;
    }

    /// Plugins that asked for the guard and are not well at present.
    fn down(&self, asked: &Asked) -> Vec<Down<'_>> {
        let entries = self.entries.iter().filter_map(|(name, entry)| {
            let tables = match &entry.ready {
                Some(ready) => ready.grants.check(Access::Guard).is_ok().then(|| planned(&ready.grants)),
                // Its component cannot be loaded.
                None => asked.tables(name).map(<[_]>::to_vec),
            };
            Some((name.as_str(), tables?))
        });
        let down = entries.filter_map(|(name, tables)| {
            let state = self.supervisor.view(name).map(|view| &view.state);
            let degraded = matches!(state, Some(State::Degraded(_)));
            (state != Some(&State::Ready)).then_some(Down { name, tables, degraded })
        });
        down.collect()
    }

    /// Whether this plugin, as it is planned, does not ask for the guard; unknown of one that cannot be loaded.
    fn is_free(&self, plugin: &str) -> bool {
        let ready = self.entries.get(plugin).and_then(|entry| entry.ready.as_ref());
        ready.is_some_and(|ready| ready.grants.check(Access::Guard).is_err())
    }

    /// Takes the guard away if nobody wants it any more, and removes tables that no plugin's plan names.
    pub(super) async fn settle_tables(&mut self) {
        let now = Instant::now();
        let mut tables = std::mem::take(&mut self.tables);
        if self.stopping {
            // What stands stays.
            tables.look_at = None;
        } else {
            // The operator may have taken the need away meanwhile.
            tables.guarded.retain(|plugin| !self.is_free(plugin));
            tables.lost.retain(|plugin| !self.is_free(plugin));
            tables.keep_closed(&*self.shared.kernel, &self.down(&tables.asked), now).await;
        }
        self.tables = tables;
        if self.tables.closed && self.tables.guarded.is_empty() {
            match self.shared.kernel.set_guard(false).await {
                Ok(()) => {
                    self.tables.closed = false;
                    self.tables.stuck = false;
                    self.tables.open = false;
                    tracing::info!("the firewall stands, the router is open to what it lets through");
                }
                Err(refusal) => {
                    self.tables.look_at = Some(now + LOOK_EVERY);
                    if !std::mem::replace(&mut self.tables.stuck, true) {
                        tracing::error!(error = %refusal.error, "cannot take the guard away, all stays closed; trying again");
                    }
                }
            }
        }
        // What a component that cannot be loaded would need is not known; what changes over needs both.
        if !self.tables.untidy || self.entries.values().any(|entry| entry.ready.is_none() || entry.changing) {
            return;
        }
        self.tables.untidy = false;
        // A kernel without nf_tables has none.
        for table in self.shared.kernel.plugin_tables().await.unwrap_or_default() {
            let mut kept = self.entries.values().filter_map(|entry| Some(planned(&entry.ready.as_ref()?.grants)));
            let wanted = if table == GUARD { self.tables.closed } else { kept.any(|tables| names(&tables, &table)) };
            if wanted {
                continue;
            }
            match self.shared.kernel.remove_plugin_table(&table).await {
                Ok(()) => tracing::info!(table, "removed a table that no plugin names"),
                Err(refusal) => tracing::warn!(table, error = %refusal.error, "cannot remove a table"),
            }
        }
    }

    /// Flash is written when it changes only.
    fn remember(&mut self, asked: Asked) {
        if self.tables.asked == asked {
            return;
        }
        if let Err(error) = asked.write(&self.options.flash) {
            let path = self.options.flash.display();
            tracing::warn!(%path, %error, "cannot remember who asks for the guard");
        }
        self.tables.asked = asked;
    }
}

/// Whether one of these is the table's name.
fn names(patterns: &[NamePattern], table: &str) -> bool {
    table != GUARD && patterns.iter().any(|pattern| pattern.matches(table))
}
