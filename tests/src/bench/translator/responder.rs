//! The responder of RFC 9693: hears the [flows](super::flows) at the server, remembers which came, and from where behind the
//! translator, and so can answer each.
//!
//! It also sees what must not be: a datagram with other bytes than were sent, or a flow that has another address or port
//! than before.

use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{SockaddrIn, setsockopt};

use super::SERVER;
use super::flows::{PAYLOAD, PORT, TICK};
use crate::bench::batch::{BATCH, Inbox, Outbox};
use crate::lab::{Netns, Result, ensure};

const RECEIVE_BUFFER: usize = 16 * 1024 * 1024;
/// A longer datagram is cut, and so has a wrong length.
const LARGEST: usize = 2 * PAYLOAD;
/// It looks so often whether all is over.
const LOOK: Duration = Duration::from_millis(50);

/// Hears flows at the server until it is dropped.
#[derive(Debug)]
pub struct Responder {
    socket: Arc<UdpSocket>,
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    trial: u32,
    /// Of each flow, who it comes from behind the translator.
    from: Vec<Option<SocketAddrV4>>,
    distinct: u32,
    datagrams: u64,
    /// Datagrams that nobody sent so, or of a flow that had another address or port before.
    wrong: u64,
}

impl Responder {
    /// At the server.
    ///
    /// # Errors
    /// No socket.
    pub fn new(server: &Netns) -> Result<Self> {
        let socket = Arc::new(server.enter(|| UdpSocket::bind((SERVER, PORT)))??);
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).map_err(std::io::Error::from)?;
        socket.set_read_timeout(Some(LOOK))?;
        let (heard, over) = (Arc::new(Mutex::new(Heard::default())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (socket, heard, over) = (socket.clone(), heard.clone(), over.clone());
            move || listen(&socket, &heard, &over)
        });
        Ok(Self { socket, heard, over, thread: Some(thread) })
    }

    /// Forgets all, and hears from now on what belongs to this trial.
    pub fn begin(&self, trial: u32, flows: u32) {
        *self.lock() = Heard { trial, from: vec![None; flows as usize], ..Heard::default() };
    }

    /// How many flows have come.
    pub fn distinct(&self) -> u32 {
        self.lock().distinct
    }

    /// How many datagrams have come.
    pub fn datagrams(&self) -> u64 {
        self.lock().datagrams
    }

    /// The flows that have not come, as a table.
    pub fn missing(&self) -> Vec<bool> {
        self.lock().from.iter().map(Option::is_none).collect()
    }

    /// Waits until all flows have come, at most until nothing has come for `quiet`. Gives how many came.
    ///
    /// # Errors
    /// If something came that was not sent so.
    pub fn settle(&self, quiet: Duration) -> Result<u32> {
        let (mut last, mut since) = (self.datagrams(), Instant::now());
        loop {
            let (distinct, all, now, wrong) = {
                let heard = self.lock();
                (heard.distinct, heard.from.len(), heard.datagrams, heard.wrong)
            };
            ensure(wrong == 0, || format!("{wrong} datagrams of flows came changed"))?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if distinct as usize == all || since.elapsed() >= quiet {
                return Ok(distinct);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends each flow that has come one datagram back, `rate` for each second.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn answer(&self, rate: f64) -> Result {
        let to: Vec<SocketAddrV4> = self.lock().from.iter().copied().flatten().collect();
        let (mut outbox, begun, mut sent) = (Outbox::<SockaddrIn>::new(), Instant::now(), 0);
        let datagrams = [[0x5a_u8; PAYLOAD]; BATCH];
        while sent < to.len() {
            let due = ((begun.elapsed().as_secs_f64() * rate) as usize).min(to.len());
            if due <= sent {
                std::thread::sleep(TICK);
                continue;
            }
            let addresses: Vec<_> = to[sent..due].iter().take(BATCH).map(|to| Some(SockaddrIn::from(*to))).collect();
            sent += outbox.send(&self.socket, &datagrams[..addresses.len()], &addresses)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It was only listening.
            let _ = thread.join();
        }
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<Heard>, over: &AtomicBool) {
    let mut inbox = Inbox::<SockaddrIn>::new(LARGEST);
    let mut batch = Vec::with_capacity(BATCH);
    while !over.load(Ordering::Relaxed) {
        batch.clear();
        let received = inbox.wait(socket, |bytes, from| {
            let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
            batch.push((word(0), word(4), bytes.len(), from));
        });
        if received.is_err() {
            return;
        }
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        for (flow, trial, length, from) in &batch {
            heard.take(*flow, *trial, *length, from.map(|from| SocketAddrV4::new(from.ip(), from.port())));
        }
    }
}

impl Heard {
    fn take(&mut self, flow: Option<u32>, trial: Option<u32>, length: usize, from: Option<SocketAddrV4>) {
        let (Some(flow), Some(from), true) = (flow, from, trial == Some(self.trial)) else { return };
        self.datagrams += 1;
        match self.from.get_mut(flow as usize) {
            Some(slot @ None) if length == PAYLOAD => {
                *slot = Some(from);
                self.distinct += 1;
            }
            // A flow has the same address and port outside as long as it lives.
            Some(Some(known)) if *known == from => {}
            _ => self.wrong += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_flow_counts_once_and_one_that_moved_is_wrong() {
        let from = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 1), 1024);
        let mut heard = Heard { trial: 3, from: vec![None; 2], ..Heard::default() };
        heard.take(Some(1), Some(3), PAYLOAD, Some(from));
        heard.take(Some(1), Some(3), PAYLOAD, Some(from));
        heard.take(Some(1), Some(2), PAYLOAD, Some(from));
        assert_eq!((heard.distinct, heard.datagrams, heard.wrong), (1, 2, 0));
        heard.take(Some(1), Some(3), PAYLOAD, Some(SocketAddrV4::new(*from.ip(), 1025)));
        heard.take(Some(2), Some(3), PAYLOAD, Some(from));
        assert_eq!((heard.distinct, heard.wrong), (1, 2));
    }
}
