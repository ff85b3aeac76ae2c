//! Taking RON text apart without losing places: [`Value`] is a piece of text with its span, [`Fields`] a
//! struct's fields while they are taken one by one.
//!
//! `ron` judges the whole text once (unless `check` sees that it is legal) and reads the leaves; `split` cuts what lies
//! between into slices of the very text that was given, so a slice's distance from the start of the text is its span.

mod check;
mod split;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ron::error::Error as RonError;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::diagnostic::Diagnostics;
use crate::duration::{self, DurationError};
use crate::span::{Position, Span, Spanned};
use crate::suggest::did_you_mean;

/// One value of RON text: a struct, a map, a list or a leaf, not yet looked into.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The text of the value alone, without blanks and comments around it.
    text: &'a str,
    /// The whole text that was given to [`Value::root`].
    whole: &'a str,
}

impl<'a> Value<'a> {
    /// The one value that `text` holds. A syntax error anywhere inside is reported with its place, and
    /// gives `None`: what follows it cannot be read with any certainty.
    #[must_use]
    pub fn root(text: &'a str, diagnostics: &mut Diagnostics) -> Option<Self> {
        if let Some(value) = check::plain(text).and_then(|range| text.get(range)) {
            return Some(Self { text: value, whole: text });
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
        Some(Self { text: split::only(text), whole: text })
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
        Some(Fields::new(self.members(diagnostics)?, *self))
    }

    /// The fields of a struct with their names, in the order of the text: for structs that have many fields of which few
    /// are written. Who asks reports those it does not know ([`unknown_field`]).
    #[must_use]
    pub fn members(&self, diagnostics: &mut Diagnostics) -> Option<Vec<(Spanned<&'a str>, Value<'a>)>> {
        let after_name = self.text[self.name_length()..].trim_start();
        if after_name.is_empty() && self.name().is_some_and(|n| !matches!(n.value, "true" | "false")) {
            return Some(Vec::new());
        }
        if !after_name.starts_with('(') && !after_name.starts_with('/') {
            diagnostics.error(self.span(), format!("expected fields in parentheses, found {}", self.kind()));
            return None;
        }
        let mut fields: Vec<(Spanned<&'a str>, Value<'a>)> = Vec::with_capacity(8);
        let mut twice = Vec::new();
        for part in split::parts(without_comments(after_name)) {
            let Some(name) = part.key.filter(|key| is_identifier(key)) else {
                diagnostics.error_with_hint(
                    self.span(),
                    format!("expected named fields, found {}", self.kind()),
                    "write `(name: value, …)`",
                );
                return None;
            };
            let name = Spanned::new(name, span_in(self.whole, name));
            if fields.iter().any(|(seen, _)| seen.value == name.value) {
                twice.push(name);
            } else {
                fields.push((name, self.inner(part.value)));
            }
        }
        for Spanned { value: name, span } in twice {
            diagnostics.error_with_hint(span, format!("field `{name}` is given twice"), "keep one of the two");
        }
        Some(fields)
    }

    /// The one unnamed value of `Name(value)`; `None` for anything else.
    #[must_use]
    pub fn single(&self) -> Option<Value<'a>> {
        let after_name = self.text[self.name()?.value.len()..].trim_start();
        let mut inside = Some(without_comments(after_name)).filter(|text| text.starts_with('(')).map(split::parts)?;
        match (inside.next(), inside.next()) {
            (Some(split::Part { key: None, value }), None) => Some(self.inner(value)),
            _ => None,
        }
    }

    /// Takes a list `[a, b]` apart; something else is reported and gives nothing.
    #[must_use]
    pub fn list(&self, diagnostics: &mut Diagnostics) -> Vec<Value<'a>> {
        if self.text.starts_with('[') {
            return split::parts(self.text).map(|part| self.inner(part.value)).collect();
        }
        diagnostics.error_with_hint(
            self.span(),
            format!("expected a list, found {}", self.kind()),
            "write `[…]`, also around a single value",
        );
        Vec::new()
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
        for part in split::parts(self.text) {
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
                list.push((key, self.inner(value)));
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
        Self { text, whole: self.whole }
    }
}

const DURATION_HINT: &str = "write numbers with units, largest first: w d h m s ms, such as \"1h30m\"";

/// The fields of one struct while they are taken. What is left when [`Fields::finish`] is called is
/// unknown, and reported.
#[derive(Debug)]
pub struct Fields<'a> {
    fields: Vec<(Spanned<&'a str>, Value<'a>)>,
    asked: Vec<&'static str>,
    owner: Value<'a>,
}

impl<'a> Fields<'a> {
    fn new(fields: Vec<(Spanned<&'a str>, Value<'a>)>, owner: Value<'a>) -> Self {
        Self { fields, asked: Vec::new(), owner }
    }

    /// Where the whole struct stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.owner.span()
    }

    /// The field `name`, if it is there.
    pub fn take(&mut self, name: &'static str) -> Option<Value<'a>> {
        self.asked.push(name);
        let at = self.fields.iter().position(|(field, _)| field.value == name)?;
        Some(self.fields.remove(at).1)
    }

    /// The field `name`; its absence is reported at the struct.
    pub fn require(&mut self, name: &'static str, diagnostics: &mut Diagnostics) -> Option<Value<'a>> {
        let value = self.take(name);
        if value.is_none() {
            let whole = self.owner.span();
            let first_line = self.owner.text().lines().next().map_or(0, str::len);
            diagnostics.error_with_hint(
                Span::new(whole.start, whole.start + first_line.max(1)),
                format!("field `{name}` is missing"),
                format!("add `{name}: …,`"),
            );
        }
        value
    }

    /// Reports every field that was not asked for.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        for (name, _) in &self.fields {
            unknown_field(*name, &self.asked, diagnostics);
        }
    }
}

/// Reports a field that is none of `known`.
pub fn unknown_field(name: Spanned<&str>, known: &[&str], diagnostics: &mut Diagnostics) {
    let hint = did_you_mean(name.value, known.iter().copied())
        .map_or_else(|| format!("known fields: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    diagnostics.error_with_hint(name.span, format!("unknown field `{}`", name.value), hint);
}

/// From the parenthesis on. What may stand before it, or behind its other, is a comment.
fn without_comments(text: &str) -> &str {
    if text.starts_with('(') && text.ends_with(')') { text } else { split::only(text) }
}

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
