//! What no field can be wrong about alone: chains that lead in circles, what nothing uses, what nothing reaches.
//! `across/decided.rs` looks for rules that defaults make vain, `across/absent.rs` for what packets do not have.

mod absent;
mod decided;

use std::collections::HashSet;

use portreeve_config::{Diagnostics, Span};

use super::read::Places;
use super::{Action, Address, Config, End, Matches, Policy, Port, Rule};

/// Named chains that may lead into each other. The kernel follows 16 jumps; those that the plugin makes itself come first.
const MAX_DEPTH: usize = 12;
/// Rules without a condition that later ones are compared with.
const MAX_COMPARED: usize = 64;

pub(super) fn check(config: &Config, places: &Places, d: &mut Diagnostics) {
    circles(config, d);
    unused(config, d);
    for rules in config.lists() {
        unreachable(rules, d);
    }
    decided::check(config, d);
    absent::check(config, d);
    policies(&config.policies, d);
    open(config, places, d);
}

/// The chain that a rule leads to.
const fn target(rule: &Rule) -> Option<usize> {
    match rule.action {
        Action::Jump(chain) | Action::Goto(chain) => Some(chain),
        _ => None,
    }
}

/// Chains are taken away from the end of the jumps; what is left are circles and what leads to them.
fn circles(config: &Config, d: &mut Diagnostics) {
    let chains = &config.chains;
    let jumps: Vec<Vec<(usize, Span)>> = chains
        .iter()
        .map(|chain| chain.rules.iter().filter_map(|rule| Some((target(rule)?, rule.span))).collect())
        .collect();
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); chains.len()];
    for (from, jumps) in jumps.iter().enumerate() {
        for (to, _) in jumps {
            if let Some(callers) = callers.get_mut(*to) {
                callers.push(from);
            }
        }
    }
    let mut left: Vec<usize> = jumps.iter().map(Vec::len).collect();
    let mut depth = vec![1usize; chains.len()];
    let mut ready: Vec<usize> = (0..chains.len()).filter(|at| left.get(*at) == Some(&0)).collect();
    let mut done = vec![false; chains.len()];
    while let Some(at) = ready.pop() {
        let below = depth.get(at).copied().unwrap_or(1);
        if let Some(done) = done.get_mut(at) {
            *done = true;
        }
        for caller in callers.get(at).into_iter().flatten() {
            if let (Some(left), Some(depth)) = (left.get_mut(*caller), depth.get_mut(*caller)) {
                *depth = (*depth).max(below + 1);
                *left -= 1;
                if *left == 0 {
                    ready.push(*caller);
                }
            }
        }
    }
    // What only leads to a circle is not one: take away from the other side too.
    let mut in_circle: Vec<bool> = done.iter().map(|done| !done).collect();
    loop {
        let called = |at: usize, in_circle: &[bool]| {
            callers.get(at).is_some_and(|callers| callers.iter().any(|caller| in_circle.get(*caller) == Some(&true)))
        };
        let free = (0..chains.len()).filter(|at| in_circle.get(*at) == Some(&true) && !called(*at, &in_circle));
        let free: Vec<usize> = free.collect();
        if free.is_empty() {
            break;
        }
        for at in free {
            if let Some(found) = in_circle.get_mut(at) {
                *found = false;
            }
        }
    }
    for (at, jumps) in jumps.iter().enumerate().filter(|(at, _)| in_circle.get(*at) == Some(&true)) {
        let back = jumps.iter().find(|(to, _)| in_circle.get(*to) == Some(&true));
        if let (Some((to, span)), Some(chain)) = (back, chains.get(at)) {
            let to = chains.get(*to).map_or("", |chain| chain.name.as_str());
            let message = format!("chains \"{}\" and \"{to}\" lead into each other", chain.name);
            let message = if to == chain.name { format!("chain \"{to}\" leads into itself") } else { message };
            d.error_with_hint(*span, message, "let a chain lead only to others that do not lead back");
        }
    }
    for (chain, depth) in chains.iter().zip(&depth).filter(|(_, depth)| **depth == MAX_DEPTH + 1) {
        let message =
            format!("from chain \"{}\" on more than {MAX_DEPTH} chains lead into each other ({depth})", chain.name);
        d.error_with_hint(chain.span, message, "write rules of the last ones into those before");
    }
}

/// Sets and chains that no rule uses, dynamic sets that nothing adds to.
fn unused(config: &Config, d: &mut Diagnostics) {
    let (mut sets, mut added, mut chains) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut of = |m: &Matches| {
        let addresses = m.source.items.iter().chain(&m.destination.items);
        sets.extend(addresses.filter_map(|item| if let Address::Set(set) = item { Some(*set) } else { None }));
        let ports = m.source_port.items.iter().chain(&m.destination_port.items);
        sets.extend(ports.filter_map(|item| if let Port::Set(set) = item { Some(*set) } else { None }));
    };
    // Where there is nothing to use, thousands of rules need not be looked at.
    if config.sets.is_empty() && config.chains.is_empty() {
        return;
    }
    for rule in config.lists().flatten() {
        of(&rule.matches);
        added.extend(rule.add_source_to);
        chains.extend(target(rule));
    }
    config.nat.iter().for_each(|rule| of(&rule.matches));
    for (at, set) in config.sets.iter().enumerate() {
        if set.dynamic && !added.contains(&at) {
            let message = format!("nothing adds to \"{}\"", set.name);
            d.warning_with_hint(set.span, message, format!("write `add_source_to: \"{}\"` in a rule", set.name));
        } else if !sets.contains(&at) && !added.contains(&at) {
            let message = format!("no rule uses set \"{}\"", set.name);
            d.warning_with_hint(set.span, message, format!("write \"@{}\" in a rule, or remove it", set.name));
        }
    }
    for (_, chain) in config.chains.iter().enumerate().filter(|(at, _)| !chains.contains(at)) {
        let message = format!("no rule leads to chain \"{}\"", chain.name);
        let hint = format!("write `then: Jump(\"{}\")` in a rule, or remove it", chain.name);
        d.warning_with_hint(chain.span, message, hint);
    }
}

/// What comes to this rule from these ends goes no further.
fn is_final(rule: &Rule, everything: &Matches) -> bool {
    let ends =
        matches!(rule.action, Action::Accept | Action::Drop | Action::Reject(_) | Action::Goto(_) | Action::Return);
    ends && rule.matches == *everything
}

/// Whether all that is of `part` is of `whole`.
fn covers(whole: &End, part: &End) -> bool {
    match (whole, part) {
        (End::Any, _) => true,
        (End::Zones { .. }, End::Any) => false,
        (End::Zones { zones, router }, End::Zones { zones: part, router: part_router }) => {
            (*router || !part_router) && part.iter().all(|zone| zones.contains(zone))
        }
    }
}

/// Of each list only the first rule is reported that nothing reaches.
fn unreachable(rules: &[Rule], d: &mut Diagnostics) {
    let mut finals: Vec<&Rule> = Vec::new();
    let everything = Matches::default();
    for rule in rules {
        if finals.iter().any(|last| covers(&last.from, &rule.from) && covers(&last.to, &rule.to)) {
            let start = rule.span.start;
            let message = "nothing comes to this rule: one before it decides everything";
            d.warning_with_hint(Span::new(start, start + 1), message, "write it before that one, or remove it");
            return;
        }
        if finals.len() < MAX_COMPARED && is_final(rule, &everything) {
            finals.push(rule);
        }
    }
}

fn policies(policies: &[Policy], d: &mut Diagnostics) {
    // Here "*" is not this machine.
    let router = |end: &End| matches!(end, End::Zones { router: true, .. });
    let covers = |whole: &End, part: &End| covers(whole, part) && (router(whole) || !router(part));
    for (at, policy) in policies.iter().enumerate() {
        let mut before = policies.iter().take(at);
        if before.any(|first| covers(&first.from, &policy.from) && covers(&first.to, &policy.to)) {
            let start = policy.span.start;
            let message = "nothing comes to this policy: one before it decides everything";
            d.warning_with_hint(Span::new(start, start + 1), message, "write it before that one, or remove it");
        }
    }
}

/// Sections that are closed, or open, and probably not on purpose.
fn open(config: &Config, places: &Places, d: &mut Diagnostics) {
    let rules = config.lists().all(<[Rule]>::is_empty) && config.nat.is_empty();
    if config.zones.is_empty() && rules && !config.input.accept && !config.forward.accept {
        let message = "there is no zone and no rule: nothing comes in, and nothing is forwarded";
        d.warning_with_hint(places.section, message, "add `zones`, `policies` and `rules`");
    }
    if !config.zones.is_empty() {
        for (accept, place, name) in
            [(config.input.accept, places.input, "comes in"), (config.forward.accept, places.forward, "is forwarded")]
        {
            if let (true, Some(span)) = (accept, place) {
                let message = format!("what no rule and no policy of a zone decides {name}");
                d.warning_with_hint(span, message, "write Drop, and policies for what is to pass");
            }
        }
    }
    let drops = !config.input.accept || !config.forward.accept;
    if let (false, true, Some(span)) = (config.defaults.rfc4890, drops, places.rfc4890) {
        let message = "without rfc4890, IPv6 does not work unless rules let its ICMPv6 pass";
        d.warning_with_hint(span, message, "remove `rfc4890: false`, or see RFC 4890 section 4 for the rules");
    }
}
