//! Paths that this plugin carries itself, by tunnel. How one carries is in `guest/carry.rs`.
//!
//! A tun device has one holder. So what holds it, the running path, stands in a place of its own that is emptied at
//! once when the path is closed, is opened anew or breaks down; its task, left empty, ends a little later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::task::Poll;

use portreeve_sdk::futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use portreeve_sdk::tun::Device;

use super::carry::{Ends, Sent, carry};
use super::settings::convert;
use super::{News, Tasks, Told, now};
use crate::engine::{PathEvent, PathRemote, PathSettings};
use crate::sixin4::DataPath;

/// The paths by tunnel: those that run, and those that broke down and were not closed yet.
#[derive(Default)]
pub struct Paths(BTreeMap<String, Path>);

struct Path {
    data: Rc<RefCell<DataPath>>,
    sent: Rc<Sent>,
    bound: Bound,
    place: Place,
}

/// Empty when nothing runs.
type Place = Rc<RefCell<Option<Running>>>;

/// What holds the device and the socket.
struct Running {
    /// Ends with its reason.
    task: LocalBoxFuture<'static, String>,
    ends: Ends,
    abort: AbortHandle,
}

/// What the ends are opened for.
#[derive(PartialEq, Eq)]
struct Bound {
    interface: String,
    local: Option<Ipv4Addr>,
    /// None with 6rd, where every packet has its own.
    remote: Option<Ipv4Addr>,
}

impl Paths {
    /// Opens a path; tells how that went. An old one of the tunnel is closed before.
    pub fn open(&mut self, tunnel: &str, settings: &PathSettings, tasks: &Tasks, told: &Told) {
        self.close(tunnel);
        let mut path = Path {
            data: Rc::new(RefCell::new(DataPath::new(convert(settings)))),
            sent: Rc::default(),
            bound: Bound::new(settings),
            place: Place::default(),
        };
        path.start(tunnel, None, tasks, told);
        self.0.insert(tunnel.to_owned(), path);
    }

    /// Carries on with other settings: counters and keepalive stay, the device too unless it is another one, and the
    /// socket if its addresses do.
    pub fn update(&mut self, tunnel: &str, settings: &PathSettings, tasks: &Tasks, told: &Told) {
        let Some(path) = self.0.get_mut(tunnel) else { return self.open(tunnel, settings, tasks, told) };
        path.data.borrow_mut().reconfigure(convert(settings));
        let bound = Bound::new(settings);
        if path.bound == bound {
            return;
        }
        let same_device = path.bound.interface == bound.interface;
        path.bound = bound;
        // One that broke down has told so, and is going to be opened again with these settings.
        let Some(ends) = path.stop() else { return };
        let device = same_device.then(|| ends.device.clone());
        drop(ends);
        path.start(tunnel, device, tasks, told);
    }

    /// Carries no longer. The device is free when this returns.
    pub fn close(&mut self, tunnel: &str) {
        if let Some(path) = self.0.remove(tunnel) {
            drop(path.stop());
        }
    }

    /// Whether the tunnel's packets are this plugin's business.
    pub fn has(&self, tunnel: &str) -> bool {
        self.0.contains_key(tunnel)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counters of each path: name and value, in the order in which they matter.
    pub fn each(&self, mut tell: impl FnMut(&str, &'static str, u64)) {
        for (tunnel, path) in &self.0 {
            path.data.borrow().counters().each(|name, value| tell(tunnel, name, value));
            path.sent.each(|name, value| tell(tunnel, name, value));
            let device = path.place.borrow().as_ref().map(|running| running.ends.device.clone());
            if let Some(counters) = device.and_then(|device| device.counters().ok()) {
                tell(tunnel, "tun_refused", counters.dropped);
            }
        }
    }

    /// Sends an echo request into the path, from one address to the other, with identifier and sequence number; none
    /// without a path.
    pub fn send_echo(
        &self,
        tunnel: &str,
        (source, target): (Ipv6Addr, Ipv6Addr),
        (identifier, sequence): (u16, u16),
        tasks: &Tasks,
        told: &Told,
    ) {
        let Some(path) = self.0.get(tunnel) else { return };
        let Some(outlet) = path.place.borrow().as_ref().map(|running| running.ends.outlet.clone()) else { return };
        let mut out = Vec::new();
        path.data.borrow_mut().echo_request(source, target, identifier, sequence, &mut out, now());
        let (sent, place, tunnel, told) = (path.sent.clone(), path.place.clone(), tunnel.to_owned(), told.clone());
        tasks.push(Box::pin(async move {
            // On an idle tunnel nothing else finds out that the socket is of no more use.
            if let Err(why) = outlet.send(out, &sent).await
                && stop(&place).is_some()
            {
                tell(&told, &tunnel, PathEvent::Failed(why));
            }
            News::Done
        }));
    }
}

impl Path {
    /// Opens the ends, all but a device that is held already, and carries.
    fn start(&mut self, tunnel: &str, device: Option<Rc<Device>>, tasks: &Tasks, told: &Told) {
        let ends = match Ends::open(&self.bound.interface, device, self.bound.local, self.bound.remote) {
            Ok(ends) => ends,
            Err(why) => return tell(told, tunnel, PathEvent::Failed(why)),
        };
        let task = carry(tunnel.to_owned(), self.data.clone(), self.sent.clone(), ends.clone(), told.clone());
        let (abort, registration) = AbortHandle::new_pair();
        self.place = Rc::new(RefCell::new(Some(Running { task: Box::pin(task), ends, abort })));
        let task = Abortable::new(run(tunnel.to_owned(), self.place.clone(), told.clone()), registration);
        tasks.push(Box::pin(async move {
            // An aborted one was told to end.
            let _ = task.await;
            News::Done
        }));
        tell(told, tunnel, PathEvent::Open);
    }

    fn stop(&self) -> Option<Ends> {
        stop(&self.place)
    }
}

impl Bound {
    fn new(settings: &PathSettings) -> Self {
        let remote = match settings.remote {
            PathRemote::Address(remote) => Some(remote),
            PathRemote::SixRd { .. } => None,
        };
        Self { interface: settings.interface.clone(), local: settings.local, remote }
    }
}

/// Ends what runs there, and gives what it held.
fn stop(place: &Place) -> Option<Ends> {
    let Running { task, ends, abort } = place.take()?;
    drop(task);
    abort.abort();
    Some(ends)
}

/// Runs what is there until it breaks down, then tells why.
async fn run(tunnel: String, place: Place, told: Told) {
    let ended = poll_fn(|context| match place.borrow_mut().as_mut() {
        Some(running) => running.task.as_mut().poll(context).map(Some),
        None => Poll::Ready(None),
    });
    let why = ended.await;
    // The device is free before anybody hears of it.
    drop(place.take());
    if let Some(why) = why {
        tell(&told, &tunnel, PathEvent::Failed(why));
    }
}

fn tell(told: &Told, tunnel: &str, event: PathEvent) {
    // The loop that owns the receiver outlives every sender.
    let _ = told.unbounded_send((tunnel.to_owned(), event));
}
