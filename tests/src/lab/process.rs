//! A daemon that dies with its value: SIGTERM, two seconds, SIGKILL. What it prints goes to a file that every
//! failure to wait for it shows. Only processes started here are ever signalled.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Failure, Result, wait_until};

const GRACE: Duration = Duration::from_secs(2);

/// A running daemon.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Taken just before the start.
    started: Instant,
}

impl Process {
    /// Starts `command` in the namespaces of this thread.
    pub(super) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let failed = |error| Failure::io("write", log, &error);
        let out = File::options().create(true).append(true).open(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| {
            Failure::new(format!("cannot start {}: {error}", command.get_program().to_string_lossy()))
        })?;
        Ok(Self { child, log: log.to_owned(), started })
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The file that takes what it prints.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// As [`wait_until`], but ends early if the daemon does; a failure shows what it printed.
    ///
    /// # Errors
    /// If the time is over or the daemon ended.
    pub fn wait_until<T>(&mut self, what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
        let mut ended = None;
        let found = wait_until(what, within, || {
            if let Some(found) = probe() {
                return Some(Some(found));
            }
            ended = self.child.try_wait().ok().flatten();
            ended.is_some().then_some(None)
        });
        let failure = match (found, ended) {
            (Ok(Some(found)), _) => return Ok(found),
            (Err(failure), _) => failure,
            (Ok(None), status) => {
                let status = status.map(|status| status.to_string()).unwrap_or_default();
                Failure::new(format!("the process ended ({status}) before this was seen: {what}"))
            }
        };
        Err(failure.with("what the process printed", &self.log()))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result {
        kill_process(self.pid()?, signal).map_err(|error| Failure::new(format!("cannot signal the process: {error}")))
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// If it does not end within `within`; it is killed then.
    pub fn stop(mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_end(within)
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// If it does not within `within`.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        let ended = wait_until("the end of the process", within, || child.try_wait().ok().flatten());
        ended.map_err(|failure| failure.with("what the process printed", &self.log()))
    }

    fn pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| Failure::new("a process without a pid"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = &mut self.child;
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may end between the two calls; then there is nothing to do.
            let _ = kill_process(pid, Signal::TERM);
        }
        if wait_until("its end", GRACE, || child.try_wait().ok().flatten()).is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lab;
    use super::*;

    fn shell(lab: &Lab, script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]), &lab.directory().join("log")).unwrap()
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_on_drop() {
        let lab = Lab::new().unwrap();
        let mut process = shell(&lab, "trap '' TERM; echo trapped; while :; do sleep 0.1; done");
        let log = process.log.clone();
        let trapped = || fs::read_to_string(&log).unwrap().contains("trapped").then_some(());
        process.wait_until("the trap", Duration::from_secs(5), trapped).unwrap();
        let pid = process.pid().unwrap();
        drop(process);
        assert!(kill_process(pid, Signal::CONT).is_err());
    }

    #[test]
    fn waiting_ends_with_the_process_and_shows_what_it_printed() {
        let lab = Lab::new().unwrap();
        let mut process = shell(&lab, "echo last words; exit 3");
        let failure = process.wait_until("success", Duration::from_secs(30), || None::<()>).unwrap_err().to_string();
        assert!(failure.contains("last words") && failure.contains("exit status: 3"), "{failure}");
    }

    #[test]
    fn stopping_gives_the_exit_status() {
        let lab = Lab::new().unwrap();
        let mut process = shell(&lab, "trap 'exit 7' TERM; echo trapped; while :; do sleep 0.1; done");
        let log = process.log.clone();
        let trapped = || fs::read_to_string(&log).unwrap().contains("trapped").then_some(());
        process.wait_until("the trap", Duration::from_secs(5), trapped).unwrap();
        assert_eq!(process.stop(GRACE).unwrap().code(), Some(7));
    }
}
