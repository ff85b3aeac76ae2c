//! The text of a section, and where in router.ron it begins: people are told places of the file.

use portreeve_config::{Position, Span};

/// See the file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    text: &'a str,
    start: Position,
}

impl<'a> From<&'a str> for Source<'a> {
    /// It is the whole file.
    fn from(text: &'a str) -> Self {
        Self::new(text, Position { line: 1, column: 1 })
    }
}

impl<'a> Source<'a> {
    /// A section that begins there.
    #[must_use]
    pub const fn new(text: &'a str, start: Position) -> Self {
        Self { text, start }
    }

    /// What stands there.
    #[must_use]
    pub fn slice(&self, span: Span) -> &'a str {
        span.slice(self.text)
    }

    /// Where in the file this byte of the section is.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let inside = Position::of(self.text, offset);
        let column = if inside.line == 1 { self.start.column + inside.column - 1 } else { inside.column };
        Position { line: self.start.line + inside.line - 1, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_of_the_file() {
        let source = Source::new("(a: 1,\n b: 2)", Position { line: 46, column: 21 });
        let at = |offset| (source.position(offset).line, source.position(offset).column);
        assert_eq!((at(0), at(1), at(8)), ((46, 21), (46, 22), (47, 2)));
    }
}
