//! Patterns of names: `*` stands for any number of characters, everything else for itself.

use std::fmt;

/// A name or a pattern of names. Interface names are at most 15 bytes, so patterns are kept short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

/// Longest pattern in bytes.
pub const MAX_PATTERN: usize = 64;

impl Pattern {
    /// A pattern; `None` for an empty one, one beyond [`MAX_PATTERN`], or one with a character that no
    /// interface name has (a slash, a blank, a control character).
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let legal = |c: char| !(c.is_whitespace() || c.is_control() || c == '/');
        (!text.is_empty() && text.len() <= MAX_PATTERN && text.chars().all(legal)).then(|| Self(text.to_owned()))
    }

    /// Whether `name` is one of the names this pattern stands for.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        glob(self.0.as_bytes(), name.as_bytes())
    }

    /// Whether every name that `other` stands for is one of this pattern's. A star in `other` is only ever
    /// matched by a star here, so the answer is never a wrong yes.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        glob(self.0.as_bytes(), other.0.as_bytes())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Glob match with one resume point: linear in practice, quadratic at worst, never exponential. A `*` in
/// `text` matches only under a `*` of the pattern.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            resume = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] && text[t] != b'*' {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = resume {
            resume = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        assert!(p("lan*").matches("lan0") && p("lan*").matches("lan") && p("*").matches("x"));
        assert!(p("*.10").matches("eth0.10") && !p("*.10").matches("eth0.100"));
        assert!(!p("lan0").matches("lan01") && !p("lan*").matches("wlan0"));
    }

    #[test]
    fn containment_never_says_yes_to_more_than_it_holds() {
        assert!(p("lan*").contains(&p("lan0*")) && p("*").contains(&p("lan*")) && p("lan0").contains(&p("lan0")));
        assert!(!p("lan0").contains(&p("lan*")) && !p("lan0*").contains(&p("lan*")) && !p("la?").contains(&p("la*")));
    }

    #[test]
    fn a_pattern_no_name_can_match_is_refused() {
        for text in ["", "a b", "a/b", "a\n", &"x".repeat(65)] {
            assert!(Pattern::new(text).is_none(), "{text:?}");
        }
    }
}
