//! What the section means, for people.

use std::fmt::Write as _;

use super::{AntiSpoofing, Config, End, NatAction, PolicyAction, ROUTER, zones};

/// Lines of one kind; of more only the number is told.
const MAX_LINES: usize = 24;

/// What the section means: a line for each zone and policy, and how many rules, sets and translations there are.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for zone in config.zones.iter().take(MAX_LINES) {
        let interfaces: Vec<String> = zone.interfaces.iter().take(MAX_LINES).map(zones::written).collect();
        let _ = write!(text, "zone {}: {}", zone.name, interfaces.join(", "));
        let check = match zone.anti_spoofing {
            AntiSpoofing::Strict => "",
            AntiSpoofing::Loose => "; sources loosely checked",
            AntiSpoofing::Off => "; sources not checked",
        };
        let _ = writeln!(text, "{check}");
    }
    more(&mut text, config.zones.len(), "zones");
    for policy in config.policies.iter().take(MAX_LINES) {
        let action = match policy.action {
            PolicyAction::Accept => "accepted",
            PolicyAction::Drop => "dropped",
            PolicyAction::Reject(_) => "rejected",
        };
        let logged = if policy.log.is_some() { ", logged" } else { "" };
        let _ = writeln!(text, "{} to {}: {action}{logged}", end(config, &policy.from), end(config, &policy.to));
    }
    more(&mut text, config.policies.len(), "policies");
    let word = |accept: bool| if accept { "accepted" } else { "dropped" };
    let _ = writeln!(
        text,
        "everything else: in {}, forwarded {}, out {}",
        word(config.input.accept),
        word(config.forward.accept),
        word(config.output.accept)
    );
    let hooks = [&config.input, &config.forward, &config.output].map(|hook| hook.rules.len());
    let counts = [
        (config.rules.len(), "between zones"),
        (hooks.iter().sum::<usize>() + config.prerouting.len(), "of hooks"),
        (config.chains.iter().map(|chain| chain.rules.len()).sum(), "in chains"),
        (config.nat.len(), "of address translation"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "rules: {}", counts.join(", "));
    }
    for rule in config.nat.iter().filter(|rule| matches!(rule.action, NatAction::Prefix { .. })).take(MAX_LINES) {
        if let NatAction::Prefix { inside, outside } = &rule.action {
            let _ = writeln!(text, "prefix {}/{} is seen as {}/{}", inside.0, inside.1, outside.0, outside.1);
        }
    }
    if !config.sets.is_empty() {
        let names: Vec<&str> = config.sets.iter().take(MAX_LINES).map(|set| set.name.as_str()).collect();
        let _ = writeln!(text, "sets: {}", names.join(", "));
    }
    more(&mut text, config.sets.len(), "sets");
    if let Some(offload) = &config.offload {
        let names: Vec<&str> =
            offload.zones.iter().filter_map(|at| config.zones.get(*at)).map(|zone| zone.name.as_str()).collect();
        let _ = writeln!(text, "established flows of {} pass by the rules", names.join(", "));
    }
    text
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > MAX_LINES {
        let _ = writeln!(text, "and {} more {what}", count - MAX_LINES);
    }
}

fn end(config: &Config, end: &End) -> String {
    match end {
        End::Any => "any".to_owned(),
        End::Zones { zones, router } => {
            let names = zones.iter().filter_map(|at| config.zones.get(*at)).map(|zone| zone.name.as_str());
            names.chain(router.then_some(ROUTER)).take(MAX_LINES).collect::<Vec<_>>().join(", ")
        }
    }
}
