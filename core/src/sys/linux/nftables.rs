//! Transactions of nf_tables, and the tables that the core itself makes or removes.
//!
//! A transaction is one datagram; the kernel works through it while it is being sent, so whatever it has to say is there
//! afterwards. A large one needs a send buffer of its size, which only CAP_NET_ADMIN of the initial user namespace may ask
//! for beyond net.core.wmem_max. Tables of plugins say so in their comment.

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use portreeve_nftables::{
    Acknowledgement, Answer, Batch, Decoded, DeleteTable, Endian, Family, Query, TableInfo, answer, decode, messages,
    request,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::enlarge_receive_buffer;
use crate::sys::network::{Changed, Refusal};
use crate::sys::{BoxFuture, NfTables, netfilter};

/// Before the rest of the comment of a plugin's table.
const MARK: &str = "kept by portreeve";
/// Room for what the kernel has against a batch: one answer a message.
const ANSWERS: usize = 4 * 1024 * 1024;
/// Of the send buffer, beside the batch itself.
const SEND_SPARE: usize = 64 * 1024;
/// One datagram of answers.
const MAX_ANSWER: usize = 64 * 1024;
/// Most reasons that are kept.
const MAX_REASONS: usize = 1024;
/// Times that tables are read while others change them: without a pause first, then with [`READING_PAUSE`] between.
const READINGS: usize = 250;
const READINGS_AT_ONCE: usize = 50;
const READING_PAUSE: Duration = Duration::from_millis(1);
/// NLM_F_DUMP_INTR.
const INTERRUPTED: u16 = 0x10;
/// ERESTART: the transaction is of an earlier generation.
const OVERTAKEN: i32 = 85;

/// See [`NfTables`].
pub struct Transactions(Turns<Socket>, u32);

impl Transactions {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        let (socket, port) = open()?;
        Ok(Self(Turns(Arc::new((Mutex::new(socket), AtomicBool::new(false)))), port))
    }
}

/// One works with it at a time, on a thread that may block. When this is dropped nothing waits any more and nothing is under
/// way: a transaction must not come behind the end of who wrote it, when the core has tidied up.
struct Turns<S>(Arc<(Mutex<S>, AtomicBool)>);

impl<S: Send + 'static> Turns<S> {
    fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> io::Result<R> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<R>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let work = move || {
                let mut held = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                if shared.1.load(Ordering::Acquire) {
                    return Err(io::Error::from_raw_os_error(libc::ECANCELED));
                }
                work(&mut held)
            };
            tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
        })
    }
}

impl<S> Drop for Turns<S> {
    fn drop(&mut self) {
        self.0.1.store(true, Ordering::Release);
        drop(self.0.0.lock());
    }
}

impl NfTables for Transactions {
    fn port(&self) -> u32 {
        self.1
    }

    fn commit(&self, batch: Vec<u8>) -> BoxFuture<'static, io::Result<Vec<Acknowledgement>>> {
        self.0.run(move |socket| transact(socket, &batch))
    }

    fn generation(&self) -> BoxFuture<'static, io::Result<u32>> {
        self.0.run(generation)
    }
}

fn generation(socket: &mut Socket) -> io::Result<u32> {
    let found = ask(socket, &Query::Generation)?;
    let id = found.into_iter().find_map(|answer| match answer {
        Decoded::Generation(generation) => Some(generation.id),
        _ => None,
    });
    id.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn open() -> io::Result<(Socket, u32)> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    let port = socket.bind_auto()?.port_number();
    socket.connect(&SocketAddr::new(0, 0))?;
    // Older kernels tell less.
    let _ = socket.set_cap_ack(true);
    let _ = socket.set_ext_ack(true);
    enlarge_receive_buffer(&socket, ANSWERS);
    Ok((socket, port))
}

/// Sends a batch, and takes what the kernel has against it.
fn transact(socket: &mut Socket, batch: &[u8]) -> io::Result<Vec<Acknowledgement>> {
    let room = batch.len().saturating_add(SEND_SPARE);
    // SAFETY: the descriptor is the socket's, which is borrowed for longer than this call.
    let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    if setsockopt(&descriptor, sockopt::SndBufForce, &room).is_err() {
        let _ = setsockopt(&descriptor, sockopt::SndBuf, &room);
    }
    // What an earlier exchange left, if it was given up.
    while receive(socket, libc::MSG_DONTWAIT).is_ok() {}
    socket.send(batch, 0)?;
    let (mut reasons, mut lost) = (Vec::new(), false);
    loop {
        match receive(socket, libc::MSG_DONTWAIT) {
            Ok(bytes) => {
                for message in messages(Endian::NATIVE, &bytes).map_while(Result::ok) {
                    if let Answer::Acknowledged(acknowledgement) = answer(&message)
                        && acknowledgement.errno != 0
                        && reasons.len() < MAX_REASONS
                    {
                        reasons.push(acknowledgement);
                    }
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => lost = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    if lost && reasons.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
    }
    Ok(reasons)
}

/// Asks and takes all answers; EAGAIN if others changed what was being read.
fn ask(socket: &mut Socket, query: &Query<'_>) -> io::Result<Vec<Decoded>> {
    // What an earlier exchange left, if it was given up.
    while receive(socket, libc::MSG_DONTWAIT).is_ok() {}
    // A question about one thing is answered, then acknowledged; one about many ends with NLMSG_DONE.
    socket.send(&request(Endian::NATIVE, 1, query), 0)?;
    let mut found = Vec::new();
    let mut whole = true;
    loop {
        let bytes = receive(socket, 0)?;
        for message in messages(Endian::NATIVE, &bytes).map_while(Result::ok) {
            whole &= message.flags & INTERRUPTED == 0;
            match answer(&message) {
                Answer::Acknowledged(end) | Answer::Done(end) if end.errno != 0 => {
                    // What nfnetlink says of a subsystem that it does not have.
                    let code = if end.errno == libc::EINVAL { libc::EOPNOTSUPP } else { end.errno };
                    return Err(io::Error::from_raw_os_error(code));
                }
                Answer::Acknowledged(_) | Answer::Done(_) => {
                    return if whole { Ok(found) } else { Err(io::Error::from_raw_os_error(libc::EAGAIN)) };
                }
                Answer::Message => found.extend(decode(&message)),
            }
        }
    }
}

fn receive(socket: &mut Socket, flags: i32) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(MAX_ANSWER);
    socket.recv(&mut buffer, flags)?;
    Ok(buffer)
}

/// All tables, of all families.
///
/// # Errors
/// The kernel's; EOPNOTSUPP where it has no nf_tables, EAGAIN where others change them all the time.
pub fn tables() -> io::Result<Vec<TableInfo>> {
    let (mut socket, _) = open()?;
    let mut result = Err(io::Error::from_raw_os_error(libc::EAGAIN));
    for reading in 0..READINGS {
        if reading >= READINGS_AT_ONCE {
            std::thread::sleep(READING_PAUSE);
        }
        result = ask(&mut socket, &Query::Tables { family: Family::Unspec });
        if !matches!(&result, Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR))) {
            break;
        }
    }
    let table = |found| if let Decoded::Table(table) = found { Some(table) } else { None };
    Ok(result?.into_iter().filter_map(table).collect())
}

/// Tables whose comment says that they are a plugin's: as the grant names them.
pub fn plugin_tables() -> io::Result<Vec<String>> {
    let marked = |table: &TableInfo| table.comment.as_deref().is_some_and(|comment| comment.starts_with(MARK));
    let tables = tables()?.into_iter().filter(marked);
    Ok(tables.filter_map(|table| netfilter::table_name(table.family, &table.name)).collect())
}

/// Removes one of them.
pub fn remove_plugin_table(table: &str) -> Changed {
    let is_it = |found: &TableInfo| {
        netfilter::table_name(found.family, &found.name).as_deref() == Some(table)
            && found.comment.as_deref().is_some_and(|comment| comment.starts_with(MARK))
    };
    let mut result = Ok(());
    for _ in 0..READINGS {
        let generation = generation(&mut open()?.0)?;
        let Some(found) = tables()?.into_iter().find(is_it) else { return Ok(()) };
        let Some(family) = Family::from_number(found.family) else { return Ok(()) };
        result = carry_out(removal(generation, family, &found.name));
        if !matches!(&result, Err(refusal) if refusal.error.raw_os_error() == Some(OVERTAKEN)) {
            break;
        }
    }
    result
}

/// Removes what was seen in this generation, not another table that was given the name since.
fn removal(generation: u32, family: Family, name: &str) -> Batch {
    let mut batch = Batch::new(Endian::NATIVE);
    batch.begin(Some(generation));
    batch.push(&DeleteTable { family, name }, 0);
    batch.end(0);
    batch
}

/// Sends a batch of our own making.
pub fn carry_out(batch: Batch) -> Changed {
    let batch = batch.into_bytes().map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
    match transact(&mut open()?.0, &batch)?.into_iter().next() {
        None => Ok(()),
        Some(Acknowledgement { errno, message, .. }) => {
            Err(Refusal { error: io::Error::from_raw_os_error(errno), message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_sent_behind_the_end_of_who_wrote_it() {
        let turns = Turns(Arc::new((Mutex::new(0), AtomicBool::new(false))));
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (shared, done) = (turns.0.clone(), Arc::new(AtomicBool::new(false)));
        let is_done = done.clone();
        let first = tokio::spawn(turns.run(move |sent| {
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            is_done.store(true, Ordering::SeqCst);
            *sent += 1;
            Ok(())
        }));
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        let second = turns.run(|sent| {
            *sent += 1;
            Ok(())
        });
        tokio::task::spawn_blocking(move || drop(turns)).await.unwrap();
        assert!(done.load(Ordering::SeqCst), "what is under way is waited for");
        assert!(first.await.unwrap().is_ok());
        assert_eq!(second.await.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        assert_eq!(*shared.0.lock().unwrap(), 1);
    }

    #[test]
    fn a_table_is_removed_only_in_the_generation_that_it_was_seen_in() {
        let bytes = removal(0x0102_0304, Family::Inet, "one").into_bytes().unwrap();
        // NFNL_BATCH_GENID behind nlmsghdr and nfgenmsg.
        assert_eq!(bytes.get(24..28), Some(&[1, 2, 3, 4][..]));
    }
}
