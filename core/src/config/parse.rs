//! Text of router.ron -> [`RouterConfig`]. Reports everything, keeps what is legal.

use portreeve_config::{Diagnostics, Spanned, Value};

use super::{Limits, LogLevel, MAX_PLUGINS, PluginConfig, RouterConfig, System};
use crate::grants::need_from_value;

/// Reads the frame of router.ron. The result is what could be read; it is the whole file only if
/// `d` holds no error.
#[must_use]
pub fn parse(text: &str, d: &mut Diagnostics) -> RouterConfig {
    let mut config = RouterConfig::default();
    let Some(root) = Value::root(text, d) else {
        return config;
    };
    if let Some(name) = root.name().filter(|n| n.value != "Router") {
        d.error_with_hint(name.span, format!("expected `Router(…)`, found `{}`", name.value), "start with `Router(`");
    }
    let Some(mut fields) = root.fields(d) else {
        return config;
    };
    if let Some(value) = fields.take("system") {
        config.system = system(&value, d);
    }
    if let Some(value) = fields.take("plugins") {
        let entries = value.entries(d);
        if entries.len() > MAX_PLUGINS {
            d.error(value.span(), format!("more than {MAX_PLUGINS} plugins"));
        }
        for (name, value) in entries.into_iter().take(MAX_PLUGINS) {
            config.plugins.extend(plugin(name, &value, d));
        }
    }
    fields.finish(d);
    config
}

fn system(value: &Value<'_>, d: &mut Diagnostics) -> System {
    let mut system = System::default();
    let Some(mut fields) = value.fields(d) else {
        return system;
    };
    if let Some(hostname) = fields.take("hostname").and_then(|v| v.get::<String>(d)) {
        if is_hostname(&hostname.value) {
            system.hostname = Some(hostname.value);
        } else {
            d.error_with_hint(
                hostname.span,
                format!("\"{}\" is not a host name", hostname.value),
                "1 to 64 letters, digits, hyphens and dots; a label starts and ends with a letter or digit (RFC 1123)",
            );
        }
    }
    if let Some(level) = fields.take("log").and_then(|v| v.get::<LogLevel>(d)) {
        system.log = level.value;
    }
    fields.finish(d);
    system
}

/// RFC 1123 section 2.1, within the 64 bytes that Linux allows.
fn is_hostname(name: &str) -> bool {
    let label = |l: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        l.len() <= 63
            && edge(l.chars().next())
            && edge(l.chars().next_back())
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    !name.is_empty() && name.len() <= 64 && name.split('.').all(label)
}

fn plugin(name: Spanned<String>, value: &Value<'_>, d: &mut Diagnostics) -> Option<PluginConfig> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.value.is_empty() || name.value.len() > 32 || !name.value.chars().all(legal) {
        d.error_with_hint(
            name.span,
            format!("\"{}\" is not a plugin name", name.value),
            "1 to 32 lower-case letters, digits and hyphens",
        );
    }
    let mut fields = value.fields(d)?;
    let component = fields.take("component").and_then(|v| v.get::<String>(d));
    if let Some(path) = component.as_ref().filter(|c| c.value.is_empty()) {
        d.error_with_hint(path.span, "the component's file name is empty", "such as \"plugins/acme.wasm\"");
    }
    let allow = fields.take("allow").map(|v| {
        let needs = v.list(d).iter().filter_map(|item| need_from_value(item, d)).collect();
        Spanned::new(needs, v.span())
    });
    let limits = fields.take("limits").map(|v| limits(&v, d)).unwrap_or_default();
    let section = fields.take("config").map_or_else(
        // An absent section stands nowhere: complaints about it are shown at the plugin's name.
        || Spanned::new("()".to_owned(), name.span),
        |v| Spanned::new(v.text().to_owned(), v.span()),
    );
    fields.finish(d);
    Some(PluginConfig { name, component, allow, limits, section })
}

fn limits(value: &Value<'_>, d: &mut Diagnostics) -> Limits {
    let mut limits = Limits::default();
    let Some(mut fields) = value.fields(d) else {
        return limits;
    };
    let mut take = |name, low: usize, high: usize| {
        let n = fields.take(name)?.get::<usize>(d)?;
        if (low..=high).contains(&n.value) {
            return Some(n.value);
        }
        d.error(n.span, format!("{name} must be {low} to {high}"));
        None
    };
    let memory = take("memory_mib", 1, 1024);
    let table_elements = take("table_elements", 100, 10_000_000);
    let handles = take("handles", 1, 65_536);
    fields.finish(d);
    if let Some(mib) = memory {
        limits.memory = mib * 1024 * 1024;
    }
    limits.table_elements = table_elements.unwrap_or(limits.table_elements);
    limits.handles = handles.unwrap_or(limits.handles);
    limits
}
