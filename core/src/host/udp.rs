//! `udp`: sockets that listen on an interface or talk to one peer, asked of the grant at every batch.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::types::{ErrorCode, SocketAddress};
use super::bindings::portreeve::plugin::udp::{Host, HostSocket, HostSocketWithStore, UdpSent};
use super::counted::Counted;
use super::inet::{Purpose, socket_in, socket_out};
use super::ipv4::MAX_SEND;
use crate::grants::{Access, Transport};
use crate::sys::{self, UdpSocket};

/// Datagrams that one `receive` gives.
const DATAGRAMS: std::ops::RangeInclusive<u32> = 1..=64;

/// An open socket.
pub struct UdpHandle {
    socket: Arc<dyn UdpSocket>,
    purpose: Purpose,
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
        let opened = self.meter.excuse(|| self.shared.kernel.listen_udp(interface, port));
        let socket = opened.map_err(|error| self.socket_error("listen on a UDP port", &error))?;
        self.push(UdpHandle { socket, purpose: Purpose::Listen(index, port), _counted: counted })
    }

    fn connect_udp(&mut self, remote: SocketAddress) -> Result<Resource<UdpHandle>, ErrorCode> {
        let remote = socket_in(remote);
        self.check(Access::Connect(Transport::Udp, remote.ip(), remote.port()))?;
        let counted = self.counts.inet().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.connect_udp(remote));
        let socket = opened.map_err(|error| self.socket_error("open a UDP socket", &error))?;
        self.push(UdpHandle { socket, purpose: Purpose::Connect(remote), _counted: counted })
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
        let received = socket.receive(max.clamp(*DATAGRAMS.start(), *DATAGRAMS.end()) as usize).await;
        Ok(accessor.with(|mut access| {
            let state = access.get();
            // The grant may have changed while this waited.
            state.check_purpose(Transport::Udp, purpose)?;
            received.map_err(|error| state.socket_error("receive datagrams", &error))
        }))
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<UdpHandle>,
        batch: Vec<u8>,
    ) -> Result<Result<UdpSent, ErrorCode>> {
        let (socket, allowed, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            let (socket, purpose) = (handle.socket.clone(), handle.purpose);
            Ok((socket, state.check_purpose(Transport::Udp, purpose), call))
        })?;
        if let Err(code) = allowed {
            return Ok(Err(code));
        }
        if batch.len() > MAX_SEND {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        super::let_others_run().await;
        let sent = socket.send(batch).await;
        Ok(sent
            .map(udp_sent)
            .map_err(|error| accessor.with(|mut access| access.get().socket_error("send datagrams", &error))))
    }
}

fn udp_sent(sent: sys::UdpSent) -> UdpSent {
    let sys::UdpSent { datagrams, too_big, unreachable, queue_full, refused } = sent;
    UdpSent { datagrams, too_big, unreachable, queue_full, refused }
}
