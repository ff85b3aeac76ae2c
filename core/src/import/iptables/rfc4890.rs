//! ICMPv6 that a firewall must not stop (RFC 4890), looked for in what ip6tables did: an import keeps the meaning, and a
//! filter of 2006 that stops neighbour discovery or Packet Too Big still does.

use std::collections::BTreeSet;

use super::options::{self, About, Parsed, Target, icmp};
use super::plan::{Entry, Field, Matches, Plan, Value};
use super::read::{Saved, Table};

/// Rules that are looked at for one question, chains counted as often as they are jumped to.
const MAX_STEPS: usize = 20_000;
/// Chains in chains.
const MAX_DEPTH: usize = 16;

/// What is asked about.
struct Question {
    hook: &'static str,
    kinds: &'static [u8],
    /// Its state is untracked rather than one of a connection.
    untracked: bool,
    what: &'static str,
}

const QUESTIONS: [Question; 5] = [
    Question {
        hook: "INPUT",
        kinds: &[135, 136],
        untracked: true,
        what: "neighbour discovery (RFC 4890 section 4.4.1)",
    },
    Question {
        hook: "OUTPUT",
        kinds: &[135, 136],
        untracked: true,
        what: "neighbour discovery (RFC 4890 section 4.4.1)",
    },
    Question { hook: "INPUT", kinds: &[2], untracked: false, what: "Packet Too Big (RFC 4890 section 4.4.1)" },
    Question { hook: "FORWARD", kinds: &[2], untracked: false, what: "Packet Too Big (RFC 4890 section 4.3.1)" },
    Question { hook: "OUTPUT", kinds: &[2], untracked: false, what: "Packet Too Big (RFC 4890 section 4.4.1)" },
];

/// Warns of each hook of filter that stops what it must not.
pub(super) fn look(saved: &Saved, plan: &mut Plan) {
    let Some(table) = saved.table("filter") else { return };
    let mut warned = Vec::new();
    for question in &QUESTIONS {
        let Some(chain) = table.chain(question.hook) else { continue };
        let mut walk = Walk { table, question, passed: Vec::new(), related: BTreeSet::new(), steps: 0 };
        let mut found = walk.chain(question.hook, &[], 0);
        if found.is_none() && chain.drops && !walk.is_passed(&[]) {
            found = Some((chain.line, walk.is_related(&[])));
        }
        if let Some((line, related)) = found {
            let what = question.what;
            let hook = question.hook;
            let message = if related {
                format!(
                    "{hook} lets {what} through only as RELATED, of connections that the kernel knows; `defaults: (rfc4890: true)` is what the RFC asks for"
                )
            } else {
                format!(
                    "{hook} stops {what} here, and nothing lets it through before; IPv6 needs it: set `defaults: (rfc4890: true)`"
                )
            };
            warned.push((hook, plan.warn(line, message)));
        }
    }
    for (hook, comment) in warned {
        let entries = match hook {
            "INPUT" => &mut plan.input,
            "FORWARD" => &mut plan.forward,
            _ => &mut plan.output,
        };
        entries.insert(0, Entry::Comment(comment));
    }
}

/// Interfaces that rules on the way named, by their text.
type Interfaces = [String];

struct Walk<'a> {
    table: &'a Table,
    question: &'a Question,
    /// Interfaces by which it is let through; none for all.
    passed: Vec<Vec<String>>,
    /// Interfaces by which it is let through as RELATED.
    related: BTreeSet<Vec<String>>,
    steps: usize,
}

impl Walk<'_> {
    /// The line that stops it first, and whether something RELATED passed before.
    fn chain(&mut self, name: &str, above: &Interfaces, depth: usize) -> Option<(usize, bool)> {
        let chain = self.table.chain(name)?;
        let hook = self.table.is_builtin(name).then_some(name);
        let about = About { family: super::Family::Ipv6, chains: &self.table.chains, hook };
        for line in &chain.rules {
            self.steps += 1;
            if self.steps > MAX_STEPS || depth > MAX_DEPTH {
                return None;
            }
            let Ok(parsed) = options::parse(&line.words, &about) else { continue };
            let Some(states) = self.concerns(&parsed) else { continue };
            let mut interfaces = above.to_vec();
            interfaces.extend(parsed.conditions.first().map(named).unwrap_or_default());
            interfaces.sort();
            interfaces.dedup();
            if interfaces.iter().any(|name| name == "lo") {
                continue;
            }
            match &parsed.target {
                Target::Accept if states => drop(self.related.insert(interfaces)),
                Target::Accept => self.passed.push(interfaces),
                Target::Drop | Target::Reject(_) if !states && !self.is_passed(&interfaces) => {
                    return Some((line.number, self.is_related(&interfaces)));
                }
                Target::Jump(to) | Target::Goto(to) if !states => {
                    if let Some(found) = self.chain(to, &interfaces, depth + 1) {
                        return Some(found);
                    }
                }
                Target::Return if !states && parsed.conditions.iter().all(|matches| matches.0.is_empty()) => {
                    return None;
                }
                _ => {}
            }
        }
        None
    }

    /// Whether the rule may be about it; then whether only as RELATED.
    fn concerns(&self, parsed: &Parsed) -> Option<bool> {
        if parsed.never.is_some() || parsed.either.is_some() {
            return None;
        }
        let mut related = false;
        for (field, value) in parsed.conditions.iter().flat_map(|matches| &matches.0) {
            let Value::List { negated, items } = value else { continue };
            let said = match field {
                Field::Protocol => items.iter().any(|item| item == "icmpv6"),
                Field::Icmp => items
                    .iter()
                    .filter_map(|item| icmp::number(item))
                    .any(|(kind, _)| self.question.kinds.contains(&kind)),
                Field::States if self.question.untracked => items.iter().any(|item| item == "Untracked"),
                Field::States => {
                    let has = items.iter().any(|item| item == "Related") != *negated;
                    related |= has;
                    has != *negated
                }
                _ => continue,
            };
            if said == *negated {
                return None;
            }
        }
        Some(related)
    }

    fn is_passed(&self, interfaces: &Interfaces) -> bool {
        self.passed.iter().any(|passed| passed.iter().all(|name| interfaces.contains(name)))
    }

    fn is_related(&self, interfaces: &Interfaces) -> bool {
        self.related.iter().any(|passed| passed.iter().all(|name| interfaces.contains(name)))
    }
}

fn named(matches: &Matches) -> Vec<String> {
    let texts = [Field::Incoming, Field::Outgoing].iter().filter_map(|field| match matches.0.get(field)? {
        Value::List { negated, items } => Some((*negated, items)),
        Value::Text(_) => None,
    });
    texts
        .flat_map(|(negated, items)| items.iter().map(move |item| format!("{}{item}", if negated { "!" } else { "" })))
        .collect()
}
