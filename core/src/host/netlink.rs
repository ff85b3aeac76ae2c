//! `netlink`: raw sockets, every message's type asked of the grant before anything is sent.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::netlink::{Host, HostSocket, HostSocketWithStore};
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::counted::Counted;
use crate::config::LogLevel;
use crate::grants::Access;
use crate::sys::NetlinkSocket;

/// Bytes of one `send`.
const MAX_MESSAGES: usize = 256 * 1024;
/// Bytes of struct nlmsghdr.
const HEADER: usize = 16;
/// The type that stands for listening to multicast groups.
const LISTEN: u16 = 0;
/// NETLINK_GENERIC (linux/netlink.h), and the family in it that hands out private keys.
const GENERIC: u8 = 16;
const WIREGUARD: &str = "wireguard";

/// A socket and its family.
pub struct NetlinkHandle {
    socket: Arc<dyn NetlinkSocket>,
    family: u8,
    _counted: Counted,
}

impl Host for State {}

impl HostSocket for State {
    fn open(&mut self, family: u8) -> Result<Result<Resource<NetlinkHandle>, ErrorCode>> {
        if let Err(denied) = self.check(Access::Netlink(family)) {
            return Ok(Err(denied));
        }
        let Some(counted) = self.counts.socket() else { return Ok(Err(ErrorCode::Limit)) };
        Ok(match self.meter.excuse(|| self.shared.kernel.open_netlink(family)) {
            Ok(socket) => self.push(NetlinkHandle { socket, family, _counted: counted }),
            Err(error) => Err(self.os_error("open a netlink socket", &error)),
        })
    }

    fn join(&mut self, this: Resource<NetlinkHandle>, group: u32) -> Result<Result<(), ErrorCode>> {
        let handle = self.handles.get(&this)?;
        let (socket, family) = (handle.socket.clone(), handle.family);
        Ok(self
            .check(Access::NetlinkSend(family, LISTEN))
            .and_then(|()| socket.join(group).map_err(|error| self.os_error("join a netlink group", &error))))
    }

    fn drop(&mut self, this: Resource<NetlinkHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl State {
    /// Every type is granted, and none is WireGuard's: its number differs from boot to boot, so a grant cannot have meant
    /// it, and keys stay in the core.
    fn check_messages(&mut self, family: u8, types: &[u16]) -> Result<(), ErrorCode> {
        types.iter().try_for_each(|kind| self.check(Access::NetlinkSend(family, *kind)))?;
        if family != GENERIC {
            return Ok(());
        }
        let denied = match self.meter.excuse(|| self.shared.kernel.generic_family(WIREGUARD)) {
            Some(wireguard) => types.contains(&wireguard),
            // Links of that kind without the family: it could not be looked up.
            None => {
                let table = self.shared.kernel.links().borrow().clone();
                table.links.values().any(|link| link.kind.as_deref() == Some(WIREGUARD))
            }
        };
        if !denied {
            return Ok(());
        }
        self.log(LogLevel::Warn, "denied: WireGuard's generic netlink has private keys", Vec::new());
        Err(ErrorCode::Denied)
    }
}

/// The types of the messages in a datagram; none if it is not made of whole messages.
fn types(mut messages: &[u8]) -> Option<Vec<u16>> {
    let mut types = Vec::new();
    while !messages.is_empty() {
        let [a, b, c, d, e, f, ..] = *messages.first_chunk::<HEADER>()?;
        let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
        if length < HEADER || length > messages.len() {
            return None;
        }
        types.push(u16::from_ne_bytes([e, f]));
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    (!types.is_empty()).then_some(types)
}

impl<T: Send + 'static> HostSocketWithStore<T> for HasSelf<State> {
    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<NetlinkHandle>,
        messages: Vec<u8>,
    ) -> Result<Result<(), ErrorCode>> {
        let (checked, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let handle = state.handles.get(&this)?;
            let (socket, family) = (handle.socket.clone(), handle.family);
            let call = state.begin_call()?;
            let Some(types) = types(&messages).filter(|_| messages.len() <= MAX_MESSAGES) else {
                return Ok((Err(ErrorCode::InvalidArgument), call));
            };
            Ok((state.check_messages(family, &types).map(|()| socket), call))
        })?;
        let socket = match checked {
            Ok(socket) => socket,
            Err(code) => return Ok(Err(code)),
        };
        super::let_others_run().await;
        let sent = socket.send(messages).await;
        Ok(sent.map_err(|e| accessor.with(|mut access| access.get().os_error("send netlink messages", &e))))
    }

    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<NetlinkHandle>,
    ) -> Result<Result<Vec<u8>, ErrorCode>> {
        let (socket, family, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let handle = state.handles.get(&this)?;
            Ok((handle.socket.clone(), handle.family, state.begin_call()?))
        })?;
        super::let_others_run().await;
        let received = socket.receive().await;
        Ok(accessor.with(|mut access| {
            let state = access.get();
            // The grant may have changed while this waited.
            state.check(Access::Netlink(family))?;
            received.map_err(|error| state.os_error("receive netlink messages", &error))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_have_types() {
        let message = |length: u32, kind: u16, bytes: usize| {
            let mut message = length.to_ne_bytes().to_vec();
            message.extend(kind.to_ne_bytes());
            message.resize(bytes, 0);
            message
        };
        assert_eq!(types(&message(16, 26, 16)), Some(vec![26]));
        assert_eq!(types(&[message(18, 26, 20), message(16, 3, 16)].concat()), Some(vec![26, 3]));
        for bad in [message(16, 26, 15), message(15, 26, 16), message(17, 26, 16), message(0, 26, 16), vec![]] {
            assert_eq!(types(&bad), None, "{bad:?}");
        }
    }
}
