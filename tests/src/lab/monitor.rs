//! What the kernel tells of changes in one namespace: `ip monitor`, read event by event.
//!
//! "Nothing happened" is only worth something when everything that did happen has been read: [`Monitor::events`] makes
//! a change of its own on the loopback (an address of 127.80.0.0/16, added and removed), waits until that is told, and
//! leaves it out. Netlink keeps the order, so whatever came before it has been read as well.

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::{Failure, Lab, Netns, Process, Result};

/// How the addresses of fences start; nobody else uses them.
const FENCE: &str = "127.80.";
const WITHIN: Duration = Duration::from_secs(10);

/// A running `ip monitor` for links, addresses, routes and rules.
#[derive(Debug)]
pub struct Monitor {
    netns: Netns,
    process: Process,
    fences: AtomicU16,
    /// How many lines of the log have been given.
    given: usize,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `LINK`, `ADDR`, `ROUTE` or `RULE`.
    pub object: String,
    /// Whether it is gone.
    pub deleted: bool,
    /// What `ip` shows of it, in one line.
    pub text: String,
}

impl Monitor {
    /// Starts listening, and returns when it does.
    ///
    /// # Errors
    /// If `ip` cannot be started, or does not tell of a change.
    pub fn start(lab: &Lab, netns: &Netns) -> Result<Self> {
        let number = std::fs::read_dir(lab.directory())?.count();
        let log = lab.directory().join(format!("monitor-{number}.log"));
        let mut command = Command::new("ip");
        command.args(["-o", "monitor", "label", "link", "address", "route", "rule"]);
        let process = netns.spawn(&mut command, &log)?;
        let mut monitor = Self { netns: netns.clone(), process, fences: AtomicU16::new(0), given: 0 };
        // Until it listens a change is lost, so it is made again and again.
        super::wait_until("an event of the monitor", WITHIN, || {
            let fence = monitor.fence().ok()?;
            monitor.process.log().contains(&fence).then_some(())
        })?;
        monitor.events()?;
        Ok(monitor)
    }

    /// What has happened since this was asked last.
    ///
    /// # Errors
    /// If the monitor is gone.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        let fence = self.fence()?;
        let seen = |log: &str| log.lines().any(|l| l.contains("Deleted") && l.contains(&format!(" {fence}/")));
        let log = self.process.log_path().to_owned();
        self.process.wait_until("the end of the events", WITHIN, || {
            std::fs::read_to_string(&log).is_ok_and(|log| seen(&log)).then_some(())
        })?;
        let log = self.process.log();
        // A line that is still being written is one of the fence.
        let whole = log.rfind('\n').map_or("", |end| &log[..=end]);
        let lines: Vec<&str> = whole.lines().collect();
        let new = lines.get(self.given..).unwrap_or_default();
        self.given = lines.len();
        // `ip` says the second of links whose other end's namespace has just gone.
        let is_event = |line: &&&str| !line.contains(FENCE) && !line.starts_with("Error: Peer netns");
        new.iter().filter(is_event).map(|line| Event::read(line)).collect()
    }

    /// Makes the change, and gives its address.
    fn fence(&self) -> Result<String> {
        let number = self.fences.fetch_add(1, Ordering::Relaxed);
        let fence = format!("{FENCE}{}.{}", number / 200, number % 200 + 1);
        // On the loopback; the last of its four events is that the address is gone, or that its route is.
        self.netns.run(&format!("ip addr add {fence}/32 dev lo"))?;
        self.netns.run(&format!("ip addr del {fence}/32 dev lo"))?;
        Ok(fence)
    }
}

impl Event {
    fn read(line: &str) -> Result<Self> {
        let read = || {
            let (object, text) = line.strip_prefix('[')?.split_once(']')?;
            let (deleted, text) = text.strip_prefix("Deleted ").map_or((false, text), |text| (true, text));
            Some(Self { object: object.to_owned(), deleted, text: text.trim().to_owned() })
        };
        read().ok_or_else(|| Failure::new(format!("`ip monitor` said what is not understood: {line}")))
    }

    /// Whether it is about this interface.
    pub fn is_on(&self, ifname: &str) -> bool {
        self.text.split([' ', ':', '@']).any(|word| word == ifname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_quiet_is_quiet() {
        let mut lab = Lab::new().unwrap();
        let netns = lab.netns("a").unwrap();
        let mut monitor = Monitor::start(&lab, &netns).unwrap();
        assert_eq!(monitor.events().unwrap(), []);
        netns.run("ip addr add 192.0.2.1/32 dev lo").unwrap();
        let events = monitor.events().unwrap();
        let address = events.iter().find(|event| event.object == "ADDR").unwrap();
        assert!(!address.deleted && address.is_on("lo") && address.text.contains("192.0.2.1/32"), "{address:?}");
        netns.run("ip addr del 192.0.2.1/32 dev lo").unwrap();
        assert!(monitor.events().unwrap().iter().any(|event| event.object == "ADDR" && event.deleted));
        assert_eq!(monitor.events().unwrap(), []);
    }
}
