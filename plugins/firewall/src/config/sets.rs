//! Reads named sets. Their files are read later, by [`super::parse_set_file`].

use core::time::Duration;

use portreeve_config::{Diagnostics, Span, Spanned, Value, duration};

use super::{MAX_SET_ELEMENTS, NamedSet, SetElement, SetKind, leaf, matches, set_file};

/// Sets of a section.
const MAX_SETS: usize = 4096;
/// Elements of a dynamic set without a size.
const DYNAMIC_SIZE: u32 = 65_535;
/// Bytes of a file's name.
const MAX_PATH: usize = 255;
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 86_400);
const KINDS: [(&str, SetKind); 2] = [("Addresses", SetKind::Addresses), ("Ports", SetKind::Ports)];

pub(super) fn read(value: &Value<'_>, d: &mut Diagnostics) -> Vec<NamedSet> {
    let mut entries = value.entries(d);
    if entries.len() > MAX_SETS {
        let message = format!("{} sets are more than the {MAX_SETS} that fit", entries.len());
        d.error_with_hint(value.span(), message, "write fewer");
        entries.truncate(MAX_SETS);
    }
    entries.iter().map(|(name, value)| set(name, value, d)).collect()
}

fn set(name: &Spanned<String>, value: &Value<'_>, d: &mut Diagnostics) -> NamedSet {
    leaf::check_name(&name.value, name.span, "a set", d);
    let mut set = NamedSet {
        name: name.value.clone(),
        kind: SetKind::Addresses,
        elements: Vec::new(),
        file: None,
        timeout: None,
        dynamic: false,
        size: 0,
        span: name.span,
    };
    // A set that cannot be read still has a name that rules refer to.
    let Some(mut fields) = value.fields(d) else { return set };
    set.kind = fields.take("kind").and_then(|v| leaf::word(&v, &KINDS, d)).unwrap_or(SetKind::Addresses);
    set.dynamic = fields.take("dynamic").and_then(|v| leaf::flag(&v, d)).unwrap_or(false);
    let elements = fields.take("elements");
    if let Some(value) = elements {
        set.elements = self::elements(set.kind, &value, d);
    }
    set.file = fields.take("file").and_then(|v| file(&v, d));
    let timeout = fields.take("timeout");
    set.timeout = timeout.as_ref().and_then(|v| self::timeout(v, d));
    let size = fields.take("size");
    let most = u32::try_from(MAX_SET_ELEMENTS).unwrap_or(u32::MAX);
    set.size = size.and_then(|v| leaf::number(&v, 1..=most, "size", d)).unwrap_or(if set.dynamic {
        DYNAMIC_SIZE
    } else {
        most
    });
    fields.finish(d);
    if set.dynamic && set.kind == SetKind::Ports {
        d.error_with_hint(name.span, "packets add their source to a dynamic set, not ports", "remove `kind`");
    }
    if set.dynamic && set.timeout.is_none() {
        let hint = "add `timeout: \"10m\"`";
        d.warning_with_hint(name.span, "what packets add to this set never leaves it", hint);
    }
    if let Some(timeout) = timeout {
        expiring(&set, timeout.span(), d);
    }
    if let (Some(size), 1..) = (size, set.size)
        && set.elements.len() > usize::try_from(set.size).unwrap_or(usize::MAX)
    {
        d.error_with_hint(size.span(), format!("{} elements are written", set.elements.len()), "write a larger size");
    }
    if elements.is_none() && set.file.is_none() && !set.dynamic {
        let hint = "add `elements: [\"192.0.2.0/24\"]`, `file: \"addresses.txt\"` or `dynamic: true`";
        d.error_with_hint(name.span, format!("nothing is ever in \"{}\"", name.value), hint);
    }
    set
}

fn elements(kind: SetKind, value: &Value<'_>, d: &mut Diagnostics) -> Vec<SetElement> {
    let values = leaf::bounded(value, MAX_SET_ELEMENTS, "elements", d);
    let mut elements = Vec::with_capacity(values.len());
    let expected = match kind {
        SetKind::Addresses => "an address, a prefix or a range such as \"192.0.2.0/24\"",
        SetKind::Ports => "a port or a range such as \"8000-8010\"",
    };
    for value in values {
        let Some(text) = leaf::text(&value, expected, d) else { continue };
        elements.extend(matches::told(set_file::element(kind, &text), value.span(), d));
    }
    elements
}

fn file(value: &Value<'_>, d: &mut Diagnostics) -> Option<String> {
    let path = leaf::text(value, "the name of a file such as \"bad.txt\"", d)?;
    let illegal = path.is_empty() || path.len() > MAX_PATH || path.chars().any(char::is_control);
    if illegal || path.split('/').any(|part| part == "..") || path.ends_with('/') {
        let hint = "write a name such as \"bad.txt\", from the directory of router.ron or from the root";
        d.error_with_hint(value.span(), "this is not the name of a file", hint);
        return None;
    }
    Some(path.into_owned())
}

/// Says of elements that they are gone for good after the timeout.
fn expiring(set: &NamedSet, place: Span, d: &mut Diagnostics) {
    let Some(timeout) = set.timeout.map(duration::format) else { return };
    if set.dynamic && set.file.is_some() {
        let message = format!("what this set has from its file is gone after {timeout}, and does not come back");
        d.warning_with_hint(place, message, "let packets add to one set, and read the file into another");
    } else if !set.dynamic && set.file.is_none() && !set.elements.is_empty() {
        let message = format!("the elements are gone after {timeout}, and do not come back");
        d.warning_with_hint(place, message, "remove `timeout`, or use a `file`: they come back whenever it is written");
    }
}

fn timeout(value: &Value<'_>, d: &mut Diagnostics) -> Option<Duration> {
    let found = value.duration(d)?;
    if found.value.is_zero() || found.value > MAX_TIMEOUT {
        let hint = format!("write \"1s\" to \"{}\"", duration::format(MAX_TIMEOUT));
        d.error_with_hint(found.span, "the timeout is out of range", hint);
        return None;
    }
    Some(found.value)
}
