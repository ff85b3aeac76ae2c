//! Mappings, sessions, filtering and lifetimes of UDP and ICMP queries: RFC 6146 sections 3.1 to 3.5 and 4.

use super::*;

/// Section 3.5.1: a packet from the host makes a BIB entry and a session; the answer finds the host.
#[test]
fn s3_5_1_a_udp_packet_makes_a_mapping_and_a_session_and_the_answer_comes_back() {
    let mut lab = Lab::new(one_address());
    assert_eq!(lab.udp((host(), 40_000), at(SERVER, 53)), Ok(at(POOL, 40_000)));
    assert_eq!(
        lab.back(Protocol::Udp, at(SERVER, 53), at(POOL, 40_000)),
        Ok(Endpoint6 { address: host(), port: 40_000 })
    );
    let stats = lab.table.stats();
    assert_eq!((stats.sessions, stats.udp, stats.bib_entries, stats.counters.created), (1, 1, 1, 1));
}

/// Sections 3.1 and 3.5.1: endpoint-independent mapping: one BIB entry serves all destinations, with a session each.
#[test]
fn s3_1_one_mapping_serves_all_destinations_with_a_session_each() {
    let mut lab = Lab::new(one_address());
    let public = lab.udp((host(), 40_001), at(SERVER, 53)).unwrap();
    assert_eq!(lab.udp((host(), 40_001), at(SERVER, 54)), Ok(public));
    assert_eq!(lab.udp((host(), 40_001), at(STRANGER, 53)), Ok(public));
    assert_ne!(lab.udp((host(), 40_002), at(SERVER, 53)), Ok(public));
    assert_ne!(lab.udp((host_of(1, 2), 40_001), at(SERVER, 53)), Ok(public));
    let stats = lab.table.stats();
    assert_eq!((stats.sessions, stats.bib_entries), (5, 3));
}

/// Section 3.1: there is a BIB of its own per protocol: the same port may be used in each.
#[test]
fn s3_1_each_protocol_has_its_own_bib() {
    let mut lab = Lab::new(one_address());
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
        assert_eq!(lab.out(protocol, (host(), 5000), at(SERVER, 7)), Ok(at(POOL, 5000)), "{protocol:?}");
    }
    assert_eq!(lab.table.stats().bib_entries, 3);
    assert_eq!(lab.back(Protocol::Tcp, at(SERVER, 8), at(POOL, 5000)), Err(Refusal::NotSyn));
}

/// Section 3.5.1: an IPv4 packet for which there is no BIB entry is refused, and nothing is kept of it.
#[test]
fn s3_5_1_a_scan_of_the_pool_leaves_nothing() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 40_000), at(SERVER, 53)).unwrap();
    let before = lab.table.stats();
    for port in 0..=65_535u16 {
        if port != 40_000 {
            assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 9), at(POOL, port)), Err(Refusal::NoMapping));
        }
        assert_eq!(lab.back_tcp(Protocol::Tcp, at(STRANGER, 9), at(POOL, port), Some(SYN)), Err(Refusal::NoMapping));
        assert_eq!(lab.back(Protocol::Icmp, at(STRANGER, 0), at(POOL, port)), Err(Refusal::NoMapping));
    }
    let after = lab.table.stats();
    assert_eq!((before.sessions, before.bib_entries, before.bytes), (after.sessions, after.bib_entries, after.bytes));
    assert_eq!(after.counters.refusals(Refusal::NoMapping), 3 * 65_536 - 1);
}

/// Section 3.5.1: with endpoint-independent filtering anyone may send to a mapping, and a session is made of it.
#[test]
fn s3_5_1_endpoint_independent_filtering_lets_anyone_in() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 40_000), at(SERVER, 53)).unwrap();
    let found = Ok(Endpoint6 { address: host(), port: 40_000 });
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 9), at(POOL, 40_000)), found);
    assert_eq!(lab.table.stats().sessions, 2);
}

/// Section 3.5.1: with address-dependent filtering only addresses the host has sent to may, from any port.
#[test]
fn s3_5_1_address_dependent_filtering_lets_in_addresses_that_were_sent_to() {
    let mut lab = Lab::new(Settings { filtering: Filtering::AddressDependent, ..one_address() });
    lab.udp((host(), 40_000), at(SERVER, 53)).unwrap();
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 53), at(POOL, 40_000)), Err(Refusal::Filtered));
    assert_eq!(lab.table.stats().sessions, 1);
    assert!(lab.back(Protocol::Udp, at(SERVER, 99), at(POOL, 40_000)).is_ok());
    lab.udp((host(), 40_000), at(STRANGER, 1)).unwrap();
    assert!(lab.back(Protocol::Udp, at(STRANGER, 53), at(POOL, 40_000)).is_ok());
    // The leave is the mapping's, not the host's.
    lab.udp((host(), 40_002), at(SERVER, 53)).unwrap();
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 53), at(POOL, 40_002)), Err(Refusal::Filtered));
}

/// Section 3.5.1: the leave ends with the last session that gave it.
#[test]
fn s3_5_1_address_dependent_leave_ends_with_its_last_session() {
    let mut lab = Lab::new(Settings { filtering: Filtering::AddressDependent, ..one_address() });
    lab.udp((host(), 40_000), at(STRANGER, 1)).unwrap();
    lab.wait(secs(200));
    lab.udp((host(), 40_000), at(STRANGER, 2)).unwrap();
    lab.udp((host(), 40_000), at(SERVER, 1)).unwrap();
    lab.wait(secs(200));
    assert_eq!(lab.table.len(), 2);
    assert!(lab.back(Protocol::Udp, at(STRANGER, 2), at(POOL, 40_000)).is_ok());
    lab.udp((host(), 40_000), at(SERVER, 1)).unwrap();
    lab.wait(secs(299));
    lab.udp((host(), 40_000), at(SERVER, 1)).unwrap();
    lab.wait(secs(40));
    assert_eq!(lab.table.len(), 1);
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 3), at(POOL, 40_000)), Err(Refusal::Filtered));
}

/// Sections 3.5.1 and 4: UDP_DEFAULT is 300 s; packets of both directions begin it anew; then session and mapping go.
#[test]
fn s4_udp_sessions_live_300_s_after_the_last_packet_of_either_side() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 40_000), at(SERVER, 53)).unwrap();
    lab.skip(secs(299));
    assert!(lab.back(Protocol::Udp, at(SERVER, 53), at(POOL, 40_000)).is_ok());
    lab.skip(secs(299));
    assert!(lab.udp((host(), 40_000), at(SERVER, 53)).is_ok());
    assert_eq!(lab.table.stats().counters.created, 1);
    lab.skip(secs(300));
    assert_eq!(lab.views().len(), 1, "never shorter than asked");
    lab.skip(GRAIN);
    assert_eq!(lab.views().len(), 0);
    assert_eq!(lab.back(Protocol::Udp, at(SERVER, 53), at(POOL, 40_000)), Err(Refusal::NoMapping), "gone at once");
    assert_eq!((lab.table.len(), lab.table.stats().bib_entries, lab.table.stats().prefixes), (0, 0, 0));
    assert_eq!(lab.table.stats().counters.expired, 1);
}

/// Sections 3.5.1 and 4: a mapping whose sessions are over is closed before the hand has come by.
#[test]
fn s4_a_mapping_is_closed_to_others_when_its_last_session_is_over() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 40_000), at(SERVER, 53)).unwrap();
    lab.skip(secs(100));
    lab.udp((host(), 40_000), at(SERVER, 54)).unwrap();
    lab.skip(secs(100));
    assert!(lab.back(Protocol::Udp, at(SERVER, 53), at(POOL, 40_000)).is_ok());
    lab.skip(secs(299));
    assert!(lab.back(Protocol::Udp, at(STRANGER, 1), at(POOL, 40_000)).is_ok());
    lab.skip(secs(300) + GRAIN);
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 2), at(POOL, 40_000)), Err(Refusal::NoMapping));
    assert_eq!(lab.table.len(), 3, "none is swept yet");
}

/// Section 3.5.3: ICMP queries: the identifier is translated, the IPv4 host has none, and ICMP_DEFAULT is 60 s.
#[test]
fn s3_5_3_icmp_queries_have_identifiers_and_live_60_s() {
    let mut lab = Lab::new(one_address());
    assert_eq!(lab.out(Protocol::Icmp, (host(), 77), at(SERVER, 0)).map(|public| public.address), Ok(POOL));
    let id = lab.views()[0].public.port;
    assert!(id >= 1024, "an identifier of the pool's range");
    let found = Ok(Endpoint6 { address: host(), port: 77 });
    assert_eq!(lab.back(Protocol::Icmp, at(SERVER, 0), at(POOL, id)), found);
    // What is where a port would be counts for nothing.
    assert_eq!(lab.back(Protocol::Icmp, at(SERVER, 9), at(POOL, id)), found);
    assert_eq!(lab.table.len(), 1);
    lab.skip(secs(60));
    assert_eq!(lab.views().len(), 1);
    lab.skip(GRAIN);
    assert_eq!(lab.back(Protocol::Icmp, at(SERVER, 0), at(POOL, id)), Err(Refusal::NoMapping));
}

/// Section 3.5.3: filtering holds for ICMP queries as well.
#[test]
fn s3_5_3_icmp_queries_from_others_are_filtered_by_address() {
    let mut lab = Lab::new(Settings { filtering: Filtering::AddressDependent, ..one_address() });
    let public = lab.out(Protocol::Icmp, (host(), 5000), at(SERVER, 0)).unwrap();
    assert_eq!(lab.back(Protocol::Icmp, at(STRANGER, 0), public), Err(Refusal::Filtered));
    let mut open = Lab::new(one_address());
    let public = open.out(Protocol::Icmp, (host(), 5000), at(SERVER, 0)).unwrap();
    assert!(open.back(Protocol::Icmp, at(STRANGER, 0), public).is_ok());
}

/// Section 3.1: a mapping lives while it has sessions.
#[test]
fn s3_1_a_mapping_goes_with_its_last_session() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 40_000), at(SERVER, 1)).unwrap();
    lab.wait(secs(250));
    lab.udp((host(), 40_000), at(SERVER, 2)).unwrap();
    lab.wait(secs(100));
    assert_eq!((lab.table.len(), lab.table.stats().bib_entries), (1, 1));
    assert!(lab.back(Protocol::Udp, at(SERVER, 2), at(POOL, 40_000)).is_ok());
    lab.wait(secs(340));
    assert_eq!((lab.table.len(), lab.table.stats().bib_entries), (0, 0));
    assert_eq!(lab.table.pool_use().next().unwrap().udp, 0);
    assert_eq!(lab.table.poll_timeout(), None);
}

/// Section 3.1: static entries stay without sessions, and anyone may begin one through them.
#[test]
fn s3_1_static_mappings_stay_and_take_sessions_from_anyone() {
    let entry =
        |protocol| StaticEntry { protocol, host: Endpoint6 { address: host(), port: 443 }, public: at(POOL, 443) };
    let mut lab = Lab::new(Settings {
        static_entries: vec![entry(Protocol::Tcp), entry(Protocol::Udp)],
        filtering: Filtering::AddressDependent,
        ..one_address()
    });
    let found = Ok(Endpoint6 { address: host(), port: 443 });
    assert_eq!(lab.table.poll_timeout(), None);
    assert_eq!(lab.back_tcp(Protocol::Tcp, at(STRANGER, 9), at(POOL, 443), Some(SYN)), found);
    assert_eq!(lab.table.poll_timeout(), Some(lab.now + BUSY_ROUND));
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 9), at(POOL, 443)), found);
    assert_eq!(lab.udp((host(), 443), at(SERVER, 53)), Ok(at(POOL, 443)));
    lab.wait(secs(4000));
    assert_eq!((lab.table.len(), lab.table.stats().bib_entries), (0, 2));
    assert_eq!(lab.back(Protocol::Udp, at(STRANGER, 9), at(POOL, 443)), found);
}

/// Section 3.5: an ICMP error asks without making, refreshing or ending anything.
#[test]
fn s3_5_icmp_errors_ask_and_change_nothing() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 40_000), at(SERVER, 53)).unwrap();
    let (there, back) = (
        outbound(Protocol::Udp, (host(), 40_000), at(SERVER, 53)),
        inbound(Protocol::Udp, at(SERVER, 53), at(POOL, 40_000)),
    );
    lab.skip(secs(200));
    assert_eq!(lab.table.outbound_error(&there, lab.now), Some(at(POOL, 40_000)));
    assert_eq!(lab.table.inbound_error(&back, lab.now), Some(Endpoint6 { address: host(), port: 40_000 }));
    let other = outbound(Protocol::Udp, (host(), 40_000), at(SERVER, 54));
    assert_eq!(lab.table.outbound_error(&other, lab.now), None);
    let other = inbound(Protocol::Udp, at(STRANGER, 53), at(POOL, 40_000));
    assert_eq!(lab.table.inbound_error(&other, lab.now), None);
    lab.skip(secs(100) + GRAIN);
    assert_eq!(lab.table.outbound_error(&there, lab.now), None, "was not refreshed");
    assert_eq!(lab.table.inbound_error(&back, lab.now), None);
}

/// Section 3.8: a host reaches another through the pool: out with its own mapping, in through the other's.
#[test]
fn s3_8_hairpinning_goes_out_and_in_again() {
    let mut lab = Lab::new(one_address());
    let (one, two) = (host_of(1, 1), host_of(2, 2));
    let of_two = lab.udp((two, 6000), at(SERVER, 3478)).unwrap();
    let of_one = lab.udp((one, 5000), of_two).unwrap();
    assert!(lab.table.is_pool(of_two.address));
    assert_eq!(lab.back(Protocol::Udp, of_one, of_two), Ok(Endpoint6 { address: two, port: 6000 }));
    // And the answer, which is an outbound packet of the other host.
    assert_eq!(lab.udp((two, 6000), of_one), Ok(of_two));
    assert_eq!(lab.back(Protocol::Udp, of_two, of_one), Ok(Endpoint6 { address: one, port: 5000 }));
    assert_eq!(lab.table.stats().bib_entries, 2);
}

/// Sections 3.5 and 5.3: sources that are not allowed, and destinations that are not unicast, get no session.
#[test]
fn s3_5_sources_and_destinations_that_are_not_served_are_refused() {
    let served = Sources { address: host_of(1, 0), length: 64 };
    let mut lab = Lab::new(Settings { sources: vec![served], ..one_address() });
    assert!(lab.udp((host_of(1, 9), 1), at(SERVER, 1)).is_ok());
    assert_eq!(lab.udp((host_of(2, 9), 1), at(SERVER, 1)), Err(Refusal::Prohibited));
    for not_unicast in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], [240, 0, 0, 1]] {
        assert_eq!(lab.udp((host(), 2), at(not_unicast.into(), 1)), Err(Refusal::Prohibited));
    }
    assert_eq!(lab.table.len(), 1);
    assert_eq!(lab.table.stats().counters.refusals(Refusal::Prohibited), 6);
}

#[test]
fn without_a_pool_everything_is_refused() {
    let mut lab = Lab::new(Settings::default());
    assert_eq!(lab.udp((host(), 1), at(SERVER, 1)), Err(Refusal::PortsExhausted));
    assert!(lab.table.is_empty());
    assert_eq!(lab.table.stats().prefixes, 0);
    assert_eq!(lab.table.icmp_source(), Ipv4Addr::UNSPECIFIED);
    assert!(!lab.table.is_pool(POOL));
}

/// A clock that goes back ends nothing and breaks nothing.
#[test]
fn an_earlier_now_makes_lifetimes_wait_and_nothing_else() {
    let mut lab = Lab::new(one_address());
    lab.udp((host(), 1), at(SERVER, 1)).unwrap();
    lab.now = Instant::ZERO;
    lab.table.handle_timeout(lab.now);
    assert!(lab.back(Protocol::Udp, at(SERVER, 1), lab.views()[0].public).is_ok());
    lab.wait(secs(2000));
    assert!(lab.table.is_empty());
}
