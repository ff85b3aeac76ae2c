//! Status, connections and traces laid out as tables.

use std::fmt::Display;
use std::net::IpAddr;

use portreeve_nftables::conntrack::{Flow, Tuple};

use super::{Count, MAX_ROWS, Report, Set, Status, Table};
use crate::source::Source;
use crate::trace::{self, Packet, Trace};

/// IPS_* bits (linux/netfilter/nf_conntrack_common.h).
const SEEN_REPLY: u32 = 2;
const ASSURED: u32 = 4;
const OFFLOADED: u32 = 1 << 14;
/// TCP_CONNTRACK_* (linux/netfilter/nf_conntrack_tcp.h).
const TCP_STATES: [&str; 10] = [
    "none",
    "syn sent",
    "syn received",
    "established",
    "fin wait",
    "close wait",
    "last ack",
    "time wait",
    "closed",
    "syn sent 2",
];

/// All in short.
#[must_use]
pub fn overview(status: &Status) -> Report {
    let load = &status.load;
    let size = status.size;
    let mut values = vec![
        value("rules", &format!("{} in {} chains", size.rules, size.chains)),
        value("sets", &format!("{} with {} elements", size.sets, size.elements)),
        value("load_time", &load.took.map(|took| format!("{:.3} s", took.as_secs_f64())).unwrap_or_default()),
        value("generation", &load.generation.map(|number| number.to_string()).unwrap_or_default()),
        value("restored", &load.restored),
        value("refused", &load.refused),
        value("guard", &load.guard),
    ];
    values.extend(load.condition.as_ref().map(|reason| value("reason", reason)));
    let zones = status.zones.iter().map(|zone| row([&zone.name, &zone.interfaces.join(" "), &zone.anti_spoofing]));
    let pairs = status.pairs.iter().map(|pair| {
        let by = if pair.by_hook { "default" } else { "policy" };
        with_count(status, &[&pair.from, &pair.to, &pair.policy, &by], pair.counter.as_deref())
    });
    let nat = status
        .nat
        .iter()
        .map(|rule| with_count(status, &[&rule.name, &rule.at, &rule.between, &rule.action], rule.counter.as_deref()));
    let rules = status
        .rules
        .iter()
        .map(|rule| with_count(status, &[&rule.name, &rule.list, &rule.at, &rule.text], rule.counter.as_deref()));
    let linear = status.linear.iter().map(|run| row([&run.chain, &run.rules, &run.at, &run.text]));
    let tables = vec![
        table("zones", &["zone", "interfaces", "anti_spoofing"], zones),
        table("pairs", &["from", "to", "policy", "by", "packets", "bytes"], pairs),
        set_table(status),
        table("nat", &["rule", "at", "between", "action", "packets", "bytes"], nat),
        table("rules", &["rule", "list", "at", "text", "packets", "bytes"], rules),
        table("linear", &["chain", "rules", "at", "first"], linear),
    ];
    // Zones are always there; of the others only what has rows.
    let is_shown = |table: &Table| table.title == "zones" || !table.rows.is_empty();
    Report { values, tables: tables.into_iter().filter(is_shown).collect() }
}

/// Every counter of the rules in force.
#[must_use]
pub fn counters(status: &Status) -> Report {
    let counted: Vec<(&String, Count)> =
        status.counter_names.iter().map(|name| (name, status.counts.get(name).copied().unwrap_or_default())).collect();
    let rows = counted.iter().map(|(name, count)| row([name, &count.packets, &count.bytes]));
    Report {
        values: vec![value("counters", &counted.len())],
        tables: vec![table("counters", &["counter", "packets", "bytes"], rows)],
    }
}

/// The sets, or with `contents` one of them: its name and its elements in words.
///
/// # Errors
/// Names what there is if there is no such set.
pub fn sets(status: &Status, contents: Option<(&str, &[String])>) -> Result<Report, String> {
    let Some((name, elements)) = contents else {
        return Ok(Report { values: vec![value("sets", &status.sets.len())], tables: vec![set_table(status)] });
    };
    let Some(set) = status.sets.iter().find(|set| set.name == name) else {
        let known: Vec<&str> = status.sets.iter().map(|set| set.name.as_str()).collect();
        return Err(match known.as_slice() {
            [] => format!("no set `{name}`: the section has none"),
            known => format!("no set `{name}`; there is: {}", known.join(", ")),
        });
    };
    let rows = elements.iter().map(|element| row([element]));
    let values = vec![
        value("set", &set.name),
        value("kind", &set.kind),
        value("elements", &elements.len()),
        value("shown", &elements.len().min(MAX_ROWS)),
    ];
    Ok(Report { values, tables: vec![table("elements", &["element"], rows)] })
}

fn set_table(status: &Status) -> Table {
    let rows = status.sets.iter().map(|set| {
        let kind = if set.dynamic { format!("{}, dynamic", set.kind) } else { set.kind.to_owned() };
        let timeout = set.timeout.map(|timeout| timeout.as_secs().to_string()).unwrap_or_default();
        let size = if set.dynamic { set.size.to_string() } else { String::new() };
        row([&set.name, &kind, &elements_of(status, set), &size, &timeout])
    });
    table("sets", &["set", "kind", "elements", "size", "timeout_s"], rows)
}

/// As the kernel has them now, else as compiled.
fn elements_of(status: &Status, set: &Set) -> u64 {
    set.parts.iter().map(|(name, compiled)| status.elements.get(name).copied().unwrap_or(*compiled)).sum()
}

/// Connections that the kernel tracks, or those of one address.
#[must_use]
pub fn connections(flows: &[Flow], of: Option<IpAddr>) -> Report {
    let is_of = |tuple: &Tuple| of.is_none_or(|address| tuple.source == address || tuple.destination == address);
    let chosen: Vec<&Flow> = flows.iter().filter(|flow| is_of(&flow.original) || is_of(&flow.reply)).collect();
    let rows = chosen.iter().map(|flow| {
        let counters = [flow.original_counter.as_ref(), flow.reply_counter.as_ref()];
        let sum = |of: fn(&portreeve_nftables::conntrack::Counter) -> u64| {
            if counters.iter().all(Option::is_none) {
                return String::new();
            }
            counters.iter().flatten().fold(0_u64, |sum, counter| sum.saturating_add(of(counter))).to_string()
        };
        row([
            &protocol(flow.protocol),
            &state(flow),
            &end(flow.original.source, flow.original.ports.map(|ports| ports.0)),
            &end(flow.original.destination, flow.original.ports.map(|ports| ports.1)),
            &translated(flow),
            &mark(flow.mark),
            &sum(|counter| counter.packets),
            &sum(|counter| counter.bytes),
            &flow.timeout.map(|seconds| seconds.to_string()).unwrap_or_default(),
        ])
    });
    let columns = ["protocol", "state", "source", "destination", "translated", "mark", "packets", "bytes", "expires_s"];
    let values = vec![value("connections", &chosen.len()), value("shown", &chosen.len().min(MAX_ROWS))];
    Report { values, tables: vec![table("connections", &columns, rows)] }
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

fn state(flow: &Flow) -> String {
    let known = flow.tcp_state.and_then(|state| TCP_STATES.get(usize::from(state)).copied());
    let state = match (known, flow.status) {
        (_, bits) if bits & OFFLOADED != 0 => "offloaded",
        (Some(state), _) => state,
        (None, bits) if bits & ASSURED != 0 => "assured",
        (None, bits) if bits & SEEN_REPLY != 0 => "answered",
        _ => "unanswered",
    };
    state.to_owned()
}

/// What the addresses became, by what answers are sent to and come from.
fn translated(flow: &Flow) -> String {
    let mut parts = Vec::new();
    let ports = |tuple: &Tuple| (tuple.ports.map(|ports| ports.0), tuple.ports.map(|ports| ports.1));
    let ((source_port, destination_port), (from_port, to_port)) = (ports(&flow.original), ports(&flow.reply));
    if (flow.reply.destination, to_port) != (flow.original.source, source_port) {
        parts.push(format!("source {}", end(flow.reply.destination, to_port)));
    }
    if (flow.reply.source, from_port) != (flow.original.destination, destination_port) {
        parts.push(format!("destination {}", end(flow.reply.source, from_port)));
    }
    parts.join(", ")
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    match port {
        None => address.to_string(),
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
    }
}

fn mark(mark: u32) -> String {
    if mark == 0 { String::new() } else { format!("{mark:#x}") }
}

/// What became of packets, what was taken for granted, and which rules of the section were passed by.
#[must_use]
pub fn traced(packets: &[Packet], traces: &[Trace], assumed: &[String], section: Source<'_>) -> Report {
    let mut report = Report::default();
    let is_v4 = |packet: &Packet| packet.source.is_ipv4();
    let both = packets.iter().any(is_v4) && !packets.iter().all(is_v4);
    for (packet, found) in packets.iter().zip(traces) {
        let called = |name: &str| match (both, is_v4(packet)) {
            (false, _) => name.to_owned(),
            (true, true) => format!("{name}_ipv4"),
            (true, false) => format!("{name}_ipv6"),
        };
        report.values.push(value(&called("verdict"), &trace::outcome(found.verdict)));
        report.tables.push(table(&called("steps"), &trace::COLUMNS, trace::report(found, section).into_iter()));
        let missed = trace::missed(found, section);
        if !missed.is_empty() {
            report.tables.push(table(&called("passed_by"), &trace::COLUMNS, missed.into_iter()));
        }
    }
    if !assumed.is_empty() {
        report.values.push(value("assumed", &assumed.join(" ")));
    }
    report
}

fn with_count(status: &Status, cells: &[&dyn Display], counter: Option<&str>) -> Vec<String> {
    let mut row: Vec<String> = cells.iter().map(ToString::to_string).collect();
    match counter {
        None => row.extend([String::new(), String::new()]),
        Some(name) => {
            let count = status.counts.get(name).copied().unwrap_or_default();
            row.extend([count.packets.to_string(), count.bytes.to_string()]);
        }
    }
    row
}

fn value(name: &str, value: &dyn Display) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn row<const N: usize>(cells: [&dyn Display; N]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

/// At most [`MAX_ROWS`], the last one then says that there are more.
fn table(title: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut rows: Vec<Vec<String>> = rows.take(MAX_ROWS + 1).collect();
    if rows.len() > MAX_ROWS
        && let Some(last) = rows.last_mut()
    {
        for (at, cell) in last.iter_mut().enumerate() {
            *cell = if at == 0 { "…".to_owned() } else { String::new() };
        }
    }
    Table { title: title.to_owned(), columns: columns.iter().map(|column| (*column).to_owned()).collect(), rows }
}
