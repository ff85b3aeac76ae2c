//! What there is to see: `portreeve status translator [INSTANCE | sessions [HOST] | cache]`.

use std::net::Ipv6Addr;

use portreeve_sdk::{Report, Table};

use super::now;
use super::path::offloads;
use super::paths::Path;
use super::shim::Shim;
use crate::Engine;
use crate::flow::Protocol;
use crate::nat64::{Filter, SessionView, Sources};

/// Rows of sessions and of the cache that are shown.
const MAX_ROWS: usize = 1000;
/// Rows of the busiest /64s.
const TOP: usize = 10;

pub fn report(engine: &Engine, shim: &Shim, words: &[String]) -> Result<Report, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words {
        [] => Ok(overview(engine, shim, &|_| true)),
        ["sessions"] => sessions(shim, Filter::default()),
        ["sessions", host] => {
            let (address, length) = host.split_once('/').unwrap_or((host, "128"));
            let address: Ipv6Addr = address.parse().map_err(|_| format!("{host} is no IPv6 address or prefix"))?;
            let length = length.parse().ok().filter(|l| *l <= 128).ok_or(format!("{host} is no IPv6 prefix"))?;
            sessions(shim, Filter { host: Some(Sources { address, length }), ..Filter::default() })
        }
        ["cache"] => cache(shim),
        [name] if engine.status().iter().any(|row| row.name == name) => Ok(overview(engine, shim, &|n| n == name)),
        _ => {
            let rows = engine.status();
            let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            let word = words.join(" ");
            Err(format!("no `{word}` here; there is: sessions [HOST], cache, and the instances {}", names.join(", ")))
        }
    }
}

fn overview(engine: &Engine, shim: &Shim, is_shown: &dyn Fn(&str) -> bool) -> Report {
    let status = engine.status();
    let up = status.iter().filter(|row| row.state == "up").count();
    let all: u32 = shim.paths.each().filter_map(|(_, path)| sessions_of(path)).sum();
    let values = vec![
        ("instances".to_owned(), format!("{up} of {} up", status.len())),
        ("sessions".to_owned(), all.to_string()),
    ];
    let mut instances = Vec::new();
    for row in status.iter().filter(|row| is_shown(&row.name)) {
        let path = shim.paths.each().find(|(name, _)| *name == row.name).map(|(_, path)| path);
        let data = path.map(|path| path.data.borrow());
        let table = data.as_ref().and_then(|data| data.sessions());
        let stats = table.map(crate::nat64::Table::stats);
        let pool = table.map(|table| table.pool_use().map(|used| used.address.to_string()).take(4).collect::<Vec<_>>());
        let device = path.and_then(Path::device);
        instances.push(vec![
            row.name.clone(),
            row.kind.to_owned(),
            row.state.to_owned(),
            row.prefix.map(|prefix| prefix.to_string()).unwrap_or_default(),
            pool.unwrap_or_default().join(" "),
            stats.as_ref().map(|stats| stats.sessions.to_string()).unwrap_or_default(),
            stats.as_ref().map(|stats| stats.bib_entries.to_string()).unwrap_or_default(),
            device.map(|device| offloads(device.offloads())).unwrap_or_default().to_owned(),
            row.last_error.clone().unwrap_or_default(),
        ]);
    }
    let columns = ["instance", "mode", "state", "prefix", "pool", "sessions", "mappings", "offloads", "reason"];
    let mut tables = vec![table("instances", &columns, instances)];
    tables.extend(traffic(shim, is_shown));
    if shim.dns.is_some() {
        tables.extend(resolver(engine, shim));
    }
    Report { values, tables }
}

/// Counters, drops, pools and the busiest hosts of the instances.
fn traffic(shim: &Shim, is_shown: &dyn Fn(&str) -> bool) -> Vec<Table> {
    let (mut packets, mut drops, mut pools, mut top) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, path) in shim.paths.each().filter(|(name, _)| is_shown(name)) {
        path.each(|counter, value| match counter.strip_prefix("drop_") {
            Some(reason) if value > 0 => drops.push(row([&name, &reason, &value])),
            Some(_) => {}
            None => packets.push(row([&name, &counter, &value])),
        });
        let data = path.data.borrow();
        let Some(sessions) = data.sessions() else { continue };
        for used in sessions.pool_use() {
            pools.push(row([&name, &used.address, &(used.tcp + used.udp + used.icmp), &(used.capacity * 3)]));
        }
        for used in sessions.top(TOP) {
            top.push(row([&name, &format!("{}/64", used.prefix), &used.sessions]));
        }
    }
    vec![
        table("packets", &["instance", "counter", "value"], packets),
        table("drops", &["instance", "reason", "packets"], drops),
        table("pools", &["instance", "address", "ports_used", "ports"], pools),
        table("top_users", &["instance", "prefix", "sessions"], top),
    ]
}

fn resolver(engine: &Engine, shim: &Shim) -> Vec<Table> {
    let Some(dns) = &shim.dns else { return Vec::new() };
    let resolver = dns.shared().engine.borrow();
    let mut counters = Vec::new();
    resolver.stats().each(|name, value| counters.push(row([&name, &value])));
    let (entries, bytes) = resolver.cache_size();
    let (clients, questions) = resolver.outstanding();
    for (name, value) in [
        ("cache_entries", entries),
        ("cache_bytes", bytes),
        ("waiting_clients", clients),
        ("waiting_questions", questions),
    ] {
        counters.push(row([&name, &value]));
    }
    let servers = resolver.servers(now()).into_iter().map(|server| {
        let rtt = server.round_trip.map_or_else(String::new, |rtt| format!("{:.3}", rtt.as_secs_f64() * 1000.0));
        let state = if server.available { "up" } else { "down" };
        let failed = server.timeouts + server.errors + server.mismatches;
        row([&server.address, &state, &rtt, &server.queries, &server.answers, &failed])
    });
    let listeners = engine.listeners().into_iter().map(|at| {
        let state = if at.open { "open" } else { "closed" };
        let told = at.advertised.map(|address| address.to_string()).unwrap_or_default();
        row([&at.interface, &at.transport, &at.port, &state, &told, &at.last_error.unwrap_or_default()])
    });
    vec![
        table("dns64", &["counter", "value"], counters),
        table("resolvers", &["resolver", "state", "rtt_ms", "asked", "answered", "failed"], servers.collect()),
        table("listeners", &["interface", "transport", "port", "state", "advertised", "reason"], listeners.collect()),
    ]
}

fn sessions(shim: &Shim, filter: Filter) -> Result<Report, String> {
    let mut rows = Vec::new();
    let mut all = 0;
    for (name, path) in shim.paths.each() {
        let data = path.data.borrow();
        let Some(sessions) = data.sessions() else { continue };
        all += sessions.stats().sessions;
        rows.extend(sessions.sessions(filter, now()).take(MAX_ROWS - rows.len()).map(|view| session(name, &view)));
    }
    let values = vec![("sessions".to_owned(), all.to_string()), ("shown".to_owned(), rows.len().to_string())];
    let columns = ["instance", "protocol", "state", "host", "public", "remote", "static", "expires_s"];
    Ok(Report { values, tables: vec![table("sessions", &columns, rows)] })
}

fn session(instance: &str, view: &SessionView) -> Vec<String> {
    let protocol = match view.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    };
    vec![
        instance.to_owned(),
        protocol.to_owned(),
        view.state.map(|state| state.name()).unwrap_or_default().to_owned(),
        format!("[{}]:{}", view.host.address, view.host.port),
        format!("{}:{}", view.public.address, view.public.port),
        format!("{}:{}", view.remote.address, view.remote.port),
        if view.is_static { "yes" } else { "" }.to_owned(),
        view.remaining.as_secs().to_string(),
    ]
}

fn cache(shim: &Shim) -> Result<Report, String> {
    let Some(dns) = &shim.dns else { return Err("no `dns64` in the section".to_owned()) };
    let resolver = dns.shared().engine.borrow();
    let rows = resolver.cache_rows(MAX_ROWS, now()).into_iter().map(|entry| {
        let synthesis = if entry.synthesis { "yes" } else { "" };
        row([&entry.name, &entry.qtype, &entry.rcode, &entry.answers, &entry.ttl, &synthesis])
    });
    let columns = ["name", "type", "rcode", "answers", "ttl_s", "synthesised"];
    let entries = resolver.cache_size().0;
    Ok(Report {
        values: vec![("entries".to_owned(), entries.to_string())],
        tables: vec![table("cache", &columns, rows.collect())],
    })
}

fn sessions_of(path: &Path) -> Option<u32> {
    path.data.borrow().sessions().map(|sessions| sessions.stats().sessions)
}

fn row<const N: usize>(cells: [&dyn std::fmt::Display; N]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table { title: title.to_owned(), columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows }
}
