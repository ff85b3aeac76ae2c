//! Needs in the operator's words: the entries of `allow: […]` in router.ron.
//!
//! `Links("lan*")`, `Icmpv6(interfaces: "lan0", receive: [133], send: [134])`, `Publish(Tunnel)`,
//! `Watch(DnsServer)`, `Storage(volatile: 4096, flash: 1024)`.

use std::collections::BTreeSet;

use portreeve_config::{Diagnostics, Value, did_you_mean};

use super::{FactKind, Need, Pattern};

const NAMES: [&str; 5] = ["Links", "Icmpv6", "Publish", "Watch", "Storage"];

/// Writes a need so that it can be pasted into `allow`.
#[must_use]
pub fn need_to_text(need: &Need) -> String {
    match need {
        Need::Links(pattern) => format!("Links(\"{pattern}\")"),
        Need::Icmpv6 { interfaces, receive, send } => {
            let list = |types: &BTreeSet<u8>| types.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            format!("Icmpv6(interfaces: \"{interfaces}\", receive: [{}], send: [{}])", list(receive), list(send))
        }
        Need::Publish(kind) => format!("Publish({kind:?})"),
        Need::Watch(kind) => format!("Watch({kind:?})"),
        Need::Storage { volatile, flash } => format!("Storage(volatile: {volatile}, flash: {flash})"),
    }
}

/// Reads one entry of `allow`; mistakes are reported and give `None`.
#[must_use]
pub fn need_from_value(value: &Value<'_>, d: &mut Diagnostics) -> Option<Need> {
    let name = value.name().map_or("", |n| n.value);
    match name {
        "Links" => pattern(&inner(value, d)?, d).map(Need::Links),
        "Publish" => inner(value, d)?.get::<FactKind>(d).map(|kind| Need::Publish(kind.value)),
        "Watch" => inner(value, d)?.get::<FactKind>(d).map(|kind| Need::Watch(kind.value)),
        "Icmpv6" => {
            let mut fields = value.fields(d)?;
            let interfaces = fields.require("interfaces", d).and_then(|v| pattern(&v, d));
            let receive = fields.take("receive").map(|v| types(&v, d)).unwrap_or_default();
            let send = fields.take("send").map(|v| types(&v, d)).unwrap_or_default();
            fields.finish(d);
            Some(Need::Icmpv6 { interfaces: interfaces?, receive, send })
        }
        "Storage" => {
            let mut fields = value.fields(d)?;
            let mut bytes = |name| fields.take(name).map_or(Some(0), |v| v.get::<u32>(d).map(|n| n.value));
            let (volatile, flash) = (bytes("volatile"), bytes("flash"));
            fields.finish(d);
            Some(Need::Storage { volatile: volatile?, flash: flash? })
        }
        other => {
            let span = value.name().map_or_else(|| value.span(), |n| n.span);
            let hint = did_you_mean(other, NAMES)
                .map_or_else(|| format!("one of {}", NAMES.join(", ")), |near| format!("did you mean `{near}`?"));
            d.error_with_hint(span, format!("unknown permission `{other}`"), hint);
            None
        }
    }
}

/// The one unnamed value in `Name(value)`.
fn inner<'a>(value: &Value<'a>, d: &mut Diagnostics) -> Option<Value<'a>> {
    let inner = value.single();
    if inner.is_none() {
        d.error_with_hint(value.span(), "expected exactly one value in parentheses", "such as Links(\"lan0\")");
    }
    inner
}

fn pattern(value: &Value<'_>, d: &mut Diagnostics) -> Option<Pattern> {
    value.parse::<Pattern>(d, "an interface name or a pattern such as \"lan*\"").map(|p| p.value)
}

fn types(value: &Value<'_>, d: &mut Diagnostics) -> BTreeSet<u8> {
    value.list(d).iter().filter_map(|v| v.get::<u8>(d)).map(|n| n.value).collect()
}
