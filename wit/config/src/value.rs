//! Taking RON text apart without losing places: [`Value`] is a piece of text with its span, [`Fields`] a
//! struct's fields while they are taken one by one.
//!
//! `ron` judges the whole text once (unless `check` sees that it is legal) and reads the leaves; `split` cuts what lies
//! between into slices of the very text that was given, so a slice's distance from the start of the text is its span.
//! A [`Document`] keeps what `check` has found in an `index`: its values need not be looked for again.

mod check;
mod fields;
mod index;
mod parts;
mod split;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use ron::error::Error as RonError;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::diagnostic::Diagnostics;
use crate::duration::{self, DurationError};
use crate::span::{Position, Span, Spanned};
use crate::suggest::did_you_mean;

use index::Node;
use parts::{Indexed, Part};

pub use fields::{Fields, unknown_field};
pub use parts::{Items, Member, Members};

/// One value of RON text: a struct, a map, a list or a leaf, not yet looked into.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The text of the value alone, without blanks and comments around it.
    text: &'a str,
    /// The whole text that was given to [`Value::root`].
    whole: &'a str,
    /// This value and those within it; nothing without an index.
    nodes: &'a [Node],
}

/// A text that is read once: for sections of megabytes. What is said about it and what its values are is what
/// [`Value::root`] gives.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    /// Where the one value stands.
    value: Range<usize>,
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Reads the text of one value. See [`Value::root`].
    #[must_use]
    pub fn read(text: &'a str, diagnostics: &mut Diagnostics) -> Option<Self> {
        if let Some(nodes) = check::index(text)
            && let Some(root) = nodes.first()
        {
            return Some(Self { text, value: root.range(), nodes });
        }
        let span = Value::root(text, diagnostics)?.span();
        Some(Self { text, value: span.start..span.end, nodes: Vec::new() })
    }

    /// The one value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value { text: self.text.get(self.value.clone()).unwrap_or(""), whole: self.text, nodes: &self.nodes }
    }
}

impl<'a> Value<'a> {
    /// The one value that `text` holds. A syntax error anywhere inside is reported with its place, and
    /// gives `None`: what follows it cannot be read with any certainty.
    #[must_use]
    pub fn root(text: &'a str, diagnostics: &mut Diagnostics) -> Option<Self> {
        if let Some(value) = check::plain(text).and_then(|range| text.get(range)) {
            return Some(Self { text: value, whole: text, nodes: &[] });
        }
        if text.trim().is_empty() {
            diagnostics.error(Span::new(0, 0), "there is nothing here");
            return None;
        }
        if let Some(at) = text.find("#![").filter(|at| text[..*at].trim().is_empty()) {
            diagnostics.error_with_hint(Span::new(at, at + 3), "RON extensions are not used here", "remove this line");
            return None;
        }
        if let Err(error) = ron::from_str::<IgnoredAny>(text) {
            let start = Position { line: error.span.start.line, column: error.span.start.col };
            let end = Position { line: error.span.end.line, column: error.span.end.col };
            // The cursor stands behind the character that could not be read.
            let end = end.offset(text);
            let start = start.offset(text).max(last_char_before(text, end)).min(end);
            let span = if start == end { Span::new(last_char_before(text, end), end) } else { Span::new(start, end) };
            diagnostics.error(span, format!("syntax error: {}", describe(&error.code)));
            return None;
        }
        Some(Self { text: split::only(text), whole: text, nodes: &[] })
    }

    /// Where the value stands in the text given to [`Value::root`].
    #[must_use]
    pub fn span(&self) -> Span {
        span_in(self.whole, self.text)
    }

    /// The value's own text.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// The identifier before a struct, `Udp` in `Udp(connect: "…")`, or a unit variant as a whole.
    #[must_use]
    pub fn name(&self) -> Option<Spanned<&'a str>> {
        let name = &self.text[..self.name_length()];
        (!name.is_empty()).then(|| Spanned::new(name, span_in(self.whole, name)))
    }

    fn name_length(&self) -> usize {
        let starts_as_one = self.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts_as_one {
            self.text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        } else {
            0
        }
    }

    /// Takes a struct `(a: 1, b: 2)` or `Name(a: 1)` apart. A unit variant `Name` has no fields.
    #[must_use]
    pub fn fields(&self, diagnostics: &mut Diagnostics) -> Option<Fields<'a>> {
        Some(Fields::new(self.members(diagnostics)?.into_vec(), *self))
    }

    /// The fields of a struct with their names, in the order of the text: for structs that have many fields of which few
    /// are written. Who asks reports those it does not know ([`unknown_field`]).
    #[must_use]
    pub fn members(&self, diagnostics: &mut Diagnostics) -> Option<Members<'a>> {
        let after_name =
            if self.text.starts_with('(') { self.text } else { self.text[self.name_length()..].trim_start() };
        if after_name.is_empty() && self.name().is_some_and(|n| !matches!(n.value, "true" | "false")) {
            return Some(Members::found(Vec::new()));
        }
        if !after_name.starts_with('(') && !after_name.starts_with('/') {
            diagnostics.error(self.span(), format!("expected fields in parentheses, found {}", self.kind()));
            return None;
        }
        if let Some(members) = Indexed::within(self.whole, self.nodes).and_then(Members::indexed) {
            return Some(members);
        }
        let mut fields: Vec<Member<'a>> = Vec::with_capacity(8);
        let mut twice = Vec::new();
        for part in self.parts(after_name) {
            let Some(name) = part.key.filter(|key| is_identifier(key)) else {
                diagnostics.error_with_hint(
                    self.span(),
                    format!("expected named fields, found {}", self.kind()),
                    "write `(name: value, …)`",
                );
                return None;
            };
            let name = self.place_of(name);
            if fields.iter().any(|(seen, _)| seen.value == name.value) {
                twice.push(name);
            } else {
                fields.push((name, part.value));
            }
        }
        for Spanned { value: name, span } in twice {
            diagnostics.error_with_hint(span, format!("field `{name}` is given twice"), "keep one of the two");
        }
        Some(Members::found(fields))
    }

    /// The one unnamed value of `Name(value)`; `None` for anything else.
    #[must_use]
    pub fn single(&self) -> Option<Value<'a>> {
        let after_name = self.text[self.name()?.value.len()..].trim_start();
        if !after_name.starts_with(['(', '/']) {
            return None;
        }
        let mut inside = self.parts(after_name);
        match (inside.next(), inside.next()) {
            (Some(Part { key: None, value }), None) => Some(value),
            _ => None,
        }
    }

    /// Takes a list `[a, b]` apart; something else is reported and gives nothing.
    #[must_use]
    pub fn list(&self, diagnostics: &mut Diagnostics) -> Vec<Value<'a>> {
        self.items(diagnostics).collect()
    }

    /// The entries of a list one by one: for lists that are long, or many. Something else is reported and gives nothing.
    #[must_use]
    pub fn items(&self, diagnostics: &mut Diagnostics) -> Items<'a> {
        if self.text.starts_with('[') {
            return Items::new(self);
        }
        diagnostics.error_with_hint(
            self.span(),
            format!("expected a list, found {}", self.kind()),
            "write `[…]`, also around a single value",
        );
        Items::found(Vec::new())
    }

    /// The text of `["…"]` if that is easily seen: of a list of one string without escapes. `None` says nothing.
    #[must_use]
    pub fn only_string(&self) -> Option<Spanned<&'a str>> {
        let [_, node] = self.nodes else { return None };
        let inner = self.whole.get(node.range())?;
        let [b'"', .., b'"'] = inner.as_bytes() else { return None };
        if node.has_escapes() || !self.text.starts_with('[') {
            return None;
        }
        Some(Spanned::new(inner.get(1..inner.len() - 1)?, span_in(self.whole, inner)))
    }

    /// Takes a map with string keys, `{"a": 1}`, apart; duplicate and other keys are reported.
    #[must_use]
    pub fn entries(&self, diagnostics: &mut Diagnostics) -> Vec<(Spanned<String>, Value<'a>)> {
        if !self.text.starts_with('{') {
            diagnostics.error_with_hint(
                self.span(),
                format!("expected a map, found {}", self.kind()),
                "write `{\"name\": …}`",
            );
            return Vec::new();
        }
        let mut list: Vec<(Spanned<String>, Value<'a>)> = Vec::new();
        let mut seen = HashSet::new();
        for part in self.parts(self.text) {
            let (Some(key), value) = (part.key, part.value) else { continue };
            let key = self.inner(key);
            let key = match key.string() {
                Some(text) => Spanned::new(text.into_owned(), key.span()),
                None => match key.get::<String>(diagnostics) {
                    Some(key) => key,
                    None => continue,
                },
            };
            if !seen.insert(key.value.clone()) {
                diagnostics.error_with_hint(
                    key.span,
                    format!("\"{}\" is given twice", key.value),
                    "keep one of the two",
                );
            } else {
                list.push((key, value));
            }
        }
        list
    }

    /// Reads a leaf by its serde type: bool, numbers, strings, unit variants of an enum.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, diagnostics: &mut Diagnostics) -> Option<Spanned<T>> {
        match ron::from_str::<T>(self.text) {
            Ok(value) => Some(Spanned::new(value, self.span())),
            Err(error) => {
                match &error.code {
                    RonError::NoSuchEnumVariant { expected, found, .. } => {
                        let hint = did_you_mean(found, expected.iter().copied()).map_or_else(
                            || format!("one of {}", expected.join(", ")),
                            |near| format!("did you mean `{near}`? (one of {})", expected.join(", ")),
                        );
                        diagnostics.error_with_hint(self.span(), format!("unknown value `{found}`"), hint);
                    }
                    code => diagnostics.error(self.span(), format!("{}, found {}", describe(code), self.kind())),
                }
                None
            }
        }
    }

    /// Reads a string and parses it; `expected` ends the sentence "expected …" and should show an example.
    #[must_use]
    pub fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        diagnostics: &mut Diagnostics,
        expected: &str,
    ) -> Option<Spanned<T>> {
        let Some(text) = self.string() else {
            diagnostics.error_with_hint(
                self.span(),
                format!("expected {expected}, found {}", self.kind()),
                "write it in double quotes",
            );
            return None;
        };
        match text.parse::<T>() {
            Ok(value) => Some(Spanned::new(value, self.span())),
            Err(error) => {
                diagnostics.error_with_hint(self.span(), error.to_string(), format!("expected {expected}"));
                None
            }
        }
    }

    /// Reads a duration with its unit, such as `"30m"`.
    #[must_use]
    pub fn duration(&self, diagnostics: &mut Diagnostics) -> Option<Spanned<Duration>> {
        let (error, hint) = match self.string() {
            Some(text) => match duration::parse(&text) {
                Ok(value) => return Some(Spanned::new(value, self.span())),
                Err(error @ DurationError::NoUnit) => (error.to_string(), format!("write \"{text}s\" for seconds")),
                Err(error) => (error.to_string(), DURATION_HINT.to_owned()),
            },
            None if self.text.bytes().all(|b| b.is_ascii_digit()) => {
                ("a duration needs a unit".to_owned(), format!("write \"{}s\" for seconds", self.text))
            }
            None => (format!("expected a duration, found {}", self.kind()), DURATION_HINT.to_owned()),
        };
        diagnostics.error_with_hint(self.span(), error, hint);
        None
    }

    /// The string that it is; `None` for anything else. One without escapes is a slice of the text: most are, and large
    /// sections are made of them.
    #[must_use]
    pub fn string(&self) -> Option<Cow<'a, str>> {
        if let (Some(node), [b'"', .., b'"']) = (self.nodes.first(), self.text.as_bytes())
            && !node.has_escapes()
        {
            return self.text.get(1..self.text.len() - 1).map(Cow::Borrowed);
        }
        self.string_of_text()
    }

    fn string_of_text(&self) -> Option<Cow<'a, str>> {
        let plain = self.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match plain.filter(|text| !text.contains(['"', '\\'])) {
            Some(text) => Some(Cow::Borrowed(text)),
            None => ron::from_str::<String>(self.text).ok().map(Cow::Owned),
        }
    }

    /// What kind of thing the text is, for messages.
    fn kind(&self) -> String {
        match self.text.as_bytes().first() {
            Some(b'(') => "a struct `(…)`".to_owned(),
            Some(b'[') => "a list `[…]`".to_owned(),
            Some(b'{') => "a map `{…}`".to_owned(),
            Some(_) => {
                let line = self.text.lines().next().unwrap_or("");
                let short: String = line.chars().take(40).collect();
                let dots = if short.len() < self.text.len() { "…" } else { "" };
                format!("`{short}{dots}`")
            }
            None => "nothing".to_owned(),
        }
    }

    fn inner(&self, text: &'a str) -> Self {
        Self { text, whole: self.whole, nodes: &[] }
    }

    /// The first of the nodes, with those within it.
    fn indexed(whole: &'a str, nodes: &'a [Node]) -> Self {
        let text = nodes.first().and_then(|node| whole.get(node.range())).unwrap_or("");
        Self { text, whole, nodes }
    }

    /// `part` of the whole text and where it stands.
    fn place_of(&self, part: &'a str) -> Spanned<&'a str> {
        Spanned::new(part, span_in(self.whole, part))
    }
}

const DURATION_HINT: &str = "write numbers with units, largest first: w d h m s ms, such as \"1h30m\"";

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Where `part`, a slice of `whole`, stands in it.
fn span_in(whole: &str, part: &str) -> Span {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len());
    Span::new(start, (start + part.len()).min(whole.len()))
}

fn last_char_before(text: &str, end: usize) -> usize {
    text[..end].char_indices().next_back().map_or(0, |(at, _)| at)
}

/// `ron`'s message in our form: lower case, no full stop.
fn describe(error: &RonError) -> String {
    let text = match error {
        RonError::Eof => "the text ends too early; a bracket or quote is not closed".to_owned(),
        RonError::ExpectedStructLikeEnd => "expected `,` or the closing `)`".to_owned(),
        RonError::ExpectedComma => "expected `,`".to_owned(),
        RonError::IntegerOutOfBounds => "the number is out of range".to_owned(),
        RonError::ExceededRecursionLimit => "brackets are nested too deeply".to_owned(),
        RonError::InvalidIntegerDigit { .. } | RonError::ExpectedInteger => "expected a whole number".to_owned(),
        RonError::ExpectedFloat => "expected a number".to_owned(),
        RonError::ExpectedBoolean => "expected true or false".to_owned(),
        RonError::ExpectedString => "expected a text in double quotes".to_owned(),
        RonError::TrailingCharacters => "there is text behind the end".to_owned(),
        other => other.to_string(),
    };
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
