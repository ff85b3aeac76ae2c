//! router.ron is edited while the core runs: the kernel hears of the difference and of nothing else.

use portreeve_tests::lab::{Event, Monitor, Result, ensure};

use super::{Scene, interfaces};

fn with(numbers: impl IntoIterator<Item = u32>) -> String {
    let addresses: Vec<String> = numbers
        .into_iter()
        .flat_map(|n| [format!("\"192.0.2.{n}/24\""), format!("(address: \"2001:db8:1::{n}/64\", dad: false)")])
        .collect();
    interfaces(&format!(
        r#"interfaces: {{"lan0": (addresses: [{}]), "wan0": (addresses: ["198.51.100.1/24", "2001:db8:2::1/64"])}}"#,
        addresses.join(", ")
    ))
}

/// The address of an event of an address.
fn address(event: &Event) -> Option<(bool, String)> {
    let mut words = event.text.split_whitespace();
    words.find(|word| word.starts_with("inet"))?;
    Some((event.deleted, words.next()?.to_owned()))
}

/// Waits until `lan0` has `count` addresses of ours, then gives all that the monitor heard until then.
fn events(scene: &mut Scene, monitor: &mut Monitor, count: usize) -> Result<Vec<Event>> {
    scene.wait_output("ip -o addr show dev lan0 scope global", |text| text.lines().count() == count)?;
    monitor.events()
}

fn all_are_on_lan0(events: &[Event]) -> Result {
    let stray: Vec<_> = events.iter().filter(|event| !event.is_on("lan0") || event.object == "LINK").collect();
    ensure(stray.is_empty(), || format!("events that are none of lan0's addresses: {stray:#?}"))
}

fn addresses(events: &[Event]) -> Vec<(bool, String)> {
    let mut addresses: Vec<_> = events.iter().filter(|e| e.object == "ADDR").filter_map(address).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

#[test]
fn ten_addresses_come_and_go_and_nothing_else_is_touched() -> Result {
    let mut scene = Scene::new(&with([]))?;
    scene.start(&["interfaces"])?;
    let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
    let five = |deleted: bool| -> Vec<(bool, String)> {
        let mut all: Vec<_> = (1..=5)
            .flat_map(|n| [(deleted, format!("192.0.2.{n}/24")), (deleted, format!("2001:db8:1::{n}/64"))])
            .collect();
        all.sort();
        all
    };

    scene.reconfigure(&with(1..=5))?;
    let heard = events(&mut scene, &mut monitor, 10)?;
    all_are_on_lan0(&heard)?;
    ensure(addresses(&heard) == five(false), || format!("{heard:#?}"))?;

    // One more, and one fewer: each alone.
    scene.reconfigure(&with(1..=6))?;
    let heard = events(&mut scene, &mut monitor, 12)?;
    all_are_on_lan0(&heard)?;
    ensure(addresses(&heard).len() == 2 && heard.iter().all(|e| !e.deleted), || format!("{heard:#?}"))?;
    scene.reconfigure(&with([1, 2, 3, 4, 5]))?;
    let heard = events(&mut scene, &mut monitor, 10)?;
    all_are_on_lan0(&heard)?;
    ensure(addresses(&heard).len() == 2 && heard.iter().all(|e| e.deleted), || format!("{heard:#?}"))?;

    scene.reconfigure(&with([]))?;
    let heard = events(&mut scene, &mut monitor, 0)?;
    all_are_on_lan0(&heard)?;
    ensure(addresses(&heard) == five(true), || format!("{heard:#?}"))
}

/// The kernel takes the secondary addresses of an IPv4 prefix away with the first one, unless it is told to promote one.
#[test]
fn the_first_address_of_a_prefix_goes_and_the_others_stay() -> Result {
    let mut scene = Scene::new(&with(1..=5))?;
    scene.start(&["interfaces"])?;
    events_settle(&mut scene)?;
    let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
    scene.reconfigure(&with(2..=5))?;
    scene.wait_output("ip -o addr show dev lan0 scope global", |text| {
        text.lines().count() == 8 && !text.contains("192.0.2.1/24")
    })?;
    let heard = monitor.events()?;
    let gone: Vec<_> = addresses(&heard).into_iter().filter(|(deleted, _)| *deleted).collect();
    let expected = [(true, "192.0.2.1/24".to_owned()), (true, "2001:db8:1::1/64".to_owned())];
    ensure(gone == expected, || format!("others went with them, be it for a moment: {gone:#?}"))
}

#[test]
fn a_reload_of_the_same_file_sends_nothing() -> Result {
    let mut scene = Scene::new(&with(1..=5))?;
    scene.start(&["interfaces"])?;
    events_settle(&mut scene)?;
    let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
    scene.reconfigure(&with(1..=5))?;
    // The order of the list is no difference either; then one address more shows that both were read.
    scene.reconfigure(&with([5, 4, 3, 2, 1]))?;
    scene.reconfigure(&with(1..=6))?;
    let heard = events(&mut scene, &mut monitor, 12)?;
    ensure(addresses(&heard).len() == 2, || format!("{heard:#?}"))
}

fn events_settle(scene: &mut Scene) -> Result {
    scene.wait_output("ip -o addr show dev lan0 scope global", |text| text.lines().count() == 10).map(drop)
}

#[test]
fn an_address_that_takes_the_place_of_another_of_its_prefix_stays() -> Result {
    let with = |address: &str| interfaces(&format!(r#"interfaces: {{"wan0": (addresses: ["{address}"])}}"#));
    let mut scene = Scene::new(&with("192.0.2.2/28"))?;
    scene.start(&["interfaces"])?;
    scene.reconfigure(&with("192.0.2.7/28"))?;
    scene.wait_output("ip -o -4 addr show dev wan0", |text| {
        text.contains("192.0.2.7/28") && !text.contains("192.0.2.2/")
    })?;
    // It may not have been seen just before it went with the other.
    scene.reconfigure(&with("192.0.2.7/28"))?;
    scene.core().wait_ready("interfaces", super::WITHIN)?;
    let text = scene.router.output("ip -o -4 addr show dev wan0")?;
    ensure(text.contains("192.0.2.7/28"), || format!("it went with the other: {text}"))
}
