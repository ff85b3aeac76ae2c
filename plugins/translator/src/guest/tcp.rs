//! The resolver's TCP: connections of clients, and questions to resolvers that did not fit a datagram (RFC 7766).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use portreeve_sdk::clock;
use portreeve_sdk::futures::channel::mpsc;
use portreeve_sdk::futures::future::{AbortHandle, Abortable, Either, select};
use portreeve_sdk::futures::stream::StreamExt;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::udp::{Connection, Listener, socket, socket_address};

use super::dns::{Shared, settle};
use super::{News, now};
use crate::dns64::{Client, Transport};

/// Bytes that are asked for at once.
const CHUNK: u32 = 16 * 1024;
/// The largest message (RFC 1035 section 4.2.2).
const MAX_MESSAGE: usize = 65_535;
/// Answers that may wait for a client that does not read; then its connection is closed.
const MAX_WAITING: usize = 16;
/// How long a resolver may take over TCP, connecting included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections of clients, and questions that are under way over TCP.
pub struct Connections {
    clients: BTreeMap<u64, Peer>,
    questions: BTreeMap<u64, AbortHandle>,
    next: u64,
    most: usize,
    idle: Duration,
}

struct Peer {
    answers: mpsc::Sender<Vec<u8>>,
    abort: AbortHandle,
}

impl Default for Connections {
    fn default() -> Self {
        Self { clients: BTreeMap::new(), questions: BTreeMap::new(), next: 0, most: 64, idle: Duration::from_secs(10) }
    }
}

impl Connections {
    pub const fn limit(&mut self, most: usize, idle: Duration) {
        self.most = most;
        self.idle = idle;
    }

    /// Hands an answer to a client's connection, if it is still there.
    pub fn answer(&mut self, connection: u64, bytes: Vec<u8>) {
        let Some(peer) = self.clients.get_mut(&connection) else { return };
        if peer.answers.try_send(bytes).is_err() {
            // It does not read its answers.
            peer.abort.abort();
            self.clients.remove(&connection);
        }
    }

    /// The answer to this question is of no more use.
    pub fn cancel(&mut self, query: u64) {
        if let Some(abort) = self.questions.remove(&query) {
            abort.abort();
        }
    }

    /// Closes all.
    pub fn close(&mut self) {
        let peers = std::mem::take(&mut self.clients).into_values().map(|peer| peer.abort);
        peers.chain(std::mem::take(&mut self.questions).into_values()).for_each(|abort| abort.abort());
    }
}

/// Takes connections of clients, until something is wrong with the listener.
pub async fn accept(shared: Rc<Shared>, listener: Listener, interface: u32) -> ErrorCode {
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(ErrorCode::Limit) => continue,
            Err(code) => return code,
        };
        let mut connections = shared.connections.borrow_mut();
        if connections.clients.len() >= connections.most {
            // The oldest gives way: a connection that is held open shall not lock others out.
            if let Some((_, peer)) = connections.clients.pop_first() {
                peer.abort.abort();
            }
        }
        connections.next += 1;
        let number = connections.next;
        let (answers, waiting) = mpsc::channel(MAX_WAITING);
        let (abort, registration) = AbortHandle::new_pair();
        connections.clients.insert(number, Peer { answers, abort });
        let idle = connections.idle;
        drop(connections);
        let task =
            Abortable::new(converse(shared.clone(), connection, (number, interface), waiting, idle), registration);
        let shared_after = shared.clone();
        let ended = async move {
            let _ = task.await;
            shared_after.connections.borrow_mut().clients.remove(&number);
            News::Done
        };
        let _ = shared.begin.unbounded_send(Box::pin(ended));
    }
}

/// Questions and answers of one connection, until the client has finished, is silent for too long, or errs.
async fn converse(
    shared: Rc<Shared>,
    connection: Connection,
    (number, interface): (u64, u32),
    mut waiting: mpsc::Receiver<Vec<u8>>,
    idle: Duration,
) {
    let (address, local) = (socket(connection.remote()), socket(connection.local()).ip());
    let client = Client { transport: Transport::Tcp(number), address, local, interface };
    let asking = async {
        let mut stream = Vec::new();
        loop {
            let silence = clock::sleep_until(clock::now().saturating_add(nanos(idle)));
            let receiving = connection.receive(CHUNK);
            let received = match select(std::pin::pin!(receiving), std::pin::pin!(silence)).await {
                Either::Left((Ok(bytes), _)) if !bytes.is_empty() => bytes,
                _ => return,
            };
            stream.extend_from_slice(&received);
            while let Some(message) = take_message(&mut stream) {
                shared.engine.borrow_mut().handle_query(&client, &message, now());
            }
            settle(&shared);
        }
    };
    let answering = async {
        while let Some(bytes) = waiting.next().await {
            if connection.send(framed(&bytes)).await.is_err() {
                return;
            }
        }
    };
    select(std::pin::pin!(asking), std::pin::pin!(answering)).await;
}

/// Asks a server over TCP, and tells the engine what came of it.
pub fn ask(shared: &Rc<Shared>, query: u64, server: SocketAddr, bytes: Vec<u8>) {
    let (abort, registration) = AbortHandle::new_pair();
    shared.connections.borrow_mut().questions.insert(query, abort);
    let asking = Abortable::new(
        async move {
            let late = clock::sleep_until(clock::now().saturating_add(nanos(PATIENCE)));
            let answer = answer_of(server, bytes);
            match select(std::pin::pin!(answer), std::pin::pin!(late)).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => None,
            }
        },
        registration,
    );
    let shared_after = shared.clone();
    let task = async move {
        // One that was cancelled has nothing to tell.
        if let Ok(answer) = asking.await {
            shared_after.connections.borrow_mut().questions.remove(&query);
            let answer = answer.as_deref().ok_or(());
            shared_after.engine.borrow_mut().handle_tcp_response(query, answer, now());
            settle(&shared_after);
        }
        News::Done
    };
    let _ = shared.begin.unbounded_send(Box::pin(task));
}

async fn answer_of(server: SocketAddr, bytes: Vec<u8>) -> Option<Vec<u8>> {
    let connection = Connection::connect(socket_address(server)).await.ok()?;
    connection.send(framed(&bytes)).await.ok()?;
    let mut stream = Vec::new();
    loop {
        let received = connection.receive(CHUNK).await.ok().filter(|bytes| !bytes.is_empty())?;
        stream.extend_from_slice(&received);
        if let Some(message) = take_message(&mut stream) {
            return Some(message);
        }
    }
}

/// A message with its length in front.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    let mut framed = Vec::with_capacity(2 + bytes.len());
    framed.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    framed.extend_from_slice(bytes);
    framed
}

/// The first whole message of a stream; it holds no more than one message and a chunk.
fn take_message(stream: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*stream.first_chunk::<2>()?));
    let message = stream.get(2..2 + length)?.to_vec();
    stream.drain(..2 + length);
    Some(message)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
