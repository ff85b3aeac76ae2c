//! The engine on a virtual clock, between a client and resolvers that say what a test wants.

mod bounds;
mod cached;
mod client;
mod dnssec;
mod failover;
mod fuzz;
mod reverse;
mod rules;
mod spoof;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use domain::base::{Message, iana::Rtype};
use domain::rdata::AllRecordData;

use super::*;

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const PTR: u16 = 12;
pub(crate) const AAAA: u16 = 28;
pub(crate) const ANY: u16 = 255;

/// Something sent upstream.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The slot, or the exchange over TCP.
    pub(crate) via: Result<u32, u64>,
    pub(crate) server: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Asked {
    pub(crate) fn question(&self) -> (String, u16) {
        let message = Message::from_slice(&self.bytes).unwrap();
        let question = message.sole_question().unwrap();
        (question.qname().to_string().to_lowercase() + ".", question.qtype().to_int())
    }
}

pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) asked: VecDeque<Asked>,
    pub(crate) answers: Vec<(Client, Vec<u8>)>,
    pub(crate) open: Vec<u32>,
    pub(crate) cancelled: Vec<u64>,
}

pub(crate) fn server(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 53))
}

pub(crate) fn settings() -> Settings {
    Settings { prefixes: vec![Pref64::WELL_KNOWN], resolvers: vec![server(1)], ..Settings::default() }
}

pub(crate) fn udp(host: u16) -> Client {
    client(Transport::Udp, &format!("[2001:db8::{host:x}]:4000"))
}

pub(crate) fn client(transport: Transport, address: &str) -> Client {
    Client { transport, address: address.parse().unwrap(), local: "2001:db8::53".parse().unwrap(), interface: 3 }
}

/// How a question is put.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    pub(crate) edns: Option<u16>,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) authentic: bool,
    pub(crate) no_recursion: bool,
}

pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

pub(crate) fn query(id: u16, name: &str, qtype: u16, flags: Flags) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.push(u8::from(!flags.no_recursion));
    bytes.push(u8::from(flags.checking_disabled) << 4 | u8::from(flags.authentic) << 5);
    bytes.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(flags.edns.is_some())]);
    bytes.extend(wire(name));
    bytes.extend_from_slice(&qtype.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    if let Some(size) = flags.edns {
        bytes.extend_from_slice(&[0, 0, 41]);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, u8::from(flags.dnssec_ok) << 7, 0, 0, 0]);
    }
    bytes
}

/// A record from `name ttl type data…`; names are not compressed.
pub(crate) fn record(text: &str) -> Vec<u8> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (rtype, data): (u16, Vec<u8>) = match fields[2] {
        "A" => (A, fields[3].parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec()),
        "AAAA" => (AAAA, fields[3].parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec()),
        "NS" => (2, wire(fields[3])),
        "CNAME" => (CNAME, wire(fields[3])),
        "PTR" => (PTR, wire(fields[3])),
        "DNAME" => (39, wire(fields[3])),
        "TXT" => (16, [&[u8::try_from(fields[3].len()).unwrap()], fields[3].as_bytes()].concat()),
        "MX" => (15, [&fields[3].parse::<u16>().unwrap().to_be_bytes(), &*wire(fields[4])].concat()),
        "SOA" => {
            let mut data = [wire(fields[3]), wire(fields[4])].concat();
            for field in &fields[5..10] {
                data.extend_from_slice(&field.parse::<u32>().unwrap().to_be_bytes());
            }
            (6, data)
        }
        // Type covered, and the signer; the rest does not matter here.
        "RRSIG" => {
            let covered: u16 = fields[3].parse().unwrap();
            let mut data = covered.to_be_bytes().to_vec();
            data.extend_from_slice(&[8, 2, 0, 0, 0, 60, 0, 0, 0, 9, 0, 0, 0, 1, 0, 7]);
            data.extend(wire(fields[4]));
            data.extend_from_slice(&[0xaa; 4]);
            (46, data)
        }
        other => unreachable!("{other}"),
    };
    let mut bytes = wire(fields[0]);
    bytes.extend_from_slice(&rtype.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend_from_slice(&fields[1].parse::<u32>().unwrap().to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The answer to `asked` with these sections.
pub(crate) fn reply(asked: &Asked, rcode: u8, sections: [&[&str]; 3]) -> Vec<u8> {
    let end = 12 + asked.bytes[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut bytes = asked.bytes[..end].to_vec();
    bytes[2] = 0x81;
    bytes[3] = 0x80 | rcode;
    for (at, section) in sections.iter().enumerate() {
        bytes[7 + 2 * at] = u8::try_from(section.len()).unwrap();
        bytes.extend(section.iter().flat_map(|text| record(text)));
    }
    bytes
}

pub(crate) const SOA: &str = "example.com. 300 SOA ns.example.com. root.example.com. 1 2 3 4 120";

impl Lab {
    pub(crate) fn new(settings: Settings) -> Self {
        let now = Instant::from_secs(1000);
        Self {
            engine: Engine::new(settings, [1, 2], now),
            now,
            asked: VecDeque::new(),
            answers: Vec::new(),
            open: Vec::new(),
            cancelled: Vec::new(),
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Answer { client, bytes } => self.answers.push((client, bytes)),
                Output::OpenSlot { slot, .. } => self.open.push(slot),
                Output::CloseSlot { slot } => {
                    let at = self.open.iter().position(|open| *open == slot).expect("an open slot is closed");
                    self.open.remove(at);
                }
                Output::Ask { slot, server, bytes } => {
                    assert!(self.open.contains(&slot), "asked on an open slot");
                    self.asked.push_back(Asked { via: Ok(slot), server, bytes });
                }
                Output::AskTcp { query, server, bytes } => {
                    self.asked.push_back(Asked { via: Err(query), server, bytes });
                }
                Output::CancelTcp { query } => self.cancelled.push(query),
            }
        }
    }

    pub(crate) fn send(&mut self, client: Client, message: &[u8]) {
        self.engine.handle_query(&client, message, self.now);
        self.drain();
    }

    pub(crate) fn ask(&mut self, name: &str, qtype: u16) {
        self.send(udp(1), &query(7, name, qtype, Flags::default()));
    }

    /// What was sent upstream next.
    #[track_caller]
    pub(crate) fn sent(&mut self) -> Asked {
        self.asked.pop_front().expect("something is asked upstream")
    }

    pub(crate) fn respond(&mut self, asked: &Asked, message: &[u8]) {
        match asked.via {
            Ok(slot) => self.engine.handle_response(slot, message, self.now),
            Err(query) => self.engine.handle_tcp_response(query, Ok(message), self.now),
        }
        self.drain();
    }

    /// The next upstream question has to be this one; it gets this answer.
    #[track_caller]
    pub(crate) fn expect(&mut self, name: &str, qtype: u16, rcode: u8, sections: [&[&str]; 3]) {
        let asked = self.sent();
        assert_eq!(asked.question(), (name.to_owned(), qtype));
        let message = reply(&asked, rcode, sections);
        self.respond(&asked, &message);
    }

    /// Lets time go by, timers included.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            self.drain();
            assert!(self.engine.poll_timeout().is_none_or(|next| next > self.now), "a timer that fired is set anew");
        }
        self.now = end;
    }

    /// The only answer since the last look.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Vec<u8> {
        assert_eq!(self.answers.len(), 1, "one answer");
        assert!(self.asked.is_empty(), "nothing more is asked: {:?}", self.asked);
        self.answers.remove(0).1
    }
}

/// An answer as text: response code, then the records of each section.
pub(crate) fn text(bytes: &[u8]) -> (u8, [Vec<String>; 3]) {
    let message = Message::from_slice(bytes).unwrap();
    let (_, answer, authority, additional) = message.sections().unwrap();
    let sections = [answer, authority, additional].map(|section| {
        let records = section.map(Result::unwrap).filter(|record| record.rtype() != Rtype::OPT);
        records
            .map(|record| {
                let record = record.to_any_record::<AllRecordData<_, _>>().unwrap();
                let (owner, ttl, rtype) = (record.owner(), record.ttl().as_secs(), record.rtype());
                format!("{owner}. {ttl} {rtype} {}", record.data())
            })
            .collect()
    });
    (message.header().rcode().to_int(), sections)
}

/// Response code and answer section.
pub(crate) fn answer_text(bytes: &[u8]) -> (u8, Vec<String>) {
    let (rcode, [answer, ..]) = text(bytes);
    (rcode, answer)
}
