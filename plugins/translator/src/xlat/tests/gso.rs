//! Super-packets: cutting one and then translating gives the bytes of translating it and then cutting.

use super::build::*;
use super::random::assert_right;
use super::reference::map4;
use crate::flow::Sessions;
use crate::xlat::{DataPath, Settings};
use portreeve_packet::segment;
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, Vnet};
use proptest::prelude::*;

/// A super-packet of one flow.
#[derive(Debug, Clone, Copy)]
struct Super {
    six: bool,
    tcp: bool,
    size: u16,
    payload: usize,
    /// The checksum is left to be completed.
    partial: bool,
    df: bool,
    flags: u8,
    /// Of UDP over IPv4: no checksum at all.
    zero: bool,
    options: bool,
}

impl Super {
    fn frame(self) -> (Vnet, Vec<u8>) {
        let ends = if self.six { Pseudo::Six(HOST, embedded(SERVER)) } else { Pseudo::Four(SERVER, HOST4) };
        let payload: Vec<u8> = (0..self.payload).map(|n| (n * 7 + n / 251) as u8).collect();
        let (protocol, mut behind, at) = if self.tcp {
            let options: &[u8] = if self.options { &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] } else { &[] };
            (6, tcp(ends, (443, 50_000), self.flags, options, &payload), 16)
        } else {
            (17, udp(ends, 443, 50_000, &payload), 6)
        };
        if self.partial {
            let length = behind.len();
            let partial = !sum(&[&ends.bytes(protocol, length)]);
            behind[at..at + 2].copy_from_slice(&partial.to_be_bytes());
        } else if self.zero && !self.tcp && !self.six {
            behind[at..at + 2].fill(0);
        }
        let (headers, packet) = if self.six {
            (40, Ip6 { class: 2, label: 0x12345, ..Ip6::new(HOST, embedded(SERVER), protocol) }.packet(&behind))
        } else {
            let flags = if self.df { 0x4000 } else { 0 };
            (20, Ip4 { id: 900, flags, tos: 2, ..Ip4::new(SERVER, HOST4, protocol) }.packet(&behind))
        };
        let gso_type = match (self.tcp, self.six) {
            (true, true) => GSO_TCPV6 | GSO_ECN,
            (true, false) => GSO_TCPV4 | GSO_ECN,
            (false, _) => GSO_UDP_L4,
        };
        let vnet = Vnet {
            flags: if self.partial { NEEDS_CSUM } else { 0 },
            gso_type,
            hdr_len: headers + (packet.len() - usize::from(headers) - self.payload) as u16,
            gso_size: self.size,
            csum_start: if self.partial { headers } else { 0 },
            csum_offset: if self.partial { at as u16 } else { 0 },
        };
        (vnet, packet)
    }
}

/// The packets of a frame, as a network card would send them.
fn cut((vnet, packet): &(Vnet, Vec<u8>)) -> Vec<Vec<u8>> {
    if vnet.gso_type == GSO_NONE {
        assert!(!vnet.needs_csum());
        return vec![packet.clone()];
    }
    let plan = segment::plan(packet, vnet, usize::MAX).unwrap();
    let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
    plan.write(&mut bytes, |_, length| lengths.push(length));
    let mut rest = &bytes[..];
    let packets = lengths.iter().map(|length| rest.split_off(..*length).unwrap().to_vec()).collect();
    assert!(rest.is_empty());
    packets
}

/// The identification of an IPv4 packet that is not fragmented, and whether it may be, is not looked at: a short last
/// segment may have become a packet that may be fragmented.
fn without_id(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        packet[4..8].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

fn same_bytes<S: Sessions>(new: impl Fn() -> DataPath<S>, frame: Super) {
    let frame = frame.frame();
    let after = run_all(&mut new(), core::slice::from_ref(&frame), Instant::ZERO);
    let mut after: Vec<Vec<u8>> = after.batch.iter().chain(&after.side).flat_map(cut).collect();
    let pieces: Vec<_> = cut(&frame).into_iter().map(|packet| (Vnet::default(), packet)).collect();
    pieces.iter().for_each(|(_, packet)| assert_right(packet));
    let mut before = run_all(&mut new(), &pieces, Instant::ZERO).packets();
    if after[0][0] >> 4 == 6 {
        // Those that became fragments are beside the batch, the last segment may be in it.
        after.sort();
        before.sort();
    }
    assert!(!before.is_empty());
    assert_eq!(after.len(), before.len());
    for (after, before) in after.iter().zip(&before) {
        assert_right(after);
        if after != before {
            assert!(after.len() <= 1260 && after.len() < 40 + usize::from(frame.0.gso_size) + 12);
            assert_eq!(without_id(after), without_id(before));
        }
    }
}

fn supers() -> impl Strategy<Value = Super> {
    let sizes = prop_oneof![8..1428_u16, Just(1428), Just(1220), Just(536)];
    (any::<[bool; 6]>(), sizes, 1..120_usize, any::<u16>(), any::<u8>()).prop_map(
        |([six, tcp, partial, df, zero, options], size, count, tail, flags)| {
            let size = size.min(if tcp { 1428 } else { 1440 });
            let payload = usize::from(size) * (count - 1) + 1 + usize::from(tail % size);
            let payload = payload.min(65_000);
            Super { six, tcp, size, payload, partial, df, flags: flags & !2, zero, options }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn cutting_before_or_after_gives_the_same_bytes(frame in supers()) {
        same_bytes(stateless, frame);
        same_bytes(stateful, frame);
    }
}

const PLAIN: Super = Super {
    six: true,
    tcp: true,
    size: 1000,
    payload: 3500,
    partial: true,
    df: true,
    flags: 0x18,
    zero: false,
    options: true,
};

#[test]
fn a_super_packet_stays_one_frame_and_its_virtio_header_follows() {
    for (six, tcp, want) in [
        (
            true,
            true,
            Vnet { gso_type: GSO_TCPV4 | GSO_ECN, hdr_len: 52, csum_start: 20, csum_offset: 16, ..Vnet::default() },
        ),
        (
            false,
            true,
            Vnet { gso_type: GSO_TCPV6 | GSO_ECN, hdr_len: 72, csum_start: 40, csum_offset: 16, ..Vnet::default() },
        ),
        (true, false, Vnet { gso_type: GSO_UDP_L4, hdr_len: 28, csum_start: 20, csum_offset: 6, ..Vnet::default() }),
        (false, false, Vnet { gso_type: GSO_UDP_L4, hdr_len: 48, csum_start: 40, csum_offset: 6, ..Vnet::default() }),
    ] {
        let mut path = stateful();
        let output = run_all(&mut path, &[Super { six, tcp, ..PLAIN }.frame()], Instant::ZERO);
        assert_eq!((output.batch.len(), output.side.len()), (1, 0), "{:?}", drops(&path));
        assert_eq!(output.batch[0].0, Vnet { flags: NEEDS_CSUM, gso_size: 1000, ..want });
        assert_eq!(path.counters().super_packets, 1);
        assert_eq!(path.counters().out_packets + path.counters().in_packets, 4);
    }
}

#[test]
fn rfc7915_s5_1_each_segment_that_may_be_fragmented_has_an_identification_of_its_own() {
    let mut path = stateless();
    let frames = [Super { size: 500, ..PLAIN }.frame(), Super { size: 500, payload: 400, ..PLAIN }.frame()];
    let output = run_all(&mut path, &frames, Instant::ZERO);
    let ids: Vec<[u8; 2]> = output.batch.iter().flat_map(cut).map(|packet| [packet[4], packet[5]]).collect();
    assert_eq!(ids, (0..8).map(|id| [0, id]).collect::<Vec<_>>());
    assert_eq!(output.batch[0].1[6], 0);
}

#[test]
fn too_big_goes_by_the_segment_and_names_its_length() {
    let small = Settings { mtu4: 1400, mtu6: 1400, ..settings() };
    let output = run_all(&mut stateless_with(small.clone()), &[Super { size: 1349, ..PLAIN }.frame()], Instant::ZERO);
    assert!(output.batch.is_empty());
    let error = &output.side[0].1;
    assert_right(error);
    assert_eq!(error[40..48][..2], [2, 0]);
    assert_eq!(error[44..48], 1420_u32.to_be_bytes());
    assert_eq!(error[52..54], (32 + 1349_u16).to_be_bytes());
    let output = run_all(&mut stateless_with(small.clone()), &[Super { size: 1348, ..PLAIN }.frame()], Instant::ZERO);
    assert_eq!(output.batch.len(), 1);
    let output =
        run_all(&mut stateless_with(small), &[Super { six: false, size: 1329, ..PLAIN }.frame()], Instant::ZERO);
    let error = &output.side[0].1;
    assert_right(error);
    assert_eq!(error[20..22], [3, 4]);
    assert_eq!(error[26..28], 1380_u16.to_be_bytes());
    assert_eq!(error[30..32], (52 + 1329_u16).to_be_bytes());
    assert_eq!(sum(&[&error[28..48]]), 0);
}

#[test]
fn a_super_packet_beyond_65_535_bytes_of_ipv4_is_cut_here() {
    let frame = Super { payload: 65_535 - 32, size: 1400, ..PLAIN }.frame();
    let mut path = stateless();
    let output = run_all(&mut path, &[frame], Instant::ZERO);
    assert_eq!((output.batch.len(), output.side.len()), (0, 47));
    assert_eq!((path.counters().split, path.counters().out_packets), (1, 47));
    output.side.iter().for_each(|(_, packet)| assert_right(packet));
    let payload: usize = output.side.iter().map(|(_, packet)| packet.len() - 52).sum();
    assert_eq!(payload, 65_535 - 32);
}

#[test]
fn a_single_packet_with_an_open_checksum_keeps_it_open() {
    for (six, tcp) in [(true, true), (false, true), (true, false), (false, false)] {
        let (vnet, packet) = Super { six, tcp, payload: 100, ..PLAIN }.frame();
        let vnet = Vnet { gso_type: GSO_NONE, gso_size: 0, ..vnet };
        let output = run_all(&mut stateful(), &[(vnet, packet)], Instant::ZERO);
        let (vnet, mut packet) = output.batch[0].clone();
        assert!(vnet.needs_csum());
        segment::complete(&mut packet, &vnet).unwrap();
        assert_right(&packet);
    }
}

#[test]
fn an_open_checksum_of_an_echo_is_completed_before_it_changes() {
    let ends = Pseudo::Six(HOST, embedded(SERVER));
    let mut message = icmp6(ends, 128, 0, [1, 2, 3, 4], &[7; 99]);
    let partial = !sum(&[&ends.bytes(58, message.len())]);
    message[2..4].copy_from_slice(&partial.to_be_bytes());
    let packet = Ip6::new(HOST, embedded(SERVER), 58).packet(&message);
    let vnet = Vnet { flags: NEEDS_CSUM, csum_start: 40, csum_offset: 2, ..Vnet::default() };
    let output = run_all(&mut stateless(), &[(vnet, packet)], Instant::ZERO);
    assert_eq!(output.batch[0].0, Vnet::default());
    assert_right(&output.batch[0].1);
    assert_eq!(output.batch[0].1[12..16], map4(HOST).octets());
}

#[test]
fn a_virtio_header_that_contradicts_its_packet_is_refused() {
    for (six, tcp, gso_type) in [
        (true, true, GSO_TCPV4),
        (true, true, GSO_UDP_L4),
        (false, true, GSO_TCPV6),
        (false, true, GSO_UDP_L4),
        (true, false, GSO_TCPV6),
        (false, false, GSO_TCPV4),
        (true, true, 3),
    ] {
        let (vnet, packet) = Super { six, tcp, ..PLAIN }.frame();
        for vnet in [Vnet { gso_type, ..vnet }, Vnet { gso_size: 0, ..vnet }, Vnet { csum_start: 41, ..vnet }] {
            let mut path = stateless();
            let output = run_all(&mut path, &[(vnet, packet.clone())], Instant::ZERO);
            assert!(output.packets().is_empty());
            assert_eq!(path.counters().dropped(crate::xlat::Reason::Malformed), 1, "{vnet:?}");
        }
    }
}

#[test]
fn an_open_checksum_is_completed_before_a_packet_is_cut_into_fragments() {
    let (vnet, packet) = Super { six: false, tcp: false, df: false, payload: 3000, ..PLAIN }.frame();
    let vnet = Vnet { gso_type: GSO_NONE, gso_size: 0, ..vnet };
    let output = run_all(&mut stateless(), &[(vnet, packet)], Instant::ZERO);
    assert_eq!((output.batch.len(), output.side.len()), (0, 3));
    assert!(output.side.iter().all(|(vnet, _)| *vnet == Vnet::default()));
    let datagram: Vec<u8> = output.side.iter().flat_map(|(_, packet)| packet[48..].to_vec()).collect();
    let pseudo = Pseudo::Six(embedded(SERVER), HOST).bytes(17, datagram.len());
    assert_eq!((datagram.len(), sum(&[&pseudo, &datagram])), (3008, 0));
}
