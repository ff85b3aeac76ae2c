//! Loading rules: a core whose section is replaced, and `nft -f`, each in a namespace of its own.
//!
//! Ours is measured by the plugin with the host's clock, from the beginning of reading its section to the kernel's answer
//! to the batch (`load_ms` of its status, and its parts); nft's is the time that the program takes. Both start without rules.

use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rulesets::{Case, nothing, router_ron};
use crate::bench::millis;
use crate::lab::{Failure, Lab, Netns, Result, Router, Site, Stage};

const WITHIN: Duration = Duration::from_secs(60);
/// The plugin.
pub const PLUGIN: &str = "firewall";

/// What the core logs when a plugin has changed over, and when it does not.
const DONE: &[u8] = b"plugin reconfigured";
const REFUSED: &[u8] = b"is refused";

/// One load of ours, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loaded {
    /// From the section to the kernel's answer.
    pub load: f64,
    /// Reading the section.
    pub parse: f64,
    /// Compiling it, with what it reads from files.
    pub compile: f64,
    /// Writing the batch.
    pub encode: f64,
    /// The kernel's part.
    pub commit: f64,
    /// From the signal that the configuration is new until the core says that the plugin has it: it judges it as well.
    pub wall: f64,
}

/// A core with the plugin, in a namespace.
pub struct Ours {
    /// Where it is.
    pub netns: Netns,
    /// Its files.
    pub site: Site,
    /// The core.
    pub core: Router,
    /// Behind what was read of it.
    log: fs::File,
}

impl Ours {
    /// Starts it with this section.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start(lab: &Lab, stage: &Stage, netns: &Netns, section: &str) -> Result<Self> {
        let site = Site::bare(lab, stage, &router_ron(section))?;
        let mut core = site.start(netns)?;
        core.wait_ready(PLUGIN, WITHIN)?;
        let log = fs::File::open(core.log_path())?;
        Ok(Self { netns: netns.clone(), site, core, log })
    }

    /// Has it load another section, and gives how long that took.
    ///
    /// # Errors
    /// If it is not in force within a minute.
    pub fn load(&mut self, section: &str) -> Result<Loaded> {
        let wall = self.replace(section)?;
        Ok(Loaded { wall, ..self.told()? })
    }

    /// The same without asking the plugin. Gives the time until the core says that it is done.
    ///
    /// # Errors
    /// If it does not within a minute, or says something else.
    pub fn replace(&mut self, section: &str) -> Result<f64> {
        let (mut said, mut last) = (Vec::new(), Vec::new());
        self.log.read_to_end(&mut said)?;
        said.clear();
        self.site.configure(&router_ron(section))?;
        let begun = Instant::now();
        self.core.reload()?;
        while !contains(&said, DONE) {
            self.log.read_to_end(&mut last)?;
            said.append(&mut last);
            if begun.elapsed() > WITHIN || contains(&said, REFUSED) {
                return Err(Failure::new("the new section is not in force").with("log", &self.core.log()));
            }
            // Not for luck: the time between two looks.
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(millis(begun.elapsed()))
    }

    /// What the plugin says of its last load.
    fn told(&self) -> Result<Loaded> {
        let text = self.core.command(&["status", PLUGIN, "--json"])?;
        let status: Value = serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string()))?;
        let value = |name: &str| {
            let found = status["values"][name].as_str().and_then(|text| text.parse::<f64>().ok());
            found.ok_or_else(|| Failure::new(format!("no {name} in the plugin's status")).with("status", &text))
        };
        Ok(Loaded {
            load: value("load_ms")?,
            parse: value("parse_ms")?,
            compile: value("compile_ms")?,
            encode: value("encode_ms")?,
            commit: value("commit_ms")?,
            wall: 0.0,
        })
    }

    /// The plugin's linear memory and the core's largest resident memory, in MiB.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn memory(&self) -> Result<(f64, f64)> {
        const MIB: f64 = 1024.0 * 1024.0;
        let status = self.core.status_json()?;
        let plugin = status["plugins"].as_array().into_iter().flatten().find(|plugin| plugin["name"] == PLUGIN);
        let linear = plugin.and_then(|plugin| plugin["memory_bytes"].as_f64());
        let linear = linear.ok_or_else(|| Failure::new(format!("no memory of the plugin: {status}")))?;
        let pid = self.netns.processes().first().map(|pid| pid.as_raw_nonzero().get());
        let pid = pid.ok_or_else(|| Failure::new("no core runs"))?;
        let of_process = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = of_process.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        let kib = kib.ok_or_else(|| Failure::new("no VmHWM of the core"))?;
        Ok((linear / MIB, kib / 1024.0))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `nft` in a namespace.
pub struct Nft {
    netns: Netns,
    directory: std::path::PathBuf,
}

impl Nft {
    /// In this namespace.
    #[must_use]
    pub fn new(lab: &Lab, netns: &Netns) -> Self {
        Self { netns: netns.clone(), directory: lab.directory().to_owned() }
    }

    /// Writes a file for [`Nft::load`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result {
        Ok(fs::write(self.directory.join(name), text)?)
    }

    /// How long `nft -f` takes with this file, in milliseconds, where there were no rules.
    ///
    /// # Errors
    /// If it fails.
    pub fn load(&self, name: &str) -> Result<f64> {
        self.netns.run("nft flush ruleset")?;
        let file = self.directory.join(name);
        let mut command = std::process::Command::new("nft");
        command.arg("-f").arg(&file);
        // Without `ip netns exec`, which would be measured too.
        let took = self.netns.enter(|| {
            let begun = Instant::now();
            let output = command.output();
            (begun.elapsed(), output)
        })?;
        let output = took.1?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        crate::lab::ensure(output.status.success(), || format!("nft -f {name}: {said}"))?;
        Ok(millis(took.0))
    }
}

/// Both with the rules of a case, in turns; ours stands without rules before and behind. Gives the loads of ours, and those of nft for each of its files.
///
/// # Errors
/// If one of them fails.
pub fn alternate(
    case: Case,
    ours: &mut Ours,
    nft: &Nft,
    files: &[(&str, String)],
    rounds: usize,
) -> Result<(Vec<Loaded>, Vec<Vec<f64>>)> {
    let path = ours.site.path(case.name());
    fs::write(&path, case.file())?;
    let section = case.section(&path.to_string_lossy());
    for (name, text) in files {
        nft.write(name, text)?;
    }
    let (mut loads, mut theirs) = (Vec::new(), vec![Vec::new(); files.len()]);
    for number in 1..=rounds {
        eprintln!("{}: {number} of {rounds}", case.name());
        loads.push(ours.load(&section)?);
        for (file, times) in files.iter().zip(&mut theirs) {
            times.push(nft.load(file.0)?);
        }
        ours.load(&nothing())?;
    }
    nft.netns.run("nft flush ruleset")?;
    Ok((loads, theirs))
}
