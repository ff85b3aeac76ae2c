//! What dumps say, decoded.

use proptest::prelude::*;

use super::*;
use crate::{Endian, Family, Message, Query, messages, request};

proptest! {
    #[test]
    fn any_bytes_are_read(operation in 0_u16..40, body in proptest::collection::vec(any::<u8>(), 0..200), big: bool) {
        let endian = if big { Endian::Big } else { Endian::Little };
        let bytes = [vec![0; 16], body.clone()].concat();
        for kind in [operation, 0x0a00 | operation, 0x0100 | operation] {
            let message = Message { offset: 0, kind, flags: 0x300, sequence: 1, port: 0, bytes: &bytes, endian };
            let _ = (decode(&message), crate::conntrack::decode(&message), crate::answer(&message));
        }
        let _ = (messages(endian, &body).count(), crate::inspect(endian, &body).count());
        let _ = crate::locate(endian, &body, 44);
    }
}

#[test]
fn questions_name_what_they_ask_for() {
    let query = Query::Elements { family: Family::Inet, table: "t", set: "s" };
    #[rustfmt::skip]
    assert_eq!(request(Endian::Little, 2, &query), [
        36, 0, 0, 0, 13, 10, 1, 3, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 6, 0, 1, 0, b't', 0, 0, 0, 6, 0, 2, 0, b's', 0, 0, 0,
    ]);
    assert_eq!(request(Endian::Little, 2, &Query::Generation)[4..8], [16, 10, 5, 0]);
}
