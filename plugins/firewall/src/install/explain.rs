//! The kernel's errors as complaints about the section.
//!
//! An error has the sequence number of its message, which leads to the rule, set or chain and so to its place; and the
//! offset of an attribute, which leads to the expression or element. The first error is the cause. One failed message
//! makes others fail that refer to what it would have made, and a rule that may not stand where it is makes all that
//! follow it fail: of later errors those are told that cannot come from an earlier one.

use portreeve_config::{Diagnostic, Severity, Span};
use portreeve_nftables::{Acknowledgement, locate, messages};

use super::{
    TABLE,
    batch::{Built, Origin},
    set::entry_at,
};
use crate::ruleset::{ChainKind, Elements, Label, Ruleset, Statement};

/// Most complaints.
const MAX_TOLD: usize = 16;
/// Most errors that are looked at; one mistake can fail every rule.
const MAX_ERRORS: usize = 256;

/// errno of linux (asm-generic/errno.h).
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const E2BIG: i32 = 7;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const EEXIST: i32 = 17;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EMLINK: i32 = 31;
    pub(super) const ERANGE: i32 = 34;
    pub(super) const ENOTEMPTY: i32 = 39;
    pub(super) const ELOOP: i32 = 40;
    pub(super) const ERESTART: i32 = 85;
    pub(super) const EMSGSIZE: i32 = 90;
    pub(super) const EOPNOTSUPP: i32 = 95;
    pub(super) const EAFNOSUPPORT: i32 = 97;
    pub(super) const ENOBUFS: i32 = 105;
}

/// The kernel's rules changed since they were read: read them again, and build again.
#[must_use]
pub fn is_stale(errors: &[Acknowledgement]) -> bool {
    errors.iter().any(|error| error.errno.saturating_abs() == errno::ERESTART)
}

/// The kernel has no such thing, or not at this place.
const fn lacks(errno: i32) -> bool {
    matches!(errno, errno::ENOENT | errno::EOPNOTSUPP | errno::EAFNOSUPPORT)
}

/// The kernel refused what puts fragments together ([`Statement::Defragment`]); there is another way.
#[must_use]
pub fn cannot_defragment(ruleset: &Ruleset, built: &Built, errors: &[Acknowledgement]) -> bool {
    let is_it = |origin: &Origin| match origin {
        Origin::Rule { chain, rule } => {
            let found = ruleset.chains.get(*chain).and_then(|chain| chain.rules.get(*rule));
            found.is_some_and(|rule| rule.statements.contains(&Statement::Defragment))
        }
        _ => false,
    };
    // Anything else, such as a lack of memory, says nothing about what it can do.
    let lacking = errors.iter().filter(|error| lacks(error.errno.saturating_abs()));
    lacking.filter_map(|error| built.origin(error.sequence)).any(is_it)
}

/// What the kernel's answers to a transaction say about the section; nothing if there is no error among them.
#[must_use]
pub fn explain(ruleset: &Ruleset, built: &Built, errors: &[Acknowledgement]) -> Vec<Diagnostic> {
    let mut told: Vec<Diagnostic> = Vec::new();
    for error in errors.iter().filter(|error| error.errno != 0).take(MAX_ERRORS) {
        if told.len() >= MAX_TOLD {
            break;
        }
        let refused = Refused::of(ruleset, built, error);
        if told.is_empty() || refused.stands_alone() {
            let diagnostic = refused.diagnostic();
            if !told.contains(&diagnostic) {
                told.push(diagnostic);
            }
        }
        if error.errno.saturating_abs() == errno::EPERM {
            break;
        }
    }
    told
}

impl Origin {
    /// Where it is in the section.
    pub(super) fn span(&self, ruleset: &Ruleset) -> Span {
        let span = match self {
            Self::Chain(chain) => ruleset.chains.get(*chain).map(|chain| chain.span),
            Self::Set(set) | Self::Elements { set, .. } => ruleset.sets.get(*set).map(|set| set.span),
            Self::Rule { chain, rule } => {
                ruleset.chains.get(*chain).and_then(|chain| chain.rules.get(*rule)).map(|rule| rule.span)
            }
            Self::Flowtable => ruleset.flowtable.as_ref().map(|table| table.span),
            _ => None,
        };
        span.unwrap_or_default()
    }

    /// What it is, for people.
    pub(super) fn describe(&self, ruleset: &Ruleset) -> String {
        let chain_name = |chain: usize| ruleset.chains.get(chain).map_or("?", |chain| chain.name.as_str());
        let set_name = |set: usize| ruleset.sets.get(set).map_or("?", |set| set.name.as_str());
        match self {
            Self::Begin | Self::End => "the transaction".to_owned(),
            Self::Table => format!("the table `inet {TABLE}`"),
            Self::Removal(what) => format!("to remove {what}"),
            Self::Counter(counter) => {
                format!("the counter `{}`", ruleset.counters.get(*counter).map_or("?", String::as_str))
            }
            Self::Flowtable => "the flowtable".to_owned(),
            Self::Chain(chain) => format!("the chain `{}`", chain_name(*chain)),
            Self::Answer => "a chain of rejections".to_owned(),
            Self::Set(set) => format!("the set `{}`", set_name(*set)),
            Self::Elements { set, .. } => format!("an element of the set `{}`", set_name(*set)),
            Self::Rule { chain, rule } => {
                let label = ruleset.chains.get(*chain).and_then(|chain| chain.rules.get(*rule)).map(|rule| &rule.label);
                match label {
                    Some(Label::Named(name)) => format!("the rule `{name}`"),
                    Some(Label::Default(text)) => format!("the default rule ({text})"),
                    _ => "this rule".to_owned(),
                }
            }
        }
    }
}

/// An error with all that is known of it.
struct Refused<'a> {
    errno: i32,
    message: Option<&'a str>,
    origin: &'a Origin,
    ruleset: &'a Ruleset,
    /// The kernel's name of the expression.
    expression: Option<String>,
    span: Span,
}

impl<'a> Refused<'a> {
    fn of(ruleset: &'a Ruleset, built: &'a Built, error: &'a Acknowledgement) -> Self {
        let origin = built.origin(error.sequence).unwrap_or(&Origin::Begin);
        let mut found = Self {
            errno: error.errno.saturating_abs(),
            message: error.message.as_deref(),
            origin,
            ruleset,
            expression: None,
            span: origin.span(ruleset),
        };
        let message = {
            let mut all = built.stages.iter().flat_map(|stage| messages(built.endian, stage).flatten());
            all.find(|message| message.sequence == error.sequence)
        };
        let place = error.offset.zip(message).and_then(|(offset, message)| locate(built.endian, message.bytes, offset));
        if let Some(place) = place {
            found.expression = place.expression.map(|(_, name)| name);
            if let (Some(element), Origin::Elements { set, first }) = (place.element, origin) {
                found.span = element_span(ruleset, *set, *first, element).unwrap_or(found.span);
            }
        }
        found
    }

    /// What is kept for each value of a key is an expression within another, of which alone the kernel tells.
    fn within(&self) -> Option<&str> {
        let Origin::Rule { chain, rule } = self.origin else { return None };
        let rule = self.ruleset.chains.get(*chain)?.rules.get(*rule)?;
        let kept = rule.statements.iter().find_map(|statement| match statement {
            Statement::LimitEach { .. } => Some("limit"),
            Statement::ConnectionsEach { .. } => Some("connlimit"),
            _ => None,
        });
        kept.filter(|_| self.expression.as_deref() == Some("dynset") && lacks(self.errno))
    }

    /// It cannot come from an earlier error.
    fn stands_alone(&self) -> bool {
        match &self.expression {
            // These refer to what other messages make.
            Some(name) => !matches!(name.as_str(), "lookup" | "dynset" | "objref" | "flow_offload" | "immediate"),
            None => matches!(self.origin, Origin::Flowtable | Origin::Set(_)) && self.errno != errno::ENOENT,
        }
    }

    fn diagnostic(&self) -> Diagnostic {
        let (message, hint) = self.words();
        Diagnostic { severity: Severity::Error, span: self.span, message, hint }
    }

    fn words(&self) -> (String, Option<String>) {
        let code = self.code();
        let what = self.origin.describe(self.ruleset);
        let lacks = lacks(self.errno);
        if self.errno == errno::EPERM {
            let hint = "it needs CAP_NET_ADMIN in the user namespace of its network namespace".to_owned();
            return (format!("this process may not change nf_tables ({code}; CAP_NET_ADMIN)"), Some(hint));
        }
        let expression = self.within().or(self.expression.as_deref());
        if let Some((name, need)) = expression.and_then(|name| Some((name, needed(name)?))) {
            let Need { module, instead } = need;
            if self.errno == errno::ENOENT {
                let message =
                    format!("the kernel refused {what}: it has no expression `{name}` ({code}; module {module})");
                return (message, Some(format!("load the module, or {instead}")));
            }
            if lacks {
                let message =
                    format!("the kernel refused {what}: the expression `{name}` may not stand there ({code})");
                return (message, Some(format!("{instead}, or move it to another hook")));
            }
        }
        if let (Origin::Flowtable, true) = (self.origin, lacks) {
            let hint = "load the modules, see that all interfaces are there, or remove `offload`".to_owned();
            let modules = "modules nft_flow_offload, nf_flow_table, nf_flow_table_inet";
            return (format!("the kernel refused the flowtable ({code}; {modules})"), Some(hint));
        }
        if let (Origin::Chain(chain), true) = (self.origin, lacks) {
            let base = self.ruleset.chains.get(*chain).and_then(|chain| chain.base);
            if base.is_some_and(|base| base.kind == ChainKind::Nat) {
                let hint = "load the module, or remove the `nat` rules".to_owned();
                return (
                    format!("the kernel refused {what}: it has no chains of type nat ({code}; module nft_chain_nat)"),
                    Some(hint),
                );
            }
        }
        let (reason, hint) = self.reason(lacks);
        let mut message = match reason {
            Some(reason) => format!("the kernel refused {what}: {reason} ({code})"),
            None => format!("the kernel refused {what} ({code})"),
        };
        if let Some(text) = self.message {
            message.push_str(": ");
            message.push_str(text);
        }
        if let Some(name) = &self.expression {
            message.push_str(&format!(", at the expression `{name}`"));
        }
        (message, hint.map(str::to_owned))
    }

    /// Why, where the number says it, and what to do.
    fn reason(&self, lacks: bool) -> (Option<&'static str>, Option<&'static str>) {
        let elements = matches!(self.origin, Origin::Elements { .. });
        let sets = elements || matches!(self.origin, Origin::Set(_));
        match self.errno {
            errno::ENFILE | errno::ENOSPC if elements => (Some("the set is full"), Some("raise its `size`")),
            errno::EEXIST | errno::ENOTEMPTY | errno::EBUSY if elements => (Some("it overlaps another element"), None),
            errno::EEXIST if matches!(self.origin, Origin::Table) => {
                (Some("a table of this name appeared meanwhile"), Some("try again"))
            }
            errno::EBUSY => {
                (Some("it is in use"), Some("another program's rules may refer to it: see `nft list ruleset`"))
            }
            errno::EMLINK | errno::ELOOP => (Some("chains jump in a circle, or more than 16 deep"), None),
            errno::E2BIG | errno::EMSGSIZE => (Some("it is too big"), Some("divide the set or the rule")),
            errno::ENOMEM | errno::ENOBUFS | errno::ENOSPC | errno::ENFILE => {
                (Some("the kernel has no memory for it"), None)
            }
            errno::ERESTART => (Some("another program changed its rules meanwhile"), Some("try again")),
            errno::ERANGE => (Some("a number is beyond what it takes"), None),
            errno::ENOENT | errno::EOPNOTSUPP | errno::EAFNOSUPPORT if sets && lacks => (
                Some("it has no sets of this type"),
                Some("this needs a newer kernel, or one with all sets of nf_tables"),
            ),
            errno::EOPNOTSUPP if lacks && matches!(self.origin, Origin::Rule { .. }) => {
                (Some("something in it may not stand at this hook"), None)
            }
            errno::EINVAL => (Some("it does not understand it"), Some("this may need a newer kernel")),
            _ => (None, None),
        }
    }

    fn code(&self) -> String {
        let name = match self.errno {
            errno::EPERM => "EPERM",
            errno::ENOENT => "ENOENT",
            errno::E2BIG => "E2BIG",
            errno::ENOMEM => "ENOMEM",
            errno::EBUSY => "EBUSY",
            errno::EEXIST => "EEXIST",
            errno::EINVAL => "EINVAL",
            errno::ENFILE => "ENFILE",
            errno::ENOSPC => "ENOSPC",
            errno::EMLINK => "EMLINK",
            errno::ERANGE => "ERANGE",
            errno::ENOTEMPTY => "ENOTEMPTY",
            errno::ELOOP => "ELOOP",
            errno::ERESTART => "ERESTART",
            errno::EMSGSIZE => "EMSGSIZE",
            errno::EOPNOTSUPP => "EOPNOTSUPP",
            errno::EAFNOSUPPORT => "EAFNOSUPPORT",
            errno::ENOBUFS => "ENOBUFS",
            other => return format!("errno {other}"),
        };
        name.to_owned()
    }
}

/// What an expression needs of the kernel.
struct Need {
    module: &'static str,
    instead: &'static str,
}

/// Of expressions that are modules of their own.
fn needed(expression: &str) -> Option<Need> {
    let (module, instead) = match expression {
        "fib" => ("nft_fib_inet", "remove `anti_spoofing` and addresses `local`"),
        "ct" | "notrack" => ("nft_ct", "remove what asks for states of connections"),
        "limit" => ("nft_limit", "remove `limit` and the rates of logs"),
        "log" => ("nft_log", "remove `log`"),
        "reject" => ("nft_reject_inet", "use `Drop` instead of `Reject`"),
        "masq" => ("nft_masq", "remove `Masquerade`"),
        "nat" => ("nft_nat", "remove the `nat` rules"),
        "redir" => ("nft_redir", "remove `Redirect`"),
        "connlimit" => ("nft_connlimit", "remove `connections`"),
        "flow_offload" => ("nft_flow_offload", "remove `offload`"),
        "objref" => ("nft_objref", "load it: what is dropped is counted"),
        "exthdr" | "rt" => ("nf_tables", "remove `mss_clamp`"),
        _ => return None,
    };
    Some(Need { module, instead })
}

/// The place of an entry of a verdict map.
fn element_span(ruleset: &Ruleset, set: usize, first: usize, element: usize) -> Option<Span> {
    let set = ruleset.sets.get(set)?;
    match &set.elements {
        Elements::Verdicts(entries) => {
            entries.get(entry_at(set, entries, first.saturating_add(element))).map(|entry| entry.span)
        }
        Elements::Points(_) | Elements::Ranges(_) => None,
    }
}
