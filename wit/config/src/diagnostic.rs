//! Complaints about a text: what is wrong, where, and what to do; and their printed form.
//!
//! The printed form starts with `file:line:column:` so that editors and scripts can jump to it, then shows
//! the line itself. A collector, [`Diagnostics`], gathers them so that one reading reports everything.

use std::fmt::Write as _;

use crate::span::{Position, Span};

/// Characters of a line that are shown.
const MAX_SHOWN: usize = 160;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but probably does not do what was meant.
    Warning,
}

impl Severity {
    /// The word that is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One complaint about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where, in bytes of the text that was read.
    pub span: Span,
    /// What is wrong: one line, lower case, no full stop.
    pub message: String,
    /// What to do about it, if that is known: one line.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Prints it against `text`, which `file` names: the place and message, the line, a hint.
    ///
    /// ```text
    /// router.ron:12:7: error: unknown field `mtuu`
    ///    12 |       mtuu: 1480,
    ///       |       ^^^^
    ///       = hint: did you mean `mtu`?
    /// ```
    #[must_use]
    pub fn render(&self, file: &str, text: &str) -> String {
        let start = Position::of(text, self.span.start);
        let line_text = text.lines().nth(start.line - 1).unwrap_or("").trim_end();
        // Of a very long line only what stands around the place is shown.
        let first = if start.column > MAX_SHOWN / 2 { start.column - MAX_SHOWN / 2 } else { 1 };
        let shown: String = line_text.chars().skip(first - 1).take(MAX_SHOWN).map(printable).collect();
        // A span over several lines is underlined to the end of its first one.
        let before = start.column - first;
        let rest = shown.chars().count().saturating_sub(before);
        let width = self.span.slice(text).lines().next().map_or(0, |l| l.chars().take(MAX_SHOWN).count());
        let width = width.min(rest).max(1);
        let mut out = format!("{file}:{}:{}: {}: {}\n", start.line, start.column, self.severity.as_str(), self.message);
        let number = start.line.to_string();
        let gutter = number.len().max(4);
        let _ = writeln!(out, "{number:>gutter$} | {shown}");
        let _ = writeln!(out, "{:>gutter$} | {}{}", "", " ".repeat(before), "^".repeat(width));
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{:>gutter$} = hint: {hint}", "");
        }
        out
    }
}

/// Tabs and control characters would move the underline or the terminal; each becomes one blank.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Gathers diagnostics while a text is read.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// An empty collector.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), None);
    }

    /// Records an error and what to do about it.
    pub fn error_with_hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), Some(hint.into()));
    }

    /// Records a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), None);
    }

    /// Records a warning and what to do about it.
    pub fn warning_with_hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), Some(hint.into()));
    }

    /// Takes over diagnostics of a piece of text that stands `offset` bytes into this one.
    pub fn extend_shifted(&mut self, list: impl IntoIterator<Item = Diagnostic>, offset: usize) {
        self.list.extend(list.into_iter().map(|mut d| {
            d.span = d.span.shifted(offset);
            d
        }));
    }

    /// Whether anything makes the text unusable.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What was recorded so far, in the order it was found.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Everything, ordered by place.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|d| (d.span.start, d.severity));
        self.list
    }

    fn push(&mut self, severity: Severity, span: Span, message: String, hint: Option<String>) {
        self.list.push(Diagnostic { severity, span, message, hint });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_place_line_and_hint() {
        let text = "Router(\n  mtuu: 1480,\n)";
        let d = Diagnostic {
            severity: Severity::Error,
            span: Span::new(10, 14),
            message: "unknown field `mtuu`".into(),
            hint: Some("did you mean `mtu`?".into()),
        };
        assert_eq!(
            d.render("router.ron", text),
            "router.ron:2:3: error: unknown field `mtuu`\n   2 |   mtuu: 1480,\n     |   ^^^^\n     = hint: did you mean `mtu`?\n"
        );
    }

    #[test]
    fn of_a_line_of_megabytes_only_the_place_is_shown() {
        let text = format!("{}X{}", "a".repeat(1_000_000), "b".repeat(1_000_000));
        let span = Span::new(1_000_000, 1_000_001);
        let d = Diagnostic { severity: Severity::Error, span, message: "m".into(), hint: None };
        let shown = d.render("f", &text);
        assert!(shown.len() < 600, "{}", shown.len());
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let d = Diagnostic { severity: Severity::Warning, span: Span::new(0, 1), message: "m".into(), hint: None };
        assert!(!d.render("f", "\u{1b}[31m\tx").contains(['\u{1b}', '\t']));
    }

    #[test]
    fn diagnostics_come_out_in_the_order_of_the_text() {
        let mut d = Diagnostics::new();
        d.error(Span::new(9, 10), "late");
        d.extend_shifted(
            [Diagnostic { severity: Severity::Warning, span: Span::new(1, 2), message: "early".into(), hint: None }],
            2,
        );
        let all = d.into_vec();
        assert_eq!(all[0].message, "early");
        assert_eq!(all[0].span, Span::new(3, 4));
    }
}
