//! Paths that this plugin carries itself: a tun device on one side, a raw socket of protocol 41 on the other, the
//! [`DataPath`] between them.
//!
//! Each path is one task of three loops (out, in, ICMP errors) that share the data path. It ends with its reason, or
//! silently when it is closed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use portreeve_sdk::futures::future::{AbortHandle, Abortable, try_join3};
use portreeve_sdk::network::ipv4_address;
use portreeve_sdk::raw_ip::Ipv4Socket;
use portreeve_sdk::tun::Device;
use portreeve_sdk::types::ErrorCode;

use super::{News, Tasks, Told, now};
use crate::config::Tos;
use crate::engine::{PathEvent, PathRemote, PathSettings};
use crate::sixin4::{self, DataPath, Event, IcmpError, Remote, Settings, SixRd};

/// IPv6 in IPv4 (RFC 4213).
const PROTOCOL: u8 = 41;
/// Bytes that are asked for at once. A batch of full frames fills the caches; a larger one leaves them.
const BATCH: u32 = 256 * 1024;

/// The open paths by tunnel.
#[derive(Default)]
pub struct Paths(BTreeMap<String, Path>);

struct Path {
    data: Rc<RefCell<DataPath>>,
    sent: Rc<Sent>,
    ends: Rc<Ends>,
    abort: AbortHandle,
}

/// What the socket and the device did not take.
#[derive(Default)]
pub struct Sent {
    pub too_big: Cell<u64>,
    pub unreachable: Cell<u64>,
    pub queue_full: Cell<u64>,
    pub refused: Cell<u64>,
    pub tun_dropped: Cell<u64>,
}

/// Both ends of a path.
struct Ends {
    socket: Ipv4Socket,
    device: Device,
}

impl Paths {
    /// Opens a path; tells how that went.
    pub fn open(&mut self, tunnel: String, settings: &PathSettings, tasks: &Tasks, told: &Told) {
        self.start(tunnel, settings, None, tasks, told);
    }

    /// Carries on with other settings: counters and the keepalive stay.
    pub fn update(&mut self, tunnel: String, settings: &PathSettings, tasks: &Tasks, told: &Told) {
        let data = self.0.remove(&tunnel).map(|path| {
            path.abort.abort();
            (path.data, path.sent)
        });
        self.start(tunnel, settings, data, tasks, told);
    }

    /// Carries no longer.
    pub fn close(&mut self, tunnel: &str) {
        if let Some(path) = self.0.remove(tunnel) {
            path.abort.abort();
        }
    }

    pub fn is_open(&self, tunnel: &str) -> bool {
        self.0.contains_key(tunnel)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counters of each path: name and value, in the order in which they matter.
    pub fn each(&self, mut tell: impl FnMut(&str, &'static str, u64)) {
        for (tunnel, path) in &self.0 {
            path.data.borrow().counters().each(|name, value| tell(tunnel, name, value));
            let sent = &path.sent;
            for (name, value) in [
                ("tx_too_big", &sent.too_big),
                ("tx_unreachable", &sent.unreachable),
                ("tx_queue_full", &sent.queue_full),
                ("tx_refused", &sent.refused),
                ("tun_refused", &sent.tun_dropped),
            ] {
                tell(tunnel, name, value.get());
            }
        }
    }

    /// Sends an echo request into the path, from one address to the other, with identifier and sequence number; false
    /// without a path.
    pub fn send_echo(&self, tunnel: &str, ends: (Ipv6Addr, Ipv6Addr), number: (u16, u16), tasks: &Tasks) -> bool {
        let Some(path) = self.0.get(tunnel) else { return false };
        let mut out = Vec::new();
        path.data.borrow_mut().echo_request(ends.0, ends.1, number.0, number.1, &mut out, time());
        let ends = path.ends.clone();
        tasks.push(Box::pin(async move {
            // It is one packet: a socket that cannot take it now has lost it, as a network may.
            let _ = ends.socket.send(out).await;
            News::Done
        }));
        true
    }

    fn start(
        &mut self,
        tunnel: String,
        settings: &PathSettings,
        before: Option<(Rc<RefCell<DataPath>>, Rc<Sent>)>,
        tasks: &Tasks,
        told: &Told,
    ) {
        let (data, sent) = match before {
            Some((data, sent)) => {
                data.borrow_mut().reconfigure(convert(settings));
                (data, sent)
            }
            None => (Rc::new(RefCell::new(DataPath::new(convert(settings)))), Rc::default()),
        };
        let ends = match open(settings) {
            Ok(ends) => Rc::new(ends),
            Err(why) => {
                // The loop that owns the receiver outlives every sender.
                let _ = told.unbounded_send((tunnel, PathEvent::Failed(why)));
                return;
            }
        };
        let (abort, registration) = AbortHandle::new_pair();
        let task = carry(tunnel.clone(), data.clone(), sent.clone(), ends.clone(), told.clone());
        let task = Abortable::new(task, registration);
        tasks.push(Box::pin(async move {
            // An aborted one was told to end.
            let _ = task.await;
            News::Done
        }));
        let _ = told.unbounded_send((tunnel.clone(), PathEvent::Open));
        self.0.insert(tunnel, Path { data, sent, ends, abort });
    }
}

fn open(settings: &PathSettings) -> Result<Ends, String> {
    let device = Device::open(&settings.interface)
        .map_err(|code| format!("cannot hold tun device {}: {}", settings.interface, code.name()))?;
    let remote = match settings.remote {
        PathRemote::Address(remote) => Some(ipv4_address(remote)),
        PathRemote::SixRd { .. } => None,
    };
    let socket = Ipv4Socket::open(PROTOCOL, settings.local.map(ipv4_address), remote)
        .map_err(|code| format!("cannot open a socket of protocol 41: {}", code.name()))?;
    Ok(Ends { socket, device })
}

/// Carries packets until something is wrong, and tells what.
async fn carry(tunnel: String, data: Rc<RefCell<DataPath>>, sent: Rc<Sent>, ends: Rc<Ends>, told: Told) {
    let out = outwards(&data, &sent, &ends);
    let inwards = inwards(&tunnel, &data, &sent, &ends, &told);
    let errors = errors(&data, &sent, &ends);
    let Err(why) = try_join3(out, inwards, errors).await;
    let _ = told.unbounded_send((tunnel, PathEvent::Failed(why)));
}

/// Why a path ended; it never ends well.
type Ended = Result<std::convert::Infallible, String>;

async fn outwards(data: &RefCell<DataPath>, sent: &Sent, ends: &Ends) -> Ended {
    let mut room = 0;
    loop {
        let batch = ends.device.receive(BATCH).await.map_err(|code| failed("receive from the tun device", code))?;
        let (mut out, mut back) = (Vec::with_capacity(room), Vec::new());
        data.borrow_mut().encapsulate(&batch, &mut out, &mut back, time());
        drop(batch);
        room = room.max(out.len());
        to_socket(out, sent, ends).await?;
        to_device(back, sent, ends).await?;
    }
}

async fn inwards(tunnel: &str, data: &RefCell<DataPath>, sent: &Sent, ends: &Ends, told: &Told) -> Ended {
    let mut room = 0;
    loop {
        let batch = ends.socket.receive(BATCH).await.map_err(|code| failed("receive packets of protocol 41", code))?;
        let mut out = Vec::with_capacity(room);
        data.borrow_mut().decapsulate(&batch, &mut out, time());
        drop(batch);
        room = room.max(out.len());
        to_device(out, sent, ends).await?;
        while let Some(event) = data.borrow_mut().poll_event() {
            if let Event::EchoReply { sequence, .. } = event {
                let _ = told.unbounded_send((tunnel.to_owned(), PathEvent::EchoReply { sequence }));
            }
        }
    }
}

async fn errors(data: &RefCell<DataPath>, sent: &Sent, ends: &Ends) -> Ended {
    loop {
        let list = ends.socket.next_errors().await.map_err(|code| failed("receive ICMP errors", code))?;
        let mut back = Vec::new();
        for error in &list {
            let (a, b, c, d) = error.reporter.unwrap_or(error.destination);
            let icmp = IcmpError {
                kind: error.kind,
                code: error.code,
                mtu: (error.mtu != 0).then_some(error.mtu),
                from: Ipv4Addr::new(a, b, c, d),
                original: &error.quoted,
            };
            data.borrow_mut().handle_icmp_error(&icmp, &mut back, time());
        }
        to_device(back, sent, ends).await?;
    }
}

async fn to_socket(batch: Vec<u8>, sent: &Sent, ends: &Ends) -> Result<(), String> {
    if batch.is_empty() {
        return Ok(());
    }
    let done = ends.socket.send(batch).await.map_err(|code| failed("send packets of protocol 41", code))?;
    for (counter, more) in [
        (&sent.too_big, done.too_big),
        (&sent.unreachable, done.unreachable),
        (&sent.queue_full, done.queue_full),
        (&sent.refused, done.refused),
    ] {
        counter.set(counter.get() + u64::from(more));
    }
    Ok(())
}

async fn to_device(batch: Vec<u8>, sent: &Sent, ends: &Ends) -> Result<(), String> {
    if batch.is_empty() {
        return Ok(());
    }
    let done = ends.device.send(batch).await.map_err(|code| failed("send to the tun device", code))?;
    sent.tun_dropped.set(sent.tun_dropped.get() + u64::from(done.dropped));
    Ok(())
}

fn failed(what: &str, code: ErrorCode) -> String {
    format!("cannot {what}: {}", code.name())
}

fn time() -> sixin4::Instant {
    now()
}

fn convert(settings: &PathSettings) -> Settings {
    let prefix = |prefix: portreeve_network::Prefix| match prefix.address {
        std::net::IpAddr::V6(address) => sixin4::Prefix::new(address, prefix.length),
        std::net::IpAddr::V4(_) => None,
    };
    let remote = match &settings.remote {
        PathRemote::Address(remote) => Remote::Address(*remote),
        PathRemote::SixRd { prefix: whole, relay, ipv4_mask_length, ipv4 } => match prefix(*whole) {
            Some(prefix) => {
                Remote::SixRd(SixRd { prefix, ipv4_mask_length: *ipv4_mask_length, ipv4: *ipv4, border_relay: *relay })
            }
            // The section has been read: a 6rd prefix is IPv6.
            None => Remote::Address(*relay),
        },
    };
    let mut own: Vec<sixin4::Prefix> = settings.own_prefixes.iter().copied().filter_map(prefix).collect();
    if let Remote::SixRd(six_rd) = &remote {
        own.extend(six_rd.delegated());
    }
    Settings {
        local: settings.local,
        mtu: u16::try_from(settings.mtu).unwrap_or(sixin4::MAX_MTU),
        ttl: settings.ttl,
        tos: match settings.tos {
            Tos::Inherit => sixin4::Tos::Inherit,
            Tos::Fixed(tos) => sixin4::Tos::Fixed(tos),
        },
        dont_fragment: settings.dont_fragment,
        mss_clamp: settings.mss_clamp,
        own,
        icmp_source: settings.icmp_source,
        ..Settings::new(remote)
    }
}
