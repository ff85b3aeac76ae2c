//! What nft keeps in the kernel for itself: comments, and how a set's keys are to be shown (libnftnl/udata.h).
//!
//! A list of type (1 byte), length (1 byte), value; numbers in the host's order. The kernel takes 256 bytes of it.

use crate::Endian;

/// The comment of everything but sets: NFTNL_UDATA_TABLE_COMMENT and the like.
pub(crate) const COMMENT: u8 = 0;
/// NFTNL_UDATA_SET_*.
const SET_KEY_BYTE_ORDER: u8 = 0;
const SET_DATA_BYTE_ORDER: u8 = 1;
const SET_MERGE_ELEMENTS: u8 = 2;
pub(crate) const SET_COMMENT: u8 = 7;
/// NFTNL_UDATA_SET_ELEM_FLAGS.
const ELEMENT_FLAGS: u8 = 1;
/// Its bit that says that a range goes on to the last key, so that no end follows.
const INTERVAL_OPEN: u32 = 1;
/// Most bytes of a comment: with its zero and its head within 256, and room for the notes of a set.
const MAX_COMMENT: usize = 220;

/// A comment as nft reads it; cut to 220 bytes.
pub(crate) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(text.len() + 3);
    put_comment(&mut data, kind, text);
    data
}

fn put_comment(data: &mut Vec<u8>, kind: u8, text: &str) {
    let mut end = text.len().min(MAX_COMMENT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    data.extend_from_slice(&[kind, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)]);
    data.extend_from_slice(text.as_bytes());
    data.push(0);
}

/// Of a set: the orders of key and data, and that it is not to be merged when shown.
/// Orders are as [`crate::DataType`] notes them.
pub(crate) fn set(endian: Endian, key: u32, data: Option<u32>, interval: bool, comment: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |kind, value: u32| {
        bytes.extend_from_slice(&[kind, 4]);
        bytes.extend_from_slice(&endian.u32(value));
    };
    put(SET_KEY_BYTE_ORDER, key);
    if let Some(data) = data {
        put(SET_DATA_BYTE_ORDER, data);
    }
    if interval {
        put(SET_MERGE_ELEMENTS, 0);
    }
    if let Some(comment) = comment {
        put_comment(&mut bytes, SET_COMMENT, comment);
    }
    bytes
}

/// Of the first element of a range that has no end.
pub(crate) fn open_interval(endian: Endian) -> Vec<u8> {
    let mut bytes = vec![ELEMENT_FLAGS, 4];
    bytes.extend_from_slice(&endian.u32(INTERVAL_OPEN));
    bytes
}

/// The text of a kind.
pub(crate) fn find(kind: u8, mut data: &[u8]) -> Option<String> {
    while let Some(([this, length], rest)) = data.split_first_chunk::<2>() {
        let value = rest.get(..usize::from(*length))?;
        if *this == kind {
            let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
            return value.get(..end).map(|text| String::from_utf8_lossy(text).into_owned());
        }
        data = rest.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_written_and_found() {
        assert_eq!(comment(COMMENT, "my rule"), *b"\0\x08my rule\0");
        let set = set(Endian::Little, 2, None, true, Some("x"));
        assert_eq!(set, *b"\0\x04\x02\0\0\0\x02\x04\0\0\0\0\x07\x02x\0");
        assert_eq!(find(SET_COMMENT, &set), Some("x".to_owned()));
        assert_eq!(find(COMMENT, &comment(COMMENT, "")), Some(String::new()));
        assert_eq!(find(3, &set), None);
        for cut in 0..set.len() - 1 {
            assert_eq!(find(SET_COMMENT, &set[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_long_comment_is_cut_between_characters() {
        let long = comment(COMMENT, &format!("x{}", "ä".repeat(200)));
        assert_eq!((long.len(), long[1]), (222, 220));
        assert_eq!(find(COMMENT, &long).map(|text| text.chars().count()), Some(110));
    }
}
