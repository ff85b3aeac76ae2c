//! Every fuzz target, for a bounded number of mutated samples in each test run, with a fixed seed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use portreeve_tests::fuzz::{TARGETS, Target};

const RUNS: u64 = 10_000;

#[test]
fn every_sample_is_accepted_by_its_target_without_a_panic() {
    for target in &TARGETS {
        let samples = (target.samples)();
        assert!(!samples.is_empty(), "{} has no samples", target.name);
        for sample in samples {
            (target.run)(&sample);
            for length in 0..sample.len() {
                (target.run)(&sample[..length]);
            }
        }
    }
}

#[test]
fn the_samples_reach_behind_the_first_check() {
    let mut table = portreeve::sys::LinkTable::default();
    let netlink = TARGETS.iter().find(|t| t.name == "netlink_answer").unwrap();
    for sample in (netlink.samples)() {
        portreeve::sys::linux::convert::apply_bytes(&mut table, &sample);
    }
    assert_eq!(table.links.values().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["lan0"]);
    assert_eq!(table.addresses.len(), 1);
    let last = (netlink.samples)().pop().unwrap();
    let (routes, neighbours) = portreeve::sys::linux::convert::routes_and_neighbours(&last);
    assert_eq!((routes.len(), neighbours.len()), (1, 1));
    let advertisement = TARGETS.iter().find(|t| t.name == "router_advertisement").unwrap();
    for sample in (advertisement.samples)() {
        assert!(portreeve_packet::nd::RouterAdvertisement::parse(&sample).is_ok());
    }
    let section = TARGETS.iter().find(|t| t.name == "radvd_section").unwrap();
    for sample in (section.samples)().into_iter().filter(|sample| sample != b"()") {
        let text = String::from_utf8(sample).unwrap();
        assert!(portreeve_radvd::Config::parse(&text).is_ok(), "{text}");
    }
    let samples = |name: &str| (TARGETS.iter().find(|t| t.name == name).unwrap().samples)();
    for text in samples("interfaces_section").into_iter().map(|sample| String::from_utf8(sample).unwrap()) {
        assert!(portreeve_interfaces::Config::parse(&text).is_ok(), "{text}");
    }
    for text in samples("tunnels_section").into_iter().map(|sample| String::from_utf8(sample).unwrap()) {
        assert!(portreeve_tunnels::Config::parse(&text).is_ok(), "{text}");
    }
    for text in samples("translator_section").into_iter().map(|sample| String::from_utf8(sample).unwrap()) {
        assert!(portreeve_translator::Config::parse(&text).is_ok(), "{text}");
    }
    for text in samples("firewall_section").into_iter().map(|sample| String::from_utf8(sample).unwrap()) {
        assert!(portreeve_firewall::config::Config::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn mutated_samples_never_panic() {
    std::thread::scope(|scope| {
        for target in &TARGETS {
            scope.spawn(move || mutate(target));
        }
    });
}

fn mutate(target: &Target) {
    let samples = (target.samples)();
    let mut random = fastrand::Rng::with_seed(0x706f_7274);
    for _ in 0..RUNS {
        let mut data = random.choice(&samples).unwrap().clone();
        for _ in 0..random.usize(1..=4) {
            change(&mut data, &samples, &mut random);
        }
        (target.run)(&data);
    }
}

fn change(data: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut fastrand::Rng) {
    let at = random.usize(0..=data.len());
    match random.u8(0..6) {
        0 => data.truncate(at),
        1 => data.insert(at, random.u8(..)),
        2 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << random.u8(0..8);
            }
        }
        3 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = *random.choice(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'(', b'}']).unwrap();
            }
        }
        4 => {
            let end = random.usize(at..=data.len());
            data.drain(at..end);
        }
        _ => {
            let other = random.choice(samples).unwrap();
            let start = random.usize(0..=other.len());
            let end = random.usize(start..=other.len());
            data.splice(at..at, other[start..end].iter().copied());
        }
    }
}
