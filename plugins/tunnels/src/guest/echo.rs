//! Echo requests through tunnels whose packets the kernel carries: an ICMPv6 socket on each one's interface.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::rc::Rc;

use portreeve_packet::icmpv6::{ECHO_REPLY, ECHO_REQUEST};
use portreeve_sdk::raw_ip::{Icmpv6Socket, Transmit};
use portreeve_sdk::{ipv6_address, warn};

use super::{News, Tasks, Told};
use crate::engine::PathEvent;

/// Hop limit of a request, as `ping` sends it.
const HOP_LIMIT: u8 = 64;

/// The sockets by tunnel, each with the identifier of its requests.
#[derive(Default)]
pub struct Echoes(BTreeMap<String, Rc<Icmpv6Socket>>);

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
        let socket = match self.0.get(&tunnel) {
            Some(socket) => socket.clone(),
            None => match Icmpv6Socket::open(&tunnel, &[ECHO_REPLY]) {
                Ok(socket) => {
                    let socket = Rc::new(socket);
                    tasks.push(Box::pin(listen(tunnel.clone(), socket.clone(), identifier, told.clone())));
                    self.0.insert(tunnel.clone(), socket.clone());
                    socket
                }
                Err(code) => {
                    warn!("cannot send echo requests", tunnel = tunnel, error = code.name());
                    return;
                }
            },
        };
        let mut message = vec![ECHO_REQUEST, 0, 0, 0];
        message.extend(identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        let packet = Transmit { source: None, destination: ipv6_address(target), hop_limit: HOP_LIMIT, message };
        tasks.push(Box::pin(async move {
            // A request that is lost is one without an answer; a socket whose link is gone is opened anew.
            let _ = socket.send(packet).await;
            News::Done
        }));
    }

    /// Forgets the socket of a tunnel: its link is gone, or others carry it now.
    pub fn forget(&mut self, tunnel: &str) {
        self.0.remove(tunnel);
    }
}

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
    News::EchoesEnded(tunnel)
}
