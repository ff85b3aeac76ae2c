//! Names of interfaces and globs over them.
//!
//! A glob has `*` (any characters, also none) and `?` (one character). Matching is linear in both lengths: names are
//! at most 15 bytes, and only one star is ever backtracked to.

use core::fmt;
use core::str::FromStr;

/// The longest name the kernel allows: IFNAMSIZ less its zero byte.
const MAX_NAME: usize = 15;

/// An interface name or a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

/// Why a text is neither an interface name nor a glob.
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
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a plain name.
    pub fn is_exact(&self) -> bool {
        !self.text.contains(['*', '?'])
    }

    /// How many literal characters it has: the measure of how specific it is.
    pub fn literals(&self) -> usize {
        self.text.bytes().filter(|byte| !matches!(byte, b'*' | b'?')).count()
    }

    /// Whether the interface `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.text.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where the last star stands and up to where it has eaten.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&byte) = name.get(n) {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(&literal) if literal == b'?' || literal == byte => {
                    p += 1;
                    n += 1;
                }
                _ => match star {
                    Some((at, eaten)) => {
                        star = Some((at, eaten + 1));
                        p = at + 1;
                        n = eaten + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(p).all(|byte| *byte == b'*')
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if matches!(text, "" | "." | "..") {
            return Err(PatternError::NoName);
        }
        if let Some(found) = text.chars().find(|c| matches!(c, '/' | ':') || !c.is_ascii_graphic()) {
            return Err(PatternError::Character(found));
        }
        let pattern = Self { text: text.to_owned() };
        if pattern.literals() > MAX_NAME { Err(PatternError::TooLong) } else { Ok(pattern) }
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
        assert!(matches("*lan?", "wlan0") && !matches("*lan?", "wlan") && matches("*a*b", "xaxbb"));
        assert!(matches("lan0", "lan0") && !matches("lan0", "lan00"));
        assert!(matches("*", "") && matches("**", "x"));
    }

    #[test]
    fn what_no_interface_can_be_called_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(PatternError::NoName));
        assert_eq!("a/b".parse::<Pattern>(), Err(PatternError::Character('/')));
        assert_eq!("a b".parse::<Pattern>(), Err(PatternError::Character(' ')));
        assert_eq!("a123456789012345".parse::<Pattern>(), Err(PatternError::TooLong));
        assert!("a12345678901234*".parse::<Pattern>().is_ok());
    }
}
