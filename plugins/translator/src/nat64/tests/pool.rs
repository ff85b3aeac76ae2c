//! Addresses and ports of new mappings: sections 3.5.1.1, 3.5.2.3 and 3.5.3, and blocks of ports.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn ports(ports: std::ops::RangeInclusive<u16>) -> Settings {
    Settings { pools: vec![Pool { first: POOL, last: POOL, ports }], ..Settings::default() }
}

fn prefix_pool(length: u8) -> Settings {
    Settings { pools: vec![Pool::prefix(POOL, length)], ..Settings::default() }
}

#[test]
fn s3_5_1_1_the_hosts_own_port_is_kept_when_it_is_free() {
    let mut lab = Lab::new(one_address());
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
        assert_eq!(lab.out(protocol, (host(), 33_333), at(SERVER, 1)).unwrap().port, 33_333);
        assert_ne!(lab.out(protocol, (host_of(1, 2), 33_333), at(SERVER, 1)).unwrap().port, 33_333);
    }
}

/// The range of the port (well-known or not) is kept as long as there is a port.
#[test]
fn s3_5_1_1_well_known_ports_get_well_known_ports_if_there_are() {
    let mut lab = Lab::new(ports(1000..=1999));
    let mut seen = BTreeSet::new();
    for n in 0..24 {
        let port = lab.udp((host_of(1, n), 500), at(SERVER, 1)).unwrap().port;
        assert!((1000..1024).contains(&port), "{port}");
        assert!(seen.insert(port));
    }
    assert!(lab.udp((host_of(1, 99), 500), at(SERVER, 1)).unwrap().port >= 1024, "another range when there is none");
    for n in 100..140 {
        assert!(lab.udp((host_of(1, n), 5000), at(SERVER, 1)).unwrap().port >= 1024);
    }
}

#[test]
fn s3_5_1_1_udp_keeps_parity_while_it_can() {
    let mut lab = Lab::new(ports(2000..=2099));
    for n in 0..50 {
        let port = lab.udp((host_of(1, n), 7001), at(SERVER, 1)).unwrap().port;
        assert_eq!(port % 2, 1, "mapping {n}");
    }
    assert_eq!(lab.udp((host_of(1, 50), 7001), at(SERVER, 1)).unwrap().port % 2, 0);
}

#[test]
fn s3_5_1_1_no_two_mappings_of_a_protocol_share_a_port_and_all_ports_are_used() {
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
        let mut lab = Lab::new(ports(3000..=3499));
        let mut seen = BTreeSet::new();
        for n in 0..500 {
            let public = lab.out(protocol, (host_of(1, n), 3000 + (n % 100) as u16), at(SERVER, 1)).unwrap();
            assert!((3000..=3499).contains(&public.port) && seen.insert(public.port));
        }
        assert_eq!(lab.out(protocol, (host_of(1, 900), 9), at(SERVER, 1)), Err(Refusal::PortsExhausted));
        // What is there goes on, also to new destinations.
        assert!(lab.out(protocol, (host_of(1, 0), 3000), at(STRANGER, 1)).is_ok());
        assert_eq!(lab.table.stats().counters.refusals(Refusal::PortsExhausted), 1);
        assert_eq!(lab.table.stats().sessions, 501);
        lab.wait(secs(400));
        assert!(lab.out(protocol, (host_of(1, 900), 9), at(SERVER, 1)).is_ok(), "ports come back");
    }
}

/// All mappings of one host are of one address, of all protocols; hosts are spread over the pool.
#[test]
fn s3_5_1_1_a_host_keeps_its_address_and_hosts_are_spread() {
    let mut lab = Lab::new(prefix_pool(29));
    let mut hosts = BTreeMap::<Ipv4Addr, u32>::new();
    for n in 0..400 {
        let from = host_of(n as u16, 1);
        let first = lab.udp((from, 1000), at(SERVER, 1)).unwrap().address;
        for (protocol, port) in [(Protocol::Udp, 7), (Protocol::Tcp, 8), (Protocol::Icmp, 9), (Protocol::Tcp, 10)] {
            assert_eq!(lab.out(protocol, (from, port), at(SERVER, 1)).unwrap().address, first);
        }
        *hosts.entry(first).or_default() += 1;
    }
    assert_eq!(hosts.len(), 8);
    assert!(hosts.values().all(|count| (25..=80).contains(count)), "{hosts:?}");
}

#[test]
fn s3_5_1_1_another_address_is_used_when_the_hosts_own_is_full() {
    let pool = Pool { ports: 5000..=5009, ..Pool::prefix(POOL, 30) };
    let mut lab = Lab::new(Settings { pools: vec![pool], ..Settings::default() });
    let publics: BTreeSet<_> = (0..40)
        .map(|n| lab.udp((host(), 100 + n), at(SERVER, 1)).unwrap())
        .map(|public| (public.address, public.port))
        .collect();
    assert_eq!(publics.len(), 40);
    assert_eq!(lab.udp((host(), 99), at(SERVER, 1)), Err(Refusal::PortsExhausted));
    for address in lab.table.pool_use() {
        assert_eq!((address.capacity, address.udp, address.tcp), (10, 10, 0));
    }
}

#[test]
fn port_0_is_never_given() {
    let mut lab = Lab::new(ports(0..=1));
    assert_eq!(lab.udp((host(), 0), at(SERVER, 1)).unwrap().port, 1);
    assert_eq!(lab.udp((host(), 2), at(SERVER, 1)), Err(Refusal::PortsExhausted));
}

/// Which port a mapping gets is not to be guessed when its own is taken (RFC 6056).
#[test]
fn drawn_ports_depend_on_the_seed() {
    let drawn = |seed| {
        let mut table = Table::new(one_address(), seed).unwrap();
        (0..8)
            .map(|n| {
                let flow = outbound(Protocol::Udp, (host_of(1, n), 4000), at(SERVER, 1));
                table.outbound(&flow, None, Instant::ZERO).unwrap().port
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn blocks_belong_to_one_prefix_each_and_come_back() {
    let mut lab = Lab::new(Settings { port_block: Some(64), ..ports(1024..=1024 + 64 * 4 - 1) });
    let block_of = |public: Endpoint4| public.port / 64;
    let mut owners = BTreeMap::new();
    for network in 0..4u16 {
        for n in 0..64 {
            let public = lab.udp((host_of(network, n), 1030), at(SERVER, 1)).unwrap();
            assert_eq!(*owners.entry(block_of(public)).or_insert(network), network);
        }
    }
    assert_eq!(lab.table.stats().blocks, 4);
    assert_eq!(lab.udp((host_of(9, 1), 1030), at(SERVER, 1)), Err(Refusal::PortsExhausted), "no block is left");
    assert_eq!(lab.udp((host_of(1, 999), 1030), at(SERVER, 1)), Err(Refusal::PortsExhausted), "its block is full");
    assert!(lab.out(Protocol::Tcp, (host_of(1, 999), 1030), at(SERVER, 1)).is_ok(), "blocks are of all protocols");
    assert_eq!(lab.table.pool_use().next().unwrap().blocks, 4);
    lab.wait(secs(400));
    assert_eq!((lab.table.stats().blocks, lab.table.pool_use().next().unwrap().blocks), (0, 0));
    assert!(lab.udp((host_of(9, 1), 1030), at(SERVER, 1)).is_ok());
}

#[test]
fn a_prefix_gets_more_blocks_when_its_first_is_full() {
    let mut lab = Lab::new(Settings { port_block: Some(16), ..prefix_pool(30) });
    let mut publics = BTreeSet::new();
    for n in 0..160 {
        let public = lab.out(Protocol::Tcp, (host(), 2000 + n), at(SERVER, 1)).unwrap();
        assert!(publics.insert((public.address, public.port)));
    }
    let addresses: BTreeSet<_> = publics.iter().map(|(address, _)| *address).collect();
    assert_eq!(addresses.len(), 1, "all on one address");
    assert!((10..=20).contains(&lab.table.stats().blocks), "{}", lab.table.stats().blocks);
}

/// Blocks leave a /64's list from any place in it, and a freed block may be of another /64 right away.
#[test]
fn blocks_leave_the_list_of_their_prefix_from_any_place() {
    for gone in 0..4u16 {
        let mut lab = Lab::new(Settings { port_block: Some(16), ..ports(1600..=1600 + 4 * 16 - 1) });
        let tcp = |lab: &mut Lab, network, port| lab.out(Protocol::Tcp, (host_of(network, 1), port), at(SERVER, 1));
        let publics: Vec<u16> = (0..64).map(|port| tcp(&mut lab, 1, port).unwrap().port).collect();
        assert_eq!((publics.iter().collect::<BTreeSet<_>>().len(), lab.table.stats().blocks), (64, 4));
        lab.wait(secs(200));
        let of_gone = |public: u16| (public - 1600) / 16 == gone;
        for (port, _) in (0..64).zip(&publics).filter(|(_, public)| !of_gone(**public)) {
            tcp(&mut lab, 1, port).unwrap();
        }
        lab.wait(secs(100));
        assert_eq!((lab.table.len(), lab.table.stats().blocks), (48, 3));
        // Another /64 takes what is free; the first finds its own blocks full, and nothing else.
        assert!(of_gone(tcp(&mut lab, 2, 9).unwrap().port));
        assert_eq!(tcp(&mut lab, 1, 99), Err(Refusal::PortsExhausted), "block {gone}");
        for port in 0..48 {
            let public = lab.udp((host_of(1, 1), port), at(SERVER, 1)).unwrap();
            assert!(!of_gone(public.port), "block {gone}");
        }
        assert_eq!(lab.udp((host_of(1, 1), 48), at(SERVER, 1)), Err(Refusal::PortsExhausted));
        assert_eq!(lab.table.stats().blocks, 4);
        lab.wait(secs(400));
        assert_eq!(lab.table.stats().blocks, 0);
    }
}

#[test]
fn pools_that_cannot_be_are_refused() {
    let check = |pools: Vec<Pool>| Settings { pools, ..Settings::default() }.check();
    let pool = |first: [u8; 4], last: [u8; 4]| Pool { first: first.into(), last: last.into(), ports: Pool::PORTS };
    assert_eq!(check(vec![pool([192, 0, 2, 1], [192, 0, 2, 9]), pool([192, 0, 2, 10], [192, 0, 2, 10])]), Ok(()));
    let reversed = check(vec![pool([192, 0, 2, 2], [192, 0, 2, 1])]);
    assert_eq!(reversed, Err(SettingsError::Pool([192, 0, 2, 2].into())));
    let overlap = check(vec![pool([192, 0, 2, 5], [192, 0, 2, 9]), pool([192, 0, 2, 1], [192, 0, 2, 5])]);
    assert_eq!(overlap, Err(SettingsError::PoolOverlap([192, 0, 2, 5].into())));
    assert_eq!(check(vec![pool([10, 0, 0, 0], [10, 2, 0, 0])]), Err(SettingsError::TooManyAddresses));
    assert_eq!(check(vec![Pool::prefix([0, 0, 0, 0].into(), 0)]), Err(SettingsError::Pool([0, 0, 0, 0].into())));
    let multicast = check(vec![pool([223, 0, 0, 1], [224, 0, 0, 1])]);
    assert_eq!(multicast, Err(SettingsError::Pool([223, 0, 0, 1].into())));
    #[expect(clippy::reversed_empty_ranges, reason = "what is to be refused")]
    let ports = Pool { ports: 2000..=1000, ..Pool::prefix(POOL, 32) };
    assert_eq!(check(vec![ports]), Err(SettingsError::Pool(POOL)));
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let settings = one_address();
    let check = |change: fn(&mut Settings)| {
        let mut settings = settings.clone();
        change(&mut settings);
        settings.check()
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|s| s.max_sessions = 0), Err(SettingsError::Sessions));
    assert_eq!(check(|s| s.max_sessions = (4 << 20) + 1), Err(SettingsError::Sessions));
    assert_eq!(check(|s| s.per_prefix = 0), Err(SettingsError::Sessions));
    assert_eq!(check(|s| s.port_block = Some(15)), Err(SettingsError::PortBlock));
    assert_eq!(check(|s| s.timeouts.udp = secs(119)), Err(SettingsError::Timeout));
    assert_eq!(check(|s| s.timeouts.icmp = secs(31 * 86_400)), Err(SettingsError::Timeout));
    let entry = |host_port, public| StaticEntry {
        protocol: Protocol::Tcp,
        host: Endpoint6 { address: host(), port: host_port },
        public,
    };
    let of = |entries: Vec<StaticEntry>| Settings { static_entries: entries, ..one_address() }.check();
    assert_eq!(of(vec![entry(1, at(POOL, 1)), entry(2, at(POOL, 2))]), Ok(()));
    assert_eq!(of(vec![entry(1, at(SERVER, 1))]), Err(SettingsError::StaticOutsidePool(at(SERVER, 1))));
    assert_eq!(of(vec![entry(1, at(POOL, 1)), entry(1, at(POOL, 2))]), Err(SettingsError::StaticTwice(at(POOL, 2))));
    assert_eq!(of(vec![entry(1, at(POOL, 1)), entry(2, at(POOL, 1))]), Err(SettingsError::StaticTwice(at(POOL, 1))));
}
