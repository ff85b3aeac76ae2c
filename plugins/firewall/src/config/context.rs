//! What has names in the section, while rules are read that refer to it.

use std::collections::HashMap;

use portreeve_config::{Diagnostics, Span, Value};

use super::{Limit, NamedSet, ROUTER, SetKind, leaf};

/// Slots of [`Index::front`].
const SLOTS: usize = 64;

/// Names and where they are found.
pub(super) struct Index {
    at: HashMap<String, usize>,
    names: Vec<String>,
    /// Where a name may be, by its first and last byte and its length: mostly it is, and need not be hashed.
    front: [usize; SLOTS],
}

impl Default for Index {
    fn default() -> Self {
        Self { at: HashMap::new(), names: Vec::new(), front: [usize::MAX; SLOTS] }
    }
}

fn slot(name: &str) -> usize {
    let (first, last) = (name.bytes().next().unwrap_or(0), name.bytes().next_back().unwrap_or(0));
    (usize::from(first) * 5 + usize::from(last) + name.len() * 3) % SLOTS
}

impl Index {
    /// The next one.
    pub(super) fn push(&mut self, name: &str) {
        self.at.insert(name.to_owned(), self.names.len());
        self.front[slot(name)] = self.names.len();
        self.names.push(name.to_owned());
    }

    /// Where it is; reports a name that is not there. `what` is "a zone", "a set" …
    pub(super) fn find(&self, name: &str, what: &str, span: Span, d: &mut Diagnostics) -> Option<usize> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("\"{}\" is not {what} of this section", super::address::shown(name));
            leaf::unknown(span, &message, name, self.names(), d);
        }
        found
    }

    /// Where it is.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        let near = self.front[slot(name)];
        if self.names.get(near).is_some_and(|known| known == name) { Some(near) } else { self.at.get(name).copied() }
    }

    /// All.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.names.iter().map(String::as_str)
    }
}

/// Everything that rules refer to.
pub(super) struct Context {
    pub(super) zones: Index,
    pub(super) set_names: Index,
    pub(super) sets: Vec<NamedSet>,
    pub(super) chains: Index,
    /// For what has none of its own.
    pub(super) log_rate: Limit,
}

impl Context {
    /// The set of that name, if it holds what is asked for.
    pub(super) fn set(&self, name: &str, kind: SetKind, span: Span, d: &mut Diagnostics) -> Option<usize> {
        let at = self.set_names.find(name, "a set", span, d)?;
        let set = self.sets.get(at)?;
        if set.kind == kind {
            return Some(at);
        }
        let (has, wanted) = match kind {
            SetKind::Addresses => ("ports", "addresses are"),
            SetKind::Ports => ("addresses", "ports are"),
        };
        d.error_with_hint(span, format!("\"{name}\" holds {has}, but {wanted} expected here"), "write another set");
        None
    }

    /// A zone that packets really come from, by name: not this machine, not all.
    pub(super) fn zone(&self, value: &Value<'_>, d: &mut Diagnostics) -> Option<usize> {
        let name = leaf::text(value, "the name of a zone", d)?;
        if matches!(&*name, ROUTER | "*") {
            d.error_with_hint(value.span(), format!("\"{name}\" is not one zone"), "write names of zones");
            return None;
        }
        self.zones.find(&name, "a zone", value.span(), d)
    }
}
