//! An authoritative server with every name: each has the A record of the [server](super::SERVER) and no AAAA record, so a
//! DNS64 has to synthesise each answer.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{SockaddrIn, setsockopt};

use super::{AUTHORITY, SERVER};
use crate::bench::batch::{BATCH, Inbox, Outbox};
use crate::lab::{Netns, Result};

const PORT: u16 = 53;
const HEADER: usize = 12;
/// RFC 1035 section 3.2.2.
const A: u16 = 1;
/// RFC 6891 section 6.1.2, with nothing in it: root, OPT, 1232 bytes.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
/// An hour, so that nothing expires while it is measured.
const TTL: [u8; 4] = [0, 0, 0x0e, 0x10];
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
const LARGEST: usize = 1500;
/// It looks so often whether all is over.
const LOOK: Duration = Duration::from_millis(50);

/// An authoritative server of everything, until it is dropped.
#[derive(Debug)]
pub struct Authority {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Authority {
    /// At the server.
    ///
    /// # Errors
    /// No socket.
    pub fn new(server: &Netns) -> Result<Self> {
        let socket = server.enter(|| UdpSocket::bind((AUTHORITY, PORT)))??;
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).map_err(std::io::Error::from)?;
        socket.set_read_timeout(Some(LOOK))?;
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        Ok(Self { over, thread: Some(std::thread::spawn(move || serve(&socket, &until))) })
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It was only serving.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, over: &AtomicBool) {
    let (mut inbox, mut outbox) = (Inbox::<SockaddrIn>::new(LARGEST), Outbox::new());
    let (mut answers, mut to) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    while !over.load(Ordering::Relaxed) {
        answers.clear();
        to.clear();
        let received = inbox.wait(socket, |question, from| {
            if let Some(answer) = answer(question) {
                answers.push(answer);
                to.push(from);
            }
        });
        if received.is_err() || (!answers.is_empty() && outbox.send(socket, &answers, &to).is_err()) {
            return;
        }
    }
}

/// The answer to a question: the header and the question as they came, then one record, and OPT if there was one.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(HEADER..HEADER + name + 5)?;
    let kind = u16::from_be_bytes([*question.get(name + 1)?, *question.get(name + 2)?]);
    let has_opt = query.get(10..12)? != [0, 0];
    let mut answer = Vec::with_capacity(128);
    answer.extend_from_slice(query.get(..2)?);
    // A response, authoritative; recursion desired as asked, and available.
    answer.extend_from_slice(&[0x84 | query.get(2)? & 1, 0x80, 0, 1]);
    answer.extend_from_slice(&[0, u8::from(kind == A), 0, u8::from(kind != A), 0, u8::from(has_opt)]);
    answer.extend_from_slice(question);
    if kind == A {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        answer.extend_from_slice(&TTL);
        answer.extend_from_slice(&[0, 4]);
        answer.extend_from_slice(&SERVER.octets());
    } else {
        // SOA of the domain above (RFC 2308 section 3): a pointer behind the first label.
        let above = HEADER + 1 + usize::from(*question.first()?);
        answer.extend_from_slice(&[0xc0, u8::try_from(above).ok()?, 0, 6, 0, 1]);
        answer.extend_from_slice(&TTL);
        answer.extend_from_slice(&[0, 22, 0, 0]);
        for field in [1_u32, 3600, 600, 86_400, 3600] {
            answer.extend_from_slice(&field.to_be_bytes());
        }
    }
    if has_opt {
        answer.extend_from_slice(&OPT);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: [u8; 25] = *b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x05bench\0\0\x1c\0\x01";

    #[test]
    fn there_is_an_a_record_of_every_name_and_no_aaaa() {
        let none = answer(&QUERY).unwrap();
        assert_eq!(none[..12], *b"\x12\x34\x85\x80\0\x01\0\0\0\x01\0\0");
        assert_eq!(none[25..31], [0xc0, 14, 0, 6, 0, 1]);
        assert_eq!(none.len(), 25 + 12 + 22);
        let mut query = QUERY;
        query[22] = 1;
        let some = answer(&query).unwrap();
        assert_eq!(some[6..8], [0, 1]);
        assert!(some.ends_with(&[0, 4, 198, 51, 100, 80]));
        for length in 0..QUERY.len() {
            assert_eq!(answer(&QUERY[..length]), None, "{length}");
        }
    }
}
