//! Connections as ctnetlink tells them.

use super::*;
use crate::messages;

/// What Linux 6.18 told of an echo request to 127.0.0.1.
const ECHO: &str = "ec000000000102000700000021420000020000003c00018014000180080001007f000001080002007f0000012400028005000100010000000600040041f40000050005000800000005000600000000003c00028014000180080001007f000001080002007f0000012400028005000100010000000600040041f4000005000500000000000500060000000000080003000000000a080008000000000708000c00b051768608000b0000000001080007000000001d1c0009800c00010000000000000000010c00020000000000000000541c000a800c00010000000000000000010c00020000000000000000540c010000";

fn bytes() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        ECHO.as_bytes().chunks(2).map(|hex| u8::from_str_radix(str::from_utf8(hex).unwrap(), 16).unwrap()).collect();
    bytes.truncate(0xec);
    bytes
}

fn first(bytes: &[u8]) -> Option<Flow> {
    decode(&messages(Endian::Little, bytes).next()?.ok()?)
}

#[test]
fn a_connection_of_a_dump_is_told() {
    let flow = first(&bytes()).unwrap();
    assert_eq!((flow.family, flow.protocol, flow.mark, flow.status, flow.timeout), (2, 1, 7, 10, Some(29)));
    assert_eq!((flow.original.icmp, flow.reply.icmp), (Some((0x41f4, 8, 0)), Some((0x41f4, 0, 0))));
    assert_eq!((flow.original.source, flow.original.ports), (IpAddr::from([127, 0, 0, 1]), None));
    assert_eq!(flow.reply_counter, Some(Counter { packets: 1, bytes: 84 }));
    let whole = bytes();
    for cut in 20..whole.len() {
        let mut bytes = whole[..cut].to_vec();
        bytes[0] = u8::try_from(cut).unwrap();
        assert_eq!(first(&bytes).is_some(), cut >= 140, "{cut}");
    }
}

#[test]
fn the_question_is_a_dump() {
    let expected = [20, 0, 0, 0, 1, 1, 1, 3, 9, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0];
    assert_eq!(request(Endian::Little, 9, Family::Ip6), expected);
}
