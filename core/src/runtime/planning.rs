//! router.ron -> [`Plan`]: every component loaded, every section judged, every grant worked out, before
//! anything is touched. `run`, a reload and `check` all go through here, so they say the same.

use std::sync::Arc;

use portreeve_config::{Diagnostic, Diagnostics, Position, Severity, Span};
use tokio::task::spawn_blocking;

use super::options::Options;
use crate::config::{PluginConfig, Source, System, parse};
use crate::grants::{Grants, Policy};
use crate::host::Shared;
use crate::plugin::judge::{Planned, judge};
use crate::plugin::{Judgement, LoadError, Loaded, Loader, Manifest};

/// What a configuration comes to.
pub struct Plan {
    /// The text.
    pub source: Arc<Source>,
    /// What concerns the machine.
    pub system: System,
    /// The plugins in the order of the file.
    pub plugins: Vec<PlannedPlugin>,
    /// Everything there is to say about the text, in its order.
    pub diagnostics: Vec<Diagnostic>,
}

/// What became of one entry of `plugins`.
pub struct PlannedPlugin {
    /// The entry.
    pub config: PluginConfig,
    /// The component's file.
    pub component: std::path::PathBuf,
    /// Ready to start; or why its component cannot be used; or none if its section has errors.
    pub outcome: Result<Option<Box<ReadyPlugin>>, String>,
}

/// A plugin that can be started.
#[derive(Clone)]
pub struct ReadyPlugin {
    /// The text that it is an entry of.
    pub source: Arc<Source>,
    /// Its entry.
    pub config: PluginConfig,
    /// Its component.
    pub loaded: Loaded,
    /// Who it is.
    pub manifest: Manifest,
    /// What it will do.
    pub planned: Planned,
    /// What it may touch.
    pub grants: Grants,
}

impl ReadyPlugin {
    /// Where in router.ron its section begins; an absent one stands at the plugin's name.
    #[must_use]
    pub fn section_place(&self) -> Position {
        Position::of(&self.source.text, self.config.section.span.start)
    }

    /// What the plugin has against its section, printed against the text.
    #[must_use]
    pub fn render(&self, list: Vec<Diagnostic>) -> String {
        let mut d = Diagnostics::new();
        if list.is_empty() {
            let text = format!("`{}` refuses its section without a reason", self.config.name.value);
            d.error(self.config.name.span, text);
        }
        place_in_file(list, &self.config, &mut d);
        self.source.render(&d.into_vec())
    }
}

impl Plan {
    /// Whether the text is wrong. A component that cannot be used is not the text's fault: the others start.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether everything is well: neither the text nor a component is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.has_errors() && self.plugins.iter().all(|plugin| plugin.outcome.is_ok())
    }

    /// Everything there is to say, of the text and of components, printed against the text in its order.
    #[must_use]
    pub fn render(&self) -> String {
        let mut all = self.diagnostics.clone();
        all.extend(self.plugins.iter().filter_map(component_error));
        all.sort_by_key(|d| d.span.start);
        self.source.render(&all)
    }
}

/// A component that cannot be used, as a diagnostic at the place that names it.
fn component_error(plugin: &PlannedPlugin) -> Option<Diagnostic> {
    let reason = plugin.outcome.as_ref().err()?;
    let span = plugin.config.component.as_ref().map_or(plugin.config.name.span, |component| component.span);
    let message = format!("component {}: {reason}", plugin.component.display());
    Some(Diagnostic { severity: Severity::Error, span, message, hint: None })
}

/// Plans the whole of `source`. Components are loaded and judged side by side.
pub async fn plan(source: Source, options: &Options, loader: &Loader, shared: &Arc<Shared>) -> Plan {
    let mut diagnostics = Diagnostics::new();
    let source = Arc::new(source);
    let config = parse(&source.text, &mut diagnostics);
    let tasks: Vec<_> = config
        .plugins
        .into_iter()
        .map(|plugin| {
            let component = plugin.component_path(&options.config, &options.plugins);
            let (loader, shared, source) = (loader.clone(), shared.clone(), source.clone());
            spawn_blocking(move || plan_plugin(source, plugin, component, &loader, shared))
        })
        .collect();
    let mut plugins = Vec::new();
    for task in tasks {
        // A panic in there is a bug of ours; it must not pass for a plan without that plugin.
        match task.await {
            Ok((plugin, list)) => {
                diagnostics.extend_shifted(list, 0);
                plugins.push(plugin);
            }
            Err(error) => diagnostics.error(Span::default(), format!("planning failed: {error}; please report this")),
        }
    }
    Plan { source, system: config.system, plugins, diagnostics: diagnostics.into_vec() }
}

fn plan_plugin(
    source: Arc<Source>,
    config: PluginConfig,
    component: std::path::PathBuf,
    loader: &Loader,
    shared: Arc<Shared>,
) -> (PlannedPlugin, Vec<Diagnostic>) {
    let judged = loader.load(&component).and_then(|loaded| {
        let judgement = judge_here(loader, shared, &loaded, &config)?;
        Ok((loaded, judgement))
    });
    let (loaded, judgement) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            let outcome = Err(error.to_string());
            return (PlannedPlugin { config, component, outcome }, Vec::new());
        }
    };
    let mut d = Diagnostics::new();
    place_in_file(judgement.diagnostics, &config, &mut d);
    let ready = judgement.planned.map(|planned| {
        let grants = Grants::new(planned.needs.clone(), judgement.manifest.needs.clone(), policy(&config));
        warn_of_denials(&grants, &config, &mut d);
        Box::new(ReadyPlugin { source, config: config.clone(), loaded, manifest: judgement.manifest, planned, grants })
    });
    (PlannedPlugin { config, component, outcome: Ok(ready) }, d.into_vec())
}

/// `judge` on this thread, in a small runtime of its own.
fn judge_here(
    loader: &Loader,
    shared: Arc<Shared>,
    loaded: &Loaded,
    config: &PluginConfig,
) -> Result<Judgement, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LoadError::Describe(format!("no runtime for it: {error}")))?;
    let (name, section) = (&config.name.value, &config.section.value);
    runtime.block_on(judge(loader.engine(), shared, loaded, name, config.limits, section))
}

/// Spans within the section become spans within the file; an absent section stands at the plugin's name.
fn place_in_file(list: Vec<Diagnostic>, config: &PluginConfig, d: &mut Diagnostics) {
    let place = config.section.span;
    let absent = place == config.name.span;
    for mut diagnostic in list {
        diagnostic.span = if absent {
            place
        } else {
            let inside = diagnostic.span.shifted(place.start);
            Span::new(inside.start.min(place.end), inside.end.min(place.end))
        };
        d.extend_shifted([diagnostic], 0);
    }
}

fn policy(config: &PluginConfig) -> Policy {
    match &config.allow {
        Some(allowed) => Policy::Only(allowed.value.clone()),
        None if config.is_shipped() => Policy::Manifest,
        None => Policy::Only(Vec::new()),
    }
}

/// What is planned and will be denied; the plugin starts, and gets an error where it tries.
fn warn_of_denials(grants: &Grants, config: &PluginConfig, d: &mut Diagnostics) {
    let name = &config.name.value;
    for need in grants.beyond_manifest() {
        let text = format!("`{name}` plans {need}, which its manifest does not name, and will be denied it");
        d.warning_with_hint(config.name.span, text, "this is a mistake of the plugin: tell its author");
    }
    let missing = grants.not_allowed();
    if missing.is_empty() {
        return;
    }
    let list = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (span, hint) = match &config.allow {
        Some(allow) => (allow.span, format!("add to `allow`: {list}")),
        None => (config.name.span, format!("add `allow: [{list}],`")),
    };
    d.warning_with_hint(span, format!("`{name}` will be denied what it needs: {list}"), hint);
}
