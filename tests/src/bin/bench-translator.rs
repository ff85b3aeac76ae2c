//! The translator: what Portreeve's NAT64 and DNS64 carry and cost, beside Debian's TAYGA and unbound and beside plain
//! forwarding of IPv6.
//!
//! A client with IPv6 only, a router and a server in namespaces, joined by veth with an MTU of 1500; one such path for each
//! of `portreeve`, `tayga` and `forwarding`, measured in turns. Sender, receiver, translator and kernel share all cores of this
//! machine (their number is printed), so a throughput here is that of the whole chain. Computing time is that of the
//! process that translates, user mode and system calls of all its threads, from /proc; what the kernel does for it in
//! interrupts is not in it, what a veth does at the end of its system calls is. All medians are of five rounds.
//!
//! | figures | what |
//! |---|---|
//! | `tcp_up_*`, `tcp_down_*` | payload of one TCP connection, from or to the client; ratios of the medians |
//! | `cpu_s_per_gb`, `tayga_cpu_s_per_gb` | computing time for 10^9 bytes of those |
//! | `udp_gso_*` | payload of datagrams of 1400 bytes, sent 45 at a time (`UDP_SEGMENT`), that arrives |
//! | `udp64_*` | datagrams of 64 bytes that arrive, of a sender that sends as many as it can |
//! | `guest_ns_per_packet_20k` | time in the plugin's engine for each packet, with 20,000 flows in turn, by its own clock, which also runs while others have its core |
//! | `new_sessions_*` | RFC 9693 section 4.5: new flows for each second of which none is lost, by bisection; see below |
//! | `sessions_1mi`, `answered_1mi` | flows that have a session when 2^20 have asked, and those that an answer comes through to |
//! | `bytes_per_session` | memory of the plugin's tables for each of these, each with a mapping of its own |
//! | `dns64_qps_*`, `dns64_miss_qps_*` | right answers for each second to 256 questions under way, of known and of new names |
//! | `dns64_*p50_us`, `dns64_*p99_us` | time until the answer at 4,000 questions for each second |
//! | `rss_mib`, `rss_1mi_mib` | memory of the whole core after the traffic, and with 2^20 sessions |
//!
//! `bench-translator STAGE tayga forwarding` measures only these paths, so nothing of ours.
//!
//! RFC 9693 wants a bisection to be repeated; here are five for 2^16 flows. For 2^20 flows, of which one attempt takes many
//! seconds, the rate of 2^16 is tried, and 0.8, 0.6 and 0.4 of it; the figure is 0 if some are lost each time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portreeve_tests::bench::translator::flows::Initiator;
use portreeve_tests::bench::translator::measured::{Measured, report};
use portreeve_tests::bench::translator::path::{Path, Settings, Way};
use portreeve_tests::bench::translator::print;
use portreeve_tests::bench::translator::responder::Responder;
use portreeve_tests::bench::{median, warn};
use portreeve_tests::lab::{Failure, Lab, Result, Stage};

const ROUNDS: usize = 5;
const FLOWS_LASTING: Duration = Duration::from_secs(2);
/// Flows that take turns where the engine's time is counted.
const FLOWS: u32 = 20_000;
/// For each second, when flows are only to be there.
const GENTLE: f64 = 30_000.0;
const SMALL_TABLE: u32 = 1 << 16;
const LARGE_TABLE: u32 = 1 << 20;
/// Between which rates the bisection looks, and in how many steps.
const RATES: (f64, f64) = (10_000.0, 330_000.0);
const STEPS: u32 = 6;
/// The rates that are tried for 2^20 flows, as parts of that for 2^16.
const PARTS: [f64; 4] = [1.0, 0.8, 0.6, 0.4];
/// So many flows are sent before a look at how many came; and if more than so many are lost, the rest is not sent.
const PART: u32 = 1 << 14;
const MANY_LOST: u32 = 1 << 13;
/// What is lost is sent again so often.
const REPEATS: usize = 5;
/// A datagram that is not there when nothing has come for so long is lost.
const QUIET: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let stage = match arguments.next() {
        Some(directory) => Stage::at(PathBuf::from(directory)),
        None => Stage::find(),
    };
    let only: Vec<String> = arguments.collect();
    let wanted = |way: &Way| only.is_empty() || only.iter().any(|name| name == way.name());
    let ways: Vec<Way> = Way::ALL.into_iter().filter(wanted).collect();
    match stage.and_then(|stage| bench(&stage, &ways)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-translator: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn bench(stage: &Stage, ways: &[Way]) -> Result {
    warn();
    let mut lab = Lab::new()?;
    let begin = Settings { sessions: SMALL_TABLE, second_pool: false };
    let mut paths = Vec::new();
    for way in ways {
        eprintln!("building the path {}", way.name());
        paths.push(Measured::new(Path::new(&mut lab, stage, *way, begin)?)?);
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    print("cores", f64::from(u32::try_from(cores).unwrap_or(0)), "cores");
    for number in 1..=ROUNDS {
        for measured in &mut paths {
            eprintln!("{}: TCP, UDP, names: {number} of {ROUNDS}", measured.path.way.name());
            measured.traffic()?;
            measured.names()?;
        }
    }
    report(&mut paths)?;
    let Some(ours) = paths.iter_mut().find(|measured| measured.path.way == Way::Portreeve) else { return Ok(()) };
    engine_time(&mut ours.path)?;
    many_sessions(&mut ours.path)
}

/// What a packet costs in the engine when each of many flows has its turn.
fn engine_time(path: &mut Path) -> Result {
    eprintln!("{FLOWS} flows in turn");
    path.clear(SMALL_TABLE)?;
    let (mut initiator, responder) = (Initiator::new(&path.client)?, Responder::new(&path.server)?);
    responder.begin(0, FLOWS);
    initiator.send((FLOWS, 0..FLOWS), 0, Some(GENTLE), |_| true)?;
    responder.settle(QUIET)?;
    let (mut costs, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let count = || Ok::<_, Failure>((path.counter("engine_ns")?, path.counter("engine_packets")?));
        let (before, arrived, begun) = (count()?, responder.datagrams(), Instant::now());
        while begun.elapsed() < FLOWS_LASTING {
            initiator.send((FLOWS, 0..FLOWS), 0, None, |_| true)?;
        }
        let took = begun.elapsed();
        // Not for luck: what is under way arrives.
        std::thread::sleep(QUIET);
        let after = count()?;
        costs.push((after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64);
        rates.push((responder.datagrams() - arrived) as f64 / took.as_secs_f64());
    }
    print("guest_ns_per_packet_20k", median(&mut costs), "ns");
    print("udp_20k_flows", median(&mut rates), "packet/s");
    Ok(())
}

/// RFC 9693.
fn many_sessions(path: &mut Path) -> Result {
    let mut trials =
        Trials { initiator: Initiator::new(&path.client)?, responder: Responder::new(&path.server)?, trial: 0 };
    let mut found = Vec::new();
    for number in 1..=ROUNDS {
        eprintln!("new sessions, {SMALL_TABLE}: {number} of {ROUNDS}");
        let ((mut good, mut bad), mut best) = (RATES, 0.0);
        for _ in 0..STEPS {
            let rate = f64::midpoint(good, bad);
            path.clear(SMALL_TABLE)?;
            match trials.fill(SMALL_TABLE, rate)? {
                Some(reached) => (good, best) = (rate, reached),
                None => bad = rate,
            }
        }
        found.push(best);
    }
    let small = median(&mut found).max(RATES.0);
    print("new_sessions_64ki", median(&mut found), "session/s");
    path.configure(Settings { sessions: LARGE_TABLE, second_pool: false })?;
    let mut lossless = None;
    for rate in PARTS.map(|part| small * part) {
        eprintln!("new sessions, {LARGE_TABLE}, at {rate:.0}/s");
        path.clear(LARGE_TABLE)?;
        lossless = trials.fill(LARGE_TABLE, rate)?;
        if lossless.is_some() {
            break;
        }
    }
    print("new_sessions_1mi", lossless.unwrap_or(0.0), "session/s");
    // What the last attempt lost or did not send has no session yet.
    trials.complete(LARGE_TABLE, small / 2.0)?;
    let sessions = path.sessions()?;
    print("sessions_1mi", sessions as f64, "sessions");
    print("bytes_per_session", path.counter("table_bytes")? as f64 / sessions.max(1) as f64, "byte");
    print("rss_1mi_mib", path.memory()?, "MiB");
    let before = path.came_to_client()?;
    trials.responder.answer(small / 2.0)?;
    // Not for luck: what is under way arrives.
    std::thread::sleep(QUIET);
    print("answered_1mi", (path.came_to_client()? - before).min(sessions) as f64, "sessions");
    Ok(())
}

/// Fills tables, each time with new bytes in the datagrams.
struct Trials {
    initiator: Initiator,
    responder: Responder,
    trial: u32,
}

impl Trials {
    /// Sends one datagram of each flow; gives the rate, or nothing if some were lost. Ends early if many are.
    fn fill(&mut self, flows: u32, rate: f64) -> Result<Option<f64>> {
        self.trial += 1;
        self.responder.begin(self.trial, flows);
        let (begun, mut sent) = (Instant::now(), 0);
        while sent < flows && self.responder.distinct() + MANY_LOST >= sent {
            let turns = sent..flows.min(sent + PART);
            sent = turns.end;
            self.initiator.send((flows, turns), self.trial, Some(rate), |_| true)?;
        }
        let took = begun.elapsed();
        let came = self.responder.settle(QUIET)?;
        eprintln!("{came} of {sent} came at {rate:.0}/s");
        Ok((came == flows).then(|| f64::from(flows) / took.as_secs_f64()))
    }

    /// Sends what did not come, until all are there, or some are lost again and again.
    fn complete(&mut self, flows: u32, rate: f64) -> Result {
        for _ in 0..REPEATS {
            let missing = self.responder.missing();
            let wanted = |flow: u32| missing.get(flow as usize).copied().unwrap_or(false);
            self.initiator.send((flows, 0..flows), self.trial, Some(rate), wanted)?;
            if self.responder.settle(QUIET)? == flows {
                break;
            }
        }
        Ok(())
    }
}
