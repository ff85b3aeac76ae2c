//! Objects that others made stand where ours should: they are reported or shared, and stay.

use portreeve_tests::lab::{Result, ensure};

use super::{Scene, interfaces, ron};

#[test]
fn a_link_made_by_hand_under_the_name_of_ours_is_reported_and_left_alone() -> Result {
    let config =
        interfaces(r#"interfaces: {"pair0": (kind: Veth(peer: "pair1"), addresses: ["10.2.0.1/24"], mtu: 1400)}"#);
    let mut scene = Scene::new(&config)?;
    scene.router.run("ip link add pair0 type veth peer name mine")?;
    let before = scene.router.output("ip -o link show pair0")?;
    scene.core = Some(scene.site.start(&scene.router)?);
    scene
        .wait_state("interfaces", "degraded", "pair0: there is a link of this name that Portreeve did not make")
        .or_else(|_| scene.wait_state("interfaces", "degraded", "link pair0"))?;
    super::same("the link", &before, &scene.router.output("ip -o link show pair0")?)?;
    // When it is gone, ours takes its place.
    scene.router.run("ip link del pair0")?;
    scene.wait_output("ip -o addr show dev pair0", |text| text.contains("10.2.0.1/24"))?;
    scene.wait_state("interfaces", "ready", "")
}

#[test]
fn an_equal_address_made_by_hand_is_left_and_stays() -> Result {
    let with = |address: &str| interfaces(&format!(r#"interfaces: {{"lan0": (addresses: ["10.1.0.2/24"{address}])}}"#));
    let mut scene = Scene::new(&with(r#", "10.1.0.1/24", "2001:db8:1::1/64""#))?;
    scene.router.run("ip addr add 10.1.0.1/24 dev lan0 valid_lft 5000 preferred_lft 4000")?;
    scene.router.run("ip addr add 2001:db8:1::1/64 dev lan0 nodad")?;
    scene.start(&["interfaces"])?;
    let text = scene.wait_output("ip addr show dev lan0", |text| text.contains("10.1.0.2/24"))?;
    ensure(text.contains("dynamic"), || format!("its lifetime was taken away\n{text}"))?;
    scene.reconfigure(&with(r#", "10.1.0.3/24""#))?;
    let text = scene.wait_output("ip addr show dev lan0", |text| text.contains("10.1.0.3/24"))?;
    ensure(text.contains("10.1.0.1/24") && text.contains("2001:db8:1::1/64"), || text)?;
    scene.site.configure(&ron(""))?;
    scene.core().reload()?;
    let text = scene.wait_output("ip addr show dev lan0", |text| !text.contains("10.1.0.2/24"))?;
    ensure(text.contains("10.1.0.1/24") && text.contains("2001:db8:1::1/64"), || text)
}

#[test]
fn an_equal_route_made_by_hand_is_left_and_stays() -> Result {
    let with = |routes: &str| {
        interfaces(&format!(r#"interfaces: {{"lan0": (addresses: ["10.1.0.2/24"], routes: [{routes}])}}"#))
    };
    let mut scene = Scene::new(&with(r#"(to: "10.5.0.0/16", via: "10.1.0.9"), (to: "10.6.0.0/16", via: "10.1.0.9")"#))?;
    scene.router.run("ip addr add 10.1.0.1/24 dev lan0")?;
    scene.router.run("ip route add 10.5.0.0/16 via 10.1.0.8")?;
    scene.core = Some(scene.site.start(&scene.router)?);
    scene.wait_output("ip route show 10.6.0.0/16", |text| text.contains("via 10.1.0.9"))?;
    let text = scene.router.output("ip route show 10.5.0.0/16")?;
    ensure(text.contains("via 10.1.0.8"), || text)?;
    scene.reconfigure(&with(""))?;
    scene.wait_output("ip route show 10.6.0.0/16", str::is_empty)?;
    let text = scene.router.output("ip route show 10.5.0.0/16")?;
    ensure(text.contains("via 10.1.0.8"), || text)
}
