//! Rules that come too late: what they are about a default has decided before them (`compile/defaults.rs`), so that they stop,
//! bound, log or count nothing. Of each list and default only the first is reported.

use portreeve_config::{Diagnostics, Span};

use crate::config::{Action, Address, Config, ConnState, End, Family, IpRange, Matches, PolicyAction, Port, Rule};

/// ICMP and ICMPv6 echo requests.
const ECHO: [(Family, u8); 2] = [(Family::V4, 8), (Family::V6, 128)];
/// What RFC 6092 lets in unasked: ESP, AH, mobility, HIP, and IKE's ports of UDP.
const UNASKED: [u8; 4] = [50, 51, 135, 139];
const UDP: u8 = 17;
const IKE: [u16; 2] = [500, 4500];
/// Rules that are compared with what RFC 6092 lets in.
const MAX_COMPARED: usize = 64;

/// Where the packets of a rule come from and go to, as far as defaults tell them apart.
#[derive(Clone, Copy)]
struct Ways {
    input: bool,
    forward: bool,
}

/// Rules that defaults make vain.
pub(super) fn check(config: &Config, d: &mut Diagnostics) {
    let input = |_: &Rule| Ways { input: true, forward: false };
    let forward = |_: &Rule| Ways { input: false, forward: true };
    list(config, &config.rules, ways, d);
    list(config, &config.input.rules, input, d);
    list(config, &config.forward.rules, forward, d);
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

fn list(config: &Config, rules: &[Rule], ways: impl Fn(&Rule) -> Ways, d: &mut Diagnostics) {
    let defaults = &config.defaults;
    let mut inward: Option<Vec<(usize, usize)>> = None;
    let (mut pings, mut states, mut unasked) = (defaults.ping, defaults.stateful, defaults.rfc6092);
    let mut compared = 0;
    for rule in rules.iter().filter(|rule| matters(rule)) {
        let way = ways(rule);
        if pings && let Some(which) = echo(&rule.matches, way) {
            pings = false;
            let message = format!("the default `ping` lets echo requests{which} pass before this rule");
            let hint = "write `ping: false` in `defaults`, and rules for the pings that are to pass";
            d.warning_with_hint(begin(rule), message, hint);
        }
        if states && (way.input || way.forward) && known(&rule.matches) {
            states = false;
            let message = "the default `stateful` decides about packets of these states before this rule";
            let hint = "remove it, or write `stateful: false` in `defaults` and rules for known connections";
            d.warning_with_hint(begin(rule), message, hint);
        }
        if unasked && way.forward && compared < MAX_COMPARED && is_unasked(&rule.matches) {
            compared += 1;
            let inward = inward.get_or_insert_with(|| inward_pairs(config));
            if inward.iter().any(|(from, to)| has(&rule.from, *from) && has(&rule.to, *to)) {
                unasked = false;
                let message = "the default `rfc6092` lets this pass over IPv6 before this rule";
                let hint = "write `rfc6092: false` in `defaults`, and rules for what is to pass";
                d.warning_with_hint(begin(rule), message, hint);
            }
        }
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

/// Of a rule between zones. What this machine sends itself no default decides that matters here.
fn ways(rule: &Rule) -> Ways {
    let of_zones = |end: &End| match end {
        End::Any => true,
        End::Zones { zones, .. } => !zones.is_empty(),
    };
    let to_router = match rule.to {
        End::Any => rule.matches.outgoing.items.is_empty(),
        End::Zones { router, .. } => router,
    };
    let outside = of_zones(&rule.from);
    Ways { input: outside && to_router, forward: outside && of_zones(&rule.to) }
}

/// Which echo requests it would be about; of those that are forwarded only IPv6's pass by default.
fn echo(m: &Matches, way: Ways) -> Option<&'static str> {
    if m.icmp.negated {
        return None;
    }
    let about = |(family, number): (Family, u8)| {
        let is_it = |kind| kind == number;
        m.icmp.items.iter().any(|kind| kind.family == family && kind.kind.is_none_or(is_it))
            && m.family.is_none_or(|only| only == family)
    };
    let [v4, v6] = ECHO.map(about);
    match way {
        Ways { input: true, .. } if v4 || v6 => Some(""),
        Ways { forward: true, .. } if v6 => Some(" of IPv6"),
        _ => None,
    }
}

/// It is about known connections only, or about what fits none.
fn known(m: &Matches) -> bool {
    use ConnState::{Established, Invalid, New, Related, Untracked};
    let all = [New, Established, Related, Invalid, Untracked];
    let mut wanted = all.iter().filter(|state| m.states.contains(state) != m.states_negated);
    !m.states.is_empty() && wanted.all(|state| matches!(state, Established | Related | Invalid))
}

/// Something of it passes by RFC 6092.
fn is_unasked(m: &Matches) -> bool {
    let is_v4 = |item: &Address| matches!(item, Address::Range(IpRange::V4(..)));
    let only_v4 = |items: &[Address]| !items.is_empty() && items.iter().all(is_v4);
    if m.family == Some(Family::V4)
        || only_v4(&m.source.items)
        || only_v4(&m.destination.items)
        || m.protocol.negated
        || m.destination_port.negated
    {
        return false;
    }
    let ike = |port: &Port| matches!(port, Port::Range(first, last) if IKE.iter().any(|port| (*first..=*last).contains(port)));
    let protocols = &m.protocol.items;
    protocols.iter().any(|number| UNASKED.contains(number))
        || (protocols.contains(&UDP) && m.destination_port.items.iter().any(ike))
}

fn has(end: &End, zone: usize) -> bool {
    match end {
        End::Any => true,
        End::Zones { zones, .. } => zones.contains(&zone),
    }
}

/// From zones whose packets do not pass to zones whose own do, by policies.
fn inward_pairs(config: &Config) -> Vec<(usize, usize)> {
    let count = config.zones.len();
    let accepts = |from: usize, to: usize| {
        let policy = config.policies.iter().find(|policy| has(&policy.from, from) && has(&policy.to, to));
        policy.is_some_and(|policy| policy.action == PolicyAction::Accept)
    };
    let all = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    all.filter(|(from, to)| from != to && !accepts(*from, *to) && accepts(*to, *from)).collect()
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
        for (rule, default) in [
            (
                r#"from: ["wan"], to: ["router"], icmp: ["echo-request"], limit: (rate: "5/second"), then: Accept"#,
                "`ping`",
            ),
            (r#"from: ["wan"], to: ["router"], family: Ipv4, icmp: ["any"], then: Drop"#, "`ping`"),
            (r#"from: ["wan"], to: ["lan"], icmp: ["echo-request"], then: Drop"#, "`ping`"),
            (r#"from: ["wan"], states: [Invalid], log: (), then: Drop"#, "`stateful`"),
            (r#"from: ["wan"], not_states: [New, Untracked], count: true, then: Accept"#, "`stateful`"),
            (r#"from: ["wan"], to: ["lan"], protocol: ["esp"], then: Drop"#, "`rfc6092`"),
            (r#"from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["500"], then: Drop"#, "`rfc6092`"),
        ] {
            let told = warnings(&format!("rules: [({rule})]"));
            assert!(told.len() == 1 && told[0].contains(default), "{rule}: {told:?}");
            let off = default.trim_matches('`');
            let told = warnings(&format!("rules: [({rule})], defaults: ({off}: false)"));
            assert!(told.is_empty(), "{rule}: {told:?}");
        }
    }

    #[test]
    fn rules_that_see_their_packets_or_change_nothing_are_not() {
        for rule in [
            r#"from: ["wan"], to: ["router"], icmp: ["echo-request"], then: Accept"#,
            r#"from: ["wan"], to: ["lan"], family: Ipv4, icmp: ["echo-request"], then: Drop"#,
            r#"from: ["router"], to: ["wan"], icmp: ["echo-request"], then: Drop"#,
            r#"from: ["wan"], icmp: ["!echo-request"], then: Drop"#,
            r#"from: ["wan"], states: [Established, Related], then: Accept"#,
            r#"from: ["wan"], states: [New, Invalid], then: Drop"#,
            r#"from: ["lan"], to: ["wan"], protocol: ["esp"], then: Drop"#,
            r#"from: ["wan"], to: ["lan"], family: Ipv4, protocol: ["esp"], then: Drop"#,
            r#"from: ["wan"], to: ["lan"], protocol: ["udp"], destination_port: ["!500"], then: Drop"#,
        ] {
            let told = warnings(&format!("rules: [({rule})]"));
            assert!(told.is_empty(), "{rule}: {told:?}");
        }
    }

    #[test]
    fn one_of_each_list_is_told_of_each_default() {
        let rule = r#"(icmp: ["echo-request"], then: Drop), (states: [Invalid], then: Drop)"#;
        assert_eq!(warnings(&format!("input: (rules: [{rule}, {rule}])")).len(), 2);
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
