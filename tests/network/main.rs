//! The network as router.ron states it, seen from the kernel's side: only what differs is sent, what was made goes when
//! it is no longer stated, and what others made is never touched.
//!
//! `live.rs`: changes while it runs, asserted from a netlink monitor. `restart.rs`: ends and new starts of core and
//! plugin. `removal.rs`: what goes, what stays. `byhand.rs`: objects of others in the way. `hotplug.rs`: links that come
//! late, go, and get their name. `links.rs`: bridges, pairs, settings put back, neighbours, rules; kinds that this
//! kernel lacks. `denied.rs`: a plugin without the rights. `masquerade.rs`: source NAT, in nft's words. `sockets.rs`, `tun.rs`:
//! what plugins send and receive, `netfilter.rs` what they may do to tables of nf_tables, `files.rs` what they read, with the
//! guest `probe` as `inside.rs` runs it. `tables.rs`: the firewall's table where the kernel or others make it hard.

mod byhand;
mod denied;
mod files;
mod hotplug;
mod inside;
mod links;
mod live;
mod masquerade;
mod netfilter;
mod removal;
mod restart;
mod sockets;
mod tables;
mod tun;

use std::time::Duration;

use portreeve_tests::lab::{Lab, Netns, Result, Router, Site, Stage, veth};

const WITHIN: Duration = Duration::from_secs(25);

/// A router with `lan0` and `wan0`, and the namespace of their other ends.
pub(crate) struct Scene {
    pub(crate) core: Option<Router>,
    pub(crate) site: Site,
    pub(crate) router: Netns,
    pub(crate) elsewhere: Netns,
    /// Last, so that the core ends before its namespace goes.
    pub(crate) lab: Lab,
}

impl Scene {
    /// With these plugins in router.ron; nothing runs yet.
    pub(crate) fn new(plugins: &str) -> Result<Self> {
        let mut lab = Lab::new()?;
        let (router, elsewhere) = (lab.netns("router")?, lab.netns("elsewhere")?);
        veth((&router, "lan0", "02:00:5e:10:00:01"), (&elsewhere, "eth0", "02:00:5e:10:00:02"))?;
        veth((&router, "wan0", "02:00:5e:10:00:03"), (&elsewhere, "eth1", "02:00:5e:10:00:04"))?;
        let site = Site::new(&lab, &Stage::find()?, &ron(plugins))?;
        Ok(Self { core: None, site, router, elsewhere, lab })
    }

    /// Starts the core and waits until these plugins are ready.
    pub(crate) fn start(&mut self, plugins: &[&str]) -> Result {
        let mut core = self.site.start(&self.router)?;
        for plugin in plugins {
            core.wait_ready(plugin, WITHIN)?;
        }
        self.core = Some(core);
        Ok(())
    }

    /// The running core.
    pub(crate) fn core(&mut self) -> &mut Router {
        self.core.as_mut().expect("the core was started")
    }

    /// Puts other plugins in router.ron and has it read.
    pub(crate) fn reconfigure(&mut self, plugins: &str) -> Result {
        self.site.configure(&ron(plugins))?;
        self.core().reload()
    }

    /// Waits until a command in the router's namespace prints what is hoped for.
    pub(crate) fn wait_output(&mut self, line: &str, is_so: impl Fn(&str) -> bool) -> Result<String> {
        let (router, mut last) = (self.router.clone(), String::new());
        let found = self.core().wait_until(&format!("another output of {line}"), WITHIN, || {
            last = router.output(line).unwrap_or_else(|failure| failure.to_string());
            is_so(&last).then(|| last.clone())
        });
        found.map_err(|failure| failure.with(line, &last))
    }

    /// Waits until a plugin is in this state, and gives the reason.
    pub(crate) fn wait_state(&mut self, plugin: &str, state: &str, reason: &str) -> Result {
        let core = self.core();
        let mut last = String::new();
        let found = portreeve_tests::lab::wait_until(&format!("{plugin} is {state}: {reason}"), WITHIN, || {
            let status = core.status_json().ok()?;
            let plugin = status["plugins"].as_array()?.iter().find(|it| it["name"] == plugin)?;
            last = format!("{}: {}", plugin["state"], plugin["reason"]);
            (plugin["state"] == state && last.contains(reason)).then_some(())
        });
        found.map_err(|failure| failure.with("last seen", &last).with("log", &core.log()))
    }
}

pub(crate) fn ron(plugins: &str) -> String {
    format!("Router(plugins: {{{plugins}}})")
}

/// The plugin `interfaces` with these fields.
pub(crate) fn interfaces(fields: &str) -> String {
    format!("\"interfaces\": (config: ({fields})),\n")
}

/// The plugin `tunnels` with these tunnels.
pub(crate) fn tunnels(fields: &str) -> String {
    format!("\"tunnels\": (config: (tunnels: {{{fields}}})),\n")
}

/// Fails unless the two texts are the same.
pub(crate) fn same(what: &str, before: &str, after: &str) -> Result {
    portreeve_tests::lab::ensure(before == after, || {
        format!("{what} changed\n--- before\n{before}\n--- after\n{after}")
    })
}
