//! The sockets that the engine asked for, what they receive, and carrying out what the engine says.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::rc::Rc;
use std::time::Duration;

use portreeve_packet::icmpv6::{ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION};
use portreeve_sdk::futures::StreamExt;
use portreeve_sdk::futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use portreeve_sdk::futures::stream::FuturesUnordered;
use portreeve_sdk::raw_ip::{Icmpv6Socket, Received, Transmit};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{clock, debug, instance, ipv6, ipv6_address, warn};

use super::{now, report};
use crate::engine::{self, Event};
use crate::{Engine, Instant};

/// All routers, link-local scope (RFC 4291 section 2.7.1): where solicitations go.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All nodes: where other routers' advertisements go.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// How long until sockets that could not be opened are tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long a socket whose link is down is left alone, in nanoseconds.
const GONE_PAUSE_NS: u64 = 100_000_000;

/// What one wait for packets gave; none if it was called off.
type Arrived = Option<(u32, Rc<Icmpv6Socket>, Result<Vec<Received>, ErrorCode>)>;

struct Open {
    name: String,
    socket: Rc<Icmpv6Socket>,
    waiting: AbortHandle,
}

#[derive(Default)]
pub struct Sockets {
    open: BTreeMap<u32, Open>,
    /// Sockets that could not be opened, by index, with the interface's name and the reason: tried again every
    /// [`RETRY`].
    failed: BTreeMap<u32, (String, ErrorCode)>,
    retry_at: Option<Instant>,
    /// What the core was told last; none before the first time.
    told: Option<Option<String>>,
    waiting: FuturesUnordered<LocalBoxFuture<'static, Arrived>>,
}

impl Sockets {
    /// Waits for packets of any socket. Dropping the future keeps the calls.
    pub async fn receive(&mut self) -> Arrived {
        match self.waiting.next().await {
            Some(arrived) => arrived,
            None => core::future::pending().await,
        }
    }

    /// Hands packets to the engine and waits at that socket again.
    pub fn hand_over(&mut self, arrived: Arrived, engine: &mut Engine) {
        let Some((index, socket, result)) = arrived else { return };
        let mut pause = 0;
        match result {
            Ok(packets) => {
                for packet in packets {
                    let received = engine::Received {
                        interface_index: index,
                        source: ipv6(packet.source),
                        destination: ipv6(packet.destination),
                        hop_limit: packet.hop_limit,
                        bytes: &packet.message,
                    };
                    engine.handle_packet(received, now());
                }
            }
            // Told when the link goes down; the socket works on when it is up again. If the link is gone for
            // good the engine closes the socket soon; until then it is asked only now and then.
            Err(ErrorCode::Gone) => pause = GONE_PAUSE_NS,
            Err(error) => {
                warn!("cannot receive, opening the socket anew", index = index, error = error.name());
                if let Some(open) = self.open.remove(&index) {
                    self.fail(index, open.name, error);
                }
                return;
            }
        }
        if let Some(open) = self.open.remove(&index) {
            self.wait(index, open.name, socket, pause);
        }
    }

    /// Does what the engine says: sockets, records, packets.
    pub async fn obey(&mut self, engine: &mut Engine) {
        loop {
            while let Some(event) = engine.poll_event() {
                match event {
                    Event::OpenSocket { index, name } => self.open(index, name),
                    Event::CloseSocket { index } => self.close(index),
                    event => report::log(&event),
                }
            }
            let Some(packet) = engine.poll_transmit() else { break };
            if !self.send(&packet).await {
                engine.handle_transmit_error(packet.interface_index, packet.destination, now());
            }
        }
        self.tell();
    }

    /// When sockets that could not be opened are tried again.
    pub const fn next_retry(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Tries them again, if it is time.
    pub fn retry(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            for (index, (name, _)) in std::mem::take(&mut self.failed) {
                self.open(index, name);
            }
        }
    }

    /// Tells the core how things are: the one place that says ready or degraded.
    fn tell(&mut self) {
        let trouble = self.failed.values().next().map(|(name, error)| {
            let others = self.failed.len() - 1;
            let more = if others > 0 { format!(", and {others} more") } else { String::new() };
            format!("no socket on {name}: {}{more}", error.name())
        });
        if self.told.as_ref() != Some(&trouble) {
            match &trouble {
                Some(reason) => instance::degraded(reason),
                None => instance::ready(),
            }
            self.told = Some(trouble);
        }
    }

    fn fail(&mut self, index: u32, name: String, error: ErrorCode) {
        self.failed.insert(index, (name, error));
        self.retry_at.get_or_insert(now() + RETRY);
    }

    async fn send(&mut self, packet: &engine::Transmit) -> bool {
        let index = packet.interface_index;
        let Some(open) = self.open.get(&index) else { return false };
        let packet = Transmit {
            source: Some(ipv6_address(packet.source)),
            destination: ipv6_address(packet.destination),
            hop_limit: 255,
            message: packet.bytes.clone(),
        };
        let sent = open.socket.send(packet).await;
        if let Err(error) = sent {
            debug!("not sent", ifname = open.name, error = error.name());
        }
        sent.is_ok()
    }

    fn open(&mut self, index: u32, name: String) {
        self.close(index);
        let opened = Icmpv6Socket::open(&name, &[ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT]).and_then(|socket| {
            if socket.index() != index {
                // The name went to another link; the engine will hear of that.
                return Err(ErrorCode::NotFound);
            }
            socket.join(ipv6_address(ALL_ROUTERS))?;
            socket.join(ipv6_address(ALL_NODES))?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => self.wait(index, name, Rc::new(socket), 0),
            Err(error) => {
                warn!("cannot open a socket", ifname = name, error = error.name());
                self.fail(index, name, error);
            }
        }
    }

    fn close(&mut self, index: u32) {
        self.failed.remove(&index);
        if let Some(open) = self.open.remove(&index) {
            open.waiting.abort();
        }
    }

    fn wait(&mut self, index: u32, name: String, socket: Rc<Icmpv6Socket>, pause: u64) {
        let (waiting, registration) = AbortHandle::new_pair();
        self.open.insert(index, Open { name, socket: socket.clone(), waiting });
        let receive = async move {
            if pause > 0 {
                clock::sleep_until(clock::now() + pause).await;
            }
            let result = socket.receive().await;
            (index, socket, result)
        };
        self.waiting.push(Box::pin(async move { Abortable::new(receive, registration).await.ok() }));
    }
}
