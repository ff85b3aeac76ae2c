//! The tables raw and mangle, which packets see before filter: marks, segment sizes, what is not tracked.
//!
//! Accepting in them ends that table only. Rules of a hook that accept or return therefore go into a chain of their own,
//! from which they return; others stand in the hook directly. In PREROUTING mangle is written before raw, so that raw's
//! rules are the last: neither knows what the other did, but for marks that raw would have to ask for.

use super::convert::{self, Role, left_out, plain, shown};
use super::options::{self, About, Target};
use super::plan::{Entry, Field, Matches, Plan};
use super::read::{Chain, Line, Saved, Table};

/// Puts both tables into the plan.
pub(super) fn convert(saved: &Saved, plan: &mut Plan) {
    for table in ["mangle", "raw"].into_iter().filter_map(|name| saved.table(name)) {
        self::table(table, plan);
    }
}

fn table(table: &Table, plan: &mut Plan) {
    let used = table.chains.iter().any(|chain| !chain.rules.is_empty() || chain.drops);
    if !used {
        return;
    }
    let names = convert::name_chains(table, plan);
    for chain in table.own() {
        let entries = convert::chain(
            table,
            chain,
            if table.name == "raw" { Role::Chain } else { Role::LayerChain },
            &names,
            plan,
        );
        plan.chains.push((names.get(&chain.name).cloned().unwrap_or_default(), entries));
    }
    for chain in table.chains.iter().filter(|chain| table.is_builtin(&chain.name)) {
        let entries = match (table.name, chain.name.as_str()) {
            ("raw", "OUTPUT") => everything_left_out(table, chain, plan, "what this machine sends is always tracked"),
            (_, "POSTROUTING") => postrouting(table, chain, plan),
            (_, "PREROUTING") => prerouting(table, chain, &names, plan),
            _ => convert::chain(table, chain, Role::Layer, &names, plan),
        };
        let entries = wrapped(table, chain, entries, plan);
        let place = match chain.name.as_str() {
            "PREROUTING" => &mut plan.prerouting,
            "INPUT" => &mut plan.input,
            "OUTPUT" => &mut plan.output,
            _ => &mut plan.forward,
        };
        place.extend(entries);
        if chain.name == "OUTPUT" {
            warn_of_marks(table, chain, plan);
        }
    }
}

/// In a chain of its own if anything returns from it.
fn wrapped(table: &Table, chain: &Chain, mut entries: Vec<Entry>, plan: &mut Plan) -> Vec<Entry> {
    if chain.drops {
        entries.push(plain(Matches::default(), "Drop"));
    }
    let returns = |entry: &Entry| matches!(entry, Entry::Rule(rule) if rule.then == "Return");
    if !entries.iter().any(returns) {
        return entries;
    }
    let name = plan.take_name(&format!("{}-{}", table.name, chain.name));
    plan.chains.push((name.clone(), entries));
    vec![plain(Matches::default(), &format!("Jump(\"{name}\")"))]
}

/// Rules before connection tracking, which know nothing of states.
fn prerouting(table: &Table, chain: &Chain, names: &convert::Names, plan: &mut Plan) -> Vec<Entry> {
    let mut entries = Vec::new();
    let role = if table.name == "raw" { Role::Hook { drops: chain.drops } } else { Role::Layer };
    let knows =
        |word: &String| word.contains("state") || word.starts_with("--ctstatus") || word.starts_with("--connlimit");
    let chains_ask = table.own().flat_map(|chain| &chain.rules).any(|line| line.words.iter().any(knows));
    for (line, parsed) in parsed(table, chain, plan) {
        let jumps = matches!(parsed.target, Target::Jump(_) | Target::Goto(_));
        let tracked = |matches: &Matches| {
            [Field::States, Field::Translated, Field::Connections].iter().any(|field| matches.0.contains_key(field))
        };
        let asks = jumps && chains_ask
            || parsed.conditions.iter().any(tracked)
            || parsed.either.as_ref().is_some_and(|(one, _)| tracked(one));
        if asks && parsed.missing.is_empty() && parsed.never.is_none() {
            let why = "`prerouting` comes before connection tracking and knows no states";
            entries.push(left_out(&parsed, line, role, plan, why));
        } else {
            entries.extend(convert::one(parsed, line, &chain.name, role, names, plan));
        }
    }
    entries
}

/// Segment sizes are the same in FORWARD; nothing else is done behind all decisions.
fn postrouting(table: &Table, chain: &Chain, plan: &mut Plan) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (line, parsed) in parsed(table, chain, plan) {
        if matches!(parsed.target, Target::Clamp(_)) && parsed.missing.is_empty() && parsed.never.is_none() {
            plan.info(
                line.number,
                "segment sizes are held to the limit for what is forwarded; this machine knows them",
            );
            let none = convert::Names::new();
            entries.extend(convert::one(parsed, line, &chain.name, Role::Layer, &none, plan));
        } else {
            let why = "there are no rules behind the decision to send";
            entries.push(left_out(&parsed, line, Role::Layer, plan, why));
        }
    }
    entries
}

fn everything_left_out(table: &Table, chain: &Chain, plan: &mut Plan, why: &str) -> Vec<Entry> {
    let rules = parsed(table, chain, plan);
    rules.iter().map(|(line, parsed)| left_out(parsed, line, Role::Layer, plan, why)).collect()
}

fn parsed<'a>(table: &Table, chain: &'a Chain, plan: &mut Plan) -> Vec<(&'a Line, options::Parsed)> {
    let about = About { family: plan.family, chains: &table.chains, hook: Some(&chain.name) };
    let mut rules = Vec::new();
    for line in &chain.rules {
        match options::parse(&line.words, &about) {
            Ok(parsed) => rules.push((line, parsed)),
            Err(message) => plan.mistake(line.number, message),
        }
    }
    rules
}

/// iptables chose the route anew by such a mark.
fn warn_of_marks(table: &Table, chain: &Chain, plan: &mut Plan) {
    for line in &chain.rules {
        let marks = line.words.iter().any(|word| word == "MARK") && table.chain("MARK").is_none();
        if marks {
            let message = format!("`{}` sets the mark, but the route is chosen already and stays", shown(&line.text));
            let comment = plan.warn(line.number, message);
            plan.output.push(Entry::Comment(comment));
        }
    }
}
