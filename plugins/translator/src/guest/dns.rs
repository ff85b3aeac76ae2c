//! The resolver's sockets: where clients ask, whom it asks, and the [`Engine`] between them.
//!
//! Every socket has a task of its own; they share the engine, which is never held over a wait. What it says is to be done
//! goes to whoever owns the socket: datagrams wait for their socket in a mailbox that its task empties in one batch.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use portreeve_sdk::futures::channel::mpsc;
use portreeve_sdk::futures::future::{AbortHandle, Abortable, select};
use portreeve_sdk::futures::stream::StreamExt;
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::udp::{self, Ends, Listener, datagrams, socket_address};
use portreeve_sdk::{Timer, info, random};

use super::tcp::{self, Connections};
use super::{News, Tasks, now};
use crate::Instant;
use crate::dns64::{self, Client, Output, Settings, Transport};
use crate::engine::{Event, Socket};

/// Datagrams that are taken at once.
const DATAGRAMS: u32 = 64;
/// Bytes that may wait for one socket; what would be more is lost, as in any full queue.
const MAX_WAITING: usize = 512 * 1024;

/// Everything of the resolver that lives as long as the section has it.
pub struct Dns {
    shared: Rc<Shared>,
    time: AbortHandle,
    listeners: BTreeMap<Socket, AbortHandle>,
}

/// What its tasks share.
pub struct Shared {
    pub engine: RefCell<dns64::Engine>,
    /// By interface: answers that wait for the socket there.
    answers: RefCell<BTreeMap<u32, Mailbox>>,
    /// By slot: questions that wait for the socket there.
    slots: RefCell<BTreeMap<u32, Slot>>,
    pub connections: RefCell<Connections>,
    /// When the task that keeps time wakes up, and what wakes it before.
    armed: Cell<Option<Instant>>,
    bell: RefCell<mpsc::Sender<()>>,
    /// Where tasks that are begun from within tasks go.
    pub begin: mpsc::UnboundedSender<super::Task>,
}

struct Slot {
    mailbox: Mailbox,
    abort: AbortHandle,
}

/// Frames that wait for a socket, and the bell that tells its task.
#[derive(Clone)]
struct Mailbox {
    batch: Rc<RefCell<Vec<u8>>>,
    bell: mpsc::Sender<()>,
}

impl Mailbox {
    fn new() -> (Self, mpsc::Receiver<()>) {
        let (bell, rung) = mpsc::channel(0);
        (Self { batch: Rc::default(), bell }, rung)
    }

    fn put(&mut self, ends: &Ends, payload: &[u8]) {
        let mut batch = self.batch.borrow_mut();
        if batch.len() < MAX_WAITING {
            ends.push(payload, &mut batch);
            // A bell that has rung already is enough.
            let _ = self.bell.try_send(());
        }
    }

    fn take(&self) -> Vec<u8> {
        self.batch.take()
    }
}

impl Dns {
    pub fn new(settings: Settings, begin: mpsc::UnboundedSender<super::Task>) -> Self {
        let engine = dns64::Engine::new(settings, [random::number(), random::number()], now());
        let (bell, rung) = mpsc::channel(0);
        let shared = Rc::new(Shared {
            armed: Cell::new(None),
            bell: RefCell::new(bell),
            engine: RefCell::new(engine),
            answers: RefCell::default(),
            slots: RefCell::default(),
            connections: RefCell::default(),
            begin,
        });
        let (time, registration) = AbortHandle::new_pair();
        let keeping = Abortable::new(keep_time(shared.clone(), rung), registration);
        let task = async move {
            let _ = keeping.await;
            News::Done
        };
        let _ = shared.begin.unbounded_send(Box::pin(task));
        Self { shared, time, listeners: BTreeMap::new() }
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Goes on with other settings.
    pub fn reconfigure(&self, settings: Settings) {
        self.shared.engine.borrow_mut().reconfigure(settings, now());
        settle(&self.shared);
    }

    /// Bounds of the connections of clients.
    pub fn limit_connections(&self, most: usize, idle: std::time::Duration) {
        self.shared.connections.borrow_mut().limit(most, idle);
    }

    /// Listens; tells how that went.
    pub fn listen(&mut self, socket: Socket, tasks: &Tasks) {
        self.unlisten(&socket);
        let event = match self.start(&socket, tasks) {
            Ok(()) => Event::Open,
            Err(code) => Event::Failed(format!(
                "cannot listen on {}, {} port {}: {}",
                socket.interface,
                socket.transport.name(),
                socket.port,
                if code == ErrorCode::Exists { "another program has the port" } else { code.name() }
            )),
        };
        tasks.push(Box::pin(async move { News::Listener(socket, event) }));
    }

    fn start(&mut self, socket: &Socket, tasks: &Tasks) -> Result<(), ErrorCode> {
        let (abort, registration) = AbortHandle::new_pair();
        let shared = self.shared.clone();
        let ended = socket.clone();
        match socket.transport {
            crate::engine::Transport::Udp => {
                let listening = udp::Socket::listen(&socket.interface, socket.port)?;
                let (mailbox, rung) = Mailbox::new();
                self.shared.answers.borrow_mut().insert(socket.index, mailbox.clone());
                let task = Abortable::new(serve(shared, listening, mailbox, rung), registration);
                tasks.push(Box::pin(async move { over(ended, task.await.ok()) }));
            }
            crate::engine::Transport::Tcp => {
                let listening = Listener::listen(&socket.interface, socket.port)?;
                let task = Abortable::new(tcp::accept(shared, listening, socket.index), registration);
                tasks.push(Box::pin(async move { over(ended, task.await.ok()) }));
            }
        }
        self.listeners.insert(socket.clone(), abort);
        Ok(())
    }

    /// Listens there no longer.
    pub fn unlisten(&mut self, socket: &Socket) {
        if let Some(abort) = self.listeners.remove(socket) {
            abort.abort();
            if socket.transport == crate::engine::Transport::Udp {
                self.shared.answers.borrow_mut().remove(&socket.index);
            }
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.time.abort();
        for abort in self.listeners.values() {
            abort.abort();
        }
        for slot in self.shared.slots.borrow().values() {
            slot.abort.abort();
        }
        self.shared.connections.borrow_mut().close();
    }
}

/// What a listener's end comes to; one that was ended on purpose has nothing to tell.
fn over(socket: Socket, why: Option<ErrorCode>) -> News {
    match why {
        Some(code) => News::Listener(socket, Event::Failed(format!("stopped listening: {}", code.name()))),
        None => News::Done,
    }
}

/// Takes questions from a socket and sends answers from it, until something is wrong.
async fn serve(shared: Rc<Shared>, socket: udp::Socket, mailbox: Mailbox, mut rung: mpsc::Receiver<()>) -> ErrorCode {
    let answering = async {
        while rung.next().await.is_some() {
            if let Err(code) = socket.send(mailbox.take()).await {
                return code;
            }
        }
        ErrorCode::Gone
    };
    let asking = async {
        let mut answers = Vec::new();
        loop {
            let batch = match socket.receive(DATAGRAMS).await {
                Ok(batch) => batch,
                // The word of a client that did not wait for its answer.
                Err(ErrorCode::Unreachable) => continue,
                Err(code) => return code,
            };
            let mut out = Vec::new();
            let now = now();
            for (ends, message) in datagrams(&batch) {
                let Ends { peer, local, interface } = ends;
                let client = Client { transport: Transport::Udp, address: peer, local, interface };
                let taken = shared.engine.borrow_mut().handle_query_into(&client, message, now, &mut answers);
                if taken == dns64::Taken::Answered {
                    ends.push(&answers, &mut out);
                }
                answers.clear();
            }
            settle(&shared);
            if !out.is_empty()
                && let Err(code) = socket.send(out).await
            {
                return code;
            }
        }
    };
    let (answering, asking) = (std::pin::pin!(answering), std::pin::pin!(asking));
    select(answering, asking).await.factor_first().0
}

/// Tells the engine of the time. What the other tasks do may make it due earlier, and rings then.
async fn keep_time(shared: Rc<Shared>, mut rung: mpsc::Receiver<()>) {
    let mut timer = Timer::default();
    loop {
        let next = shared.engine.borrow().poll_timeout();
        shared.armed.set(next);
        timer.arm(next.map(Instant::nanos));
        select_biased! {
            () = timer.expired().fuse() => {
                shared.engine.borrow_mut().handle_timeout(now());
                settle(&shared);
            }
            ring = rung.next() => if ring.is_none() {
                return;
            }
        }
    }
}

/// Does what the engine says.
pub fn settle(shared: &Rc<Shared>) {
    obey(shared);
    let next = shared.engine.borrow().poll_timeout();
    if next.is_some_and(|next| shared.armed.get().is_none_or(|armed| next < armed)) {
        let _ = shared.bell.borrow_mut().try_send(());
    }
}

fn obey(shared: &Rc<Shared>) {
    loop {
        // The engine is free again before anything is done.
        let output = shared.engine.borrow_mut().poll_output();
        let Some(output) = output else { return };
        match output {
            Output::Answer { client, bytes } => match client.transport {
                Transport::Udp => {
                    let ends = Ends { peer: client.address, local: client.local, interface: client.interface };
                    if let Some(mailbox) = shared.answers.borrow_mut().get_mut(&client.interface) {
                        mailbox.put(&ends, &bytes);
                    }
                }
                Transport::Tcp(connection) => shared.connections.borrow_mut().answer(connection, &bytes),
            },
            Output::OpenSlot { slot, server } => open_slot(shared, slot, server),
            Output::CloseSlot { slot } => {
                if let Some(slot) = shared.slots.borrow_mut().remove(&slot) {
                    slot.abort.abort();
                }
            }
            Output::Ask { slot, server, bytes } => {
                if let Some(slot) = shared.slots.borrow_mut().get_mut(&slot) {
                    let ends = Ends { peer: server, local: unspecified(), interface: 0 };
                    slot.mailbox.put(&ends, &bytes);
                }
            }
            Output::AskTcp { query, server, bytes } => tcp::ask(shared, query, server, bytes),
            Output::CancelTcp { query } => shared.connections.borrow_mut().cancel(query),
        }
    }
}

fn open_slot(shared: &Rc<Shared>, slot: u32, server: SocketAddr) {
    let (abort, registration) = AbortHandle::new_pair();
    let (mailbox, rung) = Mailbox::new();
    shared.slots.borrow_mut().insert(slot, Slot { mailbox: mailbox.clone(), abort });
    let task = Abortable::new(exchange(shared.clone(), slot, server, mailbox, rung), registration);
    let ended = async move {
        let _ = task.await;
        News::Done
    };
    // The loop that owns the receiver outlives every sender.
    let _ = shared.begin.unbounded_send(Box::pin(ended));
}

/// Asks a server from one socket, until something is wrong with it.
async fn exchange(shared: Rc<Shared>, slot: u32, server: SocketAddr, mailbox: Mailbox, mut rung: mpsc::Receiver<()>) {
    let failed = |code: ErrorCode| {
        if code == ErrorCode::Denied {
            info!("a resolver may not be asked", resolver = server);
        }
        shared.engine.borrow_mut().handle_slot_error(slot, now());
        settle(&shared);
    };
    let socket = match udp::Socket::connect(socket_address(server)) {
        Ok(socket) => socket,
        Err(code) => return failed(code),
    };
    let asking = async {
        while rung.next().await.is_some() {
            if let Err(code) = socket.send(mailbox.take()).await {
                return code;
            }
        }
        ErrorCode::Gone
    };
    let answers = async {
        loop {
            match socket.receive(DATAGRAMS).await {
                Ok(batch) => {
                    let now = now();
                    for (_, message) in datagrams(&batch) {
                        shared.engine.borrow_mut().handle_response(slot, message, now);
                    }
                    settle(&shared);
                }
                Err(code) => return code,
            }
        }
    };
    let (asking, answers) = (std::pin::pin!(asking), std::pin::pin!(answers));
    let code = select(asking, answers).await.factor_first().0;
    failed(code);
}

const fn unspecified() -> std::net::IpAddr {
    std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
}
