//! Whether other people's programs read in our advertisements what router.ron says.
//!
//! `rdisc6` is the reference: its exact output for a full configuration is the golden text `golden/rdisc6-full.txt`.
//! It passes over options younger than itself (PREF64, captive portal), so that `golden/ra-full.txt` has the bytes, an
//! option a line. `UPDATE_GOLDEN=1` rewrites both. A Linux host says what it does with the same, and Debian's radvd,
//! configured alike, must make `rdisc6` print the same lines.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Icmpv6, Lab, Netns, Result, Site, Stage, ensure, veth, wait_until};

const WITHIN: Duration = Duration::from_secs(30);
const ROUTER_LINK_LOCAL: &str = "fe80::5eff:fe10:1";

/// What radvd 2.19 can say as well.
const COMMON: &str = r#"
    preference: High,
    hop_limit: 63,
    managed: true,
    other_config: true,
    reachable_time: "30s",
    retrans_timer: "1s",
    mtu: 1480,
    router_lifetime: "45m",
    prefixes: {
        "2001:db8:60:1::/64": (valid_lifetime: "1d", preferred_lifetime: "4h"),
        "2001:db8:60:2::/64": (autonomous: false, valid_lifetime: "infinity", preferred_lifetime: "infinity"),
        "2001:db8:60:3::/64": (on_link: false, valid_lifetime: "2h", preferred_lifetime: "1h"),
    },
    routes: {
        "2001:db8:1000::/36": (preference: High, lifetime: "1h"),
        "2001:db8:2000::/36": (preference: Low, lifetime: "20m"),
    },
    rdnss: [(servers: ["2001:db8:60:1::53", "2001:db8:60:2::53"], lifetime: "20m")],
    dnssl: [(domains: ["home.example", "lab.home.example"], lifetime: "20m")],
    advertisement_interval_option: true,
"#;

/// What it cannot.
const OURS_ALONE: &str = r#"
    pref64: [(prefix: "64:ff9b::/96", lifetime: "30m")],
    captive_portal: "https://portal.example/api",
"#;

const RADVD_CONF: &str = r"
interface lan0 {
    AdvSendAdvert on;
    AdvDefaultPreference high;
    AdvCurHopLimit 63;
    AdvManagedFlag on;
    AdvOtherConfigFlag on;
    AdvReachableTime 30000;
    AdvRetransTimer 1000;
    AdvLinkMTU 1480;
    AdvDefaultLifetime 2700;
    AdvIntervalOpt on;
    prefix 2001:db8:60:1::/64 { AdvValidLifetime 86400; AdvPreferredLifetime 14400; };
    prefix 2001:db8:60:2::/64 { AdvAutonomous off; AdvValidLifetime infinity; AdvPreferredLifetime infinity; };
    prefix 2001:db8:60:3::/64 { AdvOnLink off; AdvValidLifetime 7200; AdvPreferredLifetime 3600; };
    route 2001:db8:1000::/36 { AdvRoutePreference high; AdvRouteLifetime 3600; };
    route 2001:db8:2000::/36 { AdvRoutePreference low; AdvRouteLifetime 1200; };
    RDNSS 2001:db8:60:1::53 2001:db8:60:2::53 { AdvRDNSSLifetime 1200; };
    DNSSL home.example lab.home.example { AdvDNSSLLifetime 1200; };
};
";

fn config(options: &[&str]) -> String {
    let options = options.concat();
    format!("Router(plugins: {{\"radvd\": (config: (interfaces: {{\"lan0\": ({options})}}))}})")
}

/// A router and a host on one link, with addresses that never change.
fn link(lab: &mut Lab) -> Result<(Netns, Netns)> {
    let (router, host) = (lab.netns("router")?, lab.netns("host")?);
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    for (name, value) in [("accept_ra_rt_info_max_plen", "128"), ("accept_ra", "1")] {
        host.sysctl(&format!("net.ipv6.conf.default.{name}"), value)?;
    }
    veth((&router, "lan0", "02:00:5e:10:00:01"), (&host, "eth0", "02:00:5e:10:00:02"))?;
    Ok((router, host))
}

/// What `rdisc6` prints of the first answer.
fn rdisc6(host: &Netns) -> Result<String> {
    host.output("rdisc6 -1 -n eth0")
}

/// The lines that say something of the content, sorted: without the question and who answered.
fn content(printed: &str) -> Vec<&str> {
    let says = |line: &&str| !line.is_empty() && !line.starts_with("Soliciting ") && !line.starts_with(" from ");
    let mut lines: Vec<&str> = printed.lines().map(str::trim_end).filter(says).collect();
    lines.sort_unstable();
    lines
}

fn with_radvd<T>(lab: &Lab, router: &Netns, host: &Netns, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let file = |name: &str| lab.directory().join(name).to_string_lossy().into_owned();
    std::fs::write(file("radvd.conf"), RADVD_CONF)?;
    let listener = Icmpv6::listen(host, "eth0")?;
    let mut command = Command::new("radvd");
    command.args(["-n", "-m", "stderr", "-C", &file("radvd.conf"), "-p", &file("radvd.pid")]);
    let mut radvd = router.spawn(&mut command, Path::new(&file("radvd.log")))?;
    radvd
        .wait_until("radvd advertises", WITHIN, || listener.advertisement(Duration::from_millis(100)).ok().flatten())?;
    let outcome = work().map_err(|failure| failure.with("radvd", &radvd.log()))?;
    radvd.stop(WITHIN)?;
    Ok(outcome)
}

#[test]
fn rdisc6_prints_the_golden_text_for_a_full_configuration() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(&[COMMON, OURS_ALONE]))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let printed = rdisc6(&host).map_err(|failure| failure.with("core", &core.log()))?;
    compare_with_golden("rdisc6-full.txt", &printed)
}

#[test]
fn the_bytes_of_a_full_advertisement_are_the_golden_ones() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(&[COMMON, OURS_ALONE]))?;
    let listener = Icmpv6::listen(&host, "eth0")?;
    let mut core = site.start(&router)?;
    let what = "the first advertisement";
    let heard = core.wait_until(what, WITHIN, || listener.advertisement(Duration::from_millis(100)).ok().flatten())?;
    compare_with_golden("ra-full.txt", &dump(&heard.message))
}

/// The header without its checksum, then each option, in hexadecimal.
fn dump(message: &[u8]) -> String {
    let mut message = message.to_vec();
    message.iter_mut().skip(2).take(2).for_each(|byte| *byte = 0);
    let mut text = String::new();
    let mut rest = message.as_slice();
    let mut length = 16;
    while !rest.is_empty() {
        let (option, after) = rest.split_at(length.clamp(1, rest.len()));
        let hex: Vec<String> = option.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{}\n", hex.join(" "));
        length = after.get(1).map_or(0, |units| usize::from(*units) * 8);
        rest = after;
    }
    text
}

#[test]
fn radvd_of_debian_configured_alike_makes_rdisc6_print_the_same_lines() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab)?;
    let theirs = with_radvd(&lab, &router, &host, || rdisc6(&host))?;
    ensure(content(&theirs).len() > 20, || format!("rdisc6 printed little of radvd:\n{theirs}"))?;

    let site = Site::new(&lab, &Stage::find()?, &config(&[COMMON]))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    let ours = rdisc6(&host).map_err(|failure| failure.with("core", &core.log()))?;
    let (ours, theirs) = (content(&ours), content(&theirs));
    let only = |a: &[&str], b: &[&str]| a.iter().filter(|l| !b.contains(l)).copied().collect::<Vec<_>>().join("\n");
    ensure(ours == theirs, || format!("only ours:\n{}\nonly radvd's:\n{}", only(&ours, &theirs), only(&theirs, &ours)))
}

/// The same host, the same checks, whoever advertises.
fn a_linux_host_obeys(host: &Netns) -> Result {
    let first = "2001:db8:60:1::".parse().map_err(|_| Failure::new("address"))?;
    let what = "an address in 2001:db8:60:1::/64";
    let address = wait_until(what, WITHIN, || host.autoconfigured("eth0", first))?;
    let near = |found: Option<u64>, expected: u64| found.is_some_and(|f| f <= expected && f + 60 > expected);
    ensure(near(address.valid_lifetime, 86_400) && near(address.preferred_lifetime, 14_400), || {
        format!("{address:?}")
    })?;

    let what = "an address in 2001:db8:60:3::/64, which is not on the link";
    let third = "2001:db8:60:3::".parse().map_err(|_| Failure::new("address"))?;
    wait_until(what, WITHIN, || host.autoconfigured("eth0", third))?;
    let second = "2001:db8:60:2::".parse().map_err(|_| Failure::new("address"))?;
    ensure(host.autoconfigured("eth0", second).is_none(), || "an address where `autonomous` is off".to_owned())?;

    let routes = host.output("ip -6 route show proto ra")? + &host.output("ip -6 route show proto kernel")?;
    let has = |words: &[&str]| routes.lines().any(|line| words.iter().all(|word| line.contains(word)));
    let via = format!("via {ROUTER_LINK_LOCAL} dev eth0");
    for words in [
        &["default", &via, "hoplimit 63", "mtu 1480", "pref high"][..],
        &["2001:db8:60:1::/64 dev eth0"],
        &["2001:db8:60:2::/64 dev eth0"],
        &["2001:db8:1000::/36", &via, "pref high"],
        &["2001:db8:2000::/36", &via, "pref low"],
    ] {
        ensure(has(words), || format!("no route with {words:?} in:\n{routes}"))?;
    }
    ensure(!has(&["2001:db8:60:3::/64"]), || format!("a route where `on_link` is off:\n{routes}"))
}

#[test]
fn a_linux_host_obeys_a_full_configuration() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(&[COMMON, OURS_ALONE]))?;
    let mut core = site.start(&router)?;
    core.wait_ready("radvd", WITHIN)?;
    a_linux_host_obeys(&host).map_err(|failure| failure.with("core", &core.log()))
}

/// Holds the checks themselves to what a host does with radvd.
#[test]
fn a_linux_host_obeys_radvd_of_debian_in_the_same_way() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = link(&mut lab)?;
    with_radvd(&lab, &router, &host, || a_linux_host_obeys(&host))
}

fn compare_with_golden(name: &str, found: &str) -> Result {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return Ok(std::fs::write(&path, found)?);
    }
    let expected = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display())))?;
    ensure(found == expected, || format!("{} differs; found:\n{found}\n--- expected\n{expected}", path.display()))
}
