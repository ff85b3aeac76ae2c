//! A [`Place`] with Portreeve in it: the core runs in the router's namespace with a router.ron of nothing but the firewall,
//! as links, addresses and routes are the lab's.

use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Lab, Result, Router, Site, Stage, ensure, wait_until};

use super::packet::Packet;
use super::place::{Place, Seen, Side};
use super::status;

pub const WITHIN: Duration = Duration::from_secs(25);

/// The usual three zones, and the policy of a gateway. `lan` begins with the host's `lan1` on purpose: by a wildcard.
pub const ZONES: &str = r#"zones: {
    "lan": (interfaces: ["lan*"]), "wan": (interfaces: ["wan0"]), "far": (interfaces: ["sixbone"]),
}, "#;
pub const GATEWAY: &str = r#"policies: [(from: ["lan"], to: ["wan", "far"], then: Accept)], "#;

/// Our table, and the core's.
pub const TABLE: &str = "inet portreeve-firewall";
pub const GUARD: &str = "inet portreeve-guard";

/// Fields are dropped in this order: the core before the namespaces, the lab last.
pub struct Scene {
    pub core: Option<Router>,
    pub site: Site,
    pub place: Place,
    /// Last, so that namespaces and files go when all else is gone.
    _lab: Lab,
}

impl Deref for Scene {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// The section with these fields besides [`ZONES`].
pub fn zones(fields: &str) -> String {
    format!("{ZONES}{fields}")
}

/// The section of a gateway with these fields.
pub fn gateway(fields: &str) -> String {
    format!("{ZONES}{GATEWAY}{fields}")
}

/// The file with this section; none without the plugin.
pub fn router_ron(section: Option<&str>) -> String {
    let entry = section.map(|fields| format!("\"firewall\": (config: ({fields})),"));
    router_ron_with(&entry.unwrap_or_default())
}

/// The file with this entry. Another plugin keeps the core busy without it.
pub fn router_ron_with(entry: &str) -> String {
    format!("Router(\n  system: (log: Debug),\n  plugins: {{\"radvd\": (config: (interfaces: {{}})), {entry}}})")
}

impl Scene {
    /// Everything but the core.
    pub fn laid_out(section: &str) -> Result<Self> {
        let mut lab = Lab::new()?;
        let place = Place::new(&mut lab, "router")?;
        let site = Site::new(&lab, &Stage::find()?, &router_ron(Some(section)))?;
        Ok(Self { core: None, site, place, _lab: lab })
    }

    /// With this section in force.
    pub fn new(section: &str) -> Result<Self> {
        let mut scene = Self::laid_out(section)?;
        scene.start()?;
        Ok(scene)
    }

    /// Starts the core; the firewall is ready, and nothing but it stands.
    pub fn start(&mut self) -> Result {
        let mut core = self.site.start(&self.place.router)?;
        core.wait_ready(status::PLUGIN, WITHIN)?;
        stands(&mut core, &self.place)?;
        self.core = Some(core);
        Ok(())
    }

    /// The running core.
    pub fn core(&self) -> &Router {
        self.core.as_ref().unwrap()
    }

    /// A file beside router.ron.
    pub fn file(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// Has the core read another file.
    pub fn put(&self, file: &str) -> Result {
        self.site.configure(file)?;
        self.core().reload()
    }

    /// Puts another section in force, in the running plugin.
    pub fn reconfigure(&self, section: &str) -> Result {
        let before = changes(&self.core().log());
        self.put(&router_ron(Some(section)))?;
        self.wait("the other section is in force", || (changes(&self.core().log()) > before).then_some(()))
    }

    /// Waits; a failure shows the log and the rules.
    pub fn wait<T>(&self, what: &str, probe: impl FnMut() -> Option<T>) -> Result<T> {
        wait_until(what, WITHIN, probe).map_err(|failure| self.explain(failure))
    }

    /// A failure with all that is worth knowing of the scene.
    pub fn explain(&self, failure: Failure) -> Failure {
        let log = self.core.as_ref().map(Router::log).unwrap_or_default();
        failure.with("rules", &self.rules()).with("log", &log)
    }

    /// All tables, as nft lists them.
    pub fn rules(&self) -> String {
        self.router.output("nft list ruleset").unwrap_or_else(|failure| failure.to_string())
    }

    /// Fails with the rules unless it is so.
    pub fn ensure(&self, condition: bool, message: impl FnOnce() -> String) -> Result {
        ensure(condition, message).map_err(|failure| self.explain(failure))
    }

    /// The packet passes from a wire to another, as it is.
    pub fn passes(&self, from: Side, to: Side, packet: &Packet) -> Result<Seen> {
        self.becomes(from, to, packet, packet.source, packet.destination)
    }

    /// The packet passes with these addresses.
    pub fn becomes(
        &self,
        from: Side,
        to: Side,
        packet: &Packet,
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
    ) -> Result<Seen> {
        let seen = self.pass(from, packet)?;
        let is_so = seen.is_through(to, source, destination) && !seen.is_taken();
        self.ensure(is_so, || format!("{packet:?} from {from:?} did not come out of {to:?} like that: {seen:?}"))?;
        Ok(seen)
    }

    /// The router takes the packet.
    pub fn arrives(&self, from: Side, packet: &Packet) -> Result<Seen> {
        let seen = self.pass(from, packet)?;
        self.ensure(seen.is_taken(), || format!("{packet:?} from {from:?} did not arrive: {seen:?}"))?;
        Ok(seen)
    }

    /// Nobody hears of the packet.
    pub fn vanishes(&self, from: Side, packet: &Packet) -> Result {
        let seen = self.pass(from, packet)?;
        self.ensure(seen.is_nothing(), || format!("{packet:?} from {from:?} was heard of: {seen:?}"))
    }
}

/// Waits until the firewall's table is there and the guard is gone.
pub fn stands(core: &mut Router, place: &Place) -> Result {
    core.wait_until("the end of the guard", WITHIN, || {
        let tables = place.tables().ok()?;
        (tables.contains(TABLE) && !tables.contains(GUARD)).then_some(())
    })
}

/// How often the core has logged that the running plugin took another section.
fn changes(log: &str) -> usize {
    log.lines().filter(|line| line.contains("plugin reconfigured") && line.contains(status::PLUGIN)).count()
}
