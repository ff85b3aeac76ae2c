//! `portreeve plugin list|inspect`: what there is, and what a component is.

use std::path::{Path, PathBuf};

use portreeve_config::Diagnostics;

use super::{Failed, Offline, block_on, offline, print};
use crate::config::{Limits, PluginConfig, Source, parse};
use crate::control::client::Client;
use crate::control::protocol::PluginStatus;
use crate::plugin::judge::judge;
use crate::plugin::{Judgement, Loaded, Manifest};
use crate::runtime::options::Options;
use crate::stores::logs::LogStore;

/// `plugin list`: the components of the image and those router.ron names, with their state if a core runs.
/// Whether all of them can be used.
///
/// # Errors
/// The engine does not start.
pub fn list(options: &Options, logs: &LogStore) -> Result<bool, Failed> {
    let offline = offline(options, logs)?;
    let configured = configured(options);
    let mut found: Vec<(String, PathBuf, bool)> = configured
        .iter()
        .map(|p| (p.name.value.clone(), p.component_path(&options.config, &options.plugins), true))
        .collect();
    for path in components_in(&options.plugins) {
        if !found.iter().any(|(_, known, _)| *known == path) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, path, false));
        }
    }
    found.sort();
    let running = block_on(async {
        let mut client = Client::connect(&options.control).await.ok()?;
        Some(client.status().await.ok()?.plugins)
    })?;
    let mut good = true;
    let mut rows = Vec::new();
    for (name, path, is_configured) in found {
        let state = running.as_ref().and_then(|plugins| plugins.iter().find(|p| p.name == name));
        let state = match (state, is_configured) {
            (Some(PluginStatus { state, .. }), _) => state.clone(),
            (None, true) => "configured".to_owned(),
            (None, false) => "not configured".to_owned(),
        };
        let (version, summary) = match load(&offline, &path, &name).map(|(_, judgement)| judgement.manifest) {
            Ok(manifest) => (manifest.version, manifest.summary),
            Err(error) => {
                good = false;
                print::complain(&format!("{}: {error}\n", path.display()));
                ("-".to_owned(), "cannot be used".to_owned())
            }
        };
        rows.push(vec![name, version, state, summary, path.display().to_string()]);
    }
    let columns = ["plugin", "version", "state", "summary", "component"].map(str::to_owned);
    print::out(&print::table(&columns, &rows))?;
    Ok(good)
}

/// `plugin inspect`: who a component is and the most it may ever need. `which` is a file, or the name of a
/// plugin in router.ron or in the image.
///
/// # Errors
/// There is no such component, or it cannot be used.
pub fn inspect(options: &Options, which: &str, logs: &LogStore) -> Result<bool, Failed> {
    let path = find(options, which);
    let (loaded, judgement) =
        load(&offline(options, logs)?, &path, which).map_err(|e| format!("{}: {e}", path.display()))?;
    let Manifest { name, version, summary, needs, config_example, state_schema } = judgement.manifest;
    let mut text = format!("{name} {version}: {summary}\n");
    text.push_str(&format!("file: {}, {}\n", path.display(), print::bytes(loaded.size as u64)));
    text.push_str(&format!("blake3: {}\nstorage format: {state_schema}\n", loaded.hash));
    text.push_str("may need, at most:\n");
    for need in needs {
        text.push_str(&format!("  {need}\n"));
    }
    text.push_str("imports:\n");
    for import in loaded.imports {
        text.push_str(&format!("  {import}\n"));
    }
    text.push_str("its section in router.ron, for example:\n");
    for line in config_example.lines() {
        text.push_str(&format!("  {}\n", print::printable(line)));
    }
    print::out(&text)?;
    Ok(true)
}

/// A name of router.ron, a name in the image, or a file.
fn find(options: &Options, which: &str) -> PathBuf {
    if let Some(plugin) = configured(options).iter().find(|p| p.name.value == which) {
        return plugin.component_path(&options.config, &options.plugins);
    }
    let shipped = options.plugins.join(format!("{which}.wasm"));
    if !which.contains('/') && shipped.exists() { shipped } else { which.into() }
}

/// The plugins of router.ron, as far as it can be read: looking at components does not need a legal file, but it is
/// said that there is none.
fn configured(options: &Options) -> Vec<PluginConfig> {
    let mut diagnostics = Diagnostics::new();
    match Source::read(&options.config) {
        Ok(source) => {
            let plugins = parse(&source.text, &mut diagnostics).plugins;
            if diagnostics.has_errors() {
                let name = &source.name;
                print::complain(&format!(
                    "{name} has mistakes, which `portreeve check` shows; it is used as far as possible\n"
                ));
            }
            plugins
        }
        Err(error) => {
            print::complain(&format!("{error}\n"));
            Vec::new()
        }
    }
}

fn components_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "wasm")).collect()
}

fn load(offline: &Offline, path: &Path, name: &str) -> Result<(Loaded, Judgement), Failed> {
    let (loader, shared) = offline;
    let loaded = loader.load(path)?;
    let judgement = block_on(judge(loader.engine(), shared.clone(), &loaded, name, Limits::default(), "()"))??;
    Ok((loaded, judgement))
}
