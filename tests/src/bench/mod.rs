//! What the benches share: figures as they are printed, percentiles, the computing time of a process, and for tunnels
//! the relays ([`relay`]) and the traffic ([`traffic`]), for interfaces a large section ([`thousand`]), for the translator
//! its paths and what is sent over them ([`translator`], with [`batch`]), for the firewall its rules ([`firewall`]).
//!
//! A figure is one line on stdout, `name<TAB>value<TAB>unit`; everything else goes to stderr.

pub mod batch;
pub mod firewall;
pub mod relay;
pub mod thousand;
pub mod traffic;
pub mod translator;

use std::time::Duration;

use crate::lab::{Failure, Result};

/// Processes that want to run, on average over the last minute, of a machine that counts as quiet.
const MOST_LOAD: f32 = 0.5;

/// Prints a figure.
pub fn figure(name: &str, value: f64, unit: &str) {
    println!("{name}\t{value:.3}\t{unit}");
}

/// The nearest-rank percentile; zero of nothing.
pub fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle of measured numbers, the lower of two; zero of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Says on stderr what makes figures worthless: no optimisation, or others who compute on this machine.
pub fn warn() {
    if cfg!(debug_assertions) {
        eprintln!("this is no release build: its figures are worth nothing");
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f32 = load.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    if load > MOST_LOAD {
        eprintln!("this machine is busy (load {load}): its figures are worth little");
    }
}

/// In milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// In microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// What all threads of a process have computed so far, in user mode and in the kernel on its behalf. The kernel counts
/// in hundredths of a second; what interrupts do for it is not in it.
///
/// # Errors
/// If it is gone.
pub fn computing_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, which may hold anything, ends with the last bracket; user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(Duration::from_secs(1) * (user + system) / per_second),
        _ => Err(Failure::new(format!("/proc/{pid}/stat is not as expected: {stat}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank_and_medians_the_middle() {
        let mut values: Vec<Duration> = (1..=300).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut values, 50), Duration::from_millis(150));
        assert_eq!(percentile(&mut values, 99), Duration::from_millis(297));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn computing_is_counted() {
        let pid = std::process::id();
        let before = computing_time(pid).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(0);
        }
        assert!(computing_time(pid).unwrap() - before >= Duration::from_millis(20));
    }
}
