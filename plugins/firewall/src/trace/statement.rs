//! One rule: its statements from left to right, until one does not hold or decides.
//!
//! As in the kernel nothing behind a verdict or a verdict map runs, and a map without an entry for the packet ends the
//! rule. Limits are not exceeded and connections are the first ones unless the rule asks otherwise; the step says so.

use super::walk::Walk;
use super::{MAX_STEPS, Step, evaluate, explain, nat};
use crate::config::{Family, Masked};
use crate::ruleset::{Chain, RejectWith, Rule, Selector, Set, SetId, Statement, Verdict, ct};

/// What comes of a rule.
pub(super) enum Ruled {
    /// The next one.
    Next,
    /// It decides, or leads elsewhere.
    Verdict(Verdict),
    /// Translated: the hook's nat chains have done their part.
    Translated,
    /// With a word.
    Reject(RejectWith),
    /// It speaks of something that is not there.
    Unknown(&'static str),
}

/// What comes of a statement.
enum Said {
    /// On, having done this, if anything.
    On(Option<String>),
    /// On, with this taken for granted.
    Granted(String),
    /// It does not hold, for this reason.
    Not(String),
    /// The rule ends.
    Ends(Ruled, String),
}

impl Walk<'_> {
    /// What the rule does to the packet.
    pub fn rule(&mut self, chain: &Chain, index: usize, rule: &Rule) -> Ruled {
        let (mut said, mut has_acted) = (Vec::new(), false);
        let step = |what: String, span| Step {
            chain: chain.name.clone(),
            rule: Some(index),
            label: Some(rule.label.clone()),
            span,
            what,
        };
        for statement in &rule.statements {
            let mut span = rule.span;
            if let Statement::VerdictMap { key, map } = statement {
                span = self.entry(key, *map).map_or(rule.span, |(_, span)| span);
            }
            match self.statement(statement) {
                Said::On(None) => {}
                Said::On(Some(what)) => {
                    has_acted = true;
                    said.push(what);
                }
                Said::Granted(what) => said.push(what),
                Said::Not(reason) if has_acted => {
                    said.push(format!("then no further: {reason}"));
                    self.say(step(said.join(", "), rule.span));
                    return Ruled::Next;
                }
                Said::Not(reason) => {
                    self.miss(step(reason, rule.span));
                    return Ruled::Next;
                }
                Said::Ends(ruled, what) => {
                    said.push(what);
                    let step = step(said.join(", "), span);
                    match ruled {
                        Ruled::Verdict(Verdict::Jump(_) | Verdict::Goto(_) | Verdict::Return) => self.say(step),
                        _ => self.decide(step),
                    }
                    return ruled;
                }
            }
        }
        if !said.is_empty() {
            self.say(step(said.join(", "), rule.span));
        }
        Ruled::Next
    }

    fn statement(&mut self, statement: &Statement) -> Said {
        match statement {
            Statement::Match(selector, test) => {
                let Some(value) = self.seen().field(*selector) else { return lacks(*selector) };
                match evaluate::holds(test, &value) {
                    Some(true) => Said::On(None),
                    _ => Said::Not(explain::miss(*selector, test, &value)),
                }
            }
            Statement::Lookup { key, set, invert } => self.lookup(key, *set, *invert),
            Statement::VerdictMap { key, map } => self.verdict_map(key, *map),
            Statement::Limit(rate) => limit(rate.over, &explain::rate(rate)),
            Statement::LimitEach { key, set, rate } => {
                self.each(key, *set, |who| limit(rate.over, &format!("{} for each {who}", explain::rate(rate))))
            }
            Statement::ConnectionsEach { key, set, count, above } => {
                self.each(key, *set, |who| connections(*count, *above, &format!(" for each {who}")))
            }
            Statement::Connections { count, above } => connections(*count, *above, ""),
            Statement::AddTo { key, set } => self.add(key, *set),
            Statement::Count(counter) => {
                let name = self.ruleset.counters.get(*counter).map_or("?", String::as_str);
                if self.trace.counted.len() < MAX_STEPS {
                    self.trace.counted.push(*counter);
                }
                Said::On(Some(format!("counted as {name}")))
            }
            Statement::Log { prefix, group, .. } => Said::On(Some(match group {
                None => format!("logged with \"{prefix}\""),
                Some(group) => format!("logged to group {group} with \"{prefix}\""),
            })),
            Statement::SetMark(Masked { value, mask }) => {
                let mark = self.trace.packet.mark & !mask | value & mask;
                self.trace.packet.mark = mark;
                Said::On(Some(format!("mark becomes {mark:#x}")))
            }
            // Where no packet comes.
            Statement::Defragment => Said::On(None),
            Statement::Notrack => Said::On(Some(self.notrack().to_owned())),
            Statement::Offload => Said::On(Some("its flow goes to the flowtable".to_owned())),
            Statement::ClampMss(None) => Said::On(Some("maximum segment size held to the route's MTU".to_owned())),
            Statement::ClampMss(Some(bytes)) => Said::On(Some(format!("maximum segment size held to {bytes}"))),
            Statement::Nat(to) => match nat::apply(&mut self.trace.packet, self.hook, to) {
                Some(what) => Said::Ends(Ruled::Translated, what),
                None => Said::Granted("translation of the other family: passed by".to_owned()),
            },
            Statement::Reject(with) => {
                Said::Ends(Ruled::Reject(*with), format!("reject with {}", explain::reject(*with)))
            }
            Statement::Verdict(verdict) => Said::Ends(Ruled::Verdict(*verdict), self.verdict(*verdict)),
        }
    }

    fn lookup(&mut self, key: &[Selector], set: SetId, invert: bool) -> Said {
        let ruleset = self.ruleset;
        let Some(of) = ruleset.sets.get(set) else { return no_set() };
        let value = match evaluate::key(&self.seen(), key) {
            Ok(value) => value,
            Err(selector) => return lacks(selector),
        };
        if !self.spend(evaluate::elements(of)) {
            return Said::Not("too many elements to look at".to_owned());
        }
        let name = of.named.as_deref().unwrap_or(&of.name);
        let is_added = self.trace.added.iter().any(|(other, added)| *other == set && *added == value);
        let is_member = evaluate::contains(of, &value) || is_added || self.is_assumed(key, of);
        if is_member == invert {
            return Said::Not(explain::miss_set(key, name, invert));
        }
        match (of.dynamic, is_member) {
            (true, true) => Said::Granted(format!("{} is in {name}", explain::names(key))),
            (true, false) => Said::Granted(format!("taken as not in {name}")),
            _ => Said::On(None),
        }
    }

    /// The operator said that the source is in it.
    fn is_assumed(&self, key: &[Selector], set: &Set) -> bool {
        let is_source =
            matches!(key, [Selector::Source4 | Selector::Source6 | Selector::Source6Network | Selector::SourceMac]);
        let members = &self.trace.packet.assume.member_of;
        is_source && set.named.as_ref().is_some_and(|name| members.contains(name))
    }

    /// The map's verdict for the packet, and where it comes from.
    fn entry(&self, key: &[Selector], map: SetId) -> Option<(Verdict, portreeve_config::Span)> {
        let value = evaluate::key(&self.seen(), key).ok()?;
        let entry = evaluate::entry(self.ruleset.sets.get(map)?, &value)?;
        Some((entry.verdict, entry.span))
    }

    fn verdict_map(&mut self, key: &[Selector], map: SetId) -> Said {
        let ruleset = self.ruleset;
        let Some(of) = ruleset.sets.get(map) else { return no_set() };
        if !self.spend(evaluate::elements(of)) {
            return Said::Not("too many elements to look at".to_owned());
        }
        let shown: Vec<String> = key
            .iter()
            .map(|selector| {
                let value = self.seen().field(*selector).map(|value| explain::show(*selector, &value));
                format!("{} {}", explain::name(*selector), value.as_deref().unwrap_or("none"))
            })
            .collect();
        let shown = shown.join(", ");
        match self.entry(key, map) {
            None => Said::Not(format!("no entry for {shown}")),
            Some((verdict, _)) => Said::Ends(Ruled::Verdict(verdict), format!("{shown}: {}", self.verdict(verdict))),
        }
    }

    /// Statements that keep something for each value of a key.
    fn each(&self, key: &[Selector], set: SetId, then: impl FnOnce(&str) -> Said) -> Said {
        if set >= self.ruleset.sets.len() {
            return no_set();
        }
        match evaluate::key(&self.seen(), key) {
            Ok(_) => then(&explain::names(key)),
            Err(selector) => lacks(selector),
        }
    }

    fn add(&mut self, key: &[Selector], set: SetId) -> Said {
        let ruleset = self.ruleset;
        let Some(of) = ruleset.sets.get(set) else { return no_set() };
        match evaluate::key(&self.seen(), key) {
            Ok(value) => {
                if self.trace.added.len() < MAX_STEPS {
                    self.trace.added.push((set, value));
                }
                let name = of.named.as_deref().unwrap_or(&of.name);
                Said::On(Some(format!("{} added to {name}", explain::names(key))))
            }
            Err(selector) => lacks(selector),
        }
    }

    /// Only what has no connection yet can be kept from one.
    fn notrack(&mut self) -> &'static str {
        if self.tracked && self.trace.packet.is_tracked() {
            return "notrack comes too late: it has a connection";
        }
        self.notracked = true;
        self.trace.packet.ct_state = ct::UNTRACKED;
        "not tracked"
    }

    fn verdict(&self, verdict: Verdict) -> String {
        let name = |chain: usize| self.ruleset.chains.get(chain).map_or("a chain that is not there", |of| &of.name);
        match verdict {
            Verdict::Accept => "accept".to_owned(),
            Verdict::Drop => "drop".to_owned(),
            Verdict::Jump(chain) => format!("jump to {}", name(chain)),
            Verdict::Goto(chain) => format!("go to {}", name(chain)),
            Verdict::Return => "return".to_owned(),
        }
    }
}

fn no_set() -> Said {
    let what = "it asks a set that is not there";
    Said::Ends(Ruled::Unknown(what), what.to_owned())
}

fn lacks(selector: Selector) -> Said {
    Said::Not(match selector {
        Selector::Source4 | Selector::Destination4 | Selector::TimeToLive | Selector::FragmentOffset => {
            format!("no {}: the packet is not {}", explain::name(selector), family(Family::V4))
        }
        Selector::Source6 | Selector::Destination6 | Selector::HopLimit => {
            format!("no {}: the packet is not {}", explain::name(selector), family(Family::V6))
        }
        _ => format!("the packet has no {}", explain::name(selector)),
    })
}

const fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn limit(over: bool, rate: &str) -> Said {
    if over {
        Said::Not(format!("{rate} is taken as not exceeded"))
    } else {
        Said::Granted(format!("taken as within {rate}"))
    }
}

/// This is taken for the only connection.
fn connections(count: u32, above: bool, whose: &str) -> Said {
    let text = format!("taken as the only connection{whose}");
    if (count < 1) == above { Said::Granted(text) } else { Said::Not(format!("{text}, of {count}")) }
}
