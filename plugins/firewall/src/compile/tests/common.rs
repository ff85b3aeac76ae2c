//! Sections by hand, and looking things up in rulesets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use portreeve_config::{Diagnostic, Span};

use crate::compile::{Options, compile};
use crate::config::*;
use crate::ruleset::{Chain, Elements, Entry, Label, Ruleset, Statement, Test, Verdict};

/// No defaults at all, two zones: lan (lan0), wan (wan0, ppp*).
pub fn bare() -> Config {
    let zone = |name: &str, interfaces: &[(&str, bool)]| Zone {
        name: name.to_owned(),
        interfaces: interfaces
            .iter()
            .map(|(name, prefix)| Interface { name: (*name).to_owned(), prefix: *prefix })
            .collect(),
        networks: Vec::new(),
        anti_spoofing: AntiSpoofing::Off,
        mss_clamp: MssClamp::Off,
        rfc3964: false,
        span: Span::default(),
    };
    let hook = |accept| Hook { accept, rules: Vec::new() };
    Config {
        zones: vec![zone("lan", &[("lan0", false)]), zone("wan", &[("wan0", false)])],
        policies: Vec::new(),
        rules: Vec::new(),
        input: hook(false),
        forward: hook(false),
        output: hook(true),
        prerouting: Vec::new(),
        chains: Vec::new(),
        sets: Vec::new(),
        nat: Vec::new(),
        defaults: Defaults {
            stateful: false,
            loopback: false,
            rfc4890: false,
            rfc6092: false,
            ping: false,
            dhcp_client: false,
            log_rate: Limit { packets: 10, seconds: 1, burst: 5, over: false, per: Per::Rule },
        },
        offload: None,
        conntrack: Conntrack::default(),
        guard: true,
    }
}

/// A gateway's defaults.
pub fn gateway() -> Config {
    let mut config = bare();
    let log_rate = config.defaults.log_rate;
    config.defaults = Defaults {
        stateful: true,
        loopback: true,
        rfc4890: true,
        rfc6092: true,
        ping: true,
        dhcp_client: true,
        log_rate,
    };
    config.policies = vec![policy(&[0], &[1], PolicyAction::Accept)];
    config
}

pub fn zones(zones: &[usize]) -> End {
    End::Zones { zones: zones.to_vec(), router: false }
}

pub fn router() -> End {
    End::Zones { zones: Vec::new(), router: true }
}

pub fn policy(from: &[usize], to: &[usize], action: PolicyAction) -> Policy {
    Policy { from: zones(from), to: zones(to), action, log: None, span: Span::new(70, 71) }
}

pub fn rule(matches: Matches, action: Action) -> Rule {
    Rule {
        name: None,
        from: End::Any,
        to: End::Any,
        matches,
        log: None,
        count: None,
        set_mark: None,
        add_source_to: None,
        action,
        span: Span::new(10, 20),
    }
}

pub fn list<T>(items: impl IntoIterator<Item = T>) -> List<T> {
    List { items: items.into_iter().collect(), negated: false, span: Span::default() }
}

pub fn host(address: &str) -> Address {
    Address::Range(IpRange::host(address.parse().expect("an address")))
}

pub fn between(first: &str, last: &str) -> Address {
    let range = match (first.parse().expect("an address"), last.parse().expect("an address")) {
        (IpAddr::V4(first), IpAddr::V4(last)) => IpRange::V4(first, last),
        (IpAddr::V6(first), IpAddr::V6(last)) => IpRange::V6(first, last),
        _ => unreachable!("of one family"),
    };
    Address::Range(range)
}

/// TCP to the port.
pub fn tcp(port: u16) -> Matches {
    Matches { protocol: list([6]), destination_port: list([Port::Range(port, port)]), ..Matches::default() }
}

/// From the source, TCP to the port.
pub fn tcp_from(source: &str, port: u16) -> Matches {
    Matches { source: list([host(source)]), ..tcp(port) }
}

pub fn compiled(config: &Config) -> (Ruleset, Vec<Diagnostic>) {
    let devices = ["lan0".to_owned(), "wan0".to_owned()];
    let (ruleset, warnings) = compile(config, &BTreeMap::new(), &devices, Options::default()).expect("it compiles");
    (without_last_counts(ruleset), warnings)
}

/// Without the rules that count what a hook drops at its end: all base chains that drop have one, and most tests are
/// about others.
pub fn without_last_counts(mut ruleset: Ruleset) -> Ruleset {
    let counts = |rule: &crate::ruleset::Rule| rule.label == Label::Default("to be dropped: nothing let it pass");
    let leads_on = |rule: &crate::ruleset::Rule| rule.label == Label::Default("no rule and no policy decides");
    for chain in ruleset.chains.iter_mut().filter(|chain| chain.base.is_some_and(|base| !base.accept)) {
        let last = chain.rules.pop_if(|rule| counts(rule));
        assert!(last.is_some() || chain.rules.last().is_some_and(leads_on), "{} counts nothing at its end", chain.name);
    }
    for chain in ruleset.chains.iter_mut().filter(|chain| chain.base.is_none()) {
        chain.rules.pop_if(|rule| counts(rule));
    }
    ruleset
}

pub fn ruleset(config: &Config) -> Ruleset {
    compiled(config).0
}

pub fn linear(config: &Config) -> Ruleset {
    without_last_counts(
        compile(config, &BTreeMap::new(), &[], Options { fold: false, ..Options::default() }).expect("it compiles").0,
    )
}

pub fn chain<'a>(ruleset: &'a Ruleset, name: &str) -> &'a Chain {
    let names: Vec<&str> = ruleset.chains.iter().map(|chain| chain.name.as_str()).collect();
    ruleset.chains.iter().find(|chain| chain.name == name).unwrap_or_else(|| panic!("no chain {name} in {names:?}"))
}

pub fn has_chain(ruleset: &Ruleset, name: &str) -> bool {
    ruleset.chains.iter().any(|chain| chain.name == name)
}

/// The statements of the chain's rules.
pub fn statements<'a>(ruleset: &'a Ruleset, name: &str) -> Vec<&'a [Statement]> {
    chain(ruleset, name).rules.iter().map(|rule| rule.statements.as_slice()).collect()
}

pub fn entries(ruleset: &Ruleset, set: usize) -> &[Entry] {
    match &ruleset.sets[set].elements {
        Elements::Verdicts(entries) => entries,
        other => panic!("not verdicts: {other:?}"),
    }
}

pub fn equal(selector: crate::ruleset::Selector, bytes: &[u8]) -> Statement {
    Statement::Match(selector, Test::Equal(bytes.to_vec()))
}

pub fn accept() -> Statement {
    Statement::Verdict(Verdict::Accept)
}

pub fn drop() -> Statement {
    Statement::Verdict(Verdict::Drop)
}

/// A name as in a key.
pub fn name(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
