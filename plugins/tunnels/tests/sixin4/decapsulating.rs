//! Out of the tunnel: what is believed, what is joined, in which order it comes.

use crate::support::*;
use portreeve_packet::icmpv6::{ECHO_REPLY, ECHO_REQUEST};
use portreeve_packet::{ipv6, tcp};
use portreeve_tunnels::sixin4::{DataPath, Event, MAX_EVENTS, Settings, Vnet, push_ipv4_frame};
use std::net::Ipv4Addr;

fn framed(packet: &[u8]) -> Vec<u8> {
    let mut batch = Vec::new();
    push_ipv4_frame(&mut batch, packet);
    batch
}

#[test]
fn a_packet_comes_out_as_it_is_with_an_empty_virtio_header() {
    let mut path = data_path();
    let inner = udp(SERVER, HOST, b"hello");
    assert_eq!(decapsulate(&mut path, &wire(&inner)), [(Vnet::default(), inner)]);
    assert_eq!(nonzero(path.counters()), [("rx_packets", 1), ("rx_bytes", 53)]);
}

#[test]
fn bytes_after_the_total_length_and_after_the_inner_packet_are_trimmed() {
    let inner = udp(SERVER, HOST, b"hello");
    let padded = [&outer(REMOTE, 0, &[&inner[..], &[7; 9]].concat())[..], &[8; 9]].concat();
    assert_eq!(decapsulate(&mut data_path(), &framed(&padded)), [(Vnet::default(), inner)]);
}

#[test]
fn ipv4_options_are_stepped_over() {
    let inner = udp(SERVER, HOST, b"hello");
    let mut bytes = outer(REMOTE, 0, &[&[148, 4, 0, 0][..], &inner].concat());
    bytes[0] = 0x46;
    assert_eq!(decapsulate(&mut data_path(), &framed(&bytes)), [(Vnet::default(), inner)]);
}

#[test]
fn every_reason_to_drop_is_counted_under_its_name() {
    let good = outer(REMOTE, 0, &udp(SERVER, HOST, b"x"));
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let from = |source: &str| outer(REMOTE, 0, &udp(source.parse().unwrap(), HOST, b"x"));
    let cases = [
        ("truncated", vec![]),
        ("truncated", good[..19].to_vec()),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("truncated", changed(3, 60)),
        ("truncated", outer(REMOTE, 0, &[])),
        ("malformed", changed(0, 0x55)),
        ("malformed", changed(0, 0x44)),
        ("malformed", changed(3, 19)),
        ("other_protocol", changed(9, 4)),
        ("other_destination", changed(19, 9)),
        ("fragment", changed(6, 0x20)),
        ("fragment", changed(7, 1)),
        ("spoofed", changed(15, 9)),
        ("martian", changed(12, 127)),
        ("martian", changed(12, 0)),
        ("martian", changed(12, 224)),
        ("not_ipv6", outer(REMOTE, 0, &good)),
        ("martian", from("::")),
        ("martian", from("::1")),
        ("martian", from("ff02::1")),
        ("martian", from("::ffff:192.0.2.9")),
        ("martian", from("2002:c0a8:101::1")),
        ("martian", outer(REMOTE, 0, &udp(SERVER, "2002:a00:1::1".parse().unwrap(), b"x"))),
        ("own_prefix", from("2001:db8:60:f::1")),
        ("ecn", outer(REMOTE, 3, &udp(SERVER, HOST, b"x"))),
    ];
    for (reason, bytes) in cases {
        let mut path = data_path();
        assert!(decapsulate(&mut path, &framed(&bytes)).is_empty(), "{reason}");
        assert_eq!(nonzero(path.counters()), [(reason, 1)]);
    }
}

#[test]
fn every_truncation_of_a_packet_is_dropped() {
    let good = outer(REMOTE, 0, &Tcp::down(1).bytes(b"data"));
    for length in 0..good.len() {
        assert!(decapsulate(&mut data_path(), &framed(&good[..length])).is_empty(), "{length}");
        let mut shortened = good[..length].to_vec();
        if length >= 20 {
            shortened[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        }
        assert!(decapsulate(&mut data_path(), &framed(&shortened)).is_empty(), "{length}");
    }
}

#[test]
fn without_the_filter_only_the_far_end_and_our_prefixes_are_checked() {
    let mut path = DataPath::new(Settings { filter: false, ..settings() });
    let inner = udp("2002:a00:1::1".parse().unwrap(), HOST, b"x");
    assert_eq!(decapsulate(&mut path, &wire(&inner)).len(), 1);
    assert!(decapsulate(&mut path, &wire_from(Ipv4Addr::new(192, 0, 2, 9), 0, &inner)).is_empty());
    assert!(decapsulate(&mut path, &wire(&udp(HOST, HOST, b"x"))).is_empty());
}

#[test]
fn congestion_marked_on_the_way_reaches_the_inner_packet() {
    for (inner, outer, expected) in [(2, 3, 3), (1, 3, 3), (2, 1, 1), (2, 0, 2), (3, 0, 3), (0, 1, 0)] {
        let bytes = class(udp(SERVER, HOST, b"x"), 0xb8 | inner);
        let frames = decapsulate(&mut data_path(), &wire_from(REMOTE, outer, &bytes));
        assert_eq!(frames[0].1, class(bytes, 0xb8 | expected));
    }
}

#[test]
fn the_mss_of_a_syn_from_outside_is_lowered_too() {
    let options = vec![2, 4, 0x23, 0x00];
    let inner = Tcp { flags: tcp::SYN | tcp::ACK, options, ..Tcp::down(1) }.bytes(&[]);
    let frames = decapsulate(&mut data_path(), &wire(&inner));
    assert_eq!(frames[0].1[62..64], 1420_u16.to_be_bytes());
    assert!(verifies(&frames[0].1));
}

/// Segments of `sizes`, one after the other, as one batch.
fn segments(sizes: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let (mut batch, mut all, mut sequence) = (Vec::new(), Vec::new(), u32::MAX - 2000);
    for (index, size) in sizes.iter().enumerate() {
        let data: Vec<u8> = (0..*size).map(|n| (n * 31 + index) as u8).collect();
        batch.extend(wire(&Tcp::down(sequence).bytes(&data)));
        sequence = sequence.wrapping_add(*size as u32);
        all.extend(data);
    }
    (batch, all)
}

#[test]
fn segments_in_order_become_one_frame_with_a_partial_checksum() {
    let mut path = data_path();
    let (batch, all) = segments(&[1000, 1000, 1000, 400]);
    let frames = decapsulate(&mut path, &batch);
    let vnet = Vnet { flags: 1, gso_type: 4, hdr_len: 72, gso_size: 1000, csum_start: 40, csum_offset: 16 };
    let whole = Tcp::down(u32::MAX - 2000).bytes(&all);
    assert_eq!(frames, [(vnet, with_partial(whole, 40, 16))]);
    assert_eq!((count(&path, "rx_packets"), count(&path, "rx_coalesced")), (4, 1));
}

#[test]
fn a_short_segment_ends_a_frame_and_a_longer_one_begins_another() {
    let sizes = |sizes: &[usize]| -> Vec<usize> {
        decapsulate(&mut data_path(), &segments(sizes).0).iter().map(|(_, packet)| packet.len() - 72).collect()
    };
    assert_eq!(sizes(&[1000, 400, 1000, 1000]), [1400, 2000]);
    assert_eq!(sizes(&[400, 1000, 1000]), [400, 2000]);
    assert_eq!(sizes(&[1400; 50]), [46 * 1400, 4 * 1400]);
    assert_eq!(sizes(&[1000]), [1000]);
}

#[test]
fn anything_that_differs_keeps_segments_apart_and_in_order() {
    let first = Tcp::down(100);
    let next = Tcp::down(200);
    let data = [5; 100];
    let mut wrong_sum = next.bytes(&data);
    wrong_sum[80] ^= 1;
    let mut hop_limit = next.bytes(&data);
    hop_limit[7] -= 1;
    let mut label = next.bytes(&data);
    label[3] ^= 1;
    let others = [
        Tcp { sequence: 201, ..next.clone() }.bytes(&data),
        Tcp { sequence: 100, ..next.clone() }.bytes(&data),
        Tcp { acknowledgment: 10, ..next.clone() }.bytes(&data),
        Tcp { window: 7, ..next.clone() }.bytes(&data),
        Tcp { flags: tcp::ACK | tcp::FIN, ..next.clone() }.bytes(&data),
        Tcp { flags: tcp::ACK | tcp::RST, ..next.clone() }.bytes(&data),
        Tcp { flags: tcp::ACK | tcp::CWR, ..next.clone() }.bytes(&data),
        Tcp { flags: tcp::ACK | tcp::URG, ..next.clone() }.bytes(&data),
        Tcp { options: vec![1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 2, 2], ..next.clone() }.bytes(&data),
        Tcp { options: vec![], ..next.clone() }.bytes(&data),
        class(next.bytes(&data), 2),
        next.bytes(&[]),
        next.bytes(&[5; 101]),
        wrong_sum,
        hop_limit,
        label,
        packet(SERVER, HOST, ipv6::FRAGMENT, &[6, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
    ];
    let first = first.bytes(&data);
    for (index, other) in others.iter().enumerate() {
        let batch = [wire(&first), wire(other)].concat();
        let expected = [(Vnet::default(), first.clone()), (Vnet::default(), other.clone())];
        assert_eq!(decapsulate(&mut data_path(), &batch), expected, "case {index}");
    }
    let mut bad_first = first.clone();
    bad_first[80] ^= 1;
    let batch = [wire(&bad_first), wire(&next.bytes(&data))].concat();
    assert_eq!(
        decapsulate(&mut data_path(), &batch),
        [(Vnet::default(), bad_first), (Vnet::default(), next.bytes(&data))]
    );
}

#[test]
fn push_ends_a_frame_and_stays_on_it() {
    let push = Tcp { flags: tcp::ACK | tcp::PSH, ..Tcp::down(100) };
    let batch: Vec<u8> = [
        wire(&Tcp::down(0).bytes(&[1; 100])),
        wire(&push.bytes(&[2; 100])),
        wire(&Tcp::down(200).bytes(&[3; 100])),
        wire(&Tcp::down(300).bytes(&[4; 100])),
    ]
    .concat();
    let frames = decapsulate(&mut data_path(), &batch);
    let flags: Vec<(usize, u8)> = frames.iter().map(|(_, packet)| (packet.len(), packet[53])).collect();
    assert_eq!(flags, [(272, tcp::ACK | tcp::PSH), (272, tcp::ACK)]);
}

#[test]
fn a_mark_on_the_outer_header_keeps_segments_apart() {
    let ect = |sequence: u32| class(Tcp::down(sequence).bytes(&[1; 100]), 2);
    let batch = [wire(&ect(0)), wire_from(REMOTE, 3, &ect(100)), wire_from(REMOTE, 3, &ect(200))].concat();
    let frames = decapsulate(&mut data_path(), &batch);
    let seen: Vec<(usize, u8)> = frames.iter().map(|(_, packet)| (packet.len() - 72, packet[1] >> 4)).collect();
    assert_eq!(seen, [(100, 2), (200, 3)]);
}

#[test]
fn more_flows_than_the_table_holds_lose_nothing() {
    let mut batch = Vec::new();
    for round in 0..3 {
        for port in 0..20 {
            batch.extend(wire(&Tcp { port, ..Tcp::down(round * 100) }.bytes(&[1; 100])));
        }
    }
    for port in 0..3 {
        batch.extend(wire(&Tcp { port, ..Tcp::down(300) }.bytes(&[1; 100])));
        batch.extend(wire(&Tcp { port, ..Tcp::down(400) }.bytes(&[1; 100])));
    }
    let mut path = data_path();
    let mut next = [0_usize; 20];
    for (_, packet) in decapsulate(&mut path, &batch) {
        let header = tcp::Header::parse(&packet[40..]).unwrap();
        let port = usize::from(header.destination_port);
        assert_eq!(header.sequence as usize, next[port]);
        next[port] += packet.len() - 72;
    }
    assert_eq!(next[..4], [500, 500, 500, 300]);
    assert_eq!(count(&path, "rx_packets"), 66);
    assert_eq!(count(&path, "rx_coalesced"), 3);
}

#[test]
fn coalescing_can_be_switched_off() {
    let mut path = DataPath::new(Settings { coalesce: false, ..settings() });
    assert_eq!(decapsulate(&mut path, &segments(&[100; 5]).0).len(), 5);
}

#[test]
fn a_keepalive_goes_out_and_its_reply_is_consumed() {
    let mut path = data_path();
    let peer = "2001:db8:1::1".parse().unwrap();
    let reply = |identifier, sequence| wire(&echo(peer, TUNNEL, ECHO_REPLY, identifier, sequence));
    assert_eq!(decapsulate(&mut path, &reply(77, 1)).len(), 1);
    let mut out = Vec::new();
    path.echo_request(TUNNEL, peer, 77, 5, &mut out, NOW);
    let sent = packets(&out);
    assert_eq!((&sent[0][16..20], sent[0].len()), (&REMOTE.octets()[..], 68));
    let mut expected = echo(TUNNEL, peer, ECHO_REQUEST, 77, 5);
    expected[1..4].fill(0);
    expected[7] = 64;
    assert_eq!(sent[0][20..], expected);

    assert!(decapsulate(&mut path, &reply(77, 5)).is_empty());
    assert_eq!(path.poll_event(), Some(Event::EchoReply { source: peer, identifier: 77, sequence: 5 }));
    assert_eq!(path.poll_event(), None);
    // Somebody else's, and a forged one.
    assert_eq!(decapsulate(&mut path, &reply(78, 5)).len(), 1);
    let mut forged = reply(77, 5);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(decapsulate(&mut path, &forged).len(), 1);
    assert_eq!(path.poll_event(), None);
    path.forget_echo();
    assert_eq!(decapsulate(&mut path, &reply(77, 5)).len(), 1);
}

#[test]
fn a_flood_of_replies_keeps_a_bounded_number_of_events() {
    let mut path = data_path();
    let peer = "2001:db8:1::1".parse().unwrap();
    path.echo_request(TUNNEL, peer, 1, 0, &mut Vec::new(), NOW);
    for sequence in 0..100 {
        decapsulate(&mut path, &wire(&echo(peer, TUNNEL, ECHO_REPLY, 1, sequence)));
    }
    let events = std::iter::from_fn(|| path.poll_event()).count();
    assert_eq!(events, MAX_EVENTS);
}
