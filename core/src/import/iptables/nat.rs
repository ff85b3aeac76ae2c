//! The table nat: rules of PREROUTING, OUTPUT and POSTROUTING, and the chains they jump to, as one list.
//!
//! The list of router.ron has no chains, so they are written out where they are jumped to, each rule with the conditions
//! of the jump. What returns from one in the middle has no counterpart and is reported.
//!
//! The rules of PREROUTING come first and those of POSTROUTING last: a `Skip` of POSTROUTING then ends nothing else.

use super::convert::{Role, left_out, missing, named, remarks, shown};
use super::options::{self, About, Parsed, Target};
use super::plan::{Entry, Field, Matches, Plan, Rule, Value};
use super::read::{Chain, Line, Table};

/// Chains in chains; the kernel's own limit on jumps is of that order.
const MAX_DEPTH: usize = 16;
/// Rules that the written-out chains may have together.
const MAX_RULES: usize = 8192;

/// Puts the table into the plan.
pub(super) fn convert(table: &Table, plan: &mut Plan) {
    for name in ["PREROUTING", "OUTPUT", "POSTROUTING", "INPUT"] {
        let Some(chain) = table.chain(name) else { continue };
        if chain.drops {
            let comment =
                plan.warn(chain.line, format!("the policy DROP of {name} in nat is left out; write a rule of filter"));
            plan.nat.push(Entry::Comment(comment));
        }
        let mut list = List { table, hook: name, plan, entries: Vec::new(), pairs: prefixes(table) };
        list.chain(chain, &[Matches::default()], 0, true);
        let entries = list.entries;
        plan.nat.extend(entries);
    }
    for chain in table.own().filter(|chain| !chain.rules.is_empty()) {
        let jumps = |line: &Line| line.words.contains(&chain.name);
        if !table.chains.iter().any(|other| other.rules.iter().any(jumps)) {
            plan.info(chain.line, format!("chain `{}` of table nat is left out: nothing jumps to it", chain.name));
        }
    }
}

/// `-d OUTSIDE -j NETMAP --to INSIDE` of PREROUTING: line, outside, inside.
fn prefixes(table: &Table) -> Vec<(usize, String, String)> {
    let about = About { family: super::Family::Ipv6, chains: &table.chains, hook: Some("PREROUTING") };
    let lines = table.chain("PREROUTING").map(|chain| chain.rules.as_slice()).unwrap_or_default();
    let pair = |line: &Line| {
        let parsed = options::parse(&line.words, &about).ok()?;
        let Target::Netmap(inside) = parsed.target else { return None };
        let outside = only(parsed.conditions.first()?, Field::Destination)?;
        Some((line.number, outside, inside))
    };
    lines.iter().filter_map(pair).collect()
}

/// The one item of a list that is not negated.
fn only(matches: &Matches, field: Field) -> Option<String> {
    match matches.0.get(&field)? {
        Value::List { negated: false, items } if items.len() == 1 => items.first().cloned(),
        _ => None,
    }
}

struct List<'a> {
    table: &'a Table,
    hook: &'a str,
    plan: &'a mut Plan,
    entries: Vec<Entry>,
    pairs: Vec<(usize, String, String)>,
}

impl List<'_> {
    /// Writes a chain out. `above` holds the conditions of the jumps to it, `ends` that nothing comes behind it.
    fn chain(&mut self, chain: &Chain, above: &[Matches], depth: usize, ends: bool) {
        let hook = (depth == 0).then_some(self.hook);
        let about = About { family: self.plan.family, chains: &self.table.chains, hook };
        let count = chain.rules.len();
        for (at, line) in chain.rules.iter().enumerate() {
            match options::parse(&line.words, &about) {
                Ok(parsed) => self.rule(parsed, line, above, depth, (ends, ends && at + 1 == count)),
                Err(message) => {
                    let known = self.plan.mistakes.iter().any(|mistake| mistake.line == line.number);
                    if !known {
                        self.plan.mistake(line.number, message);
                    }
                }
            }
        }
    }

    /// `ends`: nothing comes behind the rule's chain; and `last`: nor behind the rule.
    fn rule(&mut self, parsed: Parsed, line: &Line, above: &[Matches], depth: usize, (ends, last): (bool, bool)) {
        if let Some(why) = &parsed.never {
            let message = format!("`{}` is left out: {why}, so it never matched", shown(&line.text));
            return self.plan.info(line.number, message);
        }
        if !parsed.missing.is_empty() {
            return self.report(&parsed, line, &missing(&parsed));
        }
        let parsed = if last { self.except(parsed, line, above) } else { parsed };
        let Some(mut all) = self.conditions(&parsed, line, above) else { return };
        let then = match &parsed.target {
            Target::None => {
                let message = format!("`{}` is left out: it only counts", shown(&line.text));
                return self.plan.info(line.number, message);
            }
            Target::Jump(name) | Target::Goto(name) => {
                let goto = matches!(parsed.target, Target::Goto(_));
                let inner = self.table.chain(name);
                if goto && !last {
                    return self.report(&parsed, line, "`-g` in the middle of a chain has no counterpart; write `-j`");
                }
                return match inner {
                    Some(inner) if depth < MAX_DEPTH && self.entries.len() < MAX_RULES => {
                        self.chain(inner, &all, depth + 1, last);
                    }
                    _ => self.report(&parsed, line, "chains written out would be too many rules"),
                };
            }
            Target::Accept => "Skip".to_owned(),
            Target::Return if ends => "Skip".into(),
            Target::Return if self.returns_at_end(line) => return,
            Target::Return => {
                return self.report(&parsed, line, "the list of nat has no chains to return from");
            }
            Target::Translate { source, then } => {
                let wanted = if *source { "POSTROUTING" } else { "PREROUTING" };
                if (self.hook == "POSTROUTING") != *source || self.hook == "INPUT" {
                    let why = format!("in {} it has no counterpart; it belongs to {wanted}", self.hook);
                    return self.report(&parsed, line, &why);
                }
                if then.contains("port") && !all.iter().all(has_ports) {
                    let message = "ports are translated only where there are some; write `-p tcp` or the like";
                    return self.plan.mistake(line.number, message);
                }
                then.clone()
            }
            Target::Netmap(to) => match self.netmap(&parsed, line, to, &mut all) {
                Some(then) => then,
                None => return,
            },
            Target::Foreign { why, .. } => return self.report(&parsed, line, why),
            Target::Log(_) => return self.report(&parsed, line, "translation does not log; log in filter"),
            Target::Drop | Target::Reject(_) => {
                return self.report(&parsed, line, "translation stops nothing; write the rule in filter");
            }
            Target::Mark(_) | Target::Clamp(_) | Target::Notrack => {
                return self.report(&parsed, line, "the table nat only translates");
            }
        };
        let comments = remarks(&parsed, line, self.plan);
        for (at, matches) in all.into_iter().enumerate() {
            let comments = if at == 0 { comments.clone() } else { Vec::new() };
            self.push(matches, &then, comments, parsed.name.as_deref());
        }
    }

    /// Says "all but these" beside another condition on the same addresses, in the last rule: these skip it.
    fn except(&mut self, mut parsed: Parsed, line: &Line, above: &[Matches]) -> Parsed {
        let [first, second] = parsed.conditions.as_slice() else { return parsed };
        let (Some((field, later)), 1, [jump], None) =
            (second.0.first_key_value(), second.0.len(), above, &parsed.either)
        else {
            return parsed;
        };
        let (but, kept) = match (first.0.get(field), later) {
            (Some(kept), Value::List { negated: true, items }) => (items.clone(), kept.clone()),
            (Some(Value::List { negated: true, items }), kept) => (items.clone(), kept.clone()),
            _ => return parsed,
        };
        let (mut skipped, mut rest) = (first.clone(), first.clone());
        skipped.0.insert(*field, Value::List { negated: false, items: but });
        rest.0.insert(*field, kept);
        if first.counts()
            || !skipped.join(jump)
            || self.hook == "OUTPUT"
                && [Field::Incoming, Field::Outgoing].iter().any(|field| skipped.0.contains_key(field))
        {
            return parsed;
        }
        let text = format!("the rules of line {} are not about these", line.number);
        self.push(skipped, "Skip", vec![text], None);
        parsed.conditions = vec![rest];
        parsed
    }

    fn push(&mut self, mut matches: Matches, then: &str, comments: Vec<String>, name: Option<&str>) {
        let skips = then == "Skip";
        if skips && self.hook == "PREROUTING" && !matches.0.contains_key(&Field::Incoming) {
            // This keeps it out of POSTROUTING; connections over lo were decided about when they were sent.
            matches.add(Field::Incoming, &Value::List { negated: true, items: vec!["lo".into()] });
        }
        let from_router = self.hook == "OUTPUT";
        let to_anywhere = skips && self.hook == "POSTROUTING";
        let mut rule = Rule { matches, comments, from_router, to_anywhere, then: then.to_owned(), ..Rule::default() };
        named(&mut rule, name);
        self.entries.push(Entry::Rule(Box::new(rule)));
    }

    /// Whether the rule is its chain's last, and asks for nothing.
    fn returns_at_end(&self, line: &Line) -> bool {
        let ends = |chain: &&Chain| chain.rules.last().is_some_and(|last| last.number == line.number);
        line.words.len() == 2 && self.table.chains.iter().any(|chain| ends(&chain))
    }

    /// The rule's conditions with those of the jumps to it; each of the result stands for a rule.
    fn conditions(&mut self, parsed: &Parsed, line: &Line, above: &[Matches]) -> Option<Vec<Matches>> {
        let mut own = Matches::default();
        if !parsed.conditions.iter().all(|matches| own.join(matches)) {
            self.report(parsed, line, "two conditions about the same thing do not fit into one rule");
            return None;
        }
        let mut owns = vec![own.clone()];
        if let Some((first, second)) = &parsed.either {
            let mut other = own.clone();
            if own.counts() || !own.join(first) || !other.join(second) {
                self.report(parsed, line, "its conditions do not fit into one rule");
                return None;
            }
            owns = vec![own, other];
        }
        let mut all = Vec::new();
        for jump in above {
            for own in &owns {
                let mut both = jump.clone();
                if !both.join(own) {
                    self.report(
                        parsed,
                        line,
                        "with the conditions of the jump to it there are two about the same thing",
                    );
                    return None;
                }
                // What this machine sends has come in by no interface; what comes in has none yet to leave by.
                let none = if self.hook == "PREROUTING" { Field::Outgoing } else { Field::Incoming };
                if let Some(Value::List { negated: false, .. }) = both.0.remove(&none) {
                    let message = format!("`{}` never matched in {}", shown(&line.text), self.hook);
                    self.plan.info(line.number, message);
                    continue;
                }
                if self.hook == "OUTPUT" && both.0.contains_key(&Field::Outgoing) {
                    self.report(parsed, line, "it is not known yet by which interface it leaves");
                    return None;
                }
                all.push(both);
            }
        }
        Some(all)
    }

    /// Exchanges prefixes, which one rule does both ways.
    fn netmap(&mut self, parsed: &Parsed, line: &Line, to: &str, all: &mut [Matches]) -> Option<String> {
        let why = match (self.hook, all) {
            ("POSTROUTING", [matches]) => {
                let inside = only(matches, Field::Source);
                let rest = matches.0.keys().all(|field| matches!(field, Field::Source | Field::Outgoing));
                match inside {
                    Some(inside) if rest && matches.0.contains_key(&Field::Outgoing) => {
                        let length = |prefix: &str| prefix.split_once('/').map(|(_, length)| length.to_owned());
                        if length(&inside) == length(to) {
                            matches.0.remove(&Field::Source);
                            let paired = self.pairs.iter().any(|(_, o, i)| o == to && *i == inside);
                            if !paired {
                                let message = "prefixes are exchanged both ways: connections may begin outside, too";
                                let comment = self.plan.warn(line.number, message);
                                self.entries.push(Entry::Comment(comment));
                            }
                            return Some(format!("Prefix(inside: \"{inside}\", outside: \"{to}\")"));
                        }
                        "the prefixes are of different lengths"
                    }
                    _ => "prefixes are exchanged for all packets of one source prefix that leave by an interface",
                }
            }
            ("PREROUTING", [matches]) => {
                let outside = only(matches, Field::Destination).unwrap_or_default();
                if self.pairs.iter().any(|(number, o, i)| *number == line.number && *o == outside && i == to)
                    && self.has_postrouting(&outside, to)
                {
                    self.plan
                        .info(line.number, "this is the other half of the NETMAP in POSTROUTING; `Prefix` does both");
                    return None;
                }
                "there is no NETMAP in POSTROUTING that it is the other half of"
            }
            _ => "prefixes are exchanged in POSTROUTING",
        };
        self.report(parsed, line, why);
        None
    }

    fn has_postrouting(&self, outside: &str, inside: &str) -> bool {
        let about = About { family: self.plan.family, chains: &self.table.chains, hook: Some("POSTROUTING") };
        let lines = self.table.chain("POSTROUTING").map(|chain| chain.rules.as_slice()).unwrap_or_default();
        lines.iter().filter_map(|line| options::parse(&line.words, &about).ok()).any(|parsed| {
            let source = parsed.conditions.first().and_then(|matches| only(matches, Field::Source));
            parsed.target == Target::Netmap(outside.to_owned()) && source.as_deref() == Some(inside)
        })
    }

    fn report(&mut self, parsed: &Parsed, line: &Line, why: &str) {
        let entry = left_out(parsed, line, Role::Nat, self.plan, why);
        self.entries.push(entry);
    }
}

fn has_ports(matches: &Matches) -> bool {
    let Some(Value::List { negated: false, items }) = matches.0.get(&Field::Protocol) else { return false };
    items.iter().all(|name| matches!(name.as_str(), "tcp" | "udp" | "udplite" | "sctp" | "dccp"))
}
