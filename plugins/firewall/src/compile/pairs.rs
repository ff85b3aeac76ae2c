//! What applies between zones: a chain for each pair that has rules or a policy, and the maps that lead there.
//!
//! Rules that apply to several pairs stand once, in a chain that these jump to: the whole list where pairs have the same,
//! else runs of rules of the same `from` and `to` that are long enough to be worth a jump. So neither many zones nor rules
//! from or to any of them multiply.
//!
//! One map of both interfaces leads to the pairs. Where names have asterisks, pairs of interfaces are many, or something
//! applies to interfaces of no zone, a second way goes by the incoming interface to a chain of the zone, from there by the
//! outgoing one.

use std::collections::BTreeMap;

use super::Compiler;
use super::ends::Last;
use super::line::Made;
use super::rules::logging;
use crate::config::{self, Action, End, MssClamp, PolicyAction, ROUTER};
use crate::ruleset::{ChainId, Entry, KeyType, Label, RejectWith, Rule, Selector, Statement, Verdict};

/// Pairs of interfaces that are looked up at once; more go by zones.
pub const MAX_PAIR_KEYS: usize = 4096;
/// Pairs with chains and counters of their own; beyond, those that have a policy only share a chain for each policy.
pub const MAX_PAIRS: usize = 4096;
/// Rules in a row that are worth a jump rather than a copy in each pair.
pub const SHARED_RUN: usize = 16;

/// An end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A zone by index.
    Zone(usize),
    /// Interfaces of no zone.
    Nowhere,
    /// This machine.
    Router,
}

/// Pairs that something applies to.
#[derive(Debug, Default)]
pub struct Pairs {
    chains: BTreeMap<(Who, Who), ChainId>,
}

impl Pairs {
    /// Something applies to what this machine sends.
    pub fn has_output(&self) -> bool {
        self.chains.keys().any(|(from, _)| *from == Who::Router)
    }
}

/// Part of what applies to a pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// These rules, here.
    Inline(Vec<usize>),
    /// The chain with these rules.
    Shared(Vec<usize>),
}

impl Compiler<'_> {
    pub(super) fn pairs(&mut self) -> Pairs {
        let config = self.config;
        let mut ends: Vec<Who> = (0..config.zones.len()).map(Who::Zone).collect();
        ends.push(Who::Nowhere);
        let mut all = Vec::new();
        for from in &ends {
            all.extend(ends.iter().map(|to| (*from, *to)));
            all.push((*from, Who::Router));
        }
        all.extend(ends.iter().map(|to| (Who::Router, *to)));

        // Rules of the same ends apply to the same pairs; pairs that the same ends cover have the same rules.
        let (ends_of, groups) = groups(&config.rules);
        let mut lists: BTreeMap<Vec<usize>, Vec<(Who, Who)>> = BTreeMap::new();
        for pair in &all {
            let covered = ends_of.iter().enumerate().filter(|(_, (from, to, through))| {
                covers(from, pair.0)
                    && covers(to, pair.1)
                    && !(through.incoming && pair.0 == Who::Router)
                    && !(through.outgoing && pair.1 == Who::Router)
            });
            lists.entry(covered.map(|(group, _)| group).collect()).or_default().push(*pair);
        }
        let parts = parts(&lists, &groups);
        let mut uses = vec![0_usize; config.rules.len()];
        let mut counted = std::collections::BTreeSet::new();
        for part in parts.iter().flat_map(|(_, parts)| parts) {
            let (Part::Inline(rules) | Part::Shared(rules)) = part;
            if matches!(part, Part::Inline(_)) || counted.insert(part) {
                for rule in rules {
                    uses.iter_mut().skip(*rule).take(1).for_each(|uses| *uses += 1);
                }
            }
        }
        let made: Vec<Made<'_>> = config
            .rules
            .iter()
            .zip(&uses)
            .map(|(rule, uses)| if *uses == 0 { Made::Items(Vec::new()) } else { self.make(rule, *uses > 1) })
            .collect();

        let mut found = Pairs::default();
        let mut work: Vec<((Who, Who), &[Part])> =
            parts.iter().flat_map(|(pairs, parts)| pairs.iter().map(move |pair| (*pair, parts.as_slice()))).collect();
        work.sort_unstable_by_key(|(pair, _)| *pair);
        let many = all.len() > MAX_PAIRS;
        let mut shared = BTreeMap::new();
        let mut by_policy: BTreeMap<usize, ChainId> = BTreeMap::new();
        for (pair, parts) in work {
            let policy = self.policy_of(pair.0, pair.1);
            match policy {
                None if parts.is_empty() => {
                    let inward = self.is_inward(pair.0, pair.1).then(|| self.end_chain(Last::Inward)).flatten();
                    found.chains.extend(inward.map(|chain| (pair, chain)));
                }
                Some(policy) if many && parts.is_empty() => {
                    let chain = by_policy
                        .get(&policy)
                        .copied()
                        .unwrap_or_else(|| self.pair_chain(format!("policy-{}", policy + 1)));
                    if by_policy.insert(policy, chain).is_none() {
                        self.policy(chain, policy);
                    }
                    found.chains.insert(pair, chain);
                }
                policy => {
                    let name = format!("{}-{}", self.name_of(pair.0), self.name_of(pair.1));
                    let chain = self.pair_chain(name);
                    self.parts(chain, parts, &made, &mut shared);
                    match policy {
                        Some(policy) => self.policy(chain, policy),
                        None => self.end_pair(chain, pair),
                    }
                    found.chains.insert(pair, chain);
                }
            }
        }
        found
    }

    /// The policy that decides about the pair, by index.
    pub(super) fn policy_of(&self, from: Who, to: Who) -> Option<usize> {
        self.config.policies.iter().position(|policy| decides(&policy.from, from) && decides(&policy.to, to))
    }

    fn pair_chain(&mut self, name: String) -> ChainId {
        let name = self.unique(name);
        self.push_chain(name, None, portreeve_config::Span::default())
    }

    fn parts(&mut self, chain: ChainId, parts: &[Part], made: &[Made<'_>], shared: &mut BTreeMap<Vec<usize>, ChainId>) {
        let of = |rules: &[usize]| {
            let mut lines = Vec::with_capacity(rules.len());
            rules.iter().filter_map(|rule| made.get(*rule)).for_each(|made| made.lines(&mut lines));
            lines
        };
        for part in parts {
            match part {
                Part::Inline(rules) => self.add_lines(chain, &of(rules)),
                Part::Shared(rules) => {
                    let target = match shared.get(rules) {
                        Some(target) => *target,
                        None => {
                            let target = self.pair_chain(format!("rules-{}", shared.len() + 1));
                            self.add_lines(target, &of(rules));
                            shared.insert(rules.clone(), target);
                            target
                        }
                    };
                    self.push_rule(chain, vec![Statement::Verdict(Verdict::Jump(target))], "rules of several pairs");
                }
            }
        }
    }

    /// What the policy does, counted under the chain's name.
    fn policy(&mut self, chain: ChainId, policy: usize) {
        let Some(policy) = self.config.policies.get(policy) else { return };
        let mut name = self.chain_name(chain).to_owned();
        while self.counter_ids.contains_key(&name) {
            name.push_str("-policy");
        }
        let counter = Statement::Count(self.counter(&name));
        let rule = |statements| Rule { statements, label: Label::Section, span: policy.span };
        let mut before = Vec::new();
        match &policy.log {
            Some(log) if log.rate.is_some() => self.push(chain, rule(logging(log))),
            Some(log) => before = logging(log),
            None => {}
        }
        before.push(counter);
        let last = match policy.action {
            PolicyAction::Accept => Statement::Verdict(Verdict::Accept),
            PolicyAction::Drop => Statement::Verdict(Verdict::Drop),
            PolicyAction::Reject(config::Reject::TcpReset) => self.rejection(config::Reject::TcpReset, false),
            PolicyAction::Reject(reject) => Statement::Reject(RejectWith::Icmp(reject)),
        };
        before.push(last);
        self.push(chain, rule(before));
    }

    fn name_of(&self, who: Who) -> &str {
        match who {
            Who::Zone(zone) => self.config.zones.get(zone).map_or("", |zone| &zone.name),
            Who::Nowhere => "none",
            Who::Router => ROUTER,
        }
    }

    pub(super) fn dispatch_input(&mut self, chain: ChainId, pairs: &Pairs) {
        self.by_interface(chain, Selector::InputInterface, pairs, |who| (who, Who::Router));
    }

    pub(super) fn dispatch_output(&mut self, chain: ChainId, pairs: &Pairs) {
        self.by_interface(chain, Selector::OutputInterface, pairs, |who| (Who::Router, who));
    }

    /// Leads by one interface to the chains of the pairs, the zone being one end. What has no pair goes to the end.
    fn by_interface(&mut self, chain: ChainId, selector: Selector, pairs: &Pairs, pair: impl Fn(Who) -> (Who, Who)) {
        let none = pairs.chains.get(&pair(Who::Nowhere)).copied();
        let mut to = Vec::new();
        for zone in 0..self.config.zones.len() {
            match pairs.chains.get(&pair(Who::Zone(zone))) {
                Some(chain) => to.push((zone, Verdict::Goto(*chain))),
                // Otherwise its packets would be taken for those of no zone.
                None if none.is_some() => to.push((zone, Verdict::Return)),
                None => {}
            }
        }
        self.dispatch(chain, selector, &to, "zones");
        if let Some(none) = none {
            self.push_rule(chain, vec![Statement::Verdict(Verdict::Goto(none))], "interfaces of no zone");
        }
    }

    pub(super) fn dispatch_forward(&mut self, chain: ChainId, pairs: &Pairs) {
        let whole = self.pair_map(chain, pairs);
        let nowhere = pairs.chains.keys().any(|(from, to)| {
            *from != Who::Router && *to != Who::Router && (*from == Who::Nowhere || *to == Who::Nowhere)
        });
        if whole && !nowhere {
            return;
        }
        let count = self.config.zones.len();
        let leads = |from: Who| pairs.chains.keys().any(|(of, to)| *of == from && *to != Who::Router);
        let mut to = Vec::new();
        let none = leads(Who::Nowhere);
        for from in 0..count {
            if leads(Who::Zone(from)) {
                let name = format!("from-{}", self.name_of(Who::Zone(from)));
                let target = self.pair_chain(name);
                self.by_interface(target, Selector::OutputInterface, pairs, |who| (Who::Zone(from), who));
                self.end(target, Last::Forward);
                to.push((from, Verdict::Goto(target)));
            } else if none {
                to.push((from, Verdict::Return));
            }
        }
        self.dispatch(chain, Selector::InputInterface, &to, "zones");
        if none {
            self.by_interface(chain, Selector::OutputInterface, pairs, |who| (Who::Nowhere, who));
        }
    }

    /// A map of both interfaces; true if it has all of them.
    fn pair_map(&mut self, chain: ChainId, pairs: &Pairs) -> bool {
        let mut entries = Vec::new();
        let mut whole = true;
        for ((from, to), target) in &pairs.chains {
            let (Who::Zone(from), Who::Zone(to)) = (from, to) else { continue };
            let span = self.config.zones.get(*from).map(|zone| zone.span).unwrap_or_default();
            for (incoming, last) in self.names_of(*from) {
                for (outgoing, end) in self.names_of(*to) {
                    if incoming != last || outgoing != end {
                        whole = false;
                        continue;
                    }
                    if entries.len() == MAX_PAIR_KEYS {
                        return false;
                    }
                    let key = [incoming.bytes(), outgoing.bytes()].concat();
                    entries.push(Entry { key, last: None, verdict: Verdict::Goto(*target), span });
                }
            }
        }
        if !entries.is_empty() {
            let types = vec![KeyType::Interface, KeyType::Interface];
            let map = self.push_map(chain, types, false, entries, portreeve_config::Span::default());
            let key = vec![Selector::InputInterface, Selector::OutputInterface];
            self.push_rule(chain, vec![Statement::VerdictMap { key, map }], "pairs of zones");
        }
        whole
    }
}

/// What a rule asks for that packets of this machine, or for it, do not have: "anywhere" is then not this machine. (A
/// missing interface has the empty name in the kernel, and is thereby none of any list that is negated.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Through {
    /// An interface it came in by.
    incoming: bool,
    /// An interface it leaves by, or the segment size of the route there.
    outgoing: bool,
}

impl Through {
    fn of(rule: &config::Rule) -> Self {
        let routed = rule.action == Action::ClampMss(MssClamp::PathMtu) && rule.to == End::Any;
        Self {
            incoming: !rule.matches.incoming.items.is_empty(),
            outgoing: !rule.matches.outgoing.items.is_empty() || routed,
        }
    }
}

/// The ends that rules have, and the rules of each, in order. Those that need interfaces are apart.
fn groups(rules: &[config::Rule]) -> (Vec<Ends<'_>>, Vec<Vec<usize>>) {
    let mut known: BTreeMap<(EndKey, EndKey, Through), usize> = BTreeMap::new();
    let mut ends = Vec::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut before: Option<usize> = None;
    for (index, rule) in rules.iter().enumerate() {
        let through = Through::of(rule);
        // Neighbours often have the same.
        let same = before.filter(|group| ends.get(*group) == Some(&(&rule.from, &rule.to, through)));
        let group = same.unwrap_or_else(|| {
            *known.entry((end_key(&rule.from), end_key(&rule.to), through)).or_insert_with(|| {
                ends.push((&rule.from, &rule.to, through));
                groups.push(Vec::new());
                groups.len() - 1
            })
        });
        before = Some(group);
        if let Some(group) = groups.get_mut(group) {
            group.push(index);
        }
    }
    (ends, groups)
}

/// From, to, and what is asked for that not all have.
type Ends<'a> = (&'a End, &'a End, Through);
/// Pairs, and what applies to each of them.
type PartsOf<'a> = (&'a [(Who, Who)], Vec<Part>);
type EndKey<'a> = Option<(&'a [usize], bool)>;

fn end_key(end: &End) -> EndKey<'_> {
    match end {
        End::Any => None,
        End::Zones { zones, router } => Some((zones, *router)),
    }
}

/// What each list of groups comes to, with the pairs that have it.
fn parts<'a>(lists: &'a BTreeMap<Vec<usize>, Vec<(Who, Who)>>, groups: &[Vec<usize>]) -> Vec<PartsOf<'a>> {
    let mut found = Vec::new();
    for (list, pairs) in lists {
        let mut rules: Vec<(usize, usize)> = list
            .iter()
            .flat_map(|group| groups.get(*group).into_iter().flatten().map(|rule| (*rule, *group)))
            .collect();
        rules.sort_unstable();
        let only = |rules: &[(usize, usize)]| rules.iter().map(|(rule, _)| *rule).collect::<Vec<_>>();
        let mut parts = Vec::new();
        if pairs.len() > 1 && rules.len() > 1 {
            parts.push(Part::Shared(only(&rules)));
        } else {
            // Runs of one group that other lists have, too, in a chain of their own.
            let mut inline = Vec::new();
            for run in rules.chunk_by(|a, b| a.1 == b.1) {
                let group = run.first().map_or(0, |first| first.1);
                let elsewhere =
                    run.len() >= SHARED_RUN && lists.keys().filter(|other| other.contains(&group)).count() > 1;
                if elsewhere {
                    if !inline.is_empty() {
                        parts.push(Part::Inline(core::mem::take(&mut inline)));
                    }
                    parts.push(Part::Shared(only(run)));
                } else {
                    inline.extend(only(run));
                }
            }
            if !inline.is_empty() {
                parts.push(Part::Inline(inline));
            }
        }
        found.push((pairs.as_slice(), parts));
    }
    found
}

/// A rule's end is about this one.
fn covers(end: &End, who: Who) -> bool {
    match (end, who) {
        (End::Any, _) => true,
        (End::Zones { zones, .. }, Who::Zone(zone)) => zones.contains(&zone),
        (End::Zones { .. }, Who::Nowhere) => false,
        (End::Zones { router, .. }, Who::Router) => *router,
    }
}

/// A policy's end is about this one: this machine is not anyone.
fn decides(end: &End, who: Who) -> bool {
    match (end, who) {
        (End::Any, Who::Router) => false,
        _ => covers(end, who),
    }
}
