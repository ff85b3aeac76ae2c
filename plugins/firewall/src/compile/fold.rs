//! Items to rules of a chain: neighbours that ask the same of different values become one verdict map.
//!
//! A run is of items that do nothing but give a verdict and whose conditions are, one by one, equal or values of the same
//! selector. What is equal in all of a run is asked once, before the map; what differs makes its key. If several items
//! have a key in common the first decides, as it would have one by one; but behind a jump, which may come back, a second
//! map begins. Ranges fold only where nothing else differs and none cuts another. Masks, negations, flags and what has an
//! effect never do: they stay rules of their own, and more than [`LINEAR_RUN`] of these in a row are warned of.
//!
//! Items of different families commute, so between items of both those of IPv4 are put before those of IPv6.

use std::collections::{BTreeMap, HashMap};

use super::Compiler;
use super::matches::Cond;
use super::rules::Item;
use super::value::{self, BuildStable, Span, Value, pad};
use crate::config::Family;
use crate::ruleset::{ChainId, Elements, Entry, KeyType, RejectWith, Rule, Selector, Set, Statement, Test, Verdict};

/// Keys that one rule with several short lists may become.
pub const MAX_PRODUCT: usize = 64;
/// Bytes of a key (NFT_DATA_VALUE_MAXLEN).
pub const MAX_KEY: usize = 64;
/// Rules in a row that stay linear without a word.
pub const LINEAR_RUN: usize = 32;
/// Sets and maps from which on only runs of so many rules become another.
const MANY_SETS: usize = 256;
const LEAST_OF_MANY: usize = 16;

impl Compiler<'_> {
    /// Appends the items to the chain.
    pub(super) fn add_items(&mut self, chain: ChainId, items: &[&Item]) {
        if !self.options.fold {
            for item in items {
                self.linear(chain, item);
            }
            return;
        }
        let sorted;
        let items = if items
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.family != b.family && a.family.is_some() && b.family.is_some()))
        {
            sorted = by_family(items);
            &sorted
        } else {
            items
        };
        let mut at = 0;
        let mut alone = Alone::default();
        while let Some(first) = items.get(at) {
            let rest = items.get(at..).unwrap_or_default();
            let run = Run::of(rest);
            // The kernel finds sets by name in a list: thousands of small ones take longer to load than they save.
            let least = if self.sets.len() < MANY_SETS { 2 } else { LEAST_OF_MANY };
            if run.len < least {
                alone.add(first, rest.get(1).copied());
                self.linear(chain, first);
                at += 1;
                continue;
            }
            for piece in run.pieces(rest) {
                if piece.items.len() < least {
                    for item in piece.items {
                        alone.add(item, None);
                        self.linear(chain, item);
                    }
                } else {
                    self.warn_alone(chain, &mut alone);
                    self.verdict_map(chain, &run, piece);
                }
            }
            at += run.len;
        }
        self.warn_alone(chain, &mut alone);
    }

    fn warn_alone(&mut self, chain: ChainId, alone: &mut Alone) {
        if let Alone { count, first: Some((span, reason)) } = core::mem::take(alone)
            && count > LINEAR_RUN
        {
            let message = format!(
                "{count} rules in a row are asked one by one in the chain `{}`, since {reason}",
                self.chain_name(chain)
            );
            let hint =
                "sets, and rules in a row that differ in single addresses, protocols and ports only, cost one look-up";
            self.diagnostics.warning_with_hint(span, message, hint);
        }
    }

    fn linear(&mut self, chain: ChainId, item: &Item) {
        let mut statements = Vec::with_capacity(item.conds.len() + item.tail.len());
        for cond in &item.conds {
            self.cond(cond, item.family, &mut statements);
        }
        statements.extend_from_slice(&item.tail);
        self.push(chain, Rule { statements, label: item.label.clone(), span: item.span });
    }

    /// A condition as a statement.
    pub(super) fn cond(&mut self, cond: &Cond, family: Option<Family>, to: &mut Vec<Statement>) {
        match cond {
            Cond::One(selector, value) => to.push(Statement::Match(*selector, Test::Equal(value.bytes().to_vec()))),
            Cond::Set { selector, set, negated } => {
                to.push(Statement::Lookup { key: vec![*selector], set: *set, invert: *negated });
            }
            Cond::Other(statement) => to.push(statement.clone()),
            Cond::In { selector, ranges, negated } => {
                if let [range] = ranges.as_slice() {
                    to.push(Statement::Match(*selector, one_range(*selector, range, *negated)));
                } else if let Some(set) = self.ranges_set(*selector, family, ranges) {
                    to.push(Statement::Lookup { key: vec![*selector], set, invert: *negated });
                }
            }
        }
    }

    fn verdict_map(&mut self, chain: ChainId, run: &Run, piece: Piece<'_>) {
        let Some(first) = piece.items.first() else { return };
        let family = first.family;
        let key: Vec<Selector> = run.varying.iter().filter_map(|at| first.conds.get(*at).and_then(selector)).collect();
        let types: Vec<KeyType> = key.iter().filter_map(|selector| selector.key_type(family)).collect();
        let mut entries = Vec::with_capacity(piece.keys.len());
        for (key, last, item) in piece.keys {
            let Some(item) = piece.items.get(item) else { continue };
            let Some(verdict) = self.plain_verdict(item) else { continue };
            entries.push(Entry { key, last, verdict, span: item.span });
        }
        if run.ranges {
            entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        let mut statements = Vec::new();
        for (at, cond) in first.conds.iter().enumerate() {
            if !run.varying.contains(&at) {
                self.cond(cond, family, &mut statements);
            }
        }
        let map = self.push_map(chain, types, run.ranges, entries, first.span);
        statements.push(Statement::VerdictMap { key, map });
        self.push(chain, Rule { statements, label: first.label.clone(), span: first.span });
    }

    /// A verdict map called after its chain.
    pub(super) fn push_map(
        &mut self,
        chain: ChainId,
        key: Vec<KeyType>,
        interval: bool,
        entries: Vec<Entry>,
        span: portreeve_config::Span,
    ) -> usize {
        let place = self.chains.get(chain).map_or(0, |chain| chain.rules.len());
        let name = self.unique(format!("map-{}-{place}", self.chain_name(chain)));
        self.push_set(Set {
            name,
            key,
            map: true,
            interval,
            dynamic: false,
            stateful: false,
            timeout: None,
            size: 0,
            elements: Elements::Verdicts(entries),
            named: None,
            span,
        })
    }

    fn plain_verdict(&mut self, item: &Item) -> Option<Verdict> {
        match item.tail.as_slice() {
            [Statement::Verdict(verdict)] => Some(*verdict),
            [Statement::Reject(RejectWith::Icmp(reject))] => Some(Verdict::Goto(self.reject_chain(*reject))),
            _ => None,
        }
    }
}

/// A test of one range.
pub fn one_range(selector: Selector, range: &Span, negated: bool) -> Test {
    let (first, last) = (range.0.bytes().to_vec(), range.1.bytes().to_vec());
    let name = matches!(selector, Selector::InputInterface | Selector::OutputInterface);
    match (value::beginning(range).filter(|_| name), range.0 == range.1, negated) {
        (_, true, false) => Test::Equal(first),
        (_, true, true) => Test::NotEqual(first),
        (Some(beginning), _, false) => Test::Prefix(beginning.to_vec()),
        (Some(beginning), _, true) => Test::NotPrefix(beginning.to_vec()),
        (None, _, false) => Test::Range(first, last),
        (None, _, true) => Test::NotRange(first, last),
    }
}

/// Of neighbours that have a family: those of IPv4 first.
fn by_family<'a>(items: &[&'a Item]) -> Vec<&'a Item> {
    let mut sorted = Vec::with_capacity(items.len());
    for block in items.chunk_by(|a, b| a.family.is_some() && b.family.is_some()) {
        sorted.extend(block.iter().filter(|item| item.family != Some(Family::V6)));
        sorted.extend(block.iter().filter(|item| item.family == Some(Family::V6)));
    }
    sorted
}

/// Items from the first on that fold.
struct Run {
    len: usize,
    /// The conditions that differ, by place.
    varying: Vec<usize>,
    /// The one that differs has ranges.
    ranges: bool,
    /// Bytes of the key.
    width: usize,
    /// `varying` before the item that is being tried.
    kept: Vec<usize>,
}

/// Items of a run of which no two need an order among them that a map does not keep.
struct Piece<'a> {
    items: &'a [&'a Item],
    /// Key, last of a range, which item.
    keys: Vec<(Vec<u8>, Option<Vec<u8>>, usize)>,
}

impl Run {
    fn of(items: &[&Item]) -> Self {
        let mut run = Self { len: 1, varying: Vec::new(), ranges: false, width: 0, kept: Vec::new() };
        let Some((first, rest)) = items.split_first() else { return run };
        if obstacle(first).is_some() {
            return run;
        }
        for item in rest {
            if !plain(item)
                || item.conds.len() != first.conds.len()
                || item.family != first.family
                || !run.admits(first, item)
            {
                break;
            }
            run.len += 1;
        }
        if run.varying.is_empty() {
            run.len = 1;
        }
        run
    }

    /// Takes the item in, if it fits.
    fn admits(&mut self, first: &Item, item: &Item) -> bool {
        let before = self.varying.len();
        for (at, (a, b)) in first.conds.iter().zip(&item.conds).enumerate() {
            if !self.varying.contains(&at) && a != b {
                self.varying.push(at);
            }
        }
        if self.varying.len() > before {
            self.varying.sort_unstable();
        }
        let (mut width, mut product, mut ranges) = (0, 1_usize, self.ranges);
        let mut first_product = 1_usize;
        let fits = self.varying.iter().all(|at| {
            let (Some(a), Some(b)) = (first.conds.get(*at), item.conds.get(*at)) else { return false };
            let (Some(of_a), Some(of_b)) = (keyable(a, first.family), keyable(b, item.family)) else { return false };
            width += of_b.width.next_multiple_of(4);
            product = product.saturating_mul(of_b.count);
            first_product = first_product.saturating_mul(of_a.count);
            ranges |= of_a.ranges || of_b.ranges;
            of_a.selector == of_b.selector
        });
        let fits = fits
            && width <= MAX_KEY
            && product.max(first_product) <= MAX_PRODUCT
            && (!ranges || self.varying.len() == 1);
        if fits {
            self.ranges = ranges;
            self.width = width;
        }
        // A run that ends here keeps its key: what differs only in this item is not part of it.
        if !fits && self.varying.len() > before {
            self.varying.truncate(0);
            self.varying.extend(self.kept.iter().copied());
        } else if self.varying.len() > before {
            self.kept = self.varying.clone();
        }
        fits
    }

    fn pieces<'a>(&self, items: &'a [&'a Item]) -> Vec<Piece<'a>> {
        let items = items.get(..self.len).unwrap_or_default();
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut keys = Vec::new();
        let mut known = Known::default();
        if !self.ranges {
            known.points.reserve(items.len());
            keys.reserve(items.len());
        }
        for (at, item) in items.iter().enumerate() {
            let ranges = if self.ranges { self.item_ranges(item) } else { Vec::new() };
            let points = if self.ranges { Vec::new() } else { self.item_keys(item) };
            if known.clashes(&points, &ranges) {
                pieces
                    .push(Piece { items: items.get(start..at).unwrap_or_default(), keys: core::mem::take(&mut keys) });
                start = at;
                known = Known::default();
            }
            let returns = !matches!(item.tail.as_slice(), [Statement::Verdict(Verdict::Jump(_))]);
            known.jumps |= !returns;
            for key in points {
                if let std::collections::hash_map::Entry::Vacant(vacant) = known.points.entry(key) {
                    keys.push((vacant.key().clone(), None, at - start));
                    vacant.insert(returns);
                }
            }
            for (first, last) in ranges {
                if known.containing(&(first, last)).is_none() {
                    known.ranges.insert(first, (last, returns));
                    keys.push((first.bytes().to_vec(), Some(last.bytes().to_vec()), at - start));
                }
            }
        }
        pieces.push(Piece { items: items.get(start..).unwrap_or_default(), keys });
        pieces
    }

    fn item_ranges(&self, item: &Item) -> Vec<Span> {
        match self.varying.first().and_then(|at| item.conds.get(*at)) {
            Some(Cond::One(_, value)) => vec![(*value, *value)],
            Some(Cond::In { ranges, .. }) => ranges.clone(),
            _ => Vec::new(),
        }
    }

    fn item_keys(&self, item: &Item) -> Vec<Vec<u8>> {
        let several = self.varying.len() > 1;
        let mut keys = vec![Vec::with_capacity(self.width)];
        for at in &self.varying {
            match item.conds.get(*at) {
                Some(Cond::One(_, value)) => {
                    for key in &mut keys {
                        pad(key, value.bytes(), several);
                    }
                }
                Some(Cond::In { ranges, .. }) => {
                    keys = keys
                        .iter()
                        .flat_map(|key| {
                            ranges.iter().map(move |(value, _)| {
                                let mut key = key.clone();
                                pad(&mut key, value.bytes(), several);
                                key
                            })
                        })
                        .collect();
                }
                _ => {}
            }
        }
        keys
    }
}

/// Keys that a piece has so far, and whether their verdict is final.
#[derive(Default)]
struct Known {
    points: HashMap<Vec<u8>, bool, BuildStable>,
    /// One of them is not.
    jumps: bool,
    ranges: BTreeMap<Value, (Value, bool)>,
}

impl Known {
    /// The item may not go into the same map.
    fn clashes(&self, points: &[Vec<u8>], ranges: &[Span]) -> bool {
        self.jumps && points.iter().any(|key| self.points.get(key) == Some(&false))
            || ranges.iter().any(|range| match self.containing(range) {
                Some(is_final) => !is_final,
                None => self.ranges.range(..=range.1).next_back().is_some_and(|(_, (last, _))| *last >= range.0),
            })
    }

    /// A range that has all of this one: whether its verdict is final.
    fn containing(&self, range: &Span) -> Option<bool> {
        let (_, (last, is_final)) = self.ranges.range(..=range.0).next_back()?;
        (*last >= range.1).then_some(*is_final)
    }
}

struct Keyable {
    selector: Selector,
    width: usize,
    count: usize,
    ranges: bool,
}

/// What a condition is as part of a key, if it can be.
fn keyable(cond: &Cond, family: Option<Family>) -> Option<Keyable> {
    let (selector, count, ranges) = match cond {
        Cond::One(selector, _) => (*selector, 1, false),
        Cond::In { selector, ranges, negated: false } => (*selector, ranges.len(), !value::are_points(ranges)),
        _ => return None,
    };
    let width = selector.key_type(family)?.width();
    Some(Keyable { selector, width, count, ranges })
}

fn selector(cond: &Cond) -> Option<Selector> {
    match cond {
        Cond::One(selector, _) | Cond::In { selector, .. } | Cond::Set { selector, .. } => Some(*selector),
        Cond::Other(_) => None,
    }
}

fn plain(item: &Item) -> bool {
    matches!(item.tail.as_slice(), [Statement::Verdict(_) | Statement::Reject(RejectWith::Icmp(_))])
}

/// Why the item cannot be in a map, whatever its neighbours are.
fn obstacle(item: &Item) -> Option<&'static str> {
    if !plain(item) {
        return Some(match item.tail.first() {
            Some(Statement::Log { .. }) => "they log",
            Some(Statement::Count(_)) => "they count",
            Some(Statement::Limit(_) | Statement::LimitEach { .. }) => "they have limits",
            Some(Statement::Connections { .. } | Statement::ConnectionsEach { .. }) => "they number connections",
            Some(Statement::SetMark(_)) => "they set marks",
            Some(Statement::AddTo { .. }) => "they add to sets",
            _ => "they do more than give a verdict",
        });
    }
    (!item.conds.iter().any(|cond| keyable(cond, item.family).is_some())).then(|| why_fixed(item))
}

/// Why the item is in no map with the next.
fn why_fixed(item: &Item) -> &'static str {
    item.conds
        .iter()
        .find_map(|cond| match cond {
            Cond::Set { .. } => Some("each looks into a set"),
            Cond::In { negated: true, .. } => Some("they have negations"),
            Cond::In { selector: Selector::InputInterface | Selector::OutputInterface, ranges, .. }
                if !value::are_points(ranges) =>
            {
                Some("they have interfaces with an asterisk")
            }
            Cond::In { ranges, .. } if !value::are_points(ranges) => {
                Some("they have ranges or prefixes among other things that differ")
            }
            Cond::In { ranges, .. } if ranges.len() > MAX_PRODUCT => Some("they have long lists"),
            Cond::Other(Statement::Match(Selector::TcpFlags, _)) => Some("they ask for TCP's flags"),
            Cond::Other(Statement::Match(_, Test::Masked { .. })) => Some("they have masks"),
            Cond::Other(Statement::Match(Selector::CtState, _)) => Some("they ask for different states"),
            _ => None,
        })
        .unwrap_or("they do not ask the same of a packet")
}

/// Rules in a row that did not fold.
#[derive(Default)]
struct Alone {
    count: usize,
    first: Option<(portreeve_config::Span, &'static str)>,
}

impl Alone {
    fn add(&mut self, item: &Item, next: Option<&Item>) {
        self.count += 1;
        if self.first.is_none() {
            let next =
                next.filter(|next| obstacle(item).is_none() && plain(next) && next.conds.len() != item.conds.len());
            let reason = if next.is_some() {
                "they do not ask the same of a packet"
            } else {
                obstacle(item).unwrap_or_else(|| why_fixed(item))
            };
            self.first = Some((item.span, reason));
        }
    }
}
