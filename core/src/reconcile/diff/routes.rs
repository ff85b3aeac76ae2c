//! The part of the comparison on routes and rules.

use std::collections::{BTreeMap, HashSet};

use portreeve_network::{Route, Rule};

use super::{Diff, Input, Links, Place};
use crate::sys::network::{Change, RouteKey};

impl Input<'_> {
    /// Rules that lead to a table go before its routes, and come after them.
    pub(super) fn routes_and_rules(&self, links: &Links<'_>, diff: &mut Diff) {
        let found: HashSet<RouteKey> = self.found.routes.iter().copied().collect();
        let recorded: BTreeMap<RouteKey, &Route> = self.record.routes.iter().map(|r| (RouteKey::of(r), r)).collect();
        let wanted = self.set_routes(links, &found, &recorded, diff);
        self.remove_rules(diff);
        let mut gone = HashSet::new();
        for key in recorded.keys().filter(|key| !wanted.contains(*key)) {
            if found.contains(key) && !self.others.routes.contains(key) {
                diff.changes.push(Change::RemoveRoute(*key));
            } else {
                gone.insert(*key);
            }
        }
        if !gone.is_empty() {
            diff.note(move |record| record.routes.retain(|r| !gone.contains(&RouteKey::of(r))));
        }
        self.add_rules(diff);
    }

    fn set_routes(
        &self,
        links: &Links<'_>,
        found: &HashSet<RouteKey>,
        recorded: &BTreeMap<RouteKey, &Route>,
        diff: &mut Diff,
    ) -> HashSet<RouteKey> {
        let mut wanted = HashSet::new();
        for route in &self.wanted.routes {
            let key = RouteKey::of(route);
            if !wanted.insert(key) {
                diff.stated_twice(&Change::RemoveRoute(key));
                continue;
            }
            let mut lost = false;
            match route.interface.as_deref().map(|name| (name, links.place(name))) {
                None | Some((_, Place::There(_))) => {}
                // Its routes went with the link that is made anew, so ours is not there, whatever the kernel had.
                Some((_, Place::Fresh)) => lost = true,
                Some((name, Place::Absent)) => {
                    diff.waiting.insert(name.to_owned());
                    continue;
                }
                Some((_, Place::Blocked)) => continue,
            }
            if self.others.routes.contains(&key) {
                diff.is_anothers(&Change::RemoveRoute(key));
                continue;
            }
            let there = found.contains(&key);
            if !there || lost || recorded.get(&key) != Some(&route) {
                diff.changes.push(Change::SetRoute { route: route.clone(), replace: there });
            }
        }
        wanted
    }

    fn remove_rules(&self, diff: &mut Diff) {
        let stated: HashSet<&Rule> = self.wanted.rules.iter().collect();
        let present: HashSet<&Rule> = self.found.rules.iter().collect();
        let mut gone = HashSet::new();
        for rule in self.record.rules.iter().filter(|rule| !stated.contains(rule)) {
            if present.contains(rule) && !self.others.rules.contains(rule) {
                diff.changes.push(Change::RemoveRule(rule.clone()));
            } else {
                gone.insert(rule.clone());
            }
        }
        if !gone.is_empty() {
            diff.note(move |record| record.rules.retain(|rule| !gone.contains(rule)));
        }
    }

    fn add_rules(&self, diff: &mut Diff) {
        let present: HashSet<&Rule> = self.found.rules.iter().collect();
        let known: HashSet<&Rule> = self.record.rules.iter().collect();
        let mut seen = HashSet::new();
        for rule in self.wanted.rules.iter().filter(|rule| seen.insert(*rule)) {
            if self.others.rules.contains(rule) {
                diff.is_anothers(&Change::AddRule(rule.clone()));
            } else if !present.contains(rule) {
                diff.changes.push(Change::AddRule(rule.clone()));
                let rule = rule.clone();
                diff.note(move |record| record.rules.retain(|r| *r != rule));
            } else if !known.contains(rule) {
                // It carries our number, and nobody else has it: the record was lost.
                let rule = rule.clone();
                diff.note(move |record| record.rules.push(rule));
            }
        }
    }
}
