//! The engine's state in words: `portreeve status tunnels [TUNNEL]`.

use std::collections::BTreeMap;

use portreeve_sdk::{Report, Table, network};

use super::paths::Paths;
use crate::Config;
use crate::config::{Kind, PublicKey};
use crate::engine::Row;

/// One tunnel by name, or all.
pub async fn report(config: &Config, status: &[Row], paths: &Paths, words: &[String]) -> Result<Report, String> {
    if let Some(unknown) = words.iter().find(|word| !status.iter().any(|row| row.name == **word)) {
        let names: Vec<&str> = status.iter().map(|row| row.name.as_str()).collect();
        return Err(format!("no tunnel {unknown} here; configured: {}", names.join(", ")));
    }
    let is_shown = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let up = status.iter().filter(|row| row.state == "up").count();
    let rows = status.iter().filter(|row| is_shown(&row.name)).map(row).collect();
    let columns = ["tunnel", "kind", "path", "why", "local", "remote", "state", "mtu", "rtt", "last error"];
    let mut tables = vec![table("tunnels", &columns, rows)];
    if !paths.is_empty() {
        tables.push(packets(paths, &is_shown));
    }
    let keys = public_keys(config, &is_shown).await;
    if !keys.is_empty() {
        tables.push(table("WireGuard keys, for the other ends", &["tunnel", "public key"], keys));
    }
    Ok(Report { values: vec![("up".to_owned(), format!("{up} of {} tunnels", status.len()))], tables })
}

fn row(row: &Row) -> Vec<String> {
    vec![
        row.name.clone(),
        row.kind.to_owned(),
        row.path.to_owned(),
        row.why.clone(),
        row.local.clone(),
        row.remote.clone(),
        row.state.to_owned(),
        row.mtu.to_string(),
        row.rtt.map_or_else(String::new, |rtt| format!("{:.3} ms", rtt.as_secs_f64() * 1000.0)),
        row.last_error.clone().unwrap_or_default(),
    ]
}

/// The public keys of our ends, as `wg` writes them.
async fn public_keys(config: &Config, is_shown: &impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for tunnel in config.tunnels().filter(|tunnel| is_shown(&tunnel.name)) {
        if let Kind::WireGuard(wireguard) = &tunnel.kind {
            let key = match network::public_key(wireguard.key.clone()).await {
                Ok(bytes) => {
                    <[u8; 32]>::try_from(bytes).map_or_else(|_| String::new(), |key| PublicKey(key).to_string())
                }
                Err(code) => format!("cannot be read: {}", code.name()),
            };
            rows.push(vec![tunnel.name.clone(), key]);
        }
    }
    rows
}

/// The counters of the paths that this plugin carries: the four of traffic in columns, of the others those that count.
fn packets(paths: &Paths, is_shown: &impl Fn(&str) -> bool) -> Table {
    let traffic = ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes"];
    let mut rows: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    paths.each(|tunnel, name, value| {
        let (counts, others) = rows.entry(tunnel.to_owned()).or_default();
        if traffic.contains(&name) {
            counts.push(value.to_string());
        } else if value > 0 {
            others.push(format!("{name} {value}"));
        }
    });
    let rows = rows.into_iter().filter(|(tunnel, _)| is_shown(tunnel)).map(|(tunnel, (counts, others))| {
        let mut row = vec![tunnel];
        row.extend(counts);
        row.push(others.join(", "));
        row
    });
    let columns = ["tunnel", "rx packets", "rx bytes", "tx packets", "tx bytes", "others"];
    table("packets of userspace paths", &columns, rows.collect())
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table { title: title.to_owned(), columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows }
}
