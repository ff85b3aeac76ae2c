//! The same component without the rights that the shipped plugin has by its section: it is denied, and nothing changes.

use portreeve_tests::lab::{Monitor, Result, ensure};

use super::Scene;

#[test]
fn a_component_that_may_not_configure_is_denied_and_nothing_changes() -> Result {
    let config = r#""foreign": (component: "plugins/interfaces.wasm", allow: [Links("*"), Configure("lan0")], config: (
        interfaces: {"lan0": (addresses: ["10.1.0.1/24"]), "wan0": (addresses: ["10.2.0.1/24"])})),"#;
    let mut scene = Scene::new(config)?;
    let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
    scene.core = Some(scene.site.start(&scene.router)?);
    scene.wait_state("foreign", "degraded", "")?;
    let status = scene.core().status_json()?;
    let foreign = status["plugins"].as_array().and_then(|p| p.first()).cloned().unwrap_or_default();
    ensure(foreign["denied"].to_string().contains("wan0"), || foreign.to_string())?;
    // All or nothing: what would have been allowed is not done either.
    let heard = monitor.events()?;
    ensure(heard.is_empty(), || format!("{heard:#?}"))
}
