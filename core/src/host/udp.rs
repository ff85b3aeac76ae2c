//! `udp`: sockets that listen on an interface or talk to one peer, asked of the grant at every batch.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::types::{ErrorCode, SocketAddress};
use super::bindings::portreeve::plugin::udp::{Host, HostSocket, HostSocketWithStore, UdpSent};
use super::counted::Counted;
use super::inet::{Purpose, Sending, socket_in, socket_out};
use super::ipv4::MAX_SEND;
use super::standing::while_standing;
use crate::grants::{Access, Transport};
use crate::sys::{self, UdpSocket};

/// Datagrams that one `receive` gives.
const DATAGRAMS: std::ops::RangeInclusive<u32> = 1..=64;

/// Sends of one socket at a time: whoever answers from it and whoever asks need not wait for each other.
const SENDS: usize = 2;

/// An open socket.
pub struct UdpHandle {
    socket: Arc<dyn UdpSocket>,
    purpose: Purpose,
    sending: Sending,
    _counted: Counted,
}

impl Host for State {}

impl HostSocket for State {
    fn listen(&mut self, interface: String, port: u16) -> Result<Result<Resource<UdpHandle>, ErrorCode>> {
        Ok(self.listen_udp(&interface, port))
    }

    fn connect(&mut self, remote: SocketAddress) -> Result<Result<Resource<UdpHandle>, ErrorCode>> {
        Ok(self.connect_udp(remote))
    }

    fn local(&mut self, this: Resource<UdpHandle>) -> Result<SocketAddress> {
        Ok(socket_out(self.handles.get(&this)?.socket.local()?))
    }

    fn drop(&mut self, this: Resource<UdpHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl State {
    fn listen_udp(&mut self, interface: &str, port: u16) -> Result<Resource<UdpHandle>, ErrorCode> {
        let index = self.check_listen(Transport::Udp, interface, port)?;
        let counted = self.counts.inet().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.listen_udp(index, port));
        let socket = opened.map_err(|error| self.os_error("listen on a UDP port", &error))?;
        self.push(UdpHandle {
            socket,
            purpose: Purpose::Listen(index, port),
            sending: Sending::default(),
            _counted: counted,
        })
    }

    fn connect_udp(&mut self, remote: SocketAddress) -> Result<Resource<UdpHandle>, ErrorCode> {
        let remote = socket_in(remote);
        self.check(Access::Connect(Transport::Udp, remote.ip(), remote.port()))?;
        let counted = self.counts.inet().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.connect_udp(remote));
        let socket = opened.map_err(|error| self.peer_error("open a UDP socket", &error))?;
        self.push(UdpHandle {
            socket,
            purpose: Purpose::Connect(remote),
            sending: Sending::default(),
            _counted: counted,
        })
    }
}

impl<T: Send + 'static> HostSocketWithStore<T> for HasSelf<State> {
    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<UdpHandle>,
        max: u32,
    ) -> Result<Result<Vec<u8>, ErrorCode>> {
        let (socket, purpose, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let handle = state.handles.get(&this)?;
            Ok((handle.socket.clone(), handle.purpose, state.begin_call()?))
        })?;
        super::let_others_run().await;
        let receiving = socket.receive(max.clamp(*DATAGRAMS.start(), *DATAGRAMS.end()) as usize);
        Ok(match while_standing(accessor, Transport::Udp, purpose, receiving).await {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(error)) => Err(accessor.with(|mut access| access.get().peer_error("receive datagrams", &error))),
            Err(code) => Err(code),
        })
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<UdpHandle>,
        batch: Vec<u8>,
    ) -> Result<Result<UdpSent, ErrorCode>> {
        if batch.len() > MAX_SEND {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        let begun = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            let sending = handle.sending.begin(SENDS, batch.len(), &state.counts);
            Ok(sending.map(|sending| (handle.socket.clone(), handle.purpose, (call, sending))))
        })?;
        let (socket, purpose, _counted) = match begun {
            Ok(begun) => begun,
            Err(code) => return Ok(Err(code)),
        };
        super::let_others_run().await;
        Ok(match while_standing(accessor, Transport::Udp, purpose, socket.send(batch)).await {
            Ok(Ok(sent)) => Ok(udp_sent(sent)),
            Ok(Err(error)) => Err(accessor.with(|mut access| access.get().peer_error("send datagrams", &error))),
            Err(code) => Err(code),
        })
    }
}

fn udp_sent(sent: sys::UdpSent) -> UdpSent {
    let sys::UdpSent { datagrams, too_big, unreachable, queue_full, refused } = sent;
    UdpSent { datagrams, too_big, unreachable, queue_full, refused }
}
