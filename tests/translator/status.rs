//! What `portreeve status translator --json` says; every name of it stands here and nowhere else in these tests.

use portreeve_tests::lab::{Failure, Result, Router, ensure};
use serde_json::Value;

/// The plugin.
pub const PLUGIN: &str = "translator";
/// The instance of most scenes.
pub const NAT64: &str = "nat64";

/// Columns of the table `instances`.
pub const STATE: &str = "state";
/// See [`STATE`].
pub const PREFIX: &str = "prefix";
/// See [`STATE`].
pub const SESSIONS: &str = "sessions";
/// See [`STATE`].
pub const OFFLOADS: &str = "offloads";
/// What `state` says of an instance that moves packets.
pub const UP: &str = "up";

/// Reasons of the table `drops`.
pub const NO_MAPPING: &str = "no_mapping";
/// See [`NO_MAPPING`].
pub const FILTERED: &str = "filtered";
/// See [`NO_MAPPING`].
pub const TABLE_FULL: &str = "table_full";
/// See [`NO_MAPPING`].
pub const PORTS_EXHAUSTED: &str = "ports_exhausted";
/// See [`NO_MAPPING`].
pub const QUOTA: &str = "quota";
/// See [`NO_MAPPING`]: a host that is no source.
pub const PROHIBITED: &str = "prohibited";
/// See [`NO_MAPPING`]: a destination that is not translated.
pub const DENIED: &str = "denied";

/// See [`NO_MAPPING`]: there is no room for more fragments, or what they belong to did not come in time.
pub const FRAGMENTS: [&str; 2] = ["fragment_full", "fragment_timeout"];

/// Counter of the table `packets`: what came back in from the side it went to.
pub const HAIRPINNED: &str = "hairpin_packets";
/// Counter of the table `dns64`: questions that were not answered because a client asks too fast.
pub const RATE_LIMITED: &str = "rate_limited";
/// Counters of the table `dns64`: answers that were none to what was asked, and those that cannot be read.
pub const LIES: [&str; 2] = ["upstream_mismatched", "upstream_malformed"];

/// The only cell in this column of the row that has these cells.
fn cell(core: &Router, table: &str, row: &[(&str, &str)], column: &str) -> Result<Option<String>> {
    let rows = core.table(PLUGIN, table)?;
    let is_it = |it: &&Value| row.iter().all(|(column, value)| it[*column] == *value);
    let Some(found) = rows.iter().find(is_it) else { return Ok(None) };
    let text = found[column].as_str().map(str::to_owned);
    text.map(Some).ok_or_else(|| Failure::new(format!("the table {table} has no column {column}: {found}")))
}

fn number(core: &Router, table: &str, row: &[(&str, &str)], column: &str) -> Result<u64> {
    // What has not happened may have no row.
    let Some(text) = cell(core, table, row, column)? else { return Ok(0) };
    text.parse().map_err(|_| Failure::new(format!("no number in {table}, {row:?}, {column}: {text}")))
}

/// A cell of an instance.
pub fn instance(core: &Router, name: &str, column: &str) -> Result<String> {
    let found = cell(core, "instances", &[("instance", name)], column)?;
    found.ok_or_else(|| Failure::new(format!("no instance {name}")))
}

/// How many sessions an instance has.
pub fn sessions(core: &Router, name: &str) -> Result<u64> {
    number(core, "instances", &[("instance", name)], SESSIONS)
}

/// How many packets an instance has dropped for a reason.
pub fn drops(core: &Router, name: &str, reason: &str) -> Result<u64> {
    number(core, "drops", &[("instance", name), ("reason", reason)], "packets")
}

/// A counter of an instance.
pub fn packets(core: &Router, name: &str, counter: &str) -> Result<u64> {
    number(core, "packets", &[("instance", name), ("counter", counter)], "value")
}

/// A counter of the DNS64.
pub fn dns64(core: &Router, counter: &str) -> Result<u64> {
    number(core, "dns64", &[("counter", counter)], "value")
}

/// How many questions a resolver was asked.
pub fn asked(core: &Router, resolver: &str) -> Result<u64> {
    number(core, "resolvers", &[("resolver", resolver)], "asked")
}

/// Ports in use of one address of a pool.
pub fn ports_used(core: &Router, name: &str, address: &str) -> Result<u64> {
    number(core, "pools", &[("instance", name), ("address", address)], "ports_used")
}

/// The sessions of a /64.
pub fn sessions_of(core: &Router, name: &str, prefix: &str) -> Result<u64> {
    number(core, "top_users", &[("instance", name), ("prefix", prefix)], SESSIONS)
}

/// What `portreeve status --json` has for the plugin.
pub fn plugin(core: &Router) -> Result<Value> {
    let status = core.status_json()?;
    let plugins = status["plugins"].as_array().into_iter().flatten();
    let found = plugins.into_iter().find(|plugin| plugin["name"] == PLUGIN).cloned();
    found.ok_or_else(|| Failure::new("the core knows no translator").with("status", &status.to_string()))
}

/// Bytes of memory of the plugin.
pub fn memory(core: &Router) -> Result<u64> {
    let plugin = plugin(core)?;
    plugin["memory_bytes"].as_u64().ok_or_else(|| Failure::new(format!("no memory: {plugin}")))
}

/// Which run of the plugin it is: 1 until it is started anew.
pub fn run(core: &Router) -> Result<u64> {
    let plugin = plugin(core)?;
    plugin["run"].as_u64().ok_or_else(|| Failure::new(format!("no run: {plugin}")))
}

/// It is ready and was never started anew.
pub fn is_untouched(core: &Router) -> Result {
    let plugin = plugin(core)?;
    ensure(plugin["state"] == "ready" && plugin["restarts"] == 0 && plugin["run"] == 1, || {
        format!("the plugin suffered: {plugin}\n{}", core.log())
    })
}
