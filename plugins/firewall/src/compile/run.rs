//! Neighbours that fold into one verdict map, and where a second map has to begin.

use std::collections::BTreeMap;

use super::alone;
use super::keys::Keys;
use super::line::{Asked, Conds, Line, Plain};
use super::matches::Cond;
use super::value::{Span, Value};
use crate::config::Family;
use crate::ruleset::Verdict;

/// Keys that one rule with several short lists may become.
pub const MAX_PRODUCT: usize = 64;
/// Bytes of a key (NFT_DATA_VALUE_MAXLEN).
pub const MAX_KEY: usize = 64;

/// Lines from the first on that fold.
pub struct Run {
    pub len: usize,
    /// The conditions that differ, by place.
    pub varying: Vec<usize>,
    /// The one that differs has ranges.
    pub ranges: bool,
    /// Bytes of the key.
    width: usize,
    /// `varying` before the line that is being tried.
    kept: Vec<usize>,
}

/// Lines of a run of which no two need an order among them that a map does not keep.
pub struct Piece<'a> {
    pub lines: &'a [Line<'a>],
    /// Keys, or first and last of ranges.
    pub keys: Keys,
    /// Of each key, which of the lines.
    pub owners: Vec<usize>,
}

impl Run {
    /// From the first of `lines` on.
    pub fn of(lines: &[Line<'_>]) -> Self {
        let mut run = Self { len: 1, varying: Vec::new(), ranges: false, width: 0, kept: Vec::new() };
        let Some((first, rest)) = lines.split_first() else { return run };
        let (conds, family) = (first.conds(), first.family());
        if alone::obstacle(first, &conds).is_some() {
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

    /// The maps that the first of `lines`, which it was made of, become.
    pub fn pieces<'a>(&self, lines: &'a [Line<'a>]) -> Vec<Piece<'a>> {
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
                    // Most runs are of one piece; where they are not, pieces may be as many as lines.
                    Known::new(width, if pieces.is_empty() { lines.len() } else { 0 })
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

#[cfg(test)]
mod tests {
    use super::super::rules::Item;
    use super::*;
    use crate::ruleset::{Label, Selector, Statement};

    #[test]
    fn many_small_pieces_take_no_more_room_than_one_large() {
        const LINES: u16 = 10_000;
        let item = |number: u16| Item {
            conds: vec![Cond::One(Selector::DestinationPort, Value::port(number % 2))],
            family: None,
            tail: vec![Statement::Verdict(Verdict::Jump(1))],
            label: Label::Section,
            span: portreeve_config::Span::default(),
        };
        let items: Vec<Item> = (0..LINES).map(item).collect();
        let lines: Vec<Line<'_>> = items.iter().map(Line::Item).collect();
        let run = Run::of(&lines);
        let pieces = run.pieces(&lines);
        assert_eq!((run.len, pieces.len()), (usize::from(LINES), usize::from(LINES / 2)));
        let room: usize = pieces.iter().map(|piece| piece.owners.capacity() + piece.keys.capacity()).sum();
        assert!(room < 30 * usize::from(LINES), "room for {room} numbers");
    }
}
