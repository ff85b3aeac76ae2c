//! Reads the elements of a set: as written in the section, and from a file with one a line.
//!
//! A file may have a hundred thousand lines: each is looked at once, and of mistakes only the first are kept.

use super::address::{self, Mistake, shown};
use super::{SetElement, SetKind};

/// Mistakes of a file that are reported.
pub const MAX_FILE_MISTAKES: usize = 20;

/// Reads the text of a set's file: one element a line; `#` begins a comment; empty lines and commas at the end do nothing.
/// Of more than `max` elements the first beyond is a mistake.
///
/// # Errors
/// Lines, from 1, and what is wrong with them; at most [`MAX_FILE_MISTAKES`].
pub fn parse_set_file(kind: SetKind, text: &str, max: usize) -> Result<Vec<SetElement>, Vec<(usize, String)>> {
    let mut elements = Vec::new();
    let mut mistakes = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(element, _)| element).trim();
        let line = line.strip_suffix(',').map_or(line, str::trim_end);
        if line.is_empty() {
            continue;
        }
        if elements.len() >= max {
            mistakes.push((at + 1, format!("the file has more than the {max} elements that fit")));
            break;
        }
        match element(kind, line) {
            Ok(element) => elements.push(element),
            Err((message, hint)) => mistakes.push((at + 1, format!("{message}; {hint}"))),
        }
        if mistakes.len() >= MAX_FILE_MISTAKES {
            break;
        }
    }
    if mistakes.is_empty() { Ok(elements) } else { Err(mistakes) }
}

/// One element.
pub(super) fn element(kind: SetKind, text: &str) -> Result<SetElement, Mistake> {
    if text.starts_with(['@', '!']) {
        let message = format!("\"{}\" is not an element", shown(text));
        return Err((message, "sets hold no other sets, and no exceptions".to_owned()));
    }
    match kind {
        SetKind::Addresses => address::range(text).map(SetElement::Address),
        SetKind::Ports => address::ports(text).map(|(first, last)| SetElement::Port(first, last)),
    }
}
