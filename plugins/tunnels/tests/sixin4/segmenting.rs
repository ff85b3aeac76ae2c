//! Large frames cut into segments, and joined again.

use crate::support::*;
use portreeve_packet::{ipv6, tcp};
use portreeve_tunnels::sixin4::{DataPath, Settings, Vnet};
use proptest::prelude::*;

fn data(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

/// Cuts a frame and checks each segment; the payloads put together.
fn cut(path: &mut DataPath, frame: &[u8], first: u32, headers: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mtu = usize::from(path.settings().mtu);
    let (out, back) = encapsulate(path, frame);
    assert!(back.is_empty());
    let mut all = Vec::new();
    let segments: Vec<Vec<u8>> = out.iter().map(|packet| packet[20..].to_vec()).collect();
    for segment in &segments {
        assert!(segment.len() <= mtu && verifies(segment));
        assert_eq!(usize::from(ipv6::Header::parse(segment).unwrap().payload_length), segment.len() - 40);
        let header = tcp::Header::parse(&segment[40..]).unwrap();
        assert_eq!(header.sequence, first.wrapping_add(all.len() as u32));
        all.extend_from_slice(&segment[headers..]);
    }
    (segments, all)
}

#[test]
fn the_segments_of_a_large_frame_are_the_packets_tcp_would_have_sent() {
    let whole = data(5000);
    let first = u32::MAX - 1500;
    let mut path = data_path();
    let (segments, all) = cut(&mut path, &Tcp::up(first).large(&whole, 1200), first, 72);
    assert_eq!(all, whole);
    let expected: Vec<Vec<u8>> = whole
        .chunks(1200)
        .enumerate()
        .map(|(index, chunk)| Tcp::up(first.wrapping_add(index as u32 * 1200)).bytes(chunk))
        .collect();
    assert_eq!(segments, expected);
    assert_eq!((count(&path, "tx_packets"), count(&path, "tx_segmented")), (5, 1));
}

#[test]
fn segments_larger_than_the_mtu_are_made_smaller() {
    let whole = data(60_000);
    let (segments, all) = cut(&mut data_path(), &Tcp::up(0).large(&whole, 8900), 0, 72);
    assert_eq!(all, whole);
    assert_eq!(segments[0].len(), 1480);
}

#[test]
fn fin_and_push_stay_on_the_last_segment_and_cwr_on_the_first() {
    let all = tcp::ACK | tcp::PSH | tcp::FIN | tcp::CWR | tcp::ECE;
    let frame = Tcp { flags: all, ..Tcp::up(0) }.large(&data(3000), 1000);
    let (segments, _) = cut(&mut data_path(), &frame, 0, 72);
    let flags: Vec<u8> = segments.iter().map(|segment| segment[53]).collect();
    let middle = tcp::ACK | tcp::ECE;
    assert_eq!(flags, [middle | tcp::CWR, middle, middle | tcp::PSH | tcp::FIN]);
    let one = Tcp { flags: all, ..Tcp::up(0) }.large(&data(900), 1000);
    assert_eq!(cut(&mut data_path(), &one, 0, 72).0[0][53], all);
}

#[test]
fn a_frame_without_a_partial_checksum_is_cut_as_well() {
    let mut frame = Tcp::up(0).large(&data(3000), 1000);
    frame[4] = 0;
    assert_eq!(cut(&mut data_path(), &frame, 0, 72).1, data(3000));
}

#[test]
fn udp_datagrams_are_cut_with_their_own_length_and_checksum() {
    let whole = data(3100);
    let large = with_partial(udp(HOST, SERVER, &whole), 40, 6);
    let vnet = Vnet { flags: 1, gso_type: 5, hdr_len: 48, gso_size: 1000, csum_start: 40, csum_offset: 6 };
    let (out, _) = encapsulate(&mut data_path(), &tun_with(&vnet, &large));
    let expected: Vec<Vec<u8>> = whole.chunks(1000).map(|chunk| udp(HOST, SERVER, chunk)).collect();
    assert_eq!(out.iter().map(|packet| packet[20..].to_vec()).collect::<Vec<_>>(), expected);
}

#[test]
fn udp_datagrams_larger_than_the_mtu_are_told_to_the_sender() {
    let large = with_partial(udp(HOST, SERVER, &data(3100)), 40, 6);
    let vnet = Vnet { flags: 1, gso_type: 5, hdr_len: 48, gso_size: 1433, csum_start: 40, csum_offset: 6 };
    let mut path = data_path();
    let (out, back) = encapsulate(&mut path, &tun_with(&vnet, &large));
    assert!(out.is_empty() && back.len() == 1);
    let tiny = Vnet { gso_size: 1, ..vnet };
    assert!(encapsulate(&mut path, &tun_with(&tiny, &large)).0.is_empty());
    assert_eq!(count(&path, "malformed"), 1);
}

#[test]
fn headers_larger_than_the_mtu_never_leave() {
    let mut options = vec![0; 1600];
    options[..4].copy_from_slice(&[17, 199, 1, 4]);
    let datagram = [&options[..], &udp(HOST, SERVER, &[])[40..]].concat();
    let udp = packet(HOST, SERVER, ipv6::DESTINATION_OPTIONS, &datagram);
    options[0] = 6;
    let segment = [&options[..], &Tcp::up(0).bytes(&[1; 2000])[40..]].concat();
    let tcp = packet(HOST, SERVER, ipv6::DESTINATION_OPTIONS, &segment);
    for (gso_type, packet) in [(5, udp), (4, tcp)] {
        let vnet = Vnet { gso_type, gso_size: 1000, ..Vnet::default() };
        let mut path = data_path();
        let (out, back) = encapsulate(&mut path, &tun_with(&vnet, &packet));
        assert!(out.is_empty() && back.len() == 1);
        assert_eq!(count(&path, "too_big"), 1);
    }
}

#[test]
fn extension_headers_stay_on_every_segment() {
    let options = [6, 0, 1, 4, 0, 0, 0, 0];
    let behind =
        |bytes: Vec<u8>| packet(HOST, SERVER, ipv6::DESTINATION_OPTIONS, &[&options[..], &bytes[40..]].concat());
    let vnet = Vnet { gso_type: 4, gso_size: 1000, ..Vnet::default() };
    let large = behind(Tcp::up(0).bytes(&data(2500)));
    let (out, _) = encapsulate(&mut data_path(), &tun_with(&vnet, &large));
    let expected: Vec<Vec<u8>> = data(2500)
        .chunks(1000)
        .enumerate()
        .map(|(index, chunk)| behind(Tcp::up(index as u32 * 1000).bytes(chunk)))
        .collect();
    assert_eq!(out.iter().map(|packet| packet[20..].to_vec()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_frame_that_lies_about_its_transport_header_is_refused() {
    let good = Tcp::up(0).large(&data(3000), 1000);
    // csum_start, gso_type, gso_size, next header, data offset
    for (at, value) in [(10, 48), (5, 5), (5, 3), (8, 7), (4 + 10 + 6, 17), (4 + 10 + 52, 0x40)] {
        let mut bad = good.clone();
        bad[at] = value;
        if at == 8 {
            bad[9] = 0;
        }
        let mut path = data_path();
        assert!(encapsulate(&mut path, &bad).0.is_empty(), "byte {at}");
        assert_eq!(count(&path, "malformed"), 1, "byte {at}");
    }
}

proptest! {
    #[test]
    fn what_is_cut_and_joined_is_the_same_frame(
        length in 1..64_000_usize, size in 8..9000_u16, mtu in 1280..9000_u16, sequence: u32, push: bool, stamped: bool,
    ) {
        let options = if stamped { Tcp::up(0).options } else { vec![] };
        let flags = if push { tcp::ACK | tcp::PSH } else { tcp::ACK };
        let down = Tcp { flags, options, ..Tcp::down(sequence) };
        let whole = data(length);
        let headers = 60 + down.options.len();
        let settings = Settings { mtu, own: vec![], ..settings() };
        let frame = down.large(&whole, size);
        let mut path = DataPath::new(settings);
        let (segments, all) = cut(&mut path, &frame, sequence, headers);
        prop_assert_eq!(&all, &whole);
        let batch: Vec<u8> = segments.iter().flat_map(|segment| wire(segment)).collect();
        let frames = decapsulate(&mut path, &batch);
        prop_assert_eq!(frames.len(), 1);
        let size = usize::from(size).min(usize::from(mtu) - headers);
        let (vnet, packet) = &frames[0];
        if length > size {
            prop_assert_eq!(packet, &with_partial(down.bytes(&whole), 40, 16));
            prop_assert_eq!((vnet.gso_type, usize::from(vnet.gso_size), vnet.flags), (4, size, 1));
        } else {
            prop_assert_eq!((vnet, packet), (&Vnet::default(), &down.bytes(&whole)));
        }
    }
}
