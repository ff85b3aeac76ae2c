//! `portreeve check`: everything `run` would do with router.ron before it touches anything.

use super::{Failed, block_on, offline, print};
use crate::config::Source;
use crate::grants::Need;
use crate::runtime::options::Options;
use crate::runtime::planning::{self, PlannedPlugin, ReadyPlugin};
use crate::stores::logs::LogStore;

/// Validates and plans; whether all is well. Complaints go to stderr, the plan to stdout.
///
/// # Errors
/// router.ron cannot be read.
pub fn check(options: &Options, logs: &LogStore) -> Result<bool, Failed> {
    let source = Source::read(&options.config)?;
    let (loader, shared) = offline(options, logs)?;
    let plan = block_on(planning::plan(source, options, &loader, &shared))?;
    print::complain(&plan.render());
    let good = plan.is_good();
    if good {
        let plugins: String = plan.plugins.iter().filter_map(ready).map(describe).collect();
        print::out(&format!("{}: ok\n{plugins}", plan.source.name))?;
    }
    Ok(good)
}

fn ready(plugin: &PlannedPlugin) -> Option<&ReadyPlugin> {
    plugin.outcome.as_ref().ok()?.as_deref()
}

fn describe(plugin: &ReadyPlugin) -> String {
    let name = &plugin.config.name.value;
    let mut text = format!("{name} {}: {}\n", plugin.manifest.version, plugin.manifest.summary);
    for line in &plugin.planned.summary {
        text.push_str(&format!("  {}\n", print::printable(line)));
    }
    let needs: Vec<_> = plugin.grants.planned().iter().map(Need::to_string).collect();
    if !needs.is_empty() {
        text.push_str(&format!("  needs {}\n", needs.join(", ")));
    }
    text
}
