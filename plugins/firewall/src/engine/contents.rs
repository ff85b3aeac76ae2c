//! What a file of a set holds, as far as it can be read.

use crate::config::{SetElement, SetKind, parse_set_file};

/// Lines that are left out of a file; with more of them it is not the list that was meant.
const MAX_BAD_LINES: usize = 1000;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// The lines that can be read.
    pub(super) elements: Vec<SetElement>,
    /// Why it is not all.
    pub(super) problem: Option<String>,
}

impl Contents {
    /// Leaves lines out that cannot be read: a list with a slip is better than none.
    pub(super) fn read(path: &str, kind: SetKind, size: u32, bytes: &[u8]) -> Self {
        let Ok(text) = core::str::from_utf8(bytes) else {
            return Self { elements: Vec::new(), problem: Some(format!("{path} is not text in UTF-8")) };
        };
        let (mut lines, mut problem, mut count) = (None::<Vec<&str>>, None, 0);
        loop {
            let joined = lines.as_ref().map(|lines| lines.join("\n"));
            let mistakes = match parse_set_file(kind, joined.as_deref().unwrap_or(text), size as usize) {
                Ok(elements) => {
                    let more = |first| if count > 1 { format!("{first} (and {} more)", count - 1) } else { first };
                    return Self { elements, problem: problem.map(more) };
                }
                Err(mistakes) => mistakes,
            };
            let (Some((line, what)), true) = (mistakes.first(), count < MAX_BAD_LINES) else {
                return Self { elements: Vec::new(), problem };
            };
            problem.get_or_insert_with(|| format!("{path}:{line}: {what}"));
            let lines = lines.get_or_insert_with(|| text.split('\n').collect());
            let before = count;
            for (line, _) in &mistakes {
                if let Some(line) = lines.get_mut(line.saturating_sub(1)).filter(|line| !line.is_empty()) {
                    *line = "";
                    count += 1;
                }
            }
            // A mistake of no line, such as too many of them.
            if count == before {
                return Self { elements: Vec::new(), problem };
            }
        }
    }
}
