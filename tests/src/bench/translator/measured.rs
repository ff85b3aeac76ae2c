//! What is measured on each [`Path`] in turns, and how it is printed: TCP, UDP, questions for names.

use std::time::Duration;

use super::asker::{Asker, Names};
use super::authority::Authority;
use super::path::{Path, Way};
use super::{print, udp};
use crate::bench::traffic::{Direction, transfer};
use crate::bench::{computing_time, median, micros, percentile};
use crate::lab::Result;

const TCP_LASTING: Duration = Duration::from_secs(2);
const UDP_LASTING: Duration = Duration::from_secs(1);
const DNS_LASTING: Duration = Duration::from_millis(800);
/// Until every known name has been asked, at the rate below.
const DNS_WARM_UP: Duration = Duration::from_millis(500);
/// Questions for each second where time is taken.
const DNS_RATE: f64 = 4000.0;
/// Who translates, and who forwards.
const BOTH: &[(Way, &str)] = &[(Way::Tayga, "tayga"), (Way::Forwarding, "forwarding")];
/// Who resolves on TAYGA's path.
const UNBOUND: &[(Way, &str)] = &[(Way::Tayga, "unbound")];
const COMPARED: [Compared; 6] = [
    Compared { name: "tcp_up", unit: "Gbit/s", rounds: |m| &mut m.up, others: BOTH },
    Compared { name: "tcp_down", unit: "Gbit/s", rounds: |m| &mut m.down, others: BOTH },
    Compared { name: "udp_gso", unit: "Gbit/s", rounds: |m| &mut m.udp_gso, others: BOTH },
    Compared { name: "udp64", unit: "packet/s", rounds: |m| &mut m.udp64, others: BOTH },
    Compared { name: "dns64_qps", unit: "answer/s", rounds: |m| &mut m.qps, others: UNBOUND },
    Compared { name: "dns64_miss_qps", unit: "answer/s", rounds: |m| &mut m.miss_qps, others: UNBOUND },
];

/// A path, and what was measured on it.
#[derive(Debug)]
pub struct Measured {
    /// The path.
    pub path: Path,
    up: Vec<f64>,
    down: Vec<f64>,
    gigabits: f64,
    computed: Duration,
    udp_gso: Vec<f64>,
    udp64: Vec<f64>,
    qps: Vec<f64>,
    miss_qps: Vec<f64>,
    took: Vec<Duration>,
    miss_took: Vec<Duration>,
    unanswered: usize,
    /// Is there all the time: a resolver that once finds nobody does not ask for a long time.
    _authority: Authority,
}

impl Measured {
    /// Nothing yet.
    ///
    /// # Errors
    /// If the server cannot answer questions for names.
    pub fn new(path: Path) -> Result<Self> {
        let authority = Authority::new(&path.server)?;
        Ok(Self {
            path,
            up: Vec::new(),
            down: Vec::new(),
            gigabits: 0.0,
            computed: Duration::ZERO,
            udp_gso: Vec::new(),
            udp64: Vec::new(),
            qps: Vec::new(),
            miss_qps: Vec::new(),
            took: Vec::new(),
            miss_took: Vec::new(),
            unanswered: 0,
            _authority: authority,
        })
    }

    /// TCP and UDP, one round.
    ///
    /// # Errors
    /// If nothing arrives.
    pub fn traffic(&mut self) -> Result {
        let path = &self.path;
        for (direction, rates) in [(Direction::Up, &mut self.up), (Direction::Down, &mut self.down)] {
            let mut edges = Vec::new();
            let edge = || {
                edges.push(path.pid.map(computing_time).transpose()?.unwrap_or_default());
                Ok(())
            };
            let done = transfer(&path.client, path.far(), direction, TCP_LASTING, edge)?;
            rates.push(done.rate());
            self.gigabits += done.gigabits();
            if let [before, after] = edges.as_slice() {
                self.computed += after.saturating_sub(*before);
            }
        }
        self.udp_gso.push(udp::bulk(&path.client, path.far(), UDP_LASTING)?.rate());
        let small = udp::small(&path.client, path.far(), UDP_LASTING)?;
        self.udp64.push(small.bytes as f64 / udp::SMALL as f64 / small.took.as_secs_f64());
        Ok(())
    }

    /// Questions for names, one round; none if nobody answers them on this path.
    ///
    /// # Errors
    /// If no answer is right.
    pub fn names(&mut self) -> Result {
        if self.path.way == Way::Forwarding {
            return Ok(());
        }
        let asker = || Asker::new(&self.path.client);
        // All names are known after these.
        asker()?.paced(Names::Warm, DNS_RATE, DNS_WARM_UP)?;
        for (names, took) in [(Names::Warm, &mut self.took), (Names::Unique, &mut self.miss_took)] {
            let asked = asker()?.paced(names, DNS_RATE, DNS_LASTING)?;
            took.extend(asked.took);
            self.unanswered += asked.lost;
        }
        self.qps.push(asker()?.saturate(Names::Warm, DNS_LASTING)?);
        self.miss_qps.push(asker()?.saturate(Names::Unique, DNS_LASTING)?);
        Ok(())
    }

    fn cpu_s_per_gb(&self) -> f64 {
        self.computed.as_secs_f64() / (self.gigabits / 8.0)
    }
}

/// A figure of all paths, and with whose ours is compared.
struct Compared {
    name: &'static str,
    unit: &'static str,
    rounds: fn(&mut Measured) -> &mut Vec<f64>,
    others: &'static [(Way, &'static str)],
}

/// Prints what was measured on all paths, and what ours is of theirs.
///
/// # Errors
/// If a process has ended.
pub fn report(paths: &mut [Measured]) -> Result {
    for Compared { name, unit, rounds, others } in COMPARED {
        let mut ours = None;
        for measured in &mut *paths {
            let way = measured.path.way;
            let value = median(rounds(measured));
            let [least, .., most] = rounds(measured).as_slice() else { continue };
            eprintln!("{name} {}: {least:.3} to {most:.3}", way.name());
            let shown = others.iter().find(|other| other.0 == way).map_or(way.name(), |other| other.1);
            print(&format!("{name}_{shown}"), value, unit);
            if way == Way::Portreeve {
                ours = Some(value);
            } else if let Some(ours) = ours {
                print(&format!("{name}_vs_{shown}"), ours / value, "ratio");
            }
        }
    }
    for measured in paths {
        let (resolver, translator) = match measured.path.way {
            Way::Portreeve => ("", ""),
            Way::Tayga => ("unbound_", "tayga_"),
            Way::Forwarding => continue,
        };
        for (what, took) in [("", &mut measured.took), ("miss_", &mut measured.miss_took)] {
            print(&format!("{resolver}dns64_{what}p50_us"), micros(percentile(took, 50)), "us");
            print(&format!("{resolver}dns64_{what}p99_us"), micros(percentile(took, 99)), "us");
        }
        print(&format!("{resolver}dns64_unanswered"), measured.unanswered as f64, "questions");
        print(&format!("{translator}cpu_s_per_gb"), measured.cpu_s_per_gb(), "s");
        print(&format!("{translator}rss_mib"), measured.path.memory()?, "MiB");
    }
    Ok(())
}
