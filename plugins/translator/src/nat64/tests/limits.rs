//! Full tables, quotas, floods, the work per call, and memory.

use super::*;

fn limited(max_sessions: u32, per_prefix: u32) -> Settings {
    Settings { max_sessions, per_prefix, ..one_address() }
}

#[test]
fn a_full_table_refuses_new_sessions_and_serves_old_ones() {
    let mut lab = Lab::new(limited(100, 100));
    for n in 0..100 {
        assert!(lab.udp((host_of(n, 1), 5000), at(SERVER, 1)).is_ok());
    }
    lab.wait(secs(20));
    assert!(lab.table.poll_timeout() > Some(lab.now + BUSY_ROUND));
    assert_eq!(lab.udp((host_of(200, 1), 5000), at(SERVER, 1)), Err(Refusal::TableFull));
    assert_eq!(lab.table.poll_timeout(), Some(lab.now + BUSY_ROUND), "room is short");
    assert_eq!(lab.udp((host_of(1, 1), 5000), at(SERVER, 2)), Err(Refusal::TableFull));
    for n in 0..100 {
        assert!(lab.udp((host_of(n, 1), 5000), at(SERVER, 1)).is_ok());
    }
    assert_eq!(lab.table.len(), 100);
    assert_eq!(lab.table.stats().prefixes, 100, "a refused host leaves nothing");
}

#[test]
fn a_session_that_is_over_gives_way_at_once_in_a_full_table() {
    let mut lab = Lab::new(limited(100, 100));
    for n in 0..100 {
        assert!(lab.udp((host_of(n, 1), 5000), at(SERVER, 1)).is_ok());
    }
    lab.skip(secs(301));
    assert!(lab.udp((host_of(200, 1), 5000), at(SERVER, 1)).is_ok());
    assert_eq!(lab.table.len(), 100);
    assert_eq!(lab.table.stats().counters.evicted, 0);
}

#[test]
fn a_prefix_has_its_quota_and_no_more_whatever_its_hosts() {
    let mut lab = Lab::new(limited(1000, 50));
    for n in 0..50 {
        assert!(lab.udp((host_of(1, n), 5000), at(SERVER, 1)).is_ok());
    }
    assert_eq!(lab.udp((host_of(1, 999), 5000), at(SERVER, 1)), Err(Refusal::Quota));
    assert_eq!(lab.udp((host_of(1, 1), 5000), at(SERVER, 9)), Err(Refusal::Quota));
    assert!(lab.udp((host_of(1, 1), 5000), at(SERVER, 1)).is_ok());
    assert!(lab.udp((host_of(2, 1), 5000), at(SERVER, 1)).is_ok());
    assert_eq!(lab.table.top(5).iter().map(|top| top.sessions).collect::<Vec<_>>(), [50, 1]);
    assert_eq!(lab.table.top(1)[0].prefix, host_of(1, 0));
    lab.wait(secs(310));
    assert!(lab.udp((host_of(1, 999), 5000), at(SERVER, 1)).is_ok());
}

/// Nobody outside can use up a host's quota or the table through an open mapping.
#[test]
fn sessions_begun_outside_leave_an_eighth_to_the_hosts() {
    let mut lab = Lab::new(limited(1000, 80));
    lab.udp((host(), 5000), at(SERVER, 1)).unwrap();
    let mut let_in = 0;
    for port in 1..500 {
        match lab.back(Protocol::Udp, at(STRANGER, port), at(POOL, 5000)) {
            Ok(_) => let_in += 1,
            Err(refusal) => assert_eq!(refusal, Refusal::Quota),
        }
    }
    assert_eq!(let_in, 69);
    assert!(lab.udp((host(), 5000), at(SERVER, 2)).is_ok());

    let mut lab = Lab::new(limited(80, 80));
    lab.udp((host(), 5000), at(SERVER, 1)).unwrap();
    for _ in 0..2 {
        lab.udp((host_of(7, 1), 5000), at(SERVER, 1)).unwrap();
    }
    for port in 1..500 {
        let _ = lab.back(Protocol::Udp, at(STRANGER, port), at(POOL, 5000));
    }
    assert_eq!(lab.table.len(), 70);
}

#[test]
fn a_flood_of_syns_leaves_established_sessions_and_other_prefixes_alone() {
    let mut lab = Lab::new(limited(1000, 1000));
    let mut open = Vec::new();
    for n in 0..100u16 {
        let from = (host_of(100 + n, 1), 5000);
        let public = lab.out(Protocol::Tcp, from, at(SERVER, 80)).unwrap();
        lab.back_tcp(Protocol::Tcp, at(SERVER, 80), public, Some(SYN_ACK)).unwrap();
        open.push((from, public));
    }
    // One /64, many hosts, many destinations.
    let mut let_in = 0;
    for n in 0..5000u64 {
        let_in += u32::from(
            lab.out(Protocol::Tcp, (host_of(1, n % 7), (n % 3000) as u16), at(STRANGER, 1000 + n as u16)).is_ok(),
        );
    }
    assert_eq!(let_in, 900);
    assert_eq!(lab.table.len(), 1000);
    // Newcomers get in nevertheless, each in place of one of the flood's.
    for n in 0..200u16 {
        assert!(lab.out(Protocol::Tcp, (host_of(500 + n, 1), 1), at(SERVER, 80)).is_ok());
        assert!(lab.udp((host_of(800 + n, 1), 1), at(SERVER, 80)).is_ok());
        // And the flood does not displace them in turn.
        assert_eq!(lab.out(Protocol::Tcp, (host_of(1, 3), n), at(STRANGER, n)), Err(Refusal::TableFull));
    }
    assert_eq!(lab.table.stats().counters.evicted, 400);
    for (from, public) in open {
        assert_eq!(lab.out_tcp(Protocol::Tcp, from, at(SERVER, 80), Some(ACK)), Ok(public));
    }
    assert_eq!(lab.table.stats().tcp[tcp::State::Established.index()], 100);
    assert_eq!(lab.table.stats().udp, 200);
    let flood = lab.table.top(1)[0];
    assert_eq!((flood.prefix, flood.sessions, flood.half_open), (host_of(1, 0), 500, 500));
}

/// A flood of SYNs, each of another /64, displaces its own and not the handshakes of a LAN that has more than one.
#[test]
fn a_flood_of_syns_from_many_prefixes_displaces_the_oldest_and_not_the_busiest_lan() {
    let mut lab = Lab::new(limited(1000, 1000));
    let mut number = 100;
    let mut flood = |lab: &mut Lab, count: u16| {
        for _ in 0..count {
            number += 1;
            lab.out(Protocol::Tcp, (host_of(number, 1), number), at(STRANGER, 80)).unwrap();
        }
    };
    flood(&mut lab, 1000);
    lab.skip(secs(1));
    let lan: Vec<_> = (0..40)
        .map(|n| {
            let from = (host_of(1, n), 5000);
            (from, lab.out(Protocol::Tcp, from, at(SERVER, 80)).unwrap())
        })
        .collect();
    lab.skip(secs(1));
    flood(&mut lab, 500);
    for (from, public) in lan {
        lab.back_tcp(Protocol::Tcp, at(SERVER, 80), public, Some(SYN_ACK)).unwrap();
        assert_eq!(lab.out_tcp(Protocol::Tcp, from, at(SERVER, 80), Some(ACK)), Ok(public));
    }
    assert_eq!((lab.table.len(), lab.table.stats().counters.evicted), (1000, 540));
}

/// Up to the floor a /64 is like any other; above it, it gives way first though its sessions are younger.
#[test]
fn a_prefix_gives_way_first_from_the_65th_half_open_session_on() {
    for (count, left) in [(64, 64), (65, 64), (80, 64)] {
        let mut lab = Lab::new(limited(400, 400));
        for n in 0..400 - count {
            lab.out(Protocol::Tcp, (host_of(100 + n, 1), 1), at(STRANGER, 80)).unwrap();
        }
        lab.skip(secs(1));
        for n in 0..count {
            lab.out(Protocol::Tcp, (host_of(1, 1), n), at(STRANGER, 80)).unwrap();
        }
        for n in 0..16 {
            assert!(lab.udp((host_of(5000 + n, 1), 1), at(SERVER, 80)).is_ok());
        }
        let top = lab.table.top(1)[0];
        assert_eq!((top.prefix, top.half_open), (host_of(1, 0), left), "of {count}");
    }
}

#[test]
fn established_and_udp_sessions_never_give_way() {
    let mut lab = Lab::new(limited(20, 20));
    for n in 0..10 {
        let public = lab.out(Protocol::Tcp, (host_of(1, 1), 5000 + n), at(SERVER, 80)).unwrap();
        lab.back_tcp(Protocol::Tcp, at(SERVER, 80), public, Some(SYN_ACK)).unwrap();
        lab.udp((host_of(1, 1), 5000 + n), at(SERVER, 80)).unwrap();
    }
    for n in 0..50 {
        assert_eq!(lab.udp((host_of(2, n), 1), at(SERVER, 80)), Err(Refusal::TableFull));
    }
    assert_eq!(lab.table.len(), 20);
}

/// The hand looks at a bounded number of places per call, and goes round in a few seconds.
#[test]
fn the_hand_sweeps_a_bounded_number_per_call() {
    let mut lab = Lab::new(Settings { pools: vec![Pool::prefix(POOL, 32)], per_prefix: 60_000, ..Settings::default() });
    for n in 0..40_000u64 {
        lab.udp((host_of(1, n / 20_000), (n % 20_000) as u16 + 2000), at(SERVER, 1)).unwrap();
    }
    lab.skip(secs(301));
    let mut calls = 0;
    let begin = lab.now;
    while let Some(due) = lab.table.poll_timeout() {
        lab.now = lab.now.max(due);
        let before = lab.table.len();
        lab.table.handle_timeout(lab.now);
        let ended = before - lab.table.len();
        assert!(ended <= SWEEP_ENDS);
        calls += 1;
        assert!(calls < 60);
    }
    assert!(calls >= 40_000 / SWEEP_ENDS);
    assert!(lab.now.since(begin) < secs(30), "{:?}", lab.now.since(begin));
    assert!(lab.table.is_empty());
}

#[test]
fn an_idle_table_is_looked_at_rarely_and_spurious_calls_do_nothing() {
    let mut lab = Lab::new(one_address());
    assert_eq!(lab.table.poll_timeout(), None);
    lab.table.handle_timeout(lab.now);
    lab.out(Protocol::Tcp, (host(), 5000), at(SERVER, 80)).unwrap();
    lab.back_tcp(Protocol::Tcp, at(SERVER, 80), at(POOL, 5000), Some(SYN_ACK)).unwrap();
    let due = lab.table.poll_timeout().unwrap();
    lab.table.handle_timeout(lab.now);
    assert_eq!(lab.table.poll_timeout(), Some(due));
    let mut calls = 0;
    while lab.table.poll_timeout().is_some_and(|due| due < lab.now + secs(3600)) {
        let due = lab.table.poll_timeout().unwrap();
        lab.table.handle_timeout(due);
        calls += 1;
    }
    assert!((100..=130).contains(&calls), "every 30 s: {calls}");
}

/// 128 bytes a session with a mapping for each: what the acceptance asks for at 1 Mi, here at a quarter of it, where the
/// segments of the indexes are as full.
#[test]
fn a_session_with_its_own_mapping_takes_less_than_128_bytes() {
    const SESSIONS: u32 = 256 << 10;
    let pools = vec![Pool::prefix(POOL, 28)];
    let mut table =
        Table::new(Settings { pools, max_sessions: SESSIONS, per_prefix: SESSIONS, ..Settings::default() }, 3).unwrap();
    assert!(table.bytes() < 64 << 10, "an empty table: {}", table.bytes());
    for n in 0..SESSIONS {
        let from = (host_of((n / 64) as u16, u64::from(n)), 2000 + (n % 60_000) as u16);
        let flow = outbound(Protocol::Udp, from, at(SERVER, 53));
        assert!(table.outbound(&flow, None, Instant::ZERO).is_ok(), "{n}");
        if n % 4096 == 4095 {
            let each = table.bytes() / (n as usize + 1);
            assert!(each <= 128, "{each} bytes each at {}", n + 1);
        }
    }
    let stats = table.stats();
    assert_eq!((stats.sessions, stats.bib_entries, stats.prefixes), (SESSIONS, SESSIONS, SESSIONS / 64));
    let each = table.bytes() / SESSIONS as usize;
    assert!(each <= 80, "{each}");
}

/// The worst there is: each session of a mapping and a /64 of its own, and address-dependent filtering.
#[test]
fn a_session_with_its_own_prefix_and_permit_takes_no_more_than_128_bytes() {
    const SESSIONS: u32 = 64 << 10;
    let pools = vec![Pool::prefix(POOL, 30)];
    let filtering = Filtering::AddressDependent;
    let mut table = Table::new(Settings { pools, filtering, ..Settings::default() }, 3).unwrap();
    for n in 0..SESSIONS {
        let flow = outbound(Protocol::Udp, (host_of(n as u16, 1), 2000), at(SERVER, 53));
        assert!(table.outbound(&flow, None, Instant::ZERO).is_ok());
    }
    assert_eq!(table.stats().prefixes, SESSIONS);
    let each = table.bytes() / SESSIONS as usize;
    assert!(each <= 128, "{each}");
}

/// Churn does not make it grow.
#[test]
fn memory_stays_where_it_is_when_sessions_come_and_go() {
    let mut lab = Lab::new(Settings { max_sessions: 20_000, per_prefix: 20_000, ..one_address() });
    let mut most = 0;
    for round in 0..12u16 {
        for n in 0..20_000u32 {
            lab.udp((host_of(round, u64::from(n % 8)), (n / 8) as u16 + 2000), at(SERVER, n as u16)).unwrap();
        }
        if round < 2 {
            most = lab.table.bytes();
        }
        assert!(lab.table.bytes() <= most + most / 4, "round {round}: {} of {most}", lab.table.bytes());
        lab.wait(secs(340));
        assert!(lab.table.is_empty());
    }
}
