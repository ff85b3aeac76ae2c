//! Items to rules of a chain: neighbours that ask the same of different values become one verdict map.
//!
//! A run is of items that do nothing but give a verdict and whose conditions are, one by one, equal or values of the same
//! selector. What is equal in all of a run is asked once, before the map; what differs makes its key. If several items
//! have a key in common the first decides, as it would have one by one; but behind a jump, which may come back, a second
//! map begins. Ranges fold only where nothing else differs and none cuts another. Masks, negations, flags and what has an
//! effect never do: they stay rules of their own, and more than [`LINEAR_RUN`] of these in a row are warned of.
//!
//! Items of different families commute, so between items of both those of IPv4 are put before those of IPv6.

use super::Compiler;
use super::alone::Alone;
use super::line::{Asked, Conds, Line, Plain};
use super::matches::Cond;
use super::rules::Item;
use super::run::{Piece, Run};
use super::value::{self, Span};
use crate::config::Family;
use crate::ruleset::{ChainId, Elements, Entry, KeyType, Rule, Selector, Set, Statement, Test, Verdict};

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
            filled_at: 0,
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

fn selector(asked: Asked<'_>) -> Option<Selector> {
    match asked {
        Asked::Range(selector, _) => Some(selector),
        Asked::Cond(Cond::One(selector, _) | Cond::In { selector, .. } | Cond::Set { selector, .. }) => Some(*selector),
        Asked::Cond(Cond::Other(_)) => None,
    }
}
