//! Rules of tables to rules of the plan: names of chains, what targets become where they stand, and what is left out.
//!
//! A condition that one rule cannot express beside another goes into a chain of its own, which is jumped to. A rule with
//! a part that nothing expresses is left out, and what that does is said where it stood.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Severity;
use super::options::{self, About, Parsed, Target};
use super::plan::{Entry, Matches, Plan, Rule};
use super::read::{Chain, Line, Saved, Table};
use super::{mangle, nat, rfc4890};

/// A rule's text in messages is cut after so many characters.
const SHOWN: usize = 160;

/// Where a rule stands, which decides about what ends its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A hook's own rules, and what the hook does with what no rule decides.
    Hook { drops: bool },
    /// A hook's own rules in a table that others follow: what is accepted here goes on there, so it returns.
    Layer,
    /// A chain that is jumped to in the last table of its hooks.
    Chain,
    /// A chain that is jumped to in a table that others follow.
    LayerChain,
    /// In the table nat.
    Nat,
}

/// Chains' names as they were and as they are written, of one table.
pub(super) type Names = BTreeMap<String, String>;

/// Puts everything into the plan.
pub(super) fn convert(saved: &Saved, plan: &mut Plan) {
    let other = if plan.family == super::Family::Ipv4 { "IPv6" } else { "IPv4" };
    let this = plan.family.name();
    let about = format!("this is about {this} only: {other} passes until rules of its own stand here");
    plan.info(1, about.clone());
    plan.comments.push(about);
    for table in &saved.tables {
        find_loops(table, plan);
    }
    mangle::convert(saved, plan);
    if let Some(table) = saved.table("filter") {
        filter(table, plan);
    }
    if let Some(table) = saved.table("nat") {
        nat::convert(table, plan);
    }
    if let Some(table) = saved.table("security") {
        for line in table.chains.iter().flat_map(|chain| &chain.rules) {
            let message = format!("`{}` is left out: the table security is for labels of SELinux", shown(&line.text));
            let comment = plan.warn(line.number, message);
            plan.comments.push(comment);
        }
    }
    if plan.family == super::Family::Ipv6 && plan.mistakes.is_empty() {
        rfc4890::look(saved, plan);
    }
}

fn filter(table: &Table, plan: &mut Plan) {
    let names = name_chains(table, plan);
    for chain in &table.chains {
        let builtin = table.is_builtin(&chain.name);
        let role = if builtin { Role::Hook { drops: chain.drops } } else { Role::Chain };
        let mut entries = self::chain(table, chain, role, &names, plan);
        if chain.drops {
            entries.push(plain(Matches::default(), "Drop"));
        }
        match chain.name.as_str() {
            "INPUT" if builtin => plan.input.extend(entries),
            "FORWARD" if builtin => plan.forward.extend(entries),
            "OUTPUT" if builtin => plan.output.extend(entries),
            name => plan.chains.push((names.get(name).cloned().unwrap_or_default(), entries)),
        }
    }
}

/// A rule with nothing but matches and what it does.
pub(super) fn plain(matches: Matches, then: &str) -> Entry {
    Entry::Rule(Box::new(Rule { matches, then: then.to_owned(), ..Rule::default() }))
}

/// Gives the table's own chains their names.
pub(super) fn name_chains(table: &Table, plan: &mut Plan) -> Names {
    let mut names = Names::new();
    for chain in table.own() {
        let name = plan.take_name(&chain.name);
        if name != chain.name {
            let message = format!("chain `{}` of table {} is called `{name}`", chain.name, table.name);
            plan.info(chain.line, message);
        }
        names.insert(chain.name.clone(), name);
    }
    names
}

/// The rules of a chain.
pub(super) fn chain(table: &Table, chain: &Chain, role: Role, names: &Names, plan: &mut Plan) -> Vec<Entry> {
    let hook = table.is_builtin(&chain.name).then_some(chain.name.as_str());
    let about = About { family: plan.family, chains: &table.chains, hook };
    let mut entries = Vec::new();
    for line in &chain.rules {
        match options::parse(&line.words, &about) {
            Ok(parsed) => entries.extend(one(parsed, line, &chain.name, role, names, plan)),
            Err(message) => plan.mistake(line.number, message),
        }
    }
    entries
}

/// What a rule becomes.
pub(super) fn one(parsed: Parsed, line: &Line, chain: &str, role: Role, names: &Names, plan: &mut Plan) -> Vec<Entry> {
    if let Some(why) = &parsed.never {
        plan.info(line.number, format!("`{}` is left out: {why}, so it never matched", shown(&line.text)));
        return Vec::new();
    }
    if !parsed.missing.is_empty() {
        return vec![left_out(&parsed, line, role, plan, &missing(&parsed))];
    }
    let mut rule = Rule::default();
    let ends = parsed.conditions.len() > 1 || parsed.either.is_some();
    match &parsed.target {
        Target::None => {
            plan.info(line.number, format!("`{}` is left out: it only counts; `count` does that", shown(&line.text)));
            return Vec::new();
        }
        Target::Accept => match role {
            Role::Hook { .. } | Role::Chain => rule.then = "Accept".into(),
            Role::Layer if !ends => rule.then = "Return".into(),
            Role::Layer => {
                let why = "ACCEPT of this table cannot stand beside two conditions about the same thing";
                return vec![left_out(&parsed, line, role, plan, why)];
            }
            Role::LayerChain | Role::Nat => {
                let why = "ACCEPT ends this table, and a chain of Portreeve's ends all";
                return vec![left_out(&parsed, line, role, plan, why)];
            }
        },
        Target::Drop => rule.then = "Drop".into(),
        Target::Reject(code) => rule.then = format!("Reject({code})"),
        Target::Log(log) => (rule.log, rule.then) = (Some(log.clone()), "Continue".into()),
        Target::Mark(mark) => (rule.set_mark, rule.then) = (Some(mark.clone()), "Continue".into()),
        Target::Clamp(to) => rule.then = format!("ClampMss({to})"),
        Target::Notrack
            if role == Role::Layer
                || chain != "PREROUTING"
                || parsed.conditions.len() > 1
                || parsed.either.is_some() =>
        {
            let why = "only rules of `prerouting` itself keep packets from being tracked";
            return vec![left_out(&parsed, line, role, plan, why)];
        }
        Target::Notrack => rule.then = "Notrack".into(),
        Target::Return => match role {
            Role::Hook { drops } => rule.then = if drops { "Drop" } else { "Accept" }.into(),
            _ if ends => {
                let why = "RETURN cannot stand beside two conditions about the same thing";
                return vec![left_out(&parsed, line, role, plan, why)];
            }
            _ => rule.then = "Return".into(),
        },
        Target::Jump(to) => rule.then = format!("Jump(\"{}\")", name_of(names, to)),
        Target::Goto(to) => match role {
            // Behind the chain comes the policy, which is a rule here.
            Role::Hook { drops } => {
                let policy = if drops { "Drop" } else { "Accept" };
                let jump = format!("Jump(\"{}\")", name_of(names, to));
                let helper = plan.take_name(&format!("{chain}-line-{}", line.number));
                let rules = vec![plain(Matches::default(), &jump), plain(Matches::default(), policy)];
                plan.chains.push((helper.clone(), rules));
                rule.then = format!("Jump(\"{helper}\")");
            }
            Role::Chain | Role::LayerChain if !ends => rule.then = format!("Goto(\"{}\")", name_of(names, to)),
            _ => {
                let why = "`-g` cannot stand here; write `-j`, and behind it what happens then";
                return vec![left_out(&parsed, line, role, plan, why)];
            }
        },
        Target::Translate { .. } | Target::Netmap(_) => {
            let why = "addresses are translated in the table nat only";
            return vec![left_out(&parsed, line, role, plan, why)];
        }
        Target::Foreign { why, .. } => return vec![left_out(&parsed, line, role, plan, why)],
    }
    if matches!(parsed.target, Target::Drop | Target::Reject(_)) && plan.family == super::Family::Ipv6 {
        behind_ah(&parsed, plan);
    }
    rule.comments = remarks(&parsed, line, plan);
    named(&mut rule, parsed.name.as_deref());
    spread(rule, parsed.conditions, parsed.either, line.number, chain, plan)
}

/// Says once that ip6tables finds TCP, UDP and so on behind an authentication header (RFC 4302), nf_tables does not.
fn behind_ah(parsed: &Parsed, plan: &mut Plan) {
    const MESSAGE: &str = "rules that stop TCP and the like do not look behind an authentication header (AH), as ip6tables did: \
         for nf_tables such packets are of protocol ah; write (protocol: [\"ah\"], then: Drop) before them if no host uses AH";
    let asks = |matches: &Matches| {
        let ours = |item: &String| !["ah", "51"].contains(&item.as_str());
        match matches.0.get(&super::plan::Field::Protocol) {
            Some(super::plan::Value::List { negated: false, items }) => items.iter().any(ours),
            _ => matches.0.contains_key(&super::plan::Field::Icmp),
        }
    };
    if parsed.conditions.iter().any(asks) && !plan.has_said(MESSAGE) {
        plan.info(1, MESSAGE);
    }
}

/// Writes the text of `-m comment` as the rule's name, and as a comment if a name cannot have it.
pub(super) fn named(rule: &mut Rule, text: Option<&str>) {
    let Some(text) = text else { return };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut name = String::new();
    for c in text.chars() {
        if legal(c) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(64);
    let name = name.trim_end_matches('-');
    if name != text {
        rule.comments.push(text.to_owned());
    }
    rule.name = Some(name.to_owned()).filter(|name| !name.is_empty());
}

/// Tells what is worth knowing of a rule that is taken over; warnings stand above it, too.
pub(super) fn remarks(parsed: &Parsed, line: &Line, plan: &mut Plan) -> Vec<String> {
    let mut comments = Vec::new();
    for (severity, message) in &parsed.remarks {
        match severity {
            Severity::Info => plan.info(line.number, message.clone()),
            Severity::Warning => comments.push(plan.warn(line.number, message.clone())),
        }
    }
    comments
}

fn name_of<'a>(names: &'a Names, chain: &'a str) -> &'a str {
    names.get(chain).map_or(chain, String::as_str)
}

/// The rule, or several where one cannot say all of its conditions.
fn spread(
    rule: Rule,
    conditions: Vec<Matches>,
    either: Option<(Matches, Matches)>,
    line: usize,
    chain: &str,
    plan: &mut Plan,
) -> Vec<Entry> {
    let Some((first, second)) = either else { return vec![nest(rule, conditions, line, chain, plan)] };
    let counts = conditions.iter().any(Matches::counts);
    if let ([only], false) = (conditions.as_slice(), counts) {
        let (mut one, mut other) = (only.clone(), only.clone());
        if one.join(&first) && other.join(&second) {
            let mut again = rule.clone();
            again.comments.clear();
            let entry = |rule: Rule, matches| Entry::Rule(Box::new(Rule { matches, ..rule }));
            return vec![entry(rule, one), entry(again, other)];
        }
    }
    let comments = rule.comments.clone();
    let rule = Rule { comments: Vec::new(), ..rule };
    let ports = conditions.first().and_then(|matches| matches.0.get(&super::plan::Field::Protocol)).cloned();
    let helper = plan.take_name(&format!("{chain}-line-{line}"));
    let inside = nest(rule, conditions, line, chain, plan);
    plan.chains.push((helper.clone(), vec![inside]));
    let then = format!("Jump(\"{helper}\")");
    let jump = |mut matches: Matches, comments| {
        // Ports alone would mean TCP and UDP.
        if let Some(protocol) = &ports {
            matches.add(super::plan::Field::Protocol, protocol);
        }
        Entry::Rule(Box::new(Rule { matches, then: then.clone(), comments, ..Rule::default() }))
    };
    vec![jump(first, comments), jump(second, Vec::new())]
}

/// All conditions, each further one in a chain that the one before jumps to.
fn nest(rule: Rule, conditions: Vec<Matches>, line: usize, chain: &str, plan: &mut Plan) -> Entry {
    let mut conditions = conditions;
    let comments = rule.comments.clone();
    let protocol = conditions.first().and_then(|matches| matches.0.get(&super::plan::Field::Protocol)).cloned();
    let mut rule = Rule { comments: Vec::new(), matches: conditions.pop().unwrap_or_default(), ..rule };
    while let Some(before) = conditions.pop() {
        if let Some(protocol) = protocol.as_ref().filter(|_| needs_protocol(&rule.matches)) {
            rule.matches.add(super::plan::Field::Protocol, protocol);
        }
        let helper = plan.take_name(&format!("{chain}-line-{line}"));
        plan.chains.push((helper.clone(), vec![Entry::Rule(Box::new(rule))]));
        rule = Rule { matches: before, then: format!("Jump(\"{helper}\")"), ..Rule::default() };
    }
    rule.comments = comments;
    Entry::Rule(Box::new(rule))
}

fn needs_protocol(matches: &Matches) -> bool {
    use super::plan::Field::{DestinationPort, SourcePort, TcpFlags};
    [SourcePort, DestinationPort, TcpFlags].iter().any(|field| matches.0.contains_key(field))
}

/// Why a rule with missing parts is left out.
pub(super) fn missing(parsed: &Parsed) -> String {
    let words: Vec<String> = parsed.missing.iter().map(|part| shown(part)).collect();
    let hints: String = parsed.hints.iter().map(|hint| format!(" ({hint})")).collect();
    format!("`{}` has no counterpart{hints}", words.join(" "))
}

/// Reports a rule that is left out; the result stands in its place.
pub(super) fn left_out(parsed: &Parsed, line: &Line, role: Role, plan: &mut Plan, why: &str) -> Entry {
    let effect = match &parsed.target {
        Target::None => "nothing else changes".to_owned(),
        Target::Accept | Target::Return if role == Role::Nat => "the rules behind it translate these packets".into(),
        Target::Jump(to) | Target::Goto(to) if role == Role::Nat => format!("what chain `{to}` translates is not"),
        Target::Accept if role == Role::LayerChain => "the rules behind it decide about these packets".into(),
        Target::Accept => "less gets through than before".into(),
        Target::Drop | Target::Reject(_) => "leaving it out lets through what it stopped".into(),
        Target::Jump(to) | Target::Goto(to) => format!("leaving it out lets through what chain `{to}` stops"),
        Target::Return if role == (Role::Hook { drops: true }) => "leaving it out lets through what it stopped".into(),
        Target::Return => "the rules behind it decide about these packets".into(),
        Target::Log(_) => "these packets are not logged".into(),
        Target::Mark(_) => "these packets have no mark".into(),
        Target::Clamp(_) => "these connections keep their segment size".into(),
        Target::Notrack => "these packets are tracked".into(),
        Target::Translate { .. } | Target::Netmap(_) => "these addresses are not translated".into(),
        Target::Foreign { stops: true, .. } => "leaving it out lets through what it stopped".into(),
        Target::Foreign { .. } => "nothing else is done with these packets".into(),
    };
    let message = format!("`{}` is left out: {why}; {effect}", shown(&line.text));
    Entry::Comment(plan.warn(line.number, message))
}

/// A rule's text, cut if it is long.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Chains that come back to themselves, which the kernel refuses.
fn find_loops(table: &Table, plan: &mut Plan) {
    let mut to: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for chain in &table.chains {
        let jumps = chain.rules.iter().flat_map(|line| {
            let pairs = line.words.iter().zip(line.words.iter().skip(1));
            pairs
                .filter(|(option, _)| matches!(option.as_str(), "-j" | "--jump" | "-g" | "--goto"))
                .filter_map(|(_, name)| table.chain(name).map(|chain| (chain.name.as_str(), line.number)))
        });
        to.insert(&chain.name, jumps.collect());
    }
    // Depth first, without recursion: a file may have as many chains as it likes.
    let mut done = BTreeSet::new();
    for chain in &table.chains {
        let mut path: Vec<(&str, usize)> = vec![(&chain.name, 0)];
        let mut open = BTreeSet::from([chain.name.as_str()]);
        while let Some((name, next)) = path.last_mut() {
            let Some((target, line)) = to.get(name).filter(|_| !done.contains(name)).and_then(|jumps| jumps.get(*next))
            else {
                done.insert(*name);
                open.remove(*name);
                path.pop();
                continue;
            };
            *next += 1;
            if open.contains(target) {
                plan.mistake(*line, format!("chain `{target}` comes back to itself; remove a jump of the circle"));
            } else if !done.contains(target) {
                open.insert(target);
                path.push((target, 0));
            }
        }
    }
}
