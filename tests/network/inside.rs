//! The guest `probe` in a network namespace, in this process: the host's interfaces on the kernel itself, with grants that a
//! test gives and takes.

use std::sync::Arc;

use portreeve::config::{Limits, LogLevel};
use portreeve::grants::{Grants, Need, Policy};
use portreeve::host::Shared;
use portreeve::plugin::instance::{Answer, Command, Event, Instance, Start, What};
use portreeve::plugin::{Loader, PluginEngine};
use portreeve::stores::logs::LogStore;
use portreeve::sys::linux::LinuxKernel;
use portreeve_config::Position;
use portreeve_tests::lab::{Failure, Lab, Netns, Result, Stage, veth};
use tokio::sync::{mpsc, oneshot};

use super::WITHIN;

/// A router with `lan0` and `wan0`, and a namespace with their other ends `eth0` and `eth1`.
pub(crate) struct Place {
    pub(crate) router: Netns,
    pub(crate) elsewhere: Netns,
    lab: Lab,
}

impl Place {
    /// With addresses of both families at all ends.
    pub(crate) fn new() -> Result<Self> {
        let mut lab = Lab::new()?;
        let (router, elsewhere) = (lab.netns("router")?, lab.netns("elsewhere")?);
        veth((&router, "lan0", "02:00:5e:10:00:01"), (&elsewhere, "eth0", "02:00:5e:10:00:02"))?;
        veth((&router, "wan0", "02:00:5e:10:00:03"), (&elsewhere, "eth1", "02:00:5e:10:00:04"))?;
        // An address is answered for at its own interface only: what comes in at eth1 was sent out of wan0.
        elsewhere.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
        for (netns, ifname, addresses) in [
            (&router, "lan0", ["2001:db8:1::1/64", "2001:db8:1::2/64", "192.0.2.1/24", "192.0.2.2/24"].as_slice()),
            (&router, "wan0", &["2001:db8:2::1/64", "198.51.100.1/24"]),
            (&elsewhere, "eth0", &["2001:db8:1::9/64", "192.0.2.9/24"]),
            (&elsewhere, "eth1", &["2001:db8:2::9/64", "198.51.100.9/24"]),
        ] {
            for address in addresses {
                netns.run(&format!("ip addr add {address} dev {ifname}"))?;
            }
        }
        Ok(Self { router, elsewhere, lab })
    }

    /// For files of a test.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.lab.directory()
    }

    /// Starts the probe in the router with these grants and does `work` with it.
    pub(crate) fn run(&self, needs: &[Need], work: impl AsyncFnOnce(Probe) -> Result + Send) -> Result {
        self.router.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
            runtime.block_on(async { work(Probe::start(self.lab.directory(), needs).await?).await })
        })?
    }
}

/// The running guest.
pub(crate) struct Probe {
    pub(crate) instance: Instance,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

impl Probe {
    async fn start(directory: &std::path::Path, needs: &[Need]) -> Result<Self> {
        let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(format!("{what}: {error}"));
        let kernel = LinuxKernel::start().await.map_err(|error| failed("cannot read the network", &error))?;
        let logs = LogStore::new(LogLevel::Debug, false);
        let shared = Shared::new(Arc::new(kernel), logs, &directory.join("state"), &directory.join("flash"));
        let engine = PluginEngine::new().map_err(|error| failed("no engine", &error))?;
        let loader = Loader::new(engine.clone(), None).map_err(|error| failed("no loader", &error))?;
        let file = Stage::find()?.guest("probe");
        let start = Start {
            plugin: "probe".into(),
            run: 1,
            loaded: loader.load(&file).map_err(|error| failed("cannot load the probe", &error))?,
            limits: Limits::default(),
            grants: Arc::new(grants(needs)),
            section: "()".to_owned(),
            place: Position { line: 1, column: 1 },
        };
        let (sender, mut events) = mpsc::unbounded_channel();
        let instance = Instance::start(engine, Arc::new(shared), start, sender)
            .map_err(|error| failed("cannot start the probe", &error))?;
        match tokio::time::timeout(WITHIN, events.recv()).await {
            Ok(Some(Event { what: What::Ready, .. })) => Ok(Self { instance, events }),
            other => Err(Failure::new(format!("the probe is not ready: {other:?}"))),
        }
    }

    /// Starts a command; its answer comes when the guest has one.
    pub(crate) fn ask(&self, words: &str) -> oneshot::Receiver<std::result::Result<Answer, String>> {
        let (reply, answer) = oneshot::channel();
        let words = words.split_whitespace().map(str::to_owned).collect();
        assert!(self.instance.command(Command::Query(words, reply)).is_ok(), "the probe takes no command");
        answer
    }

    /// What a command came to.
    pub(crate) async fn call(&self, words: &str) -> Result<Vec<String>> {
        answer(words, self.ask(words)).await
    }

    /// Fails unless a command comes to this.
    pub(crate) async fn expect(&self, words: &str, expected: &[&str]) -> Result {
        let answer = self.call(words).await?;
        portreeve_tests::lab::ensure(answer == expected, || format!("{words}: {answer:?}, not {expected:?}"))
    }

    /// Starts a command that waits, does `meanwhile`, and fails unless the command then comes to this.
    pub(crate) async fn expect_after(
        &self,
        words: &str,
        meanwhile: impl FnOnce() -> Result,
        expected: &[&str],
    ) -> Result {
        let waiting = self.ask(words);
        // The guest answers in turn: that the command waits shows in that it has no answer while time passes.
        let mut waiting = Box::pin(answer(words, waiting));
        let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut waiting).await;
        portreeve_tests::lab::ensure(early.is_err(), || format!("{words} did not wait"))?;
        meanwhile()?;
        let answer = waiting.await?;
        portreeve_tests::lab::ensure(answer == expected, || format!("{words}: {answer:?}, not {expected:?}"))
    }
}

async fn answer(words: &str, waiting: oneshot::Receiver<std::result::Result<Answer, String>>) -> Result<Vec<String>> {
    match tokio::time::timeout(WITHIN, waiting).await {
        Ok(Ok(Ok(answer))) => Ok(answer.values.into_iter().map(|(_, value)| value).collect()),
        other => Err(Failure::new(format!("no answer to {words}: {other:?}"))),
    }
}

/// Planned, in the manifest, and allowed.
pub(crate) fn grants(needs: &[Need]) -> Grants {
    Grants::new(needs.to_vec(), needs.to_vec(), Policy::Manifest)
}
