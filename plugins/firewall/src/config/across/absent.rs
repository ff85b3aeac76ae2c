//! Interfaces that packets do not have: what comes to this machine leaves by none, what it sends came in by none. To the kernel
//! such an interface has the empty name, so a list that is negated holds of all of these packets. Hooks and zones see to that
//! (`compile/pairs.rs`); a chain is as it was written, wherever it is jumped to from.

use portreeve_config::Diagnostics;

use super::target;
use crate::config::{Config, End, Interface, List, Matches, Rule};

/// Rules of chains that ask what some packets that come there do not have.
pub(super) fn check(config: &Config, d: &mut Diagnostics) {
    let to_router = |rule: &&Rule| match rule.to {
        End::Any => rule.matches.outgoing.items.is_empty(),
        End::Zones { router, .. } => router,
    };
    let from_router = |rule: &&Rule| matches!(rule.from, End::Zones { router: true, .. });
    let coming = config.input.rules.iter().chain(&config.prerouting).chain(config.rules.iter().filter(to_router));
    let sent = config.output.rules.iter().chain(config.rules.iter().filter(from_router));
    let outgoing = |m: &Matches| m.outgoing.clone();
    tell(config, coming, outgoing, "packets for this machine leave by no interface, so this holds of all of them", d);
    let incoming = |m: &Matches| m.incoming.clone();
    tell(config, sent, incoming, "packets of this machine came in by no interface, so this holds of all of them", d);
}

fn tell<'a>(
    config: &'a Config,
    from: impl Iterator<Item = &'a Rule>,
    interfaces: impl Fn(&Matches) -> List<Interface>,
    message: &str,
    d: &mut Diagnostics,
) {
    let mut seen = vec![false; config.chains.len()];
    let mut waiting: Vec<usize> = from.filter_map(target).collect();
    while let Some(at) = waiting.pop() {
        let (Some(seen), Some(chain)) = (seen.get_mut(at), config.chains.get(at)) else { continue };
        if !std::mem::replace(seen, true) {
            waiting.extend(chain.rules.iter().filter_map(target));
        }
    }
    for (chain, _) in config.chains.iter().zip(&seen).filter(|(_, seen)| **seen) {
        let lists = chain.rules.iter().map(|rule| interfaces(&rule.matches));
        if let Some(list) = lists.into_iter().find(|list| list.negated && !list.items.is_empty()) {
            d.warning_with_hint(list.span, message, "jump to this chain only from rules whose packets have one");
        }
    }
}

#[cfg(test)]
mod tests {
    use portreeve_config::Severity;

    use crate::config::Config;

    #[test]
    fn negated_interfaces_in_chains_are_warned_of_where_packets_have_none() {
        let warnings = |callers: &str, rule: &str| {
            let text = format!(
                r#"(zones: {{"lan": (interfaces: ["lan0"]), "wan": (interfaces: ["wan0"])}},
                    policies: [(from: ["lan"], to: ["wan"], then: Accept)], {callers},
                    chains: {{"a": [(then: Jump("b"))], "b": [({rule}, then: Accept)]}})"#
            );
            let (_, told) = Config::parse(&text).unwrap();
            told.into_iter().filter(|d| d.severity == Severity::Warning).count()
        };
        let (out, come) = (r#"outgoing: ["!wan0"]"#, r#"incoming: ["!wan0"]"#);
        for (callers, rule, expected) in [
            (r#"input: (rules: [(then: Jump("a"))])"#, out, 1),
            (r#"input: (rules: [(then: Jump("a"))])"#, come, 0),
            (r#"input: (rules: [(then: Jump("a"))])"#, r#"outgoing: ["wan0"]"#, 0),
            (r#"output: (rules: [(then: Jump("a"))])"#, come, 1),
            (r#"output: (rules: [(then: Jump("a"))])"#, out, 0),
            (r#"forward: (rules: [(then: Jump("a"))])"#, out, 0),
            (r#"rules: [(then: Jump("a"))]"#, out, 1),
            (r#"rules: [(from: ["wan"], to: ["lan"], then: Jump("a"))]"#, out, 0),
            (r#"rules: [(from: ["router"], to: ["lan"], then: Jump("a"))]"#, come, 1),
        ] {
            assert_eq!(warnings(callers, rule), expected, "{callers} {rule}");
        }
    }
}
