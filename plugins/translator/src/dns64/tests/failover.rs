//! Dead, slow, broken and lying resolvers, on a timeline.

use super::*;

fn two() -> Settings {
    Settings { resolvers: vec![server(1), server(2)], ..settings() }
}

const ANSWER: [&[&str]; 3] = [&["www.example.com. 60 A 192.0.2.80"], &[], &[]];

/// When each upstream question was sent, in milliseconds, and to whom, while nobody answers.
fn timeline(lab: &mut Lab, duration: Duration) -> Vec<(u128, SocketAddr)> {
    let start = lab.now;
    let mut seen = Vec::new();
    while lab.now.since(start) <= duration {
        seen.extend(lab.asked.drain(..).map(|asked| (lab.now.since(start).as_millis(), asked.server)));
        lab.run(Duration::from_millis(10));
    }
    seen
}

#[test]
fn a_silent_server_is_left_after_400_ms_and_waits_double_each_time() {
    let mut lab = Lab::new(two());
    lab.ask("www.example.com", A);
    let seen = timeline(&mut lab, Duration::from_millis(5100));
    let (a, b) = (server(1), server(2));
    assert_eq!(seen, [(0, a), (400, b), (800, a), (1600, b), (2400, a), (4000, b)]);
    assert_eq!(lab.answer()[3] & 15, 2);
    assert_eq!(lab.engine.outstanding(), (0, 0));
}

#[test]
fn all_dead_means_server_failure_after_the_timeout() {
    let mut lab = Lab::new(settings());
    let start = lab.now;
    lab.ask("www.example.com", A);
    while lab.answers.is_empty() {
        lab.run(Duration::from_millis(1));
    }
    assert_eq!(lab.now.since(start), Duration::from_secs(5));
    assert_eq!(lab.answers[0].1[3] & 15, 2);
    let stats = lab.engine.stats();
    assert_eq!((stats.failed, stats.upstream_timeouts), (1, stats.upstream_queries));
}

#[test]
fn the_second_server_answers_and_a_late_first_one_is_no_mismatch() {
    let mut lab = Lab::new(two());
    lab.ask("www.example.com", A);
    let first = lab.sent();
    lab.run(Duration::from_millis(400));
    let second = lab.sent();
    assert_eq!((first.server, second.server), (server(1), server(2)));
    let message = reply(&second, 0, ANSWER);
    lab.respond(&second, &message);
    assert_eq!(answer_text(&lab.answer()).1.len(), 1);
    let message = reply(&first, 0, ANSWER);
    lab.respond(&first, &message);
    assert!(lab.answers.is_empty());
    let stats = lab.engine.stats();
    assert_eq!((stats.upstream_late, stats.upstream_mismatched), (1, 0));
}

#[test]
fn a_slow_first_server_is_still_heard() {
    let mut lab = Lab::new(two());
    lab.ask("www.example.com", A);
    let first = lab.sent();
    lab.run(Duration::from_millis(450));
    let second = lab.sent();
    let message = reply(&first, 0, ANSWER);
    lab.respond(&first, &message);
    assert_eq!(answer_text(&lab.answer()).1.len(), 1);
    assert_eq!(lab.engine.servers(lab.now)[0].round_trip, Some(Duration::from_millis(450)));
    let message = reply(&second, 0, ANSWER);
    lab.respond(&second, &message);
    assert!(lab.answers.is_empty());
}

#[test]
fn a_server_that_fails_is_left_alone_and_probed_again() {
    let mut lab = Lab::new(two());
    let ask = |lab: &mut Lab, number: u32| {
        lab.ask(&format!("{number}.example.com"), A);
        let mut servers = Vec::new();
        while lab.answers.is_empty() {
            while let Some(asked) = lab.asked.pop_front() {
                servers.push(asked.server);
                if asked.server == server(2) {
                    let message = reply(&asked, 0, [&[], &[SOA], &[]]);
                    lab.respond(&asked, &message);
                }
            }
            lab.run(Duration::from_millis(10));
        }
        lab.answers.clear();
        servers
    };
    for number in 0..3 {
        assert_eq!(ask(&mut lab, number), [server(1), server(2)]);
    }
    assert!(!lab.engine.servers(lab.now)[0].available);
    assert_eq!(ask(&mut lab, 3), [server(2)], "at once the one that works");
    lab.run(Duration::from_secs(1));
    assert_eq!(ask(&mut lab, 4), [server(1), server(2)], "probed after a second");
    lab.run(Duration::from_secs(1));
    assert_eq!(ask(&mut lab, 5), [server(2)], "then left alone for two");
    lab.run(Duration::from_secs(1));
    assert_eq!(ask(&mut lab, 6), [server(1), server(2)]);
    assert_eq!(lab.engine.servers(lab.now)[0].failures, 5);
}

#[test]
fn an_answer_makes_up_for_the_failures_before_it() {
    let mut lab = Lab::new(two());
    for _ in 0..3 {
        for name in ["a.example.com", "b.example.com"] {
            lab.engine.flush();
            lab.ask(name, A);
            assert_eq!(lab.sent().server, server(1));
            lab.run(Duration::from_millis(1600));
            let asked = lab.sent();
            assert_eq!(asked.server, server(2));
            let message = reply(&asked, 0, [&[], &[SOA], &[]]);
            lab.respond(&asked, &message);
            lab.asked.clear();
        }
        lab.ask("c.example.com", A);
        let asked = lab.sent();
        let message = reply(&asked, 0, [&[], &[SOA], &[]]);
        lab.respond(&asked, &message);
        let row = lab.engine.servers(lab.now)[0];
        assert_eq!((row.failures, row.available), (0, true));
    }
}

#[test]
fn many_questions_lost_together_are_one_failure() {
    let mut lab = Lab::new(two());
    for number in 0..50 {
        lab.ask(&format!("{number}.example.com"), A);
    }
    lab.run(Duration::from_millis(400));
    assert_eq!(lab.engine.servers(lab.now)[0].failures, 1);
    assert_eq!(lab.engine.servers(lab.now)[0].timeouts, 50);
}

#[test]
fn error_codes_and_malformed_answers_go_to_the_next_server_at_once() {
    for rcode in [2, 5, 9] {
        let mut lab = Lab::new(two());
        lab.ask("www.example.com", A);
        lab.expect("www.example.com.", A, rcode, [&[], &[], &[]]);
        let asked = lab.sent();
        assert_eq!(asked.server, server(2));
        let message = reply(&asked, 0, ANSWER);
        lab.respond(&asked, &message);
        assert_eq!(answer_text(&lab.answer()).0, 0);
        assert_eq!(lab.engine.stats().upstream_errors, 1);
    }
    let mut lab = Lab::new(two());
    lab.ask("www.example.com", A);
    let asked = lab.sent();
    let mut message = reply(&asked, 0, ANSWER);
    message.truncate(message.len() - 1);
    lab.respond(&asked, &message);
    assert_eq!(lab.sent().server, server(2));
    assert_eq!(lab.engine.stats().upstream_malformed, 1);
}

#[test]
fn a_referral_is_no_answer() {
    let mut lab = Lab::new(two());
    lab.ask("www.example.com", A);
    lab.expect("www.example.com.", A, 0, [&[], &["com. 60 NS a.gtld-servers.net."], &[]]);
    assert_eq!(lab.sent().server, server(2));
}

#[test]
fn a_server_that_cannot_edns_is_asked_without_by_rfc_6891_section_6_2_2() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    let first = lab.sent();
    assert_eq!(first.bytes[11], 1);
    // As such servers do: a header and nothing else.
    let mut message = first.bytes[..12].to_vec();
    message[2..].copy_from_slice(&[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    lab.respond(&first, &message);
    let second = lab.sent();
    assert_eq!((second.bytes[11], second.bytes.len()), (0, first.bytes.len() - 11));
    let message = reply(&second, 0, ANSWER);
    lab.respond(&second, &message);
    assert_eq!(answer_text(&lab.answer()).1.len(), 1);
    assert!(lab.engine.servers(lab.now)[0].without_edns);
    // Questions without EDNS do not prolong that.
    lab.run(NO_EDNS - Duration::from_secs(1));
    lab.ask("b.example.com", A);
    let asked = lab.sent();
    assert_eq!(asked.bytes[11], 0);
    let message = reply(&asked, 3, [&[], &[SOA], &[]]);
    lab.respond(&asked, &message);
    lab.answer();
    lab.run(Duration::from_secs(1));
    lab.ask("c.example.com", A);
    assert_eq!(lab.sent().bytes[11], 1);
}

#[test]
fn what_is_cut_off_is_asked_over_tcp() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    let asked = lab.sent();
    let mut message = reply(&asked, 0, [&[], &[], &[]]);
    message[2] |= 2;
    lab.respond(&asked, &message);
    let asked = lab.sent();
    assert_eq!((asked.via.is_err(), asked.server), (true, server(1)));
    let message = reply(&asked, 0, ANSWER);
    lab.respond(&asked, &message);
    assert_eq!(answer_text(&lab.answer()).1.len(), 1);
    assert_eq!(lab.engine.stats().upstream_tcp, 1);
}

#[test]
fn tcp_that_fails_or_hangs_goes_to_the_next_server() {
    for hangs in [false, true] {
        let mut lab = Lab::new(two());
        lab.ask("www.example.com", A);
        let asked = lab.sent();
        let mut message = reply(&asked, 0, [&[], &[], &[]]);
        message[2] |= 2;
        lab.respond(&asked, &message);
        let query = lab.sent().via.unwrap_err();
        if hangs {
            lab.run(Duration::from_secs(2));
            assert_eq!(lab.cancelled, [query]);
        } else {
            lab.engine.handle_tcp_response(query, Err(()), lab.now);
            lab.drain();
        }
        assert_eq!(lab.sent().server, server(2));
        lab.engine.handle_tcp_response(query, Ok(&message), lab.now);
        assert!(lab.answers.is_empty());
    }
}

#[test]
fn an_icmp_error_fails_over_at_once() {
    let mut lab = Lab::new(two());
    lab.ask("www.example.com", A);
    let slot = lab.sent().via.unwrap();
    lab.engine.handle_slot_error(slot, lab.now);
    lab.drain();
    assert!(!lab.open.contains(&slot));
    assert_eq!(lab.sent().server, server(2));
    lab.engine.handle_slot_error(slot, lab.now);
    assert_eq!(lab.engine.servers(lab.now)[0].errors, 1);
}

#[test]
fn other_resolvers_take_over_what_is_under_way() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    let old = lab.sent();
    lab.engine.reconfigure(Settings { resolvers: vec![server(9)], ..settings() }, lab.now);
    lab.drain();
    let asked = lab.sent();
    assert_eq!((asked.server, lab.open.len()), (server(9), 1));
    let message = reply(&old, 0, ANSWER);
    lab.respond(&old, &message);
    assert!(lab.answers.is_empty());
    let message = reply(&asked, 0, ANSWER);
    lab.respond(&asked, &message);
    assert_eq!(answer_text(&lab.answer()).1.len(), 1);
}

#[test]
fn without_resolvers_there_is_an_answer_at_once() {
    let mut lab = Lab::new(Settings { resolvers: Vec::new(), ..settings() });
    lab.ask("www.example.com", AAAA);
    assert_eq!(lab.answer()[3] & 15, 2);
}

#[test]
fn an_idle_engine_closes_its_sockets_and_has_no_timer() {
    let mut lab = Lab::new(settings());
    for number in 0..20 {
        lab.ask(&format!("{number}.example.com"), A);
        lab.expect(&format!("{number}.example.com."), A, 3, [&[], &[SOA], &[]]);
    }
    assert_eq!(lab.open.len(), SLOTS_PER_SERVER);
    lab.run(Duration::from_secs(80));
    assert_eq!((lab.open.len(), lab.engine.poll_timeout()), (0, None));
}

#[test]
fn errors_of_many_sockets_at_once_are_one_failure() {
    let mut lab = Lab::new(two());
    for number in 0..8 {
        lab.ask(&format!("{number}.example.com"), A);
    }
    for slot in lab.open.clone() {
        lab.engine.handle_slot_error(slot, lab.now);
        lab.drain();
    }
    let row = lab.engine.servers(lab.now)[0];
    assert_eq!((row.failures, row.available, row.errors), (MAX_FAILURES, false, 8));
    lab.run(Duration::from_secs(1));
    assert!(lab.engine.servers(lab.now)[0].available);
}
