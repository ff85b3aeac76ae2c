//! Echo requests through tunnels whose packets the kernel carries: an ICMPv6 socket on each one's interface.
//!
//! A socket lives as long as nothing speaks against it. When its link is gone, a request cannot be sent, requests get
//! another identifier, or others carry the packets, it is dropped with its listener, and opened anew when the next
//! request is to be sent.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::rc::Rc;

use portreeve_packet::icmpv6::{ECHO_REPLY, ECHO_REQUEST};
use portreeve_sdk::futures::future::{AbortHandle, Abortable};
use portreeve_sdk::raw_ip::{Icmpv6Socket, Transmit};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{ipv6_address, warn};

use super::{News, Tasks, Told};
use crate::engine::PathEvent;

/// Hop limit of a request, as `ping` sends it.
const HOP_LIMIT: u8 = 64;

/// The sockets by tunnel.
#[derive(Default)]
pub struct Echoes(BTreeMap<String, Echo>);

struct Echo {
    socket: Rc<Icmpv6Socket>,
    /// Of its requests: answers to others are not listened to.
    identifier: u16,
    listener: AbortHandle,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Echoes {
    /// Sends a request; its answer is told as an event of the tunnel.
    pub fn send(
        &mut self,
        tunnel: String,
        target: Ipv6Addr,
        identifier: u16,
        sequence: u16,
        tasks: &Tasks,
        told: &Told,
    ) {
        let socket = match self.socket(&tunnel, identifier, tasks, told) {
            Ok(socket) => socket,
            Err(code) => {
                warn!("cannot send echo requests", tunnel = tunnel, error = code.name());
                return;
            }
        };
        let mut message = vec![ECHO_REQUEST, 0, 0, 0];
        message.extend(identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        let packet = Transmit { source: None, destination: ipv6_address(target), hop_limit: HOP_LIMIT, message };
        tasks.push(Box::pin(async move {
            // The request is lost, which is one without an answer; the next one has a socket that may do better.
            match socket.send(packet).await {
                Ok(()) => News::Done,
                Err(_) => News::EchoesEnded(tunnel, socket),
            }
        }));
    }

    /// The socket for requests with this identifier.
    fn socket(
        &mut self,
        tunnel: &str,
        identifier: u16,
        tasks: &Tasks,
        told: &Told,
    ) -> Result<Rc<Icmpv6Socket>, ErrorCode> {
        if let Some(echo) = self.0.get(tunnel).filter(|echo| echo.identifier == identifier) {
            return Ok(echo.socket.clone());
        }
        self.close(tunnel);
        let socket = Rc::new(Icmpv6Socket::open(tunnel, &[ECHO_REPLY])?);
        let (listener, registration) = AbortHandle::new_pair();
        let listening = listen(tunnel.to_owned(), socket.clone(), identifier, told.clone());
        let listening = Abortable::new(listening, registration);
        // An aborted one was told to end.
        tasks.push(Box::pin(async move { listening.await.unwrap_or(News::Done) }));
        self.0.insert(tunnel.to_owned(), Echo { socket: socket.clone(), identifier, listener });
        Ok(socket)
    }

    /// Closes the socket of a tunnel: what it is bound to is made anew, or others carry its packets.
    pub fn close(&mut self, tunnel: &str) {
        self.0.remove(tunnel);
    }

    /// Closes this socket of a tunnel, which does not work any more. Another one stays.
    pub fn forget(&mut self, tunnel: &str, socket: &Rc<Icmpv6Socket>) {
        if self.0.get(tunnel).is_some_and(|echo| Rc::ptr_eq(&echo.socket, socket)) {
            self.close(tunnel);
        }
    }

    /// Closes the sockets of all other tunnels.
    pub fn keep(&mut self, mut is_kept: impl FnMut(&str) -> bool) {
        self.0.retain(|tunnel, _| is_kept(tunnel));
    }
}

/// Tells of answers until the socket fails.
async fn listen(tunnel: String, socket: Rc<Icmpv6Socket>, identifier: u16, told: Told) -> News {
    while let Ok(list) = socket.receive().await {
        for packet in list {
            let Some([ECHO_REPLY, 0, _, _, a, b, c, d]) = packet.message.first_chunk::<8>().copied() else { continue };
            if u16::from_be_bytes([a, b]) == identifier {
                let event = PathEvent::EchoReply { sequence: u16::from_be_bytes([c, d]) };
                // The loop that owns the receiver outlives every sender.
                let _ = told.unbounded_send((tunnel.clone(), event));
            }
        }
    }
    News::EchoesEnded(tunnel, socket)
}
