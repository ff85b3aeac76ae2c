//! Kernel parameters: `"ipv4.tcp_ecn": "1"` of the whole namespace, `"ipv4.arp_ignore": "1"` of one interface.
//!
//! Dots stand between the parts as sysctl(8) writes them; where a part has a dot itself, slashes do.

use std::collections::HashSet;

use portreeve_config::{Diagnostics, Span, Value};
use portreeve_network::Sysctl;

/// Adds the parameters of the whole namespace to `list`, which may hold some already.
pub(super) fn global(value: &Value<'_>, list: &mut Vec<Sysctl>, d: &mut Diagnostics) {
    let mut seen: HashSet<String> = list.iter().map(|sysctl| sysctl.name.clone()).collect();
    for (key, value) in value.entries(d) {
        let Some(text) = text(&value, d) else { continue };
        let sysctl = Sysctl { name: slashes(&key.value), value: text };
        if sysctl.name.starts_with("net/") {
            let short = key.value.get(4..).unwrap_or_default();
            d.error_with_hint(key.span, "all names are below net, which is left out", format!("write \"{short}\""));
        } else if let Some(interface) = sysctl.interface() {
            let hint = format!("write it among the `sysctls` of the interface \"{interface}\"");
            d.error_with_hint(key.span, "this is a parameter of one interface", hint);
        } else if check(&sysctl, key.span, value.span(), d) {
            if seen.insert(sysctl.name.clone()) {
                list.push(sysctl);
            } else {
                d.error_with_hint(key.span, format!("{} is given twice", sysctl.name), "keep one of the two");
            }
        }
    }
}

/// Adds the parameters of one interface to `list`, which may hold some already.
pub(super) fn of_interface(value: &Value<'_>, list: &mut Vec<(&'static str, String, String)>, d: &mut Diagnostics) {
    let mut seen: HashSet<(&'static str, String)> =
        list.iter().map(|(family, name, _)| (*family, name.clone())).collect();
    for (key, value) in value.entries(d) {
        let Some(text) = text(&value, d) else { continue };
        let path = slashes(&key.value);
        let (family, name) = match path.split_once('/') {
            Some(("ipv6", name)) => ("ipv6", name),
            Some(("ipv4", name)) => ("ipv4", name),
            _ => ("", ""),
        };
        if name.is_empty() || name.contains('/') {
            let hint = "write FAMILY.NAME, such as \"ipv4.arp_ignore\" or \"ipv6.keep_addr_on_down\"";
            d.error_with_hint(key.span, "not the name of an interface's parameter", hint);
            continue;
        }
        let sysctl = Sysctl { name: format!("{family}/conf/lo/{name}"), value: text };
        if !check(&sysctl, key.span, value.span(), d) {
            continue;
        }
        if seen.insert((family, name.to_owned())) {
            list.push((family, name.to_owned(), sysctl.value));
        } else {
            d.error_with_hint(key.span, format!("{name} of {family} is given twice"), "keep one of the two");
        }
    }
}

fn text(value: &Value<'_>, d: &mut Diagnostics) -> Option<String> {
    value.parse::<String>(d, "a text such as \"1\"").map(|text| text.value)
}

fn slashes(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { name.replace('.', "/") }
}

fn check(sysctl: &Sysctl, name: Span, value: Span, d: &mut Diagnostics) -> bool {
    let nameless = Sysctl { name: sysctl.name.clone(), value: String::new() };
    if !nameless.is_legal() {
        d.error_with_hint(name, "not the name of a kernel parameter", "expected one such as \"ipv4.tcp_ecn\"");
        return false;
    }
    if !sysctl.is_legal() {
        d.error_with_hint(value, "not a value", "write at most 256 characters on one line");
        return false;
    }
    true
}
