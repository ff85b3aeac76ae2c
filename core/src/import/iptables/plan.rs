//! What is going to be written: the rules of each hook and chain, and what the operator is told.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Mistake, Note, Severity};
use super::Family;

/// A field of a rule that says what packets it is about, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Incoming,
    Outgoing,
    Source,
    Destination,
    Protocol,
    SourcePort,
    DestinationPort,
    Icmp,
    States,
    TcpFlags,
    Mark,
    SourceMac,
    HopLimit,
    LaterFragments,
    Translated,
    Limit,
    Connections,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Alternatives; with `negated` none of them.
    List { negated: bool, items: Vec<String> },
    /// RON.
    Text(String),
}

/// What must hold at once, one value for each field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matches(pub BTreeMap<Field, Value>);

impl Matches {
    /// Adds a condition; false if the field holds another one already, and one rule cannot say both.
    pub fn add(&mut self, field: Field, value: &Value) -> bool {
        match (self.0.get_mut(&field), value) {
            (None, _) => drop(self.0.insert(field, value.clone())),
            (Some(held), value) if held == value => {}
            // Neither of these and neither of those: none of them all.
            (Some(Value::List { negated: true, items }), Value::List { negated: true, items: more }) => {
                items.extend(more.iter().filter(|item| !items.contains(item)).cloned().collect::<Vec<_>>());
            }
            _ => return false,
        }
        true
    }

    /// Adds all of `other`; false, with nothing added, if one rule cannot say both.
    pub fn join(&mut self, other: &Self) -> bool {
        let mut both = self.clone();
        let joined = other.0.iter().all(|(field, value)| both.add(*field, value));
        if joined {
            *self = both;
        }
        joined
    }

    /// Whether it remembers earlier packets.
    pub fn counts(&self) -> bool {
        self.0.contains_key(&Field::Limit) || self.0.contains_key(&Field::Connections)
    }
}

/// A rule of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub name: Option<String>,
    pub matches: Matches,
    /// RON.
    pub log: Option<String>,
    /// RON.
    pub set_mark: Option<String>,
    /// Only of address translation: it is about what this machine sends.
    pub from_router: bool,
    /// Only of address translation: it is about what leaves, wherever to.
    pub to_anywhere: bool,
    /// RON.
    pub then: String,
    /// Above it.
    pub comments: Vec<String>,
}

/// A rule, or what stands in the place of one that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Rule(Box<Rule>),
    Comment(String),
}

/// Everything.
#[derive(Debug)]
pub(super) struct Plan {
    pub family: Family,
    file: String,
    /// For the head of the section.
    pub comments: Vec<String>,
    pub input: Vec<Entry>,
    pub forward: Vec<Entry>,
    pub output: Vec<Entry>,
    pub prerouting: Vec<Entry>,
    pub chains: Vec<(String, Vec<Entry>)>,
    pub nat: Vec<Entry>,
    /// Names of chains that are taken.
    names: BTreeSet<String>,
    pub notes: Vec<Note>,
    pub mistakes: Vec<Mistake>,
}

/// The longest name of a chain.
const MAX_NAME: usize = 64;

impl Plan {
    pub fn new(family: Family, file: &str) -> Self {
        Self {
            family,
            file: file.to_owned(),
            comments: Vec::new(),
            input: Vec::new(),
            forward: Vec::new(),
            output: Vec::new(),
            prerouting: Vec::new(),
            chains: Vec::new(),
            nat: Vec::new(),
            names: BTreeSet::new(),
            notes: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    /// Tells something that needs no action.
    pub fn info(&mut self, line: usize, message: impl Into<String>) {
        self.note(line, Severity::Info, message.into());
    }

    /// Whether this was told of some line.
    pub fn has_said(&self, message: &str) -> bool {
        self.notes.iter().any(|note| note.message == message)
    }

    /// Tells what was not taken over; the result is the comment for its place.
    pub fn warn(&mut self, line: usize, message: impl Into<String>) -> String {
        let message = message.into();
        let file = self.file.rsplit('/').next().unwrap_or_default();
        let comment = format!("{file}:{line}: {message}");
        self.note(line, Severity::Warning, message);
        comment
    }

    fn note(&mut self, line: usize, severity: Severity, message: String) {
        self.notes.push(Note { file: self.file.clone(), line, severity, message });
    }

    /// Records a line that cannot be understood.
    pub fn mistake(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake { file: self.file.clone(), line, message: message.into() });
    }

    /// A name for a chain that is legal and not yet taken, as near to the wish as can be.
    pub fn take_name(&mut self, wish: &str) -> String {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let mut base: String = wish.chars().map(|c| if legal(c) { c } else { '-' }).take(MAX_NAME - 8).collect();
        if base.is_empty() {
            base.push_str("chain");
        }
        let mut name = base.clone();
        let mut number = 2_u32;
        while !self.names.insert(name.clone()) {
            name = format!("{base}-{number}");
            number = number.saturating_add(1);
        }
        name
    }
}
