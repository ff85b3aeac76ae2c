//! New settings for a table in use.

use super::*;

fn two_pools() -> Settings {
    Settings { pools: vec![Pool::prefix(POOL, 32), Pool::prefix([198, 51, 100, 9].into(), 32)], ..Settings::default() }
}

fn entry(protocol: Protocol, host_port: u16, public_port: u16) -> StaticEntry {
    StaticEntry { protocol, host: Endpoint6 { address: host(), port: host_port }, public: at(POOL, public_port) }
}

#[test]
fn the_same_settings_end_nothing() {
    for settings in [
        two_pools(),
        Settings { port_block: Some(64), ..two_pools() },
        Settings { filtering: Filtering::AddressDependent, ..two_pools() },
        Settings { static_entries: vec![entry(Protocol::Udp, 5000, 5001)], ..two_pools() },
    ] {
        let mut lab = Lab::new(settings.clone());
        for n in 0..40 {
            lab.udp((host_of(1, n), 5000), at(SERVER, 53)).unwrap();
        }
        let (views, pool) = (lab.views(), lab.table.pool_use().collect::<Vec<_>>());
        let blocks = lab.table.stats().blocks;
        assert_eq!(lab.table.reconfigure(settings, lab.now), Ok(Reconfigured { kept: 40, ended: 0 }));
        assert_eq!((lab.views(), lab.table.stats().blocks), (views, blocks));
        assert_eq!(lab.table.pool_use().collect::<Vec<_>>(), pool);
        lab.wait(secs(400));
        assert!(lab.table.is_empty() && lab.table.stats().blocks == 0);
        assert!(lab.table.pool_use().all(|address| address.blocks == 0));
    }
}

#[test]
fn sessions_end_with_their_pool_address_and_others_go_on() {
    let mut lab = Lab::new(two_pools());
    for n in 0..60 {
        lab.udp((host_of(1, n), 5000), at(SERVER, 53)).unwrap();
    }
    let of_first = lab.views().iter().filter(|view| view.public.address == POOL).count() as u32;
    assert!((10..50).contains(&of_first));
    let outcome = lab.table.reconfigure(one_address(), lab.now).unwrap();
    assert_eq!(outcome, Reconfigured { kept: of_first, ended: 60 - of_first });
    assert!(lab.views().iter().all(|view| view.public.address == POOL));
    assert_eq!(lab.table.pool_use().next().unwrap().udp, of_first);
    assert_eq!(lab.table.stats().counters.reconfigured, u64::from(60 - of_first));
    assert!(!lab.table.is_pool([198, 51, 100, 9].into()));
    let narrow = Pool { ports: 1024..=4999, ..Pool::prefix(POOL, 32) };
    let narrow = Settings { pools: vec![narrow], ..Settings::default() };
    let outcome = lab.table.reconfigure(narrow, lab.now).unwrap();
    assert!(outcome.ended >= 1 && lab.views().iter().all(|view| view.public.port < 5000));
}

#[test]
fn sessions_of_hosts_that_are_no_longer_allowed_end() {
    let mut lab = Lab::new(one_address());
    lab.udp((host_of(1, 1), 1), at(SERVER, 1)).unwrap();
    lab.udp((host_of(2, 1), 1), at(SERVER, 1)).unwrap();
    let sources = vec![Sources { address: host_of(2, 0), length: 64 }];
    let outcome = lab.table.reconfigure(Settings { sources, ..one_address() }, lab.now);
    assert_eq!(outcome, Ok(Reconfigured { kept: 1, ended: 1 }));
    assert_eq!(lab.views()[0].host.address, host_of(2, 1));
}

#[test]
fn static_mappings_come_and_go_and_displace_what_is_in_their_place() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 6000), at(SERVER, 1)).unwrap();
    lab.udp((host_of(2, 2), 7000), at(SERVER, 1)).unwrap();
    lab.udp((host_of(2, 2), 8000), at(SERVER, 1)).unwrap();
    // The first is there as it is wanted, the second is in the way.
    let statics = vec![entry(Protocol::Udp, 6000, 6000), entry(Protocol::Udp, 1, 7000), entry(Protocol::Tcp, 22, 22)];
    let with = Settings { static_entries: statics, ..one_address() };
    assert_eq!(lab.table.reconfigure(with.clone(), lab.now), Ok(Reconfigured { kept: 2, ended: 1 }));
    assert_eq!(lab.table.stats().bib_entries, 4);
    let found = Ok(Endpoint6 { address: host(), port: 1 });
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 7000)), found);
    lab.wait(secs(400));
    assert_eq!((lab.table.len(), lab.table.stats().bib_entries), (0, 3));
    assert!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 6000)).is_ok());
    assert!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 7000)).is_ok());
    // One goes, one is another now: their sessions end.
    let changed = vec![entry(Protocol::Udp, 1, 7001), entry(Protocol::Tcp, 22, 22)];
    let outcome = lab.table.reconfigure(Settings { static_entries: changed, ..one_address() }, lab.now);
    assert_eq!(outcome, Ok(Reconfigured { kept: 0, ended: 2 }));
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 7000)), Err(Refusal::NoMapping));
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 7001)), found);
    assert_eq!(lab.table.stats().bib_entries, 2);
    assert_eq!(lab.table.reconfigure(one_address(), lab.now).map(|outcome| outcome.ended), Ok(1));
    assert_eq!((lab.table.stats().bib_entries, lab.table.stats().prefixes), (0, 0));
}

#[test]
fn port_blocks_begin_with_the_mappings_that_are_there() {
    let mut lab = Lab::new(Settings { log: true, ..one_address() });
    lab.udp((host_of(1, 1), 5000), at(SERVER, 1)).unwrap();
    lab.udp((host_of(2, 1), 5001), at(SERVER, 1)).unwrap();
    lab.udp((host_of(2, 1), 9001), at(SERVER, 1)).unwrap();
    while lab.table.poll_log().is_some() {}
    let blocks = Settings { port_block: Some(64), log: true, ..one_address() };
    assert_eq!(lab.table.reconfigure(blocks, lab.now), Ok(Reconfigured { kept: 2, ended: 1 }));
    assert_eq!((lab.table.stats().blocks, lab.table.pool_use().next().unwrap().blocks), (2, 2));
    let other = Settings { port_block: Some(128), log: true, ..one_address() };
    assert_eq!(lab.table.reconfigure(other, lab.now), Ok(Reconfigured { kept: 2, ended: 0 }));
    assert_eq!(lab.table.stats().blocks, 2);
    let events: Vec<_> = std::iter::from_fn(|| lab.table.poll_log()).map(|entry| entry.event).collect();
    let released = events.iter().filter(|event| matches!(event, LogEvent::BlockReleased(_))).count();
    let assigned = events.iter().filter(|event| matches!(event, LogEvent::BlockAssigned(_))).count();
    assert_eq!((released, assigned), (2, 4));
    assert_eq!(lab.table.reconfigure(one_address(), lab.now), Ok(Reconfigured { kept: 2, ended: 0 }));
    assert_eq!((lab.table.stats().blocks, lab.table.pool_use().next().unwrap().blocks), (0, 0));
}

#[test]
fn filtering_that_is_turned_on_knows_the_sessions_that_are_there() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 5000), at(SERVER, 1)).unwrap();
    let strict = Settings { filtering: Filtering::AddressDependent, ..one_address() };
    lab.table.reconfigure(strict.clone(), lab.now).unwrap();
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 5000)), Err(Refusal::Filtered));
    assert!(lab.back(Protocol::Udp, at(SERVER, 9), at(POOL, 5000)).is_ok());
    lab.table.reconfigure(one_address(), lab.now).unwrap();
    assert!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 5000)).is_ok());
    lab.table.reconfigure(strict, lab.now).unwrap();
    lab.wait(secs(400));
    assert_eq!((lab.table.len(), lab.table.stats().bib_entries), (0, 0));
}

#[test]
fn shorter_lifetimes_hold_for_sessions_that_are_there() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 5000), at(SERVER, 1)).unwrap();
    let timeouts = Timeouts { udp: secs(120), ..Timeouts::default() };
    lab.table.reconfigure(Settings { timeouts, ..one_address() }, lab.now).unwrap();
    lab.skip(secs(120) + GRAIN);
    assert_eq!(lab.views(), []);
}

#[test]
fn a_smaller_table_ends_nothing_and_begins_nothing() {
    let mut lab = Lab::new(one_address());
    for n in 0..10 {
        lab.udp((host_of(n, 1), 5000), at(SERVER, 1)).unwrap();
    }
    let small = Settings { max_sessions: 5, ..one_address() };
    assert_eq!(lab.table.reconfigure(small, lab.now), Ok(Reconfigured { kept: 10, ended: 0 }));
    assert_eq!(lab.udp((host(), 1), at(SERVER, 1)), Err(Refusal::TableFull));
    assert!(lab.udp((host_of(3, 1), 5000), at(SERVER, 1)).is_ok());
}

#[test]
fn illegal_settings_change_nothing() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 5000), at(SERVER, 1)).unwrap();
    let wrong = Settings { max_sessions: 0, ..one_address() };
    assert_eq!(lab.table.reconfigure(wrong, lab.now), Err(SettingsError::Sessions));
    assert_eq!((lab.table.len(), lab.table.settings()), (1, &one_address()));
}
