//! The fields of a struct while they are taken one by one.

use super::{Member, Value};
use crate::diagnostic::Diagnostics;
use crate::span::{Span, Spanned};
use crate::suggest::did_you_mean;

/// The fields of one struct while they are taken. What is left when [`Fields::finish`] is called is
/// unknown, and reported.
#[derive(Debug)]
pub struct Fields<'a> {
    fields: Vec<Member<'a>>,
    asked: Vec<&'static str>,
    owner: Value<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(fields: Vec<Member<'a>>, owner: Value<'a>) -> Self {
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
