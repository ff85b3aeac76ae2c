//! What is to be changed: a pure comparison of what is stated, what was made before, and what the kernel has.
//!
//! Order of the changes: parameters of the whole namespace, links that go, links that come, parameters of interfaces (before
//! they go up), link settings, addresses, neighbours, routes, rules; what is no longer stated goes after what
//! takes its place. A file for each: `sysctls`, `links`, `addresses` (and neighbours), `routes` (and rules).

mod addresses;
mod links;
mod routes;
mod sysctls;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use portreeve_network::{Rule, State};

use super::Permit;
use super::record::Record;
use crate::sys::network::{Change, Found, FoundLink, Prefix, Refusal, RouteKey};
use sysctls::Spread;

/// The alias of links that were made for a plugin.
#[must_use]
pub fn tag(owner: &str) -> String {
    format!("portreeve:{owner}")
}

/// What is compared.
pub struct Input<'a> {
    /// The plugin.
    pub owner: &'a str,
    /// What it states.
    pub wanted: &'a State,
    /// What was made for it.
    pub record: &'a Record,
    /// What the kernel has.
    pub found: &'a Found,
    /// Reads a parameter; none if there is none.
    pub sysctl: &'a dyn Fn(&str) -> Option<String>,
    /// What was made for other plugins.
    pub others: &'a Others,
    /// What the grant says where only the kernel's present state shows what is asked for.
    pub permit: &'a Permit,
}

/// What was made for other plugins: it is neither taken over nor taken away.
#[derive(Debug, Default)]
pub struct Others {
    addresses: HashSet<(String, Prefix)>,
    routes: HashSet<RouteKey>,
    rules: HashSet<Rule>,
    neighbours: HashSet<(String, IpAddr)>,
    /// And what each was before anybody set it.
    sysctls: HashMap<String, Option<String>>,
}

impl Others {
    /// Of these records.
    pub fn of<'r>(records: impl Iterator<Item = &'r Record>) -> Self {
        let mut others = Self::default();
        for record in records {
            others.addresses.extend(record.addresses.iter().map(|a| (a.interface.clone(), a.address)));
            others.routes.extend(record.routes.iter().map(RouteKey::of));
            others.rules.extend(record.rules.iter().cloned());
            others.neighbours.extend(record.neighbours.iter().map(|n| (n.interface.clone(), n.address)));
            for (name, parameter) in &record.sysctls {
                let before = others.sysctls.entry(name.clone()).or_default();
                *before = before.take().or_else(|| parameter.before.clone());
            }
        }
        others
    }
}

/// Something to note in the record whatever the kernel answers.
pub type Note = Box<dyn FnOnce(&mut Record) + Send>;

/// What is to be done.
#[derive(Default)]
pub struct Diff {
    /// In this order.
    pub changes: Vec<Change>,
    /// Interfaces that are not there.
    pub waiting: BTreeSet<String>,
    /// What cannot be done.
    pub problems: Vec<(String, Refusal)>,
    /// For the record.
    pub bookkeeping: Vec<Note>,
}

impl Diff {
    fn note(&mut self, note: impl FnOnce(&mut Record) + Send + 'static) {
        self.bookkeeping.push(Box::new(note));
    }

    fn stated_twice(&mut self, change: &Change) {
        self.refuse(change.object(), libc::EEXIST, "it is stated twice".to_owned());
    }

    fn is_anothers(&mut self, change: &Change) {
        self.refuse(change.object(), libc::EEXIST, "another plugin states the same".to_owned());
    }

    fn refuse(&mut self, object: String, errno: i32, words: String) {
        let error = io::Error::from_raw_os_error(errno);
        self.problems.push((object, Refusal { error, message: Some(words) }));
    }
}

/// The interfaces during a comparison: those that are there, by the names they will have.
struct Links<'a> {
    by_name: HashMap<&'a str, &'a FoundLink>,
    /// Made by this very diff: nothing is on them yet.
    fresh: HashSet<&'a str>,
    /// Those that are given another name, by the one they had.
    renamed: HashMap<&'a str, &'a FoundLink>,
    /// Not ours although they should be: nothing is done on them.
    blocked: HashSet<&'a str>,
}

/// What an interface is good for.
enum Place<'a> {
    There(&'a FoundLink),
    Fresh,
    Absent,
    Blocked,
}

impl<'a> Links<'a> {
    fn place(&self, name: &str) -> Place<'a> {
        if self.blocked.contains(name) {
            Place::Blocked
        } else if self.fresh.contains(name) {
            Place::Fresh
        } else {
            self.by_name.get(name).map_or(Place::Absent, |link| Place::There(link))
        }
    }

    /// The link that bears this name, or bore it until now.
    fn present(&self, name: &str) -> Option<&'a FoundLink> {
        match self.place(name) {
            Place::There(link) => Some(link),
            Place::Absent => self.renamed.get(name).copied(),
            Place::Fresh | Place::Blocked => None,
        }
    }
}

impl Input<'_> {
    /// Compares.
    #[must_use]
    pub fn diff(&self) -> Diff {
        let mut diff = Diff::default();
        let mut spread = Spread::default();
        self.restore_sysctls(true, &mut spread, &mut diff);
        self.global_sysctls(&mut spread, &mut diff);
        let links = self.links(&mut diff);
        self.sysctls_of_interfaces(&links, &spread, &mut diff);
        self.link_settings(&links, &mut diff);
        self.addresses(&links, &mut diff);
        self.neighbours(&links, &mut diff);
        self.routes_and_rules(&links, &mut diff);
        self.restore_sysctls(false, &mut spread, &mut diff);
        diff
    }
}

#[cfg(test)]
mod tests;
