//! Durations as people write them: `"30m"`, `"1d12h"`, `"500ms"`. A bare number has no unit and is refused.

use std::time::Duration;

/// Units, largest first: suffix and milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number stands without a unit.
    #[error("a duration needs a unit")]
    NoUnit,
    /// Not numbers with units at all.
    #[error("not a duration")]
    Syntax,
    /// More milliseconds than a u64 holds.
    #[error("the duration is too long")]
    TooLong,
}

/// Reads numbers with units (`w d h m s ms`), largest unit first, each at most once.
///
/// # Errors
/// A missing unit, another syntax, or a value beyond 2^64 ms.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut next_unit = 0;
    if rest.is_empty() {
        return Err(DurationError::Syntax);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        if number.is_empty() {
            return Err(DurationError::Syntax);
        }
        if unit.is_empty() {
            return Err(if digits == rest.len() { DurationError::NoUnit } else { DurationError::Syntax });
        }
        let at = UNITS.iter().position(|&(u, _)| u == unit).ok_or(DurationError::Syntax)?;
        if at < next_unit {
            return Err(DurationError::Syntax);
        }
        next_unit = at + 1;
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        total = number.checked_mul(UNITS[at].1).and_then(|ms| total.checked_add(ms)).ok_or(DurationError::TooLong)?;
        rest = &rest[digits + letters..];
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration the way [`parse`] reads it, to the millisecond.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    // Weeks are read but not written: "14d" is plainer than "2w".
    for (unit, size) in &UNITS[1..] {
        if ms >= *size {
            out.push_str(&format!("{}{unit}", ms / size));
            ms %= size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_add_up_and_a_bare_number_is_refused() {
        assert_eq!(parse("1d12h"), Ok(Duration::from_secs(129_600)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("30"), Err(DurationError::NoUnit));
        assert_eq!(parse("1h1d"), Err(DurationError::Syntax));
        assert_eq!(parse("5 m"), Err(DurationError::Syntax));
        assert_eq!(parse(""), Err(DurationError::Syntax));
        assert_eq!(parse("99999999999999999999s"), Err(DurationError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in any::<u64>()) {
            let d = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(d)), Ok(d));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
