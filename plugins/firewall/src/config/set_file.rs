//! Reads the elements of a set: as written in the section, and from a file with one a line.
//!
//! A file may have a million lines and is read in one turn of a guest: each line is looked at once, and where there is
//! nothing more to be learned it stops.

use super::address::{self, Mistake, shown};
use super::{MAX_SET_ELEMENTS, SetElement, SetKind};

/// Mistakes of a file that are kept.
pub const MAX_FILE_MISTAKES: usize = 20;
/// Lines that are left out of a file; with more of them it is not the list that was meant.
pub const MAX_BAD_LINES: usize = 1000;
/// Elements that do not fit are counted up to this.
pub const MAX_SURPLUS: usize = MAX_SET_ELEMENTS;

/// What a set's file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetFile {
    /// Those that can be read and fit, in the file's order; none if the file is not the list that was meant.
    pub elements: Vec<SetElement>,
    /// Lines, from 1, and what is wrong with them: the first [`MAX_FILE_MISTAKES`].
    pub mistakes: Vec<(usize, String)>,
    /// Lines that cannot be read; counted up to one more than [`MAX_BAD_LINES`].
    pub bad_lines: usize,
    /// Elements that do not fit; counted up to [`MAX_SURPLUS`].
    pub surplus: usize,
    /// The line, from 1, of the first that does not.
    pub surplus_line: Option<usize>,
}

/// Reads the text of a set's file: one element a line; `#` begins a comment; empty lines and commas at the end do nothing.
/// Lines that cannot be read are left out, up to [`MAX_BAD_LINES`]. Of the others the first `max` are kept.
#[must_use]
pub fn parse_set_file(kind: SetKind, text: &str, max: usize) -> SetFile {
    let mut found = SetFile::default();
    for (at, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(element, _)| element).trim();
        let line = line.strip_suffix(',').map_or(line, str::trim_end);
        if line.is_empty() {
            continue;
        }
        match element(kind, line) {
            Ok(element) if found.elements.len() < max => found.elements.push(element),
            Ok(_) => {
                found.surplus_line.get_or_insert(at + 1);
                found.surplus += 1;
            }
            Err((message, hint)) => {
                found.bad_lines += 1;
                if found.mistakes.len() < MAX_FILE_MISTAKES {
                    found.mistakes.push((at + 1, format!("{message}; {hint}")));
                }
            }
        }
        if found.bad_lines > MAX_BAD_LINES {
            found.elements.clear();
            break;
        }
        if found.surplus >= MAX_SURPLUS {
            break;
        }
    }
    found
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
