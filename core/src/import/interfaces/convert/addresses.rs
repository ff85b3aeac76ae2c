//! Addresses and default routes of a stanza: what `static` and the tunnels have in common.

use std::net::{IpAddr, Ipv4Addr};

use super::super::plan::{Address, Plan, Route};
use super::super::read::Setting;
use super::super::value::{self, Net};
use super::{Settings, checked, number};

/// Addresses and the default route of a stanza.
pub(super) fn addresses(plan: &mut Plan, name: &str, settings: &mut Settings, v6: bool) {
    let mask = settings.take("netmask").and_then(|s| checked(plan, &s, |text| value::length(text, v6)));
    let peers = settings.take_all(&["pointopoint", "dstaddr"]);
    let peer = peers.first().and_then(|s| checked(plan, s, |text| value::address(text, v6)));
    let preferred = settings.take("preferred-lifetime").and_then(|s| {
        let why = "write seconds, or forever";
        checked(plan, &s, |text| value::lifetime(text).ok_or(format!("`{text}` is no lifetime; {why}")))
    });
    let dad = settings.take("dad-attempts").is_none_or(|setting| setting.value != "0");
    let broadcast = settings.take("broadcast");
    for setting in settings.take_all(&["address"]) {
        let Some((address, length)) = checked(plan, &setting, |text| value::address_and_length(text, v6)) else {
            continue;
        };
        let host = peer.map(|_| value::bits(address));
        let length = host.or(length).or(mask).unwrap_or_else(|| {
            let length = value::assumed_length(address);
            plan.warn(
                &setting.place,
                Some(name),
                format!("{address} has no netmask; ifupdown took /{length}, so it stays"),
            );
            length
        });
        let mut new = Address::new(Net { address, length });
        (new.peer, new.dad) = (peer, dad);
        new.preferred = preferred.flatten();
        if let Some(setting) = &broadcast {
            check_broadcast(plan, name, setting, new.net);
        }
        let entry = plan.entry(name);
        if !entry.addresses.iter().any(|known| known.net == new.net) {
            entry.addresses.push(new);
        }
    }
    if let Some(setting) = settings.take("scope").filter(|s| !matches!(s.value.as_str(), "global" | "site")) {
        plan.warn(
            &setting.place,
            Some(name),
            format!("Portreeve has no setting for scope {}; it is global", setting.value),
        );
    }
    let metric = settings.take("metric").and_then(|s| number(plan, &s));
    for setting in settings.take_all(&["gateway"]) {
        if setting.value == "none" {
            continue;
        }
        // ifupdown takes `gateway ::/0` of a tunnel for a route without a next hop.
        if let Some(to) = setting.value.contains('/').then(|| value::destination(&setting.value, Some(v6))).flatten() {
            let mut route = Route::new(&setting.place, name, to);
            (route.dev, route.metric) = (Some(name.to_owned()), metric);
            plan.routes.push(route);
        } else if let Some(via) = checked(plan, &setting, |text| value::address(text, v6)) {
            plan.routes.push(Route::default(&setting.place, name, via, metric));
        }
    }
}

fn check_broadcast(plan: &mut Plan, name: &str, setting: &Setting, net: Net) {
    let IpAddr::V4(address) = net.address else { return };
    let hosts = u32::MAX.checked_shr(net.length.into()).unwrap_or(0);
    let usual = Ipv4Addr::from(u32::from(address) | hosts).to_string();
    if setting.value != "+" && setting.value != usual {
        let what = format!("broadcast {} of {net} is not the usual {usual}", setting.value);
        plan.warn(&setting.place, Some(name), format!("{what}; Portreeve leaves the broadcast address to the kernel"));
    }
}
