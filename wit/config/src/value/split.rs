//! Splits the text of a struct, a map or a list at its commas and colons.
//!
//! [`super::Value::root`] has had `ron` read the whole text before, so it is legal RON here, and one pass over the bytes
//! finds the parts: `ron` itself would read each part again at every level above it. On other text nothing breaks; the
//! parts are then cut somewhere.

/// One part of a struct, a map or a list, without blanks and comments around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// What stands before the colon.
    pub key: Option<&'a str>,
    /// What stands behind it, or all.
    pub value: &'a str,
}

/// The parts between the brackets that `text` begins and ends with.
pub fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    Scanner { text: inside, at: 0 }
}

/// The one value in `text`, without what stands around it.
pub fn only(text: &str) -> &str {
    Scanner { text, at: 0 }.next().map_or("", |part| part.value)
}

/// Bytes between brackets that say nothing about where things end.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let special = b"()[]{}\"'/r";
    let mut at = 0;
    while at < special.len() {
        plain[special[at] as usize] = false;
        at += 1;
    }
    plain
};

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let bytes = self.text.as_bytes();
        let mut key = None;
        // First and behind the last byte that counts.
        let mut span: Option<(usize, usize)> = None;
        while let Some(&byte) = bytes.get(self.at) {
            let start = self.at;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                b'/' if self.skip_comment() => continue,
                b',' => {
                    self.at += 1;
                    break;
                }
                b':' if key.is_none() && span.is_some() => {
                    self.at += 1;
                    key = span.take();
                    continue;
                }
                b'(' | b'[' | b'{' => self.skip_brackets(),
                b'"' => self.skip_string(),
                b'\'' => self.skip_char(),
                b'A'..=b'Z' | b'a'..=b'z' | b'_' => self.skip_word(),
                _ => self.at += 1,
            }
            span = Some((span.map_or(start, |(first, _)| first), self.at));
        }
        let cut = |(from, to): (usize, usize)| self.text.get(from..to.min(self.text.len())).unwrap_or("");
        span.map(|span| Part { key: key.map(cut), value: cut(span) })
    }
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// From a bracket to behind its other.
    fn skip_brackets(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        while let Some(&byte) = bytes.get(self.at) {
            if PLAIN[usize::from(byte)] {
                self.at += 1;
                continue;
            }
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'\'' => {
                    self.skip_char();
                    continue;
                }
                b'/' if self.skip_comment() => continue,
                // Of words only raw strings hide anything.
                b'r' if matches!(bytes.get(self.at + 1), Some(b'"' | b'#')) => {
                    self.at += 1;
                    self.skip_raw();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// True if there was one.
    fn skip_comment(&mut self) -> bool {
        let rest = self.rest();
        if rest.starts_with("//") {
            self.at += rest.find('\n').unwrap_or(rest.len());
            return true;
        }
        if !rest.starts_with("/*") {
            return false;
        }
        let (mut depth, mut at) = (0usize, 0);
        while let Some(pair) = rest.as_bytes().get(at..at + 2) {
            match pair {
                b"/*" => (depth, at) = (depth + 1, at + 2),
                b"*/" => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                break;
            }
        }
        self.at += if depth == 0 { at } else { rest.len() };
        true
    }

    fn skip_string(&mut self) {
        let rest = self.rest().as_bytes();
        let mut at = 1;
        while let Some(byte) = rest.get(at) {
            at += match byte {
                b'\\' => 2,
                b'"' => {
                    self.at += at + 1;
                    return;
                }
                _ => 1,
            };
        }
        self.at += rest.len();
    }

    /// `'x'`, also with an escape.
    fn skip_char(&mut self) {
        let mut chars = self.rest().char_indices().skip(1).peekable();
        if let Some((_, '\\')) = chars.next() {
            chars.next();
        }
        let end = chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
        self.at += end.unwrap_or(1);
    }

    /// An identifier, a number's letters, or what begins a string: `b"…"`, `r"…"`, `r#"…"#`, `br"…"`.
    fn skip_word(&mut self) {
        let rest = self.rest();
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        self.at += length;
        if matches!(rest.get(..length), Some("r" | "br")) {
            self.skip_raw();
        }
    }

    /// What follows an `r`.
    fn skip_raw(&mut self) {
        let behind = self.rest();
        let hashes = behind.bytes().take_while(|b| *b == b'#').count();
        if behind.as_bytes().get(hashes) == Some(&b'"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = behind.get(hashes + 1..).unwrap_or("");
            self.at += hashes + 1 + body.find(&end).map_or(body.len(), |at| at + end.len());
        } else {
            // A raw identifier: r#type.
            self.at += hashes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(&str, &str)> {
        parts(text).map(|part| (part.key.unwrap_or(""), part.value)).collect()
    }

    #[test]
    fn commas_and_colons_split_only_at_the_top() {
        assert_eq!(
            split("(a: 1, b: (c: 2, d: [3, 4]), e: {\"f\": 5},)"),
            [("a", "1"), ("b", "(c: 2, d: [3, 4])"), ("e", "{\"f\": 5}"),]
        );
        assert_eq!(split("[1, Two(3), \"4\"]"), [("", "1"), ("", "Two(3)"), ("", "\"4\"")]);
        assert_eq!(split("()"), []);
        assert_eq!(split("( /* none */ )"), []);
    }

    #[test]
    fn strings_comments_and_characters_hide_what_they_hold() {
        let text = r##"{"a,b:(": r#"x"y, z"#, // c, d: (
            "e\"f": ',', /* g /* h: */ , */ b"i" : '\'', "j": r"k\", }"##;
        assert_eq!(
            split(text),
            [("\"a,b:(\"", "r#\"x\"y, z\"#"), ("\"e\\\"f\"", "','"), ("b\"i\"", "'\\''"), ("\"j\"", "r\"k\\\""),]
        );
        assert_eq!(only(" // first\n (a: 1) /* last */ "), "(a: 1)");
    }

    #[test]
    fn any_text_is_cut_somewhere_without_a_panic() {
        for text in ["", "(", "\"", "'", "/*", "r#\"", "((((", "))))", "é'é", "(é: 'é", "b'\\", "\\"] {
            let _ = (parts(text).count(), only(text));
        }
    }
}
