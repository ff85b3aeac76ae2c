//! Whether a text is RON beyond doubt, in one pass over its bytes, and where its parts stand.
//!
//! `ron` judges what is legal and says what is wrong, but takes long over texts of megabytes. What sections are nearly
//! always made of is recognised here: structs, tuples, lists, maps with strings as keys, strings with plain escapes,
//! small decimal numbers, words, line comments. Anything else gives `None`, and `ron` is asked. Nothing that `ron` refuses
//! is accepted; a property test holds that.
//!
//! Who asks gets an index of all values as well, so that nothing is read twice.

use core::ops::Range;

use super::index::{Key, Node};

/// Brackets within brackets; `ron` itself goes to 128.
const MAX_DEPTH: usize = 100;
/// Digits of numbers that every integer type of 32 bits and more holds.
const MAX_DIGITS: usize = 9;
/// Values of one index, which takes 20 bytes for each; a text of more has none.
const MAX_NODES: usize = 1 << 19;
/// Bytes of text for each value that there is room for at first.
const BYTES_PER_VALUE: usize = 10;

/// Bytes of words.
const WORD: [bool; 256] = {
    let mut word = [false; 256];
    let mut at: u8 = 0;
    while at < 128 {
        word[at as usize] = at.is_ascii_alphanumeric() || at == b'_';
        at += 1;
    }
    word
};

/// Bytes that say nothing in a string.
const TEXT: [bool; 256] = {
    let mut text = [true; 256];
    let mut at: u8 = 0;
    while at < 128 {
        text[at as usize] = !(at < 0x20 || matches!(at, b'"' | b'\\' | 0x7f));
        at += 1;
    }
    text
};

/// Where the one value of `text` stands, if there is no doubt that the text is legal.
pub fn plain(text: &str) -> Option<Range<usize>> {
    Cursor::<false> { bytes: text.as_bytes(), at: 0, nodes: Vec::new() }.whole()
}

/// The values of `text`, each before those within it, if there is no doubt that the text is legal.
pub fn index(text: &str) -> Option<Vec<Node>> {
    // Places are kept in 32 bits.
    u32::try_from(text.len()).ok()?;
    let nodes = Vec::with_capacity((text.len() / BYTES_PER_VALUE).min(MAX_NODES));
    let mut cursor = Cursor::<true> { bytes: text.as_bytes(), at: 0, nodes };
    cursor.whole()?;
    Some(cursor.nodes)
}

struct Cursor<'a, const INDEX: bool> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl<'a, const INDEX: bool> Cursor<'a, INDEX> {
    fn whole(&mut self) -> Option<Range<usize>> {
        self.blank()?;
        let start = self.at;
        self.value(Key::NONE, 0)?;
        // A comment may follow.
        let end = self.at;
        self.blank()?;
        (self.at == self.bytes.len()).then_some(start..end)
    }

    /// A value that ends here.
    fn leaf(&mut self, start: usize, key: Key, escapes: bool) -> Option<()> {
        if INDEX {
            if self.nodes.len() >= MAX_NODES {
                return None;
            }
            self.nodes.push(Node::leaf(start..self.at, key, escapes));
        }
        Some(())
    }

    /// A value that others are in; gives its place for [`Self::close`].
    fn open(&mut self, start: usize, key: Key) -> Option<usize> {
        let place = self.nodes.len();
        self.leaf(start, key, false)?;
        Some(place)
    }

    fn close(&mut self, place: usize) {
        let count = self.nodes.len() - place;
        if let Some(node) = self.nodes.get_mut(place) {
            node.close(self.at, count);
        }
    }

    /// 0, which is legal nowhere, at the end.
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// On to the first byte that is not of the class.
    fn skip(&mut self, class: &[bool; 256]) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !class[usize::from(*byte)]).unwrap_or(rest.len());
    }

    /// Blanks and line comments.
    fn blank(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'/' => {
                    let rest = self.bytes.get(self.at..).filter(|rest| rest.starts_with(b"//"))?;
                    self.at += rest.iter().position(|byte| *byte == b'\n')? + 1;
                }
                _ => return Some(()),
            }
        }
    }

    /// Ends right behind the value.
    fn value(&mut self, key: Key, depth: usize) -> Option<()> {
        let start = self.at;
        match self.peek() {
            b'"' => {
                let escapes = self.string()?;
                self.leaf(start, key, escapes)
            }
            b'0'..=b'9' => {
                self.number()?;
                self.leaf(start, key, false)
            }
            b'(' => self.brackets(start, key, depth, Self::parentheses),
            b'[' => self.brackets(start, key, depth, |cursor, depth| cursor.items(b']', depth)),
            b'{' => self.brackets(start, key, depth, |cursor, depth| cursor.pairs(b'}', None, depth)),
            _ => {
                let word = self.word()?;
                // Words that mean something of their own to ron.
                if let b"Some" | b"None" | b"inf" | b"inff32" | b"inff64" | b"NaN" | b"NaNf32" | b"NaNf64" | b"r"
                | b"b" | b"br" = word
                {
                    return None;
                }
                let behind = self.at;
                self.blank()?;
                if self.peek() == b'(' && !matches!(word, b"true" | b"false") {
                    return self.brackets(start, key, depth, Self::parentheses);
                }
                self.at = behind;
                self.leaf(start, key, false)
            }
        }
    }

    /// Whether it has escapes.
    fn string(&mut self) -> Option<bool> {
        self.at += 1;
        let mut escapes = false;
        loop {
            self.skip(&TEXT);
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    let escaped = self.bytes.get(self.at + 1)?;
                    if !matches!(escaped, b'"' | b'\\' | b'n' | b't' | b'r') {
                        return None;
                    }
                    escapes = true;
                    self.at += 2;
                }
                _ => return None,
            }
        }
        self.at += 1;
        Some(escapes)
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
        let start = self.at;
        self.skip(&WORD);
        let word = self.bytes.get(start..self.at)?;
        // A lone underscore is left to ron.
        if word.first().is_none_or(u8::is_ascii_digit) || word == b"_" {
            return None;
        }
        Some(word)
    }

    /// A value with brackets, of which `inside` reads what stands behind the first.
    fn brackets(
        &mut self,
        start: usize,
        key: Key,
        depth: usize,
        inside: impl Fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let place = self.open(start, key)?;
        self.at += 1;
        inside(self, depth + 1)?;
        self.close(place);
        Some(())
    }

    /// A struct's or a tuple's inside: the first word and what follows it says which.
    fn parentheses(&mut self, depth: usize) -> Option<()> {
        self.blank()?;
        let start = self.at;
        if self.word().is_some() {
            let key = Key::new(start, self.at);
            self.blank()?;
            if self.peek() == b':' {
                return self.pairs(b')', Some(key), depth);
            }
        }
        self.at = start;
        self.items(b')', depth)
    }

    /// Up to the bracket `end`.
    fn items(&mut self, end: u8, depth: usize) -> Option<()> {
        loop {
            self.blank()?;
            if self.peek() == end {
                break;
            }
            self.value(Key::NONE, depth)?;
            if self.last(end)? {
                break;
            }
        }
        self.at += 1;
        Some(())
    }

    /// Up to the bracket `end`: strings before colons in a map, words in a struct, of which the first has been read.
    fn pairs(&mut self, end: u8, mut first: Option<Key>, depth: usize) -> Option<()> {
        let words = first.is_some();
        loop {
            self.blank()?;
            let key = match first.take() {
                Some(key) => key,
                None if self.peek() == end => break,
                None => {
                    let start = self.at;
                    if words {
                        self.word()?;
                    } else if self.peek() == b'"' {
                        self.string()?;
                    } else {
                        return None;
                    }
                    Key::new(start, self.at)
                }
            };
            self.blank()?;
            if self.peek() != b':' {
                return None;
            }
            self.at += 1;
            self.blank()?;
            self.value(key, depth)?;
            if self.last(end)? {
                break;
            }
        }
        self.at += 1;
        Some(())
    }

    /// Behind a part: true before the bracket `end`, false behind a comma.
    fn last(&mut self, end: u8) -> Option<bool> {
        self.blank()?;
        let found = self.peek();
        if found == b',' {
            self.at += 1;
            return Some(false);
        }
        (found == end).then_some(true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use ron::de::from_str;
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn a_text_of_too_many_values_has_no_index_and_is_still_recognised() {
        let list = |values: usize| format!("[{}]", "1,".repeat(values));
        assert_eq!(index(&list(MAX_NODES - 1)).map(|nodes| nodes.len()), Some(MAX_NODES));
        assert!(index(&list(MAX_NODES)).is_none() && plain(&list(MAX_NODES)).is_some());
    }

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

    pub fn ron_like() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", ",", ":", " ", "\n", "a", "Some", "None", "true", "r", "b", "_", "\"x\"",
            "\"\\n\"", "1", "007", "12", "-", ".", "(a: ", "[1, ", "{\"k\": ", "// c\n", "/", "#", "'", "inf", "NaN",
            "Name(", "()", "é", "\t", "\"",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    pub fn legal() -> impl Strategy<Value = String> {
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
