//! Which link has which name: hardware gets the name that `match` gives it, all others keep theirs.
//!
//! Everything else in the engine speaks of the names that links will have, and asks here. Built anew from all links
//! whenever something is different; only rules of hardware are held against every link.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::types::{Hardware, Link, Problem};
use crate::config::{Config, HardwareMatch};

/// Kinds of links that nobody makes: they come with their hardware.
const HARDWARE_KINDS: [&str; 2] = ["dsa", "wwan"];

/// The links by the names that they should have.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    links: BTreeMap<&'a str, &'a Link>,
    /// Names that belong to hardware which is not there, while another link bears them.
    taken: BTreeSet<&'a str>,
    /// What was not clear.
    pub(super) problems: Vec<Problem>,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        config: &'a Config,
        links: &'a BTreeMap<u32, Link>,
        hardware: &'a BTreeMap<u32, Hardware>,
    ) -> Self {
        let mut names = Self::default();
        let mut owners: HashMap<u32, &str> = HashMap::new();
        let wanted = config.exact.iter().filter_map(|(name, it)| Some((name.as_str(), it.hardware.as_ref()?)));
        let wanted: Vec<(&str, &HardwareMatch)> = wanted.collect();
        for &(name, hardware_match) in &wanted {
            let candidates = links.values().filter(|link| is_hardware(link) && !owners.contains_key(&link.index));
            let mut found: Vec<&Link> =
                candidates.filter(|link| fits(hardware_match, link, hardware.get(&link.index))).collect();
            // Who has the name keeps it; otherwise who was there first.
            found.sort_by_key(|link| (link.name != name, link.index));
            if found.len() > 1 {
                let several: Vec<_> = found.iter().map(|link| link.name.as_str()).collect();
                names.problems.push(Problem {
                    object: format!("interface {name}"),
                    message: format!("several links match: {}; the first one counts", several.join(", ")),
                });
            }
            if let Some(link) = found.first() {
                owners.insert(link.index, name);
                names.links.insert(name, link);
            }
        }
        for link in links.values().filter(|link| !owners.contains_key(&link.index)) {
            let bound = wanted.binary_search_by_key(&link.name.as_str(), |(name, _)| name).is_ok();
            if bound && !names.links.contains_key(link.name.as_str()) {
                names.taken.insert(&link.name);
            } else if !bound {
                names.links.insert(&link.name, link);
            }
        }
        names
    }

    /// The link that has the name, or will.
    pub(super) fn link(&self, name: &str) -> Option<&'a Link> {
        self.links.get(name).copied()
    }

    /// Whether a link bears the name that is meant for other hardware.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// All links that are there, by the names that they should have.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Link)> {
        self.links.iter().map(|(name, link)| (*name, *link))
    }
}

/// Ports of switches and modems are hardware, though the kernel calls them a kind.
fn is_hardware(link: &Link) -> bool {
    link.kind.as_deref().is_none_or(|kind| HARDWARE_KINDS.contains(&kind))
}

fn fits(wanted: &HardwareMatch, link: &Link, hardware: Option<&Hardware>) -> bool {
    let permanent = hardware.map(|hardware| hardware.permanent_mac.as_slice()).filter(|mac| !mac.is_empty());
    let driver = hardware.and_then(|hardware| hardware.driver.as_deref());
    let path = hardware.and_then(|hardware| hardware.path.as_deref());
    wanted.matches(permanent.unwrap_or(&link.mac), driver, path)
}
