//! The resolver that the router asks: a small zone over UDP and TCP, answered well, not at all, or with lies.
//!
//! | name | has |
//! |---|---|
//! | `only4.example` | an A of the server, no AAAA |
//! | `both.example` | an A and an AAAA |
//! | `alias.example` | a CNAME to `only4.example` |
//! | `large.example` | 100 As: too many for UDP |
//! | `NAME.many.example` | an A of the server |
//! | `80.100.51.198.in-addr.arpa` | a PTR to `only4.example` |

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use portreeve_tests::lab::{Netns, Result};
use socket2::SockRef;

/// What the names have.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
/// What `both.example` has too.
pub const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x80);
/// What lies say.
pub const FALSE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
/// Addresses of `large.example`.
pub const LARGE: u8 = 100;

const PORT: u16 = 53;
const TICK: Duration = Duration::from_millis(50);
const STUCK: Duration = Duration::from_secs(5);
/// Lies to one question; each has another id.
const GUESSES: u16 = 8;
const HEADER: usize = 12;
/// What a client without EDNS takes (RFC 1035 section 2.3.4).
const SMALL: usize = 512;
/// A pointer to the question's name (RFC 1035 section 4.1.4).
const QUESTION: [u8; 2] = [0xc0, 12];
const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const NXDOMAIN: u8 = 3;

/// How questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// As they should.
    Honest,
    /// Not at all.
    Silent,
    /// With wrong ids.
    WrongId,
    /// To another question.
    WrongQuestion,
    /// With bytes that are no message.
    Garbage,
}

/// A running resolver.
pub struct Resolver {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    manner: AtomicU8,
    asked: AtomicU64,
    /// Over TCP.
    streams: AtomicU64,
}

impl Resolver {
    /// At port 53 of this address.
    pub fn start(netns: &Netns, address: Ipv4Addr, manner: Manner) -> Result<Self> {
        let open = || Ok::<_, std::io::Error>((UdpSocket::bind((address, PORT))?, TcpListener::bind((address, PORT))?));
        let (socket, listener) = netns.enter(open)??;
        socket.set_read_timeout(Some(TICK))?;
        SockRef::from(&listener).set_read_timeout(Some(TICK))?;
        let (stop, asked, streams) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { stop, manner: AtomicU8::new(manner as u8), asked, streams });
        let (for_udp, for_tcp) = (shared.clone(), shared.clone());
        let threads = vec![
            std::thread::spawn(move || answer_datagrams(&socket, &for_udp)),
            std::thread::spawn(move || answer_streams(&listener, &for_tcp)),
        ];
        Ok(Self { shared, threads })
    }

    /// From now on otherwise.
    pub fn behave(&self, manner: Manner) {
        self.shared.manner.store(manner as u8, Ordering::Relaxed);
    }

    /// Questions so far.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Questions over TCP so far.
    pub fn asked_over_tcp(&self) -> u64 {
        self.shared.streams.load(Ordering::Relaxed)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = vec![0; 4096];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        shared.asked.fetch_add(1, Ordering::Relaxed);
        let Some(question) = Question::read(&buffer[..length]) else { continue };
        for message in question.answers(shared.manner.load(Ordering::Relaxed)) {
            // Who asked may be gone.
            let _ = socket.send_to(&message, peer);
        }
    }
}

fn answer_streams(listener: &TcpListener, shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else { continue };
        let converse = || -> std::io::Result<()> {
            let mut client = &client;
            client.set_read_timeout(Some(STUCK))?;
            let mut length = [0; 2];
            client.read_exact(&mut length)?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            client.read_exact(&mut message)?;
            shared.asked.fetch_add(1, Ordering::Relaxed);
            shared.streams.fetch_add(1, Ordering::Relaxed);
            if let Some(question) = Question::read(&message)
                && shared.manner.load(Ordering::Relaxed) == Manner::Honest as u8
            {
                let answer = question.honest(usize::from(u16::MAX));
                client.write_all(&u16::try_from(answer.len()).unwrap_or(0).to_be_bytes())?;
                client.write_all(&answer)?;
            }
            Ok(())
        };
        // Who asked has its own complaint.
        let _ = converse();
    }
}

struct Question<'a> {
    id: [u8; 2],
    recursion_desired: u8,
    /// Name, type and class as they came: the case of the letters is part of the question.
    bytes: &'a [u8],
    name: String,
    kind: u16,
    /// What the asker's EDNS says it takes; none without EDNS.
    takes: Option<usize>,
}

impl<'a> Question<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let (mut at, mut labels) = (HEADER, Vec::new());
        loop {
            let length = usize::from(*message.get(at)?);
            let label = message.get(at + 1..at + 1 + length)?;
            at += 1 + length;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        let kind = u16::from_be_bytes(*message.get(at..)?.first_chunk()?);
        let bytes = message.get(HEADER..at + 4)?;
        // Root, type 41, then the size (RFC 6891 section 6.1.2).
        let option: Option<&[u8; 5]> = message[at + 4..].first_chunk();
        let takes = option.filter(|o| o[..3] == [0, 0, 41]).map(|o| usize::from(u16::from_be_bytes([o[3], o[4]])));
        let id = *message.first_chunk()?;
        Some(Self { id, recursion_desired: message[2] & 1, bytes, name: labels.join("."), kind, takes })
    }

    fn answers(&self, manner: u8) -> Vec<Vec<u8>> {
        let size = self.takes.unwrap_or(SMALL);
        let lie = || self.message(self.id, self.bytes, 0, &[record(&QUESTION, A, &FALSE.octets())], &[], false);
        if manner == Manner::Honest as u8 {
            vec![self.honest(size)]
        } else if manner == Manner::WrongId as u8 {
            let id = u16::from_be_bytes(self.id);
            let with = |n: u16| [&id.wrapping_add(n).to_be_bytes(), &lie()[2..]].concat();
            (1..=GUESSES).map(with).collect()
        } else if manner == Manner::WrongQuestion as u8 {
            let other = [b"\x04evil\x07example\0".as_slice(), &self.bytes[self.bytes.len() - 4..]].concat();
            vec![self.message(self.id, &other, 0, &[record(&QUESTION, A, &FALSE.octets())], &[], false)]
        } else if manner == Manner::Garbage as u8 {
            vec![vec![0xff; 3], lie()[..HEADER + 3].to_vec(), vec![0; HEADER], lie()[..lie().len() - 2].to_vec()]
        } else {
            Vec::new()
        }
    }

    /// What the zone has, cut if it is longer than `size`.
    fn honest(&self, size: usize) -> Vec<u8> {
        let address = |owner: &[u8]| record(owner, A, &SERVER.octets());
        let only4 = name("only4.example");
        let (records, exists) = match (self.name.as_str(), self.kind) {
            ("only4.example", A) => (vec![address(&QUESTION)], true),
            ("both.example", A) => (vec![address(&QUESTION)], true),
            ("both.example", AAAA) => (vec![record(&QUESTION, AAAA, &NATIVE.octets())], true),
            ("alias.example", A) => (vec![record(&QUESTION, CNAME, &only4), address(&only4)], true),
            ("alias.example", _) => (vec![record(&QUESTION, CNAME, &only4)], true),
            ("large.example", A) => ((0..LARGE).map(|n| record(&QUESTION, A, &[198, 51, 100, n])).collect(), true),
            ("80.100.51.198.in-addr.arpa", PTR) => (vec![record(&QUESTION, PTR, &only4)], true),
            (it, A) if it.ends_with(".many.example") => (vec![address(&QUESTION)], true),
            ("only4.example" | "both.example" | "large.example", _) => (Vec::new(), true),
            (it, _) => (Vec::new(), it.ends_with(".many.example")),
        };
        let rcode = if exists { 0 } else { NXDOMAIN };
        // For how long there is nothing: 60 s (RFC 2308).
        let numbers = [1_u32, 3600, 600, 86_400, 60].map(u32::to_be_bytes).concat();
        let soa = [&name("ns.example")[..], &name("root.example"), &numbers].concat();
        let soa = if records.is_empty() { vec![record(&name("example"), SOA, &soa)] } else { Vec::new() };
        let whole = self.message(self.id, self.bytes, rcode, &records, &soa, false);
        if whole.len() <= size { whole } else { self.message(self.id, self.bytes, rcode, &[], &[], true) }
    }

    fn message(
        &self,
        id: [u8; 2],
        question: &[u8],
        rcode: u8,
        answers: &[Vec<u8>],
        authority: &[Vec<u8>],
        is_cut: bool,
    ) -> Vec<u8> {
        // An answer (RFC 1035 section 4.1.1: QR, TC, RD) of one that asks others (RA).
        let mut message = [&id[..], &[0x80 | u8::from(is_cut) << 1 | self.recursion_desired, 0x80 | rcode]].concat();
        let count = |number: usize| u16::try_from(number).unwrap_or(0).to_be_bytes();
        let options = usize::from(self.takes.is_some());
        for number in [1, answers.len(), authority.len(), options] {
            message.extend(count(number));
        }
        message.extend(question);
        message.extend(answers.concat());
        message.extend(authority.concat());
        if options > 0 {
            message.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        }
        message
    }
}

/// A record of class IN that lives a minute.
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(0);
    [owner, &kind.to_be_bytes(), &[0, 1], &60_u32.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// Labels, not compressed.
fn name(text: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap_or(0)], label.as_bytes()].concat();
    [text.split('.').map(label).collect::<Vec<_>>().concat(), vec![0]].concat()
}

/// A question for the AAAA of a name, as a client sends it.
pub fn question(id: u16, text: &str) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &name(text), &AAAA.to_be_bytes(), &[0, 1]].concat()
}

/// Where somebody may be asked.
pub fn at(address: impl Into<std::net::IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), PORT)
}
