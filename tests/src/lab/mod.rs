//! The lab: network namespaces, and everything that is put into them, gone when it is dropped.
//!
//! A [`Lab`] owns namespaces and a directory for files; [`Netns`] runs things inside one; [`Process`] is a daemon that
//! dies with its value; [`Site`] and [`Router`] are Portreeve itself; [`Icmpv6`] speaks neighbour discovery; [`Monitor`]
//! hears what the kernel tells of changes; [`Netfilter`] changes and reads nf_tables; [`Tun`] lets a test send and receive whole
//! packets; [`Server`] sends bytes over TCP; [`kernel_facts`] asks the kernel line by line. Names
//! carry our pid, so that a lab finds and removes what a killed one left behind. Nothing outside the namespaces is
//! touched. Failures are values, so that demo, benches and tests share all of it.

mod icmpv6;
pub mod kernel_facts;
mod monitor;
mod netfilter;
mod netns;
mod process;
mod router;
mod transfer;
mod tun;

pub use icmpv6::{Advertisement, Icmpv6};
pub use monitor::{Event, Monitor};
pub use netfilter::Netfilter;
pub use netns::{Address, Netns, veth};
pub use process::Process;
pub use router::{Router, Site, Stage};
pub use transfer::{Fetched, Server};
pub use tun::Tun;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Why something in the lab did not work: what was tried, on what, and what came of it.
pub struct Failure(String);

/// A result of the lab.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// Namespaces and files of one test.
#[derive(Debug)]
pub struct Lab {
    id: String,
    directory: PathBuf,
    namespaces: Vec<Netns>,
}

const NAMESPACE_PREFIX: &str = "portreeve-lab-";
const NAMESPACES: &str = "/run/netns";

impl Lab {
    /// An empty lab. Removes first what labs of processes that are gone have left.
    ///
    /// # Errors
    /// Without root, or if the directory cannot be made.
    pub fn new() -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new("network namespaces need root: run this as root"));
        }
        remove_leftovers();
        let id = format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("{NAMESPACE_PREFIX}{id}"));
        fs::create_dir_all(&directory).map_err(|error| Failure::io("make", &directory, &error))?;
        Ok(Self { id, directory, namespaces: Vec::new() })
    }

    /// A new namespace with its loopback up. Addresses are usable at once: duplicate address detection is off.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn netns(&mut self, name: &str) -> Result<Netns> {
        let netns = Netns::create(format!("{NAMESPACE_PREFIX}{}-{name}", self.id))?;
        self.namespaces.push(netns.clone());
        netns.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        netns.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        netns.run("ip link set lo up")?;
        Ok(netns)
    }

    /// Where files of this lab go.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for netns in &self.namespaces {
            netns.delete();
        }
        // Nothing can be done about a directory that stays.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Asks `probe` until it gives something.
///
/// # Errors
/// If it has not within `within`; names `what`.
pub fn wait_until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(Failure::new(format!("not seen within {} s: {what}", within.as_secs_f64())));
        }
        // Not for luck: the time between two looks.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Fails with `message` unless `condition` holds.
///
/// # Errors
/// If it does not.
pub fn ensure(condition: bool, message: impl FnOnce() -> String) -> Result {
    if condition { Ok(()) } else { Err(Failure::new(message())) }
}

/// Runs it and gives its stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.output().map_err(|error| Failure::new(format!("cannot start {shown}: {error}")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    Err(Failure::new(format!("{shown}: {}: {}", output.status, said.trim())))
}

/// Removes namespaces and directories whose process is gone.
fn remove_leftovers() {
    let owner_is_gone = |name: &str| {
        let pid = name.strip_prefix(NAMESPACE_PREFIX).and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
    };
    let names = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|n| owner_is_gone(n)).collect()
    };
    for name in names(Path::new(NAMESPACES)) {
        Netns::existing(name).delete();
    }
    for name in names(&std::env::temp_dir()) {
        // Another lab may have been faster.
        let _ = fs::remove_dir_all(std::env::temp_dir().join(name));
    }
}

impl Failure {
    /// With this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn io(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Self(format!("cannot {verb} {}: {error}", path.display()))
    }

    /// The same with more to read below it.
    #[must_use]
    pub fn with(self, title: &str, text: &str) -> Self {
        Self(format!("{}\n--- {title}\n{}", self.0, text.trim_end()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As text: this is what a failing test prints.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_leaves_nothing_even_when_a_test_panics() {
        let mut lab = Lab::new().unwrap();
        let directory = lab.directory().to_owned();
        let name = lab.netns("a").unwrap().name().to_owned();
        assert!(Path::new(NAMESPACES).join(&name).exists());
        let panicked = std::thread::spawn(move || {
            let lab = lab;
            assert!(lab.namespaces.is_empty(), "on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(!Path::new(NAMESPACES).join(&name).exists());
        assert!(!directory.exists());
    }

    #[test]
    fn what_a_killed_lab_left_is_removed_by_the_next() {
        let mut child = Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let name = format!("{NAMESPACE_PREFIX}{dead}-0-x");
        let left = Netns::create(name.clone()).unwrap();
        assert_eq!(left.name(), name);
        let _lab = Lab::new().unwrap();
        assert!(!Path::new(NAMESPACES).join(name).exists());
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_names_what_was_awaited() {
        let failure = wait_until("the moon", Duration::from_millis(1), || None::<()>).unwrap_err();
        assert!(failure.to_string().contains("the moon"));
    }
}
