//! Rules that are swapped a thousand times while packets go through: none is lost and none leaks.
//!
//! The batches are the plugin's own: the section is parsed, compiled and made a batch as its engine does it, from what the
//! kernel's table holds at that moment, and its transactions are sent through a raw netlink socket in the router's namespace; no core runs.
//! Each swap is between two sections that differ in all that decides the packets' fate. Every packet is judged by the rules, as
//! it never gets an answer: to conntrack it is new each time.
//!
//! The controls are what people do without transactions: the table is deleted and made again, and everything passes in
//! between; or it is made closed first and opened afterwards, and nothing does. They show that the measure can see it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portreeve_firewall::compile::{Options, compile};
use portreeve_firewall::config::Config;
use portreeve_firewall::install::{self, Existing};
use portreeve_nftables::Endian;
use portreeve_tests::lab::{Failure, Lab, Netfilter, Result, Tun, ensure};

use super::packet::{MARKER, Packet};
use super::place::{LAN4, Place, Side, WAN4};
use super::scene::{ZONES, zones};

const PACKETS: u64 = 300_000;
const SWAPS: u32 = 1_000;
/// Of the controls.
const CONTROL: u32 = 100;
/// Packets under way at a time: fewer than a queue holds.
const WINDOW: u64 = 200;
/// Then one more is sent all the same: what is under way may be lost.
const STUCK: Duration = Duration::from_millis(20);

/// Two sections under which the packets have the same fate. All that decides it changes with each swap: the rules, the maps
/// from pairs of zones to chains (ranges of names, as a zone has a wildcard), the set of networks that a rule asks for.
fn sections() -> [String; 2] {
    let rules = |rule: &str, networks: &str| {
        format!(
            r#"{ZONES} rules: [
                {rule}
                (from: ["lan"], to: ["wan"], source: ["@bad"], then: Drop, count: "bad"),
                (from: ["lan"], to: ["wan"], source: ["@good"], then: Accept),
            ], sets: {{
                "bad": (elements: ["192.0.2.128/25", {networks}]),
                "good": (elements: ["192.168.0.0/16", {networks}]),
            }}"#
        )
    };
    let other = r#"(from: ["far"], to: ["lan", "router"], protocol: ["tcp"], destination_port: ["22"], then: Accept, count: "ssh"),"#;
    [rules("", r#""198.18.0.0/15""#), rules(other, r#""198.18.0.0/15", "203.0.113.0/24""#)]
}

/// Puts a section in force, as the engine does.
fn install(netfilter: &Netfilter, section: &str) -> Result {
    let failed = |what: &dyn std::fmt::Debug| Failure::new(format!("{what:?}"));
    let (config, _) = Config::parse(&format!("({section})")).map_err(|errors| failed(&errors))?;
    let devices = ["lan0", "lan1", "wan0", "sixbone"].map(str::to_owned);
    let compiled = compile(&config, &BTreeMap::new(), &devices, Options::default());
    let (mut ruleset, _) = compiled.map_err(|errors| failed(&errors))?;
    install::stamp(&mut ruleset);
    let mut existing = Existing::default();
    for request in install::requests(Endian::NATIVE, 1) {
        for datagram in netfilter.dump(&request)? {
            existing.absorb(Endian::NATIVE, &datagram).map_err(|error| failed(&error))?;
        }
    }
    let built = install::batch(&ruleset, &existing, None, Endian::NATIVE).map_err(|refusal| failed(&refusal))?;
    built.stages.iter().try_for_each(|stage| netfilter.commit(stage))
}

/// What came of packets that may pass and of those that may not.
#[derive(Debug, Default)]
struct Count {
    sent: u64,
    /// By the rules.
    lost: u64,
    /// By the queue behind them, when nobody had time to read: no matter of the rules.
    overflowed: u64,
    leaked: u64,
}

/// Numbered packets from LAN to WAN, and as many the other way, until `work` is done and `least` were sent.
fn during(place: &Place, least: u64, work: impl FnOnce() -> Result) -> Result<Count> {
    let (received, last, leaked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (done, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let before = overflowed(place)?;
    let send = || -> Result<u64> {
        let permitted = Packet::udp((LAN4, 1000), (WAN4, 5000)).bytes();
        let forbidden = Packet::udp((WAN4, 6000), (LAN4, 1001)).bytes();
        let mut sent = 0;
        while sent < least || !done.load(Ordering::Relaxed) {
            sent += 1;
            place.send(Side::Lan, &numbered(&permitted, sent))?;
            place.send(Side::Wan, &numbered(&forbidden, sent))?;
            let stuck = Instant::now() + STUCK;
            // Not for luck: no more than a queue holds.
            while sent - last.load(Ordering::Relaxed) > WINDOW && Instant::now() < stuck {
                std::thread::yield_now();
            }
        }
        Ok(sent)
    };
    std::thread::scope(|scope| {
        let at_wan = scope.spawn(|| {
            hear(place.wire(Side::Wan), &over, |number| {
                received.fetch_add(1, Ordering::Relaxed);
                last.store(number, Ordering::Relaxed);
            })
        });
        let at_lan = scope.spawn(|| {
            hear(place.wire(Side::Lan), &over, |_| {
                leaked.fetch_add(1, Ordering::Relaxed);
            })
        });
        let sender = scope.spawn(send);
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        let sent = sender.join();
        over.store(true, Ordering::Release);
        let heard = [at_wan.join(), at_lan.join()];
        let panicked = || Failure::new("a thread panicked");
        outcome?;
        for heard in heard {
            heard.map_err(|_| panicked())??;
        }
        let sent = sent.map_err(|_| panicked())??;
        let overflowed = overflowed(place)? - before;
        let lost = (sent - received.load(Ordering::Relaxed)).saturating_sub(overflowed);
        Ok(Count { sent, lost, overflowed, leaked: leaked.load(Ordering::Relaxed) })
    })
}

/// Packets that were let through to `wan0` and dropped there, by its queue or by the device.
fn overflowed(place: &Place) -> Result<u64> {
    let link = place.router.json("ip -s -j link show dev wan0")?;
    let queue = place.router.json("tc -s -j qdisc show dev wan0")?;
    let counts = [&link[0]["stats64"]["tx"]["dropped"], &queue[0]["drops"]].map(serde_json::Value::as_u64);
    let [Some(device), Some(queue)] = counts else {
        return Err(Failure::new(format!("no counters of wan0: {link} {queue}")));
    };
    Ok(device + queue)
}

/// Tells `each` the numbers of what leaves by a wire, until it is `over` and the wire silent.
fn hear(wire: &Tun, over: &AtomicBool, each: impl Fn(u64)) -> Result {
    loop {
        // Asked first: what comes in between is heard in the next round.
        let is_over = over.load(Ordering::Acquire);
        match wire.receive(Duration::from_millis(50))? {
            Some(bytes) => {
                number(&bytes).map(&each);
            }
            None if is_over => return Ok(()),
            None => {}
        }
    }
}

/// The packet with a number in the place of the marker's first half, and without a checksum (RFC 768).
fn numbered(packet: &[u8], number: u64) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[26..28].fill(0);
    packet[28..36].copy_from_slice(&number.to_be_bytes());
    packet
}

/// The number of one of ours.
fn number(bytes: &[u8]) -> Option<u64> {
    bytes.ends_with(&MARKER[8..]).then(|| u64::from_be_bytes(*bytes[28..].first_chunk().unwrap()))
}

struct Router {
    netfilter: Netfilter,
    place: Place,
    _lab: Lab,
}

impl Router {
    fn new() -> Result<Self> {
        let mut lab = Lab::new()?;
        let place = Place::new(&mut lab, "router")?;
        let netfilter = Netfilter::open(&place.router)?;
        install(&netfilter, &sections()[0])?;
        Ok(Self { netfilter, place, _lab: lab })
    }
}

#[test]
fn a_thousand_swaps_lose_none_of_300_000_packets_and_let_none_through() -> Result {
    let router = Router::new()?;
    let sections = sections();
    let began = Instant::now();
    let count = during(&router.place, PACKETS, || {
        for number in 1..=SWAPS {
            install(&router.netfilter, &sections[number as usize % 2])?;
        }
        Ok(())
    })?;
    println!("{count:?} in {:?}", began.elapsed());
    // What a queue drops says nothing of the rules: it must be next to nothing.
    let is_seen = count.sent >= PACKETS && count.overflowed < count.sent / 1000;
    ensure(count.lost == 0 && count.leaked == 0 && is_seen, || format!("{count:?}"))
}

#[test]
fn a_table_that_is_deleted_and_made_again_lets_packets_through_in_between() -> Result {
    let router = Router::new()?;
    let sections = sections();
    let count = during(&router.place, 1, || {
        for number in 1..=CONTROL {
            router.netfilter.commit(&install::remove(Endian::NATIVE))?;
            install(&router.netfilter, &sections[number as usize % 2])?;
        }
        Ok(())
    })?;
    println!("{count:?}");
    ensure(count.leaked > 0, || format!("nothing was seen to pass: {count:?}"))
}

#[test]
fn a_table_that_is_made_closed_and_opened_later_loses_packets_in_between() -> Result {
    let router = Router::new()?;
    let closed = zones("");
    let sections = sections();
    let count = during(&router.place, 1, || {
        for number in 1..=CONTROL {
            install(&router.netfilter, &closed)?;
            install(&router.netfilter, &sections[number as usize % 2])?;
        }
        Ok(())
    })?;
    println!("{count:?}");
    ensure(count.lost > 0 && count.leaked == 0, || format!("nothing was seen to be lost: {count:?}"))
}
