//! Rules of the section as items: conditions, what is done, and where it comes from. `fold` makes rules of chains of them.
//!
//! What a packet must meet once only, though its rule has several alternatives, is in a chain of its own (`rule-…`): a
//! limit of the whole rule, or a log with a rate, which must not keep the action back when the rate is used up. Within it
//! the limit is turned round: what exceeds it returns.
//!
//! The kernel ends a rule whose dynamic set has no room for another element. So what adds to a set stands in a rule of its
//! own in such a chain, with all else behind it; and where a rule drops or rejects what is beyond a limit by address, what
//! is within it returns from there: a source that there is no room for is dropped.

use super::Compiler;
use super::matches::{Alternative, Alternatives, Cond, TCP, only_new};
use super::sets::{LIMIT_TIMEOUT, LIMIT_TIMEOUT_MAX};
use super::value::Value;
use crate::config::{self, Action, Family, Limit, Log, Matches, MssClamp, Per, Reject, TcpFlags};
use crate::ruleset::{ChainId, Label, Rate, RejectWith, Selector, Statement, Test, Verdict};

/// What becomes rules of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// All must hold.
    pub conds: Vec<Cond>,
    /// The family that the conditions say, if they do.
    pub family: Option<Family>,
    /// What is done then.
    pub tail: Vec<Statement>,
    /// See [`crate::ruleset::Rule::label`].
    pub label: Label,
    /// Where it comes from.
    pub span: portreeve_config::Span,
}

impl Compiler<'_> {
    /// The items of a rule. `shared`: they are put into more than one chain.
    pub(super) fn items(&mut self, rule: &config::Rule, shared: bool) -> Vec<Item> {
        let clamped;
        let matches = match rule.action {
            Action::ClampMss(_) => {
                clamped = only_syns(&rule.matches);
                &clamped
            }
            _ => &rule.matches,
        };
        let limits = self.limits(rule, matches);
        let split = rule.add_source_to.is_some() || limits.by_address();
        let found = self.alternatives(matches, split);
        if found.list.is_empty() {
            if !self.diagnostics.has_errors() {
                self.diagnostics.warning(rule.span, "no packet matches this rule");
            }
            return Vec::new();
        }
        let label = label(rule.name.as_ref());
        let make = |conds, family, tail| Item { conds, family, tail, label: label.clone(), span: rule.span };
        let ending = self.ending(rule);

        if let Some(body) = self.body(rule, &found, &limits, &ending, shared) {
            let (verdict, wrapped) = match () {
                () if body.once => (Verdict::Goto(body.chain), true),
                () if leaves(rule) => (Verdict::Goto(body.chain), false),
                () => (Verdict::Jump(body.chain), false),
            };
            let mut items = Vec::new();
            for Alternative { family, mut conds } in found.list {
                if limits.connections.is_some() && self.config.defaults.stateful && matches.states.is_empty() {
                    conds.push(only_new());
                }
                let mut tail = limits.of_family(family);
                if !body.limits_inside {
                    tail.extend(limits.whole.iter().cloned());
                }
                tail.push(Statement::Verdict(verdict));
                items.push(make(conds, family, tail));
            }
            if !wrapped {
                return items;
            }
            let name = self.unique(format!("{}-any", self.chain_name(body.chain)));
            let any = self.push_chain(name, None, rule.span);
            self.add_items(any, &items.iter().collect::<Vec<_>>());
            return vec![make(Vec::new(), None, vec![Statement::Verdict(Verdict::Jump(any))])];
        }

        let mut items = Vec::with_capacity(found.list.len());
        for Alternative { family, mut conds } in found.list {
            if limits.connections.is_some() && self.config.defaults.stateful && matches.states.is_empty() {
                conds.push(only_new());
            }
            let mut tail = limits.of_family(family);
            tail.extend(limits.whole.iter().cloned());
            match &rule.log {
                Some(log) if log.rate.is_some() => items.push(make(conds.clone(), family, logging(log))),
                Some(log) => tail.extend(logging(log)),
                None => {}
            }
            tail.extend(self.effects(rule));
            tail.extend(ending.iter().cloned());
            // Nothing stands behind it: see `body`.
            tail.extend(self.adding(rule, family));
            items.push(make(conds, family, tail));
        }
        items
    }

    /// The chain of what a packet meets once, if the rule needs one.
    fn body(
        &mut self,
        rule: &config::Rule,
        found: &Alternatives,
        limits: &Limits,
        ending: &[Statement],
        shared: bool,
    ) -> Option<Body> {
        let rated = rule.log.as_ref().is_some_and(|log| log.rate.is_some());
        let several = found.list.len() > 1;
        let adds = rule.add_source_to.is_some()
            && (!ending.is_empty() || rule.log.is_some() || rule.count.is_some() || rule.set_mark.is_some());
        let (mut once, mut inside) = (false, false);
        if leaves(rule) {
            // Leaving the chain that the rule stands in is not possible from one that it jumps to; from one that it goes
            // to it is, but nothing else comes back from there.
            if !(adds || rated && !limits.is_none()) {
                return None;
            }
        } else {
            let effects = rule.log.is_some() || rule.count.is_some() || adds || !limits.is_none();
            let ends = matches!(rule.action, Action::Accept | Action::Drop | Action::Reject(_));
            once = found.overlap && several && (!ends || effects);
            inside = (several || shared) && !limits.whole.is_empty();
            if !(once || inside || adds || !limits.spared.is_empty() || rated && (several || !limits.is_none())) {
                return None;
            }
        }
        let name = self.unique(format!("rule-{}", self.identity(rule)));
        let chain = self.push_chain(name, None, rule.span);
        let make =
            |conds, family, tail| Item { conds, family, tail, label: label(rule.name.as_ref()), span: rule.span };
        let mut items = Vec::new();
        if inside || once {
            for statement in &limits.whole {
                let mut tail = vec![turned(statement)];
                tail.push(Statement::Verdict(Verdict::Return));
                items.push(make(Vec::new(), None, tail));
            }
        }
        for each in &limits.spared {
            for (family, statement) in [Family::V4, Family::V6].into_iter().zip(each) {
                let of = Cond::One(Selector::Family, super::matches::family_value(family));
                let tail = vec![statement.clone(), Statement::Verdict(Verdict::Return)];
                items.push(make(vec![of], Some(family), tail));
            }
        }
        let mut tail = Vec::new();
        match &rule.log {
            Some(log) if rated => items.push(make(Vec::new(), None, logging(log))),
            Some(log) => tail.extend(logging(log)),
            None => {}
        }
        if rule.add_source_to.is_some() {
            for family in [Family::V4, Family::V6] {
                let add = self.adding(rule, Some(family));
                if !add.is_empty() {
                    let of = Cond::One(Selector::Family, super::matches::family_value(family));
                    items.push(make(vec![of], Some(family), add));
                }
            }
        }
        tail.extend(self.effects(rule));
        match ending {
            // The body has not asked for TCP.
            [Statement::Reject(RejectWith::TcpReset)] => tail.push(self.rejection(Reject::TcpReset, false)),
            ending => tail.extend_from_slice(ending),
        }
        if !tail.is_empty() {
            items.push(make(Vec::new(), None, tail));
        }
        self.add_items(chain, &items.iter().collect::<Vec<_>>());
        Some(Body { chain, once, limits_inside: inside || once })
    }

    fn effects(&mut self, rule: &config::Rule) -> Vec<Statement> {
        let count = rule.count.as_ref().map(|name| Statement::Count(self.counter(name)));
        count.into_iter().chain(rule.set_mark.map(Statement::SetMark)).collect()
    }

    fn adding(&self, rule: &config::Rule, family: Option<Family>) -> Vec<Statement> {
        let named = rule.add_source_to.and_then(|set| self.named.get(set)).copied().unwrap_or_default();
        let (set, selector) = match family {
            Some(Family::V6) => (named.v6, Selector::Source6),
            _ => (named.v4, Selector::Source4),
        };
        set.map(|set| Statement::AddTo { key: vec![selector], set }).into_iter().collect()
    }

    /// What the rule does in the end.
    fn ending(&mut self, rule: &config::Rule) -> Vec<Statement> {
        let verdict = match rule.action {
            Action::Accept => Verdict::Accept,
            Action::Drop => Verdict::Drop,
            Action::Return => Verdict::Return,
            Action::Jump(chain) => match self.user_chain(chain) {
                Some(chain) => Verdict::Jump(chain),
                None => return Vec::new(),
            },
            Action::Goto(chain) => match self.user_chain(chain) {
                Some(chain) => Verdict::Goto(chain),
                None => return Vec::new(),
            },
            Action::Continue => return Vec::new(),
            Action::ClampMss(MssClamp::Off) => return Vec::new(),
            Action::ClampMss(MssClamp::PathMtu) => return vec![Statement::ClampMss(None)],
            Action::ClampMss(MssClamp::Bytes(bytes)) => return vec![Statement::ClampMss(Some(bytes))],
            Action::Notrack => return vec![Statement::Notrack],
            Action::Reject(reject) => {
                let protocol = &rule.matches.protocol;
                let tcp = !protocol.negated && protocol.items == [TCP]
                    || protocol.items.is_empty() && rule.matches.tcp_flags.is_some();
                return vec![self.rejection(reject, tcp)];
            }
        };
        vec![Statement::Verdict(verdict)]
    }

    /// `tcp`: the packet is of TCP.
    pub(super) fn rejection(&mut self, reject: Reject, tcp: bool) -> Statement {
        match reject {
            Reject::TcpReset if tcp => Statement::Reject(RejectWith::TcpReset),
            Reject::TcpReset => Statement::Verdict(Verdict::Goto(self.reject_chain(reject))),
            reject => Statement::Reject(RejectWith::Icmp(reject)),
        }
    }

    /// A chain that does nothing but reject.
    pub(super) fn reject_chain(&mut self, reject: Reject) -> ChainId {
        if let Some((_, chain)) = self.rejects.iter().find(|(known, _)| *known == reject) {
            return *chain;
        }
        let name = self.unique(format!("reject-{reject:?}"));
        let chain = self.push_chain(name, None, portreeve_config::Span::default());
        if reject == Reject::TcpReset {
            let tcp = Statement::Match(Selector::Protocol, Test::Equal(vec![TCP]));
            self.push_rule(chain, vec![tcp, Statement::Reject(RejectWith::TcpReset)], "reject: TCP reset");
            self.push_rule(chain, vec![Statement::Reject(RejectWith::Icmp(Reject::AdminProhibited))], "reject");
        } else {
            self.push_rule(chain, vec![Statement::Reject(RejectWith::Icmp(reject))], "reject");
        }
        self.rejects.push((reject, chain));
        chain
    }

    /// The limits of a rule, with sets for those by address.
    fn limits(&mut self, rule: &config::Rule, matches: &Matches) -> Limits {
        let mut limits = Limits::default();
        if matches.limit.is_none() && matches.connections.is_none() {
            return limits;
        }
        let identity = self.identity(rule);
        let refuses = matches!(rule.action, Action::Drop | Action::Reject(_));
        if let Some(limit) = matches.limit {
            let rate = rate(limit);
            match selectors(limit.per) {
                None => limits.whole.push(Statement::Limit(rate)),
                Some(selectors) => {
                    let timeout = bucket_timeout(limit);
                    let spares = limit.over && refuses;
                    let rate = if spares { Rate { over: false, ..rate } } else { rate };
                    let each = selectors.map(|selector| {
                        let set = self.stateful_set("limit", &identity, selector, Some(timeout));
                        Statement::LimitEach { key: vec![selector], set, rate }
                    });
                    if spares { &mut limits.spared } else { &mut limits.each }.push(each);
                }
            }
        }
        if let Some(connections) = matches.connections {
            limits.connections = Some(());
            let config::Connections { count, above, per } = connections;
            match selectors(per) {
                None => limits.whole.push(Statement::Connections { count, above }),
                Some(selectors) => {
                    let spares = above && refuses;
                    let above = above && !spares;
                    let each = selectors.map(|selector| {
                        let set = self.stateful_set("connections", &identity, selector, None);
                        Statement::ConnectionsEach { key: vec![selector], set, count, above }
                    });
                    if spares { &mut limits.spared } else { &mut limits.each }.push(each);
                }
            }
        }
        limits
    }
}

struct Body {
    chain: ChainId,
    /// Alternatives overlap: they are in a chain, too, that the first leaves.
    once: bool,
    /// The limits of the whole rule are in it.
    limits_inside: bool,
}

#[derive(Default)]
struct Limits {
    /// Of the whole rule.
    whole: Vec<Statement>,
    /// By address: of IPv4, of IPv6.
    each: Vec<[Statement; 2]>,
    /// The same, of what a rule that refuses spares: within the limit.
    spared: Vec<[Statement; 2]>,
    /// There is one of connections.
    connections: Option<()>,
}

impl Limits {
    fn is_none(&self) -> bool {
        self.whole.is_empty() && !self.by_address()
    }

    fn by_address(&self) -> bool {
        !(self.each.is_empty() && self.spared.is_empty())
    }

    fn of_family(&self, family: Option<Family>) -> Vec<Statement> {
        let of = |[v4, v6]: &[Statement; 2]| if family == Some(Family::V6) { v6.clone() } else { v4.clone() };
        self.each.iter().map(of).collect()
    }
}

fn selectors(per: Per) -> Option<[Selector; 2]> {
    match per {
        Per::Rule => None,
        Per::Source => Some([Selector::Source4, Selector::Source6Network]),
        Per::Destination => Some([Selector::Destination4, Selector::Destination6]),
    }
}

/// What it does is done with the chain that it stands in.
fn leaves(rule: &config::Rule) -> bool {
    matches!(rule.action, Action::Return | Action::Goto(_))
}

/// When a bucket that nobody took from is full again, and need not be kept.
fn bucket_timeout(limit: Limit) -> core::time::Duration {
    let full = limit.seconds.saturating_mul(limit.burst.into()).div_ceil(limit.packets.max(1)).saturating_add(1);
    core::time::Duration::from_secs(full.max(limit.seconds)).clamp(LIMIT_TIMEOUT, LIMIT_TIMEOUT_MAX)
}

/// Of a selector that is of one family.
pub fn selector_family(selector: Selector) -> Family {
    match selector {
        Selector::Source6 | Selector::Destination6 | Selector::Source6Network => Family::V6,
        _ => Family::V4,
    }
}

/// The same bucket.
pub fn rate(limit: Limit) -> Rate {
    Rate { packets: limit.packets, seconds: limit.seconds, burst: limit.burst, over: limit.over }
}

/// Holds when the other does not.
fn turned(statement: &Statement) -> Statement {
    match statement {
        Statement::Limit(rate) => Statement::Limit(Rate { over: !rate.over, ..*rate }),
        Statement::Connections { count, above } => Statement::Connections { count: *count, above: !above },
        other => other.clone(),
    }
}

/// Logs, within its rate.
pub fn logging(log: &Log) -> Vec<Statement> {
    let limit = log.rate.map(|limit| Statement::Limit(rate(limit)));
    let log = Statement::Log { prefix: log.prefix.clone(), level: log.level, group: log.group };
    limit.into_iter().chain([log]).collect()
}

/// Of a rule of the section.
pub fn label(name: Option<&String>) -> Label {
    name.map_or(Label::Section, |name| Label::Named(name.clone()))
}

/// TCP's SYN and RST, of which only the first is set.
pub const SYN_OF_SYN_RST: TcpFlags = TcpFlags { mask: 0x06, value: 0x02, negated: false };

fn only_syns(matches: &Matches) -> Matches {
    let mut matches = matches.clone();
    matches.protocol.items = vec![TCP];
    matches.protocol.negated = false;
    matches.icmp.items.clear();
    matches.tcp_flags.get_or_insert(SYN_OF_SYN_RST);
    matches
}

/// A condition on one byte.
pub fn is(selector: Selector, byte: u8) -> Cond {
    Cond::One(selector, Value::byte(byte))
}
