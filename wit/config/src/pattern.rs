//! Names of interfaces and patterns over them: `*` stands for any number of characters, everything else for itself.
//!
//! Sections of plugins and the core's grants read patterns alike, so what a plugin plans is what the operator meant.

use core::fmt;
use core::str::FromStr;

/// Longest pattern in bytes.
pub const MAX_PATTERN: usize = 64;
/// The longest name the kernel allows: IFNAMSIZ less its zero byte.
const MAX_NAME: usize = 15;

/// An interface name or a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
}

/// Why a text is neither an interface name nor a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing at all, or `.` or `..`.
    NoName,
    /// More literal characters than any interface name has.
    TooLong,
    /// A slash, a colon, white space, or something not printable.
    Character(char),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("not an interface name"),
            Self::TooLong => write!(f, "an interface name has at most {MAX_NAME} characters"),
            Self::Character(found) => write!(f, "character {found:?} is not allowed in an interface name"),
        }
    }
}

impl core::error::Error for PatternError {}

impl Pattern {
    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a plain name.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.text.contains('*')
    }

    /// How many literal characters it has: the measure of how specific it is.
    #[must_use]
    pub fn literals(&self) -> usize {
        literals(&self.text)
    }

    /// A pattern, if the text is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// Whether the text is a pattern.
    ///
    /// # Errors
    /// It is none, and why.
    pub fn check(text: &str) -> Result<(), PatternError> {
        if matches!(text, "" | "." | "..") {
            return Err(PatternError::NoName);
        }
        if let Some(found) = text.chars().find(|c| matches!(c, '/' | ':' | '?') || !c.is_ascii_graphic()) {
            return Err(PatternError::Character(found));
        }
        if literals(text) > MAX_NAME || text.len() > MAX_PATTERN { Err(PatternError::TooLong) } else { Ok(()) }
    }

    /// Whether the interface `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        glob(self.text.as_bytes(), name.as_bytes())
    }

    /// Whether every name that `other` stands for is one of this pattern's. A star in `other` is only ever
    /// matched by a star here, so the answer is never a wrong yes.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        glob(self.text.as_bytes(), other.text.as_bytes())
    }
}

fn literals(text: &str) -> usize {
    text.bytes().filter(|byte| *byte != b'*').count()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name that is not an interface's (a host name, a key, a kernel parameter), or a pattern of such.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern {
    text: String,
}

/// Longest name in bytes: the longest host name (RFC 1035 section 2.3.4).
const MAX_OTHER_NAME: usize = 255;

impl NamePattern {
    /// A pattern, if the text is one: 1 to 255 printable ASCII characters without blanks.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let legal = !text.is_empty() && text.len() <= MAX_OTHER_NAME && text.bytes().all(|b| b.is_ascii_graphic());
        legal.then(|| Self { text: text.to_owned() })
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        glob(self.text.as_bytes(), name.as_bytes())
    }

    /// Whether every name that `other` stands for is one of this pattern's; never a wrong yes.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        glob(self.text.as_bytes(), other.text.as_bytes())
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no [`NamePattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamePatternError;

impl fmt::Display for NamePatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not 1 to {MAX_OTHER_NAME} printable characters without blanks")
    }
}

impl core::error::Error for NamePatternError {}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or(NamePatternError)
    }
}

/// One resume point: linear in practice, quadratic at worst, never exponential. A `*` in `text` matches only
/// under a `*` of the pattern.
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

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::check(text).map(|()| Self { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(name)
    }

    #[test]
    fn globs_match_whole_names() {
        assert!(matches("lan*", "lan") && matches("lan*", "lan0.7") && !matches("lan*", "wlan0"));
        assert!(matches("*.10", "eth0.10") && !matches("*.10", "eth0.100") && matches("*a*b", "xaxbb"));
        assert!(matches("lan0", "lan0") && !matches("lan0", "lan00"));
        assert!(matches("*", "") && matches("**", "x"));
    }

    #[test]
    fn containment_never_says_yes_to_more_than_it_holds() {
        let contains = |a: &str, b: &str| Pattern::new(a).unwrap().contains(&Pattern::new(b).unwrap());
        assert!(contains("lan*", "lan0*") && contains("*", "lan*") && contains("lan0", "lan0"));
        assert!(!contains("lan0", "lan*") && !contains("lan0*", "lan*"));
    }

    #[test]
    fn what_no_interface_can_be_called_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(PatternError::NoName));
        assert_eq!("a/b".parse::<Pattern>(), Err(PatternError::Character('/')));
        assert_eq!("lan?".parse::<Pattern>(), Err(PatternError::Character('?')));
        assert_eq!("a b".parse::<Pattern>(), Err(PatternError::Character(' ')));
        assert_eq!("a123456789012345".parse::<Pattern>(), Err(PatternError::TooLong));
        assert!("a12345678901234*".parse::<Pattern>().is_ok());
    }
}
