//! `portreeve status|logs|metrics`: ask the running core.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Failed, block_on, print};
use crate::control::client::Client;
use crate::control::protocol::{PluginStatus, QueryReply, Status};

/// `status`: the core and all plugins, or one plugin and what it says to `words`.
///
/// # Errors
/// Nobody answers, or the plugin does not.
pub fn status(socket: &Path, plugin: Option<&str>, words: &[String], as_json: bool) -> Result<bool, Failed> {
    block_on(async {
        let mut client = Client::connect(socket).await?;
        let status = client.status().await?;
        let text = match plugin {
            None if as_json => to_text(&serde_json::to_value(&status)?)?,
            None => overview(&status),
            Some(name) => {
                let answer = client.query(name, words).await;
                let about = status.plugins.iter().find(|p| p.name == name);
                // A plugin that does not run cannot answer, but its state is an answer.
                match (answer, about) {
                    (Ok(answer), about) if as_json => to_text(&plugin_json(about, Ok(&answer))?)?,
                    (Err(error), Some(about)) if as_json => {
                        print::out(&to_text(&plugin_json(Some(about), Err(error.to_string()))?)?)?;
                        return Err(error.into());
                    }
                    (Ok(answer), about) => about.map(about_plugin).unwrap_or_default() + &answer_text(&answer),
                    (Err(error), Some(about)) => {
                        print::out(&about_plugin(about))?;
                        return Err(error.into());
                    }
                    (Err(error), _) => return Err(error.into()),
                }
            }
        };
        print::out(&text)?;
        Ok(true)
    })?
}

/// `metrics`: OpenMetrics text.
///
/// # Errors
/// Nobody answers.
pub fn metrics(socket: &Path) -> Result<bool, Failed> {
    block_on(async {
        print::out(&Client::connect(socket).await?.metrics().await?)?;
        Ok(true)
    })?
}

/// `logs`: the kept records of one plugin or all, and with `follow` what comes.
///
/// # Errors
/// Nobody answers.
pub fn logs(socket: &Path, plugin: Option<&str>, follow: bool) -> Result<bool, Failed> {
    block_on(async {
        let mut client = Client::connect(socket).await?;
        let known = client.status().await?.plugins;
        if let Some(name) = plugin.filter(|name| !known.iter().any(|p| p.name == *name)) {
            return Err(crate::control::client::ClientError::NoSuchPlugin(name.to_owned()).into());
        }
        let mut failed = None;
        let mut show = |text: String| {
            failed = print::out(&text).err();
            failed.is_none()
        };
        client
            .logs(plugin, follow, |reply| {
                let gap = if reply.missed > 0 { format!("({} records missed)\n", reply.missed) } else { String::new() };
                let line = reply.record.as_ref().map_or_else(String::new, |r| format!("{}\n", r.to_log()));
                show(gap + &line)
            })
            .await?;
        failed.map_or(Ok(true), |error| Err(error.into()))
    })?
}

fn overview(status: &Status) -> String {
    let core = &status.core;
    let memory = core.rss_bytes.map_or_else(|| "?".to_owned(), print::bytes);
    let mut text = format!(
        "portreeve {}, process {}, up {}, {memory} of memory, {}\n",
        core.version,
        core.pid,
        print::time(core.uptime_ms),
        core.config
    );
    if let Some(error) = &core.config_error {
        text.push_str(&print::red("the last reload was refused:"));
        text.push_str(&format!("\n{error}\n"));
    }
    if status.plugins.is_empty() {
        return text + "no plugins\n";
    }
    let columns = ["plugin", "version", "state", "for", "restarts", "memory", "cpu"].map(str::to_owned);
    let row = |p: &PluginStatus| {
        vec![
            p.name.clone(),
            p.version.clone().unwrap_or_else(|| "-".to_owned()),
            p.state.clone(),
            print::time(p.since_ms),
            p.restarts.to_string(),
            print::bytes(p.memory_bytes),
            print::time(p.cpu_ms),
        ]
    };
    let rows: Vec<_> = status.plugins.iter().map(row).collect();
    for (line, plugin) in
        print::table(&columns, &rows).lines().zip(std::iter::once(None).chain(status.plugins.iter().map(Some)))
    {
        let bad = plugin.is_some_and(|p| matches!(p.state.as_str(), "quarantined" | "failed" | "backoff"));
        text.push_str(&if bad { print::red(line) } else { line.to_owned() });
        text.push('\n');
    }
    for plugin in &status.plugins {
        text.push_str(&troubles(plugin));
    }
    text
}

/// What is wrong with a plugin, a line each.
fn troubles(plugin: &PluginStatus) -> String {
    let name = &plugin.name;
    let mut text = String::new();
    if let Some(reason) = &plugin.reason {
        text.push_str(&format!("{name}: {}\n", print::printable(reason)));
    }
    if let Some(crash) = &plugin.last_crash {
        let retry = plugin.retry_in_ms.map_or_else(String::new, |ms| format!("; tried again in {}", print::time(ms)));
        text.push_str(&format!("{name}: last crash: {}{retry}\n", print::printable(crash)));
    }
    for denied in &plugin.denied {
        text.push_str(&format!("{name}: not allowed: {denied}\n"));
    }
    text
}

fn about_plugin(plugin: &PluginStatus) -> String {
    let version = plugin.version.as_deref().unwrap_or("?");
    let state = if plugin.state == "quarantined" { print::red(&plugin.state) } else { plugin.state.clone() };
    format!("{} {version}: {state} for {}\n{}", plugin.name, print::time(plugin.since_ms), troubles(plugin))
}

fn answer_text(answer: &QueryReply) -> String {
    let mut text = String::new();
    for value in &answer.values {
        text.push_str(&format!("{}: {}\n", print::printable(&value.name), print::printable(&value.value)));
    }
    for table in &answer.tables {
        text.push_str(&format!("\n{}\n{}", print::printable(&table.title), print::table(&table.columns, &table.rows)));
    }
    text
}

/// `{"plugin": …, "values": {…}, "tables": {TITLE: [{COLUMN: CELL}]}}`, or `error` in place of the last two.
fn plugin_json(about: Option<&PluginStatus>, answer: Result<&QueryReply, String>) -> Result<Value, Failed> {
    let plugin = serde_json::to_value(about)?;
    Ok(match answer {
        Ok(answer) => {
            let values: Map<_, _> =
                answer.values.iter().map(|v| (v.name.clone(), Value::String(v.value.clone()))).collect();
            json!({ "plugin": plugin, "values": values, "tables": tables_json(answer) })
        }
        Err(error) => json!({ "plugin": plugin, "error": error }),
    })
}

fn tables_json(answer: &QueryReply) -> Value {
    let mut object = Map::new();
    for table in &answer.tables {
        let row = |row: &Vec<String>| -> Value {
            table.columns.iter().cloned().zip(row.iter().map(|cell| json!(cell))).collect::<Map<_, _>>().into()
        };
        object.insert(table.title.clone(), table.rows.iter().map(row).collect());
    }
    Value::Object(object)
}

fn to_text(value: &Value) -> Result<String, Failed> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
