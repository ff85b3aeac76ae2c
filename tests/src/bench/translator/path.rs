//! The paths from the client to the server, one for each [`Way`] over the router, and Portreeve on one of them, which can be
//! configured anew.
//!
//! Every path has the same links and addresses. The router's IPv4 side has a pool that the server routes to it, so no
//! translator needs the kernel's connection tracking.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{AUTHORITY, HOSTS, PREFIX, ROUTER, SERVER, SERVER_IPV6, server};
use crate::bench::traffic::Far;
use crate::lab::{Failure, Lab, Netns, Process, Result, Router, Site, Stage, veth, wait_until};

const WITHIN: Duration = Duration::from_secs(60);
/// Who translates.
const PLUGIN: &str = "translator";
/// The name of its instance, and of the tun device.
const INSTANCE: &str = "nat64";
/// A pool that TAYGA maps hosts to, an address each.
const TAYGA: &str = "\
tun-device nat64
ipv4-addr 203.0.113.1
prefix PREFIX/96
dynamic-pool 203.0.113.0/24
data-dir DIRECTORY
";
/// One thread, a forwarder as ours, and caches that hold all that is asked.
const UNBOUND: &str = "\
server:
    interface: ROUTER
    access-control: ::/0 allow
    directory: DIRECTORY
    pidfile: DIRECTORY/unbound.pid
    chroot: \"\"
    username: \"\"
    use-syslog: no
    num-threads: 1
    so-rcvbuf: 4m
    so-sndbuf: 4m
    outgoing-range: 8192
    num-queries-per-thread: 4096
    msg-cache-size: 64m
    rrset-cache-size: 128m
    do-ip6: yes
    qname-minimisation: no
    module-config: \"dns64 iterator\"
    dns64-prefix: PREFIX/96
forward-zone:
    name: \".\"
    forward-addr: AUTHORITY
";

/// What stands between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The plugin, with its DNS64.
    Portreeve,
    /// Debian's TAYGA, with Debian's unbound for names.
    Tayga,
    /// Nothing: the server has IPv6, and the kernel forwards.
    Forwarding,
}

impl Way {
    /// In the order of the turns.
    pub const ALL: [Self; 3] = [Self::Portreeve, Self::Tayga, Self::Forwarding];

    /// In names of figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portreeve => "portreeve",
            Self::Tayga => "tayga",
            Self::Forwarding => "forwarding",
        }
    }
}

/// The settings of our translator that a bench changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most sessions.
    pub sessions: u32,
    /// Which of two pools: a change forgets all sessions.
    pub second_pool: bool,
}

impl Settings {
    /// Its first address and its length.
    const fn pool(self) -> (&'static str, u8) {
        (if self.second_pool { "203.0.113.64" } else { "203.0.113.0" }, 26)
    }

    /// In MiB; 64 are what a plugin has by itself.
    const fn memory(self) -> u32 {
        if self.sessions > 262_144 { 256 } else { 64 }
    }

    fn router_ron(self) -> String {
        let (sessions, (pool, length), memory) = (self.sessions, self.pool(), self.memory());
        format!(
            r#"Router(plugins: {{ "translator": (limits: (memory_mib: {memory}), config: (
                instances: {{ "{INSTANCE}": Nat64(prefix: "{PREFIX}/96", pool: Addresses(["{pool}/{length}"]),
                    sessions: {sessions}, per_prefix: {sessions}) }},
                dns64: (interfaces: ["lan0"], resolvers: ["{AUTHORITY}"], rate: Off,
                    max_outstanding_per_client: 4096, cache: (entries: 20000)))) }})"#
        )
    }
}

/// Three namespaces in a row.
#[derive(Debug)]
pub struct Path {
    /// What is in the middle.
    pub way: Way,
    /// Where traffic begins.
    pub client: Netns,
    /// Where it ends.
    pub server: Netns,
    /// The process that translates.
    pub pid: Option<u32>,
    router: Netns,
    /// End with the value.
    daemons: Vec<Process>,
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    core: Router,
    site: Site,
    settings: Settings,
}

impl Path {
    /// Builds it and waits until the client reaches the server.
    ///
    /// # Errors
    /// What does not work.
    pub fn new(lab: &mut Lab, stage: &Stage, way: Way, settings: Settings) -> Result<Self> {
        let mut netns = |name: &str| lab.netns(&format!("{}-{name}", way.name()));
        let (client, router, server) = (netns("client")?, netns("router")?, netns("server")?);
        veth((&client, "eth0", "02:00:5e:10:00:01"), (&router, "lan0", "02:00:5e:10:00:02"))?;
        veth((&router, "wan0", "02:00:5e:10:00:03"), (&server, "eth0", "02:00:5e:10:00:04"))?;
        for (netns, line) in [
            (&client, "ip addr add 2001:db8:60:1::2/64 dev eth0 nodad".to_owned()),
            (&client, format!("ip -6 route add default via {ROUTER}")),
            (&client, format!("ip -6 route add blackhole {HOSTS}/48")),
            (&router, format!("ip addr add {ROUTER}/64 dev lan0 nodad")),
            (&router, format!("ip -6 route add {HOSTS}/48 via 2001:db8:60:1::2")),
            (&router, "ip addr add 192.0.2.2/30 dev wan0".to_owned()),
            (&router, "ip route add default via 192.0.2.1".to_owned()),
            (&router, "ip addr add 2001:db8:1::2/64 dev wan0 nodad".to_owned()),
            (&router, "ip -6 route add default via 2001:db8:1::1".to_owned()),
            (&server, "ip addr add 192.0.2.1/30 dev eth0".to_owned()),
            (&server, format!("ip addr add {SERVER}/32 dev lo")),
            (&server, format!("ip addr add {AUTHORITY}/32 dev lo")),
            (&server, "ip route add 203.0.113.0/24 via 192.0.2.2".to_owned()),
            (&server, "ip addr add 2001:db8:1::1/64 dev eth0 nodad".to_owned()),
            (&server, format!("ip addr add {SERVER_IPV6}/128 dev lo nodad")),
            (&server, "ip -6 route add default via 2001:db8:1::2".to_owned()),
        ] {
            netns.run(&line)?;
        }
        let mut path = Self { way, client, server, pid: None, router, daemons: Vec::new(), ours: None };
        match way {
            Way::Portreeve => path.start_ours(Site::bare(lab, stage, &settings.router_ron())?, settings)?,
            Way::Tayga => path.start_theirs(lab)?,
            Way::Forwarding => path.router.sysctl("net.ipv6.conf.all.forwarding", "1")?,
        }
        let called = self::server(way != Way::Forwarding).1;
        let what = format!("the way over {}", way.name());
        let ping = format!("ping -6 -c 1 -W 1 {called}");
        wait_until(&what, WITHIN, || path.client.run(&ping).ok())?;
        Ok(path)
    }

    /// The server.
    #[must_use]
    pub fn far(&self) -> Far<'_> {
        let (address, called) = server(self.way != Way::Forwarding);
        Far { netns: &self.server, address, called }
    }

    fn start_ours(&mut self, site: Site, settings: Settings) -> Result {
        let mut core = site.start(&self.router)?;
        core.wait_ready(PLUGIN, WITHIN)?;
        self.pid = first(&self.router);
        self.ours = Some(Ours { core, site, settings });
        Ok(())
    }

    fn start_theirs(&mut self, lab: &Lab) -> Result {
        for family in ["net.ipv6.conf.all.forwarding", "net.ipv4.ip_forward"] {
            self.router.sysctl(family, "1")?;
        }
        let file = |name: &str, text: &str| -> Result<_> {
            let directory = lab.directory().join(name);
            fs::create_dir_all(&directory)?;
            let path = directory.join("conf");
            let text = text
                .replace("DIRECTORY", &directory.to_string_lossy())
                .replace("PREFIX", &PREFIX.to_string())
                .replace("AUTHORITY", &AUTHORITY.to_string())
                .replace("ROUTER", &ROUTER.to_string());
            fs::write(&path, text)?;
            Ok((path, lab.directory().join(format!("{name}.log"))))
        };
        let (conf, log) = file("tayga", TAYGA)?;
        let mut tayga = Command::new("tayga");
        tayga.arg("--config").arg(&conf);
        self.router.run(&format!("tayga --mktun --config {}", conf.display()))?;
        self.router.run("ip link set nat64 up")?;
        self.router.run(&format!("ip -6 route add {PREFIX}/96 dev nat64"))?;
        self.router.run("ip route add 203.0.113.0/24 dev nat64")?;
        self.daemons.push(self.router.spawn(tayga.arg("--nodetach"), &log)?);
        self.pid = first(&self.router);
        let (conf, log) = file("unbound", UNBOUND)?;
        let mut unbound = Command::new("unbound");
        self.daemons.push(self.router.spawn(unbound.arg("-d").arg("-c").arg(conf), &log)?);
        Ok(())
    }

    /// Gives our translator other settings: while it runs, if it may keep its memory.
    ///
    /// # Errors
    /// If this is another path, or they do not come into force.
    pub fn configure(&mut self, settings: Settings) -> Result {
        let before = self.ours()?.settings;
        let Some(mut ours) = self.ours.take() else { return Ok(()) };
        ours.site.configure(&settings.router_ron())?;
        if settings.memory() == before.memory() {
            ours.core.reload()?;
            ours.settings = settings;
            self.ours = Some(ours);
            return Ok(());
        }
        ours.core.stop()?;
        self.start_ours(ours.site, settings)
    }

    /// Forgets all sessions by another pool, and waits until there are none. Gives how long that took.
    ///
    /// # Errors
    /// If this is another path, or it does not happen.
    pub fn clear(&mut self, sessions: u32) -> Result<Duration> {
        let second_pool = !self.ours()?.settings.second_pool;
        let settings = Settings { sessions, second_pool };
        let begun = Instant::now();
        self.configure(settings)?;
        let core = &self.ours()?.core;
        wait_until("an empty table with the other pool", WITHIN, || {
            let pools = core.table(PLUGIN, "pools").ok()?;
            let there = pools.iter().any(|row| row["address"] == settings.pool().0);
            (there && session_count(core).ok()? == 0).then_some(())
        })?;
        Ok(begun.elapsed())
    }

    /// How many sessions our translator has.
    ///
    /// # Errors
    /// If this is another path, or it does not say.
    pub fn sessions(&self) -> Result<u64> {
        session_count(&self.ours()?.core)
    }

    /// A counter of our translator's data path.
    ///
    /// # Errors
    /// If this is another path, or it has none of this name.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let rows = self.ours()?.core.table(PLUGIN, "packets")?;
        let value = rows.iter().find(|row| row["counter"] == name).and_then(|row| number(&row["value"]));
        value.ok_or_else(|| Failure::new(format!("no counter {name} in {rows:?}")))
    }

    /// How many packets have come to the client's interface.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn came_to_client(&self) -> Result<u64> {
        let links = self.client.json("ip -j -s link show dev eth0")?;
        links[0]["stats64"]["rx"]["packets"].as_u64().ok_or_else(|| Failure::new("no count of packets at the client"))
    }

    /// Memory of the process that translates, in MiB.
    ///
    /// # Errors
    /// If there is none.
    pub fn memory(&self) -> Result<f64> {
        let pid = self.pid.ok_or_else(|| Failure::new(format!("nobody translates on the path {}", self.way.name())))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| Failure::new(format!("no VmRSS of {pid}")))
    }

    fn ours(&self) -> Result<&Ours> {
        self.ours.as_ref().ok_or_else(|| Failure::new(format!("no Portreeve on the path {}", self.way.name())))
    }
}

fn session_count(core: &Router) -> Result<u64> {
    let rows = core.table(PLUGIN, "instances")?;
    let sessions = rows.first().and_then(|row| number(&row["sessions"]));
    sessions.ok_or_else(|| Failure::new(format!("no number of sessions in {rows:?}")))
}

/// The one process that has been started in a namespace.
fn first(netns: &Netns) -> Option<u32> {
    netns.processes().first().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
}

/// Numbers of a table may be texts.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
