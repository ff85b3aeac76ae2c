//! Selectors, tests and verdicts in words, and a trace as rows for people.

use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_config::Span;

use super::{Outcome, Step, Trace};
use crate::config::Reject;
use crate::ruleset::{Label, Rate, RejectWith, Selector, Test, ct};
use crate::source::Source;

/// Columns of [`report`] and [`missed`].
pub const COLUMNS: [&str; 5] = ["chain", "rule", "at", "text", "effect"];
/// Characters of a rule's first line that are shown.
const TEXT: usize = 60;
/// Names of connection tracking's states.
const STATES: [(u32, &str); 5] = [
    (ct::INVALID, "invalid"),
    (ct::ESTABLISHED, "established"),
    (ct::RELATED, "related"),
    (ct::NEW, "new"),
    (ct::UNTRACKED, "untracked"),
];

/// What held of the packet, in order; the last row is the verdict and the rule that decides it. `section` is the text
/// that the spans are places of.
#[must_use]
pub fn report(trace: &Trace, section: Source<'_>) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = trace.steps.iter().map(|step| row(step, section)).collect();
    let decision = trace.decided_by.and_then(|at| trace.steps.get(at));
    let mut last = decision.map_or_else(|| row_of("", "", Span::default(), section, ""), |step| row(step, section));
    let by = match decision {
        None => "no rule decides".to_owned(),
        Some(Step { rule: None, chain, .. }) => format!("by the policy of {chain}"),
        Some(Step { label: Some(Label::Default(text)), .. }) => format!("by a default, {text}"),
        Some(Step { label: Some(Label::Named(name)), .. }) => format!("by rule {name}"),
        Some(step) => format!("by the rule of line {}", section.position(step.span.start).line),
    };
    let cut = if trace.truncated { "; not every step is shown" } else { "" };
    if let Some(chain) = last.first_mut() {
        "verdict".clone_into(chain);
    }
    if let Some(effect) = last.last_mut() {
        *effect = format!("{}, {by}{cut}", outcome(trace.verdict));
    }
    rows.push(last);
    rows
}

/// Rules of the section that were reached and did not hold, and why.
#[must_use]
pub fn missed(trace: &Trace, section: Source<'_>) -> Vec<Vec<String>> {
    trace.missed.iter().map(|step| row(step, section)).collect()
}

fn row(step: &Step, section: Source<'_>) -> Vec<String> {
    let rule = match &step.label {
        None => "policy",
        Some(Label::Named(name)) => name,
        Some(Label::Default(text)) => text,
        Some(Label::Section) => "",
    };
    row_of(&step.chain, rule, step.span, section, &step.what)
}

fn row_of(chain: &str, rule: &str, span: Span, section: Source<'_>, effect: &str) -> Vec<String> {
    let (at, text) = place(section, span);
    vec![chain.to_owned(), rule.to_owned(), at, text, effect.to_owned()]
}

/// Line and column, and the first line of the text there, shortened; both empty for what stands nowhere.
pub(crate) fn place(section: Source<'_>, span: Span) -> (String, String) {
    let text = section.slice(span);
    if text.is_empty() {
        return (String::new(), String::new());
    }
    let position = section.position(span.start);
    let line = text.lines().next().unwrap_or_default().trim_end();
    let is_cut = text.trim_end().len() > line.len() || line.chars().count() > TEXT;
    let shown = if is_cut {
        let mut shown: String = line.chars().take(TEXT - 1).collect();
        shown.push('…');
        shown
    } else {
        line.to_owned()
    };
    (format!("{}:{}", position.line, position.column), shown)
}

/// What became of it.
#[must_use]
pub fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accept => "accepted".to_owned(),
        Outcome::Drop => "dropped".to_owned(),
        Outcome::Reject(with) => format!("rejected with {}", reject(with)),
        Outcome::Unfinished => "undecided: the rules cannot be followed to an end".to_owned(),
    }
}

/// What the sender hears.
pub(super) const fn reject(with: RejectWith) -> &'static str {
    match with {
        RejectWith::TcpReset | RejectWith::Icmp(Reject::TcpReset) => "a TCP reset",
        RejectWith::Icmp(code) => match code {
            Reject::PortUnreachable => "port unreachable",
            Reject::NoRoute => "no route",
            Reject::HostUnreachable => "host unreachable",
            Reject::ProtocolUnreachable => "protocol unreachable",
            Reject::NetworkProhibited => "network prohibited",
            Reject::HostProhibited => "host prohibited",
            Reject::AdminProhibited | Reject::TcpReset => "administratively prohibited",
            Reject::SourcePolicy => "source address failed policy",
            Reject::RejectRoute => "reject route",
        },
    }
}

pub(super) fn rate(rate: &Rate) -> String {
    let unit = match rate.seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3600 => "hour".to_owned(),
        86400 => "day".to_owned(),
        other => format!("{other} s"),
    };
    format!("{}/{unit}", rate.packets)
}

/// Why a match did not hold.
pub(super) fn miss(selector: Selector, test: &Test, value: &[u8]) -> String {
    format!("{} is {}, asked for: {}", name(selector), show(selector, value), asked(selector, test))
}

/// Why a lookup did not hold.
pub(super) fn miss_set(selectors: &[Selector], set: &str, invert: bool) -> String {
    let verb = if invert { "in" } else { "not in" };
    format!("{} {verb} {set}", names(selectors))
}

pub(super) fn names(selectors: &[Selector]) -> String {
    selectors.iter().map(|selector| name(*selector)).collect::<Vec<_>>().join(" and ")
}

fn asked(selector: Selector, test: &Test) -> String {
    let show = |bytes: &[u8]| show(selector, bytes);
    match test {
        Test::Equal(bytes) => show(bytes),
        Test::NotEqual(bytes) => format!("other than {}", show(bytes)),
        Test::Prefix(bytes) => format!("{}*", text(bytes)),
        Test::NotPrefix(bytes) => format!("other than {}*", text(bytes)),
        Test::Range(first, last) => format!("{}-{}", show(first), show(last)),
        Test::NotRange(first, last) => format!("other than {}-{}", show(first), show(last)),
        Test::Masked { mask, value, invert } => {
            format!("{}{}/{}", if *invert { "other than " } else { "" }, show(value), show(mask))
        }
        Test::Any(mask) => format!("one of the bits {}", show(mask)),
        Test::None(mask) => format!("none of the bits {}", show(mask)),
        Test::Below(limit) => format!("below {}", show(limit)),
        Test::Above(limit) => format!("above {}", show(limit)),
    }
}

/// What people call it.
pub(super) const fn name(selector: Selector) -> &'static str {
    match selector {
        Selector::InputInterface => "input interface",
        Selector::OutputInterface => "output interface",
        Selector::Family => "family",
        Selector::Protocol => "protocol",
        Selector::Source4 | Selector::Source6 => "source",
        Selector::Destination4 | Selector::Destination6 => "destination",
        Selector::Source6Network => "source network",
        Selector::Source6Embedded4 => "IPv4 address in the source",
        Selector::Destination6Embedded4 => "IPv4 address in the destination",
        Selector::SourcePort => "source port",
        Selector::DestinationPort => "destination port",
        Selector::IcmpType => "ICMP type",
        Selector::IcmpCode => "ICMP code",
        Selector::TcpFlags => "TCP flags",
        Selector::TimeToLive => "time to live",
        Selector::HopLimit => "hop limit",
        Selector::FragmentOffset => "fragment field",
        Selector::SourceMac => "source MAC address",
        Selector::CtState => "state",
        Selector::CtStatus => "connection's status",
        Selector::Mark => "mark",
        Selector::DestinationType => "destination's route type",
        Selector::DestinationTypeHere => "destination's route type on the input interface",
        Selector::SourceType => "source's route type",
        Selector::SourceRoutesBack => "route back to the source",
        Selector::SourceHasRoute => "route to the source",
    }
}

/// The value in the notation of its kind, or in hexadecimal.
pub(super) fn show(selector: Selector, value: &[u8]) -> String {
    let known = match selector {
        Selector::InputInterface | Selector::OutputInterface => Some(match text(value).as_str() {
            "" => "none".to_owned(),
            name => name.to_owned(),
        }),
        Selector::Family => match value {
            [2] => Some("IPv4".to_owned()),
            [10] => Some("IPv6".to_owned()),
            _ => None,
        },
        Selector::Source4 | Selector::Destination4 | Selector::Source6Embedded4 | Selector::Destination6Embedded4 => {
            <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).to_string())
        }
        Selector::Source6 | Selector::Destination6 => {
            <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).to_string())
        }
        Selector::Protocol
        | Selector::SourcePort
        | Selector::DestinationPort
        | Selector::IcmpType
        | Selector::IcmpCode
        | Selector::TimeToLive
        | Selector::HopLimit => number(value).map(|number| number.to_string()),
        Selector::CtState => number(value).map(states),
        Selector::SourceRoutesBack | Selector::SourceHasRoute => match value {
            [0] => Some("no".to_owned()),
            [1] => Some("yes".to_owned()),
            _ => None,
        },
        Selector::SourceType | Selector::DestinationType | Selector::DestinationTypeHere => {
            number(value).map(|kind| match kind {
                1 => "unicast".to_owned(),
                2 => "local".to_owned(),
                3 => "broadcast".to_owned(),
                5 => "multicast".to_owned(),
                other => other.to_string(),
            })
        }
        Selector::Mark | Selector::CtStatus | Selector::TcpFlags | Selector::FragmentOffset => {
            number(value).map(|number| format!("{number:#x}"))
        }
        Selector::SourceMac | Selector::Source6Network => None,
    };
    known.unwrap_or_else(|| value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

fn states(bits: u32) -> String {
    let known: Vec<&str> = STATES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if known.is_empty() { format!("{bits:#x}") } else { known.join(",") }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn number(bytes: &[u8]) -> Option<u32> {
    (1..=4).contains(&bytes.len()).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}
