//! Guests against the host interfaces on a fake kernel: real components, real grants, no rights needed.
//!
//! The guest `probe` makes one host call for each query. File = interface = prefix of the tests' names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portreeve::config::{Limits, LogLevel};
use portreeve::grants::{FactKind, Grants, Need, Pattern, Policy};
use portreeve::host::Shared;
use portreeve::plugin::engine::TURN_LIMIT;
use portreeve::plugin::instance::{Command, Ended, Event, Instance, Start, What};
use portreeve::plugin::{Loader, PluginEngine};
use portreeve::stores::logs::LogStore;
use portreeve::sys::fake::FakeKernel;
use portreeve::sys::{Address, Link, Received, Route};
use portreeve_config::Position;
use portreeve_tests::lab::Stage;
use tokio::sync::{mpsc, oneshot};

/// Long enough for the slowest machine; nothing waits this long when all is well.
const DEADLINE: Duration = Duration::from_secs(20);

struct Host {
    kernel: FakeKernel,
    shared: Arc<Shared>,
    loader: Loader,
    directory: tempfile::TempDir,
}

struct Guest {
    instance: Instance,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Host {
    fn new() -> Self {
        let kernel = FakeKernel::new();
        kernel.set_link(link(2, "lan0"));
        kernel.set_link(link(3, "wan0"));
        kernel.set_address(address(2, "fe80::1"));
        kernel.set_address(address(3, "2001:db8::3"));
        let directory = tempfile::tempdir().unwrap();
        let logs = LogStore::new(LogLevel::Debug, false);
        let (state, flash) = (directory.path().join("state"), directory.path().join("flash"));
        let shared = Shared::new(Arc::new(kernel.clone()), logs, &state, &flash);
        let loader = Loader::new(PluginEngine::new().unwrap(), None).unwrap();
        Self { kernel, shared: Arc::new(shared), loader, directory }
    }

    async fn start(&self, guest: &str, section: &str, needs: &[Need], limits: Limits) -> Guest {
        self.start_file(&Stage::find().unwrap().guest(guest), guest, section, needs, limits).await
    }

    /// The real radvd, ready on one interface.
    async fn radvd(&self, ifname: &str) -> Guest {
        let interfaces = Pattern::new(ifname).unwrap();
        let needs = [links(ifname), Need::Icmpv6 { interfaces, receive: [133, 134].into(), send: [134].into() }];
        let section = format!("(interfaces: {{\"{ifname}\": (prefixes: {{\"2001:db8:1::/64\": ()}})}})");
        let file = Stage::find().unwrap().plugin("radvd");
        self.start_file(&file, "radvd", &section, &needs, Limits::default()).await
    }

    async fn start_file(&self, file: &Path, name: &str, section: &str, needs: &[Need], limits: Limits) -> Guest {
        let (sender, events) = mpsc::unbounded_channel();
        let start = Start {
            plugin: name.into(),
            run: 1,
            loaded: self.loader.load(file).unwrap(),
            limits,
            grants: Arc::new(grants(needs)),
            section: section.to_owned(),
            place: Position { line: 7, column: 3 },
        };
        let engine = self.loader.engine().clone();
        let instance = Instance::start(engine, self.shared.clone(), start, sender).unwrap();
        let mut guest = Guest { instance, events };
        assert_eq!(guest.event().await, What::Ready);
        guest
    }

    async fn probe(&self, needs: &[Need]) -> Guest {
        self.start("probe", "()", needs, Limits::default()).await
    }

    fn log(&self) -> Vec<String> {
        self.shared.logs.follow().0.iter().map(|record| record.to_string()).collect()
    }
}

impl Guest {
    async fn event(&mut self) -> What {
        tokio::time::timeout(DEADLINE, self.events.recv()).await.expect("an event in time").unwrap().what
    }

    /// Starts a query; its answer comes when the guest has one.
    fn ask(&self, words: &str) -> oneshot::Receiver<Result<portreeve::plugin::instance::Answer, String>> {
        let (reply, answer) = oneshot::channel();
        let words = words.split_whitespace().map(str::to_owned).collect();
        assert!(self.instance.command(Command::Query(words, reply)).is_ok());
        answer
    }

    async fn call(&self, words: &str) -> Vec<String> {
        let answer = tokio::time::timeout(DEADLINE, self.ask(words)).await.expect("an answer in time");
        answer.unwrap().unwrap().values.into_iter().map(|(_, value)| value).collect()
    }
}

fn solicitation() -> Received {
    Received {
        source: "fe80::9".parse().unwrap(),
        destination: "ff02::2".parse().unwrap(),
        hop_limit: 255,
        message: vec![133, 0, 0, 0, 0, 0, 0, 0],
    }
}

fn link(index: u32, name: &str) -> Link {
    Link { index, name: name.into(), mtu: 1500, up: true, running: true, multicast: true, ..Link::default() }
}

fn address(index: u32, text: &str) -> Address {
    Address::permanent(index, text.parse().unwrap(), 64)
}

/// Planned, in the manifest, and allowed.
fn grants(needs: &[Need]) -> Grants {
    Grants::new(needs.to_vec(), needs.to_vec(), Policy::Manifest)
}

fn links(pattern: &str) -> Need {
    Need::Links(Pattern::new(pattern).unwrap())
}

fn icmpv6(pattern: &str) -> Need {
    let interfaces = Pattern::new(pattern).unwrap();
    Need::Icmpv6 { interfaces, receive: [133].into(), send: [134].into() }
}

#[path = "host/network.rs"]
mod network;

#[tokio::test]
async fn links_shows_only_what_is_granted() {
    let host = Host::new();
    let probe = host.probe(&[links("lan*")]).await;
    assert_eq!(probe.call("links").await, ["lan0"]);
    assert_eq!(probe.call("addresses").await, ["fe80::1"]);
    assert_eq!(probe.call("changes").await, ["link lan0 running=true", "address fe80::1"]);
    let changes = probe.ask("changes");
    host.kernel.set_link(link(4, "wan1"));
    host.kernel.set_link(link(5, "lan1"));
    let changes = tokio::time::timeout(DEADLINE, changes).await.unwrap().unwrap().unwrap();
    assert_eq!(changes.values[0].1, "link lan1 running=true");
    host.kernel.remove_link(5);
    assert_eq!(probe.call("changes").await, ["gone 5"]);
}

#[tokio::test]
async fn links_answer_the_first_question_even_with_nothing_and_list_routes_and_neighbours() {
    let host = Host::new();
    let route = |destination: &str, index| Route {
        destination: (destination.parse().unwrap(), 64),
        gateway: None,
        index,
        metric: 1,
        protocol: 3,
    };
    host.kernel.set_routes(vec![route("2001:db8:1::", Some(2)), route("2001:db8:2::", Some(3)), route("fc00::", None)]);
    let none = host.probe(&[links("ppp*")]).await;
    assert_eq!(none.call("changes").await, [""; 0]);
    let lan = host.probe(&[links("lan*")]).await;
    assert_eq!(lan.call("routes").await, ["2001:db8:1::/64"], "what belongs to no link is not shown either");
    assert_eq!(lan.call("neighbours").await, [""; 0]);
    let all = host.probe(&[links("*")]).await;
    assert_eq!(all.call("routes").await, ["2001:db8:1::/64", "2001:db8:2::/64", "fc00::/64"]);
}

#[tokio::test]
async fn links_follow_a_grant_that_grows_and_shrinks() {
    let host = Host::new();
    let probe = host.probe(&[links("lan0")]).await;
    probe.call("changes").await;
    let more = probe.ask("changes");
    probe.instance.set_grants(Arc::new(grants(&[links("*")])));
    let more = tokio::time::timeout(DEADLINE, more).await.unwrap().unwrap().unwrap();
    assert_eq!(more.values[0].1, "link wan0 running=true");
    probe.instance.set_grants(Arc::new(grants(&[links("lan0")])));
    assert_eq!(probe.call("changes").await, ["gone 3"]);
}

#[tokio::test]
async fn links_without_a_grant_are_denied_and_the_denial_is_logged() {
    let host = Host::new();
    let probe = host.probe(&[]).await;
    for call in ["links", "addresses", "routes", "neighbours", "changes"] {
        assert_eq!(probe.call(call).await, ["denied"], "{call}");
    }
    let denials = host.log().iter().filter(|line| line.contains("WARN probe: denied")).count();
    assert_eq!(denials, 5, "{:#?}", host.log());
}

#[tokio::test]
async fn raw_ip_moves_packets_of_granted_types_on_granted_interfaces() {
    let host = Host::new();
    let probe = host.probe(&[icmpv6("lan0")]).await;
    assert_eq!(probe.call("open lan0 133").await, ["ok"]);
    assert_eq!(probe.call("join ff02::2").await, ["ok"]);
    assert_eq!(probe.call("join ff02::2").await, ["exists"]);
    assert_eq!(probe.call("join 2001:db8::1").await, ["invalid-argument"]);
    let arrived = probe.ask("receive");
    let packet = |kind: u8| Received {
        source: "fe80::9".parse().unwrap(),
        destination: "ff02::2".parse().unwrap(),
        hop_limit: 255,
        message: vec![kind, 0],
    };
    host.kernel.deliver(2, &packet(128));
    host.kernel.deliver(3, &packet(133));
    host.kernel.deliver(2, &packet(133));
    let arrived = tokio::time::timeout(DEADLINE, arrived).await.unwrap().unwrap().unwrap();
    assert_eq!(arrived.values.len(), 1);
    assert_eq!(arrived.values[0].1, "fe80::9 [133, 0]");
    assert_eq!(probe.call("send 134 ff02::1").await, ["ok"]);
    let (index, sent) = tokio::time::timeout(DEADLINE, host.kernel.sent()).await.unwrap();
    assert_eq!((index, sent.hop_limit, sent.message[0]), (2, 255, 134));
}

#[tokio::test]
async fn raw_ip_denies_other_interfaces_types_and_a_grant_that_was_taken_back() {
    let host = Host::new();
    let probe = host.probe(&[icmpv6("lan0")]).await;
    assert_eq!(probe.call("open wan0 133").await, ["denied"]);
    assert_eq!(probe.call("open lan0 128").await, ["denied"]);
    assert_eq!(probe.call("open lan0 133").await, ["ok"]);
    assert_eq!(probe.call("send 129 ff02::1").await, ["denied"]);
    assert_eq!(probe.call("send none ff02::1").await, ["invalid-argument"], "an empty message");
    probe.instance.set_grants(Arc::new(Grants::none()));
    assert_eq!(probe.call("send 134 ff02::1").await, ["denied"]);
    assert!(host.log().iter().any(|line| line.contains("receive ICMPv6 type 128 on lan0")), "{:#?}", host.log());
}

#[tokio::test]
async fn raw_ip_asks_the_grant_about_the_name_an_interface_has_now() {
    let host = Host::new();
    let probe = host.probe(&[icmpv6("lan*")]).await;
    assert_eq!(probe.call("open lan0 133").await, ["ok"]);
    assert_eq!(probe.call("send 134 ff02::1").await, ["ok"]);
    host.kernel.set_link(link(2, "wan7"));
    assert_eq!(probe.call("send 134 ff02::1").await, ["denied"]);
}

#[tokio::test]
async fn raw_ip_tells_a_missing_interface_from_one_that_went() {
    let host = Host::new();
    let probe = host.probe(&[icmpv6("*")]).await;
    assert_eq!(probe.call("open lan7 133").await, ["not-found"]);
    assert_eq!(probe.call("open wan0 133").await, ["ok"]);
    let waiting = probe.ask("receive");
    host.kernel.remove_link(3);
    let gone = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(gone.values[0].1, "gone");
    assert_eq!(probe.call("send 134 ff02::1").await, ["gone"]);
}

#[tokio::test]
async fn storage_keeps_values_within_the_granted_bytes_over_runs() {
    let host = Host::new();
    let needs = [Need::Storage { volatile: 20, flash: 0 }];
    let probe = host.probe(&needs).await;
    assert_eq!(probe.call("set volatile name value").await, ["ok"]);
    assert_eq!(probe.call("set volatile other 0123456789abcdef").await, ["limit"]);
    assert_eq!(probe.call("set volatile ../x y").await, ["invalid-argument"]);
    assert_eq!(probe.call("set flash name value").await, ["denied"]);
    drop(probe);
    let probe = host.probe(&needs).await;
    assert_eq!(probe.call("get volatile name").await, ["value"]);
    assert_eq!(probe.call("names volatile").await, ["name"]);
    assert_eq!(probe.call("remove volatile name").await, ["ok"]);
    assert_eq!(probe.call("remove volatile name").await, ["not-found"]);
    assert_eq!(probe.call("get volatile name").await, ["none"]);
    assert!(host.directory.path().exists());
}

#[tokio::test]
async fn facts_are_published_followed_and_denied_by_kind() {
    let host = Host::new();
    let probe = host.probe(&[Need::Publish(FactKind::DnsServer), Need::Watch(FactKind::DnsServer)]).await;
    assert_eq!(probe.call("facts").await, [""; 0]);
    assert_eq!(probe.call("publish a 2001:db8::53").await, ["ok"]);
    let seen = probe.call("facts").await;
    assert!(seen.len() == 1 && seen[0].starts_with("probe a Value::DnsServer"), "{seen:?}");
    assert_eq!(probe.call("withdraw a").await, ["ok"]);
    assert_eq!(probe.call("withdraw a").await, ["not-found"]);
    let none = host.probe(&[]).await;
    assert_eq!(none.call("publish a ::1").await, ["denied"]);
    assert_eq!(none.call("facts").await, ["denied"]);
}

#[tokio::test]
async fn clock_random_log_metrics_and_output_need_no_grant() {
    let host = Host::new();
    let probe = host.probe(&[]).await;
    let times = probe.call("clock").await;
    assert!(times[0].parse::<u64>().unwrap() >= 5_000_000, "slept for {} ns", times[0]);
    assert!(times[1].parse::<u64>().unwrap() > 1_700_000_000, "a time of day");
    let random = probe.call("random").await;
    assert_eq!(random[0], "4096", "a guest's size is cut");
    assert_ne!(probe.call("random").await[1], random[1]);
    assert_eq!(probe.call("count probes 3").await, ["ok"]);
    assert_eq!(probe.call("count probes 4").await, ["ok"]);
    assert!(host.shared.metrics.render().contains("portreeve_probes_total{plugin=\"probe\"} 7"));
    assert_eq!(probe.call("count core_x 1").await, ["invalid-argument"]);
    probe.call("log hello").await;
    probe.call("print there").await;
    let log = host.log().join("\n");
    assert!(log.contains("INFO probe: a probe says text=hello") && log.contains("INFO probe: there"), "{log}");
}

#[tokio::test]
async fn instance_says_degraded_and_ready() {
    let host = Host::new();
    let mut probe = host.probe(&[]).await;
    probe.call("degraded half").await;
    assert_eq!(probe.event().await, What::Degraded("half".into()));
    probe.call("ready").await;
    assert_eq!(probe.event().await, What::Ready);
}

#[tokio::test]
async fn an_instance_knows_where_its_section_begins_also_when_that_moves() {
    let host = Host::new();
    let probe = host.probe(&[]).await;
    assert_eq!(probe.call("place").await, ["7:3"]);
    probe.instance.set_place(Position { line: 9, column: 1 });
    assert_eq!(probe.call("place").await, ["9:1"]);
}

#[tokio::test]
async fn an_instance_winds_up_when_asked_and_is_thrown_away_when_it_does_not() {
    let host = Host::new();
    let mut probe = host.probe(&[]).await;
    assert!(probe.instance.command(Command::Stop).is_ok());
    assert_eq!(probe.event().await, What::Ended(Ended::Stopped));
    let mut stubborn = host.start("misfit", "(mode: NeverStop)", &[], Limits::default()).await;
    assert!(stubborn.instance.command(Command::Stop).is_ok());
    assert!(tokio::time::timeout(Duration::from_millis(200), stubborn.events.recv()).await.is_err());
    stubborn.instance.kill();
    assert_eq!(stubborn.event().await, What::Ended(Ended::Stopped));
}

#[tokio::test]
async fn handles_are_limited() {
    let host = Host::new();
    let limits = Limits { handles: 10, ..Limits::default() };
    let hoarder = host.start("misfit", "(mode: Hoard)", &[links("*")], limits).await;
    let answer = hoarder.ask("hoard").await.unwrap().unwrap();
    assert_eq!(answer.values, [("limit".to_owned(), "10".to_owned())]);
}

#[tokio::test]
async fn an_answer_that_sprawls_is_cut_and_too_many_waits_end_the_instance() {
    let host = Host::new();
    let sprawler = host.start("misfit", "(mode: Sprawl)", &[], Limits::default()).await;
    let answer = tokio::time::timeout(DEADLINE, sprawler.ask("x")).await.unwrap().unwrap().unwrap();
    let table = &answer.tables[0];
    assert!(table.columns.len() <= 64 && table.rows.iter().all(Vec::is_empty) && table.title.len() <= 1024);
    let limits = Limits { handles: 10, ..Limits::default() };
    let mut waiter = host.start("misfit", "(mode: WaitALot)", &[], limits).await;
    let _answer = waiter.ask("x");
    let What::Ended(Ended::Crashed(reason)) = waiter.event().await else { panic!("it lives") };
    assert!(reason.contains("waits for more than"), "{reason}");
}

#[tokio::test]
async fn a_denial_is_logged_whatever_else_a_plugin_logs() {
    let host = Host::new();
    let probe = host.probe(&[]).await;
    for _ in 0..1100 {
        probe.call("log noise").await;
    }
    assert_eq!(probe.call("links").await, ["denied"]);
    assert!(host.log().last().unwrap().contains("denied"), "{:?}", host.log().last());
}

#[tokio::test]
async fn each_way_to_misbehave_ends_the_instance_with_its_reason() {
    let host = Host::new();
    let small = Limits { memory: 8 << 20, ..Limits::default() };
    for (mode, says) in [
        ("Trap", "unreachable"),
        ("Spin", "computed for more than 500 ms"),
        ("Allocate", "more than its 8 MiB of memory"),
        ("Return", "returned from `run`"),
        ("GiveUp", "a misfit gives up"),
    ] {
        let mut misfit = host.start("misfit", &format!("(mode: {mode})"), &[], small).await;
        let What::Ended(Ended::Crashed(reason)) = misfit.event().await else { panic!("{mode} did not crash") };
        assert!(reason.contains(says) && !reason.contains('\n'), "{mode}: {reason}");
    }
    let log = host.log().join("\n");
    assert!(log.contains("a misfit panics"), "what it wrote before it fell is kept: {log}");
}

#[tokio::test]
async fn a_plugin_under_a_flood_of_packets_is_not_taken_for_one_that_spins() {
    let host = Host::new();
    let mut radvd = host.radvd("lan0").await;
    // For several times as long as a turn may be, there is always another packet.
    host.kernel.set_flood(Some((2, solicitation())));
    tokio::time::sleep(TURN_LIMIT * 5).await;
    assert!(radvd.events.try_recv().is_err(), "it fell: {:#?}", host.log());
    let answer = tokio::time::timeout(DEADLINE, radvd.ask("")).await.unwrap().unwrap().unwrap();
    assert!(!answer.tables.is_empty());
    assert!(radvd.instance.cpu_time() > TURN_LIMIT, "there was no flood");
}

#[tokio::test]
async fn a_plugin_that_spins_allocates_or_sleeps_while_it_plans_is_refused() {
    let host = Host::new();
    let loaded = host.loader.load(&Stage::find().unwrap().guest("misfit")).unwrap();
    for (mode, says) in [
        ("SpinInPlan", "computed for more than"),
        ("AllocateInPlan", "MiB of memory"),
        ("SleepInPlan", "it waits while it"),
    ] {
        let section = format!("(mode: {mode})");
        let judged = portreeve::plugin::judge::judge(
            host.loader.engine(),
            host.shared.clone(),
            &loaded,
            "misfit",
            Limits { memory: 8 << 20, ..Limits::default() },
            &section,
        );
        let error = judged.await.err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn radvd_follows_links_of_the_fake_kernel_and_advertises() {
    let host = Host::new();
    let mut radvd = host.radvd("lan0").await;
    let (index, first) = tokio::time::timeout(DEADLINE, host.kernel.sent()).await.unwrap();
    assert_eq!((index, first.message[0], first.hop_limit), (2, 134, 255));
    host.kernel.deliver(2, &solicitation());
    let (_, answer) = tokio::time::timeout(DEADLINE, host.kernel.sent()).await.unwrap();
    assert_eq!(answer.destination, solicitation().source);
    host.kernel.set_address(Address { address: "2001:db8:2::1".parse().unwrap(), ..address(2, "::") });
    host.kernel.remove_link(2);
    host.kernel.set_link(link(9, "lan0"));
    host.kernel.set_address(address(9, "fe80::2"));
    let again = tokio::time::timeout(DEADLINE, host.kernel.sent()).await;
    let (index, again) = again.unwrap_or_else(|_| panic!("{:#?}", host.log()));
    assert_eq!((index, again.source), (9, Some("fe80::2".parse().unwrap())), "the link that came back is served");
    assert!(radvd.instance.command(Command::Stop).is_ok());
    let (_, last) = tokio::time::timeout(DEADLINE, host.kernel.sent()).await.unwrap();
    assert_eq!(&last.message[6..8], [0, 0], "a final advertisement: router lifetime 0");
    assert_eq!(radvd.event().await, What::Ended(Ended::Stopped));
    assert_eq!(host.kernel.open_sockets(), 0, "nothing stays open");
}
