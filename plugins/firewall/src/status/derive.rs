//! What follows from the section and its compiled form without asking the kernel.

use portreeve_config::Span;

use super::{LINEAR_RUN, MAX_ROWS, Pair, Rule, Run, Set, Size, Status, Translation, Zone};
use crate::config::{
    self, AntiSpoofing, Config, End, IpRange, NatAction, NatRule, PolicyAction, ROUTER, Reject, SetKind,
};
use crate::ruleset::{Elements, Ruleset, Statement};
use crate::source::Source;
use crate::trace::place;

impl Status {
    /// Of a section in force; `section` is the text that the spans are places of.
    #[must_use]
    pub fn of(config: &Config, ruleset: &Ruleset, section: Source<'_>) -> Self {
        Self {
            zones: config.zones.iter().map(zone).collect(),
            pairs: pairs(config, ruleset),
            sets: config.sets.iter().map(|set| named(set, ruleset)).collect(),
            nat: config.nat.iter().take(MAX_ROWS).map(|rule| translation(rule, config, section)).collect(),
            rules: rules(config, section),
            linear: runs(ruleset, section),
            counter_names: ruleset.counters.clone(),
            size: Size {
                chains: ruleset.chains.len(),
                rules: ruleset.chains.iter().map(|chain| chain.rules.len()).sum(),
                sets: ruleset.sets.len(),
                elements: ruleset.sets.iter().map(elements).sum(),
            },
            ..Self::default()
        }
    }
}

fn zone(zone: &config::Zone) -> Zone {
    let written = |interface: &config::Interface| {
        if interface.prefix { format!("{}*", interface.name) } else { interface.name.clone() }
    };
    Zone {
        name: zone.name.clone(),
        interfaces: zone.interfaces.iter().map(written).collect(),
        anti_spoofing: match zone.anti_spoofing {
            AntiSpoofing::Strict => "strict",
            AntiSpoofing::Loose => "loose",
            AntiSpoofing::Off => "off",
        },
    }
}

/// One more than are shown, so that it can be said that there are more.
fn pairs(config: &Config, ruleset: &Ruleset) -> Vec<Pair> {
    let ends = || (0..config.zones.len()).map(Some).chain([None]);
    let all = ends().flat_map(|from| ends().map(move |to| (from, to)));
    let all = all.filter(|(from, to)| from.is_some() || to.is_some());
    all.take(MAX_ROWS + 1).map(|(from, to)| pair(config, ruleset, from, to)).collect()
}

/// None is this machine.
fn pair(config: &Config, ruleset: &Ruleset, from: Option<usize>, to: Option<usize>) -> Pair {
    let name = |end: Option<usize>| match end {
        None => ROUTER.to_owned(),
        Some(zone) => config.zones.get(zone).map(|zone| zone.name.clone()).unwrap_or_default(),
    };
    let covers = |end: &End, who: Option<usize>| match (end, who) {
        (End::Any, who) => who.is_some(),
        (End::Zones { router, .. }, None) => *router,
        (End::Zones { zones, .. }, Some(zone)) => zones.contains(&zone),
    };
    let policy = config.policies.iter().find(|policy| covers(&policy.from, from) && covers(&policy.to, to));
    let hook = match (from, to) {
        (None, _) => &config.output,
        (_, None) => &config.input,
        _ => &config.forward,
    };
    let (from, to) = (name(from), name(to));
    Pair {
        policy: match policy.map(|policy| policy.action) {
            Some(PolicyAction::Accept) => "accept".to_owned(),
            Some(PolicyAction::Drop) => "drop".to_owned(),
            Some(PolicyAction::Reject(reject)) => format!("reject ({})", reason(reject)),
            None if hook.accept => "accept".to_owned(),
            None => "drop".to_owned(),
        },
        by_hook: policy.is_none(),
        counter: policy.and_then(|policy| counter_of(ruleset, &format!("{from}-{to}"), policy.span)),
        from,
        to,
    }
}

/// What a policy counts under in the chain of a pair. The chain has the pair's name, or a number behind it where that was
/// taken: by one of the plugin's own, by that of zones whose names have dashes. None if it cannot be told which of two it is.
fn counter_of(ruleset: &Ruleset, pair: &str, policy: Span) -> Option<String> {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_its = |name: &str| {
        let behind = name.strip_prefix(pair);
        behind.is_some_and(|behind| behind.is_empty() || behind.strip_prefix('.').is_some_and(is_number))
    };
    let chains = ruleset.chains.iter().filter(|chain| chain.base.is_none() && is_its(&chain.name));
    let rules = chains.flat_map(|chain| chain.rules.last()).filter(|rule| rule.span == policy);
    let mut counters = rules.flat_map(|rule| &rule.statements).filter_map(|statement| match statement {
        Statement::Count(counter) => ruleset.counters.get(*counter),
        _ => None,
    });
    let found = counters.next();
    found.filter(|_| counters.next().is_none()).cloned()
}

const fn reason(reject: Reject) -> &'static str {
    match reject {
        Reject::PortUnreachable => "port unreachable",
        Reject::NoRoute => "no route",
        Reject::HostUnreachable => "host unreachable",
        Reject::ProtocolUnreachable => "protocol unreachable",
        Reject::NetworkProhibited => "network prohibited",
        Reject::HostProhibited => "host prohibited",
        Reject::AdminProhibited => "administratively prohibited",
        Reject::SourcePolicy => "source policy",
        Reject::RejectRoute => "reject route",
        Reject::TcpReset => "TCP reset",
    }
}

fn named(set: &config::NamedSet, ruleset: &Ruleset) -> Set {
    let parts = ruleset.sets.iter().filter(|part| part.named.as_deref() == Some(set.name.as_str()));
    Set {
        name: set.name.clone(),
        kind: match set.kind {
            SetKind::Addresses => "addresses",
            SetKind::Ports => "ports",
        },
        dynamic: set.dynamic,
        timeout: set.timeout,
        size: set.size,
        parts: parts.map(|part| (part.name.clone(), elements(part) as u64)).collect(),
    }
}

fn elements(set: &crate::ruleset::Set) -> usize {
    let single = set.key.len() == 1;
    let field = |of: &crate::ruleset::KeyType| if single { of.width() } else { of.width().next_multiple_of(4) };
    let width = set.key.iter().map(field).sum::<usize>().max(1);
    match &set.elements {
        Elements::Points(bytes) => bytes.len() / width,
        Elements::Ranges(bytes) => bytes.len() / width / 2,
        Elements::Verdicts(entries) => entries.len(),
    }
}

fn translation(rule: &NatRule, config: &Config, section: Source<'_>) -> Translation {
    let is_destination = matches!(rule.action, NatAction::DestinationTo { .. } | NatAction::Redirect { .. });
    let end = |end: &End| match end {
        End::Any => "*".to_owned(),
        End::Zones { zones, router } => {
            let names = zones.iter().filter_map(|zone| config.zones.get(*zone)).map(|zone| zone.name.as_str());
            names.chain(router.then_some(ROUTER)).collect::<Vec<_>>().join(" ")
        }
    };
    Translation {
        name: rule.name.clone().unwrap_or_default(),
        at: place(section, rule.span).0,
        between: if is_destination { format!("from {}", end(&rule.from)) } else { format!("to {}", end(&rule.to)) },
        action: action(&rule.action),
        counter: rule.count.clone(),
    }
}

fn action(action: &NatAction) -> String {
    let ports = |ports: &Option<(u16, u16)>| match ports {
        None => String::new(),
        Some((first, last)) if first == last => format!(", port {first}"),
        Some((first, last)) => format!(", ports {first}-{last}"),
    };
    let addresses = |range: &IpRange| match (range.single(), range) {
        (Some(address), _) => address.to_string(),
        (None, IpRange::V4(first, last)) => format!("{first}-{last}"),
        (None, IpRange::V6(first, last)) => format!("{first}-{last}"),
    };
    match action {
        NatAction::Masquerade { ports: range, .. } => format!("masquerade{}", ports(range)),
        NatAction::SourceTo { addresses: range, ports: to } => format!("source to {}{}", addresses(range), ports(to)),
        NatAction::DestinationTo { addresses: range, ports: to, .. } => {
            format!("destination to {}{}", addresses(range), ports(to))
        }
        NatAction::Redirect { ports: range } => format!("redirect to this machine{}", ports(range)),
        NatAction::Prefix { inside, outside } => {
            format!("prefix {}/{} to {}/{}", inside.0, inside.1, outside.0, outside.1)
        }
        NatAction::Skip => "none".to_owned(),
    }
}

/// All rules but those of translation, with the name of the list that they stand in.
fn lists(config: &Config) -> impl Iterator<Item = (&str, &[config::Rule])> {
    let lists = [
        ("prerouting", config.prerouting.as_slice()),
        ("input", &config.input.rules),
        ("forward", &config.forward.rules),
        ("output", &config.output.rules),
        ("rules", &config.rules),
    ];
    lists.into_iter().chain(config.chains.iter().map(|chain| (chain.name.as_str(), chain.rules.as_slice())))
}

/// Those with a name, a counter or a log.
fn rules(config: &Config, section: Source<'_>) -> Vec<Rule> {
    let all = lists(config).flat_map(|(list, rules)| rules.iter().map(move |rule| (list, rule)));
    all.filter(|(_, rule)| rule.name.is_some() || rule.count.is_some() || rule.log.is_some())
        .take(MAX_ROWS + 1)
        .map(|(list, rule)| {
            let (at, text) = place(section, rule.span);
            let logged = || rule.log.as_ref().map(|log| log.prefix.trim_end().to_owned());
            let (name, counter) = (rule.name.clone().or_else(logged).unwrap_or_default(), rule.count.clone());
            Rule { name, at, list: list.to_owned(), text, counter }
        })
        .collect()
}

/// Runs of more than [`LINEAR_RUN`] rules of a chain that no map stands for.
fn runs(ruleset: &Ruleset, section: Source<'_>) -> Vec<Run> {
    let is_map =
        |rule: &crate::ruleset::Rule| rule.statements.iter().any(|s| matches!(s, Statement::VerdictMap { .. }));
    let mut runs = Vec::new();
    for chain in &ruleset.chains {
        for rules in chain.rules.split(is_map).filter(|rules| rules.len() > LINEAR_RUN) {
            let (at, text) = rules.first().map(|rule| place(section, rule.span)).unwrap_or_default();
            runs.push(Run { chain: chain.name.clone(), rules: rules.len(), at, text });
        }
    }
    runs.truncate(MAX_ROWS + 1);
    runs
}
