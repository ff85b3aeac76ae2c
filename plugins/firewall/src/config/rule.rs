//! Reads rules, their actions, what they log and count, and the ends of rules and policies.

use portreeve_config::value::unknown_field;
use portreeve_config::{Diagnostics, Span, Spanned, Value};

use super::called;
use super::context::Context;
use super::matches::{self, Draft};
use super::{Action, End, Log, Matches, MssClamp, Place, ROUTER, Reject, Rule, leaf};

/// Rules of one list.
const MAX_RULES: usize = 100_000;
/// Zones of one end.
const MAX_ENDS: usize = 1024;
/// Bytes before each line of a log (NF_LOG_PREFIXLEN less its zero byte).
const MAX_PREFIX: usize = 127;
const OWN: [&str; 9] = ["name", "from", "to", "log", "count", "set_mark", "add_source_to", "then", "family"];
const ACTIONS: [&str; 9] = ["Accept", "Drop", "Reject", "Jump", "Goto", "Return", "Continue", "ClampMss", "Notrack"];
const REJECTS: [(&str, Reject); 10] = [
    ("PortUnreachable", Reject::PortUnreachable),
    ("NoRoute", Reject::NoRoute),
    ("HostUnreachable", Reject::HostUnreachable),
    ("ProtocolUnreachable", Reject::ProtocolUnreachable),
    ("NetworkProhibited", Reject::NetworkProhibited),
    ("HostProhibited", Reject::HostProhibited),
    ("AdminProhibited", Reject::AdminProhibited),
    ("SourcePolicy", Reject::SourcePolicy),
    ("RejectRoute", Reject::RejectRoute),
    ("TcpReset", Reject::TcpReset),
];
const LEVELS: [(&str, u8); 8] = [
    ("Emergency", 0),
    ("Alert", 1),
    ("Critical", 2),
    ("Error", 3),
    ("Warning", 4),
    ("Notice", 5),
    ("Info", 6),
    ("Debug", 7),
];
/// As iptables and nft have it.
const LEVEL: u8 = 4;

/// A list of rules.
pub(super) fn rules(value: &Value<'_>, place: Place, cx: &Context, d: &mut Diagnostics) -> Vec<Rule> {
    let values = leaf::bounded(value, MAX_RULES, "rules", d);
    let mut rules = Vec::with_capacity(values.len());
    for value in values {
        // Rules are large: each is read into its place.
        rules.push(blank(value.span()));
        if rules.last_mut().and_then(|last| rule(&value, last, place, cx, d)).is_none() {
            rules.pop();
        }
    }
    rules
}

/// A rule of which nothing is read yet.
fn blank(span: Span) -> Rule {
    Rule {
        name: None,
        from: End::Any,
        to: End::Any,
        matches: Matches::default(),
        log: None,
        count: None,
        set_mark: None,
        add_source_to: None,
        action: Action::Continue,
        span,
    }
}

fn rule(value: &Value<'_>, into: &mut Rule, place: Place, cx: &Context, d: &mut Diagnostics) -> Option<()> {
    let members = value.members(d)?;
    let mut draft = Draft::new(&mut into.matches, &members, d);
    let mut name = None;
    let (mut from, mut to) = (End::Any, End::Any);
    let (mut log_value, mut count_value) = (None, None);
    let (mut set_mark, mut add_source_to, mut action) = (None, None, None);
    let mut then = None;
    for (field, value) in members.iter() {
        let value = &value;
        match field.value.as_bytes() {
            b"from" | b"to" if place != Place::Rules => {
                let hint = "remove it; which interfaces a rule is about say `incoming` and `outgoing`";
                d.error_with_hint(value.span(), format!("only rules between zones have `{}`", field.value), hint);
            }
            b"from" => from = end(value, false, cx, d),
            b"to" => to = end(value, false, cx, d),
            b"then" => {
                then = Some(value.span());
                action = self::action(value, place, cx, d);
            }
            b"name" => name = leaf::name(value, "a rule", d),
            b"log" => log_value = Some(*value),
            b"count" => count_value = Some(*value),
            b"set_mark" => set_mark = leaf::masked(value, d),
            b"add_source_to" => add_source_to = dynamic_set(value, cx, d),
            _ if draft.field(field.value, value, cx, d) => {}
            _ => unknown(field, place, d),
        }
    }
    if then.is_none() {
        let hint = if log_value.is_some() || count_value.is_some() || set_mark.is_some() || add_source_to.is_some() {
            "add `then: Continue` to go on with the next rule, or `then: Accept` or `then: Drop`"
        } else {
            "add `then: Accept` or `then: Drop`"
        };
        d.error_with_hint(first_line(value), "the rule does not say what to do: field `then` is missing", hint);
    }
    draft.finish(place, d);
    let matches = &mut into.matches;
    if let (Some(Action::ClampMss(_)), Some(span)) = (&action, then) {
        matches::only_tcp(matches, span, "a maximum segment size", d);
    }
    if from == to && is_router(&from) {
        let message = "packets from this machine to itself are not looked at";
        d.error_with_hint(first_line(value), message, "write a zone as `from` or `to`");
    }
    for (end, list, why, field) in [
        (&to, &matches.outgoing, "packets for this machine do not leave it", "outgoing"),
        (&from, &matches.incoming, "packets of this machine do not come in", "incoming"),
    ] {
        if is_router(end) && !list.items.is_empty() {
            d.error_with_hint(list.span, why, format!("remove `{field}`"));
        }
    }
    let called = || name.clone().unwrap_or_else(|| called::called("rule", value.text()));
    let count = count_value.and_then(|value| count(&value, called, d));
    let log = log_value.and_then(|value| log(&value, called, cx, d));
    (into.name, into.from, into.to) = (name, from, to);
    (into.log, into.count, into.set_mark, into.add_source_to) = (log, count, set_mark, add_source_to);
    into.action = action?;
    Some(())
}

/// Only this machine.
fn is_router(end: &End) -> bool {
    matches!(end, End::Zones { zones, router: true } if zones.is_empty())
}

/// Reports a field that a rule does not have.
pub(super) fn unknown(name: Spanned<&str>, place: Place, d: &mut Diagnostics) {
    let own: &[&str] = match place {
        Place::Rules => &OWN,
        Place::NatDestination | Place::NatSource => &["name", "from", "to", "count", "then"],
        _ => &["name", "log", "count", "set_mark", "add_source_to", "then"],
    };
    let mut known: Vec<&str> = own.to_vec();
    known.extend(matches::FIELDS.iter().filter(|field| !own.contains(field)));
    unknown_field(name, &known, d);
}

/// Of a rule of many lines only the first is shown.
pub(super) fn first_line(value: &Value<'_>) -> Span {
    let span = value.span();
    Span::new(span.start, span.start + value.text().lines().next().map_or(1, str::len).max(1))
}

/// Whether a text that stands for a zone is not a zone's name.
fn is_word(name: &str) -> bool {
    matches!(name, ROUTER | "*")
}

/// `from` or `to`. In a policy "*" and "router" together are all zones and this machine.
pub(super) fn end(value: &Value<'_>, policy: bool, cx: &Context, d: &mut Diagnostics) -> End {
    // Nearly all ends are one zone.
    if let Some(zone) = value.only_string().and_then(|only| cx.zones.get(only.value).filter(|_| !is_word(only.value))) {
        return End::Zones { zones: vec![zone], router: false };
    }
    let values = leaf::bounded(value, MAX_ENDS, "zones", d);
    if values.len() == 0 && value.text().starts_with('[') {
        d.error_with_hint(
            value.span(),
            "no zone is in this list, so no packet fits",
            "remove the field to mean any zone",
        );
    }
    let (mut zones, mut router, mut any) = (Vec::with_capacity(values.len()), false, false);
    for value in values {
        let value = &value;
        let Some(name) = leaf::text(value, "the name of a zone", d) else { continue };
        let twice = match &*name {
            "*" => core::mem::replace(&mut any, true),
            ROUTER => core::mem::replace(&mut router, true),
            name => match cx.zones.get(name) {
                Some(zone) if zones.contains(&zone) => true,
                Some(zone) => {
                    zones.push(zone);
                    false
                }
                None => {
                    let message = format!("\"{}\" is not a zone of this section", super::address::shown(name));
                    let names = cx.zones.names().chain([ROUTER, "*"]);
                    leaf::unknown(value.span(), &message, name, names, d);
                    false
                }
            },
        };
        if twice {
            d.error_with_hint(value.span(), format!("\"{name}\" is given twice"), "keep one of the two");
        }
    }
    if any && !zones.is_empty() {
        d.error_with_hint(value.span(), "\"*\" is every zone already", "remove the others");
    }
    match (any, router) {
        (true, true) if policy => End::Zones { zones: (0..cx.zones.names().count()).collect(), router },
        (true, _) => End::Any,
        (false, _) => End::Zones { zones, router },
    }
}

fn action(value: &Value<'_>, place: Place, cx: &Context, d: &mut Diagnostics) -> Option<Action> {
    match value.text() {
        "Accept" => return Some(Action::Accept),
        "Drop" => return Some(Action::Drop),
        "Return" => return Some(Action::Return),
        "Continue" => return Some(Action::Continue),
        "Notrack" => {
            if place != Place::Prerouting {
                let hint = "write the rule in `prerouting`";
                d.error_with_hint(value.span(), "only before connection tracking can it be left out", hint);
            }
            return Some(Action::Notrack);
        }
        _ => {}
    }
    let name = value.name().map_or("", |name| name.value);
    let inner = value.single();
    match (name, inner) {
        ("Reject", _) => reject(value, d).map(Action::Reject),
        ("Jump" | "Goto", Some(inner)) => {
            let chain = leaf::text(&inner, "the name of a chain", d)?;
            let chain = cx.chains.find(&chain, "a chain", inner.span(), d)?;
            Some(if name == "Jump" { Action::Jump(chain) } else { Action::Goto(chain) })
        }
        ("Jump" | "Goto", None) => {
            d.error_with_hint(value.span(), "it is not said where to", format!("write `{name}(\"name of a chain\")`"));
            None
        }
        ("ClampMss", Some(inner)) => match mss(&inner, d)? {
            MssClamp::Off => {
                d.error_with_hint(inner.span(), "this does nothing", "write PathMtu or Bytes(1400)");
                None
            }
            clamp => Some(Action::ClampMss(clamp)),
        },
        ("ClampMss", None) => {
            d.error_with_hint(
                value.span(),
                "it is not said to what",
                "write `ClampMss(PathMtu)` or `ClampMss(Bytes(1400))`",
            );
            None
        }
        _ => {
            let message = format!("`{}` is not an action", super::address::shown(value.text()));
            leaf::unknown(value.span(), &message, name, ACTIONS.iter().copied(), d);
            None
        }
    }
}

/// `Reject` or `Reject(CODE)`.
pub(super) fn reject(value: &Value<'_>, d: &mut Diagnostics) -> Option<Reject> {
    match value.single() {
        Some(code) => leaf::word(&code, &REJECTS, d),
        None if value.text() == "Reject" => Some(Reject::AdminProhibited),
        None => {
            d.error_with_hint(value.span(), "expected one reason", "write `Reject` or `Reject(PortUnreachable)`");
            None
        }
    }
}

/// `PathMtu`, `Bytes(1400)`, `Off`.
pub(super) fn mss(value: &Value<'_>, d: &mut Diagnostics) -> Option<MssClamp> {
    match (value.text(), value.name().map(|name| name.value), value.single()) {
        ("Off", ..) => Some(MssClamp::Off),
        ("PathMtu", ..) => Some(MssClamp::PathMtu),
        (_, Some("Bytes"), Some(inner)) => {
            // Less than 88 the kernel itself does not send (TCP_MIN_SND_MSS is 48); a packet has at most 65535 bytes.
            let bytes = leaf::number(&inner, 88..=65_495, "the segment size", d)?;
            u16::try_from(bytes).ok().map(MssClamp::Bytes)
        }
        _ => {
            d.error_with_hint(value.span(), "expected a segment size", "write Off, PathMtu or Bytes(1400)");
            None
        }
    }
}

fn dynamic_set(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> Option<usize> {
    let name = leaf::text(value, "the name of a set", d)?;
    let name = name.strip_prefix('@').unwrap_or(&name);
    let at = cx.set(name, super::SetKind::Addresses, value.span(), d)?;
    if cx.sets.get(at).is_some_and(|set| !set.dynamic) {
        let hint = format!("write `\"{name}\": (dynamic: true, timeout: \"10m\")` in `sets`");
        d.error_with_hint(value.span(), format!("packets cannot add to \"{name}\""), hint);
    }
    Some(at)
}

/// `true` counts under the rule's name, a text under that.
pub(super) fn count(value: &Value<'_>, called: impl Fn() -> String, d: &mut Diagnostics) -> Option<String> {
    match value.text() {
        "true" => Some(called()),
        "false" => None,
        text if text.starts_with(['"', 'r']) => leaf::name(value, "a counter", d),
        _ => {
            let hint = "write true, or a name such as \"ssh\"";
            d.error_with_hint(value.span(), "expected whether, or under which name, it is counted", hint);
            None
        }
    }
}

/// `()` or more.
pub(super) fn log(value: &Value<'_>, called: impl Fn() -> String, cx: &Context, d: &mut Diagnostics) -> Option<Log> {
    let mut fields = value.fields(d)?;
    let prefix = fields.take("prefix").and_then(|v| {
        let text = leaf::text(&v, "a text such as \"ssh: \"", d)?;
        if text.len() > MAX_PREFIX || text.chars().any(char::is_control) {
            let message = format!("before each line of the log stand at most {MAX_PREFIX} printable characters");
            d.error_with_hint(v.span(), message, "write a shorter text");
            return None;
        }
        Some(text.into_owned())
    });
    let level = fields.take("level");
    let group = fields.take("group");
    if let (Some(level), Some(_)) = (level, group) {
        let hint = "remove `level`: a group has none";
        d.error_with_hint(level.span(), "only the kernel's log has levels", hint);
    }
    let level = level.and_then(|v| leaf::word(&v, &LEVELS, d)).unwrap_or(LEVEL);
    let group = group.and_then(|v| leaf::number(&v, 0..=u32::from(u16::MAX), "group", d));
    let rate = match fields.take("rate") {
        Some(v) if v.text() == "\"unlimited\"" => None,
        Some(v) => leaf::rate(&v, d),
        None => Some(cx.log_rate),
    };
    fields.finish(d);
    let prefix = prefix.unwrap_or_else(|| format!("{} ", called()));
    Some(Log { prefix, level, group: group.and_then(|group| u16::try_from(group).ok()), rate })
}
