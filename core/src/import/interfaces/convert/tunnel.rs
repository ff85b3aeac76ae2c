//! Tunnels: methods `v4tunnel`, `6to4` and `tunnel`.

use std::net::{IpAddr, Ipv6Addr};

use super::super::hook;
use super::super::plan::{Address, Kind, Place, Plan, Route};
use super::super::read::Stanza;
use super::super::value::{self, Net};
use super::{Settings, addresses, checked, has_entry, make, number};

/// `ttl`, `tos` and the like; `hop_limit` is what the kind of tunnel calls its ttl.
fn outer(plan: &mut Plan, name: &str, settings: &mut Settings, ttl: &'static str) {
    if let Some(setting) = settings.take("ttl") {
        if matches!(setting.value.as_str(), "inherit" | "0") {
            plan.entry(name).fields.insert(ttl, "0".into());
        } else if let Some(value) = number::<u8>(plan, &setting) {
            plan.entry(name).fields.insert(ttl, value.to_string());
        }
    }
    if let Some(setting) = settings.take("tos") {
        match hook::tos(&setting.value) {
            Some(tos) => drop(plan.entry(name).fields.insert("tos", tos)),
            None => {
                plan.mistake(&setting.place, format!("`tos {}` is neither inherit nor two hex digits", setting.value))
            }
        }
    }
}

/// Method `v4tunnel`.
pub(super) fn v4tunnel(plan: &mut Plan, name: &str, stanza: &Stanza, settings: &mut Settings) {
    let local = settings.take("local").filter(|s| s.value != "any");
    let local = local.and_then(|s| checked(plan, &s, |text| value::address(text, false))).map(|a| a.to_string());
    match settings.take("endpoint") {
        Some(endpoint) if endpoint.value != "any" => {
            make(plan, name, &endpoint.place, Kind::SixInFour { remote: endpoint.value, local });
        }
        Some(endpoint) => {
            plan.mistake(
                &endpoint.place,
                "`endpoint any` is no tunnel to somewhere; write the other end's address".into(),
            );
        }
        None => {
            plan.mistake(
                &stanza.place,
                format!("{name} has no endpoint; add `endpoint ADDRESS` of the other end below"),
            );
        }
    }
    outer(plan, name, settings, "ttl");
    addresses(plan, name, settings, true);
}

/// Method `6to4`.
pub(super) fn six_to_four(plan: &mut Plan, name: &str, place: &Place, settings: &mut Settings) {
    let Some(local) = settings.take("local") else {
        plan.mistake(place, format!("{name} is 6to4 and has no local address; add `local ADDRESS` below"));
        return;
    };
    let Some(IpAddr::V4(address)) = checked(plan, &local, |text| value::address(text, false)) else { return };
    make(plan, name, place, Kind::SixToFour { local: address });
    outer(plan, name, settings, "ttl");
    let [a, b, c, d] = address.octets();
    let pair = |high, low| u16::from_be_bytes([high, low]);
    let ours = Ipv6Addr::new(0x2002, pair(a, b), pair(c, d), 0, 0, 0, 0, 1);
    let mut new = Address::new(Net { address: ours.into(), length: 16 });
    new.preferred = settings.take("preferred-lifetime").and_then(|s| number(plan, &s));
    plan.entry(name).addresses.push(new);
    let to = Net { address: Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0).into(), length: 3 };
    let mut route = Route::new(place, name, to);
    route.dev = Some(name.to_owned());
    route.metric = settings.take("metric").and_then(|s| number(plan, &s));
    plan.routes.push(route);
    let why =
        "the relays behind 192.88.99.1 are being switched off (RFC 7526); ask the provider for IPv6 or a tunnel broker";
    plan.warn(place, Some(name), format!("6to4 is no longer to be used: {why}"));
}

/// Method `tunnel`.
pub(super) fn tunnel(plan: &mut Plan, name: &str, stanza: &Stanza, settings: &mut Settings) {
    let mode = settings.take("mode").map(|s| s.value.to_lowercase()).unwrap_or_default();
    let limit = settings.take("encaplimit").filter(|s| s.value != "none").and_then(|s| number(plan, &s));
    let local = settings.take("local").filter(|s| s.value != "any").map(|s| s.value);
    let Some(remote) = settings.take("endpoint").map(|s| s.value) else {
        plan.mistake(&stanza.place, format!("{name} has no endpoint; add `endpoint ADDRESS` of the other end below"));
        return;
    };
    match hook::tunnel_kind(&mode, remote, local, limit) {
        Ok(kind) => {
            let ttl = if matches!(kind, Kind::Ip6Tunnel { .. }) { "hop_limit" } else { "ttl" };
            make(plan, name, &stanza.place, kind);
            outer(plan, name, settings, ttl);
            // An address without a length is that of a link with two ends.
            let v6 = stanza.settings.iter().any(|s| s.name == "address" && s.value.contains(':'));
            addresses(plan, name, settings, v6);
        }
        Err(message) => {
            settings.0.clear();
            plan.warn(&stanza.place, has_entry(stanza).then_some(name), format!("{name}: {message}"));
        }
    }
}
