//! From hook to hook, through base chains by priority, into chains and back.
//!
//! A base chain that accepts ends only itself; one that drops or rejects ends the walk. All nat chains of a hook stand
//! at one priority in the kernel and see only the first packet of a connection; the first of their rules that translates
//! ends them. After a jump it goes on with the next rule, after a goto behind the jump before it.

use portreeve_config::Span;

use super::packet::Seen;
use super::statement::Ruled;
use super::{MAX_DEPTH, MAX_MISSED, MAX_STEPS, MAX_WORK, Outcome, Packet, Path, Step, Trace, protocol};
use crate::ruleset::{Base, Chain, ChainId, ChainKind, HookPoint, Label, Ruleset, Verdict, ct};

/// Connection tracking sees packets here in prerouting and output (NF_IP_PRI_CONNTRACK).
const CONNTRACK: i32 = -200;
/// NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC: where the kernel calls nat chains.
const NAT_DESTINATION: i32 = -100;
const NAT_SOURCE: i32 = 100;

/// What the ruleset does to the packet on its way.
#[must_use]
pub fn trace(ruleset: &Ruleset, packet: &Packet) -> Trace {
    let mut walk = Walk {
        ruleset,
        hook: HookPoint::Prerouting,
        tracked: false,
        notracked: false,
        work: 0,
        accepted_by: None,
        trace: Trace {
            verdict: Outcome::Unfinished,
            steps: Vec::new(),
            missed: Vec::new(),
            decided_by: None,
            counted: Vec::new(),
            added: Vec::new(),
            packet: packet.clone(),
            truncated: false,
        },
    };
    walk.trace.verdict = walk.run();
    walk.trace.decided_by = match walk.trace.verdict {
        Outcome::Accept => walk.accepted_by,
        _ => walk.trace.steps.len().checked_sub(1),
    };
    walk.trace.decided_by = walk.trace.decided_by.map(|at| leading(&walk.trace.steps, at));
    walk.trace
}

/// The rule of the section that a decision comes from, where the deciding rule is a part of its compiled form: the chains
/// of rejections are shared, and have no place of their own.
fn leading(steps: &[Step], at: usize) -> usize {
    let is_part = |step: &Step| step.chain.starts_with("reject-") && step.span == Span::default();
    let of_section = |step: &&(usize, &Step)| step.1.span != Span::default();
    match steps.get(at) {
        Some(step) if is_part(step) => {
            let before: Vec<(usize, &Step)> = steps.iter().enumerate().take(at).collect();
            before.iter().rev().find(of_section).map_or(at, |(index, _)| *index)
        }
        _ => at,
    }
}

/// A walk as far as it has come.
pub(super) struct Walk<'a> {
    pub ruleset: &'a Ruleset,
    pub hook: HookPoint,
    /// Connection tracking has had its turn.
    pub tracked: bool,
    /// A rule said that it shall not.
    pub notracked: bool,
    work: usize,
    accepted_by: Option<usize>,
    pub trace: Trace,
}

/// How a base chain ends.
enum End {
    Accept,
    Translated,
    Other(Outcome),
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Outcome {
        let first = match self.trace.packet.path {
            Path::FromRouter => HookPoint::Output,
            Path::Through | Path::ToRouter => HookPoint::Prerouting,
        };
        let mut passed = self.hook(first);
        // A redirect has made another way of it.
        let rest: &[HookPoint] = match self.trace.packet.path {
            Path::Through => &[HookPoint::Forward, HookPoint::Postrouting],
            Path::ToRouter => &[HookPoint::Input],
            Path::FromRouter => &[HookPoint::Postrouting],
        };
        for hook in rest {
            passed = passed.and_then(|()| self.hook(*hook));
        }
        match passed {
            Ok(()) => Outcome::Accept,
            Err(outcome) => outcome,
        }
    }

    fn hook(&mut self, hook: HookPoint) -> Result<(), Outcome> {
        self.hook = hook;
        let mut is_translated = false;
        for (chain, base) in base_chains(self.ruleset, hook) {
            self.tracked = !matches!(hook, HookPoint::Prerouting | HookPoint::Output)
                || base.priority > CONNTRACK
                || (hook == HookPoint::Prerouting && self.trace.packet.input.as_deref() == Some("lo"));
            if base.kind == ChainKind::Nat && (is_translated || !self.is_first_packet(chain)) {
                continue;
            }
            match self.base_chain(chain, base) {
                End::Accept => {}
                End::Translated => is_translated = true,
                End::Other(outcome) => return Err(outcome),
            }
            let decides = matches!(hook, HookPoint::Input | HookPoint::Forward | HookPoint::Output);
            if decides && base.kind == ChainKind::Filter {
                self.accepted_by = self.trace.steps.len().checked_sub(1);
            }
        }
        Ok(())
    }

    /// Whether nat chains look at it; says so if they do not.
    fn is_first_packet(&mut self, chain: ChainId) -> bool {
        let packet = &self.trace.packet;
        let is_message = matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6);
        let is_first = packet.is_tracked()
            && (packet.ct_state & ct::NEW != 0 || (packet.ct_state & ct::RELATED != 0 && !is_message));
        if let Some(chain) = self.ruleset.chains.get(chain).filter(|chain| !is_first && !chain.rules.is_empty()) {
            let what = "not looked at: translation is chosen by the first packet of a connection";
            self.say(Step {
                chain: chain.name.clone(),
                rule: None,
                label: None,
                span: chain.span,
                what: what.to_owned(),
            });
        }
        is_first
    }

    fn base_chain(&mut self, id: ChainId, base: Base) -> End {
        let ruleset = self.ruleset;
        let Some(start) = ruleset.chains.get(id) else { return End::Accept };
        let mut waiting: Vec<(&Chain, usize)> = Vec::new();
        let (mut chain, mut next) = (start, 0);
        loop {
            let Some(rule) = chain.rules.get(next) else {
                match waiting.pop() {
                    Some(back) => (chain, next) = back,
                    None => return self.policy(start, base),
                }
                continue;
            };
            if !self.spend(1) {
                return self.give_up(chain, "too many rules and elements to look at");
            }
            let index = next;
            next += 1;
            let into = match self.rule(chain, index, rule) {
                Ruled::Next => continue,
                Ruled::Translated => return End::Translated,
                Ruled::Reject(with) => return End::Other(Outcome::Reject(with)),
                Ruled::Unknown(what) => return self.give_up(chain, what),
                Ruled::Verdict(Verdict::Accept) => return End::Accept,
                Ruled::Verdict(Verdict::Drop) => return End::Other(Outcome::Drop),
                Ruled::Verdict(Verdict::Return) => {
                    next = chain.rules.len();
                    continue;
                }
                Ruled::Verdict(Verdict::Jump(into)) => {
                    if waiting.len() >= MAX_DEPTH {
                        return self.give_up(chain, "more jumps into one another than the kernel allows");
                    }
                    waiting.push((chain, next));
                    into
                }
                Ruled::Verdict(Verdict::Goto(into)) => into,
            };
            match ruleset.chains.get(into) {
                Some(other) => (chain, next) = (other, 0),
                None => return self.give_up(chain, "it leads to a chain that is not there"),
            }
        }
    }

    fn policy(&mut self, chain: &Chain, base: Base) -> End {
        let what = if base.accept { "end of the chain: accept" } else { "end of the chain: drop" };
        self.decide(Step {
            chain: chain.name.clone(),
            rule: None,
            label: None,
            span: chain.span,
            what: what.to_owned(),
        });
        if base.accept { End::Accept } else { End::Other(Outcome::Drop) }
    }

    fn give_up(&mut self, chain: &Chain, what: &str) -> End {
        self.decide(Step {
            chain: chain.name.clone(),
            rule: None,
            label: None,
            span: chain.span,
            what: what.to_owned(),
        });
        End::Other(Outcome::Unfinished)
    }

    /// The packet at this hook.
    pub fn seen(&self) -> Seen<'_> {
        Seen { packet: &self.trace.packet, hook: self.hook, tracked: self.tracked || self.notracked }
    }

    /// Whether so much more may be looked at.
    pub fn spend(&mut self, work: usize) -> bool {
        self.work = self.work.saturating_add(work);
        self.work <= MAX_WORK
    }

    /// Keeps a step while there is room.
    pub fn say(&mut self, step: Step) {
        if self.trace.steps.len() < MAX_STEPS {
            self.trace.steps.push(step);
        } else {
            self.trace.truncated = true;
        }
    }

    /// Keeps a step that ends a base chain: there are few of them.
    pub fn decide(&mut self, step: Step) {
        self.trace.steps.push(step);
    }

    /// Keeps a rule of the section that did not hold.
    pub fn miss(&mut self, step: Step) {
        if matches!(step.label, Some(Label::Default(_))) {
            return;
        }
        if self.trace.missed.len() < MAX_MISSED {
            self.trace.missed.push(step);
        } else {
            self.trace.truncated = true;
        }
    }
}

/// The base chains of a hook in the order that the kernel calls them.
fn base_chains(ruleset: &Ruleset, hook: HookPoint) -> Vec<(ChainId, Base)> {
    let mut chains: Vec<(ChainId, Base)> = ruleset
        .chains
        .iter()
        .enumerate()
        .filter_map(|(id, chain)| chain.base.filter(|base| base.hook == hook).map(|base| (id, base)))
        .collect();
    chains.sort_by_key(|(_, base)| match (base.kind, hook) {
        (ChainKind::Filter, _) => (base.priority, base.priority),
        (ChainKind::Nat, HookPoint::Prerouting | HookPoint::Output) => (NAT_DESTINATION, base.priority),
        (ChainKind::Nat, _) => (NAT_SOURCE, base.priority),
    });
    chains
}
