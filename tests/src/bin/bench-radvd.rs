//! What a host waits for, ours against Debian's radvd, in rounds that take turns so that both meet the same machine.
//!
//! Figures go to stdout as `name<TAB>value<TAB>unit`, progress to stderr. Both daemons advertise the same; each is
//! started anew for every round, ours with a warm compile cache, as on a router that has booted before. Times to the
//! first advertisement count from just before the daemon's process is made. A solicitation is answered by unicast,
//! from 32 sources in turn, so that nobody's rate limit counts; the next is sent when the answer is there.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use portreeve_tests::lab::{Failure, Icmpv6, Lab, Netns, Process, Result, Router, Site, Stage, ensure, veth};

const STARTS: usize = 9;
const ROUNDS: usize = 3;
const SOLICITATIONS_PER_ROUND: usize = 100;
const SOURCES: u16 = 32;
const TRAPS: usize = 10;
const WITHIN: Duration = Duration::from_secs(30);
/// An answer that takes longer is lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const ROUTER_RON: &str = r#"Router(plugins: {"radvd": (config: (interfaces: {"lan0": (
    prefixes: {"2001:db8:60:1::/64": ()}, rdnss: [(servers: ["2001:db8:60:1::1"])])}))})"#;
const RADVD_CONF: &str = "interface lan0 {
    AdvSendAdvert on;
    prefix 2001:db8:60:1::/64 {};
    RDNSS 2001:db8:60:1::1 {};
};
";
const MISFIT_RON: &str = r#"Router(plugins: {"misfit": (config: (mode: TrapOnQuery))})"#;

fn main() -> ExitCode {
    let stage = match std::env::args_os().nth(1) {
        Some(directory) => Stage::at(PathBuf::from(directory)),
        None => Stage::find(),
    };
    match stage.and_then(|stage| bench(&stage)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-radvd: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn bench(stage: &Stage) -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = (lab.netns("router")?, lab.netns("host")?);
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    veth((&router, "lan0", "02:00:5e:10:00:01"), (&host, "eth0", "02:00:5e:10:00:02"))?;
    router.run("ip addr add 2001:db8:60:1::1/64 dev lan0 nodad")?;
    for source in sources() {
        host.run(&format!("ip addr add {source}/64 dev eth0 nodad"))?;
    }
    let site = Site::bare(&lab, stage, ROUTER_RON)?;
    let ours = Daemon::Ours(&site);
    let theirs = Daemon::theirs(&lab)?;

    eprintln!("filling the compile cache");
    ours.start(&router, &host)?.stop()?;
    let (mut our_starts, mut their_starts) = (Vec::new(), Vec::new());
    for number in 1..=STARTS {
        eprintln!("start to first advertisement, {number} of {STARTS}");
        for (daemon, starts) in [(&ours, &mut our_starts), (&theirs, &mut their_starts)] {
            let running = daemon.start(&router, &host)?;
            starts.push(running.to_first_advertisement);
            running.stop()?;
        }
    }
    figure("core.start_to_first_ra_ms", millis(percentile(&mut our_starts, 50)), "ms");
    figure("radvd_debian.start_to_first_ra_ms", millis(percentile(&mut their_starts, 50)), "ms");

    let (mut our_answers, mut their_answers) = (Answers::default(), Answers::default());
    for number in 1..=ROUNDS {
        eprintln!("{SOLICITATIONS_PER_ROUND} solicitations, {number} of {ROUNDS}");
        for (daemon, answers) in [(&ours, &mut our_answers), (&theirs, &mut their_answers)] {
            let running = daemon.start(&router, &host)?;
            answers.ask(&host)?;
            answers.resident_kib = resident_kib(&router)?;
            running.stop()?;
        }
    }
    figure("core.rss_mib", mebibytes(our_answers.resident_kib), "MiB");
    figure("radvd_debian.rss_mib", mebibytes(their_answers.resident_kib), "MiB");
    let ours = our_answers.report("radvd");
    let theirs = their_answers.report("radvd_debian");
    figure("radvd.rs_to_ra_p50_vs_radvd", ours.0 / theirs.0, "ratio");
    figure("radvd.rs_to_ra_p99_vs_radvd", ours.1 / theirs.1, "ratio");

    let misfit = Site::bare(&lab, stage, MISFIT_RON)?;
    let mut traps = Vec::new();
    for number in 1..=TRAPS {
        eprintln!("trap to ready, {number} of {TRAPS}");
        // A core that was just started has no back-off to wait out from the trap before.
        traps.push(trap_to_ready(misfit.start(&router)?)?);
    }
    // The mean, because the log's times are cut to milliseconds.
    let mean = traps.iter().sum::<Duration>() / u32::try_from(traps.len()).unwrap_or(1);
    figure("plugin.trap_to_ready_ms", millis(mean), "ms");
    Ok(())
}

/// One of the two that are compared.
enum Daemon<'a> {
    Ours(&'a Site),
    Theirs(PathBuf),
}

/// A daemon that advertises.
struct Running {
    process: Either,
    to_first_advertisement: Duration,
}

enum Either {
    Ours(Box<Router>),
    Theirs(Process),
}

impl Daemon<'_> {
    fn theirs(lab: &Lab) -> Result<Self> {
        let directory = lab.directory().join("radvd");
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("radvd.conf"), RADVD_CONF)?;
        Ok(Self::Theirs(directory))
    }

    /// Starts it and waits for its first advertisement.
    fn start(&self, router: &Netns, host: &Netns) -> Result<Running> {
        let listener = Icmpv6::listen(host, "eth0")?;
        let (process, started) = match self {
            Self::Ours(site) => {
                let core = site.start(router)?;
                let started = core.started();
                (Either::Ours(Box::new(core)), started)
            }
            Self::Theirs(directory) => {
                let mut command = Command::new("radvd");
                command.args(["-n", "-m", "stderr", "-C"]).arg(directory.join("radvd.conf"));
                command.arg("-p").arg(directory.join("radvd.pid"));
                let radvd = router.spawn(&mut command, &directory.join("log"))?;
                let started = radvd.started();
                (Either::Theirs(radvd), started)
            }
        };
        let heard = listener.expect_advertisement(WITHIN).map_err(|failure| failure.with("log", &process.log()))?;
        ensure(heard.router_lifetime() > 0, || "heard the last advertisement of another round".to_owned())?;
        Ok(Running { process, to_first_advertisement: heard.at.duration_since(started) })
    }
}

impl Running {
    fn stop(self) -> Result {
        match self.process {
            Either::Ours(core) => core.stop(),
            Either::Theirs(radvd) => radvd.stop(WITHIN),
        }
        .map(drop)
    }
}

impl Either {
    fn log(&self) -> String {
        match self {
            Self::Ours(core) => core.log(),
            Self::Theirs(radvd) => radvd.log(),
        }
    }
}

#[derive(Default)]
struct Answers {
    took: Vec<Duration>,
    lost: usize,
    resident_kib: u64,
}

impl Answers {
    /// One round of solicitations.
    fn ask(&mut self, host: &Netns) -> Result {
        let sockets = sources().map(|source| Icmpv6::from(host, "eth0", source)).collect::<Result<Vec<_>>>()?;
        for socket in sockets.iter().cycle().take(SOLICITATIONS_PER_ROUND) {
            // What is too late for one question is no answer to the next.
            socket.drain()?;
            let asked = Instant::now();
            socket.solicit()?;
            match socket.advertisement(ANSWER_WITHIN)? {
                Some(heard) => self.took.push(heard.at.duration_since(asked)),
                None => self.lost += 1,
            }
        }
        Ok(())
    }

    /// Prints; gives the two percentiles.
    fn report(&mut self, name: &str) -> (f64, f64) {
        let (p50, p99) = (millis(percentile(&mut self.took, 50)), millis(percentile(&mut self.took, 99)));
        figure(&format!("{name}.rs_to_ra_p50_ms"), p50, "ms");
        figure(&format!("{name}.rs_to_ra_p99_ms"), p99, "ms");
        let lost = u32::try_from(self.lost).unwrap_or(u32::MAX);
        figure(&format!("{name}.rs_lost"), f64::from(lost), "solicitations");
        (p50, p99)
    }
}

/// Link-local addresses of as many hosts.
fn sources() -> impl Iterator<Item = Ipv6Addr> {
    (1..=SOURCES).map(|number| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x60, number))
}

/// From the end of a plugin by a trap to its next life being ready, by the times in the core's log. Contains
/// whatever back-off the supervisor keeps after a first crash.
fn trap_to_ready(mut core: Router) -> Result<Duration> {
    core.wait_ready("misfit", WITHIN)?;
    let seen = core.log().len();
    // The question that it dies of; there is no answer to it.
    let _ = core.command(&["status", "misfit"]);
    let log = core.log_path();
    let times = core.wait_until("the plugin ends and is ready again", WITHIN, || {
        let text = std::fs::read_to_string(&log).ok()?;
        let mut lines = text.get(seen..)?.lines().filter(|line| line.contains("misfit"));
        let ended = lines.find(|line| line.contains("plugin ended"))?.to_owned();
        let ready = lines.find(|line| line.contains("plugin ready"))?.to_owned();
        Some((ended, ready))
    })?;
    core.stop()?;
    match (time_of_day(&times.0), time_of_day(&times.1)) {
        (Some(ended), Some(ready)) => Ok(until(ended, ready)),
        _ => Err(Failure::new(format!("log lines without a time:\n{}\n{}", times.0, times.1))),
    }
}

/// The time since midnight of a line such as `2026-11-23T10:00:00.123Z INFO …`.
fn time_of_day(line: &str) -> Option<Duration> {
    let (_, time) = line.split_whitespace().next()?.split_once('T')?;
    let mut parts = time.strip_suffix('Z')?.split(':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(hours * 3600 + minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?)
}

/// From one time of day to the next time it is `to`.
fn until(from: Duration, to: Duration) -> Duration {
    let day = Duration::from_secs(86_400);
    if to >= from { to - from } else { to + day - from }
}

/// Memory of all processes of the namespace: radvd keeps a second one for its privileges.
fn resident_kib(netns: &Netns) -> Result<u64> {
    let mut sum = 0;
    for pid in netns.processes() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        sum += line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    }
    ensure(sum > 0, || "no process in the router's namespace".to_owned())?;
    Ok(sum)
}

/// The nearest-rank percentile; zero of nothing.
fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn mebibytes(kibibytes: u64) -> f64 {
    u32::try_from(kibibytes).map_or(f64::MAX, f64::from) / 1024.0
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{name}\t{value:.3}\t{unit}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut values: Vec<Duration> = (1..=300).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut values, 50), Duration::from_millis(150));
        assert_eq!(percentile(&mut values, 99), Duration::from_millis(297));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }

    #[test]
    fn times_of_the_log_are_read_over_midnight() {
        let ended = time_of_day("2026-11-23T23:59:59.950Z WARN core: plugin ended").unwrap();
        let ready = time_of_day("2026-11-24T00:00:00.075Z INFO core: plugin ready").unwrap();
        assert_eq!(until(ended, ready).as_millis(), 125);
        assert!(time_of_day("no time").is_none());
    }
}
