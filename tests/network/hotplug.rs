//! Links that come late, go, come back, and get the name that router.ron gives them.

use portreeve_tests::lab::{Result, veth};

use super::{Scene, interfaces};

#[test]
fn an_interface_that_comes_late_goes_and_returns_is_configured_each_time() -> Result {
    let config = interfaces(
        r#"interfaces: {"usb0": (addresses: ["10.3.0.1/24", "2001:db8:3::1/64"], mtu: 1300,
            routes: [(to: "10.30.0.0/16", via: "10.3.0.9"), (to: "2001:db8:30::/48", via: "2001:db8:3::9")],
            sysctls: {"ipv4.arp_ignore": "1"})}"#,
    );
    let mut scene = Scene::new(&config)?;
    scene.core = Some(scene.site.start(&scene.router)?);
    for round in 0..2 {
        scene.wait_state("interfaces", "degraded", "usb0 is absent")?;
        let mac = format!("02:00:5e:10:09:{round:02}");
        veth((&scene.router, "usb0", &mac), (&scene.elsewhere, "far0", "02:00:5e:10:09:09"))?;
        scene.wait_output("ip addr show dev usb0", |text| {
            ["10.3.0.1/24", "2001:db8:3::1/64", "mtu 1300"].iter().all(|part| text.contains(part))
        })?;
        scene.wait_output("ip route show 10.30.0.0/16", |text| text.contains("via 10.3.0.9 dev usb0"))?;
        scene.wait_output("ip -6 route show 2001:db8:30::/48", |text| text.contains("via 2001:db8:3::9 dev usb0"))?;
        scene.wait_output("cat /proc/sys/net/ipv4/conf/usb0/arp_ignore", |text| text.trim() == "1")?;
        scene.wait_state("interfaces", "ready", "")?;
        scene.router.run("ip link del usb0")?;
    }
    Ok(())
}

#[test]
fn a_link_that_goes_down_and_up_has_everything_again() -> Result {
    let config = interfaces(
        r#"interfaces: {"lan0": (addresses: ["10.3.0.1/24", "2001:db8:3::1/64"],
            routes: [(to: "10.30.0.0/16", via: "10.3.0.9"), (to: "2001:db8:30::/48", via: "2001:db8:3::9")])}"#,
    );
    let mut scene = Scene::new(&config)?;
    scene.start(&["interfaces"])?;
    scene.wait_output("ip -6 route show 2001:db8:30::/48", |text| text.contains("dev lan0"))?;
    scene.router.run("ip link set lan0 down")?;
    scene.router.run("ip link set lan0 up")?;
    scene.wait_output("ip addr show dev lan0", |text| text.contains("2001:db8:3::1/64"))?;
    scene.wait_output("ip route show 10.30.0.0/16", |text| text.contains("dev lan0"))?;
    scene.wait_output("ip -6 route show 2001:db8:30::/48", |text| text.contains("dev lan0")).map(drop)
}

#[test]
fn an_optional_interface_is_not_missed() -> Result {
    let config = interfaces(r#"interfaces: {"usb0": (addresses: ["10.3.0.1/24"], optional: true), "lan0": ()}"#);
    let mut scene = Scene::new(&config)?;
    scene.start(&["interfaces"])
}

#[test]
fn a_pattern_is_for_all_that_match_and_the_exact_name_goes_before_it() -> Result {
    let config =
        interfaces(r#"interfaces: {"dsl*": (mtu: 1400, sysctls: {"ipv4.arp_ignore": "1"}), "dsl1": (mtu: 1300)}"#);
    let mut scene = Scene::new(&config)?;
    let wired = |scene: &Scene, name: &str, number: u8| {
        let (mac, far) = (format!("02:00:5e:10:08:{number:02}"), format!("far{number}"));
        veth((&scene.router, name, &mac), (&scene.elsewhere, &far, &format!("02:00:5e:10:07:{number:02}")))
    };
    wired(&scene, "dsl1", 1)?;
    wired(&scene, "dsl2", 2)?;
    scene.start(&["interfaces"])?;
    wired(&scene, "dsl3", 3)?;
    for (name, mtu) in [("dsl1", "mtu 1300"), ("dsl2", "mtu 1400"), ("dsl3", "mtu 1400"), ("lan0", "mtu 1500")] {
        scene.wait_output(&format!("ip link show {name}"), |text| text.contains(mtu))?;
    }
    for (name, value) in [("dsl1", "0"), ("dsl3", "1")] {
        scene.wait_output(&format!("cat /proc/sys/net/ipv4/conf/{name}/arp_ignore"), |text| text.trim() == value)?;
    }
    Ok(())
}

/// Renaming hardware needs hardware: `qemu` has some. A link of a kind was made by somebody, under a name of his choice.
#[test]
fn links_that_somebody_made_are_no_hardware_and_keep_their_name() -> Result {
    let config = interfaces(r#"interfaces: {"up0": (match: (mac: "02:00:5e:10:00:03"), addresses: ["10.4.0.1/24"])}"#);
    let mut scene = Scene::new(&config)?;
    scene.core = Some(scene.site.start(&scene.router)?);
    scene.wait_state("interfaces", "degraded", "up0 is absent")?;
    scene.router.run("ip link show wan0")
}
