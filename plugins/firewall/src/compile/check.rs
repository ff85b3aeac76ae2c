//! What the kernel would refuse of jumps, said before it does: chains that lead into themselves, or too deep.

use super::Compiler;
use crate::config::{self, Action};
use crate::ruleset::{Base, ChainId, Elements, HookPoint, Selector, Statement, Verdict};

/// Chains below a base chain (NFT_JUMP_STACK_SIZE, which counts the base chain).
pub const MAX_DEPTH: usize = 15;
/// NF_IP_PRI_CONNTRACK (linux/netfilter_ipv4.h).
const CONNTRACK: i32 = -200;

impl Compiler<'_> {
    /// Says of each of the operator's chains that leads into itself where it does; true if one does.
    pub(super) fn cycles(&mut self) -> bool {
        let config = self.config;
        let targets: Vec<Vec<(usize, &config::Rule)>> =
            config.chains.iter().map(|chain| jumps(&chain.rules).collect()).collect();
        // 0: not seen, 1: on the way, 2: done.
        let mut seen = vec![0_u8; targets.len()];
        let mut found = false;
        for start in 0..targets.len() {
            if seen.get(start) != Some(&0) {
                continue;
            }
            let mut path = vec![(start, 0_usize)];
            while let Some((chain, next)) = path.last_mut() {
                let chain = *chain;
                if let Some(mark) = seen.get_mut(chain) {
                    *mark = 1;
                }
                let Some((target, rule)) = targets.get(chain).and_then(|list| list.get(*next)) else {
                    if let Some(mark) = seen.get_mut(chain) {
                        *mark = 2;
                    }
                    path.pop();
                    continue;
                };
                *next += 1;
                match seen.get(*target) {
                    Some(0) => path.push((*target, 0)),
                    Some(1) => {
                        found = true;
                        let name = config.chains.get(*target).map_or("", |chain| &chain.name);
                        self.diagnostics.error(rule.span, format!("the chain `{name}` leads into itself here"));
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Says if chains lead deeper than the kernel goes. There are no cycles.
    pub(super) fn depth(&mut self) {
        let targets: Vec<_> = (0..self.chains.len()).map(|chain| self.targets(chain)).collect();
        let mut heights: Vec<Option<usize>> = vec![None; targets.len()];
        self.places(&targets);
        for chain in 0..self.bases {
            height(chain, &targets, &mut heights);
        }
        let deepest = (0..self.bases).map(|chain| (heights.get(chain).copied().flatten().unwrap_or(0), chain)).max();
        let Some((height, base)) = deepest.filter(|(height, _)| *height > MAX_DEPTH) else { return };
        // Down the deepest way to what the operator wrote.
        let mut chain = base;
        let mut span = self.chains.get(base).map(|chain| chain.span).unwrap_or_default();
        let deeper = |chain: ChainId| {
            targets.get(chain)?.iter().max_by_key(|(next, _)| heights.get(*next).copied().flatten()).copied()
        };
        while let Some((next, place)) = deeper(chain) {
            if place != portreeve_config::Span::default() {
                span = place;
            }
            if self.users.contains(&next) {
                break;
            }
            chain = next;
        }
        self.diagnostics
            .error(span, format!("chains lead {height} deep from here; the kernel goes no deeper than {MAX_DEPTH}"));
    }

    /// Says where something is asked for that is not known there: a segment size of the route of packets that come in (the
    /// kernel knows it of what it forwards and sends, nft_rt_validate), the connection before connection tracking.
    fn places(&mut self, targets: &[Vec<(ChainId, portreeve_config::Span)>]) {
        let routed = |statement: &Statement| *statement == Statement::ClampMss(None);
        let tracked = |statement: &Statement| match statement {
            Statement::Match(selector, _) => matches!(selector, Selector::CtState | Selector::CtStatus),
            Statement::Connections { .. } | Statement::ConnectionsEach { .. } => true,
            _ => false,
        };
        let early = |base: Base| matches!(base.hook, HookPoint::Input | HookPoint::Prerouting);
        for place in self.asking(targets, early, routed) {
            self.diagnostics.error_with_hint(
                place,
                "the segment size cannot follow the route of packets that come in",
                "hold it in `forward` or `output`, or to a number of bytes",
            );
        }
        let untracked = |base: Base| base.hook == HookPoint::Prerouting && base.priority < CONNTRACK;
        for place in self.asking(targets, untracked, tracked) {
            self.diagnostics.error_with_hint(
                place,
                "rules of `prerouting` lead here, and connection tracking comes after these",
                "let `prerouting` lead to a chain without `states`, `translated` and `connections`",
            );
        }
    }

    /// Places of rules with such a statement in chains that these base chains lead to.
    fn asking(
        &self,
        targets: &[Vec<(ChainId, portreeve_config::Span)>],
        of: impl Fn(Base) -> bool,
        asks: impl Fn(&Statement) -> bool,
    ) -> Vec<portreeve_config::Span> {
        let is_start = |chain: &ChainId| self.chains.get(*chain).is_some_and(|chain| chain.base.is_some_and(&of));
        let mut open: Vec<ChainId> = (0..self.bases).filter(is_start).collect();
        let mut seen = vec![false; targets.len()];
        let mut places = Vec::new();
        while let Some(chain) = open.pop() {
            if seen.get_mut(chain).is_none_or(|seen| core::mem::replace(seen, true)) {
                continue;
            }
            open.extend(targets.get(chain).into_iter().flatten().map(|(next, _)| *next));
            let rules = self.chains.get(chain).map_or(&[][..], |chain| &chain.rules);
            places.extend(rules.iter().filter(|rule| rule.statements.iter().any(&asks)).map(|rule| rule.span));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Where a chain leads, and by which rule.
    fn targets(&self, chain: ChainId) -> Vec<(ChainId, portreeve_config::Span)> {
        let mut targets = Vec::new();
        for rule in self.chains.get(chain).map_or(&[][..], |chain| &chain.rules) {
            for statement in &rule.statements {
                match statement {
                    Statement::Verdict(Verdict::Jump(next) | Verdict::Goto(next)) => targets.push((*next, rule.span)),
                    Statement::VerdictMap { map, .. } => {
                        if let Some(Elements::Verdicts(entries)) = self.sets.get(*map).map(|set| &set.elements) {
                            targets.extend(entries.iter().filter_map(|entry| match entry.verdict {
                                Verdict::Jump(next) | Verdict::Goto(next) => Some((next, entry.span)),
                                _ => None,
                            }));
                        }
                    }
                    _ => {}
                }
            }
        }
        targets.sort_unstable();
        targets.dedup_by_key(|target| target.0);
        targets
    }
}

/// Fills in how deep it goes below the chain, and below those on the way.
fn height(start: ChainId, targets: &[Vec<(ChainId, portreeve_config::Span)>], heights: &mut [Option<usize>]) {
    let mut path = vec![(start, 0_usize)];
    while let Some((chain, at)) = path.last_mut() {
        let list = targets.get(*chain).map_or(&[][..], Vec::as_slice);
        if let Some((next, _)) = list.get(*at) {
            *at += 1;
            if heights.get(*next) == Some(&None) && path.len() <= targets.len() {
                path.push((*next, 0));
            }
            continue;
        }
        let below = list.iter().filter_map(|(next, _)| heights.get(*next).copied().flatten()).max();
        if let Some(height) = heights.get_mut(*chain) {
            *height = Some(below.map_or(0, |height| height + 1));
        }
        path.pop();
    }
}

fn jumps(rules: &[config::Rule]) -> impl Iterator<Item = (usize, &config::Rule)> {
    rules.iter().filter_map(|rule| match rule.action {
        Action::Jump(chain) | Action::Goto(chain) => Some((chain, rule)),
        _ => None,
    })
}
