//! Somebody who sends back whatever comes, over TCP and UDP, and remembers who came.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Netns, Result, ensure};
use socket2::SockRef;

/// How long a client waits for what it sent.
const WITHIN: Duration = Duration::from_secs(10);
/// How soon the end is noticed.
const TICK: Duration = Duration::from_millis(50);
/// Between two tries of a datagram.
const AGAIN: Duration = Duration::from_millis(500);

/// One that echoes at one port of both protocols.
pub struct Echo {
    port: u16,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    tcp: Mutex<Vec<SocketAddr>>,
    udp: Mutex<Vec<SocketAddr>>,
}

impl Echo {
    /// At this address and port; port 0 takes any.
    pub fn start(netns: &Netns, address: impl Into<IpAddr>, port: u16) -> Result<Self> {
        let address = address.into();
        let open = || -> std::io::Result<(TcpListener, UdpSocket)> {
            let listener = TcpListener::bind((address, port))?;
            let socket = UdpSocket::bind((address, listener.local_addr()?.port()))?;
            Ok((listener, socket))
        };
        let (listener, socket) = netns.enter(open)??;
        let port = listener.local_addr()?.port();
        SockRef::from(&listener).set_read_timeout(Some(TICK))?;
        socket.set_read_timeout(Some(TICK))?;
        let shared = Arc::<Shared>::default();
        let (for_tcp, for_udp) = (shared.clone(), shared.clone());
        let threads = vec![
            std::thread::spawn(move || accept(&listener, &for_tcp)),
            std::thread::spawn(move || answer(&socket, &for_udp)),
        ];
        Ok(Self { port, shared, threads })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who has connected, in order.
    pub fn tcp_peers(&self) -> Vec<SocketAddr> {
        self.shared.tcp.lock().unwrap().clone()
    }

    /// From where datagrams came, in order.
    pub fn udp_peers(&self) -> Vec<SocketAddr> {
        self.shared.udp.lock().unwrap().clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It only echoes.
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((client, peer)) = listener.accept() else { continue };
        shared.tcp.lock().unwrap().push(peer);
        let shared = shared.clone();
        // Ends with its client, or soon after the echo.
        std::thread::spawn(move || converse(client, &shared));
    }
}

fn converse(mut client: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    let usable = client.set_read_timeout(Some(TICK)).and_then(|()| client.set_nodelay(true));
    while usable.is_ok() && !shared.stop.load(Ordering::Relaxed) {
        match client.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                if client.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

fn answer(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = vec![0; 65_536];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        shared.udp.lock().unwrap().push(peer);
        // Who asked may be gone.
        let _ = socket.send_to(&buffer[..length], peer);
    }
}

/// Whether a socket's time-out is all that happened.
pub fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// A connection from `netns`.
pub fn connect(netns: &Netns, to: SocketAddr) -> Result<TcpStream> {
    let stream = netns.enter(|| TcpStream::connect_timeout(&to, WITHIN))?;
    let stream = stream.map_err(|error| Failure::new(format!("cannot connect to {to}: {error}")))?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A few kilobytes go over TCP and come back.
pub fn tcp(netns: &Netns, to: SocketAddr) -> Result {
    let mut stream = connect(netns, to)?;
    let said: Vec<u8> = (0..10_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut heard = vec![0; said.len()];
    stream.write_all(&said)?;
    stream.read_exact(&mut heard).map_err(|error| Failure::new(format!("no echo from {to}: {error}")))?;
    ensure(said == heard, || format!("another echo from {to}"))
}

/// A UDP socket of any port in `netns` that gives up waiting after a while.
pub fn udp_socket(netns: &Netns, to: SocketAddr) -> Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv6() { "[::]:0".parse().unwrap() } else { "0.0.0.0:0".parse().unwrap() };
    let socket = netns.enter(|| UdpSocket::bind(any))??;
    socket.connect(to)?;
    socket.set_read_timeout(Some(AGAIN))?;
    Ok(socket)
}

/// A datagram of `length` bytes goes and comes back; it may be lost a few times.
pub fn udp(netns: &Netns, to: SocketAddr, length: usize) -> Result {
    udp_over(&udp_socket(netns, to)?, length).map_err(|failure| failure.with("to", &to.to_string()))
}

/// The same over a socket that is there.
pub fn udp_over(socket: &UdpSocket, length: usize) -> Result {
    let mut heard = vec![0; 65_536];
    let end = std::time::Instant::now() + WITHIN;
    let mut said: Vec<u8> = (0..length).map(|n| u8::try_from(n % 253).unwrap()).collect();
    let mut last = String::new();
    for number in 0.. {
        said[0] = number;
        // An ICMP error to an earlier one is told by either call.
        match socket.send(&said).and_then(|_| socket.recv(&mut heard)) {
            Ok(count) if heard[..count] == said => return Ok(()),
            Ok(count) => last = format!("{count} other bytes"),
            Err(error) => last = error.to_string(),
        }
        if std::time::Instant::now() > end || number == u8::MAX {
            break;
        }
    }
    Err(Failure::new(format!("no echo of {length} bytes over UDP: {last}")))
}
