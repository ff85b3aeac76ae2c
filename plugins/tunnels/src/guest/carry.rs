//! One path that this plugin carries: a tun device on one side, a raw socket of protocol 41 on the other, the
//! [`DataPath`] between them.
//!
//! Three loops (out, in, ICMP errors) share the data path. They end together, with the reason why.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;

use portreeve_sdk::futures::future::try_join3;
use portreeve_sdk::network::ipv4_address;
use portreeve_sdk::raw_ip::{Ipv4Sent, Ipv4Socket};
use portreeve_sdk::tun::{Device, Outlet as Inlet};
use portreeve_sdk::types::{ErrorCode, Ipv4Address};

use super::{Told, now};
use crate::engine::PathEvent;
use crate::sixin4::{DataPath, Event, IcmpError};

/// IPv6 in IPv4 (RFC 4213).
const PROTOCOL: u8 = 41;
/// Bytes that are asked for at once. A batch of full frames fills the caches; a larger one leaves them.
const BATCH: usize = 256 * 1024;
/// So many batches in a row without a route end the path.
const STRANDED: u32 = 3;

/// What the socket and the device did not take.
#[derive(Default)]
pub struct Sent {
    too_big: Cell<u64>,
    unreachable: Cell<u64>,
    queue_full: Cell<u64>,
    refused: Cell<u64>,
}

/// Both ends of a path.
#[derive(Clone)]
pub struct Ends {
    pub outlet: Outlet,
    pub device: Rc<Device>,
}

/// The end towards the far end.
#[derive(Clone)]
pub struct Outlet {
    socket: Rc<Ipv4Socket>,
    /// All packets go to one address. The kernel chose the source when the socket was opened, and keeps to it.
    pinned: bool,
    /// Batches in a row that had no route.
    stranded: Rc<Cell<u32>>,
}

impl Sent {
    pub fn each(&self, mut tell: impl FnMut(&'static str, u64)) {
        for (name, value) in [
            ("tx_too_big", &self.too_big),
            ("tx_unreachable", &self.unreachable),
            ("tx_queue_full", &self.queue_full),
            ("tx_refused", &self.refused),
        ] {
            tell(name, value.get());
        }
    }

    fn count(&self, done: &Ipv4Sent) {
        for (counter, more) in [
            (&self.too_big, done.too_big),
            (&self.unreachable, done.unreachable),
            (&self.queue_full, done.queue_full),
            (&self.refused, done.refused),
        ] {
            counter.set(counter.get() + u64::from(more));
        }
    }
}

impl Ends {
    /// Opens the socket, and the device if it is not held already.
    pub fn open(
        interface: &str,
        device: Option<Rc<Device>>,
        local: Option<Ipv4Addr>,
        remote: Option<Ipv4Addr>,
    ) -> Result<Self, String> {
        let device = match device {
            Some(device) => device,
            None => Rc::new(
                Device::open(interface)
                    .map_err(|code| format!("cannot hold tun device {interface}: {}", code.name()))?,
            ),
        };
        let socket = Ipv4Socket::open(PROTOCOL, local.map(ipv4_address), remote.map(ipv4_address))
            .map_err(|code| failed("open a socket of protocol 41", code))?;
        let outlet = Outlet { socket: Rc::new(socket), pinned: remote.is_some(), stranded: Rc::default() };
        Ok(Self { outlet, device })
    }

    fn inlet(&self) -> Result<Inlet, String> {
        self.device.outlet().map_err(|code| failed("send to the tun device", code))
    }

    /// Why a stream of the device ended.
    fn gone(&self, what: &str) -> String {
        failed(&format!("{what} the tun device"), self.device.reason())
    }
}

impl Outlet {
    /// Sends a batch; an error ends the path.
    pub async fn send(&self, batch: Vec<u8>, sent: &Sent) -> Result<(), String> {
        if batch.is_empty() {
            return Ok(());
        }
        let done = self.socket.send(batch).await.map_err(|code| failed("send packets of protocol 41", code))?;
        sent.count(&done);
        // With 6rd every destination has a route of its own, and senders choose the destinations.
        if !self.pinned {
            return Ok(());
        }
        let stranded = if done.packets == 0 && done.unreachable > 0 { self.stranded.get() + 1 } else { 0 };
        self.stranded.set(stranded);
        if done.packets == 0 && done.refused > 0 {
            return Err("our address changed: the kernel refuses to send from the old one".to_owned());
        }
        if stranded >= STRANDED {
            return Err("there is no route to the far end".to_owned());
        }
        Ok(())
    }
}

/// Carries packets until something is wrong, and gives what.
pub async fn carry(tunnel: String, data: Rc<RefCell<DataPath>>, sent: Rc<Sent>, ends: Ends, told: Told) -> String {
    let out = outwards(&data, &sent, &ends);
    let inwards = inwards(&tunnel, &data, &ends, &told);
    let errors = errors(&data, &ends);
    let Err(why) = try_join3(out, inwards, errors).await;
    why
}

/// Why a path ended; it never ends well.
type Ended = Result<std::convert::Infallible, String>;

async fn outwards(data: &RefCell<DataPath>, sent: &Sent, ends: &Ends) -> Ended {
    let mut packets = ends.device.packets(0).map_err(|code| failed("receive from the tun device", code))?;
    let mut back = ends.inlet()?;
    let (mut batch, mut errors, mut room) = (Vec::with_capacity(BATCH), Vec::new(), 0);
    loop {
        batch = packets.receive(batch).await.ok_or_else(|| ends.gone("receive from"))?;
        let mut out = Vec::with_capacity(room);
        data.borrow_mut().encapsulate(&batch, &mut out, &mut errors, now());
        room = room.max(out.len());
        ends.outlet.send(out, sent).await?;
        errors = back.send(errors).await.ok_or_else(|| ends.gone("send to"))?;
    }
}

async fn inwards(tunnel: &str, data: &RefCell<DataPath>, ends: &Ends, told: &Told) -> Ended {
    let mut device = ends.inlet()?;
    let mut out = Vec::new();
    let socket = &ends.outlet.socket;
    loop {
        let batch =
            socket.receive(BATCH as u32).await.map_err(|code| failed("receive packets of protocol 41", code))?;
        data.borrow_mut().decapsulate(&batch, &mut out, now());
        drop(batch);
        out = device.send(out).await.ok_or_else(|| ends.gone("send to"))?;
        while let Some(event) = data.borrow_mut().poll_event() {
            if let Event::EchoReply { sequence, .. } = event {
                // The loop that owns the receiver outlives every sender.
                let _ = told.unbounded_send((tunnel.to_owned(), PathEvent::EchoReply { sequence }));
            }
        }
    }
}

async fn errors(data: &RefCell<DataPath>, ends: &Ends) -> Ended {
    let mut device = ends.inlet()?;
    let mut back = Vec::new();
    loop {
        let list = ends.outlet.socket.next_errors().await.map_err(|code| failed("receive ICMP errors", code))?;
        for error in &list {
            let icmp = IcmpError {
                kind: error.kind,
                code: error.code,
                mtu: (error.mtu != 0).then_some(error.mtu),
                from: address(error.reporter.unwrap_or(error.destination)),
                destination: address(error.destination),
                local: error.reporter.is_none(),
                original: &error.quoted,
            };
            data.borrow_mut().handle_icmp_error(&icmp, &mut back, now());
        }
        back = device.send(back).await.ok_or_else(|| ends.gone("send to"))?;
    }
}

fn failed(what: &str, code: ErrorCode) -> String {
    format!("cannot {what}: {}", code.name())
}

const fn address((a, b, c, d): Ipv4Address) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}
