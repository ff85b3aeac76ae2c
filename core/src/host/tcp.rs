//! `tcp`: listeners on interfaces and connections, asked of the grant at every use.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::tcp::{
    Host, HostConnection, HostConnectionWithStore, HostListener, HostListenerWithStore,
};
use super::bindings::portreeve::plugin::types::{ErrorCode, SocketAddress};
use super::counted::Counted;
use super::inet::{Purpose, Sending, socket_in, socket_out};
use super::standing::while_standing;
use crate::grants::{Access, Transport};
use crate::sys::{TcpAccept, TcpConnection};

/// Bytes that one `receive` gives.
const RECEIVE: std::ops::RangeInclusive<u32> = 1..=256 * 1024;
/// Bytes that one `send` takes.
const MAX_SEND: usize = 256 * 1024;

/// A listening socket.
pub struct ListenerHandle {
    listener: Arc<dyn TcpAccept>,
    purpose: Purpose,
    _counted: Counted,
}

/// A connection.
pub struct ConnectionHandle {
    connection: Arc<dyn TcpConnection>,
    purpose: Purpose,
    sending: Sending,
    _counted: Counted,
}

impl Host for State {}

impl HostListener for State {
    fn listen(&mut self, interface: String, port: u16) -> Result<Result<Resource<ListenerHandle>, ErrorCode>> {
        Ok(self.listen_tcp(&interface, port))
    }

    fn drop(&mut self, this: Resource<ListenerHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl HostConnection for State {
    fn local(&mut self, this: Resource<ConnectionHandle>) -> Result<SocketAddress> {
        Ok(socket_out(self.handles.get(&this)?.connection.local()))
    }

    fn remote(&mut self, this: Resource<ConnectionHandle>) -> Result<SocketAddress> {
        Ok(socket_out(self.handles.get(&this)?.connection.remote()))
    }

    fn finish(&mut self, this: Resource<ConnectionHandle>) -> Result<Result<(), ErrorCode>> {
        let connection = self.handles.get(&this)?.connection.clone();
        Ok(connection.finish().map_err(|error| self.connection_error("finish a connection", &error)))
    }

    fn drop(&mut self, this: Resource<ConnectionHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl State {
    fn listen_tcp(&mut self, interface: &str, port: u16) -> Result<Resource<ListenerHandle>, ErrorCode> {
        let index = self.check_listen(Transport::Tcp, interface, port)?;
        let counted = self.counts.inet().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.listen_tcp(index, port));
        let listener = opened.map_err(|error| self.os_error("listen on a TCP port", &error))?;
        self.push(ListenerHandle { listener, purpose: Purpose::Listen(index, port), _counted: counted })
    }

    fn connection(&self, this: &Resource<ConnectionHandle>) -> Result<(Arc<dyn TcpConnection>, Purpose)> {
        let handle = self.handles.get(this)?;
        Ok((handle.connection.clone(), handle.purpose))
    }
}

impl<T: Send + 'static> HostListenerWithStore<T> for HasSelf<State> {
    async fn accept(
        accessor: &Accessor<T, Self>,
        this: Resource<ListenerHandle>,
    ) -> Result<Result<Resource<ConnectionHandle>, ErrorCode>> {
        let (listener, purpose, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let handle = state.handles.get(&this)?;
            Ok((handle.listener.clone(), handle.purpose, state.begin_call()?))
        })?;
        super::let_others_run().await;
        let accepted = match while_standing(accessor, Transport::Tcp, purpose, listener.accept()).await {
            Ok(accepted) => accepted,
            Err(code) => return Ok(Err(code)),
        };
        Ok(accessor.with(|mut access| {
            let state = access.get();
            let connection = accepted.map_err(|error| state.os_error("accept a connection", &error))?;
            let counted = state.counts.inet().ok_or(ErrorCode::Limit)?;
            state.push(ConnectionHandle { connection, purpose, sending: Sending::default(), _counted: counted })
        }))
    }
}

impl<T: Send + 'static> HostConnectionWithStore<T> for HasSelf<State> {
    async fn connect(
        accessor: &Accessor<T, Self>,
        remote: SocketAddress,
    ) -> Result<Result<Resource<ConnectionHandle>, ErrorCode>> {
        let remote = socket_in(remote);
        let begun = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let allowed = state.check(Access::Connect(Transport::Tcp, remote.ip(), remote.port()));
            let counted = allowed.and_then(|()| state.counts.inet().ok_or(ErrorCode::Limit));
            Ok(counted.map(|counted| (counted, call, state.shared.kernel.clone())))
        })?;
        let (counted, _call, kernel) = match begun {
            Ok(begun) => begun,
            Err(code) => return Ok(Err(code)),
        };
        let connected = kernel.connect_tcp(remote).await;
        Ok(accessor.with(|mut access| {
            let state = access.get();
            let purpose = Purpose::Connect(remote);
            state.check_purpose(Transport::Tcp, purpose)?;
            let connection = connected.map_err(|error| state.peer_error("connect", &error))?;
            state.push(ConnectionHandle { connection, purpose, sending: Sending::default(), _counted: counted })
        }))
    }

    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<ConnectionHandle>,
        max: u32,
    ) -> Result<Result<Vec<u8>, ErrorCode>> {
        let ((connection, purpose), _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            Ok((state.connection(&this)?, state.begin_call()?))
        })?;
        super::let_others_run().await;
        let receiving = connection.receive(max.clamp(*RECEIVE.start(), *RECEIVE.end()) as usize);
        Ok(match while_standing(accessor, Transport::Tcp, purpose, receiving).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => {
                Err(accessor.with(|mut access| access.get().connection_error("receive from a connection", &error)))
            }
            Err(code) => Err(code),
        })
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<ConnectionHandle>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), ErrorCode>> {
        if bytes.len() > MAX_SEND {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        let begun = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            let sending = handle.sending.begin(1, bytes.len(), &state.counts);
            Ok(sending.map(|sending| (handle.connection.clone(), handle.purpose, (call, sending))))
        })?;
        let (connection, purpose, _counted) = match begun {
            Ok(begun) => begun,
            Err(code) => return Ok(Err(code)),
        };
        super::let_others_run().await;
        Ok(match while_standing(accessor, Transport::Tcp, purpose, connection.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                Err(accessor.with(|mut access| access.get().connection_error("send to a connection", &error)))
            }
            Err(code) => Err(code),
        })
    }
}
