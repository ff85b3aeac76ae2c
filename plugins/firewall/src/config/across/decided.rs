//! Rules that come too late: what they are about a default has decided before them (`compile/defaults.rs`), so that they stop,
//! bound, log or count nothing. Of each list and default only the first is reported.

use portreeve_config::{Diagnostics, Span};

use crate::config::{Action, Config, ConnState, End, Matches, Rule};

/// Rules that defaults make vain.
pub(super) fn check(config: &Config, d: &mut Diagnostics) {
    list(config, &config.rules, from_others, d);
    list(config, &config.input.rules, |_| true, d);
    list(config, &config.forward.rules, |_| true, d);
    fragments(config, d);
}

/// Rules about what no rule sees.
fn fragments(config: &Config, d: &mut Diagnostics) {
    let Some(rule) = config.lists().flatten().find(|rule| rule.matches.later_fragments) else { return };
    let why = match () {
        () if config.tracks_connections() => "connection tracking puts packets together before",
        () if config.asks_of_transport() => {
            "packets are put together before, since ports or types of ICMP are asked for"
        }
        () => return,
    };
    let message = format!("no later fragment comes to this rule: {why}");
    d.warning_with_hint(begin(rule), message, "remove it; fragments that belong to nothing never pass");
}

fn list(config: &Config, rules: &[Rule], hears: impl Fn(&Rule) -> bool, d: &mut Diagnostics) {
    if !config.defaults.stateful {
        return;
    }
    if let Some(rule) = rules.iter().find(|rule| matters(rule) && hears(rule) && known(&rule.matches)) {
        let message = "the default `stateful` decides about packets of these states before this rule";
        let hint = "remove it, or write `stateful: false` in `defaults` and rules for known connections";
        d.warning_with_hint(begin(rule), message, hint);
    }
}

/// All of a rule may be long.
const fn begin(rule: &Rule) -> Span {
    Span::new(rule.span.start, rule.span.start + 1)
}

/// It does more than to let pass what passes anyhow.
fn matters(rule: &Rule) -> bool {
    let m = &rule.matches;
    !matches!(rule.action, Action::Accept | Action::Continue)
        || m.limit.is_some()
        || m.connections.is_some()
        || rule.log.is_some()
        || rule.count.is_some()
        || rule.set_mark.is_some()
        || rule.add_source_to.is_some()
}

/// A rule between zones is about more than what this machine sends, of which no default decides that matters here.
fn from_others(rule: &Rule) -> bool {
    match &rule.from {
        End::Any => true,
        End::Zones { zones, .. } => !zones.is_empty(),
    }
}

/// It is about known connections only, or about what fits none.
fn known(m: &Matches) -> bool {
    use ConnState::{Established, Invalid, New, Related, Untracked};
    let all = [New, Established, Related, Invalid, Untracked];
    let mut wanted = all.iter().filter(|state| m.states.contains(state) != m.states_negated);
    !m.states.is_empty() && wanted.all(|state| matches!(state, Established | Related | Invalid))
}

#[cfg(test)]
mod tests {
    use portreeve_config::Severity;

    use crate::config::Config;

    const ZONES: &str = r#"zones: {"lan": (interfaces: ["lan0"]), "wan": (interfaces: ["wan0"])},
        policies: [(from: ["lan"], to: ["wan", "router"], then: Accept)], "#;

    fn warnings(text: &str) -> Vec<String> {
        let (_, told) = Config::parse(&format!("({ZONES}{text})")).unwrap();
        told.into_iter().filter(|d| d.severity == Severity::Warning).map(|d| d.message).collect()
    }

    #[test]
    fn rules_about_what_a_default_decides_before_are_warned_of() {
        for rule in [
            r#"from: ["wan"], states: [Invalid], log: (), then: Drop"#,
            r#"from: ["wan"], not_states: [New, Untracked], count: true, then: Accept"#,
        ] {
            let told = warnings(&format!("rules: [({rule})]"));
            assert!(told.len() == 1 && told[0].contains("`stateful`"), "{rule}: {told:?}");
            let told = warnings(&format!("rules: [({rule})], defaults: (stateful: false)"));
            assert!(told.is_empty(), "{rule}: {told:?}");
        }
    }

    #[test]
    fn rules_that_see_their_packets_or_change_nothing_are_not() {
        for rule in [
            r#"from: ["router"], states: [Established], log: (), then: Accept"#,
            r#"from: ["wan"], states: [Established, Related], then: Accept"#,
            r#"from: ["wan"], states: [New, Invalid], then: Drop"#,
            // What passes where nothing decides does not come before rules.
            r#"from: ["wan"], to: ["lan"], icmp: ["echo-request"], then: Drop"#,
            r#"from: ["wan"], to: ["lan"], protocol: ["esp"], then: Drop"#,
        ] {
            let told = warnings(&format!("rules: [({rule})]"));
            assert!(told.is_empty(), "{rule}: {told:?}");
        }
    }

    #[test]
    fn one_of_each_list_is_told() {
        let rule = r#"(states: [Invalid], then: Drop)"#;
        assert_eq!(warnings(&format!("input: (rules: [{rule}, {rule}]), forward: (rules: [{rule}])")).len(), 2);
    }

    #[test]
    fn later_fragments_are_seen_only_where_nobody_puts_them_together() {
        let rule = r#"prerouting: [(family: Ipv4, later_fragments: true, then: Drop)]"#;
        let told = |text: &str| {
            let all = warnings(text);
            all.into_iter().filter(|message| message.contains("later fragment")).collect::<Vec<_>>()
        };
        assert_eq!(told(rule).len(), 1);
        let off = "defaults: (stateful: false, rfc4890: false, rfc6092: false, ping: false, dhcp_client: false)";
        assert_eq!(told(&format!("{rule}, {off}")), [""; 0]);
        for (more, why) in [
            (r#"input: (rules: [(protocol: ["tcp"], destination_port: ["22"], then: Accept)])"#, "ports"),
            (r#"input: (rules: [(states: [New], then: Accept)])"#, "connection tracking"),
            (r#"offload: (zones: ["lan", "wan"])"#, "connection tracking"),
        ] {
            let found = told(&format!("{rule}, {more}, {off}"));
            assert!(found.len() == 1 && found[0].contains(why), "{more}: {found:?}");
        }
    }
}
