//! Which interfaces are of which zone, and conditions and maps of that.
//!
//! An interface is of the first zone that names it. So a zone has the names that it lists without those of zones before
//! it, as ranges: those of all zones are disjoint, and one look-up says the zone.

use super::Compiler;
use super::matches::{Cond, ranged};
use super::value::{self, Span};
use crate::config::End;
use crate::ruleset::{ChainId, Entry, KeyType, Selector, Statement, Verdict};

/// The names of a zone's interfaces: sorted, disjoint, also with those of other zones.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<Span>);

impl Compiler<'_> {
    pub(super) fn zone_names(&mut self) {
        let mut taken: Vec<Span> = Vec::new();
        for zone in &self.config.zones {
            let listed: Vec<Span> = zone.interfaces.iter().map(value::names).collect();
            let listed = disjoint(listed);
            self.zones.push(Names(value::without(&listed, &taken)));
            taken.extend(listed);
            taken = disjoint(taken);
        }
    }

    pub(super) fn names_of(&self, zone: usize) -> &[Span] {
        self.zones.get(zone).map_or(&[], |names| &names.0)
    }

    /// The packet's interface is of one of the zones; none if there is no such interface.
    pub(super) fn of_zones(&self, selector: Selector, zones: impl IntoIterator<Item = usize>) -> Option<Cond> {
        let names: Vec<Span> = zones.into_iter().flat_map(|zone| self.names_of(zone).iter().copied()).collect();
        ranged(selector, disjoint(names), false)
    }

    /// The condition of an end on an interface: of any, none is needed. None if no packet can meet it.
    pub(super) fn of_end(&self, selector: Selector, end: &End) -> Option<Option<Cond>> {
        match end {
            End::Any => Some(None),
            End::Zones { zones, .. } => self.of_zones(selector, zones.iter().copied()).map(Some),
        }
    }

    /// A map from interfaces to what their zone leads to, at the end of the chain. Zones that lead nowhere are not in it.
    pub(super) fn dispatch(
        &mut self,
        chain: ChainId,
        selector: Selector,
        to: &[(usize, Verdict)],
        label: &'static str,
    ) {
        let mut entries = Vec::new();
        for (zone, verdict) in to {
            let span = self.config.zones.get(*zone).map(|zone| zone.span).unwrap_or_default();
            for (first, last) in self.names_of(*zone) {
                let (key, last) = (first.bytes().to_vec(), Some(last.bytes().to_vec()));
                entries.push(Entry { key, last, verdict: *verdict, span });
            }
        }
        if entries.is_empty() {
            return;
        }
        let interval = entries.iter().any(|entry| entry.last.as_ref() != Some(&entry.key));
        if interval {
            entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        } else {
            entries.iter_mut().for_each(|entry| entry.last = None);
        }
        let map = self.push_map(chain, vec![KeyType::Interface], interval, entries, portreeve_config::Span::default());
        self.push_rule(chain, vec![Statement::VerdictMap { key: vec![selector], map }], label);
    }
}

/// Points stay points unless a range covers them.
fn disjoint(ranges: Vec<Span>) -> Vec<Span> {
    if value::are_points(&ranges) { value::points(ranges) } else { value::merge(ranges) }
}
