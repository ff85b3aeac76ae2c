//! Items to rules of a chain: neighbours that ask the same of different values become one verdict map.
//!
//! A run is of items that do nothing but give a verdict and whose conditions are, one by one, equal or values of the same
//! selector. What is equal in all of a run is asked once, before the map; what differs makes its key. If several items
//! have a key in common the first decides, as it would have one by one; but behind a jump, which may come back, a second
//! map begins. Ranges fold only where nothing else differs and none cuts another. Masks, negations, flags and what has an
//! effect never do: they stay rules of their own, and more than [`LINEAR_RUN`] of these in a row are warned of.
//!
//! Items of different families commute, so between items of both those of IPv4 are put before those of IPv6.

use std::collections::BTreeMap;

use super::Compiler;
use super::keys::Keys;
use super::line::{Asked, Conds, Line, Plain};
use super::matches::Cond;
use super::rules::Item;
use super::value::{self, Span, Value};
use crate::config::Family;
use crate::ruleset::{ChainId, Elements, Entry, KeyType, Rule, Selector, Set, Statement, Test, Verdict};

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
        let lines: Vec<Line<'_>> = items.iter().map(|item| Line::Item(item)).collect();
        self.add_lines(chain, &lines);
    }

    /// Appends the lines to the chain.
    pub(super) fn add_lines(&mut self, chain: ChainId, lines: &[Line<'_>]) {
        if !self.options.fold {
            for line in lines {
                self.linear(chain, line);
            }
            return;
        }
        let sorted;
        let lines = if lines.windows(2).any(
            |pair| matches!(pair, [a, b] if a.family() != b.family() && a.family().is_some() && b.family().is_some()),
        ) {
            sorted = by_family(lines);
            &sorted
        } else {
            lines
        };
        let mut at = 0;
        let mut alone = Alone::default();
        while let Some(first) = lines.get(at) {
            let rest = lines.get(at..).unwrap_or_default();
            let run = Run::of(rest);
            // The kernel finds sets by name in a list: thousands of small ones take longer to load than they save.
            let least = if self.sets.len() < MANY_SETS { 2 } else { LEAST_OF_MANY };
            if run.len < least {
                alone.add(first, rest.get(1));
                self.linear(chain, first);
                at += 1;
                continue;
            }
            for piece in run.pieces(rest) {
                if piece.lines.len() < least {
                    for line in piece.lines {
                        alone.add(line, None);
                        self.linear(chain, line);
                    }
                } else {
                    self.warn_alone(chain, &mut alone);
                    self.verdict_map(chain, &run, &piece);
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

    fn linear(&mut self, chain: ChainId, line: &Line<'_>) {
        let conds = line.conds();
        let mut statements = Vec::with_capacity(conds.len() + line.tail().len().max(1));
        match &conds {
            Conds::List(list) => {
                for cond in *list {
                    self.cond(cond, line.family(), &mut statements);
                }
            }
            Conds::Fields(fields) => fields.statements(&mut statements),
        }
        match line {
            Line::Item(item) => statements.extend_from_slice(&item.tail),
            Line::Rule(_) => statements.extend(line.plain().map(Plain::statement)),
        }
        self.push(chain, Rule { statements, label: line.label(), span: line.span() });
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

    fn verdict_map(&mut self, chain: ChainId, run: &Run, piece: &Piece<'_>) {
        let Some(first) = piece.lines.first() else { return };
        let (family, conds) = (first.family(), first.conds());
        let key: Vec<Selector> = run.varying.iter().filter_map(|at| selector(conds.get(*at)?)).collect();
        let types: Vec<KeyType> = key.iter().filter_map(|selector| selector.key_type(family)).collect();
        let mut entries = Vec::with_capacity(piece.owners.len());
        for (key, owner) in piece.keys.iter().zip(&piece.owners) {
            let Some(line) = piece.lines.get(*owner) else { continue };
            let Some(verdict) = self.plain_verdict(line) else { continue };
            let (key, last) = if run.ranges { key.split_at(key.len() / 2) } else { (key, [].as_slice()) };
            let last = run.ranges.then(|| last.to_vec());
            entries.push(Entry { key: key.to_vec(), last, verdict, span: line.span() });
        }
        if run.ranges {
            entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        let mut statements = Vec::new();
        for (at, asked) in conds.iter().enumerate() {
            if run.varying.contains(&at) {
                continue;
            }
            match asked {
                Asked::Range(selector, range) => {
                    statements.push(Statement::Match(selector, one_range(selector, &range, false)));
                }
                Asked::Cond(cond) => self.cond(cond, family, &mut statements),
            }
        }
        let map = self.push_map(chain, types, run.ranges, entries, first.span());
        statements.push(Statement::VerdictMap { key, map });
        self.push(chain, Rule { statements, label: first.label(), span: first.span() });
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

    fn plain_verdict(&mut self, line: &Line<'_>) -> Option<Verdict> {
        Some(match line.plain()? {
            Plain::Verdict(verdict) => verdict,
            Plain::Reject(reject) => Verdict::Goto(self.reject_chain(reject)),
        })
    }
}

/// A test of one range.
pub fn one_range(selector: Selector, range: &Span, negated: bool) -> Test {
    let first = range.0.bytes().to_vec();
    if range.0 == range.1 {
        return if negated { Test::NotEqual(first) } else { Test::Equal(first) };
    }
    let name = matches!(selector, Selector::InputInterface | Selector::OutputInterface);
    match (name.then(|| value::beginning(range)).flatten(), negated) {
        (Some(beginning), false) => Test::Prefix(beginning.to_vec()),
        (Some(beginning), true) => Test::NotPrefix(beginning.to_vec()),
        (None, false) => Test::Range(first, range.1.bytes().to_vec()),
        (None, true) => Test::NotRange(first, range.1.bytes().to_vec()),
    }
}

/// Of neighbours that have a family: those of IPv4 first.
fn by_family<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
    let mut sorted = Vec::with_capacity(lines.len());
    for block in lines.chunk_by(|a, b| a.family().is_some() && b.family().is_some()) {
        sorted.extend(block.iter().filter(|line| line.family() != Some(Family::V6)));
        sorted.extend(block.iter().filter(|line| line.family() == Some(Family::V6)));
    }
    sorted
}

/// Lines from the first on that fold.
struct Run {
    len: usize,
    /// The conditions that differ, by place.
    varying: Vec<usize>,
    /// The one that differs has ranges.
    ranges: bool,
    /// Bytes of the key.
    width: usize,
    /// `varying` before the line that is being tried.
    kept: Vec<usize>,
}

/// Lines of a run of which no two need an order among them that a map does not keep.
struct Piece<'a> {
    lines: &'a [Line<'a>],
    /// Keys, or first and last of ranges.
    keys: Keys,
    /// Of each key, which of the lines.
    owners: Vec<usize>,
}

impl Run {
    fn of(lines: &[Line<'_>]) -> Self {
        let mut run = Self { len: 1, varying: Vec::new(), ranges: false, width: 0, kept: Vec::new() };
        let Some((first, rest)) = lines.split_first() else { return run };
        let (conds, family) = (first.conds(), first.family());
        if obstacle(first, &conds).is_some() {
            return run;
        }
        for line in rest {
            if line.plain().is_none() || line.family() != family {
                break;
            }
            let others = line.conds();
            if others.len() != conds.len() || !run.admits(family, &conds, &others) {
                break;
            }
            run.len += 1;
        }
        if run.varying.is_empty() {
            run.len = 1;
        }
        run
    }

    /// Takes a line with these conditions in, if it fits.
    fn admits(&mut self, family: Option<Family>, first: &Conds<'_>, conds: &Conds<'_>) -> bool {
        let before = self.varying.len();
        for at in 0..first.len() {
            if !self.varying.contains(&at) && !first.same(conds, at) {
                self.varying.push(at);
            }
        }
        if self.varying.len() > before {
            self.varying.sort_unstable();
        }
        let (mut width, mut product, mut ranges) = (0, 1_usize, self.ranges);
        let mut first_product = 1_usize;
        let fits = self.varying.iter().all(|at| {
            let (Some(of_a), Some(of_b)) = (first.keyable(*at, family), conds.keyable(*at, family)) else {
                return false;
            };
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
        // A run that ends here keeps its key: what differs only in this line is not part of it.
        if !fits && self.varying.len() > before {
            self.varying.truncate(0);
            self.varying.extend(self.kept.iter().copied());
        } else if self.varying.len() > before {
            self.kept.clone_from(&self.varying);
        }
        fits
    }

    fn pieces<'a>(&self, lines: &'a [Line<'a>]) -> Vec<Piece<'a>> {
        let lines = lines.get(..self.len).unwrap_or_default();
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut known: Option<Known> = None;
        let mut keys = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let conds = line.conds();
            keys.clear();
            let mut ranges = Vec::new();
            if self.ranges {
                ranges = self.ranges_of(&conds);
            } else {
                self.keys_of(&conds, &mut keys);
            }
            let mut found = match known.take() {
                Some(known) if !known.clashes(lines.get(start..).unwrap_or_default(), &keys, &ranges) => known,
                before => {
                    if let Some(Known { keys, owners, .. }) = before {
                        pieces.push(Piece { lines: lines.get(start..at).unwrap_or_default(), keys, owners });
                        start = at;
                    }
                    // All conditions of a place are of one selector, so all keys have as many bytes as the first.
                    let width = match ranges.first() {
                        Some((first, _)) => first.bytes().len() * 2,
                        None => keys.len().div_euclid(self.count_of(&conds).max(1)),
                    };
                    Known::new(width, lines.len() - at)
                }
            };
            found.add(at - start, is_final(line), &keys, &ranges);
            known = Some(found);
        }
        if let Some(Known { keys, owners, .. }) = known {
            pieces.push(Piece { lines: lines.get(start..).unwrap_or_default(), keys, owners });
        }
        pieces
    }

    fn ranges_of(&self, conds: &Conds<'_>) -> Vec<Span> {
        match self.varying.first().and_then(|at| conds.get(*at)) {
            Some(Asked::Range(_, range)) => vec![range],
            Some(Asked::Cond(Cond::In { ranges, .. })) => ranges.clone(),
            _ => Vec::new(),
        }
    }

    /// How many keys a line with these conditions has.
    fn count_of(&self, conds: &Conds<'_>) -> usize {
        self.varying.iter().map(|at| conds.values(*at)).fold(1, usize::saturating_mul)
    }

    /// Appends its keys: all combinations, of which the last values change first.
    fn keys_of(&self, conds: &Conds<'_>, keys: &mut Vec<u8>) {
        let several = self.varying.len() > 1;
        let count = self.count_of(conds);
        for number in 0..count {
            let mut slower = count;
            for at in &self.varying {
                let values = conds.values(*at).max(1);
                slower = slower.div_euclid(values).max(1);
                conds.put(*at, number.div_euclid(slower) % values, several, keys);
            }
        }
    }
}

/// Nothing comes back from where it leads.
fn is_final(line: &Line<'_>) -> bool {
    !matches!(line.plain(), Some(Plain::Verdict(Verdict::Jump(_))))
}

/// Keys that a piece has so far, and of which of its lines.
struct Known {
    keys: Keys,
    owners: Vec<usize>,
    /// The verdict of one of them is not final.
    jumps: bool,
    /// Last of a range by its first, and whether its verdict is final.
    ranges: BTreeMap<Value, (Value, bool)>,
}

impl Known {
    fn new(width: usize, count: usize) -> Self {
        let owners = Vec::with_capacity(count);
        Self { keys: Keys::new(width, count), owners, jumps: false, ranges: BTreeMap::new() }
    }

    /// What has these may not go into the same map.
    fn clashes(&self, lines: &[Line<'_>], keys: &[u8], ranges: &[Span]) -> bool {
        let owner = |key: &[u8]| self.owners.get(self.keys.find(key)?).and_then(|owner| lines.get(*owner));
        self.jumps && self.each(keys).any(|key| owner(key).is_some_and(|line| !is_final(line)))
            || ranges.iter().any(|range| match self.containing(range) {
                Some(is_final) => !is_final,
                None => self.ranges.range(..=range.1).next_back().is_some_and(|(_, (last, _))| *last >= range.0),
            })
    }

    fn each<'a>(&self, keys: &'a [u8]) -> core::slice::ChunksExact<'a, u8> {
        keys.chunks_exact(self.keys.width())
    }

    /// Takes in what is not there yet.
    fn add(&mut self, owner: usize, is_final: bool, keys: &[u8], ranges: &[Span]) {
        self.jumps |= !is_final;
        for key in self.each(keys) {
            if self.keys.insert(key) {
                self.owners.push(owner);
            }
        }
        for (first, last) in ranges {
            if self.containing(&(*first, *last)).is_none() {
                self.ranges.insert(*first, (*last, is_final));
                if self.keys.insert(&[first.bytes(), last.bytes()].concat()) {
                    self.owners.push(owner);
                }
            }
        }
    }

    /// A range that has all of this one: whether its verdict is final.
    fn containing(&self, range: &Span) -> Option<bool> {
        let (_, (last, is_final)) = self.ranges.range(..=range.0).next_back()?;
        (*last >= range.1).then_some(*is_final)
    }
}

fn selector(asked: Asked<'_>) -> Option<Selector> {
    match asked {
        Asked::Range(selector, _) => Some(selector),
        Asked::Cond(Cond::One(selector, _) | Cond::In { selector, .. } | Cond::Set { selector, .. }) => Some(*selector),
        Asked::Cond(Cond::Other(_)) => None,
    }
}

/// Why the line cannot be in a map, whatever its neighbours are.
fn obstacle(line: &Line<'_>, conds: &Conds<'_>) -> Option<&'static str> {
    if line.plain().is_none() {
        return Some(match line.tail().first() {
            Some(Statement::Log { .. }) => "they log",
            Some(Statement::Count(_)) => "they count",
            Some(Statement::Limit(_) | Statement::LimitEach { .. }) => "they have limits",
            Some(Statement::Connections { .. } | Statement::ConnectionsEach { .. }) => "they number connections",
            Some(Statement::SetMark(_)) => "they set marks",
            Some(Statement::AddTo { .. }) => "they add to sets",
            _ => "they do more than give a verdict",
        });
    }
    let family = line.family();
    (!(0..conds.len()).any(|at| conds.keyable(at, family).is_some())).then(|| why_fixed(conds))
}

/// Why a line is in no map with the next.
fn why_fixed(conds: &Conds<'_>) -> &'static str {
    conds
        .iter()
        .find_map(|asked| match asked {
            Asked::Cond(Cond::Set { .. }) => Some("each looks into a set"),
            Asked::Cond(Cond::In { negated: true, .. }) => Some("they have negations"),
            Asked::Range(selector, range) => (range.0 != range.1).then(|| why_range(selector)),
            Asked::Cond(Cond::In { selector, ranges, .. }) if !value::are_points(ranges) => Some(why_range(*selector)),
            Asked::Cond(Cond::In { ranges, .. }) if ranges.len() > MAX_PRODUCT => Some("they have long lists"),
            Asked::Cond(Cond::Other(Statement::Match(Selector::TcpFlags, _))) => Some("they ask for TCP's flags"),
            Asked::Cond(Cond::Other(Statement::Match(_, Test::Masked { .. }))) => Some("they have masks"),
            Asked::Cond(Cond::Other(Statement::Match(Selector::CtState, _))) => Some("they ask for different states"),
            Asked::Cond(_) => None,
        })
        .unwrap_or("they do not ask the same of a packet")
}

const fn why_range(selector: Selector) -> &'static str {
    match selector {
        Selector::InputInterface | Selector::OutputInterface => "they have interfaces with an asterisk",
        _ => "they have ranges or prefixes among other things that differ",
    }
}

/// Rules in a row that did not fold.
#[derive(Default)]
struct Alone {
    count: usize,
    first: Option<(portreeve_config::Span, &'static str)>,
}

impl Alone {
    fn add(&mut self, line: &Line<'_>, next: Option<&Line<'_>>) {
        self.count += 1;
        if self.first.is_none() {
            let conds = line.conds();
            let obstacle = obstacle(line, &conds);
            let differs = next.is_some_and(|next| next.plain().is_some() && next.conds().len() != conds.len());
            let reason = match obstacle {
                None if differs => "they do not ask the same of a packet",
                None => why_fixed(&conds),
                Some(reason) => reason,
            };
            self.first = Some((line.span(), reason));
        }
    }
}
