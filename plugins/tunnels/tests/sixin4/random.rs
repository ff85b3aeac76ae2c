//! Any bytes at all: nothing panics, what leaves is consistent and fits.

use crate::support::*;
use portreeve_packet::icmpv6::ECHO_REPLY;
use portreeve_packet::{ipv4, ipv6, tcp};
use portreeve_tunnels::sixin4::{DataPath, IcmpError, Prefix, Remote, Settings, SixRd, Tos, Vnet};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// Every IPv4 frame has the lengths it says it has, and fits.
fn check_wire(out: &[u8], mtu: u16) {
    for packet in packets(out) {
        let header = ipv4::Header::parse(&packet).unwrap();
        assert_eq!((usize::from(header.total_length), header.protocol), (packet.len(), 41));
        let inner = ipv6::Header::parse(&packet[20..]).unwrap();
        assert_eq!(packet.len(), 60 + usize::from(inner.payload_length));
        assert!(packet.len() <= 20 + usize::from(mtu));
    }
}

/// Every tun frame is one the kernel would take.
fn check_tun(out: &[u8]) {
    for (vnet, packet) in tun_frames(out) {
        let header = ipv6::Header::parse(&packet).unwrap();
        assert_eq!(packet.len(), 40 + usize::from(header.payload_length));
        if vnet != Vnet::default() {
            let segment = tcp::Header::parse(&packet[40..]).unwrap();
            let headers = 40 + segment.buffer_len();
            assert_eq!((vnet.flags, vnet.gso_type, vnet.csum_start, vnet.csum_offset), (1, 4, 40, 16));
            assert_eq!(usize::from(vnet.hdr_len), headers);
            assert!(vnet.gso_size > 0 && packet.len() > headers + usize::from(vnet.gso_size));
        }
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let rule = SixRd {
        prefix: Prefix::new("2001:db8::".parse().unwrap(), 32).unwrap(),
        ipv4_mask_length: 8,
        ipv4: Ipv4Addr::new(10, 1, 1, 1),
        border_relay: REMOTE,
    };
    let remote = prop_oneof![Just(Remote::Address(REMOTE)), Just(Remote::SixRd(rule))];
    (remote, any::<u16>(), any::<u8>(), any::<[bool; 6]>()).prop_map(|(remote, mtu, ttl, flags)| {
        let [local, df, clamp, filter, own, fixed] = flags;
        Settings {
            local: local.then_some(LOCAL),
            mtu,
            ttl,
            tos: if fixed { Tos::Fixed(ttl) } else { Tos::Inherit },
            dont_fragment: df,
            mss_clamp: clamp,
            filter,
            own: if own { settings().own } else { vec![] },
            ..Settings::new(remote)
        }
    })
}

/// Valid frames of all kinds, towards the tunnel.
fn tun_seeds() -> Vec<Vec<u8>> {
    let syn = Tcp { flags: tcp::SYN, options: vec![1, 2, 4, 0x23, 0x28, 1, 1, 0], ..Tcp::up(1) };
    let partial = Vnet { flags: 1, csum_start: 40, csum_offset: 16, ..Vnet::default() };
    let datagrams = Vnet { flags: 1, gso_type: 5, hdr_len: 48, gso_size: 100, csum_start: 40, csum_offset: 6 };
    let options = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &syn.bytes(&[])[40..]].concat();
    vec![
        tun(&udp(HOST, SERVER, b"hello")),
        tun(&udp(HOST, SERVER, &[3; 2000])),
        tun(&syn.bytes(&[])),
        tun(&packet(HOST, SERVER, 0, &options)),
        tun(&packet(HOST, SERVER, 41, &udp(HOST, SERVER, b"inside"))),
        tun_with(&partial, &with_partial(syn.bytes(b"x"), 40, 16)),
        tun_with(&datagrams, &with_partial(udp(HOST, SERVER, &[4; 950]), 40, 6)),
        Tcp::up(7).large(&[5; 4000], 1000),
    ]
}

/// Valid frames of all kinds, from the tunnel.
fn wire_seeds() -> Vec<Vec<u8>> {
    let syn = Tcp { flags: tcp::SYN, options: vec![1, 2, 4, 0x23, 0x28, 1, 1, 0], ..Tcp::down(1) };
    let peer = "2001:db8:1::1".parse().unwrap();
    vec![
        wire(&udp(SERVER, HOST, b"hello")),
        wire(&syn.bytes(&[])),
        wire(&Tcp::down(0).bytes(&[1; 100])),
        wire(&Tcp::down(100).bytes(&[2; 100])),
        wire(&Tcp::down(200).bytes(&[3; 50])),
        wire(&Tcp { port: 9, ..Tcp::down(100) }.bytes(&[2; 100])),
        wire(&Tcp { port: 9, ..Tcp::down(200) }.bytes(&[2; 100])),
        wire(&echo(peer, TUNNEL, ECHO_REPLY, 7, 1)),
        wire_from(REMOTE, 3, &class(Tcp::down(100).bytes(&[2; 100]), 2)),
    ]
}

/// Frames picked from `seeds`, some with bytes changed; the batch perhaps cut off.
fn batch(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let frame =
        (prop::sample::select(seeds), vec(change, 0..4), any::<bool>()).prop_map(|(mut frame, changes, headers)| {
            for (at, value) in changes {
                // The length field is mutated by cutting; headers are more telling than payload.
                let end = if headers { frame.len().min(120) } else { frame.len() };
                let at = 4 + at.index(end - 4);
                frame[at] = value;
            }
            frame
        });
    (vec(frame, 0..12), prop::option::weighted(0.1, any::<prop::sample::Index>())).prop_map(|(frames, cut)| {
        let mut batch = frames.concat();
        if let Some(cut) = cut.filter(|_| !batch.is_empty()) {
            batch.truncate(cut.index(batch.len()));
        }
        batch
    })
}

fn run_all(path: &mut DataPath, bytes: &[u8]) {
    let mtu = path.settings().effective_mtu();
    let (mut out, mut back, mut tun) = (Vec::new(), Vec::new(), Vec::new());
    path.encapsulate(bytes, &mut out, &mut back, NOW);
    path.decapsulate(bytes, &mut tun, NOW);
    check_wire(&out, mtu);
    check_tun(&back);
    check_tun(&tun);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn random_bytes_never_panic(settings in any_settings(), bytes in vec(any::<u8>(), 0..300), framed: bool) {
        let bytes = if framed { tun(&bytes) } else { bytes };
        run_all(&mut DataPath::new(settings), &bytes);
    }

    #[test]
    fn mutated_tun_frames_leave_consistent_or_not_at_all(settings in any_settings(), bytes in batch(tun_seeds())) {
        run_all(&mut DataPath::new(settings), &bytes);
    }

    #[test]
    fn mutated_ipv4_frames_come_in_consistent_or_not_at_all(settings in any_settings(), bytes in batch(wire_seeds())) {
        let mut path = DataPath::new(settings);
        path.echo_request(TUNNEL, SERVER, 7, 1, &mut Vec::new(), NOW);
        run_all(&mut path, &bytes);
        // The table must be empty again: the next batch has other bytes at the same places.
        run_all(&mut path, &wire(&udp(SERVER, HOST, b"x")));
    }

    #[test]
    fn any_icmp_error_is_translated_or_ignored(
        settings in any_settings(), kind in prop_oneof![Just(3_u8), Just(11), any::<u8>()], code in 0..16_u8,
        mtu: Option<u32>, original in vec(any::<u8>(), 0..100), valid: bool, local: bool, cut in 0..200_usize,
    ) {
        let mut path = DataPath::new(settings);
        let mut quote = outer(LOCAL, 0, &udp(HOST, SERVER, &[1; 100]));
        quote[16..20].copy_from_slice(&REMOTE.octets());
        quote.truncate(cut);
        let original = if valid { quote } else { original };
        let mut back = Vec::new();
        let (from, destination) = (REMOTE, REMOTE);
        let error = IcmpError { kind, code, mtu, from, destination, local, original: &original };
        path.handle_icmp_error(&error, &mut back, NOW);
        check_tun(&back);
        run_all(&mut path, &tun_seeds().concat());
    }

    #[test]
    fn the_bytes_of_each_flow_keep_their_order(picks in vec((0..12_u16, 1..4_usize), 1..60)) {
        let mut sequences = [0_u32; 12];
        let mut bytes = Vec::new();
        for (port, size) in picks {
            let sequence = &mut sequences[usize::from(port)];
            bytes.extend(wire(&Tcp { port, ..Tcp::down(*sequence) }.bytes(&vec![1; size * 50])));
            *sequence += size as u32 * 50;
        }
        let mut out = Vec::new();
        data_path().decapsulate(&bytes, &mut out, NOW);
        check_tun(&out);
        let mut next = [0_u32; 12];
        for (_, packet) in tun_frames(&out) {
            let header = tcp::Header::parse(&packet[40..]).unwrap();
            let next = &mut next[usize::from(header.destination_port)];
            prop_assert_eq!(header.sequence, *next);
            *next += packet.len() as u32 - 72;
        }
        prop_assert_eq!(next, sequences);
    }
}
