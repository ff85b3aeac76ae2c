//! WireGuard's public keys as people write them: base64 (RFC 4648 section 4) of 32 bytes, 44 characters with one `=`.
//!
//! Strict, as `wg` is: no blanks, no other alphabet, and no set bits behind the last byte, so that a key has one text.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters in front of the `=`.
const CHARACTERS: usize = 43;

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not 44 characters with one `=` at the end.
    Length,
    /// A character that base64 does not have.
    Character(char),
    /// Bits behind the last byte are set.
    Trailing,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("a key is 44 characters with one `=` at the end"),
            Self::Character(found) => write!(f, "character {found:?} does not occur in a key"),
            Self::Trailing => f.write_str("this is base64 of more than 32 bytes"),
        }
    }
}

impl std::error::Error for KeyError {}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_suffix('=').ok_or(KeyError::Length)?;
        if let Some(found) = text.chars().find(|c| !c.is_ascii() || !ALPHABET.contains(&(*c as u8))) {
            return Err(KeyError::Character(found));
        }
        if text.len() != CHARACTERS {
            return Err(KeyError::Length);
        }
        let mut key = [0; 32];
        let mut bytes = key.iter_mut();
        let (mut bits, mut count) = (0_u32, 0_u32);
        for byte in text.bytes() {
            let value = ALPHABET.iter().zip(0_u32..).find(|(c, _)| **c == byte).map_or(0, |(_, value)| value);
            bits = (bits << 6 | value) & 0xffff;
            count += 6;
            if count >= 8 {
                count -= 8;
                if let Some(target) = bytes.next() {
                    *target = (bits >> count & 0xff) as u8;
                }
            }
        }
        if bits & ((1 << count) - 1) == 0 { Ok(Self(key)) } else { Err(KeyError::Trailing) }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.chunks(3) {
            let bits = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            for at in 0..4 {
                let value = bits >> (18 - 6 * at) & 0x3f;
                let character = ALPHABET.get(value).filter(|_| at <= chunk.len()).copied().unwrap_or(b'=');
                write!(f, "{}", char::from(character))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_key_is_read_and_written() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.0.to_vec(), (0..32).collect::<Vec<u8>>());
        assert_eq!(key.to_string(), text);
    }

    #[test]
    fn other_texts_are_refused() {
        let parse = |text: &str| text.parse::<PublicKey>();
        assert_eq!(parse(""), Err(KeyError::Length));
        assert_eq!(parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"), Err(KeyError::Length));
        assert_eq!(parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="), Err(KeyError::Character('=')));
        assert_eq!(parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9="), Err(KeyError::Trailing));
        assert_eq!(parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH-8="), Err(KeyError::Character('-')));
        assert_eq!(parse("AAAA="), Err(KeyError::Length));
    }

    proptest! {
        #[test]
        fn every_key_comes_back(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(PublicKey(bytes).to_string().parse(), Ok(PublicKey(bytes)));
        }

        #[test]
        fn no_text_panics(text in ".{0,50}") {
            let _ = text.parse::<PublicKey>();
        }
    }
}
