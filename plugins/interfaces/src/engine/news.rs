//! What of the host's news is news: what the section speaks of, what is ours, and what the last apply brings about.

use std::collections::{HashMap, HashSet};

use portreeve_network::Prefix;

use super::Engine;

impl Engine {
    pub(super) fn is_concerned(&self, name: &str) -> bool {
        self.names.contains(name) || self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    pub(super) fn is_own(&self, index: u32, address: Prefix) -> bool {
        let own = self.links.get(&index).and_then(|link| self.own.get(&link.name));
        own.is_some_and(|own| own.contains(&address))
    }

    /// Links that the apply makes, renames or sets up will come as news that is none.
    pub(super) fn foresee(&mut self) {
        let present: HashMap<&str, bool> = self.links.values().map(|link| (link.name.as_str(), link.up)).collect();
        let wanted = self.plan.link_list().iter();
        let coming = wanted.filter(|link| match present.get(link.name.as_str()) {
            Some(up) => !up && link.up == Some(true),
            None => link.make.is_some() || link.index.is_some(),
        });
        let mut coming: HashSet<String> = coming.map(|link| link.name.clone()).collect();
        for (name, _) in self.config.makes() {
            if !present.contains_key(name) {
                coming.insert(name.to_owned());
            }
        }
        self.coming = coming;
    }
}
