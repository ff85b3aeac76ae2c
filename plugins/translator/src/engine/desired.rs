//! What the instances come to in the kernel: tun devices, what is routed into them, forwarding, masquerading.

use portreeve_network::{Address, Kind, Link, Masquerade, Prefix, Route, State, Sysctl};

use super::instance::Runtime;
use crate::config::{Clat, EVERYTHING4, FORWARDING, Instance, Mode};

/// What an IPv6 header is longer than an IPv4 one, in bytes (RFC 7915 section 1.3).
const HEADER_DIFFERENCE: u32 = 20;

/// Adds an instance to the state.
pub(super) fn add(runtime: &Runtime, state: &mut State) {
    let config = &runtime.config;
    state.links.push(Link {
        name: config.name.clone(),
        make: Some(Kind::Tun),
        up: Some(true),
        mtu: Some(config.device_mtu()),
        ..Link::default()
    });
    let through = |destination: &Prefix| Route { interface: Some(config.name.clone()), ..Route::new(*destination) };
    state.routes.extend(runtime.routes.iter().map(through));
    // The hosts behind a CLAT are hidden on their way through it only; what they send elsewhere is nothing to us.
    let out = matches!(config.mode, Mode::Clat(_)).then(|| config.name.clone());
    let hidden = config.masquerades().into_iter();
    state.masquerades.extend(hidden.map(|source| Masquerade { source, out: out.clone() }));
    if let Mode::Clat(clat) = &config.mode {
        customer(runtime, config, clat, state);
    }
}

fn customer(runtime: &Runtime, config: &Instance, clat: &Clat, state: &mut State) {
    state.addresses.push(Address::new(config.name.clone(), Prefix::new(clat.ipv4.into(), 32)));
    // Without a prefix there is no way out here.
    if clat.default_route && runtime.prefix.is_some() {
        // Fragments need 8 bytes more, but programs that look at the path's MTU send none.
        let fits = config.traffic.mtu6.saturating_sub(HEADER_DIFFERENCE).min(config.traffic.mtu4);
        state.routes.push(Route {
            interface: Some(config.name.clone()),
            metric: Some(clat.metric),
            preferred_source: Some(clat.ipv4.into()),
            mtu: (fits < config.device_mtu()).then_some(fits),
            ..Route::new(EVERYTHING4)
        });
    }
}

/// Packets come in by one interface and leave by another one.
pub(super) fn forwarding(state: &mut State) {
    state.sysctls.extend(FORWARDING.map(|name| Sysctl { name: name.to_owned(), value: "1".to_owned() }));
}
