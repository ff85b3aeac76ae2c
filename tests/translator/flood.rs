//! Tables that fill, ports that run out, scans, floods: bounded, counted under their reason, fair to the other /64, and
//! what is established talks on.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portreeve_tests::lab::{Result, ensure};

use super::dns;
use super::echo;
use super::programs::dig;
use super::raw::{Sender, later_fragment, syn, udp_to_many};
use super::scene::{DNS64, GATEWAYS, OWN_POOL, POOL, SERVER, SUBNETS, Scene, nat64, nat64_of};
use super::status::{self, FRAGMENTS, NAT64, NO_MAPPING, PORTS_EXHAUSTED, QUOTA, RATE_LIMITED, TABLE_FULL};
use super::talk::Talk;

/// What a plugin's memory may grow by.
const GROWTH: u64 = 8 << 20;
/// Sessions of the small table.
const SESSIONS: u64 = 256;
/// Of the server, from here on: nobody listens.
const PORTS: u16 = 20_000;
/// An IPv4 network that the far router throws away without a word.
const SILENT: Ipv4Addr = Ipv4Addr::new(198, 51, 102, 1);
/// For how long a flood lasts.
const FLOOD: Duration = Duration::from_secs(3);

/// Memory and health of the plugin around something.
struct Watch {
    memory: u64,
    talks: Vec<Talk>,
}

impl Watch {
    /// Connections of a neighbour of the flooder and of a host in another /64 talk from now on.
    fn start(scene: &Scene) -> Result<Self> {
        let talk = |host: usize| Talk::start(&scene.hosts[host], scene.echo_at());
        let talks = vec![talk(1)?, talk(2)?];
        Ok(Self { memory: status::memory(scene.core())?, talks })
    }

    /// They still do, the plugin was not started anew, and its memory has not grown by much.
    fn end(self, scene: &Scene) -> Result {
        for talk in self.talks {
            talk.finish().map_err(|failure| failure.with("log", &scene.core().log()))?;
        }
        status::is_untouched(scene.core())?;
        let now = status::memory(scene.core())?;
        println!("memory from {} to {now}", self.memory);
        ensure(now <= self.memory + GROWTH, || format!("memory grew from {} to {now} bytes", self.memory))
    }
}

/// A small table in which a /64 may have so many sessions.
fn small(per_prefix: u64) -> String {
    nat64(&format!("{OWN_POOL}, sessions: {SESSIONS}, per_prefix: {per_prefix}"))
}

#[test]
fn a_prefix_that_has_its_share_gets_no_more_and_another_one_does() -> Result {
    let scene = Scene::new(&small(SESSIONS / 4))?;
    let watch = Watch::start(&scene)?;
    udp_to_many(&scene.hosts[0], nat64_of(SERVER), PORTS..PORTS + 1000)?;
    // Some of the thousand may not even have come here.
    scene.counts("a drop", 700, |core| status::drops(core, NAT64, QUOTA))?;
    let first = format!("{}/64", SUBNETS[0]);
    let held = status::sessions_of(scene.core(), NAT64, &first)?;
    ensure(held == SESSIONS / 4, || format!("{first} has {held} sessions"))?;
    for _ in 0..10 {
        echo::tcp(&scene.hosts[2], scene.echo_at())?;
        echo::udp(&scene.hosts[2], scene.echo_at(), 100)?;
    }
    watch.end(&scene)
}

#[test]
fn a_full_table_takes_nobody_in_and_throws_nobody_out() -> Result {
    let scene = Scene::new(&small(SESSIONS))?;
    let watch = Watch::start(&scene)?;
    let known = echo::udp_socket(&scene.hosts[2], scene.echo_at())?;
    echo::udp_over(&known, 10)?;
    udp_to_many(&scene.hosts[0], nat64_of(SERVER), PORTS..PORTS + 1000)?;
    scene.counts("a drop", 500, |core| status::drops(core, NAT64, TABLE_FULL))?;
    let held = status::sessions(scene.core(), NAT64)?;
    ensure(held == SESSIONS, || format!("{held} sessions"))?;
    // Full of sessions that all have a right to be there: a new one is refused, and is told so.
    let refused = echo::connect(&scene.hosts[2], scene.echo_at());
    ensure(refused.is_err(), || "there was room after all".to_owned())?;
    echo::udp_over(&known, 10)?;
    watch.end(&scene)
}

#[test]
fn ports_that_run_out_are_refused_and_those_in_use_stay() -> Result {
    let pool = format!(r#"pool: Addresses([(addresses: "{POOL}/32", ports: (2000, 2031))]), private: true"#);
    let scene = Scene::new(&nat64(&pool))?;
    let watch = Watch::start(&scene)?;
    let known = echo::udp_socket(&scene.hosts[2], scene.echo_at())?;
    echo::udp_over(&known, 10)?;
    let sockets: Vec<UdpSocket> =
        (0..100).map(|_| echo::udp_socket(&scene.hosts[0], scene.echo_at())).collect::<Result<_>>()?;
    for socket in &sockets {
        let _ = socket.send(b"anybody?");
    }
    scene.counts("a drop", 0, |core| status::drops(core, NAT64, PORTS_EXHAUSTED))?;
    // Those of UDP alone; TCP has its own.
    let mut answered = 0;
    for socket in &sockets {
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        answered += usize::from(socket.recv(&mut [0; 16]).is_ok());
    }
    ensure((1..=31).contains(&answered), || format!("{answered} of 100 were answered through 32 ports"))?;
    let ours = scene.echo.udp_peers();
    ensure(ours.iter().all(|peer| (2000..=2031).contains(&peer.port())), || format!("{ours:?}"))?;
    echo::udp_over(&known, 10)?;
    watch.end(&scene)
}

#[test]
fn a_scan_of_the_pool_makes_no_sessions() -> Result {
    let scene = Scene::new(&nat64(OWN_POOL))?;
    let watch = Watch::start(&scene)?;
    let before = status::sessions(scene.core(), NAT64)?;
    let mut counted = status::drops(scene.core(), NAT64, NO_MAPPING)?;
    for thousands in 1..=20 {
        udp_to_many(&scene.server, POOL, thousands * 1000..thousands * 1000 + 1000)?;
        // One after the other, so that no queue on the way is too short; most of them arrive at least.
        counted = scene.counts("most of the scan", counted + 500, |core| status::drops(core, NAT64, NO_MAPPING))?;
    }
    let after = status::sessions(scene.core(), NAT64)?;
    ensure(after <= before, || format!("{before} sessions became {after}"))?;
    for port in 100..110 {
        let refused = echo::connect(&scene.server, (POOL, port).into());
        ensure(refused.is_err(), || format!("somebody answers at {port}"))?;
    }
    watch.end(&scene)
}

/// SYNs of a moment, and how long it is: about 10,000 a second, which a small machine has computing time for. More of them
/// fill every queue in front of the translator, where nobody knows of prefixes.
const MOMENT: (u64, Duration) = (50, Duration::from_millis(5));

/// SYNs from all over the /64 of the flooder, until `over`.
fn flood_with_syns(scene: &Scene, over: &AtomicBool) -> Result<u64> {
    let sender = Sender::new(&scene.hosts[0])?;
    let mut random = fastrand::Rng::with_seed(6146);
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let source = Ipv6Addr::from_bits(SUBNETS[0].to_bits() | u128::from(random.u64(..) | 1 << 63));
        let packet = syn((source, random.u16(1024..)), (nat64_of(SILENT), random.u16(1..)), random.u32(..));
        sent += u64::from(sender.send(&packet));
        if sent % MOMENT.0 == 0 {
            // Not for luck: the pace of the flood.
            std::thread::sleep(MOMENT.1);
        }
    }
    Ok(sent)
}

#[test]
fn a_flood_of_syns_from_one_prefix_locks_nobody_out() -> Result {
    // With a share, and with a table that one prefix may fill.
    for per_prefix in [SESSIONS, 4 * SESSIONS] {
        let scene = Scene::new(&nat64(&format!("{OWN_POOL}, sessions: {}, per_prefix: {per_prefix}", 4 * SESSIONS)))?;
        scene.far.run(&format!("ip route add blackhole {SILENT}/32"))?;
        scene.provider.run(&format!("ip route add {SILENT}/32 via {}", super::scene::PROVIDERS[1]))?;
        let watch = Watch::start(&scene)?;
        let over = AtomicBool::new(false);
        let (sent, met) = std::thread::scope(|scope| {
            let flooding = scope.spawn(|| flood_with_syns(&scene, &over));
            let met = meet_during(&scene);
            over.store(true, Ordering::Relaxed);
            (flooding.join().unwrap(), met)
        });
        let sent = sent?;
        let met = met.map_err(|failure| failure.with("flood", &format!("{sent} SYNs, {per_prefix} per prefix")))?;
        println!("{sent} SYNs; {met} connections of the other prefix meanwhile");
        ensure(sent > 8 * SESSIONS, || format!("only {sent} SYNs were sent"))?;
        let held = status::sessions(scene.core(), NAT64)?;
        ensure(held <= 4 * SESSIONS, || format!("{held} sessions"))?;
        let refused = |core: &_| Ok(status::drops(core, NAT64, QUOTA)? + status::drops(core, NAT64, TABLE_FULL)?);
        scene.counts("a drop", 0, refused)?;
        watch.end(&scene)?;
    }
    Ok(())
}

/// New connections from the other prefix for a while, fewer than it may have sessions; gives how many.
fn meet_during(scene: &Scene) -> Result<u32> {
    let (begun, mut met) = (Instant::now(), 0);
    while begun.elapsed() < FLOOD {
        echo::tcp(&scene.hosts[2], scene.echo_at())?;
        met += 1;
        // Not for luck: what was closed keeps its session for a while.
        std::thread::sleep(FLOOD / 50);
    }
    Ok(met)
}

#[test]
fn a_flood_of_fragments_without_a_beginning_takes_no_memory() -> Result {
    let scene = Scene::new(&nat64(OWN_POOL))?;
    let watch = Watch::start(&scene)?;
    let sender = Sender::new(&scene.hosts[0])?;
    // All of it together would be 24 MB.
    for number in 1..=20_000 {
        sender.send(&later_fragment(scene.host_address(0), nat64_of(SERVER), number));
        if u64::from(number) % MOMENT.0 == 0 {
            std::thread::sleep(MOMENT.1);
        }
    }
    let dropped = |core: &_| FRAGMENTS.iter().map(|reason| status::drops(core, NAT64, reason)).sum();
    scene.counts("a drop", 10_000, dropped)?;
    echo::udp(&scene.hosts[2], scene.echo_at(), 4000)?;
    echo::udp(&scene.hosts[0], scene.echo_at(), 4000)?;
    watch.end(&scene)
}

/// Questions for ever new names from one host, until `over`.
fn flood_with_questions(scene: &Scene, over: &AtomicBool) -> Result<u64> {
    let socket = echo::udp_socket(&scene.hosts[0], dns::at(GATEWAYS[0]))?;
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let name = format!("n{sent}.many.example");
        let id = u16::try_from(sent % 65_536).unwrap();
        sent += u64::from(socket.send(&dns::question(id, &name)).is_ok());
    }
    Ok(sent)
}

#[test]
fn a_flood_of_questions_from_one_host_leaves_the_others_their_answers() -> Result {
    let fields = DNS64.replace("resolvers:", r#"rate: (queries: 100, burst: 200), resolvers:"#);
    let scene = Scene::new(&fields)?;
    let watch = Watch::start(&scene)?;
    let over = AtomicBool::new(false);
    let asked = scene.resolver.asked();
    let begun = Instant::now();
    let (sent, answered) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood_with_questions(&scene, &over));
        let answered = ask_during(&scene);
        over.store(true, Ordering::Relaxed);
        (flooding.join().unwrap(), answered)
    });
    let (sent, seconds) = (sent?, begun.elapsed().as_secs());
    let answered = answered.map_err(|failure| failure.with("flood", &format!("{sent} questions")))?;
    let forwarded = scene.resolver.asked() - asked;
    println!("{sent} questions, {forwarded} to the resolver; {answered} of the other prefix meanwhile");
    // AAAA and A of each that the rate lets through.
    let allowed = 2 * (200 + 100 * (seconds + 1)) + 4 * u64::from(answered);
    ensure(forwarded <= allowed, || format!("{forwarded} questions were passed on, {allowed} allowed"))?;
    scene.counts("limited questions", 0, |core| status::dns64(core, RATE_LIMITED))?;
    watch.end(&scene)
}

/// New names from the other prefix for a while; gives how many were answered, which must be all.
fn ask_during(scene: &Scene) -> Result<u32> {
    let (begun, mut answered) = (Instant::now(), 0);
    while begun.elapsed() < FLOOD {
        let heard = dig(&scene.hosts[2], GATEWAYS[1], &format!("AAAA o{answered}.many.example"))?;
        ensure(heard == [nat64_of(SERVER).to_string()], || format!("{heard:?}"))?;
        answered += 1;
    }
    Ok(answered)
}
