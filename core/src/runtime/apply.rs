//! From the configuration in force to the next: only what differs is touched.
//!
//! A plugin whose section changed is asked to change over while it runs; one whose component or limits
//! changed is started anew; what did not change sees nothing. During a change-over the grants of both
//! sections hold; afterwards those of the new one alone. A plugin that refuses the new section, as when the kernel does,
//! goes on with the old one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::planning::{Plan, PlannedPlugin, ReadyPlugin};
use super::{ANSWER_WITHIN, Core, News, first_error};
use crate::config::System;
use crate::grants::{Access, Grants};
use crate::plugin::instance::{Command, Failure};
use crate::supervisor::{State, View};
use crate::sys::linux::process;

/// One plugin of the configuration in force.
pub(super) struct Entry {
    /// What runs, or would.
    pub ready: Option<ReadyPlugin>,
    /// What it is changing over from: in force again if the plugin refuses the new section.
    pub before: Option<Box<ReadyPlugin>>,
    /// Why its component cannot be used; what ran before goes on.
    pub failed: Option<String>,
    /// The component's file.
    pub component: PathBuf,
    /// It is changing over to another section; one change at a time.
    pub changing: bool,
}

impl Core {
    /// Puts a plan without errors in force.
    pub(super) fn apply(&mut self, plan: Plan) {
        self.apply_system(&plan.system);
        let now = Instant::now();
        self.order = plan.plugins.iter().map(|plugin| plugin.config.name.value.clone()).collect();
        let gone: Vec<_> = self.entries.keys().filter(|name| !self.order.contains(name)).cloned().collect();
        for name in gone {
            tracing::info!(plugin = name, "plugin removed");
            self.entries.remove(&name);
            self.supervisor.stop(&name, now);
            if !self.instances.contains_key(&name) {
                self.forget(&name);
            }
        }
        for plugin in plan.plugins {
            self.apply_plugin(plugin, now);
        }
    }

    /// Nothing of a removed plugin stays but the values it stored: it may come back.
    pub(super) fn forget(&mut self, name: &str) {
        self.supervisor.forget(name);
        self.unanswered.remove(name);
        self.shared.logs.remove_all(name);
        self.shared.facts.remove_all(name);
        self.shared.metrics.remove_all(name);
        self.tables.unguard(name);
        self.tables.set_untidy();
        self.complaint.forget(name);
        let (shared, name) = (self.shared.clone(), name.to_owned());
        tokio::spawn(async move { shared.reconciler.release(&name).await });
    }

    fn apply_system(&self, system: &System) {
        self.shared.logs.set_level(system.log);
        if let Some(name) = &system.hostname
            && let Err(error) = process::set_hostname(name)
        {
            tracing::warn!(hostname = name, %error, "cannot set the host name");
        }
    }

    fn apply_plugin(&mut self, plugin: PlannedPlugin, now: Instant) {
        let name = plugin.config.name.value.clone();
        let old = self.entries.remove(&name);
        let new = match plugin.outcome {
            Ok(Some(ready)) => *ready,
            outcome => {
                let reason = outcome.err().unwrap_or_else(|| "its section has errors".to_owned());
                tracing::error!(plugin = name, reason, "plugin cannot be used");
                let changing = old.as_ref().is_some_and(|entry| entry.changing);
                let (ready, before) = old.map_or((None, None), |entry| (entry.ready, entry.before));
                let failed = Some(reason);
                self.entries.insert(name, Entry { ready, before, failed, component: plugin.component, changing });
                return;
            }
        };
        let changing = old.as_ref().is_some_and(|entry| entry.changing);
        let (old, before) = old.map_or((None, None), |entry| (entry.ready, entry.before));
        let entry = Entry { ready: Some(new.clone()), before, failed: None, component: plugin.component, changing };
        self.entries.insert(name.clone(), entry);
        if let Some(instance) = self.instances.get(&name) {
            instance.set_place(new.section_place());
        }
        match old {
            None => self.supervisor.start(&name, now),
            Some(old) if !self.instances.contains_key(&name) => {
                // It waits or is quarantined: a change gives it another chance, no change does not.
                if !same(&old, &new) {
                    self.supervisor.start(&name, now);
                }
            }
            Some(old) if old.loaded.hash != new.loaded.hash || old.config.limits != new.config.limits => {
                tracing::info!(plugin = name, "plugin changed, starting it anew");
                self.supervisor.restart(&name, now);
            }
            // What it is changing over to is compared with this when it is done.
            Some(_) if changing => {}
            Some(old) if old.config.section.value != new.config.section.value => self.reconfigure(&name, &old, &new),
            Some(old) if old.grants != new.grants => self.set_grants(&name, new.grants),
            Some(_) => {}
        }
    }

    fn set_grants(&self, name: &str, grants: Grants) {
        self.shared.facts.keep_kinds(name, |kind| grants.check(Access::Publish(kind)).is_ok());
        if let Some(instance) = self.instances.get(name) {
            instance.set_grants(Arc::new(grants));
        }
    }

    fn reconfigure(&mut self, name: &str, old: &ReadyPlugin, new: &ReadyPlugin) {
        self.set_grants(name, old.grants.union_of_plans(&new.grants));
        if let Some(entry) = self.entries.get_mut(name) {
            entry.changing = true;
            entry.before = Some(Box::new(old.clone()));
        }
        let asked_for = Box::new(new.clone());
        let run = self.supervisor.view(name).map_or(0, |view| view.run);
        let (reply, replied) = tokio::sync::oneshot::channel();
        let command = Command::Reconfigure(new.config.section.value.clone(), reply);
        let asked = self.instances.get(name).is_some_and(|instance| instance.command(command).is_ok());
        let (news, plugin) = (self.news.0.clone(), name.to_owned());
        tokio::spawn(async move {
            let result = match asked {
                false => Err(Failure::Other("it takes no requests".to_owned())),
                true => match tokio::time::timeout(ANSWER_WITHIN, replied).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => Err(Failure::Other("it ended meanwhile".to_owned())),
                    Err(_) => Err(Failure::Other("it did not answer within 10 s".to_owned())),
                },
            };
            let _ = news.send(News::Reconfigured { plugin, run, asked: asked_for, result });
        });
    }

    pub(super) fn handle_reconfigured(
        &mut self,
        plugin: &str,
        run: u64,
        asked: &ReadyPlugin,
        result: Result<(), Failure>,
    ) {
        // Removed, ended, or started anew with the newest section meanwhile: then nothing is left to do.
        let works =
            |view: &View| view.run == run && matches!(view.state, State::Starting | State::Ready | State::Degraded(_));
        if !self.supervisor.view(plugin).is_some_and(works) {
            return;
        }
        let Some(entry) = self.entries.get_mut(plugin) else { return };
        entry.changing = false;
        let before = entry.before.take();
        let Some(wanted) = entry.ready.clone() else { return };
        match result {
            Ok(()) if asked.config.section.value != wanted.config.section.value => {
                self.reconfigure(plugin, asked, &wanted);
            }
            Ok(()) => {
                tracing::info!(plugin, "plugin reconfigured");
                self.set_grants(plugin, wanted.grants);
                self.tables.set_untidy();
            }
            Err(Failure::Config(list)) => {
                let Some(before) = before else { return };
                let text = asked.render(list);
                // Others may have changed over: only this one keeps what it had.
                let reason = first_error(&text);
                tracing::error!(plugin, reason, "the plugin refuses its new section, the old one stays in force");
                self.complaint.refused(&text);
                if let Some(entry) = self.entries.get_mut(plugin) {
                    entry.ready = Some((*before).clone());
                }
                self.set_grants(plugin, before.grants.clone());
                // Another section was put in force meanwhile.
                if asked.config.section.value != wanted.config.section.value {
                    if let Some(entry) = self.entries.get_mut(plugin) {
                        entry.ready = Some(wanted.clone());
                    }
                    self.reconfigure(plugin, &before, &wanted);
                }
            }
            Err(Failure::Other(reason)) => {
                tracing::warn!(plugin, reason, "plugin did not change over, starting it anew");
                self.supervisor.restart(plugin, Instant::now());
            }
        }
    }
}

fn same(old: &ReadyPlugin, new: &ReadyPlugin) -> bool {
    old.loaded.hash == new.loaded.hash
        && old.config.limits == new.config.limits
        && old.config.section.value == new.config.section.value
        && old.grants == new.grants
}
