//! `raw-ip`: ICMPv6 sockets, each bound to one interface and asked of the grant at every use.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::raw_ip::{
    Host, HostIcmpv6Socket, HostIcmpv6SocketWithStore, Received, Transmit,
};
use super::bindings::portreeve::plugin::types::{ErrorCode, Ipv6Address};
use super::types::{ipv6_in, ipv6_out};
use crate::grants::Access;
use crate::sys::{self, Icmpv6Socket};

/// Packets of one `receive`.
const MAX_BATCH: usize = 32;
/// 65,535 bytes less the IPv6 header and the most that a message's own checks need.
const MAX_MESSAGE: usize = 65_487;

/// A socket and what it was opened for.
pub struct Icmpv6Handle {
    socket: Arc<dyn Icmpv6Socket>,
    index: u32,
    receive: Vec<u8>,
}

impl Host for State {}

impl HostIcmpv6Socket for State {
    fn open(&mut self, interface: String, receive: Vec<u8>) -> Result<Result<Resource<Icmpv6Handle>, ErrorCode>> {
        Ok(self.open_icmpv6(interface, receive))
    }

    fn index(&mut self, this: Resource<Icmpv6Handle>) -> Result<u32> {
        Ok(self.handles.get(&this)?.index)
    }

    fn join(&mut self, this: Resource<Icmpv6Handle>, group: Ipv6Address) -> Result<Result<(), ErrorCode>> {
        let group = ipv6_in(group);
        if !group.is_multicast() {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        let socket = &self.handles.get(&this)?.socket;
        let joined = self.meter.excuse(|| socket.join(group));
        Ok(joined.map_err(|error| match self.os_error("join a group", &error) {
            ErrorCode::QueueFull => ErrorCode::Limit,
            code => code,
        }))
    }

    fn leave(&mut self, this: Resource<Icmpv6Handle>, group: Ipv6Address) -> Result<Result<(), ErrorCode>> {
        let socket = &self.handles.get(&this)?.socket;
        let left = self.meter.excuse(|| socket.leave(ipv6_in(group)));
        Ok(left.map_err(|error| match self.os_error("leave a group", &error) {
            ErrorCode::Unreachable => ErrorCode::NotFound,
            code => code,
        }))
    }

    fn drop(&mut self, this: Resource<Icmpv6Handle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl State {
    fn open_icmpv6(&mut self, interface: String, receive: Vec<u8>) -> Result<Resource<Icmpv6Handle>, ErrorCode> {
        self.check(Access::Icmpv6(&interface))?;
        self.check_types(&interface, &receive)?;
        let index = self.shared.kernel.links().borrow().by_name(&interface).map(|link| link.index);
        let index = index.ok_or(ErrorCode::NotFound)?;
        let opened = self.meter.excuse(|| self.shared.kernel.open_icmpv6(index, &receive));
        let socket = opened.map_err(|error| {
            let fields = vec![("ifname".to_owned(), interface.clone()), ("error".to_owned(), error.to_string())];
            self.log(crate::config::LogLevel::Warn, "cannot open an ICMPv6 socket", fields);
            super::types::error_code(&error)
        })?;
        self.push(Icmpv6Handle { socket, index, receive })
    }

    /// The name that the interface has now: grants are about names, sockets are bound to indexes, and an interface
    /// can be renamed.
    pub(super) fn name_of(&self, index: u32) -> Result<String, ErrorCode> {
        let table = self.shared.kernel.links();
        let name = table.borrow().links.get(&index).map(|link| link.name.clone());
        name.ok_or(ErrorCode::Gone)
    }

    fn check_types(&mut self, interface: &str, receive: &[u8]) -> Result<(), ErrorCode> {
        receive.iter().try_for_each(|kind| self.check(Access::Icmpv6Receive(interface, *kind)))
    }
}

impl<T: Send + 'static> HostIcmpv6SocketWithStore<T> for HasSelf<State> {
    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<Icmpv6Handle>,
    ) -> Result<Result<Vec<Received>, ErrorCode>> {
        let (socket, index, types, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let handle = state.handles.get(&this)?;
            Ok((handle.socket.clone(), handle.index, handle.receive.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let received = socket.receive(MAX_BATCH).await;
        Ok(accessor.with(|mut access| {
            let state = access.get();
            // The grant may have changed while this waited.
            let interface = state.name_of(index)?;
            state.check_types(&interface, &types)?;
            let batch = received.map_err(|error| state.os_error("receive ICMPv6", &error))?;
            Ok(batch.into_iter().map(received_out).collect())
        }))
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<Icmpv6Handle>,
        packet: Transmit,
    ) -> Result<Result<(), ErrorCode>> {
        let checked = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let handle = state.handles.get(&this)?;
            let (socket, index) = (handle.socket.clone(), handle.index);
            let Some(kind) = packet.message.first().filter(|_| packet.message.len() <= MAX_MESSAGE) else {
                return Ok(Err(ErrorCode::InvalidArgument));
            };
            let allowed = state.name_of(index).and_then(|name| state.check(Access::Icmpv6Send(&name, *kind)));
            let call = state.begin_call()?;
            Ok(allowed.map(|()| (socket, call)))
        })?;
        let (socket, _call) = match checked {
            Ok(checked) => checked,
            Err(code) => return Ok(Err(code)),
        };
        super::let_others_run().await;
        let sent = socket.send(transmit_in(packet)).await;
        Ok(sent.map_err(|error| accessor.with(|mut access| access.get().os_error("send ICMPv6", &error))))
    }
}

fn received_out(packet: sys::Received) -> Received {
    Received {
        source: ipv6_out(packet.source),
        destination: ipv6_out(packet.destination),
        hop_limit: packet.hop_limit,
        message: packet.message,
    }
}

fn transmit_in(packet: Transmit) -> sys::Transmit {
    sys::Transmit {
        source: packet.source.map(ipv6_in),
        destination: ipv6_in(packet.destination),
        hop_limit: packet.hop_limit,
        message: packet.message,
    }
}
