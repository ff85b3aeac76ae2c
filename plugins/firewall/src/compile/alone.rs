//! Rules that stay linear: how many in a row, and why, for the warning.

use super::line::{Asked, Conds, Line};
use super::matches::Cond;
use super::run::MAX_PRODUCT;
use super::value;
use crate::ruleset::{Selector, Statement, Test};

/// Rules in a row that did not fold.
#[derive(Default)]
pub struct Alone {
    pub count: usize,
    /// Where they begin, and why it does not fold.
    pub first: Option<(portreeve_config::Span, &'static str)>,
}

impl Alone {
    /// One more; `next` comes after it.
    pub fn add(&mut self, line: &Line<'_>, next: Option<&Line<'_>>) {
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

/// Why the line cannot be in a map, whatever its neighbours are.
pub fn obstacle(line: &Line<'_>, conds: &Conds<'_>) -> Option<&'static str> {
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
