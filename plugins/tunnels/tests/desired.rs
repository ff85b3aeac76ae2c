//! The engine on a clock of its own: what a tunnel comes to in the kernel beside its link, and what 6rd brings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod lab;

use lab::*;
use portreeve_network::{Family, Kind, Route, RouteKind, RuleAction};
use portreeve_tunnels::engine::{Action, PathRemote};

#[test]
fn the_kernels_6rd_goes_out_by_its_relay() {
    let section = r#"(tunnels: {"rd": (kind: SixRd(prefix: "2001:db8::/32", relay: "10.0.0.1", ipv4_mask_length: 8,
        local: Interface("wan0")), routes: [(to: "::/0"), (to: "2001:db8::/32")])})"#;
    let mut lab = Lab::new(section, &["sit"]);
    lab.wan_address("10.100.100.1/24");
    let mut state = lab.state();
    state.routes.retain(|route| route.interface.is_some());
    let Some(Kind::SixRd(rd)) = &state.links[0].make else { panic!("{state:?}") };
    assert_eq!(
        (rd.relay_prefix, rd.tunnel.local, rd.tunnel.remote),
        (prefix("10.0.0.0/8"), "10.100.100.1".parse().ok(), None)
    );
    assert_eq!((state.routes[0].gateway, state.routes[1].gateway), ("::10.0.0.1".parse().ok(), None));
    let mut lab = Lab::new(section, &["tun"]);
    let actions = lab.wan_address("10.100.100.1/24");
    assert!(matches!(opened(&actions).unwrap().remote, PathRemote::SixRd { ipv4_mask_length: 8, .. }));
    assert!(lab.state().routes.iter().all(|route| route.gateway.is_none()));
}

#[test]
fn the_prefix_of_a_6rd_tunnel_is_told_and_what_nobody_uses_of_it_is_unreachable() {
    let section = r#"(tunnels: {"rd": (kind: SixRd(prefix: "2001:db8::/32", relay: "10.0.0.1", ipv4_mask_length: 8,
        local: Interface("wan0")))})"#;
    let mut lab = Lab::new(section, &["sit"]);
    let told = |actions: &[Action]| {
        let one = |action: &Action| match action {
            Action::PublishPrefix { key, prefix } => Some((key.clone(), Some(prefix.to_string()))),
            Action::Withdraw { key } if key.contains('/') => Some((key.clone(), None)),
            _ => None,
        };
        actions.iter().filter_map(one).collect::<Vec<_>>()
    };
    assert_eq!(told(&lab.run()), []);
    let publish = |prefix: &str| vec![("6rd/rd".to_owned(), Some(prefix.to_owned()))];
    assert_eq!(told(&lab.wan_address("10.100.100.1/24")), publish("2001:db8:6464:100::/56"));
    let unreachable = |lab: &Lab| {
        let routes = lab.state().routes;
        let of = |route: &&Route| route.kind == RouteKind::Unreachable;
        routes.iter().filter(of).map(|r| format!("{} {:?}", r.destination, r.metric)).collect::<Vec<_>>()
    };
    assert_eq!(unreachable(&lab), ["2001:db8:6464:100::/56 Some(2147483646)"]);
    lab.engine.handle_address_gone(WAN, prefix("10.100.100.1/24"), lab.now);
    assert_eq!(told(&lab.run()), [], "what was good stays until something better is known");
    assert_eq!(told(&lab.wan_address("10.100.100.2/24")), publish("2001:db8:6464:200::/56"));
    assert_eq!(unreachable(&lab), ["2001:db8:6464:200::/56 Some(2147483646)"]);
    let withdrawn = [("6rd/rd".to_owned(), None)];
    let down = section.replace("local: Interface(\"wan0\"))", "local: Interface(\"wan0\")), up: false");
    assert_eq!(told(&lab.reconfigure(&down)), withdrawn);
    assert_eq!(unreachable(&lab).len(), 0);
    assert_eq!(told(&lab.reconfigure(section)), publish("2001:db8:6464:200::/56"));
    assert_eq!(told(&lab.reconfigure("(tunnels: {})")), withdrawn);
}

#[test]
fn the_kernel_drops_what_comes_in_and_claims_to_be_ours() {
    let own = SIXBONE.replace("addresses", "own_prefixes: [\"2001:db8:60::/60\"], addresses");
    let mut lab = Lab::new(&own, &["sit"]);
    lab.run();
    let rules = lab.state().rules;
    let [rule] = &rules[..] else { panic!("{rules:?}") };
    assert_eq!((rule.priority, rule.family, rule.action), (900, Family::Ipv6, RuleAction::Blackhole));
    assert_eq!((rule.source, rule.incoming.as_deref()), (Some(prefix("2001:db8:60::/60")), Some("sixbone")));
    // The userspace path drops it itself.
    let mut lab = Lab::new(&own, &["tun"]);
    let actions = lab.run();
    assert_eq!((opened(&actions).unwrap().own_prefixes.len(), lab.state().rules.len()), (1, 0));
    let ipv4 = "(tunnels: {\"t\": (kind: Ip6Tunnel(remote: \"2001:db8::1\", mode: Ipv4), \
                own_prefixes: [\"2001:db8:60::/60\"])})";
    let mut lab = Lab::new(ipv4, &["ip6tnl"]);
    lab.run();
    assert_eq!((lab.kind("t"), lab.state().rules.len()), (Some("ip6tnl"), 0));
}

#[test]
fn a_gateway_beyond_the_prefix_is_taken_as_it_is_written() {
    let mut lab = Lab::new(&SIXBONE.replace("::2/64", "::2/127"), &["sit"]);
    lab.run();
    assert!(lab.state().routes[0].on_link);
}

#[test]
fn a_tunnel_that_is_configured_down_has_no_routes_and_is_no_problem() {
    let mut lab = Lab::new(&SIXBONE.replace("addresses", "up: false, addresses"), &["sit"]);
    assert_eq!(lab.run(), [Action::Apply, Action::Ready]);
    let state = lab.state();
    assert_eq!((state.links[0].up, state.addresses.len(), state.routes.len()), (Some(false), 1, 0));
    assert_eq!(lab.row("sixbone").state, "down");
}
