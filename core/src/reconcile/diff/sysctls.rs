//! The part of the comparison on kernel parameters.

use std::collections::HashSet;

use portreeve_network::Sysctl;

use super::{Diff, Input, Links, Place};
use crate::reconcile::record::Parameter;
use crate::sys::network::Change;

/// Parameters, by family and last part, that are set on every interface because one of the whole namespace is set.
pub(super) type Spread = HashSet<(String, String)>;

impl Input<'_> {
    pub(super) fn global_sysctls(&self, spread: &mut Spread, diff: &mut Diff) {
        let mut global: Vec<_> = self.wanted.sysctls.iter().filter(|s| s.interface().is_none()).collect();
        // Setting `all` sets each interface: it comes before `default`, which is for those to come.
        global.sort_by_key(|s| !s.name.contains("/all/"));
        for sysctl in global {
            match (self.sysctl)(&sysctl.name) {
                Some(now) => {
                    if !same_value(&now, &sysctl.value) {
                        spread.extend(spreads(&sysctl.name));
                    }
                    self.set_sysctl(sysctl, Some(now), false, diff);
                }
                None => {
                    let words = "this kernel has no such parameter".to_owned();
                    diff.refuse(format!("sysctl net/{}", sysctl.name), libc::ENOENT, words);
                }
            }
        }
    }

    pub(super) fn sysctls_of_interfaces(&self, links: &Links<'_>, spread: &Spread, diff: &mut Diff) {
        for sysctl in &self.wanted.sysctls {
            let Some(interface) = sysctl.interface() else { continue };
            // What is set for all of them is set for this one as well, whatever it has now.
            let overrun = leaf(&sysctl.name).is_some_and(|leaf| spread.contains(&leaf));
            match links.place(interface) {
                // Under its old name it may have another value: it is read under the name that it has.
                Place::There(link) if link.name == interface => {
                    self.set_sysctl(sysctl, (self.sysctl)(&sysctl.name), overrun, diff);
                }
                Place::There(_) | Place::Fresh => self.set_sysctl(sysctl, None, true, diff),
                Place::Absent => drop(diff.waiting.insert(interface.to_owned())),
                Place::Blocked => {}
            }
        }
    }

    fn set_sysctl(&self, sysctl: &Sysctl, now: Option<String>, anyway: bool, diff: &mut Diff) {
        let others = self.others.sysctls.get(&sysctl.name);
        if !anyway && now.as_deref().is_some_and(|now| same_value(now, &sysctl.value)) {
            // What another plugin set for itself is held here as well: it may stop to want it first.
            if others.is_none() || self.record.sysctls.contains_key(&sysctl.name) {
                return;
            }
        } else {
            diff.changes.push(Change::SetSysctl { name: sysctl.name.clone(), value: sysctl.value.clone() });
        }
        let (name, value, before) = (sysctl.name.clone(), sysctl.value.clone(), others.cloned().flatten().or(now));
        diff.note(move |record| {
            let known = record.sysctls.get(&name).and_then(|parameter| parameter.before.clone());
            record.sysctls.insert(name, Parameter { before: known.or(before), value });
        });
    }

    /// Puts back what is no longer stated, where it is still as it was set: those of the whole namespace first, since they
    /// reach every interface, those of interfaces last.
    pub(super) fn restore_sysctls(&self, global: bool, spread: &mut Spread, diff: &mut Diff) {
        let wanted: HashSet<&str> = self.wanted.sysctls.iter().map(|s| s.name.as_str()).collect();
        let is_meant = |name: &str| {
            let is_global = Sysctl { name: name.to_owned(), value: String::new() }.interface().is_none();
            is_global == global && !wanted.contains(name)
        };
        for (name, parameter) in self.record.sysctls.iter().filter(|(name, _)| is_meant(name)) {
            let now = (self.sysctl)(name);
            let untouched = now.is_some_and(|now| same_value(&now, &parameter.value));
            let is_shared = self.others.sysctls.contains_key(name);
            if let Some(before) = parameter.before.clone().filter(|_| untouched && !is_shared) {
                spread.extend(spreads(name));
                diff.changes.push(Change::SetSysctl { name: name.clone(), value: before });
            }
            let name = name.clone();
            diff.note(move |record| drop(record.sysctls.remove(&name)));
        }
    }
}

/// Whether two values of a parameter are the same but for blanks.
fn same_value(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Family and last part of `FAMILY/conf/INTERFACE/LAST`.
fn leaf(name: &str) -> Option<(String, String)> {
    let mut parts = name.split('/');
    let (family, group, _, leaf) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (group == "conf" && parts.next().is_none()).then(|| (family.to_owned(), leaf.to_owned()))
}

/// Which parameters of every interface change when this one of the whole namespace is set.
fn spreads(name: &str) -> Option<(String, String)> {
    match name {
        "ipv4/ip_forward" => Some(("ipv4".to_owned(), "forwarding".to_owned())),
        _ => name.contains("/conf/all/").then(|| leaf(name)).flatten(),
    }
}
