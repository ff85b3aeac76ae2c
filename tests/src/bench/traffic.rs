//! Traffic between two namespaces, made and counted by threads of this process: one TCP connection that is kept full,
//! and UDP datagrams that are sent back.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::lab::{Failure, Netns, Result, ensure};

const CHUNK: usize = 128 * 1024;
/// Until TCP has found its speed.
const WARM_UP: Duration = Duration::from_millis(500);
const WITHIN: Duration = Duration::from_secs(10);
/// Payload of a datagram that is sent back: with its headers as large as a usual ping.
const DATAGRAM: usize = 56;
/// Between two datagrams: each finds a machine at rest.
const GAP: Duration = Duration::from_millis(1);
/// A datagram that takes longer is lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Which way the bytes of a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// A server.
#[derive(Clone, Copy, Debug)]
pub struct Far<'a> {
    /// Where it is.
    pub netns: &'a Netns,
    /// What it listens on.
    pub address: IpAddr,
    /// What the client calls it; another address if there is a translator between them.
    pub called: IpAddr,
}

impl<'a> From<(&'a Netns, Ipv6Addr)> for Far<'a> {
    fn from((netns, address): (&'a Netns, Ipv6Addr)) -> Self {
        Self { netns, address: address.into(), called: address.into() }
    }
}

/// A part of a connection's life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transfer {
    /// What the receiving program was given.
    pub bytes: u64,
    /// In this time.
    pub took: Duration,
}

impl Transfer {
    /// In units of 10^9 bit.
    pub fn gigabits(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e9
    }

    /// In 10^9 bit/s.
    pub fn rate(&self) -> f64 {
        self.gigabits() / self.took.as_secs_f64()
    }
}

/// Keeps a connection full for about `lasting`, and calls `at_edges` when the counting begins and when it ends.
///
/// # Errors
/// No connection, or nothing arrives.
pub fn transfer<'a>(
    client: &Netns,
    server: impl Into<Far<'a>>,
    direction: Direction,
    lasting: Duration,
    mut at_edges: impl FnMut() -> Result,
) -> Result<Transfer> {
    let server = server.into();
    let listener = server.netns.enter(|| TcpListener::bind((server.address, 0)))??;
    let to = (server.called, listener.local_addr()?.port()).into();
    let near = client.enter(|| TcpStream::connect_timeout(&to, WITHIN))??;
    let (far, _) = listener.accept()?;
    let (mut sender, mut receiver) = match direction {
        Direction::Up => (near, far),
        Direction::Down => (far, near),
    };
    sender.set_write_timeout(Some(WITHIN))?;
    receiver.set_read_timeout(Some(WITHIN))?;
    let (counted, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let count = counted.clone();
    let sending = std::thread::spawn({
        let over = over.clone();
        move || {
            let chunk = vec![0x5a; CHUNK];
            while !over.load(Ordering::Relaxed) && sender.write_all(&chunk).is_ok() {}
        }
    });
    let receiving = std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = receiver.read(&mut chunk) {
            count.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
        }
    });
    // Not for luck: this is the time that is measured.
    std::thread::sleep(WARM_UP);
    let (begun, before) = (Instant::now(), counted.load(Ordering::Relaxed));
    at_edges()?;
    std::thread::sleep(lasting);
    let done = Transfer { bytes: counted.load(Ordering::Relaxed) - before, took: begun.elapsed() };
    at_edges()?;
    over.store(true, Ordering::Relaxed);
    if sending.join().is_err() || receiving.join().is_err() {
        return Err(Failure::new("sending or receiving panicked"));
    }
    ensure(done.bytes > 0, || format!("nothing arrived from {} at {}", client.name(), server.netns.name()))?;
    Ok(done)
}

/// Sends datagrams that come back, and gives how long each took; how many were lost, too.
///
/// # Errors
/// No sockets.
pub fn round_trips(client: &Netns, server: (&Netns, Ipv6Addr), count: usize) -> Result<(Vec<Duration>, usize)> {
    let echo = server.0.enter(|| UdpSocket::bind((server.1, 0)))??;
    let to = echo.local_addr()?;
    let socket = client.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)))??;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    let answering = std::thread::spawn(move || answer(&echo));
    let (mut took, mut lost) = (Vec::with_capacity(count), 0);
    let mut datagram = [0; DATAGRAM];
    for number in 1..=u64::try_from(count).unwrap_or(0) {
        std::thread::sleep(GAP);
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        let begun = Instant::now();
        socket.send(&datagram)?;
        let mut answer = [0; DATAGRAM];
        loop {
            match socket.recv(&mut answer) {
                Ok(_) if answer[..8] == number.to_be_bytes() => took.push(begun.elapsed()),
                // Late for an earlier question.
                Ok(_) => continue,
                Err(_) => lost += 1,
            }
            break;
        }
    }
    // An empty datagram ends the answering; should it be lost, its time-out does.
    let _ = socket.send(&[]);
    ensure(answering.join().is_ok(), || "answering panicked".to_owned())?;
    Ok((took, lost))
}

fn answer(socket: &UdpSocket) {
    let mut datagram = [0; DATAGRAM];
    // Nobody asks any more after that.
    let _ = socket.set_read_timeout(Some(LOST_AFTER * 3));
    while let Ok((length @ 1.., from)) = socket.recv_from(&mut datagram) {
        let _ = socket.send_to(&datagram[..length], from);
    }
}
