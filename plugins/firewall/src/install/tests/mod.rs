//! Batches as the kernel reads them, reloads, errors, and what is shown.
//!
//! Messages are read back with the crate that wrote them; that the kernel takes every statement, selector and test was tried
//! on Linux 6.18, and what `nft list` shows of them is in `lowering`.

mod explained;
mod lowering;
mod reload;
mod shown;

use portreeve_config::Span;
use portreeve_nftables::{Decoded, Endian, Message, decode, messages};

use super::{Built, Existing, batch};
use crate::ruleset::{
    Base, Chain, ChainKind, Elements, HookPoint, KeyType, Label, Rule, Ruleset, Set, Statement, Verdict,
};

fn span(start: usize) -> Span {
    Span::new(start, start + 1)
}

fn rule(statements: Vec<Statement>, start: usize) -> Rule {
    Rule { statements, label: Label::Named(format!("rule {start}")), span: span(start) }
}

fn base(name: &str, rules: Vec<Rule>) -> Chain {
    let base = Base { hook: HookPoint::Input, kind: ChainKind::Filter, priority: 0, accept: false };
    Chain { name: name.to_owned(), base: Some(base), rules, span: span(1) }
}

fn chain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), base: None, rules, span: span(2) }
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
        span: span(3),
    }
}

fn accept() -> Statement {
    Statement::Verdict(Verdict::Accept)
}

fn built(ruleset: &Ruleset, existing: &Existing) -> Built {
    batch(ruleset, existing, Some(7), Endian::Little).expect("a batch")
}

fn each(built: &Built) -> Vec<Message<'_>> {
    let stages = built.stages.iter();
    stages.flat_map(|stage| messages(Endian::Little, stage)).map(|message| message.expect("whole")).collect()
}

/// What the messages do, as `+set name`, `-chain name`; rules as `+rule chain`.
fn told(built: &Built) -> Vec<String> {
    each(built).iter().map(tell).collect()
}

fn tell(message: &Message<'_>) -> String {
    const NAMES: [&str; 25] = [
        "+table",
        "",
        "-table",
        "+chain",
        "",
        "-chain",
        "+rule",
        "",
        "-rule",
        "+set",
        "",
        "-set",
        "+elements",
        "",
        "-elements",
        "",
        "",
        "",
        "+object",
        "",
        "-object",
        "",
        "+flowtable",
        "",
        "-flowtable",
    ];
    if message.subsystem() == 0 {
        return if message.operation() == 0x10 { "begin".to_owned() } else { "end".to_owned() };
    }
    let name = message
        .attributes()
        .filter(|attribute| matches!(attribute.kind, 1..=3))
        .filter_map(|attribute| {
            let text = attribute.value.strip_suffix(b"\0")?;
            let text = core::str::from_utf8(text).ok()?;
            (text.len() > 2 && text.chars().all(|c| c.is_ascii_graphic())).then(|| text.to_owned())
        })
        .last()
        .unwrap_or_default();
    format!("{} {name}", NAMES[usize::from(message.operation())])
}

/// What the kernel would have afterwards: the new messages are what a dump answers with.
fn installed(built: &Built) -> Existing {
    let mut existing = Existing::default();
    for message in each(built) {
        if matches!(
            decode(&message),
            Some(Decoded::Table(_) | Decoded::Chain(_) | Decoded::Set(_) | Decoded::Object(_) | Decoded::Flowtable(_))
        ) {
            existing.absorb(Endian::Little, message.bytes).expect("a dump");
        }
    }
    existing
}
