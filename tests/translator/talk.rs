//! A connection that talks all the time, and notices at once if a byte is lost: what must survive everything else.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Netns, Result, ensure, wait_until};

use super::echo;

/// A pause of this length ends it: TCP has sent again several times until then.
const STUCK: Duration = Duration::from_secs(30);
/// Between two rounds.
const PACE: Duration = Duration::from_millis(2);
/// Bytes of a round.
const BLOCK: usize = 2000;
/// Rounds that show that it goes on.
const SOME: u64 = 25;

/// A running conversation with an [`echo::Echo`].
pub struct Talk {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Talk {
    /// Begins, and returns when it has gone on for a little.
    pub fn start(netns: &Netns, to: SocketAddr) -> Result<Self> {
        let stream = echo::connect(netns, to)?;
        stream.set_read_timeout(Some(STUCK))?;
        let (rounds, stop): (Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let (count, ended) = (rounds.clone(), stop.clone());
        let thread = Some(std::thread::spawn(move || speak(&stream, &count, &ended)));
        let talk = Self { rounds, stop, thread };
        talk.goes_on()?;
        Ok(talk)
    }

    /// Waits until some more rounds are done.
    pub fn goes_on(&self) -> Result {
        let enough = self.rounds.load(Ordering::Relaxed) + SOME;
        let mut ended = false;
        let seen = wait_until("more rounds of the talk", STUCK, || {
            ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            (ended || self.rounds.load(Ordering::Relaxed) >= enough).then_some(())
        });
        seen.and_then(|()| {
            ensure(!ended, || format!("the talk broke after {} rounds", self.rounds.load(Ordering::Relaxed)))
        })
    }

    /// Ends it; gives the number of rounds.
    pub fn finish(mut self) -> Result<u64> {
        self.goes_on()?;
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().map(JoinHandle::join);
        match thread {
            Some(Ok(Ok(()))) => Ok(self.rounds.load(Ordering::Relaxed)),
            Some(Ok(Err(error))) => Err(Failure::new(format!("the talk broke: {error}"))),
            _ => Err(Failure::new("the talk panicked")),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn speak(mut stream: &TcpStream, rounds: &AtomicU64, stop: &AtomicBool) -> std::io::Result<()> {
    let (mut said, mut heard) = (vec![0; BLOCK], vec![0; BLOCK]);
    while !stop.load(Ordering::Relaxed) {
        let round = rounds.load(Ordering::Relaxed);
        for (at, byte) in said.iter_mut().enumerate() {
            *byte = u8::try_from((round.wrapping_add(at as u64)) % 251).unwrap_or(0);
        }
        stream.write_all(&said)?;
        stream.read_exact(&mut heard)?;
        if said != heard {
            return Err(std::io::Error::other(format!("wrong bytes in round {round}")));
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        // Not for luck: the pace of the talk.
        std::thread::sleep(PACE);
    }
    Ok(())
}
