//! Snapshots: what is in them, what they restore, and that no bytes do harm.

use proptest::prelude::*;

use super::*;
use crate::nat64::snapshot::{HEADER, RECORD};

fn busy() -> Lab {
    let mut lab = Lab::new(one_address());
    for n in 0..20 {
        lab.udp((host_of(1, n), 5000), at(SERVER, 53)).unwrap();
        lab.out(Protocol::Icmp, (host_of(2, n), 5000), at(SERVER, 0)).unwrap();
        lab.out(Protocol::Tcp, (host_of(3, n), 5000), at(SERVER, 80)).unwrap();
        let public = lab.out(Protocol::Tcp, (host_of(4, n), 5000), at(SERVER, 443)).unwrap();
        lab.back_tcp(Protocol::Tcp, at(SERVER, 443), public, Some(SYN_ACK)).unwrap();
    }
    lab
}

fn sorted(lab: &Lab) -> Vec<SessionView> {
    let mut views = lab.views();
    views.sort_by_key(|view| (view.protocol, view.host.address, view.host.port, view.remote.port));
    views
}

#[test]
fn a_snapshot_restores_mappings_states_and_lifetimes() {
    let mut old = busy();
    old.skip(secs(30));
    let bytes = old.table.snapshot(old.now, usize::MAX);
    assert_eq!(bytes.len(), HEADER + 80 * RECORD);
    // Another seed.
    let mut new = Lab { table: Table::new(one_address(), 99).unwrap(), now: old.now };
    assert_eq!(new.table.restore(&bytes, new.now), Ok(80));
    let (before, after) = (sorted(&old), sorted(&new));
    for (before, after) in before.iter().zip(&after) {
        let lives_on = after.remaining.as_secs_f32() - before.remaining.as_secs_f32();
        assert!((-0.1..1.1).contains(&lives_on), "{before:?} {after:?}");
        assert_eq!(SessionView { remaining: secs(0), ..*before }, SessionView { remaining: secs(0), ..*after });
    }
    assert_eq!(before.len(), after.len());
    assert_eq!(new.table.stats().bib_entries, 80);
    assert_eq!(new.table.stats().tcp, old.table.stats().tcp);
    assert_eq!(new.table.pool_use().next(), old.table.pool_use().next());
    assert_eq!(new.table.restore(&bytes, new.now), Ok(0), "nothing twice");
    new.wait(secs(8000));
    assert!(new.table.is_empty());
}

#[test]
fn a_snapshot_that_is_cut_keeps_open_tcp_first_then_udp() {
    let old = busy();
    let bytes = old.table.snapshot(old.now, HEADER + 30 * RECORD + 34);
    assert_eq!(bytes.len(), HEADER + 30 * RECORD);
    let mut new = Lab::new(one_address());
    assert_eq!(new.table.restore(&bytes, new.now), Ok(30));
    let stats = new.table.stats();
    assert_eq!((stats.tcp[tcp::State::Established.index()], stats.udp, stats.icmp), (20, 10, 0));
    assert_eq!(old.table.snapshot(old.now, HEADER - 1), []);
    assert_eq!(old.table.snapshot(old.now, HEADER).len(), HEADER);
}

/// The bytes of one session, as they are written.
#[test]
fn a_snapshot_has_these_bytes() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 0x1234), at(SERVER, 53)).unwrap();
    let mut expected = b"N64S\x00\x02".to_vec();
    expected.extend(lab.now.nanos().to_be_bytes());
    expected.extend(b"\x00\x00\x00\x01\x07");
    expected.extend(host().octets());
    expected.extend([0x12, 0x34, 198, 51, 100, 1, 0x12, 0x34, 192, 0, 2, 80, 0, 53, 0, 0, 1, 45]);
    assert_eq!(lab.table.snapshot(lab.now, 1000), expected);
}

#[test]
fn sessions_that_are_over_are_in_no_snapshot_and_idle_tcp_is_in_trans() {
    let mut old = busy();
    old.skip(secs(7500));
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let mut new = Lab { now: old.now, ..Lab::new(one_address()) };
    assert_eq!(new.table.restore(&bytes, new.now), Ok(20));
    assert_eq!(new.table.stats().tcp[tcp::State::Trans.index()], 20);
    assert!(new.views().iter().all(|view| view.remaining <= secs(182)));
}

#[test]
fn the_time_between_two_runs_counts() {
    let old = busy();
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let later = |seconds| {
        let mut new = Lab::new(one_address());
        new.now = old.now + secs(seconds);
        let count = new.table.restore(&bytes, new.now).unwrap();
        (count, new.views())
    };
    let (count, views) = later(50);
    assert_eq!(count, 80);
    let left = |protocol| views.iter().find(|view| view.protocol == protocol).unwrap().remaining.as_secs_f32();
    assert!((10.0..12.0).contains(&left(Protocol::Icmp)) && (250.0..252.0).contains(&left(Protocol::Udp)));
    // ICMP is over, then half-open TCP, then UDP; open TCP is last.
    assert_eq!([61, 241, 301, 7439, 7441].map(|seconds| later(seconds).0), [60, 40, 20, 20, 0]);
}

#[test]
fn a_snapshot_of_another_boot_is_refused() {
    let old = busy();
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let mut new = Lab { table: Table::new(one_address(), 99).unwrap(), now: Instant::from_nanos(old.now.nanos() - 1) };
    assert_eq!(new.table.restore(&bytes, new.now), Err(RestoreError::Clock));
    assert!(new.table.is_empty());
}

#[test]
fn only_what_the_settings_allow_is_restored() {
    let old = busy();
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let restored = |settings| {
        let mut new = Lab::new(settings);
        let count = new.table.restore(&bytes, new.now).unwrap();
        assert_eq!(new.table.len() as usize, count);
        assert_eq!(new.table.stats().counters.restored as usize, count);
        count
    };
    let sources = vec![Sources { address: host_of(4, 0), length: 64 }];
    assert_eq!(restored(Settings { sources, ..one_address() }), 20);
    assert_eq!(restored(Settings { pools: vec![Pool::prefix(SERVER, 32)], ..Settings::default() }), 0);
    assert_eq!(restored(Settings { max_sessions: 25, ..one_address() }), 25);
    assert_eq!(restored(Settings { per_prefix: 3, ..one_address() }), 12);
    let ports = vec![Pool { ports: 5000..=5000, ..Pool::prefix(POOL, 32) }];
    assert_eq!(restored(Settings { pools: ports, ..Settings::default() }), 3, "one port of each protocol");
    let host = Endpoint6 { address: host_of(9, 9), port: 9 };
    let taken = StaticEntry { protocol: Protocol::Udp, host, public: at(POOL, 5000) };
    assert_eq!(restored(Settings { static_entries: vec![taken], ..one_address() }), 79);
}

#[test]
fn blocks_are_restored_with_their_mappings() {
    let settings = || Settings { port_block: Some(128), ..one_address() };
    let mut old = Lab::new(settings());
    for n in 0..60 {
        old.udp((host_of(n as u16 % 3, n), 5000), at(SERVER, 53)).unwrap();
    }
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let mut new = Lab::new(settings());
    assert_eq!(new.table.restore(&bytes, new.now), Ok(60));
    assert_eq!((old.table.stats().blocks, new.table.stats().blocks), (3, 3));
    new.wait(secs(400));
    assert_eq!(new.table.stats().blocks, 0);
}

#[test]
fn a_block_is_restored_to_one_prefix_only() {
    let mut old = Lab::new(one_address());
    old.udp((host_of(1, 1), 5000), at(SERVER, 53)).unwrap();
    old.udp((host_of(2, 1), 5001), at(SERVER, 53)).unwrap();
    old.udp((host_of(2, 1), 9000), at(SERVER, 53)).unwrap();
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let mut new = Lab::new(Settings { port_block: Some(128), ..one_address() });
    assert_eq!(new.table.restore(&bytes, new.now), Ok(2));
    let stats = new.table.stats();
    assert_eq!((stats.sessions, stats.bib_entries, stats.prefixes, stats.blocks), (2, 2, 2, 2));
}

#[test]
fn what_is_no_snapshot_changes_nothing() {
    let old = busy();
    let bytes = old.table.snapshot(old.now, usize::MAX);
    let mut new = Lab::new(one_address());
    for cut in (0..bytes.len()).step_by(7) {
        assert_eq!(new.table.restore(&bytes[..cut], new.now), Err(RestoreError::Length));
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(new.table.restore(&longer, new.now), Err(RestoreError::Length));
    let mut other = bytes.clone();
    other[5] = 1;
    assert_eq!(new.table.restore(&other, new.now), Err(RestoreError::Version(1)));
    other[0] = b'X';
    assert_eq!(new.table.restore(&other, new.now), Err(RestoreError::Magic));
    assert!(new.table.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whatever the records say, the table stays whole: everything that came in goes out again.
    #[test]
    fn restoring_any_records_leaves_a_whole_table(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), RECORD), 0..40),
        near in any::<bool>(),
        block in any::<bool>(),
    ) {
        let mut bytes = b"N64S\0\x02\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend((records.len() as u32).to_be_bytes());
        for mut record in records {
            if near {
                // Mostly legal, so that records meet each other.
                record[0] %= 10;
                let host = host_of(u16::from(record[1] % 2), u64::from(record[2] % 3));
                let (host_port, port) = ([20, record[18] % 3], [20, record[24] % 3]);
                record[1..17].copy_from_slice(&host.octets());
                record[17..19].copy_from_slice(&host_port);
                record[19..23].copy_from_slice(&POOL.octets());
                record[23..25].copy_from_slice(&port);
                record[25..28].copy_from_slice(&[192, 0, 2]);
            }
            bytes.extend(record);
        }
        let settings = Settings { port_block: block.then_some(16), log: true, ..one_address() };
        let mut lab = Lab::new(settings);
        let count = lab.table.restore(&bytes, lab.now).unwrap();
        prop_assert_eq!(lab.views().len(), count);
        let again = lab.table.snapshot(lab.now, usize::MAX);
        prop_assert_eq!(again.len(), HEADER + count * RECORD);
        lab.wait(secs(9000));
        let stats = lab.table.stats();
        prop_assert_eq!((stats.sessions, stats.bib_entries, stats.prefixes, stats.blocks), (0, 0, 0, 0));
        let used = lab.table.pool_use().next().unwrap();
        prop_assert_eq!((used.tcp, used.udp, used.icmp, used.blocks), (0, 0, 0, 0));
    }

    /// Any bytes at all.
    #[test]
    fn restoring_any_bytes_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lab = Lab::new(one_address());
        prop_assert!(lab.table.restore(&bytes, lab.now).is_err());
    }
}
