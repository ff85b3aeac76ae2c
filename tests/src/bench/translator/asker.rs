//! A client that asks the router for AAAA records of names that the [authority](super::authority) knows.
//!
//! It has many sockets. It keeps a number of questions under way, to see how many are answered in a second, or asks at a
//! fixed rate, to see how long an answer takes. Only an answer with the right address counts.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{ROUTER, SERVER, embedded};
use crate::bench::batch::{BATCH, Inbox, Outbox};
use crate::lab::{Netns, Result, ensure};

const PORT: u16 = 53;
const HEADER: usize = 12;
/// What is asked again and again.
const WARM_NAMES: u64 = 1000;
const SOCKETS: usize = 16;
/// Questions under way on each socket.
const WINDOW: usize = 16;
const WARM_UP: Duration = Duration::from_millis(200);
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
const LARGEST: usize = 1500;
/// If nothing comes for so long, what is under way is lost.
const LOST_AFTER: Duration = Duration::from_millis(500);

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// A thousand names in turn.
    Warm,
    /// Each name once.
    Unique,
}

/// A client with many sockets, for one measurement: answers that come too late do not reach the next one's.
#[derive(Debug)]
pub struct Asker {
    sockets: Vec<UdpSocket>,
    inbox: Inbox<()>,
    outbox: Outbox<()>,
    warm: u64,
}

/// What came of asking at a fixed rate.
#[derive(Debug, Default)]
pub struct Asked {
    /// From a question to its answer.
    pub took: Vec<Duration>,
    /// Questions without a right answer.
    pub lost: usize,
}

impl Asker {
    /// On the client, towards the router.
    ///
    /// # Errors
    /// No sockets.
    pub fn new(client: &Netns) -> Result<Self> {
        let socket = || {
            let socket = UdpSocket::bind("[::]:0")?;
            socket.connect(SocketAddr::from((ROUTER, PORT))).map(|()| socket)
        };
        let sockets = client.enter(|| (0..SOCKETS).map(|_| socket()).collect::<std::io::Result<Vec<_>>>())??;
        for socket in &sockets {
            setsockopt(socket, RcvBufForce, &RECEIVE_BUFFER).map_err(std::io::Error::from)?;
        }
        Ok(Self { sockets, inbox: Inbox::new(LARGEST), outbox: Outbox::new(), warm: 0 })
    }

    /// Keeps many questions under way; gives the right answers for each second.
    ///
    /// # Errors
    /// What the kernel says, or no answer is right.
    pub fn saturate(&mut self, names: Names, lasting: Duration) -> Result<f64> {
        let begun = Instant::now();
        let (mut under_way, mut last) = ([0_usize; SOCKETS], begun);
        let (mut right, mut wrong, mut since) = (0_u32, 0_u32, None);
        loop {
            let now = Instant::now();
            if since.is_none() && now - begun >= WARM_UP {
                (right, since) = (0, Some(now));
            }
            if let Some(since) = since.filter(|since| now - *since >= lasting) {
                ensure(right > 0, || format!("no right answer, {wrong} wrong ones"))?;
                return Ok(f64::from(right) / (now - since).as_secs_f64());
            }
            let before = right;
            for (at, under_way) in under_way.iter_mut().enumerate() {
                let here = self.inbox.look(
                    &self.sockets[at],
                    |bytes, _| {
                        if is_right(bytes) { right += 1 } else { wrong += 1 }
                    },
                );
                *under_way -= here?.min(*under_way);
                let questions: Vec<Vec<u8>> = (*under_way..WINDOW).map(|_| self.question(names)).collect();
                *under_way += self.outbox.send(&self.sockets[at], &questions, &[None; BATCH])?;
            }
            if right > before {
                last = now;
            } else if now - last >= LOST_AFTER {
                (under_way, last) = ([0; SOCKETS], now);
            } else {
                self.rest()?;
            }
        }
    }

    /// Asks `rate` questions for each second, and takes the time of each.
    ///
    /// # Errors
    /// What the kernel says, or no answer is right.
    pub fn paced(&mut self, names: Names, rate: f64, lasting: Duration) -> Result<Asked> {
        let count = (rate * lasting.as_secs_f64()) as usize;
        let (mut asked, mut sent) = (Asked::default(), Vec::with_capacity(count));
        let (begun, mut wrong) = (Instant::now(), 0);
        loop {
            let (now, all_sent) = (Instant::now(), sent.len() >= count);
            if asked.took.len() + wrong >= count || (all_sent && now - begun >= lasting + LOST_AFTER) {
                asked.lost = count - asked.took.len().min(count);
                ensure(!asked.took.is_empty(), || format!("no right answer, {wrong} wrong ones"))?;
                return Ok(asked);
            }
            if !all_sent && (now - begun).as_secs_f64() * rate >= sent.len() as f64 {
                let mut question = self.question(names);
                let id = u16::try_from(sent.len() & 0xffff).unwrap_or(0);
                question[..2].copy_from_slice(&id.to_be_bytes());
                let socket = &self.sockets[sent.len() % SOCKETS];
                sent.push(Instant::now());
                let _ = socket.send(&question);
            }
            for socket in &self.sockets {
                self.inbox.look(socket, |bytes, _| {
                    let id = bytes.first_chunk().map(|id| usize::from(u16::from_be_bytes(*id)));
                    match id.and_then(|id| sent.get(id)) {
                        Some(sent) if is_right(bytes) => asked.took.push(sent.elapsed()),
                        _ => wrong += 1,
                    }
                })?;
            }
        }
    }

    /// Waits until something has come, shortly.
    fn rest(&self) -> Result {
        let mut all: Vec<_> = self.sockets.iter().map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)).collect();
        let limit = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        poll(&mut all, Some(&limit)).map(drop).map_err(|error| std::io::Error::from(error).into())
    }

    fn question(&mut self, names: Names) -> Vec<u8> {
        /// Of all askers, so that no name comes twice.
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        self.warm += 1;
        let (letter, number) = match names {
            Names::Warm => ('w', self.warm % WARM_NAMES),
            Names::Unique => ('u', UNIQUE.fetch_add(1, Ordering::Relaxed)),
        };
        let mut query = vec![(number >> 8) as u8, number as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in [format!("{letter}{number:010}").as_str(), "bench", "example"] {
            query.push(u8::try_from(label.len()).unwrap_or(0));
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 28, 0, 1]);
        query
    }
}

/// Whether it is a whole, good response with the server's address below the prefix.
fn is_right(response: &[u8]) -> bool {
    let good = response.len() > HEADER && response[2] & 0x82 == 0x80 && response[3] & 15 == 0 && response[7] > 0;
    good && response[HEADER..].windows(16).rev().any(|bytes| bytes == embedded(SERVER).octets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_response_with_the_right_address_counts() {
        let mut right = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0".to_vec();
        right.extend_from_slice(&embedded(SERVER).octets());
        assert!(is_right(&right));
        for (at, bits) in [(2, 0x80), (2, 2), (3, 2), (7, 1), (27, 1)] {
            let mut wrong = right.clone();
            wrong[at] ^= bits;
            assert!(!is_right(&wrong), "{at}");
        }
        assert!(!is_right(&[]));
    }
}
