//! What the files of sets hold, as far as it can be read, and when they were read.
//!
//! A list with a slip is better than none: lines that cannot be read are left out, and of a list that is too long the
//! first elements are kept. Either is a problem that the operator is told. A file that turns bad, or too long, takes
//! nothing from a set that was whole: the last whole list stays.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::config::{
    Config, MAX_BAD_LINES, MAX_SET_ELEMENTS, MAX_SURPLUS, SetElement, SetFile, SetKind, parse_set_file,
};
use crate::ruleset::Ruleset;
use crate::time::Instant;

/// A file as a section wants it read: with another kind or another size it is another list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) path: String,
    kind: SetKind,
    /// Of the set.
    size: usize,
    /// What the elements in the section leave of it.
    room: usize,
}

/// Files of a section, by path. What several sets read is cut to fit all of them.
pub(super) fn sources(config: &Config) -> BTreeMap<&str, Source> {
    let mut sources = BTreeMap::new();
    for set in &config.sets {
        let Some(path) = set.file.as_deref() else { continue };
        let size = usize::try_from(set.size).unwrap_or(usize::MAX);
        let room = size.saturating_sub(set.elements.len());
        match sources.entry(path) {
            Entry::Vacant(entry) => {
                entry.insert(Source { path: path.to_owned(), kind: set.kind, size, room });
            }
            Entry::Occupied(mut entry) if room < entry.get().room => {
                let source = entry.get_mut();
                (source.size, source.room) = (size, room);
            }
            Entry::Occupied(_) => {}
        }
    }
    sources
}

/// Says of sets that are filled from a file and lose their elements after a time when that file was read: written anew, it
/// fills them anew. Not of dynamic ones: what packets added would be gone.
pub(super) fn date(ruleset: &mut Ruleset, config: &Config, files: &BTreeMap<Source, Contents>) {
    let sources = sources(config);
    let expiring = config.sets.iter().filter(|set| set.timeout.is_some() && !set.dynamic);
    let read = |path: &str| Some(files.get(sources.get(path)?)?.read_at.nanos());
    let filled: BTreeMap<&str, u64> =
        expiring.filter_map(|set| Some((set.name.as_str(), read(set.file.as_deref()?)?))).collect();
    for set in &mut ruleset.sets {
        if let Some(filled_at) = set.named.as_deref().and_then(|name| filled.get(name)) {
            set.filled_at = *filled_at;
        }
    }
}

/// Whether a set of the section loses what it has from this file after a time, and is filled whenever that is written.
pub(super) fn is_dated(config: &Config, path: &str) -> bool {
    config.sets.iter().any(|set| set.timeout.is_some() && !set.dynamic && set.file.as_deref() == Some(path))
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// The lines that can be read and fit.
    pub(super) elements: Vec<SetElement>,
    /// Why it is not all.
    pub(super) problem: Option<String>,
    /// When the elements were read.
    pub(super) read_at: Instant,
    /// They are all that the file had then.
    whole: bool,
}

impl Contents {
    /// See the file.
    pub(super) fn read(source: &Source, contents: Result<&[u8], &str>, now: Instant) -> Self {
        let path = &source.path;
        let text = contents
            .map_err(str::to_owned)
            .and_then(|bytes| core::str::from_utf8(bytes).map_err(|_| format!("{path} is not text in UTF-8")));
        let (elements, problem) = match text {
            Ok(text) => {
                let mut found = parse_set_file(source.kind, text, source.room);
                (core::mem::take(&mut found.elements), problem(source, &found))
            }
            Err(problem) => (Vec::new(), Some(problem)),
        };
        Self { whole: problem.is_none(), elements, problem, read_at: now }
    }

    /// After what was read before: that stays when the file turns bad. If it was not whole either, what can be read now
    /// takes its place, if there is any.
    pub(super) fn after(mut self, before: &Self) -> Self {
        if self.problem.is_some() {
            if before.whole || self.elements.is_empty() {
                self.elements.clone_from(&before.elements);
                self.whole = before.whole;
            }
            self.read_at = before.read_at;
        }
        self
    }
}

/// Why it is not all that the file has.
fn problem(source: &Source, found: &SetFile) -> Option<String> {
    let (path, size) = (&source.path, source.size);
    let bad = found.mistakes.first().map(|(line, what)| match found.bad_lines {
        0 | 1 => format!("{path}:{line}: {what}"),
        2..=MAX_BAD_LINES => format!("{path}:{line}: {what} (and {} more)", found.bad_lines - 1),
        _ => format!("{path}:{line}: {what} (more than {MAX_BAD_LINES} lines cannot be read, so none of it is used)"),
    });
    let surplus = found.surplus_line.filter(|_| found.bad_lines <= MAX_BAD_LINES).map(|line| {
        let (surplus, needed) = (found.surplus, size.saturating_add(found.surplus));
        let hint = if needed > MAX_SET_ELEMENTS {
            format!("a set has no more than {MAX_SET_ELEMENTS}: write the rest to the file of another set")
        } else {
            format!("raise the set's `size` from {size} to {needed}")
        };
        let or_more = if surplus < MAX_SURPLUS { "" } else { " or more" };
        format!("{path}:{line}: the set is full, {surplus}{or_more} from here on do not fit; {hint}")
    });
    match (bad, surplus) {
        (Some(bad), Some(surplus)) => Some(format!("{bad}; {surplus}")),
        (bad, surplus) => bad.or(surplus),
    }
}
