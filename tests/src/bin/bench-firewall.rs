//! The firewall: how long large policies take to load beside `nft -f`, what a packet costs behind them, and what a reload
//! costs and loses.
//!
//! A core with the plugin and `nft` stand in network namespaces of their own and load in turns; all medians are of five
//! rounds, costs of packets of nine. Behind the stage's directory one part may be named: loads, memory, packets, swaps.
//!
//! | figures | what |
//! |---|---|
//! | `load_10k_linear*` | 10,000 rules of an IPv6 network of 64 bits and a TCP port |
//! | `load_10k_foldable*` | 10,000 rules of an IPv6 address and a TCP port, nft's as rules |
//! | `load_10k_map_vs_nft_map` | the same, nft's as one map |
//! | `load_100k_elements*`, `load_100k_intervals*` | a set of so many addresses or disjoint ranges, ours from a file |
//! | `*_vs_nft` | our `load_ms` by the time of `nft -f`: ratios of the medians |
//! | `*_ms`, `*_nft_ms`, `*_wall_ms` | our load, nft's, and ours from the signal to the core's word that it is done |
//! | `*_parse_ms` … `*_commit_ms` | parts of our load |
//! | `packet_10k_vs_empty` | a packet through the forward path with the foldable policy, by one with an empty chain |
//! | `swap_ms` | commit of a gateway's policy after a small change, median of 100 reloads |
//! | `swap_lost`, `swap_lost_control` | lost of 300,000 packets through 1,000 reloads that change rules, sets and maps; with a flush before each |
//! | `plugin_peak_memory_mib`, `core_peak_memory_mib` | after the 100,000 addresses were loaded |

use std::path::PathBuf;
use std::process::ExitCode;

use portreeve_tests::bench::firewall::load::{Loaded, Nft, Ours, alternate};
use portreeve_tests::bench::firewall::packets::Way;
use portreeve_tests::bench::firewall::print;
use portreeve_tests::bench::firewall::rulesets::{Case, gateway, moving, nft_empty, nft_map, nothing};
use portreeve_tests::bench::firewall::swap::{Carried, Control, Path};
use portreeve_tests::bench::{median, warn};
use portreeve_tests::lab::{Failure, Lab, Result, Stage};

const ROUNDS: usize = 5;
const COST_ROUNDS: usize = 9;
/// Packets of each round.
const COST_PACKETS: usize = 40_000;
const MEASURED_SWAPS: u64 = 100;
const SWAPS: u64 = 1000;
const PACKETS: u64 = 300_000;
const CONTROL_SWAPS: u64 = 200;

fn main() -> ExitCode {
    let stage = match std::env::args().nth(1) {
        Some(directory) => Stage::at(PathBuf::from(directory)),
        None => Stage::find(),
    };
    match stage.and_then(|stage| bench(&stage, std::env::args().nth(2).as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-firewall: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// All of it, or this part.
fn bench(stage: &Stage, part: Option<&str>) -> Result {
    warn();
    type Part = fn(&Stage) -> Result;
    let parts: [(&str, Part); 4] = [("loads", loads), ("memory", memory), ("packets", packets), ("swaps", swaps)];
    if let Some(unknown) = part.filter(|part| parts.iter().all(|(name, _)| name != part)) {
        return Err(Failure::new(format!("no part `{unknown}`; there are loads, memory, packets, swaps")));
    }
    parts.iter().filter(|(name, _)| part.is_none_or(|part| part == *name)).try_for_each(|(_, run)| run(stage))
}

fn loads(stage: &Stage) -> Result {
    let mut lab = Lab::new()?;
    let (mine, theirs) = (lab.netns("ours")?, lab.netns("nft")?);
    let mut ours = Ours::start(&lab, stage, &mine, &nothing())?;
    let nft = Nft::new(&lab, &theirs);
    for case in Case::ALL {
        let mut files = vec![(case.name(), case.nft())];
        if case == Case::Foldable {
            files.push(("map", nft_map()));
        }
        let (loads, theirs) = alternate(case, &mut ours, &nft, &files, ROUNDS)?;
        let middle = |part: fn(&Loaded) -> f64| median(&mut loads.iter().map(part).collect::<Vec<_>>());
        let (load, name) = (middle(|loaded| loaded.load), case.name());
        let mut theirs: Vec<f64> = theirs.into_iter().map(|mut times| median(&mut times)).collect();
        print(&format!("{name}_vs_nft"), load / theirs[0], "ratio");
        print(&format!("{name}_ms"), load, "ms");
        print(&format!("{name}_nft_ms"), theirs[0], "ms");
        print(&format!("{name}_parse_ms"), middle(|loaded| loaded.parse), "ms");
        print(&format!("{name}_compile_ms"), middle(|loaded| loaded.compile), "ms");
        print(&format!("{name}_encode_ms"), middle(|loaded| loaded.encode), "ms");
        print(&format!("{name}_commit_ms"), middle(|loaded| loaded.commit), "ms");
        print(&format!("{name}_wall_ms"), middle(|loaded| loaded.wall), "ms");
        if let Some(map) = theirs.pop().filter(|_| case == Case::Foldable) {
            print("load_10k_map_vs_nft_map", load / map, "ratio");
            print("load_10k_map_nft_ms", map, "ms");
        }
    }
    Ok(())
}

/// Of a core that has loaded nothing else.
fn memory(stage: &Stage) -> Result {
    eprintln!("memory");
    let mut lab = Lab::new()?;
    let netns = lab.netns("memory")?;
    let mut ours = Ours::start(&lab, stage, &netns, &nothing())?;
    let path = ours.site.path("elements");
    std::fs::write(&path, Case::Elements.file())?;
    ours.load(&Case::Elements.section(&path.to_string_lossy()))?;
    let (plugin, core) = ours.memory()?;
    print("plugin_peak_memory_mib", plugin, "MiB");
    print("core_peak_memory_mib", core, "MiB");
    Ok(())
}

fn packets(stage: &Stage) -> Result {
    let mut lab = Lab::new()?;
    let ways = [Way::new(Path::new(&mut lab, "ours")?)?, Way::new(Path::new(&mut lab, "empty")?)?];
    let _ours = Ours::start(&lab, stage, &ways[0].path.router, &Case::Foldable.section(""))?;
    let nft = Nft::new(&lab, &ways[1].path.router);
    nft.write("empty", &nft_empty())?;
    nft.load("empty")?;
    let mut costs = [Vec::new(), Vec::new()];
    eprintln!("{COST_ROUNDS} rounds of packets");
    for _ in 0..COST_ROUNDS {
        for (way, costs) in ways.iter().zip(&mut costs) {
            costs.push(way.cost(COST_PACKETS)?);
        }
    }
    let [ours, empty] = costs.each_mut().map(|costs| median(costs));
    print("packet_10k_vs_empty", ours / empty, "ratio");
    print("packet_10k_ns", ours, "ns");
    print("packet_empty_ns", empty, "ns");
    Ok(())
}

fn swaps(stage: &Stage) -> Result {
    let mut lab = Lab::new()?;
    let path = Path::new(&mut lab, "swap")?;
    let port = |number: u64| if number.is_multiple_of(2) { 8080 } else { 8081 };
    let mut ours = Ours::start(&lab, stage, &path.router, &gateway(port(1)))?;
    eprintln!("{MEASURED_SWAPS} reloads");
    let mut commits = Vec::new();
    for number in 0..MEASURED_SWAPS {
        commits.push(ours.load(&gateway(port(number)))?.commit);
    }
    print("swap_ms", median(&mut commits), "ms");
    eprintln!("{PACKETS} packets through {SWAPS} reloads");
    ours.load(&moving(1))?;
    let carried = path.carry(PACKETS, SWAPS, |number| ours.replace(&moving(number)).map(drop))?;
    told("swap_lost", carried);
    ours.core.stop()?;
    eprintln!("the same in two transactions");
    let control = Control::new(&path.router)?;
    let carried = path.carry(CONTROL_SWAPS * 10, CONTROL_SWAPS, |number| control.swap(number))?;
    told("swap_lost_control", carried);
    Ok(())
}

fn told(name: &str, carried: Carried) {
    eprintln!("{name}: {carried:?}");
    print(name, carried.lost() as f64, "packets");
    print(&format!("{name}_of"), carried.sent as f64, "packets");
}
