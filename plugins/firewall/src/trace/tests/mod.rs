//! Tests of the interpreter: rulesets by hand, and two compilations of a section against each other.

mod chains;
mod differential;
mod fields;
mod nat;
mod reference;
mod report;
mod request;
mod statements;

use std::net::IpAddr;

use portreeve_config::Span;

use super::{Outcome, Packet, Path, Trace, protocol, trace};
use crate::ruleset::{
    Base, Chain, ChainKind, Elements, Entry, HookPoint, KeyType, Label, Rule, Ruleset, Selector, Set, Statement, Test,
    Verdict,
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// TCP from 2001:db8::1 port 40000 to 2001:db8:1::2 port 22, in by lan0, out by wan0.
fn ssh6() -> Packet {
    Packet {
        input: Some("lan0".to_owned()),
        output: Some("wan0".to_owned()),
        source_port: Some(40_000),
        destination_port: Some(22),
        tcp_flags: Some(0x02),
        ..Packet::new(Path::Through, address("2001:db8::1"), address("2001:db8:1::2"), protocol::TCP)
    }
}

/// The same with 192.0.2.1 and 198.51.100.2.
fn ssh4() -> Packet {
    Packet { source: address("192.0.2.1"), destination: address("198.51.100.2"), ..ssh6() }
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn is(selector: Selector, bytes: &[u8]) -> Statement {
    Statement::Match(selector, Test::Equal(bytes.to_vec()))
}

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
const DROP: Statement = Statement::Verdict(Verdict::Drop);

fn rule(statements: &[Statement]) -> Rule {
    Rule { statements: statements.to_vec(), label: Label::Section, span: Span::default() }
}

fn base(name: &str, hook: HookPoint, kind: ChainKind, priority: i32, accept: bool, rules: &[Rule]) -> Chain {
    Chain {
        name: name.to_owned(),
        base: Some(Base { hook, kind, priority, accept }),
        rules: rules.to_vec(),
        span: Span::default(),
    }
}

fn forward(accept: bool, rules: &[Rule]) -> Chain {
    base("forward", HookPoint::Forward, ChainKind::Filter, 0, accept, rules)
}

fn plain(name: &str, rules: &[Rule]) -> Chain {
    Chain { name: name.to_owned(), base: None, rules: rules.to_vec(), span: Span::default() }
}

fn set(name: &str, key: &[KeyType], elements: Elements) -> Set {
    Set {
        name: name.to_owned(),
        key: key.to_vec(),
        map: matches!(elements, Elements::Verdicts(_)),
        interval: matches!(elements, Elements::Ranges(_)),
        dynamic: false,
        stateful: false,
        timeout: None,
        filled_at: 0,
        size: 0,
        elements,
        named: None,
        span: Span::default(),
    }
}

fn entry(key: &[u8], verdict: Verdict) -> Entry {
    Entry { key: key.to_vec(), last: None, verdict, span: Span::default() }
}

fn chains(chains: Vec<Chain>) -> Ruleset {
    Ruleset { chains, counters: vec!["one".to_owned(), "two".to_owned()], ..Ruleset::default() }
}

/// Whether a forward chain that accepts by these statements alone accepts the packet; its policy is to drop.
fn holds(statements: &[Statement], sets: &[Set], packet: &Packet) -> bool {
    let mut all = statements.to_vec();
    all.push(ACCEPT);
    let ruleset = Ruleset { sets: sets.to_vec(), ..chains(vec![forward(false, &[rule(&all)])]) };
    match trace(&ruleset, packet).verdict {
        Outcome::Accept => true,
        Outcome::Drop => false,
        other => panic!("{other:?}"),
    }
}

fn effects(trace: &Trace) -> Vec<&str> {
    trace.steps.iter().map(|step| step.what.as_str()).collect()
}
