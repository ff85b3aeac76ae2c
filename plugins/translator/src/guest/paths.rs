//! The data paths by instance: opened, changed and closed as the engine says, with their sessions kept over upgrades.
//!
//! A tun device has one holder. So the running path stands in a place of its own that is emptied at once when it is
//! closed or breaks down; its task, left empty, ends a little later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use portreeve_sdk::futures::future::LocalBoxFuture;
use portreeve_sdk::storage::{self, Durability};
use portreeve_sdk::tun::Device;
use portreeve_sdk::{info, random, warn};

use super::convert;
use super::path::{Data, Spent, carry, open};
use super::{News, Tasks, now};
use crate::Instant;
use crate::engine::{Event, PathSettings};
use crate::nat64::Table;
use crate::xlat::{DataPath, Mode};

/// The most sessions of one instance that are kept over an upgrade, in bytes.
const MAX_SNAPSHOT: usize = 64 * 1024 * 1024;
/// One stored value is no larger, in bytes.
const PART: usize = 8 * 1024 * 1024;
/// Before the instance's name in the names of the stored values.
const STORED: &str = "sessions.";

/// The paths by instance.
#[derive(Default)]
pub struct Paths(BTreeMap<String, Path>);

/// One path: its state lives on when the device fails.
pub struct Path {
    pub data: Data,
    pub spent: Rc<Spent>,
    running: Running,
}

/// Empty when nothing runs.
type Running = Rc<RefCell<Option<(Rc<Device>, LocalBoxFuture<'static, String>)>>>;

impl Path {
    /// The device, while it is held.
    pub fn device(&self) -> Option<Rc<Device>> {
        self.running.borrow().as_ref().map(|(device, _)| device.clone())
    }
}

impl Paths {
    /// Opens a path; tells how that went.
    pub fn open(&mut self, instance: &str, settings: &PathSettings, tasks: &Tasks) {
        // After a failure the sessions are still there.
        if let Some(path) = self.0.get(instance) {
            path.running.take();
        }
        if let Err(why) = self.update(instance, settings) {
            return told(instance, Event::Failed(why), tasks);
        }
        let Some(path) = self.0.get(instance) else { return };
        let device = match open(instance) {
            Ok(device) => device,
            Err(why) => return told(instance, Event::Failed(why), tasks),
        };
        let task = carry(path.data.clone(), path.spent.clone(), device.clone());
        *path.running.borrow_mut() = Some((device, Box::pin(task)));
        // They are in use from here on, and what is stored grows old.
        forget_stored(instance);
        told(instance, Event::Open, tasks);
        let (running, instance) = (path.running.clone(), instance.to_owned());
        tasks.push(Box::pin(async move {
            let ended = poll_fn(|cx| {
                // The task is out of its place while it runs: what it does may close it.
                let Some((device, mut task)) = running.take() else { return Poll::Ready(None) };
                match task.as_mut().poll(cx) {
                    Poll::Ready(why) => Poll::Ready(Some(why)),
                    Poll::Pending => {
                        *running.borrow_mut() = Some((device, task));
                        Poll::Pending
                    }
                }
            });
            match ended.await {
                Some(why) => News::Path(instance, Event::Failed(why)),
                None => News::Done,
            }
        }));
    }

    /// Translates otherwise from now on; sessions that still fit stay. Makes the data path where there is none.
    pub fn update(&mut self, instance: &str, settings: &PathSettings) -> Result<(), String> {
        let Some(path) = self.0.get(instance) else {
            let data = fresh(instance, settings)?;
            let path = Path { data: Rc::new(RefCell::new(data)), spent: Rc::default(), running: Running::default() };
            self.0.insert(instance.to_owned(), path);
            return Ok(());
        };
        let mut data = path.data.borrow_mut();
        let wanted = convert::xlat(settings)?;
        match (convert::mode(settings)?, data.sessions_mut()) {
            (convert::Wanted::Stateful(table), Some(sessions)) => {
                let done = sessions.reconfigure(table, now()).map_err(|error| error.to_string())?;
                if done.ended > 0 {
                    info!("sessions no longer fit the settings", instance = instance, ended = done.ended);
                }
                data.reconfigure(wanted, None);
            }
            (convert::Wanted::Stateless(map), None) => data.reconfigure(wanted, Some(map)),
            // Another kind of instance under the same name.
            _ => *data = fresh(instance, settings)?,
        }
        Ok(())
    }

    /// Translates no longer. The device is free when this returns. The sessions stay for the next time, unless they are to
    /// be forgotten.
    pub fn close(&mut self, instance: &str, forget: bool) {
        if let Some(path) = self.0.get(instance) {
            path.running.take();
        }
        if forget {
            self.0.remove(instance);
        }
    }

    /// The paths.
    pub fn each(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(name, path)| (name.as_str(), path))
    }

    /// When [`Paths::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = |path: &Path| {
            let data = path.data.borrow();
            data.poll_timeout().into_iter().chain(data.sessions().and_then(Table::poll_timeout)).min()
        };
        self.0.values().filter_map(next).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&self, now: Instant) {
        for path in self.0.values() {
            let mut data = path.data.borrow_mut();
            data.handle_timeout(now);
            if let Some(sessions) = data.sessions_mut() {
                sessions.handle_timeout(now);
            }
        }
    }

    /// Leaves the sessions where the next run of the plugin finds them.
    pub fn store(&self) {
        for (name, path) in &self.0 {
            forget_stored(name);
            let data = path.data.borrow();
            let Some(sessions) = data.sessions().filter(|sessions| !sessions.is_empty()) else { continue };
            let bytes = sessions.snapshot(now(), MAX_SNAPSHOT);
            for (number, part) in bytes.chunks(PART).enumerate() {
                if let Err(code) = storage::set(Durability::Volatile, &stored(name, number), part) {
                    warn!("cannot keep the sessions", instance = name, error = code.name());
                    forget_stored(name);
                    break;
                }
            }
        }
    }
}

/// The name of a part of an instance's stored sessions. Names of interfaces have letters that those of values have not.
fn stored(instance: &str, number: usize) -> String {
    let hex: String = instance.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{STORED}{hex}.{number}")
}

/// The stored sessions of an instance; none without any.
fn read_stored(instance: &str) -> Option<Vec<u8>> {
    let part = |number| storage::get(Durability::Volatile, &stored(instance, number)).ok().flatten();
    let mut bytes = part(0)?;
    for number in 1.. {
        let Some(more) = part(number) else { break };
        bytes.extend(more);
    }
    Some(bytes)
}

fn forget_stored(instance: &str) {
    let mut number = 0;
    while storage::remove(Durability::Volatile, &stored(instance, number)).is_ok() {
        number += 1;
    }
}

fn told(instance: &str, event: Event, tasks: &Tasks) {
    let news = News::Path(instance.to_owned(), event);
    tasks.push(Box::pin(async { news }));
}

/// A data path as it is at first, with the sessions of the run before this one.
fn fresh(instance: &str, settings: &PathSettings) -> Result<DataPath<Table>, String> {
    let mode = match convert::mode(settings)? {
        convert::Wanted::Stateless(map) => Mode::Stateless(map),
        convert::Wanted::Stateful(table) => {
            let mut table = Table::new(table, random::number()).map_err(|error| error.to_string())?;
            if let Some(bytes) = read_stored(instance) {
                match table.restore(&bytes, now()) {
                    Ok(count) => info!("took over the sessions of the run before", instance = instance, count = count),
                    Err(error) => {
                        warn!("cannot take over the sessions of the run before", instance = instance, error = error);
                    }
                }
            }
            Mode::Stateful(table)
        }
    };
    Ok(DataPath::new(convert::xlat(settings)?, mode))
}

impl Path {
    /// Counters: name and value, in the order in which they matter.
    pub fn each(&self, mut tell: impl FnMut(&'static str, u64)) {
        let data = self.data.borrow();
        data.counters().each(&mut tell);
        let counters = data.counters();
        tell("engine_packets", counters.out_packets + counters.in_packets + counters.hairpin_packets);
        tell("engine_ns", self.spent.nanoseconds.get());
        tell("engine_batches", self.spent.batches.get());
        if let Some(stats) = data.sessions().map(Table::stats) {
            tell("sessions_created", stats.counters.created);
            tell("sessions_expired", stats.counters.expired);
            tell("sessions_evicted", stats.counters.evicted);
            tell("sessions_restored", stats.counters.restored);
            tell("log_dropped", stats.log_dropped);
        }
        tell("table_bytes", data.sessions().map_or(0, |sessions| sessions.bytes() as u64));
        if let Some(counters) = self.device().and_then(|device| device.counters().ok()) {
            tell("device_received", counters.received);
            tell("device_sent", counters.sent);
            tell("drop_device", counters.dropped);
        }
    }
}
