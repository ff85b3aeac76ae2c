//! Shell patterns of file names (`*`, `?`, `[a-z]`, `[!a]`) and of the paths of `source` lines.
//!
//! As in a shell, a pattern stands for one part of a path, and a star does not match a leading dot.

use std::io;
use std::path::{Path, PathBuf};

/// Whether `text` has a character that makes it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `name` is one of those that `pattern` stands for.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let hidden = name.first() == Some(&'.') && pattern.first() != Some(&'.');
    !hidden && rest_matches(&pattern, &name)
}

fn rest_matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some(('*', pattern_rest)), _) => {
            rest_matches(pattern_rest, name) || name.split_first().is_some_and(|(_, rest)| rest_matches(pattern, rest))
        }
        (Some(_), None) => false,
        (Some(('[', pattern_rest)), Some((c, name_rest))) => match set(pattern_rest) {
            Some((set, after)) => contains(set, *c) && rest_matches(after, name_rest),
            None => *c == '[' && rest_matches(pattern_rest, name_rest),
        },
        (Some((p, pattern_rest)), Some((c, name_rest))) => {
            (*p == '?' || p == c) && rest_matches(pattern_rest, name_rest)
        }
    }
}

/// The inside of `[…]` and what follows it.
fn set(pattern: &[char]) -> Option<(&[char], &[char])> {
    let end = pattern.iter().skip(1).position(|c| *c == ']')? + 1;
    Some((pattern.get(..end)?, pattern.get(end + 1..)?))
}

fn contains(set: &[char], c: char) -> bool {
    let (negated, set) = match set.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, set),
    };
    let mut at = set;
    let mut found = false;
    while let Some((first, rest)) = at.split_first() {
        match rest {
            ['-', last, after @ ..] => {
                found |= (*first..=*last).contains(&c);
                at = after;
            }
            _ => {
                found |= *first == c;
                at = rest;
            }
        }
    }
    found != negated
}

/// The paths that `pattern` stands for, in order; the path itself if it is no pattern.
pub(super) fn expand(pattern: &Path, list: &dyn Fn(&Path) -> io::Result<Vec<PathBuf>>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if is_pattern(&text) {
            let mut next = Vec::new();
            for directory in &found {
                let mut entries = list(directory).unwrap_or_default();
                entries.retain(|entry| entry.file_name().is_some_and(|name| matches(&text, &name.to_string_lossy())));
                entries.sort();
                next.append(&mut entries);
            }
            found = next;
        } else {
            for path in &mut found {
                path.push(part);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        assert!(matches("*", "lan"));
        assert!(!matches("*", ".hidden"));
        assert!(matches("*.cfg", "a.cfg"));
        assert!(!matches("*.cfg", "a.cfg~"));
        assert!(matches("eth[0-3]", "eth2"));
        assert!(!matches("eth[!0-3]", "eth2"));
        assert!(matches("eth?", "eth0"));
        assert!(!matches("eth?", "eth10"));
        assert!(matches("a[", "a["));
    }
}
