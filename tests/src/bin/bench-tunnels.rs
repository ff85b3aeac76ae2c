//! Userspace 6in4: what Portreeve carries and what it costs, beside relays that are no Portreeve.
//!
//! A LAN host, a router and a provider in namespaces, joined by veth; an IPv6 server at the provider behind the tunnel.
//! What is compared is the router's tunnel end, each in a path of its own, in turns:
//!
//! - `sixin4`: the staged Portreeve, all plugins in their sandboxes;
//! - `native`: the minimal native relay, packet by packet (`bench/relay.rs`);
//! - `native_offload`: Portreeve's data path and system calls without the sandbox, for information;
//! - `direct`: routed without any tunnel, for information and as what latency is added to.
//!
//! This kernel need not have sit: the provider's end is the `native_offload` relay in every path. Sender, receiver, both
//! relays and the kernel share all cores of this machine (their number is printed), so a throughput here is that of the
//! whole chain, and the computing time of the router's process says more: it is counted from /proc for the time of the
//! transfer, in user mode and in system calls. What the kernel does in interrupts of its own (routing, software segmentation)
//! is not in it; what a veth does on the way out of a system call, up to the socket of the other end, is, for all alike.
//!
//! - `X_gbit`: payload of one TCP connection for each second, up and down alike: median of rounds, mean of directions.
//! - `X_gbit_per_core`: Gbit carried for each second that the router's process computed.
//! - `sixin4_vs_Y`: throughput, ours divided by theirs; `sixin4_vs_Y_cpu`: computing time per Gbit, ours by theirs.
//! - `X_rtt_*`: round trip of a UDP datagram of 56 bytes, one each millisecond. `latency_added_*` is that percentile less the
//!   direct one: the router's end twice, and the provider's relay twice, as in `native_latency_added_*`.
//! - `idle_cpu_percent`: of one core, the tunnel up and nothing to carry.
//!
//! `bench-tunnels relay plain|offload INTERFACE LOCAL REMOTE` is one of the relays; this program starts itself for them.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use portreeve_tests::bench::traffic::{Direction, round_trips, transfer};
use portreeve_tests::bench::{computing_time, figure, median, micros, percentile, relay, warn};
use portreeve_tests::lab::{Failure, Lab, Netns, Process, Result, Router, Site, Stage, veth, wait_until};

const ROUNDS: usize = 3;
const LASTING: Duration = Duration::from_secs(3);
const TRIPS_PER_ROUND: usize = 1000;
const IDLE: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(30);
/// In the order of the turns.
const ENDS: [End; 4] = [End::Portreeve, End::Plain, End::Offload, End::Direct];
const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
const ROUTER_RON: &str = r#"Router(plugins: {
    "interfaces": (config: (forwarding: (ipv6: true), interfaces: {
        "lan0": (addresses: ["2001:db8:60:1::1/64"]), "wan0": (addresses: ["192.0.2.2/30"])})),
    "tunnels": (config: (tunnels: {"sixbone": (
        kind: SixInFour(remote: "192.0.2.1", local: Address("192.0.2.2"), path: Userspace),
        addresses: ["2001:db8:1::2/127"], routes: [(to: "::/0", via: "2001:db8:1::3")],
        own_prefixes: ["2001:db8:60::/60"])})),
})"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["relay", kind, interface, local, remote] => be_relay(kind, interface, local, remote),
        [] => Stage::find().and_then(|stage| bench(&stage)),
        [directory, ..] => Stage::at(PathBuf::from(directory)).and_then(|stage| bench(&stage)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-tunnels: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn be_relay(kind: &str, interface: &str, local: &str, remote: &str) -> Result {
    let address = |text: &str| text.parse().map_err(|_| Failure::new(format!("{text} is no IPv4 address")));
    let (local, remote) = (address(local)?, address(remote)?);
    match kind {
        "plain" => relay::plain(interface, local, remote).map(drop),
        "offload" => relay::offload(interface, local, remote).map(drop),
        _ => Err(Failure::new(format!("{kind} is no relay"))),
    }
}

fn bench(stage: &Stage) -> Result {
    warn();
    let mut lab = Lab::new()?;
    let mut paths = Vec::new();
    for end in ENDS {
        eprintln!("building the path {}", end.name());
        paths.push(Path::new(&mut lab, stage, end)?);
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    figure("tunnels.cores", f64::from(u32::try_from(cores).unwrap_or(0)), "cores");
    for number in 1..=ROUNDS {
        for path in &mut paths {
            eprintln!("{}, {number} of {ROUNDS}", path.end.name());
            path.measure()?;
        }
    }
    let mut totals = Vec::new();
    for path in &mut paths {
        totals.push(path.report());
    }
    let [ours, plain, offload, direct] = totals.as_slice() else {
        return Err(Failure::new("not as many paths as tunnel ends"));
    };
    for (other, name) in [(plain, "native"), (offload, "native_offload")] {
        figure(&format!("tunnels.sixin4_vs_{name}"), ours.rate / other.rate, "ratio");
        figure(&format!("tunnels.sixin4_vs_{name}_cpu"), ours.cpu_per_gbit / other.cpu_per_gbit, "ratio");
    }
    for (end, name) in [(ours, ""), (plain, "native_"), (offload, "native_offload_")] {
        figure(&format!("tunnels.{name}latency_added_p50_us"), end.p50 - direct.p50, "us");
        figure(&format!("tunnels.{name}latency_added_p99_us"), end.p99 - direct.p99, "us");
    }
    if let Some(pid) = paths.first().and_then(|path| path.pid) {
        eprintln!("idle");
        let (begun, before) = (Instant::now(), computing_time(pid)?);
        // Not for luck: this is the time that is measured.
        std::thread::sleep(IDLE);
        let computed = computing_time(pid)?.saturating_sub(before);
        figure("tunnels.idle_cpu_percent", 100.0 * computed.as_secs_f64() / begun.elapsed().as_secs_f64(), "%");
    }
    Ok(())
}

/// What stands at the router's end of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Portreeve,
    Plain,
    Offload,
    Direct,
}

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Portreeve => "sixin4",
            Self::Plain => "native",
            Self::Offload => "native_offload",
            Self::Direct => "direct",
        }
    }
}

/// Three namespaces in a row, and what was measured from the first to the last.
struct Path {
    end: End,
    host: Netns,
    provider: Netns,
    /// The router's tunnel end.
    pid: Option<u32>,
    up: Vec<f64>,
    down: Vec<f64>,
    gigabits: f64,
    computed: Duration,
    trips: Vec<Duration>,
    lost: usize,
    /// End with the value.
    _core: Option<Router>,
    _relays: Vec<Process>,
}

/// A path in numbers.
struct Total {
    rate: f64,
    cpu_per_gbit: f64,
    p50: f64,
    p99: f64,
}

impl Path {
    fn new(lab: &mut Lab, stage: &Stage, end: End) -> Result<Self> {
        let mut netns = |name: &str| lab.netns(&format!("{}-{name}", end.name()));
        let (host, router, provider) = (netns("host")?, netns("router")?, netns("provider")?);
        veth((&host, "eth0", "02:00:5e:10:00:01"), (&router, "lan0", "02:00:5e:10:00:02"))?;
        veth((&router, "wan0", "02:00:5e:10:00:03"), (&provider, "eth0", "02:00:5e:10:00:04"))?;
        host.run("ip addr add 2001:db8:60:1::2/64 dev eth0 nodad")?;
        host.run("ip route add default via 2001:db8:60:1::1")?;
        provider.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        provider.run(&format!("ip addr add {SERVER}/128 dev lo nodad"))?;
        let (mut core, mut pid, mut relays) = (None, None, Vec::new());
        if end == End::Direct {
            tunnel(&provider, "eth0", 3)?;
        } else {
            provider.run("ip addr add 192.0.2.1/30 dev eth0")?;
            relays.push(start_relay(lab, &provider, "offload", ("192.0.2.1", "192.0.2.2"))?);
            tunnel(&provider, "sixbone", 3)?;
        }
        provider.run("ip route add 2001:db8:60::/60 via 2001:db8:1::2")?;
        if end == End::Portreeve {
            let site = Site::bare(lab, stage, ROUTER_RON)?;
            let mut started = site.start(&router)?;
            started.wait_ready("interfaces", WITHIN)?;
            started.wait_ready("tunnels", WITHIN)?;
            let pids = router.processes();
            pid = pids.first().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
            core = Some(started);
        } else {
            router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
            router.run("ip addr add 2001:db8:60:1::1/64 dev lan0 nodad")?;
            let kind = if end == End::Plain { "plain" } else { "offload" };
            if end == End::Direct {
                tunnel(&router, "wan0", 2)?;
            } else {
                router.run("ip addr add 192.0.2.2/30 dev wan0")?;
                let relay = start_relay(lab, &router, kind, ("192.0.2.2", "192.0.2.1"))?;
                tunnel(&router, "sixbone", 2)?;
                let pids = router.processes();
                pid = pids.first().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
                relays.push(relay);
            }
            router.run("ip route add default via 2001:db8:1::3")?;
        }
        wait_until("the way through the tunnel", WITHIN, || host.run(&format!("ping -6 -c 1 -W 1 {SERVER}")).ok())?;
        Ok(Self {
            end,
            host,
            provider,
            pid,
            up: Vec::new(),
            down: Vec::new(),
            gigabits: 0.0,
            computed: Duration::ZERO,
            trips: Vec::new(),
            lost: 0,
            _core: core,
            _relays: relays,
        })
    }

    /// One round.
    fn measure(&mut self) -> Result {
        for (direction, rates) in [(Direction::Up, &mut self.up), (Direction::Down, &mut self.down)] {
            let mut edges = Vec::new();
            let edge = || {
                edges.push(self.pid.map(computing_time).transpose()?.unwrap_or_default());
                Ok(())
            };
            let done = transfer(&self.host, (&self.provider, SERVER), direction, LASTING, edge)?;
            rates.push(done.rate());
            self.gigabits += done.gigabits();
            if let [before, after] = edges.as_slice() {
                self.computed += after.saturating_sub(*before);
            }
        }
        let (trips, lost) = round_trips(&self.host, (&self.provider, SERVER), TRIPS_PER_ROUND)?;
        self.trips.extend(trips);
        self.lost += lost;
        Ok(())
    }

    /// Prints.
    fn report(&mut self) -> Total {
        let name = self.end.name();
        let (up, down) = (median(&mut self.up), median(&mut self.down));
        let rate = (up + down) / 2.0;
        figure(&format!("tunnels.{name}_gbit"), rate, "Gbit/s");
        figure(&format!("tunnels.{name}_up_gbit"), up, "Gbit/s");
        figure(&format!("tunnels.{name}_down_gbit"), down, "Gbit/s");
        let cpu_per_gbit = self.computed.as_secs_f64() / self.gigabits;
        if self.pid.is_some() {
            figure(&format!("tunnels.{name}_gbit_per_core"), 1.0 / cpu_per_gbit, "Gbit/s");
            figure(&format!("tunnels.{name}_cpu_ms_per_gbit"), cpu_per_gbit * 1e3, "ms");
        }
        let (p50, p99) = (micros(percentile(&mut self.trips, 50)), micros(percentile(&mut self.trips, 99)));
        figure(&format!("tunnels.{name}_rtt_p50_us"), p50, "us");
        figure(&format!("tunnels.{name}_rtt_p99_us"), p99, "us");
        figure(
            &format!("tunnels.{name}_rtt_lost"),
            f64::from(u32::try_from(self.lost).unwrap_or(u32::MAX)),
            "datagrams",
        );
        Total { rate, cpu_per_gbit, p50, p99 }
    }
}

/// A relay of this program in a process of its own; its device is there afterwards.
fn start_relay(lab: &Lab, netns: &Netns, kind: &str, ends: (&str, &str)) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["relay", kind, "sixbone", ends.0, ends.1]);
    let mut relay = netns.spawn(&mut command, &lab.directory().join(format!("{}.log", netns.name())))?;
    relay.wait_until("the relay's device", WITHIN, || netns.run("ip link show dev sixbone").ok())?;
    Ok(relay)
}

/// The network between the two ends of the tunnel on an interface, with our last digit; tunnels get their MTU.
fn tunnel(netns: &Netns, interface: &str, digit: u8) -> Result {
    if interface == "sixbone" {
        netns.run("ip link set sixbone mtu 1480 up")?;
    }
    netns.run(&format!("ip addr add 2001:db8:1::{digit}/127 dev {interface} nodad"))
}
