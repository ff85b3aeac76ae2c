//! IPv4, IPv6 and TCP headers as bytes: known bytes both ways, truncation at every length, round trips.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use portreeve_packet::{EmitError, ipv4, ipv6, tcp};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

#[rustfmt::skip]
const IPV6: &[u8] = &[
    0x6b, 0x81, 0x23, 0x45, 0x05, 0xdc, 41, 64,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
];

#[rustfmt::skip]
const IPV4: &[u8] = &[
    0x46, 0xb8, 0x05, 0xdc, 0x12, 0x34, 0x40, 0x00, 255, 41, 0xab, 0xcd, 192, 0, 2, 2, 192, 0, 2, 1,
    // router alert
    148, 4, 0, 0,
];

#[rustfmt::skip]
const TCP: &[u8] = &[
    0x30, 0x39, 0x01, 0xbb, 0x01, 0x02, 0x03, 0x04, 0, 0, 0, 0, 0x60, 0xc2, 0xfd, 0xe8, 0xbe, 0xef, 0, 0,
    2, 4, 0x05, 0xa0,
];

#[test]
fn known_ipv6_bytes_mean_the_same_both_ways_and_truncation_is_told() {
    let header = ipv6::Header::parse(IPV6).unwrap();
    assert_eq!((header.traffic_class, header.flow_label), (0xb8, 0x1_2345));
    assert_eq!((header.payload_length, header.next_header, header.hop_limit), (1500, ipv6::IPV6, 64));
    assert_eq!(header.destination, "2001:db8::2".parse::<Ipv6Addr>().unwrap());
    let mut buffer = [0xa5; 41];
    assert_eq!(header.emit(&mut buffer), Ok(header.buffer_len()));
    assert_eq!((&buffer[..40], buffer[40]), (IPV6, 0xa5));
    for length in 0..40 {
        assert_eq!(ipv6::Header::parse(&IPV6[..length]), Err(ipv6::ParseError::Truncated));
        assert_eq!(header.emit(&mut buffer[..length]), Err(EmitError::BufferTooSmall));
    }
    assert_eq!(ipv6::Header::parse(IPV4), Err(ipv6::ParseError::Version));
}

#[test]
fn known_ipv4_bytes_mean_the_same_both_ways_and_truncation_is_told() {
    let header = ipv4::Header::parse(IPV4).unwrap();
    assert_eq!((header.tos, header.total_length, header.ttl, header.protocol), (0xb8, 1500, 255, 41));
    assert!(header.dont_fragment && !header.is_fragment());
    assert_eq!((header.source, header.options), (Ipv4Addr::new(192, 0, 2, 2), &IPV4[20..]));
    let mut buffer = [0xa5; 25];
    assert_eq!(header.emit(&mut buffer), Ok(24));
    assert_eq!((&buffer[..24], buffer[24]), (IPV4, 0xa5));
    for length in 0..24 {
        assert_eq!(ipv4::Header::parse(&IPV4[..length]), Err(ipv4::ParseError::Truncated));
        assert_eq!(header.emit(&mut buffer[..length]), Err(EmitError::BufferTooSmall));
    }
    assert_eq!(ipv4::Header::parse(IPV6), Err(ipv4::ParseError::Version));
    assert_eq!(ipv4::Header::parse(&[0x44; 60]), Err(ipv4::ParseError::HeaderLength));
    let mut short = IPV4.to_vec();
    short[2..4].copy_from_slice(&[0, 23]);
    assert_eq!(ipv4::Header::parse(&short), Err(ipv4::ParseError::TotalLength));
    assert_eq!(ipv4::Header { options: &[0; 3], ..header }.emit(&mut [0; 99]), Err(EmitError::OptionTooLong));
}

#[test]
fn an_ipv4_header_checksum_verifies_and_a_flipped_bit_does_not() {
    let mut bytes = hex(b"4500007300004000401100b8c0a80001c0a800c7");
    bytes[10..12].copy_from_slice(&[0xb8, 0x61]);
    assert!(ipv4::verify_checksum(&bytes));
    bytes[3] ^= 1;
    assert!(!ipv4::verify_checksum(&bytes));
    assert!(!ipv4::verify_checksum(&[]));
}

fn hex(text: &[u8]) -> Vec<u8> {
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn known_tcp_bytes_mean_the_same_both_ways_and_truncation_is_told() {
    let header = tcp::Header::parse(TCP).unwrap();
    assert_eq!((header.source_port, header.destination_port, header.sequence), (12345, 443, 0x0102_0304));
    assert_eq!((header.flags, header.window), (tcp::SYN | tcp::ECE | tcp::CWR, 65000));
    assert_eq!(header.options, &[tcp::OPTION_MSS, 4, 0x05, 0xa0]);
    let mut buffer = [0xa5; 25];
    assert_eq!(header.emit(&mut buffer), Ok(24));
    assert_eq!((&buffer[..24], buffer[24]), (TCP, 0xa5));
    for length in 0..24 {
        assert_eq!(tcp::Header::parse(&TCP[..length]), Err(tcp::ParseError::Truncated));
        assert_eq!(header.emit(&mut buffer[..length]), Err(EmitError::BufferTooSmall));
    }
    assert_eq!(tcp::Header::parse(&[0x44; 60]), Err(tcp::ParseError::DataOffset));
}

proptest! {
    #[test]
    fn what_parses_is_emitted_byte_for_byte(bytes in proptest::collection::vec(any::<u8>(), 0..80), version in 0..3) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = match version { 0 => *first, 1 => 0x60 | *first & 0xf, _ => 0x45 | *first & 0xf };
        }
        let mut buffer = [0xa5; 80];
        if let Ok(header) = ipv6::Header::parse(&bytes) {
            let length = header.emit(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..length], &bytes[..length]);
        }
        if let Ok(header) = ipv4::Header::parse(&bytes) {
            let length = header.emit(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..length], &bytes[..length]);
        }
        if let Ok(header) = tcp::Header::parse(&bytes) {
            let length = header.emit(&mut buffer).unwrap();
            prop_assert_eq!(&buffer[..length], &bytes[..length]);
        }
        let _ = ipv6::upper_layer(&bytes);
    }
}
