//! Expressions byte for byte.

use super::*;
use crate::{Endian, constants::NFT_META_OIFNAME};

fn written(expression: &Expression<'_>) -> Vec<u8> {
    let mut writer = Writer::new(Endian::Little);
    one(&mut writer, LIST_ELEMENT, expression);
    writer.bytes
}

#[test]
fn expressions_are_name_and_data() {
    let r1 = Register::R1;
    #[rustfmt::skip]
    assert_eq!(written(&Expression::Meta { destination: r1, key: NFT_META_OIFNAME }), [
        36, 0, 1, 0x80, 9, 0, 1, 0, b'm', b'e', b't', b'a', 0, 0, 0, 0,
        20, 0, 2, 0x80, 8, 0, 2, 0, 0, 0, 0, 7, 8, 0, 1, 0, 0, 0, 0, 1,
    ]);
    #[rustfmt::skip]
    assert_eq!(written(&Expression::equal(r1, &[6][..])), [
        44, 0, 1, 0x80, 8, 0, 1, 0, b'c', b'm', b'p', 0,
        32, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 0, 12, 0, 3, 0x80, 5, 0, 1, 0, 6, 0, 0, 0,
    ]);
    #[rustfmt::skip]
    assert_eq!(written(&Expression::Masquerade { flags: 4, ports: None }), [
        28, 0, 1, 0x80, 9, 0, 1, 0, b'm', b'a', b's', b'q', 0, 0, 0, 0, 12, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 4,
    ]);
    #[rustfmt::skip]
    assert_eq!(written(&Expression::TransparentProxy { port: r1 }), [
        36, 0, 1, 0x80, 11, 0, 1, 0, b't', b'p', b'r', b'o', b'x', b'y', 0, 0,
        20, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 1,
    ]);
}
