//! Acknowledgements and their extended parts, whole and cut.

use super::*;
use crate::{Endian, messages};

fn read(bytes: &[u8]) -> Acknowledgement {
    match answer(&messages(Endian::Little, bytes).next().unwrap().unwrap()) {
        Answer::Acknowledged(found) | Answer::Done(found) => found,
        Answer::Message => panic!("a message"),
    }
}

/// An error of message 7, with its offset 44 and a text.
fn error(flags: u8, copied: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 2, 0, 0, flags, 7, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff];
    bytes.extend_from_slice(&[u8::try_from(16 + copied.len()).unwrap(), 0, 0, 0, 6, 10, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(copied);
    bytes.extend_from_slice(&[8, 0, 2, 0, 44, 0, 0, 0, 7, 0, 1, 0, b'n', b'o', 0, 0]);
    bytes[0] = u8::try_from(bytes.len()).unwrap();
    bytes
}

#[test]
fn an_errors_extension_is_found_behind_a_header_or_a_whole_message() {
    let expected =
        Acknowledgement { sequence: 7, errno: 2, offset: Some(44), message: Some("no".to_owned()), missing: None };
    assert_eq!(read(&error(3, &[])), expected);
    assert_eq!(read(&error(2, &[9; 8])), expected);
    let plain = Acknowledgement { offset: None, message: None, ..expected };
    assert_eq!(read(&error(1, &[])), plain);
    for cut in 20..error(3, &[]).len() {
        let mut bytes = error(3, &[]);
        bytes.truncate(cut);
        bytes[0] = u8::try_from(cut).unwrap();
        assert_eq!(read(&bytes).errno, 2);
    }
}

#[test]
fn the_end_of_a_dump_may_be_an_error() {
    let done = [20, 0, 0, 0, 3, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff];
    assert_eq!((read(&done).sequence, read(&done).errno), (4, 4));
    let empty = [16, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(read(&empty).errno, CUT_OFF);
}
