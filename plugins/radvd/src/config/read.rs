//! Reads the section and one interface of it: scalar values, their bounds, and what depends on what.
//!
//! Reading never stops at a mistake: it is recorded with its place, the default stands in, and reading goes on. A
//! value that depends on another (router lifetime on the maximum interval) is not complained about when the other
//! one was itself wrong, because then nobody knows what was meant.

use super::{Config, InterfaceConfig, Lifetime, Pattern, options};
use core::time::Duration;
use portreeve_config::{Diagnostics, Fields, Spanned, Value, did_you_mean, duration};
use portreeve_packet::nd::{INFINITY, Preference};

/// The longest captive portal URI: it must fit into the smallest advertisement (RFC 8200 section 5), since an
/// option cannot be divided.
const MAX_URI: usize = 1280 - 40 - 16 - 2;

pub(super) fn section(value: Value<'_>, d: &mut Diagnostics) -> Option<Config> {
    let mut fields = value.fields(d)?;
    let mut config = Config::default();
    if let Some(interfaces) = fields.require("interfaces", d) {
        for (key, value) in interfaces.entries(d) {
            let pattern = key.value.parse::<Pattern>();
            let interface = interface(value, d);
            match (pattern, interface) {
                (Ok(pattern), Some(interface)) => config.insert(pattern, interface),
                (Err(error), _) => d.error_with_hint(
                    key.span,
                    error.to_string(),
                    "expected an interface name such as \"lan0\" or a glob such as \"lan*\"",
                ),
                (Ok(_), None) => {}
            }
        }
        if config == Config::default() && !d.has_errors() {
            d.warning(interfaces.span(), "no interface is listed, so nothing is advertised");
        }
    }
    fields.finish(d);
    Some(config)
}

fn interface(value: Value<'_>, d: &mut Diagnostics) -> Option<InterfaceConfig> {
    let mut fields = value.fields(d)?;
    let mut config = InterfaceConfig::default();
    let f = &mut fields;
    intervals(f, &mut config, d);
    if let Some(preference) = f.take("preference").and_then(|v| preference(v, d)) {
        config.preference = preference;
    }
    if let Some(limit) = f.take("hop_limit").and_then(|v| v.get::<u8>(d)) {
        config.hop_limit = limit.value;
    }
    // RFC 4861 section 6.2.1: at most one hour.
    config.reachable_time = milliseconds(f.take("reachable_time"), 3_600_000, d);
    config.retrans_timer = milliseconds(f.take("retrans_timer"), u32::MAX, d);
    config.mtu = f.take("mtu").and_then(|v| v.get::<u32>(d)).and_then(|mtu| {
        // RFC 8200 section 5: no IPv6 link is smaller.
        if mtu.value < 1280 {
            d.error_with_hint(mtu.span, "mtu is below 1280, the least an IPv6 link may have", "write 1280 or more");
        }
        Some(mtu.value).filter(|mtu| *mtu >= 1280)
    });
    for (name, target) in [
        ("managed", &mut config.managed),
        ("other_config", &mut config.other_config),
        ("source_link_layer_address", &mut config.source_link_layer_address),
        ("unicast_only", &mut config.unicast_only),
        ("solicited_unicast", &mut config.solicited_unicast),
        ("strict_rs_delay", &mut config.strict_rs_delay),
        ("final_advertisements", &mut config.final_advertisements),
        ("advertisement_interval_option", &mut config.advertisement_interval_option),
    ] {
        flag(f, name, target, d);
    }
    if config.unicast_only && !config.solicited_unicast {
        d.error_with_hint(
            f.span(),
            "unicast_only without solicited_unicast would never send anything",
            "remove `solicited_unicast: false`",
        );
    }
    options::prefixes(f, &mut config, d);
    options::routes(f, &mut config, d);
    options::rdnss(f, &mut config, d);
    options::dnssl(f, &mut config, d);
    options::pref64(f, &mut config, d);
    config.captive_portal = f.take("captive_portal").and_then(|v| captive_portal(v, d));
    fields.finish(d);
    Some(config)
}

/// The three timers and the router lifetime, which depend on each other (RFC 4861 section 6.2.1, RFC 8319).
fn intervals(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) {
    let seconds = Duration::from_secs;
    let (max_value, min_value) = (f.take("max_interval"), f.take("min_interval"));
    let (delay_value, lifetime_value) = (f.take("min_delay_between_ras"), f.take("router_lifetime"));

    let max = max_value.and_then(|v| within(v, seconds(4), seconds(65_535), "max_interval", d));
    let max_is_known = max_value.is_none() || max.is_some();
    config.max_interval = max.unwrap_or(config.max_interval);

    // RFC 4861 section 6.2.1: 0.33 * Max; below 9 s that would undercut 3 s, so the upper bound 0.75 * Max.
    let factor = if config.max_interval >= seconds(9) { 33 } else { 75 };
    config.min_interval = config.max_interval * factor / 100;
    let least = seconds(3);
    let mut min_is_known = max_is_known;
    if let Some(value) = min_value {
        let most = if max_is_known { config.max_interval * 75 / 100 } else { seconds(65_535) };
        let min = within_because(value, least, most, "min_interval", "0.75 of max_interval", d);
        min_is_known &= min.is_some();
        config.min_interval = min.unwrap_or(config.min_interval);
    }
    if let Some(value) = delay_value {
        let most = if min_is_known { config.min_interval } else { seconds(65_535) };
        let delay = within_because(value, least, most, "min_delay_between_ras", "min_interval", d);
        config.min_delay_between_ras = delay.unwrap_or(config.min_delay_between_ras);
    }
    config.router_lifetime = saturating_router_lifetime(config.max_interval * 3);
    if let Some(lifetime) = lifetime_value.and_then(|v| whole_seconds(v, d)) {
        let least = if max_is_known { config.max_interval.as_secs_f64().ceil() as u64 } else { 4 };
        match u16::try_from(lifetime.value) {
            Ok(value) if value == 0 || u64::from(value) >= least => config.router_lifetime = value,
            _ => d.error_with_hint(
                lifetime.span,
                "router_lifetime is out of range",
                format!(
                    "write \"0s\" (not a default router) or \"{}\" (max_interval) to \"{}\"",
                    duration::format(seconds(least)),
                    duration::format(seconds(65_535))
                ),
            ),
        }
    }
}

/// Seconds for the 16-bit field, saturating at its largest value (RFC 8319 section 3).
fn saturating_router_lifetime(lifetime: Duration) -> u16 {
    u16::try_from(lifetime.as_secs()).unwrap_or(u16::MAX)
}

fn flag(f: &mut Fields<'_>, name: &'static str, target: &mut bool, d: &mut Diagnostics) {
    if let Some(value) = f.take(name).and_then(|v| v.get::<bool>(d)) {
        *target = value.value;
    }
}

pub(super) fn flags<const N: usize>(f: &mut Fields<'_>, list: [(&'static str, &mut bool); N], d: &mut Diagnostics) {
    for (name, target) in list {
        flag(f, name, target, d);
    }
}

pub(super) fn preference(value: Value<'_>, d: &mut Diagnostics) -> Option<Preference> {
    match value.text() {
        "Low" => Some(Preference::Low),
        "Medium" => Some(Preference::Medium),
        "High" => Some(Preference::High),
        other => {
            let names = ["Low", "Medium", "High"];
            let near = did_you_mean(other.trim_matches('"'), names);
            let hint = near.map_or("write Low, Medium or High".to_owned(), |near| format!("did you mean `{near}`?"));
            d.error_with_hint(value.span(), "expected a preference", hint);
            None
        }
    }
}

fn within(v: Value<'_>, least: Duration, most: Duration, name: &str, d: &mut Diagnostics) -> Option<Duration> {
    within_because(v, least, most, name, "", d)
}

fn within_because(
    value: Value<'_>,
    least: Duration,
    most: Duration,
    name: &str,
    reason: &str,
    d: &mut Diagnostics,
) -> Option<Duration> {
    let found = value.duration(d)?;
    if (least..=most).contains(&found.value) {
        return Some(found.value);
    }
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    d.error_with_hint(
        found.span,
        format!("{name} is out of range"),
        format!("write \"{}\" to \"{}\"{reason}", duration::format(least), duration::format(most)),
    );
    None
}

fn milliseconds(value: Option<Value<'_>>, most: u32, d: &mut Diagnostics) -> u32 {
    let Some(found) = value.and_then(|v| v.duration(d)) else {
        return 0;
    };
    match u32::try_from(found.value.as_millis()) {
        Ok(value) if value <= most => value,
        _ => {
            let most = duration::format(Duration::from_millis(most.into()));
            d.error_with_hint(found.span, "the duration is too long here", format!("write at most \"{most}\""));
            0
        }
    }
}

/// A duration without a fraction of a second.
pub(super) fn whole_seconds(value: Value<'_>, d: &mut Diagnostics) -> Option<Spanned<u64>> {
    let found = value.duration(d)?;
    if found.value.subsec_nanos() != 0 {
        d.error_with_hint(
            found.span,
            "a lifetime is sent in whole seconds",
            format!("write \"{}\"", duration::format(Duration::from_secs(found.value.as_secs() + 1))),
        );
        return None;
    }
    Some(found.map(|value| value.as_secs()))
}

/// A lifetime of an option with a 32-bit field: whole seconds or `"infinity"`.
pub(super) fn lifetime(value: Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Lifetime>> {
    if matches!(value.text(), "\"infinity\"" | "infinity") {
        return Some(Spanned::new(Lifetime::INFINITE, value.span()));
    }
    let found = whole_seconds(value, d)?;
    if found.value >= u64::from(INFINITY) {
        d.error_with_hint(found.span, "the lifetime does not fit into 32 bits", "write \"infinity\"");
        return None;
    }
    Some(found.map(Lifetime::from_secs))
}

/// RFC 8910 section 2: a URI; RFC 8908 section 4.1 wants it to be https.
fn captive_portal(value: Value<'_>, d: &mut Diagnostics) -> Option<String> {
    let uri = value.get::<String>(d)?;
    let expected = "expected a URI such as \"https://portal.example/api\"";
    let scheme = uri.value.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !is_scheme || !uri.value.chars().all(|c| c.is_ascii_graphic()) {
        d.error_with_hint(uri.span, "not a URI", expected);
        return None;
    }
    if uri.value.len() > MAX_URI {
        d.error(uri.span, format!("the URI has more than {MAX_URI} bytes and would not fit into an advertisement"));
        return None;
    }
    if scheme.eq_ignore_ascii_case("http") {
        d.warning_with_hint(uri.span, "hosts only talk https to a captive portal API (RFC 8908)", expected);
    }
    Some(uri.value)
}
