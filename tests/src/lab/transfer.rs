//! Bytes over TCP from one namespace to another, each of them verified.
//!
//! The stream is the output of a small generator, so that both ends know it without holding it. Both families: a
//! server of IPv4 may be called at another address than it listens at, when a translator stands between.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Failure, Netns, Result, ensure};

/// Without a byte for so long a transfer counts as stuck.
const STUCK: Duration = Duration::from_secs(20);
const BLOCK: usize = 64 * 1024;

/// A server in a namespace that sends the same bytes to whoever connects, or takes and verifies them.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    netns: Netns,
    thread: Option<JoinHandle<()>>,
}

/// What a transfer was like.
#[derive(Clone, Copy, Debug)]
pub struct Fetched {
    /// Bytes, all as they should be.
    pub bytes: u64,
    /// From the connect to the last byte.
    pub took: Duration,
    /// The largest segment the client sends, in bytes, as it was just after the connect.
    pub mss: u32,
}

impl Server {
    /// Sends `bytes` to each of the first `clients` that connect to `address`.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn start(netns: &Netns, address: impl Into<IpAddr>, clients: usize, bytes: u64) -> Result<Self> {
        Self::serve(netns, address.into(), clients, move |client| send(&client, bytes))
    }

    /// Takes what each of the first `clients` sends, and tells it how many bytes were right.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn taking(netns: &Netns, address: impl Into<IpAddr>, clients: usize) -> Result<Self> {
        Self::serve(netns, address.into(), clients, |mut client| {
            let right = receive(&client).unwrap_or(0);
            client.write_all(&right.to_be_bytes())
        })
    }

    fn serve(
        netns: &Netns,
        address: IpAddr,
        clients: usize,
        work: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind((address, 0)))??;
        let address = listener.local_addr()?;
        let serve = move || {
            for client in listener.incoming().take(clients) {
                // A client that goes away has its own failure to tell.
                let _ = client.and_then(&work);
            }
        };
        Ok(Self { address, netns: netns.clone(), thread: Some(std::thread::spawn(serve)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fetches from `netns` and verifies.
    ///
    /// # Errors
    /// If a byte is another one or missing, or none comes for a long time.
    pub fn fetch(&self, netns: &Netns) -> Result<Fetched> {
        self.fetch_at(netns, self.address.ip())
    }

    /// As [`Self::fetch`], when the server has this address for whoever is in `netns`.
    ///
    /// # Errors
    /// See [`Self::fetch`].
    pub fn fetch_at(&self, netns: &Netns, address: impl Into<IpAddr>) -> Result<Fetched> {
        let started = Instant::now();
        let stream = self.connect(netns, address.into())?;
        let mss = SockRef::from(&stream).tcp_mss()?;
        let bytes = receive(&stream).map_err(|error| Failure::new(format!("from {}: {error}", self.address)))?;
        Ok(Fetched { bytes, took: started.elapsed(), mss })
    }

    /// Sends `bytes` from `netns` to a server that is [`Self::taking`], which has this address there.
    ///
    /// # Errors
    /// If a byte arrives as another one or not at all, or nothing moves for a long time.
    pub fn push_to(&self, netns: &Netns, address: impl Into<IpAddr>, bytes: u64) -> Result<Fetched> {
        let started = Instant::now();
        let mut stream = self.connect(netns, address.into())?;
        let mss = SockRef::from(&stream).tcp_mss()?;
        let stuck = |error| Failure::new(format!("to {}: {error}", self.address));
        send(&stream, bytes).map_err(stuck)?;
        stream.shutdown(Shutdown::Write)?;
        let mut right = [0; 8];
        stream.read_exact(&mut right).map_err(stuck)?;
        let right = u64::from_be_bytes(right);
        ensure(right == bytes, || format!("{right} bytes of {bytes} arrived as they should at {}", self.address))?;
        Ok(Fetched { bytes, took: started.elapsed(), mss })
    }

    fn connect(&self, netns: &Netns, address: IpAddr) -> Result<TcpStream> {
        let to = SocketAddr::new(address, self.address.port());
        let stream = netns
            .enter(|| TcpStream::connect_timeout(&to, STUCK))?
            .map_err(|error| Failure::new(format!("cannot connect to {to}: {error}")))?;
        stream.set_read_timeout(Some(STUCK))?;
        Ok(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Clients that did not come would keep the thread: it is left to the end of the process then, with its socket.
        let done = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        if let Some(thread) = self.thread.take().filter(|_| done) {
            let _ = thread.join();
        } else {
            // A last guest for the listener to give up on; more are not waited for.
            let _ = self.netns.enter(|| TcpStream::connect_timeout(&self.address, Duration::from_millis(100)));
        }
    }
}

fn send(mut client: &TcpStream, bytes: u64) -> std::io::Result<()> {
    client.set_write_timeout(Some(STUCK))?;
    let mut generator = Generator::new();
    let mut block = vec![0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let count = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        generator.fill(&mut block[..count]);
        client.write_all(&block[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// Reads to the end and gives the number of bytes.
fn receive(mut stream: &TcpStream) -> std::io::Result<u64> {
    stream.set_read_timeout(Some(STUCK))?;
    let mut expected = Generator::new();
    let (mut heard, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut bytes = 0;
    loop {
        let count = stream
            .read(&mut heard)
            .map_err(|error| std::io::Error::new(error.kind(), format!("nothing came after byte {bytes}: {error}")))?;
        if count == 0 {
            return Ok(bytes);
        }
        let right = &mut right[..count];
        expected.fill(right);
        if heard[..count] != *right {
            return Err(std::io::Error::other(format!("wrong bytes behind byte {bytes}")));
        }
        bytes += count as u64;
    }
}

/// Marsaglia's xorshift64, byte by byte.
struct Generator {
    state: u64,
    word: [u8; 8],
    at: usize,
}

impl Generator {
    fn new() -> Self {
        Self { state: 0x2545_f491_4f6c_dd1d, word: [0; 8], at: 8 }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.at == self.word.len() {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                self.word = self.state.to_le_bytes();
                self.at = 0;
            }
            *byte = self.word[self.at];
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::super::Lab;
    use super::*;

    #[test]
    fn every_byte_arrives_over_the_loopback() {
        let mut lab = Lab::new().unwrap();
        let netns = lab.netns("a").unwrap();
        let server = Server::start(&netns, Ipv6Addr::LOCALHOST, 2, 1_000_000).unwrap();
        for _ in 0..2 {
            assert_eq!(server.fetch(&netns).unwrap().bytes, 1_000_000);
        }
    }
    #[test]
    fn what_is_pushed_is_verified_by_the_server() {
        let mut lab = Lab::new().unwrap();
        let netns = lab.netns("a").unwrap();
        let server = Server::taking(&netns, Ipv4Addr::LOCALHOST, 1).unwrap();
        assert_eq!(server.push_to(&netns, Ipv4Addr::LOCALHOST, 1_000_000).unwrap().bytes, 1_000_000);
    }
}
