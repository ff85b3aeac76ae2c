//! Whether a text is RON beyond doubt, in one pass over its bytes.
//!
//! `ron` judges what is legal and says what is wrong, but takes long over texts of megabytes. What sections are nearly
//! always made of is recognised here: structs, tuples, lists, maps with strings as keys, strings with plain escapes,
//! small decimal numbers, words, line comments. Anything else gives `None`, and `ron` is asked. Nothing that `ron` refuses
//! is accepted; a property test holds that.

use core::ops::Range;

/// Brackets within brackets; `ron` itself goes to 128.
const MAX_DEPTH: usize = 100;
/// Digits of numbers that every integer type of 32 bits and more holds.
const MAX_DIGITS: usize = 9;
/// Words that mean something of their own to `ron`.
const SPECIAL: [&[u8]; 11] =
    [b"Some", b"None", b"inf", b"inff32", b"inff64", b"NaN", b"NaNf32", b"NaNf64", b"r", b"b", b"br"];

/// Where the one value of `text` stands, if there is no doubt that the text is legal.
pub fn plain(text: &str) -> Option<Range<usize>> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    cursor.blank()?;
    let start = cursor.at;
    cursor.value(0)?;
    // A comment may follow.
    let end = cursor.at;
    cursor.blank()?;
    (cursor.at == text.len()).then_some(start..end)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Blanks and line comments.
    fn blank(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') => {
                    let rest = self.bytes.get(self.at..).filter(|rest| rest.starts_with(b"//"))?;
                    self.at += rest.iter().position(|byte| *byte == b'\n')? + 1;
                }
                _ => return Some(()),
            }
        }
    }

    /// Ends right behind the value.
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b'0'..=b'9' => self.number(),
            b'(' => self.parentheses(depth),
            b'[' => self.items(b']', depth),
            b'{' => self.map(depth),
            _ => {
                let word = self.word()?;
                if SPECIAL.contains(&word) {
                    return None;
                }
                let behind = self.at;
                self.blank()?;
                if self.peek() == Some(b'(') && !matches!(word, b"true" | b"false") {
                    return self.parentheses(depth);
                }
                self.at = behind;
                Some(())
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    let escaped = self.bytes.get(self.at + 1)?;
                    if !matches!(escaped, b'"' | b'\\' | b'n' | b't' | b'r') {
                        return None;
                    }
                    self.at += 2;
                }
                0..=0x1f | 0x7f => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let more = rest.get(digits).is_some_and(|byte| !matches!(byte, b',' | b')' | b']' | b'}' | b' ' | b'\n'));
        if more || digits > MAX_DIGITS || (digits > 1 && rest.first() == Some(&b'0')) {
            return None;
        }
        self.at += digits;
        Some(())
    }

    fn word(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let word = rest.get(..length)?;
        // A lone underscore is left to ron.
        if word.first().is_none_or(u8::is_ascii_digit) || word == b"_" {
            return None;
        }
        self.at += length;
        Some(word)
    }

    fn parentheses(&mut self, depth: usize) -> Option<()> {
        let start = self.at;
        self.at += 1;
        self.blank()?;
        let named = self.word().is_some() && {
            self.blank()?;
            self.peek() == Some(b':')
        };
        self.at = start;
        if named { self.pairs(b')', depth, |cursor| cursor.word().map(drop)) } else { self.items(b')', depth) }
    }

    fn map(&mut self, depth: usize) -> Option<()> {
        self.pairs(b'}', depth, |cursor| (cursor.peek() == Some(b'"')).then(|| cursor.string()).flatten())
    }

    fn items(&mut self, end: u8, depth: usize) -> Option<()> {
        self.separated(end, depth, |cursor| cursor.value(depth + 1))
    }

    fn pairs(&mut self, end: u8, depth: usize, key: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.separated(end, depth, |cursor| {
            key(cursor)?;
            cursor.blank()?;
            if !cursor.eat(b':') {
                return None;
            }
            cursor.blank()?;
            cursor.value(depth + 1)
        })
    }

    /// From a bracket to its other, `end`.
    fn separated(&mut self, end: u8, depth: usize, part: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.at += 1;
        loop {
            self.blank()?;
            if self.eat(end) {
                return Some(());
            }
            part(self)?;
            self.blank()?;
            if !self.eat(b',') {
                return self.eat(end).then_some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ron::de::from_str;
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn what_sections_are_made_of_is_recognised() {
        let text = "// first\n (a: 1, b: [Two(3), \"4\\\"\", Five(f: ()), true],) // last\n";
        let end = text.rfind(" // last").expect("it is there");
        assert_eq!(plain(text), Some(10..end));
        for text in ["()", "{\"a\": {}, \"ü\": [1]}", "Word", "Word ( x : ( ) )", "(1, Two, [3])"] {
            assert_eq!(plain(text), Some(0..text.len()), "{text}");
        }
    }

    #[test]
    fn what_is_illegal_or_rare_is_left_to_ron() {
        for text in [
            "",
            "(",
            "(a: 1",
            "(a: 1 b: 2)",
            "(a 1)",
            "[1 2]",
            "(a: 1, 2)",
            "{a: 1}",
            "(a: 0x1)",
            "(a: 1.5)",
            "/* c */ ()",
            "(a: r\"x\")",
            "(a: \"\\u{41}\")",
            "() x",
            "(a: \"x)",
            "(a:: 1)",
            "(,)",
            "[1,,2]",
            "Some(1)",
            "true(1)",
            "(a: -1)",
            "() // the end is not seen",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(plain(&deep(100)), Some(0..200));
        assert_eq!(plain(&deep(101)), None);
        assert_eq!(plain(&deep(100_000)), None);
    }

    fn ron_like() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", ",", ":", " ", "\n", "a", "Some", "None", "true", "r", "b", "_", "\"x\"",
            "\"\\n\"", "1", "007", "12", "-", ".", "(a: ", "[1, ", "{\"k\": ", "// c\n", "/", "#", "'", "inf", "NaN",
            "Name(", "()", "é", "\t", "\"",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    fn legal() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec!["1", "\"x, (\"", "true", "Word", "()", "_x", "4294967295", "\"\\\"\""])
            .prop_map(str::to_owned);
        leaf.prop_recursive(4, 32, 4, |inner| {
            let list = prop::collection::vec(inner, 0..4);
            prop_oneof![
                list.clone().prop_map(|l| format!("[{}]", l.join(", "))),
                list.clone()
                    .prop_map(|l| format!("Name ({},)", if l.is_empty() { "1".to_owned() } else { l.join(",") })),
                list.clone()
                    .prop_map(|l| l
                        .iter()
                        .enumerate()
                        .map(|(i, v)| format!("f{i}: {v}"))
                        .collect::<Vec<_>>()
                        .join(", "))
                    .prop_map(|l| format!("({l} )")),
                list.prop_map(|l| l.iter().map(|v| format!("\"k\": {v}, // c\n")).collect::<String>())
                    .prop_map(|l| format!("{{{l}}}")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn what_is_accepted_ron_accepts(text in ron_like()) {
            if plain(&text).is_some() {
                prop_assert!(from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn legal_text_is_accepted_by_both(text in legal()) {
            prop_assert!(from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
            // 10 digits are for ron.
            if !text.contains("4294967295") {
                prop_assert_eq!(plain(&text), Some(0..text.len()));
            }
        }
    }
}
