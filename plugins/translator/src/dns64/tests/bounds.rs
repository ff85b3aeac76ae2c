//! Floods: nothing grows without bound, and who does not take part is served.

use super::*;

fn host(prefix: u16, number: u16) -> Client {
    client(Transport::Udp, &format!("[2001:db8:0:{prefix:x}::{number:x}]:4000"))
}

#[test]
fn a_flood_from_one_64_does_not_keep_others_from_asking() {
    let rate = Some(Rate { per_second: 100, burst: 200 });
    let mut lab = Lab::new(Settings { rate, max_outstanding: 100, max_outstanding_per_client: 40, ..settings() });
    for number in 0..1000 {
        lab.send(host(1, number), &query(number, &format!("{number}.example.com"), A, Flags::default()));
    }
    let stats = lab.engine.stats();
    assert_eq!((stats.rate_limited, stats.share_exceeded), (800, 160));
    assert_eq!(lab.engine.outstanding(), (40, 40));
    lab.asked.clear();
    lab.send(host(2, 1), &query(7, "www.example.com", A, Flags::default()));
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(lab.answers[0].0, host(2, 1));
}

#[test]
fn a_flood_from_many_64_leaves_places_for_those_who_ask_little() {
    let mut lab = Lab::new(Settings { max_outstanding: 128, ..settings() });
    for round in 0..200 {
        for prefix in 1..8 {
            let name = format!("{round}.{prefix}.example.com");
            lab.send(host(prefix, 1), &query(round, &name, A, Flags::default()));
        }
    }
    let (waiting, questions) = lab.engine.outstanding();
    assert!(waiting < 128 && waiting == questions, "{waiting}");
    lab.send(host(99, 1), &query(7, "www.example.com", A, Flags::default()));
    assert_eq!(lab.engine.outstanding().0, waiting + 1);
    // All of them end.
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.engine.outstanding(), (0, 0));
    assert_eq!(lab.answers.len(), waiting + 1);
}

#[test]
fn those_who_wait_for_one_question_are_bounded() {
    let mut lab = Lab::new(settings());
    for number in 0..100 {
        lab.send(host(number, 1), &query(number, "www.example.com", A, Flags::default()));
    }
    assert_eq!(lab.engine.outstanding(), (MAX_WAITERS, 1));
    assert_eq!(lab.engine.stats().waiters_full, 100 - MAX_WAITERS as u64);
}

#[test]
fn the_cache_keeps_to_its_bounds_under_a_flood_of_names() {
    let mut lab = Lab::new(Settings { cache_entries: 100, cache_bytes: 20_000, rate: None, ..settings() });
    for number in 0..2000 {
        lab.ask(&format!("{number}.example.com"), A);
        lab.expect(&format!("{number}.example.com."), A, 3, [&[], &[SOA], &[]]);
        let (entries, bytes) = lab.engine.cache_size();
        assert!(entries <= 100 && bytes <= 20_000);
    }
    let stats = lab.engine.stats();
    assert_eq!(stats.cache_evicted, 2000 - lab.engine.cache_size().0 as u64);
}

#[test]
fn exchanges_over_tcp_are_bounded() {
    let mut lab = Lab::new(Settings { max_outstanding: 1000, max_outstanding_per_client: 1000, ..settings() });
    for number in 0..200 {
        lab.ask(&format!("{number}.example.com"), A);
        let asked = lab.asked.pop_back().unwrap();
        let mut message = reply(&asked, 0, [&[], &[], &[]]);
        message[2] |= 2;
        lab.respond(&asked, &message);
    }
    assert_eq!(lab.asked.iter().filter(|asked| asked.via.is_err()).count(), MAX_TCP);
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.engine.outstanding(), (0, 0));
    assert_eq!(lab.cancelled.len(), MAX_TCP);
}
