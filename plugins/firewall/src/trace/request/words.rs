//! Words of the form key=value, each key once, and values of the usual kinds.

use portreeve_config::did_you_mean;

/// Words in one request, at most.
const MAX_WORDS: usize = 64;
/// What may stand before the sign.
const KEYS: [&str; 21] = [
    "from",
    "to",
    "interface",
    "out",
    "family",
    "source",
    "destination",
    "protocol",
    "port",
    "source_port",
    "icmp",
    "flags",
    "state",
    "mark",
    "hop_limit",
    "mac",
    "fragment",
    "translated",
    "local",
    "route",
    "in",
];
/// What may be asked.
pub(super) const EXAMPLE: &str = "from=lan to=wan protocol=tcp destination=2001:db8:1::2 port=22";

/// Words by their keys.
pub(super) struct Words<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub fn of(words: &'a [String]) -> Result<Self, String> {
        if words.is_empty() {
            return Err(format!("say which packet: {EXAMPLE}"));
        }
        if words.len() > MAX_WORDS {
            return Err(format!("more than {MAX_WORDS} words"));
        }
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                return Err(format!("`{word}` is no key=value; write {EXAMPLE}"));
            };
            if !KEYS.contains(&key) {
                let hint = did_you_mean(key, KEYS).map(|near| format!(", did you mean {near}=")).unwrap_or_default();
                return Err(format!("no `{key}=` here{hint}; there is: {}", KEYS.join(", ")));
            }
            if key != "in" && pairs.iter().any(|(other, _)| *other == key) {
                return Err(format!("`{key}=` is said twice"));
            }
            if value.is_empty() {
                return Err(format!("nothing behind `{key}=`"));
            }
            pairs.push((key, value));
        }
        Ok(Self { pairs })
    }

    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
    }

    pub fn all(&self, key: &str) -> Vec<String> {
        self.pairs.iter().filter(|(other, _)| *other == key).map(|(_, value)| (*value).to_owned()).collect()
    }

    /// The value in decimal or, behind 0x, in hexadecimal.
    pub fn number(&self, key: &str, max: u32) -> Result<Option<u32>, String> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let number = match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        match number.filter(|number| *number <= max) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("`{key}={text}`: write a number up to {max}")),
        }
    }

    /// One of these words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(text) = self.get(key) else { return Ok(None) };
        match choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let known: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                Err(format!("`{key}={text}`: write one of {}", known.join(", ")))
            }
        }
    }
}
