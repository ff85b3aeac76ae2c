//! Domain names in wire form: uncompressed, checked once, compared in lower case.

use std::fmt;
use std::str::FromStr;

/// The longest name in wire form (RFC 1035 section 2.3.4).
pub(super) const MAX_NAME: usize = 255;

/// A name in wire form and lower case, ending with the root label.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<[u8]>);

/// The text is no domain name: a label of none or more than 63 bytes, or more than 255 in all (RFC 1035 section 2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a domain name: labels have 1 to 63 bytes, a name has at most 255")
    }
}

impl std::error::Error for NameError {}

impl FromStr for Domain {
    type Err = NameError;

    /// Takes `example.com`, with or without a dot at the end; `.` is the root. There are no escapes.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let text = text.strip_suffix('.').unwrap_or(text);
        for label in text.split('.').filter(|_| !text.is_empty()) {
            let length = u8::try_from(label.len()).map_err(|_| NameError)?;
            if !(1..=63).contains(&length) {
                return Err(NameError);
            }
            wire.push(length);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        if wire.len() > MAX_NAME { Err(NameError) } else { Ok(Self(wire.into())) }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(&self.0, f)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(&self.0, f)
    }
}

impl Domain {
    /// Whether `name`, in wire form and lower case, is this name or below it.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        let mut rest = name;
        while rest.len() > self.0.len() {
            let label = rest.first().map_or(usize::MAX, |length| usize::from(*length) + 1);
            let Some(next) = rest.get(label..) else { return false };
            rest = next;
        }
        *rest == *self.0
    }
}

/// Writes a name in wire form as text; bytes that are not printable as in RFC 1035 section 5.1.
pub(super) fn write_name(wire: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let mut rest = wire;
    let mut any = false;
    while let Some((&length, tail)) = rest.split_first() {
        let (Some(label), Some(next)) = (tail.get(..length.into()), tail.get(length.into()..)) else { break };
        if label.is_empty() {
            break;
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                0x21..=0x7e => f.write_char(byte.into())?,
                _ => write!(f, "\\{byte:03}")?,
            }
        }
        f.write_char('.')?;
        any = true;
        rest = next;
    }
    if any { Ok(()) } else { f.write_char('.') }
}

/// The length of the uncompressed name that `bytes` begins with, its root label included; `None` if there is none.
pub(super) fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = *bytes.get(at)?;
        if label > 63 {
            return None;
        }
        at += usize::from(label) + 1;
        if at > MAX_NAME {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}

/// Where the name at `at` ends, compressed or not; pointers are not followed.
pub(super) fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            label @ 1..=63 => at += usize::from(label) + 1,
            0xc0..=0xff => return Some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_lower_case_wire_form_and_back() {
        let name: Domain = "WWW.Example.com".parse().unwrap();
        assert_eq!(*name.0, *b"\x03www\x07example\x03com\x00");
        assert_eq!(name.to_string(), "www.example.com.");
        assert_eq!("example.".parse::<Domain>().unwrap().to_string(), "example.");
        assert_eq!(".".parse::<Domain>().unwrap().to_string(), ".");
        assert_eq!("a..b".parse::<Domain>(), Err(NameError));
        assert_eq!("a".repeat(64).parse::<Domain>(), Err(NameError));
        assert_eq!("abc.".repeat(64).parse::<Domain>(), Err(NameError));
        let mut text = String::new();
        write_name(b"\x03a.\x07\x00", &mut text).unwrap();
        assert_eq!(text, "a\\.\\007.");
    }

    #[test]
    fn a_domain_covers_itself_and_whole_labels_below_it() {
        let name: Domain = "example.com".parse().unwrap();
        assert!(name.covers(b"\x07example\x03com\x00"));
        assert!(name.covers(b"\x01a\x07example\x03com\x00"));
        assert!(!name.covers(b"\x08xexample\x03com\x00"));
        assert!(!name.covers(b"\x03com\x00"));
        assert!(".".parse::<Domain>().unwrap().covers(b"\x03com\x00"));
    }

    #[test]
    fn the_length_of_a_name_is_found_or_there_is_none() {
        assert_eq!(name_length(b"\x01a\x00rest"), Some(3));
        assert_eq!(name_length(b"\x00"), Some(1));
        assert_eq!(name_length(b"\x01a"), None);
        assert_eq!(name_length(b"\xc0\x0c"), None);
        let mut long = [1_u8; 300];
        long[254] = 0;
        assert_eq!(name_length(&long), Some(255));
        long[254] = 1;
        long[256] = 0;
        assert_eq!(name_length(&long), None);
        assert_eq!(skip_name(b"\x01a\xc0\x00z", 0), Some(4));
        assert_eq!(skip_name(b"\x01a", 0), None);
    }
}
