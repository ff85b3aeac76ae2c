//! Ends that stop and come back, addresses that change while hosts talk.

use std::time::Duration;

use portreeve_tests::lab::{Result, ensure, wait_until};

use super::site::{Internet, PLAIN, TRANSPORT, WITHIN, provider_ron, router_ron, router_ron_at};

fn with_keepalive(more: &str) -> String {
    format!(r#"{PLAIN}, keepalive: (target: "{TRANSPORT}", interval: "1s", timeout: "3s"){more}"#)
}

#[test]
fn a_tunnel_server_that_stops_is_noticed_and_so_is_its_return() -> Result {
    let mut internet = Internet::new(&router_ron(&with_keepalive("")))?;
    internet.hosts_are_connected()?;
    internet.wait_tunnel("up", |tunnel| tunnel.state == "up")?;
    if let Some(peer) = internet.peer.take() {
        peer.stop()?;
    }
    internet.wait_tunnel("down", |tunnel| tunnel.state == "down")?;
    // It is for watching alone: the routes stay.
    ensure(!internet.router.default_routes().is_empty(), || "the default route went".to_owned())?;
    internet.peer = Some(internet.peer_site.start(&internet.provider)?);
    internet.wait_tunnel("up again", |tunnel| tunnel.state == "up")?;
    internet.reaches_the_server(0)
}

#[test]
fn with_failover_the_routes_leave_with_the_tunnel_and_return_with_it() -> Result {
    let mut internet = Internet::new(&router_ron(&with_keepalive(", failover: true")))?;
    internet.hosts_are_connected()?;
    let has_route = |internet: &Internet| internet.router.default_routes().iter().any(|r| r.contains("dev sixbone"));
    ensure(has_route(&internet), || "no default route".to_owned())?;
    internet.provider.run("ip link set down0 down")?;
    internet.wait_tunnel("down", |tunnel| tunnel.state == "down")?;
    wait_until("the end of the default route", WITHIN, || (!has_route(&internet)).then_some(()))?;
    internet.provider.run("ip link set down0 up")?;
    internet.wait_tunnel("up again", |tunnel| tunnel.state == "up")?;
    wait_until("the default route", WITHIN, || has_route(&internet).then_some(()))?;
    internet.reaches_the_server(1)
}

#[test]
fn the_provider_sets_its_end_down_and_up_by_hand_and_all_is_well_again() -> Result {
    let mut internet = Internet::new(&router_ron(&with_keepalive("")))?;
    internet.hosts_are_connected()?;
    internet.provider.run("ip link set customer down")?;
    // Its own Portreeve may set it up again before the other end has noticed.
    let _ = wait_until("down", Duration::from_secs(4), || {
        internet.tunnel().ok().filter(|tunnel| tunnel.state == "down").map(drop)
    });
    internet.provider.run("ip link set customer up")?;
    internet.wait_tunnel("up", |tunnel| tunnel.state == "up")?;
    internet.reaches_the_server(0)
}

#[test]
fn a_tunnel_follows_the_address_of_its_interface() -> Result {
    let tunnel = r#"kind: SixInFour(remote: "192.0.2.1", local: Interface("wan0"))"#;
    let mut internet = Internet::new(&router_ron(tunnel))?;
    internet.hosts_are_connected()?;
    internet.wait_tunnel("the first address", |tunnel| tunnel.local == "192.0.2.2 (wan0)")?;
    internet.site.configure(&router_ron_at("192.0.2.7/28", tunnel))?;
    internet.core.reload()?;
    internet.peer_site.configure(&provider_ron("192.0.2.7"))?;
    internet.peer.as_ref().map_or(Ok(()), |peer| peer.reload())?;
    internet.wait_tunnel("the other address", |tunnel| tunnel.local == "192.0.2.7 (wan0)")?;
    for host in 0..2 {
        internet.reaches_the_server(host)?;
    }
    Ok(())
}
