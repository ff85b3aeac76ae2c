//! Reads the section as a whole: forwarding, pools, the map of interfaces, and what belongs to no interface.
//!
//! Pools are read before the interfaces that take from them, wherever they stand in the text.

use std::sync::Arc;

use portreeve_config::{Diagnostics, Pattern, Spanned, Value};
use portreeve_network::{Sysctl, read};

use super::check::Checks;
use super::{Config, InterfaceConfig, interface, pool, sysctl};

pub(super) fn read(value: Value<'_>, d: &mut Diagnostics) -> Option<Config> {
    let mut fields = value.fields(d)?;
    let mut config = Config::default();
    let mut checks = Checks::default();
    if let Some(value) = fields.take("forwarding")
        && let Some(mut forwarding) = value.fields(d)
    {
        // IPv4 first: writing it resets the parameters of all interfaces (ip-sysctl, ip_forward).
        for (field, name) in [("ipv4", "ipv4/ip_forward"), ("ipv6", "ipv6/conf/all/forwarding")] {
            let on = forwarding.take(field).and_then(|v| v.get::<bool>(d));
            config.sysctls.extend(on.map(|on| Sysctl { name: name.into(), value: u8::from(on.value).to_string() }));
        }
        forwarding.finish(d);
    }
    if let Some(value) = fields.take("sysctls") {
        sysctl::global(&value, &mut config.sysctls, d);
    }
    if let Some(value) = fields.take("pools") {
        config.pools = pool::pools(&value, d);
    }
    if let Some(value) = fields.take("interfaces") {
        for (key, value) in value.entries(d) {
            entry(&mut config, &mut checks, &key, &value, d);
        }
    }
    if let Some(value) = fields.take("routes") {
        let routes = read::spanned_routes(&value, None, d);
        checks.routes(&routes, d);
        config.routes = routes.into_iter().map(|route| route.value).collect();
    }
    if let Some(value) = fields.take("rules") {
        config.rules = read::rules(&value, d);
    }
    fields.finish(d);
    checks.finish(&config, d);
    config.globs.sort_by(|(a, _), (b, _)| b.literals().cmp(&a.literals()).then_with(|| a.as_str().cmp(b.as_str())));
    if config == Config::default() && !d.has_errors() {
        d.warning(value.span(), "nothing is said here, so nothing is set up");
    }
    Some(config)
}

fn entry(config: &mut Config, checks: &mut Checks, key: &Spanned<String>, value: &Value<'_>, d: &mut Diagnostics) {
    let pattern = match key.value.parse::<Pattern>() {
        Ok(pattern) if pattern.is_exact() => match read::check_interface_name(&key.value) {
            Ok(()) => Ok(pattern),
            Err(message) => Err(message),
        },
        Ok(pattern) => Ok(pattern),
        Err(error) => Err(error.to_string()),
    };
    if let Err(message) = &pattern {
        let hint = "write another name, of letters, digits and `._@-`, or a pattern such as \"lan*\"";
        d.error_with_hint(key.span, message.clone(), hint);
    }
    // What stands inside is looked at in any case.
    let found: Option<InterfaceConfig> = interface::read(key, value, &config.pools, checks, d);
    if let (Ok(pattern), Some(found)) = (pattern, found) {
        let found = Arc::new(found);
        if pattern.is_exact() {
            config.exact.insert(key.value.clone(), found);
        } else {
            config.globs.push((pattern, found));
        }
    }
}
