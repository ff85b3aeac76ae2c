//! The engine's state in words: `portreeve status interfaces [INTERFACE]`.

use portreeve_sdk::config::duration;
use portreeve_sdk::{Report, Table};

use crate::Instant;
use crate::engine::{InterfaceState, InterfaceStatus, PoolStatus, Problem, Status};

/// One interface by name, or all.
pub fn report(status: &Status, words: &[String], now: Instant) -> Result<Report, String> {
    if let Some(unknown) = words.iter().find(|word| !status.interfaces.iter().any(|i| i.name == **word)) {
        let names: Vec<&str> = status.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        return Err(format!("no interface {unknown} here; configured: {}", names.join(", ")));
    }
    let shown = status.interfaces.iter().filter(|i| words.is_empty() || words.contains(&i.name));
    let up = status.interfaces.iter().filter(|i| i.state == InterfaceState::Up).count();
    let mut tables = vec![table(
        "interfaces",
        &["interface", "kind", "state", "addresses", "subnets"],
        shown.map(interface).collect(),
    )];
    if words.is_empty() {
        if !status.pools.is_empty() {
            let columns = ["pool", "prefix", "valid for", "used", "free /64s", "retired"];
            tables.push(table("pools", &columns, status.pools.iter().map(|p| pool(p, now)).collect()));
        }
        if !status.problems.is_empty() {
            tables.push(table("problems", &["what", "why"], status.problems.iter().map(problem).collect()));
        }
    }
    Ok(Report { values: vec![("up".to_owned(), format!("{up} of {} interfaces", status.interfaces.len()))], tables })
}

fn interface(interface: &InterfaceStatus) -> Vec<String> {
    let state = match interface.state {
        InterfaceState::Waiting => "waiting",
        InterfaceState::Absent => "absent",
        InterfaceState::Down => "down",
        InterfaceState::NoCarrier => "no carrier",
        InterfaceState::Duplicate => "duplicate address",
        InterfaceState::Tentative => "checking addresses",
        InterfaceState::Up => "up",
    };
    let subnet = |(pool, number, prefix): &(String, u64, Option<portreeve_network::Prefix>)| {
        let prefix = prefix.map_or_else(|| "not delegated".to_owned(), |prefix| prefix.to_string());
        format!("{pool}/{number}: {prefix}")
    };
    vec![
        interface.name.clone(),
        interface.kind.clone(),
        state.to_owned(),
        join(interface.addresses.iter().map(ToString::to_string)),
        join(interface.subnets.iter().map(subnet)),
    ]
}

fn pool(pool: &PoolStatus, now: Instant) -> Vec<String> {
    vec![
        pool.name.clone(),
        pool.prefix.map_or_else(|| "waiting".to_owned(), |prefix| prefix.to_string()),
        pool.valid_until.map_or_else(|| "ever".to_owned(), |at| duration::format(whole(at.since(now)))),
        pool.used.to_string(),
        pool.free.to_string(),
        join(pool.retired.iter().map(ToString::to_string)),
    ]
}

fn problem(problem: &Problem) -> Vec<String> {
    vec![problem.object.clone(), problem.message.clone()]
}

fn whole(duration: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_secs(duration.as_secs())
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table { title: title.to_owned(), columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows }
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
