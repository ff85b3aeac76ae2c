//! Whether a value passes a test, whether a key is in a set.
//!
//! Values are compared as the kernel does: byte by byte in network order, the fields of a concatenated key each for
//! itself. What does not fit together (a test of another width, a map that is none) never holds.

use super::packet::Seen;
use crate::ruleset::{Elements, Entry, KeyType, Selector, Set, Test};

/// Fields of a concatenated key begin at multiples of this.
const FIELD: usize = 4;

/// Whether `value` passes; none where the test is not of its width.
pub(super) fn holds(test: &Test, value: &[u8]) -> Option<bool> {
    let fits = |bytes: &[u8]| (bytes.len() == value.len()).then_some(());
    let bits = |mask: &[u8]| value.iter().zip(mask).any(|(value, mask)| value & mask != 0);
    Some(match test {
        Test::Equal(bytes) => fits(bytes).map(|()| value == bytes.as_slice())?,
        Test::NotEqual(bytes) => fits(bytes).map(|()| value != bytes.as_slice())?,
        Test::Prefix(bytes) => (bytes.len() <= value.len()).then(|| value.starts_with(bytes))?,
        Test::NotPrefix(bytes) => (bytes.len() <= value.len()).then(|| !value.starts_with(bytes))?,
        Test::Range(first, last) | Test::NotRange(first, last) => {
            fits(first)?;
            fits(last)?;
            let is_inside = first.as_slice() <= value && value <= last.as_slice();
            is_inside == matches!(test, Test::Range(..))
        }
        Test::Masked { mask, value: wanted, invert } => {
            fits(mask)?;
            fits(wanted)?;
            let is_equal = value.iter().zip(mask).zip(wanted).all(|((value, mask), wanted)| value & mask == *wanted);
            is_equal != *invert
        }
        Test::Any(mask) => fits(mask).map(|()| bits(mask))?,
        Test::None(mask) => fits(mask).map(|()| !bits(mask))?,
        Test::Below(limit) => fits(limit).map(|()| value < limit.as_slice())?,
        Test::Above(limit) => fits(limit).map(|()| value > limit.as_slice())?,
    })
}

/// The key of these selectors, or the first that the packet does not have.
pub(super) fn key(seen: &Seen<'_>, selectors: &[Selector]) -> Result<Vec<u8>, Selector> {
    let mut key = Vec::new();
    for selector in selectors {
        key.extend(seen.field(*selector).ok_or(*selector)?);
        if selectors.len() > 1 {
            key.resize(key.len().next_multiple_of(FIELD), 0);
        }
    }
    Ok(key)
}

/// Bytes of each field of a key of these types.
pub(super) fn widths(types: &[KeyType]) -> Vec<usize> {
    let is_single = types.len() == 1;
    types.iter().map(|of| if is_single { of.width() } else { of.width().next_multiple_of(FIELD) }).collect()
}

/// Whether the key is one of the set's elements.
pub(super) fn contains(set: &Set, key: &[u8]) -> bool {
    let widths = widths(&set.key);
    let width: usize = widths.iter().sum();
    if width == 0 || key.len() != width {
        return false;
    }
    match &set.elements {
        Elements::Points(points) => points.chunks_exact(width).any(|point| point == key),
        Elements::Ranges(ranges) => ranges.chunks_exact(width.saturating_mul(2)).any(|range| {
            range.split_at_checked(width).is_some_and(|(first, last)| is_within(&widths, key, first, last))
        }),
        Elements::Verdicts(_) => entry(set, key).is_some(),
    }
}

/// The map's entry for the key.
pub(super) fn entry<'a>(map: &'a Set, key: &[u8]) -> Option<&'a Entry> {
    let Elements::Verdicts(entries) = &map.elements else { return None };
    let widths = widths(&map.key);
    if key.len() != widths.iter().sum::<usize>() {
        return None;
    }
    entries.iter().find(|entry| match &entry.last {
        Some(last) => is_within(&widths, key, &entry.key, last),
        None => entry.key == key,
    })
}

/// How many elements there are to look at.
pub(super) fn elements(set: &Set) -> usize {
    let width = widths(&set.key).iter().sum::<usize>().max(1);
    match &set.elements {
        Elements::Points(bytes) => bytes.len() / width,
        Elements::Ranges(bytes) => bytes.len() / width / 2,
        Elements::Verdicts(entries) => entries.len(),
    }
}

/// Each field from its first to its last.
fn is_within(widths: &[usize], key: &[u8], first: &[u8], last: &[u8]) -> bool {
    let mut at = 0_usize;
    widths.iter().all(|width| {
        let field = at..at.saturating_add(*width);
        at = field.end;
        match (key.get(field.clone()), first.get(field.clone()), last.get(field)) {
            (Some(key), Some(first), Some(last)) => first <= key && key <= last,
            _ => false,
        }
    })
}
