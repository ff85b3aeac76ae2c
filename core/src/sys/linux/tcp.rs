//! TCP: a listener bound to an interface, and connections, with tokio's sockets behind them.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Protocol, SockRef, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::udp::{bind, dual, end, mapped};
use crate::sys::{BoxFuture, TcpAccept, TcpConnection};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// How long a peer may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A peer that is silent for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A listening socket.
pub struct Listener(TcpListener);

/// A connection.
pub struct Connection {
    stream: TcpStream,
    local: SocketAddrV6,
    remote: SocketAddrV6,
}

impl Listener {
    /// Listens; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ENODEV, EADDRINUSE, EPERM.
    pub fn listen(interface: u32, port: u16) -> io::Result<Self> {
        let socket = dual(Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        bind(&socket, interface, port)?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into()).map(Self)
    }
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        let socket = SockRef::from(&stream);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 6))?;
        let (local, remote) = (end(socket.local_addr())?, end(socket.peer_addr())?);
        Ok(Self { stream, local, remote })
    }

    /// Connects; must be called inside the runtime that will use it.
    ///
    /// # Errors
    /// ECONNREFUSED, ETIMEDOUT, ENETUNREACH.
    pub async fn connect(remote: SocketAddr) -> io::Result<Arc<dyn TcpConnection>> {
        let socket = TcpSocket::from_std_stream(dual(Type::STREAM, Protocol::TCP)?.into());
        let connecting = socket.connect(mapped(remote).into());
        let timed_out = |_| io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let stream = tokio::time::timeout(PATIENCE, connecting).await.map_err(timed_out)??;
        Ok(Arc::new(Self::new(stream)?))
    }
}

impl TcpAccept for Listener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arc<dyn TcpConnection>>> {
        Box::pin(async move {
            loop {
                let accepted = self.0.accept().await.and_then(|(stream, _)| Connection::new(stream));
                match accepted {
                    Ok(connection) => return Ok(Arc::new(connection) as Arc<dyn TcpConnection>),
                    // The peer left while it waited.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::ENOTCONN)) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

impl TcpConnection for Connection {
    fn local(&self) -> SocketAddrV6 {
        self.local
    }

    fn remote(&self) -> SocketAddrV6 {
        self.remote
    }

    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            // Memory is taken when there is something to read, not while a silent peer is waited for.
            self.stream
                .async_io(Interest::READABLE, || {
                    let mut bytes = vec![0; max];
                    let count = self.stream.try_read(&mut bytes)?;
                    bytes.truncate(count);
                    Ok(bytes)
                })
                .await
        })
    }

    fn send(&self, bytes: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                self.stream.writable().await?;
                match self.stream.try_write(rest) {
                    Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    fn finish(&self) -> io::Result<()> {
        SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write)
    }
}
