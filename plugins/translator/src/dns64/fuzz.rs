//! Entry points for fuzzing: any bytes from a client and from a resolver, on a clock that moves.
//!
//! Nothing may panic, what a client gets has to fit and to be a message, and what is under way has to end.

use std::time::Duration;

use portreeve_packet::time::Instant;

use super::{Client, Engine, Output, Pref64, Settings, Taken, Transport};

fn engine() -> Engine {
    let prefix = Pref64::WELL_KNOWN;
    let settings = Settings {
        prefixes: vec![prefix],
        resolvers: vec![([192, 0, 2, 1], 53).into(), ([192, 0, 2, 2], 53).into()],
        trust_ad: true,
        random_case: false,
        ..Settings::default()
    };
    Engine::new(settings, [1, 2], Instant::from_secs(1000))
}

const CLIENT: Client = Client {
    transport: Transport::Udp,
    address: std::net::SocketAddr::V6(std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, 4000, 0, 0)),
    local: std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    interface: 1,
};

/// Whether these bytes could be sent to a client that asked over UDP.
fn is_answer(bytes: &[u8]) -> bool {
    (12..=1232).contains(&bytes.len()) && bytes.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// Takes `bytes` as a client's message; returns whether all that came of it is sound.
#[must_use]
pub fn queries(bytes: &[u8]) -> bool {
    let mut engine = engine();
    let mut out = Vec::new();
    let now = Instant::from_secs(1000);
    let taken = engine.handle_query_into(&CLIENT, bytes, now, &mut out);
    if taken == Taken::Answered && !is_answer(&out) {
        return false;
    }
    ends(&mut engine, now)
}

/// Takes `bytes` as a resolver's answer to questions for AAAA and PTR; its identifier and question are made to fit unless
/// its first bit says otherwise.
#[must_use]
pub fn responses(bytes: &[u8]) -> bool {
    let mut engine = engine();
    let now = Instant::from_secs(1000);
    for question in [
        b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x1c\0\x01".as_slice(),
        b"\0\x08\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\xff\0\x01".as_slice(),
        b"\0\x09\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x06\0\x01".as_slice(),
    ] {
        engine.handle_query(&CLIENT, question, now);
    }
    // Each answer may lead to another question, which gets the same.
    for _ in 0..64 {
        let Some(output) = engine.poll_output() else { break };
        let sent = match &output {
            Output::Ask { bytes, .. } | Output::AskTcp { bytes, .. } => bytes.clone(),
            Output::Answer { bytes, .. } if !is_answer(bytes) => return false,
            _ => continue,
        };
        let message =
            if bytes.first().is_some_and(|first| first & 0x80 != 0) { bytes.to_vec() } else { fit(bytes, &sent) };
        match output {
            Output::Ask { slot, .. } => engine.handle_response(slot, &message, now),
            Output::AskTcp { query, .. } => engine.handle_tcp_response(query, Ok(&message), now),
            _ => {}
        }
    }
    ends(&mut engine, now)
}

/// `bytes` as an answer to `asked`: flags, counts and records are theirs.
fn fit(bytes: &[u8], asked: &[u8]) -> Vec<u8> {
    let mut message = asked.get(..2).unwrap_or_default().to_vec();
    let field = |at: usize| bytes.get(at).copied().unwrap_or(0);
    message.extend_from_slice(&[field(1) | 0x80, field(2), 0, 1, 0, field(3), 0, field(4), 0, field(5)]);
    message.extend_from_slice(asked.get(12..19).unwrap_or_default());
    message.extend_from_slice(bytes.get(6..).unwrap_or_default());
    message
}

/// Whether everything under way is over after ten seconds, in a bounded number of steps.
fn ends(engine: &mut Engine, mut now: Instant) -> bool {
    let end = now + Duration::from_secs(10);
    for _ in 0..1000 {
        while let Some(output) = engine.poll_output() {
            if matches!(&output, Output::Answer { bytes, .. } if !is_answer(bytes)) {
                return false;
            }
        }
        match engine.poll_timeout() {
            Some(due) if due <= end => now = now.max(due),
            _ => return engine.outstanding() == (0, 0),
        }
        engine.handle_timeout(now);
    }
    false
}
