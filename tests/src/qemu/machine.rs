//! A running guest: QEMU with a kernel and an [`Image`], its serial console, and the end of it all.
//!
//! QEMU is a child that is killed with its value or at the deadline; a guest whose test was killed turns itself off
//! a few seconds after the deadline. It is started in the namespace of the lab that holds its taps. Under TCG
//! everything is some ten times slower than on the host: deadlines are generous, and a run says how long it took.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Image, find_program};
use crate::lab::{Failure, Netns, Result, wait_until};

const QEMU: &str = "qemu-system-x86_64";
/// Printed by init.sh before the script, and before its exit code.
const INIT_MARKER: &str = "PORTREEVE-INIT\n";
const EXIT_MARKER: &str = "PORTREEVE-EXIT ";
/// How the lab names directories after processes, and removes those of processes that are gone.
const DIRECTORY_PREFIX: &str = "portreeve-lab-";

/// The machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory in MiB. The image lies in it twice while it is unpacked.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// From the start of QEMU to the end of the guest.
    pub timeout: Duration,
    /// The namespace in which QEMU runs, as `ip netns list` shows it; that of the caller if none.
    pub netns: Option<String>,
    /// Taps, present in that namespace, and the MAC addresses of the guest's ends: eth0, eth1 and so on in this order.
    pub taps: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory: 512, cpus: 1, timeout: Duration::from_secs(120), netns: None, taps: Vec::new() }
    }
}

/// A guest that is running.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    console: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
    /// Holds the initramfs; dropped after [`Drop::drop`] has ended QEMU.
    _directory: Directory,
    started: Instant,
    timeout: Duration,
}

/// What came of a guest that turned itself off.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code of the script.
    pub code: i32,
    /// What the script printed, stdout and stderr, and whatever the kernel complained of meanwhile.
    pub output: String,
    /// The last messages of the kernel since the start of the script, if that has not succeeded.
    pub messages: String,
    /// From the start of QEMU to its end.
    pub elapsed: Duration,
}

/// Makes a tap in the namespace and brings it up; [`Options::taps`] names it.
///
/// # Errors
/// What `ip` says.
pub fn tap(netns: &Netns, ifname: &str) -> Result {
    netns.run(&format!("ip tuntap add dev {ifname} mode tap"))?;
    netns.run(&format!("ip link set {ifname} up"))
}

impl Machine {
    /// Starts a guest.
    ///
    /// # Errors
    /// If a program is missing, the image cannot be made or QEMU cannot be started.
    pub fn boot(image: &Image<'_>, options: &Options) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let qemu = find_program(QEMU, "qemu-system-x86")?;
        let name = format!("{DIRECTORY_PREFIX}{}-qemu-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let directory = Directory(std::env::temp_dir().join(name));
        fs::create_dir_all(&directory.0).map_err(|error| Failure::io("make", &directory.0, &error))?;
        let initrd = directory.0.join("initrd");
        fs::write(&initrd, image.pack(&directory.0)?).map_err(|error| Failure::io("write", &initrd, &error))?;

        let mut command = match &options.netns {
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns]).arg(qemu);
                command
            }
            None => Command::new(qemu),
        };
        // `-nodefaults`: no floppy, disk, display or network of QEMU's own. A boot ROM on a NIC only takes time.
        command.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-nodefaults", "-no-user-config"]);
        command.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
        command.args(["-m", &options.memory.to_string(), "-smp", &options.cpus.to_string()]);
        command.arg("-kernel").arg(image.kernel().vmlinuz()).arg("-initrd").arg(&initrd);
        // For a guest that nobody is left to kill.
        let seconds = options.timeout.as_secs() + 1;
        command.arg("-append").arg(format!(
            "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check tsc=reliable portreeve.timeout={seconds}"
        ));
        for (number, (ifname, mac)) in options.taps.iter().enumerate() {
            command.args(["-netdev", &format!("tap,id=net{number},ifname={ifname},script=no,downscript=no")]);
            command.args(["-device", &format!("virtio-net-pci,netdev=net{number},mac={mac},romfile=")]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());

        let started = Instant::now();
        let mut qemu = command.spawn().map_err(|error| Failure::new(format!("cannot start {QEMU}: {error}")))?;
        let console = Arc::default();
        let readers = [
            qemu.stdout.take().map(|pipe| follow(pipe, &console)),
            qemu.stderr.take().map(|pipe| follow(pipe, &console)),
        ];
        let readers = readers.into_iter().flatten().collect();
        Ok(Self { qemu, console, readers, _directory: directory, started, timeout: options.timeout })
    }

    /// Everything on the console so far, QEMU's own complaints among it.
    pub fn console(&self) -> String {
        let bytes = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// Waits until the console shows `text`.
    ///
    /// # Errors
    /// If it does not before the deadline of the machine or before its end; with the console.
    pub fn wait_for(&mut self, text: &str) -> Result {
        let found = wait_until(&format!("{text:?} on the console"), self.remaining(), || {
            // Before the look at the console: what came last is then there.
            let ended = matches!(self.qemu.try_wait(), Ok(Some(_))) && self.readers.iter().all(JoinHandle::is_finished);
            let has_shown = self.console().contains(text);
            (has_shown || ended).then_some(has_shown)
        });
        let failure = match found {
            Ok(true) => return Ok(()),
            Ok(false) => Failure::new(format!("the guest ended before this was on its console: {text:?}")),
            Err(failure) => failure,
        };
        Err(failure.with("console", &self.console()))
    }

    /// Types a line on the console: the script gets it with `read`.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn send(&mut self, line: &str) -> Result {
        let stdin = self.qemu.stdin.as_mut().ok_or_else(|| Failure::new("QEMU has no stdin"))?;
        let sent = stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush());
        sent.map_err(|error| {
            Failure::new(format!("cannot type on the console: {error}")).with("console", &self.console())
        })
    }

    /// Waits until the guest has turned itself off.
    ///
    /// # Errors
    /// If it has not at the deadline, or has ended without an exit code, as after a panic; with the console.
    pub fn wait(mut self) -> Result<Run> {
        let remaining = self.remaining();
        let qemu = &mut self.qemu;
        let ended = wait_until("the end of the guest", remaining, || qemu.try_wait().transpose());
        let elapsed = self.started.elapsed();
        if ended.is_ok() {
            for reader in self.readers.drain(..) {
                // It only copies bytes.
                let _ = reader.join();
            }
        }
        let console = self.console();
        let shown = |failure: Failure| failure.with("console", &console);
        let status = ended.map_err(shown)??;
        let (output, code, messages) = split(&console).ok_or_else(|| {
            shown(Failure::new(format!("the guest ended without an exit code of its script (QEMU: {status})")))
        })?;
        Ok(Run { code, output: output.to_owned(), messages: messages.to_owned(), elapsed })
    }

    fn remaining(&self) -> Duration {
        self.timeout.saturating_sub(self.started.elapsed())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both do nothing if it has ended and was waited for.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Run {
    /// The output, if the script has succeeded.
    ///
    /// # Errors
    /// If its exit code was not 0; with the output.
    pub fn success(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.output);
        }
        let failure = Failure::new(format!("the script in the guest ended with {}", self.code));
        Err(failure.with("its output", &self.output).with("the kernel's messages", &self.messages))
    }
}

/// A directory that goes with its value.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing can be done about one that stays; the next lab removes it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Appends to `console` what comes, until the end.
fn follow(mut pipe: impl std::io::Read + Send + 'static, console: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let console = Arc::clone(console);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            console.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
        }
    })
}

/// The output of the script, its exit code, and what came after it.
fn split(console: &str) -> Option<(&str, i32, &str)> {
    let (_, output) = console.split_once(INIT_MARKER)?;
    let (output, end) = output.rsplit_once(EXIT_MARKER)?;
    let (code, messages) = end.split_once('\n')?;
    // The newline in front of the marker is of init.sh.
    Some((output.strip_suffix('\n').unwrap_or(output), code.parse().ok()?, messages))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_exit_code_is_the_last_one_on_the_console() {
        let console = "[boot]\nPORTREEVE-INIT\none\nPORTREEVE-EXIT x\n\nPORTREEVE-EXIT 3\noops\n";
        assert_eq!(split(console), Some(("one\nPORTREEVE-EXIT x\n", 3, "oops\n")));
        assert_eq!(split("PORTREEVE-INIT\nKernel panic"), None);
    }

    #[test]
    fn a_guest_that_hangs_is_killed_at_the_deadline_and_its_console_shown() {
        let kernel = super::super::Kernel::fetch(&super::super::cache()).unwrap();
        let mut image = Image::new(&kernel);
        image.script("echo hanging; sleep 600");
        let mut machine = Machine::boot(&image, &Options::default()).unwrap();
        machine.wait_for("hanging\n").unwrap();
        machine.timeout = machine.started.elapsed();
        let (qemu, directory) = (format!("/proc/{}", machine.qemu.id()), machine._directory.0.clone());
        let failure = machine.wait().unwrap_err().to_string();
        assert!(failure.contains("not seen within") && failure.contains("hanging"), "{failure}");
        assert!(!Path::new(&qemu).exists() && !directory.exists());
    }
}
