//! What `portreeve status firewall … --json` says; every name of it stands here and nowhere else in these tests.

use portreeve_tests::lab::{Failure, Result, Router};
use serde_json::Value;

/// The plugin.
pub const PLUGIN: &str = "firewall";

/// What `portreeve status firewall WORDS --json` prints.
fn asked(core: &Router, words: &[&str]) -> Result<Value> {
    let text = core.command(&[&["status", PLUGIN], words, &["--json"]].concat())?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{words:?}: {error}")).with("text", &text))
}

/// The rows of all tables.
fn rows(status: &Value) -> impl Iterator<Item = &Value> {
    status["tables"]
        .as_object()
        .into_iter()
        .flat_map(|tables| tables.values())
        .flat_map(|t| t.as_array().into_iter().flatten())
}

/// Packets of a counter.
pub fn packets(core: &Router, counter: &str) -> Result<u64> {
    let status = asked(core, &["counters"])?;
    let row = rows(&status).find(|row| row["counter"] == counter);
    let packets = row.and_then(|row| row["packets"].as_str()?.parse().ok());
    packets.ok_or_else(|| Failure::new(format!("no counter {counter}")).with("status", &status.to_string()))
}

/// Whether a set is shown to have an element.
pub fn has_element(core: &Router, set: &str, element: &str) -> Result<bool> {
    let status = asked(core, &["sets", set])?;
    // How long it stays may stand behind it.
    let is_it = |row: &Value| row["element"].as_str().and_then(|text| text.split(' ').next()) == Some(element);
    Ok(rows(&status).any(is_it))
}

/// What becomes of a packet, as `trace` says it.
#[derive(Debug)]
pub struct Verdict {
    /// Such as `dropped, by rule x`.
    pub effect: String,
    /// Line and column of the rule in the section; empty if it is none of its rules.
    pub at: String,
    /// All that is printed.
    pub text: String,
}

/// `portreeve status firewall trace WORDS`.
pub fn trace(core: &Router, words: &str) -> Result<Verdict> {
    let words: Vec<&str> = std::iter::once("trace").chain(words.split_whitespace()).collect();
    let text = core.command(&[&["status", PLUGIN], words.as_slice()].concat())?;
    let status = asked(core, &words)?;
    let row = rows(&status).find(|row| row["chain"] == "verdict").cloned();
    let row = row.ok_or_else(|| Failure::new("trace gives no verdict").with("status", &status.to_string()))?;
    let cell = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    Ok(Verdict { effect: cell("effect"), at: cell("at"), text })
}

/// What `portreeve status --json` has for the plugin.
pub fn plugin(core: &Router) -> Result<Value> {
    let status = core.status_json()?;
    let plugins = status["plugins"].as_array().into_iter().flatten();
    let found = plugins.into_iter().find(|plugin| plugin["name"] == PLUGIN).cloned();
    found.ok_or_else(|| Failure::new("the core knows no firewall").with("status", &status.to_string()))
}

/// Which run of the plugin it is: 1 until it is started anew.
pub fn run(core: &Router) -> Result<u64> {
    let plugin = plugin(core)?;
    plugin["run"].as_u64().ok_or_else(|| Failure::new(format!("no run: {plugin}")))
}

/// Its state: `ready`, `degraded`, `backoff` …
pub fn state(core: &Router) -> Result<String> {
    let plugin = plugin(core)?;
    Ok(plugin["state"].as_str().unwrap_or_default().to_owned())
}
