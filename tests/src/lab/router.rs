//! Portreeve under test: what an installation has on disk ([`Site`]) and the running core ([`Router`]).
//!
//! Everything a core writes lies in the lab's directory, and it runs in a UTS namespace of its own, because its
//! configuration may set the hostname.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{Failure, Lab, Netns, Process, Result, output};

/// Who an unprivileged core runs as: Debian's `nobody`.
const NOBODY: u32 = 65_534;
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// What `cargo xtask build` staged.
#[derive(Clone, Debug)]
pub struct Stage(PathBuf);

/// One installation: binary, plugins, configuration, state. It can be started again and again.
#[derive(Debug)]
pub struct Site {
    directory: PathBuf,
    /// Words in front of the binary, and the binary.
    command: Vec<String>,
}

/// A running core.
#[derive(Debug)]
pub struct Router {
    process: Process,
    binary: String,
    control: PathBuf,
}

impl Stage {
    /// The directory in `$PORTREEVE_STAGE`, else `target/stage`.
    ///
    /// # Errors
    /// If nothing is staged there.
    pub fn find() -> Result<Self> {
        let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/stage");
        Self::at(std::env::var_os("PORTREEVE_STAGE").map_or_else(default, PathBuf::from))
    }

    /// This directory.
    ///
    /// # Errors
    /// If nothing is staged there.
    pub fn at(directory: PathBuf) -> Result<Self> {
        if directory.join("portreeve").is_file() {
            Ok(Self(directory))
        } else {
            Err(Failure::new(format!("nothing is staged in {}: run `cargo xtask build`", directory.display())))
        }
    }

    /// The program.
    pub fn binary(&self) -> PathBuf {
        self.0.join("portreeve")
    }

    /// What `portreeve import interfaces /etc/network/interfaces` prints on a machine with this `/etc/network`.
    ///
    /// # Errors
    /// If it fails; with what it printed.
    pub fn import_interfaces(&self, etc_network: &Path) -> Result<String> {
        let script = "mount -t tmpfs none /etc && mkdir /etc/network && mount --bind \"$1\" /etc/network \
            && exec \"$0\" import interfaces /etc/network/interfaces";
        let binary = fs::canonicalize(self.0.join("portreeve"))?;
        let mut command = Command::new("unshare");
        output(command.args(["--mount", "sh", "-c", script]).arg(binary).arg(etc_network))
    }

    /// The file of a shipped plugin.
    pub fn plugin(&self, name: &str) -> PathBuf {
        self.0.join("plugins").join(format!("{name}.wasm"))
    }

    /// The file of a test guest.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.0.join("guests").join(format!("{name}.wasm"))
    }

    /// The shipped configuration.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn router_ron(&self) -> Result<String> {
        self.shipped("router.ron")
    }

    /// The shipped example of a whole gateway.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn gateway_ron(&self) -> Result<String> {
        self.shipped("gateway.ron")
    }

    fn shipped(&self, name: &str) -> Result<String> {
        let path = self.0.join(name);
        fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))
    }
}

impl Site {
    /// Installs what is staged into the lab, with this configuration. The test guests are plugins of this site too.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn new(lab: &Lab, stage: &Stage, config: &str) -> Result<Self> {
        let binary = stage.0.join("portreeve").to_string_lossy().into_owned();
        let words = ["unshare", "--uts", binary.as_str()];
        let site = Self::laid_out(lab, stage, words.map(str::to_owned).to_vec())?;
        site.configure(config)?;
        Ok(site)
    }

    /// The same with a resolv.conf of its own, which names this resolver.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn with_resolver(mut self, resolver: IpAddr) -> Result<Self> {
        let file = self.directory.join("resolv.conf");
        fs::write(&file, format!("nameserver {resolver}\n"))?;
        let script = format!("mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"", file.display());
        let words = ["unshare", "--mount", "sh", "-c", &script].map(str::to_owned);
        self.command.splice(..0, words);
        Ok(self)
    }

    /// As [`Self::new`], but the core runs as nobody, with no capability except to configure the network and to
    /// open raw sockets. It cannot set a hostname.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn unprivileged(lab: &Lab, stage: &Stage, config: &str) -> Result<Self> {
        Self::as_nobody(lab, stage, config, "-all,+net_admin,+net_raw")
    }

    /// As [`Self::unprivileged`], without any capability.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn powerless(lab: &Lab, stage: &Stage, config: &str) -> Result<Self> {
        Self::as_nobody(lab, stage, config, "-all")
    }

    /// As [`Self::new`], but the core runs as root of a user namespace of its own, with a network of its own: it has every
    /// capability there, and none of this machine's.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn in_user_namespace(lab: &Lab, stage: &Stage, config: &str) -> Result<Self> {
        let binary = stage.0.join("portreeve").to_string_lossy().into_owned();
        let words = ["unshare", "--user", "--map-root-user", "--net", binary.as_str()];
        let site = Self::laid_out(lab, stage, words.map(str::to_owned).to_vec())?;
        site.configure(config)?;
        Ok(site)
    }

    fn as_nobody(lab: &Lab, stage: &Stage, config: &str, capabilities: &str) -> Result<Self> {
        let binary = lab.directory().join("portreeve");
        let words = [
            "setpriv",
            &format!("--reuid={NOBODY}"),
            &format!("--regid={NOBODY}"),
            "--clear-groups",
            "--no-new-privs",
            &format!("--inh-caps={capabilities}"),
            &format!("--ambient-caps={capabilities}"),
            &format!("--bounding-set={capabilities}"),
            &binary.to_string_lossy(),
        ];
        // Nobody may not be able to reach the target directory.
        fs::copy(stage.0.join("portreeve"), &binary)?;
        let site = Self::laid_out(lab, stage, words.map(str::to_owned).to_vec())?;
        site.configure(config)?;
        for directory in ["", "state", "flash"] {
            chown(site.directory.join(directory), Some(NOBODY), Some(NOBODY))?;
        }
        Ok(site)
    }

    /// As [`Self::new`], but nothing stands between the start and the binary, for measuring. The configuration
    /// must not set a hostname: it would be this machine's.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn bare(lab: &Lab, stage: &Stage, config: &str) -> Result<Self> {
        if config.contains("hostname") {
            return Err(Failure::new("a bare site would set the hostname of this machine"));
        }
        let binary = stage.0.join("portreeve").to_string_lossy().into_owned();
        let site = Self::laid_out(lab, stage, vec![binary])?;
        site.configure(config)?;
        Ok(site)
    }

    fn laid_out(lab: &Lab, stage: &Stage, command: Vec<String>) -> Result<Self> {
        let number = fs::read_dir(lab.directory())?.count();
        let directory = lab.directory().join(format!("site-{number}"));
        for name in ["state", "flash", "plugins"] {
            fs::create_dir_all(directory.join(name))?;
        }
        for from in ["plugins", "guests"] {
            for entry in fs::read_dir(stage.0.join(from)).into_iter().flatten().flatten() {
                fs::copy(entry.path(), directory.join("plugins").join(entry.file_name()))?;
            }
        }
        Ok(Self { directory, command })
    }

    /// Replaces router.ron.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, config: &str) -> Result {
        Ok(fs::write(self.directory.join("router.ron"), config)?)
    }

    /// A file of this site; `control` is the core's socket.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Runs `portreeve check`: its exit code, and what it complains of on stderr.
    ///
    /// # Errors
    /// If it cannot be run, or ends by a signal.
    pub fn check(&self) -> Result<(i32, String)> {
        let mut command = Command::new(self.command.last().map_or("", String::as_str));
        command.arg("check").arg("--config").arg(self.path("router.ron")).arg("--plugins").arg(self.path("plugins"));
        let output = command.arg("--flash").arg(self.path("flash")).output()?;
        let code = output.status.code().ok_or_else(|| Failure::new("`portreeve check` ended by a signal"))?;
        Ok((code, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Starts the core in `netns`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, netns: &Netns) -> Result<Router> {
        self.start_with(netns, &[])
    }

    /// Starts the core in `netns` with these environment variables.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_with(&self, netns: &Netns, environment: &[(&str, &str)]) -> Result<Router> {
        let control = self.directory.join("control");
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command.args(words).arg("run");
        for (option, file) in
            [("--config", "router.ron"), ("--plugins", "plugins"), ("--state", "state"), ("--flash", "flash")]
        {
            command.arg(option).arg(self.directory.join(file));
        }
        command.arg("--control").arg(&control).current_dir("/").envs(environment.iter().copied());
        let process = netns.spawn(&mut command, &self.directory.with_extension("log"))?;
        let binary = self.command.last().cloned().unwrap_or_default();
        Ok(Router { process, binary, control })
    }
}

impl Router {
    /// When it was started.
    pub fn started(&self) -> Instant {
        self.process.started()
    }

    /// What it and earlier cores of the site have logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The file it logs to.
    pub fn log_path(&self) -> PathBuf {
        self.process.log_path().to_owned()
    }

    /// Runs `portreeve WORDS… --control SOCKET` and gives stdout.
    ///
    /// # Errors
    /// If it fails; with what it printed.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        output(Command::new(&self.binary).args(words).arg("--control").arg(&self.control))
    }

    /// What `portreeve status --json` prints.
    ///
    /// # Errors
    /// If it fails or prints no JSON.
    pub fn status_json(&self) -> Result<Value> {
        let text = self.command(&["status", "--json"])?;
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("status --json: {error}")).with("text", &text))
    }

    /// The rows of a table of `portreeve status PLUGIN --json`.
    ///
    /// # Errors
    /// If the core does not answer, or the plugin shows no such table.
    pub fn table(&self, plugin: &str, table: &str) -> Result<Vec<Value>> {
        let text = self.command(&["status", plugin, "--json"])?;
        let status: Value = serde_json::from_str(&text)
            .map_err(|e| Failure::new(format!("status {plugin} --json: {e}")).with("text", &text))?;
        let rows = status["tables"][table].as_array().cloned();
        rows.ok_or_else(|| Failure::new(format!("{plugin} shows no table {table}")).with("status", &text))
    }

    /// The state of a plugin; none if the core does not answer or does not know it.
    pub fn plugin_state(&self, name: &str) -> Option<String> {
        let status = self.status_json().ok()?;
        let plugin = status["plugins"].as_array()?.iter().find(|plugin| plugin["name"] == name)?;
        plugin["state"].as_str().map(str::to_owned)
    }

    /// Waits until the plugin is ready.
    ///
    /// # Errors
    /// If it is not within `within`, with the log.
    pub fn wait_ready(&mut self, name: &str, within: Duration) -> Result {
        let (binary, control) = (self.binary.clone(), self.control.clone());
        let what = format!("plugin {name} is ready");
        self.process.wait_until(&what, within, || {
            let mut command = Command::new(&binary);
            let text = output(command.args(["status", "--json", "--control"]).arg(&control)).ok()?;
            let status: Value = serde_json::from_str(&text).ok()?;
            let plugins = status["plugins"].as_array()?;
            plugins.iter().any(|plugin| plugin["name"] == name && plugin["state"] == "ready").then_some(())
        })
    }

    /// Waits for something outside of it to happen; a failure shows the log.
    ///
    /// # Errors
    /// If it does not within `within`, or if the core ends.
    pub fn wait_until<T>(&mut self, what: &str, within: Duration, probe: impl FnMut() -> Option<T>) -> Result<T> {
        self.process.wait_until(what, within, probe)
    }

    /// Kills it at once, as a crash would, and waits for the end.
    ///
    /// # Errors
    /// If it is gone already.
    pub fn kill(mut self) -> Result {
        self.process.signal(Signal::KILL)?;
        self.process.wait_end(STOP_WITHIN).map(drop)
    }

    /// Has it read router.ron again.
    ///
    /// # Errors
    /// If it is gone.
    pub fn reload(&self) -> Result {
        self.process.signal(Signal::HUP)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not within `within`.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait_end(within)
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// If it takes longer than 20 s.
    pub fn stop(self) -> Result<ExitStatus> {
        self.process.stop(STOP_WITHIN)
    }
}
