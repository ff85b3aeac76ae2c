//! What rules of a chain are made of: items, and plain rules of the section.
//!
//! Most rules of a large policy ask for one value or range of each field and do nothing but give a verdict. They make one
//! item that says no more than the rule itself, so none is made: what they ask is kept as numbers, side by side. A rule
//! that is plain is what [`Compiler::items`] makes of it, condition by condition.

use super::Compiler;
use super::fields::Fields;
use super::matches::Cond;
use super::rules::{Item, label};
use super::value::{self, Span, pad};
use crate::config::{self, Action, Family, Reject};
use crate::ruleset::{Label, RejectWith, Selector, Statement, Verdict};

/// What is done, if it is no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Verdict(Verdict),
    /// With an ICMP error.
    Reject(Reject),
}

impl Plain {
    pub const fn statement(self) -> Statement {
        match self {
            Self::Verdict(verdict) => Statement::Verdict(verdict),
            Self::Reject(reject) => Statement::Reject(RejectWith::Icmp(reject)),
        }
    }
}

/// A plain rule: what it asks and does, beside the rule, which is far larger.
#[derive(Clone, Copy)]
pub struct PlainRule<'a> {
    rule: &'a config::Rule,
    plain: Plain,
    fields: Fields<'a>,
    span: portreeve_config::Span,
}

/// What a rule of the section comes to.
pub enum Made<'a> {
    /// It is plain.
    Plain(PlainRule<'a>),
    /// Anything else.
    Items(Vec<Item>),
}

/// What becomes a rule of a chain, or part of a map.
#[derive(Clone, Copy)]
pub enum Line<'a> {
    /// An item.
    Item(&'a Item),
    /// A plain rule.
    Rule(&'a PlainRule<'a>),
}

/// What a packet is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A selector's value is in the range.
    Range(Selector, Span),
    /// Anything else.
    Cond(&'a Cond),
}

/// All that must hold for a line.
pub enum Conds<'a> {
    /// Of a plain rule.
    Fields(&'a Fields<'a>),
    /// Of an item.
    List(&'a [Cond]),
}

/// What a condition is as part of a key.
pub struct Keyable {
    pub selector: Selector,
    /// Bytes of a value.
    pub width: usize,
    /// Values.
    pub count: usize,
    /// Some are ranges.
    pub ranges: bool,
}

impl Compiler<'_> {
    /// What the rule comes to. `shared`: it is put into more than one chain.
    pub(super) fn make<'a>(&mut self, rule: &'a config::Rule, shared: bool) -> Made<'a> {
        match self.plain(rule) {
            Some(plain) => Made::Plain(plain),
            None => Made::Items(self.items(rule, shared)),
        }
    }

    fn plain<'a>(&self, rule: &'a config::Rule) -> Option<PlainRule<'a>> {
        let config::Rule { name: _, from: _, to: _, matches, log, count, set_mark, add_source_to, action, span: _ } =
            rule;
        if log.is_some() || count.is_some() || set_mark.is_some() || add_source_to.is_some() {
            return None;
        }
        let plain = match *action {
            Action::Accept => Plain::Verdict(Verdict::Accept),
            Action::Drop => Plain::Verdict(Verdict::Drop),
            Action::Return => Plain::Verdict(Verdict::Return),
            Action::Jump(chain) => Plain::Verdict(Verdict::Jump(self.user_chain(chain)?)),
            Action::Goto(chain) => Plain::Verdict(Verdict::Goto(self.user_chain(chain)?)),
            Action::Reject(Reject::TcpReset) => return None,
            Action::Reject(reject) => Plain::Reject(reject),
            Action::Continue | Action::ClampMss(_) | Action::Notrack => return None,
        };
        Some(PlainRule { rule, plain, fields: Fields::of(matches)?, span: rule.span })
    }

    /// Puts the rules into the chain; they stand in no other.
    pub(super) fn add_rules(&mut self, chain: crate::ruleset::ChainId, rules: &[config::Rule]) {
        let made: Vec<Made<'_>> = rules.iter().map(|rule| self.make(rule, false)).collect();
        let mut all = Vec::with_capacity(made.len());
        made.iter().for_each(|made| made.lines(&mut all));
        self.add_lines(chain, &all);
    }
}

impl Made<'_> {
    /// Appends the lines.
    pub fn lines<'a>(&'a self, to: &mut Vec<Line<'a>>) {
        match self {
            Self::Plain(plain) => to.push(Line::Rule(plain)),
            Self::Items(items) => to.extend(items.iter().map(Line::Item)),
        }
    }
}

impl<'a> Line<'a> {
    /// The one that the conditions say, if they do.
    pub const fn family(&self) -> Option<Family> {
        match self {
            Self::Item(item) => item.family,
            Self::Rule(rule) => rule.fields.family(),
        }
    }

    pub const fn span(&self) -> portreeve_config::Span {
        match self {
            Self::Item(item) => item.span,
            Self::Rule(rule) => rule.span,
        }
    }

    pub fn label(&self) -> Label {
        match self {
            Self::Item(item) => item.label.clone(),
            Self::Rule(rule) => label(rule.rule.name.as_ref()),
        }
    }

    /// If it does nothing but give a verdict: which.
    pub fn plain(&self) -> Option<Plain> {
        match self {
            Self::Item(item) => match item.tail.as_slice() {
                [Statement::Verdict(verdict)] => Some(Plain::Verdict(*verdict)),
                [Statement::Reject(RejectWith::Icmp(reject))] => Some(Plain::Reject(*reject)),
                _ => None,
            },
            Self::Rule(rule) => Some(rule.plain),
        }
    }

    /// What it does, if that is more.
    pub fn tail(&self) -> &'a [Statement] {
        match self {
            Self::Item(item) => &item.tail,
            Self::Rule(_) => &[],
        }
    }

    pub fn conds(&self) -> Conds<'a> {
        match self {
            Self::Item(item) => Conds::List(&item.conds),
            Self::Rule(rule) => Conds::Fields(&rule.fields),
        }
    }
}

impl<'a> Conds<'a> {
    pub const fn len(&self) -> usize {
        match self {
            Self::Fields(fields) => fields.len(),
            Self::List(list) => list.len(),
        }
    }

    /// The one at this place.
    pub fn get(&self, at: usize) -> Option<Asked<'a>> {
        match self {
            Self::Fields(fields) => fields.at(at).and_then(|field| fields.asked(field)),
            Self::List(list) => list.get(at).map(Asked::of),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Asked<'a>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Whether they ask the same at this place.
    pub fn same(&self, other: &Self, at: usize) -> bool {
        match (self, other) {
            (Self::Fields(a), Self::Fields(b)) => match (a.at(at), b.at(at)) {
                (Some(field), Some(of)) => field == of && a.same(b, field),
                (field, of) => field == of,
            },
            _ => self.get(at) == other.get(at),
        }
    }

    /// What the one at this place is as part of a key, if it can be.
    pub fn keyable(&self, at: usize, family: Option<Family>) -> Option<Keyable> {
        let (selector, count, ranges) = match self {
            Self::Fields(fields) => {
                let field = fields.at(at)?;
                (fields.selector(field), 1, fields.is_range(field))
            }
            Self::List(list) => match list.get(at)? {
                Cond::One(selector, _) => (*selector, 1, false),
                Cond::In { selector, ranges, negated: false } => (*selector, ranges.len(), !value::are_points(ranges)),
                _ => return None,
            },
        };
        let width = selector.key_type(family)?.width();
        Some(Keyable { selector, width, count, ranges })
    }

    /// How many values the one at this place has.
    pub fn values(&self, at: usize) -> usize {
        match self {
            Self::List(list) => match list.get(at) {
                Some(Cond::In { ranges, .. }) => ranges.len(),
                _ => 1,
            },
            Self::Fields(_) => 1,
        }
    }

    /// Appends the value of this number, with zeros up to 4 bytes if others follow.
    pub fn put(&self, at: usize, number: usize, several: bool, key: &mut Vec<u8>) {
        match self {
            Self::Fields(fields) => {
                if let Some(field) = fields.at(at) {
                    fields.put(field, several, key);
                }
            }
            Self::List(list) => match list.get(at) {
                Some(Cond::One(_, value)) => pad(key, value.bytes(), several),
                Some(Cond::In { ranges, .. }) => {
                    if let Some((value, _)) = ranges.get(number) {
                        pad(key, value.bytes(), several);
                    }
                }
                _ => {}
            },
        }
    }
}

impl<'a> Asked<'a> {
    fn of(cond: &'a Cond) -> Self {
        match cond {
            Cond::One(selector, value) => Self::Range(*selector, (*value, *value)),
            Cond::In { selector, ranges, negated: false } if ranges.len() == 1 => match ranges.first() {
                Some(range) => Self::Range(*selector, *range),
                None => Self::Cond(cond),
            },
            _ => Self::Cond(cond),
        }
    }
}
