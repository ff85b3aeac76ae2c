//! The numbers that sections share: bounded integers, lifetimes, tables, MTUs.

use std::fmt::Display;
use std::ops::RangeInclusive;

use portreeve_config::{Diagnostics, Spanned, Value, duration};
use serde::de::DeserializeOwned;

/// An integer within `range`; `what` names it in the message.
pub fn within<T>(value: &Value<'_>, range: RangeInclusive<T>, what: &str, d: &mut Diagnostics) -> Option<Spanned<T>>
where
    T: DeserializeOwned + PartialOrd + Display + Copy,
{
    let mut unused = Diagnostics::new();
    match value.get::<T>(&mut unused) {
        Some(number) if range.contains(&number.value) => return Some(number),
        Some(_) => {}
        // A number, but none that the type holds, is out of range, too.
        None if value.get::<i64>(&mut unused).is_some() || value.get::<u64>(&mut unused).is_some() => {}
        None => return value.get::<T>(d),
    }
    let hint = format!("write {} to {}", range.start(), range.end());
    d.error_with_hint(value.span(), format!("{what} is out of range"), hint);
    None
}

/// A lifetime in whole seconds; `Some(None)` stands for `"infinity"`.
pub fn lifetime(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Option<u32>>> {
    if value.text() == "\"infinity\"" {
        return Some(Spanned::new(None, value.span()));
    }
    let found = value.duration(d)?;
    if found.value.subsec_nanos() != 0 {
        let rounded = duration::format(std::time::Duration::from_secs(found.value.as_secs().saturating_add(1)));
        d.error_with_hint(found.span, "a lifetime has whole seconds", format!("write \"{rounded}\""));
        return None;
    }
    match u32::try_from(found.value.as_secs()) {
        Ok(seconds) if seconds != u32::MAX => Some(found.map(|_| Some(seconds))),
        _ => {
            d.error_with_hint(found.span, "the lifetime does not fit into 32 bits", "write \"infinity\"");
            None
        }
    }
}

/// The number of a routing table that plugins may use.
pub fn table(value: &Value<'_>, d: &mut Diagnostics) -> Option<u32> {
    let found = within(value, 1..=u32::MAX, "table", d)?;
    if found.value == LOCAL_TABLE {
        d.error_with_hint(found.span, "table 255 is the kernel's own", "write another number, such as 100");
        return None;
    }
    Some(found.value)
}

/// RT_TABLE_LOCAL.
const LOCAL_TABLE: u32 = 255;

/// The MTU of a link or a path: 68 (RFC 791) to 65535; what needs 1280 is the caller's to know.
pub fn mtu(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<u32>> {
    within(value, 68..=65_535, "mtu", d)
}
