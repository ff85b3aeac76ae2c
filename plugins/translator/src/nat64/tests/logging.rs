//! The session log and what status shows.

use super::*;

fn logged() -> Settings {
    Settings { log: true, ..one_address() }
}

fn drain(lab: &mut Lab) -> Vec<LogEntry> {
    std::iter::from_fn(|| lab.table.poll_log()).collect()
}

#[test]
fn sessions_are_logged_when_they_begin_and_end() {
    let mut lab = Lab::new(logged());
    let begin = lab.now;
    lab.udp((host(), 5000), at(SERVER, 53)).unwrap();
    lab.udp((host(), 5000), at(SERVER, 53)).unwrap();
    let line = SessionLine {
        protocol: Protocol::Udp,
        host: Endpoint6 { address: host(), port: 5000 },
        public: at(POOL, 5000),
        remote: at(SERVER, 53),
    };
    assert_eq!(drain(&mut lab), [LogEntry { at: begin, event: LogEvent::SessionCreated(line) }]);
    lab.wait(secs(340));
    let ended = drain(&mut lab);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].event, LogEvent::SessionEnded(line));
    assert!(ended[0].at > begin + secs(300));
}

#[test]
fn nothing_is_logged_unless_asked_for() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 5000), at(SERVER, 53)).unwrap();
    lab.wait(secs(340));
    assert_eq!(lab.table.poll_log(), None);
}

#[test]
fn with_port_blocks_only_blocks_are_logged() {
    let mut lab = Lab::new(Settings { port_block: Some(256), ..logged() });
    for n in 0..50 {
        lab.udp((host_of(3, n % 5), 5000 + n as u16 % 7), at(SERVER, n as u16)).unwrap();
    }
    let entries = drain(&mut lab);
    assert_eq!(entries.len(), 1);
    let LogEvent::BlockAssigned(block) = &entries[0].event else { panic!("{entries:?}") };
    assert_eq!((block.prefix, block.address), (host_of(3, 0), POOL));
    assert_eq!((block.ports.start() % 256, block.ports.end() - block.ports.start()), (0, 255));
    assert!(lab.views().iter().all(|view| block.ports.contains(&view.public.port)));
    lab.wait(secs(340));
    assert_eq!(
        drain(&mut lab).into_iter().map(|entry| entry.event).collect::<Vec<_>>(),
        [LogEvent::BlockReleased(block.clone())]
    );
}

#[test]
fn a_log_that_nobody_reads_is_bounded_and_counted() {
    let mut lab = Lab::new(logged());
    for n in 0..log::LOG_QUEUE as u16 + 100 {
        lab.udp((host(), 5000), at(SERVER, n)).unwrap();
    }
    assert_eq!(lab.table.stats().log_dropped, 100);
    assert_eq!(drain(&mut lab).len(), log::LOG_QUEUE);
}

#[test]
fn sessions_are_shown_by_protocol_host_remote_and_pool_address() {
    let mut lab = Lab::new(one_address());
    lab.udp((host_of(1, 1), 1000), at(SERVER, 53)).unwrap();
    lab.udp((host_of(2, 1), 2000), at(STRANGER, 53)).unwrap();
    lab.out(Protocol::Tcp, (host_of(2, 2), 3000), at(SERVER, 443)).unwrap();
    let ports = |filter: Filter| {
        let mut ports: Vec<_> = lab.table.sessions(filter, lab.now).map(|view| view.host.port).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(ports(Filter::default()), [1000, 2000, 3000]);
    assert_eq!(ports(Filter { protocol: Some(Protocol::Udp), ..Filter::default() }), [1000, 2000]);
    let of_two = Some(Sources { address: host_of(2, 0), length: 64 });
    assert_eq!(ports(Filter { host: of_two, ..Filter::default() }), [2000, 3000]);
    assert_eq!(ports(Filter { remote: Some(SERVER), ..Filter::default() }), [1000, 3000]);
    assert_eq!(ports(Filter { public: Some(POOL), remote: Some(STRANGER), ..Filter::default() }), [2000]);
    assert_eq!(ports(Filter { public: Some(SERVER), ..Filter::default() }), []);
    let view = lab.views().into_iter().find(|view| view.protocol == Protocol::Tcp).unwrap();
    assert_eq!((view.state, view.is_static, view.remaining.as_secs()), (Some(tcp::State::V6Init), false, 240));
}

#[test]
fn pool_use_counts_ports_of_each_protocol() {
    let mut lab = Lab::new(Settings {
        static_entries: vec![StaticEntry {
            protocol: Protocol::Tcp,
            host: Endpoint6 { address: host(), port: 22 },
            public: at(POOL, 22),
        }],
        ..one_address()
    });
    for n in 0..5 {
        lab.udp((host(), 5000 + n), at(SERVER, 53)).unwrap();
    }
    lab.out(Protocol::Icmp, (host(), 1), at(SERVER, 0)).unwrap();
    let shown: Vec<_> = lab.table.pool_use().collect();
    let expected = PoolUse { address: POOL, capacity: 64_512, tcp: 0, udp: 5, icmp: 1, blocks: 0 };
    assert_eq!(shown, [expected], "a port outside of the range does not count");
}
