//! Bytes over TCP from one namespace to another, each of them verified.
//!
//! The stream is the output of a small generator, so that both ends know it without holding it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Failure, Netns, Result, ensure};

/// Without a byte for so long a transfer counts as stuck.
const STUCK: Duration = Duration::from_secs(20);
const BLOCK: usize = 64 * 1024;

/// A server in a namespace that sends the same number of bytes to whoever connects.
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
    pub fn start(netns: &Netns, address: Ipv6Addr, clients: usize, bytes: u64) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind((address, 0)))??;
        let address = listener.local_addr()?;
        let serve = move || {
            for client in listener.incoming().take(clients) {
                // A client that goes away has its own failure to tell.
                let _ = client.and_then(|client| send(client, bytes));
            }
        };
        Ok(Self { address, netns: netns.clone(), thread: Some(std::thread::spawn(serve)) })
    }

    /// Fetches from `netns` and verifies.
    ///
    /// # Errors
    /// If a byte is another one or missing, or none comes for a long time.
    pub fn fetch(&self, netns: &Netns) -> Result<Fetched> {
        let started = Instant::now();
        let mut stream = netns
            .enter(|| TcpStream::connect_timeout(&self.address, STUCK))?
            .map_err(|error| Failure::new(format!("cannot connect to {}: {error}", self.address)))?;
        let mss = SockRef::from(&stream).tcp_mss()?;
        stream.set_read_timeout(Some(STUCK))?;
        let mut expected = Generator::new();
        let (mut heard, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
        let mut bytes = 0;
        loop {
            let count = stream.read(&mut heard).map_err(|error| {
                Failure::new(format!("nothing came after byte {bytes} from {}: {error}", self.address))
            })?;
            if count == 0 {
                return Ok(Fetched { bytes, took: started.elapsed(), mss });
            }
            let right = &mut right[..count];
            expected.fill(right);
            ensure(heard[..count] == *right, || format!("wrong bytes behind byte {bytes} from {}", self.address))?;
            bytes += count as u64;
        }
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

fn send(mut client: TcpStream, bytes: u64) -> std::io::Result<()> {
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
}
