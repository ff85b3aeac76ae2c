//! The resolver's TCP: connections of clients, and questions to resolvers that did not fit a datagram (RFC 7766).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
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
/// Bytes that are handed over at once.
const SEND: usize = 128 * 1024;
/// The largest message (RFC 1035 section 4.2.2), and the smallest (section 4.1.1).
const MAX_MESSAGE: usize = 65_535;
const MIN_MESSAGE: usize = 12;
/// Bytes of answers that may wait for a client that does not read; then its connection is closed.
const MAX_WAITING: usize = 512 * 1024;
/// How long answers that are under way are waited for when the client has finished or is silent.
const GRACE: Duration = Duration::from_secs(6);
/// How long a resolver may take over TCP, connecting included.
const PATIENCE: Duration = Duration::from_secs(5);
/// While there is no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections of clients, and questions that are under way over TCP.
pub struct Connections {
    clients: BTreeMap<u64, Peer>,
    questions: BTreeMap<u64, AbortHandle>,
    next: u64,
    most: usize,
    idle: Duration,
}

struct Peer {
    /// Its /64, or its IPv4 address.
    network: IpAddr,
    talk: Rc<Talk>,
    abort: AbortHandle,
}

/// What a connection's two directions share.
struct Talk {
    /// Answers that wait, each with its length in front.
    answers: RefCell<Vec<u8>>,
    /// Questions that have no answer yet.
    pending: Cell<u32>,
    /// Tells that answers wait.
    bell: RefCell<mpsc::Sender<()>>,
    /// Tells that no question is without an answer.
    done: RefCell<mpsc::Sender<()>>,
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
    pub fn answer(&mut self, connection: u64, bytes: &[u8]) {
        let Some(peer) = self.clients.get(&connection) else { return };
        let mut answers = peer.talk.answers.borrow_mut();
        if answers.len() + bytes.len() > MAX_WAITING {
            // It does not read its answers.
            drop(answers);
            peer.abort.abort();
            self.clients.remove(&connection);
            return;
        }
        push_message(bytes, &mut answers);
        peer.talk.pending.set(peer.talk.pending.get().saturating_sub(1));
        // A bell that has rung already is enough.
        let _ = peer.talk.bell.borrow_mut().try_send(());
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

    /// Makes room for one more: of the network that has most connections the oldest gives way, so that whoever holds many
    /// open locks nobody else out.
    fn make_room(&mut self) {
        if self.clients.len() < self.most {
            return;
        }
        let mut held: BTreeMap<IpAddr, (usize, u64)> = BTreeMap::new();
        for (number, peer) in &self.clients {
            held.entry(peer.network).or_insert((0, *number)).0 += 1;
        }
        let most = held.into_values().max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest)));
        if let Some(peer) = most.and_then(|(_, oldest)| self.clients.remove(&oldest)) {
            peer.abort.abort();
        }
    }
}

/// The /64 of an IPv6 client; an IPv4 one as it is.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Takes connections of clients, until something is wrong with the listener.
pub async fn accept(shared: Rc<Shared>, listener: Listener, interface: u32) -> ErrorCode {
    loop {
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(ErrorCode::Limit) => {
                clock::sleep_until(clock::now().saturating_add(nanos(PAUSE))).await;
                continue;
            }
            Err(code) => return code,
        };
        let (bell, rung) = mpsc::channel(0);
        let (done, all_done) = mpsc::channel(0);
        let talk = Rc::new(Talk {
            answers: RefCell::default(),
            pending: Cell::new(0),
            bell: RefCell::new(bell),
            done: RefCell::new(done),
        });
        let (abort, registration) = AbortHandle::new_pair();
        let mut connections = shared.connections.borrow_mut();
        connections.make_room();
        connections.next += 1;
        let (number, idle) = (connections.next, connections.idle);
        let peer = Peer { network: network(socket(connection.remote()).ip()), talk: talk.clone(), abort };
        connections.clients.insert(number, peer);
        drop(connections);
        let (asking_for, ending_for) = (shared.clone(), shared.clone());
        let conversation = async move {
            let answering = answer(&connection, &talk, rung);
            let asking = ask_from(&asking_for, &connection, (number, interface), &talk, idle, all_done);
            select(std::pin::pin!(asking), std::pin::pin!(answering)).await;
        };
        let task = Abortable::new(conversation, registration);
        let ended = async move {
            let _ = task.await;
            ending_for.connections.borrow_mut().clients.remove(&number);
            News::Done
        };
        // The loop that owns the receiver outlives every sender.
        let _ = shared.begin.unbounded_send(Box::pin(ended));
    }
}

/// Takes questions, until the client has finished, is silent for too long, or errs; then waits for the answers that are
/// under way (RFC 7766 section 6.2.3: a connection with one is not idle).
async fn ask_from(
    shared: &Rc<Shared>,
    connection: &Connection,
    (number, interface): (u64, u32),
    talk: &Talk,
    idle: Duration,
    mut all_done: mpsc::Receiver<()>,
) {
    let (address, local) = (socket(connection.remote()), socket(connection.local()).ip());
    let client = Client { transport: Transport::Tcp(number), address, local, interface };
    let mut stream = Vec::new();
    loop {
        let silence = clock::sleep_until(clock::now().saturating_add(nanos(idle)));
        let receiving = connection.receive(CHUNK);
        let received = match select(std::pin::pin!(receiving), std::pin::pin!(silence)).await {
            Either::Left((Ok(bytes), _)) if !bytes.is_empty() => bytes,
            Either::Left((Err(_), _)) => return,
            _ => break,
        };
        stream.extend_from_slice(&received);
        let mut rest = stream.as_slice();
        while let Some((message, behind)) = split_message(rest) {
            // What speaks no DNS is not listened to any longer.
            if message.len() < MIN_MESSAGE {
                return;
            }
            talk.pending.set(talk.pending.get().saturating_add(1));
            shared.engine.borrow_mut().handle_query(&client, message, now());
            rest = behind;
        }
        let taken = stream.len() - rest.len();
        stream.drain(..taken);
        settle(shared);
    }
    let late = clock::sleep_until(clock::now().saturating_add(nanos(GRACE)));
    let drained = async {
        while talk.pending.get() > 0 || !talk.answers.borrow().is_empty() {
            if all_done.next().await.is_none() {
                return;
            }
        }
    };
    select(std::pin::pin!(drained), std::pin::pin!(late)).await;
}

/// Sends answers as they come.
async fn answer(connection: &Connection, talk: &Talk, mut rung: mpsc::Receiver<()>) {
    while rung.next().await.is_some() {
        let answers = talk.answers.take();
        for part in answers.chunks(SEND) {
            if connection.send(part.to_vec()).await.is_err() {
                return;
            }
        }
        let _ = talk.done.borrow_mut().try_send(());
    }
}

/// Asks a server over TCP, and tells the engine what came of it.
pub fn ask(shared: &Rc<Shared>, query: u64, server: SocketAddr, bytes: Vec<u8>) {
    let (abort, registration) = AbortHandle::new_pair();
    shared.connections.borrow_mut().questions.insert(query, abort);
    let asking = Abortable::new(
        async move {
            let late = clock::sleep_until(clock::now().saturating_add(nanos(PATIENCE)));
            let answer = answer_of(server, &bytes);
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

async fn answer_of(server: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let connection = Connection::connect(socket_address(server)).await.ok()?;
    let mut framed = Vec::new();
    push_message(question, &mut framed);
    connection.send(framed).await.ok()?;
    let mut stream = Vec::new();
    loop {
        let received = connection.receive(CHUNK).await.ok().filter(|bytes| !bytes.is_empty())?;
        stream.extend_from_slice(&received);
        if let Some((message, _)) = split_message(&stream) {
            return Some(message.to_vec());
        }
    }
}

/// Appends a message with its length in front.
fn push_message(bytes: &[u8], to: &mut Vec<u8>) {
    let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    to.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// The first whole message of a stream, and what is behind it.
fn split_message(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = stream.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
