//! The scene: a provider that is also the attacker, a router with both kinds of userspace tunnels, a host, and somebody
//! who looks at every frame that the host gets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Lab, Netns, Result, Router, Site, Stage, veth};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

pub const WITHIN: Duration = Duration::from_secs(30);
/// What the host can reach through the tunnel.
pub const FAR_SIDE: &str = "2001:db8:ffff::1";
pub const HOST: &str = "2001:db8:60:1::2";

/// The rest of the pool is not unreachable here: what is for it and is no host's would loop but for the data path.
const ROUTER: &str = r#"Router(system: (log: Debug), plugins: {
    "interfaces": (config: (
        forwarding: (ipv6: true),
        pools: {"isp": (prefix: "2001:db8:60::/60", unreachable: false)},
        interfaces: {
            "wan0": (addresses: ["192.0.2.2/24", "192.0.2.3/24"]),
            "lan0": (subnets: [(pool: "isp", number: 1)]),
        },
    )),
    "tunnels": (config: (tunnels: {
        "six": (
            kind: SixInFour(remote: "192.0.2.1", local: Address("192.0.2.2"), path: Userspace),
            addresses: ["2001:db8:1::2/127"],
            routes: [(to: "::/0", via: "2001:db8:1::3")],
            own_prefixes: ["2001:db8:60::/60"],
        ),
        "rd": (
            kind: SixRd(
                prefix: "2001:db9::/32", relay: "192.0.2.1", ipv4_mask_length: 0, local: Address("192.0.2.3"),
                path: Userspace,
            ),
            addresses: ["2001:db9:c000:203::1/32"],
            own_prefixes: ["2001:db8:60::/60"],
        ),
    })),
})"#;

const PROVIDER: &str = r#"Router(system: (log: Debug), plugins: {
    "interfaces": (config: (forwarding: (ipv6: true), interfaces: {
        "wan0": (addresses: ["192.0.2.1/24"]), "lo": (addresses: ["2001:db8:ffff::1/128"]),
    })),
    "tunnels": (config: (tunnels: {"customer": (
        kind: SixInFour(remote: "192.0.2.2", local: Address("192.0.2.1"), path: Userspace),
        addresses: ["2001:db8:1::3/127"],
        routes: [(to: "2001:db8:60::/60", via: "2001:db8:1::2")],
    )})),
})"#;

/// Fields are dropped in this order: cores before the namespaces they run in.
pub struct Scene {
    pub core: Router,
    _provider_core: Router,
    pub provider: Netns,
    pub host: Netns,
    _lab: Lab,
}

impl Scene {
    /// Everything is up and the host reaches the far side.
    pub fn new() -> Result<Self> {
        let (mut lab, stage) = (Lab::new()?, Stage::find()?);
        let (provider, router, host) = (lab.netns("provider")?, lab.netns("router")?, lab.netns("host")?);
        veth((&provider, "wan0", "02:00:5e:10:00:01"), (&router, "wan0", "02:00:5e:10:00:02"))?;
        veth((&router, "lan0", "02:00:5e:10:00:03"), (&host, "eth0", "02:00:5e:10:00:04"))?;
        host.run(&format!("ip addr add {HOST}/64 dev eth0 nodad"))?;
        host.run("ip route add default via 2001:db8:60:1::1")?;
        let mut core = Site::new(&lab, &stage, ROUTER)?.start(&router)?;
        let mut provider_core = Site::new(&lab, &stage, PROVIDER)?.start(&provider)?;
        for core in [&mut core, &mut provider_core] {
            core.wait_ready("tunnels", WITHIN)?;
        }
        let reached = || host.run(&format!("ping -n -c 1 -W 1 {FAR_SIDE}")).ok();
        core.wait_until("the far side", WITHIN, reached)?;
        let scene = Self { core, _provider_core: provider_core, provider, host, _lab: lab };
        Ok(scene)
    }

    /// The counters of a tunnel, by name; those of 0 are left out.
    pub fn counters(&self, tunnel: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.core.command(&["status", "tunnels", "--json"])?;
        let status: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("status tunnels --json: {error}")).with("text", &text))?;
        let rows = status["tables"]["packets of userspace paths"].as_array();
        let row = rows.into_iter().flatten().find(|row| row["tunnel"] == tunnel);
        let row = row.ok_or_else(|| Failure::new(format!("no packets of {tunnel}")).with("status", &text))?;
        let others = row["others"].as_str().unwrap_or_default().split(", ");
        Ok(others.filter_map(|pair| pair.split_once(' ')).map(|(n, v)| (n.to_owned(), v.parse().unwrap())).collect())
    }

    /// A counter of a tunnel.
    pub fn counter(&self, tunnel: &str, name: &str) -> Result<u64> {
        Ok(self.counters(tunnel)?.get(name).copied().unwrap_or(0))
    }

    /// What `status --json` has for the plugin.
    pub fn plugin(&self) -> Result<Value> {
        let status = self.core.status_json()?;
        let plugins = status["plugins"].as_array().into_iter().flatten();
        Ok(plugins.into_iter().find(|plugin| plugin["name"] == "tunnels").cloned().unwrap_or_default())
    }
}

/// Counts the frames on an interface that hold a marker.
pub struct Lookout {
    seen: Arc<[AtomicU64; 2]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lookout {
    /// Looks for two markers on everything in this namespace.
    pub fn new(netns: &Netns, markers: [&'static [u8]; 2]) -> Result<Self> {
        // linux/if_ether.h: ETH_P_ALL, in network byte order.
        let every = Protocol::from(i32::from(3_u16.to_be()));
        let mut socket = netns.enter(|| Socket::new(Domain::PACKET, Type::RAW, Some(every)))??;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (seen, stop): (Arc<[AtomicU64; 2]>, Arc<AtomicBool>) = Default::default();
        let (counts, ended) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut frame = vec![0; 65536];
            while !ended.load(Ordering::Relaxed) {
                let Ok(length) = std::io::Read::read(&mut socket, &mut frame) else { continue };
                for (marker, count) in markers.iter().zip(counts.iter()) {
                    if frame[..length].windows(marker.len()).any(|window| window == *marker) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// How many frames had the marker of this number.
    pub fn seen(&self, number: usize) -> u64 {
        self.seen[number].load(Ordering::Relaxed)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It only counts.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
