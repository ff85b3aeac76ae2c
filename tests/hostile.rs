//! What comes out of a tunnel is written by strangers: crafted protocol-41 packets and ICMP storms against the
//! userspace path. All of it is counted under its reason, none of it reaches a host, and what is legitimate goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

#[path = "hostile/packets.rs"]
mod packets;
#[path = "hostile/site.rs"]
mod site;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use packets::{
    ABROAD, Attacker, MARKER, PROVIDER, ROUTER, ROUTER_6RD, ipv6, ipv6_with, nested, protocol_41, tunnelled,
};
use portreeve_tests::lab::{Failure, Result, ensure, wait_until};
use portreeve_tunnels::sixin4::{ERROR_BURST, ERRORS_PER_SECOND};
use site::{FAR_SIDE, HOST, Lookout, Scene, WITHIN};

/// Packets of each case.
const COUNT: u64 = 500;
/// So many at once fit into every queue on the way.
const BURST: u64 = 100;
/// What a plugin's memory may grow by while it is attacked.
const GROWTH: u64 = 4 << 20;
/// In quotes that are plausible: an error about them is passed on to the host, at the rate of errors.
const QUOTED: &[u8] = b"quoted!!";

/// What is sent, and the tunnel and the counter that must tell of it.
struct Case {
    name: &'static str,
    packet: Vec<u8>,
    tunnel: &'static str,
    counter: &'static str,
}

fn cases() -> Vec<Case> {
    let six = |name, inner: &[u8], counter| Case { name, packet: tunnelled(inner), tunnel: "six", counter };
    let from = |source: &str| ipv6(source, HOST);
    let rd = |name, outer: Ipv4Addr, inner: &[u8], counter| Case {
        name,
        packet: protocol_41(outer, ROUTER_6RD, inner),
        tunnel: "rd",
        counter,
    };
    let mut oversized = from(ABROAD);
    oversized[4..6].copy_from_slice(&u16::MAX.to_be_bytes());
    vec![
        six("no bytes", &[], "truncated"),
        six("half an inner header", &from(ABROAD)[..23], "truncated"),
        six("less payload than announced", &from(ABROAD)[..50], "truncated"),
        six("a payload length of 65535", &oversized, "truncated"),
        six("an IPv4 packet inside", &packets::ipv4(17, PROVIDER, ROUTER, MARKER), "not_ipv6"),
        six("version 15", &[&[0xf0], &from(ABROAD)[1..]].concat(), "not_ipv6"),
        six("from our own prefix", &from("2001:db8:60:1::99"), "own_prefix"),
        six("from the host itself", &from(HOST), "own_prefix"),
        six("from ::1", &from("::1"), "martian"),
        six("from ::", &from("::"), "martian"),
        six("from a mapped address", &from("::ffff:192.0.2.1"), "martian"),
        six("from a compatible address", &from("::192.0.2.1"), "martian"),
        six("from multicast", &from("ff0e::1"), "martian"),
        six("from 6to4 of 10.0.0.1", &from("2002:a00:1::1"), "martian"),
        six("from 6to4 of 192.168.1.1", &from("2002:c0a8:101::1"), "martian"),
        six("from 6to4 of 127.0.0.1", &from("2002:7f00:1::1"), "martian"),
        six("to ::1", &ipv6(ABROAD, "::1"), "martian"),
        six("to 6to4 of 172.16.0.1", &ipv6(ABROAD, "2002:ac10:1::1"), "martian"),
        six("five tunnels in each other", &nested(5, HOST), "nested"),
        six("thirty tunnels in each other", &nested(30, HOST), "nested"),
        six("to a part of our prefix that nobody has", &ipv6(ABROAD, "2001:db8:60:9::1"), "looped"),
        rd("6rd: another customer's prefix", Ipv4Addr::new(192, 0, 2, 77), &from("2001:db9:c000:201::1"), "spoofed"),
        rd("6rd: not through the relay", Ipv4Addr::new(198, 51, 100, 7), &from(ABROAD), "spoofed"),
        rd("6rd: our own 6rd prefix", PROVIDER, &from("2001:db9:c000:203::9"), "own_prefix"),
        rd("6rd: ::1 through the relay", PROVIDER, &from("::1"), "martian"),
    ]
}

/// Sends one packet many times and waits until all of them are counted.
fn attack(scene: &Scene, attacker: &Attacker, case: &Case) -> Result {
    let mut expected = scene.counter(case.tunnel, case.counter)?;
    for _ in 0..COUNT / BURST {
        for _ in 0..BURST {
            attacker.send(&case.packet);
        }
        expected += BURST;
        let mut counted = 0;
        let is_counted = || {
            counted = scene.counter(case.tunnel, case.counter).ok()?;
            (counted == expected).then_some(())
        };
        wait_until("the counter", Duration::from_secs(3), is_counted).map_err(|_| {
            let all = scene.counters(case.tunnel).unwrap_or_default();
            let (name, counter) = (case.name, case.counter);
            Failure::new(format!("{name}: {counter} should be {expected} and is {counted}: {all:?}"))
        })?;
    }
    Ok(())
}

#[test]
fn hostile_packets_are_counted_under_their_reason_and_none_reaches_a_host() -> Result {
    let scene = Scene::new()?;
    let lookout = Lookout::new(&scene.host, [MARKER, QUOTED])?;
    let attacker = Attacker::new(&scene.provider)?;
    let memory = scene.plugin()?["memory_bytes"].as_u64().unwrap();
    let (host, started) = (scene.host.clone(), Instant::now());
    // What is legitimate meanwhile; it ends by itself soon after the attack does.
    let pings = std::thread::spawn(move || host.output(&format!("ping -n -q -i 0.01 -c 500 -W 2 {FAR_SIDE}")));
    let mut failures = Vec::new();
    for case in cases() {
        let before = lookout.seen(0);
        failures.extend(attack(&scene, &attacker, &case).err().map(|failure| failure.to_string()));
        let arrived = lookout.seen(0) - before;
        if arrived > 0 {
            failures.push(format!("{}: {arrived} reached the host", case.name));
        }
    }
    let sent = scene.counter("six", "icmp_errors_sent")? + scene.counter("six", "icmp_errors_limited")?;
    let allowed = u64::from(ERROR_BURST) + u64::from(ERRORS_PER_SECOND) * (started.elapsed().as_secs() + 1);
    ensure(failures.is_empty(), || failures.join("\n"))?;
    ensure(sent == COUNT && scene.counter("six", "icmp_errors_sent")? <= allowed, || {
        format!("{sent} ICMPv6 errors, {allowed} allowed")
    })?;
    let pings = pings.join().unwrap()?;
    ensure(pings.contains(" 0% packet loss"), || pings.clone())?;
    let plugin = scene.plugin()?;
    ensure(plugin["state"] == "ready" && plugin["restarts"] == 0, || plugin.to_string())?;
    let now = plugin["memory_bytes"].as_u64().unwrap();
    println!(
        "{} cases in {:.1} s; memory from {memory} to {now}\n{pings}",
        cases().len(),
        started.elapsed().as_secs_f64()
    );
    ensure(now <= memory + GROWTH, || format!("memory grew from {memory} to {now} bytes"))?;
    scene.host.run(&format!("ping -n -c 3 -i 0.2 -W 2 {FAR_SIDE}"))
}

/// The kernel gives the path only what comes from the other end; the rest it refuses itself.
#[test]
fn packets_from_others_than_the_far_end_never_reach_the_data_path() -> Result {
    let scene = Scene::new()?;
    let lookout = Lookout::new(&scene.host, [MARKER, QUOTED])?;
    let attacker = Attacker::new(&scene.provider)?;
    let before = scene.counters("six")?;
    for source in [[192, 0, 2, 77], [198, 51, 100, 1], [127, 0, 0, 1], [224, 0, 0, 1], ROUTER.octets()] {
        let packet = protocol_41(source.into(), ROUTER, &ipv6(ABROAD, HOST));
        for _ in 0..COUNT {
            attacker.send(&packet);
        }
    }
    // Behind all of them in the same queues: when this is counted, they were looked at.
    let case = Case { name: "the last", packet: tunnelled(&[]), tunnel: "six", counter: "truncated" };
    attack(&scene, &attacker, &case)?;
    let mut after = scene.counters("six")?;
    after.remove("truncated");
    ensure(lookout.seen(0) == 0, || format!("{} reached the host", lookout.seen(0)))?;
    ensure(after == before, || format!("{before:?} became {after:?}"))?;
    scene.host.run(&format!("ping -n -c 3 -i 0.2 -W 2 {FAR_SIDE}"))
}

#[test]
fn random_bytes_are_dropped_and_each_is_counted() -> Result {
    let scene = Scene::new()?;
    let lookout = Lookout::new(&scene.host, [MARKER, QUOTED])?;
    let attacker = Attacker::new(&scene.provider)?;
    let reasons = ["truncated", "not_ipv6", "martian", "own_prefix", "nested", "looped", "malformed", "spoofed"];
    let dropped = |scene: &Scene| -> Result<u64> {
        let counters = scene.counters("six")?;
        Ok(reasons.iter().filter_map(|name| counters.get(*name)).sum())
    };
    let before = dropped(&scene)?;
    let mut random = fastrand::Rng::with_seed(41);
    for _ in 0..4 * COUNT {
        let mut inner: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
        // Every second one at least looks like IPv6 of the right length, to a host of ours.
        if random.bool() && inner.len() > 40 {
            let marked = [MARKER, &inner[40..]].concat();
            // Extension headers of random content, from addresses that are refused.
            inner = ipv6_with(random.choice([0, 41, 43, 44, 60]).unwrap(), "2001:db8:60::1", HOST, &marked);
        }
        attacker.send(&tunnelled(&inner));
    }
    let all = || (dropped(&scene).ok()? - before == 4 * COUNT).then_some(());
    wait_until("all of them in the counters", WITHIN, all)
        .map_err(|failure| failure.with("counters", &format!("{:?}", scene.counters("six"))))?;
    ensure(lookout.seen(0) == 0, || format!("{} reached the host", lookout.seen(0)))?;
    ensure(scene.plugin()?["state"] == "ready", || scene.core.log())?;
    scene.host.run(&format!("ping -n -c 3 -i 0.2 -W 2 {FAR_SIDE}"))
}

/// Percent of the pings beside the storm of ICMP errors that may be lost: it is not paced, and can fill the socket's queue
/// just when a ping comes.
const MAX_LOST: f64 = 2.0;

/// The share of lost packets in what `ping` says at the end.
fn lost_percent(output: &str) -> Option<f64> {
    output.split(", ").find_map(|part| part.split_once("% packet loss")?.0.parse().ok())
}

#[test]
fn an_icmp_storm_is_counted_and_hosts_get_no_more_errors_than_the_rate_allows() -> Result {
    let scene = Scene::new()?;
    let lookout = Lookout::new(&scene.host, [MARKER, QUOTED])?;
    let attacker = Attacker::new(&scene.provider)?;
    let memory = scene.plugin()?["memory_bytes"].as_u64().unwrap();
    let (host, started) = (scene.host.clone(), Instant::now());
    let pings = std::thread::spawn(move || host.output(&format!("ping -n -q -i 0.01 -c 200 -W 2 {FAR_SIDE}")));
    let mut random = fastrand::Rng::with_seed(4443);
    let plausible = ipv6_with(17, HOST, FAR_SIDE, &[&[0, 9, 0, 9, 0, 16, 0, 0], QUOTED].concat());
    for number in 0..4000_u32 {
        let garbage: Vec<u8> = (0..random.usize(8..200)).map(|_| random.u8(..)).collect();
        let (code, mtu, inner) = match number % 5 {
            // No packet of ours.
            0 => (4, random.u16(..), garbage),
            1 => (random.u8(0..16), 0, ipv6(ABROAD, HOST)),
            2 => (4, *random.choice(&[0, 1, 68, 576, 1279, 1299, 65535]).unwrap(), plausible.clone()),
            3 => (1, 0, plausible.clone()),
            _ => (4, 1400, plausible[..random.usize(8..plausible.len())].to_vec()),
        };
        attacker.send(&packets::unreachable(code, mtu, &inner));
    }
    let pings = pings.join().unwrap()?;
    ensure(lost_percent(&pings).is_some_and(|lost| lost <= MAX_LOST), || pings.clone())?;
    let counters = scene.counters("six")?;
    let counted = counters.get("icmp_in").copied().unwrap_or(0);
    println!("{counted} of 4000 errors taken in, {} passed on: {counters:?}", lookout.seen(1));
    ensure(counted > 0, || format!("no ICMP error was counted: {counters:?}"))?;
    let allowed = u64::from(ERROR_BURST) + u64::from(ERRORS_PER_SECOND) * (started.elapsed().as_secs() + 1);
    ensure(lookout.seen(1) <= allowed, || format!("{} errors to the host, {allowed} allowed", lookout.seen(1)))?;
    let plugin = scene.plugin()?;
    ensure(plugin["state"] == "ready" && plugin["restarts"] == 0, || plugin.to_string())?;
    let now = plugin["memory_bytes"].as_u64().unwrap();
    ensure(now <= memory + GROWTH, || format!("memory grew from {memory} to {now} bytes"))?;
    // The path is believed to be narrow now; large packets get through in pieces.
    scene.host.run(&format!("ping -n -c 3 -i 0.2 -W 2 -s 2000 {FAR_SIDE}"))
}
